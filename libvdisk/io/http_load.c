/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libcurl, taken at run time: its GnuTLS build first, as everything else here uses GnuTLS.  It stays loaded. */
#include "io/http_source.h"

#include <dlfcn.h>
#include <string.h>

static bool symbol_get(void *lib, const char *name, void *to)
{
	void *p = dlsym(lib, name);

	memcpy(to, &p, sizeof(p));
	return p != NULL;
}

static bool symbols_get(void *lib, struct vd_curl *c)
{
	return symbol_get(lib, "curl_global_init", &c->global_init) && symbol_get(lib, "curl_version_info", &c->version_info) &&
	       symbol_get(lib, "curl_easy_init", &c->easy_init) && symbol_get(lib, "curl_easy_setopt", &c->easy_setopt) &&
	       symbol_get(lib, "curl_easy_getinfo", &c->easy_getinfo) && symbol_get(lib, "curl_easy_perform", &c->easy_perform) &&
	       symbol_get(lib, "curl_easy_cleanup", &c->easy_cleanup) && symbol_get(lib, "curl_easy_strerror", &c->easy_strerror) &&
	       symbol_get(lib, "curl_slist_append", &c->slist_append) && symbol_get(lib, "curl_slist_free_all", &c->slist_free_all);
}

int vd_curl_load(struct vd_curl *c, vd_error *err)
{
	static const char *const names[] = { "libcurl-gnutls.so.4", "libcurl.so.4" };
	void *lib = NULL;

	for (size_t i = 0; !lib && i < sizeof(names) / sizeof(names[0]); i++)
		lib = dlopen(names[i], RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
	if (!lib)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
		               "images on web servers take libcurl (Debian: libcurl3-gnutls), which is not installed");
	/* Before 7.84 its initialization was not safe where other threads run, of which a library knows nothing. */
	if (!symbols_get(lib, c) || !(c->version_info(CURLVERSION_NOW)->features & CURL_VERSION_THREADSAFE)) {
		dlclose(lib);
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
		               "images on web servers take libcurl 7.85 or later, built to be safe with threads");
	}
	return c->global_init(CURL_GLOBAL_DEFAULT) ? vd_fail_nomem(err, 1) : 0;
}
