/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Between a program and libc, with LD_PRELOAD: counts calls and makes the nth one the last (SIGKILL), or fail.  A kill then hits
 * any moment that can be told apart from outside, however fast the machine is.
 *
 *   SHIM_OP     read | write | sync | name (rename, unlink, truncate) | punch (fallocate), joined by commas
 *   SHIM_NTH    which call of these, from 1
 *   SHIM_DO     kill | a number: that errno, from then on
 *   SHIM_ONCE   that call only, not those after it
 *   SHIM_MATCH  only files whose name has this in it
 *   SHIM_DELAY  microseconds that each of the calls takes longer
 *   SHIM_OLDFS  renameat2() knows no flags, as on NFS
 *   SHIM_BOOT   a file that is read for the identity of this boot
 *   SHIM_BAD    OFFSET+LENGTH ranges, joined by commas: what reads there gets EIO, as of a disk's bad sectors; only files of
 *               SHIM_MATCH
 *   SHIM_COUNT  a file that gets the number of calls at the end
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static atomic_long count;
static long nth, delay;
static int error, once;
static const char *ops, *match;

__attribute__((constructor)) static void begin(void)
{
	const char *what = getenv("SHIM_DO"), *n = getenv("SHIM_NTH"), *d = getenv("SHIM_DELAY");

	ops = getenv("SHIM_OP");
	match = getenv("SHIM_MATCH");
	once = getenv("SHIM_ONCE") != NULL;
	nth = n ? atol(n) : 0;
	delay = d ? atol(d) : 0;
	error = what && strcmp(what, "kill") ? atoi(what) : 0;
}

__attribute__((destructor)) static void end(void)
{
	const char *path = getenv("SHIM_COUNT");
	FILE *f = path ? fopen(path, "w") : NULL;

	if (!f)
		return;
	fprintf(f, "%ld\n", atomic_load(&count));
	fclose(f);
}

/* Has its name SHIM_MATCH in it? */
static int is_file(int fd)
{
	char link[64], name[PATH_MAX];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, name, sizeof(name) - 1);
	if (n < 0)
		return 0;
	name[n] = '\0';
	return strstr(name, match) != NULL;
}

static int is_meant(const char *op, int fd, const char *path)
{
	if (!ops || !strstr(ops, op))
		return 0;
	if (!match)
		return 1;
	return path ? strstr(path, match) != NULL : is_file(fd);
}

/* 0: do it; else -1 with errno. */
static int strike(const char *op, int fd, const char *path)
{
	long now;

	if (!is_meant(op, fd, path))
		return 0;
	if (delay) { /* whatever signal comes meanwhile */
		struct timespec left = { delay / 1000000, delay % 1000000 * 1000 };

		while (nanosleep(&left, &left) && errno == EINTR)
			;
	}
	now = atomic_fetch_add(&count, 1) + 1;
	if (!nth || now < nth || (once && now > nth))
		return 0;
	if (!error) {
		kill(getpid(), SIGKILL);
		pause();
	}
	errno = error;
	return -1;
}

#define NEXT(name) __typeof__(name) *next = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)
#define WRAP(ret, name, params, args, op, fd, path) \
	ret name params; \
	ret name params \
	{ \
		NEXT(name); \
		return strike(op, fd, path) ? -1 : next args; \
	}

static int is_bad(int fd, size_t n, off64_t o)
{
	const char *list = getenv("SHIM_BAD");
	char *rest;

	if (!list || !match)
		return 0;
	for (; *list; list = *rest == ',' ? rest + 1 : rest) {
		off64_t from = strtoll(list, &rest, 10), len = *rest == '+' ? strtoll(rest + 1, &rest, 10) : 0;

		if (o < from + len && from < o + (off64_t)n)
			break;
		if (*rest && *rest != ',')
			return 0;
	}
	return *list && is_file(fd);
}

ssize_t pread64(int fd, void *b, size_t n, off64_t o);
ssize_t pread64(int fd, void *b, size_t n, off64_t o)
{
	NEXT(pread64);

	if (is_bad(fd, n, o)) {
		errno = EIO;
		return -1;
	}
	return strike("read", fd, NULL) ? -1 : next(fd, b, n, o);
}

WRAP(ssize_t, preadv64, (int fd, const struct iovec *v, int n, off64_t o), (fd, v, n, o), "read", fd, NULL)
WRAP(ssize_t, pwrite64, (int fd, const void *b, size_t n, off64_t o), (fd, b, n, o), "write", fd, NULL)
WRAP(ssize_t, pwritev64, (int fd, const struct iovec *v, int n, off64_t o), (fd, v, n, o), "write", fd, NULL)
WRAP(int, fdatasync, (int fd), (fd), "sync", fd, NULL)
WRAP(int, fsync, (int fd), (fd), "sync", fd, NULL)
WRAP(int, ftruncate64, (int fd, off64_t n), (fd, n), "name", fd, NULL)
WRAP(int, fallocate64, (int fd, int mode, off64_t o, off64_t n), (fd, mode, o, n), "punch", fd, NULL)
WRAP(int, unlink, (const char *p), (p), "name", -1, p)
WRAP(int, unlinkat, (int d, const char *p, int f), (d, p, f), "name", -1, p)
WRAP(int, renameat, (int d, const char *p, int e, const char *q), (d, p, e, q), "name", -1, q)

int renameat2(int d, const char *p, int e, const char *q, unsigned f);
int renameat2(int d, const char *p, int e, const char *q, unsigned f)
{
	NEXT(renameat2);

	if (f && getenv("SHIM_OLDFS")) {
		errno = EINVAL;
		return -1;
	}
	return strike("name", -1, q) ? -1 : next(d, p, e, q, f);
}

int open64(const char *path, int flags, ...);
int open64(const char *path, int flags, ...)
{
	NEXT(open64);
	const char *boot = getenv("SHIM_BOOT");
	va_list ap;
	unsigned mode;

	va_start(ap, flags);
	mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, unsigned) : 0;
	va_end(ap);
	return next(boot && !strcmp(path, "/proc/sys/kernel/random/boot_id") ? boot : path, flags, mode);
}
