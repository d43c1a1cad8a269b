/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns the bar: whether it stands on the terminal's last line is the one state shared between threads. */
#include "progress.h"
#include "output.h"
#include "sizes.h"
#include "common/stop.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

const struct opt progress_options[] = {
	{ .letter = 'p', .kind = OPT_FLAG, .field = offsetof(struct progress_args, bar), .help = "as --progress bar" },
	{ .name = "progress", .kind = OPT_CHOICE, .field = offsetof(struct progress_args, mode), .arg = "MODE",
	  .choices = "auto|bar|json|none",
	  .help = "show progress on standard error: auto (the default), a bar if that is a terminal; bar, elsewhere a line each "
	          "tenth; json, JSON lines; none" },
	{ 0 },
};

static atomic_bool bar_shown;
static volatile int cancel_flag;

/* The second one, of whatever kind, is not waited for (common/stop.h). */
static void on_signal(int number) { stop_ask(&cancel_flag, number); }

static void on_signal_stop_writes(int number)
{
	on_signal(number);
	setrlimit(RLIMIT_FSIZE, &(struct rlimit){ 0, 0 });
}

const volatile int *cancel_by_signals(void)
{
	stop_signals(on_signal);
	return &cancel_flag;
}

const volatile int *cancel_asked(void) { return &cancel_flag; }

const volatile int *cancel_writes_by_signals(void)
{
	signal(SIGXFSZ, SIG_IGN); /* an error of write() instead */
	stop_signals(on_signal_stop_writes);
	return &cancel_flag;
}

void progress_wipe(void)
{
	if (atomic_exchange(&bar_shown, false))
		fputs("\r\033[K", stderr);
}

void progress_begin(struct progress *p, const struct progress_args *args, bool quiet, const char *verb)
{
	const char *mode = args->mode ? args->mode : args->bar ? "bar" : "auto";
	const char *term = getenv("TERM");
	bool terminal = isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
	*p = (struct progress){ .mode = PROGRESS_NONE, .verb = verb };
	if (!strcmp(mode, "json"))
		p->mode = PROGRESS_JSON;
	else if (!strcmp(mode, "bar"))
		p->mode = terminal ? PROGRESS_BAR : PROGRESS_LINES;
	else if (!strcmp(mode, "auto") && terminal && !quiet)
		p->mode = PROGRESS_BAR;
	clock_gettime(CLOCK_MONOTONIC, &p->start);
	p->last = p->start;
}

static double seconds_between(const struct timespec *a, const struct timespec *b)
{
	return (double)(b->tv_sec - a->tv_sec) + (double)(b->tv_nsec - a->tv_nsec) / 1e9;
}

static void rate_update(struct progress *p, uint64_t done)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	double dt = seconds_between(&p->last, &now), whole = seconds_between(&p->start, &now);
	if (dt < 0.05 || done < p->last_done)
		return;
	double fresh = (double)(done - p->last_done) / dt;
	/* The mean of roughly the last three seconds; at the start, of all. */
	double weight = whole < 3 ? dt / whole : dt / 3;
	p->rate = p->rate == 0 ? fresh : p->rate + (fresh - p->rate) * (weight > 1 ? 1 : weight);
	p->last = now;
	p->last_done = done;
}

/* Seconds; below 0: nobody knows. */
static double time_left(const struct progress *p, const struct vdisk_progress *now)
{
	return now->done <= now->total && p->rate > 0 ? (double)(now->total - now->done) / p->rate
	       : now->done == now->total              ? 0
	                                              : -1;
}

static void bar_draw(const struct progress *p, const struct vdisk_progress *now)
{
	struct winsize ws = { 0 };
	unsigned columns = ioctl(STDERR_FILENO, TIOCGWINSZ, &ws) == 0 && ws.ws_col ? ws.ws_col : 80;
	double share = now->total ? (double)now->done / (double)now->total : 1;
	char rate[SIZE_TEXT], tail[128], eta[32] = "--:--", bar[64];
	double left = time_left(p, now);
	if (left >= 0) {
		unsigned s = left < 359999 ? (unsigned)(left + 0.5) : 359999;
		if (s >= 3600)
			snprintf(eta, sizeof(eta), "%u:%02u:%02u", s / 3600, s / 60 % 60, s % 60);
		else
			snprintf(eta, sizeof(eta), "%u:%02u", s / 60, s % 60);
	}
	snprintf(tail, sizeof(tail), "%s %5.1f %%  %s/s  ETA %s  zeros %u %%", p->verifying ? " verify" : "", share * 100,
	         size_human(rate, (uint64_t)p->rate), eta,
	         now->done ? (unsigned)((double)now->zero / (double)now->done * 100) : 0);
	unsigned room = columns > strlen(tail) + 4 ? columns - (unsigned)strlen(tail) - 3 : 0;
	unsigned width = room > 50 ? 50 : room, full = (unsigned)(share * width);
	for (unsigned i = 0; i < width; i++)
		bar[i] = i < full ? '=' : i == full ? '>' : ' ';
	atomic_store(&bar_shown, true);
	fprintf(stderr, "\r%s%.*s%s%.*s\033[K", width ? "[" : "", (int)width, bar, width ? "]" : "", (int)columns - 1, tail);
	fflush(stderr);
}

static void json_line(const struct progress *p, const struct vdisk_progress *now)
{
	struct json_object *o = json_report();
	json_put_text(o, "event", "progress");
	json_put_text(o, "phase", p->verb);
	json_put_u64(o, "done", now->done);
	json_put_u64(o, "total", now->total);
	json_put_u64(o, "zero", now->zero);
	json_put_u64(o, "copied", now->copied);
	json_put_u64(o, "bytes-per-second", (uint64_t)p->rate);
	double left = time_left(p, now);
	if (left < 0)
		json_put(o, "seconds-left", NULL);
	else
		json_put_double(o, "seconds-left", left);
	fprintf(stderr, "%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}

void progress_tick(void *ctx, const struct vdisk_progress *now)
{
	struct progress *p = ctx;
	if (p->mode == PROGRESS_NONE)
		return;
	if (now->verifying && !p->verifying) {
		clock_gettime(CLOCK_MONOTONIC, &p->start);
		p->verifying = true;
		p->verb = "verifying";
		p->last = p->start;
		p->last_done = p->tenths = 0;
		p->rate = 0;
	}
	rate_update(p, now->done);
	if (p->mode == PROGRESS_BAR) {
		bar_draw(p, now);
	} else if (p->mode == PROGRESS_JSON) {
		json_line(p, now);
	} else {
		unsigned tenths = now->total ? (unsigned)((double)now->done / (double)now->total * 10) : 10;
		char rate[SIZE_TEXT];
		if (tenths > p->tenths)
			fprintf(stderr, "%s: %u %%, %s/s\n", p->verb, tenths * 10, size_human(rate, (uint64_t)p->rate));
		p->tenths = tenths > p->tenths ? tenths : p->tenths;
	}
}

void progress_end(struct progress *p)
{
	if (p->mode == PROGRESS_BAR && atomic_exchange(&bar_shown, false))
		fputc('\n', stderr);
}
