/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The judge, on what real guests sent (tests/runner/transcripts) and on the sentences of others; however the bytes are cut. */
#include "judge.h"
#include "patterns.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void begin(struct judge *j, const char *expect)
{
	vdisk_error err;

	assert_int_equal(0, judge_init(j, expect, false, &err));
}

static void say(struct judge *j, const char *text, int64_t now)
{
	judge_serial(j, (const uint8_t *)text, strlen(text), now);
}

/* Says it, and waits. */
static void expect_verdict(const char *text, enum verdict verdict, const char *cause)
{
	struct judge j;

	begin(&j, NULL);
	say(&j, text, 10);
	judge_tick(&j, 10 + JUDGE_SETTLE_MS - 1);
	judge_tick(&j, 10 + JUDGE_SETTLE_MS);
	if (j.verdict != verdict || (cause && strcmp(cause, j.cause)))
		fail_msg("%s\n    expected: %s, %s\n    actual:   %s, %s", text, verdict_name(verdict), cause ? cause : "",
		         verdict_name(j.verdict), j.cause);
	judge_destroy(&j);
}

static uint8_t *transcript_load(const char *name, size_t *len)
{
	const char *source = getenv("VDISK_SOURCE");
	char path[4096];

	snprintf(path, sizeof(path), "%s/tests/runner/transcripts/%s", source ? source : ".", name);
	FILE *f = fopen(path, "rb");
	if (!f)
		fail_msg("cannot open %s", path);
	uint8_t *bytes = malloc(1 << 20);
	*len = fread(bytes, 1, 1 << 20, f);
	fclose(f);
	assert_true(*len > 0);
	return bytes;
}

/* Feeds pieces of up to `most` bytes, all at one time. */
static void feed_cut(struct judge *j, const uint8_t *bytes, size_t len, unsigned most, unsigned *seed)
{
	for (size_t at = 0; at < len;) {
		size_t n = most == 1 ? 1 : 1 + (size_t)rand_r(seed) % most;

		n = n < len - at ? n : len - at;
		judge_serial(j, bytes + at, n, 1000);
		at += n;
	}
	judge_tick(j, 1000 + JUDGE_SETTLE_MS);
}

static void transcripts(void **state)
{
	static const struct {
		const char *file;
		enum verdict verdict;
		const char *cause; /* contained */
		bool loader, kernel;
	} cases[] = {
		{ "debian-bios.txt", VERDICT_BOOTED, "Reached target getty.target - Login Prompts.", true, true },
		{ "debian-uefi.txt", VERDICT_BOOTED, "Reached target getty.target - Login Prompts.", true, true },
		{ "no-root.txt", VERDICT_FAILED, "ALERT!  /dev/sda9 does not exist.  Dropping to a shell!", false, false },
		{ "panic.txt", VERDICT_FAILED, "Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)",
		  false, true },
		{ "emergency.txt", VERDICT_FAILED, "emergency", false, true },
		{ "uefi-nothing.txt", VERDICT_FAILED, "the firmware found nothing to boot: its shell", true, false },
		{ "grub-rescue.txt", VERDICT_FAILED, "its rescue prompt, after \"error: ", false, false },
	};
	const unsigned cuts[] = { 1, 2, 7, 64, 4096, 1 << 20 };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char first[512] = "";
		size_t len;
		uint8_t *bytes = transcript_load(cases[i].file, &len);

		for (size_t c = 0; c < sizeof(cuts) / sizeof(*cuts); c++) {
			unsigned seed = (unsigned)(i * 100 + c);
			struct judge j;

			begin(&j, NULL);
			feed_cut(&j, bytes, len, cuts[c], &seed);
			if (j.verdict != cases[i].verdict || !strstr(j.cause, cases[i].cause))
				fail_msg("%s, cut %u: expected %s, %s; got %s, %s", cases[i].file, cuts[c],
				         verdict_name(cases[i].verdict), cases[i].cause, verdict_name(j.verdict), j.cause);
			if (c == 0)
				memcpy(first, j.cause, sizeof(first));
			assert_string_equal(first, j.cause);
			assert_int_equal(cases[i].loader, j.stages[STAGE_LOADER] >= 0);
			assert_int_equal(cases[i].kernel, j.stages[STAGE_KERNEL] >= 0);
			judge_destroy(&j);
		}
		free(bytes);
	}
}

