/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Of a build without libcurl. */
#include "io/http.h"
#include "io/url.h"

int vd_file_http(const char *url, const struct vdisk_remote *remote, const volatile int *cancel, struct vd_file **out, vd_error *err)
{
	(void)url, (void)remote, (void)cancel, (void)out;
	return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
	               "this build reads no images from web servers (it was made without libcurl)");
}

int vd_file_http_beside(struct vd_file *f, const char *name, struct vd_file **out, vd_error *err)
{
	(void)f, (void)name;
	return vd_file_http("", NULL, NULL, out, err);
}

const char *vd_file_http_version(const struct vd_file *f)
{
	(void)f;
	return "";
}
