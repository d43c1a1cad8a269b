/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Boot loaders' configurations, as distributions write them, over files in memory. */
#include "bootsource.h"
#include "uki.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct file {
	const char *path, *text;
};

static const struct file *files; /* of the test that runs; ends with path NULL */

static char *files_read(void *ctx, const char *path)
{
	(void)ctx;
	for (const struct file *f = files; f->path; f++)
		if (!strcmp(f->path, path))
			return strdup(f->text);
	return NULL;
}

static bool files_exist(void *ctx, const char *path)
{
	char *text = files_read(ctx, path);

	free(text);
	return text != NULL;
}

static char *files_list(void *ctx, const char *path)
{
	char *list = calloc(1, 65536);
	size_t n = strlen(path);

	(void)ctx;
	for (const struct file *f = files; f->path; f++)
		if (!strncmp(f->path, path, n) && !strchr(f->path + n, '/'))
			strcat(strcat(list, f->path + n), "\n");
	return list;
}

static bool files_find(void *ctx, enum boot_find what, const char *value, char device[BOOT_DEVICE_MAX])
{
	char path[BOOT_PATH_MAX];

	if (what == BOOT_FIND_FILE) {
		strcpy(device, "hd0,msdos1");
		return boot_path(path, device, value) && files_exist(ctx, path);
	}
	strcpy(device, "hd0,msdos2");
	return !strcmp(value, what == BOOT_FIND_UUID ? "1234-ABCD" : "root");
}

static const struct boot_source source = { .read = files_read, .exists = files_exist, .list = files_list, .find = files_find };

#define CFG "(hd0,msdos1)/boot/grub/grub.cfg"

static struct boot_choice grub(const char *text, const char *grubenv)
{
	const struct file two[] = { { CFG, text }, { grubenv ? "(hd0,msdos1)/boot/grub/grubenv" : NULL, grubenv }, { NULL } };
	struct boot_choice c;
	vdisk_error err;

	files = two;
	if (grub_choose(&source, CFG, false, &c, &err))
		fail_msg("%s\n    %s", text, err.message);
	return c;
}

static void grub_kernel(const char *text, const char *grubenv, const char *kernel)
{
	struct boot_choice c = grub(text, grubenv);

	if (strcmp(kernel, c.kernel))
		fail_msg("%s\n    expected: %s\n    actual:   %s", text, kernel, c.kernel);
}

static void grub_fails(const char *text, const char *words)
{
	const struct file one[] = { { CFG, text }, { NULL } };
	struct boot_choice c;
	vdisk_error err;

	files = one;
	if (!grub_choose(&source, CFG, false, &c, &err))
		fail_msg("%s\n    boots %s", text, c.kernel);
	if (!strstr(err.message, words) || !strstr(err.message, CFG))
		fail_msg("%s\n    expected: %s\n    actual:   %s", text, words, err.message);
}

