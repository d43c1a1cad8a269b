/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vdisk-inspect: `vdisk inspect`.  A child does the work, in a folder that its parent makes and sweeps, so that nothing stays
   mounted however the work ends. */
#include "../../fuse/unmount.h"
#include "common/folder.h"
#include "common/option.h"
#include "common/say.h"
#include "common/streams.h"
#include "inspect.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROGRAM "vdisk inspect"

static const char usage[] =
    "usage: vdisk inspect [--json] [--root FS] [--key-file FILE] [OPTIONS] IMG...\n"
    "\n"
    "Tells which systems are on a machine's disks, what they boot with, and which drivers they have; nothing is written or "
    "started.\n"
    "\n"
    "      --json              the answer as JSON\n"
    "      --root FS           only the system with this root file system: /dev/sda2, /dev/VG/LV, UUID=..., partitions/2\n"
    "      --key-file FILE     a passphrase for LUKS is what FILE holds; may be given several times\n"
    "      --no-mount          without FUSE: slower, and a disk that is not raw is copied first\n"
    "  -f, --format FMT        the images' format; the default is what their bytes say\n"
    "      --allow-parent DIR  parents and extents may lie below DIR\n"
    "  -U, --force-share       read although another program writes to the image\n"
    "  -h, --help              this text\n";

enum { OPT_JSON = 256, OPT_ROOT, OPT_KEY, OPT_NO_MOUNT };

static const struct option longopts[] = {
	{ "json", no_argument, NULL, OPT_JSON },
	{ "root", required_argument, NULL, OPT_ROOT },
	{ "key-file", required_argument, NULL, OPT_KEY },
	{ "no-mount", no_argument, NULL, OPT_NO_MOUNT },
	{ "format", required_argument, NULL, OPTION_FORMAT },
	{ "allow-parent", required_argument, NULL, OPTION_ALLOW_PARENT },
	{ "force-share", no_argument, NULL, 'U' },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

struct args {
	struct inspect_options inspect;
	bool json;
};

static int option_take(struct args *a, int c)
{
	struct inspect_options *o = &a->inspect;

	switch (c) {
	case OPT_JSON: a->json = true; return 0;
	case OPT_NO_MOUNT: o->no_mount = true; return 0;
	case OPT_ROOT: return option_text(PROGRAM, "--root", optarg, &o->root);
	case OPT_KEY:
		if (o->keys_n == INSPECT_KEYS_MAX)
			return option_bad(PROGRAM, "more than 16 key files", optarg);
		return option_path(PROGRAM, "--key-file", optarg, &o->key_files[o->keys_n++]);
	case 'f': return option_source(PROGRAM, OPTION_FORMAT, optarg, &o->source) ? -1 : 0;
	case 'h': return option_help(PROGRAM, usage, NULL);
	default: return option_source(PROGRAM, c, optarg, &o->source) ? -1 : 0;
	}
}

/* 0: go on; 1: done; -1: bad usage, said. */
static int args_parse(struct args *a, int argc, char **argv)
{
	int c;

	while ((c = option_next(PROGRAM, argc, argv, "f:Uh", longopts)) != -1) {
		int rc = c == '?' ? -1 : option_take(a, c);

		if (rc)
			return rc;
	}
	if (argc == optind)
		return option_bad(PROGRAM, "expects IMG; --help tells more", NULL);
	for (; optind < argc; optind++) {
		if (a->inspect.images_n == INSPECT_DISKS_MAX)
			return option_bad(PROGRAM, "more than 32 disks", argv[optind]);
		a->inspect.images[a->inspect.images_n++] = argv[optind];
	}
	return 0;
}

/* Returns the exit status: 0 there is a system, 1 there is none, 2 trouble. */
static int run(const struct args *a)
{
	struct inspection in;
	vdisk_error err;
	int status = 2;

	if (inspect_open(&in, &a->inspect, &err))
		say(LOG_ERR, "%s", err.message);
	else if (a->json ? inspect_print_json(&in) : inspect_print(&in))
		say(LOG_ERR, "standard output cannot be written");
	else
		status = in.systems_n ? 0 : 1;
	inspect_close(&in);
	return status;
}

/* ---------------------------------------------------------------- the two processes */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *w)
{
	(void)st, (void)type, (void)w;
	remove(path);
	return 0;
}

/* What the worker leaves behind when it is killed: mounts, whose servers the kernel ends with it, and folders. */
static void sweep(const char *folder)
{
	struct dirent *e;
	DIR *d = opendir(folder);

	while (d && (e = readdir(d))) {
		char path[8300];

		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s/m", folder, e->d_name);
		unmount(path, UNMOUNT_DETACH);
		for (unsigned i = 0; i < INSPECT_PIECES_MAX; i++) {
			struct stat st;

			snprintf(path, sizeof(path), "%s/%s/%u", folder, e->d_name, i);
			if (!lstat(path, &st) || errno == ENOTCONN)
				unmount(path, UNMOUNT_DETACH);
		}
	}
	if (d)
		closedir(d);
	nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

static void worker_be(const struct args *a, const char *folder, const sigset_t *before, pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(2);
	sigprocmask(SIG_SETMASK, before, NULL);
	setenv("TMPDIR", folder, 1);
	exit(run(a));
}

/* Waits for the worker's end, or for a signal, upon which it is killed.  Returns the exit status; *got: the signal, or 0. */
static int worker_await(pid_t pid, const sigset_t *set, int *got)
{
	int status;

	*got = 0;
	for (;;) {
		int sig;

		if (sigwait(set, &sig))
			continue;
		if (sig != SIGCHLD) {
			*got = sig;
			kill(pid, SIGKILL);
		}
		if (waitpid(pid, &status, sig == SIGCHLD ? WNOHANG : 0) == pid)
			return WIFEXITED(status) ? WEXITSTATUS(status) : 2;
	}
}

int main(int argc, char **argv)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP, SIGCHLD };
	struct args a = { 0 };
	int rc = args_parse(&a, argc, argv), sig;
	bool mounts = !a.inspect.no_mount && !access("/dev/fuse", R_OK | W_OK);
	char folder[4096];
	sigset_t set, before;
	vdisk_error err;
	pid_t parent = getpid(), pid;

	streams_secure();
	if (rc)
		return rc < 0 ? 2 : 0;
	say_open(PROGRAM, false);
	a.inspect.source.log = say_log;
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++)
		sigaddset(&set, signals[i]);
	sigprocmask(SIG_BLOCK, &set, &before);
	if (folder_make("vdisk-inspect", mounts ? 0 : FOLDER_LARGE, folder, sizeof(folder), &err)) {
		say(LOG_ERR, "%s", err.message);
		return 2;
	}
	pid = fork();
	if (!pid)
		worker_be(&a, folder, &before, parent);
	if (pid < 0)
		say(LOG_ERR, "no process can be started: %s", strerror(errno));
	rc = pid < 0 ? 2 : worker_await(pid, &set, &sig);
	if (rmdir(folder))
		sweep(folder);
	if (pid > 0 && sig) { /* as it would have ended without us */
		signal(sig, SIG_DFL);
		sigprocmask(SIG_SETMASK, &before, NULL);
		raise(sig);
	}
	return rc;
}
