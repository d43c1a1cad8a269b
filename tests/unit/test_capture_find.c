/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a machine is, from a /sys and /proc that are made up: disks and their buses, NICs, processors, memory, firmware, mounts. */
#include "capture/boot.h"
#include "capture/find.h"
#include "capture/find_text.h"
#include "capture/live.h"

#include <errno.h>
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

static char root[] = "/tmp/vdisk-find-XXXXXX";

static void folders(char *path)
{
	for (char *p = path + strlen(root) + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		if (mkdir(path, 0700) && errno != EEXIST)
			fail_msg("%s", path);
		*p = '/';
	}
}

static void file_bytes(const char *name, const void *bytes, size_t n)
{
	char path[PATH_MAX];
	FILE *f;

	assert_true(find_path(path, root, "%s", name));
	folders(path);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(n, fwrite(bytes, 1, n, f));
	assert_int_equal(0, fclose(f));
}

static void file(const char *name, const char *text) { file_bytes(name, text, strlen(text)); }

static void folder(const char *name)
{
	char path[PATH_MAX];

	assert_true(find_path(path, root, "%s/x", name));
	folders(path);
}

/* Relative, as those of /sys are. */
static void link_make(const char *name, const char *target)
{
	char path[PATH_MAX];

	assert_true(find_path(path, root, "%s", name));
	folders(path);
	assert_int_equal(0, symlink(target, path));
}

static void disk(const char *name, const char *device, const char *sectors)
{
	char path[256], target[512];

	snprintf(path, sizeof(path), "/sys/block/%s/size", name);
	file(path, sectors);
	snprintf(target, sizeof(target), "/sys/class/block/%s", name);
	snprintf(path, sizeof(path), "../../block/%s", name);
	link_make(target, path);
	if (!device)
		return;
	snprintf(path, sizeof(path), "/sys/devices%s", device);
	folder(path);
	snprintf(path, sizeof(path), "/sys/block/%s/device", name);
	snprintf(target, sizeof(target), "../../devices%s", device);
	link_make(path, target);
}

static void partition(const char *of, const char *name, const char *number, const char *device)
{
	char path[256], target[256];

	snprintf(path, sizeof(path), "/sys/block/%s/%s/partition", of, name);
	file(path, number);
	snprintf(path, sizeof(path), "/sys/class/block/%s", name);
	snprintf(target, sizeof(target), "../../block/%s/%s", of, name);
	link_make(path, target);
	snprintf(path, sizeof(path), "/sys/dev/block/%s", device);
	link_make(path, target);
}

static void disks_make(void)
{
	disk("sda", "/pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0", "1000");
	file("/sys/class/scsi_host/host0/proc_name", "ahci\n");
	file("/sys/block/sda/device/model", "ST1000DM003-1CH1\n");
	file("/sys/block/sda/queue/rotational", "1\n");
	file("/sys/block/sda/queue/physical_block_size", "4096\n");
	file_bytes("/sys/block/sda/device/vpd_pg80", "\0\x80\0\x08Z1D\x07ser ", 12);
	disk("sdb", "/pci0000:00/0000:00:01.1/ata3/host2/target2:0:0/2:0:0:0", "2000");
	file("/sys/class/scsi_host/host2/proc_name", "pata_acpi\n");
	disk("sdc", "/pci0000:00/0000:00:01.1/ata2/host1/target1:0:1/1:0:1:0", "3000");
	file("/sys/class/scsi_host/host1/proc_name", "ata_piix\n");
	disk("sdd", "/pci0000:00/0000:03:00.0/host4/target4:2:0/4:2:0:0", "4000");
	file("/sys/class/scsi_host/host4/proc_name", "megaraid_sas\n");
	disk("sde", "/pci0000:00/0000:00:14.0/usb2/2-1/host5/target5:0:0/5:0:0:0", "5000");
	file("/sys/block/sde/removable", "1\n");
	disk("nvme0n1", "/pci0000:00/0000:01:00.0/nvme/nvme0", "6000");
	file("/sys/block/nvme0n1/device/serial", "S4EVNF0M  \n");
	disk("sr0", "/pci0000:00/0000:00:1f.2/ata5/host6/target6:0:0/6:0:0:0", "7000");
	file("/sys/block/sr0/device/type", "5\n");
	disk("sdf", "/pci0000:00/0000:00:1f.2/ata6/host7/target7:0:0/7:0:0:0", "0"); /* a reader without a card */
	disk("loop0", NULL, "800");
	disk("dm-0", NULL, "900");
	disk("md0", NULL, "900");
	disk("zram0", NULL, "900");
	partition("sda", "sda1", "1", "8:1");
	partition("sda", "sda2", "2", "8:2");
	partition("cciss!c0d0", "cciss!c0d0p1", "1", "104:1");
	link_make("/sys/dev/block/254:0", "../../block/dm-0");
	folder("/sys/block/dm-0/slaves/sda2");
	folder("/sys/block/dm-0/slaves/sdd");
}

