/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names of the old machine's disks, in fstab and its kin. */
#include "adapt_guest.h"

#include "devices.h"

#define ROOT "11111111-1111-4111-8111-111111111111"
#define SWAP "22222222-2222-4222-8222-222222222222"
#define HOME "33333333-3333-4333-8333-333333333333"
#define LUKS "44444444-4444-4444-8444-444444444444"

static const struct fact_fs one_disk[] = { FS(1, "ext4", ROOT, "/"), FS(2, "swap", SWAP, ""), FS(3, "xfs", HOME, ""),
	                                   FS(5, "crypto_LUKS", LUKS, "") };
static const struct fact_fs open_disk[] = { FS(1, "ext4", ROOT, "/"), FS(2, "swap", SWAP, ""), FS(3, "xfs", HOME, "") };
static const struct fact_fs two_disks[] = {
	FS(1, "ext4", ROOT, "/"), FS(2, "swap", SWAP, ""), FS(1, "xfs", HOME, "", .disk = 1), FS(2, "ext4", LUKS, "", .disk = 1),
};
static const struct adapt_options kvm = { .targets = TARGET_KVM };

static const struct {
	const char *name, *disk;
	unsigned part;
	int index;
} names[] = {
	{ "/dev/sda1", "/dev/sda", 1, 0 },
	{ "/dev/sdb", "/dev/sdb", 0, 1 },
	{ "/dev/sdaa12", "/dev/sdaa", 12, 26 },
	{ "/dev/hdc3", "/dev/hdc", 3, 2 },
	{ "/dev/vda2", "/dev/vda", 2, 0 },
	{ "/dev/xvdb1", "/dev/xvdb", 1, 1 },
	{ "/dev/nvme0n1p2", "/dev/nvme0n1", 2, 0 },
	{ "/dev/nvme1n1", "/dev/nvme1n1", 0, 1 },
	{ "/dev/mmcblk0p7", "/dev/mmcblk0", 7, 0 },
	{ "/dev/cciss/c0d1p3", "/dev/cciss/c0d1", 3, 1 },
	{ "/dev/cciss/c0d0", "/dev/cciss/c0d0", 0, 0 },
	{ "/dev/disk/by-id/ata-WDC_WD10-part-of_it-part2", "/dev/disk/by-id/ata-WDC_WD10-part-of_it", 2, -1 },
	{ "/dev/disk/by-path/pci-0000:00:1f.2-ata-1-part1", "/dev/disk/by-path/pci-0000:00:1f.2-ata-1", 1, -1 },
	{ "/dev/disk/by-id/dm-uuid-part3-mpath-3600508b4000156d7", "-mpath-3600508b4000156d7", 3, -1 },
	{ "/dev/mapper/mpatha", "/dev/mapper/mpatha", 0, -1 },
	{ "/dev/mapper/mpatha1", "/dev/mapper/mpatha", 1, -1 },
	{ "/dev/mapper/mpathap2", "/dev/mapper/mpatha", 2, -1 },
	{ "/dev/mapper/mpathb-part3", "/dev/mapper/mpathb", 3, -1 },
	{ "/dev/mapper/3600508b4000156d7000120000b00000ap1", "/dev/mapper/3600508b4000156d7000120000b00000a", 1, -1 },
	{ "/dev/mapper/3600508b4000156d7000120000b000001", "/dev/mapper/3600508b4000156d7000120000b000001", 0, -1 },
	{ "/dev/mapper/3600508b4000156d7000120000b000001-part12", "/dev/mapper/3600508b4000156d7000120000b000001", 12, -1 },
	{ "/dev/mapper/isw_bbgdgj_Volume0p5", "/dev/mapper/isw_bbgdgj_Volume0", 5, -1 },
};
static const char *const no_names[] = { "/dev/vg0/root",
	                                "/dev/mapper/vg0-root",
	                                "UUID=" ROOT,
	                                "LABEL=sda1",
	                                "/dev/md0",
	                                "/dev/sr0",
	                                "/dev/fd0",
	                                "tmpfs",
	                                "/dev/disk/by-uuid/" ROOT,
	                                "/dev/disk/by-id/md-uuid-1:2:3:4",
	                                "/dev/disk/by-id/dm-name-vg0-root",
	                                "/dev/disk/by-id/lvm-pv-uuid-x",
	                                "/dev/zram0",
	                                "/dev/sdA1",
	                                "/dev/sda1x",
	                                "/dev/sda0",
	                                "/dev/sd1",
	                                "/dev/sdaaaa1",
	                                "/dev/nvme0",
	                                "/dev/nvme0n1x2",
	                                "/dev/mapper/3abc",
	                                "/dev/mapper/cryptroot",
	                                "/dev/",
	                                "",
	                                "/dev/sda99999999999",
	                                "/swapfile",
	                                "/dev/disk/by-id/" };

