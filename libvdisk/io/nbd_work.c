/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One request over one connection: begun, waited for, and what became of it. */
#include "io/nbd_conn.h"
#include "io/wait.h"
#include "base/bytes.h"

#include <errno.h>
#include <string.h>

#define STALL_SECONDS 120
#define FLUSH_SECONDS 3600 /* of all that the server has in its caches */
#define POLL_MS       500

static void run_add(struct vd_nbd_runs *r, uint64_t len, bool zero)
{
	uint64_t from = r->n ? r->v[r->n - 1].end : r->off;

	if (!len || r->full)
		return;
	if (r->n && r->v[r->n - 1].zero == zero)
		r->v[r->n - 1].end += len;
	else if (r->n < VD_NBD_RUNS)
		r->v[r->n++] = (struct vd_nbd_run){ from + len, zero };
	else
		r->full = true;
}

static int extents_in(void *ctx, const char *context, uint64_t off, uint32_t *v, size_t n, int *error)
{
	struct vd_nbd_runs *r = ctx;

	(void)off, (void)error;
	for (size_t i = 0; i + 1 < n && !strcmp(context, LIBNBD_CONTEXT_BASE_ALLOCATION); i += 2)
		run_add(r, v[i], v[i + 1] & LIBNBD_STATE_ZERO);
	return 0;
}

static int64_t work_begin(const struct vd_nbd_api *a, struct nbd_handle *h, struct vd_nbd_work *w)
{
	switch (w->what) {
	case VD_NBD_READ:
		return a->aio_pread(h, w->buf, (size_t)w->len, w->off, NBD_NULL_COMPLETION, 0);
	case VD_NBD_WRITE:
		return a->aio_pwrite(h, w->buf, (size_t)w->len, w->off, NBD_NULL_COMPLETION, 0);
	case VD_NBD_ZERO:
		return a->aio_zero(h, w->len, w->off, NBD_NULL_COMPLETION, w->no_hole ? LIBNBD_CMD_FLAG_NO_HOLE : 0);
	case VD_NBD_TRIM:
		return a->aio_trim(h, w->len, w->off, NBD_NULL_COMPLETION, 0);
	case VD_NBD_FLUSH:
		return a->aio_flush(h, NBD_NULL_COMPLETION, 0);
	case VD_NBD_EXTENTS:
		w->runs->off = w->off;
		w->runs->n = 0;
		w->runs->full = false;
		return a->aio_block_status(h, w->len, w->off,
		                           (nbd_extent_callback) { .callback = extents_in, .user_data = w->runs },
		                           NBD_NULL_COMPLETION, 0);
	}
	return -1;
}

static const char *work_name(const struct vd_nbd_work *w)
{
	static const char *const names[] = { "reading", "writing", "writing zeros", "trimming", "flushing", "asking for holes" };

	return names[w->what];
}

/* The server's word, or libnbd's of the connection.  *last: it will not be another one. */
static int work_failed(const struct vd_nbd_peer *p, struct vd_nbd_work *w, bool *last, vd_error *err)
{
	const char *text = vd_nbd_error_text(p), *word = strstr(text, "command failed: ");
	int e = p->api.get_errno();
	char why[300];

	if (word) /* "pread: command failed: Input/output error" */
		text = strstr(word, ": ") + 2;
	vd_printable(why, sizeof(why), text, strlen(text));
	w->refused = e == EINVAL || e == ENOTSUP || e == EOPNOTSUPP;
	*last = w->refused || e == ENOSPC || e == EPERM || e == EROFS || e == EOVERFLOW || e == ERANGE || w->what == VD_NBD_FLUSH;
	if (w->what == VD_NBD_FLUSH)
		vd_fail(err, VDISK_IO, VDISK_NO_OFFSET, "%s: flushing: %s", p->shown, why);
	else
		vd_fail(err, VDISK_IO, w->off, "%s: %s at offset %" PRIu64 ": %s", p->shown, work_name(w), w->off, why);
	if (err)
		err->sys_errno = e;
	return -1;
}

static int work_wait(const struct vd_nbd_peer *p, struct vd_nbd_conn *c, struct vd_nbd_work *w, int64_t cookie, bool *last,
                     vd_error *err)
{
	int seconds = w->what == VD_NBD_FLUSH ? FLUSH_SECONDS : STALL_SECONDS;
	int64_t end = vd_now_ms() + (int64_t)seconds * 1000;

	for (bool dead = false; vd_now_ms() < end && !vd_cancelled(p->cancel); dead = p->api.poll(c->h, POLL_MS) < 0) {
		int rc = p->api.aio_command_completed(c->h, (uint64_t)cookie);

		if (rc || dead)
			return rc > 0 ? 0 : work_failed(p, w, last, err);
	}
	vd_nbd_conn_end(p, c); /* its answer, if it comes, comes to nobody */
	*last = p->write || vd_cancelled(p->cancel);
	if (vd_cancelled(p->cancel))
		return vd_fail_cancelled(err);
	return vd_fail(err, VDISK_IO, w->off, "%s: %s at offset %" PRIu64 ": no answer for %d seconds", p->shown, work_name(w),
	               w->off, seconds);
}

int vd_nbd_work_do(const struct vd_nbd_peer *p, struct vd_nbd_conn *c, struct vd_nbd_work *w, bool *last, vd_error *err)
{
	struct vd_pipe_guard g;
	int64_t cookie;
	int rc;

	vd_pipe_guard_begin(&g);
	cookie = work_begin(&p->api, c->h, w);
	rc = cookie < 0 ? work_failed(p, w, last, err) : work_wait(p, c, w, cookie, last, err);
	vd_pipe_guard_end(&g);
	if (!rc && w->what == VD_NBD_EXTENTS && !w->runs->n)
		rc = vd_fail(err, VDISK_IO, w->off, "%s: asking for holes at offset %" PRIu64 ": the server said nothing of them",
		             p->shown, w->off);
	return rc;
}