static struct machine *m;

static void disks_of_the_machine(void **state)
{
	static const char *const expected[] = { "nvme0n1", "sda", "sdb", "sdc", "sdd" };
	size_t n;
	char **names = find_disks(root, &n);

	(void)state;
	assert_int_equal(5, n);
	for (size_t i = 0; i < n; i++)
		assert_string_equal(expected[i], names[i]);
	find_names_free(names, n);
}

static struct machine_disk *disk_found(const char *name)
{
	struct machine_disk *d = machine_disk_add(m);

	assert_non_null(d);
	d->name = machine_text(m, name);
	find_disk(m, d, name, root);
	return d;
}

static void how_disks_hang_on_it(void **state)
{
	struct machine_disk *d = disk_found("sda");

	(void)state;
	assert_int_equal(MACHINE_BUS_SATA, d->bus);
	assert_string_equal("ST1000DM003-1CH1", d->model);
	assert_string_equal("Z1D?ser", d->serial); /* what is no text does not get into it */
	assert_true(d->rotational);
	assert_int_equal(512, d->logical_sector);
	assert_int_equal(4096, d->physical_sector);
	d = disk_found("sdb");
	assert_int_equal(MACHINE_BUS_IDE, d->bus);
	assert_int_equal(-1, d->unit); /* its third channel has no place in an old machine */
	d = disk_found("sdc");
	assert_int_equal(MACHINE_BUS_IDE, d->bus);
	assert_int_equal(3, d->unit); /* secondary slave */
	d = disk_found("sdd");
	assert_int_equal(MACHINE_BUS_SCSI, d->bus);
	assert_int_equal(MACHINE_SCSI_MEGASAS, d->scsi);
	d = disk_found("sde");
	assert_int_equal(MACHINE_BUS_USB, d->bus);
	assert_true(d->removable);
	d = disk_found("nvme0n1");
	assert_int_equal(MACHINE_BUS_NVME, d->bus);
	assert_string_equal("S4EVNF0M", d->serial);
	assert_int_equal(0, machine_judge(m, NULL));
}

static void nics_and_their_addresses(void **state)
{
	(void)state;
	file("/sys/class/net/lo/address", "00:00:00:00:00:00\n");
	for (int i = 0; i < 2; i++) {
		char name[64];

		snprintf(name, sizeof(name), "/sys/class/net/eno%d/address", i + 1);
		file(name, "52:54:00:AA:bb:01\n"); /* in a bond, both show the first one's */
		snprintf(name, sizeof(name), "/sys/class/net/eno%d/type", i + 1);
		file(name, "1\n");
		snprintf(name, sizeof(name), "/sys/class/net/eno%d/bonding_slave/perm_hwaddr", i + 1);
		file(name, i ? "52:54:00:aa:bb:02\n" : "52:54:00:aa:bb:01\n");
		snprintf(name, sizeof(name), "/sys/class/net/eno%d/device/x", i + 1);
		file(name, "");
		snprintf(name, sizeof(name), "/sys/class/net/eno%d/device/driver", i + 1);
		link_make(name, i ? "../../bus/pci/drivers/e1000e" : "../../bus/pci/drivers/tg3");
	}
	folder("/sys/class/net/bond0/lower_eno1");
	folder("/sys/class/net/bond0/lower_eno2");
	folder("/sys/class/net/br0/lower_bond0");
	file("/proc/net/route",
	     "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\n"
	     "br0\t00000000\t0100A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\nbr0\t0000A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n");
	file("/etc/resolv.conf", "# comment\nnameserver 127.0.0.53\nnameserver 192.0.2.53\nsearch example.org\n");
	find_nics(m, root);
	assert_int_equal(2, m->nics_n);
	assert_string_equal("eno1", m->nics[0].name);
	assert_string_equal("52:54:00:aa:bb:01", m->nics[0].mac);
	assert_string_equal("tg3", m->nics[0].driver);
	assert_int_equal(MACHINE_NIC_UNKNOWN, m->nics[0].model);
	assert_string_equal("52:54:00:aa:bb:02", m->nics[1].mac);
	assert_int_equal(MACHINE_NIC_E1000E, m->nics[1].model);
	assert_int_equal(1, m->nics[0].gateways_n);
	assert_string_equal("192.168.0.1", m->nics[0].gateways[0]);
	assert_int_equal(1, m->nics[0].dns_n);
	assert_string_equal("192.0.2.53", m->nics[0].dns[0]);
	assert_int_equal(0, m->nics[1].dns_n);
}

