/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* facts_read() over the file trees of distributions, as their installers leave them: which system, kernel, loader, names and NICs.
 */
#include "facts.h"
#include "plan.h"
#include "steps.h"

#include <fcntl.h>
#include <ftw.h>
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

struct file {
	const char *path, *text; /* text "->x" is a link to x, NULL a folder */
};

struct due { /* NULL: not looked at */
	const char *os, *version, *init, *packages, *loader_config, *esp;
	unsigned loaders;
	enum initrd_tool tool;
	bool bios, uefi, fallback, selinux;
	const char *kernels;  /* "release path initrd[ *][ -];…": * the default, - without modules */
	const char *nics;     /* "name mac addresses;…" */
	const char *agents;
	const char *mounts;   /* "mount where subvolume fstab;…" */
};

static char folder[64];

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *w)
{
	(void)st, (void)type, (void)w;
	return remove(path);
}

static void tree_drop(void) { nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS); }

static void tree_make(const struct file *files)
{
	strcpy(folder, "/tmp/test-facts.XXXXXX");
	assert_non_null(mkdtemp(folder));
	for (; files->path; files++) {
		char path[512];

		snprintf(path, sizeof(path), "%s/%s", folder, files->path);
		for (char *slash = path + strlen(folder) + 1; (slash = strchr(slash, '/')); slash++) {
			*slash = '\0';
			mkdir(path, 0755);
			*slash = '/';
		}
		if (!files->text) {
			mkdir(path, 0755);
		} else if (!strncmp(files->text, "->", 2)) {
			assert_int_equal(symlink(files->text + 2, path), 0);
		} else {
			FILE *f = fopen(path, "w");

			assert_non_null(f);
			fputs(files->text, f);
			fclose(f);
		}
	}
}

static void fs_put(struct facts *f, const char *where, const char *device, const char *type, const char *uuid, const char *label)
{
	f->fs = realloc(f->fs, (f->fs_n + 1) * sizeof(*f->fs));
	f->fs[f->fs_n++] = (struct fact_fs){ .where = strdup(where),
					     .device = device ? strdup(device) : NULL,
					     .type = strdup(type),
					     .uuid = strdup(uuid),
					     .label = strdup(label) };
}

static void equal(const char *what, const char *due, const char *got)
{
	if (!due || !strcmp(due, got))
		return;
	print_error("%s\n  expected: %s\n  actual:   %s\n", what, due, got);
	fail();
}

static void lists_check(const struct facts *f, const struct due *d)
{
	struct bytes b = { 0 };

	bytes_text(&b, "");
	for (size_t i = 0; i < f->kernels_n; i++)
		bytes_format(&b, "%s %s %s%s%s;", f->kernels[i].release, f->kernels[i].path, f->kernels[i].initrd,
			     f->kernels[i].is_default ? " *" : "", f->kernels[i].installed ? "" : " -");
	equal("kernels", d->kernels, b.at);
	bytes_clear(&b);
	for (size_t i = 0; i < f->nics_n; i++)
		bytes_format(&b, "%s %s %s;", f->nics[i].name, *f->nics[i].mac ? f->nics[i].mac : "-", f->nics[i].addresses);
	equal("nics", d->nics, b.at);
	bytes_clear(&b);
	for (size_t i = 0; i < f->agents_n; i++)
		bytes_format(&b, "%s %s;", f->agents[i].name, f->agents[i].of);
	equal("agents", d->agents, b.at);
	bytes_clear(&b);
	for (size_t i = 0; i < f->fs_n; i++)
		if (*f->fs[i].mount || *f->fs[i].fstab)
			bytes_format(&b, "%s %s %s %s;", *f->fs[i].mount ? f->fs[i].mount : "-", f->fs[i].where, f->fs[i].subvolume,
				     f->fs[i].fstab);
	equal("mounts", d->mounts, b.at);
	bytes_destroy(&b);
}

static void facts_check(struct facts *f, const struct file *files, const struct due *d)
{
	struct tree *t;
	vdisk_error err = { 0 };

	tree_make(files);
	t = tree_folder_open(folder, true, &err);
	assert_non_null(t);
	if (facts_read(f, t, &err))
		print_error("%s\n", err.message);
	assert_string_equal(err.message, "");
	equal("os", d->os, f->os);
	equal("version", d->version, f->version);
	equal("init", d->init, f->init);
	equal("packages", d->packages, f->package_format);
	equal("loader's configuration", d->loader_config, f->loader_config);
	equal("esp", d->esp, f->esp);
	assert_int_equal(d->loaders, f->loaders);
	assert_int_equal(d->tool, f->initrd_tool);
	assert_int_equal(d->bios, f->bios);
	assert_int_equal(d->uefi, f->uefi);
	assert_int_equal(d->fallback, f->uefi_fallback);
	assert_int_equal(d->selinux, f->selinux);
	lists_check(f, d);
	facts_destroy(f);
	tree_close(t);
	tree_drop();
}

