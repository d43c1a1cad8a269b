/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libvdisk: disk images, their chains, and what is done with them.
 *
 * Rules that hold for every function here, unless it says otherwise:
 *  - Offsets, lengths and sizes are in bytes of the guest's disk.
 *  - A function that can fail returns 0, or -1 with *err filled in.  `err` belongs to the caller and may be NULL.
 *  - Arguments are borrowed for the length of the call; what is returned through a pointer belongs to the caller only
 *    where the declaration says "returns owned".
 *  - A `vdisk_image` may be used from many threads at once, except that vdisk_close() must come last and alone.
 *  - Nothing is printed and no process-wide state is kept.  Messages that are not errors go to the log callback.
 */
#ifndef VDISK_VDISK_H
#define VDISK_VDISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define VDISK_API __attribute__((visibility("default")))
#else
#define VDISK_API
#endif

/* ---------------------------------------------------------------- errors */

enum vdisk_error_kind {
	VDISK_OK = 0,
	VDISK_IO,          /* the host's I/O failed; sys_errno says how */
	VDISK_NOMEM,
	VDISK_CORRUPT,     /* the image contradicts its format */
	VDISK_UNSUPPORTED, /* legal, but not implemented here, or not by this format */
	VDISK_INVALID,     /* the caller asked for something that cannot be */
	VDISK_BUSY,        /* another program holds the image */
	VDISK_CANCELLED,   /* stopped by the caller's cancel flag */
	VDISK_REFUSED,     /* not done for safety's sake; the message names the option that allows it */
};

#define VDISK_ERROR_MESSAGE_MAX 768
#define VDISK_NO_OFFSET UINT64_MAX

struct vdisk_error {
	enum vdisk_error_kind kind;
	int sys_errno;   /* 0: none */
	uint64_t offset; /* in the file that the message names; VDISK_NO_OFFSET: none */
	char message[VDISK_ERROR_MESSAGE_MAX]; /* one line, no newline: what, where, the offending value */
};
typedef struct vdisk_error vdisk_error;

/* "io", "corrupt", …: a static string. */
VDISK_API const char *vdisk_error_kind_name(enum vdisk_error_kind kind);

/* "0.1.0 (qcow2 vmdk vhd vhdx vdi qcow qed parallels bochs raw; zlib zstd luks http nbd)": the version and what is built in.  A
   static string. */
VDISK_API const char *vdisk_version(void);

enum vdisk_log_level { VDISK_LOG_WARNING, VDISK_LOG_INFO, VDISK_LOG_TRACE };
/* Called from any thread, possibly at once; `message` is one line and lives only during the call. */
typedef void (*vdisk_log_fn)(void *ctx, enum vdisk_log_level level, const char *message);

/* ---------------------------------------------------------------- formats */

enum vdisk_option_type { VDISK_OPT_STRING, VDISK_OPT_SIZE, VDISK_OPT_UINT, VDISK_OPT_BOOL, VDISK_OPT_ENUM };

/* What `-o name=value` takes for a format.  SIZE takes K M G T suffixes; BOOL takes on|off; ENUM one of `values`. */
struct vdisk_option_info {
	const char *name;
	enum vdisk_option_type type;
	const char *values; /* ENUM: "a|b|c"; otherwise NULL */
	const char *deflt;  /* as text; NULL: none */
	const char *help;   /* one line */
	uint32_t use;       /* VDISK_OPT_FOR_* */
};
#define VDISK_OPT_FOR_CREATE 1u /* create, convert -o, measure -o */
#define VDISK_OPT_FOR_OPEN   2u /* --open-opt of a source */
#define VDISK_OPT_FOR_AMEND  4u /* amend -o */

#define VDISK_FORMAT_READ      1u
#define VDISK_FORMAT_WRITE     2u /* random-access writes into an existing image */
#define VDISK_FORMAT_CREATE    4u
#define VDISK_FORMAT_COMPRESS  8u /* convert -c */
#define VDISK_FORMAT_BACKING  16u /* layers over a parent */
#define VDISK_FORMAT_STREAM_OUT 32u /* some variant can be written to a pipe */
#define VDISK_FORMAT_STREAM_IN  64u
#define VDISK_FORMAT_CHECK    128u
#define VDISK_FORMAT_SNAPSHOTS 512u /* snapshots inside an image */
#define VDISK_FORMAT_RESIZE   256u

struct vdisk_format_info {
	const char *name;            /* "qcow2" */
	const char *long_name;       /* "QEMU copy-on-write, version 2 and 3" */
	const char *const *aliases;  /* NULL-terminated; "vpc" for vhd */
	const char *const *suffixes; /* NULL-terminated, without the dot */
	uint32_t caps;               /* VDISK_FORMAT_* */
	const struct vdisk_option_info *options; /* ends with name == NULL; may be NULL */
};

/* The i-th format, or NULL past the last; static storage. */
VDISK_API const struct vdisk_format_info *vdisk_format_get(size_t i);
/* By name or alias; NULL if there is none. */
VDISK_API const struct vdisk_format_info *vdisk_format_find(const char *name);

/* ---------------------------------------------------------------- images */

typedef struct vdisk_image vdisk_image;

#define VDISK_OPEN_RW        1u   /* for writing */
#define VDISK_OPEN_NO_PARENT 2u   /* this layer alone: what its parent would say reads as an error.  For info and check */
#define VDISK_OPEN_SALVAGE   4u   /* go on over damage: what is lost reads as zeros and is mapped with VDISK_EXT_LOST */
#define VDISK_OPEN_FORCE     8u   /* write to a protected image (a linked clone's parent, one marked corrupt) */
#define VDISK_OPEN_NO_LOCK  16u   /* read while another program writes: the content may be inconsistent */
#define VDISK_OPEN_KEEP_ID  32u   /* writes do not renew the identity that children check (VMDK CID) */
#define VDISK_OPEN_CHECK    64u   /* tolerate what check can mend (dirty, corrupt marks, leaks); no I/O on content */
#define VDISK_OPEN_INFO    256u  /* facts only, with NO_PARENT: a missing extent file is no error; content cannot be read */
#define VDISK_OPEN_CHAIN   512u /* facts of the whole chain, with INFO: where it breaks off or a parent is not the expected one, the
                                   layer's parent_problem says so */
#define VDISK_OPEN_MOVED  1024u /* although VDISK_CONVERT_PUNCH_SOURCE has given up parts of it already: to resume that */
#define VDISK_OPEN_UNDONE 2048u /* although a change of it under an undo journal was broken off: to look at it, or to go on with
                                   that */
#define VDISK_OPEN_STREAM  128u   /* path "-": standard input, read once and forward */

/* Bytes [off, off+len) of an image's file, where they lie in another. */
struct vdisk_part { uint64_t off, len, host; };

/* A path that begins with "http://" or "https://" is an image on a web server, which has to send parts of it (byte ranges).  It is
   read only, and by the version that was there when it was opened: once the server tells of another one, reading fails (VDISK_IO).
   Names inside it are followed, as for local images where the format was said, beneath its own folder on the same server.  Borrowed
   until vdisk_open() returns.  One that begins with "nbd://", "nbds://", "nbd+unix://" or "nbds+unix://" is an NBD server's export,
   read only, too; names in it are not followed. */