static void board_of_a_server(void **state)
{
	char name[128];

	(void)state;
	file("/proc/sys/kernel/hostname", "mail\n");
	file("/sys/class/dmi/id/sys_vendor", "Dell Inc.\n");
	file("/sys/class/dmi/id/product_name", "To Be Filled By O.E.M.\n");
	file("/sys/class/dmi/id/product_uuid", "4C4C4544-0042-3510-8051-B4C04F333232\n");
	file_bytes("/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c", "\6\0\0\0\1", 5);
	for (int i = 0; i < 8; i++) { /* two sockets, two cores, two threads */
		char value[4];

		snprintf(name, sizeof(name), "/sys/devices/system/cpu/cpu%d/topology/physical_package_id", i);
		snprintf(value, sizeof(value), "%d", i / 2 % 2);
		file(name, value);
		snprintf(name, sizeof(name), "/sys/devices/system/cpu/cpu%d/topology/core_id", i);
		snprintf(value, sizeof(value), "%d", i % 2);
		file(name, value);
	}
	file("/sys/devices/system/cpu/cpufreq/x", "");
	file("/sys/devices/system/memory/block_size_bytes", "8000000\n");
	for (int i = 0; i < 5; i++) {
		snprintf(name, sizeof(name), "/sys/devices/system/memory/memory%d/online", i);
		file(name, i == 4 ? "0\n" : "1\n");
	}
	file("/sys/class/tpm/tpm0/tpm_version_major", "2\n");
	find_board(m, root);
	assert_string_equal("mail", m->name);
	assert_string_equal("4c4c4544-0042-3510-8051-b4c04f333232", m->uuid);
	assert_string_equal("Dell Inc.", m->host.vendor);
	assert_null(m->host.product);
	assert_int_equal(MACHINE_FIRMWARE_UEFI, m->firmware);
	assert_true(m->secure_boot);
	assert_int_equal(8, m->cpus);
	assert_int_equal(2, m->sockets);
	assert_int_equal(2, m->cores);
	assert_int_equal(2, m->threads);
	assert_int_equal((uint64_t)512 << 20, m->memory);
	assert_int_equal(MACHINE_TPM_2_0, m->tpm);
	assert_int_equal(0, machine_judge(m, NULL));
}

/* Boards without a UUID get one that is the same each time and on each system that is started on them. */
static void uuid_made_up(void **state)
{
	struct machine *again = machine_new();
	char path[PATH_MAX];

	(void)state;
	assert_non_null(again);
	find_path(path, root, "/sys/class/dmi/id/product_uuid");
	assert_int_equal(0, unlink(path));
	file("/etc/machine-id", "0123456789abcdef0123456789abcdef\n");
	find_board(m, root);
	file("/etc/machine-id", "fedcba9876543210fedcba9876543210\n"); /* another system, on the same board */
	find_board(again, root);
	assert_non_null(m->uuid);
	assert_string_equal(m->uuid, again->uuid);
	assert_int_equal(36, strlen(m->uuid));
	machine_free(again);
	again = machine_new();
	file("/sys/class/dmi/id/product_uuid", "03000200-0400-0500-0006-000700080009\n"); /* what many boards have */
	find_board(again, root);
	assert_string_equal(m->uuid, again->uuid);
	machine_free(again);
}

/* A boot record with a program or without, with one active partition or none. */
static void boot_record(const char *name, uint8_t program, uint32_t signature, uint8_t active)
{
	uint8_t s[512] = { program };

	memcpy(s + 440, &signature, 4);
	s[446 + 16] = active;
	s[510] = 0x55;
	s[511] = 0xaa;
	file_bytes(name, s, sizeof(s));
}

