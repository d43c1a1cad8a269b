/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which disks, and the last look before it begins. */
#include "screen.h"

#include <newt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool chosen_before(const struct ui *u, const struct machine_disk *d)
{
	if (!u->chosen_n)
		return u->s.disks[0] ? settings_want(&u->s, d->name) : list_default(d);
	for (size_t i = 0; i < u->chosen_n; i++)
		if (u->chosen[i] == d)
			return true;
	return false;
}

static void chosen_take(struct ui *u, newtComponent tree)
{
	int n = 0;
	const void **found = newtCheckboxTreeGetSelection(tree, &n);

	u->chosen_n = 0;
	for (int i = 0; i < n && u->chosen_n < SETTINGS_DISKS_MAX; i++)
		u->chosen[u->chosen_n++] = found[i];
	free(found);
}

static bool is_sure(const struct ui *u)
{
	char text[600], size[32];
	uint64_t bytes = 0;

	for (size_t i = 0; i < u->chosen_n; i++)
		bytes += u->chosen[i]->size;
	list_size(bytes, size);
	snprintf(text, sizeof(text),
	         "%zu disk%s (%s, of which what is in use is sent) to\n%.200s\n\nNothing on the disks of this machine is changed.",
	         u->chosen_n, u->chosen_n == 1 ? "" : "s", size, u->s.server);
	return screen_ask("Begin?", "Begin", "Back", text);
}

enum screen screen_disks(struct ui *u)
{
	newtComponent form, tree, start, back, at;
	enum screen then = SCREEN_DISKS;
	char text[256];

	if (!screen_machine(u))
		return SCREEN_SERVER;
	newtCenteredWindow(76, 18, "Disks");
	form = newtForm(NULL, NULL, 0);
	tree = newtCheckboxTree(2, 3, 9, NEWT_FLAG_SCROLL);
	newtCheckboxTreeSetWidth(tree, 72);
	for (size_t i = 0; i < u->m->disks_n; i++) {
		const struct machine_disk *d = &u->m->disks[i];

		if (d->medium != MACHINE_DISK || !d->name || !d->size)
			continue;
		list_disk(u->m, d, text, sizeof(text));
		text[64] = '\0';
		newtCheckboxTreeAddItem(tree, text, d, chosen_before(u, d) ? NEWT_FLAG_SELECTED : 0, NEWT_ARG_APPEND,
		                        NEWT_ARG_LAST);
	}
	start = newtButton(12, 14, "Begin");
	back = newtButton(46, 14, "Back");
	newtFormAddComponents(form, newtLabel(2, 1, "Which disks are to be captured? All of those that the system needs."), tree,
	                      start, back, NULL);
	newtPushHelpLine(" Space: choose a disk or not   Tab: next   Enter: go on");
	while (then == SCREEN_DISKS) {
		at = newtRunForm(form);
		chosen_take(u, tree);
		if (at == back)
			then = SCREEN_SERVER;
		else if (!u->chosen_n)
			screen_say("Disks", "No disk is chosen.");
		else if (is_sure(u))
			then = SCREEN_RUN;
	}
	newtPopHelpLine();
	newtFormDestroy(form);
	newtPopWindow();
	return then;
}
