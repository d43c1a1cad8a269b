/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Descriptions of machines, which vdisk-machine reads.  They may come from anybody: of the names in them it finds only those that
 * stay in the description's folder, which are opened; the others are told.
 */
#include "lint_report.h"
#include "output.h"
#include "run.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ANSWER_MAX (4u << 20)

static struct json_object *machines_read(const char *path)
{
	char program[RUN_PATH], *text = tool_realloc(NULL, ANSWER_MAX);
	const char *const argv[] = { run_sibling("vdisk-machine", program), "--json", "--", path, NULL };
	int status = run_capture(argv, text, ANSWER_MAX, NULL, NULL);
	struct json_object *o = status ? NULL : json_tokener_parse(text);
	free(text);
	if (status == RUN_MISSING)
		fail("%s: the program vdisk-machine, which reads descriptions, is not there", shown(path));
	else if (!o)
		fail("%s: cannot be read as a machine's description (\"vdisk machine\" says why; -f FMT if it is an image)",
		     shown(path));
	return o;
}

static const char *member_text(struct json_object *o, const char *key)
{
	struct json_object *v;
	return json_object_object_get_ex(o, key, &v) && json_object_is_type(v, json_type_string) ? json_object_get_string(v) : NULL;
}

static bool leads_away(struct json_object *disk)
{
	struct json_object *flags;
	return json_object_object_get_ex(disk, "path-flags", &flags) && json_object_is_type(flags, json_type_array) &&
	       json_object_array_length(flags) > 0;
}

static void add(struct lint_source *to, enum vdisk_finding_kind kind, const char *code, const char *where, const char *why,
                const char *mend)
{
	lint_add(to, &(struct vdisk_finding){ .kind = kind, .code = code, .where = where, .why = why, .mend = mend });
}

static int disk_lint(struct json_object *disk, const struct source_args *s, struct lint_report *r, struct lint_source *machine)
{
	const char *medium = member_text(disk, "medium"), *name = member_text(disk, "name"), *path = member_text(disk, "path");
	const char *file = member_text(disk, "file");
	char where[128], why[PATH_MAX + 64];
	if (medium && strcmp(medium, "disk"))
		return 0;
	if (file)
		return lint_image(file, s, r->profile, lint_source_new(r, file));
	snprintf(where, sizeof(where), "disk %s", name ? name : "?");
	if (!path) {
		add(machine, VDISK_FINDING_NOTE, "disk", where, "names no image", NULL);
	} else if (leads_away(disk)) {
		snprintf(why, sizeof(why), "lies outside of the description's folder and was not looked at: %s", path);
		add(machine, VDISK_FINDING_NOTE, "disk", where, why, "lint it by its own name");
	} else {
		snprintf(why, sizeof(why), "is not there: %s", path);
		add(machine, VDISK_FINDING_REFUSED, "disk", where, why, "bring the image along");
	}
	return 0;
}

static void firmware_lint(struct json_object *m, const struct vdisk_profile *p, struct lint_source *to)
{
	const char *firmware = member_text(m, "firmware");
	if (!firmware)
		return;
	uint32_t bit = strcmp(firmware, "uefi") ? VDISK_FIRMWARE_BIOS : VDISK_FIRMWARE_UEFI;
	char why[160];
	snprintf(why, sizeof(why), "has %s, but the machines of %s have not", bit == VDISK_FIRMWARE_BIOS ? "a BIOS" : "UEFI",
	         p->long_name);
	if (!(p->firmware & bit))
		add(to, VDISK_FINDING_NO_BOOT, "firmware", "machine", why,
		    "give the guest another boot loader, or choose a system with this firmware");
}

int lint_machine(const char *path, const struct source_args *s, struct lint_report *r)
{
	struct json_object *o = machines_read(path), *list, *disks;
	int status = o ? 0 : EXIT_TROUBLE;
	if (status)
		return status;
	struct lint_source *to = lint_source_new(r, path);
	if (!json_object_object_get_ex(o, "machines", &list) || !json_object_is_type(list, json_type_array))
		status = fail("%s: vdisk-machine did not tell of any machine", shown(path));
	for (size_t i = 0; !status && i < json_object_array_length(list); i++) {
		struct json_object *m = json_object_array_get_idx(list, i);
		firmware_lint(m, r->profile, to);
		if (!json_object_object_get_ex(m, "disks", &disks) || !json_object_is_type(disks, json_type_array))
			continue;
		for (size_t k = 0; !status && k < json_object_array_length(disks); k++)
			status = disk_lint(json_object_array_get_idx(disks, k), s, r, to);
	}
	json_object_put(o);
	return status;
}
