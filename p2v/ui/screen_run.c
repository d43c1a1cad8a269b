/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The capture under way, and how it ended. */
#include "screen.h"

#include "auto.h"

#include <newt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS      4   /* disks that have a bar */
#define LOG_LINES 6
#define WIDTH     76

struct view {
	newtComponent form, all, rate, names[ROWS], bars[ROWS], shares[ROWS], log, stop;
	size_t first;   /* of the disks that are shown */
	size_t told;    /* lines of the log that are shown */
};

static void view_draw(struct view *v, const struct ui *u)
{
	newtCenteredWindow(WIDTH, 20, "Capture");
	v->form = newtForm(NULL, NULL, 0);
	v->first = 0;
	v->told = (size_t)-1;
	for (size_t i = 0; i < ROWS && i < u->job.disks_n; i++) {
		v->names[i] = newtLabel(2, (int)i + 1, "                ");
		v->bars[i] = newtScale(20, (int)i + 1, 36, 1000);
		v->shares[i] = newtLabel(58, (int)i + 1, "                ");
		newtFormAddComponents(v->form, v->names[i], v->bars[i], v->shares[i], NULL);
	}
	v->all = newtScale(2, ROWS + 2, WIDTH - 4, 1000);
	v->rate = newtLabel(2, ROWS + 3, "");
	v->log = newtTextbox(2, ROWS + 5, WIDTH - 4, LOG_LINES, 0);
	v->stop = newtButton(32, 16, "Stop");
	newtFormAddComponents(v->form, v->all, v->rate, v->log, v->stop, NULL);
	newtFormWatchFd(v->form, u->job.fd, NEWT_FD_READ);
	newtFormSetTimer(v->form, 1000);
}

static unsigned share(uint64_t done, uint64_t total)
{
	return total ? (unsigned)((double)done / (double)total * 1000) : 0;
}

static void time_text(double seconds, char out[48])
{
	unsigned s = seconds < 0 ? 0 : seconds < 3599999 ? (unsigned)(seconds + 0.5) : 3599999;

	if (seconds < 0)
		strcpy(out, "time left: not known yet");
	else
		snprintf(out, 48, "time left: %u:%02u:%02u", s / 3600, s / 60 % 60, s % 60);
}

