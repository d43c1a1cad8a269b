/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The judge: what a guest shows goes in, with the time at which it showed; whether it came up comes out.  Pure, and the same for
   every engine. */
#ifndef RUNNER_JUDGE_H
#define RUNNER_JUDGE_H

#include "common/fail.h"
#include "transcript.h"

#include <regex.h>

/* Times are in ms since the first power-on and never go back. */
#define JUDGE_SETTLE_MS 250 /* a line behind which nothing came for so long may be a prompt */
#define JUDGE_RESETS    3   /* so many make a boot loop */
#define JUDGE_SCREEN_MAX 40960

enum verdict { VERDICT_NONE, VERDICT_BOOTED, VERDICT_FAILED, VERDICT_TIMEOUT };

enum stage { STAGE_FIRMWARE, STAGE_LOADER, STAGE_KERNEL, STAGE_LOGIN, STAGES };

struct judge {
	enum verdict verdict;
	char cause[512];          /* one line, printable */
	int64_t stages[STAGES];   /* when the stage was first seen since the last power-on or reset; -1: not yet */
	unsigned resets;

	bool no_reboot, has_expect;
	regex_t expect;
	struct transcript serial;
	int64_t now, serial_ms;   /* when the last byte came */
	bool serial_settled;      /* judged since then */
	uint64_t serial_lines;    /* that were judged and not blank */
	char screen[JUDGE_SCREEN_MAX];
	int64_t screen_ms;
	bool screen_settled;
	uint64_t looked_at, screen_since; /* serial_lines at the last look, and at the one before the screen became what it is */
	char hint[256], last[256]; /* the first error of this stage that was worth a hint; the last line of all */
};

/* `expect`: an extended regular expression; NULL: the built-in signs. */
int judge_init(struct judge *j, const char *expect, bool no_reboot, vdisk_error *err);
void judge_destroy(struct judge *j);

/* Nothing changes a verdict once it is there. */
void judge_serial(struct judge *j, const uint8_t *bytes, size_t n, int64_t now);
/* The whole of a text screen, rows ended by newlines; "" or NULL: there is none at the moment. */
void judge_screen(struct judge *j, const char *text, int64_t now);
/* The graphical screen is as the user said that it would be. */
void judge_picture(struct judge *j, int64_t now);
/* Time passes.  To be called at least every JUDGE_SETTLE_MS. */
void judge_tick(struct judge *j, int64_t now);
void judge_reset(struct judge *j, int64_t now);
/* The guest switched itself off (cause NULL), or its machine broke down. */
void judge_stopped(struct judge *j, const char *cause, int64_t now);
/* The time is over. */
void judge_timeout(struct judge *j, unsigned seconds, int64_t now);

/* "booted", "failed", "timed out". */
const char *verdict_name(enum verdict verdict);
/* "firmware", "loader", "kernel", "login". */
const char *stage_name(enum stage stage);

#endif
