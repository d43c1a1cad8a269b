/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a capture is to be, as the kernel's command line, the program's own or somebody at the screen says it. */
#ifndef UI_SETTINGS_H
#define UI_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <vdisk/vdisk.h>

#define SETTINGS_DISKS_MAX 64u

enum after { AFTER_NOTHING, AFTER_POWEROFF, AFTER_REBOOT };

struct settings {
	char server[512];      /* https://HOST[:PORT]/ by settings_server(); "": not known */
	char token[256];
	char fingerprint[128]; /* 64 hexadecimal digits; "": the server's certificate is checked by the system's authorities */
	char disks[1024];      /* names with commas between; "": all */
	bool auto_start;
	enum after after;
};

/* Reads vdisk.server=, vdisk.token=, vdisk.fingerprint=, vdisk.disks=, vdisk.after= and vdisk.auto out of a kernel's command line;
   other words are not ours.  A value may stand in double quotes.  -1: a word of ours is wrong, *err says which. */
int settings_from_kernel(struct settings *s, const char *line, vdisk_error *err);
/* Each checks and takes one, -1 where it cannot be one.  A server without "https://" gets it, "http://" is refused. */
int settings_server(struct settings *s, const char *text, vdisk_error *err);
int settings_token(struct settings *s, const char *text, vdisk_error *err);
int settings_fingerprint(struct settings *s, const char *text, vdisk_error *err);
int settings_disks(struct settings *s, const char *text, vdisk_error *err);
int settings_after(struct settings *s, const char *text, vdisk_error *err);
/* The server's host and port, from a text that settings_server() took. */
void settings_host(const struct settings *s, char host[256], char port[8]);
/* Is this disk among s->disks? */
bool settings_want(const struct settings *s, const char *disk);

#endif
