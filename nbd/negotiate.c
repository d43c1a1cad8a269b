/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One option after the other.  Nothing of an option's data is trusted before wire.c has looked at it, and no more than DATA_MAX of
 * it is kept.  What was agreed on in plain text is forgotten when TLS starts.
 */
#include "negotiate.h"

#include "wire.h"

#include <stdlib.h>

#define DATA_MAX 16384u
#define SKIP_MAX (1u << 20) /* an option that is too long is skipped up to here, so that the client gets an answer */

struct talk {
	struct stream *s;
	const struct export *x;
	const struct tls *tls;
	struct session *out;
	bool no_zeroes, fixed;
	struct wire_option o;
	uint8_t data[DATA_MAX + 1];
};

enum verdict { GO_ON, START, LEAVE, BREAK };

static int reply(struct talk *t, uint32_t type, const void *data, uint32_t len)
{
	uint8_t b[20 + 4 + NBD_STRING_MAX];

	be64_put(b, NBD_OPTION_REPLY_MAGIC);
	be32_put(b + 8, t->o.id);
	be32_put(b + 12, type);
	be32_put(b + 16, len);
	if (len)
		memcpy(b + 20, data, len);
	return stream_send(t->s, b, 20 + len);
}

static enum verdict answer(struct talk *t, uint32_t type, const char *text)
{
	return reply(t, type, text, text ? (uint32_t)strlen(text) : 0) ? BREAK : GO_ON;
}

static bool is_export(const struct talk *t, const struct wire_text *name)
{
	return !name->len || wire_text_is(name, t->x->name);
}

static enum verdict opt_export_name(struct talk *t)
{
	struct wire_text name = { (const char *)t->data, t->o.len };
	uint8_t b[10 + 124] = { 0 };

	if (t->o.len > NBD_STRING_MAX || !is_export(t, &name))
		return BREAK; /* this option has no way to say no */
	be64_put(b, t->x->len);
	be16_put(b + 8, export_flags(t->x, t->out->structured));
	return stream_send(t->s, b, t->no_zeroes ? 10 : sizeof(b)) ? BREAK : START;
}

static enum verdict opt_list(struct talk *t)
{
	uint32_t len = (uint32_t)strlen(t->x->name);
	uint8_t b[4 + NBD_STRING_MAX];

	if (t->o.len)
		return answer(t, NBD_REP_ERR_INVALID, "a list takes no data");
	be32_put(b, len);
	memcpy(b + 4, t->x->name, len);
	return reply(t, NBD_REP_SERVER, b, 4 + len) ? BREAK : answer(t, NBD_REP_ACK, NULL);
}

static int info_text(struct talk *t, uint16_t kind, const char *text)
{
	uint8_t b[2 + NBD_STRING_MAX];
	uint32_t len = (uint32_t)strlen(text);

	be16_put(b, kind);
	memcpy(b + 2, text, len);
	return reply(t, NBD_REP_INFO, b, 2 + len);
}

static enum verdict opt_go(struct talk *t, bool go)
{
	uint8_t b[14];
	struct wire_go w;

	if (wire_go(t->data, t->o.len, &w))
		return answer(t, NBD_REP_ERR_INVALID, "malformed");
	if (!is_export(t, &w.name))
		return answer(t, NBD_REP_ERR_UNKNOWN, "there is no such export");
	be16_put(b, NBD_INFO_EXPORT);
	be64_put(b + 2, t->x->len);
	be16_put(b + 10, export_flags(t->x, t->out->structured));
	if (reply(t, NBD_REP_INFO, b, 12))
		return BREAK;
	be16_put(b, NBD_INFO_BLOCK_SIZE);
	be32_put(b + 2, 1);
	be32_put(b + 6, EXPORT_BLOCK_PREFERRED);
	be32_put(b + 10, EXPORT_BLOCK_MAX);
	if (w.want_block_size && reply(t, NBD_REP_INFO, b, 14))
		return BREAK;
	if ((w.want_name && info_text(t, NBD_INFO_NAME, t->x->name)) ||
	    (w.want_description && info_text(t, NBD_INFO_DESCRIPTION, t->x->description)))
		return BREAK;
	if (reply(t, NBD_REP_ACK, NULL, 0))
		return BREAK;
	return go ? START : GO_ON;
}

static enum verdict opt_structured(struct talk *t)
{
	if (t->o.len)
		return answer(t, NBD_REP_ERR_INVALID, "this takes no data");
	t->out->structured = true;
	return answer(t, NBD_REP_ACK, NULL);
}

/* Does a query name the context?  A list takes a whole namespace, too. */
static bool query_takes(const struct wire_text *q, const char *name, bool list)
{
	size_t space = (size_t)(strchr(name, ':') - name) + 1, bitmaps = sizeof("qemu:dirty-bitmap:") - 1;

	if (list && q->len == bitmaps && !strncmp(name, "qemu:dirty-bitmap:", bitmaps) && !memcmp(q->s, name, bitmaps))
		return true;
	return wire_text_is(q, name) || (list && q->len == space && !memcmp(q->s, name, space));
}

static enum verdict opt_meta(struct talk *t, bool set)
{
	bool chosen[EXPORT_CONTEXTS] = { 0 };
	struct wire_text q;
	struct wire_meta m;

