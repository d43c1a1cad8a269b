/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns the child, its pipe and the folder with the token.  Whatever the child says is shown, so control characters are taken
   out. */
#include "job.h"

#include "common/fail.h"
#include "common/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOCK_FILE "/run/vdisk-capture-ui.lock"

/* ---------------------------------------------------------------- what it says */

static void log_add(struct job *j, const char *text)
{
	char *to = j->log[j->log_n++ % JOB_LINES];

	snprintf(to, JOB_LINE_MAX, "%s", text);
	for (; *to; to++)
		if ((unsigned char)*to < ' ' || *to == 127)
			*to = '?';
}

const char *job_log(const struct job *j, size_t i)
{
	size_t kept = j->log_n < JOB_LINES ? j->log_n : JOB_LINES;

	return i < kept ? j->log[(j->log_n - kept + i) % JOB_LINES] : NULL;
}

static struct job_disk *disk_find(struct job *j, const char *name)
{
	if (!strncmp(name, "/dev/", 5))
		name += 5;
	for (size_t i = 0; i < j->disks_n; i++)
		if (!strcmp(j->disks[i].name, name))
			return &j->disks[i];
	if (j->disks_n == SETTINGS_DISKS_MAX || strlen(name) >= sizeof(j->disks->name))
		return NULL;
	strcpy(j->disks[j->disks_n].name, name);
	return &j->disks[j->disks_n++];
}

static const char *text_of(json_object *o, const char *key)
{
	json_object *v;

	return json_object_object_get_ex(o, key, &v) && json_object_is_type(v, json_type_string) ? json_object_get_string(v) : NULL;
}

static double number_of(json_object *o, const char *key, double unknown)
{
	json_object *v;

	if (!json_object_object_get_ex(o, key, &v) ||
	    (!json_object_is_type(v, json_type_int) && !json_object_is_type(v, json_type_double)))
		return unknown;
	return json_object_get_double(v);
}

static void progress_take(struct job *j, json_object *o)
{
	const char *name = text_of(o, "disk"), *phase = text_of(o, "phase");
	struct job_disk *d = name ? disk_find(j, name) : NULL;
	double total = number_of(o, "total", -1), done = number_of(o, "done", 0), pass = number_of(o, "pass", 1);

	if (phase)
		snprintf(j->phase, sizeof(j->phase), "%s", phase);
	j->rate = number_of(o, "bytes-per-second", number_of(o, "rate", 0));
	j->left = number_of(o, "seconds-left", number_of(o, "left", -1));
	if (!d || done < 0)
		return;
	for (size_t i = 0; i < j->disks_n; i++)
		j->disks[i].moving = d == &j->disks[i];
	if (total >= 0 && total < 1e18)
		d->total = (uint64_t)total;
	d->done = done < (double)d->total ? (uint64_t)done : d->total;
	d->pass = pass >= 1 && pass < 1e6 ? (unsigned)pass : 1;
}

void job_line(struct job *j, const char *line)
{
	json_object *o = *line == '{' ? json_tokener_parse(line) : NULL;
	const char *event = o && json_object_is_type(o, json_type_object) ? text_of(o, "event") : NULL, *message;

	if (event && !strcmp(event, "progress")) {
		progress_take(j, o);
	} else if (event && (message = text_of(o, "message"))) {
		log_add(j, message);
	} else if (!event && *line) {
		log_add(j, line);
		if (!strncmp(line, "vdisk", 5))
			snprintf(j->error, sizeof(j->error), "%s", job_log(j, (j->log_n < JOB_LINES ? j->log_n : JOB_LINES) - 1));
	}
	json_object_put(o);
}

void job_total(const struct job *j, uint64_t *done, uint64_t *total)
{
	*done = *total = 0;
	for (size_t i = 0; i < j->disks_n; i++) {
		*done += j->disks[i].done;
		*total += j->disks[i].total;
	}
}

static void bytes_take(struct job *j, const char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (bytes[i] == '\n' || bytes[i] == '\r') {
			j->line[j->line_n] = '\0';
			if (j->line_n && !j->line_cut)
				job_line(j, j->line);
			j->line_n = 0;
			j->line_cut = false;
		} else if (j->line_n < sizeof(j->line) - 1) {
			j->line[j->line_n++] = bytes[i] ? bytes[i] : '?';
		} else {
			j->line_cut = true;
		}
	}
}

/* ---------------------------------------------------------------- its life */

static void folder_drop(struct job *j)
{
	char path[4200];

	if (!j->folder[0])
		return;
	snprintf(path, sizeof(path), "%s/token", j->folder);
	unlink(path);
	rmdir(j->folder);
	j->folder[0] = '\0';
}

