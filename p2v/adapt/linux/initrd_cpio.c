/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns nothing: libarchive reads the archive, what it tells goes to the initramfs.  Content is kept of the few files that steps
   read. */
#include "initrd_cpio.h"

#include "common/fail.h"
#include "initrd_config.h"

#include <archive.h>
#include <archive_entry.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#define MEMBERS_MAX 1000000u
#define KEPT_MAX (16u << 20) /* bytes of one file */

static bool is_kept(const char *path)
{
	static const char *const patterns[] = { INITRD_MARK, "conf/modules", "config", "buildconfig", "etc/modules",
		"etc/modules-load.d/*", "etc/cmdline.d/*", "*lib/modules/*/modules.alias", "*lib/modules/*/modules.dep",
		"*lib/modules/*/modules.devname", "*lib/modules/*/modules.softdep", "*lib/modules/*/modules.symbols",
		"*lib/modules/*/modules.weakdep" };

	for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++)
		if (!fnmatch(patterns[i], path, 0))
			return true;
	return initrd_config_kept(path);
}

static struct initrd_member *member_new(struct initrd *i)
{
	size_t n = i->members_n;

	if (!(n & (n - 1)) && n != 1) { /* the room is a power of two */
		struct initrd_member *v = realloc(i->members, (n ? 2 * n : 2) * sizeof(*v));

		if (!v)
			return NULL;
		i->members = v;
	}
	i->members[n] = (struct initrd_member){ 0 };
	return &i->members[n];
}

/* Without "./" and "/" before, and "/" behind; "" for the root itself. */
static char *path_clean(const char *path)
{
	char *out;
	size_t len;

	while (*path == '/' || (path[0] == '.' && (path[1] == '/' || !path[1])))
		path++;
	out = strdup(path);
	for (len = out ? strlen(out) : 0; len && out[len - 1] == '/'; len--)
		out[len - 1] = '\0';
	return out;
}

static int content_read(struct archive *a, struct initrd_member *m, vdisk_error *err)
{
	const void *block;
	size_t n;
	la_int64_t off;
	int rc;

	while ((rc = archive_read_data_block(a, &block, &n, &off)) == ARCHIVE_OK)
		bytes_add(&m->content, block, n);
	if (m->content.failed)
		return fail_nomem(err);
	return rc == ARCHIVE_EOF ? 0 : fail(err, VDISK_CORRUPT, "member %s: %s", m->path, archive_error_string(a));
}

static int member_add(struct initrd *i, size_t part, struct archive *a, struct archive_entry *e, vdisk_error *err)
{
	const char *path = archive_entry_pathname(e), *link = archive_entry_symlink(e);
	struct initrd_member *m;

	if (i->members_n >= MEMBERS_MAX)
		return fail(err, VDISK_UNSUPPORTED, "more than %u members", MEMBERS_MAX);
	m = member_new(i);
	if (!m)
		return fail_nomem(err);
	i->members_n++;
	m->part = part;
	m->mode = (uint32_t)archive_entry_mode(e);
	m->size = archive_entry_size_is_set(e) ? (uint64_t)archive_entry_size(e) : 0;
	m->path = path_clean(path ? path : "");
	m->link = link ? strdup(link) : NULL;
	if (!m->path || (link && !m->link))
		return fail_nomem(err);
	if (archive_entry_filetype(e) == AE_IFREG && m->size && m->size <= KEPT_MAX && is_kept(m->path))
		return content_read(a, m, err);
	return 0;
}

int cpio_members(struct initrd *i, size_t part, const uint8_t *at, size_t len, size_t *used, vdisk_error *err)
{
	struct archive *a = archive_read_new();
	struct archive_entry *e;
	int rc = 0, got;

	if (!a)
		return fail_nomem(err);
	if (archive_read_support_format_cpio(a) < ARCHIVE_WARN || archive_read_open_memory(a, at, len) < ARCHIVE_WARN) {
		fail(err, VDISK_CORRUPT, "no cpio archive: %s", archive_error_string(a));
		archive_read_free(a);
		return -1;
	}
	while ((got = archive_read_next_header(a, &e)) >= ARCHIVE_WARN && got != ARCHIVE_EOF) {
		rc = member_add(i, part, a, e, err);
		if (rc)
			break;
	}
	*used = (size_t)archive_filter_bytes(a, 0);
	if (!rc && got != ARCHIVE_EOF)
		rc = fail(err, VDISK_CORRUPT, "a damaged cpio archive, %zu bytes behind its begin: %s", *used,
			archive_error_string(a));
	archive_read_free(a);
	return rc;
}
