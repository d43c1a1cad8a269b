/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is remembered of the layers below says what they say, whatever is written to the leaf, however it is cut up, and by how many
   asked. */
#include "ops_help.h"
#include "core/io.h"
#include "core/mapcache.h"

#include <pthread.h>

#define BATCH 32

#ifdef __SANITIZE_THREAD__
#define ALONE_ONLY() skip() /* one thread, and much work */
#else
#define ALONE_ONLY() (void)0
#endif

struct deep {
	const char *format, *option;
	size_t size;
	unsigned layers;
	vdisk_image *img;
	uint8_t *want;
	uint64_t state;
};

static void layer_add(struct deep *d)
{
	const char *options[] = { d->option, NULL };
	struct vd_file *f;
	vdisk_image *img;

	must(vd_file_memory("layer", NULL, 0, &f, err));
	must(vd_image_create_file(f, d->format, d->size, d->option ? options : NULL, 0, d->img, NULL, &img, err));
	d->img = img;
}

static void put(struct deep *d, uint64_t off, size_t len, int byte)
{
	memset(d->want + off, byte, len);
	must(vdisk_pwrite(d->img, d->want + off, len, off, err));
}

/* Every sector of [0, upto) is of another layer than its neighbours. */
static struct deep *deep_new(const char *format, const char *option, size_t size, size_t upto, unsigned layers)
{
	struct deep *d = vd_calloc(1, sizeof(*d));

	assert_non_null(d);
	*d = (struct deep){ .format = format, .option = option, .size = size, .layers = layers, .state = size };
	d->want = vd_calloc(1, size);
	for (unsigned i = 0; i < layers; i++) {
		layer_add(d);
		for (uint64_t off = (uint64_t)i * 512; off < upto; off += (uint64_t)layers * 512)
			put(d, off, 512, (int)(1 + (off / 512 + i) % 255));
	}
	layer_add(d);
	assert_non_null(d->img->mapcache);
	assert_int_equal(1, vd_mapcache_depth(d->img->mapcache));
	return d;
}

static void deep_free(struct deep *d)
{
	must(vdisk_close(d->img, err));
	vd_free(d->want);
	vd_free(d);
}

/* Both answers, extent by extent, as far as both go. */
static void same_map(struct deep *d, uint64_t off, uint64_t len)
{
	struct vd_extent a[BATCH], b[BATCH];
	struct vd_extents known, asked;

	vd_extents_init(&known, a, BATCH, off, len);
	vd_extents_init(&asked, b, BATCH, off, len);
	must(vd_image_map(d->img, off, len, 0, &known, err));
	must(vd_map_from(d->img, 0, off, len, 0, &asked, err));
	assert_int_equal(asked.next, known.next);
	assert_int_equal(asked.n, known.n);
	for (size_t i = 0; i < asked.n; i++) {
		assert_int_equal(b[i].off, a[i].off);
		assert_int_equal(b[i].len, a[i].len);
		assert_int_equal(b[i].kind, a[i].kind);
		assert_int_equal(b[i].flags, a[i].flags);
		assert_int_equal(b[i].depth, a[i].depth);
		if (b[i].flags & VD_EXT_MAPPED) {
			assert_int_equal(b[i].host, a[i].host);
			assert_int_equal(b[i].host_len, a[i].host_len);
		}
	}
}

static void same_bytes(struct deep *d, uint64_t off, size_t len)
{
	uint8_t *got = vd_malloc(len);

	assert_non_null(got);
	must(vdisk_pread(d->img, got, len, off, err));
	assert_memory_equal(d->want + off, got, len);
	vd_free(got);
}

static void range_pick(struct deep *d, uint64_t *off, size_t *len)
{
	*off = (((uint64_t)help_random(&d->state) << 20) ^ help_random(&d->state)) % d->size;
	*len = 1 + help_random(&d->state) % (help_random(&d->state) % 4 ? 9000 : 300000);
	*len = vd_min(*len, d->size - *off);
}

static void leaf_change(struct deep *d, uint64_t off, size_t len)
{
	uint8_t *now;

	switch (help_random(&d->state) % 4) {
	case 0:
		memset(d->want + off, 0, len);
		must(vdisk_zero(d->img, off, len, err));
		break;
	case 1:
		must(vdisk_discard(d->img, off, len, err));
		now = vd_malloc(len);
		assert_non_null(now);
		must(vdisk_pread(d->img, now, len, off, err));
		for (size_t i = 0; i < len; i++)
			assert_true(!now[i] || now[i] == d->want[off + i]);
		memcpy(d->want + off, now, len);
		vd_free(now);
		break;
	default:
		put(d, off, len, (int)(help_random(&d->state) % 256));
	}
}

static void follows_the_layers(struct deep *d, unsigned rounds)
{
	for (unsigned i = 0; i < rounds; i++) {
		uint64_t off;
		size_t len;

		range_pick(d, &off, &len);
		same_map(d, off, len);
		same_bytes(d, off, len);
		if (i % 3 == 0)
			leaf_change(d, off, vd_min(len, 20000));
	}
}

static void small_clusters(void **state)
{
	struct deep *d;

	(void)state;
	ALONE_ONLY();
	d = deep_new("qcow2", "cluster_size=512", 3 * MIB + 512, 2 * MIB, 3);
	follows_the_layers(d, 700);
	deep_free(d);
}

/* 4,096 sectors in a block: a chunk has room for a part of it only. */
static void more_extents_than_a_chunk_has(void **state)
{
	struct deep *d;

	(void)state;
	ALONE_ONLY();
	d = deep_new("vhd", NULL, 9 * MIB, 6 * MIB, 2);
	follows_the_layers(d, 300);
	deep_free(d);
}

/* More of them than there is memory for. */
static void more_chunks_than_are_kept(void **state)
{
	struct deep *d;

	(void)state;
	ALONE_ONLY();
	d = deep_new("qcow2", "cluster_size=512", 80 * MIB, 80 * MIB, 2);
	for (unsigned pass = 0; pass < 2; pass++)
		for (uint64_t off = 0; off < d->size; off += 200 * KIB)
			same_map(d, off, 8192);
	follows_the_layers(d, 300);
	deep_free(d);
}

static void *reader(void *arg)
{
	struct deep *d = arg;

	for (uint64_t off = 0; off < d->size; off += 96 * KIB)
		same_bytes(d, off, 4096);
	return NULL;
}

static void many_readers_at_once(void **state)
{
	struct deep *d = deep_new("qcow2", "cluster_size=512", 8 * MIB, 8 * MIB, 3);
	pthread_t t[4];

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(0, pthread_create(&t[i], NULL, reader, d));
	for (unsigned i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	deep_free(d);
}

/* Without parents nothing is remembered of them. */
static void goes_with_the_parents(void **state)
{
	struct deep *d = deep_new("qcow2", "cluster_size=512", 1 * MIB, 1 * MIB, 3);
	uint64_t copied = 0;

	(void)state;
	same_bytes(d, 0, d->size);
	must(vd_image_pull(d->img, NULL, 0, d->size, &copied, err));
	assert_int_equal(d->size, copied);
	must(vd_image_replace_parents(d->img, NULL, err));
	assert_null(d->img->mapcache);
	same_bytes(d, 0, d->size);
	deep_free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_clusters),
		cmocka_unit_test(more_extents_than_a_chunk_has),
		cmocka_unit_test(more_chunks_than_are_kept),
		cmocka_unit_test(many_readers_at_once),
		cmocka_unit_test(goes_with_the_parents),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
