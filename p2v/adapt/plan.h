/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is to be changed in a guest, and why: steps add to it, `--plan` prints it, apply.h carries it out.  It holds at most one
   change of a path: a second one replaces the content and adds its reason.  The plan's own tree shows the guest as it will be. */
#ifndef ADAPT_PLAN_H
#define ADAPT_PLAN_H

#include "tree.h"

#define PLAN_REMARKS_MAX 1000u

enum change_kind {
	CHANGE_WRITE,   /* the file's whole new content; kept mode, owner, labels and times where the file is there, else those
	                   given */
	CHANGE_FOLDER,  /* made, with its parents, where it is not there */
	CHANGE_LINK,    /* a symbolic link, in the place of whatever link or file is there */
	CHANGE_MOVE,    /* renamed: from `path` to `target`, in one file system */
	CHANGE_REMOVE,  /* a file or link */
	CHANGE_RUN,     /* a program of the guest, run in it: only with --regenerate; `content` is the shell line */
};

struct change {
	enum change_kind kind;
	char *path;
	char *target;         /* LINK: what it says; MOVE: to where */
	struct bytes content; /* WRITE, RUN */
	uint32_t mode, uid, gid;
	bool binary;          /* WRITE: not to be shown as a text's difference */
	char *why;            /* reasons, a line each, plain sentences without a full stop */
	struct bytes notes;   /* binary: what changes inside (registry keys, archive members), a line each */
};

struct plan {
	struct tree *guest;   /* borrowed: the guest as it is */
	struct tree view;     /* the guest as it will be; never tree_close() it */
	struct change *changes;
	size_t n, cap;
	struct bytes remarks; /* what the administrator should know or do; a line each */
	size_t remarks_n;     /* not counted on past PLAN_REMARKS_MAX, behind which one line says that there are more */
};

void plan_init(struct plan *p, struct tree *guest);
void plan_destroy(struct plan *p);

/* Each is 0, or -1 with *err (VDISK_NOMEM, or what reading the guest said).  Nothing is added where the content is what stands
   there. */
int plan_write(struct plan *p, const char *path, const void *content, size_t len, uint32_t mode, vdisk_error *err, const char *why,
               ...) __attribute__((format(printf, 7, 8)));
/* The same for what is no text; `notes` (may be NULL) is kept for `--plan`. */
int plan_write_binary(struct plan *p, const char *path, const void *content, size_t len, uint32_t mode, const struct bytes *notes,
	vdisk_error *err, const char *why, ...) __attribute__((format(printf, 8, 9)));
int plan_folder(struct plan *p, const char *path, uint32_t mode, vdisk_error *err);
int plan_link(struct plan *p, const char *path, const char *target, vdisk_error *err, const char *why, ...)
	__attribute__((format(printf, 5, 6)));
int plan_move(struct plan *p, const char *path, const char *to, vdisk_error *err, const char *why, ...)
	__attribute__((format(printf, 5, 6)));
int plan_remove(struct plan *p, const char *path, vdisk_error *err, const char *why, ...) __attribute__((format(printf, 4, 5)));
int plan_run(struct plan *p, const char *line, vdisk_error *err, const char *why, ...) __attribute__((format(printf, 4, 5)));
/* Something to tell that changes nothing; what of the guest's goes into it cannot make two lines of it. */
void plan_remark(struct plan *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same, but once, however many lines say so. */
void remark_once(struct plan *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
const struct change *plan_find(const struct plan *p, const char *path);

#endif
