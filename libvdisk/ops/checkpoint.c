/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writing the record.  The coordinator collects windows and appends them as a block now and then, which is a small write; a thread
 * of its own flushes the target's files and then the record, and sets the mark (R2), so that nobody waits for a disk.
 *
 * Lock: k->lock guards the record's end, what the thread is asked for and has done, and the error.  The pending bytes and `at` are
 * the coordinator's.
 */
#include "ops/checkpoint.h"
#include "base/alloc.h"
#include "base/bytes.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include <zlib.h>

#define BLOCK_EVERY_MS 200  /* the most that a killed process loses, but for the windows in flight */
#define FLUSH_EVERY_MS 4000 /* the most that a power cut loses, but for what a flush takes */
#define PENDING_MAX    (1u << 20)

struct vd_ckpt {
	struct vd_conv *c;
	char *path;
	char *header;        /* text */
	struct vd_file *f;   /* NULL: nothing to write yet */
	struct vd_record pending;
	struct vd_walk_point at;
	bool folder_synced;
	struct timespec last_block, last_flush;

	pthread_t thread;
	bool has_thread;
	pthread_mutex_t lock;
	pthread_cond_t wake, idle;
	uint64_t end;        /* of the record */
	uint64_t end_pos;    /* guest offset that it reaches */
	bool asked, busy, stop;
	uint64_t marked_pos; /* guest offset that is durable */
	bool failed;
	vd_error err;
};

static uint64_t ms_since(const struct timespec *t0)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)((t.tv_sec - t0->tv_sec) * 1000 + (t.tv_nsec - t0->tv_nsec) / 1000000);
}

/* ---- bytes */

static int header_write(struct vd_ckpt *k, vd_error *err)
{
	size_t len = strlen(k->header);
	VD_AUTO_FREE uint8_t *b = vd_malloc(VD_CKPT_HEADER + len + 4);

	if (!b)
		return vd_fail_nomem(err, len);
	memcpy(b, VD_CKPT_MAGIC, 8);
	le32_put(b + 8, VD_CKPT_VERSION);
	le32_put(b + 12, (uint32_t)len);
	memcpy(b + VD_CKPT_HEADER, k->header, len);
	le32_put(b + VD_CKPT_HEADER + len, (uint32_t)crc32_z(0, b, VD_CKPT_HEADER + len));
	(void)unlink(k->path);
	if (vd_file_posix(AT_FDCWD, k->path, k->path, VD_POSIX_CREATE, &k->f, err))
		return -1;
	k->end = VD_CKPT_HEADER + len + 4;
	return vd_file_pwrite(k->f, b, k->end, 0, err);
}

/* `payload` has room for the checksum behind it.  Under the lock. */
static int block_write(struct vd_ckpt *k, uint8_t *payload, size_t len, vd_error *err)
{
	uint8_t head[VD_CKPT_BLOCK];
	struct iovec iov[2] = { { head, sizeof(head) }, { payload, len + 4 } };

	le32_put(head, VD_CKPT_BLOCK_MAGIC);
	le32_put(head + 4, (uint32_t)len);
	le32_put(payload + len, (uint32_t)crc32_z(crc32_z(0, head, sizeof(head)), payload, len));
	if (vd_file_pwritev(k->f, iov, 2, k->end, err))
		return -1;
	k->end += sizeof(head) + len + 4;
	return 0;
}

/* A record's first bytes. */
static int block_begin(struct vd_record *r, uint64_t type, vd_error *err)
{
	return vd_record_put(r, type, err);
}

static void give_up(struct vd_ckpt *k, const vd_error *e)
{
	pthread_mutex_lock(&k->lock);
	if (!k->failed) {
		k->failed = true;
		k->err = *e;
		if (k->c->opts->log)
			k->c->opts->log(k->c->opts->log_ctx, VDISK_LOG_WARNING, e->message);
	}
	pthread_mutex_unlock(&k->lock);
}

