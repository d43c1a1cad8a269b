/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Secrets: the token that captures begin with, and those that are made for one thing.  They are kept and compared as their
   SHA-256. */
#ifndef RECEIVE_TOKEN_H
#define RECEIVE_TOKEN_H

#include "transfer/transfer.h"

#define TOKEN_TEXT_MIN 12u
#define TOKEN_TEXT_MAX 256u

struct token {
	uint8_t sha256[32];
	unsigned uses; /* captures that it begins; 0: any number */
};

/* 20 letters and digits in groups, 100 bits of chance, that can be read out and typed. */
int token_make(char out[32], vdisk_error *err);
/* So many bytes of chance as hexadecimal digits. */
int secret_make(size_t bytes, char *out, vdisk_error *err);
/* What it is compared by.  One of token_make() is the same in small letters, without hyphens, with O for 0 and I or L for 1. */
int secret_hash(const char *text, size_t len, uint8_t out[32], vdisk_error *err);
bool secret_same(const uint8_t a[32], const uint8_t b[32]);

#endif
