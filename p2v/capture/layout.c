/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "layout.h"

#include "find_text.h"

#include <blkid/blkid.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PARTITIONS 256

struct label {
	const char *fs, *uuid, *label, *version;
};

static const char *probed(struct machine *m, blkid_probe pr, const char *name)
{
	const char *value;

	return blkid_probe_lookup_value(pr, name, &value, NULL) ? NULL : machine_text_clean(m, value);
}

/* What a range of the disk holds, as libblkid calls it. */
static struct label label_of(struct machine *m, int fd, uint64_t off, uint64_t len)
{
	blkid_probe pr = blkid_new_probe();
	struct label l = { 0 };

	if (pr && !blkid_probe_set_device(pr, fd, (blkid_loff_t)off, (blkid_loff_t)len)) {
		blkid_probe_enable_superblocks(pr, 1);
		blkid_probe_set_superblocks_flags(pr, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_UUID | BLKID_SUBLKS_LABEL |
		                                              BLKID_SUBLKS_VERSION);
		if (!blkid_do_safeprobe(pr)) {
			l.fs = probed(m, pr, "TYPE");
			l.uuid = probed(m, pr, "UUID");
			l.label = probed(m, pr, "LABEL");
			l.version = probed(m, pr, "VERSION");
		}
	}
	blkid_free_probe(pr);
	return l;
}

static const char *mounted_at(struct machine *m, const struct find_mounts *mounts, const char *source)
{
	for (size_t i = 0; i < mounts->n; i++)
		if (!strcmp(mounts->v[i].source, source))
			return machine_text_clean(m, mounts->v[i].folder);
	return NULL;
}

/* The mapping that opens a LUKS device: a holder whose UUID in device mapper begins with CRYPT-. */
static const char *crypt_name(struct machine *m, const char *root, const char *device)
{
	const char *found = NULL;
	char **names, text[256];
	size_t n;

	names = find_names(root, &n, "/sys/class/block/%s/holders", device);
	for (size_t i = 0; !found && i < n; i++)
		if (find_text(text, sizeof(text), root, "/sys/class/block/%s/dm/uuid", names[i]) && !strncmp(text, "CRYPT-", 6) &&
		    find_text(text, sizeof(text), root, "/sys/class/block/%s/dm/name", names[i]))
			found = machine_text_clean(m, text);
	find_names_free(names, n);
	return found;
}

static void crypt_note(struct machine *m, const char *root, const char *device, const struct label *l)
{
	struct machine_crypt *c;

	if (!l->fs || strcmp(l->fs, "crypto_LUKS") || !(c = machine_crypt_add(m)))
		return;
	c->device = machine_text(m, device);
	c->uuid = l->uuid;
	c->version = l->version ? (unsigned)strtoul(l->version, NULL, 10) : 0;
	c->name = crypt_name(m, root, device);
}

static void partition_note(struct machine *m, struct disk *d, int fd, const struct vdisk_partition *p,
                           const struct find_mounts *mounts, const char *root)
{
	struct label l = label_of(m, fd, p->off, p->len);
	struct machine_partition *out = machine_partition_add(m);
	size_t len = strlen(d->name);
	bool digit = len && d->name[len - 1] >= '0' && d->name[len - 1] <= '9';

	if (!out)
		return;
	out->disk = machine_text(m, d->name);
	out->name = p->number ? machine_text_format(m, "%s%s%u", d->name, digit ? "p" : "", p->number) : out->disk;
	out->number = p->number;
	out->start = p->off;
	out->size = p->len;
	out->type = machine_text(m, p->type);
	out->fs = l.fs;
	out->uuid = l.uuid;
	out->label = l.label ? l.label : machine_text_clean(m, p->name);
	if (out->name) {
		out->mount = mounted_at(m, mounts, out->name);
		crypt_note(m, root, out->name, &l);
	}
}

/* The one that another disk told of already, or a new one; NULL: out of memory, which the description remembers. */
static struct machine_volume *volume_take(struct machine *m, const struct vdisk_volume *v)
{
	struct machine_volume *out;

