/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vdisk-boot: boots machines one after the other, as often as the guest resets, over the same disks. */
#include "console.h"
#include "setup.h"

#include "common/streams.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define INPUT_BYTES 64

struct run {
	struct options options;
	struct setup setup;
	struct console console;
	int64_t deadline; /* of clock_ms(); 0: none */
	uint8_t output[4096]; /* of the guest, on its way to the terminal */
	size_t n_output;
};

struct stop {
	enum machine_stop stop;
	char cause[256];
};

static void stop_set(struct stop *s, enum machine_stop stop, const char *cause)
{
	s->stop = stop;
	snprintf(s->cause, sizeof(s->cause), "%s", cause);
}

static void run_input(struct run *run, struct stop *stop)
{
	struct engine *e = &run->setup.engine;
	uint8_t bytes[INPUT_BYTES];
	size_t n;

	if (console_read(&run->console, bytes, sizeof(bytes), &n))
		stop_set(stop, MACHINE_LEFT, "left");
	if (n)
		e->ops->input(e, bytes, n);
}

/* Takes what there is, once what was taken before is written. */
static bool output_take(struct run *run)
{
	int fd = run->setup.engine.output_fd;
	ssize_t n = fd < 0 || run->n_output ? 0 : read(fd, run->output, sizeof(run->output));

	run->n_output += n > 0 ? (size_t)n : 0;
	return n > 0;
}

static void output_put(struct run *run)
{
	ssize_t n = write(run->setup.config.serial_fd, run->output, run->n_output);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0)
		n = (ssize_t)run->n_output; /* nobody listens any more, and the guest goes on */
	memmove(run->output, run->output + n, run->n_output - (size_t)n);
	run->n_output -= (size_t)n;
}

/* One round: the time to wait, what there is to wait for, what came. */
static void run_round(struct run *run, struct stop *stop)
{
	struct engine *e = &run->setup.engine;
	struct pollfd p[5] = {
		{ .fd = e->event_fd, .events = POLLIN },
		{ .fd = run->setup.signal_fd, .events = POLLIN },
		{ .fd = run->console.fd, .events = POLLIN },
		{ .fd = run->n_output ? -1 : e->output_fd, .events = POLLIN },
		{ .fd = run->n_output ? run->setup.config.serial_fd : -1, .events = POLLOUT },
	};
	int64_t left = run->deadline ? run->deadline - clock_ms() : -1;
	int64_t wait = left > 1000000 ? 1000000 : left;
	char cause[64];

	if (run->deadline && left <= 0) {
		snprintf(cause, sizeof(cause), "not done after %u s", run->options.timeout);
		stop_set(stop, MACHINE_TIMEOUT, cause);
		return;
	}
	if (e->ops->room(e) < INPUT_BYTES) { /* what is typed waits for the guest */
		p[2].fd = -1;
		wait = wait < 0 || wait > 20 ? 20 : wait;
	}
	if (poll(p, 5, (int)wait) < 0) {
		if (errno != EINTR)
			stop_set(stop, MACHINE_QUIT, strerror(errno));
		return;
	}
	if (p[3].revents)
		output_take(run);
	if (p[4].revents)
		output_put(run);
	if (p[1].revents)
		stop_set(stop, MACHINE_QUIT, "stopped by a signal");
	else if (p[2].revents)
		run_input(run, stop);
}

/* Serves the terminal until the machine stops. */
static void run_wait(struct run *run, struct stop *stop)
{
	struct engine *e = &run->setup.engine;

	while (!stop->stop) {
		run_round(run, stop);
		if (!stop->stop)
			stop->stop = e->ops->stopped(e, stop->cause);
	}
	/* What the guest said last; a reader who does not read does not keep us. */
	while (output_take(run) || run->n_output) {
		struct pollfd p = { .fd = run->setup.config.serial_fd, .events = POLLOUT };

		if (poll(&p, 1, 1000) <= 0)
			break;
		output_put(run);
	}
}

static int run_all(struct run *run, vdisk_error *err)
{
	struct engine *e = &run->setup.engine;
	struct stop stop;

	do {
		stop = (struct stop){ 0 };
		if (e->ops->begin(e, err))
			return -1;
		run_wait(run, &stop);
		e->ops->end(e);
	} while (stop.stop == MACHINE_RESET && !run->options.no_reboot);
	console_end(&run->console);
	if (stop.stop == MACHINE_POWEROFF || stop.stop == MACHINE_LEFT)
		return 0;
	fprintf(stderr, "vdisk boot: %s\n", stop.cause);
	return 1;
}

int main(int argc, char **argv)
{
	static struct run run;
	vdisk_error err = { 0 };
	int status = options_parse(&run.options, "boot", argc, argv);

	streams_secure();
	if (status)
		return status > 0 ? 0 : 2;
	status = setup_open(&run.setup, &run.options, false, &err);
	if (!status) {
		if (*run.setup.note)
			fprintf(stderr, "vdisk boot: %s\n", run.setup.note);
		if (run.options.timeout)
			run.deadline = clock_ms() + (int64_t)run.options.timeout * 1000;
		console_begin(&run.console, run.options.serial ? -1 : STDIN_FILENO);
		status = run_all(&run, &err);
	}
	if (setup_close(&run.setup, status < 0, &err))
		status = -1;
	console_end(&run.console);
	if (status < 0)
		fprintf(stderr, "vdisk boot: %s\n", err.message);
	return status < 0 ? 2 : status;
}
