/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Putting the parts together, in the order in which they need each other; taking them apart in the opposite one: first the threads
 * (processors, then disks), then what they used.
 */
#include "machine.h"
#include "ahci.h"
#include "chipset.h"
#include "firmware.h"
#include "flash.h"
#include "fwcfg.h"
#include "i8042.h"
#include "linux.h"
#include "pci.h"
#include "pm.h"
#include "ports.h"
#include "rtc.h"
#include "serial.h"
#include "vcpu.h"
#include "vga.h"
#include "virtio_blk.h"
#include "virtio_net.h"
#include "virtio_rng.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static int devices_create(struct machine *m, vdisk_error *err)
{
	if (serial_create(m, &m->serial, err) || rtc_create(m, &m->rtc, err) || i8042_create(m, &m->i8042, err) ||
	    ports_create(m, &m->ports, err))
		return -1;
	if (m->config->bios && firmware_create(m, &m->firmware, err))
		return -1;
	uint64_t rom_bytes;
	void *rom = firmware_bytes(m->firmware, &rom_bytes);
	const struct machine_config *c = m->config;
	if (c->variables &&
	    flash_create(m, VM_HIGH_BASE - rom_bytes - c->variables_bytes, c->variables, c->variables_bytes, &m->flash, err))
		return -1;
	if (pci_create(m, &m->pci, err) || chipset_create(m, rom, rom_bytes, &m->chipset, err) || pm_create(m, &m->pm, err))
		return -1;
	if (rom && (vga_create(m, m->config->video_bios, &m->vga, err) || fwcfg_create(m, &m->fwcfg, err) || firmware_tell(m, err)))
		return -1;
	if (virtio_rng_create(m, MACHINE_RNG_SLOT, &m->rng, err) ||
	    (c->nic.user && virtio_net_create(m, MACHINE_NIC_SLOT, c->nic.mac, &m->net, err)))
		return -1;
	if (m->config->bus == BUS_AHCI && m->config->n_disks)
		return ahci_create(m, MACHINE_DISKS_SLOT, &m->ahci, err);
	for (unsigned i = 0; i < m->config->n_disks; i++)
		if (virtio_blk_create(m, MACHINE_DISKS_SLOT + i, i, m->config->disks[i], &m->disks[i], err))
			return -1;
	return 0;
}

int machine_init(struct machine *m, const struct machine_config *config, vdisk_error *err)
{
	*m = (struct machine){ .config = config, .vm = { .kvm = -1, .fd = -1 } };
	pthread_mutex_init(&m->lock, NULL);
	pthread_mutex_init(&m->stop_lock, NULL);
	m->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (m->stop_fd < 0)
		return fail_errno(err, "eventfd");
	if (vm_init(&m->vm, config->fds[FILE_KVM], config->mem_bytes, err) || devices_create(m, err))
		return -1;
	for (unsigned i = 0; i < config->n_cpus; i++)
		if (vcpu_create(m, i, &m->vcpus[i], err))
			return -1;
	if (config->bios)
		return 0;
	chipset_route_default(m->chipset);
	return pci_assign(m->pci, err) || linux_load(m, err) ? -1 : 0;
}

int machine_start(struct machine *m, vdisk_error *err)
{
	for (unsigned i = 0; i < m->config->n_cpus; i++)
		if (vcpu_start(m->vcpus[i], err))
			return -1;
	return 0;
}

void machine_destroy(struct machine *m)
{
	/* A device may hold its thread until the machine stops (serial.c); whoever ends a machine need not have stopped it. */
	if (m->stop_fd >= 0)
		machine_stop(m, MACHINE_QUIT, "taken apart");
	for (unsigned i = 0; i < MACHINE_CPUS_MAX; i++)
		vcpu_destroy(m->vcpus[i]);
	for (unsigned i = 0; i < MACHINE_DISKS_MAX; i++)
		virtio_blk_destroy(m->disks[i]);
	ahci_destroy(m->ahci);
	virtio_net_destroy(m->net);
	virtio_rng_destroy(m->rng);
	fwcfg_destroy(m->fwcfg);
	vga_destroy(m->vga);
	flash_destroy(m->flash);
	pm_destroy(m->pm);
	chipset_destroy(m->chipset);
	pci_destroy(m->pci);
	ports_destroy(m->ports);
	i8042_destroy(m->i8042);
	rtc_destroy(m->rtc);
	serial_destroy(m->serial);
	bus_destroy(&m->pio);
	bus_destroy(&m->mmio);
	vm_destroy(&m->vm);
	firmware_destroy(m->firmware);
	if (m->stop_fd >= 0)
		close(m->stop_fd);
	pthread_mutex_destroy(&m->stop_lock);
	pthread_mutex_destroy(&m->lock);
	*m = (struct machine){ .vm = { .kvm = -1, .fd = -1 }, .stop_fd = -1 };
}

void machine_stop(struct machine *m, enum machine_stop stop, const char *format, ...)
{
	uint64_t one = 1;
	va_list ap;

	pthread_mutex_lock(&m->stop_lock);
	if (!m->stop) {
		m->stop = stop;
		va_start(ap, format);
		vsnprintf(m->cause, sizeof(m->cause), format, ap);
		va_end(ap);
		if (write(m->stop_fd, &one, sizeof(one)) < 0)
			m->cause[0] = '\0'; /* cannot be: an eventfd takes a first 1 */
	}
	pthread_mutex_unlock(&m->stop_lock);
}

enum machine_stop machine_stopped(struct machine *m, char cause[256])
{
	pthread_mutex_lock(&m->stop_lock);
	enum machine_stop stop = m->stop;
	if (cause)
		memcpy(cause, m->cause, sizeof(m->cause));
	pthread_mutex_unlock(&m->stop_lock);
	return stop;
}
