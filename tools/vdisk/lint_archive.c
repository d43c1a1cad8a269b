/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Archives of machines (OVA, XVA, VMA), which vdisk-migrate looks into: its findings become ours. */
#include "lint_report.h"
#include "output.h"
#include "run.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define ANSWER_MAX (4u << 20)

static bool suffix_cut(char *name, const char *const *suffixes)
{
	char *dot = strrchr(name, '.');
	for (size_t i = 0; dot && suffixes[i]; i++) {
		if (!strcasecmp(dot, suffixes[i])) {
			*dot = '\0';
			return true;
		}
	}
	return false;
}

bool lint_is_archive(const char *path)
{
	static const char *const packed[] = { ".gz", ".zst", ".lzo", ".xz", ".bz2", ".lz4", NULL };
	static const char *const kinds[] = { ".ova", ".xva", ".vma", NULL };
	const char *slash = strrchr(path, '/');
	char name[64];
	size_t n = strlen(slash ? slash + 1 : path);
	snprintf(name, sizeof(name), "%s", (slash ? slash + 1 : path) + (n < sizeof(name) ? 0 : n - sizeof(name) + 1));
	suffix_cut(name, packed);
	return suffix_cut(name, kinds);
}

static const char *text_of(struct json_object *o, const char *key)
{
	struct json_object *v;
	return json_object_object_get_ex(o, key, &v) && json_object_is_type(v, json_type_string) ? json_object_get_string(v) : NULL;
}

static struct json_object *list_of(struct json_object *o, const char *key)
{
	struct json_object *v;
	return json_object_object_get_ex(o, key, &v) && json_object_is_type(v, json_type_array) ? v : NULL;
}

static struct json_object *answer_read(const char *path, const struct vdisk_profile *p)
{
	char program[RUN_PATH], *text = tool_realloc(NULL, ANSWER_MAX);
	const char *const argv[] = { run_sibling("vdisk-migrate", program), "--findings", "--for", p->name, "--", path, NULL };
	int status = run_capture(argv, text, ANSWER_MAX, NULL, NULL);
	struct json_object *o = json_tokener_parse(text);
	const char *why = o ? text_of(o, "error") : NULL;
	free(text);
	if (status == RUN_MISSING)
		fail("%s: the program vdisk-migrate, which reads archives, is not there", shown(path));
	else if (why)
		fail("%s", why);
	else if (status || !o)
		fail("%s: vdisk-migrate ended without an answer", shown(path));
	if (!status && !why)
		return o;
	json_object_put(o);
	return NULL;
}

static void finding_take(struct json_object *o, struct lint_source *to)
{
	const char *kind = text_of(o, "kind"), *code = text_of(o, "code"), *where = text_of(o, "where"), *why = text_of(o, "why");
	struct vdisk_finding f = { .code = code, .where = where, .why = why, .mend = text_of(o, "mend") };
	if (!kind || !code || !where || !why)
		return;
	f.kind = !strcmp(kind, "refused")   ? VDISK_FINDING_REFUSED
	         : !strcmp(kind, "no-boot") ? VDISK_FINDING_NO_BOOT
	                                    : VDISK_FINDING_NOTE;
	lint_add(to, &f);
}

int lint_archive(const char *path, struct lint_report *r)
{
	struct json_object *o = answer_read(path, r->profile), *sources = o ? list_of(o, "sources") : NULL, *findings, *size;
	if (!o)
		return EXIT_TROUBLE;
	for (size_t i = 0; sources && i < json_object_array_length(sources); i++) {
		struct json_object *s = json_object_array_get_idx(sources, i);
		const char *name = text_of(s, "path");
		struct lint_source *to = lint_source_new(r, name ? name : path);
		lint_source_facts(to, text_of(s, "format"),
		                  json_object_object_get_ex(s, "virtual-size", &size) ? json_object_get_uint64(size) : 0);
		findings = list_of(s, "findings");
		for (size_t k = 0; findings && k < json_object_array_length(findings); k++)
			finding_take(json_object_array_get_idx(findings, k), to);
	}
	json_object_put(o);
	return sources ? 0 : fail("%s: vdisk-migrate did not tell of any disk", shown(path));
}
