/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Values in files that a shell reads, and commands in those that GRUB reads, however they are quoted, commented and continued: what
   is changed is there for who reads the file afterwards, and what stands beside it is as it was.  /bin/sh judges. */
#include "adapt_guest.h"

#define ROOT "11111111-1111-4111-8111-111111111111"
#define SWAP "22222222-2222-4222-8222-222222222222"
#define PORTS "console=tty0 console=ttyS0,115200n8"

static const struct fact_fs disk[] = { FS(1, "ext4", ROOT, "/"), FS(2, "swap", SWAP, "") };
static const struct adapt_options kvm = { .targets = TARGET_KVM }, serial = { .targets = TARGET_KVM, .serial = true };

/* What the shell has in the variable once it has read the file, and that it runs nothing. */
static void shell_has(const struct guest *g, const char *path, const char *name, const char *due)
{
	char command[400], got[1000];
	size_t n;
	FILE *p;

	snprintf(command, sizeof(command), "PATH=/nowhere; set -e; . '%s%s' 2>&1; printf '%%s|' \"$%s\"", g->folder, path, name);
	p = popen(command, "r");
	assert_non_null(p);
	n = fread(got, 1, sizeof(got) - 1, p);
	got[n] = '\0';
	if (pclose(p) || !n || strncmp(got, due, strlen(due)) || strcmp(got + strlen(due), "|"))
		fail_msg("%s: the shell has \"%s\" in %s, due is \"%s|\"", path, got, name, due);
}

#define GRUB    "/etc/default/grub"
#define ALPINE  "/etc/update-extlinux.conf"
#define DEBIAN  "/etc/default/extlinux"
#define LINUX   "GRUB_CMDLINE_LINUX"
#define TERM    "GRUB_TERMINAL=\"console serial\"\n"
#define COMMAND "GRUB_SERIAL_COMMAND=\"serial --unit=0 --speed=115200\"\n"
#define REST    TERM COMMAND
#define PIECES  "stays as it is, since its value is put together"

