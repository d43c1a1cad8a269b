/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whole guests as their distributions install them on real machines, through facts_read() and all the steps that need no kernel:
   what each file says afterwards, what GRUB's and util-linux' own readers say of them, and that a second run finds nothing to
   do. */
#include "adapt_guest.h"

#define ROOT "11111111-1111-4111-8111-111111111111"
#define BOOT "22222222-2222-4222-8222-222222222222"
#define SWAP "33333333-3333-4333-8333-333333333333"
#define ESP "ABCD-1234"

/* What the disks of the test that runs hold: where, type, uuid, partuuid; facts_read() wants them on the heap. */
struct holds {
	const char *where, *type, *uuid, *partuuid;
};

static const struct holds *holds;

static void facts_fill(struct facts *f, struct tree *t)
{
	vdisk_error err = { 0 };

	*f = (struct facts){ 0 };
	for (const struct holds *h = holds; h->where; h++) {
		f->fs = reallocarray(f->fs, f->fs_n + 1, sizeof(*f->fs));
		assert_non_null(f->fs);
		f->fs[f->fs_n++] = (struct fact_fs){
			.where = strdup(h->where), .type = strdup(h->type), .uuid = strdup(h->uuid), .partuuid = strdup(h->partuuid)
		};
	}
	if (facts_read(f, t, &err))
		fail_msg("%s", err.message);
}

/* The steps in the program's order, by facts as they are now. */
static int all_steps(struct plan *p, const struct facts *none, const struct adapt_options *o, vdisk_error *err)
{
	struct facts f;
	int rc;

	(void)none;
	facts_fill(&f, p->guest);
	rc = step_devices(p, &f, o, err) || step_loader(p, &f, o, err) || step_network(p, &f, o, err) || step_agents(p, &f, o, err)
	             ? -1
	             : 0;
	facts_destroy(&f);
	return rc;
}

static void run(const struct holds *disk, const struct edit *edits, unsigned targets, const char *grub_cfg, const char *remark)
{
	const struct adapt_options o = { .targets = targets };
	struct guest g;

	holds = disk;
	guest_run(&g, all_steps, NULL, &o, edits, remark);
	if (grub_cfg && !access("/usr/bin/grub-script-check", X_OK)) {
		char command[512];

		snprintf(command, sizeof(command), "/usr/bin/grub-script-check %s%s", g.folder, grub_cfg);
		assert_int_equal(system(command), 0);
	}
	if (!access("/usr/bin/findmnt", X_OK)) {
		char command[512];

		snprintf(command, sizeof(command),
		         "! /usr/bin/findmnt --tab-file %s/etc/fstab -no SOURCE | grep -E '^/dev/(sd|nvme|disk/by-id|cciss)'",
		         g.folder);
		if (system(command))
			fail_msg("a name of the old machine is left in fstab");
	}
	guest_destroy(&g);
}

static const char *environment(const char *text)
{
	static char blocks[4][1025];
	static unsigned n;
	char *block = blocks[n++ % 4];

	memset(block, '#', 1024);
	block[1024] = '\0';
	memcpy(block, text, strlen(text));
	return block;
}

#define NAMES "# Made by vdisk adapt: the names of network cards, in the cards' order on the bus, and the MAC that each had (-: not known).\n" \
	"# A card with one of these MACs gets its name; any other the name at its place.\n"

/* --------------------------------------------------- RHEL 9: LVM by a list of devices, BLS, shim with its own fallback, SELinux */