static void log_show(struct view *v, const struct job *j)
{
	char text[LOG_LINES * (WIDTH + 2)] = "";
	size_t kept = j->log_n < JOB_LINES ? j->log_n : JOB_LINES, from = kept > LOG_LINES ? kept - LOG_LINES : 0, n = 0;

	if (v->told == j->log_n)
		return;
	v->told = j->log_n;
	for (size_t i = from; i < kept; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%.*s\n", WIDTH - 5, job_log(j, i));
	newtTextboxSetText(v->log, text);
}

static void view_update(struct view *v, const struct ui *u)
{
	const struct job *j = &u->job;
	char text[320], a[32], b[32], r[32], left[48];
	uint64_t done, total;

	for (size_t i = 0; i < j->disks_n; i++) /* the one at work is among those that are shown */
		if (j->disks[i].moving && (i < v->first || i >= v->first + ROWS))
			v->first = i;
	for (size_t i = 0; i < ROWS && i < j->disks_n; i++) {
		const struct job_disk *d = v->first + i < j->disks_n ? &j->disks[v->first + i] : NULL;

		snprintf(text, sizeof(text), "%-16.16s", d ? d->name : "");
		newtLabelSetText(v->names[i], text);
		newtScaleSet(v->bars[i], d ? share(d->done, d->total) : 0);
		if (d && d->pass > 1)
			snprintf(text, sizeof(text), "%3u %%  pass %-4u", share(d->done, d->total) / 10, d->pass);
		else
			snprintf(text, sizeof(text), "%3u %%           ", d ? share(d->done, d->total) / 10 : 0);
		newtLabelSetText(v->shares[i], text);
	}
	job_total(j, &done, &total);
	newtScaleSet(v->all, share(done, total));
	list_size(done, a);
	list_size(total, b);
	list_size((uint64_t)j->rate, r);
	time_text(j->left, left);
	snprintf(text, sizeof(text), "%s of %s   %s/s   %s   %s", a, b, r, left, j->phase);
	snprintf(text + strlen(text), sizeof(text) - strlen(text), "%*s",
	         WIDTH - 4 > (int)strlen(text) ? WIDTH - 4 - (int)strlen(text) : 0, "");
	text[WIDTH - 4] = '\0';
	newtLabelSetText(v->rate, text);
	log_show(v, j);
	newtRefresh();
}

static int job_begin(struct ui *u)
{
	static char paths[SETTINGS_DISKS_MAX][256];
	const char *words[SETTINGS_DISKS_MAX];
	uint64_t sizes[SETTINGS_DISKS_MAX];
	vdisk_error err;

	for (size_t i = 0; i < u->chosen_n; i++) {
		list_path(u->chosen[i], paths[i]);
		words[i] = paths[i];
		sizes[i] = u->chosen[i]->size;
	}
	if (!job_start(&u->job, u->capture, &u->s, words, sizes, u->chosen_n, &err))
		return 0;
	screen_say("Capture", err.message);
	return -1;
}

enum screen screen_run(struct ui *u)
{
	struct newtExitStruct es;
	struct view v;
	bool on = true;

	if (job_begin(u))
		return SCREEN_DISKS;
	view_draw(&v, u);
	newtPushHelpLine(" The capture runs; it goes on by itself when the connection comes back");
	view_update(&v, u);
	while (on) {
		newtFormRun(v.form, &es);
		if (es.reason == NEWT_EXIT_FDREADY)
			on = job_read(&u->job) == 1;
		else if (es.reason == NEWT_EXIT_COMPONENT && es.u.co == v.stop && !u->job.stopped &&
		         screen_ask("Stop?", "Go on", "Stop",
		                    "What was sent is kept: the same capture can be gone on with later.") == false)
			job_stop(&u->job);
		if (es.reason != NEWT_EXIT_FDREADY)
			view_update(&v, u);
	}
	newtPopHelpLine();
	newtFormDestroy(v.form);
	newtPopWindow();
	return SCREEN_END;
}

/* ---------------------------------------------------------------- the end */

static void log_window(const struct job *j)
{
	newtComponent form = newtForm(NULL, NULL, 0), box = newtTextbox(1, 1, WIDTH - 3, 14, NEWT_FLAG_SCROLL | NEWT_FLAG_WRAP),
		      ok = newtButton(32, 16, "OK");
	char *text = malloc(JOB_LINES * (JOB_LINE_MAX + 1) + 1);
	size_t n = 0;

	newtCenteredWindow(WIDTH, 20, "Log");
	if (text) {
		const char *line;

		text[0] = '\0';
		for (size_t i = 0; (line = job_log(j, i)); i++)
			n += (size_t)sprintf(text + n, "%s\n", line);
		newtTextboxSetText(box, text);
	}
	newtFormAddComponents(form, box, ok, NULL);
	newtFormSetCurrent(form, ok);
	newtRunForm(form);
	newtFormDestroy(form);
	newtPopWindow();
	free(text);
}

static int end_choose(const struct ui *u, const char *text)
{
	const struct job *j = &u->job;
	const char *title = !j->status ? "Captured" : j->stopped ? "Stopped" : "Not captured";
	char *again = (char *)(j->status ? "Again" : "Another"), *log = (char *)"Log";

	if (u->o->power_program)
		return newtWinTernary((char *)title, (char *)"Power", again, log, (char *)"%s", text);
	return newtWinTernary((char *)title, (char *)"Leave", again, log, (char *)"%s", text);
}

enum screen screen_end(struct ui *u)
{
	const struct job *j = &u->job;
	char text[JOB_LINE_MAX + 200];

	if (!j->status && u->s.after != AFTER_NOTHING && !power_switch(u->o, u->s.after))
		return SCREEN_LEAVE;
	if (!j->status)
		strcpy(text, "The capture is complete. The server has all disks of it and goes on by itself.");
	else
		snprintf(text, sizeof(text), "%s\n\nWhat was sent is kept: \"Again\" goes on there.",
		         j->error[0] ? j->error : "The capture is not complete.");
	for (;;) {
		switch (end_choose(u, text)) {
		case 1: {
			enum screen then = u->o->power_program ? screen_more(u, SCREEN_END) : SCREEN_LEAVE;

			if (then != SCREEN_END)
				return then;
			break;
		}
		case 2: return j->status ? SCREEN_RUN : SCREEN_SERVER;
		case 3: log_window(j); break;
		default: break;
		}
	}
}
