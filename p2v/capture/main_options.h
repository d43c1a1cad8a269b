/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CAPTURE_MAIN_OPTIONS_H
#define CAPTURE_MAIN_OPTIONS_H

#include "transfer/transfer.h"

#include <stdbool.h>
#include <stdint.h>

#define PROGRAM "vdisk capture"

enum freeze_wish { FREEZE_AUTO, FREEZE_ALL, FREEZE_NONE };
enum progress_wish { PROGRESS_AUTO, PROGRESS_BAR, PROGRESS_JSON, PROGRESS_NONE };

struct options {
	const char *devices[TRANSFER_DISKS_MAX];
	unsigned n_devices;
	bool all;
	const char *to;
	bool remote;               /* `to` is a URL */
	char token[1024];          /* "": none */
	bool has_fingerprint;
	uint8_t fingerprint[32];
	const char *ca_file, *cert, *key, *state, *format, *machine_out;
	bool resume, resync, everything, no_snapshot, list, json, force, quiet, verbose;
	unsigned passes;           /* 0: as many as it takes */
	unsigned jobs;             /* 0: by the processors */
	unsigned level, give_up, freeze_seconds, retries;
	bool has_give_up;
	uint64_t limit_rate;       /* bytes a second; 0: none */
	enum freeze_wish freeze;
	enum progress_wish progress;
};

/* 0: go on; 1: it was all (--help); -1: after a message. */
int options_parse(struct options *o, int argc, char **argv);

#endif
