/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Makes the archive, member by member, through libarchive.  Rules that the kernel's unpacker sets (init/initramfs.c):
 *   - a later file takes an earlier one's place, and so metadata is written whole, as the union of both;
 *   - a folder's member would take the place of a link of that name (lib -> usr/lib), so only folders that are nowhere yet get one,
 *     and all paths are written with links followed;
 *   - members have one link and numbers of their own, lest they be joined with those of an archive before.
 * Modules go in unpacked: whatever loads them there may not know each packing, and the stream around them is packed anyway.
 */
#include "initrd_append.h"

#include "common/fail.h"
#include "initrd_stream.h"
#include "kmod_index.h"

#include <archive_entry.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODULE_FILE_MAX (64u << 20)
#define ARCHIVE_MAX (512u << 20) /* bytes of all that is added */
#define PATH_ROOM 4096

struct maker {
	const struct initrd *i;
	const struct append_want *want;
	struct archive *a;
	struct bytes cpio;
	struct bytes made;   /* folders that this archive has made, each ended by a NUL */
	struct bytes *notes;
	char root[PATH_ROOM]; /* where modules are, in the initramfs: usr/lib/modules/RELEASE */
	int64_t inode;
};

/* ---------------------------------------------------------------- members */

static int member(struct maker *m, const char *path, mode_t type, uint32_t mode, const void *at, size_t len, vdisk_error *err)
{
	struct archive_entry *e = archive_entry_new();
	int rc;

	if (!e)
		return fail_nomem(err);
	archive_entry_set_pathname(e, path);
	archive_entry_set_filetype(e, type);
	archive_entry_set_perm(e, mode);
	archive_entry_set_nlink(e, type == AE_IFDIR ? 2 : 1);
	archive_entry_set_ino64(e, ++m->inode);
	archive_entry_set_mtime(e, 0, 0);
	archive_entry_set_size(e, (la_int64_t)len);
	rc = archive_write_header(m->a, e);
	if (rc >= ARCHIVE_WARN && len && archive_write_data(m->a, at, len) != (la_ssize_t)len)
		rc = ARCHIVE_FATAL;
	archive_entry_free(e);
	if (rc < ARCHIVE_WARN)
		return fail(err, m->cpio.failed ? VDISK_NOMEM : VDISK_IO, "%s: %s", path, archive_error_string(m->a));
	return 0;
}

static bool is_made(const struct maker *m, const char *path)
{
	for (size_t at = 0; at < m->made.len; at += strlen(m->made.at + at) + 1)
		if (!strcmp(m->made.at + at, path))
			return true;
	return false;
}

/* A folder is there when a member says so, or has a member below it. */
static bool is_there(const struct initrd *i, const char *path)
{
	size_t len = strlen(path), lo = 0, hi = i->members_n;
	const char *found;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (strcmp(i->members[i->sorted[mid]].path, path) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < i->members_n; lo++) {
		found = i->members[i->sorted[lo]].path;
		if (strncmp(found, path, len))
			return false;
		if (!found[len])
			return true;
		if (found[len] == '/')
			return true;
	}
	return false;
}

/* Folders above a path, but for those that are there. */
static int folders(struct maker *m, const char *path, vdisk_error *err)
{
	char above[PATH_ROOM];

	for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		snprintf(above, sizeof(above), "%.*s", (int)(slash - path), path);
		if (is_there(m->i, above) || is_made(m, above))
			continue;
		bytes_add(&m->made, above, strlen(above) + 1);
		if (m->made.failed)
			return fail_nomem(err);
		if (member(m, above, AE_IFDIR, 0755, NULL, 0, err))
			return -1;
	}
	return 0;
}

