/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "main_state.h"

#include "common/fail.h"
#include "common/write_all.h"
#include "transfer/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* One for each receiver, in the user's folder for such things. */
static void path_make(struct state *s, const struct options *o)
{
	const char *base = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	char name[TRANSFER_NAME_MAX + 1];

	transfer_name_make(o->to + strlen("https://"), name);
	if (o->state)
		snprintf(s->path, sizeof(s->path), "%s", o->state);
	else if (base && *base == '/')
		snprintf(s->path, sizeof(s->path), "%s/vdisk/capture-%s", base, name);
	else if (home && *home == '/')
		snprintf(s->path, sizeof(s->path), "%s/.local/state/vdisk/capture-%s", home, name);
}

int state_load(struct state *s, const struct options *o, vdisk_error *err)
{
	json_object *v;
	const char *text;
	size_t len;
	char *bytes;

	*s = (struct state){ 0 };
	path_make(s, o);
	if (!*s->path)
		return 0;
	bytes = transfer_file_read(AT_FDCWD, s->path, &len, err);
	if (!bytes)
		return o->state && err->sys_errno != ENOENT ? -1 : 0;
	v = transfer_json(bytes, len, err);
	free(bytes);
	if (!v)
		return o->state ? fail(err, VDISK_CORRUPT, "%s: is not what an earlier capture left", s->path) : 0;
	if (transfer_json_text(v, "url", 4096, &text, err) && !strcmp(text, o->to) &&
	    transfer_json_text(v, "secret", sizeof(s->secret) - 1, &text, err)) {
		snprintf(s->secret, sizeof(s->secret), "%s", text);
		s->has_fingerprint =
			transfer_json_text(v, "fingerprint", 64, &text, err) && transfer_unhex(text, false, s->fingerprint, 32);
	}
	json_object_put(v);
	return 0;
}

static void folders_make(const char *path)
{
	char folder[4096];

	snprintf(folder, sizeof(folder), "%s", path);
	for (char *p = folder + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		mkdir(folder, 0700);
		*p = '/';
	}
}

static int write_beside(const char *path, const char *text, vdisk_error *err)
{
	char fresh[4200];
	size_t len = strlen(text);
	int fd;

	snprintf(fresh, sizeof(fresh), "%s.new", path);
	fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return fail_errno(err, "%s", path);
	if (write_all(fd, text, len) || fsync(fd) || rename(fresh, path)) {
		fail_errno(err, "%s", path);
		close(fd);
		unlink(fresh);
		return -1;
	}
	close(fd);
	return 0;
}

int state_save(const struct state *s, const struct options *o, const char *id, const char *secret, vdisk_error *err)
{
	json_object *v = json_object_new_object();
	char hex[65];
	int rc;

	if (!*s->path) {
		json_object_put(v);
		return fail(err, VDISK_INVALID, "there is no folder for it: --state names a file");
	}
	json_object_object_add(v, "url", json_object_new_string(o->to));
	json_object_object_add(v, "id", json_object_new_string(id));
	json_object_object_add(v, "secret", json_object_new_string(secret));
	if (o->has_fingerprint || s->has_fingerprint) {
		transfer_hex(o->has_fingerprint ? o->fingerprint : s->fingerprint, 32, hex);
		json_object_object_add(v, "fingerprint", json_object_new_string(hex));
	}
	if (!o->state)
		folders_make(s->path);
	rc = write_beside(s->path, json_object_to_json_string_ext(v, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE), err);
	json_object_put(v);
	return rc;
}

void state_drop(const struct state *s)
{
	if (*s->path)
		unlink(s->path);
}