struct vdisk_remote {
	const char *header_file; /* lines "Name: value" to send with each request, to that server alone (cookies, tokens); NULL:
	                            none */
	const char *netrc_file;  /* user names and passwords by server, as netrc(5); NULL: none */
	const char *cacert;      /* certificates (PEM) that the server's must go back to; NULL: the system's */
};

struct vdisk_open_options {
	const char *format;            /* NULL: by the bytes.  A format said here is what allows names inside the image to be
	                                  followed, as does a file suffix that belongs to the format found */
	uint32_t flags;                /* VDISK_OPEN_* */
	const char *const *options;    /* "key=value" strings, NULL-terminated, of the format's VDISK_OPT_FOR_OPEN ones; or NULL */
	const char *const *allow_dirs; /* folders, besides the image's own, below which parents and extents may lie; NULL-terminated
	                                  or NULL */
	const char *const *parent_map; /* "OLD=NEW[,format=FMT]" strings: a parent named OLD in an image is opened as NEW (a path
	                                  relative to the working directory), as FMT where the image declares no format;
	                                  NULL-terminated or NULL */
	uint64_t cache_bytes;          /* metadata cache for each layer; 0: the default, 16 MiB for the leaf and less for each
	                                  ancestor */
	vdisk_log_fn log;              /* NULL: silence */
	void *log_ctx;
	const struct vdisk_part *parts; /* the image's file is these ranges of the file at `path` (an archive), with zeros between
	                                   them: ascending,
	                                  apart, none empty; NULL: it is the whole file.  For reading; names inside it are not
	                                  followed */
	size_t n_parts;
	uint64_t parts_len;            /* with `parts`: how long the image's file is */
	int stream_fd;                 /* with VDISK_OPEN_STREAM: what is read instead of standard input (borrowed); 0: that */
	const struct vdisk_remote *remote; /* how the server is asked, where the path is a URL; NULL: without credentials */
	const volatile int *cancel;    /* NULL: never; becomes non-zero, from a signal handler, say, to wait for no server any more:
	                                  VDISK_CANCELLED, of opening and of whatever then reads; must outlive the image */
	const char *const *ancestors;  /* files of the chain below the image, the parent first, in place of the names in the images
	                                  (which must name some, and whose formats count, as identities do); below the last one
	                                  names count again.  NULL-terminated or NULL */
};

/* Whether `path` is, by its form, the name of a file of this host and not of something on a server: 0, or VDISK_UNSUPPORTED.  For
   programs that do with a file what goes with files alone; functions that take such a path ask themselves. */
VDISK_API int vdisk_path_judge(const char *path, vdisk_error *err);
/* Opens an image and the chain of its parents.  `opts` may be NULL.  Returns owned in *out: vdisk_close(). */
VDISK_API int vdisk_open(const char *path, const struct vdisk_open_options *opts, vdisk_image **out, vdisk_error *err);

/* Flushes (if open for writing), marks clean, and frees `img` whatever the result.  NULL is a no-op. */
VDISK_API int vdisk_close(vdisk_image *img, vdisk_error *err);

/* Facts of an open image; strings live until vdisk_close(). */
VDISK_API uint64_t vdisk_size(const vdisk_image *img);
VDISK_API const char *vdisk_format_name(const vdisk_image *img); /* of the leaf */
VDISK_API const char *vdisk_path(const vdisk_image *img);
VDISK_API bool vdisk_is_writable(const vdisk_image *img);
VDISK_API unsigned vdisk_depth(const vdisk_image *img); /* layers in the chain, at least 1 */

/* Random access.  Reads and writes are whole or fail; a range outside [0, vdisk_size()) is VDISK_INVALID, len 0 is a no-op.
   A write is durable after the next vdisk_flush() that starts after it returned.  Overlapping calls from several threads
   behave as if done one after the other. */
VDISK_API int vdisk_pread(vdisk_image *img, void *buf, size_t len, uint64_t off, vdisk_error *err);
VDISK_API int vdisk_pwrite(vdisk_image *img, const void *buf, size_t len, uint64_t off, vdisk_error *err);
VDISK_API int vdisk_preadv(vdisk_image *img, const struct iovec *iov, int iovcnt, uint64_t off, vdisk_error *err);
VDISK_API int vdisk_pwritev(vdisk_image *img, const struct iovec *iov, int iovcnt, uint64_t off, vdisk_error *err);
/* The range reads as zeros afterwards; stored as cheaply as the format can.  Hides what a parent has there. */
VDISK_API int vdisk_zero(vdisk_image *img, uint64_t off, uint64_t len, vdisk_error *err);
/* The caller has no more use for the range.  Each byte of it reads afterwards as it did before or as zero; a parent's bytes
   never show through.  Space is given back where the format can. */
VDISK_API int vdisk_discard(vdisk_image *img, uint64_t off, uint64_t len, vdisk_error *err);
VDISK_API int vdisk_flush(vdisk_image *img, vdisk_error *err);

/* ---------------------------------------------------------------- map */

enum vdisk_kind {
	VDISK_ABSENT, /* no layer has it (or this layer has not, with VDISK_OPEN_NO_PARENT): reads as zeros */
	VDISK_ZERO,   /* a layer says zeros */
	VDISK_DATA,
};

#define VDISK_EXT_MAPPED     1u  /* `host` and `host_len` are valid and the bytes lie there */
#define VDISK_EXT_WRITABLE   2u  /* may be overwritten in place */
#define VDISK_EXT_COMPRESSED 4u  /* one packed unit: host range to the byte */
#define VDISK_EXT_CIPHERED   8u
#define VDISK_EXT_LOST      16u  /* only with VDISK_OPEN_SALVAGE: damaged, given as zeros */

struct vdisk_extent {
	uint64_t off, len; /* guest bytes */
	enum vdisk_kind kind;
	uint32_t flags;    /* VDISK_EXT_* */
	uint16_t file;     /* vdisk_layer_file(img, depth, file) */
	uint16_t depth;    /* 0: the leaf; 1: its parent; … */
	uint64_t host, host_len;
};

/* Where the bytes of [off, off+len) lie: at most `cap` extents into `out`, ascending, without gaps, from `off` on.  May cover
   less than asked (at least one extent if len > 0): go on from the end of the last one.  Memory: O(cap). */
VDISK_API int vdisk_map(vdisk_image *img, uint64_t off, uint64_t len, struct vdisk_extent *out, size_t cap, size_t *n,
                        vdisk_error *err);
/* Refuses (VDISK_CORRUPT) what a conversion would refuse by the tables alone, before anything long is done with the image: one that is
   cut short or damaged. */
VDISK_API int vdisk_judge(vdisk_image *img, vdisk_error *err);
/* Path of a host file of a layer, NULL if there is no such; valid until vdisk_close(). */
VDISK_API const char *vdisk_layer_file(const vdisk_image *img, unsigned depth, unsigned file);

/* ---------------------------------------------------------------- info */

enum vdisk_value_type { VDISK_VALUE_STRING, VDISK_VALUE_U64, VDISK_VALUE_BOOL };

struct vdisk_value {
	const char *key;   /* "cluster-size": lower case, words joined by '-' */
	enum vdisk_value_type type;
	const char *str;   /* STRING */
	uint64_t u64;      /* U64 and BOOL (0 or 1) */
};
typedef void (*vdisk_value_fn)(void *ctx, const struct vdisk_value *v);