#define SYSTEMD                                                                                                                    \
	{ "usr/lib/systemd/systemd", "x" }, { "usr/sbin/init", "->../lib/systemd/systemd" }, { "sbin", "->usr/sbin" },             \
	{                                                                                                                          \
		"lib", "->usr/lib"                                                                                                 \
	}

/* ---------------------------------------------------------------- distributions */

static void debian(void **state)
{
	static const struct file files[] = {
		SYSTEMD,
		{ "etc/os-release", "->../usr/lib/os-release" },
		{ "usr/lib/os-release", "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID=\"12\"\nID=debian\n" },
		{ "var/lib/dpkg/status", "" },
		{ "usr/sbin/mkinitramfs", "" },
		{ "usr/lib/modules/6.1.0-9-amd64/modules.dep", "" },
		{ "usr/lib/modules/6.1.0-18-amd64/modules.dep", "" },
		{ "usr/lib/modules/6.1.0-7-amd64/updates", NULL },
		{ "boot/vmlinuz-6.1.0-9-amd64", "x" },
		{ "boot/vmlinuz-6.1.0-18-amd64", "x" },
		{ "boot/initrd.img-6.1.0-9-amd64", "" },
		{ "boot/initrd.img-6.1.0-18-amd64", "" },
		{ "boot/grub/i386-pc/core.img", "" },
		{ "boot/grub/grubenv",
		  "# GRUB Environment Block\nsaved_entry=gnulinux-advanced-1>gnulinux-6.1.0-9-amd64-advanced-1\n########" },
		{ "boot/grub/grub.cfg",
		  "if [ \"${next_entry}\" ] ; then\n   set default=\"${next_entry}\"\nelse\n   set default=\"${saved_entry}\"\nfi\n"
		  "function load_video {\n  insmod x\n}\n"
		  "menuentry 'Debian GNU/Linux' --class debian $menuentry_id_option 'gnulinux-simple-1' "
		  "{\n\tlinux\t/boot/vmlinuz-6.1.0-18-amd64 root=UUID=1 ro\n}\n"
		  "submenu 'Advanced options for Debian GNU/Linux' $menuentry_id_option 'gnulinux-advanced-1' {\n"
		  "\tmenuentry 'Debian GNU/Linux, with Linux 6.1.0-18-amd64' $menuentry_id_option "
		  "'gnulinux-6.1.0-18-amd64-advanced-1' {\n\t\tlinux /boot/vmlinuz-6.1.0-18-amd64\n\t}\n"
		  "\tmenuentry 'Debian GNU/Linux, with Linux 6.1.0-9-amd64' $menuentry_id_option "
		  "'gnulinux-6.1.0-9-amd64-advanced-1' {\n\t\tlinux /boot/vmlinuz-6.1.0-9-amd64\n\t}\n}\n" },
		{ "etc/network/interfaces", "source /etc/network/interfaces.d/*\nauto lo\niface lo inet loopback\nallow-hotplug "
					    "ens192\niface ens192 inet static\n  address 192.0.2.5/24\n  gateway 192.0.2.1\n"
					    "iface ens192 inet6 auto\n" },
		{ "etc/network/interfaces.d/other",
		  "iface eth1 inet static\n address 198.51.100.7\n netmask 255.255.252.0\n hwaddress ether 00:0C:29:AA:BB:CC\n" },
		{ "etc/udev/rules.d/70-persistent-net.rules",
		  "# a comment\nSUBSYSTEM==\"net\", ATTR{address}==\"00:50:56:00:00:01\", ATTR{type}==\"1\", KERNEL==\"eth*\", "
		  "NAME=\"eth0\"\n" },
		{ "usr/bin/vmtoolsd", "" },
		{ 0 }
	};
	static const struct due due = {
		.os = "debian",
		.version = "12",
		.init = "systemd",
		.packages = "deb",
		.loader_config = "/boot/grub/grub.cfg",
		.esp = "",
		.loaders = LOADER_GRUB2,
		.tool = INITRD_INITRAMFS_TOOLS,
		.bios = true,
		.kernels = "6.1.0-9-amd64 /boot/vmlinuz-6.1.0-9-amd64 /boot/initrd.img-6.1.0-9-amd64 *;6.1.0-18-amd64 "
			   "/boot/vmlinuz-6.1.0-18-amd64 /boot/initrd.img-6.1.0-18-amd64;",
		.nics = "ens192 - 192.0.2.5/24 dhcp;eth1 00:0c:29:aa:bb:cc 198.51.100.7/22;eth0 00:50:56:00:00:01 ;",
		.agents = "open-vm-tools vmware;"
	};

	(void)state;
	facts_check(&(struct facts){ 0 }, files, &due);
}

