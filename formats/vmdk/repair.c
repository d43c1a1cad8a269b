/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Making the lost one of two copies again, from the other: tables and directories, in new space behind all that is used. */
#include "vmdk.h"

#include "base/alloc.h"
#include "base/bytes.h"

int vmdk_table_restore(struct vd_layer *l, struct vmdk_extent *x, uint32_t i, bool redundant, vd_error *err)
{
	enum vmdk_table_state state;
	struct vd_table *from, *to;
	uint64_t host;
	if (vmdk_table_get(l, x, i, !redundant, &state, &from, err))
		return -1;
	uint32_t sector = state == VMDK_TABLE_ZERO;
	if (from) {
		if (vmdk_space_append(l, x, vmdk_table_bytes(x), &host, err) || vd_cache_new_table(x->tables, host, 2, &to, err)) {
			vd_cache_put(x->tables, from);
			return -1;
		}
		memcpy(to->data, from->data, vmdk_table_bytes(x));
		vd_cache_put(x->tables, to);
		vd_cache_put(x->tables, from);
		if (vmdk_file_grow(l->files[x->file], host + vmdk_table_bytes(x), err))
			return -1;
		sector = (uint32_t)(host / VMDK_SECTOR);
	}
	(redundant ? x->rgd : x->gd)[i] = sector;
	x->gd_dirty[i * 4ull / VMDK_SECTOR] = 1;
	return 0;
}

int vmdk_directory_restore(struct vd_layer *l, struct vmdk_extent *x, vd_error *err)
{
	uint64_t bytes = vd_up(x->n_gts * 4ull, VMDK_SECTOR), host;
	uint32_t *gd = vd_calloc(1, bytes);
	VD_AUTO_FREE uint8_t *again = NULL;
	if (!gd || vmdk_space_append(l, x, bytes, &host, err) || vmdk_file_grow(l->files[x->file], host + bytes, err)) {
		vd_free(gd);
		return gd ? -1 : vd_fail_nomem(err, bytes);
	}
	x->rgd = x->gd; /* it came from there */
	x->gd = gd;
	x->gd_off = host;
	x->gd_lost = false;
	memset(x->gd_dirty, 1, bytes / VMDK_SECTOR);
	if (vmdk_table_repeats(x, true, &again, err))
		return -1;
	for (uint32_t i = 0; i < x->n_gts; i++) {
		if (vmdk_table_repeated(again, i)) /* no copy is made of what others name, too */
			x->gd[i] = x->rgd[i];
		else if (x->rgd[i] && vmdk_table_restore(l, x, i, false, err))
			return -1;
	}
	x->h.gd_off = host / VMDK_SECTOR; /* finish() writes the header, after the flush that writes the directory */
	return 0;
}
