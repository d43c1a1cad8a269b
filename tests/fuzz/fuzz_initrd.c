/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An initramfs from a guest.  Whatever is read can have an archive appended, and then says the same as before, with ours at its
 * end: where the one ends and the other begins is what readers of concatenated streams get wrong.  Texts of depmod's in it are
 * turned into indices.
 */
#include "initrd_append.h"
#include "kmod_index.h"

#include <assert.h>
#include <string.h>

#define TEXT_MAX (1u << 20) /* longer ones take longer and show no more */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void index_make(const struct initrd *i, const char *release, enum kmod_text text)
{
	struct bytes path = { 0 }, out = { 0 };
	const struct initrd_member *m;
	vdisk_error err = { 0 };

	bytes_format(&path, "lib/modules/%s/%s", release, kmod_text_name(text));
	m = initrd_find(i, path.at);
	if (m && m->content.len <= TEXT_MAX && kmod_index(text, &m->content, &m->content, &out, &err))
		assert(err.message[0]);
	bytes_destroy(&path);
	bytes_destroy(&out);
}

/* Of the first few releases, each once. */
static void indices_make(const struct initrd *i)
{
	const char *releases[4];
	size_t n = 0;

	for (size_t m = 0; m < i->modules_n && n < sizeof(releases) / sizeof(releases[0]); m++) {
		bool again = false;

		for (size_t r = 0; r < n; r++)
			again = again || !strcmp(releases[r], i->modules[m].release);
		if (again)
			continue;
		releases[n++] = i->modules[m].release;
		for (int text = KMOD_DEP; text <= KMOD_SYMBOLS; text++)
			index_make(i, i->modules[m].release, (enum kmod_text)text);
	}
}

static void append_to(const struct initrd *i, const uint8_t *data, size_t size)
{
	static const char *const load[] = { "virtio_blk" };
	struct initrd_file extra = { .path = (char *)"etc/modprobe.d/x.conf" };
	struct initrd_files files = { &extra, 1 };
	struct kmod kmod = { .folder = (char *)"/lib/modules/1", .release = (char *)"1" };
	struct append_want want = { .kmod = &kmod, .load = load, .load_n = 1, .files = &files, .rd_gzip = size & 1 };
	struct bytes main = { 0 }, out = { 0 }, notes = { 0 }, list = { 0 };
	struct initrd both;
	vdisk_error err = { 0 };
	const char *path;

	bytes_add(&main, data, size);
	bytes_text(&extra.content, "options x\n");
	if (!initrd_append(i, &main, &want, &out, &notes, &err)) {
		if (initrd_read(&both, out.at, out.len, &err)) { /* what is added may be one file too much */
			assert(err.kind == VDISK_UNSUPPORTED && i->unpacked + i->kept >= TEXT_MAX);
			goto out;
		}
		assert(both.members_n > i->members_n && !strcmp(both.members[i->members_n].path, INITRD_MARK));
		for (size_t n = 0; n < i->members_n; n++)
			assert(!strcmp(i->members[n].path, both.members[n].path) && i->members[n].size == both.members[n].size);
		assert(i->parts[i->parts_n - 1].packing == INITRD_LZMA || both.parts[both.parts_n - 1].ours);
		initrd_destroy(&both);
	} else {
		assert(err.kind == VDISK_CORRUPT);
	}
	load_list(i, load, 1, &path, &list);
out:
	bytes_destroy(&main);
	bytes_destroy(&out);
	bytes_destroy(&notes);
	bytes_destroy(&list);
	bytes_destroy(&extra.content);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct initrd i;
	vdisk_error err = { 0 };

	if (initrd_read(&i, data, size, &err)) {
		assert((err.kind == VDISK_CORRUPT || err.kind == VDISK_UNSUPPORTED || err.kind == VDISK_NOMEM) && err.message[0] &&
		       !strchr(err.message, '\n'));
		return 0;
	}
	indices_make(&i);
	initrd_find(&i, "lib/modules/1/modules.dep");
	if (i.parts_n)
		append_to(&i, data, size);
	initrd_destroy(&i);
	return 0;
}
