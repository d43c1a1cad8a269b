/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/staging.h"
#include "base/alloc.h"
#include "base/bytes.h"
#include "base/path.h"
#include "io/nbd.h"
#include "io/url.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

struct staged {
	char *temp, *name; /* in the folder */
	bool renamed;
};

struct vd_staging {
	char *path;    /* the destination, links followed */
	char *folder;
	int dirfd;
	bool overwrite, in_place, keep;
	const struct vd_kept_file *kept; /* NULL: everything is new */
	size_t n_kept;
	struct staged *v; /* [0] is the image's own file */
	size_t n;
};

const char *vd_staging_base_name(const struct vd_staging *s)
{
	return vd_base_name(s->path);
}

/* k may be NULL: nothing is kept. */
static bool kept_is(int dirfd, const char *name, const struct vd_kept_file *k)
{
	return k && vd_identity_at(dirfd, name, &k->id);
}

/* *block_device: one stands there, or something like it.  `kept` (may be NULL): what stands there may be that. */
static int judge(const char *path, bool overwrite, const struct vd_kept_file *kept, bool *block_device, vd_error *err)
{
	struct stat st;

	*block_device = false;
	if (vd_nbd_uri_is(path)) {
		*block_device = true;
		return overwrite ? 0
		                 : vd_fail(err, VDISK_REFUSED, VDISK_NO_OFFSET,
		                           "%s: what the export holds would be overwritten; --force does that", path);
	}
	if (vd_url_is(path)) {
		VD_AUTO_FREE char *shown = vd_url_shown(path);

		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
		               "%s: images are read from web servers, not written to them", shown ? shown : "");
	}
	if (!vd_base_name(path)[0])
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "'%s' is no file name", path);
	if (stat(path, &st)) {
		if (errno != ENOENT)
			return vd_fail_errno(err, errno, VDISK_NO_OFFSET, "%s", path);
		if (!overwrite && !lstat(path, &st))
			return vd_fail(err, VDISK_REFUSED, VDISK_NO_OFFSET,
				       "%s: is a symbolic link to nowhere; --force replaces it", path);
		return 0;
	}
	*block_device = S_ISBLK(st.st_mode);
	if (!S_ISREG(st.st_mode) && !*block_device)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: neither a regular file nor a block device", path);
	if (!overwrite && !kept_is(AT_FDCWD, path, kept))
		return vd_fail(err, VDISK_REFUSED, VDISK_NO_OFFSET, "%s: exists; --force replaces it", path);
	return 0;
}

int vd_staging_judge(const char *path, bool overwrite, vd_error *err)
{
	VD_AUTO_FREE char *folder = vd_folder_of(path);
	bool dev;

	if (!folder)
		return vd_fail_nomem(err, strlen(path));
	if (judge(path, overwrite, NULL, &dev, err))
		return -1;
	if (!vd_nbd_uri_is(path) && access(dev ? path : folder, W_OK | (dev ? 0 : X_OK)))
		return dev ? vd_fail_errno(err, errno, VDISK_NO_OFFSET, "%s", path)
		           : vd_fail_errno(err, errno, VDISK_NO_OFFSET, "%s: cannot be made in the folder '%s'", path, folder);
	return 0;
}

int vd_staging_room(const char *path, uint64_t bytes, vd_error *err)
{
	VD_AUTO_FREE char *folder = vd_folder_of(path);
	struct statvfs vfs;
	uint64_t room;

	if (!folder)
		return vd_fail_nomem(err, strlen(path));
	if (statvfs(folder, &vfs))
		return vd_fail_errno(err, errno, VDISK_NO_OFFSET, "%s", folder);
	if (!vfs.f_blocks || vd_mul64(vfs.f_bavail, vfs.f_frsize, &room) || bytes <= room)
		return 0;
	return vd_fail_errno(err, ENOSPC, VDISK_NO_OFFSET, "%s: needs %" PRIu64 " bytes, and its file system has %" PRIu64 " free",
			     path, bytes, room);
}

/* The same as a rehearsal: what only the server knows is asked for. */
int vd_staging_rehearse(const char *path, uint64_t bytes, const volatile int *cancel, vd_error *err)
{
	struct vd_file *f;
	uint64_t size;

	if (!vd_nbd_uri_is(path))
		return 0;
	if (vd_file_nbd(path, true, cancel, &f, err))
		return -1;
	size = vd_file_size(f);
	vd_file_close(f);
	return bytes <= size ? 0
	                     : vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET,
	                               "%s: the export holds %" PRIu64 " bytes, the disk has %" PRIu64, path, size, bytes);
}

/* Where a new file of that name would be made: existing links are followed. */
static char *resolve(const char *path)
{
	char real[PATH_MAX];

	return vd_strdup(realpath(path, real) ? real : path);
}