/* The shape of grub-mkconfig's output in Debian, with its functions and tests. */
static const char debian[] =
	"if [ -s $prefix/grubenv ]; then\n  set have_grubenv=true\n  load_env\nfi\n"
	"if [ \"${next_entry}\" ] ; then\n   set default=\"${next_entry}\"\n   set next_entry=\n   save_env next_entry\n"
	"else\n   set default=\"${saved_entry}\"\nfi\n"
	"if [ x\"${feature_menuentry_id}\" = xy ]; then\n  menuentry_id_option=\"--id\"\nelse\n  menuentry_id_option=\"\"\nfi\n"
	"export menuentry_id_option\n"
	"function savedefault {\n  if [ -z \"${boot_once}\" ]; then\n    saved_entry=\"${chosen}\"\n    save_env saved_entry\n  fi\n}\n"
	"function load_video {\n  if [ x$feature_all_video_module = xy ]; then\n    insmod all_video\n  else\n    insmod vbe\n  fi\n}\n"
	"font=unicode\nif loadfont $font ; then\n  set gfxmode=auto\nfi\nterminal_output gfxterm\n"
	"if [ \"${recordfail}\" = 1 ] ; then\n  set timeout=30\nelse\n  if [ x$feature_timeout_style = xy ] ; then\n    set timeout=5\n"
	"  # a comment with 'quotes\n  else\n    set timeout=5\n  fi\nfi\n"
	"menuentry 'Debian GNU/Linux' --class debian --class os $menuentry_id_option 'gnulinux-simple-1' {\n"
	"\tload_video\n\tinsmod gzio\n\tif [ x$grub_platform = xxen ]; then insmod xzio; insmod lzopio; fi\n\tset root='hd0,msdos1'\n"
	"\tif [ x$feature_platform_search_hint = xy ]; then\n"
	"\t  search --no-floppy --fs-uuid --set=root --hint-bios=hd0,msdos2 --hint='hd0,msdos2'  1234-ABCD\n"
	"\telse\n\t  search --no-floppy --fs-uuid --set=root 1234-ABCD\n\tfi\n\techo\t'Loading Linux ...'\n"
	"\tlinux\t/boot/vmlinuz-6.1 root=UUID=1234 ro  quiet\n\tinitrd\t/boot/initrd.img-6.1\n}\n"
	"submenu 'Advanced options for Debian GNU/Linux' $menuentry_id_option 'gnulinux-advanced-1' {\n"
	"\tmenuentry 'Debian, with Linux 6.1' --class debian $menuentry_id_option 'gnulinux-6.1-advanced-1' {\n"
	"\t\tsearch --no-floppy --fs-uuid --set=root 1234-ABCD\n\t\tlinux\t/boot/vmlinuz-6.1 root=UUID=1234 ro\n\t\tinitrd\t/boot/initrd.img-6.1\n\t}\n"
	"\tmenuentry 'Debian, with Linux 5.10' --class debian $menuentry_id_option 'gnulinux-5.10-advanced-1' {\n"
	"\t\tsearch --no-floppy --fs-uuid --set=root 1234-ABCD\n\t\tlinux\t/boot/vmlinuz-5.10 root=UUID=1234 ro\n\t\tinitrd\t/boot/early.img /boot/initrd.img-5.10\n\t}\n"
	"}\n"
	"if [ -f  ${config_directory}/custom.cfg ]; then\n  source ${config_directory}/custom.cfg\n"
	"elif [ -z \"${config_directory}\" -a -f  $prefix/custom.cfg ]; then\n  source $prefix/custom.cfg\nfi\n";

static void grub_debian(void **state)
{
	(void)state;
	struct boot_choice c = grub(debian, NULL);
	assert_string_equal("(hd0,msdos2)/boot/vmlinuz-6.1", c.kernel);
	assert_string_equal("BOOT_IMAGE=/boot/vmlinuz-6.1 root=UUID=1234 ro quiet", c.append);
	assert_int_equal(1, c.n_initrds);
	assert_string_equal("(hd0,msdos2)/boot/initrd.img-6.1", c.initrds[0]);
	assert_false(c.unified);

	c = grub(debian, "# GRUB Environment Block\nsaved_entry=gnulinux-advanced-1>gnulinux-5.10-advanced-1\n######");
	assert_string_equal("(hd0,msdos2)/boot/vmlinuz-5.10", c.kernel);
	assert_int_equal(2, c.n_initrds);
	assert_string_equal("(hd0,msdos2)/boot/early.img", c.initrds[0]);
	grub_kernel(debian, "# x\nsaved_entry=Advanced options for Debian GNU/Linux>Debian, with Linux 5.10\n",
	            "(hd0,msdos2)/boot/vmlinuz-5.10");
	grub_kernel(debian, "# x\nsaved_entry=1>1\n", "(hd0,msdos2)/boot/vmlinuz-5.10");
	grub_kernel(debian, "# x\nsaved_entry=1>7\n", "(hd0,msdos2)/boot/vmlinuz-6.1");
	grub_kernel(debian, "# x\nsaved_entry=gone\n", "(hd0,msdos2)/boot/vmlinuz-6.1");
	grub_kernel(debian, "# x\nsaved_entry=0\nnext_entry=1>1\n", "(hd0,msdos2)/boot/vmlinuz-5.10");
}

