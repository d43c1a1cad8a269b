/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/model.h"
#include "common/test.h"

#include <stdlib.h>
#include <string.h>

void t_model_init(struct t_model *m, uint64_t size)
{
	memset(m, 0, sizeof(*m));
	m->size = size;
	m->first = t_alloc(size);
	m->now = t_alloc(size);
	m->sure = t_alloc(size);
	m->newest = t_alloc(size);
	m->sure_at = T_NEVER;
}

static void changes_free(struct t_model *m)
{
	for (size_t i = 0; i < m->n; i++)
		free(m->change[i].data);
	m->n = 0;
	m->sure_at = T_NEVER;
}

void t_model_free(struct t_model *m)
{
	changes_free(m);
	free(m->change);
	free(m->first);
	free(m->now);
	free(m->sure);
	free(m->newest);
}

void t_model_resize(struct t_model *m, uint64_t size)
{
	uint8_t *now = t_alloc(size);

	memcpy(now, m->now, size < m->size ? size : m->size);
	free(m->now);
	free(m->first);
	free(m->sure);
	free(m->newest);
	m->now = now;
	m->first = t_alloc(size);
	m->sure = t_alloc(size);
	m->newest = t_alloc(size);
	m->size = size;
	t_model_settle(m);
}

void t_model_settle(struct t_model *m)
{
	changes_free(m);
	memcpy(m->first, m->now, m->size);
	memcpy(m->sure, m->now, m->size);
}

static void put(uint8_t *to, const struct t_change *c)
{
	if (c->data)
		memcpy(to + c->off, c->data, c->len);
	else
		memset(to + c->off, 0, c->len);
}

size_t t_model_change(struct t_model *m, uint64_t off, uint64_t len, const void *data, bool keep, uint64_t begun)
{
	struct t_change c = { .off = off, .len = len, .data = (uint8_t *)(uintptr_t)data, .begun = begun, .certain = T_NEVER };

	put(m->now, &c);
	if (!keep)
		return 0;
	if (m->n == m->cap) {
		m->cap = m->cap ? 2 * m->cap : 64;
		m->change = realloc(m->change, m->cap * sizeof(*m->change));
		T_CHECK(m->change, "out of memory");
	}
	if (data) {
		c.data = t_alloc(len);
		memcpy(c.data, data, len);
	}
	m->change[m->n] = c;
	return m->n++;
}

void t_model_unsure(struct t_model *m, size_t i)
{
	m->change[i].may = true;
	m->sure_at = T_NEVER;
}

void t_model_flushed(struct t_model *m, size_t n, uint64_t at)
{
	for (size_t i = 0; i < n; i++)
		if (m->change[i].certain == T_NEVER)
			m->change[i].certain = at;
	m->sure_at = T_NEVER;
}

static bool is_certain(const struct t_change *c, uint64_t at)
{
	return !c->may && (at == T_LIVE || c->certain <= at);
}

/* Brings `sure` and `newest` to the moment. */
static void sure_to(struct t_model *m, uint64_t at)
{
	if (at == m->sure_at && m->n == m->sure_n)
		return;
	memcpy(m->sure, m->first, m->size);
	memcpy(m->newest, m->first, m->size);
	for (size_t i = 0; i < m->n; i++) {
		if (is_certain(&m->change[i], at))
			put(m->sure, &m->change[i]);
		if (m->change[i].begun <= at)
			put(m->newest, &m->change[i]);
	}
	m->sure_at = at;
	m->sure_n = m->n;
}

static bool byte_right(const struct t_model *m, uint8_t byte, uint64_t off, uint64_t at)
{
	for (size_t i = m->n; i-- > 0;) {
		const struct t_change *c = &m->change[i];

		if (off < c->off || off - c->off >= c->len || c->begun > at)
			continue;
		if (byte == (c->data ? c->data[off - c->off] : 0))
			return true;
		if (is_certain(c, at))
			return false;
	}
	return byte == m->first[off];
}

bool t_model_right(struct t_model *m, const uint8_t *disk, uint64_t off, uint64_t len, uint64_t at, uint64_t *bad)
{
	sure_to(m, at);
	for (uint64_t done = 0; done < len;) {
		uint64_t n = len - done < 512 ? len - done : 512;

		if (memcmp(disk + done, m->sure + off + done, n) && memcmp(disk + done, m->newest + off + done, n)) {
			for (uint64_t i = 0; i < n; i++) {
				if (!byte_right(m, disk[done + i], off + done + i, at)) {
					*bad = off + done + i;
					return false;
				}
			}
		}
		done += n;
	}
	return true;
}