struct vdisk_layer_info {
	const char *path, *format, *variant; /* variant: "monolithicSparse", "dynamic", "v3", …; may be "" */
	uint64_t virtual_size;
	uint64_t host_size;      /* length of its files, added up */
	uint64_t allocated;      /* what they take on the host's disk */
	uint32_t alloc_grain;    /* cluster, grain, block; 1 for raw */
	const char *parent_name; /* as written in the image; NULL: no parent */
	const char *parent_format;
	const char *parent_problem; /* with VDISK_OPEN_CHAIN: what is wrong with the parent, one line; NULL: nothing was found */
	unsigned n_files;
};

/* Facts of the layer `depth` (0: leaf).  Strings live until vdisk_close(). */
VDISK_API int vdisk_layer_get(vdisk_image *img, unsigned depth, struct vdisk_layer_info *out, vdisk_error *err);
/* The format's own facts, one call of `fn` for each. */
VDISK_API int vdisk_layer_values(vdisk_image *img, unsigned depth, vdisk_value_fn fn, void *ctx, vdisk_error *err);

struct vdisk_snapshot_info {
	const char *id, *name;
	uint64_t date_sec;       /* since 1970, UTC */
	uint32_t date_nsec;
	uint64_t vm_clock_nsec;
	uint64_t vm_state_bytes;
	uint64_t virtual_size;
	uint64_t icount;         /* instructions that the machine had run; UINT64_MAX: not recorded */
};
typedef void (*vdisk_snapshot_fn)(void *ctx, const struct vdisk_snapshot_info *s);
/* Internal snapshots of the leaf, in the image's order; none is not an error.  Open one with the open option "snapshot=ID". */
VDISK_API int vdisk_snapshots(vdisk_image *img, vdisk_snapshot_fn fn, void *ctx, vdisk_error *err);

#define VDISK_SNAPSHOT_NAME_MAX 255
#define VDISK_SNAPSHOT_ID_MAX   128

#define VDISK_SNAPSHOT_SAME_NAME 1u /* another snapshot may have the name already (a copy of an image that has such) */

struct vdisk_snapshot_create_options {
	const char *name;        /* UTF-8, 1 to VDISK_SNAPSHOT_NAME_MAX bytes; no other snapshot's name or ID */
	uint64_t date_sec;       /* since 1970, UTC; UINT64_MAX: now (SOURCE_DATE_EPOCH where that is set) */
	uint32_t date_nsec;
	uint64_t vm_clock_nsec;  /* how long the machine had run */
	uint32_t flags;          /* VDISK_SNAPSHOT_* */
};

/* Internal snapshots of the leaf, where its format has such (VDISK_UNSUPPORTED where not).  `img` is open for writing, or being
   created; calls of other threads wait.  Each is durable when it returns, and happens at one stroke: after a kill or a power cut
   the image has it or has not, and at most space is lost. */

/* Keeps the disk as it is now.  *id (NULL, or VDISK_SNAPSHOT_ID_MAX bytes): what it is called besides its name. */
VDISK_API int vdisk_snapshot_create(vdisk_image *img, const struct vdisk_snapshot_create_options *o, char *id, vdisk_error *err);
/* The disk becomes what the snapshot holds, with its size; what was written since is lost, unless another snapshot holds it.
   `which` is an ID or a name; where it is the ID of one and the name of another, or the name of several: VDISK_INVALID. */
VDISK_API int vdisk_snapshot_apply(vdisk_image *img, const char *which, vdisk_error *err);
VDISK_API int vdisk_snapshot_delete(vdisk_image *img, const char *which, vdisk_error *err);

/* ---------------------------------------------------------------- bitmaps

   Which parts of the disk were changed since the bitmap was made or cleared: what an incremental backup copies.  qcow2 has them
   inside the image (QEMU's persistent dirty bitmaps).  One that is enabled follows all changes of the disk, whoever makes them;
   ours are stored when the image is closed.  Where a program dies before that, the bitmap stays marked as in use: it is not to be
   believed, and can only be deleted.  Growing the disk and going back to a snapshot count as changes: of the new part, of all of
   it. */

struct vdisk_bitmap_info {
	const char *name;
	uint64_t granularity; /* bytes of the disk for each bit; 0: not known */
	bool enabled;         /* follows changes */
	bool in_use;
	const char *problem;  /* why else it can only be deleted, as "has ..."; NULL: nothing was found */
};
typedef void (*vdisk_bitmap_fn)(void *ctx, const struct vdisk_bitmap_info *b);
/* Those of the leaf, in the image's order; none is not an error. */
VDISK_API int vdisk_bitmaps(vdisk_image *img, vdisk_bitmap_fn fn, void *ctx, vdisk_error *err);

/* Ranges of the disk, ascending and joined; returns true to go on. */
typedef bool (*vdisk_diff_fn)(void *ctx, uint64_t off, uint64_t len);
/* What a bitmap of the leaf calls changed.  fn must not use the image. */
VDISK_API int vdisk_bitmap_ranges(vdisk_image *img, const char *name, vdisk_diff_fn fn, void *ctx, vdisk_error *err);

#define VDISK_BITMAP_NAME_MAX 1023
#define VDISK_BITMAP_DISABLED 1u

/* The following change the leaf, which is open for writing; calls of other threads wait.  Each is durable when it returns, and
   happens at one stroke: after a kill or a power cut it was done or was not, and at most space is lost.  VDISK_UNSUPPORTED where
   the format has no bitmaps, and for one that can only be deleted. */

/* All clear.  `name`: 1 to VDISK_BITMAP_NAME_MAX bytes without control characters, no other's; granularity: a power of two from 512
   to 2G, or 0: the image's cluster, but 4 to 64 KiB; flags: VDISK_BITMAP_DISABLED. */
VDISK_API int vdisk_bitmap_create(vdisk_image *img, const char *name, uint64_t granularity, uint32_t flags, vdisk_error *err);
VDISK_API int vdisk_bitmap_delete(vdisk_image *img, const char *name, vdisk_error *err);
VDISK_API int vdisk_bitmap_clear(vdisk_image *img, const char *name, vdisk_error *err);
/* Whether it follows changes from now on. */
VDISK_API int vdisk_bitmap_enable(vdisk_image *img, const char *name, bool enable, vdisk_error *err);
/* What `from_name` of `from` (NULL: of img) calls changed is called so by `name`, too.  `from` is open for reading, of a disk of
   the same size, and not img. */
VDISK_API int vdisk_bitmap_merge(vdisk_image *img, const char *name, vdisk_image *from, const char *from_name, vdisk_error *err);

/* ---------------------------------------------------------------- partitions */

enum vdisk_table { VDISK_TABLE_NONE, VDISK_TABLE_MBR, VDISK_TABLE_GPT };

struct vdisk_partition {
	unsigned number;   /* as Linux counts: MBR's logical ones from 5, GPT's by entry, from 1 */
	uint64_t off, len; /* bytes; inside the disk */
	char type[37];     /* GPT: type GUID; MBR: "0x83" */
	char uuid[37];     /* GPT: the partition's GUID; MBR: "01234567-05" as Linux makes it */
	char name[109];    /* GPT: UTF-8; MBR: "" */
	bool active;       /* MBR: boot flag; GPT: legacy BIOS bootable */
};

