/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A machine with LVM, as files below `root`: what the kernel shows of it, and LVM's programs, which only pretend. */
#ifndef UNIT_CAPTURE_LVM_H
#define UNIT_CAPTURE_LVM_H

#include "capture/find_text.h"
#include "capture/snap.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define MIB  ((size_t)1 << 20)
#define KIB  1024u
#define SIZE (16 * MIB)
#define G    "AAAAAA-BBBB-CCCC-DDDD-EEEE-FFFF-GGGGGG"
#define G_   "AAAAAABBBBCCCCDDDDEEEEFFFFGGGGGG"

static char root[] = "/tmp/vdisk-snap-XXXXXX";

static inline void path_of(char path[PATH_MAX], const char *name)
{
	assert_true(find_path(path, root, "%s", name));
	for (char *p = path + strlen(root) + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		if (mkdir(path, 0700) && errno != EEXIST)
			fail_msg("%s", path);
		*p = '/';
	}
}

static inline void file(const char *name, const char *text)
{
	char path[PATH_MAX];
	FILE *f;

	path_of(path, name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(0, fclose(f));
}

static inline void program(const char *name, const char *text)
{
	char path[PATH_MAX], in[64], whole[4096];

	snprintf(in, sizeof(in), "/bin/%s", name);
	snprintf(whole, sizeof(whole), "#!/bin/sh\nR=%s\necho \"%s $*\" >>$R/log\n%s", root, name, text);
	file(in, whole);
	path_of(path, in);
	assert_int_equal(0, chmod(path, 0700));
}

static inline void linked(const char *name, const char *target)
{
	char path[PATH_MAX];

	path_of(path, name);
	unlink(path);
	assert_int_equal(0, symlink(target, path));
}

static inline void folder(const char *name)
{
	char in[256], path[PATH_MAX];

	snprintf(in, sizeof(in), "%s/x", name);
	path_of(path, in);
}

static inline bool logged(const char *text)
{
	char log[8192];

	find_text(log, sizeof(log), root, "/log");
	return strstr(log, text) != NULL;
}

/* ---- the machine: sda with /boot and a volume group's part, sdb whole in the group; root linear, data striped over both, thin on
   neither */

static inline void mapping(unsigned n, const char *name, const char *volume)
{
	char in[128], text[128];

	snprintf(in, sizeof(in), "/sys/block/dm-%u/dm/name", n);
	file(in, name);
	snprintf(in, sizeof(in), "/sys/block/dm-%u/dm/uuid", n);
	snprintf(text, sizeof(text), "LVM-" G_ "%s\n", volume);
	file(in, text);
	snprintf(in, sizeof(in), "/sys/class/block/dm-%u", n);
	snprintf(text, sizeof(text), "../../block/dm-%u", n);
	linked(in, text);
	snprintf(in, sizeof(in), "/sys/dev/block/253:%u", n);
	linked(in, text);
	snprintf(in, sizeof(in), "/sys/block/dm-%u/slaves/sda2", n);
	folder(in);
}

static inline void machine_make(void)
{
	file("/sys/block/sda/sda1/partition", "1\n");
	file("/sys/block/sda/sda2/partition", "2\n");
	file("/sys/block/sda/sda2/start", "2048\n");
	file("/sys/block/sdb/size", "32768\n");
	linked("/sys/class/block/sda", "../../block/sda");
	linked("/sys/class/block/sda1", "../../block/sda/sda1");
	linked("/sys/class/block/sda2", "../../block/sda/sda2");
	linked("/sys/class/block/sdb", "../../block/sdb");
	linked("/sys/dev/block/8:1", "../../block/sda/sda1");
	linked("/sys/dev/block/8:2", "../../block/sda/sda2");
	linked("/sys/dev/block/8:16", "../../block/sdb");
	file("/dev/sda2", "");
	file("/dev/sdb", "");
	mapping(0, "vg-root\n", "root0000000000000000000000000000");
	mapping(1, "vg-my--data\n", "data0000000000000000000000000000");
	mapping(2, "vg-thin\n", "thin0000000000000000000000000000");
	file("/proc/self/mountinfo", "1 0 253:0 / / rw - ext4 /dev/mapper/vg-root rw\n"
	                             "2 1 253:1 / /data rw - xfs /dev/mapper/vg-my--data rw\n"
	                             "3 1 253:2 / /thin rw - ext4 /dev/mapper/vg-thin rw\n"
	                             "4 1 8:1 / /boot rw - ext4 /dev/sda1 rw\n");
	file("/etc/machine-id", "0123456789abcdef0123456789abcdef\n");
	file("/proc/sys/kernel/random/boot_id", "11111111-2222-3333-4444-555555555555\n");
}

/* 4 MiB of root; 2 MiB of data, in pieces of 64 KiB. */
static const char lvs[] = "  vg|root|" G "|root00-0000-0000-0000-0000-0000-000000|-wi-ao----|wz--n-|4194304|1048576|%s|\n"
                          "  vg|my-data|" G "|data00-0000-0000-0000-0000-0000-000000|-wi-ao----|wz--n-|2097152|1048576|%s|a,b\n"
                          "  vg|thin|" G "|thin00-0000-0000-0000-0000-0000-000000|Vwi-aotz--|wz--n-|2097152|1048576|%s|\n";
static const char pvs[] =
	"  /dev/sda2|vg|15728640|1048576|14|1048576\n  /dev/sdb|vg|16777216|1048576|15|1048576\n  /dev/sdc||1000|0|0|0\n  /dev/sdd||1000|||\n";
static const char table[] =
	"vg-root: 0 6144 linear 8:2 2048\nvg-root: 6144 2048 linear 8:16 2048\n"
	"vg-my--data: 0 4096 striped 2 128 8:2 10240 8:16 6144\nvg-thin: 0 4096 thin 253:9 1\ncrypt: 0 10 crypt aes-xts 0 8:3 0\n";

static inline struct lvm_facts facts_of(const char *left, const char *pvs_text, const char *table_text)
{
	struct lvm_facts f;
	vdisk_error err = { 0 };
	char text[2048];

	snprintf(text, sizeof(text), lvs, left, left, left);
	if (lvm_facts_read(&f, text, pvs_text, table_text, &err))
		fail_msg("%s", err.message);
	return f;
}

static inline struct live_mount *mount_of(struct live *l, const char *folder_)
{
	for (size_t i = 0; i < l->n; i++)
		if (!strcmp(l->mounts[i].folder, folder_))
			return &l->mounts[i];
	fail_msg("%s is not mounted", folder_);
	return NULL;
}

static const char *const names[] = { "sda", "sdb" };

/* lvcreate changes LVM's metadata, and copies what the volume holds at that moment: root, or data. */
static inline void programs_make(void)
{
	char text[2048];

	snprintf(text, sizeof(text), lvs, "104857600", "104857600", "104857600");
	file("/lvs", text);
	file("/pvs", pvs);
	file("/table", table);
	file("/status", "0 204800 snapshot 16/20480 16\n");
	program("lvs", "cat $R/lvs $R/lvs.more 2>/dev/null\nexit 0\n");
	program("pvs", "cat $R/pvs\n");
	program("dmsetup", "case $1 in table) cat $R/table $R/table.more 2>/dev/null; exit 0 ;; status) cat $R/status ;; esac\n");
	program("lvcreate",
	        "[ ! -e $R/refuse ] || { echo '  WARNING: x' >&2; echo '  Insufficient free space' >&2; exit 5; }\n"
	        "name=$3 volume=${12}\ncase $volume in vg/root) n=20 ;; vg/my-data) n=21 ;; *) exit 3 ;; esac\n"
	        "mkdir -p $R/sys/block/dm-$n/dm\necho vg-$(echo $name | sed s/-/--/g) >$R/sys/block/dm-$n/dm/name\n"
	        "cp $R/now-$n $R/dev/dm-$n\nprintf changed | dd of=$R/disk-0 bs=1 seek=1049000 conv=notrunc 2>/dev/null\n"
	        "printf changed | dd of=$R/disk-1 bs=1 seek=900 conv=notrunc 2>/dev/null\n"
	        "echo \"vg-$(echo $name | sed s/-/--/g)-cow: 0 2048 linear 8:16 20480\" >>$R/table.more\n");
	program("lvremove",
	        "[ ! -e $R/busy ] || { rm $R/busy; echo 'in use' >&2; exit 5; }\nrm -rf $R/sys/block/dm-2[01]\nrm -f $R/table.more\n");
}

static inline int path_set(void **state)
{
	char text[PATH_MAX + 32];

	(void)state;
	snprintf(text, sizeof(text), "%s/bin:/usr/bin:/bin", root);
	return setenv("PATH", text, 1);
}

static inline int root_make(void **state)
{
	if (!mkdtemp(root))
		return -1;
	machine_make();
	return path_set(state);
}

static inline int root_remove(void **state)
{
	char command[64];

	(void)state;
	snprintf(command, sizeof(command), "/bin/rm -rf %s", root);
	return system(command);
}

#endif
