/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Complete lines are judged as they come, what may be a prompt once it has stood for JUDGE_SETTLE_MS.  So the verdict depends on
 * the bytes and their times, not on how they were cut.  The first verdict counts.
 */
#include "judge.h"
#include "patterns.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void conclude(struct judge *j, enum verdict verdict, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void conclude(struct judge *j, enum verdict verdict, const char *format, ...)
{
	char text[2 * sizeof(j->cause)];
	va_list ap;

	if (j->verdict)
		return;
	j->verdict = verdict;
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	transcript_clean(j->cause, sizeof(j->cause), (const uint8_t *)text, strlen(text));
	if (verdict == VERDICT_BOOTED && j->stages[STAGE_LOGIN] < 0)
		j->stages[STAGE_LOGIN] = j->now;
}

static void stage_reach(struct judge *j, enum stage stage)
{
	if (j->stages[stage] >= 0)
		return;
	j->stages[stage] = j->now;
	j->hint[0] = '\0';
}

/* Where a verdict's line alone would not say why, the first error of its stage does. */
static void line_failed(struct judge *j, const char *line, const char *meaning)
{
	if (meaning && *j->hint)
		conclude(j, VERDICT_FAILED, "%s, after \"%s\"", meaning, j->hint);
	else if (meaning)
		conclude(j, VERDICT_FAILED, "%s", meaning);
	else if (*j->hint && !strstr(line, j->hint))
		conclude(j, VERDICT_FAILED, "%s, after \"%s\"", line, j->hint);
	else
		conclude(j, VERDICT_FAILED, "%s", line);
}

static void line_judge(struct judge *j, const char *line, bool settled, bool newest)
{
	char clean[sizeof(j->last)];
	const char *meaning;

	line += strspn(line, " ");
	if (!*line || j->verdict)
		return;
	enum sign sign = pattern_find(line, settled, &meaning);
	stage_reach(j, STAGE_FIRMWARE);
	if (pattern_stamped(line))
		stage_reach(j, STAGE_KERNEL);
	transcript_clean(clean, sizeof(clean), (const uint8_t *)line, strlen(line));
	if (newest)
		memcpy(j->last, clean, sizeof(j->last));
	if (j->has_expect && !regexec(&j->expect, line, 0, NULL, 0)) {
		conclude(j, VERDICT_BOOTED, "%s", line);
		return;
	}
	switch (sign) {
	case SIGN_NONE:
		break;
	case SIGN_LOADER:
		stage_reach(j, STAGE_LOADER);
		break;
	case SIGN_KERNEL:
		stage_reach(j, STAGE_KERNEL);
		break;
	case SIGN_HINT:
		if (!*j->hint)
			memcpy(j->hint, clean, sizeof(j->hint));
		break;
	case SIGN_FAILED:
		line_failed(j, line, meaning);
		break;
	case SIGN_BOOTED:
		stage_reach(j, STAGE_LOGIN);
		if (!j->has_expect)
			conclude(j, VERDICT_BOOTED, "%s", line);
		break;
	}
}

static void serial_judge(struct judge *j, const char *line, bool settled)
{
	j->serial_lines += line[strspn(line, " ")] != '\0';
	line_judge(j, line, settled, true);
}

static void line_came(void *ctx, const char *line)
{
	serial_judge(ctx, line, false);
}

static void stages_clear(struct judge *j)
{
	for (unsigned i = 0; i < STAGES; i++)
		j->stages[i] = -1;
}

int judge_init(struct judge *j, const char *expect, bool no_reboot, vdisk_error *err)
{
	char why[128];

	*j = (struct judge){ .no_reboot = no_reboot, .serial_settled = true, .screen_settled = true };
	stages_clear(j);
	transcript_init(&j->serial, line_came, j);
	if (!expect)
		return 0;
	int r = regcomp(&j->expect, expect, REG_EXTENDED | REG_NOSUB);
	if (r) {
		regerror(r, &j->expect, why, sizeof(why));
		return fail(err, VDISK_INVALID, "--expect %s: %s", expect, why);
	}
	j->has_expect = true;
	return 0;
}

