/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "target.h"
#include "output.h"
#include "source.h"

#include <inttypes.h>
#include <string.h>

#define AT(member) .field = offsetof(struct target_args, member)
const struct opt target_options[] = {
	{ .name = "for", .kind = OPT_CHOICE, AT(profile), .arg = "SYSTEM",
	  .choices = "esxi|workstation|hyperv-gen1|hyperv-gen2|azure|xcp-ng|virtualbox|openstack|proxmox|kvm",
	  .help = "make it as that system takes it: format, kind, size, adapter, sectors (see vdisk-formats(7))" },
	{ .letter = 'o', .name = "option", .kind = OPT_PAIRS, AT(opts), .arg = "K=V",
	  .help = "options of the new image's format, joined by commas; \"-o help\" lists them; repeatable" },
	{ .letter = 'b', .name = "backing", .kind = OPT_TEXT, AT(backing), .arg = "FILE", .domain = DOMAIN_FILE,
	  .help = "layer the new image over FILE, a name relative to the new image's folder" },
	{ .letter = 'F', .name = "backing-format", .kind = OPT_TEXT, AT(backing_format), .arg = "FMT", .domain = DOMAIN_FORMAT,
	  .help = "format of the backing file; without it, its suffix tells" },
	{ .name = "size-rounding", .kind = OPT_CHOICE, AT(rounding), .arg = "HOW", .choices = "refuse|up",
	  .help = "what to do with a size that the format cannot express: refuse it (the default), or round it up" },
	{ .name = "force", .kind = OPT_FLAG, AT(force), .help = "replace an existing destination" },
	{ .name = "dry-run", .kind = OPT_FLAG, AT(dry_run),
	  .help = "judge everything and say what would be made, but write nothing" },
	{ 0 },
};
#undef AT

const char *format_names(char *buf, size_t cap, uint32_t caps, const char *between)
{
	size_t n = 0;
	const struct vdisk_format_info *f;
	buf[0] = '\0';
	for (size_t i = 0; (f = vdisk_format_get(i)) && n < cap; i++)
		if (!caps || (f->caps & caps))
			n += (size_t)snprintf(buf + n, cap - n, "%s%s", n ? between : "", f->name);
	return buf;
}

const struct vdisk_format_info *target_format(const char *path, const char *given, const char *option)
{
	char names[256];
	const struct vdisk_format_info *f = given ? vdisk_format_find(given) : strcmp(path, "-") ? format_by_suffix(path) : NULL;
	if (!f && given)
		fail_usage("there is no format \"%s\", only %s", given,
		           format_names(names, sizeof(names), VDISK_FORMAT_CREATE, ", "));
	else if (!f && !strcmp(path, "-"))
		fail_usage("which format shall go to standard output? %s FMT says", option);
	else if (!f)
		fail_usage("no format is known by the suffix of \"%s\": say which with %s FMT, one of %s", path, option,
		           format_names(names, sizeof(names), VDISK_FORMAT_CREATE, ", "));
	else if (f->caps & VDISK_FORMAT_CREATE)
		return f;
	else
		fail("format %s can be read, but not made", f->name);
	return NULL;
}

/* What the path's suffix says counts where the system takes it; one that belongs to no format says nothing. */
static const struct vdisk_format_info *profile_choose(const struct target_args *t, const char *path, const char *given,
                                                      struct target_profile *p)
{
	vdisk_error err = { 0 };
	p->profile = vdisk_profile_find(t->profile);
	if (!p->profile) {
		fail_usage("there is no system \"%s\"", t->profile);
		return NULL;
	}
	const struct vdisk_format_info *f = given ? vdisk_format_find(given) : strcmp(path, "-") ? format_by_suffix(path) : NULL;
	if (given && !f)
		return target_format(path, given, "");
	if (vdisk_profile_choose(p->profile, f ? f->name : NULL, t->opts.v, &p->choice, &err)) {
		fail("%s: %s", shown(path), err.message);
		return NULL;
	}
	if (t->backing && !p->profile->parents) {
		fail("-b contradicts --for %s: %s takes whole disks only, no layers", p->profile->name, p->profile->long_name);
		return NULL;
	}
	return vdisk_format_find(p->choice.form->format);
}

const struct vdisk_format_info *target_choose(const struct target_args *t, const char *path, const char *given, const char *option,
                                              struct target_profile *p, struct opt_list *opts)
{
	*p = (struct target_profile){ 0 };
	*opts = (struct opt_list){ 0 };
	const struct vdisk_format_info *f = t->profile ? profile_choose(t, path, given, p) : target_format(path, given, option);
	if (!f)
		return NULL;
	opt_list_copy(opts, &t->opts);
	for (size_t i = 0; p->profile && p->choice.options[i]; i++)
		opt_list_add(opts, p->choice.options[i], strlen(p->choice.options[i]));
	return f;
}

int target_size(const struct target_args *t, const struct target_profile *p, uint64_t *size)
{
	vdisk_error err = { 0 };
	uint64_t made;
	if (!p->profile || *size == UINT64_MAX)
		return 0;
	if (vdisk_profile_size(p->profile, p->choice.form, *size, &made, &err))
		return fail_vdisk(&err);
	if (made != *size && t->rounding && !target_rounds_up(t))
		return fail("%s takes no disk of %" PRIu64 " bytes; --size-rounding up makes it %" PRIu64, p->profile->long_name,
		            *size, made);
	*size = made;
	return 0;
}

int target_backing_format(const struct target_args *t, const char **format)
{
	*format = t->backing_format;
	if (!t->backing)
		return t->backing_format ? fail_usage("-F says the format of a backing file, but -b names none") : 0;
	if (t->backing_format)
		return vdisk_format_find(t->backing_format) ? 0 : fail_usage("there is no format \"%s\"", t->backing_format);
	const struct vdisk_format_info *f = format_by_suffix(t->backing);
	if (!f)
		return fail_usage("no format is known by the suffix of the backing file \"%s\": say which with -F FMT", t->backing);
	*format = f->name;
	return 0;
}

bool target_rounds_up(const struct target_args *t) { return t->rounding && !strcmp(t->rounding, "up"); }

bool format_options_print(const struct vdisk_format_info *f, uint32_t use, const char *indent)
{
	bool any = false;
	for (const struct vdisk_option_info *o = f->options; o && o->name; o++) {
		if (!(o->use & use))
			continue;
		static const char *const types[] = {
			[VDISK_OPT_STRING] = "TEXT", [VDISK_OPT_SIZE] = "SIZE", [VDISK_OPT_UINT] = "N", [VDISK_OPT_BOOL] = "on|off",
		};
		say("%s%s=%s", indent, o->name, o->type == VDISK_OPT_ENUM ? o->values : types[o->type]);
		say("\n%s        %s%s%s%s\n", indent, o->help, o->deflt ? " (default: " : "", o->deflt ? o->deflt : "",
		    o->deflt ? ")" : "");
		any = true;
	}
	return any;
}

bool target_help(const struct vdisk_format_info *f, const struct opt_list *opts)
{
	if (opts->n != 1 || (strcmp(opts->v[0], "help") && strcmp(opts->v[0], "?")))
		return false;
	if (!format_options_print(f, VDISK_OPT_FOR_CREATE, ""))
		say("format %s has no options\n", f->name);
	return true;
}
