/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * VirtualBox's registry of images.  It knows them by UUIDs that stand in them: where an image's is not known, one is made up from
 * the name and the machine's, and must be written into the image.
 */
#include "formats.h"
#include "vbox_write.h"

#include <stdio.h>
#include <string.h>

/* Made up, but the same for the same name: 128 bits of FNV-1a with two beginnings, as a UUID of version 8. */
void vbox_uuid_make(const char *a, const char *b, char out[37])
{
	uint64_t h[2] = { 0xcbf29ce484222325, 0x84222325cbf29ce4 };

	for (unsigned i = 0; i < 2; i++)
		for (unsigned k = 0; k < 2; k++)
			for (const char *c = k ? b : a; c && *c; c++)
				h[i] = (h[i] ^ (unsigned char)*c) * 0x100000001b3;
	h[0] = (h[0] & ~(uint64_t)0xf000) | 0x8000;
	h[1] = (h[1] & ~((uint64_t)3 << 62)) | (uint64_t)1 << 63;
	snprintf(out, 37, "%08x-%04x-%04x-%04x-%012llx", (unsigned)(h[0] >> 32), (unsigned)(h[0] >> 16) & 0xffff,
	         (unsigned)h[0] & 0xffff, (unsigned)(h[1] >> 48), (unsigned long long)(h[1] & 0xffffffffffff));
}

void describe_image_uuid(const struct machine *m, const char *path, char out[37])
{
	vbox_uuid_make(path, m->uuid ? m->uuid : m->name, out);
}

/* VirtualBox compares where the format has a place for it. */
static bool has_uuid(const struct machine_disk *d)
{
	return d->medium == MACHINE_DISK && d->format && strcmp(d->format, "raw") && strcmp(d->format, "qcow2");
}

void vbox_uuids_choose(struct vbox *v)
{
	for (size_t i = 0; i < v->f.disks_n; i++) {
		const struct machine_disk *d = &v->f.disks[i];
		char made[37];

		if (!d->path)
			continue;
		describe_image_uuid(v->m, d->path, made);
		snprintf(v->uuids[i], sizeof(*v->uuids), "{%.36s}", d->image_uuid ? d->image_uuid : made);
		if (!d->image_uuid && has_uuid(d))
			machine_lost_add(v->lost, made,
			                 "VirtualBox wants it in the image: VBoxManage internalcommands sethduuid FILE UUID",
			                 "disk %zu: UUID of its image", i + 1);
	}
}

/* ---------------------------------------------------------------- media */

static const char *format_of(const char *format)
{
	static const char *const names[][2] = {
		{ "vdi", "VDI" }, { "vmdk", "VMDK" }, { "vhd", "VHD" }, { "vhdx", "VHDX" }, { "qcow2", "QCOW" }
	};

	for (size_t i = 0; format && i < sizeof(names) / sizeof(*names); i++)
		if (!strcmp(names[i][0], format))
			return names[i][1];
	return "RAW";
}

static void hard_disk_open(struct vbox *v, const char *uuid, const char *path, const char *format, bool root)
{
	writer_open(&v->w, "HardDisk");
	writer_attr(&v->w, "uuid", uuid);
	writer_attr(&v->w, "location", path);
	writer_attr(&v->w, "format", format_of(format));
	if (root)
		writer_attr(&v->w, "type", "Normal");
}

/* VirtualBox opens an image over another one only where the registry says so; they are trees, as machine_judge() has seen. */
static void images_write(struct vbox *v, size_t at)
{
	const struct machine_image *x = &v->m->images[at];
	char uuid[40];

	snprintf(uuid, sizeof(uuid), "{%.36s}", x->uuid);
	hard_disk_open(v, uuid, x->path, x->format, x->parent < 0);
	for (size_t i = 0; i < v->m->images_n; i++)
		if (v->m->images[i].parent == (int)at && v->m->images[i].uuid && v->m->images[i].path)
			images_write(v, i);
	writer_close(&v->w);
}

/* The image below all others of the disk's chain, which its registry begins with; -1: the description keeps no account of it. */
static int root_of(const struct vbox *v, const struct machine_disk *d)
{
	int at = d->image_uuid ? machine_image_find(v->m, d->image_uuid, NULL) : -1;

	for (; at >= 0 && v->m->images[at].parent >= 0; at = v->m->images[at].parent)
		;
	return at >= 0 && v->m->images[at].uuid && v->m->images[at].path ? at : -1;
}

static void hard_disks_write(struct vbox *v)
{
	writer_open(&v->w, "HardDisks");
	for (size_t i = 0; i < v->f.disks_n; i++) {
		const struct machine_disk *d = &v->f.disks[i];
		int root = root_of(v, d);
		bool again = false;

		for (size_t k = 0; k < i; k++)
			again |= !strcmp(v->uuids[k], v->uuids[i]) || (root >= 0 && root_of(v, &v->f.disks[k]) == root);
		if (d->medium != MACHINE_DISK || !d->path || again)
			continue;
		if (root >= 0) {
			images_write(v, (size_t)root);
		} else {
			hard_disk_open(v, v->uuids[i], d->path, d->format, true);
			writer_close(&v->w);
		}
		if (d->format && (!strcmp(d->format, "raw") || !strcmp(d->format, "qcow2")))
			machine_lost_add(v->lost, d->format, "VirtualBox writes VDI, VMDK and VHD: it must be converted",
			                 "disk %zu: its format", i + 1);
	}
	writer_close(&v->w);
}

static void media_write(struct vbox *v, const char *list, enum machine_medium medium)
{
	writer_open(&v->w, list);
	for (size_t i = 0; i < v->f.disks_n; i++) {
		const struct machine_disk *d = &v->f.disks[i];
		bool again = false;

		for (size_t k = 0; k < i; k++)
			again |= !strcmp(v->uuids[k], v->uuids[i]);
		if (d->medium != medium || !d->path || again)
			continue;
		writer_open(&v->w, "Image");
		writer_attr(&v->w, "uuid", v->uuids[i]);
		writer_attr(&v->w, "location", d->path);
		writer_close(&v->w);
	}
	writer_close(&v->w);
}

void vbox_registry_write(struct vbox *v)
{
	writer_open(&v->w, "MediaRegistry");
	hard_disks_write(v);
	media_write(v, "DVDImages", MACHINE_CDROM);
	media_write(v, "FloppyImages", MACHINE_FLOPPY);
	writer_close(&v->w);
}
