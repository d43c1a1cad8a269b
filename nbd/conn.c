/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The threads of a connection take turns at receiving: who has a request lets the next one listen, works, and answers.  A thread
 * more is started when nobody would be listening, up to the limit; so a client that sends one request at a time costs two threads.
 *
 * Locks, in this order and never two of one kind: `listen` (the receiving end, and whose turn it is), `answer` (the sending end).
 * `lock` guards the counters and is taken inside either.  `closing` is only ever set.  Memory is CONN_PIECE for each thread,
 * whatever a client asks for: longer reads and writes go piece by piece.
 */
#include "conn.h"

#include "negotiate.h"
#include "wire.h"

#include <stdlib.h>
#include <unistd.h>

#define HEAD_ROOM 64u /* before a thread's data, for the head of the answer: both go out with one call */
#define HOLE_LEAST (32u << 10) /* a shorter run of zeros is sent as it is */
#define RUNS_MAX 2048u

struct conn {
	struct conn_config cfg;
	struct stream stream;
	struct session session;
	pthread_mutex_t listen, answer, lock;
	pthread_cond_t ended;
	unsigned threads, listening; /* guarded by lock */
	atomic_bool closing;
	bool polite; /* at the end; only the connection's first thread touches it */
};

struct worker {
	struct conn *c;
	uint8_t *room, *data; /* data = room + HEAD_ROOM */
	struct wire_request r;
	bool refused;         /* the request was wrong; its payload, if any, has been skipped */
	uint32_t error;       /* so far */
};

static void work(struct conn *c);

static void hang_up(struct conn *c)
{
	atomic_store(&c->closing, true);
	stream_stop_receiving(&c->stream);
}

/* ---------------------------------------------------------------- answers */

/* The head is written just before `data`, which lies in the worker's room. */
static void send_headed(struct worker *w, const uint8_t *head, size_t head_len, size_t len)
{
	struct conn *c = w->c;

	memcpy(w->data - head_len, head, head_len);
	pthread_mutex_lock(&c->answer);
	int rc = stream_send(&c->stream, w->data - head_len, head_len + len);
	pthread_mutex_unlock(&c->answer);
	if (rc)
		hang_up(c);
}

static void answer_simple(struct worker *w, uint32_t error)
{
	uint8_t head[NBD_SIMPLE_BYTES];

	wire_simple_put(head, w->r.cookie, error);
	send_headed(w, head, sizeof(head), 0);
}

static void answer_chunk(struct worker *w, uint16_t flags, uint16_t type, const void *payload, uint32_t len)
{
	uint8_t head[NBD_CHUNK_BYTES + 16];

	wire_chunk_put(head, w->r.cookie, flags, type, len);
	memcpy(head + NBD_CHUNK_BYTES, payload, len);
	send_headed(w, head, NBD_CHUNK_BYTES + len, 0);
}

static void answer(struct worker *w, uint32_t error)
{
	uint8_t b[6] = { 0 };

	if (!w->c->session.structured) {
		answer_simple(w, error);
	} else if (error) {
		be32_put(b, error);
		answer_chunk(w, NBD_REPLY_FLAG_DONE, NBD_REPLY_ERROR, b, sizeof(b));
	} else {
		answer_chunk(w, NBD_REPLY_FLAG_DONE, NBD_REPLY_NONE, b, 0);
	}
}

/* ---------------------------------------------------------------- commands */

/* The first piece is read before success is claimed.  Should a later one fail, the protocol leaves nothing but to hang up. */
static void read_simple(struct worker *w)
{
	uint32_t len = w->r.len, n = len < CONN_PIECE ? len : CONN_PIECE, rc;
	uint64_t off = w->r.off;
	uint8_t head[NBD_SIMPLE_BYTES];
	struct conn *c = w->c;

	rc = export_read(c->cfg.x, w->data, n, off);
	if (rc) {
		answer_simple(w, rc);
		return;
	}
	wire_simple_put(head, w->r.cookie, 0);
	if (n == len) {
		send_headed(w, head, sizeof(head), n);
		return;
	}
	pthread_mutex_lock(&c->answer);
	rc = stream_send(&c->stream, head, sizeof(head)) ? NBD_EIO : 0;
	while (!rc && len) {
		rc = stream_send(&c->stream, w->data, n) ? NBD_EIO : 0;
		off += n;
		len -= n;
		n = len < CONN_PIECE ? len : CONN_PIECE;
		if (!rc && len)
			rc = export_read(c->cfg.x, w->data, n, off);
	}
	pthread_mutex_unlock(&c->answer);
	if (rc) {
		atomic_store(&c->closing, true);
		stream_break(&c->stream);
	}
}

