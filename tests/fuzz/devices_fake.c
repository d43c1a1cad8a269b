/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What stands here in KVM's place is told nothing but may be asked anything.  Chains are counted between virtqueue_pop() and
 * virtqueue_push(): each that was popped is pushed once, before its ring is reset, with no more bytes than it had room for.
 */
#include "devices_fake.h"
#include "linux.h"
#include "net_user.h"
#include "pci.h"
#include "vcpu.h"
#include "virtio_net.h"
#include "virtqueue.h"
#include "workers.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define WORKERS_MAX 32
#define OWED_MAX    256
/* For one input, so that none takes long however often it asks: what the I/O threads do, and what the disk moves and clears. */
#define SERVES_MAX  512
#define DISK_MAX    (64u << 20)
#define PART_COST   64 /* of a buffer, besides its bytes */

struct workers {
	int fds[32];
	unsigned n;
	workers_serve_fn serve;
	void *dev;
};

struct owed {
	const struct virtqueue *q;
	uint16_t head;
	uint64_t room;
};

static struct machine machine;
static struct machine_config config;
static struct workers *all_workers[WORKERS_MAX];
static struct owed owed[OWED_MAX];
static unsigned n_owed;
static bool setting_up;
static struct slot {
	uint8_t *host;
	uint64_t len;
	bool readonly;
} slots[VM_SLOT_FRAMEBUFFER + 1];
static unsigned serves_left;
static uint64_t disk_left;
static uint8_t *ram, disk[FAKE_DISK_BYTES], flash[FAKE_FLASH_BYTES];
static int rom_fd = -1;

/* ---- KVM */

int __wrap_vm_init(struct vm *vm, int kvm, uint64_t ram_bytes, vdisk_error *err);
int __wrap_vm_init(struct vm *vm, int kvm, uint64_t ram_bytes, vdisk_error *err)
{
	(void)kvm;
	(void)err;
	memset(ram, 0, FAKE_RAM_BYTES);
	*vm = (struct vm){ .kvm = -1, .fd = -1, .ram = ram, .ram_bytes = ram_bytes, .low_bytes = ram_bytes };
	return 0;
}

void __wrap_vm_destroy(struct vm *vm);
void __wrap_vm_destroy(struct vm *vm)
{
	(void)vm;
}

int __wrap_vm_slot_set(struct vm *vm, enum vm_slot slot, uint64_t addr, void *host, uint64_t len, bool readonly, vdisk_error *err);
int __wrap_vm_slot_set(struct vm *vm, enum vm_slot slot, uint64_t addr, void *host, uint64_t len, bool readonly, vdisk_error *err)
{
	(void)vm;
	(void)err;
	assert(slot <= VM_SLOT_FRAMEBUFFER && addr <= UINT64_MAX - len && !(addr & 0xfff) && !(len & 0xfff));
	assert(!len || (host && ((uint8_t *)host)[0] <= 255 && ((uint8_t *)host)[len - 1] <= 255)); /* it is all there */
	slots[slot] = (struct slot){ host, len, readonly };
	return 0;
}

uint8_t *fake_slot(enum vm_slot slot, uint64_t *len)
{
	*len = slots[slot].readonly ? 0 : slots[slot].len;
	return slots[slot].host;
}

void __wrap_vm_irq(struct vm *vm, unsigned gsi, bool level);
void __wrap_vm_irq(struct vm *vm, unsigned gsi, bool level)
{
	(void)vm;
	(void)level;
	assert(gsi < 24);
}

void __wrap_vm_msi(struct vm *vm, uint64_t addr, uint32_t data);
void __wrap_vm_msi(struct vm *vm, uint64_t addr, uint32_t data)
{
	(void)vm;
	(void)addr;
	(void)data;
}

bool __wrap_vm_ioeventfd(struct vm *vm, uint64_t addr, int fd, bool on);
bool __wrap_vm_ioeventfd(struct vm *vm, uint64_t addr, int fd, bool on)
{
	(void)vm;
	(void)addr;
	(void)on;
	assert(fd >= 0);
	return false;
}

int __wrap_vcpu_create(struct machine *m, unsigned index, struct vcpu **out, vdisk_error *err);
int __wrap_vcpu_create(struct machine *m, unsigned index, struct vcpu **out, vdisk_error *err)
{
	(void)m;
	(void)index;
	(void)err;
	*out = NULL;
	return 0;
}

int __real_linux_load(struct machine *m, vdisk_error *err);
int __wrap_linux_load(struct machine *m, vdisk_error *err);
int __wrap_linux_load(struct machine *m, vdisk_error *err)
{
	(void)m;
	(void)err;
	return 0;
}

