/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What "vdisk lint" says of a machine in an archive: each disk that can be opened where it lies, judged for the profile.  Little
 * is read: of a VMA the headers of its extents, up to a bound; of an XVA the headers of a few chunks, from which it follows where
 * the others lie.  What is packed is not looked into.
 */
#include "flow/flow.h"

#include "common/fail.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define EXTENTS_MOST 8192u /* headers of 512 bytes */
#define CHUNKS_MOST  4096u /* the same */

struct lint {
	struct flow *f;
	struct json_object *sources, *findings; /* of the source that is judged */
	bool guest_only;                        /* what is said of the image's file is left out: it is none that anybody imports */
	unsigned extents;
	volatile int stop;
};

static void put(struct json_object *o, const char *key, const char *text)
{
	json_object_object_add(o, key, text ? json_object_new_string(text) : NULL);
}

static void source_add(struct lint *l, const char *path, const char *format, uint64_t size)
{
	struct json_object *o = json_object_new_object();

	put(o, "path", path);
	put(o, "format", format);
	json_object_object_add(o, "virtual-size", json_object_new_uint64(size));
	l->findings = json_object_new_array();
	json_object_object_add(o, "findings", l->findings);
	json_object_array_add(l->sources, o);
}

static void finding_add(void *ctx, const struct vdisk_finding *x)
{
	static const char *const kinds[] = {
		[VDISK_FINDING_REFUSED] = "refused",
		[VDISK_FINDING_NO_BOOT] = "no-boot",
		[VDISK_FINDING_NOTE] = "note",
	};
	struct lint *l = ctx;
	struct json_object *o;

	if (l->guest_only && !strcmp(x->where, "file"))
		return;
	o = json_object_new_object();
	put(o, "kind", kinds[x->kind]);
	put(o, "code", x->code);
	put(o, "where", x->where);
	put(o, "why", x->why);
	put(o, "mend", x->mend);
	json_object_array_add(l->findings, o);
}

static void note(struct lint *l, enum vdisk_finding_kind kind, const char *code, const char *where, const char *why,
                 const char *mend)
{
	finding_add(l, &(struct vdisk_finding){ .kind = kind, .code = code, .where = where, .why = why, .mend = mend });
}

/* ---------------------------------------------------------------- disks */

static bool is_packed(const struct flow_disk *d)
{
	return d->d->compression && *d->d->compression && strcasecmp(d->d->compression, "identity");
}

/* ---------------------------------------------------------------- the places that are looked at */

/* Of an XVA's disk, what the judge is going to read: both ends, what the headers of a GUID partition table name, the beginning of
   each partition, and of each extended boot record, one after the other. */
struct places {
	struct lint *l;
	struct flow_disk *d;
	uint64_t size;
	bool fresh; /* there is more than before */
	vdisk_error *err;
};

static int place(struct places *w, uint64_t off)
{
	bool fresh;

	if (off >= w->size)
		return 0;
	if (package_place(w->l->f->package, w->d->member, off, &fresh, w->err))
		return -1;
	w->fresh |= fresh;
	return 0;
}

static uint64_t le64(const uint8_t *p)
{
	uint64_t v = 0;

	for (size_t i = 8; i-- > 0;)
		v = v << 8 | p[i];
	return v;
}

/* The entries of the table whose header is at `off`. */
static int entries_place(struct places *w, vdisk_image *img, uint64_t off, uint64_t sector)
{
	uint8_t head[96];
	uint64_t lba;

	if (off > w->size - sizeof(head) || vdisk_pread(img, head, sizeof(head), off, w->err))
		return off > w->size - sizeof(head) ? 0 : -1;
	lba = le64(head + 72);
	if (memcmp(head, "EFI PART", 8) || lba > w->size / sector)
		return 0;
	return place(w, lba * sector) || place(w, lba * sector + (64 << 10)) ? -1 : 0;
}

static int tables_place(struct places *w, vdisk_image *img)
{
	struct vdisk_partition_table table;
	struct vdisk_partition parts[256];
	vdisk_error why = { 0 };
	size_t n = 0;

	for (uint64_t sector = 512; sector <= 4096; sector *= 8)
		if (entries_place(w, img, sector, sector) || entries_place(w, img, w->size / sector * sector - sector, sector))
			return -1;
	if (vdisk_partitions(img, &table, parts, 256, &n, &why))
		return why.offset == VDISK_NO_OFFSET ? 0 : place(w, why.offset); /* whatever is wrong with it is heard later */
	for (size_t i = 0; i < n && i < 256; i++)
		if (place(w, parts[i].off))
			return -1;
	return 0;
}

static int disk_place(struct lint *l, struct flow_disk *d, vdisk_error *err)
{
	struct places w = { .l = l, .d = d, .size = package_disk_size(l->f->package, d->member), .err = err };
	uint64_t tail = w.size < (1 << 20) ? 0 : w.size - (1 << 20);

	if (place(&w, 0) || place(&w, 1 << 20) || place(&w, tail) || place(&w, w.size - 1))
		return -1;
	do {
		struct package_image i;
		int rc;

		w.fresh = false;
		if (flow_disk_open(l->f, d, &i, err))
			return -1;
		rc = w.size < 8192 ? 0 : tables_place(&w, i.img);
		package_disk_close(&i, false, NULL);
		if (rc)
			return -1;
	} while (w.fresh);
	return 0;
}

