/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The host bus adapter's and the ports' registers.  A command's way: a write to PxCI wakes a thread, which picks a slot
 * (port_pick), has it done (ahci_command.c) without the lock, and completes it (port_complete).
 *
 * Queued commands run side by side; any other runs alone.  After a failed one nothing more is picked until the driver stops the
 * port.  Stopping and resetting wait for what is under way, since that uses the guest's memory.
 *
 * `lock` guards everything below, between the machine's lock and the bus's line lock; the disks are guarded by the rule above.
 */
#include "ahci.h"
#include "ahci_command.h"
#include "common/numbers.h"
#include "msi.h"
#include "workers.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define ABAR_BYTES 0x1000u
#define PORTS_AT   0x100u
#define PORT_BYTES 0x80u
#define THREADS    8

enum { HBA_CAP = 0x00, HBA_GHC = 0x04, HBA_IS = 0x08, HBA_PI = 0x0c, HBA_VS = 0x10 };
enum {
	PORT_CLB = 0x00, PORT_CLBU = 0x04, PORT_FB = 0x08, PORT_FBU = 0x0c, PORT_IS = 0x10, PORT_IE = 0x14, PORT_CMD = 0x18,
	PORT_TFD = 0x20, PORT_SIG = 0x24, PORT_SSTS = 0x28, PORT_SCTL = 0x2c, PORT_SERR = 0x30, PORT_SACT = 0x34, PORT_CI = 0x38,
};

#define GHC_HR 0x00000001u
#define GHC_IE 0x00000002u
#define GHC_AE 0x80000000u

#define CMD_ST       0x00000001u
#define CMD_CLO      0x00000008u
#define CMD_FRE      0x00000010u
#define CMD_FR       0x00004000u
#define CMD_CR       0x00008000u
#define CMD_WRITABLE 0x0f000017u /* ICC, DLAE, ATAPI, ...; ST, SUD, POD, FRE */
#define CMD_POWER    0x00000006u /* SUD, POD */

#define SIG_DISK     0x00000101u
#define SSTS_UP      0x00000133u /* a device, 6 Gb/s, active */
#define TFD_RESET    0x00000150u /* diagnostics passed; ready */

struct ahci_port {
	uint64_t list, fis;  /* where the guest has its command list and what it receives */
	uint32_t is, ie, cmd, tfd, sig, sctl, serr, sact, ci;
	uint32_t running;    /* slots under way */
	bool alone;          /* the one that runs is not queued */
	bool failed;
	bool soft_reset;     /* between the two FISes of one */
	bool greeted;        /* the driver was sent the FIS of the last reset */
	unsigned next;       /* slot to look at first */
	int kick_fd;
	struct ata_disk disk;
};

struct ahci {
	struct pci_dev dev; /* first */
	pthread_mutex_t lock;
	pthread_cond_t idle;
	uint32_t ghc, is;
	unsigned msi_cap;
	bool msi_on, line_off;
	uint64_t msi_addr;
	uint32_t msi_data;
	unsigned n_ports;
	struct ahci_port ports[MACHINE_DISKS_MAX];
	struct workers *workers;
};

static struct vm *ahci_vm(struct ahci *a)
{
	return &pci_machine(a->dev.pci)->vm;
}

/* ---- interrupts */

/* `event`: something new happened, which a message tells of; the line just follows. */
static void irq_update(struct ahci *a, bool event)
{
	for (unsigned i = 0; i < a->n_ports; i++)
		if (a->ports[i].is & a->ports[i].ie)
			a->is |= 1u << i;
	bool level = a->is && a->ghc & GHC_IE;
	if (level && event && a->msi_on)
		vm_msi(ahci_vm(a), a->msi_addr, a->msi_data);
	pci_line_set(&a->dev, level && !a->msi_on && !a->line_off);
}

static void config_written(struct pci_dev *dev, unsigned off, unsigned size)
{
	struct ahci *a = (struct ahci *)dev;

	(void)off;
	(void)size;
	pthread_mutex_lock(&a->lock);
	bool was = a->msi_on;
	a->msi_on = msi_get(dev, a->msi_cap, &a->msi_addr, &a->msi_data);
	a->line_off = dev->config[5] & 4;
	irq_update(a, !was);
	pthread_mutex_unlock(&a->lock);
}

/* ---- FISes that the guest receives */

static void fis_write(struct ahci *a, const struct ahci_port *p, const struct ahci_fis *fis)
{
	if (p->cmd & CMD_FRE)
		vm_write(ahci_vm(a), p->fis + fis->at, fis->bytes, fis->len); /* elsewhere than in memory: lost */
}

