/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Machines that the tests describe, and what they read back. */
#ifndef TESTS_MACHINE_SAMPLE_H
#define TESTS_MACHINE_SAMPLE_H

#include "machine/describe.h"
#include "machine/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static inline struct machine *described_as(const void *bytes, size_t len, enum describe_kind kind, const char *name)
{
	struct describe_read how = { kind, name, 0 };
	struct machine *m = NULL;
	vdisk_error err = { 0 };

	if (describe_read(bytes, len, &how, &m, &err))
		fail_msg("%s: %s\n%.2000s", describe_kind_name(kind), err.message, (const char *)bytes);
	return m;
}

static inline struct machine *described(const char *text, enum describe_kind kind)
{
	return described_as(text, strlen(text), kind, NULL);
}

/* It is refused, with these words. */
static inline void refused_as(const void *bytes, size_t len, enum describe_kind kind, const char *words)
{
	struct describe_read how = { kind, NULL, 0 };
	struct machine *m = NULL;
	vdisk_error err = { 0 };

	if (!describe_read(bytes, len, &how, &m, &err)) {
		machine_free(m);
		fail_msg("%s is read, due is: %s", describe_kind_name(kind), words);
	}
	if (!strstr(err.message, words))
		fail_msg("the message is \"%s\", due is \"%s\"", err.message, words);
	assert_null(strchr(err.message, '\n'));
}

static inline void refused(const char *text, enum describe_kind kind, const char *words)
{
	refused_as(text, strlen(text), kind, words);
}

static inline bool is_lost(const struct machine_lost_list *list, const char *words)
{
	for (size_t i = 0; i < list->n; i++)
		if (strstr(list->at[i].where, words) || (list->at[i].value && strstr(list->at[i].value, words)))
			return true;
	return false;
}

static inline void lost_print(const struct machine_lost_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		print_message("  lost: %s: %s (%s)\n", list->at[i].where, list->at[i].value ? list->at[i].value : "",
			      list->at[i].why ? list->at[i].why : "");
}

static inline void assert_lost(const struct machine_lost_list *list, const char *words)
{
	if (is_lost(list, words))
		return;
	lost_print(list);
	fail_msg("\"%s\" is not listed as lost", words);
}

static inline void assert_text(const char *due, const char *is)
{
	if (!due != !is || (due && strcmp(due, is)))
		fail_msg("due is \"%s\", there is \"%s\"", due ? due : "(none)", is ? is : "(none)");
}

/* Written as every kind and read back: CPUs, memory, disks and NICs are there. */
static inline void through_every_kind(struct machine *m)
{
	for (size_t i = 0; i < m->disks_n; i++)
		if (m->disks[i].medium == MACHINE_DISK && !m->disks[i].size)
			m->disks[i].size = 1 << 30; /* which OVF wants to say */
	for (int kind = DESCRIBE_JSON; kind < DESCRIBE_HYPERV; kind++) {
		vdisk_error err = { 0 };
		size_t len = 0;
		char *text = describe_write(m, (enum describe_kind)kind, NULL, &len, NULL, &err);
		struct machine *back;

		if (!text)
			fail_msg("%s: %s", describe_kind_name((enum describe_kind)kind), err.message);
		back = described_as(text, len, (enum describe_kind)kind, NULL);
		assert_text(m->name, back->name);
		assert_int_equal(m->cpus, back->cpus);
		assert_true(back->memory >= m->memory && back->memory < m->memory + (4 << 20));
		assert_int_equal(m->firmware == MACHINE_FIRMWARE_UEFI, back->firmware == MACHINE_FIRMWARE_UEFI);
		assert_int_equal(m->disks_n, back->disks_n);
		assert_int_equal(m->nics_n, back->nics_n);
		for (size_t i = 0; i < m->nics_n; i++)
			assert_text(m->nics[i].mac, back->nics[i].mac);
		machine_free(back);
		free(text);
	}
}

