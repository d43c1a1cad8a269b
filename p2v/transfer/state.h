/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A capture's folder, as a receiver keeps it and `vdisk capture --to DIR` makes it:
 *
 *   capture.json     what stands in struct transfer_state
 *   machine.json     the machine's description (vdisk-machine(5)); when all is whole, with the disks' files and formats
 *   DISK.FORMAT      the disk's image
 *   DISK.leaves      see leaves.h; gone when all is whole
 *   DISK.pass        the last pass that was found good (struct transfer_pass as JSON): digest, bad ranges
 *   DISK.manifest    vdisk-digest(5), when all is whole
 *
 * It is called NAME.partial until it is whole.  Files are replaced at one stroke, durably.  A state belongs to one thread at a
 * time.
 */
#ifndef TRANSFER_STATE_H
#define TRANSFER_STATE_H

#include "transfer.h"

#define TRANSFER_STATE_SCHEMA 1
#define TRANSFER_STATE_FILE   "capture.json"
#define TRANSFER_MACHINE_FILE "machine.json"
#define TRANSFER_FILE_MAX     (TRANSFER_NAME_MAX + 16u)
#define TRANSFER_FRESH(name)  "." name ".new" /* what a file is called until it takes another one's place */

struct transfer_state_disk {
	char name[TRANSFER_NAME_MAX + 1];
	uint64_t size;
};

struct transfer_state {
	char id[33];                       /* 32 hexadecimal digits, by chance */
	bool whole;
	char folder[TRANSFER_FOLDER_MAX];  /* its name when it is whole */
	char host[TRANSFER_NAME_MAX + 1];  /* the machine's name, made safe */
	char machine[TRANSFER_NAME_MAX + 1]; /* what it is told from others by: its UUID */
	char format[17];                   /* of the images */
	uint64_t begun, ended;             /* seconds since 1970; ended 0: not yet */
	bool received;                     /* by a receiver.  Then: */
	uint8_t secret[32], token[32];     /* SHA-256 of the capture's secret and of the token that it began with */
	json_object *work;                 /* what became of what was asked for afterwards; NULL: nothing was */
	struct transfer_state_disk disks[TRANSFER_DISKS_MAX];
	size_t n_disks;
};

/* "DISK.ENDING"; the name is a good one. */
void transfer_file(const char *disk, const char *ending, char out[TRANSFER_FILE_MAX]);
/* Replaces the file `name` in the folder at one stroke, durably.  sys_errno ENAMETOOLONG where TRANSFER_FRESH(name) would be. */
int transfer_file_write(int dir, const char *name, const void *text, size_t len, vdisk_error *err);
/* The file's bytes, at most TRANSFER_BODY_MAX of a regular file, NUL behind them; NULL with *err, sys_errno ENOENT where there is
   none.  Returns owned. */
char *transfer_file_read(int dir, const char *name, size_t *len, vdisk_error *err);

int transfer_state_write(int dir, const struct transfer_state *s, vdisk_error *err);
/* Takes nothing that does not hold together; transfer_state_free() also after a failure. */
int transfer_state_read(int dir, struct transfer_state *s, vdisk_error *err);
void transfer_state_free(struct transfer_state *s);

int transfer_pass_save(int dir, const char *disk, const struct transfer_pass *p, vdisk_error *err);
/* 0, and p->pass is 0 where there is none. */
int transfer_pass_load(int dir, const char *disk, uint64_t size, struct transfer_pass *p, vdisk_error *err);

#endif
