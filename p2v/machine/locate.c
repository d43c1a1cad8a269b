/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Names of disks in descriptions, which anybody may have written: opened only beside the description or below, or below a folder
 * that the user allows; links that lead out of it do not count as below.
 */
#include "locate.h"

#include "common/fail.h"
#include "common/percent.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/syscall.h>
#include <unistd.h>

/* 0: `name` can be opened below the folder; else errno, EXDEV where it leads out. */
static int beneath(const char *folder, const char *name)
{
	const struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };
	int dir = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC), fd, e;

	if (dir < 0)
		return errno;
	fd = (int)syscall(SYS_openat2, dir, name, &how, sizeof(how));
	e = fd < 0 ? errno : 0;
	if (fd >= 0)
		close(fd);
	close(dir);
	return e;
}

static char *join(const char *folder, const char *name)
{
	char *path;

	return asprintf(&path, "%s/%s", folder, name) < 0 ? NULL : path;
}

/* What of the real path lies below the folder's own real path; NULL: it does not. */
static const char *rest_below(const char *folder, const char *real)
{
	char base[PATH_MAX];
	size_t n;

	if (!realpath(folder, base))
		return NULL;
	n = strlen(base);
	if (n == 1)
		return real + 1;
	return !strncmp(base, real, n) && real[n] == '/' ? real + n + 1 : NULL;
}

static char *path_take(const char *folder, const char *name, vdisk_error *err)
{
	char *path = join(folder, name);

	if (!path)
		fail_nomem(err);
	return path;
}

/* A name that is absolute, or leads upwards: where it leads to counts. */
static char *path_elsewhere(const char *folder, const char *const *allow, const char *name, vdisk_error *err)
{
	char real[PATH_MAX], *path = *name == '/' ? strdup(name) : join(folder, name), *slash;
	const char *rest;

	if (!path) {
		fail_nomem(err);
		return NULL;
	}
	if (!realpath(path, real)) {
		if (errno == ENOENT)
			fail(err, VDISK_INVALID, "the description names the disk '%s', which is not there", name);
		else
			fail_errno(err, "the disk '%s'", name);
		free(path);
		return NULL;
	}
	free(path);
	rest = rest_below(folder, real);
	if (rest)
		return path_take(folder, rest, err);
	for (; *allow; allow++) {
		rest = rest_below(*allow, real);
		if (rest)
			return path_take(*allow, rest, err);
	}
	slash = strrchr(real, '/');
	*(slash == real ? slash + 1 : slash) = '\0';
	fail(err, VDISK_REFUSED,
	     "the description names the disk '%s', which lies outside of its own folder; --allow-parent %s allows it", name, real);
	return NULL;
}

/* The ends of a name that another system's disks and folders begin, the longest first, then its last part where Hyper-V exports
   images to. */
static char *path_moved(const char *folder, const char *name, vdisk_error *err)
{
	static const char *const places[] = { "Virtual Hard Disks", "Snapshots" };
	char *copy = strdup(name), *part = copy, *path = NULL;

	for (char *p = copy; p && *p; p++)
		*p = *p == '\\' ? '/' : *p;
	for (char *next = copy; next; next = strchr(part, '/')) {
		while (*next == '/')
			next++;
		part = next;
		path = *part && !beneath(folder, part) ? path_take(folder, part, err) : NULL;
		if (path)
			break;
	}
	for (size_t i = 0; copy && *part && !path && i < sizeof(places) / sizeof(*places); i++) {
		char *below = join(places[i], part);

		if (below && !beneath(folder, below))
			path = path_take(folder, below, err);
		free(below);
	}
	free(copy);
	return path;
}

static char *name_locate(const struct locate *l, const char *name, vdisk_error *err)
{
	static const char *const none[] = { NULL };
	const char *const *allow = l->allow ? l->allow : none;
	unsigned flags = machine_path_flags(name);
	char *copy = strdup(name), *path = NULL;
	int e;

	if (!copy) {
		fail_nomem(err);
		return NULL;
	}
	if (flags & MACHINE_PATH_REMOTE) {
		fail(err, VDISK_UNSUPPORTED, "the description names the disk '%s', which is not in a file of this host", name);
		goto out;
	}
	if (l->moved && *copy != '/') {
		path = path_moved(l->folder, name, err);
		if (!path)
			fail(err, VDISK_INVALID, "the description names the disk '%s', which is not to be found below %s", name,
			     l->folder);
		goto out;
	}
	if (*copy != '/' && !strchr(copy, '/')) /* from Windows */
		for (char *p = copy; *p; p++)
			*p = *p == '\\' ? '/' : *p;
	if (flags & MACHINE_PATH_ABSOLUTE && *copy != '/') {
		fail(err, VDISK_UNSUPPORTED,
		     "the description names the disk '%s', a path of another system: write its name beside the description there",
		     name);
		goto out;
	}
	if (*copy == '/' || flags & MACHINE_PATH_UP) {
		path = path_elsewhere(l->folder, allow, copy, err);
		goto out;
	}
	e = beneath(l->folder, copy);
	if (!e)
		path = path_take(l->folder, copy, err);
	else if (e == EXDEV || e == ELOOP)
		path = path_elsewhere(l->folder, allow, copy, err);
	else if (e == ENOENT)
		fail(err, VDISK_INVALID, "the description names the disk '%s', which is not there", name);
	else {
		errno = e;
		fail_errno(err, "the disk '%s'", name);
	}
out:
	free(copy);
	return path;
}

/* What is there counts as it is written. */
char *machine_locate(const struct locate *l, const char *name, vdisk_error *err)
{
	vdisk_error why = { 0 };
	char *path = name_locate(l, name, &why), *plain = !path && l->uri ? percent_decode(name) : NULL;

	if (plain)
		path = name_locate(l, plain, NULL);
	free(plain);
	if (!path && err)
		*err = why;
	return path;
}

bool folder_is_called(const char *folder, const char *name)
{
	char real[PATH_MAX];
	const char *slash = realpath(folder, real) ? strrchr(real, '/') : NULL;

	return slash && !strcasecmp(slash + 1, name);
}

char *machine_folder(const char *description, enum describe_kind kind)
{
	const char *slash = strrchr(description, '/');
	char *folder = !slash                 ? strdup(".")
	               : slash == description ? strdup("/")
	                                      : strndup(description, (size_t)(slash - description)),
	     *root;

	if (kind != DESCRIBE_HYPERV || !folder ||
	    (!folder_is_called(folder, "Virtual Machines") && !folder_is_called(folder, "Snapshots")))
		return folder;
	root = join(folder, "..");
	free(folder);
	return root;
}
