/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sorted ranges and a binary search.  Guarded by the machine's lock. */
#include "bus.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void bus_destroy(struct bus *bus)
{
	free(bus->ranges);
	*bus = (struct bus){ 0 };
}

/* The first range that begins after `addr`. */
static size_t bus_after(const struct bus *bus, uint64_t addr)
{
	size_t lo = 0, hi = bus->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (bus->ranges[mid].base <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

int bus_add(struct bus *bus, const struct bus_range *range, vdisk_error *err)
{
	size_t at = bus_after(bus, range->base);
	const struct bus_range *clash = NULL;

	if (at > 0 && range->base - bus->ranges[at - 1].base < bus->ranges[at - 1].len)
		clash = &bus->ranges[at - 1];
	if (at < bus->n && bus->ranges[at].base - range->base < range->len)
		clash = &bus->ranges[at];
	if (clash)
		return fail(err, VDISK_INVALID, "%s at %#" PRIx64 " overlaps %s at %#" PRIx64, range->name, range->base,
		            clash->name, clash->base);
	if (bus->n == bus->cap) {
		size_t cap = bus->cap ? bus->cap * 2 : 32;
		struct bus_range *grown = realloc(bus->ranges, cap * sizeof(*grown));

		if (!grown)
			return fail(err, VDISK_NOMEM, "out of memory");
		bus->ranges = grown;
		bus->cap = cap;
	}
	memmove(bus->ranges + at + 1, bus->ranges + at, (bus->n - at) * sizeof(*range));
	bus->ranges[at] = *range;
	bus->n++;
	return 0;
}

void bus_remove(struct bus *bus, uint64_t base, const void *dev)
{
	size_t at = bus_after(bus, base);

	if (!at || bus->ranges[at - 1].base != base || bus->ranges[at - 1].dev != dev)
		return;
	memmove(bus->ranges + at - 1, bus->ranges + at, (bus->n - at) * sizeof(*bus->ranges));
	bus->n--;
}

static const struct bus_range *bus_find(const struct bus *bus, uint64_t addr, unsigned size)
{
	size_t at = bus_after(bus, addr);
	const struct bus_range *r = at ? &bus->ranges[at - 1] : NULL;

	if (!r || addr - r->base >= r->len || (!r->wide && size > r->len - (addr - r->base)))
		return NULL;
	return r;
}

uint64_t bus_read(const struct bus *bus, uint64_t addr, unsigned size)
{
	const struct bus_range *r = bus_find(bus, addr, size);

	return r && r->read ? r->read(r->dev, addr - r->base, size) : UINT64_MAX;
}

void bus_write(const struct bus *bus, uint64_t addr, unsigned size, uint64_t value)
{
	const struct bus_range *r = bus_find(bus, addr, size);

	if (r && r->write)
		r->write(r->dev, addr - r->base, size, value);
}
