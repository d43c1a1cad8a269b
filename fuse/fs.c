/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* FUSE's low-level operations on names and attributes (fs_io.c has those on content).  Called from many threads; the tree has
   its lock. */
#include "fs.h"
#include "links.h"
#include "populate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FS_TIMEOUT 3600.0      /* nothing changes under a read-only mount */
#define FS_TIMEOUT_WRITABLE 1.0
#define COUNT_REST 20          /* counting blocks again may take a part of that of the time */

static struct fs *fs_of(fuse_req_t req) { return fuse_req_userdata(req); }

int64_t monotonic_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void fs_used(struct fs *fs) { fs->used = monotonic_ns(); }

static void fs_init(void *data, struct fuse_conn_info *conn)
{
	(void)data;
	conn->max_read = FS_MAX_IO; /* counts only together with the mount option of the same name */
	conn->max_background = 64;
	conn->congestion_threshold = 48;
	/* A write's new time is no reason to forget what was read. */
	conn->want &= ~(unsigned)(FUSE_CAP_SPLICE_READ | FUSE_CAP_AUTO_INVAL_DATA);
	conn->want |= conn->capable & (FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_EXPLICIT_INVAL_DATA);
	/* As on a block device, opening with O_TRUNC cuts nothing off (setattr below); atomically, the kernel would not ask. */
	conn->want &= ~(unsigned)FUSE_CAP_ATOMIC_O_TRUNC;
}

/* How long the kernel may rely on attributes; blocks are counted when somebody asks for them (fs_getattr). */
static double attr_timeout(const struct fs *fs, const struct node *n)
{
	if (n->kind == NODE_WINDOW && !n->counted)
		return 0;
	return n->kind == NODE_WINDOW && n->win.writable && fs->writable ? FS_TIMEOUT_WRITABLE : FS_TIMEOUT;
}

void node_stat(const struct fs *fs, const struct node *n, struct stat *st)
{
	memset(st, 0, sizeof(*st));
	st->st_ino = n->ino;
	st->st_uid = fs->uid;
	st->st_gid = fs->gid;
	st->st_nlink = 1;
	st->st_blksize = 4096;
	st->st_atim = st->st_mtim = st->st_ctim = state_mtime(n->src ? n->src : fs->states);
	switch (n->kind) {
	case NODE_FOLDER:
		st->st_mode = S_IFDIR | 0555;
		st->st_nlink = 2;
		break;
	case NODE_WINDOW:
		st->st_mode = S_IFREG | (n->win.writable ? 0644 : 0444);
		st->st_size = (off_t)n->win.len;
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

/* Counts a window's blocks where that was never done or something was written since.  It walks the whole map, so a big image is not
   counted again each time that somebody looks while it is being written. */
static void node_count(struct node *n)
{
	uint64_t version = n->src->writes + 1, bytes;
	int64_t begin = monotonic_ns();

	if (n->counted == version || (n->counted && begin < n->count_again))
		return;
	if (window_count(&n->win, &bytes))
		return;
	n->blocks = (bytes + 511) / 512;
	n->counted = version;
	n->count_again = begin + (COUNT_REST + 1) * (monotonic_ns() - begin);
}

static struct node *folder_of(struct fs *fs, fuse_ino_t ino)
{
	struct node *folder = tree_node(fs->tree, ino);

	if (!folder || folder->kind != NODE_FOLDER)
		return NULL;
	if (folder->unfilled)
		populate_folder(fs, folder);
	return folder;
}

static struct node *hidden_find(struct fs *fs, const struct node *folder, const char *name)
{
	struct node *n = NULL;
	char *end;
	unsigned long ino = strtoul(name, &end, 10);

	if (folder->hidden && *name >= '1' && *name <= '9' && !*end)
		n = tree_node(fs->tree, ino);
	return n && n->kind == NODE_WINDOW ? n : NULL;
}

void fs_lookup_now(fuse_req_t req, struct node *folder, const char *name)
{
	struct fs *fs = fs_of(req);
	struct fuse_entry_param e = { .entry_timeout = FS_TIMEOUT };
	struct node *n = tree_find(fs->tree, folder, name);

	if (!n)
		n = hidden_find(fs, folder, name);
	if (!n) { /* not remembered: links appear while the mount is used */
		fuse_reply_err(req, ENOENT);
		return;
	}
	e.ino = n->ino;
	e.attr_timeout = attr_timeout(fs, n);
	node_stat(fs, n, &e.attr);
	fuse_reply_entry(req, &e);
}

static void fs_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fs *fs = fs_of(req);
	struct node *folder = folder_of(fs, parent);

	fs_used(fs);
	if (!folder)
		fuse_reply_err(req, ENOTDIR);
	else if (!folder->unlinked || !links_wait_lookup(fs->links, req, folder, name))
		fs_lookup_now(req, folder, name);
}

static void fs_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	struct node *n = tree_node(fs->tree, ino);
	struct stat st;

	(void)fi;
	fs_used(fs);
	if (!n) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	if (n->kind == NODE_WINDOW)
		node_count(n);
	node_stat(fs, n, &st);
	fuse_reply_attr(req, &st, attr_timeout(fs, n));
}

