/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "populate.h"

#include <blkid/blkid.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PARTITIONS_MAX 1024

static int no_memory(vdisk_error *err)
{
	err->kind = VDISK_NOMEM;
	snprintf(err->message, sizeof(err->message), "out of memory");
	return -1;
}

/* Blocks of 512 bytes that hold data in the window. */
static int count_blocks(vdisk_image *img, uint64_t off, uint64_t len, uint64_t *blocks, vdisk_error *err)
{
	uint64_t data = 0, end = off + len;

	while (off < end) {
		struct vdisk_extent x[64];
		size_t n;

		if (vdisk_map(img, off, end - off, x, 64, &n, err))
			return -1;
		for (size_t i = 0; i < n; i++)
			data += x[i].kind == VDISK_DATA ? x[i].len : 0;
		off = x[n - 1].off + x[n - 1].len;
	}
	*blocks = (data + 511) / 512;
	return 0;
}

static void json_u64(struct json_object *o, const char *key, uint64_t v)
{
	json_object_object_add(o, key, json_object_new_uint64(v));
}

static void json_text(struct json_object *o, const char *key, const char *v)
{
	json_object_object_add(o, key, json_object_new_string(v));
}

static struct json_object *json_partition(const struct vdisk_partition *p)
{
	struct json_object *o = json_object_new_object();

	json_u64(o, "number", p->number);
	json_u64(o, "offset", p->off);
	json_u64(o, "size", p->len);
	json_text(o, "type", p->type);
	json_text(o, "uuid", p->uuid);
	json_text(o, "name", p->name);
	return o;
}

static int add_info(struct fs *fs, const struct vdisk_partition_table *t, const struct vdisk_partition *v, size_t n, vdisk_error *err)
{
	static const char *const kinds[] = { "none", "mbr", "gpt" };
	struct json_object *o = json_object_new_object(), *parts = json_object_new_array();
	struct node *node;

	json_u64(o, "schema-version", 1);
	json_text(o, "path", vdisk_path(fs->img));
	json_text(o, "format", vdisk_format_name(fs->img));
	json_u64(o, "virtual-size", vdisk_size(fs->img));
	json_u64(o, "layers", vdisk_depth(fs->img));
	json_text(o, "partition-table", kinds[t->kind]);
	for (size_t i = 0; i < n; i++)
		json_object_array_add(parts, json_partition(&v[i]));
	json_object_object_add(o, "partitions", parts);
	node = tree_text(fs->tree, tree_root(fs->tree), "info.json", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY));
	json_object_put(o);
	return node ? 0 : no_memory(err);
}

static int add_partition(struct fs *fs, struct node *folder, const struct vdisk_partition *p, vdisk_error *err)
{
	uint64_t blocks;
	char name[16];

	snprintf(name, sizeof(name), "%u", p->number);
	if (count_blocks(fs->img, p->off, p->len, &blocks, err))
		return -1;
	return tree_window(fs->tree, folder, name, p->off, p->len, blocks) ? 0 : no_memory(err);
}

int populate_image(struct fs *fs, vdisk_error *err)
{
	struct vdisk_partition *v = calloc(PARTITIONS_MAX, sizeof(*v));
	struct vdisk_partition_table t;
	struct node *root = tree_root(fs->tree), *folder;
	uint64_t blocks;
	size_t n;
	int rc = -1;

	if (!v)
		return no_memory(err);
	if (count_blocks(fs->img, 0, vdisk_size(fs->img), &blocks, err))
		goto out;
	folder = tree_window(fs->tree, root, "disk", 0, vdisk_size(fs->img), blocks) ? tree_folder(fs->tree, root, "partitions") : NULL;
	if (!folder) {
		no_memory(err);
		goto out;
	}
	if (vdisk_partitions(fs->img, &t, v, PARTITIONS_MAX, &n, err)) {
		if (err->kind != VDISK_CORRUPT)
			goto out;
		fprintf(stderr, "vdisk mount: %s; no partitions are shown\n", err->message);
		n = 0;
		memset(&t, 0, sizeof(t));
	}
	n = n < PARTITIONS_MAX ? n : PARTITIONS_MAX;
	for (size_t i = 0; i < n; i++)
		if (add_partition(fs, folder, &v[i], err))
			goto out;
	rc = add_info(fs, &t, v, n, err);
out:
	free(v);
	return rc;
}

static void link_add(struct fs *fs, struct node *partitions, const char *by, const char *name, const char *number)
{
	struct node *folder = tree_find(fs->tree, partitions, by);
	char target[32];

	snprintf(target, sizeof(target), "../%s", number);
	if (!folder)
		folder = tree_folder(fs->tree, partitions, by);
	if (folder)
		tree_link(fs->tree, folder, name, target);
}

static void links_of(struct fs *fs, struct node *partitions, const struct node *part, blkid_probe pr)
{
	const char *v;

	if (!blkid_probe_lookup_value(pr, "LABEL", &v, NULL))
		link_add(fs, partitions, "by-label", v, part->name);
	if (!blkid_probe_lookup_value(pr, "UUID", &v, NULL))
		link_add(fs, partitions, "by-uuid", v, part->name);
	if (!blkid_probe_lookup_value(pr, "TYPE", &v, NULL)) {
		char name[64];

		snprintf(name, sizeof(name), "%s-%s", v, part->name); /* several partitions may hold the same */
		link_add(fs, partitions, "by-type", name, part->name);
	}
}

void populate_links(struct fs *fs, const char *mountpoint)
{
	struct node *partitions = tree_find(fs->tree, tree_root(fs->tree), "partitions"), *part;

	for (size_t i = 0; partitions && tree_child(fs->tree, partitions, i, &part); i++) {
		blkid_probe pr;
		char path[4200];
		int fd;

		if (part->kind != NODE_WINDOW)
			continue;
		snprintf(path, sizeof(path), "%s/partitions/%s", mountpoint, part->name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		pr = fd >= 0 ? blkid_new_probe() : NULL;
		if (pr) {
			blkid_probe_enable_superblocks(pr, 1);
			blkid_probe_set_superblocks_flags(pr, BLKID_SUBLKS_LABEL | BLKID_SUBLKS_UUID | BLKID_SUBLKS_TYPE);
			if (!blkid_probe_set_device(pr, fd, 0, 0) && !blkid_do_safeprobe(pr))
				links_of(fs, partitions, part, pr);
			blkid_free_probe(pr);
		}
		if (fd >= 0)
			close(fd);
	}
}
