/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What runs a machine: the own one on KVM, or QEMU.  One machine lasts from power-on to its stop; a reset asks for a new one. */
#ifndef RUNNER_ENGINE_H
#define RUNNER_ENGINE_H

#include "machine.h"
#include "screen.h"

#define ENGINE_FOLDER_MAX 1024
#define ENGINE_PATH_MAX   1088 /* of a file in the folder */

struct engine_config {
	const struct machine_config *machine;
	bool capture;        /* what the guest sends comes out of output_fd, and does not go to machine->serial_fd */
	/* QEMU's */
	const char *program; /* absolute */
	bool accelerated;    /* on KVM */
	const char *folder;  /* for its temporary files */
};

struct engine {
	const struct engine_ops *ops;
	const struct engine_config *config;
	void *state;
	int event_fd;  /* readable: ask stopped() */
	int output_fd; /* readable: what the guest sent; -1: it goes to machine->serial_fd by itself.  Never blocks */
};

struct engine_ops {
	const char *name;
	/* Powers a machine on.  On failure, too, end() is due. */
	int (*begin)(struct engine *e, vdisk_error *err);
	/* MACHINE_RUNS, or how it stopped and why. */
	enum machine_stop (*stopped)(struct engine *e, char cause[256]);
	/* How many bytes of input the guest has room for; and giving it some. */
	size_t (*room)(struct engine *e);
	void (*input)(struct engine *e, const uint8_t *bytes, size_t n);
	/* SCREEN_TEXT, or SCREEN_PICTURE where `picture` is wished for or nothing else can be had.  SCREEN_NONE is no error. */
	int (*screen)(struct engine *e, bool picture, struct screen *s, vdisk_error *err);
	/* Stops what still runs and frees; output_fd is read to its end before, by whom it concerns. */
	void (*end)(struct engine *e);
};

extern const struct engine_ops engine_kvm, engine_qemu;

#endif