/* Where a processor begins must be memory. */
int __wrap_vcpu_set_long_mode(struct vcpu *cpu, uint64_t gdt, uint64_t cr3, uint64_t rip, uint64_t rsi, vdisk_error *err);
int __wrap_vcpu_set_long_mode(struct vcpu *cpu, uint64_t gdt, uint64_t cr3, uint64_t rip, uint64_t rsi, vdisk_error *err)
{
	(void)cpu;
	(void)err;
	assert(gdt < FAKE_RAM_BYTES && cr3 < FAKE_RAM_BYTES && rip < FAKE_RAM_BYTES && rsi < FAKE_RAM_BYTES);
	return 0;
}

int __wrap_vcpu_set_protected_mode(struct vcpu *cpu, uint64_t gdt, uint32_t eip, uint32_t ebx, vdisk_error *err);
int __wrap_vcpu_set_protected_mode(struct vcpu *cpu, uint64_t gdt, uint32_t eip, uint32_t ebx, vdisk_error *err)
{
	(void)cpu;
	(void)err;
	assert(gdt < FAKE_RAM_BYTES && eip < FAKE_RAM_BYTES && ebx < FAKE_RAM_BYTES);
	return 0;
}

/* ---- threads */

int __real_pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*fn)(void *), void *arg);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*fn)(void *), void *arg);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
	return setting_up ? 0 : __real_pthread_create(t, attr, fn, arg); /* libFuzzer has some, too */
}

int __real_pthread_join(pthread_t t, void **result);
int __wrap_pthread_join(pthread_t t, void **result);
int __wrap_pthread_join(pthread_t t, void **result)
{
	return setting_up ? 0 : __real_pthread_join(t, result);
}

int __wrap_workers_create(const int *fds, unsigned n_fds, unsigned n_threads, workers_serve_fn serve, void *dev,
                          struct workers **out, vdisk_error *err);
int __wrap_workers_create(const int *fds, unsigned n_fds, unsigned n_threads, workers_serve_fn serve, void *dev,
                          struct workers **out, vdisk_error *err)
{
	struct workers *w = calloc(1, sizeof(*w));

	(void)err;
	assert(w && n_threads && n_fds <= 32);
	memcpy(w->fds, fds, n_fds * sizeof(*fds));
	w->n = n_fds;
	w->serve = serve;
	w->dev = dev;
	*out = w;
	for (unsigned i = 0; i < WORKERS_MAX; i++)
		if (!all_workers[i]) {
			all_workers[i] = w;
			return 0;
		}
	abort();
}

void __wrap_workers_destroy(struct workers *w);
void __wrap_workers_destroy(struct workers *w)
{
	for (unsigned i = 0; w && i < WORKERS_MAX; i++)
		if (all_workers[i] == w)
			all_workers[i] = NULL;
	free(w);
}

void fake_pump(void)
{
	for (unsigned i = 0; i < WORKERS_MAX; i++)
		for (unsigned q = 0; all_workers[i] && q < all_workers[i]->n; q++)
			while (serves_left && all_workers[i]->serve(all_workers[i]->dev, q))
				serves_left--;
	if (machine.net)
		virtio_net_turn(machine.net, 0);
	if (n_owed) {
		fprintf(stderr, "%u chains were taken and not given back\n", n_owed);
		abort();
	}
}

/* ---- chains */

static struct owed *owed_find(const struct virtqueue *q, uint16_t head)
{
	for (unsigned i = 0; i < n_owed; i++)
		if (owed[i].q == q && owed[i].head == head)
			return &owed[i];
	return NULL;
}

int __real_virtqueue_pop(struct virtqueue *q, const struct vm *vm, struct chain *chain);
int __wrap_virtqueue_pop(struct virtqueue *q, const struct vm *vm, struct chain *chain);
int __wrap_virtqueue_pop(struct virtqueue *q, const struct vm *vm, struct chain *chain)
{
	int r = __real_virtqueue_pop(q, vm, chain);

	if (r > 0) {
		assert(n_owed < OWED_MAX && chain->n_in <= VIRTQUEUE_MAX && chain->n_out <= VIRTQUEUE_MAX);
		owed[n_owed] = (struct owed){ .q = q, .head = chain->head };
		for (unsigned i = 0; i < chain->n_in; i++)
			owed[n_owed].room += chain->in[i].iov_len;
		n_owed++;
	}
	return r;
}

