/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The lock guards standard error and everything in `s`. */
#include "main_show.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

static struct {
	enum progress_wish mode; /* BAR, JSON or NONE */
	bool quiet, verbose, bar_shown;
	unsigned pass, passes;
	const char *phase;
	double begun, last;      /* of the pass; when something was shown */
	uint64_t last_done;
	double rate;
	char bad_path[256];      /* of the disk whose first bad sector was told */
	pthread_mutex_t lock;
} s = { .lock = PTHREAD_MUTEX_INITIALIZER };

static double now_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void show_open(const struct options *o)
{
	const char *term = getenv("TERM");
	bool terminal = isatty(STDERR_FILENO) && term && strcmp(term, "dumb");

	s.mode = o->progress == PROGRESS_AUTO ? terminal && !o->quiet ? PROGRESS_BAR : PROGRESS_NONE : o->progress;
	s.quiet = o->quiet;
	s.verbose = o->verbose;
}

const char *show_size(char buf[SHOW_SIZE], uint64_t bytes)
{
	static const char units[] = "KMGTPE";
	double v = (double)bytes;
	int u = -1;

	for (; v >= 1024 && u < 5; u++)
		v /= 1024;
	if (u < 0)
		snprintf(buf, SHOW_SIZE, "%" PRIu64 " bytes", bytes);
	else
		snprintf(buf, SHOW_SIZE, "%.*f %ciB", v < 100 ? 2 : 0, v, units[u]);
	return buf;
}

/* ---- lines */

static void wipe(void)
{
	if (s.bar_shown)
		fputs("\r\033[K", stderr);
	s.bar_shown = false;
}

/* Control bytes would act upon the terminal. */
static void put_clean(const char *text)
{
	for (; *text; text++)
		fputc((unsigned char)*text < ' ' || *text == 127 ? '?' : *text, stderr);
}

