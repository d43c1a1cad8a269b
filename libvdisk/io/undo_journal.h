/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The journal's insides; for io/undo*.c alone. */
#ifndef VD_IO_UNDO_JOURNAL_H
#define VD_IO_UNDO_JOURNAL_H

#include "io/undo.h"

#include <pthread.h>

#define UNDO_SECTOR 512u
#define UNDO_HEAD   32u
#define UNDO_PIECE  (1u << 20) /* most bytes in one record */
#define UNDO_BLOCK  (64u << 10) /* the grain of what is logged */
#define UNDO_FILES  4096u
#define UNDO_TEXT   65536u

enum undo_kind { UNDO_META = 1, UNDO_FILE, UNDO_BYTES, UNDO_ZEROS, UNDO_AFTER };

struct vd_undo {
	struct vd_file *journal;
	pthread_mutex_t lock;     /* guards all below, and is held while the journal is written */
	enum vd_undo_state state;
	uint64_t end;             /* where the next record goes */
	bool dirty;               /* records that are not durable */
	bool failed;              /* the journal could not be written: nothing may be changed any more */
	char *meta;
	struct vd_undo_file *files;
	unsigned n_files;
	uint8_t *buf;             /* UNDO_HEAD + UNDO_PIECE */
};

struct undo_record {
	uint32_t kind, file;
	uint64_t off, len;
};

struct vd_undo *vd_undo_make(struct vd_file *journal, vd_error *err);
/* Room for one more; *i: its number. */
int vd_undo_file_add(struct vd_undo *u, const char *name, uint64_t size, const struct vd_identity *id, unsigned *i, vd_error *err);
/* Room for one more range in its list. */
int vd_undo_room(struct vd_undo_file *f, vd_error *err);
/* The caller holds the lock.  Of payloads of at most UNDO_PIECE. */
int vd_undo_append(struct vd_undo *u, const struct undo_record *r, const void *payload, vd_error *err);
/* Before [off, off+len) of file i changes; `f` is read. */
int vd_undo_guard(struct vd_undo *u, unsigned i, struct vd_file *f, uint64_t off, uint64_t len, vd_error *err);
/* The file of that name, or -1. */
int vd_undo_find(const struct vd_undo *u, const char *name);
uint32_t vd_undo_sum(const uint8_t head[UNDO_HEAD], const void *payload, size_t len);

#endif
