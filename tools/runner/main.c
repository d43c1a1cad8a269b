/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vdisk-boot: boots machines one after the other, as often as the guest resets, over the same disks. */
#include "boot.h"
#include "console.h"
#include "disk.h"
#include "machine.h"
#include "options.h"
#include "serial.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#define INPUT_BYTES 64

struct run {
	struct options options;
	struct machine_config config;
	struct console console;
	int signal_fd;
	int64_t deadline; /* in ms of the monotonic clock; 0: none */
};

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void run_input(struct run *run, struct machine *m)
{
	uint8_t bytes[INPUT_BYTES];
	size_t n;

	if (console_read(&run->console, bytes, sizeof(bytes), &n))
		machine_stop(m, MACHINE_LEFT, "left");
	serial_input(m->serial, bytes, n);
}

/* Serves the terminal until the machine stops. */
static void run_wait(struct run *run, struct machine *m)
{
	while (!machine_stopped(m, NULL)) {
		struct pollfd p[3] = {
			{ .fd = m->stop_fd, .events = POLLIN },
			{ .fd = run->signal_fd, .events = POLLIN },
			{ .fd = run->console.fd, .events = POLLIN },
		};
		int64_t left = run->deadline ? run->deadline - now_ms() : -1;
		int64_t wait = left > 1000000 ? 1000000 : left;

		if (run->deadline && left <= 0) {
			machine_stop(m, MACHINE_TIMEOUT, "not done after %u s", run->options.timeout);
			break;
		}
		if (serial_room(m->serial) < INPUT_BYTES) { /* what is typed waits for the guest */
			p[2].fd = -1;
			wait = wait < 0 || wait > 20 ? 20 : wait;
		}
		if (poll(p, 3, (int)wait) < 0 && errno != EINTR)
			machine_stop(m, MACHINE_QUIT, "poll: %s", strerror(errno));
		if (p[1].revents)
			machine_stop(m, MACHINE_QUIT, "stopped by a signal");
		if (p[2].revents)
			run_input(run, m);
	}
}

/* One machine from power-on to its stop. */
static int run_once(struct run *run, enum machine_stop *stop, char cause[256], vdisk_error *err)
{
	struct machine m;
	int r = machine_init(&m, &run->config, err) || machine_start(&m, err) ? -1 : 0;

	if (!r) {
		run_wait(run, &m);
		*stop = machine_stopped(&m, cause);
	}
	machine_destroy(&m);
	return r;
}

static int run_all(struct run *run, vdisk_error *err)
{
	enum machine_stop stop;
	char cause[256];

	do {
		if (run_once(run, &stop, cause, err))
			return -1;
	} while (stop == MACHINE_RESET && !run->options.no_reboot);
	console_end(&run->console);
	if (stop == MACHINE_POWEROFF || stop == MACHINE_LEFT)
		return 0;
	fprintf(stderr, "vdisk boot: %s\n", cause);
	return 1;
}

static void log_line(void *ctx, enum vdisk_log_level level, const char *message)
{
	(void)ctx;
	if (level == VDISK_LOG_WARNING)
		fprintf(stderr, "vdisk boot: warning: %s\n", message);
}

static int disks_open(struct run *run, vdisk_error *err)
{
	const struct options *o = &run->options;

	for (unsigned i = 0; i < o->n_images; i++) {
		struct disk_open d = { .path = o->images[i], .format = o->format, .allow_dirs = o->allow, .rw = o->rw, .log = log_line };

		if (disk_open(&d, &run->config.disks[i], err))
			return -1;
		run->config.n_disks++;
	}
	return 0;
}

/* `failed`: keeps the first error. */
static int disks_close(struct run *run, bool failed, vdisk_error *err)
{
	vdisk_error late;
	int r = 0;

	for (unsigned i = 0; i < run->config.n_disks; i++)
		if (vdisk_close(run->config.disks[i], failed || r ? &late : err) && run->options.rw)
			r = -1;
	return r;
}

static int run_begin(struct run *run, vdisk_error *err)
{
	const struct options *o = &run->options;
	sigset_t set;

	run->config = (struct machine_config){ .mem_bytes = o->mem_bytes, .n_cpus = o->n_cpus, .kernel = o->kernel, .initrd = o->initrd,
		.append = o->append, .debug_log = o->firmware_log, .serial_fd = STDOUT_FILENO };
	if (o->serial) {
		run->config.serial_fd = open(o->serial, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
		if (run->config.serial_fd < 0) {
			err->kind = VDISK_IO;
			snprintf(err->message, sizeof(err->message), "%s: %s", o->serial, strerror(errno));
			return -1;
		}
	}
	/* Threads inherit the mask, so that these signals come by the descriptor alone. */
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	run->signal_fd = signalfd(-1, &set, SFD_CLOEXEC);
	if (o->timeout)
		run->deadline = now_ms() + (int64_t)o->timeout * 1000;
	console_begin(&run->console, o->serial ? -1 : STDIN_FILENO);
	return 0;
}

int main(int argc, char **argv)
{
	struct run run = { .signal_fd = -1 };
	vdisk_error err = { 0 };
	int status = options_parse(&run.options, "boot", argc, argv);

	if (status)
		return status > 0 ? 0 : 2;
	status = run_begin(&run, &err) || disks_open(&run, &err) || boot_choose(&run.config, &run.options, &err) ||
			files_open(&run.config, &err) ? -1 : 0;
	if (!status)
		status = run_all(&run, &err);
	files_close(&run.config);
	boot_release(&run.config);
	if (disks_close(&run, status < 0, &err))
		status = -1;
	console_end(&run.console);
	if (status < 0)
		fprintf(stderr, "vdisk boot: %s\n", err.message);
	return status < 0 ? 2 : status;
}
