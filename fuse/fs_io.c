/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * FUSE's low-level operations on content.
 *
 * Windows overlap (disk and its partitions), and the kernel caches each file for itself.  They agree from close to open: whoever
 * opens a window finds everything that was written through another one before, since the kernel is told to forget its cache of a
 * window where that is so.
 */
#include "fs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct fs *fs_of(fuse_req_t req) { return fuse_req_userdata(req); }

static struct node *window_of(fuse_req_t req, fuse_ino_t ino)
{
	struct node *n = tree_node(fs_of(req)->tree, ino);

	fs_used(fs_of(req));
	return n && n->kind == NODE_WINDOW ? n : NULL;
}

/* Nothing was written through other windows since the kernel's cache of this one was begun. */
static bool cache_is_fresh(struct node *n)
{
	uint64_t others = n->src->writes - n->writes;

	return atomic_exchange(&n->seen, others) == others;
}

void fs_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	struct node *n = tree_node(fs->tree, ino);

	fs_used(fs);
	if (!n || n->kind == NODE_FOLDER) {
		fuse_reply_err(req, n ? EISDIR : ENOENT);
	} else if ((fi->flags & O_ACCMODE) != O_RDONLY && (n->kind != NODE_WINDOW || !n->win.writable)) {
		fuse_reply_err(req, EROFS);
	} else {
		fi->keep_cache = n->kind != NODE_WINDOW || cache_is_fresh(n);
		fi->noflush = 1; /* closing writes nothing that was not written before; fsync makes it durable */
		fs->opens++;
		if (fuse_reply_open(req, fi))
			fs->opens--;
	}
}

void fs_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);

	(void)ino, (void)fi;
	fs_used(fs);
	fs->opens--;
	fuse_reply_err(req, 0);
}

/* A buffer for each of FUSE's threads, freed when the thread ends. */
static pthread_key_t buffer_key;
static pthread_once_t buffer_once = PTHREAD_ONCE_INIT;

static void buffer_key_make(void) { pthread_key_create(&buffer_key, free); }

static void *thread_buffer(void)
{
	void *buf;

	pthread_once(&buffer_once, buffer_key_make);
	buf = pthread_getspecific(buffer_key);
	if (!buf && !posix_memalign(&buf, 4096, FS_MAX_IO))
		pthread_setspecific(buffer_key, buf);
	return buf;
}

static void text_read(fuse_req_t req, const struct node *n, size_t size, uint64_t at)
{
	size_t len = strlen(n->text), left = at < len ? len - at : 0;

	fuse_reply_buf(req, left ? n->text + at : NULL, size < left ? size : left);
}

void fs_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct node *n = tree_node(fs_of(req)->tree, ino);
	uint64_t at = (uint64_t)off;
	void *buf;
	int rc;

	(void)fi;
	fs_used(fs_of(req));
	if (!n || n->kind == NODE_FOLDER || n->kind == NODE_LINK) {
		fuse_reply_err(req, EISDIR);
		return;
	}
	if (n->kind == NODE_TEXT) {
		text_read(req, n, size, at);
		return;
	}
	if (at >= n->win.len) {
		fuse_reply_buf(req, NULL, 0);
		return;
	}
	size = size < FS_MAX_IO ? size : FS_MAX_IO;
	size = size < n->win.len - at ? size : n->win.len - at;
	buf = thread_buffer();
	rc = buf ? window_read(&n->win, buf, size, at) : ENOMEM;
	if (rc)
		fuse_reply_err(req, rc);
	else
		fuse_reply_buf(req, buf, size);
}

void fs_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct node *n = window_of(req, ino);
	uint64_t at = (uint64_t)off;
	int rc;

	(void)fi;
	if (!n || !n->win.writable) {
		fuse_reply_err(req, EBADF);
		return;
	}
	if (at >= n->win.len) { /* as at a block device's end */
		fuse_reply_err(req, ENOSPC);
		return;
	}
	size = size < n->win.len - at ? size : n->win.len - at;
	rc = window_write(&n->win, buf, size, at);
	n->writes++;
	if (rc)
		fuse_reply_err(req, rc);
	else
		fuse_reply_write(req, size);
}

void fs_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	struct node *n = window_of(req, ino);

	(void)datasync, (void)fi;
	fuse_reply_err(req, n ? window_flush(&n->win) : 0);
}

/* Zeroing and punching, which is what loop devices make of discards.  Space cannot be promised beforehand, so plain allocation
   is not offered, and the C library's posix_fallocate() falls back on writing. */
void fs_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len, struct fuse_file_info *fi)
{
	struct node *n = window_of(req, ino);
	bool punch = mode == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
	uint64_t at = (uint64_t)off, size = (uint64_t)len;
	int rc;

	(void)fi;
	if (!n || !n->win.writable) {
		fuse_reply_err(req, EBADF);
	} else if (!punch && (mode & ~FALLOC_FL_KEEP_SIZE) != FALLOC_FL_ZERO_RANGE) {
		fuse_reply_err(req, EOPNOTSUPP);
	} else if (off < 0 || len <= 0) {
		fuse_reply_err(req, EINVAL);
	} else if (!(mode & FALLOC_FL_KEEP_SIZE) && (at > n->win.len || size > n->win.len - at)) {
		fuse_reply_err(req, ENOSPC);
	} else {
		size = at < n->win.len ? (size < n->win.len - at ? size : n->win.len - at) : 0;
		rc = size ? window_zero(&n->win, at, size, punch) : 0;
		n->writes += size > 0;
		fuse_reply_err(req, rc);
	}
}

void fs_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi)
{
	struct node *n = window_of(req, ino);
	uint64_t found;
	int rc;

	(void)fi;
	if (!n || (whence != SEEK_DATA && whence != SEEK_HOLE)) {
		fuse_reply_err(req, EINVAL);
		return;
	}
	if (off < 0 || (uint64_t)off >= n->win.len) {
		fuse_reply_err(req, ENXIO);
		return;
	}
	rc = window_seek(&n->win, (uint64_t)off, whence == SEEK_DATA, &found);
	if (!rc && whence == SEEK_DATA && found == n->win.len)
		rc = ENXIO;
	if (rc)
		fuse_reply_err(req, rc);
	else
		fuse_reply_lseek(req, (off_t)found);
}