/* What is pending, as a block. */
static int pending_write(struct vd_ckpt *k, vd_error *err)
{
	struct vd_record block = { 0 };
	char boot[VD_BOOT_ID];
	uint8_t sum[4] = { 0 };
	int rc;

	if (!k->pending.n)
		return 0;
	vd_boot_id(boot);
	rc = block_begin(&block, VD_CKPT_WINDOWS, err) || vd_record_bytes(&block, boot, sizeof(boot), err) ||
	     vd_record_put(&block, k->at.pos, err) || vd_record_put(&block, k->at.from, err) ||
	     vd_record_put(&block, k->at.back_from, err) || vd_record_put(&block, k->at.lost, err) ||
	     vd_record_bytes(&block, k->pending.v, k->pending.n, err) || vd_record_bytes(&block, sum, sizeof(sum), err);
	if (!rc && !k->f)
		rc = header_write(k, err);
	pthread_mutex_lock(&k->lock);
	if (!rc)
		rc = block_write(k, block.v, block.n - 4, err);
	if (!rc)
		k->end_pos = k->at.pos;
	pthread_mutex_unlock(&k->lock);
	vd_free(block.v);
	k->pending.n = 0;
	clock_gettime(CLOCK_MONOTONIC, &k->last_block);
	return rc ? -1 : 0;
}

/* ---- durability */

/* Everything that the record says up to now, and then the mark that says so. */
static int mark(struct vd_ckpt *k, vd_error *err)
{
	struct vd_record block = { 0 };
	uint8_t sum[4] = { 0 };
	uint64_t end, pos;
	int rc = 0;

	pthread_mutex_lock(&k->lock);
	end = k->end;
	pos = k->end_pos;
	pthread_mutex_unlock(&k->lock);
	for (unsigned i = 0; i < k->c->to->n_files; i++)
		if (vd_file_flush(k->c->to->files[i], err))
			return -1;
	if (vd_file_flush(k->f, err) || (!k->folder_synced && vd_folder_sync(k->path, err)))
		return -1;
	k->folder_synced = true;
	rc = block_begin(&block, VD_CKPT_MARK, err) || vd_record_put(&block, end, err) ||
	     vd_record_bytes(&block, sum, sizeof(sum), err);
	pthread_mutex_lock(&k->lock);
	if (!rc)
		rc = block_write(k, block.v, block.n - 4, err);
	pthread_mutex_unlock(&k->lock);
	vd_free(block.v);
	if (rc || vd_file_flush(k->f, err))
		return -1;
	pthread_mutex_lock(&k->lock);
	k->marked_pos = pos;
	pthread_mutex_unlock(&k->lock);
	return 0;
}

static void *flusher(void *arg)
{
	struct vd_ckpt *k = arg;

	pthread_mutex_lock(&k->lock);
	for (;;) {
		vd_error err = { 0 };
		int rc;

		while (!k->asked && !k->stop)
			pthread_cond_wait(&k->wake, &k->lock);
		if (k->stop)
			break;
		k->asked = false;
		k->busy = true;
		pthread_mutex_unlock(&k->lock);
		rc = mark(k, &err);
		if (rc)
			give_up(k, &err);
		pthread_mutex_lock(&k->lock);
		k->busy = false;
		pthread_cond_signal(&k->idle);
	}
	pthread_mutex_unlock(&k->lock);
	return NULL;
}

static void flush_ask(struct vd_ckpt *k)
{
	if (!k->has_thread) {
		if (pthread_create(&k->thread, NULL, flusher, k))
			return;
		k->has_thread = true;
	}
	pthread_mutex_lock(&k->lock);
	if (!k->busy && !k->asked) {
		k->asked = true;
		clock_gettime(CLOCK_MONOTONIC, &k->last_flush);
		pthread_cond_signal(&k->wake);
	}
	pthread_mutex_unlock(&k->lock);
}

static void flush_wait(struct vd_ckpt *k)
{
	pthread_mutex_lock(&k->lock);
	while (k->has_thread && (k->asked || k->busy))
		pthread_cond_wait(&k->idle, &k->lock);
	pthread_mutex_unlock(&k->lock);
}

static bool has_failed(struct vd_ckpt *k)
{
	bool failed;

	pthread_mutex_lock(&k->lock);
	failed = k->failed;
	pthread_mutex_unlock(&k->lock);
	return failed;
}

/* ---- for the coordinator */

void vd_ckpt_add(struct vd_ckpt *k, const struct vd_window *w)
{
	vd_error err = { 0 };

	if (has_failed(k))
		return;
	if (w->len && vd_record_window(&k->pending, k->c, w, &err)) {
		give_up(k, &err);
		return;
	}
	if (k->pending.n)
		k->at = w->after;
}

