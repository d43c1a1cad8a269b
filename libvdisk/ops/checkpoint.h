/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The record of what a conversion has done, from which a run that was broken off goes on.
 *
 * Beside the destination's temporary files stands ".NAME.vdisk-resume".  It does not hold the target's metadata but the decisions
 * that made it: of each window, in order, which places were asked for, of what kind and packed length, and where they came to lie.
 * Going on makes the image anew over the old files and lets the driver decide all of that again, which gives the same layout since
 * layouts follow from the order of requests alone (flow.h, F1); the guest's data is there already and is left alone (io/kept.c). So
 * no format knows about this.
 *
 *  R1. A window is recorded after its publication; its bytes were given to the host before.
 *  R2. What a mark says is durable was flushed before the mark was written.  After a reboot only that counts; in the same boot,
 * after whatever death of the process, every block counts, since the host still has the bytes. R3. Each block carries its checksum;
 * the first one that is not whole ends the record. R4. The source is what it was, or nothing is gone on with: fingerprint.c.
 *
 * The file: a header (magic, version, length, text, CRC-32), then blocks (magic, length, payload, CRC-32); numbers little-endian,
 * those in a payload as varints of 7 bits.
 */
#ifndef VD_OPS_CHECKPOINT_H
#define VD_OPS_CHECKPOINT_H

#include "ops/convert.h"
#include "core/staging.h"

/* ---- fingerprint.c: what must be the same */

/* Lines "key text", '\n' behind each; returns owned. */
int vd_fingerprint_make(struct vd_conv *c, const char *path, char **out, vd_error *err);
/* VDISK_REFUSED, naming the first line that differs. */
int vd_fingerprint_compare(const char *path, const char *then, const char *now, vd_error *err);

/* ---- checkpoint_record.c: one window as bytes */

struct vd_record {
	uint8_t *v;
	size_t n, cap;
	uint64_t last_off, last_host;
};
int vd_record_put(struct vd_record *r, uint64_t v, vd_error *err);
int vd_record_bytes(struct vd_record *r, const void *p, size_t n, vd_error *err);
int vd_record_window(struct vd_record *r, const struct vd_conv *c, const struct vd_window *w, vd_error *err);

struct vd_cursor {
	const uint8_t *p, *end;
	bool bad; /* it ended too early */
};
uint64_t vd_cursor_get(struct vd_cursor *k);
const uint8_t *vd_cursor_bytes(struct vd_cursor *k, size_t n);
struct vd_window_record {
	uint64_t off, len, n_places;
	uint64_t counts[5]; /* data, same, offloaded, packed_in, packed_out */
	bool zeros, leaves;
};
/* The head of a window; n_places places follow, and then, if `leaves`, for each leaf a byte and 32 more where that is 0. */
void vd_cursor_window(struct vd_cursor *k, uint64_t *last_off, struct vd_window_record *w);
void vd_cursor_place(struct vd_cursor *k, uint64_t *at, uint64_t *host, struct vd_resv *r);
/* What a place of kind DATA takes on the host. */
static inline uint64_t vd_place_bytes(const struct vd_resv *r) { return r->flags & VD_RESV_PACKED ? r->packed_len : r->len; }

/* ---- checkpoint_read.c: the record of a run that was broken off */

struct vd_saved {
	char *path;               /* of the record */
	char *fingerprint;
	uint64_t now, seed;       /* as vd_new_image has them */
	struct vd_kept_file *files;
	size_t n_files;
	struct vd_walk_point at;  /* where to go on */
	uint64_t end;             /* of what counts of the record */
	uint64_t last_off, last_host; /* where the next varints count from */

	/* the reading's: */
	struct vd_file *f;
	uint64_t begin, next;     /* of the first block, of the next one */
	uint8_t *block;           /* the payload of the one before */
	size_t block_cap;
	struct vd_cursor cursor;  /* in it */
};

/* *out NULL and success: there is nothing to go on with.  Reads all of it, once. */
int vd_saved_load(const char *path, struct vd_saved **out, vd_error *err);
void vd_saved_free(struct vd_saved *s);
/* The next window, as it was when it was recorded: places, leaves, counts.  From the beginning on. */
int vd_saved_next(struct vd_saved *s, struct vd_conv *c, struct vd_window *w, bool *more, vd_error *err);
/* What became of the files that it is about: gone, somebody is at work on them, or they wait. */
enum vd_saved_state { VD_SAVED_GONE, VD_SAVED_BUSY, VD_SAVED_WAITS };
enum vd_saved_state vd_saved_judge(const struct vd_saved *s, const char *path);

#define VD_CKPT_MAGIC       "vdiskrsm"
#define VD_CKPT_VERSION     1u
#define VD_CKPT_HEADER      16u /* magic, version, length */
#define VD_CKPT_BLOCK       8u  /* magic, length */
#define VD_CKPT_BLOCK_MAGIC 0x6b6c4256u
#define VD_CKPT_TEXT_MAX    (1u << 20)
#define VD_CKPT_BLOCK_MAX   (64u << 20)
#define VD_CKPT_WINDOWS     0u
#define VD_CKPT_MARK        1u
#define VD_BOOT_ID          36u
/* Of this boot; zeros where the host does not say. */
void vd_boot_id(char id[VD_BOOT_ID]);

/* ---- checkpoint.c: the record of this run */

struct vd_ckpt;
/* `cont`: the record to go on with; NULL: a new one, which is made when there is something to write. */
int vd_ckpt_new(struct vd_conv *c, const char *path, const char *fingerprint, uint64_t now, uint64_t seed,
		const struct vd_saved *cont, struct vd_ckpt **out, vd_error *err);
/* A window that was published.  A record that cannot be kept is given up; the conversion goes on. */
void vd_ckpt_add(struct vd_ckpt *k, const struct vd_window *w);
/* Now and then: writes down what is due. */
void vd_ckpt_tick(struct vd_ckpt *k);
/* All of it, durable when it returns. */
int vd_ckpt_save(struct vd_ckpt *k, vd_error *err);
/* Everything is written down, and nothing is flushed in the background any more. */
void vd_ckpt_settle(struct vd_ckpt *k);
/* The guest offset up to which everything is recorded durably. */
uint64_t vd_ckpt_durable(struct vd_ckpt *k);
/* The record stays. */
void vd_ckpt_free(struct vd_ckpt *k);

#endif
