/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * btrfs keeps two copies of its metadata on a single device (DUP), of which partclone 0.3.23 tells the first only.  Where both lie
 * say its chunks, which its own program prints.
 */
#include "fskind.h"
#include "output.h"
#include "run.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* A chunk's second copy is in use where its first one is. */
static int chunk_mirror(struct fs_scan *s, struct ranges *more, uint64_t first, uint64_t second, uint64_t len)
{
	size_t n = s->free.n;
	if (len > UINT64_MAX - first || len > UINT64_MAX - second)
		return 0;
	for (size_t i = 0; i < n; i++) {
		uint64_t from = s->free.v[i].off, to = from + s->free.v[i].len;
		from = from > first ? from : first;
		to = to < first + len ? to : first + len;
		if (from < to && ranges_add(more, from - first + second, to - first + second)) /* kept apart for now, so that the
		                                                                                  cut leaves it */
			return -1;
	}
	return ranges_cut(&s->free, second, second + len);
}

/* Lines of "btrfs inspect-internal dump-tree -t chunk": "length N owner …", "stripe N devid N offset N".  Each is cut off before
   sscanf() sees it, which looks for the end of its text first. */
static bool chunks_read(struct fs_scan *s, struct ranges *more, char *text)
{
	uint64_t len = 0, first = 0, number, offset;
	unsigned stripes = 0, all = 0;
	for (char *rest = text, *line; (line = strsep(&rest, "\n"));) {
		line += strspn(line, " \t");
		if (sscanf(line, "length %" SCNu64 " owner", &number) == 1)
			len = number, stripes = 0; /* of the next chunk */
		else if (sscanf(line, "stripe %*u devid %*u offset %" SCNu64, &offset) == 1) {
			if (!len || stripes > 1)
				return false;
			if (stripes++ && chunk_mirror(s, more, first, offset, len))
				return false;
			first = stripes == 1 ? offset : first;
			all++;
		}
	}
	return all > 0;
}

enum fs_answer fs_btrfs_mirror(struct fs_scan *s)
{
	const size_t cap = 32u << 20;
	char *text = tool_realloc(NULL, cap);
	const char *const argv[] = { "btrfs", "inspect-internal", "dump-tree", "-t", "chunk", s->file, NULL };
	struct ranges more = { 0 };
	size_t len;
	int status = run_capture(argv, text, cap, &len, s->cancel);
	bool good = !status && len + 1 < cap && chunks_read(s, &more, text);
	free(text);
	for (size_t i = 0; good && i < more.n; i++)
		good = !ranges_add(&s->free, more.v[i].off, more.v[i].off + more.v[i].len);
	ranges_free(&more);
	ranges_sort(&s->free);
	good = good && !ranges_cut(&s->free, 0, FS_HEAD_KEPT);
	for (unsigned i = 1; good && i < 3; i++) /* the superblock's copies */
		good = !ranges_cut(&s->free, UINT64_C(64) << (20 + 12 * (i - 1)), (UINT64_C(64) << (20 + 12 * (i - 1))) + 65536);
	if (good && !ranges_cut(&s->free, s->size, UINT64_MAX)) /* the chunks are what the guest wrote */
		return FS_KNOWN;
	ranges_free(&s->free);
	return fs_no_help(s, "btrfs", status ? status : 1);
}
