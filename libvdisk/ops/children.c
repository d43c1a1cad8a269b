/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who lies over an image: the list in its attribute, and the look around. */
#include "ops/children.h"
#include "base/alloc.h"
#include "base/path.h"
#include "io/local.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#define CHILDREN "user.vdisk.children"
#define CHILDREN_MAX 65536 /* what the kernel allows for an attribute */
#define FOLDER_MAX 65536

/* ---------------------------------------------------------------- paths */

bool vd_same_path(const char *a, const char *b)
{
	struct stat x, y;

	return !stat(a, &x) && !stat(b, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

bool vd_paths_has(const struct vd_paths *p, const char *path)
{
	for (size_t i = 0; i < p->n; i++)
		if (!strcmp(p->v[i], path) || vd_same_path(p->v[i], path))
			return true;
	return false;
}

int vd_paths_add(struct vd_paths *p, const char *path, vd_error *err)
{
	char *copy, **more;

	if (vd_paths_has(p, path))
		return 0;
	if (p->n == p->cap) {
		more = vd_realloc(p->v, p->cap ? p->cap * 2 : 8, sizeof(*more));
		if (!more)
			return vd_fail_nomem(err, p->cap * 2 * sizeof(*more));
		p->v = more;
		p->cap = p->cap ? p->cap * 2 : 8;
	}
	copy = vd_strdup(path);
	if (!copy)
		return vd_fail_nomem(err, strlen(path));
	p->v[p->n++] = copy;
	return 0;
}

void vd_paths_drop(struct vd_paths *p, const char *path)
{
	for (size_t i = 0; i < p->n;) {
		if (strcmp(p->v[i], path)) {
			i++;
			continue;
		}
		vd_free(p->v[i]);
		p->v[i] = p->v[--p->n];
	}
}

void vd_paths_free(struct vd_paths *p)
{
	for (size_t i = 0; i < p->n; i++)
		vd_free(p->v[i]);
	vd_free(p->v);
	*p = (struct vd_paths){ 0 };
}

int vd_path_real(const char *path, char **out, vd_error *err)
{
	VD_AUTO_FREE char *dir = vd_folder_of(path);
	char real[PATH_MAX];

	*out = NULL;
	if (!dir)
		return vd_fail_nomem(err, strlen(path));
	if (vd_local_judge(path, err))
		return -1;
	if (realpath(path, real)) {
		*out = vd_strdup(real);
	} else {
		if (!realpath(dir, real))
			return vd_fail_errno(err, errno, VDISK_NO_OFFSET, "%s", dir);
		*out = vd_asprintf("%s/%s", strcmp(real, "/") ? real : "", vd_base_name(path));
	}
	return *out ? 0 : vd_fail_nomem(err, strlen(path));
}

/* ---------------------------------------------------------------- the list */

/* Returns owned, "" where there is none; *can false: the file system has no such attributes. */
static int list_get(const char *path, char **list, bool *can, vd_error *err)
{
	ssize_t n;

	*can = true;
	*list = vd_calloc(1, CHILDREN_MAX + 2);
	if (!*list)
		return vd_fail_nomem(err, CHILDREN_MAX);
	n = getxattr(path, CHILDREN, *list, CHILDREN_MAX);
	if (n >= 0) {
		(*list)[n] = '\0';
		return 0;
	}
	(*list)[0] = '\0';
	*can = errno != ENOTSUP;
	return errno == ENODATA || errno == ENOTSUP
	               ? 0
	               : vd_fail_errno(err, errno, VDISK_NO_OFFSET, "%s: attribute %s", path, CHILDREN);
}

static int list_put(const char *path, const char *list, vd_error *err)
{
	int rc = *list ? setxattr(path, CHILDREN, list, strlen(list), 0) : removexattr(path, CHILDREN);

	if (rc && errno != ENODATA && errno != ENOTSUP)
		return vd_fail_errno(err, errno, VDISK_NO_OFFSET, "%s: attribute %s", path, CHILDREN);
	return 0;
}

/* The line of the list that is `child`; NULL: none. */
static char *list_find(char *list, const char *child)
{
	size_t n = strlen(child);

	for (char *at = list; n && (at = strstr(at, child)); at++)
		if ((at == list || at[-1] == '\n') && (!at[n] || at[n] == '\n'))
			return at;
	return NULL;
}

/* What the list of the image at `path` calls `child`: *whole (owned), and *brief, which is the same but where it lies in the image's
   folder or below.  Lists get the brief one, since folders are moved and renamed as they are. */
static int names_make(const char *path, const char *child, char **whole, const char **brief, vd_error *err)
{
	VD_AUTO_FREE char *image = NULL;
	size_t folder;

	if (vd_path_real(path, &image, err) || vd_path_real(child, whole, err))
		return -1;
	folder = (size_t)vd_folder_length(image);
	*brief = strncmp(*whole, image, folder) ? *whole : *whole + folder;
	return 0;
}

/* Its line, by either name; NULL: none. */
static char *names_find(char *list, const char *whole, const char *brief)
{
	char *at = list_find(list, brief);

	return at ? at : list_find(list, whole);
}

int vd_children_add(const char *path, const char *child, vd_error *err)
{
	VD_AUTO_FREE char *list = NULL, *longer = NULL, *whole = NULL;
	const char *brief;
	size_t n;
	bool can;

	if (names_make(path, child, &whole, &brief, err) || list_get(path, &list, &can, err))
		return -1;
	if (!can || names_find(list, whole, brief))
		return 0;
	n = strlen(list);
	longer = vd_asprintf("%s%s%s\n", list, n && list[n - 1] != '\n' ? "\n" : "", brief);
	return longer ? list_put(path, longer, err) : vd_fail_nomem(err, n);
}

int vd_children_protect(vdisk_image *img, const char *child, vd_error *err)
{
	struct stat st;
	int fd = img->top->files[0]->fd;

	if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode))
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "%s: is no file, and cannot be protected as a parent",
		               img->path);
	if (vd_children_add(img->top->path, child, err))
		return -1;
	for (unsigned i = 0; i < img->top->n_files; i++) {
		fd = img->top->files[i]->fd;
		if (fstat(fd, &st) || fchmod(fd, st.st_mode & 07555))
			return vd_fail_errno(err, errno, VDISK_NO_OFFSET, "%s: cannot take the write permission away",
					     img->top->files[i]->name);
	}
	return 0;
}

