/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A driver's setup file (INF): sections, lines, and the strings they name.  Then what it means for one Windows: which devices it
   drives, with which service, from which files. */
#ifndef ADAPT_INF_H
#define ADAPT_INF_H

#include "tree.h"

#define INF_MAX (4u << 20) /* bytes of a file that is read */

struct inf_line {
	char *key;      /* "" where the line has none; with %names% replaced */
	char **values;  /* likewise, without quotes */
	size_t n;
};

struct inf_section {
	char *name;
	struct inf_line *lines;
	size_t n, cap;
};

struct inf {
	struct inf_section *sections;
	size_t n, cap;
	size_t *order; /* of the sections, by their names in any case */
};

/* UTF-16 with its mark, UTF-8, or bytes of an old code page (their ASCII part counts).  0, or -1 with *err, which names `name`. */
int inf_parse(struct inf *f, const char *name, const void *bytes, size_t len, vdisk_error *err);
void inf_destroy(struct inf *f);
const struct inf_section *inf_section(const struct inf *f, const char *name); /* in any case; NULL */
/* The first value of the key in the section, or NULL. */
const char *inf_value(const struct inf *f, const char *section, const char *key);

/* ---------------------------------------------------------------- meaning */

struct inf_device {
	char *id;       /* PCI\VEN_1AF4&DEV_1001&SUBSYS_00021AF4&REV_00, upper case */
	char *install;  /* the section that installs it, as it is written: scsi_inst */
	bool hardware;  /* its hardware id, not a compatible one */
};

struct inf_setting {  /* a value that the service's key is given */
	char *key;      /* below the service: Parameters\PnpInterface, or "" */
	char *name;
	uint32_t type;  /* REG_SZ … */
	struct bytes value; /* as the registry holds it */
};

struct inf_service {
	char *name;
	char *display, *group;
	char *binary;   /* the driver's file name: viostor.sys */
	uint32_t type, start, error;
	bool front;     /* its tag comes first in its group */
	bool function;  /* it is the driver of the device, not a helper */
	struct inf_setting *settings; size_t settings_n;
};

struct inf_driver {
	char *class_name, *class_guid; /* {4D36E97B-…}, upper case */
	char *catalog;
	struct inf_device *devices; size_t devices_n;
	struct inf_service *services; size_t services_n;
	struct bytes files; /* names that it copies, each ended by a NUL, as SourceDisksFiles says */
	char *date, *version; /* DriverVer */
};

struct inf_target {
	const char *arch;       /* x86, amd64, arm64 */
	unsigned major, minor, build;
	bool server;
};

/* What it says for that Windows.  1; 0 where it is not for it; -1 with *err, which names `name`. */
int inf_driver_read(struct inf_driver *d, const struct inf *f, const char *name, const struct inf_target *target, vdisk_error *err);
void inf_driver_destroy(struct inf_driver *d);

#endif
