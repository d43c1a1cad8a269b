/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vdisk-verify: boots machines as vdisk-boot does, lets the judge see all they show, and tells its verdict. */
#include "judge.h"
#include "report.h"
#include "setup.h"

#include "common/streams.h"
#include "common/write_all.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LOOK_MS 200 /* how often the screen is looked at */

struct run {
	struct options options;
	struct setup setup;
	struct judge judge;
	struct screen screen, reference;
	char text[JUDGE_SCREEN_MAX];
	int64_t begin, looked; /* of clock_ms() */
	bool has_reference, pictured;
};

static int64_t run_ms(const struct run *run)
{
	return clock_ms() - run->begin;
}

/* What the guest sent goes to the judge and into the file.  false: there is nothing more for now. */
static bool serial_take(struct run *run, vdisk_error *err, bool *failed)
{
	uint8_t bytes[16384];
	ssize_t n = read(run->setup.engine.output_fd, bytes, sizeof(bytes));
	int fd = run->setup.config.serial_fd;

	if (n <= 0)
		return false;
	judge_serial(&run->judge, bytes, (size_t)n, run_ms(run));
	if (fd >= 0 && write_all(fd, bytes, (size_t)n)) {
		fail_errno(err, "%s", run->options.serial);
		*failed = true;
	}
	return true;
}

static int screen_look(struct run *run, vdisk_error *err)
{
	struct engine *e = &run->setup.engine;

	if (clock_ms() - run->looked < LOOK_MS || run->judge.verdict)
		return 0;
	run->looked = clock_ms();
	if (e->ops->screen(e, false, &run->screen, err)) {
		char cause[256];

		return e->ops->stopped(e, cause) ? 0 : -1; /* of a machine that just stopped there is no screen */
	}
	screen_text(&run->screen, run->text, sizeof(run->text));
	judge_screen(&run->judge, run->text, run_ms(run));
	if (!run->has_reference || e->ops->screen(e, true, &run->screen, err))
		return 0;
	if (screen_alike(&run->screen, &run->reference))
		judge_picture(&run->judge, run_ms(run));
	return 0;
}

/* Before the machine goes. */
static int screenshot_take(struct run *run, vdisk_error *err)
{
	struct engine *e = &run->setup.engine;

	if (!run->options.screenshot || run->pictured)
		return 0;
	if (e->ops->screen(e, true, &run->screen, err))
		return -1;
	if (run->screen.kind != SCREEN_PICTURE) {
		fprintf(stderr, "vdisk verify: warning: %s: not written: the machine has no screen, or none any more\n",
		        run->options.screenshot);
		return 0;
	}
	run->pictured = true;
	return screen_save(&run->screen, run->options.screenshot, err);
}

static int run_round(struct run *run, vdisk_error *err)
{
	struct engine *e = &run->setup.engine;
	struct pollfd p[3] = {
		{ .fd = e->event_fd, .events = POLLIN },
		{ .fd = run->setup.signal_fd, .events = POLLIN },
		{ .fd = e->output_fd, .events = POLLIN },
	};
	bool failed = false;

	if (poll(p, 3, LOOK_MS / 2) < 0 && errno != EINTR)
		return fail_errno(err, "poll");
	if (p[1].revents)
		return fail(err, VDISK_CANCELLED, "stopped by a signal");
	if (p[2].revents)
		serial_take(run, err, &failed);
	judge_tick(&run->judge, run_ms(run));
	return failed || screen_look(run, err) ? -1 : 0;
}

/* One machine, from power-on to its stop or to the verdict. */
static int run_once(struct run *run, vdisk_error *err)
{
	struct engine *e = &run->setup.engine;
	enum machine_stop stop = MACHINE_RUNS;
	bool failed = false;
	char cause[256];

	if (e->ops->begin(e, err))
		return -1;
	while (!run->judge.verdict && !(stop = e->ops->stopped(e, cause))) {
		if (run_round(run, err))
			return -1;
		if (run_ms(run) >= (int64_t)run->options.timeout * 1000)
			judge_timeout(&run->judge, run->options.timeout, run_ms(run));
	}
	while (stop && serial_take(run, err, &failed))
		; /* what it said last */
	if (failed || (run->judge.verdict && !stop && screenshot_take(run, err)))
		return -1;
	if (stop == MACHINE_RESET)
		judge_reset(&run->judge, run_ms(run));
	else if (stop)
		judge_stopped(&run->judge, stop == MACHINE_POWEROFF ? NULL : cause, run_ms(run));
	e->ops->end(e);
	return 0;
}

static int run_begin(struct run *run, vdisk_error *err)
{
	const struct options *o = &run->options;

	if (judge_init(&run->judge, o->expect, o->no_reboot, err))
		return -1;
	if (o->reference && screen_load(&run->reference, o->reference, err))
		return -1;
	run->has_reference = o->reference != NULL;
	if (setup_open(&run->setup, o, true, err))
		return -1;
	if (*run->setup.note)
		fprintf(stderr, "vdisk verify: %s\n", run->setup.note);
	return 0;
}

static int run_all(struct run *run, vdisk_error *err)
{
	struct report report = { .options = &run->options, .judge = &run->judge };

	if (run_begin(run, err))
		return -1;
	run->begin = clock_ms();
	while (!run->judge.verdict)
		if (run_once(run, err))
			return -1;
	report.ms = run_ms(run);
	report.engine = run->setup.engine.ops->name;
	report.note = run->setup.note;
	report.firmware = run->setup.config.kernel ? "none" : run->setup.config.variables ? "uefi" : "bios";
	report.screenshot = run->pictured ? run->options.screenshot : NULL;
	if (run->options.junit && report_junit(&report, run->options.junit, err))
		return -1;
	if (report_print(&report, err))
		return -1;
	return run->judge.verdict == VERDICT_BOOTED ? 0 : 1;
}

int main(int argc, char **argv)
{
	static struct run run;
	vdisk_error err = { 0 };
	int status = options_parse(&run.options, "verify", argc, argv);

	streams_secure();
	if (status)
		return status > 0 ? 0 : 2;
	status = run_all(&run, &err);
	if (run.setup.options && setup_close(&run.setup, status < 0, &err))
		status = -1;
	judge_destroy(&run.judge);
	screen_destroy(&run.screen);
	screen_destroy(&run.reference);
	if (status < 0)
		fprintf(stderr, "vdisk verify: %s\n", err.message);
	return status < 0 ? 2 : status;
}