/* Sizes are fixed.  What comes from O_TRUNC (a size of 0 without a handle) is passed over as a block device does, so that dd
   and cp can write a disk; any other size is refused.  Times are the image's own. */
static void fs_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int set, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	struct node *n = tree_node(fs->tree, ino);
	struct stat st;

	fs_used(fs);
	if (!n) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	if (n->kind != NODE_WINDOW || !n->win.writable || set & (FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID) ||
	    (set & FUSE_SET_ATTR_SIZE && (uint64_t)attr->st_size != n->win.len && (attr->st_size || fi))) {
		fuse_reply_err(req, EPERM);
		return;
	}
	node_stat(fs, n, &st);
	fuse_reply_attr(req, &st, attr_timeout(fs, n));
}

static void fs_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct node *n = tree_node(fs_of(req)->tree, ino);

	if (n && n->kind == NODE_LINK)
		fuse_reply_readlink(req, n->text);
	else
		fuse_reply_err(req, EINVAL);
}

static size_t dir_add(fuse_req_t req, const struct fs *fs, char *buf, size_t room, const char *name, const struct node *n,
		      size_t next)
{
	struct stat st;

	node_stat(fs, n, &st);
	return fuse_add_direntry(req, buf, room, name, &st, (off_t)next);
}

void fs_readdir_now(fuse_req_t req, struct node *folder, size_t size, off_t off)
{
	struct fs *fs = fs_of(req);
	struct node *child;
	size_t used = 0, at = (size_t)off;
	char *buf = malloc(size);

	if (!buf) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	for (;; at++) {
		size_t need = 0;

		if (at == 0)
			need = dir_add(req, fs, buf + used, size - used, ".", folder, 1);
		else if (at == 1)
			need = dir_add(req, fs, buf + used, size - used, "..", folder->parent, 2);
		else if (!tree_child(fs->tree, folder, at - 2, &child))
			break;
		else if (!child->hidden)
			need = dir_add(req, fs, buf + used, size - used, child->name, child, at + 1);
		if (need > size - used)
			break;
		used += need;
	}
	fuse_reply_buf(req, buf, used);
	free(buf);
}

static void fs_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	struct node *folder = folder_of(fs, ino);

	(void)fi;
	fs_used(fs);
	if (!folder)
		fuse_reply_err(req, ENOTDIR);
	else if (!folder->unlinked || !links_wait_readdir(fs->links, req, folder, size, off))
		fs_readdir_now(req, folder, size, off);
}

static void fs_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct fs *fs = fs_of(req);
	struct statvfs st = { .f_bsize = 4096, .f_frsize = 4096, .f_namemax = 255, .f_flag = fs->writable ? 0 : ST_RDONLY };

	(void)ino;
	st.f_blocks = vdisk_size(fs->states->img) / 4096;
	fuse_reply_statfs(req, &st);
}

const struct fuse_lowlevel_ops fs_ops = {
	.init = fs_init,
	.lookup = fs_lookup,
	.getattr = fs_getattr,
	.setattr = fs_setattr,
	.readlink = fs_readlink,
	.readdir = fs_readdir,
	.statfs = fs_statfs,
	.open = fs_open,
	.release = fs_release,
	.read = fs_read,
	.write = fs_write,
	.fsync = fs_fsync,
	.fallocate = fs_fallocate,
	.lseek = fs_lseek,
};
