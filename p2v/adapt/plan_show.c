/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan_show.h"

#include "common/fail.h"
#include "common/utf8.h"
#include "diff.h"

#include <stdlib.h>
#include <string.h>

#define OLD_MAX (64u << 20)

static int nomem(vdisk_error *err) { return fail(err, VDISK_NOMEM, "out of memory"); }

static const char *const kinds[] = {
	[CHANGE_WRITE] = "write", [CHANGE_FOLDER] = "folder", [CHANGE_LINK] = "link",
	[CHANGE_MOVE] = "move",   [CHANGE_REMOVE] = "remove", [CHANGE_RUN] = "run",
};

/* What stands there before the change.  1, 0 or -1. */
static int old_read(struct plan *p, const struct change *c, struct bytes *out, vdisk_error *err)
{
	struct tree_stat st;
	int rc = p->guest->ops->stat(p->guest, c->path, false, &st, err);

	return rc <= 0 || st.kind != TREE_FILE ? (rc < 0 ? -1 : 0) : p->guest->ops->read(p->guest, c->path, OLD_MAX, out, err);
}

static bool is_text(const struct bytes *b) { return !b->len || (b->len <= (1u << 20) && !memchr(b->at, 0, b->len)); }

/* The hunks, or what the step notes of a file that is no text.  *there: it takes the place of one. */
static int difference(struct plan *p, const struct change *c, bool *there, struct bytes *out, vdisk_error *err)
{
	struct bytes old = { 0 };
	struct tree_stat st;
	int rc;

	if (c->binary || !is_text(&c->content)) {
		rc = p->guest->ops->stat(p->guest, c->path, false, &st, err);
		*there = rc > 0;
		return rc < 0 ? -1 : 0;
	}
	rc = old_read(p, c, &old, err);
	*there = rc > 0;
	if (rc >= 0 && is_text(&old))
		diff_unified(old.at ? old.at : "", old.len, c->content.at ? c->content.at : "", c->content.len, out);
	bytes_destroy(&old);
	return rc < 0 ? -1 : out->failed ? nomem(err) : 0;
}

/* ---------------------------------------------------------------- for people */

void text_show(struct bytes *out, const char *at, size_t len, bool lines)
{
	for (size_t n; len; at += n, len -= n) {
		n = *at == '\t' || (lines && *at == '\n') ? 1 : utf8_shown(at, len);
		if (n) {
			bytes_add(out, at, n);
			continue;
		}
		n = utf8_len(at, len);
		n = n ? n : 1;
		for (size_t i = 0; i < n; i++)
			bytes_format(out, "\\x%02x", (unsigned char)at[i]);
	}
}

/* Of one line. */
static void shown_add(struct bytes *out, const char *at, size_t len) { text_show(out, at, len, false); }

static void lines_show(struct bytes *out, const char *before, const char *at, size_t len)
{
	while (len) {
		const char *end = memchr(at, '\n', len);
		size_t n = end ? (size_t)(end - at) : len;

		bytes_text(out, before);
		shown_add(out, at, n);
		bytes_text(out, "\n");
		at += n + (end != NULL);
		len -= n + (end != NULL);
	}
}

static void head_show(const struct change *c, bool there, struct bytes *out)
{
	static const char *const words[] = {
		[CHANGE_FOLDER] = "make folder", [CHANGE_LINK] = "link", [CHANGE_MOVE] = "rename",
		[CHANGE_REMOVE] = "remove",      [CHANGE_RUN] = "run",
	};
	const char *what = c->kind == CHANGE_RUN ? c->content.at : c->path;

	bytes_format(out, "%s ", c->kind == CHANGE_WRITE ? there ? "change" : "make" : words[c->kind]);
	shown_add(out, what, strlen(what));
	if (c->target) {
		bytes_text(out, c->kind == CHANGE_MOVE ? " to " : " -> ");
		shown_add(out, c->target, strlen(c->target));
	}
	if (c->kind == CHANGE_WRITE && (c->binary || !is_text(&c->content)))
		bytes_format(out, " (%zu bytes)", c->content.len);
	bytes_text(out, "\n");
}

