/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the user asked of vdisk-receive. */
#ifndef RECEIVE_OPTIONS_H
#define RECEIVE_OPTIONS_H

#include "http.h"
#include "tls.h"
#include "work.h"

struct options {
	struct store_options store;
	struct tls_options tls;
	struct http_options http;
	struct work_options work;
	const char *token, *token_file, *view_key_file;
	unsigned token_uses; /* 0: any number */
	uint64_t memory;     /* bytes */
	bool once, json, quiet;
};

/* 0: go on; 1: done (help was asked for); -1: bad usage, said on standard error. */
int options_parse(struct options *o, int argc, char **argv);

#endif
