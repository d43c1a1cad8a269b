/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What can be refused is refused before anything takes long: the words first, then the disks, which are opened for it. */
#include "flow/flow.h"

#include "common/fail.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

bool flow_works(const struct flow *f)
{
	return !f->a->ova || !f->a->no_adapt || f->a->verify || (f->package && package_streamed(f->package));
}

const char *flow_work_format(const struct flow *f) { return f->a->ova ? "qcow2" : f->format; }

static bool has_option(const struct flow *f, const char *key)
{
	size_t n = strlen(key);

	for (size_t i = 0; i < f->n_options; i++)
		if (!strncmp(f->options[i], key, n))
			return true;
	return false;
}

const char *const *flow_disk_options(const struct flow *f, const struct flow_disk *d, const char *out[FLOW_OPTIONS_MAX])
{
	size_t n = 0;

	for (size_t i = 0; !f->a->ova && i < f->n_options; i++)
		out[n++] = f->options[i];
	if (*d->uuid_option)
		out[n++] = d->uuid_option;
	if (d->d->logical_sector == 4096 && !strcmp(flow_work_format(f), "vhdx") && !has_option(f, "logical_sector_size="))
		out[n++] = "logical_sector_size=4096";
	out[n] = NULL;
	return out;
}

const char *flow_disk_label(const struct flow_disk *d) { return d->d->name ? d->d->name : d->source; }

/* ---------------------------------------------------------------- names */

/* A VHD's UUID is a GUID to VirtualBox, whose first fields it reads in the other byte order than vdisk has them. */
void flow_uuid_swap(const char *format, const char *in, char out[37])
{
	static const unsigned char guid[] = { 6, 7, 4, 5, 2, 3, 0, 1, 8, 11, 12, 9, 10, 13, 16, 17, 14, 15, 18 };

	snprintf(out, 37, "%s", in);
	for (size_t i = 0; !strcmp(format, "vhd") && strlen(in) == 36 && i < sizeof(guid); i++)
		out[i] = in[guid[i]];
}

/* VirtualBox refuses an image that has another UUID than its description says. */
static int uuid_choose(struct flow *f, struct flow_disk *d, vdisk_error *err)
{
	const char *given = NULL, *suffix, *format = f->format;
	bool knows = !strcmp(format, "vhd") || !strcmp(format, "vdi") || !strcmp(format, "vmdk");
	char text[37];

	if (f->a->ova || !knows || flow_target_description(f->a->target, &suffix) != DESCRIBE_VBOX)
		return 0;
	for (size_t i = 0; i < f->a->n_options; i++)
		if (!strncmp(f->a->options[i], "uuid=", 5))
			given = f->a->options[i] + 5;
	if (given && f->n_disks > 1)
		return fail(err, VDISK_INVALID,
		            "-o uuid=%.64s: the machine has %zu disks, and two images with one UUID are one to VirtualBox", given,
		            f->n_disks);
	given = given ? machine_uuid(f->m, given) : NULL;
	if (given)
		snprintf(text, sizeof(text), "%s", given);
	else
		describe_image_uuid(f->m, d->file, text);
	snprintf(d->uuid, sizeof(d->uuid), "%s", text);
	flow_uuid_swap(format, d->uuid, text);
	if (given) /* the image gets what was said; the description what VirtualBox makes of that */
		snprintf(d->uuid, sizeof(d->uuid), "%s", text);
	else
		snprintf(d->uuid_option, sizeof(d->uuid_option), "uuid=%s", text);
	return 0;
}

static int names_make(struct flow *f, vdisk_error *err)
{
	const struct vdisk_format_info *info = vdisk_format_find(f->format);
	const char *suffix = f->a->ova ? "vmdk" : info->suffixes && info->suffixes[0] ? info->suffixes[0] : info->name;

	for (size_t i = 0; i < f->n_disks; i++) {
		struct flow_disk *d = &f->disks[i];
		char number[24] = "", name[300];

		if (f->n_disks > 1)
			snprintf(number, sizeof(number), "-%zu", i + 1);
		snprintf(d->manifest, sizeof(d->manifest), "%.200s%s.manifest", f->name, number);
		snprintf(name, sizeof(name), "%.200s%s.%s", f->name, number, suffix);
		d->file = strdup(name);
		if (f->a->ova)
			snprintf(name, sizeof(name), "%.200s%s.work.qcow2", f->name, number);
		d->work = flow_file(f, name);
		if (!d->file || !d->work)
			return fail_nomem(err);
		if (uuid_choose(f, d, err))
			return -1;
	}
	return 0;
}

/* ---------------------------------------------------------------- the words */

/* Packed VMDKs are written from front to back, once: the guest in them cannot be changed. */
static bool is_for_reading(const struct flow *f, const struct vdisk_format_info *info)
{
	if (f->a->ova || strcmp(info->name, "vmdk"))
		return false;
	return has_option(f, "subformat=streamOptimized") || f->a->compress;
}

