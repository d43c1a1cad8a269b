/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The NBD protocol's "fixed newstyle" handshake and simple replies (doc/proto.md of the NBD project), as far as a client needs them
 * that wants the one export there is, whatever its name.  A thread of its own answers request after request; the socket is its own.
 */
#include "nbd.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define REQUEST_MAX (32u << 20)
#define OPTION_MAX  4096u

#define MAGIC_INIT    UINT64_C(0x4e42444d41474943)
#define MAGIC_OPTION  UINT64_C(0x49484156454f5054)
#define MAGIC_REPLY   UINT64_C(0x0003e889045565a9)
#define MAGIC_REQUEST 0x25609513u
#define MAGIC_SIMPLE  0x67446698u

#define FIXED_NEWSTYLE 1u
#define NO_ZEROES      2u

enum { OPT_EXPORT_NAME = 1, OPT_ABORT = 2, OPT_LIST = 3, OPT_INFO = 6, OPT_GO = 7 };
enum { REP_ACK = 1, REP_SERVER = 2, REP_INFO = 3 };
#define REP_ERR_UNSUP   0x80000001u
#define REP_ERR_INVALID 0x80000003u
#define REP_ERR_TOO_BIG 0x80000009u

/* Flags of the export: there are flags; flush, FUA, trim, write zeroes. */
#define EXPORT_FLAGS (1u | 1u << 2 | 1u << 3 | 1u << 5 | 1u << 6)

enum { CMD_READ, CMD_WRITE, CMD_DISC, CMD_FLUSH, CMD_TRIM, CMD_WRITE_ZEROES = 6 };
#define FLAG_FUA 1u

struct nbd {
	vdisk_image *img;
	int fd;
	pthread_t thread;
	uint8_t *buf; /* REQUEST_MAX */
};

static void be_put(uint8_t *p, unsigned n, uint64_t v)
{
	while (n--) {
		p[n] = (uint8_t)v;
		v >>= 8;
	}
}

static uint64_t be_get(const uint8_t *p, unsigned n)
{
	uint64_t v = 0;

	while (n--)
		v = v << 8 | *p++;
	return v;
}

