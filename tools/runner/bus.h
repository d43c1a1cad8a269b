/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An address space (ports or memory-mapped registers): which device answers where. */
#ifndef RUNNER_BUS_H
#define RUNNER_BUS_H

#include "common/fail.h"

/* `off` is relative to the range; size is 1, 2, 4 or 8, and off + size lies inside it (but for `wide`).  Values are
   little-endian numbers of that size. */
typedef uint64_t (*bus_read_fn)(void *dev, uint64_t off, unsigned size);
typedef void (*bus_write_fn)(void *dev, uint64_t off, unsigned size, uint64_t value);

struct bus_range {
	uint64_t base, len; /* len counts addresses at which accesses may begin and, but for `wide`, end */
	const char *name;
	void *dev;
	bus_read_fn read;   /* NULL: all ones */
	bus_write_fn write; /* NULL: swallowed */
	bool wide;          /* accesses may reach beyond its end */
};

struct bus {
	struct bus_range *ranges; /* ascending by base, disjoint */
	size_t n, cap;
};

void bus_destroy(struct bus *bus);
/* VDISK_INVALID where it would overlap another range. */
int bus_add(struct bus *bus, const struct bus_range *range, vdisk_error *err);
/* Takes away the range of `dev` that begins at `base`; no such range: no-op. */
void bus_remove(struct bus *bus, uint64_t base, const void *dev);
/* Nobody's addresses read as all ones; accesses that leave a range are nobody's. */
uint64_t bus_read(const struct bus *bus, uint64_t addr, unsigned size);
void bus_write(const struct bus *bus, uint64_t addr, unsigned size, uint64_t value);

#endif
