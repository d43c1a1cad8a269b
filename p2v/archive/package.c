/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What holds for every kind: the disks that are wanted, opening one where it lies. */
#include "package_own.h"

#include "common/fail.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *package_kind_name(enum package_kind kind)
{
	static const char *const names[] = {
		[PACKAGE_NONE] = "none", [PACKAGE_OVA] = "OVA", [PACKAGE_XVA] = "XVA", [PACKAGE_VMA] = "VMA"
	};

	return names[kind];
}

const char *shown(const char *name, char out[200])
{
	size_t n = 0;

	for (; *name && n < 196; name++)
		out[n++] = (unsigned char)*name < ' ' || *name == 127 ? '?' : *name;
	if (*name)
		n += (size_t)sprintf(out + n, "...");
	out[n] = '\0';
	return out;
}

const char *name_judge(const char *name)
{
	if (!*name)
		return "has no name";
	if (*name == '/' || strchr(name, '\\'))
		return "has a name that leads out of the archive";
	for (const char *p = name; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 127)
			return "has control characters in its name";
	while (*name) {
		size_t n = strcspn(name, "/");

		if (n == 2 && name[0] == '.' && name[1] == '.')
			return "has a name that leads out of the archive";
		name += n + (name[n] == '/');
	}
	return NULL;
}

void package_note(struct package *p, const char *format, ...)
{
	va_list args;

	if (p->n_remarks == REMARKS_MAX)
		return;
	va_start(args, format);
	if (vasprintf(&p->remarks[p->n_remarks], format, args) >= 0)
		p->n_remarks++;
	va_end(args);
}

const char *package_remark(const struct package *p, size_t i)
{
	return i < p->n_remarks ? p->remarks[i] : NULL;
}

int file_read(int fd, const char *path, void *buf, size_t len, uint64_t off, vdisk_error *err)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = pread(fd, (char *)buf + done, len - done, (off_t)(off + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail_errno(err, "%s", path);
		if (!n)
			return fail(err, VDISK_CORRUPT, "%s: is cut short: %zu bytes at offset %llu are not there", path,
			            len - done, (unsigned long long)(off + done));
		done += (size_t)n;
	}
	return 0;
}

int job_tick(const struct package *p, const struct package_job *job, uint64_t done, vdisk_error *err)
{
	const struct vdisk_progress now = { .done = done < p->file_size ? done : p->file_size, .total = p->file_size };

	if (job->cancel && *job->cancel)
		return fail(err, VDISK_CANCELLED, "%s: stopped", p->path);
	if (job->progress)
		job->progress(job->progress_ctx, &now);
	return 0;
}

void job_done(const struct package *p, const struct package_job *job)
{
	const struct vdisk_progress now = { .done = p->file_size, .total = p->file_size };

	if (job->progress)
		job->progress(job->progress_ctx, &now);
}

/* ---------------------------------------------------------------- the package */

int package_open(const char *path, struct package **out, vdisk_error *err)
{
	struct package *p = calloc(1, sizeof(*p));
	uint8_t head[PACKAGE_HEAD];
	struct stat st;
	ssize_t n = 0;
	int fd, rc;

	*out = NULL;
	if (!p || !(p->path = strdup(path))) {
		free(p);
		return fail_nomem(err);
	}
	p->fd = -1;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	rc = fd < 0 || fstat(fd, &st) ? fail_errno(err, "%s", path) : 0;
	if (!rc && S_ISREG(st.st_mode)) {
		n = pread(fd, head, sizeof(head), 0);
		p->file_size = (uint64_t)st.st_size;
		rc = n < 0 ? fail_errno(err, "%s", path) : package_kind_find(p, head, (size_t)n, err);
	}
	if (fd >= 0)
		close(fd);
	if (!rc && p->kind == PACKAGE_OVA)
		rc = ova_open(p, err);
	else if (!rc && p->kind == PACKAGE_XVA)
		rc = xva_open(p, err);
	else if (!rc && p->kind == PACKAGE_VMA)
		rc = vma_open(p, err);
	if (rc || p->kind == PACKAGE_NONE) {
		package_close(p);
		return rc;
	}
	*out = p;
	return 0;
}

