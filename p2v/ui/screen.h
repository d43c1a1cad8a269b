/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The screens, in newt.  80 columns and 24 lines are enough for each; a serial line has no more. */
#ifndef UI_SCREEN_H
#define UI_SCREEN_H

#include "job.h"
#include "list.h"
#include "options.h"

struct ui {
	const struct options *o;
	const char *capture;       /* the program */
	struct settings s;
	struct machine *m;         /* NULL: not read yet */
	const struct machine_disk *chosen[SETTINGS_DISKS_MAX];
	size_t chosen_n;
	struct job job;
};

enum screen { SCREEN_SERVER, SCREEN_NETWORK, SCREEN_DISKS, SCREEN_RUN, SCREEN_END, SCREEN_LEAVE };

/* Each draws itself, takes what somebody does there, and says which comes next. */
enum screen screen_server(struct ui *u);
enum screen screen_network(struct ui *u);
enum screen screen_disks(struct ui *u);
enum screen screen_run(struct ui *u);
enum screen screen_end(struct ui *u);

/* A box with a text and the button "OK". */
void screen_say(const char *title, const char *text);
/* The same with two buttons; true: the first one. */
bool screen_ask(const char *title, const char *yes, const char *no, const char *text);
/* A box without buttons, until screen_unsay(). */
void screen_wait(const char *text);
void screen_unsay(void);
/* Reads the machine, if it was not; false: it cannot be, and that was said. */
bool screen_machine(struct ui *u);
/* Shell, power off, reboot; SCREEN_LEAVE or back to `from`. */
enum screen screen_more(struct ui *u, enum screen from);

#endif
