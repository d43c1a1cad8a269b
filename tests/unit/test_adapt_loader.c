/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Boot loaders' files, as distributions write them, before and after. */
#include "adapt_guest.h"

#include "cmdline.h"

#include <sys/wait.h>

#define ROOT "11111111-1111-4111-8111-111111111111"
#define SWAP "22222222-2222-4222-8222-222222222222"
#define LUKS "44444444-4444-4444-8444-444444444444"

static const struct fact_fs disk[] = { FS(1, "ext4", ROOT, "/"), FS(2, "swap", SWAP, ""), FS(5, "crypto_LUKS", LUKS, "") };
static const struct adapt_options kvm = { .targets = TARGET_KVM }, serial = { .targets = TARGET_KVM, .serial = true };

/* ---------------------------------------------------------------- words */

static const struct {
	const char *before, *after;
	bool no_initrd, serial, xen;
} lines[] = {
	{ "root=/dev/sda1 ro quiet", "root=UUID=" ROOT " ro quiet" },
	{ "  root=/dev/hda1  ro ", "  root=UUID=" ROOT "  ro " },
	{ "root=/dev/vda1", "root=PARTUUID=aabbccdd-01", .no_initrd = true },
	{ "root=/dev/nvme0n1p1", "root=UUID=" ROOT },
	{ "root=/dev/cciss/c0d0p1", "root=UUID=" ROOT },
	{ "root=/dev/disk/by-id/scsi-SATA_x-part1", "root=UUID=" ROOT },
	{ "root=/dev/disk/by-path/pci-0000:00:1f.2-ata-1-part1", "root=UUID=" ROOT },
	{ "root=801 ro", "root=UUID=" ROOT " ro" },
	{ "root=0801 ro", "root=UUID=" ROOT " ro" },
	{ "root=8:1 ro", "root=UUID=" ROOT " ro" },
	{ "root=302", "root=302" }, /* swap: nobody's root */
	{ "root=254:1", "root=254:1" },
	{ "root=/dev/mapper/vg-root rd.lvm.lv=vg/root", "root=/dev/mapper/vg-root rd.lvm.lv=vg/root" },
	{ "root=UUID=" ROOT " resume=/dev/sda2", "root=UUID=" ROOT " resume=UUID=" SWAP },
	{ "root=LABEL=/ rhgb", "root=LABEL=/ rhgb" },
	{ "root='/dev/sda1' ro", "root='UUID=" ROOT "' ro" },
	{ "\"root=/dev/sda1\" ro", "\"root=UUID=" ROOT "\" ro" },
	{ "cryptdevice=/dev/sda5:root:allow-discards root=/dev/mapper/root",
	  "cryptdevice=UUID=" LUKS ":root:allow-discards root=/dev/mapper/root" },
	{ "cryptopts=target=root,source=/dev/sda5,key=none", "cryptopts=target=root,source=UUID=" LUKS ",key=none" },
	{ "cryptroot=/dev/sda5 cryptdm=root", "cryptroot=UUID=" LUKS " cryptdm=root" },
	{ "root=/dev/sdb1 ro", "root=UUID=" ROOT " ro" }, /* of one disk, whatever it was called */
	{ "root=/dev/sdb9 ro", "root=/dev/sdb9 ro" },
	{ "boot=live root=/dev/ram0", "boot=live root=/dev/ram0" },
	{ "a=\"b root=/dev/sda1 c\" d", "a=\"b root=/dev/sda1 c\" d" },
	{ "ro modprobe.blacklist=virtio-net,floppy quiet", "ro modprobe.blacklist=floppy quiet" },
	{ "ro rd.driver.blacklist=virtio_blk quiet", "ro quiet" },
	{ "console=hvc0 root=/dev/xvda1", "console=ttyS0 root=UUID=" ROOT },
	{ "console=hvc0", "console=hvc0", .xen = true },
	{ "", "", .serial = false },
	{ "", "console=tty0 console=ttyS0,115200n8", .serial = true },
	{ "ro quiet ", "ro quiet console=tty0 console=ttyS0,115200n8 ", .serial = true },
	{ "ro console=tty0 quiet", "ro console=tty0 quiet console=ttyS0,115200n8", .serial = true },
	{ "console=ttyS0,9600 ro", "console=ttyS0,9600 ro", .serial = true },
	{ "console=ttyS1 ro", "console=ttyS1 ro console=tty0 console=ttyS0,115200n8", .serial = true },
};

