/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Driver packages in a folder of this machine or in an ISO, laid out as virtio-win's ISO and packages are (viostor/2k19/amd64,
   amd64/2k19, drivers/amd64/ Win2019) or in any other way: what of them is for one Windows and the wanted hypervisors. */
#ifndef ADAPT_PACKAGE_H
#define ADAPT_PACKAGE_H

#include "inf.h"
#include "windows.h"

struct package {
	char *inf;      /* its INF, from the folder's root: /viostor/2k19/amd64/viostor.inf */
	char *folder;   /* where it stands */
	char *name;     /* viostor.inf, small letters */
	char *for_name; /* the Windows that its folder is named for, where that is an older one than the guest's; else "" */
	unsigned rank;  /* 0: named for this Windows; the less the better */
	unsigned targets; /* hypervisors whose devices it drives; 0: unknown */
	bool boot;      /* it has a storage driver that starts at boot */
	struct inf_driver driver;
};

struct packages {
	struct tree *tree;
	struct package *all;
	size_t n;
	/* What was passed over, for a message: systems and processors that it is for, and INFs that cannot be read. */
	struct bytes systems, archs;
	struct bytes remarks; /* a line each */
};

/* 0, or -1 with *err.  Nothing that fits is no error here. */
int packages_find(struct packages *p, const char *folder, const struct windows_facts *w, unsigned targets, vdisk_error *err);
void packages_destroy(struct packages *p);

/* A file of a package, in any case; at most 64 MiB.  1, 0 or -1. */
int package_read(const struct packages *p, const struct package *k, const char *file, struct bytes *out, vdisk_error *err);

/* x86, amd64, arm64: as INFs and virtio-win say. */
const char *package_arch(const struct windows_facts *w);

/* A driver's head: 0, or -1 with *err where it is no driver.  *machine is x86, amd64, arm64 or "" (static); *sealed: a signature is
   in it. */
int driver_head(const struct bytes *file, const char *name, const char **machine, bool *sealed, vdisk_error *err);

#endif
