/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writing a manifest.  One thread at a time.  The same disk makes the same bytes, wherever its zeros came from: runs of zeros are
 * joined here, and the tree tells of zeros that were read like of those that were not.
 */
#include "ops/manifest.h"
#include "core/staging.h"
#include "base/alloc.h"
#include "base/bytes.h"
#include "io/local.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define MANIFEST_BUFFER 65536

struct vd_manifest {
	struct vd_leaf_sink sink;
	struct vd_staging *staging;
	struct vd_file *file;
	uint64_t pos, zeros; /* written up to; zeros not yet told */
	size_t n;
	char buf[MANIFEST_BUFFER];
};

static int buffer_flush(struct vd_manifest *m, vd_error *err)
{
	if (m->n && vd_file_pwrite(m->file, m->buf, m->n, m->pos, err))
		return -1;
	m->pos += m->n;
	m->n = 0;
	return 0;
}

static int text_add(struct vd_manifest *m, const char *text, size_t len, vd_error *err)
{
	if (len > sizeof(m->buf) - m->n && buffer_flush(m, err))
		return -1;
	memcpy(m->buf + m->n, text, len);
	m->n += len;
	return 0;
}

static int zeros_end(struct vd_manifest *m, vd_error *err)
{
	char line[32];
	int len = snprintf(line, sizeof(line), "zeros %" PRIu64 "\n", m->zeros);

	if (!m->zeros)
		return 0;
	m->zeros = 0;
	return text_add(m, line, (size_t)len, err);
}

static int digest_line(struct vd_manifest *m, const char *word, const uint8_t digest[32], vd_error *err)
{
	static const char hex[] = "0123456789abcdef";
	char line[80];
	size_t n = strlen(word);

	memcpy(line, word, n);
	for (unsigned i = 0; i < 32; i++) {
		line[n++] = hex[digest[i] >> 4];
		line[n++] = hex[digest[i] & 15];
	}
	line[n++] = '\n';
	return zeros_end(m, err) ? -1 : text_add(m, line, n, err);
}

static int sink_leaf(struct vd_leaf_sink *sink, const uint8_t leaf[32], vd_error *err)
{
	return digest_line((struct vd_manifest *)sink, "", leaf, err);
}

static int sink_zeros(struct vd_leaf_sink *sink, uint64_t n, vd_error *err)
{
	(void)err;
	((struct vd_manifest *)sink)->zeros += n;
	return 0;
}

int vd_manifest_judge(const char *path, vdisk_image *src, bool overwrite, vd_error *err)
{
	struct stat to;

	if (vd_local_judge(path, err) || vd_staging_judge(path, overwrite, err))
		return -1;
	if (stat(path, &to))
		return 0;
	if (!S_ISREG(to.st_mode))
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: no place for a manifest, which is a regular file", path);
	if (src && vd_image_has_file(src, path))
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: the manifest is a file of the image", path);
	return 0;
}

int vd_manifest_new(const char *path, vdisk_image *src, uint64_t size, bool overwrite, struct vd_manifest **out, vd_error *err)
{
	struct vd_manifest *m;
	char head[128];
	int len =
		snprintf(head, sizeof(head), "vdisk-manifest 1\nhash sha256\nleaf %u\nsize %" PRIu64 "\n", VDISK_DIGEST_LEAF, size);

	if (vd_manifest_judge(path, src, overwrite, err))
		return -1;
	m = vd_calloc(1, sizeof(*m));
	if (!m)
		return vd_fail_nomem(err, sizeof(*m));
	m->sink = (struct vd_leaf_sink){ .leaf = sink_leaf, .zeros = sink_zeros };
	if (vd_staging_new(path, overwrite, &m->staging, &m->file, err)) {
		vd_free(m);
		return -1;
	}
	*out = m;
	return text_add(m, head, (size_t)len, err);
}

struct vd_leaf_sink *vd_manifest_sink(struct vd_manifest *m)
{
	return &m->sink;
}

int vd_manifest_finish(struct vd_manifest *m, const uint8_t digest[32], vd_error *err)
{
	return digest_line(m, "digest ", digest, err) || buffer_flush(m, err) || vd_file_flush(m->file, err) ? -1 : 0;
}

int vd_manifest_commit(struct vd_manifest *m, vd_error *err)
{
	int rc = vd_staging_commit(m->staging, err);

	vd_file_close(m->file); /* with its lock, which is what says that somebody is at it */
	vd_free(m);
	return rc;
}

void vd_manifest_abort(struct vd_manifest *m)
{
	if (!m)
		return;
	vd_staging_abort(m->staging);
	vd_file_close(m->file);
	vd_free(m);
}
