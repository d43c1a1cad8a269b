/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vdio [-f FORMAT] [-o KEY=VALUE]... [-b DIR]... [-r] IMAGE: performs the commands of standard input on an image, one a line,
 * through <vdisk/vdisk.h> alone.  What qemu-io is to QEMU, for tests.
 *
 *   write OFF LEN BYTE     LEN bytes of the value BYTE
 *   writef OFF LEN FILE    the bytes of FILE, over and over
 *   zero OFF LEN           vdisk_zero()
 *   discard OFF LEN        vdisk_discard()
 *   flush
 *   read OFF LEN FILE      into FILE
 *   abort                  ends at once, without closing
 *
 * Numbers are decimal.  Exit status 0, or 2 after a message at the first command that fails.
 */
#include <vdisk/vdisk.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LIST_MAX 16

static int fail_with(unsigned line, const char *text)
{
	fprintf(stderr, "vdio: line %u: %s\n", line, text);
	return 2;
}

/* Fills buf from the file's bytes, repeated; false: it cannot be read or is empty. */
static bool buffer_fill(char *buf, size_t len, const char *path)
{
	FILE *f = fopen(path, "rb");
	if (!f)
		return false;
	size_t have = fread(buf, 1, len, f);
	fclose(f);
	if (!have)
		return false;
	for (size_t at = have; at < len; at++)
		buf[at] = buf[at - have];
	return true;
}

static bool buffer_store(const char *buf, size_t len, const char *path)
{
	FILE *f = fopen(path, "wb");
	if (!f)
		return false;
	bool ok = fwrite(buf, 1, len, f) == len;
	return fclose(f) == 0 && ok;
}

static int write_perform(vdisk_image *img, const char *word, uint64_t off, uint64_t len, const char *arg, unsigned line)
{
	vdisk_error err = { 0 };
	char *buf = malloc(len ? len : 1);
	if (!buf)
		return fail_with(line, "out of memory");
	int rc = 0;
	if (!strcmp(word, "write"))
		memset(buf, atoi(arg), len);
	else if (!strcmp(word, "writef") && !buffer_fill(buf, len, arg))
		rc = fail_with(line, "cannot read the pattern's file");
	if (!rc && !strcmp(word, "read")) {
		if (vdisk_pread(img, buf, len, off, &err) < 0)
			rc = fail_with(line, err.message);
		else if (!buffer_store(buf, len, arg))
			rc = fail_with(line, "cannot write the file");
	} else if (!rc && vdisk_pwrite(img, buf, len, off, &err) < 0) {
		rc = fail_with(line, err.message);
	}
	free(buf);
	return rc;
}

static int command_perform(vdisk_image *img, const char *text, unsigned line)
{
	vdisk_error err = { 0 };
	char word[16], arg[512];
	uint64_t off = 0, len = 0;
	int n = sscanf(text, "%15s %" SCNu64 " %" SCNu64 " %511s", word, &off, &len, arg);
	if (n <= 0 || word[0] == '#')
		return 0;
	if (n == 4 && (!strcmp(word, "write") || !strcmp(word, "writef") || !strcmp(word, "read")))
		return write_perform(img, word, off, len, arg, line);
	if (n == 3 && !strcmp(word, "zero"))
		return vdisk_zero(img, off, len, &err) < 0 ? fail_with(line, err.message) : 0;
	if (n == 3 && !strcmp(word, "discard"))
		return vdisk_discard(img, off, len, &err) < 0 ? fail_with(line, err.message) : 0;
	if (n == 1 && !strcmp(word, "flush"))
		return vdisk_flush(img, &err) < 0 ? fail_with(line, err.message) : 0;
	if (n == 1 && !strcmp(word, "abort"))
		_exit(0);
	return fail_with(line, "no such command");
}

static void log_print(void *ctx, enum vdisk_log_level level, const char *message)
{
	(void)ctx;
	if (level == VDISK_LOG_WARNING)
		fprintf(stderr, "vdio: warning: %s\n", message);
}

int main(int argc, char **argv)
{
	const char *options[LIST_MAX + 1] = { 0 }, *dirs[LIST_MAX + 1] = { 0 };
	unsigned n_options = 0, n_dirs = 0, line = 0;
	struct vdisk_open_options open_options = {
		.flags = VDISK_OPEN_RW, .options = options, .allow_dirs = dirs, .log = log_print
	};
	for (int c; (c = getopt(argc, argv, "f:o:b:r")) != -1;) {
		if (c == 'f')
			open_options.format = optarg;
		else if (c == 'o' && n_options < LIST_MAX)
			options[n_options++] = optarg;
		else if (c == 'b' && n_dirs < LIST_MAX)
			dirs[n_dirs++] = optarg;
		else if (c == 'r')
			open_options.flags = 0;
		else
			return fail_with(0, "usage: vdio [-f FORMAT] [-o KEY=VALUE] [-b DIR] [-r] IMAGE");
	}
	if (optind + 1 != argc)
		return fail_with(0, "usage: vdio [-f FORMAT] [-o KEY=VALUE] [-b DIR] [-r] IMAGE");
	vdisk_image *img;
	vdisk_error err = { 0 };
	if (vdisk_open(argv[optind], &open_options, &img, &err) < 0)
		return fail_with(0, err.message);
	char text[1024];
	int rc = 0;
	while (!rc && fgets(text, sizeof(text), stdin))
		rc = command_perform(img, text, ++line);
	if (vdisk_close(img, &err) < 0 && !rc)
		rc = fail_with(line, err.message);
	return rc;
}
