/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A guest of a few files, for the steps of adapting: a folder made from a list of them before and after, a step run over it, each
   file of the plan's view compared; then the plan is carried out in the folder and the step run again, which must find nothing left
   to do. */
#ifndef TESTS_ADAPT_GUEST_H
#define TESTS_ADAPT_GUEST_H

#include "plan.h"
#include "steps.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define GONE ((const char *)-1)  /* not there afterwards */
#define LINK "\001"              /* a symbolic link to what follows */
#define SAME NULL                /* afterwards as before */

struct edit {
	const char *path, *before, *after; /* before NULL: not there */
};

typedef int (*step_fn)(struct plan *p, const struct facts *f, const struct adapt_options *o, vdisk_error *err);

struct guest {
	char folder[64];
	struct tree *tree;
	struct plan plan;
};

static inline void host_path(const struct guest *g, const char *path, char out[4096])
{
	snprintf(out, 4096, "%s%s", g->folder, path);
}

static inline void host_folders(const char *path)
{
	char at[4096];

	snprintf(at, sizeof(at), "%s", path);
	for (char *s = at + 1; (s = strchr(s, '/')); s++) {
		*s = '\0';
		if (mkdir(at, 0755) && errno != EEXIST)
			fail_msg("%s: %s", at, strerror(errno));
		*s = '/';
	}
}

static inline void host_write(const struct guest *g, const char *path, const char *at, size_t len, uint32_t mode)
{
	char to[4096];
	FILE *f;

	host_path(g, path, to);
	host_folders(to);
	unlink(to);
	if (len && *at == *LINK) {
		assert_int_equal(symlink(at + 1, to), 0);
		return;
	}
	f = fopen(to, "w");
	if (!f)
		fail_msg("%s: %s", to, strerror(errno));
	assert_int_equal(fwrite(at, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(to, mode), 0);
}

static inline void guest_make(struct guest *g, const struct edit *edits)
{
	vdisk_error err = { 0 };

	memset(g, 0, sizeof(*g));
	strcpy(g->folder, "/tmp/vdisk-adapt-XXXXXX");
	assert_non_null(mkdtemp(g->folder));
	for (const struct edit *e = edits; e->path; e++)
		if (e->before)
			host_write(g, e->path, e->before, strlen(e->before), 0644);
	g->tree = tree_folder_open(g->folder, true, &err);
	if (!g->tree)
		fail_msg("%s", err.message);
	plan_init(&g->plan, g->tree);
}

static inline void guest_destroy(struct guest *g)
{
	char command[128];

	plan_destroy(&g->plan);
	tree_close(g->tree);
	snprintf(command, sizeof(command), "rm -rf '%s'", g->folder);
	assert_int_equal(system(command), 0);
}

static inline void guest_step(struct guest *g, step_fn step, const struct facts *f, const struct adapt_options *o)
{
	vdisk_error err = { 0 };

	if (step(&g->plan, f, o, &err))
		fail_msg("the step fails: %s", err.message);
	assert_false(g->plan.remarks.failed);
}

static inline void guest_expect(struct guest *g, const char *path, const char *due)
{
	struct tree *t = &g->plan.view;
	struct bytes now = { 0 };
	vdisk_error err = { 0 };
	bool link = due && due != GONE && *due == *LINK;
	int rc = link ? t->ops->link(t, path, &now, &err) : t->ops->read(t, path, 1u << 20, &now, &err);

	if (rc < 0)
		fail_msg("%s: %s", path, err.message);
	if (due == GONE ? rc : !rc)
		fail_msg("%s: is%s there afterwards", path, rc ? "" : " not");
	if (due != GONE && (now.len != strlen(due + link) || (now.len && memcmp(now.at, due + link, now.len))))
		fail_msg("%s: due\n----\n%s----\nand it is\n----\n%s----", path, due + link, now.at ? now.at : "");
	bytes_destroy(&now);
}

/* Carries the plan out in the folder and begins another. */
static inline void guest_apply(struct guest *g)
{
	char path[4096], to[4096];

	for (size_t i = 0; i < g->plan.n; i++) {
		const struct change *c = &g->plan.changes[i];

		host_path(g, c->path, path);
		switch (c->kind) {
		case CHANGE_WRITE: host_write(g, c->path, c->content.len ? c->content.at : "", c->content.len, c->mode); break;
		case CHANGE_FOLDER: host_folders(path); mkdir(path, 0755); break;
		case CHANGE_LINK:
			host_folders(path);
			unlink(path);
			assert_int_equal(symlink(c->target, path), 0);
			break;
		case CHANGE_MOVE:
			host_path(g, c->target, to);
			host_folders(to);
			assert_int_equal(rename(path, to), 0);
			break;
		case CHANGE_REMOVE: assert_int_equal(unlink(path), 0); break;
		case CHANGE_RUN: fail_msg("runs %s", c->content.at); break;
		}
	}
	plan_destroy(&g->plan);
	plan_init(&g->plan, g->tree);
}

static inline void guest_idle(struct guest *g)
{
	if (g->plan.n)
		fail_msg("run again, it still changes %s: %s\n%s", g->plan.changes[0].path, g->plan.changes[0].why,
		         g->plan.changes[0].content.at ? g->plan.changes[0].content.at : "");
}

/* What has to be among the remarks; NULL: nothing at all. */
static inline void guest_remarks(const struct guest *g, const char *part)
{
	const char *all = g->plan.remarks.len ? g->plan.remarks.at : "";

	if (part ? !strstr(all, part) : *all)
		fail_msg("remarks: due \"%s\", and they are:\n%s", part ? part : "", all);
}

/* The whole of it; the guest stays for further looks. */
static inline void guest_run(struct guest *g, step_fn step, const struct facts *f, const struct adapt_options *o,
                             const struct edit *edits, const char *remark)
{
	guest_make(g, edits);
	guest_step(g, step, f, o);
	for (const struct edit *e = edits; e->path; e++)
		guest_expect(g, e->path, e->after ? e->after : e->before ? e->before : GONE);
	guest_remarks(g, remark);
	guest_apply(g);
	guest_step(g, step, f, o);
	guest_idle(g);
	for (const struct edit *e = edits; e->path; e++)
		guest_expect(g, e->path, e->after ? e->after : e->before ? e->before : GONE);
}

static inline void guest_check(step_fn step, const struct facts *f, const struct adapt_options *o, const struct edit *edits,
                               const char *remark)
{
	struct guest g;

	guest_run(&g, step, f, o, edits, remark);
	guest_destroy(&g);
}

/* ---------------------------------------------------------------- facts */

/* A file system; strings that the tests do not say are "". */
#define FS(number, kind, id, at, ...) \
	{ \
		.where = "partitions/" #number, .device = "", .type = kind, .uuid = id, .label = "", \
		.partuuid = "aabbccdd-0" #number, .partlabel = "", .mount = at, .subvolume = "", .fstab = "", __VA_ARGS__ \
	}

#define FACTS(list) \
	{ \
		.kind = GUEST_LINUX, .os = "debian", .like = "", .product = "", .version = "12", .arch = "x86_64", .hostname = "", \
		.loader_config = "", .esp = "", .init = "systemd", .package_format = "deb", \
		.fs = (struct fact_fs *)(uintptr_t)(list), .fs_n = sizeof(list) / sizeof((list)[0]) \
	}

#endif
