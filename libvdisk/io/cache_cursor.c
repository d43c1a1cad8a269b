/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io/cache_table.h"
#include "base/bytes.h"

void vd_cursor_end(struct vd_cache *c, struct vd_cursor *at)
{
	if (at->table)
		vd_cache_put(c, at->table);
	at->table = NULL;
}

int vd_cursor_entry(struct vd_cache *c, struct vd_cursor *at, uint64_t base, uint64_t off, unsigned rank, bool tail_ok, uint8_t **p,
                    vd_error *err)
{
	uint64_t first = vd_down(off, c->table_bytes);

	if (!at->table || at->table->off != base + first) {
		vd_cursor_end(c, at);
		if (vd_cache_get(c, base + first, rank, tail_ok, &at->table, err)) {
			at->table = NULL;
			return -1;
		}
	}
	*p = at->table->data + (off - first);
	return 0;
}
