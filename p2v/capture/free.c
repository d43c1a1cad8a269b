/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "free.h"

#include "common/child.h"
#include "common/fail.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ANSWER_MAX ((size_t)1 << 30)

static char *answer_read(int fd, size_t *len)
{
	size_t cap = 0;
	char *text = NULL;

	for (*len = 0;;) {
		ssize_t n;

		if (*len + 65536 > cap) {
			char *more = *len > ANSWER_MAX ? NULL : realloc(text, cap * 2 + 131072);

			if (!more) {
				free(text);
				return NULL;
			}
			text = more;
			cap = cap * 2 + 131072;
		}
		n = read(fd, text + *len, cap - *len - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		*len += (size_t)n;
	}
	text[*len] = '\0';
	return text;
}

static bool number(json_object *o, const char *key, uint64_t *out)
{
	json_object *v;

	if (!json_object_is_type(o, json_type_object) || !json_object_object_get_ex(o, key, &v) ||
	    !json_object_is_type(v, json_type_int))
		return false;
	*out = json_object_get_uint64(v);
	return true;
}

static const char *text_of(json_object *o, const char *key)
{
	json_object *v;

	return json_object_object_get_ex(o, key, &v) && json_object_is_type(v, json_type_string) ? json_object_get_string(v) : NULL;
}

static int notes_take(struct free_map *out, json_object *regions)
{
	size_t n = json_object_is_type(regions, json_type_array) ? json_object_array_length(regions) : 0;

	out->notes = calloc(n ? n : 1, sizeof(*out->notes));
	for (size_t i = 0; out->notes && i < n; i++) {
		json_object *o = json_object_array_get_idx(regions, i);
		const char *name = text_of(o, "name"), *type = text_of(o, "type"), *note = text_of(o, "note");

		if (note)
			snprintf(out->notes[out->n_notes++].text, sizeof(out->notes->text), "%s%s%s%s is taken whole: %s",
			         name ? name : "?", type ? " (" : "", type ? type : "", type ? ")" : "", note);
	}
	return out->notes ? 0 : -1;
}

static int answer_take(const struct disk *d, const char *text, size_t len, struct free_map *out, vdisk_error *err)
{
	json_object *o = json_tokener_parse(text), *list, *regions;
	uint64_t size, from, n, at = 0;
	bool good = o && len && number(o, "virtual-size", &size) && size == d->size &&
	            json_object_object_get_ex(o, "free", &list) && json_object_is_type(list, json_type_array) &&
	            json_object_object_get_ex(o, "regions", &regions);

	for (size_t i = 0; good && i < json_object_array_length(list); i++) {
		json_object *r = json_object_array_get_idx(list, i);

		good = number(r, "offset", &from) && number(r, "length", &n) && n && from >= at && from < size &&
		       n <= size - from && !(from % DISK_ALIGN) && !(n % DISK_ALIGN) && !ranges_add(&out->free, from, from + n);
		at = from + n;
	}
	if (good)
		good = !notes_take(out, regions);
	json_object_put(o);
	return good ? 0
	            : fail(err, VDISK_IO, "%s: which of its blocks are free is not known: the answer is not understood", d->path);
}

int free_find(struct disk *d, bool live, struct free_map *out, vdisk_error *err)
{
	char program[4096], path[4200];
	char *argv[] = { (char *)"vdisk",
		         (char *)"map",
		         (char *)"-q",
		         (char *)"--json",
		         (char *)"-f",
		         (char *)"raw",
		         (char *)(live ? "--free=live" : "--free"),
		         (char *)"--",
		         d->path,
		         NULL };
	int fds[2], status;
	size_t len = 0;
	char *text;
	pid_t pid;

	*out = (struct free_map){ 0 };
	if (!child_find("vdisk", true, program))
		return fail(err, VDISK_UNSUPPORTED, "%s: which of its blocks are free is not known: the program vdisk is not there",
		            d->path);
	if (*d->path == '-' && (size_t)snprintf(path, sizeof(path), "./%s", d->path) < sizeof(path))
		argv[8] = path;
	disk_forget(d);
	if (pipe2(fds, O_CLOEXEC))
		return fail_errno(err, "a pipe");
	pid = child_start(program, argv, false, fds[1]);
	close(fds[1]);
	text = pid > 0 ? answer_read(fds[0], &len) : NULL;
	close(fds[0]);
	status = pid > 0 ? child_wait(pid) : -1;
	if (text && !status)
		status = answer_take(d, text, len, out, err);
	else
		status = fail(err, VDISK_IO, "%s: which of its blocks are free is not known: vdisk map --free fails", d->path);
	free(text);
	if (status)
		free_map_free(out);
	return status ? -1 : 0;
}

void free_map_free(struct free_map *f)
{
	ranges_free(&f->free);
	free(f->notes);
	*f = (struct free_map){ 0 };
}
