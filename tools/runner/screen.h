/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a guest's screen shows at one moment. */
#ifndef RUNNER_SCREEN_H
#define RUNNER_SCREEN_H

#include "common/fail.h"

#define SCREEN_COLUMNS_MAX 160
#define SCREEN_ROWS_MAX    208 /* all of the 32 KiB of text memory */
#define SCREEN_PIXELS_MAX  8192 /* in each direction */

enum screen_kind { SCREEN_NONE, SCREEN_TEXT, SCREEN_PICTURE };

struct screen {
	enum screen_kind kind;
	/* TEXT: characters of code page 437 and VGA attributes, row by row. */
	unsigned columns, rows;
	uint8_t cells[2 * SCREEN_COLUMNS_MAX * SCREEN_ROWS_MAX];
	uint8_t font[256 * 32]; /* 32 bytes for each character, the leftmost pixel in bit 7 */
	unsigned font_height;   /* 0: there is no font */
	/* PICTURE: 3 bytes for each pixel: red, green, blue. */
	unsigned width, height;
	uint8_t *rgb; /* owned */
};

void screen_destroy(struct screen *s);
/* A black picture. */
int screen_picture(struct screen *s, unsigned width, unsigned height, vdisk_error *err);
/* The characters as ASCII, rows ended by newlines, but for those that are full to their last column; others than ASCII's are
   blanks.  `room` of (SCREEN_COLUMNS_MAX + 1) * SCREEN_ROWS_MAX + 1 is enough.  "" for what is no text. */
void screen_text(const struct screen *s, char *out, size_t room);
/* Makes a picture of a text screen; a picture stays as it is. */
int screen_render(struct screen *s, vdisk_error *err);
/* Of the same size, and as good as the same in all pixels but one in a hundred (clocks, cursors). */
bool screen_alike(const struct screen *a, const struct screen *b);

/* In PNG.  Reading gives a picture. */
int screen_save(const struct screen *s, const char *path, vdisk_error *err);
int screen_load(struct screen *s, const char *path, vdisk_error *err);
/* A binary portable pixmap with 8 bits for each colour. */
int screen_load_ppm(struct screen *s, const char *path, vdisk_error *err);

#endif
