/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The step that puts the targets' drivers into every kernel's initramfs, and registers them with what makes it.  The kernel that is
 * started by default must come out right; what another one lacks is a remark, since the guest starts without it.
 */
#include "steps.h"

#include "common/fail.h"
#include "generator.h"
#include "initrd_append.h"
#include "wanted.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct step {
	struct plan *plan;
	const struct facts *facts;
	const struct adapt_options *options;
	char for_whom[80];            /* "kvm, hyperv" */
	enum initrd_tool tool;        /* what made the default kernel's image, or the last one; before, what the guest has */
	bool tool_sure;               /* it is the default kernel's */
	struct wanted load, extra;    /* of all kernels together */
	char **paths; size_t paths_n; /* files of those, for mkinitfs */
};

/* An initramfs as the view has it, without what we appended in an earlier run. */
struct image {
	struct bytes file;
	struct initrd initrd;
};

static void image_close(struct image *m)
{
	initrd_destroy(&m->initrd);
	bytes_destroy(&m->file);
}

static int image_open(struct image *m, struct tree *t, const char *path, vdisk_error *err)
{
	vdisk_error why;
	int rc;

	*m = (struct image){ 0 };
	rc = t->ops->read(t, path, INITRD_MAX, &m->file, err);
	if (rc <= 0)
		return rc < 0 ? -1 : fail(err, VDISK_CORRUPT, "%s: the initramfs is not there", path);
	if (initrd_read(&m->initrd, m->file.at, m->file.len, &why))
		goto fail;
	if (m->initrd.parts_n && m->initrd.parts[m->initrd.parts_n - 1].ours) {
		m->file.len = m->initrd.parts[m->initrd.parts_n - 1].off;
		initrd_destroy(&m->initrd);
		if (initrd_read(&m->initrd, m->file.at, m->file.len, &why))
			goto fail;
	}
	return 0;
fail:
	image_close(m);
	return fail(err, why.kind, "%s: %s", path, why.message);
}

/* ---------------------------------------------------------------- one kernel */

/* Is `option` =y in the kernel's configuration? */
static int config_has(struct tree *t, const struct fact_kernel *k, const char *option, bool *has, vdisk_error *err)
{
	const char *const forms[] = { "/boot/config-", k->release, k->modules, "/config" };
	char line[80];
	int rc = 0;

	*has = false;
	snprintf(line, sizeof(line), "\n%s=y\n", option);
	for (int i = 0; i < 4 && !rc; i += 2) {
		struct bytes path = { 0 }, text = { 0 };

		bytes_format(&path, "%s%s", forms[i], forms[i + 1]);
		rc = path.failed ? fail_nomem(err) : tree_text(t, path.at, &text, err);
		*has = rc > 0 && text.len && strstr(text.at, line);
		bytes_destroy(&path);
		bytes_destroy(&text);
	}
	return rc < 0 ? -1 : 0;
}

/* Wanted modules and what they need, in the order of loading, but for those that the initramfs has.  `list` has room for k->n. */
static size_t missing_of(const struct initrd *i, struct kmod *k, const struct wanted *load, const struct wanted *extra,
	struct kmod_module **list)
{
	size_t n = 0, kept = 0;

	for (size_t w = 0; w < load->n; w++)
		kmod_closure(k, load->names[w], list, &n);
	for (size_t w = 0; w < extra->n; w++)
		kmod_closure(k, extra->names[w], list, &n);
	for (size_t m = 0; m < n; m++)
		if (!initrd_module(i, k->release, list[m]->name))
			list[kept++] = list[m];
	return kept;
}

/* Can what is appended be found and loaded there? */
static int image_judge(const struct initrd *i, const char *path, vdisk_error *err)
{
	static const char *const udevs[] = { "usr/lib/systemd/systemd-udevd", "lib/systemd/systemd-udevd", "sbin/udevd",
		"usr/sbin/udevd", "usr/bin/udevd", "usr/lib/udev/udevd", "lib/udev/udevd" };
	/* dracut's squash module: the system is an image inside, which covers what is put beside it. */
	static const char *const images[] = { "squash-root.img", "squash/root.img", "erofs-root.img" };

	if (i->tool == INITRD_MKINITRD)
		return fail(err, VDISK_UNSUPPORTED,
			"%s: made by mkinitrd, whose init loads a fixed list of modules; --regenerate makes it anew", path);
	for (size_t n = 0; n < sizeof(images) / sizeof(images[0]); n++)
		if (initrd_find(i, images[n]))
			return fail(err, VDISK_UNSUPPORTED,
				"%s: its system is an image of its own inside (%s), to which nothing can be added; "
				"--regenerate makes it anew", path, images[n]);
	if (i->tool != INITRD_UNKNOWN)
		return 0;
	for (size_t n = 0; n < sizeof(udevs) / sizeof(udevs[0]); n++)
		if (initrd_find(i, udevs[n]))
			return 0;
	return fail(err, VDISK_UNSUPPORTED,
		"%s: made by a tool that is not known, and without udev: nothing would load what is added to it", path);
}

