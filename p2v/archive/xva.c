/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading XVA: ova.xml, then for each disk, in the order of their names, members "Ref:12/00000007" of 1 MiB (the last one short),
 * each followed by one with its checksum: "….checksum" (SHA-1) or "….xxhash" (XXH64).  Chunks of zeros are left out, but for the
 * first and the last one.  One without bytes, which the exporting side sends to keep a connection alive, takes a number and no
 * space.
 */
#include "package_own.h"

#include "common/fail.h"
#include "tar.h"

#include <ctype.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <xxhash.h>

#define CHUNK       XVA_CHUNK
#define CHECKSUM_MAX 64u
#define STRANGERS_MAX 4096u

struct scan {
	struct package *p;
	struct tar *t;
	uint8_t *buf;             /* the last chunk */
	size_t len;
	char name[NAME_MAX_BYTES + 1]; /* of a chunk whose checksum is due; "": none */
	bool read;                /* its bytes are in buf */
	uint64_t unchecked, strangers;
};

int xva_open(struct package *p, vdisk_error *err)
{
	struct tar_entry e;
	struct tar *t;
	int rc;

	if (tar_open(p->path, p->streamed, &t, err))
		return -1;
	rc = tar_next(t, &e, err);
	if (rc > 0 && strcmp(e.name, "ova.xml"))
		rc = fail(err, VDISK_INVALID, "%s: does not begin with ova.xml: no XVA", p->path);
	if (rc > 0 && e.size > PACKAGE_DESCRIPTION_MAX)
		rc = fail(err, VDISK_UNSUPPORTED, "%s: ova.xml has %llu bytes; at most %zu are read", p->path,
		          (unsigned long long)e.size, PACKAGE_DESCRIPTION_MAX);
	if (rc > 0) {
		p->desc_len = (size_t)e.size;
		p->data_at = e.off + (e.size + 511) / 512 * 512;
		p->desc_name = strdup("ova.xml");
		p->desc = calloc(1, p->desc_len + 1);
		rc = p->desc && p->desc_name ? tar_read(t, p->desc, p->desc_len, err) : fail_nomem(err);
	}
	tar_close(t);
	return rc;
}

bool xva_chunk_name(const char *name, size_t *ref_len, uint64_t *number)
{
	const char *slash = strrchr(name, '/');
	char *end;

	if (!slash || slash == name || !isdigit((unsigned char)slash[1]) || strlen(slash + 1) > 18)
		return false;
	*ref_len = (size_t)(slash - name);
	*number = strtoull(slash + 1, &end, 10);
	return !*end;
}

/* ---------------------------------------------------------------- checksums */

static bool checksum_holds(const struct scan *s, const char *kind, const char *text)
{
	char ours[48];

	if (!strcmp(kind, ".xxhash")) {
		snprintf(ours, sizeof(ours), "%016llx", (unsigned long long)XXH64(s->buf, s->len, 0));
	} else {
		uint8_t digest[20];

		if (gnutls_hash_fast(GNUTLS_DIG_SHA1, s->buf, s->len, digest) < 0)
			return false;
		for (size_t i = 0; i < sizeof(digest); i++)
			sprintf(ours + 2 * i, "%02x", digest[i]);
	}
	return !strcasecmp(ours, text);
}

/* The member is the checksum of the chunk before it. */
static int checksum_take(struct scan *s, const struct tar_entry *e, const char *kind, vdisk_error *err)
{
	char text[CHECKSUM_MAX + 1], name[200];

	if (e->size > CHECKSUM_MAX)
		return fail(err, VDISK_CORRUPT, "%s: the checksum '%s' has %llu bytes", s->p->path, shown(e->name, name),
		            (unsigned long long)e->size);
	if (s->read) {
		if (tar_read(s->t, text, (size_t)e->size, err))
			return -1;
		text[e->size] = '\0';
		text[strcspn(text, " \r\n")] = '\0';
		if (!checksum_holds(s, kind, text))
			return fail(err, VDISK_CORRUPT, "%s: '%s' does not have the checksum that stands beside it", s->p->path,
			            shown(s->name, name));
	}
	s->name[0] = '\0';
	return 0;
}

/* ---------------------------------------------------------------- chunks */

static int chunk_judge(const struct package *p, const struct slot *s, const struct tar_entry *e, uint64_t number, uint64_t *off,
                       vdisk_error *err)
{
	char name[200];

	if (number < s->next)
		return fail(err, VDISK_CORRUPT, "%s: '%s' comes again, or too late", p->path, shown(e->name, name));
	if (e->size > CHUNK)
		return fail(err, VDISK_CORRUPT, "%s: '%s' has %llu bytes; a chunk has at most %zu", p->path, shown(e->name, name),
		            (unsigned long long)e->size, CHUNK);
	*off = (number - s->empties) * CHUNK; /* both have at most 18 digits */
	if (number - s->empties > s->size / CHUNK || e->size > s->size - *off)
		return fail(err, VDISK_CORRUPT, "%s: '%s' lies outside its disk (%llu bytes)", p->path, shown(e->name, name),
		            (unsigned long long)s->size);
	if (e->size && e->size < CHUNK && *off + e->size != s->size)
		return fail(err, VDISK_CORRUPT, "%s: '%s' has %llu bytes, and is not the last chunk of its disk", p->path,
		            shown(e->name, name), (unsigned long long)e->size);
	return 0;
}

