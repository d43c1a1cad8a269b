/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A VMA's header: its configuration and devices.  Lengths and names are judged here, and are facts from then on. */
#include "vma.h"

#include "common/fail.h"
#include "common/numbers.h"
#include "tar.h"

#include <fcntl.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HEADER_BYTES 12288u
#define HEADER_MAX   ((size_t)16 << 20)

/* Where the header's fields lie. */
#define AT_VERSION   4u
#define AT_UUID      8u
#define AT_MD5       32u
#define AT_BLOBS     48u
#define AT_BLOBS_LEN 52u
#define AT_LENGTH    56u
#define AT_NAMES     2044u
#define AT_DATA      3068u
#define AT_DEVICES   4096u

int vma_source_open(struct vma_source *x, const struct package *p, vdisk_error *err)
{
	*x = (struct vma_source){ .p = p, .fd = -1 };
	if (p->streamed)
		return stream_open(p->path, &x->s, err);
	x->fd = open(p->path, O_RDONLY | O_CLOEXEC);
	return x->fd < 0 ? fail_errno(err, "%s", p->path) : 0;
}

void vma_source_close(struct vma_source *x)
{
	stream_close(x->s);
	if (x->fd >= 0)
		close(x->fd);
}

int vma_source_read(struct vma_source *x, void *buf, size_t len, size_t *got, vdisk_error *err)
{
	uint64_t left = x->p->file_size > x->at ? x->p->file_size - x->at : 0;

	if (x->s) {
		if (stream_read(x->s, buf, len, got, err))
			return -1;
	} else {
		*got = len < left ? len : (size_t)left;
		if (file_read(x->fd, x->p->path, buf, *got, x->at, err))
			return -1;
	}
	x->at += *got;
	return 0;
}

bool vma_md5_holds(uint8_t *head, size_t len, size_t at)
{
	uint8_t said[16], is[16];

	memcpy(said, head + at, 16);
	memset(head + at, 0, 16);
	if (gnutls_hash_fast(GNUTLS_DIG_MD5, head, len, is) < 0)
		return false;
	memcpy(head + at, said, 16);
	return !memcmp(said, is, 16);
}

/* ---------------------------------------------------------------- the header */

/* A blob: its length as 16 bits, little-endian for once, and its bytes.  false: it lies outside. */
static bool blob_get(const uint8_t *head, size_t len, uint32_t at, const char **out, size_t *out_len)
{
	uint64_t begin = be32_get(head + AT_BLOBS), room = be32_get(head + AT_BLOBS_LEN);

	if (begin > len || room > len - begin || !at || at > room || room - at < 2)
		return false;
	*out_len = le16_get(head + begin + at);
	*out = (const char *)head + begin + at + 2;
	return *out_len <= room - at - 2;
}

static int devices_take(struct package *p, const uint8_t *head, size_t len, vdisk_error *err)
{
	char text[200];

	for (unsigned i = 1; i < 256; i++) {
		const uint8_t *d = head + AT_DEVICES + 32u * i;
		uint32_t name_at = be32_get(d);
		const char *name;
		size_t n;

		p->devices[i].slot = -1;
		if (!name_at)
			continue;
		if (!blob_get(head, len, name_at, &name, &n) || !n || !(p->devices[i].name = strndup(name, n)))
			return fail(err, VDISK_CORRUPT, "%s: the name of device %u is not where the header says", p->path, i);
		p->devices[i].size = be64_get(d + 8);
		if (name_judge(p->devices[i].name) || !p->devices[i].size || p->devices[i].size > (uint64_t)VMA_CLUSTER << 32)
			return fail(err, VDISK_CORRUPT, "%s: device %u, '%s', has %llu bytes, or a name that is none", p->path, i,
			            shown(p->devices[i].name, text), (unsigned long long)p->devices[i].size);
		for (unsigned k = 1; k < i; k++)
			if (p->devices[k].name && !strcmp(p->devices[k].name, p->devices[i].name))
				return fail(err, VDISK_CORRUPT, "%s: has two devices named '%s'", p->path,
				            shown(p->devices[i].name, text));
	}
	return 0;
}

static int config_take(struct package *p, const uint8_t *head, size_t len, vdisk_error *err)
{
	char text[200];

	for (unsigned i = 0; i < 256; i++) {
		uint32_t name_at = be32_get(head + AT_NAMES + 4u * i), data_at = be32_get(head + AT_DATA + 4u * i);
		const char *name, *data;
		size_t n, k;

		if (!name_at || !data_at)
			continue;
		if (!blob_get(head, len, name_at, &name, &n) || !blob_get(head, len, data_at, &data, &k))
			return fail(err, VDISK_CORRUPT, "%s: configuration %u is not where the header says", p->path, i);
		while (n && !name[n - 1])
			n--;
		if (n == strlen("qemu-server.conf") && !memcmp(name, "qemu-server.conf", n)) {
			free(p->desc);
			p->desc = calloc(1, k + 1);
			free(p->desc_name);
			p->desc_name = strdup("qemu-server.conf");
			if (!p->desc || !p->desc_name)
				return fail_nomem(err);
			memcpy(p->desc, data, k);
			p->desc_len = k;
		} else {
			char copy[64];

			snprintf(copy, sizeof(copy), "%.*s", (int)n, name);
			package_note(p, "the configuration %s is left out", shown(copy, text));
		}
	}
	return p->desc ? 0 : fail(err, VDISK_UNSUPPORTED, "%s: has no qemu-server.conf", p->path);
}

int vma_open(struct package *p, vdisk_error *err)
{
	struct vma_source x;
	uint8_t *head = malloc(HEADER_BYTES), *more;
	size_t got = 0, len = 0;
	int rc = vma_source_open(&x, p, err);

	if (!rc)
		rc = head ? vma_source_read(&x, head, HEADER_BYTES, &got, err) : fail_nomem(err);
	if (!rc && got < HEADER_BYTES)
		rc = fail(err, VDISK_CORRUPT, "%s: is cut short: %zu bytes of the header are there", p->path, got);
	if (!rc && be32_get(head + AT_VERSION) != 1)
		rc = fail(err, VDISK_UNSUPPORTED, "%s: is VMA of version %u; 1 is read", p->path, be32_get(head + AT_VERSION));
	if (!rc) {
		len = be32_get(head + AT_LENGTH);
		if (len < HEADER_BYTES || len > HEADER_MAX)
			rc = fail(err, VDISK_CORRUPT, "%s: the header says that it has %zu bytes", p->path, len);
	}
	if (!rc) {
		more = realloc(head, len);
		head = more ? more : head;
		rc = more ? vma_source_read(&x, head + HEADER_BYTES, len - HEADER_BYTES, &got, err) : fail_nomem(err);
	}
	if (!rc && got < len - HEADER_BYTES)
		rc = fail(err, VDISK_CORRUPT, "%s: is cut short: the header has %zu bytes, of which %zu are there", p->path, len,
		          HEADER_BYTES + got);
	if (!rc && !vma_md5_holds(head, len, AT_MD5))
		rc = fail(err, VDISK_CORRUPT, "%s: the header does not have the MD5 that it carries", p->path);
	if (!rc)
		rc = devices_take(p, head, len, err) || config_take(p, head, len, err) ? -1 : 0;
	if (!rc) {
		memcpy(p->uuid, head + AT_UUID, 16);
		p->data_at = len;
	}
	vma_source_close(&x);
	free(head);
	return rc;
}
