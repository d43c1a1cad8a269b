/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "state.h"

#include "common/fail.h"
#include "common/write_all.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define PLAIN (JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_PRETTY_TAB | JSON_C_TO_STRING_NOSLASHESCAPE)

void transfer_file(const char *disk, const char *ending, char out[TRANSFER_FILE_MAX])
{
	snprintf(out, TRANSFER_FILE_MAX, "%.*s.%.14s", (int)TRANSFER_NAME_MAX, disk, ending);
}

int transfer_file_write(int dir, const char *name, const void *text, size_t len, vdisk_error *err)
{
	char fresh[NAME_MAX + 1];
	int fd, bad, n = snprintf(fresh, sizeof(fresh), TRANSFER_FRESH("%s"), name);

	if (n < 0 || (size_t)n >= sizeof(fresh)) { /* cut off, it may be somebody else's */
		errno = ENAMETOOLONG;
		return fail_errno(err, "%s", name);
	}
	fd = openat(dir, fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return fail_errno(err, "%s", name);
	bad = write_all(fd, text, len) || fsync(fd);
	if (bad)
		fail_errno(err, "%s", name);
	if (close(fd) && !bad)
		bad = fail_errno(err, "%s", name);
	if (!bad && (renameat(dir, fresh, dir, name) || fsync(dir)))
		bad = fail_errno(err, "%s", name);
	if (bad)
		unlinkat(dir, fresh, 0);
	return bad ? -1 : 0;
}

char *transfer_file_read(int dir, const char *name, size_t *len, vdisk_error *err)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	char *text = NULL;
	struct stat st;

	*len = 0;
	if (fd < 0 || fstat(fd, &st)) {
		fail_errno(err, "%s", name);
	} else if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > TRANSFER_BODY_MAX) {
		fail(err, VDISK_CORRUPT, "%s: no file of at most %zu bytes", name, TRANSFER_BODY_MAX);
	} else {
		text = malloc((size_t)st.st_size + 1);
		while (text && *len < (size_t)st.st_size) {
			ssize_t n = read(fd, text + *len, (size_t)st.st_size - *len);

			if (n < 0 && errno == EINTR)
				continue;
			if (n <= 0) {
				errno = n ? errno : EIO;
				break;
			}
			*len += (size_t)n;
		}
		if (!text) {
			fail_nomem(err);
		} else if (*len < (size_t)st.st_size) {
			fail_errno(err, "%s", name);
			free(text);
			text = NULL;
		} else {
			text[*len] = '\0';
		}
	}
	if (fd >= 0)
		close(fd);
	return text;
}

static bool add(json_object *o, const char *key, json_object *v) /* takes v */
{
	if (v && !json_object_object_add(o, key, v))
		return true;
	json_object_put(v);
	return false;
}

static json_object *hex_json(const uint8_t bytes[32])
{
	char hex[65];

	transfer_hex(bytes, 32, hex);
	return json_object_new_string(hex);
}

static json_object *disks_json(const struct transfer_state *s)
{
	json_object *list = json_object_new_array();

	for (size_t i = 0; list && i < s->n_disks; i++) {
		json_object *d = json_object_new_object();

		if (!d || !add(d, "name", json_object_new_string(s->disks[i].name)) ||
		    !add(d, "size", json_object_new_uint64(s->disks[i].size)) || json_object_array_add(list, d)) {
			json_object_put(d);
			json_object_put(list);
			return NULL;
		}
	}
	return list;
}

static json_object *state_json(const struct transfer_state *s)
{
	json_object *o = json_object_new_object();
	bool ok = o && add(o, "schema-version", json_object_new_int(TRANSFER_STATE_SCHEMA)) &&
	          add(o, "id", json_object_new_string(s->id)) &&
	          add(o, "state", json_object_new_string(s->whole ? "whole" : "partial")) &&
	          add(o, "folder", json_object_new_string(s->folder)) && add(o, "host", json_object_new_string(s->host)) &&
	          add(o, "machine", json_object_new_string(s->machine)) && add(o, "format", json_object_new_string(s->format)) &&
	          add(o, "begun", json_object_new_uint64(s->begun)) && add(o, "ended", json_object_new_uint64(s->ended)) &&
	          add(o, "disks", disks_json(s));

	ok = ok && (!s->received || (add(o, "secret", hex_json(s->secret)) && add(o, "token", hex_json(s->token))));
	ok = ok && (!s->work || add(o, "work", json_object_get(s->work)));
	if (ok)
		return o;
	json_object_put(o);
	return NULL;
}

static int json_write(int dir, const char *name, json_object *o, vdisk_error *err) /* takes o */
{
	size_t len;
	const char *text = o ? json_object_to_json_string_length(o, PLAIN, &len) : NULL;
	int rc = text ? transfer_file_write(dir, name, text, len, err) : fail_nomem(err);

	json_object_put(o);
	return rc;
}

int transfer_state_write(int dir, const struct transfer_state *s, vdisk_error *err)
{
	return json_write(dir, TRANSFER_STATE_FILE, state_json(s), err);
}

static bool take_text(json_object *o, const char *key, char *out, size_t room, vdisk_error *err)
{
	const char *text;

	if (!transfer_json_text(o, key, room - 1, &text, err))
		return false;
	snprintf(out, room, "%s", text);
	return true;
}

static bool take_name(json_object *o, const char *key, char *out, size_t room, vdisk_error *err)
{
	if (!take_text(o, key, out, room, err))
		return false;
	if (*out && *out != '.' && !strchr(out, '/'))
		return true;
	return fail(err, VDISK_CORRUPT, "\"%s\" is no name: \"%s\"", key, out), false;
}