static void grub_language(void **state)
{
	(void)state;
	grub_kernel("set a=b\nlinux /$a\"${a}x\"'$a' ; boot\n", NULL, "(hd0,msdos1)/bbx$a");
	grub_kernel("linux /x\\\n y\nboot\nlinux /no\n", NULL, "(hd0,msdos1)/x");
	grub_kernel("for i in one two three; do\n  set last=$i\ndone\nlinux /$last; boot", NULL, "(hd0,msdos1)/three");
	grub_kernel("set n=x\nwhile [ $n != xxxx ]; do\n set n=x$n\ndone\nlinux /$n\nboot\n", NULL, "(hd0,msdos1)/xxxx");
	grub_kernel("set n=x\nuntil test $n = xxx; do\n set n=x$n\ndone\nlinux /$n\nboot\n", NULL, "(hd0,msdos1)/xxx");
	grub_kernel("function f {\n set r=\"$1-$2-$#\"\n}\nf a 'b c'\nlinux \"/$r\"\nboot", NULL, "(hd0,msdos1)/a-b c-2");
	grub_kernel("if false; then linux /a; elif true; then linux /b; else linux /c; fi\nboot\n", NULL, "(hd0,msdos1)/b");
	grub_kernel("if true; then if false; then linux /a; else linux /b; fi; fi; boot", NULL, "(hd0,msdos1)/b");
	grub_kernel("if [ ! -e /nothing -a ( 1 -eq 2 -o 2 -lt 10 ) ]; then linux /a; fi; boot", NULL, "(hd0,msdos1)/a");
	grub_kernel("if ! [ a = b ]; then linux /a; fi; boot", NULL, "(hd0,msdos1)/a");
	grub_kernel("set default=two\nmenuentry 'one' { linux /1 }\nmenuentry two { linux /2 }\n", NULL, "(hd0,msdos1)/2");
	grub_kernel("menuentry \"a } in a title\" { linux /1\n }\n", NULL, "(hd0,msdos1)/1");
	grub_kernel("menuentry x k1 { linux \"/$2\" }\n", NULL, "(hd0,msdos1)/k1");
	grub_kernel("search --file --set=root /boot/grub/grub.cfg\nlinux /x\nboot", NULL, "(hd0,msdos1)/x");
	grub_kernel("search.fs_uuid 1234-ABCD root hd0,gpt2\nlinux ($root)/x\nboot", NULL, "(hd0,msdos2)/x");
	struct boot_choice c = grub("linux /x a=\"b c\" d\\'e\nboot", NULL);
	assert_string_equal("BOOT_IMAGE=/x \"a=b c\" d\\'e", c.append);
}

/* `times` copies of `text`, with something before and behind. */
static char *repeated(const char *before, const char *text, size_t times, const char *behind)
{
	char *all = malloc(strlen(before) + strlen(text) * times + strlen(behind) + 1), *p = stpcpy(all, before);

	while (times--)
		p = stpcpy(p, text);
	strcpy(p, behind);
	return all;
}

/* Little that would take long, or much memory, or be nested without end where nothing is run any more. */
static void grub_endless(void)
{
	char *blanks = repeated("a='", " ", 8000, "'\n");
	char *scripts[] = {
		repeated(blanks, "$a", 3000, "\nlinux /x\nboot\n"),
		repeated("while true; do\nmenuentry x {\n# ", "x", 900000, "\n}\ndone\n"),
		repeated("", "search --file /nothing\n", 600, "linux /x\nboot\n"),
		repeated("", "if [ -f /nothing ]; then x; fi\n", 600, "linux /x\nboot\n"),
		repeated("", "load_env -f /nothing\n", 600, "linux /x\nboot\n"),
		repeated("", "blscfg\n", 300, "linux /x\nboot\n"),
	};
	char *name = repeated("", "n", 300, "=x\n"), *ifs = repeated("linux /x\nfor i in a\ndo\nboot\n", "if\n", 100000, "\n");

	for (size_t i = 0; i < sizeof(scripts) / sizeof(*scripts); i++) {
		grub_fails(scripts[i], "does not come to its end");
		free(scripts[i]);
	}
	grub_fails(name, "a variable cannot be set");
	grub_kernel(ifs, NULL, "(hd0,msdos1)/x");
	free(name);
	free(ifs);
	free(blanks);
}