struct vdisk_partition_table {
	enum vdisk_table kind;
	uint32_t sector_bytes; /* 512 or 4096: what the table counts in */
	char id[37];           /* GPT: disk GUID; MBR: "01234567" */
	bool from_backup;      /* GPT: the first header is bad, the second one served */
};

/* The partitions, ascending by number, at most `cap`; *n: how many there are.  Overlapping ones are given as they stand; one that
   sticks out over the disk's end is VDISK_CORRUPT, as is a GPT of which neither copy's checksum holds.  MBR per the PC's
   convention, GPT per UEFI 2.10 section 5.3. */
VDISK_API int vdisk_partitions(vdisk_image *img, struct vdisk_partition_table *table, struct vdisk_partition *out, size_t cap,
                               size_t *n, vdisk_error *err);

/* The same disk as it has to be for logical sectors of 512 or 4096 bytes: its GUID partition table counts in those, everything else
   is where it was.  `src`, open for reading and not changed by it, is taken: *out (owned) closes it, and after a failure it is
   closed.  *out may be src itself, where nothing has to be changed.  round_up: a size that is no whole number of sectors is rounded
   up, else VDISK_INVALID.  What stands in the way is VDISK_UNSUPPORTED, and the message names it: an MBR, a partition's place, a
   file system that counts in the other sectors, what cannot be looked into. */
VDISK_API int vdisk_sector_view(vdisk_image *src, uint32_t sector_bytes, bool round_up, vdisk_image **out, vdisk_error *err);

/* ---------------------------------------------------------------- logical volumes (LVM2)

   Read from the label and metadata of the physical volumes that lie on the whole disk or in its partitions.  Linear and striped
   volumes are told as ranges of the disk; any other, and one that lies partly on a disk which is not this one, carries a
   `problem`. */

struct vdisk_range { uint64_t off, len; };

struct vdisk_volume_segment {
	uint64_t off, len;       /* bytes of the volume; ascending, without gaps */
	uint32_t n_stripes;      /* 1: linear.  `len` is spread evenly over the stripes */
	uint64_t stripe_bytes;   /* what goes to one stripe before the next one's turn */
	const uint64_t *at;      /* [n_stripes]: where on the disk each stripe begins; it takes len / n_stripes bytes there */
};

struct vdisk_volume {
	const char *group, *name, *uuid;
	uint64_t len;
	bool hidden;             /* a part of another volume */
	bool writable;           /* neither read-only nor the origin of a snapshot */
	bool here;               /* some of it lies on this disk */
	struct vdisk_range head; /* where on the disk its first bytes are; len 0: elsewhere, or unknown */
	const char *problem;     /* why it cannot be read, one line; NULL: it can.  Then: */
	const struct vdisk_volume_segment *segments;
	size_t n_segments;
};

struct vdisk_physical_volume {
	uint64_t off, len;       /* bytes of the disk */
	uint64_t data_off, data_len; /* of the disk: where extents lie; what is before and after is metadata.  data_len 0: in no
	                                volume group */
	const char *uuid, *group;/* group NULL: in none, or unknown */
	const char *problem;     /* why its metadata cannot be read, one line; NULL: it can */
};

typedef struct vdisk_volumes vdisk_volumes;

/* Looks for LVM2 on the disk; none is not an error, and damage is told by the `problem` of what it concerns.  Returns owned in
   *out: vdisk_volumes_free().  What it hands out lives as long, and does not need the image. */
VDISK_API int vdisk_volumes_read(vdisk_image *img, vdisk_volumes **out, vdisk_error *err);
VDISK_API void vdisk_volumes_free(vdisk_volumes *v);
/* The i-th, or NULL past the last. */
VDISK_API const struct vdisk_volume *vdisk_volumes_get(const vdisk_volumes *v, size_t i);
VDISK_API const struct vdisk_physical_volume *vdisk_volumes_physical(const vdisk_volumes *v, size_t i);
/* The ranges of the disk that [off, off+len) of a volume without a problem takes, in the volume's order: at most `cap`, perhaps
   fewer bytes than asked for.  Returns how many; 0 only where the range is empty or outside the volume. */
VDISK_API size_t vdisk_volume_map(const struct vdisk_volume *v, uint64_t off, uint64_t len, struct vdisk_range *out, size_t cap);

/* ---------------------------------------------------------------- create, resize, amend */

#define VDISK_CREATE_OVERWRITE 1u /* replace what has that name */
#define VDISK_CREATE_DRY_RUN   2u /* judge the arguments, write nothing */
#define VDISK_CREATE_ROUND_UP  4u /* a size that the format cannot express is rounded up; otherwise refused */
#define VDISK_CREATE_ANY_BACKING 8u /* take a backing image without a look at its whole map, which takes time and refuses what is
                                       cut short or damaged */

struct vdisk_create_options {
	const char *format;          /* required */
	uint64_t size;               /* UINT64_MAX: the backing image's */
	const char *const *options;  /* "key=value", NULL-terminated, of the format's VDISK_OPT_FOR_CREATE ones; or NULL */
	const char *backing;         /* name as it will be written into the image, relative to its folder; NULL: none */
	const char *backing_format;  /* required with `backing` */
	uint32_t flags;              /* VDISK_CREATE_* */
	const char *const *allow_dirs;
	vdisk_log_fn log;
	void *log_ctx;
	const volatile int *cancel;  /* NULL: never; while the backing image is judged: becomes non-zero to stop with
	                                VDISK_CANCELLED */
};

/* Makes an image: under a temporary name first, renamed when it is whole.  *size_out (may be NULL): the size it got. */
VDISK_API int vdisk_create(const char *path, const struct vdisk_create_options *opts, uint64_t *size_out, vdisk_error *err);

#define VDISK_RESIZE_SHRINK 1u /* a smaller size, which cuts off guest data, is meant */
/* `img` must be open for writing and alone in use. */
VDISK_API int vdisk_resize(vdisk_image *img, uint64_t size, uint32_t flags, vdisk_error *err);
/* Changes properties in place; "key=value" of the format's VDISK_OPT_FOR_AMEND options, NULL-terminated. */
VDISK_API int vdisk_amend(vdisk_image *img, const char *const *options, vdisk_error *err);

/* ---------------------------------------------------------------- check */

#define VDISK_CHECK_REPAIR_LEAKS 1u
#define VDISK_CHECK_REPAIR_ALL   2u /* metadata that can be rebuilt, too */

struct vdisk_check_result {
	uint64_t corruptions;       /* found; content is or may be wrong */
	uint64_t leaks;             /* found; units of space that nothing uses */
	uint64_t corruptions_fixed, leaks_fixed;
	uint64_t allocated_units, compressed_units, total_units; /* of the format's grain */
	uint64_t image_end;         /* where the last used byte of the host file ends */
};
/* `offset` is in the host file, VDISK_NO_OFFSET where it has none; `message` is one line. */
typedef void (*vdisk_problem_fn)(void *ctx, bool is_leak, uint64_t offset, const char *message);

