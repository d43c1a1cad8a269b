/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a differencing disk says of its parent: the parent locator (specification, 2.6.2.6), a list of keys and values in UTF-16.
 *
 * Names are Windows paths.  Ours have '/' for '\'; a drive letter or a volume makes a name absolute.  Candidates, best first: the
 * relative path, the last part of the absolute ones (a parent that was moved along with the disk), the absolute path.  A wrong one
 * does no harm: the parent must carry the data GUID that the locator names.
 *
 * Another parent is one change of the metadata, and so is none at all.  Before that, what partly present blocks still leave to the
 * parent, which has nothing but zeros there (the caller has seen to it), becomes zeros of their own, and they fully present; after
 * it, the bitmaps' entries go.
 */
#include "vhdx.h"

#include "base/alloc.h"
#include "base/text.h"
#include "base/uuid.h"

#include <stdio.h>

static const uint8_t locator_type[16] = { 0xb0, 0x4a, 0xef, 0xb7, 0xd1, 0x9e, 0x4a, 0x81,
	                                  0xb7, 0x89, 0x25, 0xb8, 0xe9, 0x44, 0x59, 0x13 };

#define HEADER_BYTES 20u
#define ENTRY_BYTES  12u

/* ---------------------------------------------------------------- names */

static bool is_absolute(const char *name)
{
	char drive = name[0];

	return drive == '/' || (((drive >= 'A' && drive <= 'Z') || (drive >= 'a' && drive <= 'z')) && name[1] == ':');
}

static const char *last_part(const char *name)
{
	const char *slash = strrchr(name, '/');

	return slash ? slash + 1 : is_absolute(name) ? name + 2 : name;
}

static int candidate_add(struct vd_parent_ref *ref, const char *name, vd_error *err)
{
	if (!name || !*name || ref->n_names == VD_PARENT_NAMES)
		return 0;
	for (unsigned i = 0; i < ref->n_names; i++)
		if (!strcmp(ref->names[i], name))
			return 0;
	ref->names[ref->n_names] = vd_strdup(name);
	if (!ref->names[ref->n_names])
		return vd_fail_nomem(err, strlen(name) + 1);
	ref->n_names++;
	return 0;
}

/* ---------------------------------------------------------------- reading */

struct locator {
	char *linkage, *relative, *absolute, *volume; /* owned; NULL: not there */
};

static void locator_clear(struct locator *k)
{
	vd_free(k->linkage);
	vd_free(k->relative);
	vd_free(k->absolute);
	vd_free(k->volume);
}

static char **locator_slot(struct locator *k, const char *key)
{
	return !strcmp(key, "parent_linkage")      ? &k->linkage :
	       !strcmp(key, "relative_path")       ? &k->relative :
	       !strcmp(key, "absolute_win32_path") ? &k->absolute :
	       !strcmp(key, "volume_path")         ? &k->volume :
	                                             NULL;
}

static int text_get(const uint8_t *b, size_t len, uint64_t off, uint32_t n, uint64_t at, char **out, vd_error *err)
{
	*out = NULL;
	if (!vd_within(off, n, len))
		return vd_fail(err, VDISK_CORRUPT, at,
		               "VHDX parent locator has %" PRIu32 " bytes of text at %" PRIu64 ", outside of its %zu bytes", n, off,
		               len);
	return vd_text_to_utf8("UTF-16LE", b + off, n, out, err) ? vd_fail_in(err, "VHDX parent locator") : 0;
}

static int entry_decode(struct locator *k, const uint8_t *b, size_t len, const uint8_t *e, uint64_t at, vd_error *err)
{
	VD_AUTO_FREE char *key = NULL;
	char **slot;

	if (text_get(b, len, le32_get(e), le16_get(e + 8), at, &key, err))
		return -1;
	slot = locator_slot(k, key);
	if (!slot)
		return 0;
	if (*slot)
		return vd_fail(err, VDISK_CORRUPT, at, "VHDX parent locator has the key %s twice", key);
	if (text_get(b, len, le32_get(e + 4), le16_get(e + 10), at, slot, err))
		return -1;
	for (char *p = *slot; *p; p++)
		if (*p == '\\')
			*p = '/';
	return 0;
}

static int locator_decode(struct locator *k, const uint8_t *b, size_t len, uint64_t at, vd_error *err)
{
	uint8_t type[16];
	char text[VD_UUID_TEXT];
	uint16_t n;

	if (len < HEADER_BYTES)
		return vd_fail(err, VDISK_CORRUPT, at, "VHDX parent locator has %zu bytes", len);
	vhdx_guid_get(type, b);
	vd_uuid_format(text, type);
	if (memcmp(type, locator_type, 16))
		return vd_fail(err, VDISK_UNSUPPORTED, at, "VHDX parent locator is of the type %s, which is not known", text);
	n = le16_get(b + 18);
	if (HEADER_BYTES + (size_t)n * ENTRY_BYTES > len)
		return vd_fail(err, VDISK_CORRUPT, at, "VHDX parent locator of %zu bytes has %u entries", len, n);
	for (uint16_t i = 0; i < n; i++)
		if (entry_decode(k, b, len, b + HEADER_BYTES + (size_t)i * ENTRY_BYTES, at, err))
			return -1;
	return 0;
}