/* The device's first word after a reset, once there is a place for it. */
static void port_greet(struct ahci *a, struct ahci_port *p)
{
	static const struct ata_result ready = { .status = ATA_STATUS_READY, .error = 1, .count = 1, .lba = 1 };
	struct ahci_fis fis;

	if (p->greeted || !(p->cmd & CMD_FRE))
		return;
	p->greeted = true;
	ahci_fis_registers(&fis, &ready, 0);
	fis_write(a, p, &fis);
}

/* ---- commands */

static void port_kick(struct ahci_port *p)
{
	uint64_t one = 1;

	if (write(p->kick_fd, &one, sizeof(one)) < 0)
		return; /* its counter is full: it is awake anyway */
}

static void port_fail(struct ahci_port *p, uint32_t cause)
{
	p->failed = true;
	p->is |= cause;
}

/* A FIS with the device control register, which has no answer but at the end of a soft reset. */
static void port_control(struct ahci *a, struct ahci_port *p, const uint8_t *fis)
{
	bool reset = fis[15] & 4;

	if (!reset && p->soft_reset) {
		ata_reset(&p->disk);
		p->tfd = TFD_RESET;
		p->sig = SIG_DISK;
		p->greeted = false;
		port_greet(a, p);
	}
	p->soft_reset = reset;
}

static bool slot_ready(const struct ahci_port *p, unsigned slot, const struct ahci_command *c)
{
	/* A queued command waits for its bit in PxSACT, which is set first; whatever runs alone waits for the others. */
	if (c->ata.queued)
		return !p->alone && p->sact & 1u << slot;
	return !p->running;
}

/* The next slot that can begin now.  Takes it off PxCI as the protocol has it. */
static int port_pick(struct ahci *a, struct ahci_port *p, struct ahci_command *c)
{
	for (unsigned i = 0; i < 32; i++) {
		unsigned slot = (p->next + i) % 32;

		if (!(p->cmd & CMD_ST) || p->failed || p->alone)
			return -1;
		if (!(p->ci & ~p->running & 1u << slot))
			continue;
		if (ahci_command_fetch(c, ahci_vm(a), p->list, slot)) {
			port_fail(p, AHCI_IS_HOST_FATAL);
			irq_update(a, true);
			return -1;
		}
		if (c->control) {
			if (p->running)
				continue;
			port_control(a, p, c->fis);
			p->ci &= ~(1u << slot);
			continue;
		}
		if (!slot_ready(p, slot, c))
			continue;
		p->next = c->ata.queued ? (slot + 1) % 32 : slot + 1;
		p->running |= 1u << slot;
		p->alone = !c->ata.queued;
		if (c->ata.queued)
			p->ci &= ~(1u << slot); /* accepted: the slot is the device's now */
		else
			p->tfd |= 0x80; /* busy */
		return (int)slot;
	}
	return -1;
}

static void port_complete(struct ahci *a, struct ahci_port *p, unsigned slot, const struct ahci_command *c,
                          const struct ata_result *r)
{
	struct ahci_fis fis;

	if (c->ata.queued) {
		ahci_fis_bits(&fis, r, r->status & ATA_STATUS_ERR ? 0 : 1u << slot);
		if (!(r->status & ATA_STATUS_ERR))
			p->sact &= ~(1u << slot);
	} else {
		ahci_command_moved(ahci_vm(a), p->list, slot, r->moved);
		if (c->ata.transfer == ATA_PIO_IN && !(r->status & ATA_STATUS_ERR))
			ahci_fis_pio(&fis, r, c->ata.device);
		else
			ahci_fis_registers(&fis, r, c->ata.device);
		if (!(r->status & ATA_STATUS_ERR))
			p->ci &= ~(1u << slot);
	}
	fis_write(a, p, &fis);
	p->tfd = (uint32_t)r->error << 8 | r->status;
	p->is |= fis.cause;
	if (r->status & ATA_STATUS_ERR) {
		if (c->ata.queued)
			ata_queue_failed(&p->disk, &c->ata, r);
		p->cmd = (p->cmd & ~0x1f00u) | slot << 8;
		port_fail(p, AHCI_IS_TASK_FILE);
	}
	irq_update(a, true);
}

static bool port_serve(void *dev, unsigned i)
{
	struct ahci *a = dev;
	struct ahci_port *p = &a->ports[i];
	struct ahci_command c;
	struct ata_result r;

	pthread_mutex_lock(&a->lock);
	int slot = port_pick(a, p, &c);
	if (slot >= 0 && c.ata.queued && p->ci & ~p->running)
		port_kick(p);
	pthread_mutex_unlock(&a->lock);
	if (slot < 0)
		return false;
	ahci_command_perform(&c, ahci_vm(a), &p->disk, &r);
	pthread_mutex_lock(&a->lock);
	p->running &= ~(1u << slot);
	p->alone = false;
	if (!p->failed) /* one that failed took the others with it */
		port_complete(a, p, (unsigned)slot, &c, &r);
	if (!p->running)
		pthread_cond_broadcast(&a->idle);
	pthread_mutex_unlock(&a->lock);
	return true;
}

