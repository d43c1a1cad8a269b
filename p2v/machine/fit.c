/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fitting.  A disk keeps its place where the other description has it.  Disks that have none, or whose place is gone, come after
 * those in the machine's order, each to the first free place of its bus, so that what is moved moves nothing else.  One SCSI
 * controller has one adapter.
 */
#include "fit.h"

#include "common/fail.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fitting {
	struct fitted *f;
	const struct fit_rules *rules;
	struct machine_lost_list *lost;
	bool *placed; /* for each disk */
	struct {
		unsigned controller, unit;
	} from[FIT_BUSES][8]; /* by bus and adapter: what comes before is taken, for places are never given back */
};

static const struct fit_bus *bus_of(const struct fitting *w, const struct machine_disk *d) { return &w->rules->bus[d->bus]; }

static const char *called(const struct machine_disk *d, size_t at, char room[64])
{
	if (d->name)
		return d->name;
	snprintf(room, 64, "%zu", at + 1);
	return room;
}

/* Why something becomes something else. */
static const char *has_none(const struct fit_rules *r, char text[96])
{
	snprintf(text, 96, "%s has none", r->what);
	return text;
}

/* What the user asked for, and the nearest where there is no such thing. */
static void bus_choose(const struct fitting *w, struct machine_disk *d, size_t at, const struct describe_write *how)
{
	const struct fit_rules *r = w->rules;
	enum machine_bus was = d->bus, want = d->bus;
	bool optical = d->medium == MACHINE_CDROM;
	char room[64], none[96];

	if (d->medium == MACHINE_FLOPPY) {
		d->bus = MACHINE_BUS_FLOPPY;
		return;
	}
	if (how && how->disk_bus && !optical) {
		want = how->disk_bus;
		d->scsi = how->scsi;
	}
	if (!r->bus[want].controllers || want == MACHINE_BUS_FLOPPY ||
	    (optical && want != MACHINE_BUS_IDE && want != MACHINE_BUS_SATA && want != MACHINE_BUS_SCSI && want != MACHINE_BUS_USB))
		want = optical ? r->cdrom : r->disk;
	if (want != was) {
		d->unit = -1;
		d->controller = 0;
		if (was && !(how && how->disk_bus && !optical))
			machine_lost_add(w->lost, machine_bus_name(was), has_none(r, none), "disk %s: its bus becomes %s",
			                 called(d, at, room), machine_bus_name(want));
	}
	d->bus = want;
}

static void adapter_choose(const struct fitting *w, struct machine_disk *d, size_t at)
{
	char room[64], none[96];

	if (d->bus != MACHINE_BUS_SCSI) {
		d->scsi = MACHINE_SCSI_UNKNOWN;
		return;
	}
	if (d->scsi && w->rules->scsi_models & 1u << d->scsi)
		return;
	if (d->scsi)
		machine_lost_add(w->lost, machine_scsi_name(d->scsi), has_none(w->rules, none), "disk %s: its adapter becomes %s",
		                 called(d, at, room), machine_scsi_name(w->rules->scsi));
	d->scsi = w->rules->scsi;
}

/* Whether disk `at` can be at this place, given those that have theirs. */
static bool is_free(const struct fitting *w, size_t at, unsigned controller, int unit)
{
	const struct machine_disk *d = &w->f->disks[at];
	const struct fit_bus *bus = bus_of(w, d);

	if (controller >= bus->controllers || unit < 0 || (unsigned)unit >= bus->units || unit == bus->reserved)
		return false;
	for (size_t i = 0; i < w->f->disks_n; i++) {
		const struct machine_disk *o = &w->f->disks[i];

		if (i == at || !w->placed[i] || o->bus != d->bus || o->controller != controller)
			continue;
		if (o->unit == unit || o->scsi != d->scsi)
			return false;
	}
	return true;
}

static bool place_find(struct fitting *w, size_t at)
{
	struct machine_disk *d = &w->f->disks[at];
	const struct fit_bus *bus = bus_of(w, d);
	unsigned *c = &w->from[d->bus][d->scsi].controller, *u = &w->from[d->bus][d->scsi].unit;

	for (; *c < bus->controllers; ++*c, *u = 0)
		for (; *u < bus->units; ++*u)
			if (is_free(w, at, *c, (int)*u)) {
				d->controller = *c;
				d->unit = (int)*u;
				w->placed[at] = true;
				return true;
			}
	return false;
}

/* Where disks of a full bus go; CD-ROM drives, to any that can have them. */
static bool spill(struct fitting *w, size_t at)
{
	static const enum machine_bus optical[] = { MACHINE_BUS_SATA, MACHINE_BUS_SCSI, MACHINE_BUS_USB };
	struct machine_disk *d = &w->f->disks[at], was = *d;
	const enum machine_bus *buses = d->medium == MACHINE_CDROM ? optical : &w->rules->spill;
	size_t n = d->medium == MACHINE_CDROM ? 3 : d->medium == MACHINE_DISK ? 1 : 0;
	char room[64];

	for (size_t i = 0; i < n; i++) {
		if (!w->rules->bus[buses[i]].controllers || buses[i] == was.bus)
			continue;
		d->bus = buses[i];
		d->scsi = d->bus == MACHINE_BUS_SCSI ? w->rules->scsi : MACHINE_SCSI_UNKNOWN;
		d->unit = -1;
		if (!place_find(w, at))
			continue;
		machine_lost_add(w->lost, machine_bus_name(was.bus), "it is full", "disk %s: its bus becomes %s",
		                 called(d, at, room), machine_bus_name(d->bus));
		return true;
	}
	*d = was;
	return false;
}