static void grub_paths(void **state)
{
	const struct file disk[] = { { "(hd0,msdos1)/grub/grub.cfg", "configfile (hd0,1)3+1\n" },
	                             { "(hd0,1)3+1", "linux $config_directory/x\nboot\n" }, { NULL } };
	struct boot_choice c;
	vdisk_error err;

	(void)state;
	files = disk; /* a list of blocks lies in no folder */
	if (grub_choose(&source, disk[0].path, false, &c, &err))
		fail_msg("%s", err.message);
	assert_string_equal("(hd0,msdos1)/grub/x", c.kernel);
	char *cut = repeated("linux /", "x", BOOT_PATH_MAX - 5, "\nboot\n");
	grub_fails(cut, "no entry"); /* what is too long is no path, not one that was cut */
	free(cut);
}

static void grub_wrong(void **state)
{
	static char deep[200000], loop[] = "while true; do\n set a=b\ndone\n", self[] = "function f {\n f\n}\nf\nlinux /x\nboot\n";

	(void)state;
	grub_fails("set x=1\n", "no entry of it boots a Linux kernel");
	grub_fails("menuentry Windows { chainloader (hd0,msdos1)+1 }\n", "chainloader (hd0,msdos1)+1");
	grub_fails("menuentry x { linux /a\n", "a block has no end");
	grub_fails("if true; then linux /a\n", "\"fi\"");
	grub_fails("fi\n", "out of its place");
	grub_fails(loop, "does not come to its end");
	grub_fails(self, "nested too deep");
	for (unsigned i = 0; i < 100; i++)
		strcat(deep, "if true; then ");
	grub_fails(deep, "nested too deep");
	memset(deep, 'x', sizeof(deep) - 1);
	grub_fails(deep, "too long");
	grub_fails("configfile $prefix/grub.cfg\n", "nested too deep");
	grub_endless();
	grub_fails("linux", "no entry");
}

static void grub_others(void **state)
{
	/* An EFI system partition's grub.cfg leads to the real one; Fedora's takes entries of the specification. */
	const struct file fedora[] = {
		{ "(hd0,gpt1)/EFI/fedora/grub.cfg",
		  "search --no-floppy --fs-uuid --set=dev 1234-ABCD\nset prefix=($dev)/grub2\nexport $prefix\n"
		  "configfile $prefix/grub.cfg\n" },
		{ "(hd0,msdos2)/grub2/grub.cfg",
		  "load_env -f ${prefix}/grubenv\nset default=\"${saved_entry}\"\nset root=hd0,msdos2\n"
		  "if [ -z \"${kernelopts}\" ]; then\n set kernelopts=\"root=/dev/x ro\"\nfi\ninsmod blscfg\nblscfg\n" },
		{ "(hd0,msdos2)/grub2/grubenv", "# GRUB Environment Block\nsaved_entry=id-6.5.0\n" },
		{ "(hd0,msdos2)/loader/entries/id-6.5.0.conf",
		  "title F\nversion 6.5.0\nlinux /vmlinuz-6.5.0\ninitrd /initramfs-6.5.0.img $tuned_initrd\n"
		  "options $kernelopts rhgb $tuned_params\ngrub_class kernel\n" },
		{ "(hd0,msdos2)/loader/entries/id-6.10.1.conf", "title F\nlinux /vmlinuz-6.10.1\noptions x\n" },
		{ NULL }
	};
	struct boot_choice c;
	vdisk_error err;

	(void)state;
	files = fedora;
	if (grub_choose(&source, fedora[0].path, true, &c, &err))
		fail_msg("%s", err.message);
	assert_string_equal("(hd0,msdos2)/vmlinuz-6.5.0", c.kernel);
	assert_int_equal(1, c.n_initrds);
	assert_string_equal("(hd0,msdos2)/initramfs-6.5.0.img", c.initrds[0]);
	assert_string_equal("root=/dev/x ro rhgb ", c.append);
}

