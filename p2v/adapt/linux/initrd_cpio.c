/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reads "newc" cpio archives by the kernel's own rules (init/initramfs.c): no other kind, members at multiples of 4; but one
 * without its last member is refused, behind which the kernel would take nothing.  libarchive would read others, too, and allocates
 * what a length in the archive says, up to 4 GiB.  Content is kept of the few files that steps read.
 */
#include "initrd_cpio.h"

#include "common/fail.h"
#include "initrd_config.h"

#include <ctype.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MEMBERS_MAX 1000000u
#define HEAD 110u        /* a magic number and 13 numbers of 8 hexadecimal digits */
#define PATH_BYTES 4096u /* with its NUL; the kernel takes no longer ones */
#define KEPT_MAX (16u << 20)     /* bytes of one file */
#define KEPT_ALL_MAX (64u << 20) /* of all of them, in all archives */

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

struct head {
	uint32_t mode, size, name_size;
};

static bool hex32(const uint8_t *at, uint32_t *out)
{
	*out = 0;
	for (int i = 0; i < 8; i++) {
		const char *digits = "0123456789abcdef", *found = at[i] ? strchr(digits, tolower(at[i])) : NULL;

		if (!found)
			return false;
		*out = *out << 4 | (uint32_t)(found - digits);
	}
	return true;
}

static size_t align4(size_t n) { return (n + 3) & ~(size_t)3; }

/* The header at `pos`, with its name and content inside of the archive. */
static int head_read(const uint8_t *at, size_t len, size_t pos, struct head *h, vdisk_error *err)
{
	size_t left = len - pos;

	if (left < HEAD)
		return fail(err, VDISK_CORRUPT, "a cpio archive that is cut off: no whole header %zu bytes behind its begin", pos);
	at += pos;
	if (memcmp(at, "070701", 6) && memcmp(at, "070702", 6))
		return fail(err, VDISK_CORRUPT, "a damaged cpio archive: no \"newc\" header %zu bytes behind its begin", pos);
	if (!hex32(at + 6 + 8, &h->mode) || !hex32(at + 6 + 6 * 8, &h->size) || !hex32(at + 6 + 11 * 8, &h->name_size))
		return fail(err, VDISK_CORRUPT, "a damaged cpio archive: no number in the header %zu bytes behind its begin", pos);
	if (!h->name_size || h->name_size > PATH_BYTES)
		return fail(err, VDISK_CORRUPT,
			"a damaged cpio archive: a name of %u bytes in the header %zu bytes behind its begin", h->name_size, pos);
	if (left < align4(HEAD + h->name_size) || h->size > left - align4(HEAD + h->name_size))
		return fail(err, VDISK_CORRUPT,
			"a cpio archive that is cut off within the member %zu bytes behind its begin, of %u bytes", pos, h->size);
	return 0;
}

static int member_add(struct initrd *i, size_t part, const struct head *h, const uint8_t *name, const uint8_t *content,
	vdisk_error *err)
{
	struct initrd_member *m;
	char path[PATH_BYTES + 1];

	if (i->members_n >= MEMBERS_MAX)
		return fail(err, VDISK_UNSUPPORTED, "more than %u members", MEMBERS_MAX);
	m = member_new(i);
	if (!m)
		return fail_nomem(err);
	i->members_n++;
	memcpy(path, name, h->name_size);
	path[h->name_size] = '\0';
	m->part = part;
	m->mode = h->mode;
	m->size = h->size;
	m->path = path_clean(path);
	if (S_ISLNK(h->mode) && h->size < PATH_BYTES)
		m->link = strndup((const char *)content, h->size);
	if (!m->path || (S_ISLNK(h->mode) && h->size < PATH_BYTES && !m->link))
		return fail_nomem(err);
	if (S_ISREG(h->mode) && h->size && h->size <= KEPT_MAX && is_kept(m->path)) {
		if (h->size > KEPT_ALL_MAX - i->kept)
			return fail(err, VDISK_UNSUPPORTED, "with %s, it has more than %u bytes of settings and lists of modules",
				m->path, KEPT_ALL_MAX);
		i->kept += h->size;
		bytes_add(&m->content, content, h->size);
	}
	return m->content.failed ? fail_nomem(err) : 0;
}

int cpio_members(struct initrd *i, size_t part, const uint8_t *at, size_t len, size_t *used, vdisk_error *err)
{
	size_t pos = 0, content;
	bool end = false;

	while (!end) {
		struct head h;

		if (pos >= len)
			return fail(err, VDISK_CORRUPT, "a cpio archive without an end: nothing follows its %zu bytes", len);
		if (head_read(at, len, pos, &h, err))
			return -1;
		content = pos + align4(HEAD + h.name_size);
		end = h.name_size == sizeof("TRAILER!!!") && !memcmp(at + pos + HEAD, "TRAILER!!!", h.name_size);
		if (!end && member_add(i, part, &h, at + pos + HEAD, at + content, err))
			return -1;
		pos = align4(content + h.size);
	}
	*used = pos < len ? pos : len;
	return 0;
}