/* Checks the leaf's own structure.  `flags` 0 writes nothing; repairs want an image opened with VDISK_OPEN_RW |
   VDISK_OPEN_CHECK. */
VDISK_API int vdisk_check(vdisk_image *img, uint32_t flags, vdisk_problem_fn fn, void *ctx, struct vdisk_check_result *out,
                          vdisk_error *err);

/* ---------------------------------------------------------------- convert, compare, digest, measure */

struct vdisk_progress {
	uint64_t done, total;  /* guest bytes */
	uint64_t zero;         /* of `done`: found to be zeros and not stored */
	uint64_t copied;       /* of `done`: written */
	bool verifying;        /* the result is being read back; `done` begins anew */
};
/* Called from the calling thread, at most ten times a second and once at the end. */
typedef void (*vdisk_progress_fn)(void *ctx, const struct vdisk_progress *p);

#define VDISK_CONVERT_COMPRESS   1u
#define VDISK_CONVERT_OVERWRITE  2u
#define VDISK_CONVERT_DRY_RUN    4u
#define VDISK_CONVERT_ROUND_UP   8u
#define VDISK_CONVERT_VERIFY    16u /* read the result back and compare digests */
#define VDISK_CONVERT_DIGEST    32u /* compute the content's digest in passing */
#define VDISK_CONVERT_NO_REFLINK 64u /* never share blocks with the source, where the file system could */
/* Record beside the destination how far it got (".NAME.vdisk-resume"), so that what is stopped or killed can be resumed.  Not for
   pipes, block devices and encrypted targets: there nothing is recorded. */
#define VDISK_CONVERT_CHECKPOINT 128u
/* With CHECKPOINT: go on with what a run left behind, if one did; VDISK_REFUSED where the source, the target, an option or the
   program is another.  I/O errors leave what there is, too. */
#define VDISK_CONVERT_RESUME 256u
/* With CHECKPOINT: give the source's space back as the destination becomes durable, and remove its files at the end: the source is
   lost, also if the conversion fails and is never resumed.  It must be open with VDISK_OPEN_RW (and, to resume, VDISK_OPEN_MOVED),
   and have neither a parent nor internal snapshots. */
#define VDISK_CONVERT_PUNCH_SOURCE 512u

enum vdisk_cache {
	VDISK_CACHE_AUTO,  /* SPARE where there is much to copy: more than 1 GiB, or nobody knows how much */
	VDISK_CACHE_KEEP,  /* the host's page cache is the kernel's affair */
	VDISK_CACHE_SPARE, /* what was not cached before is dropped from it again, some way behind */
};

typedef void (*vdisk_lost_fn)(void *ctx, uint64_t off, uint64_t len);

struct vdisk_convert_options {
	const char *format;         /* of the destination; required */
	const char *const *options; /* "key=value" or NULL */
	const char *backing, *backing_format; /* as in vdisk_create_options: write only what differs from it */
	uint32_t flags;             /* VDISK_CONVERT_* */
	int level;                  /* of compression; 0: the format's default */
	unsigned threads;           /* 0: one for each processor */
	uint64_t memory_bytes;      /* budget for data in flight; 0: default, 32 MiB */
	uint32_t sparse_bytes;      /* smallest run of zeros that is left out, a power of two ≥ 512; 0: 4096 */
	const char *manifest;       /* where to leave the content's manifest (vdisk_manifest_make()); NULL: nowhere.  Means
	                               VDISK_CONVERT_DIGEST; VDISK_CONVERT_OVERWRITE replaces an old one.  It gets its name after
	                               the image got its own */
	const struct vdisk_range *skip; /* of the source, what nobody will miss (blocks that its file systems call free): not read,
	                                   zeros in
	                               the result; ascending, none overlapping, inside the disk */
	size_t n_skip;
	const struct vdisk_range *same; /* with `backing` and without CHECKPOINT: where that is known to hold what the source holds
	                                   (the rest of
	                               what vdisk_diff() says): neither read nor written, but for the ends of the ranges and where a
	                               digest is wanted; as `skip` */
	size_t n_same;
	enum vdisk_cache cache;
	const char *const *allow_dirs;
	vdisk_progress_fn progress;
	void *progress_ctx;
	const volatile int *cancel; /* set to non-zero (from a signal handler, say): stop, VDISK_CANCELLED; NULL: none */
	vdisk_lost_fn lost;         /* told of each range that salvage gives up, ascending, from the calling thread; NULL: nobody.
	                               Not told what a run that is resumed had passed */
	void *lost_ctx;
	vdisk_log_fn log;
	void *log_ctx;
	int stream_fd;              /* with the path "-": what is written to instead of standard output (borrowed); 0: that */
	uint64_t size;              /* of the destination, if it shall be longer than the source: zeros follow.  0: the source's */
};

struct vdisk_convert_report {
	uint64_t size;         /* the destination's virtual size */
	uint64_t data, zero;   /* guest bytes stored; guest bytes found to be zeros */
	uint64_t offloaded;    /* of `data`: reflinked or copied by the kernel */
	uint64_t packed_in, packed_out; /* guest bytes that were compressed, and what they take */
	uint64_t lost;         /* bytes that --salvage filled with zeros */
	uint64_t skipped;      /* of `zero`: bytes that the source stores in the ranges of `skip` */
	bool has_digest;
	uint8_t digest[32];    /* see vdisk_digest() */
	double seconds;
	bool resumable;        /* set on failure, too, when all else is 0: VDISK_CONVERT_RESUME goes on with what was left */
	uint64_t resumed;      /* guest bytes that an earlier run had done */
};

/* Copies the content of `src` to a new image at `path` ("-": standard output, where format and variant can stream).  On any
   failure nothing is left under `path`, and what was there before is untouched.  With VDISK_CONVERT_CHECKPOINT, a conversion to
   `path` that can be resumed is VDISK_REFUSED unless _RESUME or _OVERWRITE (which starts anew) is given, and one that is cancelled
   leaves its state.  A block device, or an NBD server's export (its URI; format raw only), is written where it is, with _OVERWRITE
   only, and may be longer than the disk; a failure leaves it half written.  `report` may be NULL. */
VDISK_API int vdisk_convert(vdisk_image *src, const char *path, const struct vdisk_convert_options *opts,
                            struct vdisk_convert_report *report, vdisk_error *err);

/* The same disk as an image of another format around the bytes that are there: raw, fixed VHD, flat VMDK, and to qcow2 with the
   bytes as its raw data file.  None of the disk's bytes is read or written; the source becomes the destination and is no more under
   its old name, but for a qcow2's data file in the same folder, which keeps it.  Opens `src` itself (open may be NULL).  Of `opts`,
   format, options and VDISK_CONVERT_DRY_RUN count.  An option that can be one way only (the subformat; data_file) need not be said.
   Undone if it fails; killed at any moment, the disk can be read in one form or the other, and the same call finishes it, or undoes
   it first.  *size (may be NULL): of the disk; 0 where an earlier call had been killed at its very end. */
VDISK_API int vdisk_convert_in_place(const char *src, const struct vdisk_open_options *open, const char *path,
                                     const struct vdisk_convert_options *opts, uint64_t *size, vdisk_error *err);

struct vdisk_job_options {
	unsigned threads;           /* 0: one for each processor */
	uint64_t memory_bytes;      /* 0: default */
	vdisk_progress_fn progress;
	void *progress_ctx;
	const volatile int *cancel;
};

