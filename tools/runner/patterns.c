/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table.  A line that is worth a verdict must be one that its program prints when it has given up, or has arrived: what a
 * program says on the way, or what a menu entry may be called, is none.
 */
#include "patterns.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>

enum where {
	ANYWHERE,
	BEGIN,  /* of the line, after the kernel's time stamp */
	PROMPT, /* a settled line that is this and nothing else */
	ENDING, /* a settled line that ends so */
};

struct pattern {
	enum sign sign;
	enum where where;
	const char *text, *meaning;
};

static const struct pattern patterns[] = {
	/* Firmware that found nothing. */
	{ SIGN_FAILED, BEGIN, "No bootable device", NULL },                                    /* SeaBIOS */
	{ SIGN_HINT, ANYWHERE, "Boot failed: ", NULL },                                        /* SeaBIOS: the next device comes */
	{ SIGN_FAILED, ANYWHERE, "No bootable option or device was found", NULL },             /* EDK 2 */
	{ SIGN_FAILED, BEGIN, "UEFI Interactive Shell v", "the firmware found nothing to boot: its shell" },
	{ SIGN_FAILED, PROMPT, "Shell>", "the firmware found nothing to boot: its shell" },
	{ SIGN_HINT, BEGIN, "BdsDxe: failed to ", NULL },
	{ SIGN_FAILED, ANYWHERE, "No bootable medium found", NULL },                           /* VirtualBox */
	{ SIGN_FAILED, BEGIN, "Reboot and Select proper Boot device", NULL },
	{ SIGN_FAILED, BEGIN, "Non-System disk or disk error", NULL },
	{ SIGN_FAILED, BEGIN, "This is not a bootable disk", NULL },                           /* mkfs.fat */

	/* Master boot records and boot sectors. */
	{ SIGN_FAILED, ANYWHERE, "Missing operating system", NULL },
	{ SIGN_FAILED, ANYWHERE, "Error loading operating system", NULL },
	{ SIGN_FAILED, ANYWHERE, "Invalid partition table", NULL },
	{ SIGN_FAILED, ANYWHERE, "Operating system not found", NULL },
	{ SIGN_FAILED, ANYWHERE, "Operating System not found", NULL },
	{ SIGN_FAILED, BEGIN, "No active partition", NULL },
	{ SIGN_FAILED, ANYWHERE, "A disk read error occurred", NULL },                         /* NTFS */
	{ SIGN_FAILED, ANYWHERE, "BOOTMGR is missing", NULL },
	{ SIGN_FAILED, ANYWHERE, "BOOTMGR is compressed", NULL },
	{ SIGN_FAILED, ANYWHERE, "NTLDR is missing", NULL },
	{ SIGN_FAILED, ANYWHERE, "NTLDR is compressed", NULL },
	{ SIGN_FAILED, BEGIN, "GRUB Geom Error", NULL },
	{ SIGN_FAILED, BEGIN, "GRUB Hard Disk Error", NULL },
	{ SIGN_FAILED, BEGIN, "GRUB Read Error", NULL },

	/* Boot loaders. */
	{ SIGN_FAILED, PROMPT, "grub rescue>", "GRUB found no modules or configuration: its rescue prompt" },
	{ SIGN_FAILED, PROMPT, "grub>", "GRUB found no configuration: its prompt" },
	{ SIGN_HINT, BEGIN, "error: ", NULL },
	{ SIGN_LOADER, ANYWHERE, "GRUB loading", NULL },
	{ SIGN_LOADER, ANYWHERE, "Welcome to GRUB", NULL },
	{ SIGN_LOADER, ANYWHERE, "GNU GRUB  version", NULL },
	{ SIGN_LOADER, BEGIN, "Booting from Hard Disk", NULL },
	{ SIGN_LOADER, BEGIN, "Booting from 0000:7c00", NULL },
	{ SIGN_LOADER, BEGIN, "BdsDxe: starting Boot", NULL },
	{ SIGN_LOADER, BEGIN, "Booting `", NULL },
	{ SIGN_LOADER, BEGIN, "Loading Linux ", NULL },
	{ SIGN_LOADER, BEGIN, "Loading initial ramdisk", NULL },
	{ SIGN_LOADER, BEGIN, "SYSLINUX ", NULL },
	{ SIGN_LOADER, BEGIN, "EXTLINUX ", NULL },
	{ SIGN_LOADER, BEGIN, "ISOLINUX ", NULL },
	{ SIGN_LOADER, ANYWHERE, "Windows Boot Manager", NULL },
	{ SIGN_FAILED, BEGIN, "Windows failed to start", NULL },
	{ SIGN_FAILED, BEGIN, "Windows could not start because", NULL },
	{ SIGN_FAILED, ANYWHERE, "Your PC needs to be repaired", NULL },
	{ SIGN_FAILED, ANYWHERE, "Your PC/Device needs to be repaired", NULL },
	{ SIGN_FAILED, ANYWHERE, "An operating system wasn't found", NULL },
	{ SIGN_FAILED, BEGIN, "Could not find kernel image", NULL },                           /* syslinux */
	{ SIGN_FAILED, BEGIN, "No DEFAULT or UI configuration directive found", NULL },
	{ SIGN_FAILED, BEGIN, "Failed to load ldlinux", NULL },
	{ SIGN_FAILED, PROMPT, "mountroot>", "the kernel found no root file system: its prompt" }, /* FreeBSD */

	/* Linux. */
	{ SIGN_FAILED, ANYWHERE, "Kernel panic - not syncing", NULL },
	{ SIGN_FAILED, BEGIN, "-- System halted", NULL },                                      /* the decompressor */
	{ SIGN_FAILED, ANYWHERE, "reboot: System halted", NULL },
	{ SIGN_FAILED, BEGIN, "This kernel requires ", NULL },
	{ SIGN_FAILED, BEGIN, "Unable to boot - please use a kernel appropriate", NULL },
	{ SIGN_FAILED, ANYWHERE, "EFI stub: ERROR", NULL },
	{ SIGN_HINT, ANYWHERE, "VFS: Cannot open root device", NULL },
	{ SIGN_KERNEL, BEGIN, "Linux version ", NULL },
	{ SIGN_KERNEL, BEGIN, "Decompressing Linux", NULL },
	{ SIGN_KERNEL, BEGIN, "EFI stub: ", NULL },
	{ SIGN_KERNEL, ANYWHERE, "as init process", NULL },

	/* Initial RAM disks: initramfs-tools, dracut, mkinitcpio, Alpine's. */
	{ SIGN_FAILED, BEGIN, "ALERT!  ", NULL },
	{ SIGN_FAILED, PROMPT, "(initramfs)", "the initial RAM disk's shell" },
	{ SIGN_HINT, ANYWHERE, "dracut-initqueue: timeout", NULL },
	{ SIGN_FAILED, ANYWHERE, "Entering emergency mode", NULL },
	{ SIGN_FAILED, PROMPT, "dracut:/#", "the initial RAM disk's shell" },
	{ SIGN_FAILED, ANYWHERE, "dropped into an emergency shell", NULL },
	{ SIGN_FAILED, PROMPT, "[rootfs ~]#", "the initial RAM disk's shell" },
	{ SIGN_FAILED, ANYWHERE, "emergency recovery shell launched", NULL },

	/* Init systems. */
	{ SIGN_FAILED, ANYWHERE, "You are in emergency mode", NULL },
	{ SIGN_FAILED, ANYWHERE, "You are in rescue mode", NULL },
	{ SIGN_FAILED, ANYWHERE, "Welcome to emergency mode", NULL },
	{ SIGN_FAILED, ANYWHERE, "Welcome to rescue mode", NULL },
	{ SIGN_FAILED, BEGIN, "Give root password for", NULL },
	{ SIGN_FAILED, BEGIN, "Cannot open access to console, the root account is locked", NULL },
	{ SIGN_FAILED, ANYWHERE, "Reached target Emergency Mode", NULL },
	{ SIGN_FAILED, ANYWHERE, "Reached target emergency.target", NULL },
	{ SIGN_FAILED, ANYWHERE, "Reached target Rescue Mode", NULL },
	{ SIGN_FAILED, ANYWHERE, "Reached target rescue.target", NULL },
	{ SIGN_FAILED, ANYWHERE, "Freezing execution", NULL },
	{ SIGN_FAILED, ANYWHERE, "UNEXPECTED INCONSISTENCY; RUN fsck MANUALLY", NULL },
	{ SIGN_HINT, ANYWHERE, "Timed out waiting for device", NULL },
	{ SIGN_HINT, ANYWHERE, "Dependency failed for", NULL },
	{ SIGN_KERNEL, BEGIN, "systemd[1]: ", NULL },
	{ SIGN_KERNEL, BEGIN, "INIT: version ", NULL },
	{ SIGN_KERNEL, BEGIN, "Welcome to ", NULL }, /* and not "Welcome to GRUB!", which stands above */
	{ SIGN_BOOTED, ANYWHERE, "Reached target Multi-User System", NULL },
	{ SIGN_BOOTED, ANYWHERE, "Reached target multi-user.target", NULL },
	{ SIGN_BOOTED, ANYWHERE, "Reached target Graphical Interface", NULL },
	{ SIGN_BOOTED, ANYWHERE, "Reached target graphical.target", NULL },
	{ SIGN_BOOTED, ANYWHERE, "Reached target Login Prompts", NULL },
	{ SIGN_BOOTED, ANYWHERE, "Reached target getty.target", NULL },
	{ SIGN_BOOTED, ANYWHERE, "systemd[1]: Startup finished in ", NULL },
	{ SIGN_BOOTED, ENDING, "login:", NULL },

	/* BSD. */
	{ SIGN_KERNEL, ANYWHERE, "The FreeBSD Project", NULL },
	{ SIGN_KERNEL, ANYWHERE, "The NetBSD Foundation", NULL },
	{ SIGN_KERNEL, BEGIN, "OpenBSD ", NULL },
	{ SIGN_HINT, BEGIN, "panic: ", NULL },
	{ SIGN_FAILED, BEGIN, "Automatic reboot in 15 seconds - press a key", "the kernel panicked" },
	{ SIGN_FAILED, PROMPT, "db>", "the kernel's debugger" },
	{ SIGN_FAILED, PROMPT, "ddb>", "the kernel's debugger" },
	{ SIGN_FAILED, BEGIN, "Enter full pathname of shell or RETURN for /bin/sh", NULL },

	/* Windows: stop screens in text, and the Emergency Management Services on the serial line. */
	{ SIGN_FAILED, BEGIN, "*** STOP: 0x", NULL },
	{ SIGN_FAILED, ANYWHERE, "A problem has been detected and Windows has been shut down", NULL },
	{ SIGN_FAILED, ANYWHERE, "CLASSNAME=\"BLUESCREEN\"", "a Windows stop screen, told on the serial line" },
	{ SIGN_BOOTED, PROMPT, "SAC>", NULL },
};

