/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the runner, the library under it and libc's threads need, and no more.  Pure but for the filter that it loads. */
#include "confine_calls.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#define CALL(name) SCMP_SYS(name)

static const int plain[] = {
	/* bytes */
	CALL(read), CALL(write), CALL(readv), CALL(writev), CALL(pread64), CALL(pwrite64), CALL(preadv), CALL(pwritev),
	CALL(preadv2), CALL(pwritev2), CALL(lseek), CALL(close), CALL(fsync), CALL(fdatasync), CALL(sync_file_range),
	CALL(fallocate), CALL(ftruncate), CALL(fadvise64), CALL(fstat), CALL(newfstatat), CALL(fcntl), CALL(pipe2), CALL(dup),
	/* memory */
	CALL(brk), CALL(munmap), CALL(mremap), CALL(madvise),
	/* waiting */
	CALL(poll), CALL(ppoll), CALL(epoll_create1), CALL(epoll_ctl), CALL(epoll_wait), CALL(epoll_pwait), CALL(eventfd2),
	CALL(futex), CALL(clock_gettime), CALL(clock_getres), CALL(clock_nanosleep), CALL(nanosleep), CALL(gettimeofday),
	CALL(time), CALL(restart_syscall),
	/* threads */
	CALL(set_robust_list), CALL(rseq), CALL(gettid), CALL(getpid), CALL(getppid), CALL(sched_yield), CALL(sched_getaffinity),
	CALL(membarrier), CALL(exit), CALL(exit_group), CALL(rt_sigaction), CALL(rt_sigprocmask), CALL(rt_sigreturn),
	CALL(sigaltstack),
	/* facts */
	CALL(getrandom),
	CALL(sysinfo),
	CALL(uname),
};

static const int opening[] = {
	CALL(open), CALL(openat), CALL(rename), CALL(renameat), CALL(renameat2), CALL(unlink), CALL(unlinkat),
	CALL(umask), CALL(fchmod),
};

/* What connects, and nothing that listens. */
static const int connecting[] = {
	CALL(connect), CALL(sendto), CALL(recvfrom), CALL(sendmsg), CALL(recvmsg), CALL(setsockopt), CALL(getsockopt),
	CALL(getsockname), CALL(getpeername), CALL(shutdown),
};

static int calls_allow(scmp_filter_ctx f, const int *calls, unsigned n)
{
	int r = 0;

	for (unsigned i = 0; i < n && !r; i++)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, calls[i], 0);
	return r;
}

static int ioctls_allow(scmp_filter_ctx f)
{
	/* Of terminals: their modes, not what could push characters into them. */
	static const unsigned single[] = { TCGETS, TCSETS, TCSETSW, TCSETSF, TIOCGWINSZ, FIONREAD, FIONBIO };
	/* KVM's, and block devices' (discard, zero out, sizes). */
	static const unsigned families[] = { 0xae00, 0x1200 };
	int r = 0;

	for (unsigned i = 0; i < sizeof(families) / sizeof(*families) && !r; i++)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, CALL(ioctl), 1, SCMP_A1(SCMP_CMP_MASKED_EQ, 0xff00, families[i]));
	for (unsigned i = 0; i < sizeof(single) / sizeof(*single) && !r; i++)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, CALL(ioctl), 1, SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, single[i]));
	return r;
}

static int guarded_allow(scmp_filter_ctx f)
{
	/* Threads, no processes.  clone3's flags cannot be looked at; libc then takes clone. */
	const scmp_datum_t thread = CLONE_THREAD | CLONE_VM;
	int r = seccomp_rule_add(f, SCMP_ACT_ALLOW, CALL(clone), 1, SCMP_A0(SCMP_CMP_MASKED_EQ, thread, thread));

	r = r ? r : seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), CALL(clone3), 0);
	r = r ? r : seccomp_rule_add(f, SCMP_ACT_ALLOW, CALL(mmap), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	r = r ? r : seccomp_rule_add(f, SCMP_ACT_ALLOW, CALL(mprotect), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	r = r ? r : seccomp_rule_add(f, SCMP_ACT_ALLOW, CALL(tgkill), 1, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
	r = r ? r : seccomp_rule_add(f, SCMP_ACT_ALLOW, CALL(prlimit64), 1, SCMP_A2(SCMP_CMP_EQ, 0)); /* asks only */
	return r;
}

static int network_allow(scmp_filter_ctx f)
{
	static const int families[] = { AF_INET, AF_INET6 };
	int r = calls_allow(f, connecting, sizeof(connecting) / sizeof(*connecting));

	for (unsigned i = 0; i < 2 && !r; i++)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, CALL(socket), 1, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i]));
	return r;
}

int confine_calls(bool opens, bool network, vdisk_error *err)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ERRNO(EPERM));

	if (!f)
		return fail(err, VDISK_NOMEM, "out of memory");
	int r = calls_allow(f, plain, sizeof(plain) / sizeof(*plain));
	r = r ? r : ioctls_allow(f);
	r = r ? r : guarded_allow(f);
	if (opens)
		r = r ? r : calls_allow(f, opening, sizeof(opening) / sizeof(*opening));
	if (network)
		r = r ? r : network_allow(f);
	r = r ? r : seccomp_load(f);
	seccomp_release(f);
	if (!r)
		return 0;
	errno = -r;
	return fail_errno(err, "the filter of system calls");
}
