/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "list.h"

#include "common/fail.h"

#include <errno.h>
#include <fcntl.h>
#include <machine/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* All that the child prints, both ways; NULL: out of memory. */
static char *output_read(int fd, size_t *len)
{
	size_t room = 1 << 16;
	char *text = malloc(room + 1);

	*len = 0;
	while (text) {
		ssize_t n = read(fd, text + *len, room - *len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		*len += (size_t)n;
		if (*len == room) {
			char *more = room < MACHINE_JSON_MAX ? realloc(text, room * 2 + 1) : NULL;

			if (!more) {
				free(text);
				return NULL;
			}
			text = more;
			room *= 2;
		}
	}
	if (text)
		text[*len] = '\0';
	return text;
}

static pid_t list_start(const char *program, int out, int errors)
{
	pid_t pid = fork();
	int null;

	if (pid)
		return pid;
	null = open("/dev/null", O_RDONLY);
	dup2(null, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	dup2(errors, STDERR_FILENO);
	execl(program, "vdisk-capture", "--list", "--json", (char *)NULL);
	dprintf(STDERR_FILENO, "%s: %s\n", program, strerror(errno));
	_exit(127);
}

/* Output of two pipes: the second one's is short and a pipe holds it. */
static int outputs_read(const char *program, char **text, size_t *len, char said[512], vdisk_error *err)
{
	int out[2], errors[2], status = 0;
	ssize_t n;
	pid_t pid;

	if (pipe2(out, O_CLOEXEC))
		return fail_errno(err, "pipe");
	if (pipe2(errors, O_CLOEXEC)) {
		fail_errno(err, "pipe");
		close(out[0]);
		close(out[1]);
		return -1;
	}
	pid = list_start(program, out[1], errors[1]);
	close(out[1]);
	close(errors[1]);
	*text = pid > 0 ? output_read(out[0], len) : NULL;
	n = pid > 0 ? read(errors[0], said, 511) : 0;
	said[n > 0 ? n : 0] = '\0';
	said[strcspn(said, "\n")] = '\0';
	close(out[0]);
	close(errors[0]);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (pid < 0)
		return fail_errno(err, "no process can be started");
	if (!*text)
		return fail_nomem(err);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int list_read(const char *program, struct machine **m, vdisk_error *err)
{
	char said[512], *text = NULL;
	size_t len = 0;
	int rc = outputs_read(program, &text, &len, said, err);

	if (rc > 0)
		rc = fail(err, VDISK_IO, "%s", said[0] ? said : "the machine's disks cannot be listed");
	else if (!rc)
		rc = machine_json_read(text, len, m, err);
	free(text);
	return rc;
}

/* ---------------------------------------------------------------- in words */

void list_size(uint64_t bytes, char out[32])
{
	static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double v = (double)bytes;
	size_t u = 0;

	for (; v >= 1000 && u < 6; u++)
		v /= 1024;
	snprintf(out, 32, u ? "%.1f %s" : "%.0f %s", v, units[u]);
}

void list_machine(const struct machine *m, char *out, size_t room)
{
	char memory[32];
	const char *firmware = machine_firmware_name(m->firmware);

	list_size(m->memory, memory);
	snprintf(out, room, "%s%s%s%s%s%u CPU%s, %s%s%s", m->host.vendor ? m->host.vendor : "", m->host.vendor ? " " : "",
	         m->host.product ? m->host.product : "", m->host.product || m->host.vendor ? ", " : "", "", m->cpus,
	         m->cpus == 1 ? "" : "s", memory, m->firmware != MACHINE_FIRMWARE_UNKNOWN && firmware ? ", " : "",
	         m->firmware != MACHINE_FIRMWARE_UNKNOWN && firmware ? firmware : "");
}

void list_disk(const struct machine *m, const struct machine_disk *d, char *out, size_t room)
{
	char size[32];
	size_t n, kinds = 0;

	list_size(d->size, size);
	n = (size_t)snprintf(out, room, "%-8s %10s  %s", d->name ? d->name : "?", size, d->model ? d->model : "");
	for (size_t i = 0; i < m->partitions_n && n < room; i++) {
		const struct machine_partition *p = &m->partitions[i];

		if (!p->fs || !p->disk || !d->name || strcmp(p->disk, d->name))
			continue;
		n += (size_t)snprintf(out + n, room - n, "%s%s%s%s%s", kinds++ ? ", " : ": ", p->fs, p->label ? " \"" : "",
		                      p->label ? p->label : "", p->label ? "\"" : "");
	}
}

void list_path(const struct machine_disk *d, char out[256])
{
	const char *name = d->path && *d->path == '/' ? d->path : d->name;

	snprintf(out, 256, "%s%s", name && *name == '/' ? "" : "/dev/", name ? name : "");
}

bool list_default(const struct machine_disk *d)
{
	return d->medium == MACHINE_DISK && !d->removable && d->size;
}