void __real_virtqueue_push(struct virtqueue *q, uint16_t head, uint32_t written);
void __wrap_virtqueue_push(struct virtqueue *q, uint16_t head, uint32_t written);
void __wrap_virtqueue_push(struct virtqueue *q, uint16_t head, uint32_t written)
{
	struct owed *o = owed_find(q, head);

	if (!o || written > o->room) {
		fprintf(stderr, "chain %u, %s, is given back with %u bytes\n", head, o ? "too small for it" : "which was not taken",
		        written);
		abort();
	}
	*o = owed[--n_owed];
	__real_virtqueue_push(q, head, written);
}

void __real_virtqueue_reset(struct virtqueue *q);
void __wrap_virtqueue_reset(struct virtqueue *q);
void __wrap_virtqueue_reset(struct virtqueue *q)
{
	for (unsigned i = 0; i < n_owed; i++)
		assert(owed[i].q != q);
	__real_virtqueue_reset(q);
}

/* ---- the network: frames come back as they are */

struct net_user {
	net_frame_fn deliver;
	void *ctx;
};

int __wrap_net_user_create(net_frame_fn deliver, void *ctx, struct net_user **out, vdisk_error *err);
int __wrap_net_user_create(net_frame_fn deliver, void *ctx, struct net_user **out, vdisk_error *err)
{
	(void)err;
	*out = calloc(1, sizeof(**out));
	assert(*out);
	**out = (struct net_user){ deliver, ctx };
	return 0;
}

void __wrap_net_user_destroy(struct net_user *n);
void __wrap_net_user_destroy(struct net_user *n)
{
	free(n);
}

void __wrap_net_user_send(struct net_user *n, const uint8_t *frame, size_t len);
void __wrap_net_user_send(struct net_user *n, const uint8_t *frame, size_t len)
{
	n->deliver(n->ctx, frame, len);
}

unsigned __wrap_net_user_poll(struct net_user *n, struct pollfd *fds, unsigned n_fds, unsigned room, int *timeout);
unsigned __wrap_net_user_poll(struct net_user *n, struct pollfd *fds, unsigned n_fds, unsigned room, int *timeout)
{
	(void)n;
	(void)fds;
	(void)room;
	(void)timeout;
	return n_fds;
}

void __wrap_net_user_polled(struct net_user *n, const struct pollfd *fds, bool failed);
void __wrap_net_user_polled(struct net_user *n, const struct pollfd *fds, bool failed)
{
	(void)n;
	(void)fds;
	(void)failed;
}

/* ---- the disk: bytes, whose ranges are checked by us as they are by the library; one that is worn out fails */

static int disk_wear(uint64_t bytes)
{
	if (bytes > disk_left)
		return -1;
	disk_left -= bytes;
	return 0;
}

static int disk_move(const struct iovec *v, int n, uint64_t off, bool in)
{
	for (int i = 0; i < n; i++) {
		if (off > sizeof(disk) || v[i].iov_len > sizeof(disk) - off || disk_wear(PART_COST + v[i].iov_len))
			return -1;
		if (in)
			memmove(v[i].iov_base, disk + off, v[i].iov_len);
		else
			memmove(disk + off, v[i].iov_base, v[i].iov_len);
		off += v[i].iov_len;
	}
	return 0;
}

uint64_t __wrap_vdisk_size(const vdisk_image *img);
uint64_t __wrap_vdisk_size(const vdisk_image *img)
{
	(void)img;
	return sizeof(disk);
}

bool __wrap_vdisk_is_writable(const vdisk_image *img);
bool __wrap_vdisk_is_writable(const vdisk_image *img)
{
	(void)img;
	return true;
}

int __wrap_vdisk_pread(vdisk_image *img, void *buf, size_t len, uint64_t off, vdisk_error *err);
int __wrap_vdisk_pread(vdisk_image *img, void *buf, size_t len, uint64_t off, vdisk_error *err)
{
	struct iovec v = { buf, len };

	(void)img;
	(void)err;
	return disk_move(&v, 1, off, true);
}

int __wrap_vdisk_preadv(vdisk_image *img, const struct iovec *v, int n, uint64_t off, vdisk_error *err);
int __wrap_vdisk_preadv(vdisk_image *img, const struct iovec *v, int n, uint64_t off, vdisk_error *err)
{
	(void)img;
	(void)err;
	return disk_move(v, n, off, true);
}

int __wrap_vdisk_pwritev(vdisk_image *img, const struct iovec *v, int n, uint64_t off, vdisk_error *err);
int __wrap_vdisk_pwritev(vdisk_image *img, const struct iovec *v, int n, uint64_t off, vdisk_error *err)
{
	(void)img;
	(void)err;
	return disk_move(v, n, off, false);
}