/* ---- resets */

/* Nothing is picked, and nothing is under way, afterwards. */
static void port_stop(struct ahci *a, struct ahci_port *p)
{
	p->cmd &= ~CMD_ST;
	while (p->running)
		pthread_cond_wait(&a->idle, &a->lock);
	p->ci = p->sact = 0;
	p->failed = p->soft_reset = false;
	p->next = 0;
	p->cmd &= ~0x1f00u;
}

static void port_reset(struct ahci *a, struct ahci_port *p)
{
	port_stop(a, p);
	ata_reset(&p->disk);
	p->tfd = TFD_RESET;
	p->sig = SIG_DISK;
	p->serr = 0;
	p->greeted = false;
	port_greet(a, p);
}

static void hba_reset(struct ahci *a)
{
	for (unsigned i = 0; i < a->n_ports; i++) {
		struct ahci_port *p = &a->ports[i];

		port_stop(a, p); /* what is under way still needs the registers */
		p->cmd = CMD_POWER;
		p->is = p->ie = p->sctl = 0;
		p->list = p->fis = 0;
		port_reset(a, p);
	}
	a->is = 0;
	a->ghc = GHC_AE;
	irq_update(a, false);
}

/* ---- registers */

static uint32_t port_read(const struct ahci_port *p, unsigned reg)
{
	switch (reg) {
	case PORT_CLB: return (uint32_t)p->list;
	case PORT_CLBU: return (uint32_t)(p->list >> 32);
	case PORT_FB: return (uint32_t)p->fis;
	case PORT_FBU: return (uint32_t)(p->fis >> 32);
	case PORT_IS: return p->is;
	case PORT_IE: return p->ie;
	case PORT_CMD: return p->cmd | (p->cmd & CMD_ST ? CMD_CR : 0) | (p->cmd & CMD_FRE ? CMD_FR : 0);
	case PORT_TFD: return p->tfd;
	case PORT_SIG: return p->sig;
	case PORT_SSTS: return p->sctl & 15 ? 0 : SSTS_UP;
	case PORT_SCTL: return p->sctl;
	case PORT_SERR: return p->serr;
	case PORT_SACT: return p->sact;
	case PORT_CI: return p->ci;
	default: return 0;
	}
}

static void port_command(struct ahci *a, struct ahci_port *p, uint32_t v)
{
	uint32_t was = p->cmd;

	if (was & CMD_ST && !(v & CMD_ST))
		port_stop(a, p);
	p->cmd = (p->cmd & ~CMD_WRITABLE) | (v & CMD_WRITABLE & 0x0fffffffu);
	if (v & CMD_CLO && !(was & CMD_ST))
		p->tfd &= ~0x88u;
	port_greet(a, p);
	if (p->cmd & CMD_ST)
		port_kick(p);
}

static void port_control_write(struct ahci *a, struct ahci_port *p, uint32_t v)
{
	bool was = p->sctl & 15;

	p->sctl = v & 0xfff;
	if (v & 15 && !was) {
		port_stop(a, p);
		p->tfd = 0x7f; /* nothing there */
		p->sig = 0xffffffff;
	} else if (was && !(v & 15)) {
		port_reset(a, p);
	}
}

static void half_set(uint64_t *v, bool high, uint32_t bits, uint32_t mask)
{
	*v = high ? (uint32_t)*v | (uint64_t)bits << 32 : (*v & 0xffffffff00000000ull) | (bits & mask);
}

static void port_write(struct ahci *a, struct ahci_port *p, unsigned reg, uint32_t v)
{
	switch (reg) {
	case PORT_CLB:
	case PORT_CLBU: half_set(&p->list, reg == PORT_CLBU, v, ~0x3ffu); break;
	case PORT_FB:
	case PORT_FBU: half_set(&p->fis, reg == PORT_FBU, v, ~0xffu); break;
	case PORT_IS: p->is &= ~v; irq_update(a, false); break;
	case PORT_IE: p->ie = v; irq_update(a, p->is & v); break;
	case PORT_CMD: port_command(a, p, v); break;
	case PORT_SCTL: port_control_write(a, p, v); break;
	case PORT_SERR: p->serr &= ~v; break;
	case PORT_SACT:
		if (p->cmd & CMD_ST)
			p->sact |= v;
		break;
	case PORT_CI:
		if (p->cmd & CMD_ST) {
			p->ci |= v;
			port_kick(p);
		}
		break;
	}
}

