/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A connection's bytes, plain or through TLS.  One thread may receive while another one sends; two at the same end have to take
 * turns.  Half a message does not hold anybody up: once its first byte has come, the rest must come without a pause longer than the
 * timeout.
 */
#ifndef VDISK_NBD_STREAM_H
#define VDISK_NBD_STREAM_H

#include <gnutls/gnutls.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STREAM_BUFFER 4096u

struct stream {
	int fd;               /* owned */
	gnutls_session_t tls; /* NULL: plain */
	unsigned timeout_ms;  /* of a pause inside a message */
	int64_t deadline_ms;  /* monotonic; everything fails past it; 0: none */
	size_t at, end;       /* of what lies received in buf */
	uint8_t buf[STREAM_BUFFER];
};

/* Takes the socket. */
void stream_init(struct stream *s, int fd, unsigned timeout_ms);
/* Says goodbye to TLS if `polite`, and closes. */
void stream_close(struct stream *s, bool polite);
/* All must be done in that time; 0: no limit any more. */
void stream_limit(struct stream *s, unsigned ms);

/* 0, or -1: the peer is gone, or too slow, or was sent away.  `first`: the message begins here, so that no byte at all may take for
   ever. */
int stream_recv(struct stream *s, void *buf, size_t len, bool first);
int stream_skip(struct stream *s, uint64_t len);
int stream_send(struct stream *s, const void *buf, size_t len);
/* From here on through TLS, as the server; bytes that came in plain text too early are a refusal. */
int stream_starttls(struct stream *s, gnutls_session_t session);

/* From any thread: nothing more will be received (answers still go out); nothing at all. */
void stream_stop_receiving(struct stream *s);
void stream_break(struct stream *s);

#endif
