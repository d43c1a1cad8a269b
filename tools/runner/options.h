/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The command line of vdisk boot. */
#ifndef RUNNER_OPTIONS_H
#define RUNNER_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OPTIONS_ALLOW_MAX 64
#define OPTIONS_IMAGES_MAX 16

enum firmware_kind { FIRMWARE_AUTO, FIRMWARE_BIOS, FIRMWARE_UEFI };

struct options {
	const char *images[OPTIONS_IMAGES_MAX];
	unsigned n_images;
	const char *format;
	const char *allow[OPTIONS_ALLOW_MAX + 1];
	size_t n_allow;
	uint64_t mem_bytes;
	unsigned n_cpus;
	const char *kernel, *initrd, *append, *serial, *firmware_log;
	enum firmware_kind firmware;
	bool firmware_said;
	unsigned timeout; /* seconds; 0: none */
	bool rw, no_reboot;
};

/* 0: go on; 1: done; -1: bad usage, said. */
int options_parse(struct options *o, int argc, char **argv);

#endif
