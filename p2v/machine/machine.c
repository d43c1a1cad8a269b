/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Machines: memory, texts, lists.
 *
 * Texts lie in blocks that are freed all at once, so that a reader needs no ladder of frees and a field can be set twice.  A list
 * is one allocation that grows.  Neither fails loudly: the first failure stays in `failed`, and what came after it is not believed.
 */
#include "machine.h"

#include "common/fail.h"
#include "snapshots.h"
#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 4096

struct machine_arena {
	struct machine_arena *next;
	size_t used, cap;
	_Alignas(max_align_t) char at[];
};

struct machine *machine_new(void) { return calloc(1, sizeof(struct machine)); }

static void arena_free(struct machine_arena *a)
{
	while (a) {
		struct machine_arena *next = a->next;

		free(a);
		a = next;
	}
}

void machine_free(struct machine *m)
{
	if (!m)
		return;
	free(m->disks);
	free(m->nics);
	free(m->serials);
	free(m->partitions);
	free(m->volumes);
	free(m->arrays);
	free(m->crypts);
	free(m->images);
	free(m->snapshots);
	free(m->states);
	machine_lost_free(&m->lost);
	arena_free(m->arena);
	free(m);
}

__attribute__((format(printf, 2, 3))) static void fail_once(struct machine *m, const char *format, ...)
{
	va_list args;

	if (m->failed.kind)
		return;
	m->failed.kind = VDISK_CORRUPT;
	m->failed.offset = VDISK_NO_OFFSET;
	va_start(args, format);
	vsnprintf(m->failed.message, sizeof(m->failed.message), format, args);
	va_end(args);
}

static void nomem_once(struct machine *m)
{
	if (!m->failed.kind)
		fail_nomem(&m->failed);
}

static void *arena_take(struct machine *m, size_t n)
{
	struct machine_arena *a = m->arena;
	void *at;

	n = (n + _Alignof(max_align_t) - 1) & ~(_Alignof(max_align_t) - 1);
	if (!a || n > a->cap - a->used) {
		size_t cap = n > BLOCK ? n : BLOCK;

		a = malloc(sizeof(*a) + cap);
		if (!a) {
			nomem_once(m);
			return NULL;
		}
		*a = (struct machine_arena){ .next = m->arena, .cap = cap };
		m->arena = a;
	}
	at = a->at + a->used;
	a->used += n;
	return at;
}

const char *machine_text_n(struct machine *m, const char *text, size_t len)
{
	char *copy;

	if (!text || !len)
		return NULL;
	if (len > MACHINE_TEXT_MAX) {
		fail_once(m, "a text has %zu bytes, %d are the most: \"%.40s…\"", len, MACHINE_TEXT_MAX, text);
		return NULL;
	}
	for (size_t i = 0; i < len;) {
		size_t n = text_utf8_len(text + i, len - i);

		if (!n || text_is_control(text + i)) {
			fail_once(m, "a text has a byte %#04x, which is no UTF-8 or a control character, behind \"%.*s\"",
				  (unsigned char)text[i], (int)(i < 64 ? i : 64), text);
			return NULL;
		}
		i += n;
	}
	copy = arena_take(m, len + 1);
	if (!copy)
		return NULL;
	memcpy(copy, text, len);
	copy[len] = '\0';
	return copy;
}

const char *machine_text(struct machine *m, const char *text) { return text ? machine_text_n(m, text, strlen(text)) : NULL; }

const char *machine_text_clean(struct machine *m, const char *text)
{
	char clean[MACHINE_TEXT_MAX + 1], *copy;
	size_t n;

	while (text && *text && (*text == ' ' || text_is_control(text)))
		text += (unsigned char)*text == 0xc2 ? 2 : 1;
	n = text ? text_clean(clean, MACHINE_TEXT_MAX, text, true) : 0;
	while (n && strchr(" \n\t", clean[n - 1]))
		n--;
	copy = n ? arena_take(m, n + 1) : NULL;
	if (!copy)
		return NULL;
	memcpy(copy, clean, n);
	copy[n] = '\0';
	return copy;
}

const char *machine_text_format(struct machine *m, const char *format, ...)
{
	char text[MACHINE_TEXT_MAX + 2];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (n > MACHINE_TEXT_MAX) {
		fail_once(m, "a text has %d bytes, %d are the most: \"%.40s…\"", n, MACHINE_TEXT_MAX, text);
		return NULL;
	}
	return machine_text(m, text);
}

static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* `digits` of them out of text, which may have blanks, hyphens, colons and braces between; false: other characters, or another
   number of them. */
static bool hex_digits(const char *text, char *out, size_t digits)
{
	static const char small[] = "0123456789abcdef";
	size_t n = 0;

	for (; text && *text; text++) {
		if (hex(*text) >= 0) {
			if (n == digits)
				return false;
			out[n++] = small[hex(*text)];
		} else if (!strchr(" -:.{}", *text)) {
			return false;
		}
	}
	return n == digits;
}

const char *machine_mac(struct machine *m, const char *text)
{
	char d[12];

	if (!hex_digits(text, d, sizeof(d)))
		return NULL;
	return machine_text_format(m, "%.2s:%.2s:%.2s:%.2s:%.2s:%.2s", d, d + 2, d + 4, d + 6, d + 8, d + 10);
}

const char *machine_uuid(struct machine *m, const char *text)
{
	char d[32];

	if (!hex_digits(text, d, sizeof(d)))
		return NULL;
	return machine_text_format(m, "%.8s-%.4s-%.4s-%.4s-%.12s", d, d + 8, d + 12, d + 16, d + 20);
}

