/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "main_system.h"

#include "apply.h"
#include "common/fail.h"
#include "common/say.h"
#include "guestfs_windows.h"
#include "plan_show.h"
#include "steps.h"
#include "tree_guestfs.h"

#include <stdlib.h>
#include <string.h>

struct system {
	struct guest *t;
	const struct guest_roots *roots;
	const struct adapt_args *a;
	char root[300]; /* by our name */
	struct windows_barriers barriers;
	char esp[300]; /* where a Windows' EFI system partition is mounted; "": nowhere */
	struct tree *tree;
	struct facts facts;
	struct plan plan;
};

static int steps_run(struct system *s, vdisk_error *err)
{
	static int (*const linux_steps[])(struct plan *, const struct facts *, const struct adapt_options *, vdisk_error *) = {
		step_modules, step_devices, step_loader, step_network, step_agents,
	};

	if (s->facts.kind == GUEST_WINDOWS)
		return step_windows(&s->plan, &s->facts, &s->a->steps, err);
	if (s->facts.kind != GUEST_LINUX)
		return fail(err, VDISK_UNSUPPORTED, "%s: is neither Linux nor Windows", s->root);
	for (size_t i = 0; i < sizeof(linux_steps) / sizeof(*linux_steps); i++)
		if (linux_steps[i](&s->plan, &s->facts, &s->a->steps, err))
			return -1;
	return 0;
}

static int report(struct system *s, struct outcome *out, vdisk_error *err)
{
	struct bytes product = { 0 };
	struct json_object *o;

	text_show(&product, s->facts.product, strlen(s->facts.product), false);
	bytes_format(&out->text, "%s%s on %s:%s\n", out->text.len ? "\n" : "", product.len ? product.at : "a system", s->root,
	             s->plan.n ? "" : " nothing is to be changed");
	bytes_destroy(&product);
	if (plan_show(&s->plan, s->a->verbose || s->a->mode == MODE_PLAN, &out->text, err))
		return -1;
	out->changes += s->plan.n;
	o = plan_json(&s->plan, err);
	if (!o)
		return -1;
	json_object_object_add(o, "root", json_object_new_string(s->root));
	json_object_object_add(o, "product", text_json(s->facts.product, strlen(s->facts.product)));
	json_object_array_add(out->systems, o);
	return 0;
}

static void step_told(const struct system *s, const char *what)
{
	if (s->a->verbose)
		say(LOG_INFO, "%s: %s", s->root, what);
}

/* What was seen before it was mounted, for who refuses it. */
static int barriers_tell(struct system *s, vdisk_error *err)
{
	struct windows_facts *w = s->facts.windows;
	char *dynamic = w ? strdup(s->barriers.dynamic) : NULL, *unclean = w ? strdup(s->barriers.unclean) : NULL,
	     *esp = w ? strdup(s->esp) : NULL;

	if (!w)
		return 0;
	if (!dynamic || !unclean || !esp) {
		free(dynamic);
		free(unclean);
		free(esp);
		return fail_nomem(err);
	}
	free(w->dynamic);
	free(w->unclean);
	free(s->facts.esp);
	w->dynamic = dynamic;
	w->unclean = unclean;
	s->facts.esp = esp;
	return 0;
}

static int mounted(struct system *s, struct outcome *out, vdisk_error *err)
{
	s->tree = tree_guestfs_open(s->t->g, err);
	if (!s->tree)
		return -1;
	step_told(s, "looking at it");
	if (guest_roots_facts(s->roots, &s->facts, err) || facts_read(&s->facts, s->tree, err) || barriers_tell(s, err))
		return -1;
	plan_init(&s->plan, s->tree);
	step_told(s, "planning");
	if (steps_run(s, err) || report(s, out, err) || apply_judge(s->t->g, &s->plan, err))
		return -1;
	if (s->a->mode == MODE_PLAN)
		return 0;
	step_told(s, "changing it");
	return apply_plan(s->t->g, &s->plan, s->a->steps.regenerate, err);
}

int system_adapt(struct guest *t, const struct guest_roots *roots, const struct guest_root *root, const struct adapt_args *a,
                 struct outcome *out, vdisk_error *err)
{
	struct system s = { .t = t, .roots = roots, .a = a };
	bool windows = !root->places; /* or it may be */
	int rc;

	guest_name(t, root->device, s.root, sizeof(s.root));
	step_told(&s, "mounting it");
	if ((windows && guestfs_barriers(t, root->device, &s.barriers, err)) ||
	    guest_system_mount(t, root->device, root->places, err))
		return -1;
	if (windows && guestfs_esp(t, root->device, s.esp, sizeof(s.esp), err)) {
		guest_system_unmount(t, NULL);
		return -1;
	}
	rc = mounted(&s, out, err);
	plan_destroy(&s.plan);
	facts_destroy(&s.facts);
	tree_close(s.tree);
	return guest_system_unmount(t, rc ? NULL : err) || rc ? -1 : 0;
}
