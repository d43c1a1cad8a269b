/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The order matters: what is refused for its words comes before what is opened; the disks, before the firmware that is chosen by
   them; and all of it before the process is confined and can open nothing more. */
#include "setup.h"
#include "boot.h"
#include "bootdisk.h"
#include "common/folder.h"
#include "confine.h"
#include "output.h"
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

int64_t clock_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void log_line(void *ctx, enum vdisk_log_level level, const char *message)
{
	if (level == VDISK_LOG_WARNING)
		fprintf(stderr, "vdisk %s: warning: %s\n", ((const struct options *)ctx)->command, message);
}

static int disks_open(struct setup *s, vdisk_error *err)
{
	const struct options *o = s->options;

	struct source_options source = o->source;
	struct source disk;

	source.overlay = source.rw ? NULL : "tmp"; /* what the guest writes is thrown away */
	source.log = log_line;
	source.log_ctx = (void *)o;
	for (unsigned i = 0; i < o->n_images; i++) {
		source.image = o->images[i];
		if ((!strcmp(o->command, "verify") && source_sound(&source, err)) || source_open(&disk, &source, err))
			return -1;
		s->config.disks[s->config.n_disks++] = disk.img;
	}
	return 0;
}

static int serial_open(struct setup *s, vdisk_error *err)
{
	const char *path = s->options->serial;

	if (!path)
		return 0;
	s->config.serial_fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	return s->config.serial_fd < 0 ? fail_errno(err, "%s", path) : 0;
}

static int signals_block(struct setup *s, vdisk_error *err)
{
	sigset_t set;

	/* Threads inherit the mask, so that these signals come by the descriptor alone. */
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC);
	return s->signal_fd < 0 ? fail_errno(err, "signals") : 0;
}

/* With what is in it.  What is open stays open. */
static int folder_remove(struct setup *s, vdisk_error *err)
{
	if (!s->folder[0])
		return 0;
	bootdisk_release(s);
	int r = rmdir(s->folder) ? fail_errno(err, "%s", s->folder) : 0;
	s->folder[0] = '\0';
	return r;
}

static int engine_choose(struct setup *s, vdisk_error *err)
{
	const struct options *o = s->options;
	char why[256] = "";
	enum kvm_state kvm = KVM_GOOD;

	if (o->engine == ENGINE_KVM)
		return boot_possible(o, err);
	kvm = kvm_probe(why);
	if (o->engine == ENGINE_AUTO && kvm == KVM_GOOD && !boot_possible(o, err))
		return 0;
	if (!qemu_find(s->program)) {
		if (o->engine == ENGINE_QEMU)
			return fail(err, VDISK_UNSUPPORTED, "qemu-system-x86_64 is not installed");
		if (kvm != KVM_GOOD)
			return fail(err, VDISK_UNSUPPORTED,
			            "%s, and qemu-system-x86_64, which would serve, is not installed; --engine kvm tries "
			            "all the same",
			            why);
		return -1; /* the refusal by the own machine */
	}
	s->engine.ops = &engine_qemu;
	if (o->engine == ENGINE_AUTO)
		snprintf(s->note, sizeof(s->note), "%s: running %s", kvm == KVM_GOOD ? err->message : why,
		         strrchr(s->program, '/') + 1);
	s->engine_config.program = s->program;
	s->engine_config.accelerated = kvm == KVM_GOOD;
	return 0;
}

/* What QEMU will open itself. */
static int kernel_there(const struct machine_config *c, vdisk_error *err)
{
	if (c->kernel && access(c->kernel, R_OK))
		return fail_errno(err, "%s", c->kernel);
	return c->initrd && access(c->initrd, R_OK) ? fail_errno(err, "%s", c->initrd) : 0;
}

/* With all open that the machine needs.  QEMU confines itself, if it does. */
static int self_confine(const struct options *o, vdisk_error *err)
{
	const struct confine c = { .outputs = { o->junit, o->screenshot }, .network = o->nic.user };

	return confine(&c, err);
}

int setup_open(struct setup *s, const struct options *o, bool capture, vdisk_error *err)
{
	*s = (struct setup){ .options = o, .signal_fd = -1, .engine = { .ops = &engine_kvm, .event_fd = -1, .output_fd = -1 } };
	s->config = (struct machine_config){ .mem_bytes = o->mem_bytes,
		                             .n_cpus = o->n_cpus,
		                             .kernel = o->kernel,
		                             .initrd = o->initrd,
		                             .append = o->append,
		                             .debug_log = o->firmware_log,
		                             .serial_fd = capture ? -1 : STDOUT_FILENO,
		                             .bus = o->bus,
		                             .nic = o->nic,
		                             .verbose = o->verbose };
	s->engine_config = (struct engine_config){ .machine = &s->config, .capture = capture, .folder = s->folder };
	s->engine.config = &s->engine_config;
	bool direct = o->firmware == FIRMWARE_NONE && !o->kernel;
	if (output_judge(o->junit, err) || output_judge(o->screenshot, err) || output_judge(o->firmware_log, err))
		return -1;
	if (signals_block(s, err) || engine_choose(s, err) || disks_open(s, err))
		return -1;
	if ((s->engine.ops == &engine_qemu || direct) && folder_make("vdisk-run", 0, s->folder, sizeof(s->folder), err))
		return -1;
	if (direct ? bootdisk_choose(s, err) : boot_choose(&s->config, o, err))
		return -1;
	bool own = s->engine.ops == &engine_kvm;
	if (own ? files_open(&s->config, err) || folder_remove(s, err) : kernel_there(&s->config, err))
		return -1;
	/* When nothing is left that could be refused: what is there is overwritten. */
	if (serial_open(s, err))
		return -1;
	return own ? self_confine(o, err) : 0;
}

int setup_close(struct setup *s, bool failed, vdisk_error *err)
{
	vdisk_error late;
	int r = 0;

	s->engine.ops->end(&s->engine);
	files_close(&s->config);
	boot_release(&s->config);
	for (unsigned i = 0; i < s->config.n_disks; i++)
		if (vdisk_close(s->config.disks[i], failed || r ? &late : err) && s->options->source.rw)
			r = -1;
	if (folder_remove(s, failed || r ? &late : err) && !failed)
		r = -1;
	if (s->options->serial && s->config.serial_fd >= 0)
		close(s->config.serial_fd);
	if (s->signal_fd >= 0)
		close(s->signal_fd);
	return r;
}
