/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The tables behind machine_*_name() and machine_*_parse(). */
#ifndef MACHINE_NAMES_H
#define MACHINE_NAMES_H

#include <stddef.h>

struct names {
	const char *const *at;
	size_t n;
};

extern const struct names names_firmware, names_chipset, names_tpm, names_video, names_medium, names_bus, names_scsi,
	names_nic_model, names_net, names_serial_kind;

/* The name's place, or -1. */
int names_find(const struct names *names, const char *text);

#endif