char *vd_staging_side(const char *path, const char *word)
{
	VD_AUTO_FREE char *real = resolve(path);
	VD_AUTO_FREE char *folder = real ? vd_folder_of(real) : NULL;

	return folder ? vd_asprintf("%s/.%s.vdisk-%s", strcmp(folder, "/") ? folder : "", vd_base_name(real), word) : NULL;
}

static void side_remove(struct vd_staging *s, const char *word)
{
	VD_AUTO_FREE char *side = vd_staging_side(s->path, word);

	if (side)
		(void)unlink(side);
}

/* What a run left that was broken off may be thrown away. */
static int old_judge(struct vd_staging *s, const char *temp, vd_error *err)
{
	VD_AUTO_FREE char *side = vd_staging_side(s->path, VD_STAGING_MOVING);

	if (!side)
		return vd_fail_nomem(err, strlen(s->path));
	if (access(side, F_OK))
		return 0;
	return vd_fail(err, VDISK_REFUSED, VDISK_NO_OFFSET,
		       "%s: the disk that was being moved to it is in %s/%s, and nowhere else: go on with --resume", s->path,
		       s->folder, temp);
}

/* A temporary file that nobody has locked was left by a run that was killed. */
static int temp_create(struct vd_staging *s, const char *temp, const char *shown, struct vd_file **f, vd_error *err)
{
	for (int try = 0; try < 3; try++) {
		struct vd_file *old;

		if (!vd_file_posix(s->dirfd, temp, shown, VD_POSIX_RDWR | VD_POSIX_CREATE, f, err)) {
			if (!vd_file_lock(*f, true, err))
				return 0;
			vd_file_close(*f);
			return -1;
		}
		if (faccessat(s->dirfd, temp, F_OK, AT_SYMLINK_NOFOLLOW))
			return -1;
		if (vd_file_posix(s->dirfd, temp, temp, VD_POSIX_RDWR, &old, err))
			return -1;
		if (vd_file_lock(old, true, err)) {
			vd_file_close(old);
			return vd_fail(err, VDISK_BUSY, VDISK_NO_OFFSET, "%s: is being written by another run (%s/%s)", shown,
				       s->folder, temp);
		}
		if (!s->n && old_judge(s, temp, err)) {
			vd_file_close(old);
			return -1;
		}
		if (!s->n)
			side_remove(s, VD_STAGING_RECORD); /* before another file can have that inode */
		unlinkat(s->dirfd, temp, 0);
		vd_file_close(old);
	}
	return -1;
}

/* What the run before left of the next file.  It may have died between giving some files their names and the last one. */
static int temp_resume(struct vd_staging *s, const char *name, const char *temp, const char *shown, struct vd_file **f,
		       vd_error *err)
{
	const struct vd_kept_file *k = s->n < s->n_kept ? &s->kept[s->n] : NULL;
	struct vd_file *inner;

	if (!kept_is(s->dirfd, temp, k)) {
		if (!kept_is(s->dirfd, name, k))
			return vd_fail(err, VDISK_REFUSED, VDISK_NO_OFFSET,
				       "%s: %s/%s, which was to be gone on with, is not there any more", shown, s->folder, temp);
		if (renameat2(s->dirfd, name, s->dirfd, temp, RENAME_NOREPLACE))
			return vd_fail_errno(err, errno, VDISK_NO_OFFSET, "%s: cannot take its name back", shown);
	}
	if (vd_file_posix(s->dirfd, temp, shown, VD_POSIX_RDWR, &inner, err))
		return -1;
	if (vd_file_lock(inner, true, err)) {
		vd_file_close(inner);
		return vd_fail(err, VDISK_BUSY, VDISK_NO_OFFSET, "%s: is being written by another run (%s/%s)", shown, s->folder,
			       temp);
	}
	return vd_file_kept(inner, k->v, k->n, f, err);
}

static int stage(struct vd_staging *s, const char *name, const char *shown, struct vd_file **f, vd_error *err)
{
	struct staged *v = vd_realloc(s->v, s->n + 1, sizeof(*v));
	char *temp;

	if (!v)
		return vd_fail_nomem(err, (s->n + 1) * sizeof(*v));
	s->v = v;
	v[s->n] = (struct staged){ .temp = vd_asprintf(".%s.vdisk-partial", name), .name = vd_strdup(name) };
	temp = v[s->n].temp;
	if (!temp || !v[s->n].name ||
	    (s->kept ? temp_resume(s, name, temp, shown, f, err) : temp_create(s, temp, shown, f, err))) {
		if (!temp || !v[s->n].name)
			vd_fail_nomem(err, strlen(name));
		vd_free(temp);
		vd_free(v[s->n].name);
		return -1;
	}
	s->n++;
	return 0;
}

/* What has no folder. */
static int export_stage(struct vd_staging *s, const char *path, const volatile int *cancel, struct vd_file **f, vd_error *err)
{
	s->in_place = true;
	s->path = vd_strdup(path);
	s->folder = vd_strdup("");
	if (!s->path || !s->folder)
		return vd_fail_nomem(err, strlen(path));
	return vd_file_nbd(path, true, cancel, f, err);
}

