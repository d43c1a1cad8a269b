/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vdisk-verify on the result.  That it could not be run is no failure of the migration: the report says so.  One processor will do:
 * where they are emulated, several wait for each other on a busy host until the guest's kernel finds fault with its timers.
 */
#include "flow/flow.h"
#include "flow/run.h"

#include "common/fail.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MEMORY_LEAST ((uint64_t)256 << 20) /* of a guest whose memory nobody knows, and no more than the most: this host has other
                                              things to do */
#define MEMORY_MOST  ((uint64_t)4 << 30)

static void verdict_take(struct flow *f, struct run *r)
{
	struct json_object *v;
	const char *said = "";

	f->verified = json_tokener_parse(r->out);
	if (f->verified && json_object_object_get_ex(f->verified, "verdict", &v) && json_object_is_type(v, json_type_string))
		said = json_object_get_string(v);
	f->verdict = !strcmp(said, "booted")      ? "booted"
	             : !strcmp(said, "timed-out") ? "timed-out"
	             : !strcmp(said, "failed")    ? "failed"
	                                          : "not-verified";
	if (r->status > 1 || !strcmp(f->verdict, "not-verified")) {
		f->verdict = "not-verified";
		f->verify_trouble = strdup(r->complaint ? r->complaint : "vdisk-verify said nothing that could be understood");
	}
}

int flow_verify(struct flow *f, vdisk_error *err)
{
	const struct flow_disk *order[DISKS_MAX];
	struct run r = { .argv = { "vdisk-verify" }, .n = 1 };
	char memory[32], timeout[16], *png = flow_file(f, "screenshot.png"), *serial = flow_file(f, "serial.log");
	uint64_t mem = f->m->memory < MEMORY_LEAST  ? f->m->memory ? f->m->memory : 4 * MEMORY_LEAST
	               : f->m->memory > MEMORY_MOST ? MEMORY_MOST
	                                            : f->m->memory;
	double start = flow_now();
	bool qemu;
	const char *bus = flow_target_bus(f, &qemu);
	int rc;

	if (!f->a->verify) {
		f->verdict = "not-verified";
		free(png);
		free(serial);
		return 0;
	}
	progress_step(&f->progress, "verifying", "");
	snprintf(memory, sizeof(memory), "%lluM", (unsigned long long)((mem >> 20) < 16 ? 16 : mem >> 20));
	snprintf(timeout, sizeof(timeout), "%u", f->a->timeout);
	const char *const always[] = { "--json",
		                       "--mem",
		                       memory,
		                       "--timeout",
		                       timeout,
		                       "--screenshot",
		                       png,
		                       "--serial",
		                       serial,
		                       "--format",
		                       f->a->ova ? "qcow2" : f->format,
		                       NULL };
	for (size_t i = 0; always[i]; i++)
		run_add(&r, always[i]);
	const char *const pairs[][2] = {
		{ "--bus", bus },
		{ "--engine", f->a->engine ? f->a->engine
		              : qemu       ? "qemu"
		                           : NULL },
		{ "--expect", f->a->expect },
		{ "--firmware", f->m->firmware == MACHINE_FIRMWARE_UEFI   ? "uefi"
		                : f->m->firmware == MACHINE_FIRMWARE_BIOS ? "bios"
		                                                          : NULL },
	};
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		if (pairs[i][1]) {
			run_add(&r, pairs[i][0]);
			run_add(&r, pairs[i][1]);
		}
	run_add(&r, "--");
	flow_boot_order(f, order);
	for (size_t i = 0; i < f->n_disks; i++)
		run_add(&r, order[i]->work);
	rc = png && serial ? run_program(&r, f->cancel, err) : fail_nomem(err);
	if (!rc) {
		verdict_take(f, &r);
		f->has_screenshot = !access(png, F_OK);
	} else if (png && serial && err && err->kind != VDISK_CANCELLED) {
		f->verdict = "not-verified";
		f->verify_trouble = strdup(err->message);
		*err = (vdisk_error){ 0 };
		rc = 0;
	}
	run_free(&r);
	free(png);
	free(serial);
	flow_time(f, "verify", flow_now() - start);
	return rc;
}