static void rhel_with_bls(void **state)
{
	static const struct file files[] = {
		SYSTEMD,
		{ "etc/os-release", "NAME=\"Red Hat Enterprise Linux\"\nVERSION_ID=\"9.3\"\nID=\"rhel\"\nID_LIKE=\"fedora\"\n" },
		{ "var/lib/rpm/rpmdb.sqlite", "" },
		{ "usr/bin/dracut", "" },
		{ "etc/selinux/config", "# x\nSELINUX=enforcing\nSELINUXTYPE=targeted\n" },
		{ "usr/lib/modules/5.14.0-362.8.1.el9_3.x86_64/modules.dep", "" },
		{ "usr/lib/modules/5.14.0-70.el9.x86_64/modules.dep", "" },
		{ "boot/vmlinuz-5.14.0-362.8.1.el9_3.x86_64", "x" },
		{ "boot/initramfs-5.14.0-362.8.1.el9_3.x86_64.img", "" },
		{ "boot/vmlinuz-5.14.0-70.el9.x86_64", "x" },
		{ "boot/initramfs-5.14.0-70.el9.x86_64.img", "" },
		{ "boot/vmlinuz-0-rescue-0123456789abcdef0123456789abcdef", "x" },
		{ "boot/initramfs-0-rescue-0123456789abcdef0123456789abcdef.img", "" },
		{ "boot/loader/entries/0123456789abcdef0123456789abcdef-5.14.0-70.el9.x86_64.conf",
		  "title RHEL (5.14.0-70)\nversion 5.14.0-70.el9.x86_64\nlinux /vmlinuz-5.14.0-70.el9.x86_64\n" },
		{ "boot/loader/entries/0123456789abcdef0123456789abcdef-5.14.0-362.8.1.el9_3.x86_64.conf",
		  "title RHEL (5.14.0-362)\nlinux /vmlinuz-5.14.0-362.8.1.el9_3.x86_64\n" },
		{ "boot/loader/entries/0123456789abcdef0123456789abcdef-0-rescue.conf",
		  "title rescue\nlinux /vmlinuz-0-rescue-0123456789abcdef0123456789abcdef\n" },
		{ "boot/grub2/grub.cfg",
		  "if [ -f ${config_directory}/grubenv ]; then\n  load_env -f ${config_directory}/grubenv\nfi\nif [ x\"${x}\" ]; "
		  "then\n  set default=\"${next_entry}\"\nelse\n"
		  "  set default=\"${saved_entry}\"\nfi\ninsmod blscfg\nblscfg\n" },
		{ "boot/grub2/grubenv",
		  "# GRUB Environment Block\nsaved_entry=0123456789abcdef0123456789abcdef-5.14.0-70.el9.x86_64\nboot_success=0\n" },
		{ "boot/efi/EFI/redhat/grub.cfg",
		  "search --no-floppy --fs-uuid --set=dev x\nset prefix=($dev)/grub2\nconfigfile $prefix/grub.cfg\n" },
		{ "boot/efi/EFI/redhat/shimx64.efi", "" },
		{ "boot/efi/EFI/BOOT/BOOTX64.EFI", "" },
		{ "boot/efi/EFI/BOOT/fbx64.efi", "" },
		{ "etc/NetworkManager/system-connections/ens3.nmconnection",
		  "[connection]\nid=ens3\ntype=ethernet\ninterface-name=ens3\n\n[ethernet]\nmac-address=52:54:00:AA:BB:CC\n\n[ipv4]"
		  "\n"
		  "address1=192.0.2.9/24,192.0.2.1\nmethod=manual\n\n[ipv6]\nmethod=auto\n" },
		{ "etc/NetworkManager/system-connections/wifi.nmconnection", "[connection]\nid=w\ntype=wifi\n" },
		{ "etc/sysconfig/network-scripts/ifcfg-eth1",
		  "DEVICE=\"eth1\"\nTYPE=Ethernet\nHWADDR=52:54:00:00:00:02\nBOOTPROTO=none\nIPADDR=203.0.113.4\nPREFIX="
		  "28\nIPADDR1=203.0.113.20\nNETMASK1=255.255.255.0\n" },
		{ "etc/sysconfig/network-scripts/ifcfg-lo", "DEVICE=lo\n" },
		{ "etc/sysconfig/network-scripts/ifcfg-eth1.rpmsave", "DEVICE=old\n" },
		{ "usr/sbin/qemu-ga", "" },
		{ 0 }
	};
	static const struct due due = {
		.os = "rhel",
		.version = "9.3",
		.init = "systemd",
		.packages = "rpm",
		.loader_config = "/boot/grub2/grub.cfg",
		.esp = "/boot/efi",
		.loaders = LOADER_GRUB2 | LOADER_BLS,
		.tool = INITRD_DRACUT,
		.uefi = true,
		.fallback = true,
		.selinux = true,
		.kernels = "0-rescue-0123456789abcdef0123456789abcdef /boot/vmlinuz-0-rescue-0123456789abcdef0123456789abcdef "
			   "/boot/initramfs-0-rescue-0123456789abcdef0123456789abcdef.img -;"
			   "5.14.0-70.el9.x86_64 /boot/vmlinuz-5.14.0-70.el9.x86_64 /boot/initramfs-5.14.0-70.el9.x86_64.img *;"
			   "5.14.0-362.8.1.el9_3.x86_64 /boot/vmlinuz-5.14.0-362.8.1.el9_3.x86_64 "
			   "/boot/initramfs-5.14.0-362.8.1.el9_3.x86_64.img;",
		.nics = "ens3 52:54:00:aa:bb:cc 192.0.2.9/24 dhcp;eth1 52:54:00:00:00:02 203.0.113.4/28 203.0.113.20/24;",
		.agents = "qemu-guest-agent kvm;"
	};

	(void)state;
	facts_check(&(struct facts){ 0 }, files, &due);
}

