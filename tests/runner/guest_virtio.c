/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Devices over virtio: a disk, one that is treated badly, random numbers and the network.  All are driven by polling, one at a
   time. */
#include "guest.h"

struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};

static struct ring {
	struct desc desc[256] __attribute__((aligned(4096)));
	volatile uint16_t avail[4 + 256];
	volatile uint16_t used[4096] __attribute__((aligned(4096)));
} ring, ring1;

static struct {
	uint32_t type, zero;
	uint64_t sector;
} header;
static uint8_t data[4096], status;

#define BASE 0xe1000000u /* where BAR 4 is put */

static volatile uint8_t *reg8(unsigned off) { return (volatile uint8_t *)(uintptr_t)(BASE + off); }
static volatile uint16_t *reg16(unsigned off) { return (volatile uint16_t *)(uintptr_t)(BASE + off); }
static volatile uint32_t *reg32(unsigned off) { return (volatile uint32_t *)(uintptr_t)(BASE + off); }

static void queue_address(unsigned off, volatile void *p)
{
	*reg32(off) = (uint32_t)(uintptr_t)p;
	*reg32(off + 4) = 0;
}

static void queue_begin(uint16_t n, struct ring *r)
{
	for (unsigned i = 0; i < 4; i++)
		r->used[i] = r->avail[i] = 0;
	*reg16(22) = n;
	queue_address(32, r->desc);
	queue_address(40, r->avail);
	queue_address(48, r->used);
	*reg16(28) = 1;
}

/* A virtio device with one queue or two. */
static void virtio_begin(unsigned devfn, unsigned queues)
{
	pci_set(devfn, 0x04, 0);
	pci_set(devfn, 0x20, BASE);
	pci_set(devfn, 0x04, 6);
	*reg8(20) = 0;
	while (*reg8(20))
		;
	*reg8(20) = 3;
	*reg32(8) = 1;
	*reg32(12) = 1; /* version 1, nothing else */
	*reg32(8) = 0;
	*reg32(12) = 0;
	*reg8(20) = 11;
	queue_begin(0, &ring);
	if (queues > 1)
		queue_begin(1, &ring1);
	*reg8(20) = 15;
	fact("status", *reg8(20), 2);
}

static void disk_begin(void)
{
	virtio_begin(0x18, 1);
	fact("sectors", *reg32(0x2000), 8);
}

/* The chain at `head` is offered; waits for its end, or for the device to give up. */
static void disk_go(uint16_t head)
{
	uint16_t n = ring.avail[1];

	status = 0xee;
	ring.avail[2 + n % 256] = head;
	__asm__ volatile("" ::: "memory");
	ring.avail[1] = (uint16_t)(n + 1);
	__asm__ volatile("mfence" ::: "memory");
	*reg16(0x3000) = 0;
	while (ring.used[1] == n && !(*reg8(20) & 0x40))
		;
	__asm__ volatile("" ::: "memory");
}

static void disk_do(uint32_t type, uint64_t sector, void *p, uint32_t len, bool in)
{
	header.type = type;
	header.sector = sector;
	ring.desc[0] = (struct desc){ (uintptr_t)&header, sizeof(header), 1, len ? 1 : 2 };
	ring.desc[1] = (struct desc){ (uintptr_t)p, len, (uint16_t)(1 | (in ? 2 : 0)), 2 };
	ring.desc[2] = (struct desc){ (uintptr_t)&status, 1, 2, 0 };
	disk_go(0);
}

void test_disk(void)
{
	disk_begin();
	disk_do(0, 1, data, 4096, true);
	fact("read", status, 2);
	for (unsigned i = 0; i < 16; i++)
		hex(data[i], 2);
	put('\n');
	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7);
	disk_do(1, 16, data, 4096, false);
	fact("write", status, 2);
	disk_do(4, 0, data, 0, false);
	fact("flush", status, 2);
	uint32_t range[4] = { 32, 0, 8, 0 };
	disk_do(13, 0, range, 16, false);
	fact("zeroes", status, 2);
	data[5] = 0;
	disk_do(0, 16, data, 4096, true);
	fact("back", data[5], 2);
	disk_do(0, *reg32(0x2000) - 7, data, 4096, true);
	fact("beyond", status, 2);
	disk_do(0, 0xffffffffffffffff, data, 4096, true);
	fact("far", status, 2);
	disk_do(0, 0, data, 100, true);
	fact("odd", status, 2);
	disk_do(99, 0, data, 512, true);
	fact("unknown", status, 2);
	disk_do(8, 0, data, 20, true);
	data[20] = 0;
	say((char *)data);
	put('\n');
}

/* Each of these breaks the ring: the device says that it needs a reset, and works again after one. */
void test_hostile(void)
{
	static const struct desc bad[] = {
		{ 0xfffffffffffff000, 4096, 0, 0 }, /* nowhere */
		{ 0xb0000000, 4096, 0, 0 },         /* in the hole */
		{ 0, 0xffffffff, 0, 0 },            /* longer than memory */
		{ 0, 16, 1, 300 },                  /* next is outside of the table */
		{ 0, 16, 1, 0 },                    /* itself */
		{ 0x200000, 32, 4, 0 },             /* indirect, not negotiated */
	};

	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		disk_begin();
		ring.desc[0] = bad[i];
		disk_go(0);
		fact("hostile", *reg8(20), 2);
	}
	disk_begin();
	disk_do(0, 1, data, 4096, true);
	fact("read", status, 2);
}