int vd_staging_resume(const char *path, bool overwrite, const struct vd_kept_file *kept, size_t n, const volatile int *cancel,
                      struct vd_staging **out, struct vd_file **f, vd_error *err)
{
	struct vd_staging *s;
	bool dev;

	if (judge(path, overwrite, kept, &dev, err))
		return -1;
	s = vd_calloc(1, sizeof(*s));
	if (!s)
		return vd_fail_nomem(err, sizeof(*s));
	s->dirfd = -1;
	if (vd_nbd_uri_is(path)) {
		if (export_stage(s, path, cancel, f, err))
			goto fail;
		*out = s;
		return 0;
	}
	s->overwrite = overwrite;
	s->in_place = dev;
	s->kept = kept;
	s->n_kept = n;
	s->keep = kept;
	s->path = resolve(path);
	s->folder = s->path ? vd_folder_of(s->path) : NULL;
	if (!s->folder) {
		vd_fail_nomem(err, strlen(path));
		goto fail;
	}
	s->dirfd = open(s->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->dirfd < 0) {
		vd_fail_errno(err, errno, VDISK_NO_OFFSET, "%s: cannot open the folder '%s'", path, s->folder);
		goto fail;
	}
	if (dev) {
		if (vd_file_posix(AT_FDCWD, s->path, path, VD_POSIX_RDWR, f, err))
			goto fail;
		if (vd_file_lock(*f, true, err)) {
			vd_file_close(*f);
			goto fail;
		}
	} else if (stage(s, vd_base_name(s->path), path, f, err)) {
		goto fail;
	} else if (!kept) {
		side_remove(s, VD_STAGING_RECORD);
		side_remove(s, VD_STAGING_MOVING);
	}
	*out = s;
	return 0;
fail:
	vd_staging_abort(s);
	return -1;
}

int vd_staging_new(const char *path, bool overwrite, struct vd_staging **out, struct vd_file **f, vd_error *err)
{
	return vd_staging_resume(path, overwrite, NULL, 0, NULL, out, f, err);
}

void vd_staging_keep(struct vd_staging *s)
{
	s->keep = true;
}

int vd_staging_add(struct vd_staging *s, const char *name, struct vd_file **f, vd_error *err)
{
	VD_AUTO_FREE char *shown = vd_asprintf("%s/%s", s->folder, name);

	if (!shown)
		return vd_fail_nomem(err, strlen(name));
	if (s->in_place)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "%s: an image of several files does not fit a block device",
			       s->path);
	if (!name[0] || strchr(name, '/'))
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "'%s' is no name for a file beside the image", name);
	if (!s->overwrite && !faccessat(s->dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW) &&
	    !kept_is(s->dirfd, name, s->n < s->n_kept ? &s->kept[s->n] : NULL))
		return vd_fail(err, VDISK_REFUSED, VDISK_NO_OFFSET, "%s: exists; --force replaces it", shown);
	return stage(s, name, shown, f, err);
}

static void staging_free(struct vd_staging *s)
{
	for (size_t i = 0; i < s->n; i++) {
		vd_free(s->v[i].temp);
		vd_free(s->v[i].name);
	}
	vd_free(s->v);
	if (s->dirfd >= 0)
		close(s->dirfd);
	vd_free(s->folder);
	vd_free(s->path);
	vd_free(s);
}

static int staged_rename(struct vd_staging *s, struct staged *g, vd_error *err)
{
	unsigned flags = s->overwrite ? 0 : RENAME_NOREPLACE;
	int rc = renameat2(s->dirfd, g->temp, s->dirfd, g->name, flags);

	if (rc && errno == EINVAL && flags) /* a file system without the flag: judged before, so a small race remains there */
		rc = renameat(s->dirfd, g->temp, s->dirfd, g->name);
	if (rc && errno == EEXIST)
		return vd_fail(err, VDISK_REFUSED, VDISK_NO_OFFSET, "%s/%s: exists by now; --force replaces it", s->folder,
			       g->name);
	if (rc)
		return vd_fail_errno(err, errno, VDISK_NO_OFFSET, "%s/%s: cannot give the new image its name", s->folder, g->name);
	g->renamed = true;
	return 0;
}

int vd_staging_commit(struct vd_staging *s, vd_error *err)
{
	for (size_t i = s->n; i > 0; i--) {
		if (staged_rename(s, &s->v[i - 1], err)) {
			vd_staging_abort(s);
			return -1;
		}
	}
	if (s->n && fsync(s->dirfd) && errno != EINVAL && errno != ENOTSUP) {
		int rc = vd_fail_errno(err, errno, VDISK_NO_OFFSET, "%s", s->folder);

		staging_free(s);
		return rc;
	}
	staging_free(s);
	return 0;
}

void vd_staging_abort(struct vd_staging *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n && !s->keep; i++)
		unlinkat(s->dirfd, s->v[i].renamed ? s->v[i].name : s->v[i].temp, 0);
	staging_free(s);
}