/* All files of an image that lost its last child. */
static int files_unprotect(const char *path, vd_error *err)
{
	const struct vdisk_open_options o = { .flags = VDISK_OPEN_INFO | VDISK_OPEN_NO_PARENT | VDISK_OPEN_NO_LOCK };
	vdisk_image *img;
	int rc = 0;

	if (vdisk_open(path, &o, &img, err))
		return -1;
	for (unsigned i = 0; !rc && i < img->top->n_files; i++) {
		int fd = img->top->files[i]->fd;
		struct stat st;

		if (fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode) && fchmod(fd, (st.st_mode & 07777) | 0200))
			rc = vd_fail_errno(err, errno, VDISK_NO_OFFSET, "%s: cannot give the write permission back",
					   img->top->files[i]->name);
	}
	vdisk_close(img, NULL);
	return rc;
}

int vd_children_remove(const char *path, const char *child, vd_error *err)
{
	VD_AUTO_FREE char *list = NULL, *whole = NULL;
	const char *brief;
	char *at, *end;
	bool can;

	if (names_make(path, child, &whole, &brief, err) || list_get(path, &list, &can, err))
		return -1;
	at = names_find(list, whole, brief);
	if (!at)
		return 0;
	end = strchr(at, '\n');
	memmove(at, end ? end + 1 : at + strlen(at), end ? strlen(end) : 1);
	if (list_put(path, list, err))
		return -1;
	return *list ? 0 : files_unprotect(path, err);
}

static void move_tell(const vdisk_image *img, const vd_error *why)
{
	if (img->log)
		img->log(img->log_ctx, VDISK_LOG_WARNING, why->message);
}

void vd_children_move(const vdisk_image *log, const char *child, const char *from, const char *to)
{
	VD_AUTO_FREE char *real = NULL, *list = NULL;
	vd_error why = { 0 };
	bool can;

	if (vd_path_real(child, &real, &why) || (to && list_get(to, &list, &can, &why)) ||
	    (to && *list && vd_children_add(to, real, &why)) ||
	    (from && (!to || !vd_same_path(from, to)) && vd_children_remove(from, real, &why)))
		move_tell(log, &why);
}

int vd_children_clear(const char *path, mode_t mode, vd_error *err)
{
	if (chmod(path, mode))
		return vd_fail_errno(err, errno, VDISK_NO_OFFSET, "%s: cannot give the write permission back", path);
	return list_put(path, "", err);
}

/* ---------------------------------------------------------------- the search */

const char **vd_dirs_with(const char *const *dirs, const char *path, vd_error *err)
{
	size_t n = 0, slash = (size_t)vd_folder_length(path), len = slash > 1 ? slash - 1 : 1;
	const char **all;
	char *folder;

	while (dirs && dirs[n])
		n++;
	all = vd_calloc(1, (n + 2) * sizeof(*all) + len + 1);
	if (!all) {
		vd_fail_nomem(err, n * sizeof(*all) + len);
		return NULL;
	}
	folder = (char *)(all + n + 2);
	memcpy(folder, slash ? path : ".", len);
	for (size_t i = 0; i < n; i++)
		all[i] = dirs[i];
	all[n] = folder;
	return all;
}