static void test_words(void **state)
{
	const struct facts f = FACTS(disk);
	const struct edit none[] = { { 0 } };

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct adapt_options o = { .targets = lines[i].xen ? TARGET_XEN : TARGET_KVM, .serial = lines[i].serial };
		struct cmdline_rules r = { .options = &o, .initrd = !lines[i].no_initrd, .serial = true, .path = "test" };
		struct devices d;
		struct bytes now = { 0 };
		struct guest g;
		vdisk_error err;

		guest_make(&g, none);
		assert_int_equal(devices_read(&d, &g.plan, &f, &err), 0);
		r.plan = &g.plan;
		r.devices = &d;
		cmdline_translate(&r, (struct span){ lines[i].before, strlen(lines[i].before) }, &now);
		if (strcmp(now.at ? now.at : "", lines[i].after))
			fail_msg("\"%s\": due \"%s\", and it is \"%s\"", lines[i].before, lines[i].after, now.at ? now.at : "");
		bytes_destroy(&now);
		guest_destroy(&g);
	}
}

/* ---------------------------------------------------------------- GRUB 2 */

#define GRUB_CFG(root1, root2, more) \
	"set default=\"0\"\n" \
	"if [ x$feature_timeout_style = xy ] ; then\n  set timeout=5\nfi\n" \
	"menuentry 'Debian GNU/Linux' --class debian {\n" \
	"\tinsmod part_msdos\n" \
	"\tset root='hd0,msdos1'\n" \
	"\tsearch --no-floppy --fs-uuid --set=root --hint-bios=hd0,msdos1 " ROOT "\n" \
	"\techo\t'Loading Linux 6.1.0-18-amd64 ...'\n" \
	"\tlinux\t/boot/vmlinuz-6.1.0-18-amd64 root=" root1 " ro  quiet" more "\n" \
	"\tinitrd\t/boot/initrd.img-6.1.0-18-amd64\n" \
	"}\n" \
	"menuentry 'own kernel' {\n" \
	"\tlinux /boot/bzImage root=" root2 " ro" more "\n" \
	"}\n" \
	"menuentry 'Memory test' {\n\tlinux16 /boot/memtest86+.bin\n}\n"

#define GRUB_SERIAL \
	"### vdisk: GRUB on the first serial line, too ###\nif serial --unit=0 --speed=115200; then\n\tterminal_input --append serial\n" \
	"\tterminal_output --append serial\nfi\n"

