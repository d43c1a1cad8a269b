/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What must be the same for a conversion to be gone on with: one line for each thing that decides a byte of the target.  Of the
 * source's and the backing image's files: device, inode, size, time of the last change, and a digest of the first bytes.  A block
 * device has no time of change that says anything.
 */
#include "ops/checkpoint.h"
#include "base/alloc.h"
#include "base/bytes.h"
#include "base/path.h"
#include "core/trust.h"
#include "io/http.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define HEAD_BYTES 65536u

struct lines {
	char *text;
	bool nomem;
};

static void line_add(struct lines *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void line_add(struct lines *l, const char *fmt, ...)
{
	char line[1024], clean[1024];
	VD_AUTO_FREE char *old = l->text;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	l->text = vd_asprintf("%s%s\n", old ? old : "", vd_printable(clean, sizeof(clean), line, strlen(line)));
	l->nomem |= !l->text;
}

/* Options are of any length and bytes: they count by their digest, too. */
static int line_add_long(struct lines *l, const char *key, const char *value, vd_error *err)
{
	uint8_t sum[32];

	if (!value)
		return 0;
	if (vd_sha256_of(value, strlen(value), sum, err))
		return -1;
	line_add(l, "%s %.200s (%016" PRIx64 ")", key, value, be64_get(sum));
	return 0;
}

/* `mtime`: false where the conversion itself changes it. */
static int file_line(struct lines *l, const char *what, unsigned depth, unsigned index, struct vd_file *f, bool mtime,
		     vd_error *err)
{
	VD_AUTO_FREE uint8_t *head = vd_malloc(HEAD_BYTES);
	uint8_t sum[32];
	struct stat st;
	size_t got;

	if (!head)
		return vd_fail_nomem(err, HEAD_BYTES);
	if (!(f->flags & VD_FILE_REMOTE) && fstat(f->fd, &st))
		return vd_fail_errno(err, errno, VDISK_NO_OFFSET, "%s", f->name);
	if (vd_file_pread_some(f, head, HEAD_BYTES, 0, &got, err) || vd_sha256_of(head, got, sum, err))
		return -1;
	if (f->flags & VD_FILE_REMOTE) {
		line_add(l, "%s %u.%u at %s version %s size %" PRIu64 " head %016" PRIx64, what, depth, index, f->name,
		         vd_file_http_version(f), vd_file_size(f), be64_get(sum));
		return 0;
	}
	mtime = mtime && S_ISREG(st.st_mode);
	line_add(l,
		 "%s %u.%u device %" PRIu64 ".%" PRIu64 " inode %" PRIu64 " size %" PRIu64 " changed %lld.%09ld head %016" PRIx64,
		 what, depth, index, (uint64_t)st.st_dev, (uint64_t)st.st_rdev, (uint64_t)st.st_ino, vd_file_size(f),
		 mtime ? (long long)st.st_mtim.tv_sec : 0ll, mtime ? st.st_mtim.tv_nsec : 0l, be64_get(sum));
	return 0;
}

static int chain_lines(struct lines *l, const char *what, const vdisk_image *img, bool mtime, vd_error *err)
{
	for (unsigned d = 0; d < img->n_layers; d++) {
		const struct vd_layer *layer = img->chain[d];

		line_add(l, "%s %u %s %s %" PRIu64, what, d, layer->drv->info.name, layer->variant, layer->size);
		for (unsigned i = 0; i < layer->n_files; i++)
			if (file_line(l, what, d, i, layer->files[i], mtime, err))
				return -1;
	}
	return 0;
}

static int backing_lines(struct lines *l, const char *path, const struct vdisk_convert_options *o, vd_error *err)
{
	struct vdisk_open_options open = { .format = o->backing_format, .allow_dirs = o->allow_dirs };
	VD_AUTO_FREE char *there = NULL;
	vdisk_image *img;
	int rc;

	if (!o->backing)
		return 0;
	there = vd_path_beside(path, o->backing);
	if (!there)
		return vd_fail_nomem(err, strlen(path));
	if (line_add_long(l, "backing", o->backing, err) || vdisk_open(there, &open, &img, err))
		return -1;
	rc = chain_lines(l, "backing", img, true, err);
	vdisk_close(img, NULL);
	return rc;
}

static int skip_line(struct lines *l, const struct vdisk_convert_options *o, vd_error *err)
{
	uint8_t sum[32];

	if (!o->n_skip)
		return 0;
	if (vd_sha256_of(o->skip, o->n_skip * sizeof(*o->skip), sum, err))
		return -1;
	line_add(l, "left out %zu ranges (%016" PRIx64 ")", o->n_skip, be64_get(sum));
	return 0;
}

int vd_fingerprint_make(struct vd_conv *c, const char *path, char **out, vd_error *err)
{
	const uint32_t passing = VDISK_CONVERT_OVERWRITE | VDISK_CONVERT_DRY_RUN | VDISK_CONVERT_DIGEST | VDISK_CONVERT_VERIFY |
	                         VDISK_CONVERT_CHECKPOINT | VDISK_CONVERT_RESUME;
	const struct vdisk_convert_options *o = c->opts;
	const char *epoch = getenv("SOURCE_DATE_EPOCH");
	struct lines l = { 0 };
	int rc = 0;

	*out = NULL;
	line_add(&l, "program %s", vdisk_version());
	line_add(&l, "format %s", o->format);
	for (const char *const *kv = o->options; kv && *kv && !rc; kv++)
		rc = line_add_long(&l, "option", *kv, err);
	line_add(&l, "conversion flags %x level %d sparse %u digest %s", o->flags & ~passing, o->level, o->sparse_bytes,
	         vd_conv_digests(o) ? "yes" : "no");
	if (o->size)
		line_add(&l, "size %" PRIu64, o->size);
	line_add(&l, "epoch %s", epoch ? epoch : "");
	line_add(&l, "source salvaged %s", c->src->flags & VDISK_OPEN_SALVAGE ? "yes" : "no");
	rc = rc || skip_line(&l, o, err) || line_add_long(&l, "source options", c->src->open_options, err) ||
	     chain_lines(&l, "source", c->src, !(o->flags & VDISK_CONVERT_PUNCH_SOURCE), err) || backing_lines(&l, path, o, err);
	if (rc || l.nomem || strlen(l.text) > VD_CKPT_TEXT_MAX / 2) {
		vd_free(l.text);
		return rc ? -1 : vd_fail_nomem(err, VD_CKPT_TEXT_MAX);
	}
	*out = l.text;
	return 0;
}

int vd_fingerprint_compare(const char *path, const char *then, const char *now, vd_error *err)
{
	while (*then || *now) {
		size_t a = strcspn(then, "\n"), b = strcspn(now, "\n");

		if (a != b || memcmp(then, now, a))
			return vd_fail(err, VDISK_REFUSED, VDISK_NO_OFFSET,
				       "%s: its conversion cannot be resumed: %s: it was '%.*s', it is '%.*s'; --force without "
				       "--resume starts anew",
				       path,
				       !strncmp(a ? then : now, "source", 6) ? "the source is another or has changed"
									     : "something else is asked for",
				       (int)vd_min(a, 200), then, (int)vd_min(b, 200), now);
		then += a + (then[a] == '\n');
		now += b + (now[b] == '\n');
	}
	return 0;
}
