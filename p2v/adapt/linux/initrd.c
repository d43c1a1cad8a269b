/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Owns an initramfs' members.  It goes over the file as the kernel does
 * (Documentation/driver-api/early-userspace/buffer-format.rst): zeros are skipped, an archive begins with '0' at a multiple of 4,
 * anything else is a packed stream, which may hold several archives.
 */
#include "initrd.h"

#include "common/fail.h"
#include "initrd_cpio.h"
#include "initrd_stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PARTS_MAX 64
#define LINKS_MAX 40
#define PATH_ROOM 4096

void initrd_destroy(struct initrd *i)
{
	for (size_t n = 0; n < i->members_n; n++) {
		free(i->members[n].path);
		free(i->members[n].link);
		bytes_destroy(&i->members[n].content);
	}
	for (size_t n = 0; n < i->modules_n; n++) {
		free(i->modules[n].name);
		free(i->modules[n].path);
		free(i->modules[n].release);
	}
	free(i->members);
	free(i->modules);
	free(i->parts);
	free(i->sorted);
	*i = (struct initrd){ 0 };
}

/* ---------------------------------------------------------------- parts */

/* The archives one behind the other in what a stream holds. */
static int archives_read(struct initrd *i, size_t part, const struct bytes *b, vdisk_error *err)
{
	size_t used;

	for (size_t at = 0; at < b->len; at += used) {
		if (!b->at[at]) {
			used = 1;
			continue;
		}
		if (b->at[at] != '0')
			return fail(err, VDISK_CORRUPT, "junk behind an archive, at byte %zu of the unpacked stream", at);
		if (cpio_members(i, part, (const uint8_t *)b->at + at, b->len - at, &used, err))
			return -1;
	}
	return 0;
}

/* `max`: what all streams may hold. */
static int part_read(struct initrd *i, struct initrd_part *part, const uint8_t *at, size_t len, uint64_t max, vdisk_error *err)
{
	size_t index = (size_t)(part - i->parts);
	struct bytes unpacked = { 0 };
	int packing = stream_packing(at, len), rc;

	if (*at == '0' && !(part->off & 3)) {
		rc = cpio_members(i, index, at, len, &part->len, err);
		part->unpacked = part->len;
		return rc;
	}
	if (packing < 0 && len >= 2 && at[0] == 0x89 && at[1] == 'L')
		return fail(err, VDISK_UNSUPPORTED, "it is packed with lzo, which is not read");
	if (packing < 0)
		return fail(err, VDISK_CORRUPT, "what begins there is neither an archive nor a packed one that is known");
	part->packing = (enum initrd_packing)packing;
	rc = stream_unpack(part->packing, at, len, max - i->unpacked, &unpacked, &part->len, err);
	part->unpacked = unpacked.len;
	i->unpacked += unpacked.len;
	if (!rc)
		rc = archives_read(i, index, &unpacked, err);
	bytes_destroy(&unpacked);
	return rc;
}

static void part_judge(struct initrd *i, struct initrd_part *part, size_t first)
{
	part->ours = first < i->members_n && !strcmp(i->members[first].path, INITRD_MARK);
	part->early = true;
	for (size_t n = first; n < i->members_n; n++)
		if (!S_ISDIR(i->members[n].mode) && strncmp(i->members[n].path, "kernel/", 7) &&
			strcmp(i->members[n].path, "early_cpio"))
			part->early = false;
}

static int parts_read(struct initrd *i, const uint8_t *at, size_t len, vdisk_error *err)
{
	for (size_t off = 0; off < len;) {
		struct initrd_part *part;
		size_t first = i->members_n;
		vdisk_error why;

		if (!at[off]) {
			off++;
			continue;
		}
		if (i->parts_n == PARTS_MAX)
			return fail(err, VDISK_UNSUPPORTED, "more than %d archives, one behind the other", PARTS_MAX);
		part = &i->parts[i->parts_n++];
		*part = (struct initrd_part){ .off = off };
		if (part_read(i, part, at + off, len - off, stream_unpacked_max(len), &why))
			return fail(err, why.kind, "byte %zu: %s", off, why.message);
		part_judge(i, part, first);
		off += part->len;
	}
	return 0;
}