static void test_grub2(void **state)
{
	struct facts f = FACTS(disk);
	const struct edit edits[] = {
		{ "/boot/grub/grub.cfg", GRUB_CFG("/dev/sda1", "/dev/sda1", ""),
		  GRUB_CFG("UUID=" ROOT, "PARTUUID=aabbccdd-01", "") },
		{ "/boot/grub/device.map", "(hd0)\t/dev/sda\n", GONE },
		{ "/boot/grub/custom.cfg", "menuentry x {\n set root='hd1,msdos1'\n linux /vmlinuz root=/dev/sda1 $extra\n}\n",
		  "menuentry x {\n set root='hd0,msdos1'\n linux /vmlinuz root=UUID=" ROOT " $extra\n}\n" },
		{ "/etc/default/grub",
		  "# comment\nGRUB_DEFAULT=0\nGRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"\nGRUB_CMDLINE_LINUX='root=/dev/sda1 resume=/dev/sda2'\nGRUB_CMDLINE_XEN=\"x\"\nGRUB_CMDLINE_LINUX_RECOVERY=\"a=\\\"b c\\\" root=/dev/sda1\" # root=/dev/sda1\nGRUB_DISABLE_LINUX_UUID=true\n#GRUB_DISABLE_UUID=true\n",
		  "# comment\nGRUB_DEFAULT=0\nGRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"\nGRUB_CMDLINE_LINUX='root=UUID=" ROOT
		  " resume=UUID=" SWAP "'\nGRUB_CMDLINE_XEN=\"x\"\nGRUB_CMDLINE_LINUX_RECOVERY=\"a=\\\"b c\\\" root=UUID=" ROOT
		  "\" # root=/dev/sda1\n# vdisk: GRUB_DISABLE_LINUX_UUID=true\n#GRUB_DISABLE_UUID=true\n" },
		{ "/etc/default/grub.d/50.cfg", "GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT resume=/dev/sda2\"",
		  "GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT resume=UUID=" SWAP "\"" },
		{ "/etc/grub.d/10_linux", "  linux\t${rel_dirname}/${basename} root=${linux_root_device_thisversion} ro ${args}\n",
		  SAME },
		{ "/etc/grub.d/40_custom",
		  "#!/bin/sh\nexec tail -n +3 $0\nmenuentry y {\n linux /vmlinuz root=/dev/sda1\n initrd /i\n}\n",
		  "#!/bin/sh\nexec tail -n +3 $0\nmenuentry y {\n linux /vmlinuz root=UUID=" ROOT "\n initrd /i\n}\n" },
		{ 0 },
	};

	(void)state;
	guest_check(step_loader, &f, &kvm, edits, NULL);
}

static int devices_and_loader(struct plan *p, const struct facts *f, const struct adapt_options *o, vdisk_error *err)
{
	return step_devices(p, f, o, err) ? -1 : step_loader(p, f, o, err);
}

/* What fstab tells of the disks is known to the loader's step, too, though the names are gone from fstab by then. */
static void test_two_disks(void **state)
{
	const struct fact_fs disks[] = { FS(1, "ext4", ROOT, "/"), FS(1, "ext4", LUKS, "", .disk = 1) };
	const struct facts f = FACTS(disks);
	const struct edit edits[] = {
		{ "/etc/fstab", "/dev/sdb1 / ext4 defaults 0 1\n/dev/sda1 /data ext4 defaults 0 2\n",
		  "UUID=" ROOT " / ext4 defaults 0 1\nUUID=" LUKS " /data ext4 defaults 0 2\n" },
		{ "/boot/grub/grub.cfg", "linux /vmlinuz root=/dev/sdb1 ro\ninitrd /initrd.img\n",
		  "linux /vmlinuz root=UUID=" ROOT " ro\ninitrd /initrd.img\n" },
		{ 0 },
	};

	(void)state;
	guest_check(devices_and_loader, &f, &kvm, edits, NULL);
}

static int script_check(const struct guest *g, const char *path)
{
	char command[256];

	if (access("/usr/bin/grub-script-check", X_OK))
		return 0;
	snprintf(command, sizeof(command), "grub-script-check %s%s", g->folder, path);
	return system(command);
}

static void test_grub2_serial(void **state)
{
	struct facts f = FACTS(disk);
	const struct edit edits[] = {
		{ "/boot/grub/grub.cfg", GRUB_CFG("/dev/sda1", "/dev/sda1", ""),
		  GRUB_CFG("UUID=" ROOT, "PARTUUID=aabbccdd-01", " console=tty0 console=ttyS0,115200n8") GRUB_SERIAL },
		{ "/etc/default/grub", "GRUB_CMDLINE_LINUX=\"\"\nGRUB_TERMINAL=console\n",
		  "GRUB_CMDLINE_LINUX=\"console=tty0 console=ttyS0,115200n8\"\nGRUB_TERMINAL=\"console serial\"\nGRUB_SERIAL_COMMAND=\"serial --unit=0 --speed=115200\"\n" },
		{ "/etc/grub.d/10_linux", "  linux\t${rel_dirname}/${basename} root=${linux_root_device_thisversion} ro ${args}\n",
		  SAME },
		{ "/etc/securetty", "tty1\n", "tty1\nttyS0\n" },
		{ 0 },
	};
	struct guest g;

	(void)state;
	guest_run(&g, step_loader, &f, &serial, edits, NULL);
	assert_int_equal(script_check(&g, "/boot/grub/grub.cfg"), 0);
	guest_destroy(&g);
}

