/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One run of grub-fstest for each question: some ms.  It calls the disks loop0, loop1, …; what configurations call hd0, hd1, … is
 * translated here.  It exits with 0 when it lists what is not there, and prints nothing then.
 */
#include "fstest.h"
#include "program.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECONDS   60
#define ARGS_MAX  (FSTEST_DISKS_MAX + 8)

/* grub-fstest -c N DISK… -- WORDS */
static void args_make(const struct fstest *t, char *argv[ARGS_MAX], char count[16], const char *const *words)
{
	unsigned n = 0;

	snprintf(count, 16, "%u", t->n_disks);
	argv[n++] = (char *)"grub-fstest";
	argv[n++] = (char *)"-c";
	argv[n++] = count;
	for (unsigned i = 0; i < t->n_disks; i++)
		argv[n++] = (char *)t->disks[i];
	argv[n++] = (char *)"--";
	for (; *words; words++)
		argv[n++] = (char *)*words;
	argv[n] = NULL;
}

static char *ask(const struct fstest *t, const char *a, const char *b, const char *c)
{
	const char *words[] = { a, b, c, NULL };
	char *argv[ARGS_MAX], count[16];

	args_make(t, argv, count, words);
	return program_read(argv, BOOT_TEXT_MAX, SECONDS);
}

/* "(hd0,msdos1)/x" as grub-fstest calls it; its other names are the same. */
static bool translate(char out[BOOT_PATH_MAX + 8], const char *path)
{
	if (*path != '(' || strlen(path) >= BOOT_PATH_MAX)
		return false;
	if (!strncmp(path, "(hd", 3) && isdigit((unsigned char)path[3]))
		snprintf(out, BOOT_PATH_MAX + 8, "(loop%s", path + 3);
	else
		snprintf(out, BOOT_PATH_MAX + 8, "%s", path);
	return true;
}

static int names_compare(const void *a, const void *b)
{
	return strcmp(((const struct fstest_device *)a)->name, ((const struct fstest_device *)b)->name);
}

int fstest_begin(struct fstest *t, vdisk_error *err)
{
	char *list = ask(t, "ls", NULL, NULL);

	if (!list)
		return fail(err, VDISK_UNSUPPORTED,
		            "grub-fstest (of grub-common), which reads the guest's files, is not installed or does not work");
	t->n_devices = 0;
	for (char *p = strtok(list, " \n"); p && t->n_devices < FSTEST_DEVICES_MAX; p = strtok(NULL, " \n")) {
		size_t n = strlen(p);

		if (n < 3 || n >= BOOT_DEVICE_MAX || *p != '(' || p[n - 1] != ')' || !strcmp(p, "(proc)") || !strcmp(p, "(host)"))
			continue;
		struct fstest_device *d = &t->devices[t->n_devices++];
		*d = (struct fstest_device){ 0 };
		memcpy(d->name, p + 1, n - 2);
	}
	free(list);
	qsort(t->devices, t->n_devices, sizeof(*t->devices), names_compare);
	return 0;
}

static char *source_read(void *ctx, const char *path)
{
	char translated[BOOT_PATH_MAX + 8];

	return translate(translated, path) ? ask(ctx, "cat", translated, NULL) : NULL;
}

static bool source_exists(void *ctx, const char *path)
{
	char translated[BOOT_PATH_MAX + 8];
	char *answer = translate(translated, path) ? ask(ctx, "ls", translated, NULL) : NULL;
	bool is = answer && *answer && *answer != '\n';

	free(answer);
	return is;
}

static char *source_list(void *ctx, const char *path)
{
	char translated[BOOT_PATH_MAX + 8];

	if (!translate(translated, path) || strlen(translated) + 2 > sizeof(translated))
		return NULL;
	if (translated[strlen(translated) - 1] != '/')
		strcat(translated, "/");
	char *answer = ask(ctx, "ls", translated, NULL);
	for (char *p = answer; p && *p; p++)
		if (*p == ' ')
			*p = '\n';
	return answer;
}

/* From "… - Label `root' - …, UUID 6f4a5f3c-… - …". */
static void device_look(struct fstest *t, struct fstest_device *d)
{
	char name[BOOT_DEVICE_MAX + 2];

	if (d->known)
		return;
	d->known = true;
	snprintf(name, sizeof(name), "(%.*s)", BOOT_DEVICE_MAX - 1, d->name);
	char *answer = ask(t, "ls", "-l", name);
	char *label = answer ? strstr(answer, "Label `") : NULL, *uuid = answer ? strstr(answer, "UUID ") : NULL;
	if (label)
		snprintf(d->label, sizeof(d->label), "%.*s", (int)strcspn(label + 7, "'"), label + 7);
	if (uuid)
		snprintf(d->uuid, sizeof(d->uuid), "%.*s", (int)strcspn(uuid + 5, " \n"), uuid + 5);
	free(answer);
}

static bool source_find(void *ctx, enum boot_find what, const char *value, char device[BOOT_DEVICE_MAX])
{
	struct fstest *t = ctx;
	char path[BOOT_PATH_MAX];

	for (unsigned i = 0; i < t->n_devices; i++) {
		struct fstest_device *d = &t->devices[i];
		bool is;

		if (what == BOOT_FIND_FILE)
			is = boot_path(path, d->name, value) && source_exists(t, path);
		else {
			device_look(t, d);
			is = what == BOOT_FIND_UUID ? !strcasecmp(d->uuid, value) : !strcmp(d->label, value);
		}
		if (is && *value) {
			memcpy(device, d->name, BOOT_DEVICE_MAX);
			return true;
		}
	}
	return false;
}

struct boot_source fstest_source(struct fstest *t)
{
	return (struct boot_source){
		.ctx = t, .read = source_read, .exists = source_exists, .list = source_list, .find = source_find
	};
}

int fstest_copy(struct fstest *t, const char *path, int fd, uint64_t most, vdisk_error *err)
{
	char translated[BOOT_PATH_MAX + 8], *argv[ARGS_MAX], count[16], said[256];
	const char *words[] = { "cat", translated, NULL };

	if (!translate(translated, path))
		return fail(err, VDISK_INVALID, "not a path: %.200s", path);
	args_make(t, argv, count, words);
	int r = program_run(argv, fd, most, SECONDS, said, err);
	if (r > 0)
		return fail(err, VDISK_IO, "%.300s: %s", path, said);
	return r;
}
