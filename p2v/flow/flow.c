/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The steps in their order, and what is said at the end.  The one run of a process: its signals set `cancel`, which every step
   looks at. */
#include "flow/flow.h"

#include "common/fail.h"
#include "common/say.h"
#include "common/stop.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile int cancel;

static void on_signal(int number) { stop_ask(&cancel, number); }

static void signals_take(void)
{
	signal(SIGPIPE, SIG_IGN);
	stop_signals(on_signal);
}

void flow_note(struct flow *f, const char *format, ...)
{
	va_list args;

	if (f->n_remarks == sizeof(f->remarks) / sizeof(f->remarks[0]))
		return;
	va_start(args, format);
	if (vasprintf(&f->remarks[f->n_remarks], format, args) >= 0)
		f->n_remarks++;
	va_end(args);
}

void flow_time(struct flow *f, const char *step, double seconds)
{
	if (f->n_times && !strcmp(f->times[f->n_times - 1].step, step))
		f->times[f->n_times - 1].seconds += seconds;
	else if (f->n_times < sizeof(f->times) / sizeof(f->times[0]))
		f->times[f->n_times++] = (struct flow_time){ step, seconds };
}

double flow_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void steps_plan(struct flow *f)
{
	bool streamed = f->package && package_streamed(f->package);
	unsigned disks = (unsigned)f->n_disks;

	progress_begin(&f->progress, f->a->progress, f->a->kind == FLOW_P2V ? "p2v" : "migrate");
	progress_expect(&f->progress, "checking", f->package && !streamed);
	if (!f->a->dry_run) {
		progress_expect(&f->progress, "converting", streamed ? 1 : flow_works(f) ? disks : 0);
		progress_expect(&f->progress, "adapting", !f->a->no_adapt);
		progress_expect(&f->progress, "digesting",
		                flow_works(f) && (!f->a->no_adapt || streamed || f->a->keep_snapshots) ? disks : 0);
		progress_expect(&f->progress, "packing", f->a->ova ? disks : 0);
		progress_expect(&f->progress, "describing", !f->a->ova);
		progress_expect(&f->progress, "verifying", f->a->verify);
	}
	progress_plan(&f->progress);
}

static int archive_check(struct flow *f, vdisk_error *err)
{
	const struct package_job job = {
		.progress = progress_tick, .progress_ctx = &f->progress, .cancel = f->cancel, .no_check = f->a->no_check
	};
	double start = flow_now();
	int rc;

	if (!f->package || package_streamed(f->package))
		return 0;
	progress_step(&f->progress, "checking", "");
	rc = package_check(f->package, &job, err);
	flow_time(f, "check", flow_now() - start);
	return rc;
}

static void works_remove(const struct flow *f)
{
	for (size_t i = 0; f->a->ova && i < f->n_disks; i++)
		unlink(f->disks[i].work);
}

static int steps_run(struct flow *f, vdisk_error *err)
{
	bool early = !f->package || package_kind_of(f->package) == PACKAGE_OVA;

	steps_plan(f);
	/* XVA's and VMA's disks can be opened only when the archive was gone through; where an OVA's lie is known before. */
	if (flow_judge_words(f, err) || (early && flow_judge(f, err)) || archive_check(f, err) || (!early && flow_judge(f, err)))
		return -1;
	if (f->a->dry_run)
		return 0;
	if (flow_convert(f, err) || flow_adapt(f, err) || flow_manifests(f, err) || flow_lint_result(f, err) || flow_ova(f, err) ||
	    flow_describe(f, err) || flow_verify(f, err))
		return -1;
	works_remove(f);
	return 0;
}

static int print(struct flow *f, vdisk_error *err)
{
	struct json_object *report;

	progress_wipe(&f->progress);
	if (f->a->json) {
		report = flow_report(f);
		puts(json_object_to_json_string_ext(report, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
		                                                    JSON_C_TO_STRING_NOSLASHESCAPE));
		json_object_put(report);
	} else if (f->a->dry_run) {
		printf("%s: a machine that could be taken to %s, with %zu disk%s\n", f->a->source, flow_target_name(f->a->target),
		       f->n_disks, f->n_disks == 1 ? "" : "s");
	} else {
		const char *cause = flow_cause(f);
		char *next = flow_next(f);

		printf("%s: %s, in %.1f s; %zu not carried over; %s/report.html\n", f->a->out, f->target_file, f->seconds,
		       f->m->lost.n + f->lost.n, f->a->out);
		if (next)
			printf("next: %s\n", next);
		free(next);
		if (f->a->verify)
			printf("%s: %s%s%s\n", f->a->out, f->verdict, cause ? ": " : "", cause ? cause : "");
	}
	return fflush(stdout) || ferror(stdout) ? fail_errno(err, "standard output") : 0;
}

static void flow_free(struct flow *f)
{
	flow_source_close(f);
	machine_lost_free(&f->lost);
	for (size_t i = 0; i < f->n_remarks; i++)
		free(f->remarks[i]);
	json_object_put(f->adapted);
	json_object_put(f->verified);
	free(f->verify_trouble);
	free(f->name);
	free(f->partial);
	free(f->out);
	free(f->target_file);
	free(f);
}

static int flow_run(struct flow *f, vdisk_error *err)
{
	double start = flow_now();

	if (f->a->findings)
		return flow_source(f, err) || flow_lint(f, err) ? flow_lint_fail(err) : 0;
	if (flow_source(f, err) || flow_name(f, err))
		return -1;
	if (flow_format_choose(f, err) || flow_out_begin(f, err) || steps_run(f, err))
		return -1;
	f->seconds = flow_now() - start;
	if (f->a->dry_run)
		return print(f, err);
	return flow_page(f, err) || flow_out_commit(f, err) || print(f, err) ? -1 : 0;
}

int flow_main(enum flow_kind kind, int argc, char **argv)
{
	struct flow *f = calloc(1, sizeof(*f));
	struct flow_args a;
	vdisk_error err = { 0 };
	int rc = flow_args_parse(&a, kind, argc, argv);

	if (rc || !f) {
		free(f);
		flow_args_free(&a);
		return rc > 0 ? 0 : 2;
	}
	*f = (struct flow){ .a = &a, .cancel = &cancel, .partial_fd = -1, .lock_fd = -1, .verdict = "not-verified" };
	say_open(a.program, false);
	signals_take();
	rc = flow_run(f, &err);
	if (rc) {
		progress_wipe(&f->progress);
		say(LOG_ERR, "%s", err.message);
		flow_out_abort(f);
		rc = 2;
	} else if (!a.dry_run && a.verify) {
		if (f->verify_trouble)
			say(LOG_ERR, "%s: could not be verified: %s", a.out, f->verify_trouble);
		rc = f->verify_trouble ? 2 : strcmp(f->verdict, "booted") ? 1 : 0;
	}
	flow_free(f);
	flow_args_free(&a);
	return rc;
}