/* ---------------------------------------------------------------- RHEL 8, 9; Fedora */

static char *environment(const char *text)
{
	char *block = malloc(1025);

	memset(block, '#', 1024);
	block[1024] = '\0';
	memcpy(block, text, strlen(text));
	return block;
}

static void test_bls(void **state)
{
	struct facts f = FACTS(disk);
	char *before = environment(
		"# GRUB Environment Block\nsaved_entry=abc-4.18.0\nkernelopts=root=/dev/sda1 ro crashkernel=auto resume=/dev/sda2 rhgb \nboot_success=0\n");
	char *after = environment("# GRUB Environment Block\nsaved_entry=abc-4.18.0\nkernelopts=root=UUID=" ROOT
	                          " ro crashkernel=auto resume=UUID=" SWAP
	                          " rhgb console=tty0 console=ttyS0,115200n8 \nboot_success=0\n");
	const struct edit edits[] = {
		{ "/boot/efi/EFI/redhat/grubenv", before, after },
		{ "/boot/grub2/grubenv", LINK "../efi/EFI/redhat/grubenv", SAME },
		{ "/boot/grub2/grub.cfg",
		  "if [ -z \"${kernelopts}\" ]; then\n  set kernelopts=\"root=/dev/sda1 ro \"\nfi\nblscfg\n",
		  "if [ -z \"${kernelopts}\" ]; then\n  set kernelopts=\"root=UUID=" ROOT
		  " ro console=tty0 console=ttyS0,115200n8 \"\nfi\nblscfg\n" GRUB_SERIAL },
		{ "/boot/loader/entries/abc-4.18.0.conf",
		  "title RHEL\nversion 4.18.0\nlinux /vmlinuz-4.18.0\ninitrd /initramfs-4.18.0.img $tuned_initrd\noptions $kernelopts $tuned_params\n",
		  SAME },
		{ "/boot/loader/entries/abc-5.14.0.conf",
		  "title RHEL\nlinux /vmlinuz-5.14.0\ninitrd /initramfs-5.14.0.img\noptions root=/dev/sda1 ro\ngrub_class rhel\n",
		  "title RHEL\nlinux /vmlinuz-5.14.0\ninitrd /initramfs-5.14.0.img\noptions root=UUID=" ROOT
		  " ro console=tty0 console=ttyS0,115200n8\ngrub_class rhel\n" },
		{ "/etc/kernel/cmdline", "root=/dev/sda1 ro\n", "root=UUID=" ROOT " ro console=tty0 console=ttyS0,115200n8\n" },
		{ 0 },
	};

	(void)state;
	guest_check(step_loader, &f, &serial, edits, NULL);
	free(before);
	free(after);
}

/* An environment block that is full is refused, not cut. */
static void test_grubenv_full(void **state)
{
	struct facts f = FACTS(disk);
	char text[1100] = "# GRUB Environment Block\nkernelopts=root=/dev/sda1 ", *block;
	vdisk_error err = { 0 };
	struct guest g;

	(void)state;
	while (strlen(text) < 1010)
		strcat(text, "x");
	strcat(text, "\n");
	block = environment(text);
	const struct edit edits[] = { { "/boot/grub2/grubenv", block, NULL }, { 0 } };
	guest_make(&g, edits);
	assert_int_equal(step_loader(&g.plan, &f, &kvm, &err), -1);
	assert_int_equal(err.kind, VDISK_UNSUPPORTED);
	assert_non_null(strstr(err.message, "/boot/grub2/grubenv"));
	guest_destroy(&g);
	free(block);
}

/* ---------------------------------------------------------------- GRUB legacy, EXTLINUX, systemd-boot, LILO */

