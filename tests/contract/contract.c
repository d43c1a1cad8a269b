/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What every format must do, on memory files, against a flat array: random reads, writes, zeros and discards, flushes and
 * reopenings, the map's promises, resizing, refusals, and a clean check after each close.  A driver that passes is a driver.
 *
 *   contract VARIANT [FOLDER]
 *
 * In the environment: VDISK_SEED, VDISK_ITERATIONS, and VDISK_PARANOID to read everything after each operation.
 */
#include "contract.h"
#include "base/bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void reopen(struct t_image *t, uint32_t flags)
{
	vd_error err;

	T_OK(t_image_close(t, &err), err);
	t_image_check(t, false);
	T_OK(t_image_open(t, flags, &err), err);
	T_CHECK(vdisk_size(t->img) == t->model.size, "reopened with %" PRIu64 " bytes, not %" PRIu64, vdisk_size(t->img),
	        t->model.size);
	T_CHECK(!strcmp(vdisk_format_name(t->img), t->v->format), "reopened as %s", vdisk_format_name(t->img));
	T_CHECK(vdisk_is_writable(t->img) == !!(flags & VDISK_OPEN_RW), "writable: %d", vdisk_is_writable(t->img));
}

/* After a discard each byte is the old one or zero, and stays so. */
static void resync(struct t_image *t, const struct t_op *op, uint8_t *buf)
{
	vd_error err;

	T_OK(vdisk_pread(t->img, buf, op->len, op->off, &err), err);
	for (uint64_t i = 0; i < op->len; i++)
		T_CHECK(!buf[i] || buf[i] == t->model.now[op->off + i],
		        "discarded byte %" PRIu64 " is %02x: neither zero nor %02x as before", op->off + i, buf[i],
		        t->model.now[op->off + i]);
	memcpy(t->model.now + op->off, buf, op->len);
}

static void compare(struct t_image *t, const struct t_op *op, const uint8_t *buf)
{
	const uint8_t *now = t->model.now + op->off;
	uint64_t i = 0;

	if (!memcmp(buf, now, op->len))
		return;
	while (buf[i] == now[i])
		i++;
	t_fail("byte %" PRIu64 " reads %02x, expected %02x", op->off + i, buf[i], now[i]);
}

static void random_op(struct t_image *t, struct t_rng *rng, uint8_t *buf, unsigned long i)
{
	struct t_op op = t_op_pick(rng, t->model.size);
	uint8_t *bytes = t_op_bytes(&op);
	vd_error err;

	t_at("operation %lu: %s %" PRIu64 "+%" PRIu64, i, t_op_names[op.kind], op.off, op.len);
	T_OK(t_op_do(t->img, &op, bytes, buf, &err), err);
	if (op.kind <= T_OP_ZERO)
		t_model_change(&t->model, op.off, op.len, bytes, false, 0);
	else if (op.kind == T_OP_DISCARD)
		resync(t, &op, buf);
	else if (op.kind == T_OP_READ || op.kind == T_OP_READV)
		compare(t, &op, buf);
	free(bytes);
}

static void verify(struct t_image *t)
{
	t_model_settle(&t->model);
	t_image_verify(t, T_LIVE);
	contract_map(t, 0, t->model.size, 4096);
}

static void random_phase(struct t_image *t, struct t_rng *rng, unsigned long iterations)
{
	uint8_t *buf = t_alloc(t->model.size);
	uint64_t room = t->model.size;
	bool paranoid = getenv("VDISK_PARANOID");

	for (unsigned long i = 0; i < iterations; i++) {
		if (t->model.size > room) {
			free(buf);
			room = t->model.size;
			buf = t_alloc(room);
		}
		switch (t_below(rng, 40)) {
		case 0:
			t_at("operation %lu: reopen", i);
			t->cache_bytes = t_below(rng, 2);
			reopen(t, VDISK_OPEN_RW);
			break;
		case 1: {
			uint64_t off = t_below(rng, t->model.size);

			t_at("operation %lu: map from %" PRIu64, i, off);
			contract_map(t, off, 1 + t_below(rng, t->model.size - off), 1 + t_below(rng, 9));
			break;
		}
		case 2:
			t_at("operation %lu: refusals", i);
			contract_refusals(t);
			break;
		case 3:
			if (t_below(rng, 4) == 0) {
				t_at("operation %lu: resize", i);
				contract_resize(t, rng);
			}
			break;
		default:
			random_op(t, rng, buf, i);
		}
		if (paranoid)
			verify(t);
	}
	free(buf);
	t_at("after the random operations");
	verify(t);
}

/* A new image: the size asked for, empty, and hiding nothing of its parent. */
static void born(struct t_image *t)
{
	vd_error err;

	t_at("creating");
	T_OK(t_image_create(t, &err), err);
	T_CHECK(vdisk_size(t->img) == t->v->size, "created with %" PRIu64 " bytes, not %" PRIu64, vdisk_size(t->img), t->v->size);
	T_CHECK(!strcmp(vdisk_format_name(t->img), t->v->format), "created as %s", vdisk_format_name(t->img));
	T_CHECK(vdisk_is_writable(t->img), "created, and not writable");
	if (!(t->v->flags & T_ONLY_PACKED))
		verify(t);
}

static void read_only(struct t_image *t)
{
	vd_error err;
	char byte = 1;

	t_at("read-only");
	reopen(t, 0);
	verify(t);
	T_CHECK(vdisk_pwrite(t->img, &byte, 1, 0, &err), "a write into an image open for reading succeeded");
	t_error_is_told(&err, "the write");
	T_CHECK(vdisk_zero(t->img, 0, 512, &err), "zeroing in an image open for reading succeeded");
	t_error_is_told(&err, "zeroing");
	T_CHECK(vdisk_discard(t->img, 0, 512, &err), "discarding in an image open for reading succeeded");
	t_error_is_told(&err, "discarding");
}

int main(int argc, char **argv)
{
	const struct t_variant *v = t_variant_find(argc > 1 ? argv[1] : "");
	struct t_rng rng = { t_seed("contract", v->name) };
	struct t_image *t = t_image_new(v, &rng);
	unsigned long iterations = t_iterations(600);
	vd_error err;

	born(t);
	if (v->flags & (T_PACK | T_ONLY_PACKED))
		t_image_pack(t, &rng);
	if (!(v->flags & T_ONLY_PACKED)) {
		random_phase(t, &rng, iterations / 2);
		t_at("reopening");
		reopen(t, VDISK_OPEN_RW);
		verify(t);
		random_phase(t, &rng, iterations - iterations / 2);
	}
	read_only(t);
	T_OK(t_image_close(t, &err), err);
	if (argc > 2)
		t_shelf_dump(&t->shelf, argv[2], "left");
	t_image_free(t);
	printf("ok\n");
	return 0;
}
