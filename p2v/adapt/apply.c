/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A file is written beside the old one, gets its mode, owner, labels and times, and takes its name.  On file systems that know none
 * of these, or others (FAT, NTFS), it is written over the old one.
 */
#include "apply.h"

#include "common/fail.h"
#include "common/write_all.h"
#include "walk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SMALL     (1u << 20) /* goes in one message */
#define BLOCK     4096u
#define PLACES    64

static int fail_at(guestfs_h *g, vdisk_error *err, const char *path)
{
	const char *text = guestfs_last_error(g);
	int n = text ? (int)strcspn(text, "\n") : 0;

	return fail(err, VDISK_IO, "%s: %.*s", path, n ? n : 15, n ? text : "libguestfs fails");
}

/* ---------------------------------------------------------------- where it goes */

struct place {
	char *mountpoint, *type;
	uint64_t grows, largest; /* bytes that the plan adds here; its largest file, whose old one is still there meanwhile */
	uint64_t names;
};

struct places {
	struct place v[PLACES];
	size_t n;
};

static void places_free(struct places *p)
{
	for (size_t i = 0; i < p->n; i++) {
		free(p->v[i].mountpoint);
		free(p->v[i].type);
	}
}

static void strings_free(char **v)
{
	for (char **s = v; v && *s; s++)
		free(*s);
	free(v);
}

static int places_find(guestfs_h *g, struct places *p, vdisk_error *err)
{
	char **pairs = guestfs_mountpoints(g); /* device, mount point */

	*p = (struct places){ 0 };
	if (!pairs)
		return fail_at(g, err, "its mounts");
	for (char **s = pairs; s[0] && s[1] && p->n < PLACES; s += 2) {
		struct place *to = &p->v[p->n++];
		const char *slash = strncmp(s[0], "btrfsvol:", 9) ? NULL : s[0] + 9;

		to->mountpoint = strdup(s[1]);
		to->type = slash ? strdup("btrfs") : guestfs_vfs_type(g, s[0]);
		if (!to->type)
			to->type = strdup("");
		if (!to->mountpoint || !to->type) {
			strings_free(pairs);
			places_free(p);
			return fail(err, VDISK_NOMEM, "out of memory");
		}
	}
	strings_free(pairs);
	return 0;
}

static struct place *place_of(struct places *p, const char *path)
{
	struct place *best = NULL;
	size_t most = 0;

	for (size_t i = 0; i < p->n; i++) {
		size_t n = strlen(p->v[i].mountpoint);

		if (n == 1)
			n = 0;
		if (!strncmp(path, p->v[i].mountpoint, n) && (path[n] == '/' || !path[n]) && (!best || n > most)) {
			best = &p->v[i];
			most = n;
		}
	}
	return best;
}

static bool has_owners(const struct place *w)
{
	return strcmp(w->type, "vfat") && strcmp(w->type, "ntfs") && strcmp(w->type, "exfat") && strcmp(w->type, "msdos");
}

/* ---------------------------------------------------------------- room */

static uint64_t blocks(uint64_t bytes) { return (bytes + BLOCK - 1) / BLOCK * BLOCK; }

static int change_weigh(const struct plan *p, const struct change *c, struct places *places, vdisk_error *err)
{
	struct place *w = place_of(places, c->path);
	struct tree_stat st;
	int rc;

	if (!w || c->kind == CHANGE_REMOVE || c->kind == CHANGE_RUN || c->kind == CHANGE_MOVE)
		return 0;
	if (c->kind != CHANGE_WRITE) {
		w->grows += BLOCK;
		w->names++;
		return 0;
	}
	rc = p->guest->ops->stat(p->guest, c->path, false, &st, err);
	if (rc < 0)
		return -1;
	w->names++;
	w->grows += blocks(c->content.len) > blocks(rc ? st.size : 0) ? blocks(c->content.len) - blocks(rc ? st.size : 0) : 0;
	if (rc && blocks(st.size) > w->largest)
		w->largest = blocks(st.size);
	return 0;
}

