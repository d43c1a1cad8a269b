/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The transfer protocol, version 1, that captures and receivers speak (man/vdisk-transfer.5): what both have to know alike.
 *
 * A disk is cut into chunks, which are the leaves of its tree digest (man/vdisk-digest.5).  They travel as records in the body of
 * POST /v1/captures/ID/disks/NAME/chunks: a header of TRANSFER_RECORD_BYTES and `packed` bytes behind it, one record behind the
 * other.
 *
 * The fingerprint by which a client knows the receiver is the SHA-256 of the public key in its certificate (the
 * SubjectPublicKeyInfo, DER), as 64 hexadecimal digits: what CURLOPT_PINNEDPUBLICKEY takes as "sha256//" and the same 32 bytes in
 * base64 (transfer_pin()).
 *
 * Nothing here has state; a packer and an unpacker belong to one thread at a time.
 */
#ifndef TRANSFER_H
#define TRANSFER_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <vdisk/vdisk.h>

#define TRANSFER_VERSION   1u
#define TRANSFER_PORT      "8443"
#define TRANSFER_CHUNK     VDISK_DIGEST_LEAF
#define TRANSFER_SIZE_MAX  ((uint64_t)1 << 46)   /* bytes of a disk: 64 TiB */
#define TRANSFER_DISKS_MAX 64u
#define TRANSFER_BODY_MAX  ((size_t)4 << 20)     /* of JSON, either way */
#define TRANSFER_DIGESTS_MAX 32768u              /* chunks of one answer to GET …/digests */
#define TRANSFER_BAD_MAX   65536u                /* entries of one pass's list of bad ranges */

/* ---------------------------------------------------------------- digests */

/* Chunks of a disk of so many bytes, and the length of one of them. */
uint64_t transfer_chunks(uint64_t size);
size_t transfer_chunk_len(uint64_t size, uint64_t index);
extern const uint8_t transfer_zero[32]; /* digest of a whole chunk of zeros */
int transfer_sha256(const void *buf, size_t len, uint8_t out[32], vdisk_error *err);
/* The digest of a chunk of zeros: transfer_zero, but for a short one at the end. */
int transfer_zero_leaf(uint64_t size, uint64_t index, uint8_t out[32], vdisk_error *err);
bool transfer_is_zero(const void *buf, size_t len);
/* The tree digest (vdisk-digest(5)), leaf by leaf: begin, as many adds as are wanted, end. */
struct transfer_tree;
struct transfer_tree *transfer_tree_new(void); /* NULL: out of memory */
int transfer_tree_add(struct transfer_tree *t, const uint8_t (*leaves)[32], size_t n, vdisk_error *err);
int transfer_tree_end(struct transfer_tree *t, uint64_t size, uint8_t out[32], vdisk_error *err); /* and starts anew */
void transfer_tree_free(struct transfer_tree *t);

/* ---------------------------------------------------------------- records */

#define TRANSFER_RECORD_MAGIC 0x31525456u /* "VTR1" in the order of the bytes */
#define TRANSFER_RECORD_BYTES 56u         /* magic u32, kind u16, flags u16 (0), index u64, count u32, packed u32, sha256[32];
                                             little-endian */
#define TRANSFER_PACKED_MAX   TRANSFER_CHUNK /* what does not get smaller goes as it is */

enum transfer_kind {
	TRANSFER_DATA = 1,  /* the chunk's bytes */
	TRANSFER_ZSTD = 2,  /* one zstd frame of them, shorter than they are */
	TRANSFER_ZEROS = 3, /* `count` chunks of zeros from `index` on; packed is 0, sha256 all zeros */
};

struct transfer_record {
	enum transfer_kind kind;
	uint64_t index;     /* of the first chunk */
	uint32_t count;     /* chunks; 1 for DATA and ZSTD */
	uint32_t packed;    /* bytes that follow the header */
	uint8_t sha256[32]; /* of the chunk's bytes, unpacked */
};

void transfer_record_put(const struct transfer_record *r, uint8_t out[TRANSFER_RECORD_BYTES]);
/* Decodes and validates it for a disk of `size` bytes: afterwards index, count and packed can be trusted.  VDISK_CORRUPT
   otherwise. */
int transfer_record_get(const uint8_t in[TRANSFER_RECORD_BYTES], uint64_t size, struct transfer_record *out, vdisk_error *err);