struct vdisk_compare_result {
	bool equal;
	uint64_t offset;  /* of the first byte that differs */
	bool size_differs;/* beyond the shorter one's end, the longer one is zeros if `equal` */
};
/* Compares contents.  Where sizes differ, the images are equal when the longer one's rest is zeros, unless `strict`. */
VDISK_API int vdisk_compare(vdisk_image *a, vdisk_image *b, bool strict, const struct vdisk_job_options *opts,
                            struct vdisk_compare_result *out, vdisk_error *err);

#define VDISK_DIGEST_LEAF (1u << 20)
/* The content's tree digest: SHA-256 over the concatenated SHA-256 of 1 MiB leaves (the last one short), followed by the size
   as 8 bytes, big-endian.  Independent of format, chain and layout.  Holes cost nothing. */
VDISK_API int vdisk_digest(vdisk_image *img, const struct vdisk_job_options *opts, uint8_t digest[32], vdisk_error *err);
/* Plain SHA-256 of the flat content (what `sha256sum` says of the raw image): one thread hashes, reads run ahead. */
VDISK_API int vdisk_sha256(vdisk_image *img, const struct vdisk_job_options *opts, uint8_t digest[32], vdisk_error *err);

/* Manifests: the tree digest with its leaves, as a text file (vdisk-digest(5)).  With one it can be proved later, and without the
   source, that an image holds the same disk, and told where it does not.  The same disk makes the same manifest. */

/* As vdisk_digest(), and leaves a manifest at `path`, which appears there when it is whole.  What has that name is replaced only if
   `overwrite` (else VDISK_REFUSED), and never a file of the image. */
VDISK_API int vdisk_manifest_make(vdisk_image *img, const char *path, bool overwrite, const struct vdisk_job_options *opts,
                                  uint8_t digest[32], vdisk_error *err);

struct vdisk_manifest_result {
	bool equal;
	bool size_differs;   /* then nothing of the image was read, and nothing hashed: the leaves may not make the digest */
	uint64_t size;       /* of the disk that the manifest is of */
	uint64_t differing;  /* bytes of the leaves that differ */
	uint64_t offset;     /* of the first one */
	uint8_t digest[32];  /* that disk's */
};
/* Guest bytes [off, off+len). */
typedef void (*vdisk_differs_fn)(void *ctx, uint64_t off, uint64_t len);
/* Compares the image's content with a manifest.  `differs` (may be NULL) is called from the calling thread with each run of leaves
   that differ, ascending.  A file that is no whole and unchanged manifest is VDISK_CORRUPT, before anything of the image is
   read. */
VDISK_API int vdisk_manifest_verify(vdisk_image *img, const char *path, const struct vdisk_job_options *opts,
                                    vdisk_differs_fn differs, void *ctx, struct vdisk_manifest_result *out, vdisk_error *err);

struct vdisk_compact_options {
	const struct vdisk_range *skip; /* as in struct vdisk_convert_options: what nobody will miss */
	size_t n_skip;
	struct vdisk_job_options job;
};
struct vdisk_compact_report {
	uint64_t free, zero; /* guest bytes that the leaf stored: of `skip`; in whole units of zeros */
	uint64_t allocated_before, allocated_after; /* what the leaf's files take on the host's disk */
};
/* Gives space back to the host, in place: of the ranges, whose bytes read as before or as zeros afterwards, and of what is zeros
   anyway.  The leaf, open for writing and alone in use, is changed, no parent.  Its files do not get shorter: they get holes, where
   the host's file system can make them.  May be stopped at any moment.  `opts` and `report` may be NULL. */
VDISK_API int vdisk_compact(vdisk_image *img, const struct vdisk_compact_options *opts, struct vdisk_compact_report *report,
                            vdisk_error *err);

struct vdisk_measure_result {
	uint64_t required;         /* bytes of host files that a conversion would take at most, without compression */
	uint64_t fully_allocated;  /* with every guest byte stored */
};
/* For `src`, or for an empty image of `size` bytes where src is NULL. */
VDISK_API int vdisk_measure(vdisk_image *src, uint64_t size, const char *format, const char *const *options,
                            struct vdisk_measure_result *out, vdisk_error *err);

/* ---------------------------------------------------------------- profiles

   What the importers of other systems take, as one table; vdisk-formats(7) has it with its sources.  Static storage throughout. */

#define VDISK_FIRMWARE_BIOS 1u
#define VDISK_FIRMWARE_UEFI 2u

struct vdisk_profile_option {
	const char *name;   /* of a format's creation option */
	const char *set;    /* "subformat=fixed": what is said where the caller says nothing; NULL: the format's default will do */
	const char *takes;  /* "a|b": the values that are taken, of existing images, too; "": none, the option must not be used */
};

/* One format that is taken. */
struct vdisk_profile_form {
	const char *format;
	const struct vdisk_profile_option *options; /* ends with name == NULL; NULL: any will do */
	uint64_t size_max;       /* of the disk, in bytes; 0: no bound is known */
	uint64_t boot_max;       /* of a disk that is booted from; 0: as size_max */
	uint32_t footer_bytes;   /* the file is as long as the disk and this; 0: no such rule */
	uint32_t stream_version; /* least version of a streamOptimized VMDK's header; 0: any */
};

struct vdisk_profile {
	const char *name;        /* "azure" */
	const char *long_name;   /* "Microsoft Azure" */
	const struct vdisk_profile_form *forms; /* ends with format == NULL; the first is what is made unless something else is
	                                           said */
	uint64_t size_multiple, size_min; /* of the disk, in bytes; a smaller or crooked size is rounded up */
	uint32_t firmware;       /* VDISK_FIRMWARE_*: what its machines can have */
	uint32_t sectors;        /* 512, or 512 | 4096: logical sectors that its machines can show to the guest */
	bool parents;            /* layers over parents are taken */
};

/* The i-th, or NULL past the last. */
VDISK_API const struct vdisk_profile *vdisk_profile_get(size_t i);
/* NULL if there is none of that name. */
VDISK_API const struct vdisk_profile *vdisk_profile_find(const char *name);
/* What the profile says of a format, by its name (no alias); NULL: it is not taken. */
VDISK_API const struct vdisk_profile_form *vdisk_profile_form(const struct vdisk_profile *p, const char *format);
/* Whether `value` is one of an option's `takes`. */
VDISK_API bool vdisk_profile_takes(const char *takes, const char *value);
/* "vhdx, vhd": the formats that are taken, in buf. */
VDISK_API const char *vdisk_profile_formats(const struct vdisk_profile *p, char *buf, size_t cap);

#define VDISK_PROFILE_OPTIONS_MAX 4
struct vdisk_profile_choice {
	const struct vdisk_profile_form *form;
	const char *options[VDISK_PROFILE_OPTIONS_MAX + 1]; /* "key=value", NULL-terminated: what is to be added to the caller's
	                                                       own */
};
/* How an image is made for the profile.  format: the caller's wish, or NULL; options: the caller's, NULL-terminated or NULL.  What
   contradicts the profile is VDISK_INVALID, a format that this build cannot make VDISK_UNSUPPORTED. */