static int file(struct maker *m, const char *path, uint32_t mode, const struct bytes *content, vdisk_error *err)
{
	char real[PATH_ROOM];

	if (content->failed)
		return fail_nomem(err);
	if (m->cpio.len > ARCHIVE_MAX || content->len > ARCHIVE_MAX - m->cpio.len)
		return fail(err, VDISK_UNSUPPORTED, "%s: with it, more than %u bytes would be added to the initramfs", path,
		            ARCHIVE_MAX);
	if (!initrd_resolve(m->i, path, real, sizeof(real)))
		return fail(err, VDISK_CORRUPT, "%s: its links lead nowhere", path);
	if (folders(m, real, err) || member(m, real, AE_IFREG, mode, content->at, content->len, err))
		return -1;
	bytes_format(m->notes, "%s (%zu bytes)\n", real, content->len);
	return 0;
}

/* ---------------------------------------------------------------- modules */

/* Below modules/RELEASE, in the initramfs: as it has it, or as we put it there. */
static void module_path(const struct maker *m, const struct kmod_module *module, char out[PATH_ROOM])
{
	const struct initrd_module *there = initrd_module(m->i, m->want->kmod->release, module->name);

	if (there)
		snprintf(out, PATH_ROOM, "%s", there->path);
	else
		snprintf(out, PATH_ROOM, "%.*s.ko", (int)module_stem(module->path), module->path);
}

static int modules_add(struct maker *m, vdisk_error *err)
{
	const struct kmod *k = m->want->kmod;
	char from[PATH_ROOM + 512], to[PATH_ROOM], path[2 * PATH_ROOM];
	struct bytes packed = { 0 }, plain = { 0 };
	int rc = 0;

	for (size_t n = 0; n < m->want->missing_n && !rc; n++) {
		const struct kmod_module *module = m->want->missing[n];

		snprintf(from, sizeof(from), "%s/%s", k->folder, module->path);
		bytes_clear(&packed);
		rc = m->want->guest->ops->read(m->want->guest, from, MODULE_FILE_MAX, &packed, err);
		if (rc < 0)
			break;
		if (!rc) {
			rc = fail(err, VDISK_CORRUPT, "%s: modules.dep names it, but it is not there", from);
			break;
		}
		rc = module_unpack(from, &packed, &plain, err);
		if (rc)
			break;
		module_path(m, module, to);
		snprintf(path, sizeof(path), "%s/%s", m->root, to);
		rc = file(m, path, 0644, &plain, err);
	}
	bytes_destroy(&packed);
	bytes_destroy(&plain);
	return rc;
}

/* ---------------------------------------------------------------- metadata */

static bool is_missing(const struct append_want *w, const char *name)
{
	for (size_t n = 0; n < w->missing_n; n++)
		if (!strcmp(w->missing[n]->name, name))
			return true;
	return false;
}

/* A line of modules.dep with the paths that they have there. */
static void dep_line(const struct maker *m, const struct kmod_module *module, struct bytes *out)
{
	char path[PATH_ROOM], dep[256];

	module_path(m, module, path);
	bytes_format(out, "%s:", path);
	for (size_t pos = 0; pos < module->deps_len;) {
		const char *at = module->deps + pos;
		size_t len = strcspn(at, " \t\n");
		const struct kmod_module *needs;

		if (len > module->deps_len - pos)
			len = module->deps_len - pos;
		pos += len + 1;
		if (!len || len >= sizeof(path))
			continue;
		memcpy(path, at, len);
		path[len] = '\0';
		needs = module_name(path, dep, sizeof(dep)) ? kmod_find(m->want->kmod, dep) : NULL;
		if (!needs)
			continue;
		module_path(m, needs, path);
		bytes_format(out, " %s", path);
	}
	bytes_text(out, "\n");
}

/* What the initramfs says, and for the modules that it says nothing of yet, what the guest's depmod says. */
static void text_join(const struct maker *m, enum kmod_text text, const struct bytes *there, struct bytes *out)
{
	const struct kmod *k = m->want->kmod;
	const char *at;
	char name[256];
	size_t pos = 0, len;

	if (there) {
		bytes_add(out, there->at, there->len);
		if (there->len && there->at[there->len - 1] != '\n')
			bytes_text(out, "\n");
	}
	while (kmod_line(&k->texts[text], &pos, &at, &len)) {
		const struct kmod_module *module;

		if (!there && len && *at == '#')
			bytes_format(out, "%.*s\n", (int)len, at);
		if (!kmod_line_module(text, at, len, name, sizeof(name)))
			continue;
		if (!is_missing(m->want, name) && (there || !initrd_module(m->i, k->release, name)))
			continue;
		module = kmod_find(k, name);
		if (text != KMOD_DEP)
			bytes_format(out, "%.*s\n", (int)len, at);
		else if (module)
			dep_line(m, module, out);
	}
}

