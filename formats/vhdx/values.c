/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What `info` shows of a VHDX. */
#include "vhdx.h"

#include "base/alloc.h"
#include "base/text.h"
#include "base/uuid.h"

struct ear {
	vdisk_value_fn fn;
	void *ctx;
};

static void say_text(const struct ear *e, const char *key, const char *text)
{
	struct vdisk_value v = { .key = key, .type = VDISK_VALUE_STRING, .str = text };

	e->fn(e->ctx, &v);
}

static void say_number(const struct ear *e, const char *key, uint64_t n)
{
	struct vdisk_value v = { .key = key, .type = VDISK_VALUE_U64, .u64 = n };

	e->fn(e->ctx, &v);
}

static void say_uuid(const struct ear *e, const char *key, const uint8_t uuid[16])
{
	char text[VD_UUID_TEXT];

	vd_uuid_format(text, uuid);
	say_text(e, key, text);
}

/* The program that made it says so behind the identifier, in UTF-16. */
static int say_creator(struct vd_layer *l, const struct ear *e, vd_error *err)
{
	VD_AUTO_FREE char *text = NULL;
	uint8_t b[512];
	char clean[256];
	size_t n = 0;

	if (vd_file_pread(l->files[0], b, sizeof(b), 8, err))
		return -1;
	while (n < sizeof(b) && (b[n] || b[n + 1]))
		n += 2;
	if (n && !vd_text_to_utf8("UTF-16LE", b, n, &text, NULL))
		say_text(e, "creator", vd_printable(clean, sizeof(clean), text, strlen(text)));
	return 0;
}

int vhdx_values(struct vd_layer *l, vdisk_value_fn fn, void *ctx, vd_error *err)
{
	const struct ear e = { fn, ctx };
	const struct vhdx *v = l->priv;
	struct vdisk_value log = { .key = "log-to-replay", .type = VDISK_VALUE_BOOL, .u64 = v->patched != NULL };

	if (say_creator(l, &e, err))
		return -1;
	say_uuid(&e, "uuid", v->meta.uuid);
	say_uuid(&e, "data-guid", v->header.data_guid);
	say_number(&e, "block-size", v->block_bytes);
	say_number(&e, "logical-sector-size", v->meta.logical);
	say_number(&e, "physical-sector-size", v->meta.physical);
	say_number(&e, "log-size", v->header.log_len);
	fn(ctx, &log);
	if (!vhdx_is_diff(v))
		return 0;
	say_uuid(&e, "parent-data-guid", l->parent_ref.id.uuid);
	for (unsigned i = 0; i < l->parent_ref.n_names; i++)
		say_text(&e, "parent-candidate", l->parent_ref.names[i]);
	return 0;
}
