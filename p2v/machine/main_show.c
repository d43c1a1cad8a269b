/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A machine in words, for people: what is not known is not mentioned. */
#include "main_show.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void line(const char *what, const char *value)
{
	if (value)
		printf("%-14s%s\n", what, value);
}

static void size_text(uint64_t bytes, char out[32])
{
	static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB", "PiB" };
	unsigned unit = 0;

	while (unit < 5 && bytes >= 10240 && bytes % 1024 == 0) {
		bytes /= 1024;
		unit++;
	}
	snprintf(out, 32, "%" PRIu64 " %s", bytes, units[unit]);
}

static void machine_lines(const struct machine *m)
{
	char text[32];

	line("name", m->name);
	line("uuid", m->uuid);
	if (m->description)
		printf("%-14s%.*s%s\n", "description", (int)strcspn(m->description, "\n"), m->description,
		       strchr(m->description, '\n') ? " …" : "");
	line("system", m->os);
	line("architecture", m->arch);
	if (m->firmware)
		printf("%-14s%s%s\n", "firmware", machine_firmware_name(m->firmware), m->secure_boot ? ", secure boot" : "");
	if (m->chipset)
		line("chipset", machine_chipset_name(m->chipset));
	if (m->cpus)
		printf("%-14s%u", "cpus", m->cpus);
	if (m->cpus && m->cores)
		printf(" (%u × %u cores", m->sockets, m->cores);
	if (m->cpus && m->cores && m->threads > 1)
		printf(" × %u threads", m->threads);
	if (m->cpus)
		printf("%s\n", m->cores ? ")" : "");
	size_text(m->memory, text);
	line("memory", m->memory ? text : NULL);
	if (m->tpm)
		line("tpm", machine_tpm_name(m->tpm));
	if (m->video)
		line("graphics", machine_video_name(m->video));
	line("host", m->host.hostname);
	line("vendor", m->host.vendor);
	line("product", m->host.product);
	line("captured", m->host.captured);
}

static void disk_line(const struct machine_disk *d)
{
	static const char *const leads[] = { "absolute", "leads up by ..", "remote" };
	char text[32];

	printf("%-14s%s", machine_medium_name(d->medium), d->name ? d->name : "-");
	if (d->bus)
		printf(", %s%s%s", machine_bus_name(d->bus), d->scsi ? " " : "", d->scsi ? machine_scsi_name(d->scsi) : "");
	if (d->unit >= 0)
		printf(" %u:%d", d->controller, d->unit);
	size_text(d->size, text);
	if (d->size)
		printf(", %s", text);
	if (d->format)
		printf(", %s", d->format);
	if (d->logical_sector && d->logical_sector != 512)
		printf(", sectors of %u bytes", d->logical_sector);
	if (d->boot)
		printf(", boots as number %u", d->boot);
	printf("%s%s\n", d->path ? ", " : "", d->path ? d->path : "");
	for (unsigned i = 0; i < 3; i++)
		if (d->path_flags & 1u << i)
			printf("%-14s  the name %s%s\n", "", i == 1 ? "" : "is ", leads[i]);
}

static void nic_line(const struct machine_nic *n)
{
	printf("%-14s%s", "nic", n->mac ? n->mac : "-");
	if (n->name)
		printf(", %s", n->name);
	if (n->model)
		printf(", %s", machine_nic_model_name(n->model));
	if (n->net)
		printf(", %s", machine_net_name(n->net));
	if (n->network)
		printf("%s%s", n->net ? " " : ", ", n->network);
	if (n->vlan)
		printf(", VLAN %u", n->vlan);
	for (size_t i = 0; i < n->addresses_n; i++)
		printf(", %s", n->addresses[i]);
	if (n->boot)
		printf(", boots as number %u", n->boot);
	printf("%s\n", n->disconnected ? ", not connected" : "");
}

int machine_show(const struct machine *m, bool again, bool quiet)
{
	if (again)
		printf("\n");
	machine_lines(m);
	for (size_t i = 0; i < m->disks_n; i++)
		disk_line(&m->disks[i]);
	for (size_t i = 0; i < m->nics_n; i++)
		nic_line(&m->nics[i]);
	for (size_t i = 0; i < m->serials_n; i++)
		printf("%-14s%s%s%s\n", "serial", machine_serial_kind_name(m->serials[i].kind), m->serials[i].path ? " " : "",
		       m->serials[i].path ? m->serials[i].path : "");
	for (size_t i = 0; i < m->snapshots_n; i++)
		printf("%-14s%s%s\n", "snapshot", m->snapshots[i].name ? m->snapshots[i].name : m->snapshots[i].id,
		       m->snapshots[i].current ? ", which the machine goes on from" : "");
	for (size_t i = 0; !quiet && i < m->lost.n; i++)
		printf("%-14s%s%s%s\n", "not taken", m->lost.at[i].where, m->lost.at[i].value ? ": " : "",
		       m->lost.at[i].value ? m->lost.at[i].value : "");
	if (m->lost.more && !quiet)
		line("not taken", "and more");
	return fflush(stdout) || ferror(stdout) ? -1 : 0;
}
