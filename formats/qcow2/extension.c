/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Header extensions (spec: "Header extensions", "Feature name table").  Those that we do not know are kept and written back.
 *
 * While an image is being made, incompatible bit 63 is set and the feature name table calls it "unfinished conversion": every
 * reader refuses the image by that name until finish() takes the bit away.
 */
#include "qcow2.h"

#include <stdio.h>

static const struct { uint8_t kind, bit; const char *name; } qcow2_feature_names[] = {
	{0, 0, "dirty bit"},
	{0, 1, "corrupt bit"},
	{0, 2, "external data file"},
	{0, 3, "compression type"},
	{0, 4, "extended L2 entries"},
	{1, 0, "lazy refcounts"},
	{2, 0, "bitmaps"},
	{2, 1, "raw external data"},
};
#define QCOW2_UNFINISHED_NAME "unfinished conversion"
#define QCOW2_FEATURE_BYTES 48u

/* The header was perhaps not judged: one with features that are not known only gets as far as their names. */
static bool qcow2_off_clustered(const struct qcow2_header *h, uint64_t off)
{
	return off && h->cluster_bits <= QCOW2_CLUSTER_BITS_MAX && !(off & ((1u << h->cluster_bits) - 1));
}

static int qcow2_ext_string(const uint8_t *p, uint32_t len, uint64_t at, const char *what, char **out, vd_error *err)
{
	if (*out)
		return vd_fail(err, VDISK_CORRUPT, at, "header extension \"%s\" appears twice", what);
	if (len > QCOW2_BACKING_MAX || memchr(p, 0, len))
		return vd_fail(err, VDISK_CORRUPT, at, "header extension \"%s\" (%" PRIu32 " bytes) is no name", what, len);
	*out = vd_strndup((const char *)p, len);
	return *out ? 0 : vd_fail_nomem(err, len);
}

static int qcow2_ext_bitmaps(const struct qcow2_header *h, const uint8_t *p, uint32_t len, uint64_t at, struct qcow2_exts *x,
                             vd_error *err)
{
	if (len != 24)
		return vd_fail(err, VDISK_CORRUPT, at, "bitmaps extension has %" PRIu32 " bytes instead of 24", len);
	x->has_bitmaps = true;
	x->n_bitmaps = be32_get(p);
	x->bitmap_dir_len = be64_get(p + 8);
	x->bitmap_dir_off = be64_get(p + 16);
	if (!(h->autoclear & QCOW2_AUTOCLEAR_BITMAPS))
		return 0; /* inconsistent, and so not looked at */
	if (!x->n_bitmaps || x->n_bitmaps > QCOW2_BITMAPS_MAX)
		return vd_fail(err, VDISK_CORRUPT, at, "%" PRIu32 " bitmaps are not from 1 to %u", x->n_bitmaps, QCOW2_BITMAPS_MAX);
	if (!qcow2_off_clustered(h, x->bitmap_dir_off))
		return vd_fail(err, VDISK_CORRUPT, at, "bitmap directory offset %#" PRIx64 " is not on a cluster",
		               x->bitmap_dir_off);
	if (x->bitmap_dir_len > (uint64_t)x->n_bitmaps * (24 + 1024 + 8))
		return vd_fail(err, VDISK_CORRUPT, at, "bitmap directory of %" PRIu64 " bytes is too large", x->bitmap_dir_len);
	return 0;
}

static int qcow2_ext_crypto(const struct qcow2_header *h, const uint8_t *p, uint32_t len, uint64_t at, struct qcow2_exts *x,
                            vd_error *err)
{
	if (len < 16)
		return vd_fail(err, VDISK_CORRUPT, at, "encryption extension has %" PRIu32 " bytes instead of 16", len);
	x->has_crypto = true;
	x->crypto_off = be64_get(p);
	x->crypto_len = be64_get(p + 8);
	if (!qcow2_off_clustered(h, x->crypto_off))
		return vd_fail(err, VDISK_CORRUPT, at, "encryption header offset %#" PRIx64 " is not on a cluster", x->crypto_off);
	return 0;
}