void judge_destroy(struct judge *j)
{
	if (j->has_expect)
		regfree(&j->expect);
	j->has_expect = false;
}

void judge_serial(struct judge *j, const uint8_t *bytes, size_t n, int64_t now)
{
	if (!n)
		return;
	judge_tick(j, now);
	transcript_feed(&j->serial, bytes, n);
	j->serial_ms = now;
	j->serial_settled = false;
}

/* The rows of the screen, one after the other.  A prompt may stand in each that a blank one follows: where the memory of scrolled
   rows is shown, too, the last one is not at the end.  A look comes late: what the serial line has said since the look before is
   newer than what this one shows. */
static void screen_rows(struct judge *j, bool settled)
{
	const bool newest = j->serial_lines == j->screen_since;
	char line[TRANSCRIPT_LINE_MAX + 1];

	for (const char *p = j->screen; *p;) {
		size_t n = strcspn(p, "\n");
		const char *next = p + n + (p[n] == '\n');
		bool last = !*next || *next == '\n';

		transcript_clean(line, sizeof(line), (const uint8_t *)p, n);
		line_judge(j, line, settled && last, newest);
		p = next;
	}
}

void judge_screen(struct judge *j, const char *text, int64_t now)
{
	const uint64_t before = j->looked_at;

	judge_tick(j, now);
	j->looked_at = j->serial_lines;
	if (!text)
		text = "";
	if (!strncmp(j->screen, text, sizeof(j->screen) - 1))
		return;
	snprintf(j->screen, sizeof(j->screen), "%s", text);
	j->screen_ms = now;
	j->screen_since = before;
	j->screen_settled = false;
	screen_rows(j, false);
}

void judge_picture(struct judge *j, int64_t now)
{
	judge_tick(j, now);
	conclude(j, VERDICT_BOOTED, "the screen is as the reference picture");
}

void judge_tick(struct judge *j, int64_t now)
{
	char line[TRANSCRIPT_LINE_MAX + 1];

	j->now = now;
	if (!j->serial_settled && now - j->serial_ms >= JUDGE_SETTLE_MS) {
		j->serial_settled = true;
		serial_judge(j, transcript_partial(&j->serial, line), true);
	}
	if (!j->screen_settled && now - j->screen_ms >= JUDGE_SETTLE_MS) {
		j->screen_settled = true;
		screen_rows(j, true);
	}
}

void judge_reset(struct judge *j, int64_t now)
{
	judge_tick(j, now);
	transcript_end(&j->serial);
	if (j->verdict)
		return;
	j->resets++;
	if (j->no_reboot)
		conclude(j, VERDICT_FAILED, "the guest reset itself%s%s", *j->last ? "; its last line was: " : "", j->last);
	else if (j->resets >= JUDGE_RESETS)
		conclude(j, VERDICT_FAILED, "boot loop: %u resets%s%s", j->resets, *j->last ? "; the last line was: " : "",
		         j->last);
	if (j->verdict)
		return;
	stages_clear(j);
	j->serial_settled = j->screen_settled = true;
	j->screen[0] = j->hint[0] = '\0';
	j->looked_at = j->serial_lines;
}

void judge_stopped(struct judge *j, const char *cause, int64_t now)
{
	judge_tick(j, now);
	transcript_end(&j->serial);
	if (cause)
		conclude(j, VERDICT_FAILED, "%s%s%s", cause, *j->last ? "; the last line was: " : "", j->last);
	else
		conclude(j, VERDICT_FAILED, "the guest switched itself off before it was up%s%s",
		         *j->last ? "; its last line was: " : "", j->last);
}

void judge_timeout(struct judge *j, unsigned seconds, int64_t now)
{
	judge_tick(j, now);
	conclude(j, VERDICT_TIMEOUT, "no sign of success within %u s; %s%s", seconds,
	         *j->last ? "the last line was: " : "the guest showed nothing", j->last);
}

const char *verdict_name(enum verdict verdict)
{
	static const char *const names[] = { "none", "booted", "failed", "timed out" };

	return names[verdict];
}

const char *stage_name(enum stage stage)
{
	static const char *const names[] = { "firmware", "loader", "kernel", "login" };

	return names[stage];
}
