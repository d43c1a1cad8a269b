/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lvm.h"

#include "common/fail.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECTOR 512u

#define PLAIN "--noheadings", "--units", "b", "--nosuffix", "--separator", "|", "-o"

const char *const lvm_lvs[] = { "lvs", PLAIN,
	                        "vg_name,lv_name,vg_uuid,lv_uuid,lv_attr,vg_attr,lv_size,vg_extent_size,vg_free,lv_tags", NULL };
const char *const lvm_pvs[] = { "pvs", PLAIN, "pv_name,vg_name,dev_size,pe_start,pv_pe_count,vg_extent_size", NULL };

/* The fields of a line, which is cut up; false: there are more or fewer. */
static bool fields(char *line, char **out, size_t n)
{
	size_t i = 0;

	line += strspn(line, " \t");
	for (char *p; (p = strsep(&line, "|")); i++)
		if (i < n)
			out[i] = p;
	return i == n;
}

static bool number(const char *text, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(text, &end, 10);
	return isdigit((unsigned char)*text) && !*end && !errno;
}

static bool put(char *out, size_t room, const char *text)
{
	return (size_t)snprintf(out, room, "%s", text) < room;
}

static bool uuid_put(char *out, size_t room, const char *uuid)
{
	size_t n = strlen(out);

	for (; *uuid; uuid++)
		if (*uuid != '-') {
			if (n + 1 >= room)
				return false;
			out[n++] = *uuid;
		}
	out[n] = '\0';
	return true;
}

static bool volume_read(struct lvm_volume *v, char *line)
{
	char *f[10];

	*v = (struct lvm_volume){ 0 };
	return fields(line, f, 10) && put(v->group, sizeof(v->group), f[0]) && put(v->name, sizeof(v->name), f[1]) &&
	       uuid_put(v->id, sizeof(v->id), f[2]) && uuid_put(v->id, sizeof(v->id), f[3]) &&
	       put(v->attr, sizeof(v->attr), f[4]) && put(v->group_attr, sizeof(v->group_attr), f[5]) && number(f[6], &v->size) &&
	       number(f[7], &v->extent) && v->extent && number(f[8], &v->group_free) && put(v->tags, sizeof(v->tags), f[9]);
}

static bool pv_read(struct lvm_pv *p, char *line)
{
	uint64_t count, extent;
	char *f[6];

	*p = (struct lvm_pv){ 0 };
	if (!fields(line, f, 6) || !put(p->device, sizeof(p->device), f[0]) || !put(p->group, sizeof(p->group), f[1]) ||
	    !number(f[2], &p->size))
		return false;
	if (!*p->group) /* of no group, and nobody's affair */
		return true;
	if (!number(f[3], &p->start) || !number(f[4], &count) || !number(f[5], &extent) || !extent || p->start > p->size ||
	    count > (p->size - p->start) / extent)
		return false;
	p->end = p->start + count * extent;
	return true;
}

/* "vg-root: 0 204800 striped 2 128 8:2 2048 8:18 2048" */
static bool target_read(struct lvm_target *t, char *line)
{
	char *colon = strstr(line, ": "), kind[sizeof(t->kind)];
	uint64_t off, len, piece;
	unsigned stripes;
	int at = 0, more = 0;

	*t = (struct lvm_target){ 0 };
	if (!colon)
		return false;
	*colon = '\0';
	if (!put(t->mapping, sizeof(t->mapping), line) ||
	    sscanf(colon + 2, "%" SCNu64 " %" SCNu64 " %23s %n", &off, &len, kind, &at) != 3 || !at || off > UINT64_MAX / SECTOR ||
	    len > UINT64_MAX / SECTOR - off)
		return false;
	t->off = off * SECTOR;
	t->len = len * SECTOR;
	strcpy(t->kind, kind);
	if (!strcmp(kind, "linear")) {
		t->stripes = 1;
	} else if (!strcmp(kind, "striped")) {
		if (sscanf(colon + 2 + at, "%u %" SCNu64 " %n", &stripes, &piece, &more) != 2 || !stripes || stripes > 1024 ||
		    !piece || piece > UINT32_MAX || t->len % (stripes * piece * SECTOR))
			return false;
		t->stripes = stripes;
		t->piece = piece * SECTOR;
	}
	/* What is longer than that is of kinds that nobody asks for the rest of. */
	return put(t->words, sizeof(t->words), colon + 2 + at + more) || !t->stripes;
}