/* The chain at `head` is offered to queue `n`. */
static void ring_offer(uint16_t n, struct ring *r, uint16_t head)
{
	uint16_t at = r->avail[1];

	r->avail[2 + at % 256] = head;
	__asm__ volatile("" ::: "memory");
	r->avail[1] = (uint16_t)(at + 1);
	__asm__ volatile("mfence" ::: "memory");
	*reg16(0x3000 + 4u * n) = n;
}

static uint32_t used_length(const struct ring *r, unsigned i)
{
	return r->used[2 + 4 * i + 2] | (uint32_t)r->used[2 + 4 * i + 3] << 16;
}

void test_rng(void)
{
	unsigned zeros = 0;

	virtio_begin(0x98, 1);
	for (unsigned i = 0; i < 2; i++) { /* a small one, and one that is more than the device gives at once */
		ring.desc[0] = (struct desc){ (uintptr_t)data, i ? 0x100000 : 64, 2, 0 };
		ring_offer(0, &ring, 0);
		while (ring.used[1] != i + 1)
			;
		fact("bytes", used_length(&ring, i), 8);
	}
	for (unsigned i = 0; i < sizeof(data); i++)
		zeros += !data[i];
	fact("random", zeros < 64, 1);
}

/* Asks who has 10.0.2.2. */
void test_net(void)
{
	static uint8_t in[2048], out[12 + 60] = {
		[12] = 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52, 0x54, 0, 1, 2, 3, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1,
		0x52, 0x54, 0, 1, 2, 3, 10, 0, 2, 15, 0, 0, 0, 0, 0, 0, 10, 0, 2, 2,
	};

	virtio_begin(0xa0, 2);
	for (unsigned i = 0; i < 6; i++)
		hex(*reg8(0x2000 + i), 2);
	put('\n');
	ring.desc[0] = (struct desc){ (uintptr_t)in, sizeof(in), 2, 0 };
	ring1.desc[0] = (struct desc){ (uintptr_t)out, 12, 1, 1 };
	ring1.desc[1] = (struct desc){ (uintptr_t)out + 12, 60, 0, 0 };
	in[0] = 0xee;
	ring_offer(1, &ring1, 0);
	while (!ring1.used[1])
		;
	ring_offer(0, &ring, 0); /* the answer waits for a buffer */
	while (!ring.used[1])
		;
	__asm__ volatile("" ::: "memory");
	fact("bytes", used_length(&ring, 0) >= 12 + 42, 1);
	fact("buffers", in[10], 2);
	fact("type", (uint64_t)in[24] << 8 | in[25], 4);
	fact("answer", in[33], 2);
	fact("from", (uint64_t)in[40] << 24 | (uint64_t)in[41] << 16 | (uint64_t)in[42] << 8 | in[43], 8);
}

/* ---- many requests of a disk at once */

#define MANY 64
static uint8_t many[MANY][512];
static struct {
	uint32_t type, zero;
	uint64_t sector;
	uint8_t status;
} many_headers[MANY];

static void many_offer(uint32_t type)
{
	for (uint16_t i = 0; i < MANY; i++) {
		many_headers[i].type = type;
		many_headers[i].sector = 512 + 3 * i;
		many_headers[i].status = 0xee;
		ring.desc[3 * i] = (struct desc){ (uintptr_t)&many_headers[i], 16, 1, (uint16_t)(3 * i + 1) };
		ring.desc[3 * i + 1] = (struct desc){ (uintptr_t)many[i], 512, type ? 1 : 3, (uint16_t)(3 * i + 2) };
		ring.desc[3 * i + 2] = (struct desc){ (uintptr_t)&many_headers[i].status, 1, 2, 0 };
		ring.avail[2 + (ring.avail[1] + i) % 256] = (uint16_t)(3 * i);
	}
	__asm__ volatile("" ::: "memory");
	ring.avail[1] = (uint16_t)(ring.avail[1] + MANY);
	__asm__ volatile("mfence" ::: "memory");
	*reg16(0x3000) = 0;
}

static void many_wait(void)
{
	uint8_t seen[MANY] = { 0 };
	unsigned once = 0, good = 0;

	while (ring.used[1] != ring.avail[1])
		;
	__asm__ volatile("" ::: "memory");
	for (uint16_t i = 0; i < MANY; i++) {
		uint16_t head = ring.used[2 + 4 * ((ring.used[1] - 1u - i) % 256)];

		seen[head / 3 % MANY]++;
		good += !many_headers[i].status;
	}
	for (unsigned i = 0; i < MANY; i++)
		once += seen[i] == 1;
	fact("once", once, 2);
	fact("good", good, 2);
}

void test_many(void)
{
	disk_begin();
	for (unsigned round = 0; round < 5; round++) {
		for (unsigned i = 0; i < MANY; i++)
			for (unsigned j = 0; j < 512; j++)
				many[i][j] = (uint8_t)(i * 5 + j + round);
		many_offer(1);
		many_wait();
		for (unsigned i = 0; i < MANY; i++)
			many[i][round] = 0;
		many_offer(0);
		many_wait();
		unsigned right = 0;
		for (unsigned i = 0; i < MANY; i++)
			right += many[i][round] == (uint8_t)(i * 5 + 2 * round);
		fact("right", right, 2);
	}
	/* A reset in the midst of them: what was under way ends first, and nothing is written to the ring after it. */
	many_offer(1);
	*reg8(20) = 0;
	uint16_t used = ring.used[1];
	for (unsigned i = 0; i < 100000; i++)
		__asm__ volatile("pause");
	fact("late", (uint16_t)(ring.used[1] - used), 4);
	disk_begin();
	many_offer(0);
	many_wait();
}
