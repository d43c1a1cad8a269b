/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Encryption of guest data (spec: "Data encryption"): refused for now, but for the facts. */
#include "qcow2.h"

int qcow2_crypt_open(struct qcow2 *q, const struct vd_open *o, vd_error *err)
{
	if (!q->crypt_method || (o->flags & (VD_OPEN_INFO | VD_OPEN_CHECK)))
		return 0;
	return vd_fail(err, VDISK_UNSUPPORTED, 32, "encrypted images (method %" PRIu32 ") are not supported", q->crypt_method);
}

int qcow2_crypt_create(struct qcow2 *q, const struct qcow2_plan *p, const struct vd_create *c, vd_error *err)
{
	(void)q, (void)p, (void)c;
	return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "encrypt.format=luks is not supported");
}

int qcow2_crypt_run(const struct qcow2 *q, bool encrypt, uint64_t off, uint64_t host, uint8_t *buf, size_t len, vd_error *err)
{
	(void)encrypt, (void)off, (void)host, (void)buf, (void)len;
	return vd_fail(err, VDISK_UNSUPPORTED, 32, "encrypted images (method %" PRIu32 ") are not supported", q->crypt_method);
}

void qcow2_crypt_free(struct qcow2_crypt *c)
{
	(void)c;
}