struct transfer_packer;
/* level: zstd's, 1 to 19; 0: never pack, only DATA and ZEROS.  NULL: out of memory. */
struct transfer_packer *transfer_packer_new(int level);
void transfer_packer_free(struct transfer_packer *p);
/* A record of one chunk with these bytes (`sha256`: its digest, the caller has it).  *body: r->packed bytes to send behind the
   header, `buf` itself or the packer's own, valid until its next call. */
int transfer_pack(struct transfer_packer *p, uint64_t index, const void *buf, size_t len, const uint8_t sha256[32],
                  struct transfer_record *r, const void **body, vdisk_error *err);

struct transfer_unpacker;
struct transfer_unpacker *transfer_unpacker_new(void);
void transfer_unpacker_free(struct transfer_unpacker *u);
/* The chunk of a record of DATA or ZSTD that transfer_record_get() took, checked by its digest: VDISK_CORRUPT where it is another.
   *out: `len` bytes (transfer_chunk_len()), `packed` itself or `room` (TRANSFER_CHUNK bytes, the caller's). */
int transfer_unpack(struct transfer_unpacker *u, const struct transfer_record *r, const void *packed, size_t len, void *room,
                    const void **out, vdisk_error *err);

/* ---------------------------------------------------------------- names */

#define TRANSFER_NAME_MAX 64u

/* A disk's name is also a file's: 1 to 64 of A-Z a-z 0-9 . _ - and not a dot or hyphen first.  No two of a capture that differ in
   case alone. */
bool transfer_name_good(const char *name, size_t len);
/* Makes such a name of any text: what may not stand in it becomes '-'; "x" where nothing is left. */
void transfer_name_make(const char *text, char out[TRANSFER_NAME_MAX + 1]);
/* A capture's folder in a store: the host's name made safe, date (UTC) and the beginning of the machine's UUID:
   "web1-20261122-4c4c4544".  While it is incomplete TRANSFER_PARTIAL stands behind it. */
#define TRANSFER_FOLDER_MAX (TRANSFER_NAME_MAX + 32u)
#define TRANSFER_PARTIAL ".partial"
void transfer_folder_make(const char *host, const char *uuid, time_t when, char out[TRANSFER_FOLDER_MAX]);

/* ---------------------------------------------------------------- texts */

void transfer_hex(const uint8_t *bytes, size_t n, char *out); /* 2n digits and NUL */
/* `text` of exactly 2n hexadecimal digits (with `colons`: pairs may be parted by ':', a "sha256:" may stand in front); false: it is
   not. */
bool transfer_unhex(const char *text, bool colons, uint8_t *out, size_t n);
/* "sha256//BASE64" for CURLOPT_PINNEDPUBLICKEY. */
void transfer_pin(const uint8_t fingerprint[32], char out[64]);

/* Strict JSON of at most TRANSFER_BODY_MAX bytes, an object, nothing behind it, nested at most 16 deep.  Returns owned
   (json_object_put()), NULL with *err. */
json_object *transfer_json(const void *text, size_t len, vdisk_error *err);
/* Members of an object: false with *err (VDISK_INVALID, naming it) where it is not there or not of this type. */
bool transfer_json_u64(json_object *o, const char *key, uint64_t max, uint64_t *out, vdisk_error *err);
bool transfer_json_bool(json_object *o, const char *key, bool *out, vdisk_error *err);
/* Borrowed; at most `max` bytes, without NUL and control characters. */
bool transfer_json_text(json_object *o, const char *key, size_t max, const char **out, vdisk_error *err);
/* A member that need not be there: NULL where it is not, or is no text (of another type, null).  Borrowed. */
const char *transfer_json_find(json_object *o, const char *key);
/* What {"error":"…"} says, made safe to be printed; without such, "HTTP status N". */
void transfer_json_error(const void *body, size_t len, unsigned status, char out[VDISK_ERROR_MESSAGE_MAX]);

/* What POST …/pass tells of one time through a disk. */
struct transfer_pass {
	unsigned pass;           /* from 1 */
	bool frozen;             /* nobody wrote to the disk meanwhile */
	uint8_t digest[32];      /* tree digest of the disk as it was sent, bad and skipped ranges as zeros */
	uint64_t skipped;        /* bytes left out since file systems call them free; zeros here */
	struct vdisk_range *bad; /* unreadable, filled with zeros: ascending, inside the disk */
	size_t n_bad;
};
json_object *transfer_pass_json(const struct transfer_pass *p); /* returns owned; NULL: out of memory */
int transfer_pass_read(json_object *o, uint64_t size, struct transfer_pass *out, vdisk_error *err);
void transfer_pass_free(struct transfer_pass *p);

#endif