static void slots_free(struct package *p)
{
	for (size_t i = 0; i < p->n_slots; i++) {
		free(p->slots[i].ref);
		free(p->slots[i].format);
		free(p->slots[i].parts);
		free(p->slots[i].seen);
		free(p->slots[i].runs);
	}
	free(p->slots);
	p->slots = NULL;
	p->n_slots = 0;
	for (size_t i = 0; i < 256; i++)
		p->devices[i].slot = -1;
}

void package_close(struct package *p)
{
	if (!p)
		return;
	slots_free(p);
	for (size_t i = 0; i < p->n_members; i++)
		free(p->members[i].name);
	free(p->members);
	for (size_t i = 0; i < 256; i++)
		free(p->devices[i].name);
	for (size_t i = 0; i < p->n_remarks; i++)
		free(p->remarks[i]);
	if (p->fd >= 0)
		close(p->fd);
	free(p->desc);
	free(p->desc_name);
	free(p->path);
	free(p);
}

enum package_kind package_kind_of(const struct package *p) { return p->kind; }
bool package_streamed(const struct package *p) { return p->streamed; }

const void *package_description(const struct package *p, size_t *len, const char **name)
{
	*len = p->desc_len;
	if (name)
		*name = p->desc_name;
	return p->desc;
}

/* ---------------------------------------------------------------- disks */

int slot_part_add(struct package *p, struct slot *s, uint64_t off, uint64_t len, uint64_t host, vdisk_error *err)
{
	struct vdisk_part *last = s->n ? &s->parts[s->n - 1] : NULL;

	if (!len)
		return 0;
	if (last && last->off + last->len == off && last->host + last->len == host) {
		last->len += len;
		return 0;
	}
	if (s->n == s->cap) {
		size_t cap = s->cap ? 2 * s->cap : 64;
		struct vdisk_part *more;

		if (s->n >= PARTS_MAX)
			return fail(err, VDISK_UNSUPPORTED, "%s: %s lies in more than %zu pieces", p->path, s->ref, PARTS_MAX);
		more = realloc(s->parts, cap * sizeof(*more));
		if (!more)
			return fail_nomem(err);
		s->parts = more;
		s->cap = cap;
	}
	s->parts[s->n++] = (struct vdisk_part){ .off = off, .len = len, .host = host };
	return 0;
}

struct slot *slot_find(struct package *p, const char *ref, size_t len)
{
	for (size_t i = 0; i < p->n_slots; i++)
		if (strlen(p->slots[i].ref) == len && !memcmp(p->slots[i].ref, ref, len))
			return &p->slots[i];
	return NULL;
}

static int slot_set(struct package *p, size_t i, const struct package_disk *d, vdisk_error *err)
{
	struct slot *s = &p->slots[i];

	if (!d->ref)
		return fail(err, VDISK_INVALID, "%s: disk %zu is not said to be anywhere in the archive", p->path, i + 1);
	for (size_t k = 0; k < i; k++)
		if (!strcmp(p->slots[k].ref, d->ref))
			return fail(err, VDISK_CORRUPT, "%s: two disks are said to be %s", p->path, d->ref);
	s->ref = strdup(d->ref);
	s->format = strdup(p->kind != PACKAGE_OVA ? "raw" : d->format ? d->format : "");
	if (!s->ref || !s->format)
		return fail_nomem(err);
	s->size = s->len = d->size;
	if (p->kind == PACKAGE_OVA)
		return ova_want(p, s, d, err);
	if (p->kind == PACKAGE_VMA && vma_want(p, s, i, err))
		return -1;
	if (!s->size || s->size > INT64_MAX)
		return fail(err, VDISK_CORRUPT, "%s: %s has a size of %llu bytes", p->path, s->ref, (unsigned long long)s->size);
	return 0;
}

