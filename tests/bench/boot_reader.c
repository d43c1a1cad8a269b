/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads a disk past the guest's page cache:  boot_reader DISK NAME BYTES JOBS SECONDS [random].  Prints NAME and MB/s or reads a
   second. */
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define BLKGETSIZE64 _IOR(0x12, 114, size_t)

static const char *path;
static size_t bytes;
static uint64_t size;
static double seconds;
static int is_random;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void *job(void *arg)
{
	uint64_t *count = arg, seed = *count, blocks = size / bytes, at = seed % blocks;
	int fd = open(path, O_RDONLY | O_DIRECT);
	void *buf;

	*count = 0;
	if (fd < 0 || posix_memalign(&buf, 4096, bytes))
		exit(2);
	for (double end = now() + seconds; now() < end; ++*count) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		at = is_random ? (seed >> 33) % blocks : (at + 1) % blocks;
		if (pread(fd, buf, bytes, (off_t)(at * bytes)) != (ssize_t)bytes)
			exit(2);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	uint64_t counts[64], total = 0;
	pthread_t threads[64];

	if (argc < 6)
		return 2;
	path = argv[1];
	bytes = strtoul(argv[3], NULL, 10);
	int jobs = atoi(argv[4]);
	seconds = atof(argv[5]);
	is_random = argc > 6;
	int fd = open(path, O_RDONLY);
	if (fd < 0 || ioctl(fd, BLKGETSIZE64, &size) || jobs < 1 || jobs > 64)
		return 2;
	double begin = now();
	for (int i = 0; i < jobs; i++) {
		counts[i] = (uint64_t)i * 7919 + 1;
		pthread_create(&threads[i], NULL, job, &counts[i]);
	}
	for (int i = 0; i < jobs; i++) {
		pthread_join(threads[i], NULL);
		total += counts[i];
	}
	double spent = now() - begin;
	printf("figure: %s %.1f\n", argv[2], is_random ? (double)total / spent : (double)(total * bytes) / spent / 1e6);
	return 0;
}
