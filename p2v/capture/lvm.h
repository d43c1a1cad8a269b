/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What LVM's and device mapper's own programs say of volumes, read from their text.  Nothing here runs anything. */
#ifndef CAPTURE_LVM_H
#define CAPTURE_LVM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <vdisk/vdisk.h>

#define LVM_NAME 128u

struct lvm_volume {
	char group[LVM_NAME], name[LVM_NAME];
	char id[65];                       /* the group's UUID and its own, without hyphens: device mapper's, behind "LVM-" */
	char attr[16], group_attr[16];     /* as lvs shows them */
	uint64_t size, extent, group_free; /* bytes */
	char tags[512];                    /* with commas between them */
};

struct lvm_pv {
	char device[256], group[LVM_NAME];
	uint64_t size, start,
	    end; /* bytes: of the device; where its extents begin and end.  What is outside of them is LVM's own */
};

/* A line of a device's table. */
struct lvm_target {
	char mapping[2 * LVM_NAME + 8]; /* the device's name: vg-root */
	char kind[24];                  /* "linear" */
	uint64_t off, len;              /* bytes of the device */
	unsigned stripes;               /* of linear and striped ones, else 0 */
	uint64_t piece;                 /* bytes of a stripe in one piece; 0: linear */
	char words[512];                /* what stands behind the kind, but for stripes' number and size: "8:2 2048 8:18 2048" */
};

struct lvm_facts {
	struct lvm_volume *volumes;
	size_t n_volumes;
	struct lvm_pv *pvs;
	size_t n_pvs;
	struct lvm_target *targets;
	size_t n_targets;
};

/* The words that make lvs and pvs print what lvm_facts_read() takes; NULL-terminated.  dmsetup's are "table". */
extern const char *const lvm_lvs[], *const lvm_pvs[];

/* -1: out of memory, or a text that is not understood; the facts are empty then. */
int lvm_facts_read(struct lvm_facts *f, const char *lvs, const char *pvs, const char *table, vdisk_error *err);
void lvm_facts_free(struct lvm_facts *f);

/* The volume with that UUID in device mapper ("LVM-…"); NULL: there is none. */
const struct lvm_volume *lvm_volume_find(const struct lvm_facts *f, const char *uuid);
/* The i-th device, "8:2", of a target, and the byte of it at which it begins; false: there is none. */
bool lvm_target_device(const struct lvm_target *t, unsigned i, char number[24], uint64_t *off);
/* "VG-LV", with hyphens in the names doubled. */
void lvm_mapping(char *out, size_t room, const char *group, const char *name);

/* What `dmsetup status` says of a snapshot: false: it has run full, or is none. */
bool lvm_snapshot_good(const char *status);

#endif
