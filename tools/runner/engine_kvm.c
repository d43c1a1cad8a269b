/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The own machine as an engine. */
#include "engine.h"
#include "serial.h"
#include "vga.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

struct kvm_state {
	struct machine_config config; /* a copy, with a serial line of its own */
	struct machine machine;
	int pipe[2];
};

static int kvm_begin(struct engine *e, vdisk_error *err)
{
	struct kvm_state *k = calloc(1, sizeof(*k));

	e->event_fd = e->output_fd = -1;
	if (!k)
		return fail(err, VDISK_NOMEM, "out of memory");
	e->state = k;
	k->machine.stop_fd = k->pipe[0] = k->pipe[1] = -1;
	k->machine.vm.kvm = k->machine.vm.fd = -1;
	k->config = *e->config->machine;
	if (e->config->capture) {
		if (pipe2(k->pipe, O_CLOEXEC | O_NONBLOCK))
			return fail_errno(err, "a pipe");
		k->config.serial_fd = k->pipe[1];
		e->output_fd = k->pipe[0];
	}
	if (machine_init(&k->machine, &k->config, err) || machine_start(&k->machine, err))
		return -1;
	e->event_fd = k->machine.stop_fd;
	return 0;
}

static enum machine_stop kvm_stopped(struct engine *e, char cause[256])
{
	return machine_stopped(&((struct kvm_state *)e->state)->machine, cause);
}

static size_t kvm_room(struct engine *e)
{
	return serial_room(((struct kvm_state *)e->state)->machine.serial);
}

static void kvm_input(struct engine *e, const uint8_t *bytes, size_t n)
{
	serial_input(((struct kvm_state *)e->state)->machine.serial, bytes, n);
}

static int kvm_screen(struct engine *e, bool picture, struct screen *s, vdisk_error *err)
{
	struct kvm_state *k = e->state;

	s->kind = SCREEN_NONE;
	if (!k->machine.vga)
		return 0;
	if (vga_screen(k->machine.vga, s, err))
		return -1;
	return picture && s->kind == SCREEN_TEXT ? screen_render(s, err) : 0;
}

static void kvm_end(struct engine *e)
{
	struct kvm_state *k = e->state;

	if (!k)
		return;
	if (k->machine.config)
		machine_destroy(&k->machine);
	for (unsigned i = 0; i < 2; i++)
		if (k->pipe[i] >= 0)
			close(k->pipe[i]);
	free(k);
	e->state = NULL;
	e->event_fd = e->output_fd = -1;
}

const struct engine_ops engine_kvm = {
	.name = "kvm",
	.begin = kvm_begin,
	.stopped = kvm_stopped,
	.room = kvm_room,
	.input = kvm_input,
	.screen = kvm_screen,
	.end = kvm_end,
};
