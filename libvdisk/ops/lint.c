/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether a system would take an image, and boot from it: the image's own facts against the profile's table, whether its map holds,
 * then what the first sectors say of how the disk boots.  Reads the image's tables, the partition table, a sector of each EFI system
 * partition and the last sectors; never the guest's files.
 */
#include "ops/walk.h"
#include "base/alloc.h"
#include "base/bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define GIB (UINT64_C(1) << 30)
#define MBR_REACH (UINT64_C(2) << 40)
#define PARTITIONS_MAX 256
#define BOOT_CODE_BYTES 440
#define ESP_GUID "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
#define VALUE_TEXT 80
#define REMOTE_GRAINS (UINT64_C(1) << 20) /* of 4 or 8 bytes each in the tables */

struct lint {
	vdisk_image *img;
	const struct vdisk_profile *p;
	const struct vdisk_profile_form *form; /* NULL: the format is not taken */
	vdisk_finding_fn fn;
	void *ctx;
	struct vdisk_layer_info info;
	/* of the format's facts */
	char adapter[VALUE_TEXT];
	uint64_t logical, sparse_version; /* 0: not told */
	bool saved_state;
	char damage[VALUE_TEXT];
};

static void found(const struct lint *t, enum vdisk_finding_kind kind, const char *code, const char *where, const char *mend,
                  const char *fmt, ...) __attribute__((format(printf, 6, 7)));