static void partition_note(const char *disk, const char *type, const char *mount)
{
	struct machine_partition *p = machine_partition_add(m);

	p->disk = machine_text(m, disk);
	p->type = machine_text(m, type);
	p->mount = mount ? machine_text(m, mount) : NULL;
}

#define ESP "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"

static void starts_from(const char *name)
{
	static const char *const names[] = { "sda", "sdb", "sdc" };
	static struct disk disks[3];

	for (size_t i = 0; i < 3; i++) {
		m->disks[i].boot = 0;
		assert_true((size_t)snprintf(disks[i].path, sizeof(disks[i].path), "%s/dev/%s", root, names[i]) < sizeof(disks[i].path));
	}
	boot_note(m, disks, 3, root);
	for (size_t i = 0; i < 3; i++)
		if (m->disks[i].boot != (name && !strcmp(name, names[i])))
			fail_msg("%s has place %u in the boot order, and %s is due to be first", names[i], m->disks[i].boot, name ? name : "none");
}

static void what_it_starts_from(void **state)
{
	(void)state;
	for (size_t i = 0; i < 3; i++)
		machine_disk_add(m)->name = i == 0 ? "sda" : i == 1 ? "sdb" : "sdc";
	file("/dev/sda", "short");
	file("/dev/sdc", "short");
	starts_from(NULL);
	boot_record("/dev/sda", 0, 0x11111111, 0);
	boot_record("/dev/sdb", 0xeb, 0x22222222, 0);
	boot_record("/dev/sdc", 0xeb, 0x33333333, 0);
	starts_from("sdb");
	boot_record("/dev/sdc", 0x33, 0x33333333, 0x80);
	starts_from("sdc");
	partition_note("sdb", "21686148-6449-6E6F-744E-656564454649", NULL); /* for GRUB on GPT: as good, and earlier */
	starts_from("sdb");
	file("/sys/firmware/edd/int13_dev80/mbr_signature", "0x44444444\n"); /* the stick */
	file("/sys/firmware/edd/int13_dev81/mbr_signature", "0x11111111\n");
	starts_from("sda");
	m->firmware = MACHINE_FIRMWARE_UEFI;
	starts_from(NULL);
	partition_note("sdb", ESP, NULL);
	partition_note("sdc", ESP, NULL);
	starts_from("sdb");
	partition_note("sdc", "0xef", "/boot/efi");
	starts_from("sdc");
}

static void what_is_mounted(void **state)
{
	static const char *const disks[] = { "sda", "sdb" };
	struct find_mounts mounts;
	struct live live;

	(void)state;
	file("/proc/self/mountinfo", "1 0 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
	                             "2 1 0:5 / /proc rw - proc proc rw\n"
	                             "3 1 254:0 / /srv/a\\040b rw - xfs /dev/mapper/vg-srv rw,attr2\n"
	                             "4 1 254:0 /sub /bind rw - xfs /dev/mapper/vg-srv rw,attr2\n"
	                             "5 1 8:1 / /ro ro - ext4 /dev/sda1 ro\n"
	                             "6 1 104:1 / /old rw - ext3 /dev/cciss/c0d0p1 rw\n"
	                             "broken\n");
	assert_int_equal(0, find_mounts(&mounts, root, NULL));
	assert_int_equal(7, mounts.n); /* the volume lies on two disks, and is mounted twice */
	assert_string_equal("sda", mounts.v[0].disk);
	assert_true(mounts.v[0].writable);
	assert_string_equal("/srv/a b", mounts.v[1].folder);
	assert_string_equal("dm-0", mounts.v[1].source);
	assert_string_equal("dm-0", mounts.v[1].device);
	assert_false(mounts.v[5].writable);
	assert_string_equal("cciss-c0d0", mounts.v[6].disk); /* as the capture calls it */
	find_mounts_free(&mounts);
	assert_int_equal(0, live_find(&live, disks, 2, root, NULL));
	assert_int_equal(2, live.n);
	assert_true(live_on(&live, "sda"));
	assert_false(live_on(&live, "sdb"));
	assert_false(live_frozen(&live, "sda"));
	assert_true(live_frozen(&live, "sdb"));
	/* What nobody mounted may be written to all the same: ZFS, a database. */
	file("/sys/class/block/sdb/stat", "1 0 8 0 5 0 100 0 0 0 0\n");
	live_watch(&live, root);
	assert_true(live_still(&live, "sdb", root));
	file("/sys/class/block/sdb/stat", "1 0 8 0 6 0 108 0 0 0 0\n");
	assert_false(live_still(&live, "sdb", root));
	live_free(&live);
}

