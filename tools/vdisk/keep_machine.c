/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vdisk-machine reads the description, for this program knows no XML; its message, where it fails, is ours. */
#include "keep_machine.h"
#include "external.h"
#include "output.h"
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_MAX (16u << 20)

static bool same_file(const char *a, const char *b)
{
	struct stat x, y;
	return !stat(a, &x) && !stat(b, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static const char *text_of(struct json_object *o, const char *key)
{
	struct json_object *v = json_object_object_get(o, key);
	return v ? json_object_get_string(v) : NULL;
}

static size_t list_n(struct json_object *list)
{
	return json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
}

/* ---------------------------------------------------------------- asking */

static char *answer_read(int fd)
{
	size_t n = 0, cap = 64 << 10;
	char *text = tool_realloc(NULL, cap);
	for (;;) {
		ssize_t r = read(fd, text + n, cap - 1 - n);
		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0 || n + (size_t)r >= ANSWER_MAX)
			break;
		n += (size_t)r;
		if (n + 1 == cap)
			text = tool_realloc(text, cap *= 2);
	}
	text[n] = '\0';
	return text;
}

/* NULL: it failed, and said why. */
static struct json_object *ask(const char *file, const struct opt_list *allow)
{
	char path[EXTERNAL_PATH];
	const char **argv = tool_realloc(NULL, (6 + 2 * allow->n) * sizeof(*argv));
	size_t n = 0;
	int fds[2], status;
	argv[n++] = external_path("machine", path);
	argv[n++] = "--snapshots";
	argv[n++] = "--json";
	for (size_t i = 0; i < allow->n; i++) {
		argv[n++] = "--allow-parent";
		argv[n++] = allow->v[i];
	}
	argv[n++] = "--";
	argv[n++] = file;
	argv[n] = NULL;
	pid_t pid = pipe2(fds, O_CLOEXEC) ? -1 : run_start(argv, fds[1], STDERR_FILENO);
	free(argv);
	if (pid < 0) {
		fail("vdisk-machine could not be started");
		return NULL;
	}
	close(fds[1]);
	char *text = answer_read(fds[0]);
	close(fds[0]);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	struct json_object *o = WIFEXITED(status) && !WEXITSTATUS(status) ? json_tokener_parse(text) : NULL;
	free(text);
	if (WIFEXITED(status) && WEXITSTATUS(status) == RUN_MISSING)
		fail("%s: vdisk-machine, which reads it, is not installed", file);
	else if (WIFEXITED(status) && !WEXITSTATUS(status) && !o)
		fail("%s: vdisk-machine's answer is none", file);
	else if (!WIFEXITED(status))
		fail("%s: vdisk-machine was killed", file);
	return o;
}

/* ---------------------------------------------------------------- the disk */

static int chain_take(struct keep_machine *k, const char *file, const char *src, const char **disk)
{
	struct json_object *disks = json_object_object_get(k->said, "disks");
	for (size_t i = 0; i < list_n(disks); i++) {
		struct json_object *d = json_object_array_get_idx(disks, i), *above = json_object_object_get(d, "ancestors");
		if (!text_of(d, "path") || !same_file(text_of(d, "path"), src))
			continue;
		*disk = text_of(d, "disk");
		for (size_t n = 0; n < list_n(above); n++) {
			const char *path = json_object_get_string(json_object_array_get_idx(above, n));
			opt_list_add(&k->ancestors, path, strlen(path));
		}
		return 0;
	}
	return fail("%s: none of the machine's disks is %s now", file, src);
}

/* When it was, as seconds since 1970. */
static uint64_t date_of(struct json_object *row)
{
	const char *text = text_of(row, "date");
	struct tm tm = { 0 };
	time_t t = text && strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm) ? timegm(&tm) : 0;
	return t > 0 ? (uint64_t)t : 0;
}

/* Cut between characters. */
static const char *name_of(struct json_object *row)
{
	const char *name = text_of(row, "name") ? text_of(row, "name") : text_of(row, "id");
	size_t n = strlen(name);
	if (n <= VDISK_SNAPSHOT_NAME_MAX)
		return name;
	for (n = VDISK_SNAPSHOT_NAME_MAX; n && ((unsigned char)name[n] & 0xc0) == 0x80; n--)
		;
	warn("the snapshot \"%s\" is called by the first %zu bytes of its name", name, n);
	json_object_object_add(row, "name", json_must(json_object_new_string_len(name, (int)n)));
	return text_of(row, "name");
}

/* The snapshot whose image it is already, or NULL. */
static const char *taken_by(const struct keep_machine *k, const char *path)
{
	for (size_t n = 0; n < k->n_names; n++)
		if (same_file(k->names[n].path, path))
			return k->names[n].name;
	return NULL;
}

static const char **list_make(struct json_object *list)
{
	const char **v = tool_realloc(NULL, (list_n(list) + 1) * sizeof(*v));
	for (size_t i = 0; i < list_n(list); i++)
		v[i] = json_object_get_string(json_object_array_get_idx(list, i));
	v[list_n(list)] = NULL;
	return v;
}

/* Below the disk or not: an image that is none of the disk's chain is a branch, whose own chain counts. */
static void snapshot_take(struct keep_machine *k, struct json_object *row, const char *src, const char *disk)
{
	struct json_object *files = json_object_object_get(row, "files");
	const char *said = text_of(row, "name") ? text_of(row, "name") : text_of(row, "id");
	for (size_t i = 0; i < list_n(files); i++) {
		struct json_object *f = json_object_array_get_idx(files, i);
		const char *path = text_of(f, "path"), *of = text_of(f, "disk");
		if (!path || !of || strcmp(of, disk))
			continue;
		if (same_file(path, src)) {
			warn("the snapshot \"%s\" is left out: its image is the disk itself, which was written to since", said);
			continue;
		}
		if (taken_by(k, path)) {
			warn("the snapshot \"%s\" has the same image as \"%s\", whose name it keeps", said, taken_by(k, path));
			continue;
		}
		k->lists[k->n_names] = list_make(json_object_object_get(f, "ancestors"));
		k->names[k->n_names] = (struct vdisk_keep_name){
			.path = path, .name = name_of(row), .description = text_of(row, "description"), .date_sec = date_of(row),
			.format = text_of(f, "format"), .ancestors = k->lists[k->n_names],
		};
		k->n_names++;
	}
}

int keep_machine_find(struct keep_machine *k, const char *file, const char *src, const struct opt_list *allow_dirs)
{
	const char *disk = NULL;
	*k = (struct keep_machine){ .said = ask(file, allow_dirs) };
	if (!k->said || chain_take(k, file, src, &disk))
		return EXIT_TROUBLE;
	struct json_object *rows = json_object_object_get(k->said, "snapshots");
	size_t files = 0;
	for (size_t i = 0; i < list_n(rows); i++)
		files += list_n(json_object_object_get(json_object_array_get_idx(rows, i), "files"));
	k->names = tool_realloc(NULL, (files + 1) * sizeof(*k->names));
	k->lists = tool_realloc(NULL, (files + 1) * sizeof(*k->lists));
	for (size_t i = 0; disk && i < list_n(rows); i++)
		snapshot_take(k, json_object_array_get_idx(rows, i), src, disk);
	return 0;
}

void keep_machine_free(struct keep_machine *k)
{
	opt_list_free(&k->ancestors);
	for (size_t i = 0; i < k->n_names; i++)
		free(k->lists[i]);
	free(k->lists);
	free(k->names);
	json_object_put(k->said);
}