static void test_rhel9(void **state)
{
	static const struct holds disk[] = { { "disk", "", "", "" },
		                             { "partitions/1", "vfat", ESP, "p1" },
		                             { "partitions/2", "xfs", BOOT, "p2" },
		                             { "partitions/3", "LVM2_member", "lvm", "p3" },
		                             { "volumes/rhel/root", "xfs", ROOT, "" },
		                             { "volumes/rhel/swap", "swap", SWAP, "" },
		                             { 0 } };
	const struct edit edits[] = {
		{ "/etc/os-release",
		  "ID=\"rhel\"\nID_LIKE=\"fedora\"\nVERSION_ID=\"9.3\"\nPRETTY_NAME=\"Red Hat Enterprise Linux 9.3 (Plow)\"\n",
		  SAME },
		{ "/etc/fstab",
		  "\n#\n# Accessible filesystems, by reference, are maintained under '/dev/disk/'.\n#\n/dev/mapper/rhel-root   /                       xfs     defaults        0 0\n/dev/sda2 /boot xfs defaults 0 0\n/dev/sda1          /boot/efi               vfat    umask=0077,shortname=winnt 0 2\n/dev/mapper/rhel-swap   none                    swap    defaults        0 0\n",
		  "\n#\n# Accessible filesystems, by reference, are maintained under '/dev/disk/'.\n#\n/dev/mapper/rhel-root   /                       xfs     defaults        0 0\nUUID=" BOOT
		  " /boot xfs defaults 0 0\nUUID=" ESP
		  "          /boot/efi               vfat    umask=0077,shortname=winnt 0 2\n/dev/mapper/rhel-swap   none                    swap    defaults        0 0\n" },
		{ "/etc/lvm/devices/system.devices",
		  "VERSION=1.1.2\nIDTYPE=sys_wwid IDNAME=naa.500 DEVNAME=/dev/sda3 PVID=x PART=3\n", GONE },
		{ "/boot/loader/entries/f00-5.14.0-362.el9.x86_64.conf",
		  "title Red Hat Enterprise Linux (5.14.0-362.el9.x86_64) 9.3 (Plow)\nversion 5.14.0-362.el9.x86_64\nlinux /vmlinuz-5.14.0-362.el9.x86_64\ninitrd /initramfs-5.14.0-362.el9.x86_64.img $tuned_initrd\noptions root=/dev/mapper/rhel-root ro resume=/dev/mapper/rhel-swap rd.lvm.lv=rhel/root rd.lvm.lv=rhel/swap $tuned_params\ngrub_users $grub_users\n",
		  SAME },
		{ "/boot/grub2/grub.cfg",
		  "load_env -f ${config_directory}/grubenv\nset boot=${root}\nsearch --no-floppy --fs-uuid --set=boot " BOOT
		  "\ninsmod blscfg\nblscfg\n",
		  SAME },
		{ "/boot/grub2/grubenv",
		  environment("# GRUB Environment Block\nsaved_entry=f00-5.14.0-362.el9.x86_64\nboot_success=1\n"), SAME },
		{ "/boot/efi/EFI/redhat/shimx64.efi", "shim", SAME },
		{ "/boot/efi/EFI/redhat/grubx64.efi", "grub", SAME },
		{ "/boot/efi/EFI/BOOT/BOOTX64.EFI", "shim", SAME },
		{ "/boot/efi/EFI/BOOT/fbx64.efi", "fallback", SAME },
		{ "/boot/efi/EFI/BOOT/grubx64.efi", NULL, GONE },
		{ "/etc/selinux/config", "SELINUX=enforcing\nSELINUXTYPE=targeted\n", SAME },
		{ "/etc/NetworkManager/system-connections/eno1.nmconnection",
		  "[connection]\nid=eno1\nuuid=c0ffee\ntype=ethernet\nautoconnect-priority=-999\ninterface-name=eno1\n\n[ethernet]\nmac-address=3C:EC:EF:00:00:01\n\n[ipv4]\naddress1=192.0.2.9/24,192.0.2.1\nmethod=manual\n",
		  "[connection]\nid=eno1\nuuid=c0ffee\ntype=ethernet\nautoconnect-priority=-999\ninterface-name=eno1\n\n[ethernet]\n#vdisk: mac-address=3C:EC:EF:00:00:01\n\n[ipv4]\naddress1=192.0.2.9/24,192.0.2.1\nmethod=manual\n" },
		{ "/usr/lib/systemd/systemd-udevd", "x", SAME },
		{ "/etc/udev/vdisk-net-names", NULL, NAMES "eno1 3c:ec:ef:00:00:01\n" },
		{ "/usr/lib/systemd/system/mcelog.service", "[Unit]\n", SAME },
		{ "/etc/systemd/system/mcelog.service", NULL, LINK "/dev/null" },
		{ "/.autorelabel", NULL, "" },
		{ 0 },
	};

	(void)state;
	run(disk, edits, TARGET_KVM, "/boot/grub2/grub.cfg", "vgimportdevices");
}

/* ---------------------------------------------------------------- RHEL 8: kernelopts in GRUB's environment on the ESP */

