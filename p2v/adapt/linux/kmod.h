/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The modules of one kernel of the guest: /lib/modules/RELEASE, what depends on what, what is built in, and what depmod(8) says of
   them. */
#ifndef ADAPT_KMOD_H
#define ADAPT_KMOD_H

#include "tree.h"

struct kmod_module {
	char *name;      /* canonical */
	char *path;      /* below the folder: kernel/drivers/block/virtio_blk.ko.xz */
	const char *deps; /* the rest of its line in modules.dep: paths, blanks between */
	size_t deps_len;
	bool taken;      /* by kmod_closure(), meanwhile */
};

struct kmod_soft { /* a line of modules.softdep or weakdep */
	const struct kmod_module *of;
	const char *at;
	size_t len;
};

enum kmod_text { KMOD_DEP, KMOD_ALIAS, KMOD_SYMBOLS, KMOD_SOFTDEP, KMOD_WEAKDEP, KMOD_DEVNAME, KMOD_TEXTS };

struct kmod {
	char *folder;    /* /lib/modules/RELEASE */
	char *release;
	struct kmod_module *modules; size_t n; /* sorted by name */
	unsigned aliases_asked;
	struct bytes texts[KMOD_TEXTS]; /* depmod's; empty where the guest has none */
	struct bytes builtin;           /* modules.builtin */
	char **builtins; size_t builtins_n; /* canonical names, sorted */
	struct kmod_soft *soft[KMOD_TEXTS]; size_t soft_n[KMOD_TEXTS]; /* by module, those of one in the order of the file */
};

/* "modules.dep" … */
const char *kmod_text_name(enum kmod_text text);
/* The module that a line of such a text is about, by its canonical name; false: about none (a comment, another form). */
bool kmod_line_module(enum kmod_text text, const char *line, size_t len, char *out, size_t room);
/* Goes over lines: the next one in *at, *len, without its end; false: no more.  *pos begins as 0. */
bool kmod_line(const struct bytes *text, size_t *pos, const char **at, size_t *len);

/* 1; 0: there is no modules.dep in that folder; -1 with *err. */
int kmod_open(struct kmod *k, struct tree *t, const char *folder, const char *release, vdisk_error *err);
void kmod_close(struct kmod *k);
struct kmod_module *kmod_find(const struct kmod *k, const char *name);
bool kmod_is_builtin(const struct kmod *k, const char *name);
/* Adds a module and all that it needs (modules.dep, modules.softdep and weakdep) to `list`, each once, what is needed before what
   needs it.  The list has room for k->n; the first call wants every `taken` false.  A name that the kernel has not adds nothing. */
void kmod_closure(struct kmod *k, const char *name, struct kmod_module **list, size_t *n);

#endif