/* No prefix of a boot that goes well looks like a failure, and none of one that fails looks like success. */
static void prefixes(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		size_t len;
		uint8_t *bytes = transcript_load(i ? "emergency.txt" : "debian-bios.txt", &len);

		for (size_t n = 1; n < len; n += 97) {
			struct judge j;

			begin(&j, NULL);
			judge_serial(&j, bytes, n, 0);
			judge_tick(&j, JUDGE_SETTLE_MS);
			if (j.verdict == (i ? VERDICT_BOOTED : VERDICT_FAILED))
				fail_msg("transcript %u, %zu bytes: %s: %s", i, n, verdict_name(j.verdict), j.cause);
			judge_destroy(&j);
		}
		free(bytes);
	}
}

static void signs(void **state)
{
	(void)state;
	expect_verdict("\r\nDebian GNU/Linux 12 debian ttyS0\r\n\r\ndebian login: ", VERDICT_BOOTED, "debian login:");
	expect_verdict("localhost login:", VERDICT_BOOTED, "localhost login:");
	expect_verdict("web-1.example login: [   12.345678] random: crng init done\n", VERDICT_BOOTED, NULL);
	expect_verdict("Last login: Sun Nov 22 10:00:00 UTC 2026\n", VERDICT_NONE, NULL);
	expect_verdict("Last login: Sun", VERDICT_NONE, NULL);
	expect_verdict("type your login: at the prompt\n", VERDICT_NONE, NULL);
	expect_verdict("weblogin:", VERDICT_NONE, NULL);
	expect_verdict("[\033[0;32m  OK  \033[0m] Reached target \033[0;1;39mMulti-User System\033[0m.\r\n", VERDICT_BOOTED,
	               "[  OK  ] Reached target Multi-User System.");
	expect_verdict("[  OK  ] Reached target network.target - Network.\n", VERDICT_NONE, NULL);
	expect_verdict("[  OK  ] Reached target rescue.target - Rescue Mode.\n", VERDICT_FAILED, NULL);
	expect_verdict("grub> ", VERDICT_FAILED, NULL);
	expect_verdict("grub> ls\r\n", VERDICT_NONE, NULL);
	expect_verdict("error: no such partition.\r\nEntering rescue mode...\r\ngrub rescue> ", VERDICT_FAILED,
	               "GRUB found no modules or configuration: its rescue prompt, after \"error: no such partition.\"");
	expect_verdict("\r\n(initramfs) ", VERDICT_FAILED, "the initial RAM disk's shell");
	expect_verdict("\r\n(initramfs) \r", VERDICT_FAILED, "the initial RAM disk's shell"); /* the line does not end with a return
	                                                                                         alone */
	expect_verdict("Booting from Hard Disk...\r\nBoot failed: not a bootable disk\r\n\r\nNo bootable device.\r\n",
	               VERDICT_FAILED, "No bootable device., after \"Boot failed: not a bootable disk\"");
	expect_verdict("BdsDxe: No bootable option or device was found.\r\n", VERDICT_FAILED, NULL);
	expect_verdict("*** STOP: 0x0000007B (0xF78D2524,0xC0000034,0x00000000,0x00000000)\n", VERDICT_FAILED, NULL);
	expect_verdict("<INSTANCE CLASSNAME=\"BLUESCREEN\">\n", VERDICT_FAILED, NULL);
	expect_verdict("\r\nSAC>", VERDICT_BOOTED, "SAC>");
	expect_verdict("mountroot> ", VERDICT_FAILED, NULL);
	expect_verdict("[    1.000000] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100\n", VERDICT_FAILED,
	               NULL);
	expect_verdict("", VERDICT_NONE, NULL);
}

