/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libnbd, taken at run time; it stays loaded. */
#include "io/nbd_link.h"

#include <dlfcn.h>
#include <string.h>

#define ENTRIES(X) \
	X(create) X(close) X(get_error) X(get_errno) X(set_export_name) X(set_tls) X(set_tls_certificates) \
	X(set_tls_username) X(set_tls_psk_file) X(add_meta_context) X(can_meta_context) X(is_read_only) \
	X(can_multi_conn) X(can_flush) X(can_trim) X(can_zero) X(get_size) X(get_block_size) X(aio_connect_tcp) \
	X(aio_connect_unix) X(aio_is_ready) X(aio_is_dead) X(aio_is_closed) X(aio_pread) X(aio_pwrite) X(aio_zero) \
	X(aio_trim) X(aio_flush) X(aio_block_status) X(aio_command_completed) X(poll)

int vd_nbd_api_load(struct vd_nbd_api *a, vd_error *err)
{
#define ENTRY(name) { "nbd_" #name, &a->name },
	const struct { const char *name; void *to; } v[] = { ENTRIES(ENTRY) };
	void *lib = dlopen("libnbd.so.0", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);

	if (!lib)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
		               "exports of NBD servers take libnbd (Debian: libnbd0), which is not installed");
	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		void *p = dlsym(lib, v[i].name);

		if (!p) {
			dlclose(lib);
			return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
			               "exports of NBD servers take another libnbd than is installed (no %s)", v[i].name);
		}
		memcpy(v[i].to, &p, sizeof(p));
	}
	return 0;
}