static void found(const struct lint *t, enum vdisk_finding_kind kind, const char *code, const char *where, const char *mend,
                  const char *fmt, ...)
{
	char why[VDISK_ERROR_MESSAGE_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	t->fn(t->ctx, &(struct vdisk_finding){ .kind = kind, .code = code, .where = where, .why = why, .mend = mend });
}

static void mend_convert(const struct lint *t, char *buf, size_t cap)
{
	snprintf(buf, cap, "convert it: vdisk convert --for %s", t->p->name);
}

/* ---------------------------------------------------------------- the image */

static void value_note(void *ctx, const struct vdisk_value *v)
{
	struct lint *t = ctx;

	if (!strcmp(v->key, "adapter-type") && v->type == VDISK_VALUE_STRING)
		snprintf(t->adapter, sizeof(t->adapter), "%s", v->str);
	else if (!strcmp(v->key, "logical-sector-size"))
		t->logical = v->u64;
	else if (!strcmp(v->key, "sparse-version"))
		t->sparse_version = v->u64;
	else if (!strcmp(v->key, "damage"))
		snprintf(t->damage, sizeof(t->damage), "%s", v->str);
	else if (!strcmp(v->key, "saved-state"))
		t->saved_state = v->u64;
}

/* What an option of creation has come to in this image; NULL: the format does not tell. */
static const char *option_value(const struct lint *t, const char *name, char buf[VALUE_TEXT])
{
	if (!strcmp(name, "subformat"))
		return t->info.variant;
	if (!strcmp(name, "adapter_type"))
		return *t->adapter ? t->adapter : NULL;
	if (!strcmp(name, "logical_sector_size") && t->logical) {
		snprintf(buf, VALUE_TEXT, "%" PRIu64, t->logical);
		return buf;
	}
	if (!strcmp(name, "data_file") && !strcmp(t->info.format, "qcow2") && t->info.n_files > 1)
		return "on";
	return NULL;
}

static void lint_form(const struct lint *t)
{
	char mend[96], names[64], buf[VALUE_TEXT];

	mend_convert(t, mend, sizeof(mend));
	if (!t->form) {
		found(t, VDISK_FINDING_REFUSED, "format", "file", mend, "is %s, but %s takes %s", t->info.format, t->p->long_name,
		      vdisk_profile_formats(t->p, names, sizeof(names)));
		return;
	}
	for (const struct vdisk_profile_option *o = t->form->options; o && o->name; o++) {
		const char *value = option_value(t, o->name, buf);

		if (!value || vdisk_profile_takes(o->takes, value))
			continue;
		if (!strcmp(o->name, "data_file"))
			found(t, VDISK_FINDING_REFUSED, "data-file", "file", mend,
			      "its data lies in a second file, which %s does not take", t->p->long_name);
		else
			found(t, VDISK_FINDING_REFUSED, o->name, "file", mend,
			      "%s is \"%s\", but %s takes %s", o->name, value, t->p->long_name, o->takes);
	}
	if (t->form->stream_version && !strcmp(t->info.variant, "streamOptimized") && t->sparse_version < t->form->stream_version)
		found(t, VDISK_FINDING_REFUSED, "sparse-version", "file", mend,
		      "its header has version %" PRIu64 ", but %s takes no less than %" PRIu32, t->sparse_version, t->p->long_name,
		      t->form->stream_version);
	if (t->form->footer_bytes && t->info.n_files == 1 && t->info.host_size != t->info.virtual_size + t->form->footer_bytes &&
	    !strcmp(t->info.variant, "fixed"))
		found(t, VDISK_FINDING_REFUSED, "footer", "file", mend,
		      "has %" PRIu64 " bytes, not the disk's %" PRIu64 " and a footer of %" PRIu32, t->info.host_size,
		      t->info.virtual_size, t->form->footer_bytes);
}

static void lint_size(const struct lint *t)
{
	uint64_t size = t->info.virtual_size, max = t->form ? t->form->size_max : 0;
	char mend[96];

	mend_convert(t, mend, sizeof(mend));
	if (size % t->p->size_multiple)
		found(t, VDISK_FINDING_REFUSED, "size-multiple", "disk", mend,
		      "has %" PRIu64 " bytes, which is no multiple of %" PRIu64, size, t->p->size_multiple);
	if (size < t->p->size_min)
		found(t, VDISK_FINDING_REFUSED, "size-min", "disk", mend,
		      "has %" PRIu64 " bytes, less than the %" PRIu64 " that %s asks for", size, t->p->size_min, t->p->long_name);
	if (!max) { /* of another format: what any of them takes */
		for (const struct vdisk_profile_form *f = t->form ? t->form : t->p->forms; f->format; f++) {
			if (!f->size_max || t->form)
				return;
			max = vd_max(max, f->size_max);
		}
	}
	if (size > max)
		found(t, VDISK_FINDING_REFUSED, "size-max", "disk",
		      "shrink its file systems and partitions, then the disk (vdisk resize), or split it",
		      "has %" PRIu64 " GiB, but %s takes %" PRIu64 " at most", vd_div_up(size, GIB), t->p->long_name, max / GIB);
}

struct count {
	size_t n;
};

static void snapshot_count(void *ctx, const struct vdisk_snapshot_info *s)
{
	(void)s;
	((struct count *)ctx)->n++;
}

static void lint_layers(const struct lint *t)
{
	struct count c = { 0 };
	char mend[96];

	mend_convert(t, mend, sizeof(mend));
	if (t->info.parent_name && !t->p->parents)
		found(t, VDISK_FINDING_REFUSED, "parent", "file", mend, "is a layer over %s, and %s takes whole disks only",
		      t->info.parent_name, t->p->long_name);
	else if (t->info.parent_name)
		found(t, VDISK_FINDING_NOTE, "parent", "file", "move all layers together, or flatten it: vdisk flatten",
		      "is a layer over %s", t->info.parent_name);
	if (!vdisk_snapshots(t->img, snapshot_count, &c, NULL) && c.n && strcmp(t->p->name, "kvm"))
		found(t, VDISK_FINDING_NOTE, "snapshots", "file", NULL, "%zu internal snapshot%s will not be carried over", c.n,
		      c.n == 1 ? "" : "s");
	if (t->saved_state)
		found(t, VDISK_FINDING_NOTE, "saved-state", "file", "shut the machine down before",
		      "belongs to a machine that was suspended");
	if (t->info.n_files > 1 && t->form)
		found(t, VDISK_FINDING_NOTE, "files", "file", NULL, "consists of %u files, which have to go together",
		      t->info.n_files);
}

/* What a conversion would say before it moves data, and what opening it passed over.  *whole: it says nothing. */
static int lint_content(const struct lint *t, bool *whole, vd_error *err)
{
	const char *mend = "what cannot be read here will not be there: copy it anew, or see vdisk check";
	const struct vd_layer *top = t->img->top;
	vd_error why = { 0 };

	*whole = true;
	if (top->files[0]->flags & (VD_FILE_REMOTE | VD_FILE_EXPORT) && !(top->flags & VD_LAYER_FIXED) &&
	    top->size / vd_max(top->alloc_grain, 1) > REMOTE_GRAINS) {
		found(t, VDISK_FINDING_NOTE, "content", "file", "vdisk check, of a copy",
		      "has large tables, which were not asked of the server: whether it is whole was not looked at");
		return 0;
	}
	*whole = !vd_image_tables_sound(t->img, &why);
	if (!*whole && why.kind != VDISK_CORRUPT) {
		if (err)
			*err = why;
		return -1;
	}
	if (!*whole)
		found(t, VDISK_FINDING_REFUSED, "content", "file", mend, "%s", why.message);
	else if (*t->damage)
		found(t, VDISK_FINDING_REFUSED, "content", "file", "vdisk check --repair", "%s", t->damage);
	return 0;
}

/* ---------------------------------------------------------------- the disk */

struct disk {
	struct vdisk_partition_table table;
	struct vdisk_partition *v;
	size_t n;
	uint32_t sector; /* logical sectors that the guest will see */
	bool bios, uefi;
};

static bool is_esp(const struct disk *d, const struct vdisk_partition *p)
{
	return d->table.kind == VDISK_TABLE_GPT ? !strcasecmp(p->type, ESP_GUID) : !strcmp(p->type, "0xef");
}

/* The file system of an EFI system partition counts in the sectors of its disk, or the firmware does not read it. */
static int lint_esp(const struct lint *t, const struct disk *d, const struct vdisk_partition *p, vd_error *err)
{
	const char *mend = "make its FAT file system anew, with the same sectors as the disk, and copy its files";
	uint8_t sector[512];
	char where[32];
	unsigned bytes;

	snprintf(where, sizeof(where), "partition %u", p->number);
	if (p->len < sizeof(sector))
		return 0;
	if (vdisk_pread(t->img, sector, sizeof(sector), p->off, err))
		return -1;
	bytes = le16_get(sector + 11);
	if (sector[510] != 0x55 || sector[511] != 0xaa || bytes < 512 || !vd_is_pow2(bytes))
		found(t, VDISK_FINDING_NO_BOOT, "esp", where, "put the boot loader there again",
		      "is an EFI system partition without a FAT file system");
	else if (bytes != d->sector)
		found(t, VDISK_FINDING_NO_BOOT, "esp-sector-size", where, mend,
		      "has a FAT file system with sectors of %u bytes, but the disk's have %" PRIu32, bytes, d->sector);
	return 0;
}

/* The sectors that the table counts in, and those that the machine will show. */
static void lint_sectors(const struct lint *t, struct disk *d)
{
	bool told = t->logical != 0;
	uint32_t table = d->table.kind == VDISK_TABLE_GPT ? d->table.sector_bytes : 0;

	d->sector = told ? (uint32_t)t->logical : 512;
	if (!table || table == d->sector)
		return;
	if (!told && t->p->sectors & table) {
		d->sector = table;
		found(t, VDISK_FINDING_NOTE, "sector-size", "partition table",
		      "have the machine show such sectors (libvirt: logical_block_size)", "counts in sectors of %" PRIu32 " bytes",
		      table);
		return;
	}
	found(t, VDISK_FINDING_NO_BOOT, "sector-size", "partition table",
	      "convert it: vdisk convert --sector-size 512, or 4096, as the machine shows them",
	      "counts in sectors of %" PRIu32 " bytes, but the guest will see some of %" PRIu32 " and no partition", table,
	      d->sector);
}

static int lint_table(const struct lint *t, const struct disk *d, vd_error *err)
{
	uint8_t last[8];
	uint64_t size = t->info.virtual_size, off;

	if (d->table.kind == VDISK_TABLE_MBR && size > MBR_REACH)
		found(t, VDISK_FINDING_NOTE, "mbr-size", "partition table", NULL, "is an MBR, which does not reach past 2 TiB");
	for (size_t i = 0; i < d->n; i++) {
		char where[32];

		snprintf(where, sizeof(where), "partition %u", d->v[i].number);
		if (d->v[i].off % 4096 && !(d->table.kind == VDISK_TABLE_MBR && !strcmp(d->v[i].type, "0x05")))
			found(t, VDISK_FINDING_NOTE, "alignment", where, NULL,
			      "begins at byte %" PRIu64 ", which is no multiple of 4096: slow on most storage", d->v[i].off);
	}
	if (d->table.kind != VDISK_TABLE_GPT)
		return 0;
	off = vd_down(size, d->table.sector_bytes) - d->table.sector_bytes;
	if (vdisk_pread(t->img, last, sizeof(last), off, err))
		return -1;
	if (d->table.from_backup)
		found(t, VDISK_FINDING_NO_BOOT, "gpt-first", "partition table",
		      "sgdisk --load-backup, or gdisk's \"recovery\" menu",
		      "its first header is damaged; firmware may not look at the second");
	else if (memcmp(last, "EFI PART", 8))
		found(t, VDISK_FINDING_NOTE, "gpt-second", "partition table", "sgdisk -e puts it there",
		      "the second header is not at the disk's end (the disk was made longer)");
	return 0;
}

static const char *firmware_name(uint32_t firmware) { return firmware == VDISK_FIRMWARE_BIOS ? "BIOS" : "UEFI"; }

static void lint_firmware(const struct lint *t, const struct disk *d)
{
	uint32_t has = (d->bios ? VDISK_FIRMWARE_BIOS : 0) | (d->uefi ? VDISK_FIRMWARE_UEFI : 0);
	uint64_t boot_max = t->form ? t->form->boot_max : 0;

	if (!has)
		found(t, VDISK_FINDING_NOTE, "no-boot-code", "disk", NULL,
		      "has neither boot code nor an EFI system partition: fine if it is not booted from");
	else if (!(has & t->p->firmware))
		found(t, VDISK_FINDING_NO_BOOT, "firmware", "disk",
		      t->p->firmware == VDISK_FIRMWARE_UEFI
		              ? "give the guest a boot loader for UEFI, or choose a machine with BIOS (hyperv-gen1)"
		              : "choose a machine with UEFI (hyperv-gen2)",
		      "boots by %s only, but the machines of %s have %s", firmware_name(has), t->p->long_name,
		      firmware_name(t->p->firmware));
	else if (has != t->p->firmware && t->p->firmware == (VDISK_FIRMWARE_BIOS | VDISK_FIRMWARE_UEFI))
		found(t, VDISK_FINDING_NOTE, "firmware", "disk",
		      has == VDISK_FIRMWARE_UEFI ? "give the machine UEFI" : "give the machine BIOS", "boots by %s only",
		      firmware_name(has));
	if (has && boot_max && t->info.virtual_size > boot_max)
		found(t, VDISK_FINDING_NO_BOOT, "boot-size", "disk", "boot from a smaller disk",
		      "has more than %" PRIu64 " GiB, past which %s does not boot", boot_max / GIB, t->p->long_name);
}

static int lint_disk(const struct lint *t, struct disk *d, vd_error *err)
{
	uint8_t first[512] = { 0 };
	vd_error table = { 0 };

	if (t->info.virtual_size < sizeof(first))
		return 0;
	if (vdisk_pread(t->img, first, sizeof(first), 0, err))
		return -1;
	if (vdisk_partitions(t->img, &d->table, d->v, PARTITIONS_MAX, &d->n, &table)) {
		if (table.kind != VDISK_CORRUPT) {
			if (err)
				*err = table;
			return -1;
		}
		found(t, VDISK_FINDING_NO_BOOT, "partition-table", "partition table", "mend it with gdisk or sfdisk", "%s",
		      table.message);
		return 0;
	}
	d->n = vd_min(d->n, PARTITIONS_MAX);
	lint_sectors(t, d);
	if (d->table.kind == VDISK_TABLE_NONE) {
		found(t, VDISK_FINDING_NOTE, "no-table", "disk", NULL, "has no partition table; how it boots cannot be seen");
		return 0;
	}
	for (size_t i = 0; i < BOOT_CODE_BYTES; i++)
		d->bios = d->bios || first[i];
	for (size_t i = 0; i < d->n; i++) {
		if (!is_esp(d, &d->v[i]))
			continue;
		d->uefi = true;
		if (t->p->firmware & VDISK_FIRMWARE_UEFI && lint_esp(t, d, &d->v[i], err))
			return -1;
	}
	if (lint_table(t, d, err))
		return -1;
	lint_firmware(t, d);
	return 0;
}

int vdisk_lint(vdisk_image *img, const struct vdisk_profile *p, vdisk_finding_fn fn, void *ctx, vdisk_error *err)
{
	struct lint t = { .img = img, .p = p, .fn = fn, .ctx = ctx };
	struct disk d = { 0 };
	vd_error why = { 0 };
	bool whole;
	int rc = 0;

	if (vdisk_layer_get(img, 0, &t.info, err) || vdisk_layer_values(img, 0, value_note, &t, err))
		return -1;
	t.form = vdisk_profile_form(p, t.info.format);
	lint_form(&t);
	lint_size(&t);
	lint_layers(&t);
	if (img->flags & VDISK_OPEN_INFO)
		return 0;
	if (lint_content(&t, &whole, err))
		return -1;
	d.v = vd_calloc(PARTITIONS_MAX, sizeof(*d.v));
	if (!d.v)
		return vd_fail_nomem(err, PARTITIONS_MAX * sizeof(*d.v));
	rc = lint_disk(&t, &d, &why);
	vd_free(d.v);
	if (rc && !whole && why.kind == VDISK_CORRUPT) /* which was said */
		return 0;
	if (rc && err)
		*err = why;
	return rc;
}