static void test_names(void **state)
{
	struct device_name d;

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!device_parse(names[i].name, &d))
			fail_msg("%s is the name of a disk", names[i].name);
		if (strcmp(d.disk, names[i].disk) || d.part != names[i].part || d.index != names[i].index)
			fail_msg("%s: due %s, %u, %d, and it is %s, %u, %d", names[i].name, names[i].disk, names[i].part,
			         names[i].index, d.disk, d.part, d.index);
	}
	for (size_t i = 0; i < sizeof(no_names) / sizeof(no_names[0]); i++)
		if (device_parse(no_names[i], &d))
			fail_msg("%s is no name of a disk, and is read as %s, %u", no_names[i], d.disk, d.part);
}

static void test_fstab(void **state)
{
	const struct facts f = FACTS(one_disk);
	const struct edit edits[] = {
		{ "/etc/fstab",
		  "# /etc/fstab: static file system information.\n"
		  "\n"
		  "/dev/sda1\t/               ext4    errors=remount-ro 0       1\n"
		  "  /dev/sda2 none swap sw 0 0   # the swap\n"
		  "#/dev/sda3 /old xfs defaults 0 0\n"
		  "/dev/disk/by-id/ata-QEMU_1-part3 /home xfs defaults 0 2\r\n"
		  "/dev/vg0/srv /srv ext4 defaults 0 2\n"
		  "UUID=" ROOT " /again ext4 noauto 0 0\n"
		  "/dev/sr0 /media/cdrom0 udf,iso9660 user,noauto 0 0\n"
		  "/dev/sdb1 /data ext4 defaults,noatime 0 2\n"
		  "/dev/sdc1 /usb vfat noauto 0 0\n"
		  "/dev/sdb2\tnone\tswap",
		  "# /etc/fstab: static file system information.\n"
		  "\n"
		  "UUID=" ROOT "\t/               ext4    errors=remount-ro 0       1\n"
		  "  UUID=" SWAP " none swap sw 0 0   # the swap\n"
		  "#/dev/sda3 /old xfs defaults 0 0\n"
		  "UUID=" HOME " /home xfs defaults 0 2\r\n"
		  "/dev/vg0/srv /srv ext4 defaults 0 2\n"
		  "UUID=" ROOT " /again ext4 noauto 0 0\n"
		  "/dev/sr0 /media/cdrom0 udf,iso9660 user,noauto 0 0\n"
		  "/dev/sdb1 /data ext4 defaults,noatime,nofail 0 2\n"
		  "/dev/sdc1 /usb vfat noauto 0 0\n"
		  "/dev/sdb2\tnone\tswap defaults,nofail" },
		{ "/etc/crypttab",
		  "# name source key\ndata /dev/sda5 none luks\ncswap /dev/sda2 /dev/urandom swap,cipher=aes-xts-plain64\nfar /dev/sdb7 /dev/sdc1:/key luks\n",
		  "# name source key\ndata UUID=" LUKS
		  " none luks\ncswap PARTUUID=aabbccdd-02 /dev/urandom swap,cipher=aes-xts-plain64\n"
		  "far /dev/sdb7 /dev/sdc1:/key luks,nofail\n" },
		{ "/etc/initramfs-tools/conf.d/resume", "RESUME=/dev/sda2\n", "RESUME=UUID=" SWAP "\n" },
		{ "/etc/uswsusp.conf", "# x\nresume device = /dev/sda2\ncompress = y\n",
		  "# x\nresume device = /dev/disk/by-uuid/" SWAP "\ncompress = y\n" },
		{ "/etc/dracut.conf.d/a.conf", "hostonly=\"yes\"\nkernel_cmdline=\"rd.luks=0 resume=/dev/sda2\"\n",
		  "hostonly=\"yes\"\nkernel_cmdline=\"rd.luks=0 resume=UUID=" SWAP "\"\n" },
		{ 0 },
	};

	(void)state;
	guest_check(step_devices, &f, &kvm, edits, "/dev/sdb1 (/data) is on none of the disks");
}

