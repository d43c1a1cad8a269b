/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static char *copy(const char *s) { return s ? strdup(s) : NULL; }

struct state *state_new(const char *path, const char *format, const char *snapshot, const char *const *allow, uint32_t flags)
{
	struct state *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->path = copy(path);
	s->format = copy(format);
	s->snapshot = copy(snapshot);
	s->allow = allow;
	s->flags = flags;
	if (s->path && (s->format || !format) && (s->snapshot || !snapshot))
		return s;
	state_close(s, NULL);
	return NULL;
}

void state_take(struct state *s, vdisk_image *img)
{
	struct stat st;

	s->img = img;
	s->writable = vdisk_is_writable(img);
	if (!s->mtime.tv_sec && !stat(s->path, &st))
		s->mtime = st.st_mtim;
	else if (!s->mtime.tv_sec) /* a scratch layer, which has no name any more */
		clock_gettime(CLOCK_REALTIME, &s->mtime);
}

int state_open(struct state *s, vdisk_error *err)
{
	const char *const options[] = { s->snapshot, NULL };
	struct vdisk_open_options o = {
		.format = s->format,
		.flags = s->flags,
		.options = s->snapshot ? options : NULL,
		.allow_dirs = s->allow,
		.log = say_log,
		.cancel = s->cancel,
	};
	vdisk_image *img;

	if (s->img)
		return 0;
	if (vdisk_open(s->path, &o, &img, err))
		return -1;
	state_take(s, img);
	return 0;
}

int state_close(struct state *s, vdisk_error *err)
{
	int rc;

	if (!s)
		return 0;
	vdisk_volumes_free(s->volumes);
	rc = vdisk_close(s->img, err);
	free(s->path);
	free(s->format);
	free(s->snapshot);
	free(s);
	return rc;
}

void state_touch(struct state *s)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	s->written = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
	s->writes++;
}

struct timespec state_mtime(const struct state *s)
{
	int64_t ns = s->written;

	return ns ? (struct timespec){ .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 } : s->mtime;
}
