/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The one refusal of servers' names.  Whatever opens, looks for or makes a file by a name that a user gave asks here first: the host's
   own answer would be that there is no folder called "nbd:". */
#include "io/local.h"
#include "io/nbd.h"
#include "io/url.h"
#include "base/alloc.h"

#include <string.h>

int vd_local_judge(const char *path, vd_error *err)
{
	bool export = vd_nbd_uri_is(path);
	VD_AUTO_FREE char *shown = export ? vd_strdup(path) : vd_url_shown(path);
	char text[400];

	if (!export && !vd_url_is(path))
		return 0;
	if (!shown)
		return vd_fail_nomem(err, strlen(path));
	return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
	               "%s: is %s, and here a file is wanted; \"vdisk convert\" makes one of a disk",
	               vd_printable(text, sizeof(text), shown, strlen(shown)),
	               export ? "an NBD server's export" : "on a web server");
}
