/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vdisk-machine: shows a machine's description, whatever system it is of, or writes it for another one.
 *
 * No image is opened, but for its size, which OVF must say and most others leave to the image.  A file that is written is complete
 * when it has its name.  What the new description cannot say goes to standard error, a line each, after everything has succeeded.
 */
#include "common/fail.h"
#include "common/percent.h"
#include "common/say.h"
#include "common/streams.h"
#include "common/write_all.h"
#include "chain.h"
#include "json.h"
#include "main_options.h"
#include "main_show.h"
#include "main_snapshots.h"

#include <errno.h>
#include <fcntl.h>
#include <json.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SHOWN_MAX 64 /* machines of one description; each takes reading it anew */

/* A pipe that nobody writes to would hold us for ever: those come as standard input. */
static int file_open(const char *path, vdisk_error *err)
{
	int fd = strcmp(path, "-") ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : dup(STDIN_FILENO);
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		fail_errno(err, "%s", path);
	else if (strcmp(path, "-") && !S_ISREG(st.st_mode))
		fail(err, VDISK_INVALID, "%s: is %s, no file (\"-\" reads standard input)", path,
		     S_ISDIR(st.st_mode) ? "a directory" : "a pipe or device");
	else
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

static char *bytes_read(const char *path, size_t *len, vdisk_error *err)
{
	int fd = file_open(path, err);
	char *bytes = fd < 0 ? NULL : malloc(DESCRIBE_MAX + 1);
	ssize_t n = 0;

	*len = 0;
	if (fd < 0)
		return NULL;
	while (bytes && *len <= DESCRIBE_MAX && (n = read(fd, bytes + *len, DESCRIBE_MAX + 1 - *len)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		*len += (size_t)n;
	}
	if (!bytes) {
		fail_nomem(err);
	} else if (n < 0) {
		fail_errno(err, "%s", path);
		free(bytes);
		bytes = NULL;
	}
	close(fd);
	return bytes;
}

struct machines {
	struct machine **at;
	size_t n;
	enum describe_kind kind;
};

static void machines_free(struct machines *l)
{
	for (size_t i = 0; i < l->n; i++)
		machine_free(l->at[i]);
	free(l->at);
}

/* The one that was asked for, or all that the description holds. */
static int machines_read(const struct machine_args *a, struct machines *l, vdisk_error *err)
{
	struct describe_read how = { a->from, strcmp(a->file, "-") ? a->file : NULL, a->system ? a->system - 1 : 0 };
	size_t len, total;
	char *bytes = bytes_read(a->file, &len, err);
	struct machine *m;
	int rc;

	*l = (struct machines){ 0 };
	if (!bytes)
		return -1;
	l->kind = how.kind = how.kind ? how.kind : describe_probe(bytes, len, how.name);
	rc = describe_read(bytes, len, &how, &m, err);
	total = rc || a->system || !m->systems ? 1 : m->systems;
	if (total > SHOWN_MAX) {
		rc = fail(err, VDISK_INVALID, "the description holds %zu machines: --system NUMBER says which", total);
		machine_free(m);
	}
	if (!rc) {
		l->at = calloc(total, sizeof(*l->at));
		if (!l->at) {
			machine_free(m);
			rc = fail_nomem(err);
		} else {
			l->at[l->n++] = m;
		}
	}
	while (!rc && l->n < total) {
		how.system = (unsigned)l->n;
		rc = describe_read(bytes, len, &how, &m, err);
		if (!rc)
			l->at[l->n++] = m;
	}
	free(bytes);
	return rc;
}

/* ---------------------------------------------------------------- writing */

/* Beside its name first; `force` may replace what has it. */
static int file_write(const char *path, const char *text, size_t len, bool force, vdisk_error *err)
{
	char temporary[PATH_MAX];
	int fd, n = snprintf(temporary, sizeof(temporary), "%s.%ld.partial", path, (long)getpid());

	if (n < 0 || (size_t)n >= sizeof(temporary))
		return fail(err, VDISK_INVALID, "the name is too long: %s", path);
	fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0)
		return fail_errno(err, "%s", temporary);
	if (write_all(fd, text, len) || fsync(fd)) {
		fail_errno(err, "%s", path);
		close(fd);
		unlink(temporary);
		return -1;
	}
	if (close(fd) || (force ? rename(temporary, path) : link(temporary, path))) {
		fail_errno(err, "%s", path);
		unlink(temporary);
		return -1;
	}
	if (!force)
		unlink(temporary);
	return 0;
}

/* Where relative names of the description start, for those kinds that want absolute ones. */
static void folder_find(const char *file, char folder[PATH_MAX])
{
	char name[PATH_MAX];
	const char *slash = strrchr(file, '/');

	*folder = '\0';
	if (!strcmp(file, "-"))
		return;
	snprintf(name, sizeof(name), "%.*s", slash ? slash == file ? 1 : (int)(slash - file) : 1, slash ? file : ".");
	if (!realpath(name, folder))
		*folder = '\0';
}

static void lost_say(const struct machine_lost_list *list, const char *when)
{
	for (size_t i = 0; i < list->n; i++) {
		const struct machine_lost *l = &list->at[i];

		say(LOG_NOTICE, "not carried over%s: %s%s%s%s%s%s", when, l->where, l->value ? ": " : "", l->value ? l->value : "",
		    l->why ? " (" : "", l->why ? l->why : "", l->why ? ")" : "");
	}
	if (list->more)
		say(LOG_NOTICE, "not carried over%s: more than is listed here", when);
}

/* OVF says how large disks and files are: of those that lie beside the description, the images tell. */
static void sizes_find(struct machine *m, const char *folder)
{
	struct vdisk_open_options open = { 0 };
	char path[PATH_MAX];
	vdisk_image *img;
	struct stat st;

	for (size_t i = 0; i < m->disks_n; i++) {
		struct machine_disk *d = &m->disks[i];
		int n = snprintf(path, sizeof(path), "%s/%s", folder, d->path ? d->path : "");

		if (!d->path || d->path_flags || n < 0 || (size_t)n >= sizeof(path) || stat(path, &st) || !S_ISREG(st.st_mode))
			continue;
		if (!d->file_size)
			d->file_size = (uint64_t)st.st_size;
		open.format = d->format && vdisk_format_find(d->format) ? d->format : NULL;
		if (d->size || d->medium != MACHINE_DISK || vdisk_open(path, &open, &img, NULL))
			continue;
		d->size = vdisk_size(img);
		vdisk_close(img, NULL);
	}
}

static int translate(const struct machine_args *a, struct machine *m, vdisk_error *err)
{
	struct describe_write how = a->write;
	struct machine_lost_list lost = { 0 };
	char folder[PATH_MAX], *text;
	size_t len = 0;
	int rc;

	folder_find(a->file, folder);
	how.folder = *folder ? folder : NULL;
	if (a->name)
		m->name = machine_text(m, a->name);
	if (a->to == DESCRIBE_OVF && *folder)
		sizes_find(m, folder);
	text = describe_write(m, a->to, &how, &len, &lost, err);
	if (!text)
		rc = -1;
	else if (a->out)
		rc = file_write(a->out, text, len, a->force, err);
	else
		rc = fwrite(text, 1, len, stdout) != len || fflush(stdout) ? fail_errno(err, "standard output") : 0;
	if (!rc && !a->quiet && a->to != DESCRIBE_JSON) {
		lost_say(&m->lost, " in reading");
		lost_say(&lost, "");
	}
	free(text);
	machine_lost_free(&lost);
	return rc;
}

/* ---------------------------------------------------------------- showing */

/* Where each disk's image is, as far as it may be opened. */
static void files_add(json_object *machine, const struct machine *m, const struct locate *where)
{
	json_object *disks = NULL;

	if (!json_object_object_get_ex(machine, "disks", &disks))
		return;
	for (size_t i = 0; i < m->disks_n && i < json_object_array_length(disks); i++) {
		const struct machine_disk *d = &m->disks[i];
		char *path = where->folder && d->path && !d->host ? machine_locate(where, d->path, NULL) : NULL;

		json_object_object_add(json_object_array_get_idx(disks, i), "file", path ? json_object_new_string(path) : NULL);
		free(path);
	}
}

static int json_show(const struct machines *l, const struct locate *where, vdisk_error *err)
{
	json_object *top = json_object_new_object(), *list = json_object_new_array();
	const char *text;
	int rc;

	for (size_t i = 0; i < l->n; i++) {
		json_object *machine = machine_json_make(l->at[i]);

		files_add(machine, l->at[i], where);
		json_object_array_add(list, machine);
	}
	json_object_object_add(top, "schema-version", json_object_new_int(MACHINE_JSON_SCHEMA));
	json_object_object_add(top, "machines", list);
	text = json_object_to_json_string_ext(top, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE);
	rc = !text ? fail_nomem(err) : puts(text) < 0 || fflush(stdout) ? fail_errno(err, "standard output") : 0;
	json_object_put(top);
	return rc;
}

/* An OVF's names that are there only when they are decoded: other descriptions have no such encoding. */
static void names_decode(struct machine *m, const struct locate *where)
{
	const struct locate plainly = { .folder = where->folder, .allow = where->allow };

	for (size_t i = 0; i < m->disks_n; i++) {
		struct machine_disk *d = &m->disks[i];
		char *there = d->path ? machine_locate(&plainly, d->path, NULL) : NULL,
		     *plain = d->path && !there ? percent_decode(d->path) : NULL,
		     *other = plain ? machine_locate(&plainly, plain, NULL) : NULL;

		if (other)
			machine_disk_path(m, d, plain);
		free(there);
		free(plain);
		free(other);
	}
}

/* What lies in other files than the description; of one from standard input nothing does. */
static int snapshots_find(const struct machine_args *a, struct machines *l, struct locate *where, char **folder, vdisk_error *err)
{
	int rc = 0;

	*where = (struct locate){ .allow = a->allow, .moved = l->kind == DESCRIBE_HYPERV, .uri = l->kind == DESCRIBE_OVF };
	*folder = NULL;
	if (!strcmp(a->file, "-"))
		return 0;
	where->folder = *folder = machine_folder(a->file, l->kind);
	if (!*folder)
		return fail_nomem(err);
	for (size_t i = 0; where->uri && i < l->n; i++)
		names_decode(l->at[i], where);
	for (size_t i = 0; !rc && i < l->n; i++)
		rc = snapshots_load(l->at[i], l->kind, a->file, where, err) ||
		                     (a->snapshots && snapshots_join(l->at[i], where, err))
		             ? -1
		             : 0;
	return rc;
}

static int run(const struct machine_args *a, vdisk_error *err)
{
	struct machines l;
	struct locate where;
	char *folder = NULL;
	int rc = machines_read(a, &l, err);

	rc = rc || snapshots_find(a, &l, &where, &folder, err) ? -1 : 0;
	if (!rc && a->snapshots && l.n > 1)
		rc = fail(err, VDISK_INVALID, "the description holds %zu machines: --system NUMBER says which", l.n);
	else if (!rc && a->snapshots)
		rc = snapshots_show(l.at[0], l.kind, a->file, &where, a->json, err);
	else if (!rc && a->to && l.n > 1)
		rc = fail(err, VDISK_INVALID, "the description holds %zu machines: --system NUMBER says which (1 is \"%.128s\")",
		          l.n, l.at[0]->name ? l.at[0]->name : "");
	else if (!rc && a->to)
		rc = translate(a, l.at[0], err);
	else if (!rc && a->json)
		rc = json_show(&l, &where, err);
	else
		for (size_t i = 0; !rc && i < l.n; i++)
			rc = machine_show(l.at[i], i > 0, a->quiet) ? fail_errno(err, "standard output") : 0;
	free(folder);
	machines_free(&l);
	return rc;
}

int main(int argc, char **argv)
{
	struct machine_args a;
	int rc = machine_args_parse(&a, argc, argv);
	vdisk_error err = { 0 };

	streams_secure();
	if (rc)
		return rc < 0 ? 2 : 0;
	say_open("vdisk machine", false);
	if (!run(&a, &err))
		return 0;
	if (strcmp(a.file, "-") && !strstr(err.message, a.file))
		say(LOG_ERR, "%s: %s", a.file, err.message);
	else
		say(LOG_ERR, "%s", err.message);
	return 2;
}
