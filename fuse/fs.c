/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* FUSE's low-level operations, read-only.  Called from many threads; the tree has its lock, the image is safe by itself. */
#include "fs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FS_TIMEOUT 3600.0 /* nothing changes under a read-only mount */

static struct fs *fs_of(fuse_req_t req) { return fuse_req_userdata(req); }

static void fs_init(void *data, struct fuse_conn_info *conn)
{
	(void)data;
	conn->max_read = FS_MAX_IO; /* counts only together with the mount option of the same name */
	conn->want &= ~(unsigned)FUSE_CAP_SPLICE_READ;
	if (conn->capable & FUSE_CAP_PARALLEL_DIROPS)
		conn->want |= FUSE_CAP_PARALLEL_DIROPS;
}

static void node_stat(const struct fs *fs, const struct node *n, struct stat *st)
{
	memset(st, 0, sizeof(*st));
	st->st_ino = n->ino;
	st->st_uid = fs->uid;
	st->st_gid = fs->gid;
	st->st_nlink = 1;
	st->st_blksize = 4096;
	st->st_atim = st->st_mtim = st->st_ctim = fs->mtime;
	switch (n->kind) {
	case NODE_FOLDER:
		st->st_mode = S_IFDIR | 0555;
		st->st_nlink = 2;
		break;
	case NODE_WINDOW:
		st->st_mode = S_IFREG | 0444;
		st->st_size = (off_t)n->len;
		st->st_blocks = (blkcnt_t)n->blocks;
		break;
	case NODE_TEXT:
		st->st_mode = S_IFREG | 0444;
		st->st_size = (off_t)strlen(n->text);
		st->st_blocks = (st->st_size + 511) / 512;
		break;
	case NODE_LINK:
		st->st_mode = S_IFLNK | 0777;
		st->st_size = (off_t)strlen(n->text);
		break;
	}
}

static void fs_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fs *fs = fs_of(req);
	struct node *folder = tree_node(fs->tree, parent), *n;
	struct fuse_entry_param e = { .attr_timeout = FS_TIMEOUT, .entry_timeout = FS_TIMEOUT };

	if (!folder || folder->kind != NODE_FOLDER) {
		fuse_reply_err(req, ENOTDIR);
		return;
	}
	n = tree_find(fs->tree, folder, name);
	if (!n) { /* not remembered: links appear while the mount starts */
		fuse_reply_err(req, ENOENT);
		return;
	}
	e.ino = n->ino;
	node_stat(fs, n, &e.attr);
	fuse_reply_entry(req, &e);
}

static void fs_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	struct node *n = tree_node(fs->tree, ino);
	struct stat st;

	(void)fi;
	if (!n) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	node_stat(fs, n, &st);
	fuse_reply_attr(req, &st, FS_TIMEOUT);
}

static void fs_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct node *n = tree_node(fs_of(req)->tree, ino);

	if (n && n->kind == NODE_LINK)
		fuse_reply_readlink(req, n->text);
	else
		fuse_reply_err(req, EINVAL);
}

static void fs_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct node *n = tree_node(fs_of(req)->tree, ino);

	if (!n || n->kind == NODE_FOLDER) {
		fuse_reply_err(req, n ? EISDIR : ENOENT);
	} else if ((fi->flags & O_ACCMODE) != O_RDONLY) {
		fuse_reply_err(req, EROFS);
	} else {
		fi->keep_cache = 1;
		fi->noflush = 1;
		fuse_reply_open(req, fi);
	}
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

static int error_errno(const vdisk_error *err)
{
	if (err->kind == VDISK_NOMEM)
		return ENOMEM;
	return err->kind == VDISK_IO && err->sys_errno ? err->sys_errno : EIO;
}

