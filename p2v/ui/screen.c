/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What all screens use. */
#include "screen.h"

#include "auto.h"

#include <errno.h>
#include <newt.h>
#include <string.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define WIDTH 64

/* newt's windows for messages take formats; texts that come from elsewhere are no formats. */
void screen_say(const char *title, const char *text)
{
	newtWinMessage((char *)title, (char *)"OK", (char *)"%s", text);
}

bool screen_ask(const char *title, const char *yes, const char *no, const char *text)
{
	return newtWinChoice((char *)title, (char *)yes, (char *)no, (char *)"%s", text) != 2;
}

void screen_wait(const char *text)
{
	newtComponent form = newtForm(NULL, NULL, 0);

	newtCenteredWindow(WIDTH, 3, NULL);
	newtFormAddComponent(form, newtLabel(2, 1, text));
	newtDrawForm(form);
	newtRefresh();
	newtFormDestroy(form);
}

void screen_unsay(void)
{
	newtPopWindow();
}

bool screen_machine(struct ui *u)
{
	vdisk_error err;
	int rc;

	if (u->m)
		return true;
	screen_wait("Looking at this machine's disks ...");
	rc = list_read(u->capture, &u->m, &err);
	screen_unsay();
	if (rc)
		screen_say("Disks", err.message);
	return !rc;
}

static void shell_run(void)
{
	const char *shell = getenv("SHELL");
	pid_t pid;

	newtSuspend();
	printf("\nBack to the capture: exit\n");
	fflush(stdout);
	pid = fork();
	if (!pid) {
		execl(shell && *shell ? shell : "/bin/sh", shell && *shell ? shell : "/bin/sh", (char *)NULL);
		execl("/bin/sh", "/bin/sh", (char *)NULL);
		_exit(127);
	}
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	newtResume();
	newtRefresh();
}

enum screen screen_more(struct ui *u, enum screen from)
{
	char *items[5];
	int choice = 0, n = 0, key;

	items[n++] = (char *)"A shell";
	if (u->o->power_program) {
		items[n++] = (char *)"Power off";
		items[n++] = (char *)"Reboot";
	} else {
		items[n++] = (char *)"Leave";
	}
	items[n] = NULL;
	key = newtWinMenu((char *)"More", (char *)"What else?", 40, 5, 5, 6, items, &choice, (char *)"OK", (char *)"Back", NULL);
	if (key == 2)
		return from;
	if (!choice) {
		shell_run();
		return from;
	}
	if (!u->o->power_program)
		return SCREEN_LEAVE;
	if (!power_switch(u->o, choice == 1 ? AFTER_POWEROFF : AFTER_REBOOT))
		return SCREEN_LEAVE;
	screen_say("Power", "The power cannot be switched from here.");
	return from;
}