	for (size_t i = 0; i < m->volumes_n; i++)
		if (m->volumes[i].group && m->volumes[i].name && !strcmp(m->volumes[i].group, v->group) &&
		    !strcmp(m->volumes[i].name, v->name))
			return &m->volumes[i];
	out = machine_volume_add(m);
	if (out) {
		out->group = machine_text_clean(m, v->group);
		out->name = machine_text_clean(m, v->name);
		out->size = v->len;
	}
	return out;
}

static void volumes_note(struct machine *m, struct disk *d, vdisk_image *img, int fd, const struct find_mounts *mounts,
                         const char *root)
{
	const struct vdisk_volume *v;
	vdisk_volumes *volumes;

	if (vdisk_volumes_read(img, &volumes, NULL))
		return;
	for (size_t i = 0; (v = vdisk_volumes_get(volumes, i)); i++) {
		struct machine_volume *out;
		char device[64];

		if (v->hidden || !v->here || !(out = volume_take(m, v)))
			continue;
		out->on = out->on ? machine_text_format(m, "%s %s", out->on, d->name) : machine_text(m, d->name);
		if (v->head.len) {
			struct label l = label_of(m, fd, v->head.off, v->head.len);

			out->fs = l.fs;
			out->uuid = l.uuid;
			out->label = l.label;
		}
		if (find_volume(device, root, v->group, v->name))
			out->mount = mounted_at(m, mounts, device);
	}
	vdisk_volumes_free(volumes);
}

void layout_disk(struct machine *m, struct disk *d, const struct find_mounts *mounts, const char *root)
{
	struct vdisk_open_options o = { .format = "raw", .flags = VDISK_OPEN_NO_LOCK };
	struct vdisk_partition_table table;
	struct vdisk_partition *p = calloc(PARTITIONS, sizeof(*p));
	int fd = open(d->path, O_RDONLY | O_CLOEXEC);
	vdisk_image *img;
	size_t n = 0;

	disk_forget(d);
	if (p && fd >= 0 && !vdisk_open(d->path, &o, &img, NULL)) {
		if (vdisk_partitions(img, &table, p, PARTITIONS, &n, NULL))
			n = 0;
		for (size_t i = 0; i < n && i < PARTITIONS; i++)
			partition_note(m, d, fd, &p[i], mounts, root);
		if (!n) {
			struct vdisk_partition whole = { .len = d->size };

			partition_note(m, d, fd, &whole, mounts, root);
		}
		volumes_note(m, d, img, fd, mounts, root);
		vdisk_close(img, NULL);
	}
	if (fd >= 0)
		close(fd);
	free(p);
}

static void array_note(struct machine *m, const char *root, const char *name)
{
	struct machine_array *a = machine_array_add(m);
	char text[1024] = "", **names;
	size_t n, len = 0;

	if (!a)
		return;
	a->name = machine_text(m, name);
	a->size = find_number(0, root, "/sys/block/%s/size", name) * 512;
	names = find_names(root, &n, "/sys/block/%s/slaves", name);
	for (size_t i = 0; i < n && len + strlen(names[i]) + 2 < sizeof(text); i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s", len ? " " : "", names[i]);
	find_names_free(names, n);
	a->members = machine_text(m, text);
	if (find_text(text, sizeof(text), root, "/sys/block/%s/md/level", name))
		a->level = machine_text_clean(m, text);
	if (find_text(text, sizeof(text), root, "/sys/block/%s/md/array_state", name))
		a->state = machine_text_clean(m, text);
	if (find_text(text, sizeof(text), root, "/sys/block/%s/md/uuid", name))
		a->uuid = machine_text_clean(m, text);
}

void layout_arrays(struct machine *m, const char *root)
{
	size_t n;
	char **names = find_names(root, &n, "/sys/block");

	for (size_t i = 0; i < n; i++)
		if (!strncmp(names[i], "md", 2) && find_there(root, "/sys/block/%s/md", names[i]))
			array_note(m, root, names[i]);
	find_names_free(names, n);
}