int package_want(struct package *p, const struct package_disk *disks, size_t n, vdisk_error *err)
{
	slots_free(p);
	if (n > PACKAGE_DISKS_MAX)
		return fail(err, VDISK_UNSUPPORTED, "%s: has %zu disks; at most %u are read", p->path, n, PACKAGE_DISKS_MAX);
	p->slots = calloc(n + 1, sizeof(*p->slots));
	if (!p->slots)
		return fail_nomem(err);
	p->n_slots = n;
	for (size_t i = 0; i < n; i++) {
		if (!slot_set(p, i, &disks[i], err))
			continue;
		return -1;
	}
	return 0;
}

uint64_t package_disk_size(const struct package *p, size_t disk)
{
	return disk < p->n_slots ? p->slots[disk].size : 0;
}

static int parts_compare(const void *a, const void *b)
{
	uint64_t x = ((const struct vdisk_part *)a)->off, y = ((const struct vdisk_part *)b)->off;

	return x < y ? -1 : x > y;
}

int package_check(struct package *p, const struct package_job *job, vdisk_error *err)
{
	int rc;

	if (p->streamed)
		return fail(err, VDISK_INVALID, "%s: is packed as a whole, and can only be read as a stream", p->path);
	rc = p->kind == PACKAGE_OVA   ? ova_check(p, job, err)
	     : p->kind == PACKAGE_XVA ? xva_scan(p, job, NULL, NULL, err)
	                              : vma_scan(p, job, NULL, NULL, err);
	for (size_t i = 0; !rc && p->kind == PACKAGE_VMA && i < p->n_slots; i++)
		if (p->slots[i].n)
			qsort(p->slots[i].parts, p->slots[i].n, sizeof(struct vdisk_part), parts_compare);
	if (!rc)
		job_done(p, job);
	return rc;
}

int package_feed(struct package *p, const struct package_job *job, package_sink sink, void *ctx, vdisk_error *err)
{
	int rc;

	if (p->kind == PACKAGE_OVA)
		return fail(err, VDISK_INVALID, "%s: an OVA is not read as a stream", p->path);
	rc = p->kind == PACKAGE_XVA ? xva_scan(p, job, sink, ctx, err) : vma_scan(p, job, sink, ctx, err);
	if (!rc)
		job_done(p, job);
	return rc;
}

int package_disk_open(struct package *p, size_t disk, vdisk_log_fn log, void *log_ctx, struct package_image *out, vdisk_error *err)
{
	const struct slot *s = &p->slots[disk];
	struct vdisk_open_options o = {
		.format = *s->format ? s->format : NULL,
		.parts = s->parts,
		.n_parts = s->n,
		.parts_len = s->len,
		.log = log,
		.log_ctx = log_ctx,
	};
	static const struct vdisk_part none[1];
	int fd = -1, rc;

	*out = (struct package_image){ 0 };
	if (p->streamed)
		return fail(err, VDISK_INVALID, "%s: is packed as a whole, and can only be read as a stream", p->path);
	if (!s->parts)
		o.parts = none;
	if (!s->gzip)
		return vdisk_open(p->path, &o, &out->img, err);
	if (unpack_start(p, s, &out->unpack, &fd, err))
		return -1;
	o = (struct vdisk_open_options){ .format = *s->format ? s->format : "vmdk",
		                         .flags = VDISK_OPEN_STREAM,
		                         .stream_fd = fd,
		                         .log = log,
		                         .log_ctx = log_ctx };
	rc = vdisk_open("-", &o, &out->img, err);
	close(fd);
	if (rc) {
		char why[sizeof(err->message)];
		vdisk_error unpacked = { 0 };

		snprintf(why, sizeof(why), "%s", err ? err->message : "");
		if (unpack_end(out->unpack, false, &unpacked))
			fail(err, unpacked.kind, "%s", unpacked.message);
		else
			fail(err, err ? err->kind : VDISK_IO, "%s: %s: %.600s", p->path, s->ref, why);
		out->unpack = NULL;
	}
	return rc;
}

int package_disk_close(struct package_image *i, bool whole, vdisk_error *err)
{
	vdisk_close(i->img, NULL); /* read-only: nothing can fail */
	i->img = NULL;
	if (!i->unpack)
		return 0;
	struct package_unpack *u = i->unpack;
	i->unpack = NULL;
	return unpack_end(u, whole, err);
}
