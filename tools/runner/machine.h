/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A whole machine from power-on to the end of its run: a reset makes a new one, over the same disks. */
#ifndef RUNNER_MACHINE_H
#define RUNNER_MACHINE_H

#include "bus.h"
#include "files.h"
#include "vm.h"

#include <pthread.h>

#define MACHINE_CPUS_MAX  16
#define MACHINE_DISKS_MAX 16

/* PCI slots; 0 to 2 are the chipset's and the VGA's. */
#define MACHINE_DISKS_SLOT 3 /* virtio disks, one each; or the AHCI controller */
#define MACHINE_RNG_SLOT   (MACHINE_DISKS_SLOT + MACHINE_DISKS_MAX)
#define MACHINE_NIC_SLOT   (MACHINE_RNG_SLOT + 1)

enum machine_stop {
	MACHINE_RUNS,
	MACHINE_POWEROFF, /* the guest switched itself off */
	MACHINE_RESET,
	MACHINE_CRASH,    /* triple fault, or KVM gave up: the cause says which */
	MACHINE_LEFT,     /* the user had enough */
	MACHINE_QUIT,     /* a signal, or trouble of our own */
	MACHINE_TIMEOUT,
};

/* Where the disks hang.  The last two are QEMU's alone (--engine qemu). */
enum bus_kind { BUS_VIRTIO_BLK, BUS_AHCI, BUS_VIRTIO_SCSI, BUS_IDE };

struct nic_config {
	bool user;         /* user networking; false: no network card */
	char mac[18];      /* "52:54:00:12:34:56"; "": a default one */
	const char *model; /* NULL: virtio-net; others are QEMU's alone */
};

struct machine_config {
	uint64_t mem_bytes;
	unsigned n_cpus;
	const char *kernel, *initrd, *append; /* direct boot where kernel is set */
	const char *bios, *video_bios;        /* firmware's files otherwise */
	uint8_t *variables;                   /* of UEFI firmware, below its code; NULL: it has none.  Outlives resets */
	uint64_t variables_bytes;
	const char *debug_log;                /* the firmware's own log; NULL: dropped */
	int serial_fd;
	vdisk_image *disks[MACHINE_DISKS_MAX];
	unsigned n_disks;
	enum bus_kind bus;
	struct nic_config nic;
	int fds[FILES];                       /* of what is named above: files_open() */
	bool opened;
	bool verbose;                         /* a processor that dies is shown on standard error */
};

struct machine {
	const struct machine_config *config;
	struct vm vm;
	pthread_mutex_t lock;   /* guards buses and devices, but not their I/O threads' own state; first in the lock order */
	struct bus pio, mmio;
	struct vcpu *vcpus[MACHINE_CPUS_MAX];
	struct serial *serial;
	struct rtc *rtc;
	struct i8042 *i8042;
	struct ports *ports;
	struct pci *pci;
	struct chipset *chipset;
	struct pm *pm;
	struct fwcfg *fwcfg;
	struct firmware *firmware;
	struct flash *flash;
	struct vga *vga;
	struct virtio_blk *disks[MACHINE_DISKS_MAX]; /* BUS_VIRTIO_BLK */
	struct ahci *ahci;                           /* BUS_AHCI */
	struct virtio_rng *rng;
	struct virtio_net *net;                      /* config->nic.user */

	pthread_mutex_t stop_lock; /* guards the two below; a leaf */
	enum machine_stop stop;
	char cause[256];
	int stop_fd;               /* eventfd: readable once `stop` is set */
};

int machine_init(struct machine *m, const struct machine_config *config, vdisk_error *err);
/* Lets the processors run. */
int machine_start(struct machine *m, vdisk_error *err);
/* Stops all threads, frees all; also what machine_init() left half-made. */
void machine_destroy(struct machine *m);

/* From any thread; the first cause counts. */
void machine_stop(struct machine *m, enum machine_stop stop, const char *format, ...) __attribute__((format(printf, 3, 4)));
enum machine_stop machine_stopped(struct machine *m, char cause[256]);

#endif
