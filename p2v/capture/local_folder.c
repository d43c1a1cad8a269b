/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "local_folder.h"

#include "common/fail.h"
#include "common/rename.h"
#include "machine/json.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DESCRIPTION ".machine.json" /* beside an image */

/* ---- where it is */

static const char *format_of(const struct local_options *o)
{
	const char *dot = strrchr(o->to, '.');
	const struct vdisk_format_info *f;

	if (o->format)
		return o->format;
	for (size_t i = 0; dot && !strchr(dot, '/') && (f = vdisk_format_get(i)); i++)
		for (const char *const *s = f->suffixes; s && *s; s++)
			if (!strcasecmp(*s, dot + 1))
				return f->name;
	return "qcow2";
}

/* Splits `to`; the parent is opened. */
static int place(struct local_folder *f, size_t n_disks, vdisk_error *err)
{
	const char *to = f->o->to, *slash, *image;
	struct stat st;
	size_t len = strlen(to);

	f->is_folder = !stat(to, &st) && S_ISDIR(st.st_mode);
	if (!f->is_folder && len && to[len - 1] == '/')
		return fail(err, VDISK_INVALID, "%s: there is no such folder", to);
	if (len >= sizeof(f->parent_path))
		return fail(err, VDISK_INVALID, "%.64s…: the name is too long", to);
	slash = strrchr(to, '/');
	if (f->is_folder)
		snprintf(f->parent_path, sizeof(f->parent_path), "%s", to);
	else if (slash)
		snprintf(f->parent_path, sizeof(f->parent_path), "%.*s", slash == to ? 1 : (int)(slash - to), to);
	else
		strcpy(f->parent_path, ".");
	f->parent = open(f->parent_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (f->parent < 0)
		return fail_errno(err, "%s", f->parent_path);
	if (f->is_folder)
		return 0;
	if (n_disks != 1)
		return fail(err, VDISK_INVALID, "%s: is no folder, which %zu disks want", to, n_disks);
	image = slash ? slash + 1 : to;
	if (strlen(image) + strlen(TRANSFER_FRESH(DESCRIPTION)) > NAME_MAX) /* the longest of all names */
		return fail(err, VDISK_INVALID, "%.64s…: the name is too long", to);
	snprintf(f->name, sizeof(f->name), "%s" TRANSFER_PARTIAL, image);
	return 0;
}

static bool is_ours(const struct transfer_state *s, const struct local_folder *f, const char *machine,
                    const struct sink_disk *disks, size_t n)
{
	bool same = !s->received && !strcmp(s->machine, machine) && !strcmp(s->format, f->state.format) && s->n_disks == n;

	for (size_t i = 0; same && i < n; i++)
		same = !strcmp(s->disks[i].name, disks[i].name) && s->disks[i].size == disks[i].size;
	return same;
}

/* Opens the folder `name` if it is the one that this capture can go on in: 1, 0, or -1. */
static int look(struct local_folder *f, const char *name, const struct sink_disk *disks, size_t n, vdisk_error *err)
{
	struct transfer_state s;
	int dir = openat(f->parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (dir < 0)
		return 0;
	if (transfer_state_read(dir, &s, err) || !is_ours(&s, f, f->state.machine, disks, n)) {
		transfer_state_free(&s);
		close(dir);
		return 0;
	}
	if (flock(dir, LOCK_EX | LOCK_NB)) {
		close(dir);
		transfer_state_free(&s);
		return fail(err, VDISK_BUSY, "%s/%s: another capture of this machine writes there", f->parent_path, name);
	}
	transfer_state_free(&f->state);
	f->state = s;
	f->dir = dir;
	if (name != f->name)
		snprintf(f->name, sizeof(f->name), "%s", name);
	return 1;
}

static int search(struct local_folder *f, const struct sink_disk *disks, size_t n, vdisk_error *err)
{
	DIR *d;
	int rc = 0;

	if (!f->is_folder)
		return look(f, f->name, disks, n, err);
	d = opendir(f->parent_path);
	for (struct dirent *e; d && !rc && (e = readdir(d));) {
		size_t len = strlen(e->d_name), end = strlen(TRANSFER_PARTIAL);

		if (len > end && !strcmp(e->d_name + len - end, TRANSFER_PARTIAL))
			rc = look(f, e->d_name, disks, n, err);
	}
	if (d)
		closedir(d);
	return rc;
}

/* ---- made */

/* What a kill left of the folder before there was a capture.json in it, or when there was none any more. */
static void leftover_remove(const struct local_folder *f)
{
	int dir = openat(f->parent, f->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (dir < 0)
		return;
	if (!flock(dir, LOCK_EX | LOCK_NB) && faccessat(dir, TRANSFER_STATE_FILE, F_OK, AT_SYMLINK_NOFOLLOW) && errno == ENOENT) {
		unlinkat(dir, TRANSFER_FRESH(TRANSFER_STATE_FILE), 0);
		unlinkat(f->parent, f->name, AT_REMOVEDIR); /* which it must be empty for */
	}
	close(dir);
}

static int folder_mkdir(const struct local_folder *f, vdisk_error *err)
{
	if (!mkdirat(f->parent, f->name, 0700))
		return 0;
	if (errno == EEXIST && !f->is_folder) {
		leftover_remove(f);
		if (!mkdirat(f->parent, f->name, 0700))
			return 0;
	}
	return fail_errno(err, "%s/%s", f->parent_path, f->name);
}

static int folder_make(struct local_folder *f, vdisk_error *err)
{
	char plain[TRANSFER_FOLDER_MAX];
	uint8_t id[16];

	if (getrandom(id, sizeof(id), 0) != sizeof(id))
		return fail_errno(err, "random bytes");
	transfer_hex(id, sizeof(id), f->state.id);
	f->state.begun = (uint64_t)time(NULL);
	transfer_folder_make(f->o->host, f->o->uuid, (time_t)f->state.begun, f->state.folder);
	snprintf(plain, sizeof(plain), "%s", f->state.folder);
	for (unsigned i = 2; f->is_folder; i++) { /* the machine may have been captured today */
		snprintf(f->name, sizeof(f->name), "%s" TRANSFER_PARTIAL, f->state.folder);
		if (faccessat(f->parent, f->state.folder, F_OK, AT_SYMLINK_NOFOLLOW) &&
		    faccessat(f->parent, f->name, F_OK, AT_SYMLINK_NOFOLLOW))
			break;
		snprintf(f->state.folder, sizeof(f->state.folder), "%.*s-%u", (int)sizeof(plain) - 12, plain, i);
	}
	if (folder_mkdir(f, err))
		return -1;
	f->dir = openat(f->parent, f->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (f->dir < 0 || flock(f->dir, LOCK_EX | LOCK_NB))
		return fail_errno(err, "%s/%s", f->parent_path, f->name);
	return 0;
}

/* A killed run may have reserved space that nothing uses: it is given back.  Formats that cannot be checked have none such. */
static int leaks_mend(const char *path, const char *format, vdisk_error *err)
{
	struct vdisk_open_options o = { .format = format, .flags = VDISK_OPEN_RW | VDISK_OPEN_CHECK };
	struct vdisk_check_result r;
	vdisk_image *img;
	int rc;

	if (vdisk_open(path, &o, &img, err))
		return -1;
	rc = vdisk_check(img, VDISK_CHECK_REPAIR_LEAKS, NULL, NULL, &r, err);
	if (rc && err && err->kind == VDISK_UNSUPPORTED)
		rc = 0;
	else if (!rc && r.corruptions > r.corruptions_fixed)
		rc = fail(err, VDISK_CORRUPT, "%s: is damaged: nothing can be added to it", path);
	return vdisk_close(img, rc ? NULL : err) || rc ? -1 : 0;
}

/* The image and its list, opened, or made: an image without a list has nothing that counts. */
static int disk_open_both(struct local_folder *f, size_t i, vdisk_error *err)
{
	struct vdisk_create_options make = { .format = f->state.format,
		                             .size = f->state.disks[i].size,
		                             .flags = VDISK_CREATE_OVERWRITE };
	struct vdisk_open_options o = { .format = f->state.format, .flags = VDISK_OPEN_RW };
	char path[sizeof(f->path) + TRANSFER_FILE_MAX], leaves[TRANSFER_FILE_MAX];
	struct local_disk *d = &f->disks[i];
	struct stat st;
	uint64_t size;
	bool fresh;

	transfer_file(f->state.disks[i].name, f->state.format, d->file);
	transfer_file(f->state.disks[i].name, "leaves", leaves);
	snprintf(path, sizeof(path), "%s/%s", f->path, d->file);
	fresh = fstatat(f->dir, leaves, &st, AT_SYMLINK_NOFOLLOW) || !st.st_size; /* empty: it was killed when it had just made
	                                                                             it */
	if (fresh && unlinkat(f->dir, leaves, 0) && errno != ENOENT)
		return fail_errno(err, "%s/%s", f->path, leaves);
	if (fresh ? vdisk_create(path, &make, &size, err) : leaks_mend(path, f->state.format, err))
		return -1;
	if (vdisk_open(path, &o, &d->img, err))
		return -1;
	if (vdisk_size(d->img) != f->state.disks[i].size)
		return fail(err, VDISK_UNSUPPORTED, "%s: %s cannot hold a disk of %" PRIu64 " bytes, only of %" PRIu64, path,
		            f->state.format, f->state.disks[i].size, vdisk_size(d->img));
	return transfer_leaves_open(&d->leaves, f->dir, leaves, f->state.disks[i].size, fresh, err);
}

static int state_fill(struct local_folder *f, const struct sink_disk *disks, size_t n, vdisk_error *err)
{
	struct transfer_state *s = &f->state;
	const struct vdisk_format_info *format = vdisk_format_find(format_of(f->o));

	if (!format)
		return fail(err, VDISK_INVALID, "there is no format \"%s\"", format_of(f->o));
	if ((format->caps & (VDISK_FORMAT_WRITE | VDISK_FORMAT_CREATE)) != (VDISK_FORMAT_WRITE | VDISK_FORMAT_CREATE))
		return fail(err, VDISK_UNSUPPORTED, "%s: disks cannot be captured into that format", format->name);
	snprintf(s->format, sizeof(s->format), "%s", format->name);
	transfer_name_make(f->o->host, s->host);
	transfer_name_make(f->o->uuid, s->machine);
	s->n_disks = n;
	for (size_t i = 0; i < n; i++) {
		snprintf(s->disks[i].name, sizeof(s->disks[i].name), "%s", disks[i].name);
		s->disks[i].size = disks[i].size;
	}
	return 0;
}

/* Whether the format can hold them, before anything is made. */
static int disks_judge(const struct local_folder *f, vdisk_error *err)
{
	char file[TRANSFER_FILE_MAX], path[PATH_MAX];

	for (size_t i = 0; i < f->state.n_disks; i++) {
		const uint64_t size = f->state.disks[i].size;
		struct vdisk_create_options make = { .format = f->state.format,
			                             .size = size,
			                             .flags = VDISK_CREATE_OVERWRITE | VDISK_CREATE_DRY_RUN |
			                                      VDISK_CREATE_ROUND_UP };
		uint64_t room;

		transfer_file(f->state.disks[i].name, f->state.format, file);
		if ((size_t)snprintf(path, sizeof(path), "%s/%s", f->parent_path, file) >= sizeof(path))
			return fail(err, VDISK_INVALID, "%.64s…: the name is too long", f->parent_path);
		if (vdisk_create(path, &make, &room, err))
			return -1;
		if (room != size)
			return fail(err, VDISK_UNSUPPORTED,
			            "%s: %s holds no disk of %" PRIu64 " bytes, which is no whole number of sectors: -O raw does",
			            f->state.disks[i].name, f->state.format, size);
	}
	return 0;
}

int local_folder_open(struct local_folder *f, const struct local_options *o, const char *machine, struct sink_disk *disks, size_t n,
                      bool *found, vdisk_error *err)
{
	struct stat st;
	int rc;

	*f = (struct local_folder){ .o = o, .parent = -1, .dir = -1 };
	f->disks = calloc(n, sizeof(*f->disks));
	if (!f->disks)
		return fail_nomem(err);
	for (size_t i = 0; i < n; i++)
		f->disks[i].leaves.fd = -1;
	if (place(f, n, err) || state_fill(f, disks, n, err) || (rc = search(f, disks, n, err)) < 0)
		return -1;
	*found = rc;
	if (!f->is_folder && !o->overwrite && !f->state.whole && !lstat(o->to, &st))
		return fail(err, VDISK_REFUSED, "%s: exists; --force replaces it", o->to);
	if (!*found && (disks_judge(f, err) || folder_make(f, err) || transfer_state_write(f->dir, &f->state, err)))
		return -1;
	if ((size_t)snprintf(f->path, sizeof(f->path), "%s/%s", f->parent_path, f->name) >= sizeof(f->path))
		return fail(err, VDISK_INVALID, "%.64s…: the name is too long", f->parent_path);
	if (f->state.whole) {
		for (size_t i = 0; i < n; i++)
			if (transfer_pass_load(f->dir, disks[i].name, disks[i].size, &disks[i].last, err))
				return -1;
		return 0;
	}
	for (size_t i = 0; i < n; i++)
		if (disk_open_both(f, i, err) || transfer_leaves_count(&f->disks[i].leaves, &disks[i].have, err))
			return -1;
	return transfer_file_write(f->dir, TRANSFER_MACHINE_FILE, machine, strlen(machine), err);
}

/* ---- whole */

static int images_close(struct local_folder *f, vdisk_error *err)
{
	for (size_t i = 0; i < f->state.n_disks; i++) {
		vdisk_image *img = f->disks[i].img;

		f->disks[i].img = NULL;
		if (vdisk_flush(img, err)) {
			vdisk_close(img, NULL);
			return -1;
		}
		if (vdisk_close(img, err))
			return -1;
	}
	return 0;
}

/* The machine's description, with the disks' images in it: `prefix` and their names, or `image` for the one disk. */
static int machine_write(struct local_folder *f, const char *machine, const char *image, int dir, const char *file,
                         vdisk_error *err)
{
	struct machine *m;
	char *text;
	int rc;

	if (machine_json_read(machine, strlen(machine), &m, err))
		return -1;
	for (size_t i = 0; i < f->state.n_disks; i++) {
		struct machine_disk *d = machine_disk_find(m, f->state.disks[i].name);

		if (d) {
			d->format = machine_text(m, f->state.format);
			machine_disk_path(m, d, image ? image : f->disks[i].file);
			d->host = false;
		}
	}
	text = machine_judge(m, err) ? NULL : machine_json_write(m);
	rc = text ? transfer_file_write(dir, file, text, strlen(text), err) : err->kind ? -1 : fail_nomem(err);
	free(text);
	machine_free(m);
	return rc;
}

static void list_remove(struct local_folder *f, size_t i, const char *ending)
{
	char name[TRANSFER_FILE_MAX];

	transfer_file(f->state.disks[i].name, ending, name);
	unlinkat(f->dir, name, 0);
}

/* The image of the one disk moves out to its description, and the folder goes; what a kill left of it says to the end that it was
   whole. */
static int image_settle(struct local_folder *f, vdisk_error *err)
{
	const char *slash = strrchr(f->o->to, '/'), *image = slash ? slash + 1 : f->o->to;
	char file[TRANSFER_FILE_MAX];

	transfer_file(f->state.disks[0].name, f->state.format, file);
	if (!faccessat(f->dir, file, F_OK, AT_SYMLINK_NOFOLLOW) &&
	    (f->o->overwrite ? renameat(f->dir, file, f->parent, image) : rename_new(f->dir, file, f->parent, image)))
		return errno == EEXIST ? fail(err, VDISK_REFUSED, "%s: exists; --force replaces it", f->o->to)
		                       : fail_errno(err, "%s", f->o->to);
	if (fsync(f->parent))
		return fail_errno(err, "%s", f->parent_path);
	list_remove(f, 0, "leaves");
	unlinkat(f->dir, TRANSFER_MACHINE_FILE, 0);
	list_remove(f, 0, "pass");
	unlinkat(f->dir, TRANSFER_STATE_FILE, 0);
	unlinkat(f->parent, f->name, AT_REMOVEDIR);
	snprintf(f->path, sizeof(f->path), "%s", f->o->to);
	return 0;
}

int local_folder_settle(struct local_folder *f, vdisk_error *err)
{
	if (!f->is_folder)
		return image_settle(f, err);
	for (size_t i = 0; i < f->state.n_disks; i++)
		list_remove(f, i, "leaves");
	if (rename_new(f->parent, f->name, f->parent, f->state.folder) || fsync(f->parent))
		return fail_errno(err, "%s/%s", f->parent_path, f->state.folder);
	snprintf(f->path, sizeof(f->path), "%s/%s", f->parent_path, f->state.folder);
	return 0;
}

/* Beside the image. */
static int image_describe(struct local_folder *f, const char *machine, vdisk_error *err)
{
	const char *slash = strrchr(f->o->to, '/'), *image = slash ? slash + 1 : f->o->to;
	char description[NAME_MAX + 1];

	if ((size_t)snprintf(description, sizeof(description), "%s" DESCRIPTION, image) >= sizeof(description))
		return fail(err, VDISK_INVALID, "%s: the name is too long", image);
	return machine_write(f, machine, image, f->parent, description, err);
}

static int folder_describe(struct local_folder *f, const char *machine, vdisk_error *err)
{
	char name[TRANSFER_FILE_MAX];

	for (size_t i = 0; i < f->state.n_disks; i++) {
		transfer_file(f->state.disks[i].name, "manifest", name);
		if (transfer_leaves_manifest(&f->disks[i].leaves, f->dir, name, err))
			return -1;
	}
	return machine_write(f, machine, NULL, f->dir, TRANSFER_MACHINE_FILE, err);
}

int local_folder_finish(struct local_folder *f, const char *machine, vdisk_error *err)
{
	if (images_close(f, err) || (f->is_folder ? folder_describe(f, machine, err) : image_describe(f, machine, err)))
		return -1;
	f->state.whole = true;
	f->state.ended = (uint64_t)time(NULL);
	return transfer_state_write(f->dir, &f->state, err) ? -1 : local_folder_settle(f, err);
}

void local_folder_close(struct local_folder *f)
{
	for (size_t i = 0; f->disks && i < f->state.n_disks; i++) {
		if (f->disks[i].img)
			vdisk_close(f->disks[i].img, NULL);
		if (f->disks[i].leaves.fd >= 0)
			transfer_leaves_close(&f->disks[i].leaves);
	}
	free(f->disks);
	transfer_state_free(&f->state);
	if (f->dir >= 0)
		close(f->dir);
	if (f->parent >= 0)
		close(f->parent);
}
