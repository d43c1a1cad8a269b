/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An OVA's manifest (DSP0243, "Manifest"): "SHA256(name)= digits" a line.  Blanks may stand between its words, and blank lines
   anywhere. */
#include "package_own.h"

#include "common/fail.h"

#include <ctype.h>
#include <fcntl.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define MANIFEST_MAX ((size_t)8 << 20)
#define BLOCK        ((size_t)1 << 20)

struct line {
	gnutls_digest_algorithm_t alg;
	const char *alg_name;
	char *name;
	uint8_t digest[64];
	size_t digest_len;
};

static int hex_digit(int c)
{
	return isdigit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static char *skip_blanks(char *p)
{
	while (*p == ' ' || *p == '\t')
		p++;
	return p;
}

/* The name may hold parentheses: it ends at the last one that an "=" follows.  NULL: fine, else what is wrong with the line, which
   is cut up. */
static const char *line_parse(char *text, struct line *l)
{
	static const struct { const char *name; gnutls_digest_algorithm_t alg; size_t len; } algs[] = {
		{ "SHA1", GNUTLS_DIG_SHA1, 20 }, { "SHA256", GNUTLS_DIG_SHA256, 32 }, { "SHA512", GNUTLS_DIG_SHA512, 64 },
	};
	char *equals = strrchr(text, '='), *close_at = equals, *p;
	size_t word = strcspn(text, " \t("), n = 0;

	*l = (struct line){ 0 };
	for (size_t i = 0; i < sizeof(algs) / sizeof(algs[0]); i++)
		if (strlen(algs[i].name) == word && !strncasecmp(algs[i].name, text, word)) {
			l->alg = algs[i].alg;
			l->alg_name = algs[i].name;
			l->digest_len = algs[i].len;
		}
	if (!l->digest_len)
		return "names a digest that is none of SHA1, SHA256 and SHA512";
	p = skip_blanks(text + word);
	if (*p != '(' || !equals)
		return "is not of the form SHA256(name)= digits";
	for (close_at = equals - 1; close_at > p && (*close_at == ' ' || *close_at == '\t'); close_at--)
		;
	if (*close_at != ')' || close_at <= p + 1)
		return "is not of the form SHA256(name)= digits";
	*close_at = '\0';
	l->name = p + 1;
	for (p = skip_blanks(equals + 1); n < 2 * l->digest_len && hex_digit((unsigned char)*p) >= 0; p++, n++)
		l->digest[n / 2] = (uint8_t)(l->digest[n / 2] << 4 | hex_digit((unsigned char)*p));
	return n == 2 * l->digest_len && !*skip_blanks(p) ? NULL : "has another number of digits than its digest has";
}

struct checking {
	struct package *p;
	const struct package_job *job;
	int fd;
	uint8_t *buf;
	bool *listed; /* for each member */
	uint64_t done;
};

static int member_digest(struct checking *c, const struct member *m, gnutls_digest_algorithm_t alg, uint8_t out[64],
                         vdisk_error *err)
{
	gnutls_hash_hd_t hash;
	int rc = 0;

	if (gnutls_hash_init(&hash, alg) < 0)
		return fail_nomem(err);
	for (uint64_t at = 0; !rc && at < m->size;) {
		size_t n = m->size - at < BLOCK ? (size_t)(m->size - at) : BLOCK;

		rc = file_read(c->fd, c->p->path, c->buf, n, m->off + at, err);
		if (!rc && gnutls_hash(hash, c->buf, n) < 0)
			rc = fail(err, VDISK_IO, "%s: cannot be hashed", c->p->path);
		at += n;
		c->done += n;
		if (!rc)
			rc = job_tick(c->p, c->job, c->done, err);
	}
	gnutls_hash_deinit(hash, out);
	return rc;
}

static int line_check(struct checking *c, char *text, unsigned long number, vdisk_error *err)
{
	const struct member *m;
	uint8_t digest[64];
	struct line l;
	char name[200];
	const char *why = line_parse(text, &l);

	if (why)
		return fail(err, VDISK_CORRUPT, "%s: line %lu of the manifest %s", c->p->path, number, why);
	m = ova_member(c->p, strncmp(l.name, "./", 2) ? l.name : l.name + 2);
	if (!m)
		return fail(err, VDISK_CORRUPT, "%s: the manifest tells of '%s', which is not there", c->p->path,
		            shown(l.name, name));
	if (c->listed[m - c->p->members]) /* a short manifest could make work of any length */
		return fail(err, VDISK_CORRUPT, "%s: line %lu of the manifest tells of '%s' again", c->p->path, number,
		            shown(l.name, name));
	c->listed[m - c->p->members] = true;
	if (member_digest(c, m, l.alg, digest, err))
		return -1;
	if (memcmp(digest, l.digest, l.digest_len))
		return fail(err, VDISK_CORRUPT,
		            "%s: '%s' does not have the %s that the manifest says (--no-check takes it as it is)", c->p->path,
		            shown(l.name, name), l.alg_name);
	return 0;
}

static int lines_check(struct checking *c, char *text, vdisk_error *err)
{
	unsigned long number = 1;

	for (char *next; text; text = next, number++) {
		char *end = strchr(text, '\n');

		next = end ? end + 1 : NULL;
		if (end)
			*end = '\0';
		text = skip_blanks(text);
		end = text + strlen(text);
		while (end > text && (end[-1] == '\r' || end[-1] == ' ' || end[-1] == '\t'))
			*--end = '\0';
		if (*text && line_check(c, text, number, err))
			return -1;
	}
	return 0;
}

static void unlisted_note(const struct checking *c, const struct member *manifest)
{
	char name[200];

	for (size_t i = 0; i < c->p->n_members; i++) {
		const struct member *m = &c->p->members[i];
		size_t n = strlen(m->name);

		if (!c->listed[i] && m != manifest && !(n > 5 && !strcasecmp(m->name + n - 5, ".cert")))
			package_note(c->p, "the manifest does not tell of %s", shown(m->name, name));
	}
}

int ova_manifest_check(struct package *p, const struct member *m, const struct package_job *job, vdisk_error *err)
{
	struct checking c = { .p = p,
		              .job = job,
		              .fd = open(p->path, O_RDONLY | O_CLOEXEC),
		              .buf = malloc(BLOCK),
		              .listed = calloc(p->n_members, 1) };
	char *text = m->size <= MANIFEST_MAX ? malloc((size_t)m->size + 1) : NULL;
	int rc;

	if (m->size > MANIFEST_MAX)
		rc = fail(err, VDISK_UNSUPPORTED, "%s: the manifest has %llu bytes; at most %zu are read", p->path,
		          (unsigned long long)m->size, MANIFEST_MAX);
	else if (c.fd < 0)
		rc = fail_errno(err, "%s", p->path);
	else
		rc = c.buf && c.listed && text ? file_read(c.fd, p->path, text, (size_t)m->size, m->off, err) : fail_nomem(err);
	if (!rc) {
		text[m->size] = '\0';
		rc = strlen(text) == m->size ? lines_check(&c, text, err)
		                             : fail(err, VDISK_CORRUPT, "%s: the manifest is no text", p->path);
	}
	if (!rc)
		unlisted_note(&c, m);
	if (c.fd >= 0)
		close(c.fd);
	free(c.buf);
	free(c.listed);
	free(text);
	return rc;
}
