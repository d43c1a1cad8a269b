/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Immutable once it is made; sessions of many threads share it.  TLS 1.2 and up, as the NBD protocol has it. */
#include "tls.h"

#include "common/fail.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PRIORITY "SECURE128:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

static int path_of(char path[PATH_MAX], const char *folder, const char *name, vdisk_error *err)
{
	int n = snprintf(path, PATH_MAX, "%s/%s", folder, name);

	return n > 0 && n < PATH_MAX ? 0 : fail(err, VDISK_INVALID, "%s: the path is too long", folder);
}

static int fail_tls(vdisk_error *err, const char *what, int rc)
{
	return fail(err, VDISK_INVALID, "%s: %s", what, gnutls_strerror(rc));
}

static int certificates_read(struct tls *t, const char *folder, vdisk_error *err)
{
	char ca[PATH_MAX], crl[PATH_MAX], cert[PATH_MAX], key[PATH_MAX];
	int rc;

	if (path_of(ca, folder, "ca-cert.pem", err) || path_of(crl, folder, "ca-crl.pem", err) ||
	    path_of(cert, folder, "server-cert.pem", err) || path_of(key, folder, "server-key.pem", err))
		return -1;
	rc = gnutls_certificate_allocate_credentials(&t->cert);
	if (rc < 0)
		return fail_tls(err, "TLS", rc);
	if (!t->any_client || !access(ca, F_OK)) {
		rc = gnutls_certificate_set_x509_trust_file(t->cert, ca, GNUTLS_X509_FMT_PEM);
		if (rc <= 0)
			return rc ? fail_tls(err, ca, rc) : fail(err, VDISK_INVALID, "%s: holds no certificate", ca);
	}
	rc = access(crl, F_OK) ? 0 : gnutls_certificate_set_x509_crl_file(t->cert, crl, GNUTLS_X509_FMT_PEM);
	if (rc < 0)
		return fail_tls(err, crl, rc);
	if (access(cert, R_OK))
		return fail_errno(err, "%s", cert);
	rc = gnutls_certificate_set_x509_key_file(t->cert, cert, key, GNUTLS_X509_FMT_PEM);
	return rc < 0 ? fail_tls(err, key, rc) : 0;
}

static int keys_read(struct tls *t, const char *psk, vdisk_error *err)
{
	char path[PATH_MAX];
	struct stat st;
	int rc;

	if (stat(psk, &st))
		return fail_errno(err, "%s", psk);
	if (path_of(path, psk, "keys.psk", err))
		return -1;
	if (!S_ISDIR(st.st_mode))
		snprintf(path, sizeof(path), "%s", psk);
	if (access(path, R_OK))
		return fail_errno(err, "%s", path);
	rc = gnutls_psk_allocate_server_credentials(&t->psk);
	if (rc >= 0)
		rc = gnutls_psk_set_server_credentials_file(t->psk, path);
	return rc < 0 ? fail_tls(err, path, rc) : 0;
}

int tls_init(struct tls *t, const struct tls_options *o, vdisk_error *err)
{
	const char *kinds = o->psk ? PRIORITY ":+ECDHE-PSK:+DHE-PSK:+PSK" : PRIORITY;
	int rc;

	*t = (struct tls){ .any_client = o->any_client };
	rc = gnutls_priority_init(&t->priority, kinds, NULL);
	if (rc < 0)
		return fail_tls(err, "TLS", rc);
	if ((!o->folder || !certificates_read(t, o->folder, err)) && (!o->psk || !keys_read(t, o->psk, err)))
		return 0;
	tls_destroy(t);
	return -1;
}

void tls_destroy(struct tls *t)
{
	if (t->cert)
		gnutls_certificate_free_credentials(t->cert);
	if (t->psk)
		gnutls_psk_free_server_credentials(t->psk);
	if (t->priority)
		gnutls_priority_deinit(t->priority);
	*t = (struct tls){ 0 };
}

gnutls_session_t tls_session(const struct tls *t)
{
	gnutls_session_t s;

	if (gnutls_init(&s, GNUTLS_SERVER | GNUTLS_NO_SIGNAL) < 0)
		return NULL;
	if (gnutls_priority_set(s, t->priority) < 0 ||
	    (t->cert && gnutls_credentials_set(s, GNUTLS_CRD_CERTIFICATE, t->cert) < 0) ||
	    (t->psk && gnutls_credentials_set(s, GNUTLS_CRD_PSK, t->psk) < 0)) {
		gnutls_deinit(s);
		return NULL;
	}
	if (t->cert && !t->any_client) {
		gnutls_certificate_server_set_request(s, GNUTLS_CERT_REQUIRE);
		gnutls_session_set_verify_cert(s, NULL, 0); /* signed by our authority and in date; a client has no name to
		                                               compare */
	}
	return s;
}
