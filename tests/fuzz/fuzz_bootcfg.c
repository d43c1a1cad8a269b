/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What guests say and what their disks tell to be booted: boot loaders' configurations, unified kernel images, the judge, whose
   verdict must not depend on how the bytes come.  The first byte chooses among them; every file that is asked for is the rest of
   the input. */
#include "bootsource.h"
#include "judge.h"
#include "uki.h"

#include <stdlib.h>
#include <string.h>

struct input {
	const uint8_t *bytes;
	size_t n;
	unsigned reads;
};

static char *input_read(void *ctx, const char *path)
{
	struct input *in = ctx;
	char *text = in->reads++ < 8 ? malloc(in->n + 1) : NULL;

	(void)path;
	if (text) {
		memcpy(text, in->bytes, in->n);
		text[in->n] = '\0';
	}
	return text;
}

static bool input_exists(void *ctx, const char *path)
{
	(void)ctx;
	return strlen(path) & 1;
}

static char *input_list(void *ctx, const char *path)
{
	(void)ctx;
	(void)path;
	return strdup("a.conf\nb-1.2.conf\nc.efi\nd/\n");
}

static bool input_find(void *ctx, enum boot_find what, const char *value, char device[BOOT_DEVICE_MAX])
{
	(void)ctx;
	(void)what;
	strcpy(device, "hd0,1");
	return strlen(value) & 1;
}

static void judge_fuzz(const uint8_t *bytes, size_t n)
{
	static struct judge whole, halves;
	vdisk_error err;

	judge_init(&whole, NULL, false, &err);
	judge_init(&halves, NULL, false, &err);
	judge_serial(&whole, bytes, n, 1);
	judge_serial(&halves, bytes, n / 2, 1);
	judge_serial(&halves, bytes + n / 2, n - n / 2, 1);
	judge_tick(&whole, 1 + JUDGE_SETTLE_MS);
	judge_tick(&halves, 1 + JUDGE_SETTLE_MS);
	if (whole.verdict != halves.verdict || strcmp(whole.cause, halves.cause))
		abort();
	judge_destroy(&whole);
	judge_destroy(&halves);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data + 1, size - 1, 0 };
	struct boot_source source = { &in, input_read, input_exists, input_list, input_find };
	static struct boot_choice choice;
	vdisk_error err;
	struct uki uki;

	if (!size)
		return 0;
	switch (data[0] & 7) {
	case 0: bls_choose(&source, "hd0,1", &choice, &err); break;
	case 1: extlinux_choose(&source, "(hd0,1)/extlinux/extlinux.conf", &choice, &err); break;
	case 2: uki_parse(in.bytes, in.n, &uki, &err); break;
	case 3:
	case 4: judge_fuzz(in.bytes, in.n); break;
	default: grub_choose(&source, "(hd0,1)/boot/grub/grub.cfg", data[0] & 8, &choice, &err);
	}
	return 0;
}