static void fs_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	struct node *n = tree_node(fs->tree, ino);
	uint64_t at = (uint64_t)off;
	vdisk_error err;
	void *buf;

	(void)fi;
	if (!n || n->kind == NODE_FOLDER || n->kind == NODE_LINK) {
		fuse_reply_err(req, EISDIR);
		return;
	}
	if (n->kind == NODE_TEXT) {
		size_t len = strlen(n->text), left = at < len ? len - at : 0;

		fuse_reply_buf(req, left ? n->text + at : NULL, size < left ? size : left);
		return;
	}
	if (at >= n->len) {
		fuse_reply_buf(req, NULL, 0);
		return;
	}
	size = size < FS_MAX_IO ? size : FS_MAX_IO;
	size = size < n->len - at ? size : n->len - at;
	buf = thread_buffer();
	if (!buf)
		fuse_reply_err(req, ENOMEM);
	else if (vdisk_pread(fs->img, buf, size, n->off + at, &err))
		fuse_reply_err(req, error_errno(&err));
	else
		fuse_reply_buf(req, buf, size);
}

/* The next offset in [at, end) of the disk that holds data (or a hole), or `end`. */
static int seek_window(struct fs *fs, uint64_t at, uint64_t end, bool data, uint64_t *out)
{
	while (at < end) {
		struct vdisk_extent x[32];
		vdisk_error err;
		size_t n;

		if (vdisk_map(fs->img, at, end - at, x, 32, &n, &err))
			return error_errno(&err);
		for (size_t i = 0; i < n; i++) {
			if ((x[i].kind == VDISK_DATA) == data) {
				*out = x[i].off;
				return 0;
			}
		}
		at = x[n - 1].off + x[n - 1].len;
	}
	*out = end;
	return 0;
}

static void fs_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	struct node *n = tree_node(fs->tree, ino);
	uint64_t found;
	int rc;

	(void)fi;
	if (!n || n->kind != NODE_WINDOW || (whence != SEEK_DATA && whence != SEEK_HOLE)) {
		fuse_reply_err(req, EINVAL);
		return;
	}
	if (off < 0 || (uint64_t)off >= n->len) {
		fuse_reply_err(req, ENXIO);
		return;
	}
	rc = seek_window(fs, n->off + (uint64_t)off, n->off + n->len, whence == SEEK_DATA, &found);
	if (rc)
		fuse_reply_err(req, rc);
	else if (whence == SEEK_DATA && found == n->off + n->len)
		fuse_reply_err(req, ENXIO);
	else
		fuse_reply_lseek(req, (off_t)(found - n->off));
}

static size_t dir_add(fuse_req_t req, const struct fs *fs, char *buf, size_t room, const char *name, const struct node *n, size_t next)
{
	struct stat st;

	node_stat(fs, n, &st);
	return fuse_add_direntry(req, buf, room, name, &st, (off_t)next);
}

static void fs_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	struct node *folder = tree_node(fs->tree, ino), *child;
	size_t used = 0, at = (size_t)off;
	char *buf;

	(void)fi;
	if (!folder || folder->kind != NODE_FOLDER) {
		fuse_reply_err(req, ENOTDIR);
		return;
	}
	buf = malloc(size);
	if (!buf) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	for (;; at++) {
		size_t need;

		if (at == 0)
			need = dir_add(req, fs, buf + used, size - used, ".", folder, 1);
		else if (at == 1)
			need = dir_add(req, fs, buf + used, size - used, "..", folder->parent, 2);
		else if (tree_child(fs->tree, folder, at - 2, &child))
			need = dir_add(req, fs, buf + used, size - used, child->name, child, at + 1);
		else
			break;
		if (need > size - used)
			break;
		used += need;
	}
	fuse_reply_buf(req, buf, used);
	free(buf);
}

static void fs_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct fs *fs = fs_of(req);
	struct statvfs st = { .f_bsize = 4096, .f_frsize = 4096, .f_namemax = 255, .f_flag = ST_RDONLY };

	(void)ino;
	st.f_blocks = vdisk_size(fs->img) / 4096;
	fuse_reply_statfs(req, &st);
}

const struct fuse_lowlevel_ops fs_ops = {
	.init = fs_init,
	.lookup = fs_lookup,
	.getattr = fs_getattr,
	.readlink = fs_readlink,
	.open = fs_open,
	.read = fs_read,
	.lseek = fs_lseek,
	.readdir = fs_readdir,
	.statfs = fs_statfs,
};