VDISK_API int vdisk_profile_choose(const struct vdisk_profile *p, const char *format, const char *const *options,
                                   struct vdisk_profile_choice *out, vdisk_error *err);
/* The size that a disk of `size` bytes gets, in *made; past what is taken: VDISK_INVALID. */
VDISK_API int vdisk_profile_size(const struct vdisk_profile *p, const struct vdisk_profile_form *form, uint64_t size,
                                 uint64_t *made, vdisk_error *err);

enum vdisk_finding_kind {
	VDISK_FINDING_REFUSED, /* the importer would not take it */
	VDISK_FINDING_NO_BOOT, /* it would be taken, but not boot */
	VDISK_FINDING_NOTE,    /* to be known; nothing is wrong */
};
struct vdisk_finding {
	enum vdisk_finding_kind kind;
	const char *code;  /* a word that stays: "format", "size-multiple", ... */
	const char *where; /* "file", "disk", "partition 2" */
	const char *why;   /* one line */
	const char *mend;  /* one line; NULL: nothing is to be done */
};
typedef void (*vdisk_finding_fn)(void *ctx, const struct vdisk_finding *f); /* strings live during the call */

/* Judges an image for a profile by its format's facts, its map, and the first and last sectors of disk and partitions; little is read,
   and nothing of the guest's files.  What is cut short or damaged is a finding.  With an image opened with VDISK_OPEN_INFO, by the
   facts alone. */
VDISK_API int vdisk_lint(vdisk_image *img, const struct vdisk_profile *p, vdisk_finding_fn fn, void *ctx, vdisk_error *err);

/* ---------------------------------------------------------------- chains

   Each of these may be stopped at any moment, by a kill or by the power: every image of the chain reads the same as before, or as
   after, and the same call finishes the work.  Open the leaf with VDISK_OPEN_RW | VDISK_OPEN_KEEP_ID, as its content stays the
   same, and alone in use.  An image whose internal snapshots rely on the parent too, and one whose format cannot change the
   parent's name at one stroke, is VDISK_UNSUPPORTED. */

/* What the parents hold is copied into the leaf, which then has no parent.  Without a parent there is nothing to do.  *copied (may
   be NULL): bytes written. */
VDISK_API int vdisk_flatten(vdisk_image *img, const struct vdisk_job_options *opts, uint64_t *copied, vdisk_error *err);

#define VDISK_REBASE_UNSAFE 1u /* change the name only: the content becomes what the new parent makes of it; the old one need not be
                                  open (VDISK_OPEN_NO_PARENT) */

struct vdisk_rebase_options {
	const char *backing;        /* the new parent's name, as it will be written, relative to the image's folder; NULL: none */
	const char *backing_format; /* required with `backing` */
	uint32_t flags;             /* VDISK_REBASE_* */
	const char *const *allow_dirs, *const *parent_map; /* for the new parent's own chain, as in vdisk_open_options */
	struct vdisk_job_options job;
};
/* Puts the image over another parent; where the two differ, the leaf gets the bytes first, so that its content stays the same. */
VDISK_API int vdisk_rebase(vdisk_image *img, const struct vdisk_rebase_options *opts, uint64_t *copied, vdisk_error *err);

#define VDISK_COMMIT_KEEP 1u /* leave the leaf as it is */
#define VDISK_COMMIT_UNDO 2u /* with KEEP: under an undo journal, so that the ancestor's files get back their very bytes if it
                                fails, and after a kill (vdisk_undo()); it refuses to be opened meanwhile.  For images in files; the
                                leaf lies in the ancestor's folder */
#define VDISK_COMMIT_HOLD 4u /* with UNDO: all is done, and can still be undone: the journal stays in force until vdisk_undo_end().
                                For what has to happen to several images, or to none */

struct vdisk_commit_options {
	const struct vdisk_open_options *open; /* how the leaf and its chain are opened; NULL: plainly */
	const char *to;    /* the ancestor to write into, by its path or its name beside the leaf; NULL: the parent */
	uint32_t flags;    /* VDISK_COMMIT_* */
	const char *keep_undo; /* with UNDO: the journal's name when all is done, the way back; no file may have it.  NULL: it is
	                          removed */
	struct vdisk_job_options job;
};
struct vdisk_commit_report {
	uint64_t copied;   /* bytes of the disk that were written, zeros included */
	unsigned depth;    /* layers that were written into the next one */
	bool emptied;
};
/* Writes what the layers above the ancestor say into it, which grows if the leaf is longer, and keeps its identity; then the leaf
   lies over it and is emptied.  Layers in between read differently afterwards, as would other images over it or them: where one is
   found (in the folder of what it lies over, or listed as its linked clone), and where a layer in between is protected, the commit
   is VDISK_REFUSED without VDISK_OPEN_FORCE.  Opens and closes all of them
   itself.  `report` may be NULL. */
VDISK_API int vdisk_commit(const char *path, const struct vdisk_commit_options *opts, struct vdisk_commit_report *report,
                           vdisk_error *err);

/* Undo journals of a VDISK_COMMIT_UNDO: ".NAME.vdisk-undo" beside the ancestor, a physical record of what its files held.
   io/undo.h has its format. */

struct vdisk_undo_info {
	bool active;                /* a commit was broken off, or the taking back of one */
	bool resumable;             /* the former, and the layer is there */
	char leaf[4096];            /* the layer that was being committed; "": not known */
	char keep[4096];            /* keep_undo of that commit; "": none */
	uint64_t bytes;             /* length of the journal */
};
/* What the journal beside the image says; none is no error. */
VDISK_API int vdisk_undo_find(const char *path, struct vdisk_undo_info *out, vdisk_error *err);

struct vdisk_undo_options {
	const char *file;              /* one that was kept: VDISK_REFUSED where the image was changed since.  NULL: the one beside
	                                  the image */
	const char *const *allow_dirs; /* as in vdisk_open_options, for the image's further files */
};
/* The image's files get back their bytes and lengths from before the commit.  May be killed at any moment and begun again; whoever
   opens the image meanwhile is refused.  Without a journal there: VDISK_INVALID.  `o` may be NULL. */
VDISK_API int vdisk_undo(const char *path, const struct vdisk_undo_options *o, vdisk_error *err);
/* What VDISK_COMMIT_HOLD left in force has come to its end. */
VDISK_API int vdisk_undo_end(const char *path, vdisk_error *err);
/* Goes on with the commit into the image at `path` that was broken off.  Of `o`, open, job and VDISK_COMMIT_HOLD count.  `report`
   may be NULL. */
VDISK_API int vdisk_commit_resume(const char *path, const struct vdisk_commit_options *o, struct vdisk_commit_report *report,
                                  vdisk_error *err);

#define VDISK_CLONE_LINKED    1u /* a layer over `src`, which loses its write permission and lists the layer in
                                    "user.vdisk.children" */
#define VDISK_CLONE_OVERWRITE 2u /* replace what has that name */

struct vdisk_clone_options {
	uint32_t flags;          /* VDISK_CLONE_* */
	struct vdisk_job_options job;
	const char *const *allow_dirs;
};
/* Makes a disk of the same content and format.  Not linked: the file shared block by block where the file system can and it has no
   parent, else a conversion to the same format and variant.  To write to a linked one's parent wants VDISK_OPEN_FORCE. */