int __wrap_vdisk_zero(vdisk_image *img, uint64_t off, uint64_t len, vdisk_error *err);
int __wrap_vdisk_zero(vdisk_image *img, uint64_t off, uint64_t len, vdisk_error *err)
{
	(void)img;
	(void)err;
	assert(off <= sizeof(disk) && len <= sizeof(disk) - off);
	if (disk_wear(PART_COST + len))
		return -1;
	memset(disk + off, 0, len);
	return 0;
}

int __wrap_vdisk_discard(vdisk_image *img, uint64_t off, uint64_t len, vdisk_error *err);
int __wrap_vdisk_discard(vdisk_image *img, uint64_t off, uint64_t len, vdisk_error *err)
{
	return __wrap_vdisk_zero(img, off, len, err);
}

int __wrap_vdisk_flush(vdisk_image *img, vdisk_error *err);
int __wrap_vdisk_flush(vdisk_image *img, vdisk_error *err)
{
	(void)img;
	(void)err;
	return 0;
}

/* ---- the machine */

/* 'A' as it stands in a video BIOS, by which a font is found; the first is no font's. */
static void font_put(int fd)
{
	static const uint8_t letter_a[16] = { 0x00, 0x00, 0x10, 0x38, 0x6c, 0xc6, 0xc6, 0xfe, 0xc6, 0xc6, 0xc6, 0xc6 };

	assert(pwrite(fd, letter_a, sizeof(letter_a), 0x100) == sizeof(letter_a));
	assert(pwrite(fd, letter_a, sizeof(letter_a), 0x4000 + 'A' * 16) == sizeof(letter_a));
}

static void memory_get(void)
{
	if (ram)
		return;
	ram = aligned_alloc(4096, FAKE_RAM_BYTES);
	rom_fd = memfd_create("rom", MFD_CLOEXEC);
	assert(ram && rom_fd >= 0 && !ftruncate(rom_fd, 0x20000));
	font_put(rom_fd);
}

struct machine *fake_begin(enum bus_kind bus, bool firmware)
{
	vdisk_error err;

	memory_get();
	memset(disk, 0x5a, sizeof(disk));
	memset(flash, 0xff, sizeof(flash));
	memset(slots, 0, sizeof(slots));
	serves_left = SERVES_MAX;
	disk_left = DISK_MAX;
	config = (struct machine_config){ .mem_bytes = FAKE_RAM_BYTES, .n_cpus = 2, .serial_fd = -1, .n_disks = 1, .bus = bus,
		.nic.user = true };
	config.disks[0] = (vdisk_image *)disk; /* nobody looks into it */
	for (unsigned i = 0; i < FILES; i++)
		config.fds[i] = -1;
	if (firmware) {
		config.bios = config.video_bios = "rom";
		config.fds[FILE_BIOS] = config.fds[FILE_VIDEO_BIOS] = rom_fd;
		config.variables = flash;
		config.variables_bytes = sizeof(flash);
	}
	setting_up = true;
	int r = machine_init(&machine, &config, &err) || (firmware && pci_assign(machine.pci, &err));
	setting_up = false;
	if (r) {
		fprintf(stderr, "no machine: %s\n", err.message);
		abort();
	}
	return &machine;
}

/* Of a bzImage all is where its entry expects it, whatever was loaded after it. */
static void bzimage_check(const uint8_t *bytes, size_t n)
{
	size_t setup = ((bytes[0x1f1] ? bytes[0x1f1] : 4u) + 1) * 512u;

	assert(setup < n && n - setup <= FAKE_RAM_BYTES - 0x100000 && !memcmp(ram + 0x100000, bytes + setup, n - setup));
	assert(!memcmp(ram + 0x8000 + 0x202, "HdrS", 4) && !memcmp(ram + 0x10000, config.append, strlen(config.append) + 1));
}

void fake_kernel(const uint8_t *bytes, size_t n)
{
	int fd = memfd_create("kernel", MFD_CLOEXEC);
	vdisk_error err = { 0 };

	assert(fd >= 0 && write(fd, bytes, n) == (ssize_t)n);
	config.kernel = config.initrd = "kernel";
	config.append = "console=ttyS0";
	config.fds[FILE_KERNEL] = config.fds[FILE_INITRD] = fd;
	if (__real_linux_load(&machine, &err))
		assert(err.kind != VDISK_OK && err.message[0] && !strchr(err.message, '\n'));
	else if (bytes[0] != 0x7f) /* an ELF file's segments go where they say */
		bzimage_check(bytes, n);
	close(fd);
}

void fake_end(void)
{
	setting_up = true;
	machine_destroy(&machine);
	setting_up = false;
	assert(!n_owed);
}