static void test_rhel8(void **state)
{
	static const struct holds disk[] = { { "partitions/1", "vfat", ESP, "p1" },
		                             { "partitions/2", "xfs", ROOT, "p2" },
		                             { "partitions/3", "swap", SWAP, "p3" },
		                             { 0 } };
	const struct edit edits[] = {
		{ "/etc/os-release", "ID=\"centos\"\nVERSION_ID=\"8\"\n", SAME },
		{ "/etc/fstab",
		  "/dev/cciss/c0d0p2 / xfs defaults 0 0\n/dev/cciss/c0d0p1 /boot/efi vfat defaults 0 2\n/dev/cciss/c0d0p3 none swap defaults 0 0\n",
		  "UUID=" ROOT " / xfs defaults 0 0\nUUID=" ESP " /boot/efi vfat defaults 0 2\nUUID=" SWAP
		  " none swap defaults 0 0\n" },
		{ "/boot/efi/EFI/centos/grubenv",
		  environment(
			  "# GRUB Environment Block\nsaved_entry=x\nkernelopts=root=/dev/cciss/c0d0p2 ro resume=/dev/cciss/c0d0p3 \n"),
		  environment("# GRUB Environment Block\nsaved_entry=x\nkernelopts=root=UUID=" ROOT " ro resume=UUID=" SWAP
		              " \n") },
		{ "/boot/grub2/grubenv", LINK "../efi/EFI/centos/grubenv", SAME },
		{ "/boot/efi/EFI/centos/grub.cfg",
		  "if [ -z \"${kernelopts}\" ]; then\n  set kernelopts=\"root=/dev/cciss/c0d0p2 ro \"\nfi\nblscfg\n",
		  "if [ -z \"${kernelopts}\" ]; then\n  set kernelopts=\"root=UUID=" ROOT " ro \"\nfi\nblscfg\n" },
		{ "/boot/efi/EFI/centos/shimx64.efi", "shim", SAME },
		{ "/boot/efi/EFI/centos/grubx64.efi", "grub", SAME },
		{ "/boot/efi/EFI/BOOT/BOOTX64.EFI", NULL, "shim" },
		{ "/boot/efi/EFI/BOOT/grubx64.efi", NULL, "grub" },
		{ "/etc/default/grub", "GRUB_CMDLINE_LINUX=\"resume=/dev/cciss/c0d0p3 rhgb quiet\"\nGRUB_ENABLE_BLSCFG=true\n",
		  "GRUB_CMDLINE_LINUX=\"resume=UUID=" SWAP " rhgb quiet\"\nGRUB_ENABLE_BLSCFG=true\n" },
		{ "/etc/sysconfig/network-scripts/ifcfg-ens3f0",
		  "TYPE=Ethernet\nDEVICE=ens3f0\nHWADDR=3c:ec:ef:00:00:02\nIPADDR=192.0.2.7\n",
		  "TYPE=Ethernet\nDEVICE=ens3f0\n# vdisk: HWADDR=3c:ec:ef:00:00:02\nIPADDR=192.0.2.7\n" },
		{ "/etc/sysconfig/network-scripts/ifcfg-ens3f1", "TYPE=Ethernet\nDEVICE=ens3f1\nHWADDR=3c:ec:ef:00:00:03\n",
		  "TYPE=Ethernet\nDEVICE=ens3f1\n# vdisk: HWADDR=3c:ec:ef:00:00:03\n" },
		{ "/etc/udev/udev.conf", "", SAME },
		{ "/etc/udev/vdisk-net-names", NULL, NAMES "ens3f0 3c:ec:ef:00:00:02\nens3f1 3c:ec:ef:00:00:03\n" },
		{ 0 },
	};

	(void)state;
	run(disk, edits, TARGET_KVM | TARGET_VMWARE, "/boot/efi/EFI/centos/grub.cfg", NULL);
}

/* ---------------------------------------------------------------- openSUSE: names by-id, wicked, its own shim */

