/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The short ways of tree.h: nothing of their own, over any tree's four calls. */
#include "tree.h"

#include "common/fail.h"

#include <fnmatch.h>
#include <string.h>

#define TEXT_MAX (4u << 20)

int tree_exists(struct tree *t, const char *path, vdisk_error *err)
{
	struct tree_stat st;

	return t->ops->stat(t, path, true, &st, err);
}

int tree_text(struct tree *t, const char *path, struct bytes *out, vdisk_error *err)
{
	size_t before = out->len;
	int rc = t->ops->read(t, path, TEXT_MAX, out, err);

	if (rc > 0) /* an empty file may have added nothing: a text ends in a NUL for all that */
		bytes_add(out, "", 0);
	if (rc > 0 && out->failed)
		return fail(err, VDISK_NOMEM, "out of memory");
	if (rc > 0 && out->len > before && memchr(out->at + before, 0, out->len - before))
		return fail(err, VDISK_CORRUPT, "%s: is no text, it holds a NUL byte", path);
	return rc;
}

int tree_match(struct tree *t, const char *folder, const char *pattern, int (*each)(void *to, const char *path), void *to,
               vdisk_error *err)
{
	struct bytes names = { 0 }, path = { 0 };
	const char *slash = *folder && folder[strlen(folder) - 1] == '/' ? "" : "/";
	int rc = t->ops->list(t, folder, &names, err);

	if (rc < 0) {
		bytes_destroy(&names);
		return -1;
	}
	rc = 0;
	for (size_t at = 0; !rc && at < names.len; at += strlen(names.at + at) + 1) {
		if (fnmatch(pattern, names.at + at, FNM_PERIOD))
			continue;
		bytes_clear(&path);
		bytes_format(&path, "%s%s%s", folder, slash, names.at + at);
		rc = path.failed ? fail(err, VDISK_NOMEM, "out of memory") : each(to, path.at);
	}
	bytes_destroy(&path);
	bytes_destroy(&names);
	return rc;
}

void tree_close(struct tree *t)
{
	if (t)
		t->ops->close(t);
}
