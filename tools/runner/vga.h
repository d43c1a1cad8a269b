/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A VGA with Bochs's extension for linear modes: enough for a video BIOS, text and linear frame buffers. */
#ifndef RUNNER_VGA_H
#define RUNNER_VGA_H

#include "machine.h"
#include "screen.h"

struct vga;

/* `rom`: the video BIOS, a file; NULL: none. */
int vga_create(struct machine *m, const char *rom, struct vga **out, vdisk_error *err);
void vga_destroy(struct vga *v);
/* What it shows now.  Modes other than text and linear frame buffers of 8 bits and more, up to 4 Mi pixels, show as SCREEN_NONE. */
int vga_screen(struct vga *v, struct screen *s, vdisk_error *err);

#endif
