/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a file system calls free.  libblkid's program says which one it is, partclone's maps its blocks; neither a mount nor a privilege is
 * needed.
 *
 * A file system whose journal is not empty has blocks in use that its maps call free: the journal's replay will say so.  partclone looks
 * for that in some of them only, so that it is looked for here in all.
 */
#include "fsfree.h"
#include "output.h"
#include "run.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HEAD_KEPT (UINT64_C(1) << 20) /* boot loaders, labels, superblocks */

static enum fs_answer answer(struct fs_scan *s, enum fs_answer a, const char *note)
{
	snprintf(s->note, sizeof(s->note), "%s", note);
	return a;
}

static uint64_t le(const uint8_t *p, unsigned bytes)
{
	uint64_t v = 0;
	while (bytes--)
		v = v << 8 | p[bytes];
	return v;
}

static bool read_at(const char *file, void *buf, size_t len, uint64_t off)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	ssize_t r = fd < 0 ? -1 : pread(fd, buf, len, (off_t)off);
	if (fd >= 0)
		close(fd);
	return r == (ssize_t)len;
}

/* Where a program that was to tell something is not there, or cannot. */
static enum fs_answer no_help(struct fs_scan *s, const char *program, int status)
{
	char note[128];
	if (status == RUN_STOPPED)
		return s->cancel && *s->cancel ? FS_STOPPED : answer(s, FS_WHOLE, "a program died");
	snprintf(note, sizeof(note), status == RUN_MISSING ? "%s is not installed" : "%s cannot tell", program);
	return answer(s, FS_WHOLE, note);
}

/* ---- is it at rest? */

/* Linux, Documentation/filesystems/ext4: the superblock at 1,024. */
static enum fs_answer ext_at_rest(struct fs_scan *s)
{
	uint8_t sb[1024];
	if (!read_at(s->file, sb, sizeof(sb), 1024))
		return answer(s, FS_WHOLE, "its superblock cannot be read");
	unsigned state = (unsigned)le(sb + 0x3a, 2), incompat = (unsigned)le(sb + 0x60, 4);
	if (incompat & 0x4)
		return answer(s, FS_REFUSED, "its journal holds changes that are not in place yet");
	if (!(state & 1))
		return answer(s, FS_REFUSED, "it was not unmounted");
	if (state & 2)
		return answer(s, FS_REFUSED, "it is marked as having errors");
	if (le(sb + 0x64, 4) & 0x200)
		return answer(s, FS_WHOLE, "which of its clusters are free is not known (bigalloc)");
	if (incompat & 0x8)
		return answer(s, FS_WHOLE, "it is another file system's journal");
	return FS_KNOWN;
}

static enum fs_answer xfs_at_rest(struct fs_scan *s)
{
	char text[4096];
	int status = run_capture((const char *const[]){ "xfs_logprint", "-t", s->file, NULL }, text, sizeof(text), NULL, s->cancel);
	if (strstr(text, "state: <DIRTY>"))
		return answer(s, FS_REFUSED, "its log holds changes that are not in place yet");
	if (status || !strstr(text, "state: <CLEAN>"))
		return no_help(s, "xfs_logprint", status ? status : 1);
	return FS_KNOWN;
}

/* As in ntfs-3g's layout.h: two restart pages at the head of $LogFile, of which the one with the higher sequence number holds. */
static bool ntfs_log_at_rest(const uint8_t *log, size_t len, bool *known)
{
	uint64_t best = 0;
	bool rest = false;
	*known = len >= 4 && !memcmp(log, "\xff\xff\xff\xff", 4);
	if (*known)
		return true; /* empty */
	for (size_t at = 0, n = 0; n < 2 && at + 4096 <= len && !memcmp(log + at, "RSTR", 4); n++) {
		size_t area = (size_t)le(log + at + 24, 2), page = (size_t)le(log + at + 16, 4);
		if (area > 480 || area < 30)
			break;
		const uint8_t *ra = log + at + area;
		uint64_t lsn = le(ra, 8);
		if (!*known || lsn > best) {
			best = lsn;
			rest = le(ra + 12, 2) == 0xffff || le(ra + 14, 2) & 2;
		}
		*known = true;
		if (page < 512 || page > 4096 * 4)
			break;
		at += page;
	}
	return rest;
}

