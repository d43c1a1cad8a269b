/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Unified kernel images carry their kernel line (and their initramfs) inside, mostly signed: nothing in them can be changed from
 * outside.  What can be done is to look whether what they carry will do, and to say what is to be done where it will not.
 */
#include "loader.h"

#include "common/fail.h"

#include <stdio.h>
#include <string.h>

#define UKI_MAX (256u << 20)
#define CMDLINE_MAX 4096

static uint32_t le32_at(const unsigned char *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}
static uint32_t le16_at(const unsigned char *p) { return (uint32_t)p[0] | (uint32_t)p[1] << 8; }

/* The contents of the section .cmdline (PE/COFF: the section table behind the optional header). */
static bool uki_cmdline(const struct bytes *image, struct span *out)
{
	const unsigned char *p = (const unsigned char *)image->at;
	uint64_t pe, table;
	unsigned n;

	if (image->len < 0x40 || memcmp(p, "MZ", 2))
		return false;
	pe = le32_at(p + 0x3c);
	if (pe + 24 > image->len || memcmp(p + pe, "PE\0\0", 4))
		return false;
	n = le16_at(p + pe + 6);
	table = pe + 24 + le16_at(p + pe + 20);
	for (unsigned i = 0; i < n && table + 40 <= image->len; i++, table += 40) {
		uint64_t size = le32_at(p + table + 8), raw = le32_at(p + table + 16), at = le32_at(p + table + 20);

		if (memcmp(p + table, ".cmdline", 8))
			continue;
		if (size > raw)
			size = raw;
		if (at > image->len || size > image->len - at)
			return false;
		*out = (struct span){ image->at + at, strnlen(image->at + at, size) };
		return out->len <= CMDLINE_MAX;
	}
	return false;
}

static int uki_one(struct loader *l, const char *path, vdisk_error *err)
{
	struct cmdline_rules r = loader_rules(l, path);
	struct bytes image = { 0 }, now = { 0 };
	vdisk_error trouble = { 0 };
	struct span line;
	int rc = l->plan->view.ops->read(&l->plan->view, path, UKI_MAX, &image, &trouble);

	if (rc < 0 && trouble.kind != VDISK_UNSUPPORTED) {
		*err = trouble;
	} else if (rc > 0 && uki_cmdline(&image, &line)) {
		line = span_trim(line);
		while (line.len && line.at[line.len - 1] == '\n')
			line.len--;
		r.options = NULL;
		cmdline_translate(&r, line, &now);
		if (now.failed)
			rc = fail_nomem(err);
		else if (now.len != line.len || (line.len && memcmp(now.at, line.at, line.len)))
			remark_once(l->plan,
			            "%s: a unified kernel image names the old machine's disk inside (%.*s) and cannot be changed "
			            "from outside: before the "
			            "conversion, build it again in the guest with \"%s\" in /etc/kernel/cmdline",
			            path, (int)line.len, line.at, now.at ? now.at : "");
		else
			remark_once(l->plan,
			            "%s: a unified kernel image is not changed: drivers that its initramfs lacks have to be built "
			            "into it in the guest",
			            path);
	}
	bytes_destroy(&image);
	bytes_destroy(&now);
	return rc < 0 && trouble.kind != VDISK_UNSUPPORTED ? -1 : 0;
}

int uki_adapt(struct loader *l, vdisk_error *err) { return loader_esp_files(l, "EFI/Linux", "*.efi", NULL, uki_one, err); }