static void send_data(struct worker *w, uint16_t flags, uint64_t off, uint32_t len)
{
	uint8_t head[NBD_CHUNK_BYTES + 8];

	wire_chunk_put(head, w->r.cookie, flags, NBD_REPLY_OFFSET_DATA, 8 + len);
	be64_put(head + NBD_CHUNK_BYTES, off);
	send_headed(w, head, sizeof(head), len);
}

static void send_hole(struct worker *w, uint16_t flags, uint64_t off, uint32_t len)
{
	uint8_t b[12];

	be64_put(b, off);
	be32_put(b + 8, len);
	answer_chunk(w, flags, NBD_REPLY_OFFSET_HOLE, b, sizeof(b));
}

/* Chunks of data and of holes; short requests, and those that are not to be cut, in one. */
static void read_structured(struct worker *w)
{
	bool whole = w->r.flags & NBD_CMD_FLAG_DF || w->r.len < HOLE_LEAST;
	uint64_t off = w->r.off, end = off + w->r.len;
	struct export *x = w->c->cfg.x;

	while (off < end) {
		uint32_t left = (uint32_t)(end - off), n = left;
		bool hole = false;
		uint16_t flags;

		if (!whole)
			n = export_next(x, left, off, &hole);
		if (hole && n < HOLE_LEAST && n < left) { /* not worth a chunk */
			hole = false;
			n = HOLE_LEAST < left ? HOLE_LEAST : left;
		}
		if (!hole && n > CONN_PIECE)
			n = CONN_PIECE;
		flags = n == left ? NBD_REPLY_FLAG_DONE : 0;
		if (hole) {
			send_hole(w, flags, off, n);
		} else {
			uint32_t rc = export_read(x, w->data, n, off);

			if (rc) {
				answer(w, rc);
				return;
			}
			send_data(w, flags, off, n);
		}
		off += n;
	}
}

static void do_read(struct worker *w)
{
	if (!w->r.len)
		answer(w, 0);
	else if (w->c->session.structured)
		read_structured(w);
	else
		read_simple(w);
}

static void do_status(struct worker *w)
{
	size_t cap = w->r.flags & NBD_CMD_FLAG_REQ_ONE ? 1 : RUNS_MAX;
	struct export_run *runs = malloc(cap * sizeof(*runs));
	unsigned last = 0;
	uint32_t rc = runs ? 0 : NBD_ENOMEM;

	for (unsigned i = 0; i < EXPORT_CONTEXTS; i++)
		if (w->c->session.contexts[i])
			last = i;
	for (unsigned i = 0; !rc && i <= last; i++) {
		uint8_t head[NBD_CHUNK_BYTES + 4];
		size_t n;

		if (!w->c->session.contexts[i])
			continue;
		rc = export_status(w->c->cfg.x, (enum export_context)i, w->r.len, w->r.off, runs, cap, &n);
		if (rc)
			break;
		for (size_t j = 0; j < n; j++) {
			be32_put(w->data + j * 8, runs[j].len);
			be32_put(w->data + j * 8 + 4, runs[j].flags);
		}
		wire_chunk_put(head, w->r.cookie, i == last ? NBD_REPLY_FLAG_DONE : 0, NBD_REPLY_BLOCK_STATUS,
		               (uint32_t)(4 + n * 8));
		be32_put(head + NBD_CHUNK_BYTES, i);
		send_headed(w, head, sizeof(head), n * 8);
	}
	if (rc)
		answer(w, rc);
	free(runs);
}

/* Into the host's cache, by reading it. */
static uint32_t do_cache(struct worker *w)
{
	uint64_t off = w->r.off, end = off + w->r.len;
	uint32_t rc = 0;

	while (!rc && off < end && !atomic_load(&w->c->closing)) {
		uint32_t n = end - off < CONN_PIECE ? (uint32_t)(end - off) : CONN_PIECE;
		bool hole;

		n = export_next(w->c->cfg.x, n, off, &hole);
		if (!hole)
			rc = export_read(w->c->cfg.x, w->data, n, off);
		off += n;
	}
	return rc;
}