static void test_suse(void **state)
{
	static const struct holds disk[] = { { "partitions/1", "vfat", ESP, "p1" },
		                             { "partitions/2", "btrfs", ROOT, "p2" },
		                             { "partitions/3", "swap", SWAP, "p3" },
		                             { 0 } };
	const struct edit edits[] = {
		{ "/etc/os-release", "ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\nVERSION_ID=\"15.5\"\n", SAME },
		{ "/etc/fstab",
		  "/dev/disk/by-id/ata-WDC_X-part2  /      btrfs  defaults  0  0\n/dev/disk/by-id/ata-WDC_X-part2  /var   btrfs  subvol=/@/var  0  0\n/dev/disk/by-id/ata-WDC_X-part1  /boot/efi  vfat  utf8  0  2\n/dev/disk/by-id/ata-WDC_X-part3  swap  swap  defaults  0  0\n",
		  "UUID=" ROOT "  /      btrfs  defaults  0  0\nUUID=" ROOT "  /var   btrfs  subvol=/@/var  0  0\nUUID=" ESP
		  "  /boot/efi  vfat  utf8  0  2\nUUID=" SWAP "  swap  swap  defaults  0  0\n" },
		{ "/boot/grub2/grub.cfg",
		  "menuentry 'openSUSE' --class opensuse {\n\tset root='hd0,gpt2'\n\tsearch --no-floppy --fs-uuid --set=root " ROOT
		  "\n\tlinux\t/boot/vmlinuz-5.14.21 root=/dev/disk/by-id/ata-WDC_X-part2 ${extra_cmdline} splash=silent resume=/dev/disk/by-id/ata-WDC_X-part3 quiet\n\tinitrd\t/boot/initrd-5.14.21\n}\n",
		  "menuentry 'openSUSE' --class opensuse {\n\tset root='hd0,gpt2'\n\tsearch --no-floppy --fs-uuid --set=root " ROOT
		  "\n\tlinux\t/boot/vmlinuz-5.14.21 root=UUID=" ROOT " ${extra_cmdline} splash=silent resume=UUID=" SWAP
		  " quiet\n\tinitrd\t/boot/initrd-5.14.21\n}\n" },
		{ "/boot/grub2/device.map", "(hd0) /dev/disk/by-id/ata-WDC_X\n", GONE },
		{ "/etc/default/grub",
		  "GRUB_CMDLINE_LINUX_DEFAULT=\"splash=silent resume=/dev/disk/by-id/ata-WDC_X-part3 quiet\"\n",
		  "GRUB_CMDLINE_LINUX_DEFAULT=\"splash=silent resume=UUID=" SWAP " quiet\"\n" },
		{ "/etc/default/grub_installdevice", "/dev/disk/by-id/ata-WDC_X\nactivate\ngeneric_mbr\n", SAME },
		{ "/boot/efi/EFI/opensuse/shim.efi", "shim", SAME },
		{ "/boot/efi/EFI/opensuse/grub.efi", "grub", SAME },
		{ "/boot/efi/EFI/opensuse/MokManager.efi", "mok", SAME },
		{ "/boot/efi/EFI/opensuse/grub.cfg",
		  "set btrfs_relative_path=\"yes\"\nsearch --fs-uuid --set=root " ROOT
		  "\nset prefix=(${root})/boot/grub2\nsource \"${prefix}/grub.cfg\"\n",
		  SAME },
		{ "/boot/efi/EFI/BOOT/BOOTX64.EFI", NULL, "shim" },
		{ "/boot/efi/EFI/BOOT/grub.efi", NULL, "grub" },
		{ "/boot/efi/EFI/BOOT/MokManager.efi", NULL, "mok" },
		{ "/boot/efi/EFI/BOOT/grub.cfg", NULL,
		  "set btrfs_relative_path=\"yes\"\nsearch --fs-uuid --set=root " ROOT
		  "\nset prefix=(${root})/boot/grub2\nsource \"${prefix}/grub.cfg\"\n" },
		{ "/etc/sysconfig/network/ifcfg-eth0", "BOOTPROTO='static'\nSTARTMODE='auto'\nIPADDR='192.0.2.4/24'\n", SAME },
		{ "/etc/udev/rules.d/70-persistent-net.rules",
		  "SUBSYSTEM==\"net\", ACTION==\"add\", DRIVERS==\"?*\", ATTR{address}==\"3c:ec:ef:00:00:04\", ATTR{dev_id}==\"0x0\", ATTR{type}==\"1\", KERNEL==\"eth*\", NAME=\"eth0\"\n",
		  "# vdisk: SUBSYSTEM==\"net\", ACTION==\"add\", DRIVERS==\"?*\", ATTR{address}==\"3c:ec:ef:00:00:04\", ATTR{dev_id}==\"0x0\", ATTR{type}==\"1\", KERNEL==\"eth*\", NAME=\"eth0\"\n" },
		{ "/usr/bin/udevadm", "x", SAME },
		{ "/etc/udev/vdisk-net-names", NULL, NAMES "eth0 3c:ec:ef:00:00:04\n" },
		{ 0 },
	};

	(void)state;
	run(disk, edits, TARGET_HYPERV, "/boot/grub2/grub.cfg", "grub_installdevice");
}