static void loaders(void **state)
{
	const struct file boot[] = { { "(hd0,gpt1)/loader/loader.conf", "timeout 3\ndefault debian-6.9*\n" },
		                     { "(hd0,gpt1)/loader/entries/debian-6.9.conf",
		                       "linux /6.9/linux\ninitrd /6.9/initrd\noptions root=/dev/a\noptions quiet\n" },
		                     { "(hd0,gpt1)/loader/entries/debian-6.10.conf", "linux /6.10/linux\n" },
		                     { "(hd0,gpt1)/loader/entries/readme.txt", "x" },
		                     { NULL } };
	struct boot_choice c;
	vdisk_error err;

	(void)state;
	files = boot;
	assert_int_equal(0, bls_choose(&source, "hd0,gpt1", &c, &err));
	assert_string_equal("(hd0,gpt1)/6.9/linux", c.kernel);
	assert_string_equal("root=/dev/a quiet", c.append);
	files = boot + 1; /* without loader.conf the newest: 6.10 is newer than 6.9 */
	assert_int_equal(0, bls_choose(&source, "hd0,gpt1", &c, &err));
	assert_string_equal("(hd0,gpt1)/6.10/linux", c.kernel);

	const struct file unified[] = { { "(hd0,gpt1)/EFI/Linux/a-1.efi", "MZ" },
		                        { "(hd0,gpt1)/EFI/Linux/a-2.efi", "MZ" },
		                        { NULL } };
	files = unified;
	assert_int_equal(0, bls_choose(&source, "hd0,gpt1", &c, &err));
	assert_string_equal("(hd0,gpt1)/EFI/Linux/a-2.efi", c.kernel);
	assert_true(c.unified);

	const struct file ext[] = {
		{ "(hd0,msdos1)/boot/extlinux/extlinux.conf",
		  "DEFAULT menu.c32\nTIMEOUT 10\n# LABEL none\nLABEL first\n  MENU LABEL x\n  KERNEL ../vmlinuz\n  APPEND initrd=/initrd.gz root=/dev/a ro\n"
		  "LABEL second\n  linux /vmlinuz-2\n  initrd /a,/b\n  append root=/dev/b\n" },
		{ NULL }
	};
	files = ext;
	assert_int_equal(0, extlinux_choose(&source, ext[0].path, &c, &err));
	assert_string_equal("(hd0,msdos1)/boot/extlinux/../vmlinuz", c.kernel);
	assert_string_equal("root=/dev/a ro", c.append);
	assert_string_equal("(hd0,msdos1)/initrd.gz", c.initrds[0]);
	const struct file two[] = { { "(hd0,msdos1)/extlinux.conf",
		                      "default second\nlabel second\n linux /vmlinuz-2\n initrd /a,b\n append root=/dev/b\n" },
		                    { NULL } };
	files = two;
	assert_int_equal(0, extlinux_choose(&source, two[0].path, &c, &err));
	assert_string_equal("(hd0,msdos1)/vmlinuz-2", c.kernel);
	assert_int_equal(2, c.n_initrds);
	assert_string_equal("(hd0,msdos1)/b", c.initrds[1]);
}

static void unified(void **state)
{
	uint8_t pe[1024] = "MZ";
	struct uki u;
	vdisk_error err;

	(void)state;
	pe[0x3c] = 0x80;
	memcpy(pe + 0x80, "PE\0\0", 4);
	pe[0x86] = 3;
	for (unsigned i = 0; i < 3; i++) {
		uint8_t *s = pe + 0x98 + 40 * i;

		memcpy(s, (const char *[]){ ".linux\0\0", ".initrd\0", ".cmdline" }[i], 8);
		s[8] = (uint8_t)(10 + i);  /* of which so many bytes are used */
		s[17] = 1;                 /* 0x100 in the file, */
		s[21] = (uint8_t)(1 + i);  /* from 0x100, 0x200, 0x300 on */
	}
	assert_int_equal(0, uki_parse(pe, sizeof(pe), &u, &err));
	assert_int_equal(0x100, u.linux_.off);
	assert_int_equal(10, u.linux_.len);
	assert_int_equal(0x300, u.cmdline.off);
	assert_int_equal(12, u.cmdline.len);
	for (size_t n = 0; n < 0x309; n++) { /* cut short, it is never read beyond its end, and refused while it counts */
		uint8_t *copy = malloc(n ? n : 1);

		memcpy(copy, pe, n);
		if (!uki_parse(copy, n, &u, &err))
			fail_msg("%zu bytes are taken for a unified kernel image", n);
		free(copy);
	}
	pe[0x86] = 0;
	assert_int_equal(-1, uki_parse(pe, sizeof(pe), &u, &err));
	assert_non_null(strstr(err.message, "without a kernel"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grub_debian), cmocka_unit_test(grub_language), cmocka_unit_test(grub_wrong),
		cmocka_unit_test(grub_paths),
		cmocka_unit_test(grub_others), cmocka_unit_test(loaders),       cmocka_unit_test(unified),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