static inline struct machine_disk *disk_put(struct machine *m, const char *name, enum machine_bus bus, unsigned controller,
                                            int unit, const char *path)
{
	struct machine_disk *d = machine_disk_add(m);

	assert_non_null(d);
	d->name = machine_text(m, name);
	d->bus = bus;
	d->controller = controller;
	d->unit = unit;
	d->size = 1 << 30;
	if (path)
		machine_disk_path(m, d, path);
	return d;
}

/* BIOS: disks on IDE, SATA and SCSI, a CD-ROM drive, two NICs. */
static inline struct machine *sample_bios(void)
{
	struct machine *m = machine_new();
	struct machine_disk *d;
	struct machine_nic *n;

	assert_non_null(m);
	m->systems = 1;
	m->name = machine_text(m, "Web & <mail> \"one\"");
	m->uuid = machine_uuid(m, "564dc598-db65-ae42-d489-15cf1c43cf9a");
	m->description = machine_text_clean(m, "first line\nsecond 'line' with $sign");
	m->arch = "x86_64";
	m->firmware = MACHINE_FIRMWARE_BIOS;
	m->chipset = MACHINE_CHIPSET_PC;
	m->cpus = 4;
	m->sockets = 2;
	m->cores = 2;
	m->memory = (uint64_t)2 << 30;
	m->video = MACHINE_VIDEO_VGA;
	d = disk_put(m, "root", MACHINE_BUS_IDE, 0, 0, "root disk.vmdk");
	d->boot = 1;
	d = disk_put(m, "cd", MACHINE_BUS_IDE, 0, 2, NULL);
	d->medium = MACHINE_CDROM;
	d->size = 0;
	machine_disk_path(m, d, "install.iso");
	disk_put(m, "data", MACHINE_BUS_SATA, 0, 1, "data.vmdk");
	d = disk_put(m, "log", MACHINE_BUS_SCSI, 0, 3, "log.vmdk");
	d->scsi = MACHINE_SCSI_LSI;
	n = machine_nic_add(m);
	n->mac = machine_mac(m, "00:50:56:01:02:03");
	n->model = MACHINE_NIC_E1000;
	n->net = MACHINE_NET_NETWORK;
	n->network = machine_text(m, "Office & Lab");
	n->boot = 2;
	n = machine_nic_add(m);
	n->mac = machine_mac(m, "52-54-00-AA-BB-CC");
	n->model = MACHINE_NIC_E1000;
	n->net = MACHINE_NET_NETWORK;
	n->network = machine_text(m, "storage");
	machine_serial_add(m)->kind = MACHINE_SERIAL_PTY;
	assert_int_equal(0, machine_judge(m, NULL));
	return m;
}

/* UEFI with secure boot and a TPM, on SATA alone. */
static inline struct machine *sample_uefi(void)
{
	struct machine *m = machine_new();
	struct machine_disk *d;

	assert_non_null(m);
	m->systems = 1;
	m->name = machine_text(m, "secure");
	m->uuid = machine_uuid(m, "{0A1B2C3D-0000-1111-2222-333344445555}");
	m->arch = "x86_64";
	m->firmware = MACHINE_FIRMWARE_UEFI;
	m->secure_boot = true;
	m->chipset = MACHINE_CHIPSET_Q35;
	m->tpm = MACHINE_TPM_2_0;
	m->cpus = 2;
	m->sockets = 1;
	m->cores = 2;
	m->memory = (uint64_t)4 << 30;
	m->os = machine_text(m, "windows9-64");
	d = disk_put(m, "sda", MACHINE_BUS_SATA, 0, 0, "c.vmdk");
	d->boot = 1;
	d = disk_put(m, "sr0", MACHINE_BUS_SATA, 0, 3, NULL);
	d->medium = MACHINE_CDROM;
	d->size = 0;
	d->boot = 2;
	assert_int_equal(0, machine_judge(m, NULL));
	return m;
}

#endif