int flow_judge_words(struct flow *f, vdisk_error *err)
{
	const struct vdisk_format_info *info = vdisk_format_find(f->format);
	bool streamed = f->package && package_streamed(f->package);

	if (!info || !(info->caps & VDISK_FORMAT_CREATE))
		return fail(err, VDISK_INVALID, "--format %s: %s", f->format,
		            info ? "can be read, but not made" : "there is no such format");
	if (streamed && f->a->compress)
		return fail(err, VDISK_UNSUPPORTED,
		            "%s: is packed as a whole, and its disks come in no order: they cannot be compressed (-c) on the way",
		            f->a->source);
	if (streamed && f->a->sector_size)
		return fail(err, VDISK_UNSUPPORTED,
		            "%s: is packed as a whole, and its disks come in no order: --sector-size wants to look at them before",
		            f->a->source);
	if (f->a->compress && !(info->caps & VDISK_FORMAT_COMPRESS))
		return fail(err, VDISK_UNSUPPORTED, "-c: %s images are not compressed", info->name);
	if (!f->a->no_adapt && is_for_reading(f, info))
		return fail(err, VDISK_UNSUPPORTED,
		            "a packed VMDK cannot be written to, so the guest cannot be adapted: --no-adapt leaves it as it is");
	return flow_adapt_judge(f, err) || names_make(f, err) ? -1 : 0;
}

/* ---------------------------------------------------------------- the disks */

/* A guest sees no partition of a disk that is shown with other sectors than its table counts in. */
static int sectors_judge(const struct flow *f, const struct flow_disk *d, vdisk_error *err)
{
	unsigned n = d->d->logical_sector;
	const char *who = f->a->ova ? "OVF" : flow_target_name(f->a->target);

	if (!n || n == 512 || flow_target_sectors(f, n))
		return 0;
	return fail(
		err, VDISK_UNSUPPORTED,
		"the disk %s has logical sectors of %u bytes, where %s%s shows 512: --sector-size 512 counts its partitions anew",
		flow_disk_label(d), n, who, f->a->target == TARGET_HYPERV ? " of a VHD" : "");
}

static int disk_judge(struct flow *f, struct flow_disk *d, uint64_t *need, vdisk_error *err)
{
	const char *options[FLOW_OPTIONS_MAX];
	struct vdisk_measure_result r;
	struct package_image i;
	vdisk_error why = { 0 };
	uint64_t made;

	if (f->package && package_streamed(f->package)) {
		d->source_size = d->size = package_disk_size(f->package, d->member);
		return flow_size(f, flow_disk_label(d), d->source_size, &made, err) || sectors_judge(f, d, err) ? -1 : 0;
	}
	if (d->is_empty) {
		d->source_size = d->size = d->d->size;
		return flow_size(f, flow_disk_label(d), d->source_size, &made, err);
	}
	if (flow_disk_open(f, d, &i, err))
		return -1;
	d->source_size = d->size = vdisk_size(i.img);
	flow_disk_options(f, d, options);
	if (!i.unpack && !vdisk_measure(i.img, 0, flow_work_format(f), options, &r, &why))
		*need += r.required < r.fully_allocated ? r.required : 0; /* what has no holes may be zeros for the most part */
	else if (!i.unpack && why.kind != VDISK_UNSUPPORTED)
		flow_note(f, "%s: what it takes is not known: %s", flow_disk_label(d), why.message);
	if (d->d->size && d->d->size != d->source_size && !f->package)
		flow_note(f, "%s has %llu bytes; the description says %llu", flow_disk_label(d), (unsigned long long)d->source_size,
		          (unsigned long long)d->d->size);
	if (package_disk_close(&i, false, err) || flow_size(f, flow_disk_label(d), d->source_size, &made, err))
		return -1;
	return sectors_judge(f, d, err);
}

/* Of what is packed nobody knows what it takes; the conversion will see. */
static int room_judge(const struct flow *f, uint64_t need, vdisk_error *err)
{
	char *slash = strrchr(f->out, '/'), folder[4096];
	struct statvfs v;
	uint64_t room;

	snprintf(folder, sizeof(folder), "%.*s", slash == f->out ? 1 : (int)(slash - f->out), f->out);
	if (f->a->compress || !flow_works(f) || statvfs(folder, &v))
		return 0;
	room = (uint64_t)v.f_bavail * v.f_frsize;
	return need <= room ? 0
	                    : fail(err, VDISK_IO, "%s: the disks take up to %llu MiB, and %llu MiB are free", folder,
	                           (unsigned long long)(need >> 20) + 1, (unsigned long long)(room >> 20));
}

int flow_judge(struct flow *f, vdisk_error *err)
{
	uint64_t need = 0;

	for (size_t i = 0; i < f->n_disks; i++)
		if (disk_judge(f, &f->disks[i], &need, err))
			return -1;
	return flow_describe_judge(f, err) || room_judge(f, need, err) ? -1 : 0;
}
