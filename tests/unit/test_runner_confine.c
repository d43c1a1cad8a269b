/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a confined process can do and what it cannot: each in a child of its own, since there is no way back. */
#include "confine.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/vdisk-confine.XXXXXX";

/* Runs in the child; returns NULL or what went otherwise than it should. */
typedef const char *(*deed_fn)(void);

static void confined(const struct confine *c, deed_fn deed)
{
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (!child) {
		vdisk_error err = { 0 };
		const char *wrong = confine(c, &err) ? err.message : deed();

		if (wrong)
			dprintf(STDERR_FILENO, "confined: %s (errno %d)\n", wrong, errno);
		_exit(wrong ? 1 : 0);
	}
	assert_int_equal(child, waitpid(child, &status, 0));
	assert_true(WIFEXITED(status));
	assert_int_equal(0, WEXITSTATUS(status));
}

static bool went_through(long result)
{
	return result != -1 || (errno != EPERM && errno != EACCES);
}

#define MUST_FAIL(call) do { errno = 0; if (went_through(call)) return #call " went through"; } while (0)

static const char *deed_forbidden(void)
{
	char *argv[] = { "true", NULL };
	int status;

	MUST_FAIL(open("/etc/passwd", O_RDONLY));
	MUST_FAIL(open("/tmp/vdisk-confine-new", O_WRONLY | O_CREAT, 0600));
	MUST_FAIL(syscall(SYS_openat2, AT_FDCWD, "/etc/passwd", NULL, 0));
	MUST_FAIL(unlink(folder));
	MUST_FAIL(rename(folder, "/tmp/vdisk-confine-new"));
	MUST_FAIL(chmod(folder, 0777));
	MUST_FAIL(socket(AF_INET, SOCK_STREAM, 0));
	MUST_FAIL(socket(AF_UNIX, SOCK_STREAM, 0));
	MUST_FAIL(execve("/bin/true", argv, NULL));
	MUST_FAIL(fork());
	MUST_FAIL(kill(getppid(), 0));
	MUST_FAIL(syscall(SYS_tgkill, 1, 1, 0));
	MUST_FAIL(ptrace(PTRACE_TRACEME, 0, 0, 0));
	MUST_FAIL(syscall(SYS_process_vm_readv, 1, NULL, 0, NULL, 0, 0));
	MUST_FAIL(ioctl(STDIN_FILENO, TIOCSTI, "x"));
	MUST_FAIL(setuid(65534));
	MUST_FAIL(mount("none", folder, "tmpfs", 0, NULL));
	MUST_FAIL(waitpid(-1, &status, 0));
	if (mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED)
		return "memory that is executable";
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST_FAIL(mprotect(p, 4096, PROT_READ | PROT_EXEC));
	return NULL;
}

static void *thread(void *arg)
{
	int *opened = arg;

	*opened = open("/etc/passwd", O_RDONLY);
	return arg;
}

static int kept = -1; /* a file that was opened before */

static const char *deed_needed(void)
{
	pthread_t t;
	int opened = 0;
	uint64_t one = 1;
	void *back;
	char bytes[4];

	if (pwrite(kept, "text", 4, 0) != 4 || pread(kept, bytes, 4, 0) != 4 || memcmp(bytes, "text", 4) || fsync(kept) ||
	    fallocate(kept, FALLOC_FL_KEEP_SIZE, 0, 65536))
		return "a file that was open";
	int fd = eventfd(0, EFD_CLOEXEC);
	if (fd < 0 || write(fd, &one, 8) != 8)
		return "an eventfd";
	if (pthread_create(&t, NULL, thread, &opened) || pthread_join(t, &back) || back != &opened)
		return "a thread";
	if (opened != -1)
		return "the thread is not confined";
	void *big = malloc(64 << 20);
	if (!big)
		return "memory";
	free(big);
	return NULL;
}

static const char *deed_outputs(void)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/out", folder);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || write(fd, "x", 1) != 1)
		return "an output";
	MUST_FAIL(open("/etc/passwd", O_RDONLY));
	MUST_FAIL(open("/tmp/vdisk-confine-new", O_WRONLY | O_CREAT, 0600));
	MUST_FAIL(open(path, O_RDONLY));
	MUST_FAIL(socket(AF_INET, SOCK_STREAM, 0));
	return NULL;
}

static const char *deed_network(void)
{
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return "a socket";
	MUST_FAIL(bind(fd, (struct sockaddr *)&any, sizeof(any)));
	MUST_FAIL(listen(fd, 1));
	MUST_FAIL(socket(AF_UNIX, SOCK_STREAM, 0));
	MUST_FAIL(open("/etc/passwd", O_RDONLY));
	return NULL;
}

static void forbidden(void **state)
{
	static const struct confine c = { .network = false };

	(void)state;
	confined(&c, deed_forbidden);
}

static void needed(void **state)
{
	static const struct confine c = { .network = false };
	FILE *f = tmpfile();

	(void)state;
	assert_non_null(f);
	kept = fileno(f);
	confined(&c, deed_needed);
	fclose(f);
}

/* Without Landlock the folders are not told apart, and nothing can be said of that. */
static bool has_landlock(void)
{
	return syscall(444, NULL, 0, 1) >= 1;
}

static void outputs(void **state)
{
	char path[128];
	struct stat st;
	const struct confine c = { .outputs = { path } };

	(void)state;
	if (!has_landlock())
		skip();
	snprintf(path, sizeof(path), "%s/out", folder);
	confined(&c, deed_outputs);
	assert_int_equal(0, stat(path, &st));
	assert_int_equal(1, st.st_size);
	assert_int_equal(0, unlink(path));
}

static void network(void **state)
{
	static const struct confine c = { .network = true };

	(void)state;
	if (!has_landlock())
		skip();
	confined(&c, deed_network);
}

static void output_nowhere(void **state)
{
	const struct confine c = { .outputs = { "/nowhere/at/all" } };
	int status;
	pid_t child = fork();

	(void)state;
	if (!has_landlock())
		skip();
	if (!child) {
		vdisk_error err = { 0 };

		_exit(confine(&c, &err) == -1 && strstr(err.message, "/nowhere/at") ? 0 : 1);
	}
	assert_int_equal(child, waitpid(child, &status, 0));
	assert_true(WIFEXITED(status) && !WEXITSTATUS(status));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forbidden), cmocka_unit_test(needed), cmocka_unit_test(outputs), cmocka_unit_test(network),
		cmocka_unit_test(output_nowhere),
	};

	if (!mkdtemp(folder))
		return 1;
	int r = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(folder);
	return r;
}