static void perform(struct worker *w)
{
	struct export *x = w->c->cfg.x;
	struct wire_request *r = &w->r;
	uint32_t rc = w->error;

	if (w->refused) {
		answer(w, rc);
		return;
	}
	switch (r->type) {
	case NBD_CMD_READ:
		do_read(w);
		return;
	case NBD_CMD_BLOCK_STATUS:
		do_status(w);
		return;
	case NBD_CMD_WRITE:
		if (!rc && r->len && r->len <= CONN_PIECE) /* longer ones were written while they came */
			rc = export_write(x, w->data, r->len, r->off);
		break;
	case NBD_CMD_TRIM:
		rc = export_trim(x, r->len, r->off);
		break;
	case NBD_CMD_WRITE_ZEROES:
		rc = export_zero(x, r->len, r->off, r->flags & NBD_CMD_FLAG_NO_HOLE, r->flags & NBD_CMD_FLAG_FAST_ZERO);
		break;
	case NBD_CMD_CACHE:
		rc = do_cache(w);
		break;
	case NBD_CMD_FLUSH:
		rc = x->rw ? export_flush(x) : 0;
		break;
	}
	if (!rc && x->rw && (r->flags & NBD_CMD_FLAG_FUA) &&
	    (r->type == NBD_CMD_WRITE || r->type == NBD_CMD_TRIM || r->type == NBD_CMD_WRITE_ZEROES))
		rc = export_flush(x);
	answer(w, rc);
}

/* ---------------------------------------------------------------- requests */

/* 0, or the error that the request deserves before anything is done. */
static uint32_t request_judge(const struct conn *c, const struct wire_request *r)
{
	static const uint16_t flags[] = {
		[NBD_CMD_READ] = NBD_CMD_FLAG_DF,
		[NBD_CMD_WRITE] = 0,
		[NBD_CMD_FLUSH] = 0,
		[NBD_CMD_TRIM] = 0,
		[NBD_CMD_CACHE] = 0,
		[NBD_CMD_WRITE_ZEROES] = NBD_CMD_FLAG_NO_HOLE | NBD_CMD_FLAG_FAST_ZERO,
		[NBD_CMD_BLOCK_STATUS] = NBD_CMD_FLAG_REQ_ONE,
	};
	const struct export *x = c->cfg.x;
	bool writes = r->type == NBD_CMD_WRITE || r->type == NBD_CMD_TRIM || r->type == NBD_CMD_WRITE_ZEROES;
	bool any_context = false;

	if (r->type >= sizeof(flags) / sizeof(*flags) || r->type == NBD_CMD_DISC)
		return NBD_EINVAL;
	if (r->flags & ~(flags[r->type] | (x->rw ? NBD_CMD_FLAG_FUA : 0u)))
		return NBD_EINVAL;
	if (writes && !x->rw)
		return NBD_EPERM;
	if (r->type == NBD_CMD_FLUSH)
		return r->off || r->len ? NBD_EINVAL : 0;
	if (!export_holds(x, r->off, r->len))
		return writes ? NBD_ENOSPC : NBD_EINVAL;
	if ((r->type == NBD_CMD_READ || r->type == NBD_CMD_WRITE) && r->len > EXPORT_BLOCK_MAX)
		return r->flags & NBD_CMD_FLAG_DF ? NBD_EOVERFLOW : NBD_EINVAL;
	if (r->flags & NBD_CMD_FLAG_DF && !c->session.structured)
		return NBD_EINVAL;
	if (r->flags & NBD_CMD_FLAG_DF && r->len > CONN_PIECE)
		return NBD_EOVERFLOW;
	for (unsigned i = 0; i < EXPORT_CONTEXTS; i++)
		any_context |= c->session.contexts[i];
	return r->type == NBD_CMD_BLOCK_STATUS && (!any_context || !r->len) ? NBD_EINVAL : 0;
}

