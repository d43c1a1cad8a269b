/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The parts of adapting a Windows, over one pair of hives that are edited in memory and written once, at the end. */
#ifndef ADAPT_EDIT_H
#define ADAPT_EDIT_H

#include "hive.h"
#include "known.h"
#include "package.h"
#include "steps.h"
#include "windows.h"

struct windows_edit {
	struct plan *plan;
	const struct facts *facts;
	const struct windows_facts *w;
	const struct adapt_options *o;
	struct hive system, software;
	struct bytes staged;  /* new driver files of the guest, as it names them (%SystemRoot%\…), each ended by a NUL */
	bool packages;        /* packages lie in Drivers\VirtIO for the first boot to install */
};

#define WINDOWS_STAGE "Drivers/VirtIO"   /* below the system's folder */
#define WINDOWS_STAGE_SAYS "%SystemRoot%\\Drivers\\VirtIO"

/* "ControlSet001\below": in `path`. */
#define WINDOWS_KEY_MAX 1024
void windows_key(char path[WINDOWS_KEY_MAX], unsigned set, const char *below, const char *name);
/* A path below the system's folder, as the guest spells what is there of it.  Owned; NULL with *err. */
char *windows_path(struct windows_edit *e, const char *below, vdisk_error *err);

/* Each 0, or -1 with *err. */
int windows_boot_starts(struct windows_edit *e, vdisk_error *err);  /* Windows' own storage drivers */
int windows_leave(struct windows_edit *e, vdisk_error *err);        /* other hypervisors' services and filters */
int windows_inject(struct windows_edit *e, vdisk_error *err);       /* --drivers */
int windows_register(struct windows_edit *e, const struct package *k, vdisk_error *err); /* a boot-start driver, in the SYSTEM
                                                                                            hive */
int windows_firstboot(struct windows_edit *e, vdisk_error *err);    /* after those */
int windows_loader(struct windows_edit *e, vdisk_error *err);       /* UEFI's fallback */

/* The first boot's script for the connections that had addresses of their own; false: there are none.  *six: some are of IPv6. */
bool windows_network_script(const struct windows_facts *w, struct bytes *out, bool *six);

#endif
