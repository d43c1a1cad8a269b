/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How large an image will be. */
#include "qcow2.h"

int qcow2_measure(const struct vd_create *c, uint64_t data, uint64_t units, uint64_t *required, uint64_t *full, vd_error *err)
{
	struct qcow2_plan p;
	uint64_t all, luks, rt, guest;

	(void)data; /* whole clusters count */
	if (qcow2_plan_make(c, &p, err) < 0)
		return -1;
	all = vd_div_up(c->size, 1ull << p.h.cluster_bits);
	luks = p.h.crypt_method ? vd_div_up(2u << 20, 1ull << p.h.cluster_bits) : 0;
	units = p.prealloc ? all : vd_min(units, all);
	guest = p.data_name ? (p.prealloc ? c->size : vd_min(units << p.h.cluster_bits, c->size)) : 0;
	/* The clusters may lie scattered, one to an L2 table. */
	*required = (qcow2_clusters_total(&p.h, p.l1_clusters, vd_min(units, p.h.l1_size), p.data_name ? 0 : units, luks, &rt)
	             << p.h.cluster_bits) + guest;
	*full = (qcow2_clusters_total(&p.h, p.l1_clusters, p.h.l1_size, p.data_name ? 0 : all, luks, &rt) << p.h.cluster_bits) +
	        (p.data_name ? c->size : 0);
	*required = vd_min(*required, *full);
	return 0;
}