static void screens(void **state)
{
	struct judge j;

	(void)state;
	begin(&j, NULL);
	judge_screen(&j, "SeaBIOS\nBooting from Hard Disk...\n\n", 100);
	judge_screen(&j, "Debian GNU/Linux 12 debian tty1\n\ndebian login:\n\n\n", 200);
	judge_tick(&j, 200 + JUDGE_SETTLE_MS - 1);
	assert_int_equal(VERDICT_NONE, j.verdict);
	judge_tick(&j, 200 + JUDGE_SETTLE_MS);
	assert_int_equal(VERDICT_BOOTED, j.verdict);
	assert_int_equal(100, j.stages[STAGE_LOADER]);
	assert_int_equal(200 + JUDGE_SETTLE_MS, j.stages[STAGE_LOGIN]);
	judge_destroy(&j);

	begin(&j, NULL); /* a screen that goes on changing has no prompt */
	judge_screen(&j, "login:\n", 0);
	judge_screen(&j, "login:\nand on\n", 200);
	judge_tick(&j, 10000);
	assert_int_equal(VERDICT_NONE, j.verdict);
	judge_destroy(&j);

	begin(&j, NULL);
	judge_screen(&j, "A problem has been detected and Windows has been shut down to prevent damage\nto your computer.\n", 0);
	assert_int_equal(VERDICT_FAILED, j.verdict);
	judge_destroy(&j);
}

static void expectations(void **state)
{
	vdisk_error err;
	struct judge j;

	(void)state;
	begin(&j, "^ready: [0-9]+$");
	say(&j, "debian login: ", 0);
	judge_tick(&j, 1000);
	assert_int_equal(VERDICT_NONE, j.verdict); /* what is expected is something else */
	assert_int_equal(1000, j.stages[STAGE_LOGIN]);
	say(&j, "\r\nready: x\r\nready: 42\r\n", 2000);
	assert_int_equal(VERDICT_BOOTED, j.verdict);
	assert_string_equal("ready: 42", j.cause);
	judge_destroy(&j);

	begin(&j, "ready");
	say(&j, "Kernel panic - not syncing: x\nready\n", 0);
	assert_int_equal(VERDICT_FAILED, j.verdict);
	judge_destroy(&j);
	assert_int_equal(-1, judge_init(&j, "(", false, &err));
	assert_non_null(strstr(err.message, "--expect ("));
}

/* A screen is looked at now and then: what it shows may be older than what the serial line said in between. */
static void last_of_two(void **state)
{
	struct judge j;

	(void)state;
	begin(&j, NULL);
	judge_screen(&j, "", 0);
	say(&j, "bye\n", 900);
	judge_screen(&j, "Booting from Hard Disk...\n", 1000);
	judge_tick(&j, 1000 + JUDGE_SETTLE_MS); /* read once more does not make it newer */
	judge_stopped(&j, NULL, 2000);
	assert_string_equal("the guest switched itself off before it was up; its last line was: bye", j.cause);
	judge_destroy(&j);

	begin(&j, NULL);
	judge_screen(&j, "", 0);
	say(&j, "bye", 900);
	judge_screen(&j, "Booting from Hard Disk...\n", 1000);
	judge_screen(&j, "Booting from Hard Disk...\nBoot failed\n", 2000);
	judge_stopped(&j, "it broke", 2000);
	assert_string_equal("it broke; the last line was: bye", j.cause); /* a line that ended with its machine */
	judge_destroy(&j);

	begin(&j, NULL);
	say(&j, "early\n", 100);
	judge_screen(&j, "", 500);
	judge_screen(&j, "Booting from Hard Disk...\n", 1000);
	judge_stopped(&j, NULL, 2000);
	assert_string_equal("the guest switched itself off before it was up; its last line was: Booting from Hard Disk...", j.cause);
	judge_destroy(&j);

	begin(&j, NULL);
	judge_screen(&j, "", 0);
	say(&j, "early\n", 100);
	judge_reset(&j, 200); /* what the next machine shows is newer */
	judge_screen(&j, "Booting from Hard Disk...\n", 1000);
	judge_stopped(&j, NULL, 2000);
	assert_string_equal("the guest switched itself off before it was up; its last line was: Booting from Hard Disk...", j.cause);
	judge_destroy(&j);
}