static void suse(void **state)
{
	static const struct file files[] = {
		SYSTEMD,
		{ "etc/os-release", "ID=\"opensuse-leap\"\nVERSION_ID=\"15.5\"\nID_LIKE=\"suse opensuse\"\n" },
		{ "usr/lib/sysimage/rpm/Packages.db", "" },
		{ "usr/bin/dracut", "" },
		{ "sbin-mkinitrd", "" },
		{ "usr/lib/modules/5.14.21-150500.53-default/modules.dep", "" },
		{ "boot/vmlinuz-5.14.21-150500.53-default", "a kernel" },
		{ "boot/vmlinuz", "->vmlinuz-5.14.21-150500.53-default" },
		{ "boot/initrd-5.14.21-150500.53-default", "" },
		{ "boot/grub2/i386-pc/core.img", "" },
		{ "boot/grub2/grub.cfg", "set default=\"0\"\nmenuentry 'openSUSE' $menuentry_id_option 'x' {\n linux /boot/vmlinuz "
					 "root=UUID=x ${extra}\n}\n" },
		{ "etc/fstab", "UUID=1111-2222 / btrfs defaults 0 0\nUUID=1111-2222\t/home\tbtrfs\tsubvol=/@/home 0 "
			       "0\n/dev/disk/by-id/ata-QEMU_HARDDISK_QM00001-part1 swap swap defaults 0 0\n"
			       "UUID=nowhere /data ext4 defaults 0 0\nproc /proc proc defaults 0 0\n" },
		{ "etc/sysconfig/network/ifcfg-eth0",
		  "BOOTPROTO='static'\nSTARTMODE='auto'\nIPADDR='192.0.2.7/24'\nLLADDR='00:11:22:33:44:55'\n" },
		{ 0 }
	};
	static const struct due due = { .os = "opensuse-leap",
					.version = "15.5",
					.init = "systemd",
					.packages = "rpm",
					.loader_config = "/boot/grub2/grub.cfg",
					.esp = "",
					.loaders = LOADER_GRUB2,
					.tool = INITRD_DRACUT,
					.bios = true,
					.kernels = "5.14.21-150500.53-default /boot/vmlinuz-5.14.21-150500.53-default "
						   "/boot/initrd-5.14.21-150500.53-default *;",
					.nics = "eth0 00:11:22:33:44:55 192.0.2.7/24;",
					.agents = "",
					.mounts = "- partitions/1  /dev/disk/by-id/ata-QEMU_HARDDISK_QM00001-part1;/ partitions/2  "
						  "UUID=1111-2222;/home partitions/2 /@/home UUID=1111-2222;" };
	struct facts f = { 0 };

	(void)state;
	fs_put(&f, "partitions/1", "/dev/sda1", "swap", "s", "");
	fs_put(&f, "partitions/2", "/dev/sda2", "btrfs", "1111-2222", "");
	facts_check(&f, files, &due);
}

