/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading OVA: DMTF DSP0243, "OVF package" as one file.  The members are found once; disks are windows of the file. */
#include "package_own.h"

#include "common/fail.h"
#include "common/percent.h"
#include "tar.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

const struct member *ova_member(const struct package *p, const char *name)
{
	for (size_t i = 0; i < p->n_members; i++)
		if (!strcmp(p->members[i].name, name))
			return &p->members[i];
	return NULL;
}

static bool ends_with(const char *name, const char *suffix)
{
	size_t n = strlen(name), k = strlen(suffix);

	return n > k && !strcasecmp(name + n - k, suffix);
}

static const struct member *member_by_suffix(const struct package *p, const char *suffix)
{
	for (size_t i = 0; i < p->n_members; i++)
		if (ends_with(p->members[i].name, suffix))
			return &p->members[i];
	return NULL;
}

static int members_compare(const void *a, const void *b)
{
	return strcmp((*(const struct member *const *)a)->name, (*(const struct member *const *)b)->name);
}

/* Which of two is meant would be anybody's guess, and a checker's guess another than an importer's. */
static int duplicates_refuse(const struct package *p, vdisk_error *err)
{
	const struct member **sorted = calloc(p->n_members + 1, sizeof(*sorted));
	char text[200];
	int rc = 0;

	if (!sorted)
		return fail_nomem(err);
	for (size_t i = 0; i < p->n_members; i++)
		sorted[i] = &p->members[i];
	qsort(sorted, p->n_members, sizeof(*sorted), members_compare);
	for (size_t i = 1; !rc && i < p->n_members; i++)
		if (!strcmp(sorted[i - 1]->name, sorted[i]->name))
			rc = fail(err, VDISK_CORRUPT, "%s: has two members named '%s'", p->path, shown(sorted[i]->name, text));
	free(sorted);
	return rc;
}

static int members_find(struct package *p, vdisk_error *err)
{
	struct tar_entry e;
	struct tar *t;
	int rc;

	if (tar_open(p->path, false, &t, err))
		return -1;
	while ((rc = tar_next(t, &e, err)) > 0) {
		struct member *more;

		if (p->n_members == MEMBERS_MAX) {
			rc = fail(err, VDISK_UNSUPPORTED, "%s: has more than %u members", p->path, MEMBERS_MAX);
			break;
		}
		more = p->n_members & (p->n_members - 1)
		               ? p->members
		               : realloc(p->members, (p->n_members ? 2 * p->n_members : 1) * sizeof(*more));
		if (!more) {
			rc = fail_nomem(err);
			break;
		}
		p->members = more;
		more[p->n_members] = (struct member){ .name = strdup(e.name), .off = e.off, .size = e.size };
		if (!more[p->n_members++].name) {
			p->n_members--;
			rc = fail_nomem(err);
			break;
		}
	}
	tar_close(t);
	return rc < 0 ? -1 : duplicates_refuse(p, err);
}

