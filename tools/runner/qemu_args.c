/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * As near to the own machine as QEMU's models come: i440FX, one serial line, VGA, no defaults.  Names of files are the user's: a
 * comma in one is doubled, as QEMU wants it.
 */
#include "qemu_args.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add(struct qemu_args *a, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct qemu_args *a, const char *format, ...)
{
	char *word = NULL;
	va_list ap;

	va_start(ap, format);
	if (vasprintf(&word, format, ap) < 0)
		word = NULL;
	va_end(ap);
	if (!word || a->n == QEMU_ARGS_MAX) {
		free(word);
		a->failed = true;
		return;
	}
	a->words[a->n++] = word;
}

/* `path` as a value among others that commas part. */
static void add_path(struct qemu_args *a, const char *before, const char *path)
{
	size_t n = strlen(before);
	char *word = malloc(n + 2 * strlen(path) + 1), *p = word + n;

	if (!word) {
		a->failed = true;
		return;
	}
	memcpy(word, before, n);
	for (; *path; path++) {
		*p++ = *path;
		if (*path == ',')
			*p++ = ',';
	}
	*p = '\0';
	add(a, "%s", word);
	free(word);
}

static void disks_add(struct qemu_args *a, const struct machine_config *m, const struct qemu_fds *fds)
{
	static const char *const devices[] = {
		[BUS_VIRTIO_BLK] = "virtio-blk-pci", [BUS_AHCI] = "ide-hd", [BUS_VIRTIO_SCSI] = "scsi-hd", [BUS_IDE] = "ide-hd"
	};

	for (unsigned i = 0; i < m->n_disks; i++) {
		char order[32] = ""; /* a kernel that was said comes before all disks */

		if (!m->kernel)
			snprintf(order, sizeof(order), ",bootindex=%u", i);
		if (m->bus == BUS_AHCI && i % 6 == 0) {
			add(a, "-device");
			add(a, "ich9-ahci,id=ahci%u", i / 6);
		}
		if (m->bus == BUS_VIRTIO_SCSI && i == 0) {
			add(a, "-device");
			add(a, "virtio-scsi-pci,id=scsi");
		}
		add(a, "-blockdev");
		add(a, "driver=nbd,node-name=disk%u,server.type=fd,server.str=%d,discard=unmap,detect-zeroes=off", i,
		    fds->disks[i]);
		add(a, "-device");
		switch (m->bus) {
		case BUS_AHCI:
			add(a, "%s,drive=disk%u,serial=vdisk%u,bus=ahci%u.%u%s", devices[m->bus], i, i, i / 6, i % 6, order);
			break;
		case BUS_IDE:
			add(a, "%s,drive=disk%u,serial=vdisk%u,bus=ide.%u,unit=%u%s", devices[m->bus], i, i, i / 2, i % 2, order);
			break;
		default:
			add(a, "%s,drive=disk%u,serial=vdisk%u%s", devices[m->bus], i, i, order);
		}
	}
}

static void nic_add(struct qemu_args *a, const struct nic_config *nic)
{
	if (!nic->user)
		return;
	add(a, "-netdev");
	add(a, "user,id=net");
	add(a, "-device");
	add(a, "%s,netdev=net%s%s", nic->model ? nic->model : "virtio-net-pci", *nic->mac ? ",mac=" : "", nic->mac);
}

static void firmware_add(struct qemu_args *a, const struct machine_config *m, const char *variables)
{
	if (m->kernel) {
		add(a, "-kernel");
		add(a, "%s", m->kernel);
		if (m->initrd) {
			add(a, "-initrd");
			add(a, "%s", m->initrd);
		}
		add(a, "-append");
		add(a, "%s", m->append ? m->append : "");
	}
	if (m->variables) {
		add(a, "-drive");
		add_path(a, "if=pflash,unit=0,format=raw,readonly=on,file=", m->bios);
		add(a, "-drive");
		add_path(a, "if=pflash,unit=1,format=raw,file=", variables);
	}
	if (m->debug_log) {
		add(a, "-chardev");
		add_path(a, "file,id=debug,append=on,path=", m->debug_log);
		add(a, "-device");
		add(a, "isa-debugcon,iobase=0x402,chardev=debug");
	}
}

int qemu_args_make(struct qemu_args *a, const struct engine_config *config, const struct qemu_fds *fds, const char *variables,
                   const char *log, vdisk_error *err)
{
	const struct machine_config *m = config->machine;
	static const char *const fixed[] = {
		"-nodefaults", "-no-user-config", "-display", "none", "-vga", "std", "-no-reboot", "-machine", "pc", "-sandbox",
		"on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
	};

	*a = (struct qemu_args){ 0 };
	if (m->bus == BUS_IDE && m->n_disks > 4)
		return fail(err, VDISK_INVALID, "%u disks: the bus ide has room for 4", m->n_disks);
	add(a, "%s", config->program);
	for (unsigned i = 0; i < sizeof(fixed) / sizeof(*fixed); i++)
		add(a, "%s", fixed[i]);
	add(a, "-accel");
	add(a, "%s", config->accelerated ? "kvm" : "tcg,thread=multi");
	add(a, "-cpu");
	add(a, "%s", config->accelerated ? "host" : "max");
	add(a, "-smp");
	add(a, "%u", m->n_cpus);
	add(a, "-m");
	add(a, "%" PRIu64, m->mem_bytes >> 20);
	add(a, "-chardev");
	add(a, "socket,id=serial,fd=%d", fds->serial);
	add(a, "-serial");
	add(a, "chardev:serial");
	add(a, "-chardev");
	add(a, "socket,id=qmp,fd=%d", fds->qmp);
	add(a, "-mon");
	add(a, "chardev=qmp,mode=control");
	add(a, "-d"); /* tells of triple faults, which its events do not */
	add(a, "cpu_reset");
	add(a, "-D");
	add(a, "%s", log);
	firmware_add(a, m, variables);
	disks_add(a, m, fds);
	nic_add(a, &m->nic);
	return a->failed ? fail(err, VDISK_NOMEM, "out of memory") : 0;
}

void qemu_args_destroy(struct qemu_args *a)
{
	for (unsigned i = 0; i < a->n; i++)
		free(a->words[i]);
	*a = (struct qemu_args){ 0 };
}