static void alpine(void **state)
{
	static const struct file files[] = { { "etc/os-release", "NAME=\"Alpine Linux\"\nID=alpine\nVERSION_ID=3.19.1\n" },
					     { "lib/apk/db/installed", "" },
					     { "sbin/openrc", "" },
					     { "sbin/init", "->/bin/busybox" },
					     { "etc/inittab", "" },
					     { "sbin/mkinitfs", "" },
					     { "lib/modules/6.6.14-0-lts/modules.dep", "" },
					     { "boot/vmlinuz-lts", "x" },
					     { "boot/initramfs-lts", "" },
					     { "boot/extlinux.conf",
					       "DEFAULT lts\nPROMPT 0\nLABEL lts\n  MENU LABEL Linux lts\n  LINUX vmlinuz-lts\n  "
					       "INITRD initramfs-lts\n  APPEND root=UUID=1\n" },
					     { "boot/ldlinux.sys", "" },
					     { "etc/network/interfaces", "auto eth0\niface eth0 inet dhcp\n" },
					     { 0 } };
	static const struct due due = { .os = "alpine",
					.version = "3.19.1",
					.init = "openrc",
					.packages = "apk",
					.loader_config = "/boot/extlinux.conf",
					.esp = "",
					.loaders = LOADER_EXTLINUX,
					.tool = INITRD_MKINITFS,
					.bios = true,
					.kernels = "6.6.14-0-lts /boot/vmlinuz-lts /boot/initramfs-lts *;",
					.nics = "eth0 - dhcp;",
					.agents = "" };

	(void)state;
	facts_check(&(struct facts){ 0 }, files, &due);
}

static void arch_with_systemd_boot(void **state)
{
	static const struct file files[] = {
		SYSTEMD,
		{ "etc/os-release", "ID=arch\nPRETTY_NAME='Arch Linux'\n" },
		{ "var/lib/pacman/local", NULL },
		{ "usr/bin/mkinitcpio", "" },
		{ "usr/lib/modules/6.7.4-arch1-1/modules.dep", "" },
		{ "usr/lib/modules/6.7.4-arch1-1/pkgbase", "linux\n" },
		{ "usr/lib/modules/6.6.16-1-lts/modules.dep", "" },
		{ "usr/lib/modules/6.6.16-1-lts/pkgbase", "linux-lts\n" },
		{ "boot/vmlinuz-linux", "x" },
		{ "boot/initramfs-linux.img", "" },
		{ "boot/vmlinuz-linux-lts", "x" },
		{ "boot/initramfs-linux-lts.img", "" },
		{ "boot/loader/loader.conf", "timeout 3\ndefault lts*\n" },
		{ "boot/loader/entries/arch.conf", "title Arch\nlinux /vmlinuz-linux\ninitrd /initramfs-linux.img\n" },
		{ "boot/loader/entries/lts.conf", "title Arch LTS\nlinux /vmlinuz-linux-lts\n" },
		{ "boot/EFI/systemd/systemd-bootx64.efi", "" },
		{ "etc/systemd/network/20-wired.network",
		  "[Match]\nName=enp1s0\n\n[Network]\nAddress=192.0.2.3/24\nAddress=2001:db8::3/64\n" },
		{ "etc/systemd/network/10-lan.link", "[Match]\nMACAddress=00:11:22:33:44:66\n[Link]\nName=lan0\n" },
		{ 0 }
	};
	static const struct due due = { .os = "arch",
					.version = "",
					.init = "systemd",
					.packages = "pacman",
					.loader_config = "/boot/loader/loader.conf",
					.esp = "/boot",
					.loaders = LOADER_SYSTEMD_BOOT | LOADER_BLS,
					.tool = INITRD_MKINITCPIO,
					.uefi = true,
					.kernels = "6.6.16-1-lts /boot/vmlinuz-linux-lts /boot/initramfs-linux-lts.img "
						   "*;6.7.4-arch1-1 /boot/vmlinuz-linux /boot/initramfs-linux.img;",
					.nics = "enp1s0 - 192.0.2.3/24 2001:db8::3/64;lan0 00:11:22:33:44:66 ;",
					.agents = "" };

	(void)state;
	facts_check(&(struct facts){ 0 }, files, &due);
}

