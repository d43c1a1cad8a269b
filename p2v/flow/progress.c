/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "flow/progress.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int progress_mode_parse(const char *text, enum progress_mode *out)
{
	static const struct { const char *name; enum progress_mode mode; } modes[] = {
		{ "auto", PROGRESS_AUTO }, { "bar", PROGRESS_BAR }, { "json", PROGRESS_JSON }, { "none", PROGRESS_NONE },
	};

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (!strcmp(text, modes[i].name)) {
			*out = modes[i].mode;
			return 0;
		}
	return -1;
}

void progress_begin(struct progress *p, enum progress_mode mode, const char *command)
{
	const char *term = getenv("TERM");
	bool terminal = isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;

	*p = (struct progress){ .mode = mode, .command = command };
	if (mode == PROGRESS_AUTO)
		p->mode = terminal ? PROGRESS_BAR : PROGRESS_NONE;
	else if (mode == PROGRESS_BAR && !terminal)
		p->mode = PROGRESS_LINES;
}

void progress_expect(struct progress *p, const char *phase, unsigned steps)
{
	if (!steps || p->n_phases == PROGRESS_PHASES)
		return;
	p->phases[p->n_phases++] = (struct progress_phase){ phase, steps };
	p->steps += steps;
}

static struct json_object *event(const struct progress *p, const char *name)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "schema-version", json_object_new_int(1));
	json_object_object_add(o, "command", json_object_new_string(p->command));
	json_object_object_add(o, "event", json_object_new_string(name));
	return o;
}

static void event_put(struct json_object *o) /* takes o */
{
	fprintf(stderr, "%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}

void progress_plan(struct progress *p)
{
	struct json_object *o, *phases;

	if (p->mode != PROGRESS_JSON)
		return;
	o = event(p, "plan");
	phases = json_object_new_array();
	for (unsigned i = 0; i < p->n_phases; i++) {
		struct json_object *one = json_object_new_object();

		json_object_object_add(one, "phase", json_object_new_string(p->phases[i].name));
		json_object_object_add(one, "steps", json_object_new_int((int)p->phases[i].steps));
		json_object_array_add(phases, one);
	}
	json_object_object_add(o, "phases", phases);
	event_put(o);
}

static double seconds_since(const struct timespec *start)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - start->tv_sec) + (double)(now.tv_nsec - start->tv_nsec) / 1e9;
}

void progress_wipe(struct progress *p)
{
	if (p->shown)
		fputs("\r\033[K", stderr);
	p->shown = false;
}

static void show(struct progress *p, const struct vdisk_progress *now)
{
	double seconds = seconds_since(&p->start), rate = seconds > 0.2 && now ? (double)now->done / seconds : 0;

	if (p->mode == PROGRESS_BAR) {
		fprintf(stderr, "\r\033[K[%u/%u] %s%s%s", p->step, p->steps, p->phase, *p->subject ? " " : "", p->subject);
		if (now && now->total)
			fprintf(stderr, " %5.1f %%", (double)now->done * 100 / (double)now->total);
		if (rate > 0 && now->done < now->total)
			fprintf(stderr, "  %.0f MiB/s  %.0f s left", rate / 1048576, (double)(now->total - now->done) / rate);
		fflush(stderr);
		p->shown = true;
		return;
	}
	if (p->mode == PROGRESS_JSON) {
		struct json_object *o = event(p, "progress");

		json_object_object_add(o, "step", json_object_new_int((int)p->step));
		json_object_object_add(o, "steps", json_object_new_int((int)p->steps));
		json_object_object_add(o, "phase", json_object_new_string(p->phase));
		json_object_object_add(o, "disk", *p->subject ? json_object_new_string(p->subject) : NULL);
		json_object_object_add(o, "done", now ? json_object_new_uint64(now->done) : NULL);
		json_object_object_add(o, "total", now ? json_object_new_uint64(now->total) : NULL);
		json_object_object_add(o, "bytes-per-second", rate > 0 ? json_object_new_uint64((uint64_t)rate) : NULL);
		event_put(o);
		return;
	}
	if (p->mode == PROGRESS_LINES) {
		unsigned tenths = now && now->total ? (unsigned)((double)now->done / (double)now->total * 10) : 0;

		if (!now || tenths > p->tenths)
			fprintf(stderr, "[%u/%u] %s%s%s: %u %%\n", p->step, p->steps, p->phase, *p->subject ? " " : "", p->subject,
			        tenths * 10);
		p->tenths = tenths;
	}
}

void progress_step(struct progress *p, const char *phase, const char *subject)
{
	progress_wipe(p);
	p->step += p->step < p->steps;
	p->phase = phase;
	p->tenths = 0;
	snprintf(p->subject, sizeof(p->subject), "%s", subject ? subject : "");
	clock_gettime(CLOCK_MONOTONIC, &p->start);
	show(p, NULL);
}

void progress_tick(void *ctx, const struct vdisk_progress *now)
{
	struct progress *p = ctx;

	/* An archive's reader tells of every piece. */
	if (now->done < now->total && seconds_since(&p->last) < 0.1)
		return;
	clock_gettime(CLOCK_MONOTONIC, &p->last);
	show(p, now);
}
