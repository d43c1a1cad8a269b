/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vdisk-adapt on the converted disks, and what its report says of the guest. */
#include "flow/flow.h"
#include "flow/run.h"

#include "common/child.h"
#include "common/fail.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

void flow_boot_order(const struct flow *f, const struct flow_disk *order[DISKS_MAX])
{
	size_t n = 0;

	for (unsigned long long least = 0; n < f->n_disks;) {
		unsigned long long next = 0;

		/* Those with a place in the order, ascending; then the others. */
		for (size_t i = 0; i < f->n_disks; i++)
			if (f->disks[i].d->boot > least && (!next || f->disks[i].d->boot < next))
				next = f->disks[i].d->boot;
		for (size_t i = 0; i < f->n_disks; i++)
			if (f->disks[i].d->boot == next && n < DISKS_MAX)
				order[n++] = &f->disks[i];
		if (!next)
			break;
		least = next;
	}
}

static const char *text_of(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) && json_object_get_type(v) == json_type_string ? json_object_get_string(v)
	                                                                                            : "";
}

static void systems_look(struct flow *f)
{
	struct json_object *systems, *remarks;

	if (!json_object_object_get_ex(f->adapted, "systems", &systems) || json_object_get_type(systems) != json_type_array)
		return;
	for (size_t i = 0; i < json_object_array_length(systems); i++) {
		struct json_object *s = json_object_array_get_idx(systems, i);

		if (!strncasecmp(text_of(s, "product"), "windows", 7) || strcasestr(text_of(s, "product"), " windows"))
			f->windows = true;
		if (json_object_object_get_ex(s, "remarks", &remarks) && json_object_get_type(remarks) == json_type_array)
			for (size_t k = 0; k < json_object_array_length(remarks); k++)
				flow_note(f, "%s", json_object_get_string(json_object_array_get_idx(remarks, k)));
	}
	f->virtio = !f->windows || f->a->drivers;
}

int flow_adapt_judge(const struct flow *f, vdisk_error *err)
{
	char path[4096];

	if (f->a->no_adapt)
		return 0;
	if (f->a->drivers && access(f->a->drivers, R_OK))
		return fail_errno(err, "--drivers %s", f->a->drivers);
	for (size_t i = 0; i < f->a->n_keys; i++)
		if (access(f->a->keys[i], R_OK))
			return fail_errno(err, "--key-file %s", f->a->keys[i]);
	return child_find("vdisk-adapt", true, path)
	               ? 0
	               : fail(err, VDISK_UNSUPPORTED, "the program vdisk-adapt is not there: --no-adapt goes without");
}

int flow_adapt(struct flow *f, vdisk_error *err)
{
	const struct flow_disk *order[DISKS_MAX];
	struct run r = { .argv = { "vdisk-adapt" }, .n = 1 };
	double start = flow_now();
	int rc;

	if (f->a->no_adapt)
		return 0;
	progress_step(&f->progress, "adapting", "");
	run_add(&r, "--json");
	run_add(&r, "--target");
	run_add(&r, flow_target_name(f->a->target));
	run_add(&r, "--format");
	run_add(&r, f->a->ova ? "qcow2" : f->format);
	if (f->a->serial)
		run_add(&r, "--serial");
	if (f->a->drivers) {
		run_add(&r, "--drivers");
		run_add(&r, f->a->drivers);
	}
	for (size_t i = 0; i < f->a->n_keys; i++) {
		run_add(&r, "--key-file");
		run_add(&r, f->a->keys[i]);
	}
	run_add(&r, "--");
	flow_boot_order(f, order);
	for (size_t i = 0; i < f->n_disks; i++)
		run_add(&r, order[i]->work);
	rc = run_program(&r, f->cancel, err);
	if (!rc && r.status)
		rc = fail(err, VDISK_IO, "adapting the guest: %s (--no-adapt leaves it as it is)",
		          r.complaint ? r.complaint : "vdisk-adapt failed");
	if (!rc) {
		f->adapted = json_tokener_parse(r.out);
		if (!f->adapted)
			rc = fail(err, VDISK_IO, "adapting the guest: vdisk-adapt's report is no JSON");
		else
			systems_look(f);
	}
	run_free(&r);
	flow_time(f, "adapt", flow_now() - start);
	return rc;
}
