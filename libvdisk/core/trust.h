/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The trust policy: which names that an image contains are followed.  Core only.
 *
 *  T1. Only where the format was said (by the user, or by the file's suffix): a guest's raw disk may carry any header.
 *  T2. Only inside the image's own folder or below, or below a folder that the user allowed; through openat2(RESOLVE_BENEATH), so a
 *      symbolic link cannot lead out.
 *  T3. Never remote or pseudo names ("http:", "nbd:", "json:").
 *      Of an image that was opened by a URL: beneath its own folder on the same server, which the user named, and nowhere else; the
 *      scheme, the host and the query are the user's then, never the image's (vd_url_beside()).
 *  T4. Each refusal prints the option that would allow it.
 */
#ifndef VD_CORE_TRUST_H
#define VD_CORE_TRUST_H

#include "core/driver.h"

struct vd_trust {
	const char *image;             /* the image's path, as opened; names are relative to its folder */
	bool said;                     /* T1 */
	const char *format;            /* of the image, for messages */
	const char *const *allow_dirs; /* may be NULL */
	struct vd_file *self;          /* the image's own file; may be NULL for a local one */
};

/* Opens what `name` in the image stands for, after the policy; messages call it by its path, which is returned owned in *path (may
   be NULL if not wanted). */
int vd_trust_open(const struct vd_trust *t, const char *name, bool write, struct vd_file **out, char **path, vd_error *err);

#endif