static int image_extend(struct step *s, const struct fact_kernel *k, const char *path, const struct image *image,
	const struct append_want *want, vdisk_error *err)
{
	struct bytes out = { 0 }, notes = { 0 };
	int rc = initrd_append(&image->initrd, &image->file, want, &out, &notes, err);

	bytes_format(&notes, "%zu bytes in all, %zu before\n", out.len, image->file.len);
	if (!rc && want->missing_n)
		rc = plan_write_binary(s->plan, path, out.at, out.len, 0644, &notes, err,
			"drivers of %s, with what they need, are added to the initramfs of %s",
			s->for_whom, k->release);
	else if (!rc)
		rc = plan_write_binary(s->plan, path, out.at, out.len, 0644, &notes, err,
			"settings in the initramfs of %s name devices of the old machine", k->release);
	bytes_destroy(&out);
	bytes_destroy(&notes);
	return rc;
}

static void tool_note(struct step *s, const struct fact_kernel *k, enum initrd_tool tool)
{
	if (tool == INITRD_UNKNOWN || s->tool_sure)
		return;
	s->tool = tool;
	s->tool_sure = k->is_default;
}

/* One initramfs of a kernel. */
static int image_adapt(struct step *s, const struct fact_kernel *k, const char *path, struct kmod *kmod, const struct wanted *load,
	const struct wanted *extra, vdisk_error *err)
{
	struct initrd_files files = { 0 };
	struct append_want want = { .guest = &s->plan->view, .kmod = kmod, .load = load->names, .load_n = load->n,
		.files = &files };
	struct image image;
	int rc;

	if (image_open(&image, &s->plan->view, path, err))
		return -1;
	tool_note(s, k, image.initrd.tool);
	for (size_t i = 0; i < kmod->n; i++)
		kmod->modules[i].taken = false;
	want.missing = calloc(kmod->n + 1, sizeof(struct kmod_module *));
	rc = want.missing ? initrd_config(s->plan, s->facts, s->options, &image.initrd, &files, err) : fail_nomem(err);
	if (!rc)
		want.missing_n = missing_of(&image.initrd, kmod, load, extra, want.missing);
	if (!rc && want.missing_n)
		rc = image_judge(&image.initrd, path, err);
	if (!rc)
		rc = config_has(&s->plan->view, k, "CONFIG_RD_GZIP", &want.rd_gzip, err);
	if (!rc && want.missing_n + files.n)
		rc = image_extend(s, k, path, &image, &want, err);
	initrd_files_destroy(&files);
	free(want.missing);
	image_close(&image);
	return rc;
}

/* Notes what the kernel has, for the next one's initramfs. */
static int wanted_note(struct step *s, const struct kmod *kmod, const struct wanted *load, const struct wanted *extra,
	vdisk_error *err)
{
	for (size_t i = 0; i < load->n + extra->n; i++) {
		const char *name = i < load->n ? load->names[i] : extra->names[i - load->n];
		const struct kmod_module *m = kmod_find(kmod, name);
		struct bytes path = { 0 };
		bool there = false;
		char **v;

		wanted_add(i < load->n ? &s->load : &s->extra, name);
		bytes_format(&path, "%.*s.ko*", (int)module_stem(m->path), m->path);
		if (path.failed)
			return fail_nomem(err);
		for (size_t n = 0; n < s->paths_n; n++)
			there |= !strcmp(s->paths[n], path.at);
		v = there ? NULL : realloc(s->paths, (s->paths_n + 1) * sizeof(*v));
		if (!v) {
			bytes_destroy(&path);
			if (!there)
				return fail_nomem(err);
			continue;
		}
		s->paths = v;
		s->paths[s->paths_n++] = path.at;
	}
	return 0;
}

/* Has the kernel a driver for each target?  One without any is a remark where others remain, and else a refusal. */
static int targets_judge(struct step *s, const struct fact_kernel *k, const struct kmod *kmod, vdisk_error *err)
{
	bool files = *k->initrd;

	for (size_t i = 0; i < TARGET_N; i++) {
		const struct target_info *t = &target_infos[i];
		struct bytes lacks = { 0 };

		if (!(s->options->targets & t->target))
			continue;
		if (!target_reached(kmod, t, files))
			return fail(err, VDISK_REFUSED,
				"kernel %s has no storage driver for %s%s: install a kernel that has one in the guest first",
				k->release, t->name,
				files ? "" : " built in, and no initramfs");
		target_lacks(kmod, t, &lacks);
		if (lacks.len)
			plan_remark(s->plan, "kernel %s has no %s: on %s it needs other devices", k->release, lacks.at, t->name);
		bytes_destroy(&lacks);
	}
	return 0;
}