/* ---------------------------------------------------------------- Alpine: EXTLINUX, mdev */

static void test_alpine(void **state)
{
	static const struct holds disk[] = { { "partitions/1", "ext4", BOOT, "p1" },
		                             { "partitions/2", "swap", SWAP, "p2" },
		                             { "partitions/3", "ext4", ROOT, "p3" },
		                             { 0 } };
	const struct edit edits[] = {
		{ "/etc/os-release", "ID=alpine\nVERSION_ID=3.18.4\n", SAME },
		{ "/etc/alpine-release", "3.18.4\n", SAME },
		{ "/etc/fstab",
		  "/dev/sda3\t/\text4\trw,relatime 0 1\n/dev/sda1\t/boot\text4\trw,relatime 0 2\n/dev/sda2\tswap\tswap\tdefaults 0 0\n/dev/cdrom\t/media/cdrom\tiso9660\tnoauto,ro 0 0\n/dev/usbdisk\t/media/usb\tvfat\tnoauto\t0 0\n",
		  "UUID=" ROOT "\t/\text4\trw,relatime 0 1\nUUID=" BOOT "\t/boot\text4\trw,relatime 0 2\nUUID=" SWAP
		  "\tswap\tswap\tdefaults 0 0\n/dev/cdrom\t/media/cdrom\tiso9660\tnoauto,ro 0 0\n/dev/usbdisk\t/media/usb\tvfat\tnoauto\t0 0\n" },
		{ "/boot/extlinux.conf",
		  "# Generated by update-extlinux\nDEFAULT menu.c32\nPROMPT 0\nLABEL lts\n  MENU DEFAULT\n  LINUX vmlinuz-lts\n  INITRD initramfs-lts\n  APPEND root=/dev/sda3 modules=sd-mod,usb-storage,ext4 quiet rootfstype=ext4\n",
		  "# Generated by update-extlinux\nDEFAULT menu.c32\nPROMPT 0\nLABEL lts\n  MENU DEFAULT\n  LINUX vmlinuz-lts\n  INITRD initramfs-lts\n  APPEND root=UUID=" ROOT
		  " modules=sd-mod,usb-storage,ext4 quiet rootfstype=ext4\n" },
		{ "/etc/update-extlinux.conf", "root=/dev/sda3\nmodules=sd-mod,usb-storage,ext4\n",
		  "root=UUID=" ROOT "\nmodules=sd-mod,usb-storage,ext4\n" },
		{ "/etc/network/interfaces",
		  "auto lo\niface lo inet loopback\nauto eth0\niface eth0 inet static\n\taddress 192.0.2.3/24\n", SAME },
		{ "/etc/runlevels/default/open-vm-tools", LINK "/etc/init.d/open-vm-tools", GONE },
		{ "/etc/udev/vdisk-net-names", NULL, GONE },
		{ 0 },
	};

	(void)state;
	run(disk, edits, TARGET_XEN, NULL, NULL);
}

/* ---------------------------------------------------------------- Arch: systemd-boot on NVMe, networkd */