/* "{83ed…}" */
static bool linkage_parse(const char *text, uint8_t uuid[16])
{
	char bare[VD_UUID_TEXT];
	size_t n = strlen(text);

	if (n != VD_UUID_TEXT + 1 || text[0] != '{' || text[n - 1] != '}')
		return false;
	memcpy(bare, text + 1, VD_UUID_TEXT - 1);
	bare[VD_UUID_TEXT - 1] = '\0';
	return vd_uuid_parse(uuid, bare);
}

static int locator_take(struct vd_layer *l, const struct locator *k, uint64_t at, vd_error *err)
{
	struct vd_parent_ref *ref = &l->parent_ref;
	const char *absolute = k->absolute && !strncmp(k->absolute, "//?/", 4) ? k->absolute + 4 : k->absolute;
	char text[64];

	if (candidate_add(ref, k->relative, err) || (absolute && candidate_add(ref, last_part(absolute), err)) ||
	    (k->volume && candidate_add(ref, last_part(k->volume), err)) || candidate_add(ref, absolute, err))
		return -1;
	if (!ref->n_names)
		return vd_fail(
			err, VDISK_UNSUPPORTED, at,
			"differencing VHDX names its parent neither by relative_path nor volume_path nor absolute_win32_path");
	if (!k->linkage || !linkage_parse(k->linkage, ref->id.uuid))
		return vd_fail(err, VDISK_CORRUPT, at, "VHDX parent locator's parent_linkage is '%s', no GUID",
		               vd_printable(text, sizeof(text), k->linkage ? k->linkage : "", k->linkage ? strlen(k->linkage) : 0));
	ref->id.kind = VD_ID_UUID;
	ref->format = vd_strdup("vhdx");
	return ref->format ? 0 : vd_fail_nomem(err, 5);
}

int vhdx_parent_read(struct vd_layer *l, struct vhdx *v, const struct vd_open *o, vd_error *err)
{
	const struct vhdx_item *x = vhdx_meta_find(&v->meta, vhdx_item_parent);
	uint64_t at = v->meta_at.off + (x ? x->off : 0);
	VD_AUTO_FREE uint8_t *b = NULL;
	struct locator k = { 0 };
	int rc;

	(void)o;
	if (!x || x->len > VHDX_LOCATOR_MAX)
		return vd_fail(err, VDISK_CORRUPT, at, "differencing VHDX has no parent locator, or one of %" PRIu32 " bytes",
		               x ? x->len : 0);
	b = vd_malloc(x->len ? x->len : 1);
	if (!b)
		return vd_fail_nomem(err, x->len);
	rc = vd_file_pread(l->files[0], b, x->len, at, err) || locator_decode(&k, b, x->len, at, err) ||
	                     locator_take(l, &k, at, err)
	             ? -1
	             : 0;
	locator_clear(&k);
	return rc;
}

/* ---------------------------------------------------------------- making one */

struct pair {
	void *key, *value; /* UTF-16LE; owned */
	size_t key_len, value_len;
};

static int pair_make(struct pair *p, const char *key, const char *prefix, const char *value, vd_error *err)
{
	VD_AUTO_FREE char *text = vd_asprintf("%s%s", prefix, value);

	if (!text)
		return vd_fail_nomem(err, strlen(value) + 3);
	for (char *c = text; *c; c++)
		if (*c == '/')
			*c = '\\';
	if (vd_text_from_utf8("UTF-16LE", key, &p->key, &p->key_len, err) ||
	    vd_text_from_utf8("UTF-16LE", text, &p->value, &p->value_len, err))
		return -1;
	if (p->value_len > 0xfffe)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "the parent's name has %zu bytes in UTF-16; a VHDX holds 65534",
		               p->value_len);
	return 0;
}

static int pairs_pack(const struct pair *p, unsigned n, void **out, size_t *len, vd_error *err)
{
	size_t at = HEADER_BYTES + n * ENTRY_BYTES;
	uint8_t *b;

	*len = at;
	for (unsigned i = 0; i < n; i++)
		*len += p[i].key_len + p[i].value_len;
	if (*len > VHDX_LOCATOR_WRITE_MAX)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "the parent's names take %zu bytes in a VHDX; %u is the limit",
		               *len, VHDX_LOCATOR_WRITE_MAX);
	*out = b = vd_calloc(1, *len);
	if (!b)
		return vd_fail_nomem(err, *len);
	vhdx_guid_put(b, locator_type);
	le16_put(b + 18, (uint16_t)n);
	for (unsigned i = 0; i < n; i++) {
		uint8_t *e = b + HEADER_BYTES + i * ENTRY_BYTES;

		le32_put(e, (uint32_t)at);
		le32_put(e + 4, (uint32_t)(at + p[i].key_len));
		le16_put(e + 8, (uint16_t)p[i].key_len);
		le16_put(e + 10, (uint16_t)p[i].value_len);
		memcpy(b + at, p[i].key, p[i].key_len);
		memcpy(b + at + p[i].key_len, p[i].value, p[i].value_len);
		at += p[i].key_len + p[i].value_len;
	}
	return 0;
}

