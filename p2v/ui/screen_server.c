/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where the capture goes, and whether it would arrive. */
#include "screen.h"

#include "probe.h"

#include <newt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fields {
	newtComponent form, server, token, fingerprint, test, network, next, more;
};

/* Takes the fields into the settings; false: something is wrong, and was said. */
static bool fields_take(struct ui *u, const struct fields *f)
{
	struct settings s = u->s;
	vdisk_error err;

	s.server[0] = s.token[0] = '\0';
	if (settings_server(&s, newtEntryGetValue(f->server), &err)) {
		screen_say("Server", err.message);
		newtFormSetCurrent(f->form, f->server);
		return false;
	}
	if (settings_token(&s, newtEntryGetValue(f->token), &err)) {
		screen_say("Token", err.message);
		newtFormSetCurrent(f->form, f->token);
		return false;
	}
	if (settings_fingerprint(&s, newtEntryGetValue(f->fingerprint), &err)) {
		screen_say("Fingerprint", err.message);
		newtFormSetCurrent(f->form, f->fingerprint);
		return false;
	}
	u->s = s;
	return true;
}

/* A server that nothing vouches for: somebody compares its fingerprint with what stands on the receiver's screen.  true: it is the
   one. */
static bool stranger_ask(struct ui *u, const struct fields *f, const struct probe *p)
{
	char text[512];

	snprintf(
		text, sizeof(text),
		"The server answers. Nothing vouches for it: compare its fingerprint with the one that vdisk receive printed.\n\n%.32s\n%s\n\nIs it the same?",
		p->fingerprint, p->fingerprint + 32);
	if (!screen_ask("Fingerprint", "It is the same", "It is not", text))
		return false;
	strcpy(u->s.fingerprint, p->fingerprint);
	newtEntrySet(f->fingerprint, u->s.fingerprint, 0);
	return true;
}

/* true: the capture would get through. */
static bool connection_test(struct ui *u, const struct fields *f, bool say)
{
	struct probe p;
	vdisk_error err;
	int rc;

	for (;;) {
		screen_wait("Asking the server ...");
		rc = probe(&u->s, &p, &err);
		screen_unsay();
		if (rc) {
			screen_say("No connection", err.message);
			return false;
		}
		if (p.trusted)
			break;
		if (!stranger_ask(u, f, &p))
			return false;
	}
	if (say)
		screen_say("Connection", "The server answers, it is the right one, and it takes the token.");
	return true;
}

static newtComponent entry(newtComponent form, int row, const char *name, const char *value)
{
	newtComponent e = newtEntry(15, row, value, 55, NULL, NEWT_FLAG_SCROLL);

	newtFormAddComponents(form, newtLabel(2, row, name), e, NULL);
	return e;
}

static void fields_draw(struct ui *u, struct fields *f)
{
	char text[160];

	newtCenteredWindow(72, 17, "Capture this machine");
	f->form = newtForm(NULL, NULL, 0);
	if (u->m)
		list_machine(u->m, text, sizeof(text));
	else
		strcpy(text, "This machine's disks cannot be listed.");
	text[68] = '\0';
	newtFormAddComponents(f->form, newtLabel(2, 1, text), newtLabel(2, 3, "On the server, vdisk receive printed these three:"),
	                      NULL);
	f->server = entry(f->form, 5, "Server", u->s.server);
	f->token = entry(f->form, 7, "Token", u->s.token);
	f->fingerprint = entry(f->form, 9, "Fingerprint", u->s.fingerprint);
	newtFormAddComponent(f->form, newtLabel(15, 10, "(empty: it is shown and you compare it)"));
	f->test = newtButton(2, 13, "Test");
	f->network = u->o->net_program ? newtButton(16, 13, "Network") : NULL;
	f->more = newtButton(34, 13, "More");
	f->next = newtButton(50, 13, "Next");
	newtFormAddComponents(f->form, f->next, f->test, NULL);
	if (f->network)
		newtFormAddComponent(f->form, f->network);
	newtFormAddComponent(f->form, f->more);
}

enum screen screen_server(struct ui *u)
{
	enum screen then = SCREEN_SERVER;
	struct fields f;

	screen_machine(u);
	fields_draw(u, &f);
	newtPushHelpLine(" Tab: next   Enter: choose   Server, token and fingerprint: as the receiver says them");
	while (then == SCREEN_SERVER) {
		newtComponent at = newtRunForm(f.form);

		if (at == f.test) {
			if (fields_take(u, &f))
				connection_test(u, &f, true);
		} else if (at == f.next || at == f.server || at == f.token || at == f.fingerprint) {
			if (fields_take(u, &f) && screen_machine(u) && connection_test(u, &f, false))
				then = SCREEN_DISKS;
		} else if (f.network && at == f.network) {
			then = SCREEN_NETWORK;
		} else {
			then = screen_more(u, SCREEN_SERVER);
		}
	}
	newtPopHelpLine();
	newtFormDestroy(f.form);
	newtPopWindow();
	return then;
}
