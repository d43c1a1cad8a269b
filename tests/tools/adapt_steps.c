/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * adapt_steps ROOT TARGETS [--regenerate] [--dry]: the steps of adapting a guest whose files are a folder of this machine.  What
 * the plan says is carried out in that folder (not with --dry), each change and remark told in a line: "write PATH BYTES", "run
 * LINE", "remark TEXT" …; a step that refuses ends it with "no KIND MESSAGE" and status 1.  Trees come from tests: paths are plain,
 * and links are followed as they are.
 */
#include "steps.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *root;

static void fatal(const char *what)
{
	fprintf(stderr, "adapt_steps: %s: %s\n", what, strerror(errno));
	exit(2);
}

static void folders_make(char *path)
{
	for (char *slash = strchr(path + strlen(root) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(path, 0755) && errno != EEXIST)
			fatal(path);
		*slash = '/';
	}
}

static void file_write(char *path, const struct bytes *content, uint32_t mode)
{
	struct stat st;
	FILE *f;

	folders_make(path);
	mode = stat(path, &st) ? mode : st.st_mode & 07777;
	f = fopen(path, "w");
	if (!f || fwrite(content->at, 1, content->len, f) != content->len || fclose(f) || chmod(path, mode))
		fatal(path);
}

static void carry_out(const struct change *c)
{
	char path[8192], to[8192];

	snprintf(path, sizeof(path), "%s%s", root, c->path ? c->path : "");
	snprintf(to, sizeof(to), "%s%s", root, c->target ? c->target : "");
	switch (c->kind) {
	case CHANGE_WRITE:
		file_write(path, &c->content, c->mode);
		break;
	case CHANGE_FOLDER:
		folders_make(path);
		if (mkdir(path, c->mode) && errno != EEXIST)
			fatal(path);
		break;
	case CHANGE_LINK:
		folders_make(path);
		unlink(path);
		if (symlink(c->target, path))
			fatal(path);
		break;
	case CHANGE_MOVE:
		folders_make(to);
		if (rename(path, to))
			fatal(path);
		break;
	case CHANGE_REMOVE:
		if (unlink(path))
			fatal(path);
		break;
	case CHANGE_RUN:
		break;
	}
}

static void tell(const struct change *c)
{
	switch (c->kind) {
	case CHANGE_WRITE: printf("write %s %zu\n", c->path, c->content.len); break;
	case CHANGE_FOLDER: printf("folder %s\n", c->path); break;
	case CHANGE_LINK: printf("link %s %s\n", c->path, c->target); break;
	case CHANGE_MOVE: printf("move %s %s\n", c->path, c->target); break;
	case CHANGE_REMOVE: printf("remove %s\n", c->path); break;
	case CHANGE_RUN: printf("run %s\n", c->content.at); break;
	}
}

static void remarks_tell(const struct bytes *remarks)
{
	for (size_t at = 0; at < remarks->len;) {
		size_t len = strcspn(remarks->at + at, "\n");

		printf("remark %.*s\n", (int)len, remarks->at + at);
		at += len + 1;
	}
}

int main(int argc, char **argv)
{
	struct adapt_options o = { 0 };
	struct facts facts = { 0 };
	struct plan plan;
	struct tree *guest;
	vdisk_error err = { 0 };
	const char *bad;
	bool dry = false;
	int rc;

	if (argc < 3 || !(o.targets = target_parse(argv[2], &bad)))
		return 2;
	for (int i = 3; i < argc; i++) {
		o.regenerate |= !strcmp(argv[i], "--regenerate");
		dry |= !strcmp(argv[i], "--dry");
	}
	root = argv[1];
	guest = tree_folder_open(root, true, &err);
	if (!guest)
		fatal(root);
	plan_init(&plan, guest);
	rc = facts_read(&facts, guest, &err);
	if (!rc)
		rc = step_modules(&plan, &facts, &o, &err);
	for (size_t i = 0; !rc && i < plan.n; i++) {
		tell(&plan.changes[i]);
		if (!dry)
			carry_out(&plan.changes[i]);
	}
	remarks_tell(&plan.remarks);
	if (rc)
		printf("no %s %s\n", vdisk_error_kind_name(err.kind), err.message);
	facts_destroy(&facts);
	plan_destroy(&plan);
	tree_close(guest);
	return rc ? 1 : 0;
}
