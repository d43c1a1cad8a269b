/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Unified kernel images: a PE file whose sections are kernel, initial RAM disk and command line.  Pure. */
#ifndef RUNNER_UKI_H
#define RUNNER_UKI_H

#include "common/fail.h"

struct uki_part {
	size_t off, len; /* in the file; len 0: there is none */
};

struct uki {
	struct uki_part linux_, initrd, cmdline;
};

int uki_parse(const uint8_t *bytes, size_t len, struct uki *out, vdisk_error *err);

#endif