static int token_keep(struct job *j, const char *token, vdisk_error *err)
{
	char path[4200];
	int fd;
	bool bad;

	if (folder_make("vdisk-capture-ui", 0, j->folder, sizeof(j->folder), err))
		return -1;
	snprintf(path, sizeof(path), "%s/token", j->folder);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return fail_errno(err, "%s", path);
	bad = dprintf(fd, "%s\n", token) < 0;
	if (close(fd) || bad)
		return fail_errno(err, "%s", path);
	return 0;
}

/* Screens of one machine (console, serial line) keep out of each other's way. */
static int lock_take(struct job *j, vdisk_error *err)
{
	j->lock = geteuid() ? -1 : open(LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (j->lock >= 0 && flock(j->lock, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK) {
		close(j->lock);
		j->lock = -1;
		return fail(err, VDISK_BUSY, "this machine is being captured already, from another console");
	}
	return 0;
}

static void child_be(const char *program, char *const argv[], int out, pid_t parent)
{
	int null = open("/dev/null", O_RDONLY);

	setsid(); /* Ctrl+C on the console is the interface's */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(127);
	dup2(null, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	dup2(out, STDERR_FILENO);
	execv(program, argv);
	dprintf(STDERR_FILENO, "vdisk capture: %s: %s\n", program, strerror(errno));
	_exit(127);
}

/* Words of its command line; those that begin with a slash or are no name are taken as they are. */
static void words_make(const struct job *j, const struct settings *s, const char *const disks[], size_t n, const char *argv[],
                       char token[4200])
{
	size_t w = 0;

	argv[w++] = "vdisk-capture";
	argv[w++] = "--to";
	argv[w++] = s->server;
	snprintf(token, 4200, "%s/token", j->folder);
	argv[w++] = "--token-file";
	argv[w++] = token;
	if (s->fingerprint[0]) {
		argv[w++] = "--fingerprint";
		argv[w++] = s->fingerprint;
	}
	argv[w++] = "--progress";
	argv[w++] = "json";
	argv[w++] = "--resume";
	argv[w++] = "--";
	for (size_t i = 0; i < n; i++)
		argv[w++] = disks[i];
	argv[w] = NULL;
}

int job_start(struct job *j, const char *program, const struct settings *s, const char *const disks[], const uint64_t expects[],
              size_t n, vdisk_error *err)
{
	const char *argv[SETTINGS_DISKS_MAX + 16];
	char token[4200];
	pid_t parent = getpid();
	int fds[2];

	memset(j, 0, sizeof(*j));
	j->left = -1;
	j->fd = j->lock = -1;
	if (!n || n > SETTINGS_DISKS_MAX)
		return fail(err, VDISK_INVALID, n ? "more than %u disks are chosen" : "no disk is chosen", SETTINGS_DISKS_MAX);
	for (size_t i = 0; i < n; i++) {
		struct job_disk *d = disk_find(j, disks[i]);

		if (d)
			d->total = expects[i];
	}
	if (lock_take(j, err))
		return -1;
	if (token_keep(j, s->token, err) || (pipe2(fds, O_CLOEXEC) && fail_errno(err, "pipe"))) {
		folder_drop(j);
		if (j->lock >= 0)
			close(j->lock);
		return -1;
	}
	words_make(j, s, disks, n, argv, token);
	j->pid = fork();
	if (!j->pid)
		child_be(program, (char *const *)argv, fds[1], parent);
	close(fds[1]);
	j->fd = fds[0];
	if (j->pid < 0) {
		j->pid = 0;
		fail_errno(err, "no process can be started");
		close(j->fd);
		folder_drop(j);
		if (j->lock >= 0)
			close(j->lock);
		return -1;
	}
	return 0;
}

int job_read(struct job *j)
{
	char bytes[4096];
	ssize_t n = read(j->fd, bytes, sizeof(bytes));
	int status = 0;

	if (n > 0) {
		bytes_take(j, bytes, (size_t)n);
		return 1;
	}
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 1;
	bytes_take(j, "\n", 1);
	while (waitpid(j->pid, &status, 0) < 0 && errno == EINTR)
		;
	j->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	j->pid = 0;
	close(j->fd);
	j->fd = -1;
	folder_drop(j);
	if (j->lock >= 0)
		close(j->lock);
	return 0;
}

void job_stop(struct job *j)
{
	j->stopped = true;
	if (j->pid)
		kill(j->pid, SIGTERM);
}

void job_command(const struct settings *s, const char *const disks[], size_t n, char *out, size_t room)
{
	size_t used = (size_t)snprintf(out, room, "vdisk capture --to %s --token-file FILE%s%s", s->server,
	                               s->fingerprint[0] ? " --fingerprint " : "", s->fingerprint);

	for (size_t i = 0; i < n && used < room; i++)
		used += (size_t)snprintf(out + used, room - used, " %s", disks[i]);
}