/* Options of any length get one more, and stay in their field. */
static void test_long_options(void **state)
{
	const struct facts f = FACTS(one_disk);
	char before[2000], after[2000];
	const struct edit edits[] = { { "/etc/fstab", before, after },
		                      { "/etc/crypttab", "x /dev/sdb2 none -\n", "x /dev/sdb2 none luks,nofail\n" },
		                      { 0 } };

	(void)state;
	for (int n = 505; n <= 1500; n += n < 520 ? 1 : 245) {
		snprintf(before, sizeof(before), "/dev/sdb1 /mnt ext4 %0*d 0 2\n", n, 0);
		snprintf(after, sizeof(after), "/dev/sdb1 /mnt ext4 %0*d,nofail 0 2\n", n, 0);
		guest_check(step_devices, &f, &kvm, edits, "/dev/sdb1 (/mnt) is on none of the disks");
	}
}

/* The disk that / is on is the one that was taken along, whatever it was called. */
static void test_anchor(void **state)
{
	const struct facts f = FACTS(open_disk);
	const struct edit edits[] = {
		{ "/etc/fstab",
		  "/dev/sdb1 / ext4 defaults 0 1\n/dev/sda1 /data ext4 defaults 0 2\n/dev/sdb3 /home xfs defaults 0 2\nUUID=" LUKS
		  " /gone ext4 defaults 0 2\nLABEL=x /l ext4 nofail 0 0\n",
		  "UUID=" ROOT " / ext4 defaults 0 1\n/dev/sda1 /data ext4 defaults,nofail 0 2\nUUID=" HOME
		  " /home xfs defaults 0 2\nUUID=" LUKS " /gone ext4 defaults,nofail 0 2\nLABEL=x /l ext4 nofail 0 0\n" },
		{ 0 },
	};

	(void)state;
	guest_check(step_devices, &f, &kvm, edits, "UUID=" LUKS " (/gone) is on none of the disks");
}

static void test_two_disks(void **state)
{
	const struct facts f = FACTS(two_disks);
	const struct edit edits[] = {
		{ "/etc/fstab",
		  "/dev/sdb1 / ext4 defaults 0 1\n/dev/sda1 /data xfs defaults 0 2\n/dev/disk/by-id/wwn-0x5-part2 /more ext4 defaults 0 0\n/dev/sdc1 /usb ext4 defaults 0 0\n",
		  "UUID=" ROOT " / ext4 defaults 0 1\nUUID=" HOME " /data xfs defaults 0 2\nUUID=" LUKS
		  " /more ext4 defaults 0 0\n/dev/sdc1 /usb ext4 defaults,nofail 0 0\n" },
		{ 0 },
	};

	(void)state;
	guest_check(step_devices, &f, &kvm, edits, "/dev/sdc1 (/usb)");
}

