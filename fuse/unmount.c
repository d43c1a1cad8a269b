/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vdisk-unmount: takes a mount of vdisk-mount away, also one whose program was killed. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	if (argc == 2 && (!strcmp(argv[1], "-h") || !strcmp(argv[1], "--help")))
		return puts("usage: vdisk unmount DIR") < 0 ? 2 : 0;
	if (argc != 2 || argv[1][0] == '-') {
		fprintf(stderr, "vdisk unmount: expects one DIR\n");
		return 2;
	}
	if (!umount2(argv[1], UMOUNT_NOFOLLOW))
		return 0;
	if (errno == EPERM) { /* users go through the helper that mounted it for them */
		execlp("fusermount3", "fusermount3", "-u", "--", argv[1], (char *)NULL);
		fprintf(stderr, "vdisk unmount: fusermount3: %s\n", strerror(errno));
		return 2;
	}
	fprintf(stderr, "vdisk unmount: %s: %s\n", argv[1], strerror(errno));
	return 2;
}