int ova_open(struct package *p, vdisk_error *err)
{
	const struct member *m;
	char text[200];
	int fd, rc;

	if (members_find(p, err))
		return -1;
	m = member_by_suffix(p, ".ovf");
	if (!m)
		return fail(err, VDISK_INVALID, "%s: has no member that ends in .ovf: no OVA", p->path);
	if (m != p->members)
		package_note(p, "the descriptor %s is not the first member, as it should be", shown(m->name, text));
	for (const struct member *other = m + 1; other < p->members + p->n_members; other++)
		if (ends_with(other->name, ".ovf"))
			return fail(err, VDISK_CORRUPT, "%s: has more than one descriptor: %s and another", p->path,
			            shown(m->name, text));
	if (m->size > PACKAGE_DESCRIPTION_MAX)
		return fail(err, VDISK_UNSUPPORTED, "%s: the descriptor %s has %llu bytes; at most %zu are read", p->path,
		            shown(m->name, text), (unsigned long long)m->size, PACKAGE_DESCRIPTION_MAX);
	p->desc_name = strdup(m->name);
	p->desc_len = (size_t)m->size;
	p->desc = malloc(p->desc_len + 1);
	if (!p->desc || !p->desc_name)
		return fail_nomem(err);
	p->desc[p->desc_len] = '\0';
	fd = open(p->path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fail_errno(err, "%s", p->path);
	rc = file_read(fd, p->path, p->desc, p->desc_len, m->off, err);
	close(fd);
	return rc;
}

/* ---------------------------------------------------------------- disks */

/* A piece of `ref` that comes behind piece n, which is not there; NULL: none. */
static const struct member *piece_behind(const struct package *p, const char *ref, unsigned long n)
{
	size_t len = strlen(ref);

	for (const struct member *m = p->members; m < p->members + p->n_members; m++)
		if (!strncmp(m->name, ref, len) && m->name[len] == '.' && strspn(m->name + len + 1, "0123456789") == 9 &&
		    !m->name[len + 10] && strtoul(m->name + len + 1, NULL, 10) > n)
			return m;
	return NULL;
}

/* NAME.000000000, NAME.000000001 and on: all as long as the first one, but for the last. */
static int chunks_want(struct package *p, struct slot *s, const struct package_disk *d, vdisk_error *err)
{
	bool packed = d->compression && *d->compression && strcasecmp(d->compression, "identity");
	const struct member *m, *before = NULL;
	char name[NAME_MAX_BYTES + 16], text[200], number[200];
	uint64_t chunk = d->chunk_size;
	unsigned long i;

	s->len = 0;
	for (i = 0; i < MEMBERS_MAX; i++, before = m) {
		snprintf(name, sizeof(name), "%.*s.%09lu", (int)NAME_MAX_BYTES, d->ref, i);
		m = ova_member(p, name);
		if (!m)
			break;
		if (!i && !chunk)
			chunk = m->size;
		if (before && before->size != chunk)
			return fail(err, VDISK_CORRUPT, "%s: the piece before '%s' has %llu bytes, where each has %llu", p->path,
			            shown(name, text), (unsigned long long)before->size, (unsigned long long)chunk);
		if (slot_part_add(p, s, s->len, m->size, m->off, err))
			return -1;
		s->len += m->size;
	}
	if (!before)
		return fail(err, VDISK_CORRUPT, "%s: the descriptor names '%s', which is not there, whole or in pieces", p->path,
		            shown(d->ref, text));
	if (before->size > chunk)
		return fail(err, VDISK_CORRUPT, "%s: the last piece of '%s' has %llu bytes, more than the others' %llu", p->path,
		            shown(d->ref, text), (unsigned long long)before->size, (unsigned long long)chunk);
	if (piece_behind(p, d->ref, i) || (!packed && d->file_size > s->len)) /* of what is packed some tell the size before */
		return fail(err, VDISK_CORRUPT, "%s: a piece of '%s' is missing: '%s'", p->path, shown(d->ref, text),
		            shown(strrchr(name, '.'), number));
	return 0;
}

/* A member by its name, or in pieces. */
static bool is_there(const struct package *p, const char *name)
{
	char piece[NAME_MAX_BYTES + 16];

	snprintf(piece, sizeof(piece), "%.*s.000000000", (int)NAME_MAX_BYTES, name);
	return ova_member(p, name) || ova_member(p, piece);
}

static int disk_want(struct package *p, struct slot *s, const struct package_disk *d, vdisk_error *err)
{
	const struct member *m;
	const char *ref = d->ref, *why;
	char text[200];

	while (ref[0] == '.' && ref[1] == '/')
		ref += 2;
	why = name_judge(ref);
	if (why || strlen(ref) > NAME_MAX_BYTES)
		return fail(err, VDISK_REFUSED, "%s: the descriptor names '%s', which %s", p->path, shown(d->ref, text),
		            why ? why : "is too long");
	m = ova_member(p, ref);
	if (m && !d->chunk_size) {
		s->len = m->size;
		if (slot_part_add(p, s, 0, m->size, m->off, err))
			return -1;
	} else {
		struct package_disk in_pieces = *d;

		in_pieces.ref = ref;
		if (chunks_want(p, s, &in_pieces, err))
			return -1;
	}
	if (d->file_size && d->file_size != s->len)
		package_note(p, "%s has %llu bytes; the descriptor says %llu", shown(ref, text), (unsigned long long)s->len,
		             (unsigned long long)d->file_size);
	if (d->compression && !strcasecmp(d->compression, "gzip"))
		s->gzip = true;
	else if (d->compression && *d->compression && strcasecmp(d->compression, "identity"))
		return fail(err, VDISK_UNSUPPORTED, "%s: '%s' is packed by '%s'; gzip is read", p->path, shown(ref, text),
		            d->compression);
	s->size = 0;
	return 0;
}

/* References are to be percent-encoded; what is there as it is written counts first. */
int ova_want(struct package *p, struct slot *s, const struct package_disk *d, vdisk_error *err)
{
	struct package_disk other = *d;
	char *plain = is_there(p, d->ref) ? NULL : percent_decode(d->ref);
	int rc;

	if (plain && is_there(p, plain))
		other.ref = plain;
	rc = disk_want(p, s, &other, err);
	free(plain);
	return rc;
}

int ova_check(struct package *p, const struct package_job *job, vdisk_error *err)
{
	const struct member *m = member_by_suffix(p, ".mf");

	if (!m) {
		package_note(p, "there is no manifest: nothing tells whether the files are what they were");
		return 0;
	}
	return job->no_check ? 0 : ova_manifest_check(p, m, job, err);
}