static void ends(void **state)
{
	vdisk_error err;
	struct judge j;

	(void)state;
	begin(&j, NULL);
	for (unsigned i = 1; i <= JUDGE_RESETS; i++) {
		assert_int_equal(VERDICT_NONE, j.verdict);
		say(&j, "early words\n", i * 10);
		judge_reset(&j, i * 10);
		if (i < JUDGE_RESETS)
			assert_int_equal(-1, j.stages[STAGE_FIRMWARE]); /* the stages are the last machine's */
	}
	assert_int_equal(VERDICT_FAILED, j.verdict);
	assert_string_equal("boot loop: 3 resets; the last line was: early words", j.cause);
	judge_destroy(&j);

	assert_int_equal(0, judge_init(&j, NULL, true, &err));
	judge_reset(&j, 0);
	assert_string_equal("the guest reset itself", j.cause);
	judge_destroy(&j);

	begin(&j, NULL);
	say(&j, "Power down", 0);
	judge_stopped(&j, NULL, 5);
	assert_string_equal("the guest switched itself off before it was up; its last line was: Power down", j.cause);
	judge_destroy(&j);

	begin(&j, NULL);
	judge_stopped(&j, "triple fault on processor 0", 5);
	assert_int_equal(VERDICT_FAILED, j.verdict);
	assert_string_equal("triple fault on processor 0", j.cause);
	judge_timeout(&j, 9, 9000); /* the first verdict counts */
	assert_int_equal(VERDICT_FAILED, j.verdict);
	judge_destroy(&j);

	begin(&j, NULL);
	judge_timeout(&j, 9, 9000);
	assert_int_equal(VERDICT_TIMEOUT, j.verdict);
	assert_string_equal("no sign of success within 9 s; the guest showed nothing", j.cause);
	judge_destroy(&j);
}

struct lines {
	char text[4096];
};

static void line_add(void *ctx, const char *line)
{
	struct lines *l = ctx;

	strncat(l->text, line, sizeof(l->text) - strlen(l->text) - 2);
	strcat(l->text, "|");
}

static void expect_lines(const char *bytes, size_t n, const char *lines)
{
	for (size_t cut = 0; cut <= n; cut++) {
		struct lines l = { "" };
		struct transcript t;

		transcript_init(&t, line_add, &l);
		transcript_feed(&t, (const uint8_t *)bytes, cut);
		transcript_feed(&t, (const uint8_t *)bytes + cut, n - cut);
		transcript_end(&t);
		if (strcmp(lines, l.text))
			fail_msg("cut at %zu\n    expected: %s\n    actual:   %s", cut, lines, l.text);
	}
}

#define LINES(bytes, lines) expect_lines(bytes, sizeof(bytes) - 1, lines)

static void terminal(void **state)
{
	(void)state;
	LINES("one\r\ntwo\n\n\rthree", "one|two|three|");
	LINES("\033[0;32mgreen\033[0m and \033[1mbold\033[m\n", "green and bold|");
	LINES("a\033[2;5Hb\033[Jc", "a|b|c|");
	LINES("\033]0;a title\007text\033]1;x\033\\y\n", "texty|");
	LINES("\033(Btext\033)0\n", "text|");
	LINES("wrong\b\b\b\b\bright\n", "right|");
	LINES("10%\r20%\r30%\r\n", "10%|20%|30%|");
	LINES("tab\there\n", "tab here|");
	LINES("caf\xc3\xa9 \xff\xc3 \xe2\x80\xa6\n", "caf\xc3\xa9 ?? \xe2\x80\xa6|");
	LINES("trailing   \n   \n", "trailing|");
	LINES("\033\033[31mred\n", "red|");
	LINES("a\r\033[K\nb", "a|b|");
	LINES("nul\0byte\n", "nulbyte|");
}

static void long_line(void **state)
{
	struct lines l = { "" };
	struct transcript t;
	uint8_t bytes[TRANSCRIPT_LINE_MAX + 10];

	(void)state;
	memset(bytes, 'x', sizeof(bytes));
	transcript_init(&t, line_add, &l);
	transcript_feed(&t, bytes, sizeof(bytes));
	assert_int_equal(TRANSCRIPT_LINE_MAX + 1, strlen(l.text));
	transcript_end(&t);
	assert_int_equal(TRANSCRIPT_LINE_MAX + 10 + 2, strlen(l.text));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(transcripts), cmocka_unit_test(prefixes), cmocka_unit_test(signs), cmocka_unit_test(screens),
		cmocka_unit_test(expectations), cmocka_unit_test(ends), cmocka_unit_test(last_of_two), cmocka_unit_test(terminal),
		cmocka_unit_test(long_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
