/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the two halves of the reader of OVF share: envelope and virtual hardware. */
#ifndef MACHINE_OVF_H
#define MACHINE_OVF_H

#include "machine.h"
#include "xml.h"

struct ovf_file {
	const char *id, *href, *compression;
	uint64_t size, chunk;
	unsigned disks; /* that are in it */
};

struct ovf_disk {
	const char *id, *format, *parent; /* parent: a delta disk over that one */
	struct ovf_file *file; /* NULL: an empty disk */
	uint64_t capacity;     /* bytes */
	bool used;             /* by a device of the machine */
};

struct ovf {
	struct machine *m;
	struct xml x;
	vdisk_error *err;
	bool networks;         /* there is a NetworkSection */
	struct ovf_file *files;
	size_t files_n;
	struct ovf_disk *disks;
	size_t disks_n;
	const char *configuration; /* the default one's id, or NULL */
};

/* Whether it is this section, in the words of 1.x or of 0.9: <Section xsi:type="ovf:DiskSection_Type">.  Marks it. */
bool ovf_is(xmlNode *node, const char *section);
/* ovf:required: true where it is not said. */
bool ovf_required(struct ovf *o, xmlNode *node);
/* Elements that the standard does not know are passed over only where they say ovf:required="false". */
int ovf_unknown(struct ovf *o, xmlNode *node);
#define OVF_NESTING_MAX 16

/* <References>, a DiskSection: fill files and disks. */
int ovf_references(struct ovf *o, xmlNode *root);
int ovf_disks(struct ovf *o, xmlNode *section);
size_t ovf_count(xmlNode *parent, const char *name); /* children with this name */
struct ovf_disk *ovf_disk_find(struct ovf *o, const char *id);
struct ovf_file *ovf_file_find(struct ovf *o, const char *id);
/* "byte * 2^20", "MegaBytes", …: bytes, or 0: not understood. */
uint64_t ovf_units(const char *text);
void ovf_disk_use(struct ovf *o, struct machine_disk *d, struct ovf_disk *disk);
/* Of an envelope with one machine: the disks that are none of it are listed as lost. */
void ovf_disks_left(struct ovf *o);
/* A whole VirtualHardwareSection: ovf_items.c. */
int ovf_hardware(struct ovf *o, xmlNode *section);

#endif