static uint32_t hba_read(const struct ahci *a, unsigned reg)
{
	switch (reg) {
	/* 64-bit addresses, queueing, command list override, generation 3, AHCI alone, 32 slots, ports */
	case HBA_CAP: return 0x80000000u | 0x40000000u | 0x01000000u | 3u << 20 | 0x00040000u | 31u << 8 | (a->n_ports - 1);
	case HBA_GHC: return a->ghc;
	case HBA_IS: return a->is;
	case HBA_PI: return (1u << a->n_ports) - 1;
	case HBA_VS: return 0x00010300;
	default: return 0;
	}
}

static void hba_write(struct ahci *a, unsigned reg, uint32_t v)
{
	if (reg == HBA_GHC && v & GHC_HR) {
		hba_reset(a);
	} else if (reg == HBA_GHC) {
		a->ghc = (v & GHC_IE) | GHC_AE;
		irq_update(a, true);
	} else if (reg == HBA_IS) {
		a->is &= ~v;
		irq_update(a, true); /* what is still there is told again */
	}
}

static uint64_t abar_read(void *opaque, uint64_t off, unsigned size)
{
	struct ahci *a = opaque;
	unsigned reg = (unsigned)off & ~3u, port = (reg - PORTS_AT) / PORT_BYTES;
	uint64_t v;

	pthread_mutex_lock(&a->lock);
	if (reg < PORTS_AT)
		v = hba_read(a, reg) | (size == 8 ? (uint64_t)hba_read(a, reg + 4) << 32 : 0);
	else if (port < a->n_ports)
		v = port_read(&a->ports[port], reg % PORT_BYTES) |
		    (size == 8 ? (uint64_t)port_read(&a->ports[port], (reg + 4) % PORT_BYTES) << 32 : 0);
	else
		v = 0;
	pthread_mutex_unlock(&a->lock);
	return v >> 8 * (off & 3);
}

static void abar_write(void *opaque, uint64_t off, unsigned size, uint64_t value)
{
	struct ahci *a = opaque;
	unsigned port = ((unsigned)off - PORTS_AT) / PORT_BYTES;

	if (off & 3 || size < 4)
		return; /* registers are written as a whole */
	pthread_mutex_lock(&a->lock);
	for (unsigned i = 0; i < size; i += 4, off += 4, value >>= 32) {
		if (off < PORTS_AT)
			hba_write(a, (unsigned)off, (uint32_t)value);
		else if (port < a->n_ports)
			port_write(a, &a->ports[port], (unsigned)off % PORT_BYTES, (uint32_t)value);
	}
	pthread_mutex_unlock(&a->lock);
}

/* ---- the device */

static int ports_init(struct ahci *a, const struct machine *m, int fds[MACHINE_DISKS_MAX], vdisk_error *err)
{
	a->n_ports = m->config->n_disks;
	for (unsigned i = 0; i < MACHINE_DISKS_MAX; i++)
		a->ports[i].kick_fd = -1;
	for (unsigned i = 0; i < a->n_ports; i++) {
		struct ahci_port *p = &a->ports[i];

		ata_init(&p->disk, i, m->config->disks[i]);
		fds[i] = p->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (p->kick_fd < 0)
			return fail_errno(err, "eventfd");
	}
	return 0;
}

int ahci_create(struct machine *m, unsigned slot, struct ahci **out, vdisk_error *err)
{
	struct ahci *a = calloc(1, sizeof(*a));
	int fds[MACHINE_DISKS_MAX];

	if (!a)
		return fail(err, VDISK_NOMEM, "out of memory");
	*out = a;
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->idle, NULL);
	if (ports_init(a, m, fds, err))
		return -1;
	pci_dev_init(&a->dev, 0x8086, 0x2922, 0x010601, 0x1af4, 0x1100);
	a->dev.config[0x08] = 2;
	a->dev.config[0x3d] = 1; /* pin A */
	a->msi_cap = msi_add(&a->dev);
	a->dev.config_written = config_written;
	a->dev.bars[5] = (struct pci_bar){ .size = ABAR_BYTES, .name = "AHCI", .read = abar_read, .write = abar_write };
	if (pci_add(m->pci, &a->dev, slot, 0, err))
		return -1;
	pthread_mutex_lock(&a->lock);
	hba_reset(a);
	pthread_mutex_unlock(&a->lock);
	return workers_create(fds, a->n_ports, THREADS, port_serve, a, &a->workers, err);
}

void ahci_destroy(struct ahci *a)
{
	if (!a)
		return;
	workers_destroy(a->workers);
	for (unsigned i = 0; i < MACHINE_DISKS_MAX; i++)
		if (a->ports[i].kick_fd >= 0)
			close(a->ports[i].kick_fd);
	pthread_cond_destroy(&a->idle);
	pthread_mutex_destroy(&a->lock);
	free(a);
}
