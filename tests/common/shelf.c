/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The shelf owns its files; a handle owns itself only.  Handles keep `size` in step with their file's, which grows from many
   threads. */
#include "common/shelf.h"
#include "common/test.h"
#include "base/alloc.h"
#include "base/zero.h"
#include "core/layer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void (*t_shelf_busy)(bool enter);

static void busy(bool enter)
{
	if (t_shelf_busy)
		t_shelf_busy(enter);
}

struct handle {
	struct vd_file f;
	struct vd_file *on; /* the shelf's */
	bool jitter;
};

static void dawdle(struct vd_file *f)
{
	static _Thread_local struct t_rng rng;

	if (!((struct handle *)f)->jitter)
		return;
	if (!rng.state)
		rng.state = (uintptr_t)&rng;
	if (!t_below(&rng, 3))
		usleep((useconds_t)t_below(&rng, 120));
}

static struct vd_file *on(struct vd_file *f)
{
	return ((struct handle *)f)->on;
}

static void grown(struct vd_file *f)
{
	uint64_t size = vd_file_size(on(f)), seen = atomic_load(&f->size);

	while (seen < size && !atomic_compare_exchange_weak(&f->size, &seen, size))
		;
}

/* A real file is not read or written at one stroke either: with jitter each piece is cut in two. */
static size_t stroke(struct vd_file *f, size_t len)
{
	return ((struct handle *)f)->jitter && len > 1 ? len / 2 : len;
}

static int handle_preadv(struct vd_file *f, const struct iovec *iov, int n, size_t total, uint64_t off, size_t *got, vd_error *err)
{
	*got = 0;
	(void)total;
	for (int i = 0; i < n; i++) {
		size_t first = stroke(f, iov[i].iov_len), part = 0, rest = 0;

		dawdle(f);
		if (vd_file_pread_some(on(f), iov[i].iov_base, first, off + *got, &part, err))
			return -1;
		*got += part;
		if (part == first && first < iov[i].iov_len) {
			dawdle(f);
			if (vd_file_pread_some(on(f), (uint8_t *)iov[i].iov_base + first, iov[i].iov_len - first, off + *got, &rest,
			                       err))
				return -1;
			*got += rest;
		}
		if (part + rest < iov[i].iov_len)
			break;
	}
	return 0;
}

static int pieces_write(struct vd_file *f, const struct iovec *iov, int n, uint64_t off, vd_error *err)
{
	for (int i = 0; i < n; i++) {
		size_t first = stroke(f, iov[i].iov_len);

		if (vd_file_pwrite(on(f), iov[i].iov_base, first, off, err))
			return -1;
		dawdle(f);
		if (first < iov[i].iov_len &&
		    vd_file_pwrite(on(f), (uint8_t *)iov[i].iov_base + first, iov[i].iov_len - first, off + first, err))
			return -1;
		off += iov[i].iov_len;
	}
	return 0;
}

static int handle_pwritev(struct vd_file *f, const struct iovec *iov, int n, size_t total, uint64_t off, vd_error *err)
{
	int ret;

	(void)total;
	dawdle(f);
	ret = ((struct handle *)f)->jitter ? pieces_write(f, iov, n, off, err) : vd_file_pwritev(on(f), iov, n, off, err);
	grown(f);
	return ret;
}

static int handle_flush(struct vd_file *f, vd_error *err)
{
	return vd_file_flush(on(f), err);
}

static int handle_truncate(struct vd_file *f, uint64_t size, vd_error *err)
{
	int ret = vd_file_truncate(on(f), size, err);

	atomic_store(&f->size, vd_file_size(on(f)));
	return ret;
}

static int handle_grow(struct vd_file *f, uint64_t size, vd_error *err)
{
	int ret = vd_file_grow(on(f), size, err);

	grown(f);
	return ret;
}

