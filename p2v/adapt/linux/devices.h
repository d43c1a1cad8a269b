/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the old machine's names of disks and partitions mean among the disks that were taken along. */
#ifndef ADAPT_LINUX_DEVICES_H
#define ADAPT_LINUX_DEVICES_H

#include "facts.h"
#include "text.h"

#define DEVICE_NAME_MAX 256
#define DEVICE_DISKS_MAX 64

struct device_name {
	char disk[DEVICE_NAME_MAX]; /* /dev/sda, /dev/cciss/c0d0, /dev/disk/by-id/ata-… */
	unsigned part;              /* 0: the whole disk */
	int index;                  /* which disk such a name means by itself, from 0; -1: it does not say */
};

/* Is this the name of a disk or partition that another machine calls otherwise?  LVM, MD, UUID=, LABEL= and the like are none. */
bool device_parse(const char *name, struct device_name *out);

struct devices {
	const struct facts *facts;
	unsigned disks;             /* that were taken along; 0: nothing is known of them */
	bool closed;                /* something could hold file systems which the facts do not show */
	struct {
		char name[DEVICE_NAME_MAX];
		int disk;           /* -1: not taken along; -2: cannot be told */
	} known[DEVICE_DISKS_MAX];
	size_t n;
};

enum device_answer {
	DEVICE_OTHER,  /* no name of a disk, or nothing is known of the disks: it stays as it is */
	DEVICE_FOUND,
	DEVICE_GONE,   /* its disk was not taken along */
	DEVICE_UNSURE,
};

/* Learns from fstab and crypttab which disk each name meant. */
int devices_read(struct devices *d, struct plan *p, const struct facts *f, vdisk_error *err);
enum device_answer device_find(const struct devices *d, const char *name, const struct fact_fs **fs);
/* Of any name of fstab: does it mean what is certainly not there? */
bool device_is_gone(const struct devices *d, const char *name);
/* Is it a logical volume (/dev/VG/LV, /dev/mapper/VG-LV) of which none of the disks knows? */
bool volume_is_gone(const struct devices *d, const char *name);
/* UUID=…, else PARTUUID=…, else LABEL=…; with `part` PARTUUID= alone (what a kernel without an initramfs knows).  False: it has
 * none. */
bool device_lasting(const struct devices *d, const struct fact_fs *fs, bool part, char out[DEVICE_NAME_MAX]);

/* The parts of step_devices(). */
int fstab_adapt(struct plan *p, const struct devices *d, vdisk_error *err);
int crypttab_adapt(struct plan *p, const struct devices *d, vdisk_error *err);
int resume_adapt(struct plan *p, const struct devices *d, vdisk_error *err);
int storage_adapt(struct plan *p, const struct devices *d, vdisk_error *err);
/* Where an initramfs of initramfs-tools or dracut has what these change in the guest. */
int crypttab_image_adapt(struct plan *p, const struct devices *d, vdisk_error *err);
int resume_image_adapt(struct plan *p, const struct devices *d, vdisk_error *err);

#endif