static void event_put(json_object *o) /* takes o */
{
	fprintf(stderr, "%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}

static json_object *event(const char *name)
{
	json_object *o = json_object_new_object();

	json_object_object_add(o, "event", json_object_new_string(name));
	return o;
}

static void message_put(const char *kind, const char *prefix, const char *message)
{
	pthread_mutex_lock(&s.lock);
	wipe();
	if (s.mode == PROGRESS_JSON) {
		json_object *o = event(kind);

		json_object_object_add(o, "message", json_object_new_string(message));
		event_put(o);
	} else {
		fputs(PROGRAM ": ", stderr);
		fputs(prefix, stderr);
		put_clean(message);
		fputc('\n', stderr);
	}
	pthread_mutex_unlock(&s.lock);
}

void show_warning(const char *message)
{
	if (!s.quiet)
		message_put("warning", "warning: ", message);
}

void show_note(const char *message)
{
	if (s.verbose || s.mode == PROGRESS_JSON)
		message_put("note", "", message);
}

void show_bad(const char *path, uint64_t off, uint64_t len)
{
	char line[512];
	bool first;

	pthread_mutex_lock(&s.lock);
	first = strncmp(s.bad_path, path, sizeof(s.bad_path) - 1) != 0;
	snprintf(s.bad_path, sizeof(s.bad_path), "%.255s", path);
	pthread_mutex_unlock(&s.lock);
	snprintf(line, sizeof(line), "%.300s: %" PRIu64 " bytes at %" PRIu64 " cannot be read: zeros instead", path, len, off);
	if (first)
		show_warning(line);
	else
		show_note(line);
}

int show_error(const vdisk_error *err)
{
	pthread_mutex_lock(&s.lock);
	wipe();
	fputs(PROGRAM ": ", stderr);
	put_clean(err->kind == VDISK_CANCELLED ? "interrupted" : err->message);
	fputc('\n', stderr);
	pthread_mutex_unlock(&s.lock);
	return -1;
}

/* ---- progress */

void show_pass(unsigned pass, unsigned passes, const char *phase)
{
	pthread_mutex_lock(&s.lock);
	s.pass = pass;
	s.passes = passes;
	s.phase = phase;
	s.begun = s.last = now_seconds();
	s.last_done = 0;
	s.rate = 0;
	pthread_mutex_unlock(&s.lock);
}

static double seconds_left(uint64_t done, uint64_t total)
{
	return done >= total ? 0 : s.rate > 0 ? (double)(total - done) / s.rate : -1;
}

static void lines_json(struct pass *p, const struct pass_counts *now)
{
	double left = seconds_left(now->done, now->total);

	for (size_t i = 0; i < p->n; i++) {
		json_object *o = event("progress");
		struct pass_counts d;

		pass_counts(p, i, &d);
		json_object_object_add(o, "phase", json_object_new_string(s.phase));
		json_object_object_add(o, "pass", json_object_new_int((int)s.pass));
		json_object_object_add(o, "passes", json_object_new_int((int)s.passes));
		json_object_object_add(o, "disk", json_object_new_string(p->disks[i].content->disk->name));
		json_object_object_add(o, "done", json_object_new_uint64(d.done));
		json_object_object_add(o, "total", json_object_new_uint64(d.total));
		json_object_object_add(o, "sent", json_object_new_uint64(d.sent));
		json_object_object_add(o, "bytes-per-second", json_object_new_uint64((uint64_t)s.rate));
		json_object_object_add(o, "seconds-left", left < 0 ? NULL : json_object_new_int64((int64_t)(left + 0.5)));
		event_put(o);
	}
}

static void bar_draw(const struct pass_counts *now)
{
	struct winsize ws = { 0 };
	unsigned columns = !ioctl(STDERR_FILENO, TIOCGWINSZ, &ws) && ws.ws_col ? ws.ws_col : 80, room, full;
	double share = now->total ? (double)now->done / (double)now->total : 1, left = seconds_left(now->done, now->total);
	char rate[SHOW_SIZE], sent[SHOW_SIZE], tail[160], eta[32] = "--:--", bar[52];

	if (left >= 0 && left < 359999)
		snprintf(eta, sizeof(eta), left >= 3600 ? "%u:%02u:%02u" : "%u:%02u", (unsigned)left / (left >= 3600 ? 3600 : 60),
		         left >= 3600 ? (unsigned)left / 60 % 60 : (unsigned)left % 60, (unsigned)left % 60);
	snprintf(tail, sizeof(tail), " %5.1f %%  %s/s  sent %s  ETA %s  pass %u/%u", share * 100, show_size(rate, (uint64_t)s.rate),
	         show_size(sent, now->sent), eta, s.pass, s.passes);
	room = columns > strlen(tail) + 4 ? columns - (unsigned)strlen(tail) - 3 : 0;
	room = room > 50 ? 50 : room;
	full = (unsigned)(share * room);
	for (unsigned i = 0; i < room; i++)
		bar[i] = i < full ? '=' : i == full ? '>' : ' ';
	fprintf(stderr, "\r%s%.*s%s%.*s\033[K", room ? "[" : "", (int)room, bar, room ? "]" : "", (int)columns - 1, tail);
	fflush(stderr);
	s.bar_shown = true;
}

void show_tick(void *ctx, struct pass *p, const struct pass_counts *now)
{
	double t = now_seconds(), dt = t - s.last, whole = t - s.begun;
	bool ended = now->done >= now->total;

	(void)ctx;
	if (s.mode != PROGRESS_BAR && s.mode != PROGRESS_JSON)
		return;
	if (dt < 0.5 && !ended)
		return;
	if (dt > 0.05) {
		double fresh = now->done > s.last_done ? (double)(now->done - s.last_done) / dt : 0,
		       weight = whole < 5 ? dt / whole : dt / 5;

		s.rate = s.rate == 0 ? fresh : s.rate + (fresh - s.rate) * (weight > 1 ? 1 : weight);
		s.last = t;
		s.last_done = now->done;
	}
	pthread_mutex_lock(&s.lock);
	if (s.mode == PROGRESS_JSON)
		lines_json(p, now);
	else
		bar_draw(now);
	pthread_mutex_unlock(&s.lock);
}

void show_end(void)
{
	pthread_mutex_lock(&s.lock);
	if (s.bar_shown)
		fputc('\n', stderr);
	s.bar_shown = false;
	pthread_mutex_unlock(&s.lock);
}