/* A stick was mounted by its own name: its first partition is not the disk's. */
static void test_stick(void **state)
{
	const struct fact_fs esp[] = { FS(1, "vfat", "AAAA-BBBB", "/boot/efi"), FS(1, "vfat", "AAAA-BBBB", "/mnt/usb"),
		                       FS(2, "ext4", ROOT, "/") };
	const struct facts f = FACTS(esp);
	const struct edit edits[] = {
		{ "/etc/fstab",
		  "/dev/sda2 / ext4 defaults 0 1\nUUID=AAAA-BBBB /boot/efi vfat defaults 0 0\n/dev/disk/by-id/usb-Stick-0:0-part1 /mnt/usb vfat defaults 0 0\n",
		  "UUID=" ROOT
		  " / ext4 defaults 0 1\nUUID=AAAA-BBBB /boot/efi vfat defaults 0 0\n/dev/disk/by-id/usb-Stick-0:0-part1 /mnt/usb vfat defaults,nofail 0 0\n" },
		{ 0 },
	};

	(void)state;
	guest_check(step_devices, &f, &kvm, edits, "usb-Stick");
}

/* Subvolumes: one file system, an entry of the facts for each place. */
static void test_btrfs(void **state)
{
	const struct fact_fs disks[] = { FS(1, "btrfs", ROOT, "/"), FS(1, "btrfs", HOME, "/srv", .disk = 1),
		                         FS(1, "btrfs", HOME, "/var/lib", .disk = 1) };
	const struct facts f = FACTS(disks);
	const struct edit edits[] = {
		{ "/etc/fstab",
		  "/dev/sda1 / btrfs subvol=@ 0 0\n/dev/sda1 /home btrfs subvol=@home 0 0\n/dev/disk/by-id/x-part1 /srv btrfs subvol=a 0 0\n/dev/disk/by-id/x-part1 /var/lib btrfs subvol=b 0 0\n",
		  "UUID=" ROOT " / btrfs subvol=@ 0 0\nUUID=" ROOT " /home btrfs subvol=@home 0 0\nUUID=" HOME
		  " /srv btrfs subvol=a 0 0\nUUID=" HOME " /var/lib btrfs subvol=b 0 0\n" },
		{ 0 },
	};

	(void)state;
	guest_check(step_devices, &f, &kvm, edits, NULL);
}

/* A volume group that lay on another disk. */
static void test_volumes(void **state)
{
	const struct fact_fs disks[] = { FS(1, "ext4", ROOT, "/"),
		                         FS(2, "LVM2_member", SWAP, ""),
		                         { .where = "volumes/vg/srv",
		                           .device = "/dev/vg/srv",
		                           .type = "ext4",
		                           .uuid = HOME,
		                           .label = "",
		                           .partuuid = "",
		                           .partlabel = "",
		                           .mount = "",
		                           .subvolume = "",
		                           .fstab = "" } };
	const struct facts f = FACTS(disks);
	const struct edit edits[] = {
		{ "/etc/fstab",
		  "/dev/sda1 / ext4 defaults 0 1\n/dev/vg/srv /srv ext4 defaults 0 2\n/dev/mapper/vg-srv /srv2 ext4 defaults 0 2\n/dev/mapper/data-lv /data ext4 defaults 0 2\n/dev/data/other /other ext4 noauto 0 2\n/dev/data/x /x xfs rw 0 0\n/dev/md/raid /r xfs rw 0 0\n/dev/mapper/luks-x /l xfs rw 0 0\n",
		  "UUID=" ROOT
		  " / ext4 defaults 0 1\n/dev/vg/srv /srv ext4 defaults 0 2\n/dev/mapper/vg-srv /srv2 ext4 defaults 0 2\n/dev/mapper/data-lv /data ext4 defaults,nofail 0 2\n/dev/data/other /other ext4 noauto 0 2\n/dev/data/x /x xfs rw,nofail 0 0\n/dev/md/raid /r xfs rw 0 0\n/dev/mapper/luks-x /l xfs rw 0 0\n" },
		{ 0 },
	};

	(void)state;
	guest_check(step_devices, &f, &kvm, edits, "/dev/mapper/data-lv (/data)");
}

/* Nothing is known of the disks: nothing is changed. */
static void test_unknown(void **state)
{
	struct facts f = FACTS(one_disk);
	const struct edit edits[] = { { "/etc/fstab", "/dev/sda1 / ext4 defaults 0 1\nLABEL=x /y ext4 defaults 0 0\n", SAME },
		                      { 0 } };

	(void)state;
	f.fs_n = 0;
	guest_check(step_devices, &f, &kvm, edits, NULL);
}