static void kernel_install(void **state)
{
	static const struct file files[] = { SYSTEMD,
					     { "etc/os-release", "ID=fedora\nVERSION_ID=39\n" },
					     { "usr/bin/dracut", "" },
					     { "usr/lib/modules/6.7.4-200.fc39.x86_64/modules.dep", "" },
					     { "efi/0123456789abcdef0123456789abcdef/6.7.4-200.fc39.x86_64/linux", "x" },
					     { "efi/0123456789abcdef0123456789abcdef/6.7.4-200.fc39.x86_64/initrd", "" },
					     { "efi/loader/entries/0123456789abcdef0123456789abcdef-6.7.4-200.fc39.x86_64.conf",
					       "title F\nlinux /0123456789abcdef0123456789abcdef/6.7.4-200.fc39.x86_64/linux\n" },
					     { "efi/EFI/Linux/some.efi", "" },
					     { 0 } };
	static const struct due due = {
		.os = "fedora",
		.loader_config = "/efi/loader/entries",
		.esp = "/efi",
		.loaders = LOADER_BLS | LOADER_UKI,
		.tool = INITRD_DRACUT,
		.uefi = true,
		.kernels = "6.7.4-200.fc39.x86_64 /efi/0123456789abcdef0123456789abcdef/6.7.4-200.fc39.x86_64/linux "
			   "/efi/0123456789abcdef0123456789abcdef/6.7.4-200.fc39.x86_64/initrd *;"
	};

	(void)state;
	facts_check(&(struct facts){ 0 }, files, &due);
}

static void centos6_with_grub_legacy(void **state)
{
	static const struct file files[] = {
		{ "etc/redhat-release", "CentOS release 6.10 (Final)\n" },
		{ "etc/centos-release", "CentOS release 6.10 (Final)\n" },
		{ "var/lib/rpm/Packages", "" },
		{ "etc/init/rcS.conf", "" },
		{ "sbin/init", "x" },
		{ "etc/inittab", "" },
		{ "sbin/dracut", "" },
		{ "etc/sysconfig/network", "NETWORKING=yes\nHOSTNAME=six\n" },
		{ "lib/modules/2.6.32-754.el6.x86_64/modules.dep", "" },
		{ "lib/modules/2.6.32-71.el6.x86_64/modules.dep", "" },
		{ "boot/vmlinuz-2.6.32-754.el6.x86_64", "x" },
		{ "boot/initramfs-2.6.32-754.el6.x86_64.img", "" },
		{ "boot/vmlinuz-2.6.32-71.el6.x86_64", "x" },
		{ "boot/initramfs-2.6.32-71.el6.x86_64.img", "" },
		{ "boot/grub/menu.lst", "->./grub.conf" },
		{ "boot/grub/stage1", "" },
		{ "boot/grub/grub.conf", "default=1\ntimeout=5\ntitle CentOS (2.6.32-754)\n\troot (hd0,0)\n\tkernel "
					 "/vmlinuz-2.6.32-754.el6.x86_64 ro root=/dev/sda2\n"
					 "title CentOS (2.6.32-71)\n\tkernel --no-mem-option /vmlinuz-2.6.32-71.el6.x86_64 ro\n" },
		{ "etc/fstab", "/dev/sda2 / ext4 defaults 1 1\nLABEL=\"old\\040boot\" /boot ext4 defaults 1 2\n" },
		{ 0 }
	};
	static const struct due due = {
		.os = "centos",
		.version = "6.10",
		.init = "upstart",
		.packages = "rpm",
		.loader_config = "/boot/grub/menu.lst",
		.esp = "",
		.loaders = LOADER_GRUB_LEGACY,
		.tool = INITRD_DRACUT,
		.bios = true,
		.kernels = "2.6.32-71.el6.x86_64 /boot/vmlinuz-2.6.32-71.el6.x86_64 /boot/initramfs-2.6.32-71.el6.x86_64.img *;"
			   "2.6.32-754.el6.x86_64 /boot/vmlinuz-2.6.32-754.el6.x86_64 /boot/initramfs-2.6.32-754.el6.x86_64.img;",
		.mounts = "/boot partitions/1  LABEL=\"old boot\";/ partitions/2  /dev/sda2;"
	};
	struct facts f = { 0 };

	(void)state;
	fs_put(&f, "partitions/1", "/dev/sda1", "ext4", "b", "old boot");
	fs_put(&f, "partitions/2", "/dev/sda2", "ext4", "r", "");
	facts_check(&f, files, &due);
}

