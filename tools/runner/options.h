/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The command lines of vdisk boot and vdisk verify. */
#ifndef RUNNER_OPTIONS_H
#define RUNNER_OPTIONS_H

#include "common/source.h"
#include "machine.h"

enum firmware_kind { FIRMWARE_AUTO, FIRMWARE_BIOS, FIRMWARE_UEFI, FIRMWARE_NONE };
enum engine_kind { ENGINE_AUTO, ENGINE_KVM, ENGINE_QEMU };

struct options {
	const char *command; /* "boot" or "verify" */
	const char *images[MACHINE_DISKS_MAX];
	unsigned n_images;
	struct source_options source; /* of each image, but for its name */
	uint64_t mem_bytes;
	unsigned n_cpus;
	const char *kernel, *initrd, *append, *serial, *firmware_log;
	enum firmware_kind firmware;
	bool firmware_said;
	enum engine_kind engine;
	enum bus_kind bus;
	struct nic_config nic;
	unsigned timeout; /* seconds; 0: none */
	bool no_reboot, verbose;

	/* verify */
	const char *expect, *junit, *screenshot, *reference;
	bool json;
};

/* `command` decides which options there are.  0: go on; 1: done; -1: bad usage, said. */
int options_parse(struct options *o, const char *command, int argc, char **argv);

/* The text of --help. */
const char *options_usage(const char *command);

#endif
