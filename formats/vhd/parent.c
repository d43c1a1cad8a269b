/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a differencing disk says of its parent: parent locators, the name in the dynamic header, UUID and time stamp.
 *
 * Names are Windows paths.  Ours have '/' for '\'; a drive letter makes a name absolute.  Candidates, best first: the relative
 * locator (W2ru), the header's name if it is relative, the last part of absolute names (a parent that was moved along with the
 * disk), absolute names.  A wrong one does no harm: the parent must carry the UUID that the header names.
 */
#include "vhd.h"

#include "base/alloc.h"
#include "base/text.h"

#define W2RU VHD_CODE('W', '2', 'r', 'u')
#define W2KU VHD_CODE('W', '2', 'k', 'u')
#define LOCATOR_MAX 65536u /* bytes: the longest Windows path */

bool vhd_name_is_absolute(const char *name)
{
	char drive = name[0];

	return drive == '/' || (((drive >= 'A' && drive <= 'Z') || (drive >= 'a' && drive <= 'z')) && name[1] == ':');
}

static const char *last_part(const char *name)
{
	const char *slash = strrchr(name, '/');

	return slash ? slash + 1 : vhd_name_is_absolute(name) ? name + 2 : name;
}

/* UTF-16 up to its first NUL, as UTF-8 with '/'; returns owned, "" where there is none. */
static int name_decode(const char *charset, const uint8_t *b, size_t len, char **out, vd_error *err)
{
	size_t n = 0;

	while (n + 1 < len && (b[n] || b[n + 1]))
		n += 2;
	if (vd_text_to_utf8(charset, b, n, out, err))
		return -1;
	for (char *p = *out; *p; p++) {
		if (*p == '\\')
			*p = '/';
	}
	return 0;
}

/* Takes `name`. */
static void candidate_add(struct vd_parent_ref *ref, char *name)
{
	bool known = !name || !*name || ref->n_names == VD_PARENT_NAMES;

	for (unsigned i = 0; !known && i < ref->n_names; i++)
		known = !strcmp(ref->names[i], name);
	if (known)
		vd_free(name);
	else
		ref->names[ref->n_names++] = name;
}

static int candidate_copy(struct vd_parent_ref *ref, const char *name, vd_error *err)
{
	char *copy = vd_strdup(name);

	if (!copy)
		return vd_fail_nomem(err, strlen(name) + 1);
	candidate_add(ref, copy);
	return 0;
}

static int locator_read(struct vd_layer *l, const struct vhd *v, unsigned i, char **out, vd_error *err)
{
	const struct vhd_locator *k = &v->header.locators[i];
	VD_AUTO_FREE uint8_t *b = NULL;

	if (k->length > LOCATOR_MAX || !vd_within(k->off, k->length, vd_file_size(l->files[0])))
		return vd_fail(err, VDISK_CORRUPT, v->footer.data_offset + 576 + i * 24,
			       "VHD parent locator %u (%" PRIu32 " bytes at %#" PRIx64 ") is too long or outside the file", i + 1,
			       k->length, k->off);
	b = vd_malloc(k->length);
	if (!b)
		return vd_fail_nomem(err, k->length);
	if (vd_file_pread(l->files[0], b, k->length, k->off, err))
		return -1;
	if (name_decode("UTF-16LE", b, k->length, out, err))
		return vd_fail_in(err, "VHD parent locator %u", i + 1);
	return 0;
}

static void locator_skipped(const struct vd_open *o, const struct vhd_locator *k)
{
	uint8_t code[4];
	char text[20];

	be32_put(code, k->code);
	if (o->host && o->host->log)
		o->host->log(o->host, VDISK_LOG_INFO, "VHD parent locator of type %s is not used",
			     vd_printable(text, sizeof(text), code, 4));
}