static void netplan(void **state)
{
	static const struct file files[] = {
		SYSTEMD,
		{ "etc/os-release", "ID=ubuntu\nVERSION_ID=\"22.04\"\n" },
		{ "etc/netplan/00-installer-config.yaml",
		  "# This is the network config written by 'subiquity'\nnetwork:\n  version: 2\n  ethernets:\n    ens18:\n      "
		  "addresses:\n      - 192.0.2.8/24\n"
		  "      - \"2001:db8::8/64\"\n      nameservers:\n        addresses: [192.0.2.53, 192.0.2.54]\n      routes:\n    "
		  "  - to: default\n        via: 192.0.2.1\n    id0:\n      match: \n"
		  "        macaddress: \"52:54:00:AB:CD:EF\"  # a card\n      set-name: eth7\n      dhcp4: true\n      addresses: "
		  "[ 10.0.0.5/8, '10.0.0.6/8' ]\n  bonds:\n    bond0:\n      addresses: [ 172.16.0.1/16 ]\n" },
		{ 0 }
	};
	static const struct due due = {
		.os = "ubuntu",
		.loaders = 0,
		.nics = "ens18 - 192.0.2.8/24 2001:db8::8/64;eth7 52:54:00:ab:cd:ef dhcp 10.0.0.5/8 10.0.0.6/8;"
	};

	(void)state;
	facts_check(&(struct facts){ 0 }, files, &due);
}

static void nothing_there(void **state)
{
	static const struct file files[] = { { "photos/1.jpg", "x" }, { 0 } };
	struct facts f = { 0 };
	struct tree *t;

	(void)state;
	tree_make(files);
	t = tree_folder_open(folder, true, NULL);
	assert_non_null(t);
	assert_int_equal(facts_read(&f, t, NULL), 0);
	assert_int_equal(f.kind, GUEST_UNKNOWN);
	assert_string_equal(f.os, "");
	facts_destroy(&f);
	tree_close(t);
	tree_drop();
}

/* ---------------------------------------------------------------- names */

static void names_of_file_systems(void **state)
{
	static const struct {
		const char *name, *where;
	} v[] = {
		{ "/dev/sda1", "partitions/1" },
		{ "/dev/hda1", "partitions/1" },
		{ "/dev/vda1", "partitions/1" },
		{ "/dev/xvda1", "partitions/1" },
		{ "/dev/nvme0n1p1", "partitions/1" },
		{ "/dev/cciss/c0d0p1", "partitions/1" },
		{ "/dev/mmcblk0p2", "partitions/2" },
		{ "/dev/sda3", NULL },
		{ "/dev/sdb1", NULL },
		{ "/dev/sda", NULL },
		{ "UUID=ABCD-1234", "partitions/1" },
		{ "UUID=abcd-1234", "partitions/1" },
		{ "UUID=", NULL },
		{ "LABEL=My Disk", "partitions/2" },
		{ "LABEL=\"My Disk\"", "partitions/2" },
		{ "LABEL=my disk", NULL },
		{ "/dev/disk/by-label/My\\x20Disk", "partitions/2" },
		{ "/dev/disk/by-uuid/ABCD-1234", "partitions/1" },
		{ "/dev/disk/by-id/scsi-36000c29-part2", "partitions/2" },
		{ "/dev/disk/by-path/pci-0000:00:10.0-scsi-0:0:0:0-part1", "partitions/1" },
		{ "/dev/vg-0/my-root", "volumes/vg-0/my-root" },
		{ "/dev/mapper/vg--0-my--root", "volumes/vg-0/my-root" },
		{ "/dev/mapper/vg-0-my-root", NULL },
		{ "/dev/disk/by-id/dm-name-vg--0-my--root", "volumes/vg-0/my-root" },
		{ "/dev/md0", "md/0" },
		{ "/dev/md/0", "md/0" },
		{ "/dev/md1", NULL },
		{ "proc", NULL },
		{ "", NULL },
		{ "/dev/", NULL },
		{ "tmpfs", NULL },
		{ "server:/export", NULL },
	};
	struct facts f = { 0 };

	(void)state;
	fs_put(&f, "partitions/1", "/dev/sda1", "vfat", "ABCD-1234", "");
	fs_put(&f, "partitions/2", "/dev/sda2", "ext4", "b", "My Disk");
	fs_put(&f, "volumes/vg-0/my-root", "/dev/vg-0/my-root", "ext4", "c", "");
	fs_put(&f, "md/0", NULL, "ext4", "d", "");
	for (size_t i = 0; i < f.fs_n; i++) {
		struct fact_fs *s = &f.fs[i];
		char **texts[] = { &s->device, &s->partuuid, &s->partlabel, &s->mount, &s->subvolume, &s->fstab };

		for (size_t k = 0; k < 6; k++)
			if (!*texts[k])
				*texts[k] = strdup("");
	}
	for (size_t i = 0; i < sizeof(v) / sizeof(*v); i++) {
		const struct fact_fs *got = facts_device(&f, v[i].name);

		equal(v[i].name, v[i].where ? v[i].where : "none", got ? got->where : "none");
	}
	facts_destroy(&f);
}