static void test_legacy(void **state)
{
	struct facts f = FACTS(disk);
	const struct edit edits[] = {
		{ "/boot/grub/menu.lst",
		  "default 0\ntimeout 5\n## # kopt=root=/dev/hda1 ro\n# kopt=root=/dev/sda1 ro\n# groot=(hd1,0)\n\ntitle Debian\nroot (hd0,0)\nkernel /boot/vmlinuz-2.6.32 root=/dev/sda1 ro quiet\ninitrd /boot/initrd.img-2.6.32\n\n"
		  "title plain\nroot (hd1,0)\nkernel (hd0,0)/boot/bzImage root=0801 ro\n\ntitle memtest\nkernel /boot/memtest86+.bin\n",
		  "default 0\ntimeout 5\n## # kopt=root=/dev/hda1 ro\n# kopt=root=UUID=" ROOT
		  " ro console=tty0 console=ttyS0,115200n8\n# groot=(hd0,0)\n\nserial --unit=0 --speed=115200\nterminal --timeout=5 console serial\ntitle Debian\nroot (hd0,0)\nkernel /boot/vmlinuz-2.6.32 root=UUID=" ROOT
		  " ro quiet console=tty0 console=ttyS0,115200n8\ninitrd /boot/initrd.img-2.6.32\n\n"
		  "title plain\nroot (hd0,0)\nkernel (hd0,0)/boot/bzImage root=PARTUUID=aabbccdd-01 ro console=tty0 console=ttyS0,115200n8\n\ntitle memtest\nkernel /boot/memtest86+.bin\n" },
		{ "/boot/grub/grub.conf", LINK "menu.lst", SAME },
		{ "/etc/inittab", "id:2:initdefault:\n#T0:23:respawn:/sbin/getty -L ttyS0 9600 vt100\n",
		  "id:2:initdefault:\n#T0:23:respawn:/sbin/getty -L ttyS0 9600 vt100\nS0:2345:respawn:/sbin/getty -L ttyS0 115200 vt100\n" },
		{ "/sbin/getty", "x", SAME },
		{ 0 },
	};

	(void)state;
	f.init = "sysvinit";
	guest_check(step_loader, &f, &serial, edits, NULL);
}

static void test_alpine(void **state)
{
	struct facts f = FACTS(disk);
	const struct edit edits[] = {
		{ "/boot/extlinux.conf",
		  "DEFAULT menu.c32\nLABEL lts\n  MENU LABEL Linux lts\n  LINUX vmlinuz-lts\n  INITRD initramfs-lts\n  APPEND root=/dev/sda1 modules=sd-mod,usb-storage,ext4 quiet rootfstype=ext4\n",
		  "SERIAL 0 115200\nDEFAULT menu.c32\nLABEL lts\n  MENU LABEL Linux lts\n  LINUX vmlinuz-lts\n  INITRD initramfs-lts\n  APPEND root=UUID=" ROOT
		  " modules=sd-mod,usb-storage,ext4 quiet rootfstype=ext4 console=tty0 console=ttyS0,115200n8\n" },
		{ "/etc/update-extlinux.conf",
		  "# x\noverwrite=1\ndefault_kernel_opts=\"quiet rootfstype=ext4\"\nmodules=sd-mod,usb-storage,ext4\nroot=/dev/sda1\nserial_port=\nserial_baud=115200\n",
		  "# x\noverwrite=1\ndefault_kernel_opts=\"quiet rootfstype=ext4 console=tty0 console=ttyS0,115200n8\"\nmodules=sd-mod,usb-storage,ext4\nroot=UUID=" ROOT
		  "\nserial_port=0\nserial_baud=115200\n" },
		{ "/etc/inittab", "tty1::respawn:/sbin/getty 38400 tty1\n",
		  "tty1::respawn:/sbin/getty 38400 tty1\nttyS0::respawn:/sbin/getty -L ttyS0 115200 vt100\n" },
		{ 0 },
	};

	(void)state;
	f.os = "alpine";
	f.init = "openrc";
	guest_check(step_loader, &f, &serial, edits, NULL);
}

