/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lint_report.h"
#include "output.h"

#include <stdlib.h>
#include <string.h>

static char *copy(const char *text)
{
	return text ? strcpy(tool_realloc(NULL, strlen(text) + 1), text) : NULL;
}

struct lint_source *lint_source_new(struct lint_report *r, const char *path)
{
	struct lint_source *s = tool_realloc(NULL, sizeof(*s));
	*s = (struct lint_source){ .path = copy(path) };
	r->v = tool_realloc(r->v, (r->n + 1) * sizeof(*r->v));
	r->v[r->n++] = s;
	return s;
}

void lint_source_facts(struct lint_source *s, const char *format, uint64_t size)
{
	s->format = copy(format);
	s->size = size;
}

void lint_source_image(struct lint_source *s, vdisk_image *img)
{
	lint_source_facts(s, vdisk_format_name(img), vdisk_size(img));
}

void lint_add(struct lint_source *s, const struct vdisk_finding *f)
{
	s->v = tool_realloc(s->v, (s->n + 1) * sizeof(*s->v));
	s->v[s->n++] = (struct lint_item){ f->kind, copy(f->code), copy(f->where), copy(f->why), copy(f->mend) };
}

void lint_finding(void *ctx, const struct vdisk_finding *f) { lint_add(ctx, f); }

void lint_report_free(struct lint_report *r)
{
	for (size_t i = 0; i < r->n; i++) {
		struct lint_source *s = r->v[i];
		for (size_t k = 0; k < s->n; k++) {
			free(s->v[k].code);
			free(s->v[k].where);
			free(s->v[k].why);
			free(s->v[k].mend);
		}
		free(s->v);
		free(s->path);
		free(s->format);
		free(s);
	}
	free(r->v);
}

static const char *const kind_names[] = {
	[VDISK_FINDING_REFUSED] = "refused", [VDISK_FINDING_NO_BOOT] = "no-boot", [VDISK_FINDING_NOTE] = "note",
};

static bool source_fine(const struct lint_source *s)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->v[i].kind != VDISK_FINDING_NOTE)
			return false;
	return true;
}

static void print_json(const struct lint_report *r, bool fine)
{
	struct json_object *o = json_report(), *list = json_must(json_object_new_array());
	json_put_text(o, "for", r->profile->name);
	json_put_bool(o, "fine", fine);
	for (size_t i = 0; i < r->n; i++) {
		const struct lint_source *s = r->v[i];
		struct json_object *source = json_must(json_object_new_object()), *findings = json_must(json_object_new_array());
		json_put_text(source, "path", s->path);
		json_put_text(source, "format", s->format);
		json_put_u64(source, "virtual-size", s->size);
		json_put_bool(source, "fine", source_fine(s));
		for (size_t k = 0; k < s->n; k++) {
			struct json_object *f = json_must(json_object_new_object());
			json_put_text(f, "kind", kind_names[s->v[k].kind]);
			json_put_text(f, "code", s->v[k].code);
			json_put_text(f, "where", s->v[k].where);
			json_put_text(f, "why", s->v[k].why);
			json_put_text(f, "mend", s->v[k].mend);
			json_object_array_add(findings, f);
		}
		json_put(source, "findings", findings);
		json_object_array_add(list, source);
	}
	json_put(o, "sources", list);
	json_print(o);
}

static void print_text(const struct lint_report *r, bool quiet)
{
	for (size_t i = 0; i < r->n; i++) {
		const struct lint_source *s = r->v[i];
		for (size_t k = 0; k < s->n; k++) {
			const struct lint_item *f = &s->v[k];
			if (quiet && f->kind == VDISK_FINDING_NOTE)
				continue;
			say("%s: %s: %s: %s%s%s%s\n", shown(s->path), kind_names[f->kind], f->where, f->why, f->mend ? " [" : "",
			    f->mend ? f->mend : "", f->mend ? "]" : "");
		}
		if (!quiet && source_fine(s))
			say("%s: fine for %s\n", shown(s->path), r->profile->long_name);
	}
}

int lint_report_print(const struct lint_report *r, bool json, bool quiet)
{
	bool fine = true;
	for (size_t i = 0; i < r->n; i++)
		fine = fine && source_fine(r->v[i]);
	if (json)
		print_json(r, fine);
	else
		print_text(r, quiet);
	return fine ? EXIT_YES : EXIT_NO;
}