void vd_ckpt_tick(struct vd_ckpt *k)
{
	vd_error err = { 0 };

	if (has_failed(k))
		return;
	if ((k->pending.n > PENDING_MAX || ms_since(&k->last_block) >= BLOCK_EVERY_MS) && pending_write(k, &err)) {
		give_up(k, &err);
		return;
	}
	if (k->f && k->end_pos > vd_ckpt_durable(k) && ms_since(&k->last_flush) >= FLUSH_EVERY_MS)
		flush_ask(k);
}

int vd_ckpt_save(struct vd_ckpt *k, vd_error *err)
{
	flush_wait(k);
	if (k->failed) {
		if (err)
			*err = k->err;
		return -1;
	}
	if (pending_write(k, err))
		return -1;
	return k->f ? mark(k, err) : 0;
}

uint64_t vd_ckpt_durable(struct vd_ckpt *k)
{
	uint64_t pos;

	pthread_mutex_lock(&k->lock);
	pos = k->marked_pos;
	pthread_mutex_unlock(&k->lock);
	return pos;
}

void vd_ckpt_settle(struct vd_ckpt *k)
{
	vd_error err = { 0 };

	flush_wait(k);
	if (!k->failed && pending_write(k, &err))
		give_up(k, &err);
}

/* ---- beginning and end */

static int header_make(struct vd_ckpt *k, const char *fingerprint, uint64_t now, uint64_t seed, vd_error *err)
{
	k->header = vd_asprintf("%s\ntime %" PRIu64 " %" PRIu64 "\n", fingerprint, now, seed);
	for (unsigned i = 0; i < k->c->to->n_files; i++) {
		VD_AUTO_FREE char *old = k->header;
		struct vd_identity id;

		if (vd_identity_of(k->c->to->files[i]->fd, &id, err))
			return vd_fail_in(err, "%s", k->c->to->files[i]->name);
		k->header = old ? vd_asprintf("%sfile %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", old, id.dev, id.ino, id.birth) : NULL;
	}
	return k->header ? 0 : vd_fail_nomem(err, strlen(fingerprint));
}

/* The old record's end is cut off where it does not count. */
static int record_continue(struct vd_ckpt *k, const struct vd_saved *cont, vd_error *err)
{
	k->end = cont->end;
	k->end_pos = cont->at.pos;
	k->at = cont->at;
	k->pending.last_off = cont->last_off;
	k->pending.last_host = cont->last_host;
	if (vd_file_posix(AT_FDCWD, k->path, k->path, VD_POSIX_RDWR, &k->f, err))
		return -1;
	return vd_file_truncate(k->f, k->end, err);
}

int vd_ckpt_new(struct vd_conv *c, const char *path, const char *fingerprint, uint64_t now, uint64_t seed,
		const struct vd_saved *cont, struct vd_ckpt **out, vd_error *err)
{
	struct vd_ckpt *k = vd_calloc(1, sizeof(*k));

	if (!k)
		return vd_fail_nomem(err, sizeof(*k));
	k->c = c;
	pthread_mutex_init(&k->lock, NULL);
	pthread_cond_init(&k->wake, NULL);
	pthread_cond_init(&k->idle, NULL);
	clock_gettime(CLOCK_MONOTONIC, &k->last_block);
	k->last_flush = k->last_block;
	k->path = vd_strdup(path);
	if (!k->path || header_make(k, fingerprint, now, seed, err) || (cont && record_continue(k, cont, err))) {
		if (!k->path)
			vd_fail_nomem(err, strlen(path));
		vd_ckpt_free(k);
		return -1;
	}
	*out = k;
	return 0;
}

void vd_ckpt_free(struct vd_ckpt *k)
{
	if (!k)
		return;
	if (k->has_thread) {
		flush_wait(k);
		pthread_mutex_lock(&k->lock);
		k->stop = true;
		pthread_cond_signal(&k->wake);
		pthread_mutex_unlock(&k->lock);
		pthread_join(k->thread, NULL);
	}
	vd_file_close(k->f);
	pthread_cond_destroy(&k->wake);
	pthread_cond_destroy(&k->idle);
	pthread_mutex_destroy(&k->lock);
	vd_free(k->pending.v);
	vd_free(k->header);
	vd_free(k->path);
	vd_free(k);
}
