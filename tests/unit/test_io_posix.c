/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Opening, locks (qemu's own programs as the other side, where they are installed), growing from several threads, block devices. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "io/file.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[64];

static const char *in_dir(const char *name)
{
	static char path[4][160];
	static unsigned i;

	i = (i + 1) % 4;
	snprintf(path[i], sizeof(path[i]), "%s/%s", dir, name);
	return path[i];
}

static int run(const char *fmt, ...)
{
	char cmd[600];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	return system(cmd);
}

static int dir_make(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/vdisk-posix-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int dir_remove(void **state)
{
	(void)state;
	return run("rm -rf %s", dir);
}

static struct vd_file *file_open(const char *name, uint32_t flags)
{
	struct vd_file *f;
	vd_error err;

	if (vd_file_posix(AT_FDCWD, in_dir(name), name, flags, &f, &err))
		fail_msg("%s", err.message);
	return f;
}

static void opening(void **state)
{
	struct vd_file *f;
	vd_error err;
	struct stat st;
	int dirfd;

	(void)state;
	f = file_open("a", VD_POSIX_CREATE);
	assert_int_equal(f->flags, VD_FILE_SEEKABLE | VD_FILE_ZERO_TAIL);
	assert_true(fcntl(f->fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(vd_file_pwrite(f, "abc", 3, 0, &err), 0);
	vd_file_close(f);
	assert_int_equal(vd_file_posix(AT_FDCWD, in_dir("a"), "a", VD_POSIX_CREATE, &f, &err), -1);
	assert_non_null(strstr(err.message, "a: cannot create: File exists"));
	assert_int_equal(stat(in_dir("a"), &st), 0);
	assert_int_equal(st.st_size, 3);
	f = file_open("a", 0);
	assert_true(f->flags & VD_FILE_RDONLY);
	assert_int_equal(vd_file_size(f), 3);
	vd_file_close(f);
	assert_int_equal(vd_file_posix(AT_FDCWD, in_dir("none"), "none", 0, &f, &err), -1);
	assert_int_equal(err.kind, VDISK_IO);
	dirfd = open(dir, O_RDONLY | O_DIRECTORY);
	assert_int_equal(vd_file_posix(dirfd, "a", "a", VD_POSIX_RDWR, &f, &err), 0);
	vd_file_close(f);
	close(dirfd);
}

static void wrong_types(void **state)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct vd_file *f;
	vd_error err;
	int s = socket(AF_UNIX, SOCK_STREAM, 0), p[2];

	(void)state;
	snprintf(un.sun_path, sizeof(un.sun_path), "%s/sock", dir);
	assert_int_equal(bind(s, (struct sockaddr *)&un, sizeof(un)), 0);
	close(s);
	assert_int_equal(mkfifo(in_dir("fifo"), 0600), 0);
	assert_int_equal(vd_file_posix(AT_FDCWD, in_dir("fifo"), "fifo", 0, &f, &err), -1);
	assert_int_equal(err.kind, VDISK_INVALID);
	assert_non_null(strstr(err.message, "a pipe"));
	assert_int_equal(vd_file_posix(AT_FDCWD, in_dir("sock"), "sock", 0, &f, &err), -1);
	assert_int_equal(err.kind, VDISK_INVALID);
	assert_int_equal(vd_file_posix(AT_FDCWD, dir, "dir", 0, &f, &err), -1);
	assert_non_null(strstr(err.message, "a folder"));
	assert_int_equal(vd_file_posix(AT_FDCWD, "/dev/zero", "zero", 0, &f, &err), -1);
	assert_non_null(strstr(err.message, "a character device"));
	assert_int_equal(pipe(p), 0);
	assert_int_equal(vd_file_posix_fd(p[0], "p", false, &f, &err), -1); /* and took it */
	assert_int_equal(fcntl(p[0], F_GETFD), -1);
	close(p[1]);
}

static void our_locks(void **state)
{
	struct vd_file *a, *b, *c;
	vd_error err;

	(void)state;
	vd_file_close(file_open("l", VD_POSIX_CREATE));
	a = file_open("l", 0);
	b = file_open("l", 0);
	c = file_open("l", VD_POSIX_RDWR);
	assert_int_equal(vd_file_lock(a, false, &err), 0);
	assert_int_equal(vd_file_lock(b, false, &err), 0);
	assert_int_equal(vd_file_lock(c, true, &err), -1);
	assert_int_equal(err.kind, VDISK_BUSY);
	vd_file_close(a);
	assert_int_equal(vd_file_lock(c, true, &err), -1);
	vd_file_close(b);
	assert_int_equal(vd_file_lock(c, true, &err), 0);
	a = file_open("l", 0);
	assert_int_equal(vd_file_lock(a, false, &err), -1);
	assert_int_equal(err.kind, VDISK_BUSY);
	assert_non_null(strstr(err.message, "--force-share"));
	b = file_open("l", VD_POSIX_RDWR);
	assert_int_equal(vd_file_lock(b, true, &err), -1);
	vd_file_close(c);
	assert_int_equal(vd_file_lock(a, false, &err), 0); /* a refused one left nothing behind */
	vd_file_close(a);
	assert_int_equal(vd_file_lock(b, true, &err), 0);
	vd_file_close(b);
}

/* qemu-io, with the image open until its standard input ends; returns the end to close, or -1. */
static int qemu_hold(const char *args, const char *path, pid_t *pid)
{
	char cmd[300];
	int p[2];

	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	*pid = fork();
	if (!*pid) {
		snprintf(cmd, sizeof(cmd), "exec qemu-io %s %s >/dev/null 2>&1", args, path);
		dup2(p[0], 0);
		execl("/bin/sh", "sh", "-c", cmd, (char *)NULL);
		_exit(127);
	}
	close(p[0]);
	return p[1];
}

/* What the lock says once qemu-io has had time to come up: waits up to five seconds for `want`. */
static int lock_result(struct vd_file **f, const char *name, bool write, int want)
{
	vd_error err;
	int r = 0;

	for (int i = 0; i < 100; i++) {
		*f = file_open(name, write ? VD_POSIX_RDWR : 0);
		r = vd_file_lock(*f, write, &err);
		if (r == want)
			return r;
		vd_file_close(*f);
		usleep(50000);
	}
	*f = file_open(name, write ? VD_POSIX_RDWR : 0);
	return r;
}

static void qemu_locks_of(const char *fmt)
{
	const char *path = in_dir(fmt);
	struct vd_file *f, *g;
	vd_error err;
	char args[64];
	pid_t pid;
	int fd;

	assert_int_equal(run("qemu-img create -q -f %s %s 1M", fmt, path), 0);
	/* qemu writes: we may not */
	snprintf(args, sizeof(args), "-f %s", fmt);
	fd = qemu_hold(args, path, &pid);
	assert_int_equal(lock_result(&f, fmt, false, -1), -1);
	vd_file_close(f);
	f = file_open(fmt, VD_POSIX_RDWR);
	assert_int_equal(vd_file_lock(f, true, &err), -1);
	assert_int_equal(err.kind, VDISK_BUSY);
	vd_file_close(f);
	close(fd);
	waitpid(pid, NULL, 0);
	/* we write: qemu may not, nor read (of a raw image it may tell the size, for which it uses nothing of it) */
	f = file_open(fmt, VD_POSIX_RDWR);
	assert_int_equal(vd_file_lock(f, true, &err), 0);
	if (strcmp(fmt, "raw"))
		assert_int_not_equal(run("qemu-img info -f %s %s >/dev/null 2>&1", fmt, path), 0);
	assert_int_not_equal(run("qemu-img convert -f %s -O raw %s %s.out >/dev/null 2>&1", fmt, path, path), 0);
	assert_int_not_equal(run("qemu-io -f %s -c 'write 0 512' %s >/dev/null 2>&1", fmt, path), 0);
	vd_file_close(f);
	/* all read */
	f = file_open(fmt, 0);
	g = file_open(fmt, 0);
	assert_int_equal(vd_file_lock(f, false, &err), 0);
	assert_int_equal(vd_file_lock(g, false, &err), 0);
	assert_int_equal(run("qemu-img info -f %s %s >/dev/null 2>&1", fmt, path), 0);
	assert_int_equal(run("qemu-img convert -f %s -O raw %s %s.out 2>&1", fmt, path, path), 0);
	assert_int_not_equal(run("qemu-io -f %s -c 'write 0 512' %s >/dev/null 2>&1", fmt, path), 0); /* it would write */
	vd_file_close(f);
	vd_file_close(g);
	/* qemu reads: we may read, not write */
	snprintf(args, sizeof(args), "-r -f %s", fmt);
	fd = qemu_hold(args, path, &pid);
	assert_int_equal(lock_result(&f, fmt, true, -1), -1);
	vd_file_close(f);
	f = file_open(fmt, 0);
	assert_int_equal(vd_file_lock(f, false, &err), 0);
	vd_file_close(f);
	close(fd);
	waitpid(pid, NULL, 0);
}

static void qemu_locks(void **state)
{
	(void)state;
	if (run("command -v qemu-io qemu-img >/dev/null"))
		skip();
	qemu_locks_of("raw");
	qemu_locks_of("qcow2");
}

#define WRITERS 4
#define BLOCKS  3000

static _Atomic int writers;

struct writer {
	struct vd_file *f;
	int idx;
};

static void *append(void *arg)
{
	struct writer *w = arg;
	uint8_t b[512];

	memset(b, w->idx + 1, sizeof(b));
	for (int i = 0; i < BLOCKS; i++)
		if (vd_file_pwrite(w->f, b, sizeof(b), (uint64_t)(i * WRITERS + w->idx) * 1024, NULL))
			break;
	atomic_fetch_sub(&writers, 1);
	return NULL;
}

/* Others append 512 bytes of every 1,024, while the file is grown over the rest: nothing that was written is cut off. */
static void grow_while_appending(void **state)
{
	struct vd_file *f = file_open("grow", VD_POSIX_CREATE);
	struct writer w[WRITERS];
	pthread_t t[WRITERS];
	uint8_t b[512];

	(void)state;
	atomic_store(&writers, WRITERS);
	for (int i = 0; i < WRITERS; i++) {
		w[i] = (struct writer){f, i};
		pthread_create(&t[i], NULL, append, &w[i]);
	}
	do { /* a size that is stale by the time it is used must do no harm */
		uint64_t odd = (vd_file_size(f) | 1023) + 1 + 512;

		assert_int_equal(vd_file_grow(f, odd - 1024, NULL), 0);
		assert_int_equal(vd_file_zero(f, odd, 512, true, NULL), 0);
	} while (atomic_load(&writers) > 0);
	for (int i = 0; i < WRITERS; i++)
		pthread_join(t[i], NULL);
	for (int i = 0; i < WRITERS * BLOCKS; i++) {
		assert_int_equal(vd_file_pread(f, b, 512, (uint64_t)i * 1024, NULL), 0);
		if (b[0] != i % WRITERS + 1 || b[511] != b[0])
			fail_msg("block %d holds %d", i, b[0]);
	}
	vd_file_close(f);
}

static void holes(void **state)
{
	struct vd_file *f = file_open("holes", VD_POSIX_CREATE);
	VD_AUTO_FREE uint8_t *b = vd_malloc(1 << 20);
	uint64_t before, after, len = 4 << 20;
	bool data;

	(void)state;
	memset(b, 1, 1 << 20);
	for (int i = 0; i < 4; i++)
		assert_int_equal(vd_file_pwrite(f, b, 1 << 20, (uint64_t)i << 20, NULL), 0);
	assert_int_equal(vd_file_flush(f, NULL), 0);
	assert_int_equal(vd_file_allocated(f, &before, NULL), 0);
	assert_int_equal(vd_file_zero(f, (1 << 20) + 100, (2 << 20) - 200, true, NULL), 0);
	assert_int_equal(vd_file_allocated(f, &after, NULL), 0);
	assert_true(after + (1 << 20) < before);
	assert_int_equal(vd_file_extent(f, 0, &len, &data, NULL), 0);
	assert_true(data);
	assert_true(len > 1 << 20 && len < (1 << 20) + 65536);
	assert_int_equal(vd_file_pread(f, b, 300, (1 << 20) - 100, NULL), 0);
	for (int i = 0; i < 300; i++)
		assert_int_equal(b[i], i < 200);
	/* zeroing that may not punch takes space */
	assert_int_equal(vd_file_truncate(f, 0, NULL), 0);
	assert_int_equal(vd_file_zero(f, 0, 4 << 20, false, NULL), 0);
	assert_int_equal(vd_file_flush(f, NULL), 0);
	assert_int_equal(vd_file_allocated(f, &after, NULL), 0);
	assert_true(after >= 4 << 20);
	vd_file_close(f);
}

/* A loop device, where one can be had. */
static void block_device(void **state)
{
	struct vd_file *f;
	VD_AUTO_FREE uint8_t *b = vd_malloc(1 << 20);
	char dev[64] = "";
	vd_error err;
	FILE *p;
	uint64_t len;
	bool data;

	(void)state;
	run("head -c 1048576 /dev/urandom > %s", in_dir("loop"));
	snprintf((char *)b, 1000, "losetup -f --show %s 2>/dev/null", in_dir("loop"));
	p = popen((char *)b, "r");
	if (!p || !fgets(dev, sizeof(dev), p))
		dev[0] = 0;
	if (p)
		pclose(p);
	dev[strcspn(dev, "\n")] = 0;
	if (!dev[0])
		skip();
	assert_int_equal(vd_file_posix(AT_FDCWD, dev, "loop", VD_POSIX_RDWR, &f, &err), 0);
	assert_int_equal(f->flags, VD_FILE_SEEKABLE | VD_FILE_BLOCKDEV);
	assert_int_equal(vd_file_size(f), 1 << 20);
	assert_int_equal(vd_file_lock(f, true, &err), 0);
	assert_int_equal(vd_file_zero(f, 1000, 500000, true, &err), 0);
	assert_int_equal(vd_file_zero(f, 600000, 100000, false, &err), 0);
	assert_int_equal(vd_file_pread(f, b, 1 << 20, 0, &err), 0);
	for (int i = 0; i < 1 << 20; i++)
		if (((i >= 1000 && i < 501000) || (i >= 600000 && i < 700000)) && b[i])
			fail_msg("byte %d is not zero", i);
	assert_true(b[999] || b[998] || b[997] || b[996]);
	assert_true(b[501000] || b[501001] || b[501002] || b[501003]);
	assert_int_equal(vd_file_punch(f, 700001, 100000, &err), 0);
	assert_int_equal(vd_file_pwrite(f, "abc", 3, (1 << 20) - 2, &err), -1);
	assert_int_equal(err.kind, VDISK_IO);
	assert_int_equal(vd_file_truncate(f, 5, &err), -1);
	assert_int_equal(err.kind, VDISK_INVALID);
	assert_int_equal(vd_file_truncate(f, 1 << 20, &err), 0);
	len = 1000;
	assert_int_equal(vd_file_extent(f, 0, &len, &data, &err), 0);
	assert_true(data && len == 1000);
	assert_int_equal(vd_file_flush(f, &err), 0);
	vd_file_close(f);
	run("losetup -d %s", dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(opening),    cmocka_unit_test(wrong_types),          cmocka_unit_test(our_locks),
		cmocka_unit_test(qemu_locks), cmocka_unit_test(grow_while_appending), cmocka_unit_test(holes),
		cmocka_unit_test(block_device),
	};

	return cmocka_run_group_tests(tests, dir_make, dir_remove);
}
