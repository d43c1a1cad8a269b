/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The file system that FUSE asks: a tree over the states of a disk. */
#ifndef VDISK_MOUNT_FS_H
#define VDISK_MOUNT_FS_H

#include "tree.h"

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>

#define FS_MAX_IO (1u << 20)
/* Not listed below the root: the windows by their inode numbers, for the daemon's own use, and "pid". */
#define FS_HIDDEN ".vdisk"

struct links;

struct fs {
	struct tree *tree;
	struct state *states;    /* all of them; the first is the image */
	pthread_mutex_t fill_lock; /* guards `states` and the filling of folders */
	struct links *links;       /* NULL: no links are made */
	bool writable;
	uid_t uid;
	gid_t gid;
	_Atomic unsigned opens;    /* handles that are open */
	_Atomic int64_t used;      /* the last request: ns, monotonic */
};

/* The session's operations; its userdata is a struct fs. */
extern const struct fuse_lowlevel_ops fs_ops;

/* fs.c, for fs_io.c */
void node_stat(const struct fs *fs, const struct node *n, struct stat *st);
void fs_used(struct fs *fs);
int64_t monotonic_ns(void);
/* fs_io.c */
void fs_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void fs_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void fs_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void fs_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off, struct fuse_file_info *fi);
void fs_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void fs_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len, struct fuse_file_info *fi);
void fs_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi);
/* Requests that waited for links (links.c), answered. */
void fs_lookup_now(fuse_req_t req, struct node *folder, const char *name);
void fs_readdir_now(fuse_req_t req, struct node *folder, size_t size, off_t off);

#endif