static int text_add(struct maker *m, enum kmod_text text, struct bytes *dep, vdisk_error *err)
{
	const struct initrd_member *there;
	struct bytes joined = { 0 }, index = { 0 };
	char path[PATH_ROOM + 64];
	int rc = 0;

	snprintf(path, sizeof(path), "%s/%s", m->root, kmod_text_name(text));
	there = initrd_find(m->i, path);
	text_join(m, text, there && there->content.len ? &there->content : NULL, &joined);
	if (joined.failed)
		rc = fail_nomem(err);
	else if (joined.len || (text != KMOD_WEAKDEP && text != KMOD_DEVNAME))
		rc = file(m, path, 0644, &joined, err);
	if (text == KMOD_DEP) {
		bytes_add(dep, joined.at, joined.len);
		if (dep->failed)
			rc = fail_nomem(err);
	}
	if (!rc && (text == KMOD_DEP || text == KMOD_ALIAS || text == KMOD_SYMBOLS)) {
		snprintf(path, sizeof(path), "%s/%s.bin", m->root, kmod_text_name(text));
		rc = kmod_index(text, &joined, dep, &index, err);
		if (!rc)
			rc = file(m, path, 0644, &index, err);
	}
	bytes_destroy(&joined);
	bytes_destroy(&index);
	return rc;
}

static int metadata_add(struct maker *m, vdisk_error *err)
{
	struct bytes dep = { 0 };
	int rc = 0;

	for (int i = 0; i < KMOD_TEXTS && !rc; i++)
		rc = text_add(m, (enum kmod_text)i, &dep, err);
	bytes_destroy(&dep);
	return rc;
}

/* ---------------------------------------------------------------- the archive */

static int files_add(struct maker *m, vdisk_error *err)
{
	for (size_t n = 0; n < m->want->files->n; n++) {
		const struct initrd_file *f = &m->want->files->v[n];
		const struct initrd_member *there = initrd_find(m->i, f->path);

		if (file(m, f->path, there ? there->mode & 07777 : 0644, &f->content, err))
			return -1;
	}
	return 0;
}

static int mark_add(struct maker *m, vdisk_error *err)
{
	struct bytes text = { 0 };
	int rc;

	bytes_format(&text, "Modules of %s, added by vdisk adapt:\n", m->want->kmod->release);
	for (size_t n = 0; n < m->want->missing_n; n++)
		bytes_format(&text, "%s\n", m->want->missing[n]->name);
	rc = text.failed ? fail_nomem(err) : member(m, INITRD_MARK, AE_IFREG, 0644, text.at, text.len, err);
	bytes_destroy(&text);
	return rc;
}

static int load_add(struct maker *m, vdisk_error *err)
{
	struct bytes list = { 0 };
	const char *path;
	int rc = 0;

	if (load_list(m->i, m->want->load, m->want->load_n, &path, &list))
		rc = file(m, path, 0644, &list, err);
	bytes_destroy(&list);
	return rc;
}

static int cpio_make(struct maker *m, vdisk_error *err)
{
	int rc;

	m->a = archive_write_new();
	if (!m->a)
		return fail_nomem(err);
	rc = archive_write_set_format_cpio_newc(m->a);
	if (rc >= ARCHIVE_WARN)
		rc = archive_write_set_bytes_in_last_block(m->a, 1);
	if (rc >= ARCHIVE_WARN)
		rc = archive_write_open(m->a, &m->cpio, NULL, stream_sink, NULL);
	if (rc < ARCHIVE_WARN)
		rc = fail(err, VDISK_IO, "making an archive: %s", archive_error_string(m->a));
	else
		rc = mark_add(m, err) || files_add(m, err) ? -1 : 0;
	if (!rc && m->want->missing_n)
		rc = modules_add(m, err) || metadata_add(m, err) || load_add(m, err) ? -1 : 0;
	if (!rc && archive_write_close(m->a) < ARCHIVE_WARN)
		rc = fail(err, VDISK_IO, "making an archive: %s", archive_error_string(m->a));
	archive_write_free(m->a);
	return rc;
}

