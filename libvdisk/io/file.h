/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vd_file: a host file, as the formats see it.  Kinds: posix (regular files and block devices), memory, pipes, http and NBD
 * (io/http.h, io/nbd.h), and for tests fault and crash, which wrap another file.
 *
 * Thread safety: reads and writes from any thread at once.  vd_file_size() is the length as this handle knows it (taken at open,
 * moved by its own writes and truncations), so it costs no system call.
 *
 * "Takes" an fd or a file: whatever the result; on failure it is closed.  Every message begins with the file's name.
 */
#ifndef VD_IO_FILE_H
#define VD_IO_FILE_H

#include "base/error.h"
#include "base/range.h"
#include <stdatomic.h>

struct vd_file;

#define VD_FILE_BLOCKDEV   1u  /* fixed size, and what was there before shows through */
#define VD_FILE_SEEKABLE   2u  /* random access; else a pipe */
#define VD_FILE_RDONLY     4u
#define VD_FILE_REMOTE    16u  /* on a web server (io/http.h) */
#define VD_FILE_EXPORT    32u  /* of an NBD server (io/nbd.h) */
#define VD_FILE_BLANK     64u  /* of fixed size, all of it reading as zeros when it was opened */
#define VD_FILE_ZERO_TAIL  8u  /* space past the end reads as zeros once the file grows over it (regular files, memory) */

struct vd_file_ops {
	const char *kind;
	int (*preadv)(struct vd_file *, const struct iovec *, int n, size_t total, uint64_t off, size_t *got, vd_error *);
	int (*pwritev)(struct vd_file *, const struct iovec *, int n, size_t total, uint64_t off, vd_error *);
	int (*flush)(struct vd_file *, vd_error *);
	int (*truncate)(struct vd_file *, uint64_t size, vd_error *);
	int (*grow)(struct vd_file *, uint64_t size, vd_error *); /* judges the size and grows in one step */
	int (*zero)(struct vd_file *, uint64_t off, uint64_t len, bool may_punch, vd_error *);
	int (*punch)(struct vd_file *, uint64_t off, uint64_t len, vd_error *);
	int (*extent)(struct vd_file *, uint64_t off, uint64_t *len, bool *data, vd_error *);
	int (*allocated)(struct vd_file *, uint64_t *bytes, vd_error *);
	int (*lock)(struct vd_file *, bool write, vd_error *);
	void (*close)(struct vd_file *); /* frees all but the name */
	void (*release)(struct vd_file *, uint64_t off, uint64_t len);
	void (*cache_spare)(struct vd_file *, bool own);
};
/* punch, extent, allocated, lock, release and cache_spare may be NULL: nothing to give back, data for all, the size, success,
   nothing. */

/* Common head of every kind; kinds embed it first. */
struct vd_file {
	const struct vd_file_ops *ops;
	char *name;            /* for messages; owned */
	uint32_t flags;        /* VD_FILE_* */
	int fd;                /* posix: the descriptor, for the kernel's copy offload; otherwise -1 */
	_Atomic uint64_t size;
};

static inline uint64_t vd_file_size(const struct vd_file *f)
{
	return atomic_load_explicit(&((struct vd_file *)(uintptr_t)f)->size, memory_order_acquire);
}

/* Reads exactly len bytes: the end of the file before that is VDISK_CORRUPT ("… is cut short"). */
int vd_file_pread(struct vd_file *f, void *buf, size_t len, uint64_t off, vd_error *err);
int vd_file_preadv(struct vd_file *f, const struct iovec *iov, int n, uint64_t off, vd_error *err);
/* Reads up to len bytes, *got of them before the end of the file. */
int vd_file_pread_some(struct vd_file *f, void *buf, size_t len, uint64_t off, size_t *got, vd_error *err);
/* Writes all; the file grows as needed (VDISK_IO with ENOSPC where it cannot). */
int vd_file_pwrite(struct vd_file *f, const void *buf, size_t len, uint64_t off, vd_error *err);
int vd_file_pwritev(struct vd_file *f, const struct iovec *iov, int n, uint64_t off, vd_error *err);
/* Durable when it returns: data, and the size. */
int vd_file_flush(struct vd_file *f, vd_error *err);
/* Makes the file exactly that long: the new part reads as zeros, or the rest is cut off, whoever wrote it.  A block device:
   VDISK_INVALID unless it stays the same. */
int vd_file_truncate(struct vd_file *f, uint64_t size, vd_error *err);
/* Makes the file at least that long, and never cuts off what another thread appends meanwhile, as a look at the size and a
   truncation would.  A block device that is shorter: VDISK_IO with ENOSPC. */