/* ---------------------------------------------------------------- empty files */

/* As libguestfs' tree reads: an empty file adds nothing, not even the NUL behind it. */
struct hollow {
	struct tree tree, *folder;
};

static struct tree *below(struct tree *t) { return ((struct hollow *)t)->folder; }

static int hollow_stat(struct tree *t, const char *path, bool follow, struct tree_stat *out, vdisk_error *err)
{
	return below(t)->ops->stat(below(t), path, follow, out, err);
}

static int hollow_read(struct tree *t, const char *path, uint64_t max, struct bytes *out, vdisk_error *err)
{
	struct bytes b = { 0 };
	int rc = below(t)->ops->read(below(t), path, max, &b, err);

	if (b.len)
		bytes_add(out, b.at, b.len);
	bytes_destroy(&b);
	return rc;
}

static int hollow_list(struct tree *t, const char *path, struct bytes *names, vdisk_error *err)
{
	return below(t)->ops->list(below(t), path, names, err);
}

static int hollow_link(struct tree *t, const char *path, struct bytes *target, vdisk_error *err)
{
	return below(t)->ops->link(below(t), path, target, err);
}

static void empty_check(const struct file *files, unsigned loaders)
{
	static const struct tree_ops ops = { .stat = hollow_stat, .read = hollow_read, .list = hollow_list, .link = hollow_link };
	struct adapt_options o = { .targets = TARGET_KVM };
	struct hollow t = { .tree = { .ops = &ops } };
	struct facts f = { 0 };
	vdisk_error err = { 0 };
	struct plan p;

	tree_make(files);
	t.folder = tree_folder_open(folder, true, &err);
	assert_non_null(t.folder);
	if (facts_read(&f, &t.tree, &err))
		fail_msg("%s", err.message);
	assert_int_equal(f.kernels_n, 1);
	assert_string_equal(f.kernels[0].release, "6.1.0");
	assert_int_equal(f.loaders, loaders);
	plan_init(&p, &t.tree);
	if (step_network(&p, &f, &o, &err))
		fail_msg("%s", err.message);
	assert_int_equal(p.n, 0);
	plan_destroy(&p);
	facts_destroy(&f);
	tree_close(t.folder);
	tree_drop();
}

static void empty_files(void **state)
{
	static const struct file uefi[] = {
		{ "etc/os-release", "" },
		{ "etc/fstab", "UUID=ABCD-1234 /boot/efi vfat umask=0077 0 1\n" },
		{ "lib/modules/6.1.0/pkgbase", "" },
		{ "lib/modules/6.1.0/modules.dep", "" },
		{ "boot/vmlinuz-6.1.0", "x" },
		{ "boot/efi/EFI/debian/grub.cfg", "" },
		{ "etc/wicked/ifconfig/a.xml", "" },
		{ 0 },
	};
	static const struct file bios[] = {
		{ "etc/fstab", "" },
		{ "lib/modules/6.1.0/pkgbase", "" },
		{ "boot/vmlinuz-6.1.0", "x" },
		{ "boot/grub/menu.lst", "default saved\ntitle x\nkernel /vmlinuz-6.1.0\n" },
		{ "boot/grub/default", "" },
		{ 0 },
	};

	(void)state;
	empty_check(uefi, LOADER_GRUB2);
	empty_check(bios, LOADER_GRUB_LEGACY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(debian),
		cmocka_unit_test(rhel_with_bls),
		cmocka_unit_test(suse),
		cmocka_unit_test(alpine),
		cmocka_unit_test(arch_with_systemd_boot),
		cmocka_unit_test(kernel_install),
		cmocka_unit_test(centos6_with_grub_legacy),
		cmocka_unit_test(netplan),
		cmocka_unit_test(nothing_there),
		cmocka_unit_test(names_of_file_systems),
		cmocka_unit_test(empty_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
