/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "inspect_grub.h"

#include "common/child.h"
#include "common/fail.h"
#include "inspect_grub_run.h"
#include "lines.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEVICES_MAX (1u << 20) /* bytes of their names */
#define TALK_MAX (1u << 16)    /* that it prints about passphrases, before anything else */

int grub_check(bool mounts, vdisk_error *err)
{
	char path[4096];

	if (!child_find("grub-fstest", false, path))
		return fail(err, VDISK_UNSUPPORTED, "the program grub-fstest (package grub-common) is not installed");
	if (mounts && !child_find("grub-mount", false, path))
		return fail(err, VDISK_UNSUPPORTED, "the program grub-mount is not installed");
	return 0;
}

/* A standard input that gives the passphrase, once for each file that may ask for it: GRUB reads a line at a time.  -1: errno. */
static int grub_feed(const struct grub_source *s)
{
	struct bytes text = { 0 };
	int fd = -1;

	for (size_t i = 0; i < s->files_n && text.len + strlen(s->key) + 1 < 4096; i++)
		bytes_format(&text, "%s\n", s->key);
	if (!text.failed && text.len)
		fd = child_feed(text.at, text.len);
	if (text.at)
		explicit_bzero(text.at, text.len);
	bytes_destroy(&text);
	return fd;
}

/* All that it prints, `max` bytes at most: more is a failure.  1, 0 (it fails), -1. */
static int output_read(int fd, uint64_t max, const char *what, struct bytes *out, vdisk_error *err)
{
	size_t piece = 1u << 18;
	char *buf = malloc(piece);
	uint64_t got = 0;
	int rc = buf ? 1 : fail_nomem(err);

	while (rc > 0) {
		ssize_t n = read(fd, buf, piece);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		got += (uint64_t)n;
		if (got > max)
			rc = fail(err, VDISK_UNSUPPORTED, "%s: is longer than what is read (%llu bytes)", what,
				  (unsigned long long)max);
		else
			bytes_add(out, buf, (size_t)n);
		if (out->failed)
			rc = fail_nomem(err);
	}
	free(buf);
	return rc;
}

int grub_run(const struct grub_source *s, const char *const *command, uint64_t max, struct bytes *out, vdisk_error *err)
{
	char path[4096], count[16];
	const char *argv[GRUB_FILES_MAX + 12];
	int fds[2], in_fd = -1, rc;
	size_t n = 0;
	pid_t pid;

	if (!child_find("grub-fstest", false, path))
		return fail(err, VDISK_UNSUPPORTED, "the program grub-fstest (package grub-common) is not installed");
	snprintf(count, sizeof(count), "%zu", s->files_n);
	argv[n++] = "grub-fstest";
	argv[n++] = "-c";
	argv[n++] = count;
	if (s->key)
		argv[n++] = "-C";
	argv[n++] = "--";
	for (size_t i = 0; i < s->files_n; i++)
		argv[n++] = s->files[i];
	while (*command && n < sizeof(argv) / sizeof(*argv) - 1)
		argv[n++] = *command++;
	argv[n] = NULL;
	if (s->key && (in_fd = grub_feed(s)) < 0)
		return fail_errno(err, "grub-fstest");
	if (pipe2(fds, O_CLOEXEC)) {
		fail_errno(err, "grub-fstest");
		if (in_fd >= 0)
			close(in_fd);
		return -1;
	}
	pid = child_start_ends(path, (char *const *)argv, true, in_fd, fds[1], -1);
	if (in_fd >= 0)
		close(in_fd);
	close(fds[1]);
	if (pid < 0) {
		close(fds[0]);
		return fail_errno(err, "grub-fstest");
	}
	rc = output_read(fds[0], max, command[-1], out, err);
	close(fds[0]);
	if (rc < 0)
		kill(pid, SIGKILL);
	if (child_wait(pid) && rc > 0)
		rc = 0;
	return rc;
}

void grub_devices_free(struct grub_device *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(v[i].name);
	free(v);
}

/* "Device crypto0: Filesystem type ext* - … - Total size 40960KiB"; before may stand what it has to say of passphrases. */
static int device_take(const char *line, size_t len, struct grub_device **v, size_t *n, vdisk_error *err)
{
	static const char begin[] = "Device ", size[] = "Total size ";
	const char *colon = memchr(line, ':', len), *at = memmem(line, len, size, sizeof(size) - 1);
	struct grub_device *more;

	if (len < sizeof(begin) || memcmp(line, begin, sizeof(begin) - 1) || !colon)
		return 1;
	more = reallocarray(*v, *n + 1, sizeof(*more));
	if (!more)
		return fail_nomem(err);
	*v = more;
	line += sizeof(begin) - 1;
	more[*n] = (struct grub_device){ strndup(line, (size_t)(colon - line)),
					 at ? strtoull(at + sizeof(size) - 1, NULL, 10) * 1024 : 0 };
	return more[(*n)++].name ? 1 : fail_nomem(err);
}

int grub_devices(const struct grub_source *s, struct grub_device **v, size_t *n, vdisk_error *err)
{
	static const char *const command[] = { "ls", "-l", NULL };
	struct bytes text = { 0 };
	struct lines t;
	const char *line;
	size_t len;
	int rc;

	*v = NULL;
	*n = 0;
	rc = grub_run(s, command, DEVICES_MAX, &text, err);
	t = lines_of(&text);
	while (rc > 0 && lines_next(&t, &line, &len))
		rc = device_take(line, len, v, n, err);
	bytes_destroy(&text);
	return rc;
}

int grub_head(const struct grub_source *s, const char *device, size_t len, struct bytes *out, vdisk_error *err)
{
	char name[512];
	const char *command[] = { "cat", name, NULL };
	struct bytes all = { 0 };
	int rc;

	snprintf(name, sizeof(name), "(%s)0+%zu", device, len / 512); /* a list of blocks is a file, to GRUB */
	rc = grub_run(s, command, len + (s->key ? TALK_MAX : 0), &all, err);
	if (rc > 0 && s->key && all.len < len) /* what is not the talk about passphrases cannot be told */
		rc = 0;
	if (rc > 0 && all.len)
		bytes_add(out, all.at + (all.len > len ? all.len - len : 0), all.len > len ? len : all.len);
	bytes_destroy(&all);
	return rc > 0 && out->failed ? fail_nomem(err) : rc;
}