static void test_storage(void **state)
{
	const struct facts f = FACTS(one_disk);
	const struct edit edits[] = {
		{ "/etc/lvm/lvm.conf",
		  "devices {\n\tfilter = [ \"a|/dev/sda|\", \"r|.*|\" ]\n\tglobal_filter = [ \"a/.*/\" ]\n\tfilter=[\"a@^/dev/mapper/mpath.*@\",\"r@.*@\"]\n\tfilter = [ \"r|/dev/sdb|\", \"r|/dev/cdrom|\" ]\n\t# filter = [ \"r|.*|\" ]\n}\n",
		  "devices {\n# vdisk: \tfilter = [ \"a|/dev/sda|\", \"r|.*|\" ]\n\tglobal_filter = [ \"a/.*/\" ]\n# vdisk: \tfilter=[\"a@^/dev/mapper/mpath.*@\",\"r@.*@\"]\n\tfilter = [ \"r|/dev/sdb|\", \"r|/dev/cdrom|\" ]\n\t# filter = [ \"r|.*|\" ]\n}\n" },
		{ "/etc/lvm/lvmlocal.conf",
		  "devices {\n\tglobal_filter = [\n\t\t\"a|^/dev/disk/by-id/x|\",\n\t\t\"r|.*|\" ]\n\tissue_discards = 1\n}\n",
		  "devices {\n# vdisk: \tglobal_filter = [\n# vdisk: \t\t\"a|^/dev/disk/by-id/x|\",\n# vdisk: \t\t\"r|.*|\" ]\n\tissue_discards = 1\n}\n" },
		{ "/etc/lvm/devices/system.devices",
		  "VERSION=1.1.1\nIDTYPE=sys_wwid IDNAME=naa.5000 DEVNAME=/dev/sda2 PVID=x PART=2\n", GONE },
		{ "/etc/mdadm/mdadm.conf",
		  "DEVICE /dev/sda1 /dev/sdb1\n  /dev/sdc1\nMAILADDR root\nARRAY /dev/md0 metadata=1.2 devices=/dev/sda1,/dev/sdb1 UUID=1:2:3:4\n",
		  "# vdisk: DEVICE /dev/sda1 /dev/sdb1\nDEVICE partitions\n# vdisk:   /dev/sdc1\nMAILADDR root\nARRAY /dev/md0 metadata=1.2 UUID=1:2:3:4\n" },
		{ "/etc/mdadm.conf", "DEVICE partitions\nARRAY /dev/md1 devices=/dev/sda1\n", SAME },
		{ 0 },
	};

	(void)state;
	guest_check(step_devices, &f, &kvm, edits, "vgimportdevices");
}

/* Where an array of LVM's settings ends. */
static void test_filters(void **state)
{
	static const struct {
		const char *before, *after, *remark;
	} v[] = {
#define COMMENTED "LVM's filter named disks of the old machine and refused all others"
		{ "filter = [ \"a|/dev/sd[ab].*|\", \"r|.*|\" ]\nx = 1\n",
		  "# vdisk: filter = [ \"a|/dev/sd[ab].*|\", \"r|.*|\" ]\nx = 1\n", COMMENTED },
		{ "filter = [ \"r|.*|\", \"a|/dev/sd[ab]|\",\n \"r|x|\" ]\nx = 1\n",
		  "# vdisk: filter = [ \"r|.*|\", \"a|/dev/sd[ab]|\",\n# vdisk:  \"r|x|\" ]\nx = 1\n", COMMENTED },
		{ "filter = [ # ] and \"r|.*\n'a|/dev/sda|', # don't\n \"a|\\\"]|\",'r|.*|'\n] # ]\nx = [ 1 ]\n",
		  "# vdisk: filter = [ # ] and \"r|.*\n# vdisk: 'a|/dev/sda|', # don't\n# vdisk:  \"a|\\\"]|\",'r|.*|'\n# vdisk: ] # ]\nx = [ 1 ]\n",
		  COMMENTED },
		{ "devices {\nfilter = [ \"a|sda|\", \"r|.*|\" ] }\nlog { x = 1 }",
		  "devices {\n# vdisk: filter = [ \"a|sda|\", \"r|.*|\" ] }\n}\nlog { x = 1 }", COMMENTED },
		/* Disks in a comment are none; arrays and comments within an array are none, either. */
		{ "filter = [ \"a|/dev/md|\", # was sda\n \"r|.*|\" ]\n", SAME, NULL },
		{ "filter = [ \"a|/dev/mdx[\n filter = [ a\", 'a|b]|' ]\n", SAME, NULL },
		{ "filter = [ \"a|/dev/sda|\", \"r|.*|\"\n", SAME, "does not end" },
		{ "filter = [ \"a|/dev/sda|, \"r|.*|\" ]\n", SAME, "does not end" },
		{ "filter = [ # \"a|/dev/sda|\", \"r|.*|\" ]", SAME, "does not end" },
		{ "filter = [ \"a|/dev/sda|\\", SAME, "does not end" },
	};
	const struct facts f = FACTS(one_disk);

	(void)state;
	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		const struct edit edits[] = { { "/etc/lvm/lvm.conf", v[i].before, v[i].after }, { 0 } };

		guest_check(step_devices, &f, &kvm, edits, v[i].remark);
	}
}

