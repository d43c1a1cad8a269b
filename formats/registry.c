/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The formats of this build, in the order in which probes of equal certainty win; and what the build says of itself. */
#include "core/driver.h"

#ifndef VDISK_VERSION
#error "the build must say VDISK_VERSION"
#endif

#define NOTHING
#define FORMATS(X, BETWEEN) \
	X(qcow2) BETWEEN \
	X(vmdk) BETWEEN \
	X(vhd) BETWEEN \
	X(vhdx) BETWEEN \
	X(vdi) BETWEEN \
	X(qcow) BETWEEN \
	X(qed) BETWEEN \
	X(parallels) BETWEEN \
	X(bochs) BETWEEN \
	X(raw)

#define DECLARE(format) extern const struct vd_driver vd_driver_##format;
FORMATS(DECLARE, NOTHING)

#define ENTRY(format) &vd_driver_##format,
const struct vd_driver *const vd_drivers[] = { FORMATS(ENTRY, NOTHING) NULL };

#define NAME(format) #format
#ifdef VDISK_HAVE_HTTP
#define HTTP " http"
#else
#define HTTP ""
#endif
#ifdef VDISK_HAVE_NBD
#define NBD " nbd"
#else
#define NBD ""
#endif
const char vd_version_text[] = VDISK_VERSION " (" FORMATS(NAME, " ") "; zlib zstd luks" HTTP NBD ")";
