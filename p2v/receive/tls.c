/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tls.h"

#include "transfer/state.h"

#include "common/fail.h"

#include <errno.h>
#include <fcntl.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PEM_MAX     (1u << 20)
#define OWN_CERT    "cert.pem"
#define OWN_KEY     "key.pem"
#define VALID_YEARS 20

static int fail_tls(vdisk_error *err, const char *what, int rc)
{
	return fail(err, VDISK_INVALID, "%s: %s", what, gnutls_strerror(rc));
}

/* Returns owned, NULL with *err. */
static char *pem_read(const char *path, vdisk_error *err)
{
	FILE *f = fopen(path, "re");
	char *text = f ? malloc(PEM_MAX + 1) : NULL;
	size_t n = text ? fread(text, 1, PEM_MAX + 1, f) : 0;

	if (!f || (text && ferror(f)))
		fail_errno(err, "%s", path);
	else if (!text)
		fail_nomem(err);
	else if (!n || n > PEM_MAX)
		fail(err, VDISK_INVALID, "%s: has %s", path, n ? "more than 1 MiB" : "nothing in it");
	else
		text[n] = '\0';
	if (f)
		fclose(f);
	if (text && n && n <= PEM_MAX)
		return text;
	free(text);
	return NULL;
}

/* ---------------------------------------------------------------- one of our own */

static int names_add(gnutls_x509_crt_t crt)
{
	static const char title[] = "vdisk receive";
	char own[256] = "localhost";
	int rc = gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, title, sizeof(title) - 1);

	gethostname(own, sizeof(own) - 1);
	if (rc >= 0)
		rc = gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, own, (unsigned)strlen(own), GNUTLS_FSAN_SET);
	if (rc >= 0 && strcmp(own, "localhost"))
		rc = gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, "localhost", 9, GNUTLS_FSAN_APPEND);
	return rc;
}

static int crt_fill(gnutls_x509_crt_t crt, gnutls_x509_privkey_t key)
{
	time_t now = time(NULL);
	uint8_t serial[16];
	int rc = gnutls_rnd(GNUTLS_RND_NONCE, serial, sizeof(serial));

	serial[0] &= 0x7f; /* a positive number */
	serial[0] |= 1;
	if (rc >= 0)
		rc = gnutls_x509_crt_set_version(crt, 3);
	if (rc >= 0)
		rc = gnutls_x509_crt_set_serial(crt, serial, sizeof(serial));
	if (rc >= 0)
		rc = gnutls_x509_crt_set_activation_time(crt, now - 86400); /* clocks differ */
	if (rc >= 0)
		rc = gnutls_x509_crt_set_expiration_time(crt, now + (time_t)VALID_YEARS * 365 * 86400);
	if (rc >= 0)
		rc = gnutls_x509_crt_set_key(crt, key);
	if (rc >= 0)
		rc = gnutls_x509_crt_set_basic_constraints(crt, 0, -1);
	if (rc >= 0)
		rc = gnutls_x509_crt_set_key_usage(crt, GNUTLS_KEY_DIGITAL_SIGNATURE);
	if (rc >= 0)
		rc = gnutls_x509_crt_set_key_purpose_oid(crt, GNUTLS_KP_TLS_WWW_SERVER, 0);
	if (rc >= 0)
		rc = names_add(crt);
	return rc < 0 ? rc : gnutls_x509_crt_sign2(crt, crt, key, GNUTLS_DIG_SHA256, 0);
}

static int own_make(int dir, vdisk_error *err)
{
	gnutls_x509_privkey_t key = NULL;
	gnutls_x509_crt_t crt = NULL;
	gnutls_datum_t key_pem = { 0 }, crt_pem = { 0 };
	int rc = gnutls_x509_privkey_init(&key), failed;

	if (rc >= 0)
		rc = gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0);
	if (rc >= 0)
		rc = gnutls_x509_crt_init(&crt);
	if (rc >= 0)
		rc = crt_fill(crt, key);
	if (rc >= 0)
		rc = gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &key_pem);
	if (rc >= 0)
		rc = gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &crt_pem);
	if (rc < 0)
		failed = fail_tls(err, "a certificate", rc);
	else /* the certificate last: without it both are made anew */
		failed = transfer_file_write(dir, OWN_KEY, key_pem.data, key_pem.size, err) ||
			transfer_file_write(dir, OWN_CERT, crt_pem.data, crt_pem.size, err);
	gnutls_free(key_pem.data);
	gnutls_free(crt_pem.data);
	if (crt)
		gnutls_x509_crt_deinit(crt);
	if (key)
		gnutls_x509_privkey_deinit(key);
	return failed ? -1 : 0;
}

static int own_open(struct tls *t, int dir, vdisk_error *err)
{
	size_t len;

	if (faccessat(dir, OWN_CERT, F_OK, AT_SYMLINK_NOFOLLOW) && own_make(dir, err))
		return -1;
	snprintf(t->cert_name, sizeof(t->cert_name), "in the store");
	t->cert = transfer_file_read(dir, OWN_CERT, &len, err);
	t->key = t->cert ? transfer_file_read(dir, OWN_KEY, &len, err) : NULL;
	return t->key ? 0 : -1;
}

/* ---------------------------------------------------------------- */

static int fingerprints(struct tls *t, vdisk_error *err)
{
	gnutls_datum_t pem = { (unsigned char *)t->cert, (unsigned)strlen(t->cert) };
	gnutls_x509_crt_t crt;
	size_t len = 32;
	int rc = gnutls_x509_crt_init(&crt);

	if (rc < 0)
		return fail_tls(err, "TLS", rc);
	rc = gnutls_x509_crt_import(crt, &pem, GNUTLS_X509_FMT_PEM);
	if (rc >= 0)
		rc = gnutls_x509_crt_get_key_id(crt, GNUTLS_KEYID_USE_SHA256, t->fingerprint, &len);
	len = 32;
	if (rc >= 0)
		rc = gnutls_x509_crt_get_fingerprint(crt, GNUTLS_DIG_SHA256, t->certificate, &len);
	gnutls_x509_crt_deinit(crt);
	return rc < 0 ? fail_tls(err, t->cert_name, rc) : 0;
}

int tls_open(struct tls *t, int dir, const struct tls_options *o, vdisk_error *err)
{
	int rc;

	*t = (struct tls){ 0 };
	if (o->cert) {
		snprintf(t->cert_name, sizeof(t->cert_name), "%s", o->cert);
		t->cert = pem_read(o->cert, err);
		t->key = t->cert ? pem_read(o->key, err) : NULL;
		rc = t->key ? 0 : -1;
	} else {
		rc = own_open(t, dir, err);
	}
	if (!rc && o->client_ca) {
		t->client_ca = pem_read(o->client_ca, err);
		rc = t->client_ca ? 0 : -1;
	}
	if (rc || fingerprints(t, err)) {
		tls_close(t);
		return -1;
	}
	return 0;
}

void tls_close(struct tls *t)
{
	free(t->cert);
	if (t->key)
		gnutls_memset(t->key, 0, strlen(t->key));
	free(t->key);
	free(t->client_ca);
	*t = (struct tls){ 0 };
}
