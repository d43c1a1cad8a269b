/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vdisk-capture: this machine's disks and its description, to a receiver or into a folder. */
#include "main_machine.h"
#include "main_report.h"
#include "main_run.h"
#include "main_show.h"
#include "main_state.h"
#include "sink_local.h"

#include "common/fail.h"
#include "common/stop.h"
#include "common/streams.h"
#include "machine/json.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#define FIRST_SECONDS 20
#define TMPFS_MAGIC   0x01021994

struct program {
	const struct options *o;
	struct chosen chosen;
	struct machine *machine;
	char *description;
	struct state state;
	struct http_options http;
	struct local_options local;
	struct run run;
};

static volatile int cancel;

static void on_signal(int number) { stop_ask(&cancel, number); }

static void signals_take(void)
{
	signal(SIGPIPE, SIG_IGN);
	stop_signals(on_signal);
}

/* Files of our own must not lie on what is frozen. */
static void scratch_choose(void)
{
	static const char *const folders[] = { "/run", "/dev/shm" };
	struct statfs st;

	for (size_t i = 0; i < sizeof(folders) / sizeof(*folders); i++)
		if (!statfs(folders[i], &st) && st.f_type == TMPFS_MAGIC && !access(folders[i], W_OK | X_OK)) {
			setenv("TMPDIR", folders[i], 1);
			return;
		}
}

static int machine_print(const struct program *p, vdisk_error *err)
{
	const char *path = p->o->machine_out;
	FILE *f = !strcmp(path, "-") ? stdout : fopen(path, "we");
	bool bad;

	if (!f)
		return fail_errno(err, "%s", path);
	bad = fputs(p->description, f) < 0 || fflush(f);
	if (f != stdout && fclose(f))
		bad = true;
	return bad ? fail_errno(err, "%s", path) : 0;
}

static int describe(struct program *p, vdisk_error *err)
{
	if (chosen_open(&p->chosen, p->o, err))
		return -1;
	p->machine = chosen_machine(&p->chosen, err);
	if (!p->machine)
		return -1;
	p->description = machine_json_write(p->machine);
	if (!p->description)
		return fail_nomem(err);
	return p->o->machine_out ? machine_print(p, err) : 0;
}

/* ---- where to */

static struct sink *remote_open(struct program *p, vdisk_error *err)
{
	const struct options *o = p->o;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (state_load(&p->state, o, err))
		return NULL;
	if (!*o->token && !*p->state.secret) {
		fail(err, VDISK_INVALID, "there is nothing to go on with for %s; a capture begins with --token", o->to);
		return NULL;
	}
	p->http = (struct http_options){
		.url = o->to,
		.token = *o->token ? o->token : NULL,
		.secret = p->state.secret,
		.ca_file = o->ca_file,
		.cert = o->cert,
		.key = o->key,
		.workers = o->jobs    ? o->jobs
		           : cpus < 1 ? 2
		           : cpus > 4 ? 8
		                      : (unsigned)cpus * 2,
		.level = (int)o->level,
		.bytes_per_second = o->limit_rate,
		.give_up_seconds = o->give_up,
		.first_seconds = o->has_give_up ? o->give_up : FIRST_SECONDS,
		.cancel = &cancel,
		.note = show_warning,
		.has_fingerprint = o->has_fingerprint || (p->state.has_fingerprint && !o->ca_file),
	};
	memcpy(p->http.fingerprint, o->has_fingerprint ? o->fingerprint : p->state.fingerprint, 32);
	return http_open(&p->http, err);
}

static struct sink *sink_open(struct program *p, vdisk_error *err)
{
	const struct options *o = p->o;

	if (o->remote)
		return remote_open(p, err);
	p->local = (struct local_options){
		.to = o->to, .format = o->format, .overwrite = o->force, .host = p->machine->name, .uuid = p->machine->uuid
	};
	return local_open(&p->local, err);
}

