/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "shown.h"

#include "../fuse/unmount.h"
#include "common/child.h"
#include "common/fail.h"
#include "common/folder.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS 60000

void shown_pause(unsigned ms)
{
	struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000 };

	nanosleep(&t, NULL);
}

static int mount_start(struct shown *s, const struct source_options *o, const char *what, vdisk_error *err)
{
	char *argv[2 * SOURCE_ALLOW_MAX + 10], path[4096];
	size_t n = 0;

	if (!child_find("vdisk-mount", true, path))
		return fail(err, VDISK_UNSUPPORTED, "%s: the program vdisk-mount is not installed", what);
	argv[n++] = (char *)"vdisk-mount";
	argv[n++] = (char *)"-f";
	if (o->format) {
		argv[n++] = (char *)"--format";
		argv[n++] = (char *)o->format;
	}
	for (size_t i = 0; i < o->n_allow; i++) {
		argv[n++] = (char *)"--allow-parent";
		argv[n++] = (char *)o->allow[i];
	}
	if (o->force_share)
		argv[n++] = (char *)"-U";
	argv[n++] = (char *)"--";
	argv[n++] = (char *)o->image;
	argv[n++] = s->folder;
	argv[n] = NULL;
	s->pid = child_start(path, argv, false, -1);
	return s->pid < 0 ? fail_errno(err, "vdisk-mount") : 0;
}

static int mount_await(struct shown *s, const char *image, vdisk_error *err)
{
	char disk[4200];
	struct stat st;

	snprintf(disk, sizeof(disk), "%s/info.json", s->folder);
	for (unsigned ms = 0; stat(disk, &st); ms++) {
		if (waitpid(s->pid, NULL, WNOHANG) == s->pid) {
			s->pid = 0;
			return fail(err, VDISK_IO, "%s: vdisk-mount cannot show it", image);
		}
		if (ms == PATIENCE_MS)
			return fail(err, VDISK_IO, "%s: vdisk-mount takes too long", image);
		shown_pause(1);
	}
	return 0;
}

int shown_open(struct shown *s, const struct source_options *o, const char *what, vdisk_error *err)
{
	*s = (struct shown){ 0 };
	if (folder_make("vdisk-files", 0, s->top, sizeof(s->top), err))
		return -1;
	snprintf(s->folder, sizeof(s->folder), "%s/m", s->top);
	if (mkdir(s->folder, 0700))
		fail_errno(err, "%s", s->folder);
	else if (!mount_start(s, o, what, err) && !mount_await(s, o->image, err))
		return 0;
	shown_close(s);
	return -1;
}

void shown_close(struct shown *s)
{
	if (!s->top[0])
		return;
	if (s->pid > 0) {
		kill(s->pid, SIGTERM);
		child_wait(s->pid);
	}
	unmount(s->folder, UNMOUNT_DETACH); /* if vdisk-mount could not */
	rmdir(s->folder);
	rmdir(s->top);
	s->top[0] = '\0';
}
