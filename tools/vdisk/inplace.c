/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Opens by path, since a run that was broken off may have left the source under another name. */
#include "inplace.h"
#include "output.h"

#include <inttypes.h>

int convert_in_place(const char *path, const struct source_args *source, const char *dst, const struct vdisk_convert_options *o,
		     bool json)
{
	if (source_judge(path, source))
		return EXIT_TROUBLE;
	if (source->share)
		return fail_usage("what is changed in place must not be written by others: no -U");
	bool dry_run = o->flags & VDISK_CONVERT_DRY_RUN;
	struct opt_list opts = { 0 };
	source_options_collect(source, &opts);
	struct vdisk_open_options open = {
		.format = source->format,
		.options = opts.v,
		.allow_dirs = source->allow_dirs.v,
		.parent_map = source->parents.v,
		.remote = &source->remote,
		.log = output_log,
	};
	uint64_t size = 0;
	vdisk_error err = { 0 };
	int r = vdisk_convert_in_place(path, &open, dst, o, &size, &err);
	opt_list_free(&opts);
	if (r)
		return fail_vdisk(&err);
	if (!json) {
		if (dry_run)
			say("would make %s in place: %s, %" PRIu64 " bytes\n", shown(dst), o->format, size);
		return EXIT_YES;
	}
	struct json_object *report = json_report(), *d = json_must(json_object_new_object());
	json_put_text(d, "path", dst);
	json_put_text(d, "format", o->format);
	json_put_u64(d, "virtual-size", size);
	json_put(report, "destination", d);
	json_put_bool(report, "dry-run", dry_run);
	json_put_bool(report, "in-place", true);
	json_print(report);
	return EXIT_YES;
}