/* sdh and sdi are paths of a map with a partition; sdj and sdk an array of the board's, and sdl what it has in reserve; md5 is
   Linux' own. */
static void stacks_make(void)
{
	char device[128];

	for (int i = 0; i < 5; i++) {
		char name[] = { 's', 'd', (char)('h' + i), '\0' };

		snprintf(device, sizeof(device), "/pci0000:00/0000:03:00.0/host4/target4:3:%d/4:3:%d:0", i, i);
		disk(name, device, "1000");
	}
	disk("dm-4", NULL, "1000");
	file("/sys/block/dm-4/dm/uuid", "mpath-3600508b400105e210000900000490000\n");
	file("/sys/block/dm-4/dm/name", "mpath a\n");
	file("/sys/block/dm-4/queue/rotational", "1\n");
	file("/sys/block/sdh/device/model", "LUN\n");
	disk("dm-5", NULL, "900");
	file("/sys/block/dm-5/dm/uuid", "part1-mpath-3600508b400105e210000900000490000\n");
	folder("/sys/block/dm-5/slaves/dm-4");
	link_make("/sys/dev/block/254:5", "../../block/dm-5");
	for (int i = 0; i < 2; i++) {
		snprintf(device, sizeof(device), "/sys/block/dm-4/slaves/sd%c", "hi"[i]);
		folder(device);
		snprintf(device, sizeof(device), "/sys/block/sd%c/holders/dm-4", "hi"[i]);
		folder(device);
	}
	disk("md127", NULL, "0");
	file("/sys/block/md127/md/metadata_version", "external:imsm\n");
	disk("md126", NULL, "1900");
	file("/sys/block/md126/md/metadata_version", "external:/md127/0\n");
	partition("md126", "md126p1", "1", "259:1");
	file("/sys/block/md126/md126p1/start", "2048\n");
	for (int i = 0; i < 3; i++) {
		snprintf(device, sizeof(device), "/sys/block/sd%c/holders/md127", "jkl"[i]);
		folder(device);
		if (i < 2) {
			snprintf(device, sizeof(device), "/sys/block/sd%c/holders/md126", "jk"[i]);
			folder(device);
			snprintf(device, sizeof(device), "/sys/block/md126/slaves/sd%c", "jk"[i]);
			folder(device);
		}
	}
	disk("md5", NULL, "900");
	file("/sys/block/md5/md/metadata_version", "1.2\n");
	folder("/sys/block/md5/slaves/sda1");
	folder("/sys/block/sdd/holders/md5");
}

static void disks_that_others_make(void **state)
{
	static const char *const expected[] = { "dm-4", "md126", "nvme0n1", "sda", "sdb", "sdc", "sdd" };
	static const char *const disks[] = { "mpath-a" };
	struct find_mounts mounts;
	struct live live;
	char text[TRANSFER_NAME_MAX + 1];
	uint64_t off;
	size_t n;
	char **names;

	(void)state;
	stacks_make();
	names = find_disks(root, &n);
	for (size_t i = 0; i < n && i < 7; i++)
		assert_string_equal(expected[i], names[i]);
	assert_int_equal(7, n);
	find_names_free(names, n);
	assert_int_equal(FIND_MULTIPATH, find_stack(root, "dm-4"));
	assert_int_equal(FIND_PLAIN, find_stack(root, "dm-5")); /* its partition */
	assert_int_equal(FIND_RAID, find_stack(root, "md126"));
	assert_int_equal(FIND_PLAIN, find_stack(root, "md127")); /* the container */
	assert_int_equal(FIND_PLAIN, find_stack(root, "md5"));
	assert_int_equal(FIND_MULTIPATH, find_member_of(text, root, "sdi"));
	assert_string_equal("dm-4", text);
	assert_int_equal(FIND_RAID, find_member_of(text, root, "sdl"));
	assert_string_equal("md126", text);
	assert_int_equal(FIND_PLAIN, find_member_of(text, root, "sdd"));
	find_disk_name(text, root, "dm-4");
	assert_string_equal("mpath-a", text);
	assert_true(find_disk_kernel(text, root, "mpath-a"));
	assert_string_equal("dm-4", text);
	assert_true(find_place(text, &off, root, "md126p1"));
	assert_string_equal("md126", text);
	assert_int_equal(1048576, off);
	assert_true(find_place(text, &off, root, "dm-4"));
	assert_false(find_place(text, &off, root, "dm-5"));
	/* What is mounted of it is on the map, and on its paths, for whoever names one. */
	file("/proc/self/mountinfo", "1 0 254:5 / /srv rw - ext4 /dev/mapper/mpatha-part1 rw\n");
	assert_int_equal(0, find_mounts(&mounts, root, NULL));
	assert_int_equal(3, mounts.n);
	assert_string_equal("mpath-a", mounts.v[2].disk);
	find_mounts_free(&mounts);
	assert_int_equal(0, live_find(&live, disks, 1, root, NULL));
	assert_int_equal(1, live.n);
	assert_string_equal("dm-4", live.disks[0].kernel);
	live_free(&live);
}

