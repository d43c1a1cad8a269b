/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Encryption of guest data (spec: "Data encryption").  LUKS: sectors are numbered by their place in the host file.  The old AES
 * method: AES-128 in CBC mode, numbered by their place on the disk, keyed by the passphrase itself; read only.
 * The key is fixed by open or create, so qcow2_crypt_run() is pure.
 */
#include "qcow2.h"

#include "luks.h"

#include <fcntl.h>

#define QCOW2_PASSPHRASE_MAX 65536u
#define QCOW2_AES_KEY 16u

struct qcow2_crypt {
	struct luks_cipher cipher;
	bool by_host;
};

/* The whole content of the file is the passphrase, a newline at its end too. */
static int qcow2_passphrase_read(const char *path, uint8_t **pass, size_t *len, vd_error *err)
{
	struct vd_file *f;
	int rc = -1;

	*pass = NULL;
	if (vd_file_posix(AT_FDCWD, path, path, 0, &f, err) < 0)
		return -1;
	*len = vd_min(vd_file_size(f), QCOW2_PASSPHRASE_MAX + 1);
	if (!*len || *len > QCOW2_PASSPHRASE_MAX)
		vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "key file %s of %" PRIu64 " bytes is not from 1 to %u", path,
		        vd_file_size(f), QCOW2_PASSPHRASE_MAX);
	else if (!(*pass = vd_calloc(1, *len)))
		vd_fail_nomem(err, *len);
	else
		rc = vd_file_pread(f, *pass, *len, 0, err);
	vd_file_close(f);
	if (rc < 0) {
		vd_free(*pass);
		*pass = NULL;
	}
	return rc;
}

static void qcow2_passphrase_wipe(uint8_t *pass, size_t len)
{
	explicit_bzero(pass, len);
	vd_free(pass);
}

static int qcow2_crypt_new(struct qcow2 *q, vd_error *err)
{
	q->crypt = vd_calloc(1, sizeof(*q->crypt));
	if (!q->crypt)
		return vd_fail_nomem(err, sizeof(*q->crypt));
	q->crypt->by_host = q->crypt_method == QCOW2_CRYPT_LUKS;
	return 0;
}

static void qcow2_aes_key(struct luks_cipher *c, const uint8_t *pass, size_t len)
{
	c->algorithm = GNUTLS_CIPHER_AES_128_CBC;
	c->key_len = QCOW2_AES_KEY;
	memcpy(c->key, pass, vd_min(len, QCOW2_AES_KEY));
}

int qcow2_crypt_open(struct qcow2 *q, const struct vd_open *o, vd_error *err)
{
	const char *path = vd_options_str(o->options, "key-file");
	uint8_t *pass;
	size_t len;
	int rc = 0;

	if (!q->crypt_method)
		return path ? vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "--key-file: the image is not encrypted") : 0;
	if (!path && (o->flags & (VD_OPEN_INFO | VD_OPEN_CHECK)))
		return 0;
	if (!path)
		return vd_fail(err, VDISK_INVALID, 32,
		               "the image is encrypted (%s): --key-file FILE names the file with its passphrase",
		               q->crypt_method == QCOW2_CRYPT_LUKS ? "luks" : "aes");
	if (qcow2_passphrase_read(path, &pass, &len, err) < 0)
		return -1;
	rc = qcow2_crypt_new(q, err);
	if (!rc && q->crypt_method == QCOW2_CRYPT_AES)
		qcow2_aes_key(&q->crypt->cipher, pass, len);
	else if (!rc)
		rc = luks_unlock(q->file, q->x.crypto_off, q->x.crypto_len, pass, len, &q->crypt->cipher, err);
	qcow2_passphrase_wipe(pass, len);
	return rc;
}

/* The LUKS header, in clusters of its own at the file's present end, and the header that points at it. */
int qcow2_crypt_create(struct qcow2 *q, const struct qcow2_plan *p, const struct vd_create *c, vd_error *err)
{
	uint64_t first;
	uint8_t *pass;
	bool zeroed;
	size_t len;
	int rc;

	(void)c;
	if (qcow2_passphrase_read(p->key_file, &pass, &len, err) < 0)
		return -1;
	rc = qcow2_crypt_new(q, err);
	if (!rc)
		rc = qcow2_alloc_row(q, vd_div_up(luks_size(), q->cluster), &first, &zeroed, err);
	if (!rc && !zeroed)
		rc = vd_file_zero(q->file, first << q->bits, vd_up(luks_size(), q->cluster), true, err);
	if (!rc) {
		q->x.crypto_off = first << q->bits;
		q->x.crypto_len = luks_size();
		rc = luks_make(q->file, q->x.crypto_off, pass, len, p->iter_ms, &q->crypt->cipher, err);
	}
	qcow2_passphrase_wipe(pass, len);
	return rc ? -1 : qcow2_header_rewrite(q, err);
}

int qcow2_crypt_run(const struct qcow2 *q, bool encrypt, uint64_t off, uint64_t host, uint8_t *buf, size_t len, vd_error *err)
{
	if (!q->crypt)
		return vd_fail(err, VDISK_INVALID, 32, "the image is encrypted, and no key was given (--key-file FILE)");
	return luks_cipher_run(&q->crypt->cipher, encrypt, (q->crypt->by_host ? host : off) / 512, buf, len, err);
}

void qcow2_crypt_free(struct qcow2_crypt *c)
{
	if (c)
		explicit_bzero(c, sizeof(*c));
	vd_free(c);
}
