/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vdisk-mount: an image's disk and partitions as files.
 *
 * The parent waits until the child serves the mount and has looked at the partitions, or has said why it cannot; so the shell's next
 * command finds everything in place.
 */
#include "populate.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

#define ALLOW_MAX 64

struct args {
	const char *image, *dir, *format;
	const char *allow[ALLOW_MAX + 1];
	size_t n_allow;
	bool foreground, allow_other, force_share;
};

static const char usage[] =
	"usage: vdisk mount [-f] [--format FMT] [--allow-other] [--allow-parent DIR] [-U] IMG DIR\n"
	"\n"
	"Shows the disk of IMG below DIR, read-only: disk, partitions/N, partitions/by-label, by-uuid, by-type, info.json.\n"
	"\n"
	"  -f, --foreground        stay in the foreground\n"
	"      --format FMT        the image's format; the default is what its bytes say\n"
	"      --allow-other       let other users look, too\n"
	"      --allow-parent DIR  parents and extents may lie below DIR\n"
	"  -U, --force-share       read although another program writes to the image\n"
	"  -h, --help              this text\n";

enum { OPT_FORMAT = 256, OPT_ALLOW_OTHER, OPT_ALLOW_PARENT };

static const struct option longopts[] = {
	{ "foreground", no_argument, NULL, 'f' },
	{ "format", required_argument, NULL, OPT_FORMAT },
	{ "allow-other", no_argument, NULL, OPT_ALLOW_OTHER },
	{ "allow-parent", required_argument, NULL, OPT_ALLOW_PARENT },
	{ "force-share", no_argument, NULL, 'U' },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

/* 0: go on; 1: done; -1: bad usage, said. */
static int args_parse(struct args *a, int argc, char **argv)
{
	int c;

	while ((c = getopt_long(argc, argv, "fUh", longopts, NULL)) != -1) {
		if (c == 'f') {
			a->foreground = true;
		} else if (c == 'U') {
			a->force_share = true;
		} else if (c == OPT_FORMAT) {
			a->format = optarg;
		} else if (c == OPT_ALLOW_OTHER) {
			a->allow_other = true;
		} else if (c == OPT_ALLOW_PARENT && a->n_allow < ALLOW_MAX) {
			a->allow[a->n_allow++] = optarg;
		} else if (c == 'h') {
			return fputs(usage, stdout) < 0 ? -1 : 1;
		} else {
			return -1;
		}
	}
	if (argc - optind != 2) {
		fprintf(stderr, "vdisk mount: expects IMG and DIR; --help tells more\n");
		return -1;
	}
	a->image = argv[optind];
	a->dir = argv[optind + 1];
	return 0;
}

static void log_line(void *ctx, enum vdisk_log_level level, const char *message)
{
	(void)ctx;
	if (level == VDISK_LOG_WARNING)
		fprintf(stderr, "vdisk mount: warning: %s\n", message);
}

static int fs_open_image(struct fs *fs, const struct args *a, vdisk_error *err)
{
	struct vdisk_open_options o = {
		.format = a->format,
		.flags = a->force_share ? VDISK_OPEN_NO_LOCK : 0,
		.allow_dirs = a->allow,
		.log = log_line,
	};
	struct stat st;

	if (vdisk_open(a->image, &o, &fs->img, err))
		return -1;
	if (!stat(a->image, &st))
		fs->mtime = st.st_mtim;
	fs->uid = getuid();
	fs->gid = getgid();
	fs->tree = tree_new();
	if (!fs->tree) {
		err->kind = VDISK_NOMEM;
		snprintf(err->message, sizeof(err->message), "out of memory");
		return -1;
	}
	return populate_image(fs, err);
}

static struct fuse_session *session_new(struct fs *fs, const struct args *a)
{
	struct fuse_args fa = FUSE_ARGS_INIT(0, NULL);
	struct fuse_session *se = NULL;
	char opts[128];

	snprintf(opts, sizeof(opts), "-oro,nosuid,nodev,subtype=vdisk,max_read=%u%s", FS_MAX_IO, a->allow_other ? ",allow_other" : "");
	if (!fuse_opt_add_arg(&fa, "vdisk-mount") && !fuse_opt_add_arg(&fa, opts))
		se = fuse_session_new(&fa, &fs_ops, sizeof(fs_ops), fs);
	fuse_opt_free_args(&fa);
	return se;
}

struct starter { /* looks at the partitions once the mount is served, then lets the parent go */
	struct fs *fs;
	char *mountpoint;
	int ready_fd; /* -1: in the foreground */
};

static void *starter_run(void *arg)
{
	struct starter *s = arg;

	populate_links(s->fs, s->mountpoint);
	if (s->ready_fd >= 0) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		if (null >= 0) {
			dup2(null, STDIN_FILENO);
			dup2(null, STDOUT_FILENO);
			dup2(null, STDERR_FILENO);
			close(null);
		}
		if (write(s->ready_fd, "", 1) != 1) /* the parent is gone: nobody to tell */
			s->ready_fd = -1;
		close(s->ready_fd);
	}
	return NULL;
}

