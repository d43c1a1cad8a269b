/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a file system calls free.  libblkid's program says which one it is, partclone's maps its blocks; neither a mount nor a
 * privilege is needed.
 */
#include "fskind.h"
#include "output.h"
#include "run.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum fs_answer fs_say(struct fs_scan *s, enum fs_answer a, const char *note)
{
	snprintf(s->note, sizeof(s->note), "%s", note);
	return a;
}

/* Where a program that was to tell something is not there, or cannot. */
enum fs_answer fs_no_help(struct fs_scan *s, const char *program, int status)
{
	char note[128];
	if (status == RUN_STOPPED)
		return s->cancel && *s->cancel ? FS_STOPPED : fs_say(s, FS_WHOLE, "a program died");
	snprintf(note, sizeof(note), status == RUN_MISSING ? "%s is not installed" : "%s cannot tell", program);
	return fs_say(s, FS_WHOLE, note);
}

/* ---- which blocks */

static char *file_text(const char *path)
{
	size_t n = 0, cap = 0;
	char *text = NULL;
	FILE *f = fopen(path, "r");
	for (size_t r = 1; f && r;) {
		cap = cap ? cap * 2 : 65536;
		text = tool_realloc(text, cap);
		r = fread(text + n, 1, cap - n - 1, f);
		n += r;
		text[n] = '\0';
	}
	if (f)
		fclose(f);
	return text;
}

/* A ddrescue map: after the comments a line about its state, then "offset length status" without gaps; '?' is what need not be
   read. */
static bool map_read(struct fs_scan *s, const char *path)
{
	char *text = file_text(path), *rest = text, *line;
	uint64_t at = 0;
	bool good = text && *text, state = false;
	while (good && (line = strsep(&rest, "\n"))) {
		uint64_t off, len;
		char status;
		int end = 0;
		if (!*line || *line == '#')
			continue;
		if (!state) {
			state = true;
			continue;
		}
		good = sscanf(line, "%" SCNx64 " %" SCNx64 " %c%n", &off, &len, &status, &end) == 3 && !line[end] && off == at &&
		       len && len <= UINT64_MAX - off && (status == '+' || status == '?');
		at = off + len;
		/* Beyond the end there is nothing to leave out, whatever the map says. */
		if (good && status == '?')
			good = !ranges_add(&s->free, off > FS_HEAD_KEPT ? off : FS_HEAD_KEPT, at < s->size ? at : s->size);
	}
	free(text);
	return good && at;
}

/* The last thing that partclone had to say. */
static void last_words(const char *path, char *buf, size_t cap)
{
	char *text = file_text(path), *rest = text, *line;
	buf[0] = '\0';
	while (rest && (line = strsep(&rest, "\n")))
		if (*line && !strstr(line, "check log"))
			snprintf(buf, cap, "%s", line);
	free(text);
}

static enum fs_answer partclone(struct fs_scan *s, const char *kind)
{
	char program[32], map[4200], log[4200], text[4096], words[160], note[256];
	snprintf(program, sizeof(program), "partclone.%s", kind);
	snprintf(map, sizeof(map), "%s/map", s->folder);
	snprintf(log, sizeof(log), "%s/log", s->folder);
	unlink(map);
	unlink(log);
	const char *const argv[] = { program, "-D", "-q", "-f", "0", "-s", s->file, "-o", map, "-L", log, s->live ? "-F" : NULL,
		                     NULL };
	int status = run_capture(argv, text, sizeof(text), NULL, s->cancel);
	if (status == RUN_MISSING || status == RUN_STOPPED)
		return fs_no_help(s, program, status);
	if (status) {
		char *all = file_text(log);
		bool dirty = all && (strstr(all, "isn't in valid state") || strstr(all, "scheduled for a check"));
		free(all);
		if (dirty)
			return fs_say(s, FS_REFUSED, "it is marked as not unmounted");
		last_words(log, words, sizeof(words));
		snprintf(note, sizeof(note), "%s fails: %s", program, shown(words));
		return fs_say(s, FS_WHOLE, note);
	}
	if (map_read(s, map))
		return FS_KNOWN;
	ranges_free(&s->free);
	return fs_no_help(s, program, 1);
}

/* ---- */

static const struct kind {
	const char *type, *partclone; /* libblkid's name */
	enum fs_answer (*at_rest)(struct fs_scan *);
	enum fs_answer (*mend)(struct fs_scan *); /* what partclone's map lacks; NULL: nothing */
} kinds[] = {
	{ "ext2", "extfs", fs_ext_at_rest },
	{ "ext3", "extfs", fs_ext_at_rest },
	{ "ext4", "extfs", fs_ext_at_rest },
	{ "xfs", "xfs", fs_xfs_at_rest },
	{ "btrfs", "btrfs", fs_btrfs_at_rest, fs_btrfs_mirror },
	{ "ntfs", "ntfs", fs_ntfs_at_rest },
	{ "vfat", "fat" },
};

/* Nothing in a swap area outlives a shutdown; a hibernated system's is called otherwise. */
static enum fs_answer swap_scan(struct fs_scan *s)
{
	return ranges_add(&s->free, FS_HEAD_KEPT, s->size) ? fs_say(s, FS_WHOLE, "out of memory") : FS_KNOWN;
}

/* A line of what blkid tells. */
static bool export_get(const char *text, const char *key, char value[32])
{
	size_t n = strlen(key);
	for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		size_t len = strcspn(line, "\n");
		if (len <= n || strncmp(line, key, n) != 0)
			continue;
		snprintf(value, 32, "%.*s", (int)(len - n < 31 ? len - n : 31), line + n);
		return true;
	}
	return false;
}

enum fs_answer fs_scan(struct fs_scan *s)
{
	char text[512], version[32];
	int status =
		run_capture((const char *const[]){ "blkid", "-p", "-s", "TYPE", "-s", "VERSION", "-o", "export", s->file, NULL },
	                    text, sizeof(text), NULL, s->cancel);
	s->type[0] = s->note[0] = '\0';
	s->free = (struct ranges){ 0 };
	if (status == RUN_MISSING || status == RUN_STOPPED)
		return fs_no_help(s, "blkid", status);
	if (status == 8)
		return fs_say(s, FS_WHOLE, "it has the marks of several file systems");
	if (status || !export_get(text, "TYPE=", s->type))
		return FS_WHOLE;
	if (export_get(text, "VERSION=", version) && !strcmp(version, "FAT12")) /* partclone 0.3.23 gets its odd clusters wrong */
		return fs_say(s, FS_WHOLE, "its map cannot be relied upon");
	if (!strcmp(s->type, "swap"))
		return swap_scan(s);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		if (strcmp(kinds[i].type, s->type))
			continue;
		enum fs_answer a = kinds[i].at_rest ? kinds[i].at_rest(s) : FS_KNOWN;
		if (a == FS_REFUSED && s->live) {
			s->note[0] = '\0';
			a = FS_KNOWN;
		}
		if (a == FS_KNOWN)
			a = partclone(s, kinds[i].partclone);
		return a == FS_KNOWN && kinds[i].mend ? kinds[i].mend(s) : a;
	}
	return fs_say(s, FS_WHOLE, "which of its blocks are free is not known");
}