bool vd_children_is(const char *child, const char *path, const struct vdisk_open_options *o)
{
	struct vdisk_open_options open = { .flags = VDISK_OPEN_INFO | VDISK_OPEN_CHAIN | VDISK_OPEN_NO_LOCK };
	VD_AUTO_FREE const char **dirs = vd_dirs_with(o ? o->allow_dirs : NULL, path, NULL);
	vdisk_image *img;
	bool is;

	open.allow_dirs = dirs;
	if (o)
		open.parent_map = o->parent_map;
	if (vd_image_open_part(child, &open, 2, &img, NULL))
		return false;
	is = vd_same_path(img->chain[1]->path, path);
	vdisk_close(img, NULL);
	return is;
}

static bool suffix_known(const char *name)
{
	const char *dot = strrchr(name, '.');
	const struct vdisk_format_info *f;

	for (size_t i = 0; dot && dot != name && (f = vdisk_format_get(i)); i++)
		for (const char *const *s = f->caps & VDISK_FORMAT_BACKING ? f->suffixes : NULL; s && *s; s++)
			if (!strcasecmp(*s, dot + 1))
				return true;
	return false;
}

/* Whoever lies over it; all of them (`any`). */
static int folder_search(const char *path, const struct vdisk_open_options *o, bool any, struct vd_paths *out, vd_error *err)
{
	VD_AUTO_FREE char *dir = vd_strndup(path, (size_t)vd_folder_length(path));
	unsigned seen = 0;
	struct dirent *e;
	int rc = 0;
	DIR *d;

	if (!dir)
		return vd_fail_nomem(err, strlen(path));
	d = opendir(*dir ? dir : ".");
	if (!d)
		return vd_fail_errno(err, errno, VDISK_NO_OFFSET, "%s", *dir ? dir : ".");
	while (!rc && (e = readdir(d))) {
		VD_AUTO_FREE char *name = vd_asprintf("%s%s", dir, e->d_name);

		if (!name)
			rc = vd_fail_nomem(err, strlen(dir));
		else if (++seen > FOLDER_MAX)
			rc = vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
				     "%s: has more than %u files: who lies over %s is not looked for", dir, FOLDER_MAX, path);
		else if (suffix_known(e->d_name) && !vd_same_path(name, path) && (any || vd_children_is(name, path, o)))
			rc = vd_paths_add(out, name, err); /* path is without links where it matters, and so is this */
	}
	closedir(d);
	return rc;
}

static int children_search(const char *path, const struct vdisk_open_options *o, bool any, struct vd_paths *out, vd_error *err)
{
	VD_AUTO_FREE char *list = NULL, *image = NULL;
	bool can;

	if (folder_search(path, o, any, out, err) || list_get(path, &list, &can, err) || vd_path_real(path, &image, err))
		return -1;
	for (char *at = list, *end; *at; at = end) {
		VD_AUTO_FREE char *name = NULL;

		end = strchr(at, '\n');
		end = end ? end : at + strlen(at);
		if (*end)
			*end++ = '\0';
		name = vd_asprintf("%.*s%s", *at == '/' ? 0 : vd_folder_length(image), image, at);
		if (!name)
			return vd_fail_nomem(err, strlen(at));
		if ((any || vd_children_is(name, path, o)) && vd_paths_add(out, name, err))
			return -1;
	}
	return 0;
}

int vd_children_find(const char *path, const struct vdisk_open_options *o, struct vd_paths *out, vd_error *err)
{
	return children_search(path, o, false, out, err);
}

int vd_children_around(const char *path, struct vd_paths *out, vd_error *err)
{
	return children_search(path, NULL, true, out, err);
}

int vd_children_judge(const char *path, const char *but, const struct vdisk_open_options *o, vd_error *err)
{
	struct vd_paths over = { 0 };
	char shown[400];
	int rc = vd_children_find(path, o, &over, err);

	for (size_t i = 0; !rc && i < over.n; i++)
		if (!but || !vd_same_path(over.v[i], but))
			rc = vd_fail(err, VDISK_REFUSED, VDISK_NO_OFFSET,
				     "%s: %s lies over it, too, and would read differently; --force does it all the same", path,
				     vd_printable(shown, sizeof(shown), over.v[i], strlen(over.v[i])));
	vd_paths_free(&over);
	return rc;
}
