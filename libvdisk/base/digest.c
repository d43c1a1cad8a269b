/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SHA-256 through GnuTLS, which picks the processor's own instructions. */
#include "base/digest.h"
#include "base/alloc.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

struct vd_sha256 {
	gnutls_hash_hd_t hash;
};

static int fail_gnutls(vd_error *err, int r)
{
	if (r == GNUTLS_E_MEMORY_ERROR)
		return vd_fail_nomem(err, sizeof(struct vd_sha256));
	return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "cannot compute SHA-256: %s", gnutls_strerror(r));
}

struct vd_sha256 *vd_sha256_new(void)
{
	struct vd_sha256 *h = vd_calloc(1, sizeof(*h));

	if (h && gnutls_hash_init(&h->hash, GNUTLS_DIG_SHA256)) {
		vd_free(h);
		return NULL;
	}
	return h;
}

int vd_sha256_add(struct vd_sha256 *h, const void *buf, size_t len, vd_error *err)
{
	int r = gnutls_hash(h->hash, buf, len);

	return r ? fail_gnutls(err, r) : 0;
}

int vd_sha256_end(struct vd_sha256 *h, uint8_t out[32], vd_error *err)
{
	(void)err; /* giving out the result cannot fail */
	gnutls_hash_output(h->hash, out);
	return 0;
}

void vd_sha256_free(struct vd_sha256 *h)
{
	if (!h)
		return;
	gnutls_hash_deinit(h->hash, NULL);
	vd_free(h);
}

int vd_sha256_of(const void *buf, size_t len, uint8_t out[32], vd_error *err)
{
	int r = gnutls_hash_fast(GNUTLS_DIG_SHA256, buf, len, out);

	return r ? fail_gnutls(err, r) : 0;
}
