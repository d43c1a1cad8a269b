/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Three fences, each of which holds without the others: no capabilities and none to be gained; Landlock's rules about files; a list
 * of system calls, all others of which fail with EPERM.
 */
#include "confine.h"
#include "confine_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static int privileges_drop(vdisk_error *err)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { 0 };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return fail_errno(err, "giving up new privileges");
	if (syscall(SYS_capset, &head, none))
		return fail_errno(err, "giving up capabilities");
	return 0;
}

/* ---- Landlock: what of it the running kernel has.  Its later parts are not in every system's headers. */

struct rules {
	uint64_t files, network, scope;
};

#define FILES_V1     0x1fffull /* everything but the three below */
#define FILES_REFER  0x2000ull
#define FILES_CUT    0x4000ull /* truncation */
#define FILES_IOCTL  0x8000ull /* of devices opened from now on */
#define FILES_OUTPUT (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE | FILES_CUT)
#define NETWORK_TCP  0x3ull    /* bind, connect */
#define SCOPE_ALL    0x3ull    /* abstract sockets, signals */

static int path_allow(int rules, const char *path, uint64_t access, vdisk_error *err)
{
	struct landlock_path_beneath_attr rule = { .allowed_access = access };

	rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
	if (rule.parent_fd < 0)
		return fail_errno(err, "%s", path);
	int r = (int)syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
	close(rule.parent_fd);
	return r ? fail_errno(err, "%s: a rule of Landlock", path) : 0;
}

static int output_allow(int rules, const char *path, uint64_t handled, vdisk_error *err)
{
	char folder[PATH_MAX];
	const char *slash = strrchr(path, '/');
	int n = slash ? (int)(slash - path) : 1;

	snprintf(folder, sizeof(folder), "%.*s", slash == path ? 1 : n, slash ? path : ".");
	return path_allow(rules, folder, handled & FILES_OUTPUT, err);
}

static int rules_add(int rules, const struct confine *c, uint64_t handled, vdisk_error *err)
{
	vdisk_error none;

	for (unsigned i = 0; i < CONFINE_OUTPUTS_MAX; i++)
		if (c->outputs[i] && output_allow(rules, c->outputs[i], handled, err))
			return -1;
	if (c->network) { /* without them names are not resolved, or numbers less random, and the rest works */
		path_allow(rules, "/etc/resolv.conf", LANDLOCK_ACCESS_FS_READ_FILE, &none);
		path_allow(rules, "/dev/urandom", LANDLOCK_ACCESS_FS_READ_FILE, &none);
	}
	return 0;
}

static int landlock(const struct confine *c, vdisk_error *err)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	struct rules r = { .files = FILES_V1 };

	if (abi < 1)
		return 0; /* not built in, or switched off: the other fences stand */
	r.files |= (abi >= 2 ? FILES_REFER : 0) | (abi >= 3 ? FILES_CUT : 0) | (abi >= 5 ? FILES_IOCTL : 0);
	r.network = c->network ? 0 : NETWORK_TCP;
	r.scope = SCOPE_ALL;
	int fd = (int)syscall(SYS_landlock_create_ruleset, &r, abi >= 6 ? 24 : abi >= 4 ? 16 : 8, 0);
	if (fd < 0)
		return fail_errno(err, "Landlock");
	int result = rules_add(fd, c, r.files, err);
	if (!result && syscall(SYS_landlock_restrict_self, fd, 0))
		result = fail_errno(err, "Landlock");
	close(fd);
	return result;
}

int confine(const struct confine *c, vdisk_error *err)
{
	bool opens = c->network;

	for (unsigned i = 0; i < CONFINE_OUTPUTS_MAX; i++)
		opens |= c->outputs[i] != NULL;
	return privileges_drop(err) || landlock(c, err) || confine_calls(opens, c->network, err) ? -1 : 0;
}