/* Behind "[    1.234567] " and the like. */
static const char *stamp_skip(const char *line, bool *stamped)
{
	const char *p = line;

	*stamped = false;
	if (*p != '[')
		return line;
	p += 1 + strspn(p + 1, " ");
	size_t whole = strspn(p, "0123456789");
	if (!whole || p[whole] != '.')
		return line;
	p += whole + 1;
	size_t part = strspn(p, "0123456789");
	if (part != 6 || p[part] != ']')
		return line;
	p += part + 1;
	*stamped = true;
	return p + strspn(p, " ");
}

/* "HOST login: " and something else, which came while the prompt waited. */
static bool login_overwritten(const char *line)
{
	size_t n = strspn(line, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_");

	return n && !strncmp(line + n, " login: ", 8) && strncmp(line, "Last ", 5);
}

static bool pattern_matches(const struct pattern *p, const char *line, const char *text, bool settled)
{
	size_t n = strlen(line), len = strlen(p->text);

	switch (p->where) {
	case ANYWHERE:
		return strstr(line, p->text) != NULL;
	case BEGIN:
		return !strncmp(text, p->text, len);
	case PROMPT:
		return settled && !strcmp(line, p->text);
	case ENDING:
		return settled && n >= len && !strcmp(line + n - len, p->text) &&
		       (n == len || !isalnum((unsigned char)line[n - len - 1]));
	}
	return false;
}

enum sign pattern_find(const char *line, bool settled, const char **meaning)
{
	enum sign best = SIGN_NONE;
	bool stamped;

	line += strspn(line, " ");
	const char *text = stamp_skip(line, &stamped);
	*meaning = NULL;
	for (size_t i = 0; i < sizeof(patterns) / sizeof(*patterns); i++)
		if (patterns[i].sign > best && !(best == SIGN_LOADER && patterns[i].sign == SIGN_KERNEL) &&
		    pattern_matches(&patterns[i], line, text, settled)) {
			best = patterns[i].sign;
			*meaning = patterns[i].meaning;
		}
	return best < SIGN_BOOTED && login_overwritten(line) ? SIGN_BOOTED : best;
}

bool pattern_stamped(const char *line)
{
	bool stamped;

	stamp_skip(line, &stamped);
	return stamped;
}
