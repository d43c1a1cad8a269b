/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the server shows of itself over TLS, and what it wants to see of a client: certificates, or keys shared beforehand. */
#ifndef VDISK_NBD_TLS_H
#define VDISK_NBD_TLS_H

#include <gnutls/gnutls.h>
#include <stdbool.h>
#include <vdisk/vdisk.h>

struct tls_options {
	const char *folder; /* ca-cert.pem, server-cert.pem, server-key.pem, maybe ca-crl.pem; NULL: no certificates */
	const char *psk;    /* a file of USER:HEXKEY lines, or a folder that holds keys.psk; NULL: no shared keys */
	bool any_client;    /* with certificates: a client needs none */
};

struct tls {
	gnutls_certificate_credentials_t cert;
	gnutls_psk_server_credentials_t psk;
	gnutls_priority_t priority;
	bool any_client;
};

/* Reads the files: 0, or -1 with *err. */
int tls_init(struct tls *t, const struct tls_options *o, vdisk_error *err);
void tls_destroy(struct tls *t);
/* A session that is yet to shake hands; NULL: out of memory. */
gnutls_session_t tls_session(const struct tls *t);

#endif
