/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Connections to one export, and requests over them: each takes a connection, alone for its time.  For io/nbd*.c alone. */
#ifndef VD_IO_NBD_LINK_H
#define VD_IO_NBD_LINK_H

#include "base/error.h"

#include <libnbd.h>

/* libnbd's functions, taken at run time: programs that use no export start without it and what it brings. */
struct vd_nbd_api {
	struct nbd_handle *(*create)(void);
	void (*close)(struct nbd_handle *);
	const char *(*get_error)(void);
	int (*get_errno)(void);
	int (*set_export_name)(struct nbd_handle *, const char *);
	int (*set_tls)(struct nbd_handle *, int);
	int (*set_tls_certificates)(struct nbd_handle *, const char *);
	int (*set_tls_username)(struct nbd_handle *, const char *);
	int (*set_tls_psk_file)(struct nbd_handle *, const char *);
	int (*add_meta_context)(struct nbd_handle *, const char *);
	int (*can_meta_context)(struct nbd_handle *, const char *);
	int (*is_read_only)(struct nbd_handle *);
	int (*can_multi_conn)(struct nbd_handle *);
	int (*can_flush)(struct nbd_handle *);
	int (*can_trim)(struct nbd_handle *);
	int (*can_zero)(struct nbd_handle *);
	int64_t (*get_size)(struct nbd_handle *);
	int64_t (*get_block_size)(struct nbd_handle *, int);
	int (*aio_connect_tcp)(struct nbd_handle *, const char *, const char *);
	int (*aio_connect_unix)(struct nbd_handle *, const char *);
	int (*aio_is_ready)(struct nbd_handle *);
	int (*aio_is_dead)(struct nbd_handle *);
	int (*aio_is_closed)(struct nbd_handle *);
	int64_t (*aio_pread)(struct nbd_handle *, void *, size_t, uint64_t, nbd_completion_callback, uint32_t);
	int64_t (*aio_pwrite)(struct nbd_handle *, const void *, size_t, uint64_t, nbd_completion_callback, uint32_t);
	int64_t (*aio_zero)(struct nbd_handle *, uint64_t, uint64_t, nbd_completion_callback, uint32_t);
	int64_t (*aio_trim)(struct nbd_handle *, uint64_t, uint64_t, nbd_completion_callback, uint32_t);
	int64_t (*aio_flush)(struct nbd_handle *, nbd_completion_callback, uint32_t);
	int64_t (*aio_block_status)(struct nbd_handle *, uint64_t, uint64_t, nbd_extent_callback, nbd_completion_callback,
	                            uint32_t);
	int (*aio_command_completed)(struct nbd_handle *, uint64_t);
	int (*poll)(struct nbd_handle *, int);
};
int vd_nbd_api_load(struct vd_nbd_api *a, vd_error *err);

/* What the server says of the export. */
struct vd_nbd_facts {
	uint64_t size;
	uint32_t least, most; /* bytes: requests begin and end at multiples of the first, and have no more than the second */
	bool rdonly, multi, flush, trim, zero, extents;
};

/* Stretches of one kind, one after the other, from `off` on. */
#define VD_NBD_RUNS 1024u
struct vd_nbd_runs {
	uint64_t off;
	size_t n;
	bool full; /* the server said more */
	struct vd_nbd_run { uint64_t end; bool zero; } v[VD_NBD_RUNS];
};

enum vd_nbd_what { VD_NBD_READ, VD_NBD_WRITE, VD_NBD_ZERO, VD_NBD_TRIM, VD_NBD_FLUSH, VD_NBD_EXTENTS };

struct vd_nbd_work {
	enum vd_nbd_what what;
	void *buf;                /* READ, WRITE */
	uint64_t off, len;        /* whole blocks; READ, WRITE: as the facts say, else less than 4 GiB */
	bool no_hole;             /* ZERO: keep the space */
	struct vd_nbd_runs *runs; /* EXTENTS: something at least, from `off` on */
	bool refused;             /* out: the server does not do such requests, or not this one */
};

struct vd_nbd_link;
/* With `write`, an export that cannot be written to is refused.  Once *cancel (NULL: never) is non-zero, nothing is waited for. */
int vd_nbd_link_open(const char *uri, bool write, const volatile int *cancel, struct vd_nbd_link **out, vd_error *err);
const struct vd_nbd_facts *vd_nbd_link_facts(const struct vd_nbd_link *l);
/* From any thread. */
int vd_nbd_link_do(struct vd_nbd_link *l, struct vd_nbd_work *w, vd_error *err);
void vd_nbd_link_close(struct vd_nbd_link *l);

#endif