/* ---------------------------------------------------------------- lookup */

static int by_path(const void *a, const void *b, void *members)
{
	const struct initrd_member *m = members;
	size_t x = *(const size_t *)a, y = *(const size_t *)b;
	int c = strcmp(m[x].path, m[y].path);

	return c ? c : (x > y) - (x < y);
}

static const struct initrd_member *lookup(const struct initrd *i, const char *path)
{
	size_t lo = 0, hi = i->members_n;

	while (lo < hi) { /* the first that comes behind `path` */
		size_t mid = lo + (hi - lo) / 2;

		if (strcmp(i->members[i->sorted[mid]].path, path) <= 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo && !strcmp(i->members[i->sorted[lo - 1]].path, path) ? &i->members[i->sorted[lo - 1]] : NULL;
}

bool initrd_resolve(const struct initrd *i, const char *path, char *out, size_t room)
{
	char rest[PATH_ROOM], next[PATH_ROOM];
	int links = 0;
	size_t len = 0, part;

	if (snprintf(rest, sizeof(rest), "%s", path) >= (int)sizeof(rest) || room < 2)
		return false;
	out[0] = '\0';
	while (*rest) {
		const struct initrd_member *m;
		const char *at = rest + strspn(rest, "/");
		size_t before = len;

		part = strcspn(at, "/");
		if (!part || (part == 1 && *at == '.')) {
			memmove(rest, at + part, strlen(at + part) + 1);
			continue;
		}
		if (part == 2 && !memcmp(at, "..", 2)) {
			char *slash = strrchr(out, '/');

			len = slash ? (size_t)(slash - out) : 0;
			out[len] = '\0';
			memmove(rest, at + part, strlen(at + part) + 1);
			continue;
		}
		if (len + part + 2 > room)
			return false;
		if (len)
			out[len++] = '/';
		memcpy(out + len, at, part);
		out[len += part] = '\0';
		m = lookup(i, out);
		if (m && m->link) {
			if (++links > LINKS_MAX || snprintf(next, sizeof(next), "%s%s", m->link, at + part) >= (int)sizeof(next))
				return false;
			len = *m->link == '/' ? 0 : before;
			out[len] = '\0';
			memcpy(rest, next, strlen(next) + 1);
		} else {
			memmove(rest, at + part, strlen(at + part) + 1);
		}
	}
	return true;
}

const struct initrd_member *initrd_find(const struct initrd *i, const char *path)
{
	char real[PATH_ROOM];

	return initrd_resolve(i, path, real, sizeof(real)) ? lookup(i, real) : NULL;
}

/* ---------------------------------------------------------------- modules */

bool module_name(const char *path, char *out, size_t room)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *end = strstr(name, ".ko");
	size_t len;

	if (!end || end == name || (strcmp(end, ".ko") && strcmp(end, ".ko.xz") && strcmp(end, ".ko.zst") && strcmp(end, ".ko.gz")))
		return false;
	len = (size_t)(end - name);
	if (len >= room)
		return false;
	for (size_t i = 0; i < len; i++)
		out[i] = name[i] == '-' ? '_' : name[i];
	out[len] = '\0';
	return true;
}

size_t module_stem(const char *path)
{
	const char *slash = strrchr(path, '/'), *end = strstr(slash ? slash : path, ".ko");

	return end ? (size_t)(end - path) : strlen(path);
}

static int by_name(const void *a, const void *b)
{
	const struct initrd_module *x = a, *y = b;
	int c = strcmp(x->name, y->name);

	return c ? c : strcmp(x->release, y->release);
}

static int module_add(struct initrd *i, const char *path, vdisk_error *err)
{
	const char *at = strncmp(path, "lib/modules/", 12) ? strstr(path, "/lib/modules/") : path, *slash;
	struct initrd_module *m = &i->modules[i->modules_n];
	char name[256];

	if (!at)
		return 0;
	at += *at == '/' ? 13 : 12;
	slash = strchr(at, '/');
	if (!slash || !module_name(slash + 1, name, sizeof(name)))
		return 0;
	*m = (struct initrd_module){ strdup(name), strdup(slash + 1), strndup(at, (size_t)(slash - at)) };
	i->modules_n++;
	return m->name && m->path && m->release ? 0 : fail_nomem(err);
}

/* The last of each path counts; of two paths for one module the first in the order of names. */
static int modules_find(struct initrd *i, vdisk_error *err)
{
	size_t kept = 0;

	i->modules = calloc(i->members_n + 1, sizeof(*i->modules));
	if (!i->modules)
		return fail_nomem(err);
	for (size_t n = 0; n < i->members_n; n++) {
		const struct initrd_member *m = &i->members[i->sorted[n]];

		if (n + 1 < i->members_n && !strcmp(m->path, i->members[i->sorted[n + 1]].path))
			continue;
		if ((S_ISREG(m->mode) || m->link) && module_add(i, m->path, err))
			return -1;
	}
	qsort(i->modules, i->modules_n, sizeof(*i->modules), by_name);
	for (size_t n = 0; n < i->modules_n; n++) {
		if (!kept || by_name(&i->modules[kept - 1], &i->modules[n])) {
			i->modules[kept++] = i->modules[n];
			continue;
		}
		free(i->modules[n].name);
		free(i->modules[n].path);
		free(i->modules[n].release);
	}
	i->modules_n = kept;
	return 0;
}

const struct initrd_module *initrd_module(const struct initrd *i, const char *release, const char *name)
{
	size_t lo = 0, hi = i->modules_n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int c = strcmp(i->modules[mid].name, name);

		if (c < 0 || (!c && release && strcmp(i->modules[mid].release, release) < 0))
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == i->modules_n || strcmp(i->modules[lo].name, name) || (release && strcmp(i->modules[lo].release, release)))
		return NULL;
	return &i->modules[lo];
}