static enum fs_answer ntfs_at_rest(struct fs_scan *s)
{
	char text[32768];
	bool known;
	size_t len;
	int status = run_capture((const char *const[]){ "ntfscat", "-f", s->file, "hiberfil.sys", NULL }, text, 4096, &len, s->cancel);
	if (status == RUN_MISSING || status == RUN_STOPPED)
		return no_help(s, "ntfscat", status);
	if (!status && len >= 4 && (!memcmp(text, "hibr", 4) || !memcmp(text, "HIBR", 4)))
		return answer(s, FS_REFUSED, "Windows is hibernated in it");
	status = run_capture((const char *const[]){ "ntfscat", "-f", s->file, "$LogFile", NULL }, text, sizeof(text), &len, s->cancel);
	if (status)
		return no_help(s, "ntfscat", status);
	bool rest = ntfs_log_at_rest((const uint8_t *)text, len, &known);
	if (!known)
		return answer(s, FS_WHOLE, "its log is not understood");
	return rest ? FS_KNOWN : answer(s, FS_REFUSED, "its log holds changes that are not in place yet");
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

/* A ddrescue map: after the comments a line about its state, then "offset length status" without gaps; '?' is what need not be read. */
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
		good = sscanf(line, "%" SCNx64 " %" SCNx64 " %c%n", &off, &len, &status, &end) == 3 && !line[end] && off == at && len &&
		       len <= UINT64_MAX - off && (status == '+' || status == '?');
		at = off + len;
		/* Beyond the end there is nothing to leave out, whatever the map says. */
		if (good && status == '?')
			ranges_add(&s->free, off > HEAD_KEPT ? off : HEAD_KEPT, at < s->size ? at : s->size);
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
	const char *const argv[] = { program, "-D", "-q", "-f", "0", "-s", s->file, "-o", map, "-L", log, NULL };
	int status = run_capture(argv, text, sizeof(text), NULL, s->cancel);
	if (status == RUN_MISSING || status == RUN_STOPPED)
		return no_help(s, program, status);
	if (status) {
		char *all = file_text(log);
		bool dirty = all && (strstr(all, "isn't in valid state") || strstr(all, "scheduled for a check"));
		free(all);
		if (dirty)
			return answer(s, FS_REFUSED, "it is marked as not unmounted");
		last_words(log, words, sizeof(words));
		snprintf(note, sizeof(note), "%s fails: %s", program, shown(words));
		return answer(s, FS_WHOLE, note);
	}
	if (map_read(s, map))
		return FS_KNOWN;
	ranges_free(&s->free);
	return no_help(s, program, 1);
}

/* ---- */

static const struct kind {
	const char *type, *partclone; /* libblkid's name */
	enum fs_answer (*at_rest)(struct fs_scan *);
} kinds[] = {
	{ "ext2", "extfs", ext_at_rest }, { "ext3", "extfs", ext_at_rest }, { "ext4", "extfs", ext_at_rest },
	{ "xfs", "xfs", xfs_at_rest },    { "ntfs", "ntfs", ntfs_at_rest }, { "vfat", "fat", NULL },
};

/* Nothing in a swap area outlives a shutdown; a hibernated system's is called otherwise. */
static enum fs_answer swap_scan(struct fs_scan *s)
{
	ranges_add(&s->free, HEAD_KEPT, s->size);
	return FS_KNOWN;
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
	int status = run_capture((const char *const[]){ "blkid", "-p", "-s", "TYPE", "-s", "VERSION", "-o", "export", s->file, NULL }, text,
	                         sizeof(text), NULL, s->cancel);
	s->type[0] = s->note[0] = '\0';
	s->free = (struct range_list){ 0 };
	if (status == RUN_MISSING || status == RUN_STOPPED)
		return no_help(s, "blkid", status);
	if (status == 8)
		return answer(s, FS_WHOLE, "it has the marks of several file systems");
	if (status || !export_get(text, "TYPE=", s->type))
		return FS_WHOLE;
	if (export_get(text, "VERSION=", version) && !strcmp(version, "FAT12")) /* partclone 0.3.23 gets its odd clusters wrong */
		return answer(s, FS_WHOLE, "its map cannot be relied upon");
	if (!strcmp(s->type, "swap"))
		return swap_scan(s);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		if (strcmp(kinds[i].type, s->type))
			continue;
		enum fs_answer a = kinds[i].at_rest ? kinds[i].at_rest(s) : FS_KNOWN;
		return a == FS_KNOWN ? partclone(s, kinds[i].partclone) : a;
	}
	return answer(s, FS_WHOLE, "which of its blocks are free is not known");
}
