/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The image that the user named, plainly or below a layer that takes the writes; and the window on it. */
#ifndef COMMON_SOURCE_H
#define COMMON_SOURCE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <vdisk/vdisk.h>

#define SOURCE_ALLOW_MAX 64

struct source_options {
	const char *image, *format;
	const char *allow[SOURCE_ALLOW_MAX + 1]; /* NULL-terminated */
	size_t n_allow;
	const char *overlay; /* a qcow2 layer over the image, made if it is not there; "tmp": one that nobody keeps; NULL: none */
	unsigned partition;  /* 0: the whole disk */
	bool rw, force, force_share;
	vdisk_log_fn log;
	void *log_ctx;
	const volatile int *cancel; /* as vdisk_open()'s */
};

struct source { /* not to be copied: it points into itself */
	vdisk_image *img;
	uint64_t off, len; /* bytes of its disk */
	bool rw;
	bool made;         /* the layer: it was not there before, and stays */
	const char *allow[SOURCE_ALLOW_MAX + 2]; /* for whoever opens other states of it: the user's, and with a layer also */
	char folder[PATH_MAX];                   /* the image's own */
};

/* The options' sense, as a line for the user; NULL: they make sense. */
const char *source_judge(const struct source_options *o);
/* Refuses an image that is cut short or damaged, before anything long is begun with it: a line, no warnings. */
int source_sound(const struct source_options *o, vdisk_error *err);
/* 0, or -1 with *err; nothing is left behind then. */
int source_open(struct source *s, const struct source_options *o, vdisk_error *err);
/* Closes the image, which may fail. */
int source_close(struct source *s, vdisk_error *err);

#endif
