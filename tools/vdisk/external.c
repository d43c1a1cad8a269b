/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "external.h"
#include "options.h"
#include "output.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX "vdisk-"
#define NAME_MOST 200

static const struct {
	const char *name, *summary;
} known[] = {
	{ "adapt", "give the guest on a disk what it needs on another hypervisor" },
	{ "boot", "boot a disk in a virtual machine of its own, the image untouched" },
	{ "capture", "copy this computer's disks, live, to a server or a folder" },
	{ "capture-ui", "the same with questions and a screen, as on the rescue system" },
	{ "files", "mount the files of a disk's guest, read-only" },
	{ "inspect", "say what is installed on a disk" },
	{ "machine", "show a machine's description, or write it for another system" },
	{ "migrate", "take a virtual machine to another hypervisor, disks, guest and description" },
	{ "mount", "mount an image: the disk, its partitions and snapshots as files" },
	{ "nbd", "serve an image over NBD" },
	{ "p2v", "make a virtual machine of a captured computer" },
	{ "receive", "take what captures send" },
	{ "unmount", "end a mount" },
	{ "verify", "boot a disk and judge whether it comes up" },
};

static const char *summary_of(const char *name)
{
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (!strcmp(known[i].name, name))
			return known[i].summary;
	return NULL;
}

/* This program's folder; false: not known. */
static bool folder_find(char folder[4096])
{
	ssize_t n = readlink("/proc/self/exe", folder, 4095);
	if (n <= 0)
		return false;
	folder[n] = '\0';
	*strrchr(folder, '/') = '\0';
	return true;
}

const char *external_path(const char *name, char path[EXTERNAL_PATH])
{
	char folder[4096];
	if (folder_find(folder)) {
		snprintf(path, EXTERNAL_PATH, "%s/" PREFIX "%.*s", folder, NAME_MOST, name);
		if (!access(path, X_OK))
			return path;
	}
	snprintf(path, EXTERNAL_PATH, PREFIX "%.*s", NAME_MOST, name);
	return path;
}

void external_run(const char *name, char **argv)
{
	char path[EXTERNAL_PATH];
	if (strchr(name, '/') || strlen(name) > NAME_MOST)
		return;
	signal(SIGPIPE, SIG_DFL);
	execvp(external_path(name, path), argv);
	signal(SIGPIPE, SIG_IGN);
}

/* ---------------------------------------------------------------- which there are */

struct found {
	char **v;
	size_t n;
};

static void folder_look(struct found *f, const char *folder)
{
	struct dirent *e;
	DIR *dir = opendir(*folder ? folder : ".");
	while (dir && (e = readdir(dir))) {
		const char *name = e->d_name + strlen(PREFIX);
		bool again = strncmp(e->d_name, PREFIX, strlen(PREFIX)) || !*name || strlen(name) > NAME_MOST ||
		             name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-")] ||
		             faccessat(dirfd(dir), e->d_name, X_OK, AT_EACCESS);
		struct stat st;
		again = again || fstatat(dirfd(dir), e->d_name, &st, 0) || !S_ISREG(st.st_mode) || command_find(name);
		for (size_t i = 0; !again && i < f->n; i++)
			again = !strcmp(f->v[i], name);
		if (again)
			continue;
		f->v = tool_realloc(f->v, (f->n + 1) * sizeof(*f->v));
		f->v[f->n] = tool_realloc(NULL, strlen(name) + 1);
		strcpy(f->v[f->n++], name);
	}
	if (dir)
		closedir(dir);
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

void externals_list(void (*fn)(const char *name, const char *summary))
{
	char folder[4096];
	struct found f = { 0 };
	const char *path = getenv("PATH");
	if (folder_find(folder))
		folder_look(&f, folder);
	for (const char *p = path; p && *p;) {
		size_t n = strcspn(p, ":");
		snprintf(folder, sizeof(folder), "%.*s", (int)(n < sizeof(folder) ? n : sizeof(folder) - 1), p);
		folder_look(&f, folder);
		p += n + (p[n] == ':');
	}
	if (f.n)
		qsort(f.v, f.n, sizeof(*f.v), by_name);
	for (size_t i = 0; i < f.n; i++) {
		fn(f.v[i], summary_of(f.v[i]));
		free(f.v[i]);
	}
	free(f.v);
}