static int images_adapt(struct step *s, const struct fact_kernel *k, struct kmod *kmod, vdisk_error *err)
{
	struct wanted load = { 0 }, extra = { 0 };
	char fallback[600];
	const char *dot = strrchr(k->initrd, '.');
	vdisk_error why;
	int rc;

	wanted_of(kmod, s->options->targets, &load, &extra);
	if (wanted_note(s, kmod, &load, &extra, err))
		return -1;
	if (!*k->initrd)
		return 0;
	if (s->options->regenerate) {
		struct image image;

		if (image_open(&image, &s->plan->view, k->initrd, &why))
			return 0; /* its tool makes another */
		tool_note(s, k, image.initrd.tool);
		image_close(&image);
		return 0;
	}
	if (image_adapt(s, k, k->initrd, kmod, &load, &extra, err))
		return -1;
	/* Arch's second image, with all drivers that the first left out. */
	if (!dot || strcmp(dot, ".img") || snprintf(fallback, sizeof(fallback), "%.*s-fallback.img", (int)(dot - k->initrd),
		k->initrd) >= (int)sizeof(fallback))
		return 0;
	rc = tree_exists(&s->plan->view, fallback, err);
	if (rc > 0 && image_adapt(s, k, fallback, kmod, &load, &extra, &why))
		plan_remark(s->plan, "left as it is: %s", why.message);
	return rc < 0 ? -1 : 0;
}

static int kernel_adapt(struct step *s, const struct fact_kernel *k, vdisk_error *err)
{
	struct kmod kmod;
	int rc = *k->modules ? kmod_open(&kmod, &s->plan->view, k->modules, k->release, err) : 0;

	if (rc < 0)
		return -1;
	if (!rc && *k->modules && (kmod.builtins_n || !*k->initrd))
		rc = 1; /* all that it has is built in */
	if (rc) {
		rc = targets_judge(s, k, &kmod, err) || images_adapt(s, k, &kmod, err) ? -1 : 0;
	} else {
		rc = fail(err, VDISK_UNSUPPORTED,
			"kernel %s has no modules in the guest (%s has no modules.dep), so none can be added", k->release,
			*k->modules ? k->modules : "/lib/modules");
	}
	if (*k->modules)
		kmod_close(&kmod);
	return rc;
}

/* ---------------------------------------------------------------- all kernels */

static int kernels_adapt(struct step *s, vdisk_error *err)
{
	const struct facts *f = s->facts;
	size_t done = 0;
	bool some_default = false;
	vdisk_error first = { 0 }, why;

	for (size_t i = 0; i < f->kernels_n; i++)
		some_default |= f->kernels[i].is_default;
	for (size_t i = 0; i < f->kernels_n; i++) {
		const struct fact_kernel *k = &f->kernels[i];

		if (!kernel_adapt(s, k, &why)) {
			done++;
			continue;
		}
		if (k->is_default || why.kind == VDISK_NOMEM || why.kind == VDISK_IO) {
			*err = why;
			return -1;
		}
		if (!first.kind)
			first = why;
		plan_remark(s->plan, "kernel %s, which is not the one started by default, is left as it is: %s", k->release,
			why.message);
	}
	if (!f->kernels_n)
		return fail(err, VDISK_UNSUPPORTED, "no kernel was found in the guest: it cannot be given drivers");
	if (!done && !some_default) {
		*err = first;
		return -1;
	}
	return 0;
}

/* Once the tool has been told what is wanted. */
static int kernels_regenerate(struct step *s, const struct generator_want *want, vdisk_error *err)
{
	for (size_t i = 0; i < s->facts->kernels_n; i++) {
		const struct fact_kernel *k = &s->facts->kernels[i];

		if (*k->initrd && k->installed && generator_run(s->plan, s->tool, k, want, err))
			return -1;
	}
	return 0;
}

int step_modules(struct plan *p, const struct facts *f, const struct adapt_options *o, vdisk_error *err)
{
	struct step s = { .plan = p, .facts = f, .options = o, .tool = f->initrd_tool };
	struct generator_want want = { .for_whom = s.for_whom };
	int rc;

	for (size_t i = 0; i < TARGET_N; i++)
		if (o->targets & target_infos[i].target) {
			strcat(s.for_whom, *s.for_whom ? ", " : "");
			strcat(s.for_whom, target_infos[i].name);
		}
	rc = kernels_adapt(&s, err);
	if (!rc) {
		want.load = s.load.names;
		want.load_n = s.load.n;
		want.extra = s.extra.names;
		want.extra_n = s.extra.n;
		want.paths = (const char *const *)s.paths;
		want.paths_n = s.paths_n;
		rc = generator_register(p, s.tool, &want, err);
	}
	if (!rc && o->regenerate)
		rc = kernels_regenerate(&s, &want, err);
	for (size_t i = 0; i < s.paths_n; i++)
		free(s.paths[i]);
	free(s.paths);
	return rc;
}
