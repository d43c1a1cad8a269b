/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Both outputs go to files without a name, so that neither has to be read while the program runs. */
#include "flow/run.h"

#include "common/child.h"
#include "common/fail.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT_MAX ((size_t)64 << 20)
#define GRACE_MS 30000 /* a guest's file systems are unmounted, a machine is ended */

void run_add(struct run *r, const char *arg)
{
	if (r->n < RUN_ARGS)
		r->argv[r->n++] = arg;
	r->argv[r->n] = NULL;
}

void run_free(struct run *r)
{
	free(r->out);
	free(r->complaint);
	*r = (struct run){ 0 };
}

static char *text_of(int fd)
{
	struct stat st;
	char *text;
	ssize_t n;

	if (fstat(fd, &st) || (size_t)st.st_size > TEXT_MAX)
		return NULL;
	text = malloc((size_t)st.st_size + 1);
	n = text ? pread(fd, text, (size_t)st.st_size, 0) : -1;
	if (text)
		text[n < 0 ? 0 : n] = '\0';
	return text;
}

/* "vdisk adapt: it is so" → "it is so"; of several lines the last. */
static char *last_line(int fd)
{
	char *text = text_of(fd), *line, *colon, *copy;
	size_t n = text ? strlen(text) : 0;

	while (n && text[n - 1] == '\n')
		text[--n] = '\0';
	if (!n) {
		free(text);
		return NULL;
	}
	line = strrchr(text, '\n') ? strrchr(text, '\n') + 1 : text;
	colon = !strncmp(line, "vdisk ", 6) ? strstr(line, ": ") : NULL;
	copy = strdup(colon ? colon + 2 : line);
	free(text);
	return copy;
}

int run_program(struct run *r, const volatile int *cancel, vdisk_error *err)
{
	int out = memfd_create("stdout", MFD_CLOEXEC), complaints = memfd_create("stderr", MFD_CLOEXEC), rc = -1;
	pid_t pid;
	char path[4096];

	if (!child_find(r->argv[0], true, path)) {
		fail(err, VDISK_UNSUPPORTED, "the program %s is not there", r->argv[0]);
		goto out;
	}
	if (out < 0 || complaints < 0) {
		fail_errno(err, "%s", r->argv[0]);
		goto out;
	}
	pid = child_start_ends(path, (char *const *)(uintptr_t)r->argv, false, -1, out, complaints);
	if (pid < 0) {
		fail_errno(err, "%s", r->argv[0]);
		goto out;
	}
	r->status = child_wait_or_end(pid, cancel, r->grace_ms ? r->grace_ms : GRACE_MS);
	if (cancel && *cancel) {
		fail(err, VDISK_CANCELLED, "stopped");
		goto out;
	}
	r->out = text_of(out);
	r->complaint = last_line(complaints);
	rc = r->out ? 0 : fail_nomem(err);
out:
	if (out >= 0)
		close(out);
	if (complaints >= 0)
		close(complaints);
	return rc;
}
