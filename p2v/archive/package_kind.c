/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which kind of archive a file is: by its bytes, by those that it holds packed, and where a tar has no magic, by its name. */
#include "package_own.h"

#include "common/fail.h"
#include "tar.h"

#include <string.h>
#include <strings.h>

static bool is_vma(const uint8_t *head, size_t len) { return len >= 4 && !memcmp(head, "VMA", 4); }
static bool is_tar(const uint8_t *head, size_t len) { return len >= PACKAGE_HEAD && !memcmp(head + 257, "ustar", 5); }

static bool is_packed(const uint8_t *head, size_t len)
{
	static const struct { const char *magic; size_t len;
	} known[] = {
		{ "\x1f\x8b\x08", 3 },
		{ "\x28\xb5\x2f\xfd", 4 },
		{ "\xfd"
		  "7zXZ",
		  6 },
		{ "BZh", 3 },
		{ "\x04\x22\x4d\x18", 4 },
		{ "\x89LZO", 5 },
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (len >= known[i].len && !memcmp(head, known[i].magic, known[i].len))
			return true;
	return false;
}

static bool named(const char *path, const char *suffix)
{
	size_t n = strlen(path), k = strlen(suffix);

	return n > k && !strcasecmp(path + n - k, suffix);
}

static int tar_kind(struct package *p, vdisk_error *err)
{
	struct tar_entry e;
	struct tar *t;
	int rc;

	if (tar_open(p->path, p->streamed, &t, err))
		return -1;
	rc = tar_next(t, &e, err);
	if (!rc)
		rc = fail(err, VDISK_CORRUPT, "%s: is an empty archive", p->path);
	if (rc > 0)
		p->kind = !strcmp(e.name, "ova.xml") ? PACKAGE_XVA : PACKAGE_OVA;
	tar_close(t);
	return rc < 0 ? -1 : 0;
}

int package_kind_find(struct package *p, const uint8_t *head, size_t len, vdisk_error *err)
{
	uint8_t inner[PACKAGE_HEAD];
	struct stream *s;
	int rc;

	if (is_vma(head, len)) {
		p->kind = PACKAGE_VMA;
		return 0;
	}
	if (is_tar(head, len))
		return tar_kind(p, err);
	if (is_packed(head, len)) {
		if (stream_open(p->path, &s, err))
			return -1;
		rc = stream_read(s, inner, sizeof(inner), &len, err);
		stream_close(s);
		p->streamed = true;
		if (!rc && is_vma(inner, len))
			p->kind = PACKAGE_VMA;
		else if (!rc && is_tar(inner, len))
			rc = tar_kind(p, err);
		if (!rc && p->kind == PACKAGE_OVA)
			return fail(err, VDISK_UNSUPPORTED, "%s: is a packed archive that is no XVA or VMA: unpack it first",
			            p->path);
		return rc;
	}
	if (!named(p->path, ".ova") && !named(p->path, ".xva") && !named(p->path, ".vma"))
		return 0;
	if (named(p->path, ".vma") || tar_kind(p, err))
		return fail(err, VDISK_INVALID, "%s: its name says %s, its bytes do not: damaged or cut short?", p->path,
		            p->path + strlen(p->path) - 3);
	return 0;
}