static int get(struct nbd *nbd, void *buf, size_t len)
{
	for (uint8_t *p = buf; len;) {
		ssize_t n = recv(nbd->fd, p, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static int put(struct nbd *nbd, const void *buf, size_t len)
{
	for (const uint8_t *p = buf; len;) {
		ssize_t n = send(nbd->fd, p, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static int option_reply(struct nbd *nbd, uint32_t option, uint32_t type, const void *data, uint32_t len)
{
	uint8_t head[20];

	be_put(head, 8, MAGIC_REPLY);
	be_put(head + 8, 4, option);
	be_put(head + 12, 4, type);
	be_put(head + 16, 4, len);
	return put(nbd, head, sizeof(head)) || put(nbd, data, len) ? -1 : 0;
}

static int export_tell(struct nbd *nbd, uint32_t option)
{
	uint8_t info[12] = { 0 }, sizes[14] = { 0, 3 };

	be_put(info + 2, 8, vdisk_size(nbd->img));
	be_put(info + 10, 2, EXPORT_FLAGS);
	be_put(sizes + 2, 4, 1);
	be_put(sizes + 6, 4, 65536);
	be_put(sizes + 10, 4, REQUEST_MAX);
	return option_reply(nbd, option, REP_INFO, info, sizeof(info)) ||
	                       option_reply(nbd, option, REP_INFO, sizes, sizeof(sizes)) ||
	                       option_reply(nbd, option, REP_ACK, NULL, 0)
	               ? -1
	               : 0;
}

/* 0: the next option; 1: on to the requests; -1: hang up. */
static int option_serve(struct nbd *nbd, uint32_t option, uint32_t len, bool zeroes)
{
	uint8_t data[OPTION_MAX], old[10 + 124] = { 0 };

	if (len > OPTION_MAX) {
		for (uint32_t left = len; left; left -= left < OPTION_MAX ? left : OPTION_MAX)
			if (get(nbd, data, left < OPTION_MAX ? left : OPTION_MAX))
				return -1;
		return option == OPT_EXPORT_NAME ? -1 : option_reply(nbd, option, REP_ERR_TOO_BIG, NULL, 0);
	}
	if (get(nbd, data, len))
		return -1;
	switch (option) {
	case OPT_EXPORT_NAME:
		be_put(old, 8, vdisk_size(nbd->img));
		be_put(old + 8, 2, EXPORT_FLAGS);
		return put(nbd, old, zeroes ? sizeof(old) : 10) ? -1 : 1;
	case OPT_ABORT:
		option_reply(nbd, option, REP_ACK, NULL, 0);
		return -1;
	case OPT_LIST: /* one export, without a name */
		if (len)
			return option_reply(nbd, option, REP_ERR_INVALID, NULL, 0);
		return option_reply(nbd, option, REP_SERVER, (uint8_t[4]){ 0 }, 4) || option_reply(nbd, option, REP_ACK, NULL, 0)
		               ? -1
		               : 0;
	case OPT_INFO:
	case OPT_GO:
		if (len < 6 || be_get(data, 4) > len - 6)
			return option_reply(nbd, option, REP_ERR_INVALID, NULL, 0);
		if (export_tell(nbd, option))
			return -1;
		return option == OPT_GO;
	default:
		return option_reply(nbd, option, REP_ERR_UNSUP, NULL, 0);
	}
}

static int handshake(struct nbd *nbd)
{
	uint8_t hello[18], flags[4], head[16];

	be_put(hello, 8, MAGIC_INIT);
	be_put(hello + 8, 8, MAGIC_OPTION);
	be_put(hello + 16, 2, FIXED_NEWSTYLE | NO_ZEROES);
	if (put(nbd, hello, sizeof(hello)) || get(nbd, flags, sizeof(flags)) || be_get(flags, 4) & ~(FIXED_NEWSTYLE | NO_ZEROES))
		return -1;
	for (;;) {
		if (get(nbd, head, sizeof(head)) || be_get(head, 8) != MAGIC_OPTION)
			return -1;
		int r = option_serve(nbd, (uint32_t)be_get(head + 8, 4), (uint32_t)be_get(head + 12, 4),
		                     !(be_get(flags, 4) & NO_ZEROES));
		if (r)
			return r < 0 ? -1 : 0;
	}
}

/* An errno of the protocol's, which are Linux's. */
static uint32_t error_number(const vdisk_error *err)
{
	return err->kind == VDISK_INVALID ? EINVAL : err->kind == VDISK_NOMEM ? ENOMEM : err->sys_errno == ENOSPC ? ENOSPC : EIO;
}

static uint32_t request_do(struct nbd *nbd, unsigned type, uint64_t off, uint32_t len, bool fua)
{
	vdisk_error err = { 0 };
	int r;

	switch (type) {
	case CMD_READ:
		r = vdisk_pread(nbd->img, nbd->buf, len, off, &err);
		break;
	case CMD_WRITE:
		r = vdisk_pwrite(nbd->img, nbd->buf, len, off, &err);
		break;
	case CMD_FLUSH:
		r = vdisk_flush(nbd->img, &err);
		break;
	case CMD_TRIM:
		r = vdisk_discard(nbd->img, off, len, &err);
		break;
	case CMD_WRITE_ZEROES:
		r = vdisk_zero(nbd->img, off, len, &err);
		break;
	default:
		return EINVAL;
	}
	if (!r && fua && type != CMD_READ)
		r = vdisk_flush(nbd->img, &err);
	return r ? error_number(&err) : 0;
}

static void *nbd_thread(void *arg)
{
	struct nbd *nbd = arg;
	uint8_t head[28], reply[16];

	if (handshake(nbd))
		return NULL;
	while (!get(nbd, head, sizeof(head)) && be_get(head, 4) == MAGIC_REQUEST) {
		unsigned flags = (unsigned)be_get(head + 4, 2), type = (unsigned)be_get(head + 6, 2);
		uint64_t off = be_get(head + 16, 8);
		uint32_t len = (uint32_t)be_get(head + 24, 4);

		if (type == CMD_DISC || ((type == CMD_READ || type == CMD_WRITE) && len > REQUEST_MAX))
			break;
		if (type == CMD_WRITE && get(nbd, nbd->buf, len))
			break;
		uint32_t error = request_do(nbd, type, off, len, flags & FLAG_FUA);
		be_put(reply, 4, MAGIC_SIMPLE);
		be_put(reply + 4, 4, error);
		memcpy(reply + 8, head + 8, 8);
		if (put(nbd, reply, sizeof(reply)) || (type == CMD_READ && !error && put(nbd, nbd->buf, len)))
			break;
	}
	shutdown(nbd->fd, SHUT_RDWR);
	return NULL;
}

int nbd_begin(vdisk_image *img, int fd, struct nbd **out, vdisk_error *err)
{
	struct nbd *nbd = calloc(1, sizeof(*nbd));

	if (nbd)
		nbd->buf = malloc(REQUEST_MAX);
	if (!nbd || !nbd->buf) {
		free(nbd);
		close(fd);
		return fail(err, VDISK_NOMEM, "out of memory");
	}
	nbd->img = img;
	nbd->fd = fd;
	errno = pthread_create(&nbd->thread, NULL, nbd_thread, nbd);
	if (errno) {
		fail_errno(err, "a thread");
		close(fd);
		free(nbd->buf);
		free(nbd);
		return -1;
	}
	*out = nbd;
	return 0;
}

void nbd_end(struct nbd *nbd)
{
	if (!nbd)
		return;
	shutdown(nbd->fd, SHUT_RDWR);
	pthread_join(nbd->thread, NULL);
	close(nbd->fd);
	free(nbd->buf);
	free(nbd);
}
