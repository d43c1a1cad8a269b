/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Text screens as text and as pictures.  The guest decides what is in them: every size is bounded here. */
#include "screen.h"

#include <stdlib.h>
#include <string.h>

void screen_destroy(struct screen *s)
{
	free(s->rgb);
	s->rgb = NULL;
	s->kind = SCREEN_NONE;
}

int screen_picture(struct screen *s, unsigned width, unsigned height, vdisk_error *err)
{
	if (!width || !height || width > SCREEN_PIXELS_MAX || height > SCREEN_PIXELS_MAX)
		return fail(err, VDISK_INVALID, "a picture of %u by %u pixels", width, height);
	uint8_t *rgb = calloc((size_t)width * height, 3);
	if (!rgb)
		return fail(err, VDISK_NOMEM, "out of memory");
	free(s->rgb);
	s->rgb = rgb;
	s->width = width;
	s->height = height;
	s->kind = SCREEN_PICTURE;
	return 0;
}

void screen_text(const struct screen *s, char *out, size_t room)
{
	size_t at = 0;

	for (unsigned y = 0; s->kind == SCREEN_TEXT && y < s->rows; y++) {
		if (room - at < s->columns + 2)
			break;
		size_t row = at;
		for (unsigned x = 0; x < s->columns; x++) {
			uint8_t c = s->cells[2 * (y * s->columns + x)];

			out[at++] = c > 0x20 && c < 0x7f ? (char)c : ' ';
		}
		if (out[at - 1] != ' ')
			continue;
		while (at > row && out[at - 1] == ' ')
			at--;
		out[at++] = '\n';
	}
	out[at] = '\0';
}

static const uint8_t palette[16][3] = {
	{ 0, 0, 0 },     { 0, 0, 170 },     { 0, 170, 0 },    { 0, 170, 170 },   { 170, 0, 0 },   { 170, 0, 170 },
	{ 170, 85, 0 },  { 170, 170, 170 }, { 85, 85, 85 },   { 85, 85, 255 },   { 85, 255, 85 }, { 85, 255, 255 },
	{ 255, 85, 85 }, { 255, 85, 255 },  { 255, 255, 85 }, { 255, 255, 255 },
};

static void cell_draw(struct screen *s, unsigned x, unsigned y)
{
	const uint8_t *cell = s->cells + 2 * (y * s->columns + x);
	const uint8_t *ink = palette[cell[1] & 15], *paper = palette[cell[1] >> 4 & 7]; /* bit 7 blinks */

	for (unsigned row = 0; row < s->font_height; row++) {
		uint8_t bits = s->font[cell[0] * 32 + row];
		uint8_t *p = s->rgb + 3 * ((size_t)(y * s->font_height + row) * s->width + x * 8);

		for (unsigned i = 0; i < 8; i++, p += 3)
			memcpy(p, bits & 0x80 >> i ? ink : paper, 3);
	}
}

int screen_render(struct screen *s, vdisk_error *err)
{
	if (s->kind == SCREEN_PICTURE)
		return 0;
	if (s->kind != SCREEN_TEXT)
		return fail(err, VDISK_UNSUPPORTED, "the screen shows nothing that can be made a picture of");
	if (!s->font_height)
		return fail(err, VDISK_UNSUPPORTED, "the text screen has no font in the guest's memory");
	if (screen_picture(s, s->columns * 8, s->rows * s->font_height, err))
		return -1;
	for (unsigned y = 0; y < s->rows; y++)
		for (unsigned x = 0; x < s->columns; x++)
			cell_draw(s, x, y);
	return 0;
}

bool screen_alike(const struct screen *a, const struct screen *b)
{
	if (a->kind != SCREEN_PICTURE || b->kind != SCREEN_PICTURE || a->width != b->width || a->height != b->height)
		return false;
	size_t pixels = (size_t)a->width * a->height, different = 0;
	for (size_t i = 0; i < pixels; i++)
		for (unsigned c = 0; c < 3; c++)
			if (abs(a->rgb[3 * i + c] - b->rgb[3 * i + c]) > 16) {
				different++;
				break;
			}
	return different <= pixels / 100;
}