/* ext4 tells as free, too, what it keeps for itself: a fiftieth of its blocks, 4,096 at most.  What it keeps, and what is root's, it
   does not tell as available; other file systems tell both alike. */
static uint64_t free_blocks(const struct guestfs_statvfs *s)
{
	uint64_t kept = (uint64_t)s->blocks / 50, free = (uint64_t)s->bfree, held = s->bfree > s->bavail ? free - (uint64_t)s->bavail : 0;

	kept = kept < 4096 ? kept : 4096;
	return free - (kept < held ? kept : held);
}

static int place_judge(guestfs_h *g, const struct place *w, vdisk_error *err)
{
	uint64_t need = w->grows + w->largest, have;
	struct guestfs_statvfs *s;
	int rc = 0;

	if (!w->names)
		return 0;
	s = guestfs_statvfs(g, w->mountpoint);
	if (!s)
		return fail_at(g, err, w->mountpoint);
	need += need / 50 + 16 * BLOCK; /* metadata: extents, folders, journals */
	have = free_blocks(s) * (uint64_t)(s->frsize > 0 ? s->frsize : s->bsize);
	if (have < need)
		rc = fail(err, VDISK_REFUSED, "%s: has %llu KiB free, and %llu are needed: make room in the guest first",
		          w->mountpoint, (unsigned long long)(have >> 10), (unsigned long long)(need >> 10));
	else if (s->files > 0 && s->ffree >= 0 && (uint64_t)s->ffree < w->names + 8) /* FAT and btrfs have no such number */
		rc = fail(err, VDISK_REFUSED, "%s: has %lld inodes free, and %llu are needed: make room in the guest first",
		          w->mountpoint, (long long)s->ffree, (unsigned long long)w->names + 8);
	guestfs_free_statvfs(s);
	return rc;
}

int apply_judge(guestfs_h *g, const struct plan *p, vdisk_error *err)
{
	struct places places;
	int rc = 0;

	if (places_find(g, &places, err))
		return -1;
	for (size_t i = 0; !rc && i < p->n; i++)
		rc = change_weigh(p, &p->changes[i], &places, err);
	for (size_t i = 0; !rc && i < places.n; i++)
		rc = place_judge(g, &places.v[i], err);
	places_free(&places);
	return rc;
}

/* ---------------------------------------------------------------- files */

static int upload(guestfs_h *g, const char *to, const struct bytes *content, vdisk_error *err)
{
	char path[64];
	int fd, rc;

	if (content->len <= SMALL)
		return guestfs_write(g, to, content->len ? content->at : "", content->len) ? fail_at(g, err, to) : 0;
	fd = memfd_create("vdisk-adapt", MFD_CLOEXEC);
	if (fd < 0)
		return fail_errno(err, "memory for %s", to);
	snprintf(path, sizeof(path), "/dev/fd/%d", fd);
	if (write_all(fd, content->at, content->len))
		rc = fail_errno(err, "memory for %s", to);
	else
		rc = guestfs_upload(g, path, to) ? fail_at(g, err, to) : 0;
	close(fd);
	return rc;
}

/* "/etc/fstab" to "/etc/.vdisk-adapt-fstab". */
static int beside(const char *path, char out[PATH_ROOM], vdisk_error *err)
{
	const char *slash = strrchr(path, '/');

	/* The name may have 255 bytes: then its end is cut off. */
	return snprintf(out, PATH_ROOM, "%.*s/.vdisk-adapt-%.200s", (int)(slash - path), path, slash + 1) >= PATH_ROOM
	               ? fail(err, VDISK_UNSUPPORTED, "%.100s…: is too long a path", path)
	               : 0;
}

static int like_the_old(guestfs_h *g, const char *path, const char *new, const struct guestfs_statns *st, vdisk_error *err)
{
	if (guestfs_copy_attributes(g, path, new, GUESTFS_COPY_ATTRIBUTES_ALL, 1, -1) ||
	    guestfs_utimens(g, new, st->st_atime_sec, st->st_atime_nsec, st->st_mtime_sec, st->st_mtime_nsec))
		return fail_at(g, err, path);
	return 0;
}

