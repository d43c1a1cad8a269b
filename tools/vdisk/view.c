/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "view.h"
#include "output.h"
#include "run.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define VIEW_ARGS 160
#define VIEW_SECONDS 60

/* What the mount cannot be told is refused by its name. */
static int judge(const struct source_args *s, const struct content_args *c)
{
	const char *option = s->vhd_size        ? "--vhd-size"
	                     : s->key_file      ? "--key-file"
	                     : s->open_opts.n   ? "--open-opt"
	                     : s->parents.n     ? "--parent"
	                     : c && c->snapshot ? "--snapshot"
	                     : c && c->salvage  ? "--salvage"
	                                        : NULL;
	if (option)
		return fail("%s: the guest's file systems cannot be looked at with it yet", option);
	if (s->allow_dirs.n > 64)
		return fail("--allow-parent: more than 64 folders");
	return 0;
}

/* vdisk-mount from this program's folder, else from PATH. */
static const char *mount_program(char *buf, size_t cap)
{
	ssize_t n = readlink("/proc/self/exe", buf, cap - 1);
	if (n > 0) {
		buf[n] = '\0';
		char *name = strrchr(buf, '/') + 1;
		snprintf(name, cap - (size_t)(name - buf), "vdisk-mount");
		if (!access(buf, X_OK))
			return buf;
	}
	return "vdisk-mount";
}

static void mount_words(const char *argv[VIEW_ARGS], const char *program, const char *path, const struct view *v,
                        const struct source_args *s)
{
	size_t n = 0;
	argv[n++] = program;
	argv[n++] = "-f";
	if (s->format) {
		argv[n++] = "--format";
		argv[n++] = s->format;
	}
	for (size_t i = 0; i < s->allow_dirs.n; i++) {
		argv[n++] = "--allow-parent";
		argv[n++] = s->allow_dirs.v[i];
	}
	if (s->share) {
		argv[n++] = "-U";
	} else {
		argv[n++] = "--overlay";
		argv[n++] = "tmp";
	}
	argv[n++] = "--";
	argv[n++] = path;
	argv[n++] = v->disk;
	argv[n] = NULL;
}

static bool served(const struct view *v)
{
	char path[sizeof(v->disk) + 8];
	snprintf(path, sizeof(path), "%s/disk", v->disk);
	return !access(path, R_OK);
}

/* Until the disk is there, or the program has said why not. */
static int wait_served(struct view *v, const char *notes, const volatile int *cancel)
{
	struct timespec nap = { .tv_nsec = 2 * 1000 * 1000 };
	for (int i = 0; i < VIEW_SECONDS * 500; i++) {
		int status;
		if (served(v))
			return 0;
		if (cancel && *cancel)
			return fail("interrupted");
		if (waitpid(v->pid, &status, WNOHANG) == v->pid) {
			char line[512] = "";
			FILE *f = fopen(notes, "r");
			v->pid = 0;
			if (f && fgets(line, sizeof(line), f))
				line[strcspn(line, "\n")] = '\0';
			if (f)
				fclose(f);
			if (WIFEXITED(status) && WEXITSTATUS(status) == RUN_MISSING)
				return fail("vdisk-mount, through which the guest's file systems are looked at, is not installed");
			return fail("the guest's file systems cannot be looked at: %s",
			            line[0] ? shown(line) : "vdisk-mount fails");
		}
		nanosleep(&nap, NULL);
	}
	return fail("the guest's file systems cannot be looked at: vdisk-mount is not ready after %d s", VIEW_SECONDS);
}

int view_open(struct view *v, const char *path, const struct source_args *s, const struct content_args *content,
              const volatile int *cancel)
{
	const char *tmp = getenv("TMPDIR"), *argv[VIEW_ARGS];
	char program[4096], notes[sizeof(v->folder) + 8];
	if (judge(s, content))
		return EXIT_TROUBLE;
	*v = (struct view){ 0 };
	snprintf(v->folder, sizeof(v->folder), "%s/vdisk-XXXXXX", tmp && *tmp == '/' ? tmp : "/tmp");
	if (!mkdtemp(v->folder)) {
		int e = errno;
		char where[4096];
		snprintf(where, sizeof(where), "%s", v->folder);
		v->folder[0] = '\0';
		return fail("%s: cannot be made: %s", shown(where), strerror(e));
	}
	snprintf(v->disk, sizeof(v->disk), "%s/disk", v->folder);
	snprintf(notes, sizeof(notes), "%s/notes", v->folder);
	int out = open(notes, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (out < 0 || mkdir(v->disk, 0700)) {
		int e = errno;
		if (out >= 0)
			close(out);
		view_close(v);
		return fail("%s: %s", v->folder, strerror(e));
	}
	mount_words(argv, mount_program(program, sizeof(program)), path, v, s);
	v->pid = run_start(argv, out, out);
	close(out);
	if (v->pid > 0 && !wait_served(v, notes, cancel))
		return 0;
	int status = v->pid < 0 ? fail("no process for vdisk-mount: %s", strerror(errno)) : EXIT_TROUBLE;
	view_close(v);
	return status;
}

void view_close(struct view *v)
{
	DIR *d;
	if (v->pid > 0)
		run_stop(v->pid);
	v->pid = 0;
	if (!v->folder[0])
		return;
	rmdir(v->disk);
	d = opendir(v->folder);
	for (struct dirent *e; d && (e = readdir(d));)
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") && strcmp(e->d_name, "disk"))
			unlinkat(dirfd(d), e->d_name, 0);
	if (d)
		closedir(d);
	rmdir(v->folder);
}