/* ---------------------------------------------------------------- the whole */

const char *initrd_tool_name(enum initrd_tool tool)
{
	static const char *const names[] = { "an unknown tool", "initramfs-tools", "dracut", "mkinitcpio", "mkinitfs", "mkinitrd" };

	return names[tool];
}

static enum initrd_tool tool_find(const struct initrd *i)
{
	static const struct {
		const char *path;
		enum initrd_tool tool;
	} signs[] = {
		{ "conf/initramfs.conf", INITRD_INITRAMFS_TOOLS },
		{ "usr/lib/dracut", INITRD_DRACUT }, { "lib/dracut", INITRD_DRACUT }, { "lib/dracut-lib.sh", INITRD_DRACUT },
		{ "init_functions", INITRD_MKINITCPIO }, { "buildconfig", INITRD_MKINITCPIO },
		{ "sbin/nlplug-findfs", INITRD_MKINITFS }, { ".modloop", INITRD_MKINITFS },
		{ "bin/nash", INITRD_MKINITRD }, { "sbin/nash", INITRD_MKINITRD }, { "run_all.sh", INITRD_MKINITRD },
	};

	for (size_t n = 0; n < sizeof(signs) / sizeof(signs[0]); n++)
		if (initrd_find(i, signs[n].path))
			return signs[n].tool;
	return INITRD_UNKNOWN;
}

int initrd_read(struct initrd *i, const void *bytes, size_t len, vdisk_error *err)
{
	*i = (struct initrd){ 0 };
	i->parts = calloc(PARTS_MAX, sizeof(*i->parts));
	if (!i->parts)
		return fail_nomem(err);
	if (parts_read(i, bytes, len, err))
		goto fail;
	i->sorted = calloc(i->members_n + 1, sizeof(*i->sorted));
	if (!i->sorted) {
		fail_nomem(err);
		goto fail;
	}
	for (size_t n = 0; n < i->members_n; n++)
		i->sorted[n] = n;
	if (i->members_n)
		qsort_r(i->sorted, i->members_n, sizeof(*i->sorted), by_path, i->members);
	if (modules_find(i, err))
		goto fail;
	i->tool = tool_find(i);
	i->systemd = initrd_find(i, "usr/lib/systemd/systemd") || initrd_find(i, "lib/systemd/systemd");
	return 0;
fail:
	initrd_destroy(i);
	return -1;
}
