/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The guest's files through libguestfs: found, unlocked and mounted in its appliance as the guest would; shown below a folder here,
   or worked with by whoever else has the handle. */
#ifndef VDISK_FILES_GUEST_H
#define VDISK_FILES_GUEST_H

#include <guestfs.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <vdisk/vdisk.h>

#define GUEST_DISKS_MAX 16

struct guest_options {
	const char *program;          /* as libguestfs is to know it */
	const char *image;            /* for messages: the (first) disk */
	const char *const *sockets;   /* raw disks, behind NBD; in the guest's order */
	size_t n_sockets;             /* 1 to GUEST_DISKS_MAX */
	const char *root;             /* the device with the root, as the guest names it; NULL: the only one */
	const char *const *key_files; /* passphrases for what is encrypted */
	size_t n_keys;
	bool rw;
};

struct guest_device { /* a disk, partition, array, volume, or the open side of something encrypted */
	char *name;   /* libguestfs's */
	char **blkid; /* what guestfs_blkid() says, pairs of key and value; NULL: nothing is known of it */
};

struct guest {
	guestfs_h *g;
	struct guest_device *devices; /* all of them, asked once */
	size_t n_devices;
	bool rw;
	char opened[4096]; /* devices that were decrypted, each between blanks */
	char locked[256];  /* one that could not be, by our name; "": none */
	vdisk_error trouble; /* what kept a key from being tried on it, at last; of kind VDISK_OK: nothing */
	char disks[GUEST_DISKS_MAX][64]; /* as the appliance names them */
	size_t n_disks;
	atomic_ullong calls; /* of libguestfs, since it was mounted: somebody looks */
};

/* Starts the appliance over the disks and mounts what it finds.  0, or -1 with *err. */
int guest_open(struct guest *t, const struct guest_options *o, vdisk_error *err);
/* The first half: it runs, and what the keys open is open. */
int guest_start(struct guest *t, const struct guest_options *o, vdisk_error *err);
/* Mounts the system with that root at these places (mount point, device … and NULL; NULL: as libguestfs's inspection, which has
   run, found them), and unmounts it. */
int guest_system_mount(struct guest *t, const char *root, char *const *places, vdisk_error *err);
int guest_system_unmount(struct guest *t, vdisk_error *err);
void guest_strings_free(char **v);
/* "" where blkid does not say. */
const char *guest_device_value(const struct guest_device *d, const char *key);
/* A device by our name: the first disk is /dev/sda, whatever the appliance calls it.  Also inside of names like
   "btrfsvol:/dev/sdb1/@". */
void guest_name(const struct guest *t, const char *device, char *out, size_t room);
/* What libguestfs complains of, as an error. */
int guest_fail(struct guest *t, vdisk_error *err, const char *what);

/* Mounts it on `mountpoint`: the kernel then waits for guest_serve(), which returns once it is unmounted.  `lasting`: nothing
   changes meanwhile, and nobody needs to hear of each use, so that this kernel may answer from what it has seen. */
int guest_mount(struct guest *t, const char *mountpoint, bool allow_other, bool lasting, vdisk_error *err);
int guest_serve(struct guest *t, vdisk_error *err);
/* Unmounts inside, so that everything is written, and ends the appliance; -1 with *err where that fails. */
int guest_close(struct guest *t, vdisk_error *err);

#endif