/* Where the initramfs has the modules of this kernel, or would have them: tools look for them in /lib/modules, which may be a
   link's other side. */
static int root_find(struct maker *m, vdisk_error *err)
{
	static const char *const folders[] = { "lib/modules", "usr/lib/modules", "lib", "usr/lib" };
	const char *found = "lib";
	char path[PATH_ROOM], real[PATH_ROOM];

	for (size_t n = sizeof(folders) / sizeof(folders[0]); n--;)
		if (initrd_resolve(m->i, folders[n], real, sizeof(real)) && is_there(m->i, real))
			found = folders[n];
	snprintf(path, sizeof(path), "%s%s/%s", found, strstr(found, "modules") ? "" : "/modules", m->want->kmod->release);
	if (!initrd_resolve(m->i, path, m->root, sizeof(m->root)))
		return fail(err, VDISK_CORRUPT, "%s: its links lead nowhere", path);
	return 0;
}

/* LZMA's end is not told exactly by the kernel's reader: what is added goes into the same stream, which is packed anew. */
static int lzma_join(const struct initrd_part *last, const struct bytes *main, const struct bytes *cpio, struct bytes *out,
	vdisk_error *err)
{
	struct bytes all = { 0 };
	size_t used;
	int rc = stream_unpack(INITRD_LZMA, (const uint8_t *)main->at + last->off, last->len, last->unpacked, &all, &used, err);

	while (all.len & 3)
		bytes_add(&all, "", 1);
	bytes_add(&all, cpio->at, cpio->len);
	if (!rc && all.failed)
		rc = fail_nomem(err);
	if (!rc) {
		bytes_add(out, main->at, last->off);
		rc = stream_pack(INITRD_LZMA, all.at, all.len, out, err);
	}
	bytes_destroy(&all);
	return rc;
}

static int append(const struct initrd *i, const struct bytes *main, bool rd_gzip, const struct bytes *cpio, struct bytes *out,
	vdisk_error *err)
{
	const struct initrd_part *last = i->parts_n ? &i->parts[i->parts_n - 1] : NULL;
	enum initrd_packing packing = last ? last->packing : INITRD_PLAIN;
	size_t end;

	if (packing == INITRD_LZMA)
		return lzma_join(last, main, cpio, out, err);
	if (packing == INITRD_XZ)
		packing = rd_gzip ? INITRD_GZIP : INITRD_PLAIN;
	end = last ? last->off + last->len : 0;
	bytes_add(out, main->at, packing == INITRD_LZ4 ? end : main->len);
	/* A zero ends the stream before for every reader, but for LZ4's; a plain archive begins at a multiple of 4. */
	while (packing != INITRD_LZ4 && !out->failed && (out->len == end || (out->len & 3)))
		bytes_add(out, "", 1);
	return stream_pack(packing, cpio->at, cpio->len, out, err);
}

int initrd_append(const struct initrd *i, const struct bytes *main, const struct append_want *want, struct bytes *out,
	struct bytes *notes, vdisk_error *err)
{
	struct maker m = { .i = i, .want = want, .notes = notes };
	int rc = root_find(&m, err);

	bytes_clear(out);
	if (!rc)
		rc = cpio_make(&m, err);
	if (!rc)
		rc = append(i, main, want->rd_gzip, &m.cpio, out, err);
	if (!rc && out->failed)
		rc = fail_nomem(err);
	bytes_destroy(&m.cpio);
	bytes_destroy(&m.made);
	return rc;
}
