/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The image of a disk that is being received: made, opened when it is needed, mended after a crash, closed after an error. */
#include "disk_parts.h"

#include "clock.h"

#include "common/fail.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>

#define CACHE_BYTES (2u << 20)

static void image_path(const struct disk_place *at, const char *disk, char out[PATH_MAX])
{
	char file[TRANSFER_FILE_MAX];

	transfer_file(disk, at->format, file);
	snprintf(out, PATH_MAX, "%s/%s", at->folder, file);
}

int disk_make(const struct disk_place *at, const struct transfer_state_disk *d, vdisk_error *err)
{
	struct vdisk_create_options o = { .format = at->format, .size = d->size };
	struct transfer_leaves leaves;
	char path[PATH_MAX], file[TRANSFER_FILE_MAX];
	uint64_t size;

	image_path(at, d->name, path);
	if (vdisk_create(path, &o, &size, err))
		return -1;
	if (size != d->size)
		return fail(err, VDISK_UNSUPPORTED, "disk %s has %" PRIu64 " bytes, which a %s image cannot have", d->name, d->size,
		            at->format);
	transfer_file(d->name, "leaves", file);
	if (transfer_leaves_open(&leaves, at->dir, file, d->size, true, err))
		return -1;
	transfer_leaves_close(&leaves);
	return 0;
}

/* With the lock. */
static int image_mend(struct disk *d, const char *path, vdisk_error *err)
{
	const struct vdisk_format_info *f = vdisk_format_find(d->at->format);
	struct vdisk_open_options o = { .format = d->at->format,
		                        .flags = VDISK_OPEN_RW | VDISK_OPEN_CHECK,
		                        .cache_bytes = CACHE_BYTES };
	struct vdisk_check_result found;
	vdisk_image *img;
	int rc;

	if (!f || !(f->caps & VDISK_FORMAT_CHECK))
		return 0;
	if (vdisk_open(path, &o, &img, err))
		return -1;
	rc = vdisk_check(img, VDISK_CHECK_REPAIR_LEAKS, NULL, NULL, &found, err);
	if (vdisk_close(img, rc ? NULL : err))
		rc = -1;
	if (!rc && found.corruptions > found.corruptions_fixed)
		rc = fail(err, VDISK_CORRUPT, "the image of disk %s is damaged: the capture has to be abandoned", d->name);
	return rc;
}

/* With the lock. */
static int image_open(struct disk *d, vdisk_error *err)
{
	struct vdisk_open_options o = { .format = d->at->format, .flags = VDISK_OPEN_RW, .cache_bytes = CACHE_BYTES };
	char path[PATH_MAX];

	if (d->img)
		return 0;
	image_path(d->at, d->name, path);
	if (d->doubtful && image_mend(d, path, err))
		return -1;
	if (vdisk_open(path, &o, &d->img, err))
		return -1;
	if (vdisk_size(d->img) == d->size) {
		d->doubtful = false;
		return 0;
	}
	fail(err, VDISK_CORRUPT, "the image of disk %s has %" PRIu64 " bytes, not %" PRIu64, d->name, vdisk_size(d->img), d->size);
	vdisk_close(d->img, NULL);
	d->img = NULL;
	return -1;
}

int disk_image_close(struct disk *d, vdisk_error *err)
{
	int rc = d->img ? vdisk_close(d->img, err) : 0;

	d->img = NULL;
	d->doubtful |= rc || d->broken;
	d->broken = false;
	return rc;
}

int disk_image_use(struct disk *d, vdisk_error *err)
{
	int rc;

	while (d->broken) { /* its last user closes it */
		if (!d->users)
			disk_image_close(d, NULL);
		else
			pthread_cond_wait(&d->changed, &d->lock);
	}
	rc = d->sealed ? fail(err, VDISK_INVALID, "disk %s is complete", d->name) : image_open(d, err);
	if (!rc) {
		d->users++;
		d->used_at = clock_ms();
	}
	return rc;
}

void disk_image_break(struct disk *d)
{
	d->broken = true;
	for (unsigned i = 0; i < SLOTS; i++)
		if (d->slots[i].state == SLOT_WRITTEN)
			d->slots[i].state = SLOT_FREE;
	d->written = 0;
}

void disk_image_unuse(struct disk *d)
{
	d->users--;
	d->used_at = clock_ms();
	if (d->broken && !d->users)
		disk_image_close(d, NULL);
	pthread_cond_broadcast(&d->changed);
}
