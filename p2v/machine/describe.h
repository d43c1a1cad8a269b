/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Descriptions of machines, from and to bytes.
 *
 * Readers take whatever bytes: XML without network, entities or depth, numbers and lists within limits.  What a description says
 * and the model has no place for is listed in the machine's `lost`; what another description cannot say is listed by the writer.
 * No file is opened here.
 */
#ifndef MACHINE_DESCRIBE_H
#define MACHINE_DESCRIBE_H

#include "machine.h"

enum describe_kind {
	DESCRIBE_UNKNOWN,
	DESCRIBE_JSON,    /* vdisk-machine(5) */
	DESCRIBE_LIBVIRT, /* domain XML */
	DESCRIBE_VMX,     /* VMware */
	DESCRIBE_OVF,     /* envelope 1.x, 2.0 */
	DESCRIBE_VBOX,    /* VirtualBox */
	DESCRIBE_XL,      /* Xen, xl.cfg(5) */
	DESCRIBE_HYPERV,  /* read: exported XML of the old kind; written: a PowerShell script */
	DESCRIBE_VMC,     /* Virtual PC; read only */
	DESCRIBE_XVA,     /* XenServer's ova.xml; read only */
	DESCRIBE_PROXMOX, /* qemu-server's NNN.conf, VMA's qemu-server.conf; read only */
};

#define DESCRIBE_MAX ((size_t)8 << 20) /* bytes that are read */

/* libvirt, vmx, …: NULL where it is none. */
const char *describe_kind_name(enum describe_kind kind);
enum describe_kind describe_kind_parse(const char *name); /* DESCRIBE_UNKNOWN: no such kind */
bool describe_kind_written(enum describe_kind kind);
/* By the bytes, and by the end of the file's name where they do not tell (name may be NULL). */
enum describe_kind describe_probe(const void *bytes, size_t len, const char *name);

struct describe_read {
	enum describe_kind kind; /* UNKNOWN: describe_probe() */
	const char *name;        /* of the file, for probing and as the machine's name where the description has none; may be
	                            NULL */
	unsigned system;         /* of a description that holds several: which, from 0 */
};

/* *m is new, or -1.  m->systems says how many there are.  `how` may be NULL. */
int describe_read(const void *bytes, size_t len, const struct describe_read *how, struct machine **m, vdisk_error *err);

struct describe_write {
	enum machine_bus disk_bus;         /* put all disks there (CD-ROM drives stay on IDE or SATA); UNKNOWN: where they are, or
	                                      the nearest that the kind has */
	enum machine_scsi scsi;            /* with disk_bus SCSI */
	enum machine_nic_model nic_model;  /* UNKNOWN: as it is */
	enum machine_net net;              /* UNKNOWN: as it is */
	const char *network;
	const char *folder;                /* in which relative paths lie: set before them where the kind wants absolute ones
	                                      (libvirt, xl); NULL: left as they are */
	const char *domain;                /* libvirt's domain type: "kvm" (also NULL) or "qemu" */
	unsigned ovf_version;              /* 1 (also 0) or 2 */
	bool snapshots_told;               /* what becomes of the machine's snapshots is somebody else's to tell: they are not
	                                      listed as lost */
};

/* A text to be freed, of *len bytes, a NUL behind them; NULL: failed.  What the kind cannot say is added to *lost (may be NULL), in
   words.  `how` may be NULL.  Disks need their path, where they are disks; OVF wants size, too. */
char *describe_write(const struct machine *m, enum describe_kind kind, const struct describe_write *how, size_t *len,
		     struct machine_lost_list *lost, vdisk_error *err);

/* The UUID that a .vbox has for an image at `path` whose own is not known (image_uuid NULL): whoever makes that image gives it
   that. */
void describe_image_uuid(const struct machine *m, const char *path, char out[37]);

#endif