static int places_choose(struct fitting *w, vdisk_error *err)
{
	char room[64];

	for (size_t i = 0; i < w->f->disks_n; i++)
		if (w->f->disks[i].unit >= 0)
			w->placed[i] = is_free(w, i, w->f->disks[i].controller, w->f->disks[i].unit);
	for (size_t i = 0; i < w->f->disks_n; i++) {
		struct machine_disk *d = &w->f->disks[i];
		enum machine_bus bus = d->bus;
		unsigned c = d->controller;
		int u = d->unit;

		if (w->placed[i])
			continue;
		if (!place_find(w, i) && !spill(w, i))
			return fail(err, VDISK_UNSUPPORTED, "disk %s has no place left on %s in a machine for %s",
			            called(d, i, room), machine_bus_name(d->bus), w->rules->what);
		if (u >= 0 && d->bus == bus)
			machine_lost_add(w->lost, NULL, "that is taken, or is none there", "disk %s: its place %s %u:%d becomes %u:%d",
			                 called(d, i, room), machine_bus_name(d->bus), c, u, d->controller, d->unit);
	}
	return 0;
}

static void nics_choose(const struct fitting *w, const struct describe_write *how)
{
	char none[96];

	for (size_t i = 0; i < w->f->nics_n; i++) {
		struct machine_nic *n = &w->f->nics[i];
		enum machine_nic_model want = how && how->nic_model ? how->nic_model : n->model;

		if (!want || !(w->rules->nic_models & 1u << want)) {
			if (want)
				machine_lost_add(w->lost, machine_nic_model_name(want), has_none(w->rules, none),
				                 "NIC %zu: its model becomes %s", i + 1, machine_nic_model_name(w->rules->nic));
			want = w->rules->nic;
		}
		n->model = want;
		if (how && how->net) {
			n->net = how->net;
			n->network = how->network;
		}
	}
}

/* Disks but no floppies, where there are none. */
static int disks_copy(const struct fitting *w, const struct machine *m, vdisk_error *err)
{
	struct fitted *f = w->f;
	char room[64], none[96];

	f->disks = calloc(m->disks_n + 1, sizeof(*f->disks));
	f->nics = calloc(m->nics_n + 1, sizeof(*f->nics));
	if (!f->disks || !f->nics)
		return fail_nomem(err);
	for (size_t i = 0; i < m->disks_n; i++)
		if (m->disks[i].medium == MACHINE_FLOPPY && !w->rules->floppy)
			machine_lost_add(w->lost, m->disks[i].path, has_none(w->rules, none), "floppy drive %s",
			                 called(&m->disks[i], i, room));
		else
			f->disks[f->disks_n++] = m->disks[i];
	if (m->nics_n)
		memcpy(f->nics, m->nics, m->nics_n * sizeof(*f->nics));
	f->nics_n = m->nics_n;
	return 0;
}

int fit(struct fitted *f, const struct machine *m, const struct fit_rules *rules, const struct describe_write *how,
	struct machine_lost_list *lost, vdisk_error *err)
{
	struct fitting w = { .f = f, .rules = rules, .lost = lost, .placed = calloc(m->disks_n + 1, sizeof(bool)) };
	int rc;

	*f = (struct fitted){ 0 };
	rc = w.placed ? disks_copy(&w, m, err) : fail_nomem(err);
	for (size_t i = 0; !rc && i < f->disks_n; i++) {
		bus_choose(&w, &f->disks[i], i, how);
		adapter_choose(&w, &f->disks[i], i);
	}
	if (!rc)
		rc = places_choose(&w, err);
	if (!rc)
		nics_choose(&w, how);
	free(w.placed);
	if (rc)
		fit_free(f);
	return rc;
}

void fit_free(struct fitted *f)
{
	free(f->disks);
	free(f->nics);
	*f = (struct fitted){ 0 };
}

enum machine_scsi fit_adapter(const struct fitted *f, unsigned controller)
{
	for (size_t i = 0; i < f->disks_n; i++)
		if (f->disks[i].bus == MACHINE_BUS_SCSI && f->disks[i].controller == controller)
			return f->disks[i].scsi;
	return MACHINE_SCSI_UNKNOWN;
}

unsigned fit_controllers(const struct fitted *f, enum machine_bus bus)
{
	unsigned n = 0;

	for (size_t i = 0; i < f->disks_n; i++)
		if (f->disks[i].bus == bus && f->disks[i].controller >= n)
			n = f->disks[i].controller + 1;
	return n;
}