VDISK_API int vdisk_clone(vdisk_image *src, const char *path, const struct vdisk_clone_options *opts, vdisk_error *err);

/* External snapshots.  The image that a disk goes on in is its leaf; a snapshot is an image below it, which is protected from being
   written to.  Names, dates and descriptions stand in a file of their own, named like the first image that was kept, with
   ".snapshots" behind it; which lies over which stands in the images themselves. */

enum vdisk_snapshot_kind {
	VDISK_SNAPSHOT_INTERNAL,
	VDISK_SNAPSHOT_EXTERNAL,
	VDISK_SNAPSHOT_VMWARE,  /* of a virtual machine, read from its .vmsd file */
};

struct vdisk_snapshot_node {
	enum vdisk_snapshot_kind kind;
	const char *id;
	const char *name;        /* NULL: a layer of the chain that was given none; its ID is its file's name */
	const char *description; /* NULL: none */
	const char *parent_id;   /* NULL: none, or (internal) not known */
	const char *const *files; /* external: the image that holds the state; VMware: one for each disk.  NULL-terminated */
	uint64_t date_sec;       /* since 1970, UTC; of a layer without a name, when it was last written to; 0: not known */
	uint32_t date_nsec;
	uint64_t vm_state_bytes, vm_clock_nsec;
	uint64_t virtual_size;   /* 0: not known */
	bool current;            /* the one that the disk goes on from */
	const char *problem;     /* one line; NULL: nothing was found */
};
typedef void (*vdisk_snapshot_node_fn)(void *ctx, const struct vdisk_snapshot_node *s);
/* The snapshots of the disk whose leaf is `path`, parents before their children: internal ones, the layers below it, the ones that
   branch off, and where a .vmsd beside it tells of the image, VMware's.  `path` may be a .vmsd, a .vmx or a folder with one .vmsd,
   too.  `o` as in vdisk_open(), may be NULL.  Strings live during the call of fn. */
VDISK_API int vdisk_snapshot_tree(const char *path, const struct vdisk_open_options *o, vdisk_snapshot_node_fn fn, void *ctx,
                                  vdisk_error *err);

struct vdisk_layer_options {
	const struct vdisk_open_options *open; /* how the leaf and its chain are opened; NULL: plainly */
	const char *name, *description;        /* create; description may be NULL */
	uint64_t date_sec;                     /* create; UINT64_MAX: now (SOURCE_DATE_EPOCH where that is set) */
	uint32_t date_nsec;
	const char *leaf;                      /* create: the new leaf's file name, without a folder; NULL: made of the old one's,
	                                          "disk.vhd" to "disk-000001.vhd" */
	struct vdisk_job_options job;          /* delete */
};
#define VDISK_PATH_MAX 4096

/* Keeps the image at `path` as it is; the disk goes on in a new layer beside it, *leaf (VDISK_PATH_MAX bytes), of the same format,
   or qcow2 where that has no layers.  A kill leaves the image as it was, perhaps with an unused layer beside it. */
VDISK_API int vdisk_layer_snapshot(const char *path, const struct vdisk_layer_options *o, char *leaf, vdisk_error *err);
/* Makes the leaf at `path` anew, empty, over the snapshot `which` (an ID or a name); what the old one held is lost.  At one
   stroke. */
VDISK_API int vdisk_layer_apply(const char *path, const struct vdisk_layer_options *o, const char *which, vdisk_error *err);

struct vdisk_layer_report {
	uint64_t copied;    /* bytes of the disk that were written */
	unsigned merged;    /* images that took over what the snapshot held; 0: nothing lay over it */
	bool down;          /* the one above was written into the snapshot's image, which took its place; else upwards */
};
/* Removes the snapshot `which` of the disk whose leaf is `path`: its image is merged with those right over it, towards where less
   has to be copied, and goes.  Every other snapshot, and the disk, reads the same before, during and after; killed at any moment,
   the same call finishes.  `report` may be NULL. */
VDISK_API int vdisk_layer_delete(const char *path, const struct vdisk_layer_options *o, const char *which,
                                 struct vdisk_layer_report *report, vdisk_error *err);

/* Where two images differ: ascending, joined ranges of whole sectors of 512 bytes (the last may be cut by the end).  Past the end
   of the shorter one it has zeros.  What both read from the same place of the same file is not read. */
VDISK_API int vdisk_diff(vdisk_image *a, vdisk_image *b, const struct vdisk_job_options *opts, vdisk_diff_fn fn, void *ctx,
                         vdisk_error *err);
/* The same without reading: where they may differ, that is, all that the two do not have from the same place. */
VDISK_API int vdisk_diff_places(vdisk_image *a, vdisk_image *b, const struct vdisk_job_options *opts, vdisk_diff_fn fn, void *ctx,
                                vdisk_error *err);

enum vdisk_keep {
	VDISK_KEEP_AUTO,   /* INSIDE where the format has it, else LAYERS */
	VDISK_KEEP_INSIDE, /* one image, with each snapshot inside it */
	VDISK_KEEP_LAYERS, /* an image for each snapshot, "disk-s1.vhd" and so on for disk.vhd, each a layer over the one that it
	                      goes on from, as is the disk's own.  First come those that lead to the disk, then others.  Names and
	                      dates are recorded as vdisk_layer_snapshot() does it */
};
/* What an image of the chain is called by whoever keeps account of the machine's snapshots.  Strings are UTF-8 and borrowed. */
struct vdisk_keep_name {
	const char *path;         /* the image, below the leaf; or one that branches off, below which something of the disk's lies */
	const char *name, *description; /* description NULL: none */
	uint64_t date_sec;        /* since 1970, UTC; 0: not known */
	uint32_t date_nsec;
	const char *format;           /* where it branches off: as in vdisk_open_options, as is the next */
	const char *const *ancestors;
};
struct vdisk_keep_options {
	const struct vdisk_open_options *open;       /* how the source's leaf and its chain are opened; NULL: plainly */
	enum vdisk_keep as;
	const struct vdisk_convert_options *convert; /* format, options, level and so on of every image; no backing, manifest,
	                                                digest or record; compressed only as layers */
	const struct vdisk_keep_name *names;         /* these count more than what lies beside the images; of several for one image
	                                                the first one; NULL: none */
	size_t n_names;
};
struct vdisk_keep_report {
	enum vdisk_keep as;   /* what AUTO came to */
	size_t snapshots;
	size_t branches;      /* how many of them the disk does not go on from */
	uint64_t size;        /* of the disk */
	uint64_t data;        /* guest bytes written, all states together */
};
/* Converts the disk whose leaf is `src` with its snapshots: those of its layers, those inside the leaf, and those that branch off.
   Each keeps its name, description, date and content; what a state has from the one that it goes on from is stored once.  Of which
   no image can be opened, or none is the disk's, is left out and told in the log of `open`; so is what INSIDE cannot say, from
   which one another goes on.  `path` appears last, when all is whole; after a failure nothing is left.  `report` may be
   NULL. */
VDISK_API int vdisk_convert_snapshots(const char *src, const char *path, const struct vdisk_keep_options *o,
                                      struct vdisk_keep_report *report, vdisk_error *err);

#ifdef __cplusplus
}
#endif
#endif
