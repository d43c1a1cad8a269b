/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vdisk-capture-ui: `vdisk capture-ui`, and what the capture ISO shows. */
#include "auto.h"
#include "options.h"
#include "screen.h"

#include "common/option.h"
#include "common/streams.h"

#include <locale.h>
#include <newt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Beside this program, else by PATH. */
static const char *capture_find(char path[4096])
{
	const char *list = getenv("PATH");
	ssize_t n = readlink("/proc/self/exe", path, 4000);
	char *slash;

	path[n > 0 ? n : 0] = '\0';
	slash = strrchr(path, '/');
	if (slash) {
		strcpy(slash + 1, "vdisk-capture");
		if (!access(path, X_OK))
			return path;
	}
	for (const char *p = list && *list ? list : "/usr/bin:/bin"; *p;) {
		size_t len = strcspn(p, ":");

		if (*p == '/' && len < 4000) {
			snprintf(path, 4096, "%.*s/vdisk-capture", (int)len, p);
			if (!access(path, X_OK))
				return path;
		}
		p += len + (p[len] == ':');
	}
	return NULL;
}

static void screens_run(struct ui *u)
{
	static enum screen (*const screens[])(struct ui *) = { screen_server, screen_network, screen_disks, screen_run,
		                                               screen_end };
	enum screen at = SCREEN_SERVER;

	while (at != SCREEN_LEAVE)
		at = screens[at](u);
}

int main(int argc, char **argv)
{
	static struct ui u; /* large for a stack */
	static char path[4096];
	struct options o;
	int rc = options_parse(&o, argc, argv);
	const char *capture;

	streams_secure();
	if (rc)
		return rc < 0 ? 2 : 0;
	signal(SIGPIPE, SIG_IGN);
	capture = o.capture ? o.capture : capture_find(path);
	if (!capture) {
		option_bad(PROGRAM, "there is no program vdisk-capture", NULL);
		return 2;
	}
	if (o.automatic)
		return auto_run(&o, capture);
	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
		option_bad(PROGRAM, "takes a terminal; --auto does without", NULL);
		return 2;
	}
	setlocale(LC_CTYPE, "");
	u.o = &o;
	u.capture = capture;
	u.s = o.settings;
	newtInit();
	newtCls();
	newtDrawRootText(1, 0, "vdisk: capture of a machine");
	screens_run(&u);
	newtFinished();
	machine_free(u.m);
	return 0;
}
