/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The picture that a VGA would show.  Registers and memory are the guest's to fill with anything: all that is computed from them is
 * held inside the memory.  Takes the machine's lock for the registers; memory may change meanwhile, as on a real screen.
 */
#include "vga_state.h"

#include <string.h>

#define TEXT_OFF   0x18000u /* 0xb8000 */
#define FONT_BYTES (256u * 32)
/* As many as the memory holds at 32 bits each.  Drivers that do not ask what there can be (EDK2's, bochs-drm) use no others; those
   that ask (the video BIOS) are told less. */
#define PIXELS_MAX (VRAM_BYTES / 4)

/* 'A' of the 16-line font as IBM's VGA had it, which every video BIOS copies. */
static const uint8_t letter_a[16] = { 0x00, 0x00, 0x10, 0x38, 0x6c, 0xc6, 0xc6, 0xfe, 0xc6, 0xc6, 0xc6, 0xc6, 0, 0, 0, 0 };

/* The font: as the guest loaded it, 32 bytes a character; else the one of the video BIOS, 16 bytes a character. */
static void font_find(const struct vga *v, struct screen *s, unsigned height)
{
	const uint8_t *loaded = v->text;
	bool blank = true, a = false;

	for (unsigned i = 0; i < height; i++) {
		blank = blank && !loaded[' ' * 32 + i];
		a = a || loaded['A' * 32 + i];
	}
	if (blank && a) {
		memcpy(s->font, loaded, FONT_BYTES);
		s->font_height = height;
		return;
	}
	for (const uint8_t *p = v->rom; (p = memmem(p, (size_t)(v->rom + ROM_BYTES - p), letter_a, sizeof(letter_a))); p++) {
		size_t at = (size_t)(p - v->rom);

		if (at < 'A' * 16 || at - 'A' * 16 + 256 * 16 > ROM_BYTES)
			continue;
		for (unsigned c = 0; c < 256; c++)
			memcpy(s->font + c * 32, p - 'A' * 16 + c * 16, 16);
		s->font_height = 16;
		return;
	}
	s->font_height = 0;
}

static void text_show(const struct vga *v, struct screen *s)
{
	unsigned height = (v->crtc[9] & 0x1f) + 1u;
	unsigned end = v->crtc[0x12] | (v->crtc[7] & 2u) << 7 | (v->crtc[7] & 0x40u) << 3;
	uint32_t start = 2 * ((uint32_t)v->crtc[0x0c] << 8 | v->crtc[0x0d]);

	s->columns = v->crtc[1] + 1u;
	s->rows = (end + 1) / height;
	if (s->columns < 20 || s->columns > SCREEN_COLUMNS_MAX || s->rows < 10 || s->rows > SCREEN_ROWS_MAX)
		return;
	s->kind = SCREEN_TEXT;
	for (uint32_t i = 0; i < 2 * s->columns * s->rows; i++)
		s->cells[i] = v->text[TEXT_OFF + (start + i) % (TEXT_BYTES - TEXT_OFF)];
	font_find(v, s, height);
}

static void pixel_decode(const struct vga *v, const uint8_t *p, unsigned bpp, uint8_t rgb[3])
{
	unsigned word;

	switch (bpp) {
	case 8:
		for (unsigned c = 0; c < 3; c++)
			rgb[c] = (uint8_t)(v->dac[3 * (p[0] & v->dac_mask) + c] << 2);
		break;
	case 15:
	case 16:
		word = p[0] | (unsigned)p[1] << 8;
		rgb[0] = (uint8_t)(bpp == 16 ? (word >> 11 & 31) << 3 : (word >> 10 & 31) << 3);
		rgb[1] = (uint8_t)(bpp == 16 ? (word >> 5 & 63) << 2 : (word >> 5 & 31) << 3);
		rgb[2] = (uint8_t)((word & 31) << 3);
		break;
	default:
		rgb[0] = p[2];
		rgb[1] = p[1];
		rgb[2] = p[0];
	}
}

static int linear_show(const struct vga *v, struct screen *s, vdisk_error *err)
{
	unsigned width = v->dispi[DISPI_XRES], height = v->dispi[DISPI_YRES], bpp = v->dispi[DISPI_BPP], bytes = (bpp + 7) / 8;
	uint64_t pitch = (uint64_t)(v->dispi[6] > width ? v->dispi[6] : width) * bytes;
	uint64_t at = v->dispi[9] * pitch + (uint64_t)v->dispi[8] * bytes;

	if ((bpp != 8 && bpp != 15 && bpp != 16 && bpp != 24 && bpp != 32) || !width || !height || width > SCREEN_PIXELS_MAX ||
	    height > SCREEN_PIXELS_MAX || width * height > PIXELS_MAX || at + pitch * height > VRAM_BYTES)
		return 0;
	if (screen_picture(s, width, height, err))
		return -1;
	for (unsigned y = 0; y < height; y++)
		for (unsigned x = 0; x < width; x++)
			pixel_decode(v, v->vram + at + y * pitch + (uint64_t)x * bytes, bpp, s->rgb + 3 * ((size_t)y * width + x));
	return 0;
}

int vga_screen(struct vga *v, struct screen *s, vdisk_error *err)
{
	struct machine *m = pci_machine(v->dev.pci);
	int r = 0;

	s->kind = SCREEN_NONE;
	pthread_mutex_lock(&m->lock);
	if (v->dispi[DISPI_ENABLE] & 1)
		r = linear_show(v, s, err);
	else if (!(v->graphics[6] & 1))
		text_show(v, s);
	pthread_mutex_unlock(&m->lock);
	return r;
}
