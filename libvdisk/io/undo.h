/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The undo journal: what the bytes of some host files were before a change of them, so that the change can be taken back after a
 * crash at any point, whatever the format that the files hold.
 *
 *  U1. Before a byte that lay in a file when the journal began is changed for the first time, what it was stands in the journal,
 *      durably.
 *  U2. So does the file's old length before anything of it changes.
 *  U3. The journal counts from the moment that its first sector is valid, which is written last, when all that stands behind it is
 *      durable; nothing is changed before.  It ceases to count when the file is removed, or that sector says so.
 *  U4. What it holds of a byte never changes, so it can be used again and again: a restoration that is broken off is begun anew,
 *      and when it is through, the same journal serves the next attempt at the change.
 *
 * The file (integers little-endian).  At 0 a sector of 512 bytes: "vdisk undo\r\n\x1a\n\0\0" (16 bytes), u32 version (1), u32 state
 * (enum vd_undo_state), zeros, and at 508 the CRC-32 of the 508 bytes before.  From 512 on records, one behind the other, up to the
 * first that is not whole: u32 kind, u32 file, u64 off, u64 len, u32 0, u32 CRC-32 of those 28 bytes and the payload, then the
 * payload, of len bytes (ZEROS: none).
 *   META   once, first: lines "key value", for the program
 *   FILE   the next file, by number from 0: off is its length; payload: lines "inode N", "birth N" (nanoseconds since 1970; 0: not
 *          known), "name TEXT" (as the image names it, relative to its folder; "" is the image itself)
 *   BYTES  what stood at `off` of that file;  ZEROS  the same, zeros
 *   AFTER  what the file is when the change is complete: off is its length; payload: line "mtime N" (nanoseconds)
 */
#ifndef VD_IO_UNDO_H
#define VD_IO_UNDO_H

#include "io/file.h"
#include "io/identity.h"

enum vd_undo_state {
	VD_UNDO_NONE,    /* no journal, or one that never came to count */
	VD_UNDO_ACTIVE,  /* a change is under way, or was broken off */
	VD_UNDO_KEPT,    /* the change is complete; the journal is the way back */
	VD_UNDO_UNDOING, /* being taken back by a journal that had been kept */
};

struct vd_undo;

struct vd_undo_file {
	char *name;
	uint64_t size;            /* then */
	struct vd_identity id;    /* ino 0: not known; the device is never */
	bool has_after;
	uint64_t after, mtime;
	/* the writer's: what of [0, size) stands in the journal; ascending, apart */
	struct vd_range *logged;
	size_t n, cap;
};

/* What the first sector says.  Reads nothing else. */
int vd_undo_peek(struct vd_file *journal, enum vd_undo_state *state, vd_error *err);
/* Begins one on an empty file (takes it).  Nothing counts yet. */
int vd_undo_new(struct vd_file *journal, const char *meta, struct vd_undo **out, vd_error *err);
/* Reads one (takes the file).  VDISK_CORRUPT where its first sector is none. */
int vd_undo_load(struct vd_file *journal, struct vd_undo **out, vd_error *err);
void vd_undo_free(struct vd_undo *u); /* closes the file; NULL is a no-op */

const char *vd_undo_meta(const struct vd_undo *u);
enum vd_undo_state vd_undo_state(const struct vd_undo *u);
unsigned vd_undo_n_files(const struct vd_undo *u);
const struct vd_undo_file *vd_undo_file(const struct vd_undo *u, unsigned i);
uint64_t vd_undo_bytes(const struct vd_undo *u); /* its length */

/* What lies in the range of file i goes into the journal, unless it stands there; durable with the first change after it.  `f` is
   read. */
int vd_undo_log(struct vd_undo *u, unsigned i, struct vd_file *f, uint64_t off, uint64_t len, vd_error *err);
/* Everything logged is durable, and the journal counts. */
int vd_undo_arm(struct vd_undo *u, vd_error *err);
/* Another state: durable when it returns. */
int vd_undo_state_set(struct vd_undo *u, enum vd_undo_state state, vd_error *err);
/* How file i is left. */
int vd_undo_after(struct vd_undo *u, unsigned i, uint64_t size, uint64_t mtime, vd_error *err);
/* Gives f, which is file i, its old bytes and its old length, durably. */
int vd_undo_restore(struct vd_undo *u, unsigned i, struct vd_file *f, vd_error *err);

/* `inner` (taken, open for writing, alone in use) with U1 and U2 kept by `u`, which must outlive it.  `name` as in FILE; one that
   the journal knows already is that file.  Thread-safe as `inner`. */
int vd_file_undo(struct vd_file *inner, struct vd_undo *u, const char *name, struct vd_file **out, vd_error *err);
/* vd_undo_log() for what such a file is going to be changed in; another kind of file: nothing. */
int vd_file_undo_log(struct vd_file *f, uint64_t off, uint64_t len, vd_error *err);

#endif
