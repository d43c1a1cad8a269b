/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A machine's disks and NICs as another description can have them: what a writer goes by. */
#ifndef MACHINE_FIT_H
#define MACHINE_FIT_H

#include "describe.h"

#define FIT_SCSI(model) (1u << MACHINE_SCSI_##model)
#define FIT_NIC(model)  (1u << MACHINE_NIC_##model)
#define FIT_BUSES       9

struct fit_bus {
	unsigned controllers; /* 0: there is no such bus */
	unsigned units;       /* of each */
	int reserved;         /* a unit that is the controller's own; -1: none */
};

struct fit_rules {
	const char *what;                  /* for `lost`: "VMware" */
	struct fit_bus bus[FIT_BUSES];     /* by enum machine_bus */
	enum machine_bus disk, cdrom;      /* for those whose bus there is not */
	enum machine_bus spill;            /* for disks whose bus is full; UNKNOWN: there is none */
	unsigned scsi_models;              /* a set of FIT_SCSI() */
	enum machine_scsi scsi;            /* for others */
	unsigned nic_models;
	enum machine_nic_model nic;
	bool floppy;
};

struct fitted {
	struct machine_disk *disks; /* texts are the machine's; every unit is set; sorted as in the machine */
	size_t disks_n;
	struct machine_nic *nics;   /* models are set */
	size_t nics_n;
};

int fit(struct fitted *f, const struct machine *m, const struct fit_rules *rules, const struct describe_write *how,
	struct machine_lost_list *lost, vdisk_error *err);
void fit_free(struct fitted *f);
/* The adapter of a SCSI controller, UNKNOWN: no disk is at it. */
enum machine_scsi fit_adapter(const struct fitted *f, unsigned controller);
/* How many controllers of that bus there are: one more than the highest that has a disk. */
unsigned fit_controllers(const struct fitted *f, enum machine_bus bus);

/* The boot order: at most `max` of them, the first one first.  Returns how many. */
struct fit_boot {
	unsigned order;
	bool nic;
	size_t at; /* of disks or nics */
};

size_t fit_boot_list(const struct fitted *f, struct fit_boot *list, size_t max);
/* For readers whose description orders kinds of devices: the next number goes to the first disk with this medium, or to the first
   NIC.  Nothing where there is none or it has one already. */
void boot_medium(struct machine *m, enum machine_medium medium, unsigned *next);
void boot_nic(struct machine *m, unsigned *next);
/* The path with `how`'s folder before it if it is relative, to be freed; NULL: out of memory, or no path. */
char *fit_path(const struct machine_disk *d, const struct describe_write *how);
/* For readers: sets the disk's place, or leaves it open and lists it where another disk has it. */
void place_set(struct machine *m, struct machine_disk *d, unsigned controller, int unit);

/* What few descriptions can say, listed for those that cannot: a set of these. */
#define FIT_NO_UUID          0x0001u
#define FIT_NO_DESCRIPTION   0x0002u
#define FIT_NO_TPM           0x0004u
#define FIT_NO_SECURE_BOOT   0x0008u
#define FIT_NO_TOPOLOGY      0x0010u /* sockets, cores */
#define FIT_NO_THREADS       0x0020u
#define FIT_NO_CHIPSET       0x0040u
#define FIT_NO_SERIAL_PORTS  0x0080u
#define FIT_NO_DISK_SERIAL   0x0100u
#define FIT_NO_NIC_KIND      0x0200u
#define FIT_NO_VLAN          0x0400u
#define FIT_NO_MTU           0x0800u
#define FIT_NO_SECTOR        0x1000u
#define FIT_NO_BOOT          0x2000u
#define FIT_NO_VIDEO         0x4000u
#define FIT_NO_LINK          0x8000u /* a NIC that is not connected */
#define FIT_NO_READ_ONLY     0x10000u
#define FIT_NO_HOST_DEVICE   0x20000u
#define FIT_NO_UEFI          0x40000u
#define FIT_NO_VIDEO_MEMORY  0x80000u
#define FIT_NO_OS            0x100000u
#define FIT_NO_ARCH          0x200000u

/* Why sectors of another length than 512 bytes are lost. */
#define FIT_SECTORS "the guest is shown 512 and sees no partition: vdisk convert --sector-size 512 counts them anew"

void fit_lost(const struct machine *m, unsigned missing, const char *what, struct machine_lost_list *lost);

#endif