static int serve_mounted(struct fuse_session *se, struct starter *s)
{
	struct fuse_loop_config *cfg = fuse_loop_cfg_create();
	pthread_t thread;
	int rc = 2;

	if (!cfg)
		return 2;
	fuse_loop_cfg_set_clone_fd(cfg, 1);
	fuse_loop_cfg_set_idle_threads(cfg, 10);
	if (!pthread_create(&thread, NULL, starter_run, s)) {
		rc = fuse_session_loop_mt(se, cfg) < 0 ? 2 : 0;
		pthread_join(thread, NULL);
	}
	fuse_loop_cfg_destroy(cfg);
	return rc;
}

/* The whole life of the mount.  Returns the exit status. */
static int serve(const struct args *a, int ready_fd)
{
	struct fs fs = { 0 };
	struct starter s = { .fs = &fs, .ready_fd = ready_fd };
	struct fuse_session *se = NULL;
	vdisk_error err;
	int rc = 2;

	prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0); /* a loop device over us must not wait for its own write-back; needs a capability, so may fail */
	if (fs_open_image(&fs, a, &err)) {
		fprintf(stderr, "vdisk mount: %s\n", err.message);
		goto out;
	}
	s.mountpoint = realpath(a->dir, NULL);
	if (!s.mountpoint) {
		fprintf(stderr, "vdisk mount: %s: %s\n", a->dir, strerror(errno));
		goto out;
	}
	se = session_new(&fs, a);
	if (!se || fuse_set_signal_handlers(se) || fuse_session_mount(se, s.mountpoint)) {
		fprintf(stderr, "vdisk mount: %s: cannot be mounted on\n", s.mountpoint);
		goto out;
	}
	rc = serve_mounted(se, &s);
	fuse_session_unmount(se);
	fuse_remove_signal_handlers(se);
out:
	if (se)
		fuse_session_destroy(se);
	free(s.mountpoint);
	tree_free(fs.tree);
	vdisk_close(fs.img, NULL);
	return rc;
}

int main(int argc, char **argv)
{
	struct args a = { 0 };
	int rc = args_parse(&a, argc, argv), fds[2], status;
	pid_t pid;
	char byte;

	if (rc)
		return rc < 0 ? 2 : 0;
	if (a.foreground)
		return serve(&a, -1);
	if (pipe2(fds, O_CLOEXEC) || (pid = fork()) < 0) {
		perror("vdisk mount");
		return 2;
	}
	if (!pid) {
		close(fds[0]);
		setsid();
		return serve(&a, fds[1]);
	}
	close(fds[1]);
	if (read(fds[0], &byte, 1) == 1)
		return 0;
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : 2;
}