	if (!t->out->structured)
		return answer(t, NBD_REP_ERR_INVALID, "structured replies come first");
	if (wire_meta(t->data, t->o.len, &m))
		return answer(t, NBD_REP_ERR_INVALID, "malformed");
	if (!is_export(t, &m.name))
		return answer(t, NBD_REP_ERR_UNKNOWN, "there is no such export");
	while (wire_query(&m, &q))
		for (unsigned c = 0; c < EXPORT_CONTEXTS; c++) {
			const char *name = export_context_name(t->x, c);

			chosen[c] |= name && query_takes(&q, name, !set);
		}
	for (unsigned c = 0; c < EXPORT_CONTEXTS; c++) {
		const char *name = export_context_name(t->x, c);
		uint32_t len = name ? (uint32_t)strlen(name) : 0;
		uint8_t b[4 + EXPORT_CONTEXT_MAX];

		if (!name)
			continue;
		if (!set && !m.n_queries)
			chosen[c] = true;
		be32_put(b, set ? c : 0);
		memcpy(b + 4, name, len);
		if (chosen[c] && reply(t, NBD_REP_META_CONTEXT, b, 4 + len))
			return BREAK;
	}
	if (set)
		memcpy(t->out->contexts, chosen, sizeof(chosen));
	return answer(t, NBD_REP_ACK, NULL);
}

static enum verdict opt_starttls(struct talk *t)
{
	gnutls_session_t session;

	if (!t->tls)
		return answer(t, NBD_REP_ERR_POLICY, "there is no TLS here");
	if (t->s->tls || t->o.len)
		return answer(t, NBD_REP_ERR_INVALID, t->o.len ? "this takes no data" : "TLS runs already");
	session = tls_session(t->tls);
	if (!session)
		return BREAK;
	if (reply(t, NBD_REP_ACK, NULL, 0) || stream_starttls(t->s, session)) {
		if (!t->s->tls)
			gnutls_deinit(session);
		return BREAK;
	}
	memset(t->out, 0, sizeof(*t->out));
	return GO_ON;
}

static enum verdict option(struct talk *t)
{
	if (t->tls && !t->s->tls && t->o.id != NBD_OPT_STARTTLS && t->o.id != NBD_OPT_ABORT)
		return t->o.id == NBD_OPT_EXPORT_NAME ? BREAK : answer(t, NBD_REP_ERR_TLS_REQD, "TLS comes first");
	if (!t->fixed && t->o.id != NBD_OPT_EXPORT_NAME)
		return BREAK;
	switch (t->o.id) {
	case NBD_OPT_EXPORT_NAME: return opt_export_name(t);
	case NBD_OPT_ABORT: return reply(t, NBD_REP_ACK, NULL, 0) ? BREAK : LEAVE;
	case NBD_OPT_LIST: return opt_list(t);
	case NBD_OPT_STARTTLS: return opt_starttls(t);
	case NBD_OPT_INFO: return opt_go(t, false);
	case NBD_OPT_GO: return opt_go(t, true);
	case NBD_OPT_STRUCTURED_REPLY: return opt_structured(t);
	case NBD_OPT_LIST_META_CONTEXT: return opt_meta(t, false);
	case NBD_OPT_SET_META_CONTEXT: return opt_meta(t, true);
	default: return answer(t, NBD_REP_ERR_UNSUP, "this option is not known");
	}
}

static int greet(struct talk *t)
{
	uint8_t b[18];
	uint32_t flags;

	be64_put(b, NBD_MAGIC);
	be64_put(b + 8, NBD_OPTION_MAGIC);
	be16_put(b + 16, NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES);
	if (stream_send(t->s, b, sizeof(b)) || stream_recv(t->s, b, 4, true))
		return -1;
	flags = be32_get(b);
	if (flags & ~(NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES))
		return -1;
	t->fixed = flags & NBD_FLAG_FIXED_NEWSTYLE;
	t->no_zeroes = flags & NBD_FLAG_NO_ZEROES;
	return 0;
}

static enum verdict option_next(struct talk *t)
{
	uint8_t head[NBD_OPTION_BYTES];

	if (stream_recv(t->s, head, sizeof(head), true) || wire_option(head, &t->o))
		return BREAK;
	if (t->o.len <= DATA_MAX)
		return stream_recv(t->s, t->data, t->o.len, false) ? BREAK : option(t);
	if (t->o.len > SKIP_MAX || t->o.id == NBD_OPT_EXPORT_NAME || stream_skip(t->s, t->o.len))
		return BREAK;
	return answer(t, NBD_REP_ERR_TOO_BIG, "this option is too long");
}

int negotiate(struct stream *s, const struct export *x, const struct tls *tls, struct session *out, bool *polite)
{
	struct talk *t = calloc(1, sizeof(*t));
	enum verdict v = BREAK;

	memset(out, 0, sizeof(*out));
	if (!t)
		return -1;
	*t = (struct talk){ .s = s, .x = x, .tls = tls, .out = out };
	if (!greet(t))
		do
			v = option_next(t);
		while (v == GO_ON);
	*polite = v == LEAVE;
	free(t);
	return v == START ? 0 : -1;
}