/* Arrays that never end, one within the other: each is looked at once, whatever there are of them. */
static void test_filters_many(void **state)
{
	const struct facts f = FACTS(one_disk);
	const size_t n = 100000;
	struct bytes b = { 0 };

	(void)state;
	for (size_t i = 0; i < n; i++)
		bytes_text(&b, "filter=[\n");
	const struct edit open[] = { { "/etc/lvm/lvm.conf", b.at, SAME }, { 0 } };
	guest_check(step_devices, &f, &kvm, open, "does not end");
	bytes_text(&b, "]\n");
	const struct edit closed[] = { { "/etc/lvm/lvm.conf", b.at, SAME }, { 0 } };
	guest_check(step_devices, &f, &kvm, closed, NULL);
	bytes_destroy(&b);
}

/* findmnt, which did not have to be told of our reading of fstab, finds the same entries afterwards. */
static void test_findmnt(void **state)
{
	const struct facts f = FACTS(one_disk);
	const struct edit edits[] = {
		{ "/etc/fstab", "/dev/sda1 / ext4 defaults 0 1\n/dev/sda2 none swap sw 0 0\n/dev/sdb1 /data ext4\n",
		  "UUID=" ROOT " / ext4 defaults 0 1\nUUID=" SWAP " none swap sw 0 0\n/dev/sdb1 /data ext4 defaults,nofail\n" },
		{ 0 },
	};
	char command[256], line[256], all[1024] = "";
	struct guest g;
	FILE *p;

	(void)state;
	if (access("/usr/bin/findmnt", X_OK))
		skip();
	guest_run(&g, step_devices, &f, &kvm, edits, "/data");
	snprintf(command, sizeof(command), "findmnt --tab-file %s/etc/fstab -rno SOURCE,TARGET,FSTYPE,OPTIONS", g.folder);
	p = popen(command, "r");
	assert_non_null(p);
	while (fgets(line, sizeof(line), p))
		strncat(all, line, sizeof(all) - strlen(all) - 1);
	assert_int_equal(pclose(p), 0);
	assert_string_equal(all,
	                    "UUID=" ROOT " / ext4 defaults\nUUID=" SWAP " none swap sw\n/dev/sdb1 /data ext4 defaults,nofail\n");
	guest_destroy(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),     cmocka_unit_test(test_fstab),   cmocka_unit_test(test_anchor),
		cmocka_unit_test(test_two_disks), cmocka_unit_test(test_stick),   cmocka_unit_test(test_btrfs),
		cmocka_unit_test(test_volumes),   cmocka_unit_test(test_unknown), cmocka_unit_test(test_storage),
		cmocka_unit_test(test_long_options), cmocka_unit_test(test_filters),   cmocka_unit_test(test_filters_many),
		cmocka_unit_test(test_findmnt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
