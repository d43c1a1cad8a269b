/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A read-only file over bytes that the caller owns.  It changes nothing, so it has no lock. */
#include "io/kind.h"
#include "base/alloc.h"
#include "base/bytes.h"

struct view_file {
	struct vd_file file;
	const uint8_t *bytes;
};

static int bytes_read(struct vd_file *f, uint8_t *buf, size_t len, uint64_t off, vd_error *err)
{
	(void)err;
	memcpy(buf, ((struct view_file *)f)->bytes + off, len);
	return 0;
}

static int view_preadv(struct vd_file *f, const struct iovec *iov, int n, size_t total, uint64_t off, size_t *got, vd_error *err)
{
	return vd_iov_read(f, iov, n, total, off, bytes_read, got, err);
}

static void view_close(struct vd_file *f)
{
	vd_free(f);
}

/* VD_FILE_RDONLY: the front turns away everything that would change it. */
static const struct vd_file_ops view_ops = {
	.kind = "memory view",
	.preadv = view_preadv,
	.close = view_close,
};

int vd_file_memory_view(const char *name, const void *bytes, size_t len, struct vd_file **out, vd_error *err)
{
	struct view_file *v = vd_calloc(1, sizeof(*v));

	if (!v)
		return vd_fail_nomem(err, sizeof(*v));
	if (vd_file_head(&v->file, &view_ops, name, VD_FILE_SEEKABLE | VD_FILE_RDONLY, len, err)) {
		vd_free(v);
		return -1;
	}
	v->bytes = bytes;
	*out = &v->file;
	return 0;
}