static int handle_zero(struct vd_file *f, uint64_t off, uint64_t len, bool may_punch, vd_error *err)
{
	int ret = vd_file_zero(on(f), off, len, may_punch, err);

	grown(f);
	return ret;
}

static int handle_punch(struct vd_file *f, uint64_t off, uint64_t len, vd_error *err)
{
	return vd_file_punch(on(f), off, len, err);
}

static int handle_extent(struct vd_file *f, uint64_t off, uint64_t *len, bool *data, vd_error *err)
{
	return vd_file_extent(on(f), off, len, data, err);
}

static int handle_allocated(struct vd_file *f, uint64_t *bytes, vd_error *err)
{
	return vd_file_allocated(on(f), bytes, err);
}

static int handle_lock(struct vd_file *f, bool write, vd_error *err)
{
	(void)f, (void)write, (void)err;
	return 0;
}

/* vd_file_close() frees the name. */
static void handle_close(struct vd_file *f)
{
	free(f);
}

static const struct vd_file_ops handle_ops = {
	.kind = "shelf",
	.preadv = handle_preadv,
	.pwritev = handle_pwritev,
	.flush = handle_flush,
	.truncate = handle_truncate,
	.grow = handle_grow,
	.zero = handle_zero,
	.punch = handle_punch,
	.extent = handle_extent,
	.allocated = handle_allocated,
	.lock = handle_lock,
	.close = handle_close,
};

static struct vd_file *handle_new(struct vd_file *file, bool write, bool jitter)
{
	struct handle *h = t_alloc(sizeof(*h));

	h->f.ops = &handle_ops;
	h->f.name = strdup(file->name);
	h->f.flags = (file->flags & ~VD_FILE_RDONLY) | (write ? 0 : VD_FILE_RDONLY);
	h->f.fd = -1;
	atomic_store(&h->f.size, vd_file_size(file));
	h->on = file;
	h->jitter = jitter;
	return &h->f;
}

static void shelf_put(struct t_shelf *s, const char *name, struct vd_file *file)
{
	vd_error err;

	T_CHECK(s->n < T_SHELF_FILES, "the shelf is full");
	snprintf(s->slot[s->n].name, sizeof(s->slot[s->n].name), "%s", name);
	s->slot[s->n].file = file;
	if (s->crash)
		T_OK(vd_file_crash(s->crash, file, &s->slot[s->n].file, &s->slot[s->n].crash_id, &err), err);
	s->n++;
}

static int shelf_find(const struct t_shelf *s, const char *name)
{
	for (unsigned i = 0; i < s->n; i++)
		if (!strcmp(s->slot[i].name, name))
			return (int)i;
	return -1;
}

struct vd_file *t_shelf_open(struct t_shelf *s, const char *name, bool create, bool write)
{
	int i = shelf_find(s, name);
	struct vd_file *f;
	vd_error err;

	if (i < 0 && !create)
		return NULL;
	busy(true);
	if (i < 0) {
		T_OK(vd_file_memory(name, NULL, 0, &f, &err), err);
		shelf_put(s, name, f);
		i = (int)s->n - 1;
	}
	f = handle_new(s->slot[i].file, write, s->jitter);
	if (s->fault)
		T_OK(vd_file_fault(f, s->fault, &f, &err), err);
	busy(false);
	return f;
}

static int host_add(struct vd_host *host, struct vd_layer *l, const char *name, bool create, bool write, uint16_t *file,
                    vd_error *err)
{
	struct vd_file *f = t_shelf_open(host->ctx, name, create, write);

	if (!f)
		return vd_fail(err, VDISK_IO, VDISK_NO_OFFSET, "%s: no such file on the shelf", name);
	if (vd_layer_add_file(l, f, file, err)) {
		vd_file_close(f);
		return -1;
	}
	return 0;
}

static int host_open_file(struct vd_host *host, struct vd_layer *l, const char *name, bool write, uint16_t *file, vd_error *err)
{
	return host_add(host, l, name, false, write && (l->flags & VD_LAYER_WRITABLE), file, err);
}

