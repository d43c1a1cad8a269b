/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The same work with the nth operation failing, n = 1, 2, 3 …, once and for good: reads, writes, flushes, running out of space, any
 * of them, and allocations.  Each failure is told (kind, one line); nothing crashes or leaks (ASan); and what is on the files
 * afterwards opens, holds every byte that was flushed before, and has no corruption.
 *
 *   fault VARIANT [CLASS [N]]
 */
#include "fault.h"
#include "base/bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPS 28

struct bench {
	struct t_image *t;
	struct t_shelf base;   /* the image before the work */
	uint8_t *disk;         /* what it holds */
	struct t_op op[OPS];
	uint8_t *bytes[OPS];
	uint8_t *buf;
	uint64_t clock;
	bool told;             /* the first failure of this run was seen */
};

static void share_fault(struct t_image *t, struct vd_fault *fault)
{
	for (; t; t = t->parent)
		t->shelf.fault = fault;
}

/* The first error of a run is the injected one and says so; later ones may be its consequences. */
static void told(struct bench *b, const struct fault_class *c, const vd_error *err, const char *what)
{
	t_error_is_told(err, what);
	T_CHECK(fault_hits() > 0, "%s failed, and nothing was made to fail: [%s] %s", what, vdisk_error_kind_name(err->kind),
	        err->message);
	if (b->told)
		return;
	b->told = true;
	T_CHECK(err->kind == c->kind, "%s: an error of kind %s for a failed %s: %s", what, vdisk_error_kind_name(err->kind),
	        c->name, err->message);
	T_CHECK(!c->sys_errno || err->sys_errno == c->sys_errno, "%s: errno %d, not %d: %s", what, err->sys_errno, c->sys_errno,
	        err->message);
}

static void prepare(struct bench *b, const struct t_variant *v, struct t_rng *rng)
{
	vd_error err;

	b->t = t_image_new(v, rng);
	b->t->cache_bytes = t_below(rng, 2);
	b->buf = t_alloc(v->size);
	t_at("creating");
	T_OK(t_image_create(b->t, &err), err);
	if (v->flags & T_PACK)
		t_image_pack(b->t, rng);
	for (unsigned i = 0; i < 20; i++) {
		struct t_op op = t_op_pick(rng, v->size);
		uint8_t *bytes = t_op_bytes(&op);

		if (op.kind == T_OP_DISCARD)
			op.kind = T_OP_ZERO;
		T_OK(t_op_do(b->t->img, &op, bytes, b->buf, &err), err);
		if (op.kind <= T_OP_ZERO)
			t_model_change(&b->t->model, op.off, op.len, bytes, false, 0);
		free(bytes);
	}
	T_OK(t_image_close(b->t, &err), err);
	t_shelf_init(&b->base, b->t->base_name);
	t_shelf_copy(&b->base, &b->t->shelf);
	b->disk = t_alloc(v->size);
	memcpy(b->disk, b->t->model.now, v->size);
	for (unsigned i = 0; i < OPS; i++) {
		b->op[i] = t_op_pick(rng, v->size);
		if (i % 7 == 6)
			b->op[i].kind = T_OP_FLUSH;
		b->bytes[i] = t_op_bytes(&b->op[i]);
	}
}

static void start_over(struct bench *b)
{
	struct t_image *t = b->t;

	t_shelf_free(&t->shelf);
	t_shelf_init(&t->shelf, t->base_name);
	t_shelf_copy(&t->shelf, &b->base);
	memcpy(t->model.now, b->disk, t->model.size);
	t_model_settle(&t->model);
	b->clock = 0;
	b->told = false;
}

static void one_op(struct bench *b, const struct fault_class *c, unsigned i)
{
	struct t_model *m = &b->t->model;
	const struct t_op *op = &b->op[i];
	size_t index = 0, before = m->n;
	uint64_t bad;
	vd_error err;

	b->clock++;
	if (op->kind <= T_OP_DISCARD)
		index = t_model_change(m, op->off, op->len, b->bytes[i], true, b->clock);
	if (op->kind == T_OP_DISCARD)
		t_model_unsure(m, index);
	memset(&err, 0, sizeof(err));
	if (t_op_do(b->t->img, op, b->bytes[i], b->buf, &err)) {
		told(b, c, &err, t_op_names[op->kind]);
		if (op->kind <= T_OP_DISCARD)
			t_model_unsure(m, index);
		return;
	}
	if (op->kind == T_OP_FLUSH)
		t_model_flushed(m, before, b->clock);
	else if (op->kind == T_OP_READ || op->kind == T_OP_READV)
		T_CHECK(t_model_right(m, b->buf, op->off, op->len, T_LIVE, &bad), "byte %" PRIu64 " reads %02x, newest is %02x",
		        bad, b->buf[bad - op->off], m->now[bad]);
}