static int change_show(struct plan *p, const struct change *c, bool differences, struct bytes *out, vdisk_error *err)
{
	struct bytes d = { 0 };
	bool there = false;

	if (c->kind == CHANGE_WRITE && difference(p, c, &there, &d, err)) {
		bytes_destroy(&d);
		return -1;
	}
	head_show(c, there, out);
	if (c->why)
		lines_show(out, "    ", c->why, strlen(c->why));
	if (differences && d.len)
		lines_show(out, "  | ", d.at, d.len);
	if (differences && c->notes.len)
		lines_show(out, "  * ", c->notes.at, c->notes.len);
	bytes_destroy(&d);
	return 0;
}

int plan_show(struct plan *p, bool differences, struct bytes *out, vdisk_error *err)
{
	for (size_t i = 0; i < p->n; i++)
		if (change_show(p, &p->changes[i], differences, out, err))
			return -1;
	if (p->remarks.len)
		lines_show(out, "note: ", p->remarks.at, p->remarks.len);
	return out->failed || p->remarks.failed ? nomem(err) : 0;
}

/* ---------------------------------------------------------------- for programs */

struct json_object *text_json(const char *at, size_t len)
{
	struct json_object *text = NULL;
	struct bytes b = { 0 };

	if (len)
		text_show(&b, at, len, true);
	if (!b.failed)
		text = json_object_new_string_len(b.at ? b.at : "", (int)b.len);
	bytes_destroy(&b);
	return text;
}

static struct json_object *lines_new(const char *at, size_t len)
{
	struct json_object *v = json_object_new_array();

	while (v && len) {
		const char *end = memchr(at, '\n', len);
		size_t n = end ? (size_t)(end - at) : len;

		json_object_array_add(v, text_json(at, n));
		at += n + (end != NULL);
		len -= n + (end != NULL);
	}
	return v;
}

static struct json_object *change_json(struct plan *p, const struct change *c, vdisk_error *err)
{
	struct json_object *o = json_object_new_object();
	struct bytes d = { 0 };
	bool there = false;

	if (!o || (c->kind == CHANGE_WRITE && difference(p, c, &there, &d, err))) {
		bytes_destroy(&d);
		json_object_put(o);
		return NULL;
	}
	json_object_object_add(o, "kind", json_object_new_string(kinds[c->kind]));
	if (c->kind == CHANGE_RUN)
		json_object_object_add(o, "command", text_json(c->content.at, c->content.len));
	else
		json_object_object_add(o, "path", text_json(c->path, strlen(c->path)));
	if (c->target)
		json_object_object_add(o, "target", text_json(c->target, strlen(c->target)));
	if (c->kind == CHANGE_WRITE) {
		json_object_object_add(o, "new", json_object_new_boolean(!there));
		json_object_object_add(o, "bytes", json_object_new_uint64(c->content.len));
	}
	json_object_object_add(o, "why", lines_new(c->why, c->why ? strlen(c->why) : 0));
	if (d.len)
		json_object_object_add(o, "difference", text_json(d.at, d.len));
	if (c->notes.len)
		json_object_object_add(o, "notes", lines_new(c->notes.at, c->notes.len));
	bytes_destroy(&d);
	return o;
}

struct json_object *plan_json(struct plan *p, vdisk_error *err)
{
	struct json_object *o = json_object_new_object(), *changes = json_object_new_array();

	if (!o || !changes) {
		json_object_put(o);
		json_object_put(changes);
		nomem(err);
		return NULL;
	}
	json_object_object_add(o, "changes", changes);
	for (size_t i = 0; i < p->n; i++) {
		struct json_object *one;

		nomem(err);
		one = change_json(p, &p->changes[i], err);
		if (!one) {
			json_object_put(o);
			return NULL;
		}
		json_object_array_add(changes, one);
	}
	json_object_object_add(o, "remarks", lines_new(p->remarks.at, p->remarks.len));
	return o;
}