/* Room for one more entry of `size` bytes; NULL: failed. */
static void *list_grow(struct machine *m, void *list, size_t *n, size_t size, const char *what)
{
	void *grown;

	if (*n == MACHINE_LIST_MAX) {
		fail_once(m, "there are more than %d %s", MACHINE_LIST_MAX, what);
		return NULL;
	}
	if (*n & (*n - 1)) /* it has room up to the next power of two */
		return list;
	grown = realloc(list, (*n ? *n * 2 : 1) * size);
	if (!grown)
		nomem_once(m);
	return grown;
}

#define LIST_ADD(m, list, what)                                                                       \
	({                                                                                            \
		void *grown_ = list_grow(m, (m)->list, &(m)->list##_n, sizeof(*(m)->list), what);     \
		if (grown_) {                                                                         \
			(m)->list = grown_;                                                           \
			memset(&(m)->list[(m)->list##_n], 0, sizeof(*(m)->list));                     \
		}                                                                                     \
		grown_ ? &(m)->list[(m)->list##_n++] : NULL;                                          \
	})

struct machine_disk *machine_disk_add(struct machine *m)
{
	struct machine_disk *d = LIST_ADD(m, disks, "disks");

	if (d)
		d->unit = -1;
	return d;
}

struct machine_nic *machine_nic_add(struct machine *m) { return LIST_ADD(m, nics, "NICs"); }
struct machine_serial *machine_serial_add(struct machine *m) { return LIST_ADD(m, serials, "serial ports"); }
struct machine_partition *machine_partition_add(struct machine *m) { return LIST_ADD(m, partitions, "partitions"); }
struct machine_volume *machine_volume_add(struct machine *m) { return LIST_ADD(m, volumes, "logical volumes"); }
struct machine_array *machine_array_add(struct machine *m) { return LIST_ADD(m, arrays, "arrays"); }
struct machine_crypt *machine_crypt_add(struct machine *m) { return LIST_ADD(m, crypts, "encrypted volumes"); }

struct machine_image *machine_image_add(struct machine *m)
{
	struct machine_image *i = LIST_ADD(m, images, "images");

	if (i)
		i->parent = -1;
	return i;
}

struct machine_snapshot *machine_snapshot_add(struct machine *m)
{
	struct machine_snapshot *s = LIST_ADD(m, snapshots, "snapshots");

	if (s)
		s->parent = -1;
	return s;
}

struct machine_state *machine_state_add(struct machine *m)
{
	struct machine_state *s = LIST_ADD(m, states, "disks of snapshots");

	if (s)
		s->snapshot = s->image = -1;
	return s;
}

void machine_list_add(struct machine *m, const char ***list, size_t *n, const char *text)
{
	const char *copy = machine_text(m, text);

	if (!copy)
		return;
	if (*n == MACHINE_LIST_MAX) {
		fail_once(m, "a list has more than %d entries, such as \"%.64s\"", MACHINE_LIST_MAX, text);
		return;
	}
	if (!(*n & (*n - 1))) { /* a power of two, or none: it is full */
		const char **grown = arena_take(m, (*n ? *n * 2 : 1) * sizeof(*grown));

		if (!grown)
			return;
		if (*n)
			memcpy(grown, *list, *n * sizeof(*grown));
		*list = grown;
	}
	(*list)[(*n)++] = copy;
}

struct machine_disk *machine_disk_find(struct machine *m, const char *name)
{
	for (size_t i = 0; name && i < m->disks_n; i++)
		if (m->disks[i].name && !strcmp(m->disks[i].name, name))
			return &m->disks[i];
	return NULL;
}

static int disk_judge(const struct machine *m, size_t at, vdisk_error *err)
{
	const struct machine_disk *d = &m->disks[at];

	if (d->size > (uint64_t)INT64_MAX)
		return fail(err, VDISK_CORRUPT, "disk %zu has an impossible size of %llu bytes", at + 1,
		            (unsigned long long)d->size);
	for (size_t i = 0; i < at; i++) {
		const struct machine_disk *o = &m->disks[i];

		if (d->name && o->name && !strcmp(d->name, o->name))
			return fail(err, VDISK_CORRUPT, "two disks have the name \"%.128s\"", d->name);
		if (d->bus && d->bus == o->bus && d->unit >= 0 && d->unit == o->unit && d->controller == o->controller)
			return fail(err, VDISK_CORRUPT, "two disks are at one place: %s controller %u, unit %d",
			            machine_bus_name(d->bus), d->controller, d->unit);
	}
	return 0;
}

int machine_judge(const struct machine *m, vdisk_error *err)
{
	if (m->failed.kind) {
		if (err)
			*err = m->failed;
		return -1;
	}
	if (m->cpus > MACHINE_CPUS_MAX)
		return fail(err, VDISK_CORRUPT, "%u CPUs are more than %d", m->cpus, MACHINE_CPUS_MAX);
	if (m->sockets > MACHINE_CPUS_MAX || m->cores > MACHINE_CPUS_MAX || m->threads > MACHINE_CPUS_MAX)
		return fail(err, VDISK_CORRUPT, "%u sockets, %u cores, %u threads: more than %d", m->sockets, m->cores, m->threads,
			    MACHINE_CPUS_MAX);
	if (m->memory > MACHINE_MEMORY_MAX)
		return fail(err, VDISK_CORRUPT, "%llu bytes of memory are too many", (unsigned long long)m->memory);
	for (size_t i = 0; i < m->disks_n; i++)
		if (disk_judge(m, i, err))
			return -1;
	return snapshots_judge(m, err);
}