/* An initrd is the kernel's before it. */
static void test_legacy_kernels(void **state)
{
	const struct facts f = FACTS(disk);
	const struct edit edits[] = {
		{ "/boot/grub/menu.lst",
		  "title a\nkernel /a root=/dev/sda1\nkernel /b root=/dev/sda1\nroot (hd0,0)\ninitrd /i\ntitle b\n"
		  "kernel /a root=/dev/sda1\ntitle c\ninitrd /i\n",
		  "title a\nkernel /a root=PARTUUID=aabbccdd-01\nkernel /b root=UUID=" ROOT "\nroot (hd0,0)\ninitrd /i\ntitle b\n"
		  "kernel /a root=PARTUUID=aabbccdd-01\ntitle c\ninitrd /i\n" },
		{ 0 },
	};

	(void)state;
	guest_check(step_loader, &f, &kvm, edits, NULL);
}

/* Which names a kernel knows, each label says for itself, wherever in it its INITRD stands. */
static void test_extlinux_labels(void **state)
{
	const struct facts f = FACTS(disk);
	const struct edit edits[] = {
		{ "/boot/extlinux/extlinux.conf",
		  "append root=/dev/sda1\nlabel one\n append root=/dev/sda1\n initrd i\nlabel two\n append root=/dev/sda1\n"
		  " append root=/dev/sda1 initrd=i\nLABEL three\n INITRD i\n APPEND root=/dev/sda1\n",
		  "append root=PARTUUID=aabbccdd-01\nlabel one\n append root=UUID=" ROOT "\n initrd i\nlabel two\n"
		  " append root=PARTUUID=aabbccdd-01\n append root=UUID=" ROOT " initrd=i\nLABEL three\n INITRD i\n"
		  " APPEND root=UUID=" ROOT "\n" },
		{ 0 },
	};

	(void)state;
	guest_check(step_loader, &f, &kvm, edits, NULL);
}

static void test_systemd_boot(void **state)
{
	struct facts f = FACTS(disk);
	const struct edit edits[] = {
		{ "/boot/loader/loader.conf", "default arch.conf\n", SAME },
		{ "/boot/loader/entries/arch.conf",
		  "title Arch\nlinux /vmlinuz-linux\ninitrd /initramfs-linux.img\noptions root=/dev/nvme0n1p1 rw\n",
		  "title Arch\nlinux /vmlinuz-linux\ninitrd /initramfs-linux.img\noptions root=UUID=" ROOT " rw\n" },
		{ "/boot/EFI/systemd/systemd-bootx64.efi", "sdboot", SAME },
		{ "/boot/EFI/BOOT/BOOTX64.EFI", NULL, "sdboot" },
		{ 0 },
	};

	(void)state;
	f.esp = "/boot";
	f.uefi = true;
	guest_check(step_loader, &f, &kvm, edits, NULL);
}

static void test_lilo(void **state)
{
	struct facts f = FACTS(disk);
	const struct edit edits[] = { { "/etc/lilo.conf", "boot=/dev/sda\n", NULL }, { 0 } };
	vdisk_error err = { 0 };
	struct guest g;

	(void)state;
	f.loaders = LOADER_LILO;
	guest_make(&g, edits);
	assert_int_equal(step_loader(&g.plan, &f, &kvm, &err), -1);
	assert_int_equal(err.kind, VDISK_UNSUPPORTED);
	assert_non_null(strstr(err.message, "LILO"));
	guest_destroy(&g);
}

/* A kernel line in a unified image: a PE file of one section. */
static void test_uki(void **state)
{
	static const char line[] = "root=/dev/sda1 ro";
	struct facts f = FACTS(disk);
	const struct edit none[] = { { 0 } };
	char image[512] = "MZ";
	struct guest g;

	(void)state;
	image[0x3c] = 0x40;
	memcpy(image + 0x40, "PE\0\0", 4);
	image[0x46] = 1;                             /* sections */
	memcpy(image + 0x58, ".cmdline", 8);
	image[0x58 + 8] = sizeof(line);
	image[0x58 + 17] = 1;                        /* raw size 0x100 */
	image[0x58 + 21] = 1;                        /* at 0x100 */
	memcpy(image + 0x100, line, sizeof(line));
	guest_make(&g, none);
	host_write(&g, "/efi/EFI/Linux/arch.efi", image, sizeof(image), 0644);
	host_write(&g, "/efi/EFI/BOOT/bootx64.efi", "x", 1, 0644);
	f.esp = "/efi";
	guest_step(&g, step_loader, &f, &kvm);
	guest_idle(&g);
	guest_remarks(&g, "root=UUID=" ROOT " ro");
	guest_destroy(&g);
}