int vd_file_grow(struct vd_file *f, uint64_t size, vd_error *err);
/* Makes the range read as zeros, growing the file over it if need be.  may_punch: as a hole where that is possible. */
int vd_file_zero(struct vd_file *f, uint64_t off, uint64_t len, bool may_punch, vd_error *err);
/* Space for the first `size` bytes, which read as zeros: reserved, or (full) written. */
int vd_file_preallocate(struct vd_file *f, uint64_t size, bool full, vd_error *err);
/* Gives the range's space back if the host can; it reads as zeros then (regular, memory) or as anything (block device).  Never
   changes the size.  No support is success. */
int vd_file_punch(struct vd_file *f, uint64_t off, uint64_t len, vd_error *err);
/* Whether the bytes at off are a hole (*data = false) and how far that goes, at most *len (in and out; result at least 1).  Files
   that cannot tell answer data for all. */
int vd_file_extent(struct vd_file *f, uint64_t off, uint64_t *len, bool *data, vd_error *err);
int vd_file_allocated(struct vd_file *f, uint64_t *bytes, vd_error *err);
/* Takes the byte locks that qemu takes (bytes 100+ for permissions, 200+ for what is not shared), by open file description:
   read: shared with other readers; write: alone.  VDISK_BUSY, with the way out, if somebody else's stand in the way.  Released on
   close.  Files without locks (pipes, memory): success. */
int vd_file_lock(struct vd_file *f, bool write, vd_error *err);
void vd_file_close(struct vd_file *f); /* NULL is a no-op */

/* ---- kinds */

#define VD_POSIX_RDWR   1u
#define VD_POSIX_CREATE 2u /* create, exclusively (O_EXCL), mode 0666 less the umask */
/* `name` is what messages call it.  Only regular files and block devices open; FIFOs, sockets, folders and character devices are
   VDISK_INVALID (opened with O_NONBLOCK | O_CLOEXEC, so a FIFO does not hang).  dirfd as for openat(). */
int vd_file_posix(int dirfd, const char *path, const char *name, uint32_t flags, struct vd_file **out, vd_error *err);
/* Takes fd. */
int vd_file_posix_fd(int fd, const char *name, bool writable, struct vd_file **out, vd_error *err);

/* Bytes in memory, sparse by 64 KiB pages, so that a test may use large offsets.  *out's content starts as a copy of init. */
int vd_file_memory(const char *name, const void *init, size_t len, struct vd_file **out, vd_error *err);
/* A read-only view of the caller's bytes, which must outlive it; no copy (fuzzing). */
int vd_file_memory_view(const char *name, const void *bytes, size_t len, struct vd_file **out, vd_error *err);

/* Read-only: byte v[i].off + k is byte v[i].host + k of `inner` (takes it), what no part names is zeros.  Parts are ascending,
   apart, none is empty; copied.  One outside `inner` is VDISK_CORRUPT. */
int vd_file_parts(struct vd_file *inner, const struct vdisk_part *v, size_t n, uint64_t len, struct vd_file **out, vd_error *err);

/* A regular file of a run that was broken off, as an empty one that is written anew (takes `inner`).  What `ranges` name
   (ascending, apart, copied) is there already and stays whatever is done to it; all else is given back first, and is a hole, as is
   what they name past the file's end. */
int vd_file_kept(struct vd_file *inner, const struct vd_range *ranges, size_t n, struct vd_file **out, vd_error *err);

/* Append-only output to fd (takes it): writes may come in any order from several threads; each waits until all before it is
   written.  Reading, zero, truncate: VDISK_UNSUPPORTED.  zero() past the end writes zeros.  size is what was appended. */
int vd_file_pipe_out(int fd, const char *name, struct vd_file **out, vd_error *err);
/* Forward-only input from fd (takes it).  Reads pull bytes in as needed and keep them until released; a read below the released
   mark is VDISK_INVALID.  size is UINT64_MAX until the end was seen.  At most `window` bytes are kept: more is VDISK_NOMEM. */
int vd_file_pipe_in(int fd, const char *name, uint64_t window, struct vd_file **out, vd_error *err);
/* Bytes of [off, off+len) will not be read again; the kept prefix goes once everything before was released.  No-op for other
   kinds. */
void vd_file_release(struct vd_file *f, uint64_t off, uint64_t len);
/* From here on the host's page cache keeps little of what goes through this handle, but for what it held before; nor that, where
   the file is our own.  Until it is closed.  No-op for kinds that have no such cache. */
void vd_file_cache_spare(struct vd_file *f, bool own);

#endif