static int attributes_give(guestfs_h *g, const struct change *c, const char *new, vdisk_error *err)
{
	struct guestfs_statns *st;
	int there = guestfs_exists(g, c->path), rc;

	if (there < 0)
		return fail_at(g, err, c->path);
	if (there) {
		st = guestfs_lstatns(g, c->path);
		if (!st)
			return fail_at(g, err, c->path);
		rc = S_ISREG(st->st_mode) ? like_the_old(g, c->path, new, st, err) : 1;
		guestfs_free_statns(st);
		if (rc <= 0)
			return rc;
	}
	if (guestfs_chmod(g, (int)(c->mode & 07777), new) ||
	    ((c->uid || c->gid) && guestfs_chown(g, (int)c->uid, (int)c->gid, new)))
		return fail_at(g, err, c->path);
	return 0;
}

static int take_name(guestfs_h *g, const char *new, const char *path, vdisk_error *err)
{
	return guestfs_rename(g, new, path) ? fail_at(g, err, path) : 0;
}

static int file_write(guestfs_h *g, struct places *places, const struct change *c, vdisk_error *err)
{
	const struct place *w = place_of(places, c->path);
	char new[PATH_ROOM];

	/* NTFS keeps what is not seen from here (access lists, short names, attributes) with the file: it stays the same one.  All
	   of this is a layer of its own, so that nobody sees it half written. */
	if (w && !has_owners(w))
		return upload(g, c->path, &c->content, err);
	if (beside(c->path, new, err) || upload(g, new, &c->content, err) || attributes_give(g, c, new, err))
		return -1;
	return take_name(g, new, c->path, err);
}

static int link_make(guestfs_h *g, const struct change *c, vdisk_error *err)
{
	char new[PATH_ROOM];

	if (beside(c->path, new, err))
		return -1;
	return guestfs_ln_sf(g, c->target, new) ? fail_at(g, err, c->path) : take_name(g, new, c->path, err);
}

/* ---------------------------------------------------------------- the rest */

static int program_run(guestfs_h *g, const struct change *c, vdisk_error *err)
{
	char *said = guestfs_sh(g, c->content.at);
	int rc = said ? 0 : fail_at(g, err, c->content.at);

	free(said);
	return rc;
}

static int change_do(guestfs_h *g, struct places *places, const struct change *c, bool run, vdisk_error *err)
{
	switch (c->kind) {
	case CHANGE_WRITE: return file_write(g, places, c, err);
	case CHANGE_FOLDER: return guestfs_mkdir_mode(g, c->path, (int)(c->mode & 07777)) ? fail_at(g, err, c->path) : 0;
	case CHANGE_LINK: return link_make(g, c, err);
	case CHANGE_MOVE: return guestfs_rename(g, c->path, c->target) ? fail_at(g, err, c->path) : 0;
	case CHANGE_REMOVE: return guestfs_rm(g, c->path) ? fail_at(g, err, c->path) : 0;
	case CHANGE_RUN: break;
	}
	return run ? program_run(g, c, err)
	           : fail(err, VDISK_REFUSED, "%s: would run a program of the guest, which --regenerate allows", c->content.at);
}

int apply_plan(guestfs_h *g, const struct plan *p, bool run, vdisk_error *err)
{
	struct places places;
	int rc = 0;

	if (places_find(g, &places, err))
		return -1;
	/* The guest's programs last: what they make is to be made of what was changed. */
	for (int programs = 0; programs < 2; programs++)
		for (size_t i = 0; !rc && i < p->n; i++)
			if ((p->changes[i].kind == CHANGE_RUN) == programs)
				rc = change_do(g, &places, &p->changes[i], run, err);
	places_free(&places);
	if (!rc && guestfs_sync(g))
		rc = fail_at(g, err, "writing the guest's file systems");
	return rc;
}