static void work(struct bench *b, const struct fault_class *c)
{
	struct t_image *t = b->t;
	vd_error err;

	memset(&err, 0, sizeof(err));
	if (t_image_open(t, VDISK_OPEN_RW, &err)) {
		told(b, c, &err, "open");
		return;
	}
	for (unsigned i = 0; i < OPS; i++)
		one_op(b, c, i);
	memset(&err, 0, sizeof(err));
	b->clock++;
	if (t_image_close(t, &err))
		told(b, c, &err, "close");
	else
		t_model_flushed(&t->model, t->model.n, b->clock);
}

static void right_on_reopening(struct bench *b, uint32_t flags)
{
	vd_error err;

	T_OK(t_image_open(b->t, flags, &err), err);
	t_image_verify(b->t, b->clock);
	T_OK(t_image_close(b->t, &err), err);
}

/* What an interrupted change may leave for check to mend (a VHD's footer on its way to the new end). */
static void mend(struct bench *b)
{
	struct vdisk_check_result r;
	vd_error err;

	if (!(vdisk_format_find(b->t->v->format)->caps & VDISK_FORMAT_CHECK))
		return;
	T_OK(t_image_open(b->t, VDISK_OPEN_RW | VDISK_OPEN_CHECK, &err), err);
	T_OK(vdisk_check(b->t->img, VDISK_CHECK_REPAIR_ALL, NULL, NULL, &r, &err), err);
	T_OK(t_image_close(b->t, &err), err);
}

static bool one_run(struct bench *b, const struct fault_class *c, long n, bool persistent)
{
	bool hit;

	start_over(b);
	share_fault(b->t, c->ops ? fault_io() : NULL);
	t_at("%s %ld fails %s", c->name, n, persistent ? "for good" : "once");
	fault_arm(c, n, persistent);
	work(b, c);
	hit = fault_hits() > 0;
	fault_disarm();
	share_fault(b->t, NULL);
	t_at("afterwards: %s %ld failed %s", c->name, n, persistent ? "for good" : "once");
	right_on_reopening(b, 0);
	if (b->t->v->flags & T_ORDERED)
		t_image_check(b->t, true);
	mend(b);
	t_image_check(b->t, false);
	right_on_reopening(b, VDISK_OPEN_RW);
	return hit;
}

/* A failed creation says so and leaves nothing behind in memory. */
static bool one_creation(struct bench *b, const struct fault_class *c, long n, bool persistent)
{
	struct t_image *t = b->t;
	bool hit;
	vd_error err;

	t_shelf_free(&t->shelf);
	t_shelf_init(&t->shelf, t->base_name);
	vd_file_close(t_shelf_open(&t->shelf, t->base_name, true, true));
	share_fault(t, c->ops ? fault_io() : NULL);
	t_at("creating: %s %ld fails %s", c->name, n, persistent ? "for good" : "once");
	b->told = false;
	fault_arm(c, n, persistent);
	memset(&err, 0, sizeof(err));
	if (t_image_create(t, &err))
		told(b, c, &err, "create");
	else if (t_image_close(t, &err))
		told(b, c, &err, "close");
	hit = fault_hits() > 0;
	fault_disarm();
	share_fault(t, NULL);
	return hit;
}

static void all_n(struct bench *b, const struct fault_class *c, bool (*run)(struct bench *, const struct fault_class *, long, bool),
                  const char *what)
{
	bool every = getenv("VDISK_ALL") != NULL;

	for (int persistent = 0; persistent < 2; persistent++) {
		unsigned long runs = 0;
		long n = 1;

		while (run(b, c, n, persistent)) {
			runs++;
			n += every ? 1 : 1 + n / 8;
		}
		printf("%s, %s, %s: %lu runs, up to the %ldth\n", what, c->name, persistent ? "for good" : "once", runs, n);
		T_CHECK(runs || c->ops, "no allocation passes through the seam");
	}
}

int main(int argc, char **argv)
{
	const struct t_variant *v = t_variant_find(argc > 1 ? argv[1] : "");
	struct t_rng rng = { t_seed("fault", v->name) };
	struct bench b = { 0 };

	prepare(&b, v, &rng);
	for (const struct fault_class *c = fault_classes; c->name; c++) {
		if (argc > 2 && strcmp(argv[2], c->name))
			continue;
		if (argc > 3) {
			one_run(&b, c, atol(argv[3]), false);
			one_run(&b, c, atol(argv[3]), true);
			continue;
		}
		all_n(&b, c, one_creation, "create");
		all_n(&b, c, one_run, "work");
	}
	for (unsigned i = 0; i < OPS; i++)
		free(b.bytes[i]);
	free(b.buf);
	free(b.disk);
	t_shelf_free(&b.base);
	t_image_free(b.t);
	printf("ok\n");
	return 0;
}