static int pairs_fill(const struct vd_create *c, struct pair *p, unsigned *n, vd_error *err)
{
	const char *path = is_absolute(c->backing) ? c->backing : c->parent_path;
	bool dotted = c->backing[0] == '.' && (c->backing[1] == '/' || !strncmp(c->backing, "../", 3));
	char uuid[VD_UUID_TEXT], linkage[VD_UUID_TEXT + 2];

	vd_uuid_format(uuid, c->parent->id.uuid);
	snprintf(linkage, sizeof(linkage), "{%s}", uuid);
	if (pair_make(&p[(*n)++], "parent_linkage", "", linkage, err))
		return -1;
	/* Windows writes relative names with a leading ".\". */
	if (!is_absolute(c->backing) && pair_make(&p[(*n)++], "relative_path", dotted ? "" : "./", c->backing, err))
		return -1;
	return path && pair_make(&p[(*n)++], "absolute_win32_path", "", path, err) ? -1 : 0;
}

int vhdx_parent_make(const struct vd_create *c, uint32_t logical, void **out, size_t *len, vd_error *err)
{
	const struct vd_layer *parent = c->parent;
	const struct vhdx *of;
	struct pair p[3] = { 0 };
	unsigned n = 0;
	int rc;

	*out = NULL;
	*len = 0;
	if (!parent || strcmp(parent->drv->info.name, "vhdx"))
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "a differencing VHDX needs a VHDX as its parent; %s is %s",
		               c->backing, parent ? parent->drv->info.name : c->backing_format);
	of = parent->priv;
	if (parent->size != c->size)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET,
		               "a differencing VHDX has its parent's size, %" PRIu64 " bytes; %" PRIu64 " were asked for",
		               parent->size, c->size);
	if (of->meta.logical != logical)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET,
		               "a differencing VHDX has its parent's logical sectors, of %" PRIu32 " bytes; %" PRIu32
		               " were asked for",
		               of->meta.logical, logical);
	if (strchr(c->backing, '\\'))
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
		               "a VHDX cannot name the parent %s: a backslash separates folders there", c->backing);
	rc = pairs_fill(c, p, &n, err) || pairs_pack(p, n, out, len, err) ? -1 : 0;
	for (unsigned i = 0; i < 3; i++) {
		vd_free(p[i].key);
		vd_free(p[i].value);
	}
	return rc;
}

/* ---------------------------------------------------------------- another one */

static int blocks_complete(struct vd_layer *l, struct vhdx *v, vd_error *err)
{
	struct vd_cursor c = { 0 };
	int rc = 0;

	for (uint64_t b = 0; !rc && b < v->n_blocks; b++) {
		uint64_t entry;

		rc = vhdx_bat_get(v, &c, vhdx_index(v, b), &entry, err);
		if (rc || vhdx_entry_state(entry) != VHDX_PARTIAL)
			continue;
		rc = vhdx_gaps_zero(l, v, b, vhdx_entry_off(entry), err);
		if (!rc)
			rc = vhdx_bat_set(v, vhdx_index(v, b), vhdx_entry_off(entry) | VHDX_FULL, err);
	}
	vd_cursor_end(v->cache, &c);
	return rc;
}

static int parent_drop(struct vd_layer *l, struct vhdx *v, struct vhdx_meta *m, vd_error *err)
{
	if (blocks_complete(l, v, err) || vd_cache_write_back(v->cache, err))
		return -1;
	m->has_parent = false;
	if (vhdx_meta_change(l, v, m, NULL, 0, err) || vhdx_bitmaps_remove(l, v, 0, vhdx_chunks(v->n_blocks, v->chunk_blocks), err))
		return -1;
	vhdx_geometry_set(l, v);
	return vhdx_flush(l, err);
}

int vhdx_set_parent(struct vd_layer *l, const struct vd_new_parent *p, vd_error *err)
{
	struct vhdx *v = l->priv;
	VD_AUTO_FREE struct vhdx_meta *m = vd_malloc(sizeof(*m));
	VD_AUTO_FREE void *locator = NULL;
	vd_error inner = { 0 };
	size_t len;

	if (!m)
		return vd_fail_nomem(err, sizeof(*m));
	if (!vhdx_is_diff(v))
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
		               "a %s VHDX cannot be given a parent; a differencing one can be given another", l->variant);
	*m = v->meta;
	if (!p)
		return parent_drop(l, v, m, err);
	{
		struct vd_create c = {
			.size = l->size, .backing = p->name, .backing_format = p->format, .parent = p->layer, .parent_path = p->path
		};

		/* Whatever it does not like is said before anything is written. */
		if (vhdx_parent_make(&c, v->meta.logical, &locator, &len, &inner))
			return inner.kind == VDISK_NOMEM ? vd_fail_nomem(err, VHDX_SECTOR) :
			                                   vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "%s", inner.message);
	}
	if (vd_cache_write_back(v->cache, err))
		return -1;
	return vhdx_meta_change(l, v, m, locator, len, err);
}