static int host_create_file(struct vd_host *host, struct vd_layer *l, const char *name, uint16_t *file, vd_error *err)
{
	return host_add(host, l, name, true, true, file, err);
}

__attribute__((format(printf, 3, 4)))
static void host_log(struct vd_host *host, enum vdisk_log_level level, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	(void)host;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (level == VDISK_LOG_WARNING && getenv("VDISK_TEST_LOG"))
		printf("log: %s\n", line);
}

void t_shelf_init(struct t_shelf *s, const char *base_name)
{
	memset(s, 0, sizeof(*s));
	s->host = (struct vd_host){
		.ctx = s,
		.open_file = host_open_file,
		.create_file = host_create_file,
		.base_name = base_name,
		.log = host_log,
	};
}

void t_shelf_free(struct t_shelf *s)
{
	for (unsigned i = 0; i < s->n; i++)
		vd_file_close(s->slot[i].file);
	s->n = 0;
}

struct vd_host *t_shelf_host(struct t_shelf *s)
{
	return &s->host;
}

void t_shelf_copy(struct t_shelf *to, const struct t_shelf *from)
{
	static const uint8_t zeros[65536];
	uint8_t buf[sizeof(zeros)];
	vd_error err;

	for (unsigned i = 0; i < from->n; i++) {
		uint64_t size = vd_file_size(from->slot[i].file);
		struct vd_file *f;

		T_OK(vd_file_memory(from->slot[i].name, NULL, 0, &f, &err), err);
		T_OK(vd_file_truncate(f, size, &err), err);
		for (uint64_t off = 0; off < size; off += sizeof(buf)) {
			size_t n = size - off < sizeof(buf) ? (size_t)(size - off) : sizeof(buf);

			T_OK(vd_file_pread(from->slot[i].file, buf, n, off, &err), err);
			if (memcmp(buf, zeros, n))
				T_OK(vd_file_pwrite(f, buf, n, off, &err), err);
		}
		shelf_put(to, from->slot[i].name, f);
	}
}

void t_shelf_crashable(struct t_shelf *s, struct vd_crash *c)
{
	vd_error err;

	s->crash = c;
	for (unsigned i = 0; i < s->n; i++)
		T_OK(vd_file_crash(c, s->slot[i].file, &s->slot[i].file, &s->slot[i].crash_id, &err), err);
}

void t_shelf_after_crash(struct t_shelf *to, const struct t_shelf *from, unsigned long upto, enum vd_crash_mode mode, uint64_t seed)
{
	vd_error err;

	for (unsigned i = 0; i < from->n; i++) {
		struct vd_file *f;

		T_OK(vd_crash_image(from->crash, from->slot[i].crash_id, upto, mode, seed, &f, &err), err);
		shelf_put(to, from->slot[i].name, f);
	}
}

void t_shelf_dump(const struct t_shelf *s, const char *folder, const char *prefix)
{
	for (unsigned i = 0; i < s->n; i++) {
		uint64_t size = vd_file_size(s->slot[i].file);
		uint8_t *all = t_alloc(size);
		char path[512];
		vd_error err;
		FILE *out;

		snprintf(path, sizeof(path), "%s/%s-%s", folder, prefix, s->slot[i].name);
		T_OK(vd_file_pread(s->slot[i].file, all, size, 0, &err), err);
		out = fopen(path, "wb");
		T_CHECK(out, "cannot write %s", path);
		for (uint64_t at = 0, n; at < size; at += n) { /* holes stay holes */
			bool zero;

			n = vd_zero_run(all + at, size - at, 4096, &zero);
			T_CHECK(zero || (!fseek(out, (long)at, SEEK_SET) && fwrite(all + at, 1, n, out) == n), "cannot write %s",
			        path);
		}
		T_CHECK(!fflush(out) && !ftruncate(fileno(out), (off_t)size) && !fclose(out), "cannot write %s", path);
		free(all);
	}
}