/* Calls `take` with each line that is not empty. */
static int lines(const char *text, const char *what, int (*take)(struct lvm_facts *, char *), struct lvm_facts *f, vdisk_error *err)
{
	char *copy = strdup(text), *rest = copy, *line;
	int rc = copy ? 0 : fail_nomem(err);

	while (!rc && (line = strsep(&rest, "\n"))) {
		char shown[128];

		snprintf(shown, sizeof(shown), "%s", line);
		if (!line[strspn(line, " \t\r")])
			continue;
		rc = take(f, line);
		if (rc > 0)
			rc = fail(err, VDISK_UNSUPPORTED, "what %s prints is not understood: %s", what, shown);
		else if (rc)
			fail_nomem(err);
	}
	free(copy);
	return rc;
}

#define MORE(list, n) \
	void *more = realloc((list), ((n) + 1) * sizeof(*(list))); \
	if (more) \
	(list) = more

static int volume_take(struct lvm_facts *f, char *line)
{
	MORE(f->volumes, f->n_volumes);
	return !more ? -1 : volume_read(&f->volumes[f->n_volumes], line) ? (f->n_volumes++, 0) : 1;
}

static int pv_take(struct lvm_facts *f, char *line)
{
	MORE(f->pvs, f->n_pvs);
	return !more ? -1 : pv_read(&f->pvs[f->n_pvs], line) ? (f->n_pvs++, 0) : 1;
}

static int target_take(struct lvm_facts *f, char *line)
{
	MORE(f->targets, f->n_targets);
	if (!strcmp(line, "No devices found"))
		return 0;
	return !more ? -1 : target_read(&f->targets[f->n_targets], line) ? (f->n_targets++, 0) : 1;
}

int lvm_facts_read(struct lvm_facts *f, const char *lvs, const char *pvs, const char *table, vdisk_error *err)
{
	*f = (struct lvm_facts){ 0 };
	if (!lines(lvs, "lvs", volume_take, f, err) && !lines(pvs, "pvs", pv_take, f, err) &&
	    !lines(table, "dmsetup", target_take, f, err))
		return 0;
	lvm_facts_free(f);
	return -1;
}

void lvm_facts_free(struct lvm_facts *f)
{
	free(f->volumes);
	free(f->pvs);
	free(f->targets);
	*f = (struct lvm_facts){ 0 };
}

const struct lvm_volume *lvm_volume_find(const struct lvm_facts *f, const char *uuid)
{
	for (size_t i = 0; !strncmp(uuid, "LVM-", 4) && i < f->n_volumes; i++)
		if (!strcmp(uuid + 4, f->volumes[i].id))
			return &f->volumes[i];
	return NULL;
}

bool lvm_target_device(const struct lvm_target *t, unsigned i, char number_[24], uint64_t *off)
{
	const char *p = t->words;
	uint64_t sector;
	int n = 0;

	for (unsigned k = 0;; k++, p += n) {
		if (sscanf(p, "%23s %" SCNu64 " %n", number_, &sector, &n) != 2 || sector > UINT64_MAX / SECTOR)
			return false;
		if (k == i)
			break;
	}
	*off = sector * SECTOR;
	return strchr(number_, ':') != NULL;
}

void lvm_mapping(char *out, size_t room, const char *group, const char *name)
{
	size_t len = 0;

	for (unsigned part = 0; part < 2; part++)
		for (const char *p = part ? name : group; *p && len < room - 3; p++) {
			if (part && p == name)
				out[len++] = '-';
			out[len++] = *p;
			if (*p == '-')
				out[len++] = '-';
		}
	out[len] = '\0';
}

/* "0 204800 snapshot 1640/20480 16"; full: "Invalid" or "Overflow" stands there. */
bool lvm_snapshot_good(const char *status)
{
	uint64_t used, room;

	return sscanf(status, "%*u %*u snapshot %" SCNu64 "/%" SCNu64, &used, &room) == 2 && used < room;
}