/* Appends one extension, padded, to what is kept. */
static int qcow2_ext_keep(struct qcow2_exts *x, const uint8_t *p, size_t len, vd_error *err)
{
	uint8_t *kept = vd_realloc(x->kept, 1, x->kept_len + len);

	if (!kept)
		return vd_fail_nomem(err, len);
	memcpy(kept + x->kept_len, p, len);
	x->kept = kept;
	x->kept_len += (uint32_t)len;
	return 0;
}

static int qcow2_ext_one(const struct qcow2_header *h, uint32_t type, const uint8_t *p, uint32_t len, uint64_t at,
                         struct qcow2_exts *x, vd_error *err)
{
	switch (type) {
	case QCOW2_EXT_BACKING_FORMAT:
		return qcow2_ext_string(p, len, at, "backing format", &x->backing_format, err);
	case QCOW2_EXT_DATA_FILE:
		return qcow2_ext_string(p, len, at, "data file", &x->data_name, err);
	case QCOW2_EXT_BITMAPS:
		return qcow2_ext_bitmaps(h, p, len, at, x, err);
	case QCOW2_EXT_CRYPTO:
		return qcow2_ext_crypto(h, p, len, at, x, err);
	case QCOW2_EXT_FEATURES:
		vd_free(x->features);
		x->features_len = len;
		x->features = vd_malloc(len);
		if (!x->features)
			return vd_fail_nomem(err, len);
		memcpy(x->features, p, len);
		return 0;
	default:
		return qcow2_ext_keep(x, p - 8, 8 + vd_up(len, 8), err);
	}
}

/* `p`: the file's first `len` bytes, at most a cluster and not past the backing file's name. */
int qcow2_exts_decode(const struct qcow2_header *h, const uint8_t *p, size_t len, struct qcow2_exts *x, vd_error *err)
{
	size_t at = h->header_len;

	memset(x, 0, sizeof(*x));
	while (at <= len && len - at >= 8) {
		uint32_t type = be32_get(p + at), n = be32_get(p + at + 4);

		if (type == QCOW2_EXT_END)
			break;
		if (vd_up(n, 8) > len - at - 8)
			return vd_fail(err, VDISK_CORRUPT, at,
			               "header extension %#" PRIx32 " of %" PRIu32 " bytes passes the end of the header", type, n);
		if (qcow2_ext_one(h, type, p + at + 8, n, at, x, err) < 0)
			return -1;
		at += 8 + vd_up((uint64_t)n, 8);
	}
	if ((h->autoclear & QCOW2_AUTOCLEAR_BITMAPS) && !x->has_bitmaps)
		return vd_fail(err, VDISK_CORRUPT, 88, "bitmaps feature bit without the bitmaps extension");
	if ((h->crypt_method == QCOW2_CRYPT_LUKS) != x->has_crypto)
		return vd_fail(err, VDISK_CORRUPT, 32,
		               x->has_crypto ? "encryption header without LUKS" : "LUKS without its header extension");
	return 0;
}

/* Every bit we do not know, by the name that the image gives it. */
int qcow2_features_judge(const struct qcow2_header *h, const struct qcow2_exts *x, vd_error *err)
{
	uint64_t unknown = h->incompat & ~QCOW2_INCOMPAT_KNOWN;
	char text[400] = "";
	size_t used = 0;

	if (!unknown)
		return 0;
	for (unsigned bit = 0; bit < 64 && used < sizeof(text) - 80; bit++) {
		char name[64] = "";

		if (!(unknown >> bit & 1))
			continue;
		for (uint32_t i = 0; x->features && i + QCOW2_FEATURE_BYTES <= x->features_len; i += QCOW2_FEATURE_BYTES) {
			if (x->features[i] == 0 && x->features[i + 1] == bit)
				vd_printable(name, sizeof(name), x->features + i + 2,
				             strnlen((const char *)x->features + i + 2, 46));
		}
		used += (size_t)snprintf(text + used, sizeof(text) - used, name[0] ? "%s\"%s\" (bit %u)" : "%s%sbit %u",
		                         used ? ", " : "", name, bit);
	}
	return vd_fail(err, VDISK_UNSUPPORTED, 72, "incompatible feature not supported: %s", text);
}