static int chunk_take(struct scan *c, struct slot *s, const struct tar_entry *e, uint64_t number, bool read, uint64_t *off,
                      vdisk_error *err)
{
	if (chunk_judge(c->p, s, e, number, off, err))
		return -1;
	s->next = number + 1;
	s->empties += !e->size;
	if (e->size)
		s->end = *off + e->size;
	c->len = (size_t)e->size;
	c->read = read;
	strcpy(c->name, e->name);
	if (read)
		return tar_read(c->t, c->buf, c->len, err);
	return slot_part_add(c->p, s, *off, e->size, e->off, err);
}

/* A chunk is believed when its checksum was seen; without one, when the next member comes. */
struct pending {
	struct slot *slot;
	uint64_t off;
};

static int pending_hand(struct scan *c, struct pending *w, package_sink sink, void *ctx, vdisk_error *err)
{
	int rc = 0;

	if (w->slot && sink && c->len)
		rc = sink(ctx, (size_t)(w->slot - c->p->slots), w->off, c->buf, c->len, err);
	w->slot = NULL;
	return rc;
}

static const char *checksum_kind(const struct scan *c, const char *name)
{
	size_t n = strlen(c->name);

	if (!n || strncmp(name, c->name, n) || (strcmp(name + n, ".checksum") && strcmp(name + n, ".xxhash")))
		return NULL;
	return name + n;
}

static int stranger_take(struct scan *c, const struct tar_entry *e, vdisk_error *err)
{
	size_t n = strlen(e->name);
	char name[200];
	const char *slash = strrchr(e->name, '/');

	if (slash && !strncmp(slash, "/chunk-", 7))
		return fail(err, VDISK_UNSUPPORTED, "%s: is of XenServer's first kind (members '%s'), which is not read",
		            c->p->path, shown(e->name, name));
	if (!strcmp(e->name, "ova.xml") || (n > 9 && !strcmp(e->name + n - 9, ".checksum")) ||
	    (n > 7 && !strcmp(e->name + n - 7, ".xxhash")))
		return 0;
	if (!c->strangers++)
		package_note(c->p, "nothing in ova.xml tells of %s", shown(e->name, name));
	return 0;
}

static int members_take(struct scan *c, const struct package_job *job, package_sink sink, void *ctx, vdisk_error *err)
{
	bool read = sink || !job->no_check;
	struct pending wait = { 0 };
	struct tar_entry e;
	int rc;

	while ((rc = tar_next(c->t, &e, err)) > 0) {
		const char *kind = checksum_kind(c, e.name);
		struct slot *s = NULL;
		uint64_t number = 0;
		size_t ref_len;

		if (job_tick(c->p, job, tar_used(c->t), err))
			return -1;
		if (kind) {
			if (checksum_take(c, &e, kind, err) || pending_hand(c, &wait, sink, ctx, err))
				return -1;
			continue;
		}
		c->unchecked += c->name[0] != '\0';
		c->name[0] = '\0';
		if (pending_hand(c, &wait, sink, ctx, err))
			return -1;
		if (xva_chunk_name(e.name, &ref_len, &number))
			s = slot_find(c->p, e.name, ref_len);
		if (!s) {
			if (stranger_take(c, &e, err))
				return -1;
			continue;
		}
		if (chunk_take(c, s, &e, number, read, &wait.off, err))
			return -1;
		wait.slot = s;
		/* What is read is not placed by chunk_take(). */
		if (read && !c->p->streamed && slot_part_add(c->p, s, wait.off, e.size, e.off, err))
			return -1;
	}
	c->unchecked += c->name[0] != '\0';
	return rc < 0 ? -1 : pending_hand(c, &wait, sink, ctx, err);
}

int xva_scan(struct package *p, const struct package_job *job, package_sink sink, void *ctx, vdisk_error *err)
{
	struct scan c = { .p = p, .buf = malloc(CHUNK) };
	int rc;

	if (!c.buf)
		return fail_nomem(err);
	rc = tar_open(p->path, p->streamed, &c.t, err);
	if (!rc)
		rc = members_take(&c, job, sink, ctx, err);
	for (size_t i = 0; !rc && i < p->n_slots; i++)
		if (p->slots[i].end != p->slots[i].size)
			rc = fail(err, VDISK_CORRUPT, "%s: is cut short: the last chunk of %s is not there", p->path,
			          p->slots[i].ref);
	if (!rc && c.unchecked)
		package_note(p, "%llu chunks have no checksum", (unsigned long long)c.unchecked);
	tar_close(c.t);
	free(c.buf);
	return rc;
}
