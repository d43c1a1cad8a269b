/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unmount.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* Users go through the helper that mounted it for them. */
static int by_helper(const char *mountpoint, unsigned flags)
{
	const char *how = flags & UNMOUNT_DETACH ? "-z" : "--";
	char *argv[] = { (char *)"fusermount3", (char *)"-u", (char *)"-q", (char *)how, (char *)mountpoint, NULL };
	int status, rc;
	pid_t pid;

	rc = posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ);
	if (rc)
		return rc;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return errno;
	return WIFEXITED(status) && !WEXITSTATUS(status) ? 0 : EBUSY;
}

int unmount(const char *mountpoint, unsigned flags)
{
	if (flags & UNMOUNT_SYNC) {
		int fd = open(mountpoint, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (fd >= 0) {
			syncfs(fd);
			close(fd);
		}
	}
	if (!umount2(mountpoint, UMOUNT_NOFOLLOW | (flags & UNMOUNT_DETACH ? MNT_DETACH : 0)))
		return 0;
	return errno == EPERM ? by_helper(mountpoint, flags) : errno;
}