/* ---------------------------------------------------------------- UEFI */

static void test_fallback_shim(void **state)
{
	struct facts f = FACTS(disk);
	const struct edit edits[] = {
		{ "/boot/efi/EFI/debian/shimx64.efi", "shim", SAME },
		{ "/boot/efi/EFI/debian/grubx64.efi", "grub (,gpt1)/EFI/debian", SAME },
		{ "/boot/efi/EFI/debian/mmx64.efi", "mm", SAME },
		{ "/boot/efi/EFI/debian/fbx64.efi", "fb", SAME },
		{ "/boot/efi/EFI/debian/BOOTX64.CSV", "csv", SAME },
		{ "/boot/efi/EFI/debian/grub.cfg",
		  "search.fs_uuid " ROOT " root\nset prefix=($root)'/boot/grub'\nconfigfile $prefix/grub.cfg\n", SAME },
		{ "/boot/efi/EFI/Microsoft/Boot/bootmgfw.efi", "windows", SAME },
		{ "/boot/efi/EFI/BOOT/BOOTX64.EFI", NULL, "shim" },
		{ "/boot/efi/EFI/BOOT/grubx64.efi", NULL, "grub (,gpt1)/EFI/debian" },
		{ "/boot/efi/EFI/BOOT/mmx64.efi", NULL, "mm" },
		{ "/boot/efi/EFI/BOOT/fbx64.efi", NULL, GONE },
		{ "/boot/efi/EFI/BOOT/grub.cfg", NULL,
		  "search.fs_uuid " ROOT " root\nset prefix=($root)'/boot/grub'\nconfigfile $prefix/grub.cfg\n" },
		{ 0 },
	};

	(void)state;
	f.esp = "/boot/efi";
	f.uefi = true;
	guest_check(step_loader, &f, &kvm, edits, NULL);
}

static void test_fallback_grub(void **state)
{
	struct facts f = FACTS(disk);
	const struct edit edits[] = {
		{ "/boot/efi/efi/old/grubx64.efi", "other", SAME },
		{ "/boot/efi/efi/debian/grubx64.efi", "grub", SAME },
		{ "/boot/efi/efi/BOOT/BOOTX64.EFI", NULL, "grub" },
		{ 0 },
	};

	(void)state;
	guest_check(step_loader, &f, &kvm, edits, NULL);
}

static void test_fallback_there(void **state)
{
	struct facts f = FACTS(disk);
	const struct edit edits[] = {
		{ "/boot/efi/EFI/redhat/shimx64.efi", "shim", SAME },
		{ "/boot/efi/EFI/redhat/grubx64.efi", "grub", SAME },
		{ "/boot/efi/EFI/Boot/bootx64.efi", "theirs", SAME },
		{ "/boot/efi/EFI/Boot/fbx64.efi", "fb", SAME },
		{ 0 },
	};

	(void)state;
	guest_check(step_loader, &f, &kvm, edits, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),         cmocka_unit_test(test_grub2),
		cmocka_unit_test(test_two_disks),     cmocka_unit_test(test_grub2_serial),
		cmocka_unit_test(test_bls),           cmocka_unit_test(test_grubenv_full),
		cmocka_unit_test(test_legacy),        cmocka_unit_test(test_alpine),
		cmocka_unit_test(test_extlinux_labels),
		cmocka_unit_test(test_legacy_kernels),
		cmocka_unit_test(test_systemd_boot),  cmocka_unit_test(test_lilo),
		cmocka_unit_test(test_uki),           cmocka_unit_test(test_fallback_shim),
		cmocka_unit_test(test_fallback_grub), cmocka_unit_test(test_fallback_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
