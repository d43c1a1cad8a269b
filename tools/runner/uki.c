/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Microsoft's "PE Format": the COFF header at what 0x3c says, 40 bytes for each section behind the optional header. */
#include "uki.h"
#include "common/numbers.h"

#include <inttypes.h>
#include <string.h>

#define SECTIONS_MAX 96

int uki_parse(const uint8_t *bytes, size_t len, struct uki *out, vdisk_error *err)
{
	*out = (struct uki){ 0 };
	if (len < 0x40 || memcmp(bytes, "MZ", 2))
		return fail(err, VDISK_UNSUPPORTED, "not a PE file");
	uint32_t pe = le32_get(bytes + 0x3c);
	if (pe > len || len - pe < 24 || memcmp(bytes + pe, "PE\0\0", 4))
		return fail(err, VDISK_CORRUPT, "no PE header at %#" PRIx32, pe);
	unsigned sections = le16_get(bytes + pe + 6), optional = le16_get(bytes + pe + 20);
	size_t at = (size_t)pe + 24 + optional;
	if (sections > SECTIONS_MAX || at > len || len - at < 40 * (size_t)sections)
		return fail(err, VDISK_CORRUPT, "%u sections do not fit into %zu bytes", sections, len);
	for (unsigned i = 0; i < sections; i++, at += 40) {
		uint32_t used = le32_get(bytes + at + 8), raw = le32_get(bytes + at + 16), off = le32_get(bytes + at + 20);
		struct uki_part part = { off, used < raw ? used : raw };

		if (off > len || part.len > len - off)
			return fail(err, VDISK_CORRUPT,
			            "section %u (%" PRIu32 " bytes at %#" PRIx32 ") is outside the file (%zu bytes)", i, raw, off,
			            len);
		if (!memcmp(bytes + at, ".linux\0\0", 8))
			out->linux_ = part;
		else if (!memcmp(bytes + at, ".initrd\0", 8))
			out->initrd = part;
		else if (!memcmp(bytes + at, ".cmdline", 8))
			out->cmdline = part;
	}
	return out->linux_.len ? 0 : fail(err, VDISK_UNSUPPORTED, "a PE file without a kernel's section");
}
