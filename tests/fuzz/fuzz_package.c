/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Archives from nowhere.  The MD5 of a VMA's headers is put right first, since nothing would come by it otherwise.  What is opened
 * is gone through both ways, in place and as a stream, and both find the same; disks are read to their end.
 */
#include "archive/package.h"

#include <assert.h>
#include <endian.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define READ_MAX ((uint64_t)4 << 20)

static uint32_t be32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return be32toh(v);
}

static void sign(uint8_t *p, size_t len, size_t at)
{
	memset(p + at, 0, 16);
	gnutls_hash_fast(GNUTLS_DIG_MD5, p, len, p + at);
}

static void vma_sign(uint8_t *p, size_t size)
{
	size_t len = size >= 12288 ? be32(p + 56) : 0;

	if (len < 12288 || len > size || memcmp(p, "VMA", 4))
		return;
	sign(p, len, 32);
	for (size_t at = len; at + 512 <= size;) {
		sign(p + at, 512, 24);
		at += 512 + 4096u * (size_t)(p[at + 6] << 8 | p[at + 7]);
	}
}

static int sink(void *ctx, size_t disk, uint64_t off, const void *buf, size_t len, vdisk_error *err)
{
	uint64_t *sizes = ctx;

	(void)err;
	assert(len && off < sizes[disk] && len <= sizes[disk] - off);
	assert(((const uint8_t *)buf)[0] + ((const uint8_t *)buf)[len - 1] >= 0);
	return 0;
}

static void failed(const vdisk_error *err)
{
	assert(err->kind != VDISK_OK && err->message[0] && !strchr(err->message, '\n'));
}

static void disk_read(struct package *p, size_t i)
{
	struct package_image img;
	vdisk_error err = { 0 };
	uint8_t buf[65536];
	uint64_t at = 0, size;

	if (package_disk_open(p, i, NULL, NULL, &img, &err)) {
		failed(&err);
		return;
	}
	size = vdisk_size(img.img);
	while (at < size && at < READ_MAX) {
		size_t n = size - at < sizeof(buf) ? (size_t)(size - at) : sizeof(buf);

		if (vdisk_pread(img.img, buf, n, at, NULL))
			break;
		at += n;
	}
	package_disk_close(&img, false, NULL);
}

/* Where chunks lie is told by a few headers, whatever they say. */
static void places_try(struct package *p, const struct package_disk *want, size_t n)
{
	vdisk_error err = { 0 };
	bool found;

	if (package_kind_of(p) != PACKAGE_XVA || package_streamed(p) || package_want(p, want, n, &err))
		return;
	if (package_places(p, 64, &found, &err)) {
		failed(&err);
		return;
	}
	for (size_t i = 0; found && i < n; i++) {
		for (uint64_t off = 0; off < want[i].size; off += want[i].size / 3 + 1)
			if (package_place(p, i, off, NULL, &err)) {
				failed(&err);
				return;
			}
		disk_read(p, i);
	}
}

static void package_try(struct package *p, const struct package_disk *want, size_t n)
{
	const struct package_job job = { .no_check = false };
	uint64_t sizes[4] = { 0 };
	vdisk_error err = { 0 }, stream_err = { 0 };
	int rc, stream_rc = 0;

	if (package_want(p, want, n, &err)) {
		failed(&err);
		return;
	}
	for (size_t i = 0; i < n; i++)
		sizes[i] = package_disk_size(p, i);
	if (package_kind_of(p) != PACKAGE_OVA) {
		stream_rc = package_feed(p, &job, sink, sizes, &stream_err);
		if (stream_rc)
			failed(&stream_err);
	}
	places_try(p, want, n);
	if (package_streamed(p) || package_want(p, want, n, &err))
		return;
	rc = package_check(p, &job, &err);
	if (rc)
		failed(&err);
	assert(package_kind_of(p) == PACKAGE_OVA || rc == stream_rc);
	for (size_t i = 0; !rc && i < n; i++)
		disk_read(p, i);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct package_disk ova[] = { { .ref = "d.vmdk" } }, chunks[] = { { .ref = "d.vmdk", .chunk_size = 1000 } },
					 packed[] = { { .ref = "d.vmdk", .compression = "gzip" } },
					 xva[] = { { .ref = "Ref:1", .size = 2 << 20 }, { .ref = "Ref:2", .size = 70000 } },
					 vma[] = { { .ref = "drive-a" } };
	int fd = memfd_create("package", MFD_CLOEXEC);
	uint8_t *copy = malloc(size + 1);
	vdisk_error err = { 0 };
	struct package *p;
	char path[64];

	memcpy(copy, data, size);
	vma_sign(copy, size);
	if (fd < 0 || write(fd, copy, size) != (ssize_t)size)
		abort();
	free(copy);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (package_open(path, &p, &err)) {
		failed(&err);
	} else if (p) {
		size_t len;
		const void *text = package_description(p, &len, NULL);

		assert(len <= PACKAGE_DESCRIPTION_MAX && text);
		if (package_kind_of(p) == PACKAGE_XVA) {
			package_try(p, xva, 2);
		} else if (package_kind_of(p) == PACKAGE_VMA) {
			package_try(p, vma, 1);
		} else {
			package_try(p, ova, 1);
			package_try(p, chunks, 1);
			package_try(p, packed, 1);
		}
		package_close(p);
	}
	close(fd);
	return 0;
}