static int sink_begin(struct program *p, vdisk_error *err)
{
	struct run *r = &p->run;
	const struct options *o = p->o;
	vdisk_error e;

	for (size_t i = 0; i < p->chosen.n; i++)
		r->sinks[i] = (struct sink_disk){ .name = p->chosen.disks[i].name, .size = p->chosen.disks[i].size };
	if (r->sink->ops->begin(r->sink, p->description, r->sinks, p->chosen.n, err))
		return -1;
	if (r->sink->whole && !o->resume && !o->resync)
		return fail(err, VDISK_REFUSED,
		            "%s: there is a capture of this machine that lacks nothing but its name; --resume gives it that",
		            r->sink->where);
	if (r->sink->found && !o->resume && !o->resync)
		return fail(err, VDISK_REFUSED, "%s: there is an incomplete capture of this machine; --resume goes on with it",
		            r->sink->where);
	if (o->remote && state_save(&p->state, o, http_id(r->sink), http_secret(r->sink), &e)) {
		char line[VDISK_ERROR_MESSAGE_MAX + 96];

		snprintf(line, sizeof(line), "%s: to go on later will take the token again", e.message);
		show_note(line);
	}
	return 0;
}

/* ---- all of it */

/* A disk does not go into itself. */
static int target_judge(const struct program *p, vdisk_error *err)
{
	const char *names[TRANSFER_DISKS_MAX];
	const struct live_mount *m;
	struct live live;
	int rc = 0;

	for (size_t i = 0; i < p->chosen.n; i++)
		names[i] = p->chosen.disks[i].device ? p->chosen.disks[i].name : "";
	if (live_find(&live, names, p->chosen.n, "", err))
		return -1;
	m = live_holds(&live, p->o->to);
	if (m)
		rc = fail(err, VDISK_INVALID, "%s: lies on %s (%s), which is to be captured", p->o->to, m->source, m->folder);
	live_free(&live);
	return rc;
}

/* An earlier run had all of it and was ended before it could say so. */
static int capture_settle(struct program *p, vdisk_error *err)
{
	struct run *r = &p->run;

	if (run_found(r, err) || r->sink->ops->complete(r->sink, err))
		return -1;
	return report_print(r, p->machine, true) ? fail_errno(err, "standard output") : 0;
}

static int capture(struct program *p, vdisk_error *err)
{
	struct run *r = &p->run;

	if (!p->o->remote && target_judge(p, err))
		return -1;
	r->o = p->o;
	r->chosen = &p->chosen;
	r->cancel = &cancel;
	r->sinks = calloc(p->chosen.n, sizeof(*r->sinks));
	if (!r->sinks)
		return fail_nomem(err);
	r->sink = sink_open(p, err);
	if (!r->sink || sink_begin(p, err))
		return -1;
	if (r->sink->whole)
		return capture_settle(p, err);
	if (run_open(r, err))
		return -1;
	if (r->live.n)
		scratch_choose();
	if (run_passes(r, err))
		return -1;
	if (!p->o->resync) {
		if (r->sink->ops->complete(r->sink, err))
			return -1;
		if (p->o->remote)
			state_drop(&p->state);
	}
	return report_print(r, p->machine, !p->o->resync) ? fail_errno(err, "standard output") : 0;
}

static void resume_hint(const struct program *p, const vdisk_error *err)
{
	if (p->run.disks && err->kind != VDISK_REFUSED)
		show_note("what arrived stays; the same command with --resume goes on");
}

static int program_run(struct program *p, vdisk_error *err)
{
	if (describe(p, err))
		return -1;
	if (p->o->list) {
		if (p->o->json)
			fputs(p->description, stdout);
		else
			chosen_list(p->machine);
		return fflush(stdout) ? fail_errno(err, "standard output") : 0;
	}
	return p->o->to ? capture(p, err) : 0;
}

int main(int argc, char **argv)
{
	static struct program p;
	struct options o;
	vdisk_error err = { 0 };
	int rc = options_parse(&o, argc, argv);

	streams_secure();
	if (rc)
		return rc < 0 ? 2 : 0;
	p.o = &o;
	show_open(&o);
	signals_take();
	rc = program_run(&p, &err);
	if (rc) {
		show_error(&err);
		resume_hint(&p, &err);
	}
	if (p.run.chosen)
		run_free(&p.run);
	if (p.run.sink)
		p.run.sink->ops->close(p.run.sink);
	free(p.run.sinks);
	free(p.description);
	machine_free(p.machine);
	chosen_close(&p.chosen);
	return rc ? 2 : 0;
}