/* A write that is longer than the room goes out as it comes in.  -1: the connection is lost. */
static int payload_receive(struct worker *w)
{
	uint32_t len = w->r.len;
	uint64_t off = w->r.off;
	struct stream *s = &w->c->stream;

	if (w->refused)
		return stream_skip(s, len);
	if (len <= CONN_PIECE)
		return stream_recv(s, w->data, len, false);
	while (len) {
		uint32_t n = len < CONN_PIECE ? len : CONN_PIECE;

		if (stream_recv(s, w->data, n, false))
			return -1;
		if (!w->error)
			w->error = export_write(w->c->cfg.x, w->data, n, off);
		off += n;
		len -= n;
	}
	return 0;
}

/* -1: no more requests. */
static int request_receive(struct worker *w)
{
	uint8_t head[NBD_REQUEST_BYTES];
	struct conn *c = w->c;

	if (stream_recv(&c->stream, head, sizeof(head), true) || wire_request(head, &w->r) || w->r.type == NBD_CMD_DISC)
		return -1;
	w->error = request_judge(c, &w->r);
	w->refused = w->error;
	return w->r.type == NBD_CMD_WRITE ? payload_receive(w) : 0;
}

/* ---------------------------------------------------------------- threads */

static void *thread_run(void *arg)
{
	struct conn *c = arg;

	work(c);
	pthread_mutex_lock(&c->lock);
	if (!--c->threads)
		pthread_cond_signal(&c->ended);
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

/* Somebody is to listen while this thread works. */
static void thread_more(struct conn *c)
{
	pthread_attr_t attr;
	pthread_t thread;
	bool more;

	pthread_mutex_lock(&c->lock);
	more = !c->listening && c->threads < c->cfg.threads;
	c->threads += more;
	pthread_mutex_unlock(&c->lock);
	if (!more)
		return;
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 1u << 20);
	if (pthread_create(&thread, &attr, thread_run, c)) { /* this one serves alone, then */
		pthread_mutex_lock(&c->lock);
		c->threads--;
		pthread_mutex_unlock(&c->lock);
	}
	pthread_attr_destroy(&attr);
}

static void listening_add(struct conn *c, int n)
{
	pthread_mutex_lock(&c->lock);
	c->listening += (unsigned)n;
	pthread_mutex_unlock(&c->lock);
}

static void work(struct conn *c)
{
	struct worker w = { .c = c, .room = malloc(HEAD_ROOM + CONN_PIECE) };

	if (!w.room) {
		hang_up(c);
		return;
	}
	w.data = w.room + HEAD_ROOM;
	for (;;) {
		bool got = false;

		listening_add(c, 1);
		pthread_mutex_lock(&c->listen);
		if (!atomic_load(&c->closing)) {
			got = !request_receive(&w);
			if (!got)
				atomic_store(&c->closing, true);
		}
		pthread_mutex_unlock(&c->listen);
		listening_add(c, -1);
		if (!got)
			break;
		thread_more(c);
		perform(&w);
	}
	free(w.room);
}

struct conn *conn_new(const struct conn_config *cfg, int fd)
{
	struct conn *c = calloc(1, sizeof(*c));

	if (!c) {
		close(fd);
		return NULL;
	}
	c->cfg = *cfg;
	stream_init(&c->stream, fd, cfg->timeout_ms);
	pthread_mutex_init(&c->listen, NULL);
	pthread_mutex_init(&c->answer, NULL);
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->ended, NULL);
	return c;
}

bool conn_run(struct conn *c)
{
	stream_limit(&c->stream, c->cfg.timeout_ms);
	if (negotiate(&c->stream, c->cfg.x, c->cfg.tls, &c->session, &c->polite))
		return false;
	stream_limit(&c->stream, 0);
	c->polite = true;
	c->threads = 1;
	work(c);
	pthread_mutex_lock(&c->lock);
	c->threads--;
	while (c->threads)
		pthread_cond_wait(&c->ended, &c->lock);
	pthread_mutex_unlock(&c->lock);
	return true;
}

void conn_free(struct conn *c)
{
	if (!c)
		return;
	stream_close(&c->stream, c->polite);
	pthread_cond_destroy(&c->ended);
	pthread_mutex_destroy(&c->lock);
	pthread_mutex_destroy(&c->answer);
	pthread_mutex_destroy(&c->listen);
	free(c);
}

void conn_stop(struct conn *c) { hang_up(c); }

void conn_break(struct conn *c)
{
	atomic_store(&c->closing, true);
	stream_break(&c->stream);
}