static bool take_hex(json_object *o, const char *key, uint8_t out[32], vdisk_error *err)
{
	const char *text;

	if (!transfer_json_text(o, key, 64, &text, err))
		return false;
	return transfer_unhex(text, false, out, 32) || (fail(err, VDISK_CORRUPT, "\"%s\" is no digest", key), false);
}

static int take_disks(json_object *o, struct transfer_state *s, vdisk_error *err)
{
	json_object *list;

	if (!json_object_object_get_ex(o, "disks", &list) || !json_object_is_type(list, json_type_array))
		return fail(err, VDISK_CORRUPT, "\"disks\" is missing, or no list");
	s->n_disks = json_object_array_length(list);
	if (!s->n_disks || s->n_disks > TRANSFER_DISKS_MAX)
		return fail(err, VDISK_CORRUPT, "%zu disks, not from 1 to %u", s->n_disks, TRANSFER_DISKS_MAX);
	for (size_t i = 0; i < s->n_disks; i++) {
		struct transfer_state_disk *d = &s->disks[i];
		json_object *v = json_object_array_get_idx(list, i);

		if (!json_object_is_type(v, json_type_object))
			return fail(err, VDISK_CORRUPT, "disk %zu is no object", i);
		if (!take_text(v, "name", d->name, sizeof(d->name), err) ||
		    !transfer_json_u64(v, "size", TRANSFER_SIZE_MAX, &d->size, err))
			return -1;
		if (!transfer_name_good(d->name, strlen(d->name)) || !d->size)
			return fail(err, VDISK_CORRUPT, "disk %zu, \"%s\" of %" PRIu64 " bytes, cannot be", i, d->name, d->size);
		for (size_t k = 0; k < i; k++)
			if (!strcasecmp(s->disks[k].name, d->name))
				return fail(err, VDISK_CORRUPT, "two disks are called \"%s\"", d->name);
	}
	return 0;
}

static int state_take(json_object *o, struct transfer_state *s, vdisk_error *err)
{
	char state[16];
	uint64_t schema;
	json_object *v;
	uint8_t id[16];

	if (!transfer_json_u64(o, "schema-version", UINT64_MAX, &schema, err))
		return -1;
	if (schema != TRANSFER_STATE_SCHEMA)
		return fail(err, VDISK_UNSUPPORTED, "schema-version %" PRIu64 " is not known", schema);
	if (!take_text(o, "id", s->id, sizeof(s->id), err) || !take_text(o, "state", state, sizeof(state), err) ||
	    !take_name(o, "folder", s->folder, sizeof(s->folder), err) || !take_name(o, "host", s->host, sizeof(s->host), err) ||
	    !take_name(o, "machine", s->machine, sizeof(s->machine), err) ||
	    !take_name(o, "format", s->format, sizeof(s->format), err) ||
	    !transfer_json_u64(o, "begun", UINT64_MAX, &s->begun, err) ||
	    !transfer_json_u64(o, "ended", UINT64_MAX, &s->ended, err))
		return -1;
	if (!transfer_unhex(s->id, false, id, 16))
		return fail(err, VDISK_CORRUPT, "\"id\" is none: \"%s\"", s->id);
	s->whole = !strcmp(state, "whole");
	if (!s->whole && strcmp(state, "partial"))
		return fail(err, VDISK_CORRUPT, "\"state\" is neither whole nor partial: \"%s\"", state);
	s->received = json_object_object_get_ex(o, "secret", &v);
	if (s->received && (!take_hex(o, "secret", s->secret, err) || !take_hex(o, "token", s->token, err)))
		return -1;
	if (json_object_object_get_ex(o, "work", &v) && json_object_is_type(v, json_type_object))
		s->work = json_object_get(v);
	return take_disks(o, s, err);
}

int transfer_state_read(int dir, struct transfer_state *s, vdisk_error *err)
{
	json_object *o;
	size_t len;
	char *text;
	int rc;

	*s = (struct transfer_state){ 0 };
	text = transfer_file_read(dir, TRANSFER_STATE_FILE, &len, err);
	if (!text)
		return -1;
	o = transfer_json(text, len, err);
	free(text);
	if (!o)
		return -1;
	rc = state_take(o, s, err);
	json_object_put(o);
	return rc;
}

void transfer_state_free(struct transfer_state *s)
{
	json_object_put(s->work);
	s->work = NULL;
}

int transfer_pass_save(int dir, const char *disk, const struct transfer_pass *p, vdisk_error *err)
{
	char name[TRANSFER_FILE_MAX];

	transfer_file(disk, "pass", name);
	return json_write(dir, name, transfer_pass_json(p), err);
}

int transfer_pass_load(int dir, const char *disk, uint64_t size, struct transfer_pass *p, vdisk_error *err)
{
	char name[TRANSFER_FILE_MAX];
	vdisk_error e = { 0 };
	json_object *o;
	size_t len;
	char *text;
	int rc;

	*p = (struct transfer_pass){ 0 };
	transfer_file(disk, "pass", name);
	text = transfer_file_read(dir, name, &len, &e);
	if (!text && e.sys_errno == ENOENT)
		return 0;
	o = text ? transfer_json(text, len, &e) : NULL;
	free(text);
	if (!o)
		return fail(err, e.kind, "%s", e.message);
	rc = transfer_pass_read(o, size, p, err);
	json_object_put(o);
	return rc;
}
