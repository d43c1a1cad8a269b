/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/child_confine.h"

#include <errno.h>
#include <seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define MEMORY_BYTES (UINT64_C(2) << 30)
#define FILES_MAX 64

static int limits(void)
{
	const struct { int what; rlim_t most; } v[] = {
		{ RLIMIT_AS, MEMORY_BYTES }, { RLIMIT_NOFILE, FILES_MAX }, { RLIMIT_CORE, 0 },
		{ RLIMIT_FSIZE, 0 }, /* not a byte into any regular file; /dev/fuse is none */
	};

	signal(SIGXFSZ, SIG_IGN);
	for (size_t i = 0; i < sizeof(v) / sizeof(*v); i++) {
		struct rlimit r = { v[i].most, v[i].most };

		if (setrlimit((__rlimit_resource_t)v[i].what, &r))
			return -1;
	}
	return 0;
}

static int filter(const char *path)
{
	static const int calls[] = {
		SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev), SCMP_SYS(pread64), SCMP_SYS(lseek),
		SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(close), SCMP_SYS(stat), SCMP_SYS(fstat), SCMP_SYS(lstat),
		SCMP_SYS(newfstatat), SCMP_SYS(statx), SCMP_SYS(statfs), SCMP_SYS(fstatfs), SCMP_SYS(access), SCMP_SYS(faccessat),
		SCMP_SYS(faccessat2), SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(getdents64), SCMP_SYS(getcwd),
		SCMP_SYS(chdir), SCMP_SYS(fcntl), SCMP_SYS(dup), SCMP_SYS(dup2), SCMP_SYS(dup3), SCMP_SYS(pipe), SCMP_SYS(pipe2),
		SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(select), SCMP_SYS(pselect6), SCMP_SYS(mmap), SCMP_SYS(mprotect),
		SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(brk), SCMP_SYS(futex), SCMP_SYS(rt_sigaction),
		SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(sigaltstack), SCMP_SYS(clone), SCMP_SYS(fork),
		SCMP_SYS(wait4), SCMP_SYS(setsid), SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(getuid), SCMP_SYS(geteuid),
		SCMP_SYS(getgid), SCMP_SYS(getegid), SCMP_SYS(set_tid_address), SCMP_SYS(set_robust_list), SCMP_SYS(rseq),
		SCMP_SYS(prlimit64), SCMP_SYS(getrandom), SCMP_SYS(arch_prctl), SCMP_SYS(clock_gettime),
		SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep), SCMP_SYS(sched_yield), SCMP_SYS(restart_syscall), SCMP_SYS(exit),
		SCMP_SYS(exit_group), SCMP_SYS(mount), SCMP_SYS(umount2), SCMP_SYS(tgkill),
	};
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int rc = ctx ? 0 : -1;

	for (size_t i = 0; !rc && i < sizeof(calls) / sizeof(*calls); i++)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, calls[i], 0);
	if (!rc)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0); /* so that clone is taken */
	if (!rc)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(execve), 1,
		                      SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)(uintptr_t)path));
	if (!rc)
		rc = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_NNP, 0); /* root needs none */
	if (!rc)
		rc = seccomp_load(ctx);
	if (ctx)
		seccomp_release(ctx);
	return rc ? -1 : 0;
}

int child_confine(const char *path)
{
	if (limits())
		return -1;
	return geteuid() ? 0 : filter(path);
}