int vhd_parent_read(struct vd_layer *l, struct vhd *v, const struct vd_open *o, vd_error *err)
{
	struct vd_parent_ref *ref = &l->parent_ref;
	VD_AUTO_FREE char *relative = NULL;
	VD_AUTO_FREE char *absolute = NULL;
	VD_AUTO_FREE char *own = NULL;

	for (unsigned i = 0; i < VHD_LOCATORS; i++) {
		const struct vhd_locator *k = &v->header.locators[i];
		char **to = k->code == W2RU ? &relative : k->code == W2KU ? &absolute : NULL;

		if (!k->code)
			continue;
		if (!to || *to)
			locator_skipped(o, k);
		else if (locator_read(l, v, i, to, err) && !v->salvage)
			return -1;
	}
	if (name_decode("UTF-16BE", v->header.parent_name, VHD_NAME_BYTES, &own, err) && !v->salvage)
		return vd_fail_in(err, "VHD parent name");
	vd_error_clear(err);
	if ((relative && candidate_copy(ref, relative, err)) ||
	    (own && !vhd_name_is_absolute(own) && candidate_copy(ref, own, err)) ||
	    (absolute && candidate_copy(ref, last_part(absolute), err)) || (own && candidate_copy(ref, last_part(own), err)) ||
	    (absolute && candidate_copy(ref, absolute, err)) || (own && candidate_copy(ref, own, err)))
		return -1;
	if (!ref->n_names)
		return vd_fail(err, VDISK_UNSUPPORTED, v->footer.data_offset + 576,
		               "differencing VHD names its parent neither by W2ru or W2ku locator nor in its header");
	ref->format = vd_strdup("vhd");
	if (!ref->format)
		return vd_fail_nomem(err, 4);
	ref->id.kind = VD_ID_UUID;
	memcpy(ref->id.uuid, v->header.parent_uuid, 16);
	ref->mtime = v->header.parent_timestamp ? v->header.parent_timestamp + VHD_EPOCH : 0;
	return 0;
}

/* ---------------------------------------------------------------- writing */

/* `prefix` and `name` with '\' for '/', in UTF-16LE. */
static int locator_encode(const char *prefix, const char *name, void **out, size_t *len, vd_error *err)
{
	VD_AUTO_FREE char *text = vd_asprintf("%s%s", prefix, name);

	if (!text)
		return vd_fail_nomem(err, strlen(name) + 3);
	if (strchr(text, '\\'))
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
		               "a VHD cannot name the parent %s: a backslash separates folders there", name);
	for (char *p = text; *p; p++) {
		if (*p == '/')
			*p = '\\';
	}
	if (vd_text_from_utf8("UTF-16LE", text, out, len, err))
		return -1;
	if (*len > LOCATOR_MAX)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "the parent's name has %zu bytes in UTF-16; a VHD holds %u",
			       *len, LOCATOR_MAX);
	return 0;
}

static uint32_t vhd_time(uint64_t since_1970)
{
	return since_1970 > VHD_EPOCH ? (uint32_t)vd_min(since_1970 - VHD_EPOCH, UINT32_MAX) : 0;
}

int vhd_parent_prepare(const struct vd_create *c, struct vhd_header *h, struct vhd_parent_write *w, vd_error *err)
{
	const struct vd_layer *p = c->parent;
	VD_AUTO_FREE void *name = NULL;
	size_t name_len;
	unsigned n = 0;

	if (!p || p->id.kind != VD_ID_UUID || strcmp(p->drv->info.name, "vhd"))
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "a differencing VHD needs a VHD as its parent; %s is %s",
			       c->backing, p ? p->drv->info.name : c->backing_format);
	if (p->size != c->size)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET,
			       "a differencing VHD has its parent's size, %" PRIu64 " bytes; %" PRIu64 " were asked for", p->size,
			       c->size);
	memcpy(h->parent_uuid, p->id.uuid, 16);
	h->parent_timestamp = vhd_time(c->parent_mtime);
	if (vd_text_from_utf8("UTF-16BE", last_part(c->backing), &name, &name_len, err))
		return -1;
	if (name_len > VHD_NAME_BYTES - 2)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "the parent's name %s is too long for a VHD",
			       last_part(c->backing));
	memcpy(h->parent_name, name, name_len);

	/* Windows writes relative names with a leading ".\" and looks for it. */
	if (!vhd_name_is_absolute(c->backing)) {
		bool dotted = c->backing[0] == '.' && (c->backing[1] == '/' || !strncmp(c->backing, "../", 3));

		if (locator_encode(dotted ? "" : "./", c->backing, &w->bytes[0], &w->len[0], err))
			return -1;
		h->locators[n++] = (struct vhd_locator){ .code = W2RU, .length = (uint32_t)w->len[0] };
	}
	if (vhd_name_is_absolute(c->backing) || c->parent_path) {
		const char *path = vhd_name_is_absolute(c->backing) ? c->backing : c->parent_path;

		if (locator_encode("", path, &w->bytes[1], &w->len[1], err))
			return -1;
		h->locators[n++] = (struct vhd_locator){ .code = W2KU, .length = (uint32_t)w->len[1] };
	}
	return 0;
}

void vhd_parent_clear(struct vhd_parent_write *w)
{
	vd_free(w->bytes[0]);
	vd_free(w->bytes[1]);
	*w = (struct vhd_parent_write){ 0 };
}