static const struct {
	const char *path, *before, *after, *name, *value, *remark;
} values[] = {
	/* Without quotes, and with a blank now. */
	{ GRUB, LINUX "=quiet\n", LINUX "=\"quiet " PORTS "\"\n" REST, LINUX, "quiet " PORTS },
	{ GRUB, LINUX "=\n", LINUX "=\"" PORTS "\"\n" REST, LINUX, PORTS },
	{ GRUB, LINUX "=quiet", LINUX "=\"quiet " PORTS "\"\n" REST, LINUX, "quiet " PORTS },
	{ GRUB, "export " LINUX "=root=/dev/sda1 # root=/dev/sda1\n",
	  "export " LINUX "=\"root=UUID=" ROOT " " PORTS "\" # root=/dev/sda1\n" REST, LINUX, "root=UUID=" ROOT " " PORTS },
	{ GRUB, "X=y\n" LINUX "=$X\n", "X=y\n" LINUX "=\"$X " PORTS "\"\n" REST, LINUX, "y " PORTS },
	{ GRUB, LINUX "='quiet'\n", LINUX "='quiet " PORTS "'\n" REST, LINUX, "quiet " PORTS },
	{ GRUB, LINUX "=console=ttyS0\n", LINUX "=console=ttyS0\n" REST, LINUX, "console=ttyS0" },
	/* A comment, and another command, are no part of a value. */
	{ GRUB, "GRUB_TERMINAL=console # no graphics\n",
	  "GRUB_TERMINAL=\"console serial\" # no graphics\n" LINUX "=\"" PORTS "\"\n" COMMAND,
	  "GRUB_TERMINAL", "console serial" },
	{ GRUB, "GRUB_TERMINAL=console # no serial\n",
	  "GRUB_TERMINAL=\"console serial\" # no serial\n" LINUX "=\"" PORTS "\"\n" COMMAND,
	  "GRUB_TERMINAL", "console serial" },
	{ GRUB, LINUX "=quiet # splash\n", LINUX "=\"quiet " PORTS "\" # splash\n" REST, LINUX, "quiet " PORTS },
	{ GRUB, LINUX "= # none\n", LINUX "=\"" PORTS "\" # none\n" REST, LINUX, PORTS },
	{ GRUB, LINUX "=quiet;X=y\n", LINUX "=\"quiet " PORTS "\";X=y\n" REST, LINUX, "quiet " PORTS },
	{ GRUB, LINUX "=\"quiet # splash\"#x\n", LINUX "=\"quiet # splash\"#x\n" REST, LINUX, "quiet # splash#x", PIECES },
	/* Over several lines. */
	{ GRUB, LINUX "=\"quiet \\\nroot=/dev/sda1 \\\n splash\" # x\nX=y\n",
	  LINUX "=\"quiet \\\nroot=UUID=" ROOT " \\\n splash " PORTS "\" # x\nX=y\n" REST, LINUX,
	  "quiet root=UUID=" ROOT "  splash " PORTS },
	{ GRUB, LINUX "=\"quiet\nroot=/dev/sda1\"\n", LINUX "=\"quiet\nroot=UUID=" ROOT " " PORTS "\"\n" REST, LINUX,
	  "quiet\nroot=UUID=" ROOT " " PORTS },
	{ GRUB, LINUX "=\"quiet \\\n\"\n", LINUX "=\"quiet " PORTS " \\\n\"\n" REST, LINUX, "quiet " PORTS " " },
	{ GRUB, "X='\n" LINUX "=quiet\n'\n", "X='\n" LINUX "=quiet\n'\n" LINUX "=\"" PORTS "\"\n" REST, "X", "\n" LINUX "=quiet\n" },
	/* Put together from pieces: nobody guesses at it. */
	{ GRUB, LINUX "=\"quiet\"' splash'\n", LINUX "=\"quiet\"' splash'\n" REST, LINUX, "quiet splash", PIECES },
	{ GRUB, LINUX "=quiet\\ splash\n", LINUX "=quiet\\ splash\n" REST, LINUX, "quiet splash", PIECES },
	{ GRUB, LINUX "=qui\\\net\n", LINUX "=qui\\\net\n" REST, LINUX, "quiet", PIECES },
	{ GRUB, LINUX "=$(echo a b)\n", LINUX "=$(echo a b)\n" REST, LINUX, "a b", PIECES },
	{ GRUB, "GRUB_TERMINAL='con'sole\n", "GRUB_TERMINAL='con'sole\n" LINUX "=\"" PORTS "\"\n" COMMAND, "GRUB_TERMINAL", "console",
	  PIECES },
	/* EXTLINUX' */
	{ ALPINE, "default_kernel_opts=quiet # x\n", "default_kernel_opts=\"quiet " PORTS "\" # x\n", "default_kernel_opts",
	  "quiet " PORTS },
	{ ALPINE, "root=/dev/sda1 # the disk\nserial_port= # none\n", "root=UUID=" ROOT " # the disk\nserial_port=0 # none\n", "root",
	  "UUID=" ROOT },
	{ ALPINE, "root=\"/dev/sda1\"\nserial_port=\"\"\n", "root=\"UUID=" ROOT "\"\nserial_port=\"0\"\n", "serial_port", "0" },
	{ DEBIAN, "EXTLINUX_PARAMETERS=quiet\nEXTLINUX_ROOT=root=/dev/sda1 # x\n",
	  "EXTLINUX_PARAMETERS=\"quiet " PORTS "\"\nEXTLINUX_ROOT=root=UUID=" ROOT " # x\n", "EXTLINUX_PARAMETERS", "quiet " PORTS },
};

static void test_values(void **state)
{
	const struct facts f = FACTS(disk);

	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		const struct edit edits[] = { { values[i].path, values[i].before, values[i].after }, { 0 } };
		struct guest g;

		guest_run(&g, step_loader, &f, &serial, edits, values[i].remark);
		shell_has(&g, values[i].path, values[i].name, values[i].value);
		guest_destroy(&g);
	}
}

/* A quote that never ends: the shell refuses the file, and nobody knows what is meant. */
static void test_no_end(void **state)
{
	const struct facts f = FACTS(disk);
	const struct edit edits[] = { { GRUB, "X=y\nGRUB_CMDLINE_LINUX_DEFAULT=\"root=/dev/sda1\nY=z\n", SAME }, { 0 } };

	(void)state;
	guest_check(step_loader, &f, &kvm, edits, "the quotes of GRUB_CMDLINE_LINUX_DEFAULT do not end");
}

static void test_devices(void **state)
{
	const struct facts f = FACTS(disk);
	const struct edit edits[] = {
		{ "/etc/initramfs-tools/conf.d/resume", "RESUME=/dev/sda2 # swap\n", "RESUME=UUID=" SWAP " # swap\n" },
		{ "/etc/initramfs-tools/initramfs.conf", "X=\"\nRESUME=/dev/sda2\n\"\nRESUME='/dev/sda2'\n",
		  "X=\"\nRESUME=/dev/sda2\n\"\nRESUME='UUID=" SWAP "'\n" },
		{ "/etc/dracut.conf", "kernel_cmdline=\"quiet \\\n resume=/dev/sda2\" # root=/dev/sda1\n",
		  "kernel_cmdline=\"quiet \\\n resume=UUID=" SWAP "\" # root=/dev/sda1\n" },
		{ 0 },
	};
	struct guest g;

	(void)state;
	guest_run(&g, step_devices, &f, &kvm, edits, NULL);
	shell_has(&g, "/etc/initramfs-tools/conf.d/resume", "RESUME", "UUID=" SWAP);
	shell_has(&g, "/etc/initramfs-tools/initramfs.conf", "RESUME", "UUID=" SWAP);
	shell_has(&g, "/etc/dracut.conf", "kernel_cmdline", "quiet  resume=UUID=" SWAP);
	guest_destroy(&g);
}