static int disk_lint(struct lint *l, struct flow_disk *d, vdisk_error *err)
{
	struct flow *f = l->f;
	struct package_image i;
	vdisk_error why = { 0 };
	char path[4096];
	int rc = 0;

	snprintf(path, sizeof(path), "%s: %s", f->a->source, d->source);
	if (!*d->source || is_packed(d)) {
		source_add(l, path, NULL, d->d->size);
		note(l, VDISK_FINDING_NOTE, "disk", "disk",
		     *d->source ? "is packed, and was not looked into" : "has no file: it is empty", NULL);
		return 0;
	}
	if (package_kind_of(f->package) == PACKAGE_XVA && disk_place(l, d, &why)) {
		rc = -1;
		source_add(l, path, NULL, d->d->size);
	} else if (!flow_disk_open(f, d, &i, &why)) {
		source_add(l, path, vdisk_format_name(i.img), vdisk_size(i.img));
		rc = vdisk_lint(i.img, f->a->profile, finding_add, l, &why);
		package_disk_close(&i, false, NULL);
	} else {
		rc = -1;
		source_add(l, path, NULL, d->d->size);
	}
	if (!rc)
		return 0;
	if (why.kind == VDISK_NOMEM)
		return fail(err, why.kind, "%s", why.message);
	note(l, VDISK_FINDING_REFUSED, "content", "disk", why.message, "what cannot be read here will not be there");
	return 0;
}

static void extent_count(void *ctx, const struct vdisk_progress *now)
{
	struct lint *l = ctx;

	(void)now;
	if (++l->extents > EXTENTS_MOST)
		l->stop = 1;
}

/* Whether the disks can be opened. */
static int disks_place(struct lint *l, bool *open, vdisk_error *err)
{
	const struct package_job job = { .progress = extent_count, .progress_ctx = l, .cancel = &l->stop, .no_check = true };
	enum package_kind kind = package_kind_of(l->f->package);

	*open = kind == PACKAGE_OVA;
	if (kind == PACKAGE_OVA || package_streamed(l->f->package))
		return 0;
	if (kind == PACKAGE_XVA)
		return package_places(l->f->package, CHUNKS_MOST, open, err);
	*open = true;
	if (!package_check(l->f->package, &job, err))
		return 0;
	*open = false;
	return l->stop ? 0 : -1;
}

/* ---------------------------------------------------------------- the machine */

static void kind_lint(struct lint *l)
{
	enum package_kind kind = package_kind_of(l->f->package);
	const struct vdisk_profile *p = l->f->a->profile;
	const char *own = kind == PACKAGE_XVA ? "xcp-ng" : kind == PACKAGE_VMA ? "proxmox" : NULL;
	char why[200], mend[100];

	l->guest_only = own;
	if (!own || !strcmp(own, p->name))
		return;
	snprintf(why, sizeof(why), "is of the kind %s, which %s does not import", package_kind_name(kind), p->long_name);
	snprintf(mend, sizeof(mend), "vdisk migrate --for %s", p->name);
	note(l, VDISK_FINDING_REFUSED, "format", "archive", why, mend);
}

static void firmware_lint(struct lint *l)
{
	const struct vdisk_profile *p = l->f->a->profile;
	bool uefi = l->f->m->firmware == MACHINE_FIRMWARE_UEFI;
	char why[200];

	if (l->f->m->firmware == MACHINE_FIRMWARE_UNKNOWN || p->firmware & (uefi ? VDISK_FIRMWARE_UEFI : VDISK_FIRMWARE_BIOS))
		return;
	snprintf(why, sizeof(why), "has %s, but the machines of %s have not", uefi ? "UEFI" : "a BIOS", p->long_name);
	note(l, VDISK_FINDING_NO_BOOT, "firmware", "machine", why,
	     "give the guest another boot loader, or choose a system with this firmware");
}

int flow_lint_fail(const vdisk_error *err)
{
	struct json_object *o = json_object_new_object();

	put(o, "error", err->message);
	puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
	return -1;
}

int flow_lint(struct flow *f, vdisk_error *err)
{
	struct lint l = { .f = f, .sources = json_object_new_array() };
	struct json_object *o = json_object_new_object();
	bool open = false;
	int rc;

	json_object_object_add(o, "schema-version", json_object_new_int(1));
	put(o, "for", f->a->profile->name);
	json_object_object_add(o, "sources", l.sources);
	rc = f->package ? disks_place(&l, &open, err) : fail(err, VDISK_INVALID, "%s: is no archive of a machine", f->a->source);
	if (!rc) {
		source_add(&l, f->a->source, NULL, 0);
		kind_lint(&l);
		firmware_lint(&l);
		if (!open)
			note(&l, VDISK_FINDING_NOTE, "disk", "archive",
			     "its disks were not looked into, as that would take reading all of it", "lint what comes of it");
	}
	for (size_t i = 0; !rc && open && i < f->n_disks; i++)
		rc = disk_lint(&l, &f->disks[i], err);
	if (!rc && (puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)) < 0 ||
	            fflush(stdout)))
		rc = fail_errno(err, "standard output");
	json_object_put(o);
	return rc;
}
