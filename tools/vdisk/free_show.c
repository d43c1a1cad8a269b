/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "free_show.h"
#include "output.h"
#include "progress.h"
#include "used.h"

#include <inttypes.h>

static void print_json(vdisk_image *img, const struct used *u)
{
	struct json_object *o = json_report();
	json_put_text(o, "path", vdisk_path(img));
	json_put_text(o, "format", vdisk_format_name(img));
	json_put_u64(o, "virtual-size", vdisk_size(img));
	json_put(o, "regions", used_json(u));
	json_array_begin(o, "free");
	for (size_t i = 0; i < u->free.n; i++) {
		struct json_object *r = json_must(json_object_new_object());
		json_put_u64(r, "offset", u->free.v[i].off);
		json_put_u64(r, "length", u->free.v[i].len);
		json_array_element(r);
	}
	json_array_end();
}

int free_show(vdisk_image *img, const struct source_args *s, const struct content_args *content, bool live, bool json)
{
	struct used u;
	if (used_find(img, s, content, live ? USED_LIVE : USED_WHOLE, cancel_by_signals(), &u))
		return EXIT_TROUBLE;
	used_warn(&u);
	if (json) {
		print_json(img, &u);
	} else {
		say("%-18s %s\n", "offset", "length");
		for (size_t i = 0; i < u.free.n; i++)
			say("0x%-16" PRIx64 " 0x%" PRIx64 "\n", u.free.v[i].off, u.free.v[i].len);
	}
	used_free(&u);
	return EXIT_YES;
}
