/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* "vdisk-capture:MACHINE:BOOT:PROCESS:BEGUN": a volume group may be another machine's, too, a process' number another one's after
 * it. */
#include "snap.h"

#include "find_text.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TAG "vdisk-capture"

/* Letters, digits and dots of a file's text. */
static void word(char *out, size_t room, const char *root, const char *path)
{
	char text[256];
	size_t n = 0;

	find_text(text, sizeof(text), root, "%s", path);
	for (const char *p = text; *p && n < room - 1; p++)
		if (isalnum((unsigned char)*p) || *p == '.')
			out[n++] = *p;
	out[n] = '\0';
}

static void here(char machine[40], char boot[40], const char *root)
{
	word(machine, 40, root, "/etc/machine-id");
	if (!*machine)
		word(machine, 40, root, "/proc/sys/kernel/hostname");
	word(boot, 40, root, "/proc/sys/kernel/random/boot_id");
}

/* The 22nd field of its stat: ticks after the boot; 0: there is no such process.  Its name, the second one, may hold anything. */
static uint64_t process_begun(const char *root, unsigned long pid)
{
	char text[2048], *p;
	uint64_t begun;

	if (!find_text(text, sizeof(text), root, "/proc/%lu/stat", pid) || !(p = strrchr(text, ')')))
		return 0;
	return sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %" SCNu64, &begun) == 1
		   ? begun
		   : 0;
}

void snap_tag(char out[LVM_NAME], const char *root)
{
	char machine[40], boot[40];
	unsigned long pid = (unsigned long)getpid();

	here(machine, boot, root);
	snprintf(out, LVM_NAME, TAG ":%s:%s:%lu:%" PRIu64, machine, boot, pid, process_begun(root, pid));
}

bool snap_tag_stale(const char *tag, const char *root)
{
	char machine[40], boot[40], its_machine[40], its_boot[40], rest;
	unsigned long pid;
	uint64_t begun;

	here(machine, boot, root);
	if (!*machine || !*boot ||
	    sscanf(tag, TAG ":%39[^:]:%39[^:]:%lu:%" SCNu64 "%c", its_machine, its_boot, &pid, &begun, &rest) != 4)
		return false;
	return !strcmp(machine, its_machine) && (strcmp(boot, its_boot) || process_begun(root, pid) != begun);
}