static size_t qcow2_ext_put(uint8_t *buf, size_t at, uint32_t type, const void *data, size_t len)
{
	be32_put(buf + at, type);
	be32_put(buf + at + 4, (uint32_t)len);
	memcpy(buf + at + 8, data, len);
	return at + 8 + vd_up(len, 8);
}

static size_t qcow2_feature_put(uint8_t *p, uint8_t kind, uint8_t bit, const char *name)
{
	p[0] = kind;
	p[1] = bit;
	memcpy(p + 2, name, strlen(name));
	return QCOW2_FEATURE_BYTES;
}

/* The table that goes out: the usual names, or where that does not fit just the one that matters. */
static size_t qcow2_features_encode(const struct qcow2_header *h, uint8_t *out, size_t room)
{
	size_t n = sizeof(qcow2_feature_names) / sizeof(qcow2_feature_names[0]), at = 0;
	bool unfinished = h->incompat & QCOW2_INCOMPAT_UNFINISHED;

	if (unfinished && room >= QCOW2_FEATURE_BYTES)
		at += qcow2_feature_put(out, 0, 63, QCOW2_UNFINISHED_NAME);
	if (room - at < n * QCOW2_FEATURE_BYTES)
		return at;
	for (size_t i = 0; i < n; i++)
		at += qcow2_feature_put(out + at, qcow2_feature_names[i].kind, qcow2_feature_names[i].bit,
		                        qcow2_feature_names[i].name);
	return at;
}

int qcow2_exts_encode(const struct qcow2_header *h, const struct qcow2_exts *x, size_t reserve, uint8_t *buf, size_t cap,
                      size_t *used, vd_error *err)
{
	uint8_t pair[24] = {0}, names[QCOW2_FEATURE_BYTES * 16] = {0};
	size_t format_len = x->backing_format ? strlen(x->backing_format) : 0, data_len = x->data_name ? strlen(x->data_name) : 0;
	size_t need = 8 + x->kept_len + (format_len ? 8 + vd_up(format_len, 8) : 0) + (data_len ? 8 + vd_up(data_len, 8) : 0) +
	              (x->has_crypto ? 24 : 0) + (x->has_bitmaps ? 32 : 0) + reserve;
	size_t at = 0;

	if (need > cap)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET,
		               "names and extensions (%zu bytes) do not fit the first cluster's %zu", need, cap);
	if (format_len)
		at = qcow2_ext_put(buf, at, QCOW2_EXT_BACKING_FORMAT, x->backing_format, format_len);
	if (data_len)
		at = qcow2_ext_put(buf, at, QCOW2_EXT_DATA_FILE, x->data_name, data_len);
	if (x->has_crypto) {
		be64_put(pair, x->crypto_off);
		be64_put(pair + 8, x->crypto_len);
		at = qcow2_ext_put(buf, at, QCOW2_EXT_CRYPTO, pair, 16);
	}
	if (x->has_bitmaps) {
		be64_put(pair, (uint64_t)x->n_bitmaps << 32);
		be64_put(pair + 8, x->bitmap_dir_len);
		be64_put(pair + 16, x->bitmap_dir_off);
		at = qcow2_ext_put(buf, at, QCOW2_EXT_BITMAPS, pair, 24);
	}
	if (h->version >= 3 && cap - need > 8) {
		size_t n = qcow2_features_encode(h, names, vd_min(cap - need - 8, sizeof(names)));
		if (n)
			at = qcow2_ext_put(buf, at, QCOW2_EXT_FEATURES, names, n);
	}
	memcpy(buf + at, x->kept ? (const void *)x->kept : "", x->kept_len);
	at += x->kept_len;
	memset(buf + at, 0, 8);
	*used = at + 8;
	return 0;
}

void qcow2_exts_free(struct qcow2_exts *x)
{
	vd_free(x->backing_format);
	vd_free(x->data_name);
	vd_free(x->features);
	vd_free(x->kept);
	memset(x, 0, sizeof(*x));
}
