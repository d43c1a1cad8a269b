/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From the command line to something that can be powered on: disks, firmware, engine.  Both programs' first half. */
#ifndef RUNNER_SETUP_H
#define RUNNER_SETUP_H

#include "engine.h"
#include "options.h"

struct setup {
	const struct options *options;
	struct machine_config config;
	struct engine_config engine_config;
	struct engine engine;
	char folder[ENGINE_FOLDER_MAX]; /* for temporary files; "": none was needed */
	char program[4096];  /* QEMU */
	char note[1200];     /* why the engine is not the one on KVM; "": it is, or was asked for */
	char append[4096], kernel[ENGINE_PATH_MAX], initrd[ENGINE_PATH_MAX]; /* --firmware none */
	int signal_fd;
};

/* Opens all.  Signals that end the program come by signal_fd from now on. */
int setup_open(struct setup *s, const struct options *o, bool capture, vdisk_error *err);
/* `failed`: *err is filled in already, and stays. */
int setup_close(struct setup *s, bool failed, vdisk_error *err);

/* Of the monotonic clock. */
int64_t clock_ms(void);

#endif