static void what_a_map_hangs_on(void **state)
{
	struct machine_disk *d = disk_found("dm-4");

	(void)state;
	assert_int_equal(MACHINE_BUS_SCSI, d->bus); /* its first path's */
	assert_string_equal("LUN", d->model);
}

static void btrfs_on_several(void **state)
{
	static const char *const both[] = { "sda", "sdb" }, *const one[] = { "sdb", "sdc" }, *const none[] = { "sdc" };
	struct live live;

	(void)state;
	folder("/sys/fs/btrfs/features");
	folder("/sys/fs/btrfs/2b0f8f5e-7f0a-4b55-8c8e-5f5a1f6f0b12/devices/sda2");
	folder("/sys/fs/btrfs/2b0f8f5e-7f0a-4b55-8c8e-5f5a1f6f0b12/devices/sdb");
	file("/dev/sda2", "");
	file("/proc/self/mountinfo",
	     "1 0 0:31 /@ / rw - btrfs /dev/sda2 rw,subvol=/@\n2 1 0:31 /@home /home rw - btrfs /dev/sda2 rw,subvol=/@home\n");
	assert_int_equal(0, live_find(&live, both, 2, root, NULL));
	assert_int_equal(1, live.n);
	assert_true(live_on(&live, "sda") && live_on(&live, "sdb"));
	assert_int_equal(0, live.n_lacks);
	file("/sys/class/block/sda2/stat", "1 0 8 0 5 0 100 0 0 0 0\n");
	file("/sys/class/block/sdb/stat", "1 0 8 0 5 0 100 0 0 0 0\n");
	live_watch(&live, root);
	assert_true(live_still(&live, "sda", root));
	file("/sys/class/block/sdb/stat", "1 0 8 0 6 0 108 0 0 0 0\n"); /* what is written to its other device changes this one's
	                                                                   state, too */
	assert_false(live_still(&live, "sda", root));
	live_free(&live);
	assert_int_equal(0, live_find(&live, one, 2, root, NULL));
	assert_true(live_on(&live, "sdb"));
	assert_int_equal(1, live.n_lacks);
	assert_string_equal("/ (btrfs) lies on sda2, too, which is not captured: without it the file system may not be whole",
	                    live.lacks[0]);
	live_free(&live);
	assert_int_equal(0, live_find(&live, none, 1, root, NULL));
	assert_int_equal(0, live.n_lacks);
	live_free(&live);
}

static int machine_begin(void **state)
{
	(void)state;
	m = machine_new();
	return m ? 0 : -1;
}

static int machine_end(void **state)
{
	(void)state;
	machine_free(m);
	return 0;
}

static int root_make(void **state)
{
	(void)state;
	if (!mkdtemp(root))
		return -1;
	disks_make();
	return 0;
}

static int root_remove(void **state)
{
	char command[64];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", root);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(disks_of_the_machine),
		cmocka_unit_test_setup_teardown(how_disks_hang_on_it, machine_begin, machine_end),
		cmocka_unit_test_setup_teardown(nics_and_their_addresses, machine_begin, machine_end),
		cmocka_unit_test_setup_teardown(board_of_a_server, machine_begin, machine_end),
		cmocka_unit_test_setup_teardown(uuid_made_up, machine_begin, machine_end),
		cmocka_unit_test_setup_teardown(what_it_starts_from, machine_begin, machine_end),
		cmocka_unit_test(what_is_mounted),
		cmocka_unit_test(disks_that_others_make),
		cmocka_unit_test_setup_teardown(what_a_map_hangs_on, machine_begin, machine_end),
		cmocka_unit_test(btrfs_on_several),
	};

	return cmocka_run_group_tests(tests, root_make, root_remove);
}