static void test_arch(void **state)
{
	static const struct holds disk[] = { { "partitions/1", "vfat", ESP, "p1" },
		                             { "partitions/2", "crypto_LUKS", SWAP, "p2" },
		                             { "luks/" SWAP, "ext4", ROOT, "" },
		                             { 0 } };
	const struct edit edits[] = {
		{ "/etc/os-release", "ID=arch\n", SAME },
		{ "/etc/fstab", "/dev/mapper/root / ext4 rw,relatime 0 1\n/dev/nvme0n1p1 /boot vfat rw 0 2\n",
		  "/dev/mapper/root / ext4 rw,relatime 0 1\nUUID=" ESP " /boot vfat rw 0 2\n" },
		{ "/boot/loader/loader.conf", "default arch.conf\ntimeout 3\n", SAME },
		{ "/boot/loader/entries/arch.conf",
		  "title   Arch Linux\nlinux   /vmlinuz-linux\ninitrd  /initramfs-linux.img\noptions cryptdevice=/dev/nvme0n1p2:root:allow-discards root=/dev/mapper/root rw\n",
		  "title   Arch Linux\nlinux   /vmlinuz-linux\ninitrd  /initramfs-linux.img\noptions cryptdevice=UUID=" SWAP
		  ":root:allow-discards root=/dev/mapper/root rw\n" },
		{ "/boot/EFI/systemd/systemd-bootx64.efi", "sdboot", SAME },
		{ "/boot/EFI/BOOT/BOOTX64.EFI", NULL, "sdboot" },
		{ "/etc/systemd/network/20-wired.network",
		  "[Match]\nMACAddress=3c:ec:ef:00:00:05\n\n[Network]\nAddress=192.0.2.2/24\n",
		  "[Match]\nName=nic0\n# vdisk: MACAddress=3c:ec:ef:00:00:05\n\n[Network]\nAddress=192.0.2.2/24\n" },
		{ "/usr/lib/systemd/systemd-udevd", "x", SAME },
		{ "/etc/udev/vdisk-net-names", NULL, NAMES "nic0 3c:ec:ef:00:00:05\n" },
		{ 0 },
	};

	(void)state;
	run(disk, edits, TARGET_KVM, NULL, NULL);
}

/* ---------------------------------------------------------------- Ubuntu on VMware: netplan by cloud-init, open-vm-tools */

static void test_ubuntu(void **state)
{
	static const struct holds disk[] = { { "partitions/2", "ext4", ROOT, "p2" }, { "partitions/1", "", "", "p1" }, { 0 } };
	const struct edit edits[] = {
		{ "/etc/os-release", "ID=ubuntu\nID_LIKE=debian\nVERSION_ID=\"22.04\"\n", SAME },
		{ "/etc/fstab", "/dev/disk/by-uuid/" ROOT " / ext4 defaults 0 1\n/swap.img\tnone\tswap\tsw\t0\t0\n", SAME },
		{ "/boot/grub/grub.cfg",
		  "menuentry 'Ubuntu' {\n\tsearch --no-floppy --fs-uuid --set=root " ROOT "\n\tlinux\t/boot/vmlinuz root=UUID=" ROOT
		  " ro $vt_handoff\n\tinitrd\t/boot/initrd.img\n}\n",
		  SAME },
		{ "/etc/cloud/cloud.cfg", "# x\n", SAME },
		{ "/etc/cloud/cloud.cfg.d/99-vdisk-network.cfg", NULL,
		  "# Made by vdisk adapt: the network is configured as it was; cloud-init would write it anew on another machine.\nnetwork: {config: disabled}\n" },
		{ "/etc/netplan/50-cloud-init.yaml",
		  "network:\n    ethernets:\n        ens160:\n            addresses: [192.0.2.6/24]\n            match:\n                macaddress: 00:50:56:00:00:06\n            set-name: ens160\n    version: 2\n",
		  "network:\n    ethernets:\n        ens160:\n            addresses: [192.0.2.6/24]\n            match:\n                name: ens160\n                # vdisk: macaddress: 00:50:56:00:00:06\n            # vdisk: set-name: ens160\n    version: 2\n" },
		{ "/usr/lib/systemd/systemd-udevd", "x", SAME },
		{ "/etc/udev/vdisk-net-names", NULL, NAMES "ens160 00:50:56:00:00:06\n" },
		{ "/usr/lib/systemd/system/open-vm-tools.service", "[Unit]\n", SAME },
		{ "/etc/systemd/system/open-vm-tools.service", NULL, LINK "/dev/null" },
		{ 0 },
	};

	(void)state;
	run(disk, edits, TARGET_KVM, "/boot/grub/grub.cfg", NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rhel9),  cmocka_unit_test(test_rhel8), cmocka_unit_test(test_suse),
		cmocka_unit_test(test_alpine), cmocka_unit_test(test_arch),  cmocka_unit_test(test_ubuntu),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