struct losing {
	unsigned missing;
	const char *what;
	struct machine_lost_list *lost;
};

static void lose(const struct losing *l, unsigned which, bool there, const char *value, const char *where)
{
	char why[96];

	snprintf(why, sizeof(why), "%s has no place for it", l->what);
	if (there && l->missing & which)
		machine_lost_add(l->lost, value, why, "%s", where);
}

static void lose_disk(const struct losing *l, const struct machine_disk *d, size_t at)
{
	char room[64], where[160], number[64];
	const char *name = called(d, at, room);

	snprintf(where, sizeof(where), "disk %.100s: serial number", name);
	lose(l, FIT_NO_DISK_SERIAL, d->serial, d->serial, where);
	snprintf(where, sizeof(where), "disk %.100s: sector size", name);
	snprintf(number, sizeof(number), "%u bytes", d->logical_sector);
	if (l->missing & FIT_NO_SECTOR && d->logical_sector && d->logical_sector != 512 && d->medium == MACHINE_DISK)
		machine_lost_add(l->lost, number, FIT_SECTORS, "%s", where);
	snprintf(where, sizeof(where), "disk %.100s: boot order", name);
	snprintf(number, sizeof(number), "%u", d->boot);
	lose(l, FIT_NO_BOOT, d->boot, number, where);
	snprintf(where, sizeof(where), "disk %.100s: read only", name);
	lose(l, FIT_NO_READ_ONLY, d->read_only && d->medium == MACHINE_DISK, NULL, where);
	snprintf(where, sizeof(where), "disk %.100s: a device of the host", name);
	lose(l, FIT_NO_HOST_DEVICE, d->host, d->path, where);
}

static void lose_nic(const struct losing *l, const struct machine_nic *n, size_t at)
{
	char where[96], number[64];

	snprintf(where, sizeof(where), "NIC %zu: kind of its network", at + 1);
	lose(l, FIT_NO_NIC_KIND, n->net && n->net != MACHINE_NET_NETWORK, machine_net_name(n->net), where);
	snprintf(where, sizeof(where), "NIC %zu: VLAN", at + 1);
	snprintf(number, sizeof(number), "%u", n->vlan);
	lose(l, FIT_NO_VLAN, n->vlan, number, where);
	snprintf(where, sizeof(where), "NIC %zu: MTU", at + 1);
	snprintf(number, sizeof(number), "%u", n->mtu);
	lose(l, FIT_NO_MTU, n->mtu, number, where);
	snprintf(where, sizeof(where), "NIC %zu: boot order", at + 1);
	snprintf(number, sizeof(number), "%u", n->boot);
	lose(l, FIT_NO_BOOT, n->boot, number, where);
	snprintf(where, sizeof(where), "NIC %zu: not connected", at + 1);
	lose(l, FIT_NO_LINK, n->disconnected, NULL, where);
}

void fit_lost(const struct machine *m, unsigned missing, const char *what, struct machine_lost_list *lost)
{
	struct losing l = { missing, what, lost };
	char number[64];

	lose(&l, FIT_NO_UUID, m->uuid, m->uuid, "UUID");
	lose(&l, FIT_NO_DESCRIPTION, m->description, m->description, "description");
	lose(&l, FIT_NO_OS, m->os, m->os, "operating system");
	lose(&l, FIT_NO_ARCH, m->arch && strcmp(m->arch, "x86_64"), m->arch, "architecture");
	lose(&l, FIT_NO_TPM, m->tpm, machine_tpm_name(m->tpm), "TPM");
	lose(&l, FIT_NO_UEFI, m->firmware == MACHINE_FIRMWARE_UEFI, "uefi", "firmware");
	lose(&l, FIT_NO_SECURE_BOOT, m->secure_boot, NULL, "secure boot");
	lose(&l, FIT_NO_CHIPSET, m->chipset, machine_chipset_name(m->chipset), "chipset");
	snprintf(number, sizeof(number), "%u sockets, %u cores", m->sockets, m->cores);
	lose(&l, FIT_NO_TOPOLOGY, m->cores > 1, number, "CPU topology");
	snprintf(number, sizeof(number), "%u threads a core", m->threads);
	lose(&l, FIT_NO_THREADS, m->threads > 1, number, "CPU topology");
	lose(&l, FIT_NO_VIDEO, m->video, machine_video_name(m->video), "graphics");
	snprintf(number, sizeof(number), "%llu bytes", (unsigned long long)m->video_memory);
	lose(&l, FIT_NO_VIDEO_MEMORY, m->video_memory, number, "graphics memory");
	for (size_t i = 0; i < m->serials_n; i++)
		lose(&l, FIT_NO_SERIAL_PORTS, true, m->serials[i].path, "serial port");
	for (size_t i = 0; i < m->disks_n; i++)
		lose_disk(&l, &m->disks[i], i);
	for (size_t i = 0; i < m->nics_n; i++)
		lose_nic(&l, &m->nics[i], i);
}
