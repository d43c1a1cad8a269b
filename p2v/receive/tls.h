/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The receiver's certificate: the user's, or one that it makes and keeps in its store. */
#ifndef RECEIVE_TLS_H
#define RECEIVE_TLS_H

#include <stdint.h>
#include <vdisk/vdisk.h>

#define TLS_PRIORITY "SECURE128:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

struct tls {
	char *cert, *key;         /* PEM */
	char *client_ca;          /* PEM; NULL: clients need no certificate */
	char cert_name[4096];     /* where it stands */
	uint8_t fingerprint[32];  /* SHA-256 of the public key: transfer.h */
	uint8_t certificate[32];  /* SHA-256 of the certificate, which browsers show */
};

struct tls_options {
	const char *cert, *key;   /* both or neither */
	const char *client_ca;
};

/* `dir`: the receiver's own folder. */
int tls_open(struct tls *t, int dir, const struct tls_options *o, vdisk_error *err);
void tls_close(struct tls *t);

#endif
