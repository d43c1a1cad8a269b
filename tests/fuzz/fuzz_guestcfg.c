/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A guest's own settings, as whoever made the guest wrote them: an input is files, each its path and its content, a NUL behind
 * either.  Every step that changes texts goes over them, and once more over what they became, with a disk of two partitions.
 * Nothing but sanitizers judges.
 */
#include "plan.h"
#include "steps.h"

#include <stdlib.h>
#include <string.h>

#define FILES_MAX 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct guest {
	struct tree tree;
	const char *paths[FILES_MAX], *content[FILES_MAX];
	size_t n;
};

static struct guest *guest_of(struct tree *t) { return (struct guest *)t; }

static int guest_stat(struct tree *t, const char *path, bool follow, struct tree_stat *out, vdisk_error *err)
{
	struct guest *g = guest_of(t);
	size_t len = strlen(path);

	(void)follow;
	(void)err;
	len -= len == 1;
	for (size_t i = 0; i < g->n; i++) {
		if (strncmp(g->paths[i], path, len) || (g->paths[i][len] && g->paths[i][len] != '/'))
			continue;
		*out = (struct tree_stat){ .kind = g->paths[i][len] ? TREE_FOLDER : TREE_FILE,
			                   .size = g->paths[i][len] ? 0 : strlen(g->content[i]),
			                   .mode = 0644,
			                   .sure = true };
		return 1;
	}
	return 0;
}

static int guest_read(struct tree *t, const char *path, uint64_t max, struct bytes *out, vdisk_error *err)
{
	struct guest *g = guest_of(t);

	(void)max;
	(void)err;
	for (size_t i = 0; i < g->n; i++)
		if (!strcmp(g->paths[i], path)) {
			if (*g->content[i]) /* as libguestfs' tree: nothing is allocated for an empty file */
				bytes_add(out, g->content[i], strlen(g->content[i]));
			return 1;
		}
	return 0;
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static int guest_list(struct tree *t, const char *path, struct bytes *names, vdisk_error *err)
{
	struct guest *g = guest_of(t);
	char *v[FILES_MAX];
	size_t n = 0, len = strlen(path);

	(void)err;
	len -= len == 1;
	for (size_t i = 0; i < g->n; i++)
		if (!strncmp(g->paths[i], path, len) && g->paths[i][len] == '/')
			v[n++] = strndup(g->paths[i] + len + 1, strcspn(g->paths[i] + len + 1, "/"));
	qsort(v, n, sizeof(*v), by_name);
	for (size_t i = 0; i < n; i++)
		if (!i || strcmp(v[i], v[i - 1]))
			bytes_add(names, v[i], strlen(v[i]) + 1);
	for (size_t i = 0; i < n; i++)
		free(v[i]);
	return n > 0;
}

static int guest_link(struct tree *t, const char *path, struct bytes *target, vdisk_error *err)
{
	(void)t;
	(void)path;
	(void)target;
	(void)err;
	return 0;
}

static const struct tree_ops guest_ops = { guest_stat, guest_read, guest_list, guest_link, NULL, NULL };

/* What a path may be: absolute, and nothing that no file system has. */
static bool path_ok(const char *path)
{
	size_t n = strlen(path);

	return n > 1 && n < 200 && *path == '/' && path[n - 1] != '/' && !strstr(path, "//") && !strstr(path, "/.");
}

static void steps(struct plan *p, const struct facts *f, bool serial)
{
	struct adapt_options o = { .targets = TARGET_KVM, .serial = serial };
	vdisk_error err = { 0 };

	if (step_devices(p, f, &o, &err) || step_loader(p, f, &o, &err) || step_network(p, f, &o, &err) ||
	    step_agents(p, f, &o, &err))
		if (!err.message[0])
			__builtin_trap();
}

#define TEXTS .device = "", .label = "", .partlabel = "", .subvolume = "", .fstab = ""

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fact_fs fs[] = { { .where = "partitions/1", .type = "ext4", .uuid = "1-1", .partuuid = "p1", .mount = "/", TEXTS },
		{ .where = "partitions/2", .type = "swap", .uuid = "2-2", .partuuid = "p2", .mount = "", TEXTS } };
	struct facts f = { .kind = GUEST_LINUX,
		           .os = "debian",
		           .like = "",
		           .product = "",
		           .version = "",
		           .arch = "x86_64",
		           .hostname = "",
		           .loader_config = "",
		           .esp = "/boot/efi",
		           .init = "sysvinit",
		           .package_format = "",
		           .selinux = true,
		           .fs = fs,
		           .fs_n = 2 };
	struct guest g = { .tree = { .ops = &guest_ops } };
	char *text = malloc(size + 2), *at = text;
	struct plan p, again;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = text[size + 1] = '\0';
	while (at < text + size && g.n < FILES_MAX) {
		const char *content = at + strlen(at) + 1;

		if (content > text + size)
			break;
		if (path_ok(at)) {
			g.paths[g.n] = at;
			g.content[g.n++] = content;
		}
		at = (char *)content + strlen(content) + 1;
	}
	plan_init(&p, &g.tree);
	steps(&p, &f, size & 1);
	plan_init(&again, &p.view);
	steps(&again, &f, size & 1);
	plan_destroy(&again);
	plan_destroy(&p);
	free(text);
	return 0;
}