/* ---------------------------------------------------------------- GRUB's */

#define MENU(lines) "menuentry x {\n" lines "}\n### vdisk: GRUB on the first serial line, too ###\n"

static const struct {
	const char *before, *after, *remark;
} menus[] = {
	{ " linux /v root=/dev/sda1 ro \\\n quiet\n initrd /i\n", " linux /v root=UUID=" ROOT " ro \\\n quiet " PORTS "\n initrd /i\n" },
	{ " linux /v ro \\\n\troot=/dev/sda1 \\\n\tresume=/dev/sda2\n initrd /i\n",
	  " linux /v ro \\\n\troot=UUID=" ROOT " \\\n\tresume=UUID=" SWAP " " PORTS "\n initrd /i\n" },
	{ " linux \\\n /v root=/dev/sda1\\\n\n initrd /i\n", " linux \\\n /v root=UUID=" ROOT " " PORTS "\\\n\n initrd /i\n" },
	{ " linux /v root=/dev/sda1 'a\\'\n initrd /i\n", " linux /v root=UUID=" ROOT " 'a\\' " PORTS "\n initrd /i\n" },
	{ " linux /v root=/dev/sda1 # a \\\n initrd /i\n", " linux /v root=UUID=" ROOT " " PORTS " # a \\\n initrd /i\n" },
	{ " linux /v root=/dev/sda1; initrd /i\n echo\n initrd /j\n",
	  " linux /v root=UUID=" ROOT " " PORTS "; initrd /i\n echo\n initrd /j\n" },
	{ " set kernelopts=root=/dev/sda1\n linux /v $kernelopts\n",
	  " set kernelopts=\"root=UUID=" ROOT " " PORTS "\"\n linux /v $kernelopts\n" },
	{ " set kernelopts=\"root=/dev/sda1 \\\n ro\" # x\n linux /v $kernelopts\n",
	  " set kernelopts=\"root=UUID=" ROOT " \\\n ro " PORTS "\" # x\n linux /v $kernelopts\n" },
};

static void test_menus(void **state)
{
	const struct facts f = FACTS(disk);
	char before[1000], after[1000];

	(void)state;
	for (size_t i = 0; i < sizeof(menus) / sizeof(menus[0]); i++) {
		const struct edit edits[] = { { "/boot/grub/grub.cfg", before, after }, { 0 } };
		char command[256];
		struct guest g;

		snprintf(before, sizeof(before), MENU("%s"), menus[i].before);
		snprintf(after, sizeof(after), MENU("%s"), menus[i].after);
		guest_run(&g, step_loader, &f, &serial, edits, NULL);
		snprintf(command, sizeof(command), "grub-script-check %s/boot/grub/grub.cfg", g.folder);
		if (!access("/usr/bin/grub-script-check", X_OK) && system(command))
			fail_msg("grub-script-check refuses\n%s", after);
		guest_destroy(&g);
	}
}

/* The file ends in a backslash: what is added stands before it; in the midst of a word, nothing can. */
static void test_cut(void **state)
{
	const struct facts f = FACTS(disk);
	const struct edit blank[] = { { "/boot/loader/entries/a.conf", "linux /v\ninitrd /i\noptions root=/dev/sda1 \\",
		                        "linux /v\ninitrd /i\noptions root=UUID=" ROOT " " PORTS " \\" },
		                      { 0 } };
	const struct edit word[] = { { "/boot/loader/entries/a.conf", "linux /v\ninitrd /i\noptions root=/dev/sda1 ro\\",
		                       "linux /v\ninitrd /i\noptions root=UUID=" ROOT " ro\\" },
		                     { 0 } };

	(void)state;
	guest_check(step_loader, &f, &serial, blank, NULL);
	guest_check(step_loader, &f, &serial, word, "goes on in the middle of a word");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values), cmocka_unit_test(test_no_end), cmocka_unit_test(test_devices),
		cmocka_unit_test(test_menus),  cmocka_unit_test(test_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
