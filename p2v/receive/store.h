/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The folder with all captures.  Safe from many threads. */
#ifndef RECEIVE_STORE_H
#define RECEIVE_STORE_H

#include "capture.h"
#include "token.h"

struct store_options {
	const char *folder, *format;
	unsigned captures_max; /* incomplete ones at once */
};

struct store {
	struct store_options o;
	char path[PATH_MAX];    /* of the folder, absolute */
	int dir, own, lock_fd;  /* the folder, and in it the receiver's own */
	pthread_mutex_t begin;  /* one begins at a time; before `lock` */
	pthread_mutex_t lock;   /* guards the list and refs */
	pthread_cond_t whole;   /* one has become whole */
	struct capture *list;   /* the latest first */
	size_t n;
};

/* Takes the folder, which is made if it is not there, for itself, and reads what is in it.  A folder in it that cannot be read is
   told by `log`. */
int store_open(struct store *s, const struct store_options *o, vdisk_log_fn log, void *ctx, vdisk_error *err);
void store_close(struct store *s);

/* Each with store_put() after use; NULL: none. */
struct capture *store_find(struct store *s, const char *id, size_t len);
void store_put(struct store *s, struct capture *c);
/* All of them, the latest first, held: store_put_all().  NULL: out of memory. */
struct capture **store_all(struct store *s, size_t *n);
void store_put_all(struct store *s, struct capture **all, size_t n);

struct store_begun {
	struct capture *capture; /* held */
	char secret[65];         /* the new one, as text */
};
/* A token or secret with which a capture could be begun or gone on with. */
bool store_knows(struct store *s, const struct token *t, const uint8_t secret[32]);
/* What POST /v1/captures asks, with the SHA-256 of the token or secret.  200, 201, or the status of a refusal; *retry: seconds, or
   0. */
unsigned store_begin(struct store *s, const struct token *t, const uint8_t secret[32], const void *body, size_t len,
                     struct store_begun *out, unsigned *retry, vdisk_error *err);
/* Takes it out of the list and removes its folder. */
int store_remove(struct store *s, struct capture *c, vdisk_error *err);
/* One has become whole: wakes who waits for `whole`. */
void store_tell_whole(struct store *s);

#endif
