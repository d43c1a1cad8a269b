/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Word by word: those that name a disk get its UUID, those that keep our drivers from being loaded lose them, a console that only
 * the old hypervisor had becomes the serial one, and one is added where it is asked for.  All other words, and the blanks between,
 * stay.
 */
#include "cmdline.h"

#include "target.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORD_MAX 512

const char *serial_port(const struct facts *f)
{
	return !strcmp(f->arch, "aarch64") || !strncmp(f->arch, "arm", 3) ? "ttyAMA0" : "ttyS0";
}

static bool module_is(struct span name, const char *module)
{
	if (name.len != strlen(module))
		return false;
	for (size_t i = 0; i < name.len; i++)
		if (name.at[i] != module[i] && !(strchr("-_", name.at[i]) && strchr("-_", module[i])))
			return false;
	return true;
}

static bool module_among(const char *const *list, struct span name)
{
	for (; list && *list; list++)
		if (module_is(name, *list))
			return true;
	return false;
}

bool module_wanted(unsigned targets, struct span name)
{
	for (size_t i = 0; i < TARGET_N; i++) {
		const struct target_info *t = &target_infos[i];

		if (!(targets & t->target))
			continue;
		if (module_among(t->storage, name) || module_among(t->network, name) || module_among(t->bus, name) ||
		    module_among(t->console, name))
			return true;
	}
	return false;
}

/* ---------------------------------------------------------------- devices */

/* 8:1, 0x801, 0801, 801: what the old kernels and LILO write; as the name of a disk, in `out`. */
static bool from_number(const char *value, char out[DEVICE_NAME_MAX])
{
	unsigned major, minor, disk, n = 0;
	char *end;
	unsigned long v;

	if (sscanf(value, "%u:%u%n", &major, &minor, &n) == 2 && !value[n]) {
		if (major > 4095 || minor > 0xfffff)
			return false;
	} else {
		v = strtoul(value, &end, 16);
		if (*end || !isxdigit((unsigned char)*value) || strlen(value) > 6 || v > 0xffff || v < 0x100)
			return false;
		major = (unsigned)v >> 8;
		minor = (unsigned)v & 0xff;
	}
	if (major == 8 || (major >= 65 && major <= 71)) {
		disk = (major == 8 ? 0 : 16 * (major - 64)) + minor / 16;
		if (disk >= 26)
			return false;
		snprintf(out, DEVICE_NAME_MAX, minor % 16 ? "/dev/sd%c%u" : "/dev/sd%c", 'a' + (int)disk, minor % 16);
	} else if (major == 3 || major == 22) {
		disk = (major == 3 ? 0 : 2) + minor / 64;
		snprintf(out, DEVICE_NAME_MAX, minor % 64 ? "/dev/hd%c%u" : "/dev/hd%c", 'a' + (int)disk, minor % 64);
	} else if (major == 202) {
		if (minor / 16 >= 26)
			return false;
		snprintf(out, DEVICE_NAME_MAX, minor % 16 ? "/dev/xvd%c%u" : "/dev/xvd%c", 'a' + (int)(minor / 16), minor % 16);
	} else if (major == 104) {
		snprintf(out, DEVICE_NAME_MAX, minor % 16 ? "/dev/cciss/c0d%up%u" : "/dev/cciss/c0d%u", minor / 16, minor % 16);
	} else {
		return false;
	}
	return true;
}

/* The word with the device at `value` (to `len`) under its lasting name; false: it stays. */
static bool device_word(const struct cmdline_rules *r, struct span word, struct span value, bool is_root, struct bytes *out)
{
	char name[DEVICE_NAME_MAX], numbered[DEVICE_NAME_MAX], lasting[DEVICE_NAME_MAX];
	enum device_answer answer;
	const struct fact_fs *fs;

	if (!span_copy(value, name, sizeof(name)))
		return false;
	answer = device_find(r->devices, is_root && from_number(name, numbered) ? numbered : name, &fs);
	if (answer == DEVICE_OTHER)
		return false;
	if (answer == DEVICE_FOUND && is_root &&
	    (!strcmp(fs->type, "swap") || !strcmp(fs->type, "crypto_LUKS") || !strcmp(fs->type, "LVM2_member")))
		answer = DEVICE_UNSURE; /* nobody's root */
	if (answer == DEVICE_FOUND && device_lasting(r->devices, fs, is_root && !r->initrd, lasting)) {
		bytes_replaced(out, word, value, lasting);
		return true;
	}
	remark_once(r->plan, "%s: %.*s stays in a kernel's command line: %s", r->path, (int)word.len, word.at,
	            answer == DEVICE_GONE     ? "it is on none of the disks"
	            : answer == DEVICE_UNSURE ? "it cannot be told which disk it means"
	            : is_root && !r->initrd   ? "the kernel has no initramfs, and the partition no PARTUUID"
	                                      : "it has no UUID");
	return false;
}

struct device_key {
	const char *name;
	const char *end;   /* what ends the device within the value */
	const char *before; /* what stands before the device within the value, "source=" */
};

static const struct device_key device_keys[] = {
	{ "root", "", "" },        { "resume", "", "" },    { "real_root", "", "" },
	{ "real_resume", "", "" }, { "boot", "", "" },      { "cryptdevice", ":", "" },
	{ "cryptkey", ":", "" },   { "cryptroot", "", "" }, { "cryptopts", ",", "source=" },
	{ "swap", "", "" },
};

static bool key_word(const struct cmdline_rules *r, struct span word, struct span key, struct span value, struct bytes *out)
{
	for (size_t i = 0; i < sizeof(device_keys) / sizeof(device_keys[0]); i++) {
		const struct device_key *k = &device_keys[i];
		struct span v = value;

		if (!span_is(key, k->name))
			continue;
		if (*k->before) {
			size_t n = strlen(k->before);

			while (v.len >= n && memcmp(v.at, k->before, n)) {
				v.at++;
				v.len--;
			}
			if (v.len < n)
				return false;
			v.at += n;
			v.len -= n;
		}
		if (*k->end && memchr(v.at, *k->end, v.len))
			v.len = (size_t)((const char *)memchr(v.at, *k->end, v.len) - v.at);
		return device_word(r, word, v, span_is(key, "root") || span_is(key, "real_root"), out);
	}
	return false;
}

/* ---------------------------------------------------------------- drivers, consoles */

enum fate { KEEP, CHANGED, DROP };

/* key=a,b,c without what the targets need. */
static enum fate blacklist_word(const struct cmdline_rules *r, struct span word, struct span key, struct span value,
                                struct bytes *out)
{
	static const char *const keys[] = { "modprobe.blacklist", "module_blacklist", "rd.driver.blacklist",
		                            "rdblacklist",        "blacklist",        NULL };
	const char *const *k = keys, *end = value.at + value.len;
	struct bytes list = { 0 };
	unsigned gone = 0;

	while (*k && !span_is(key, *k))
		k++;
	if (!*k || !r->options)
		return KEEP;
	for (const char *at = value.at; at < end;) {
		const char *comma = memchr(at, ',', (size_t)(end - at));
		struct span one = { at, (size_t)((comma ? comma : end) - at) };

		at += one.len + 1;
		if (module_wanted(r->options->targets, one)) {
			gone++;
			continue;
		}
		bytes_text(&list, list.len ? "," : "");
		bytes_span(&list, one);
	}
	if (gone && list.len)
		bytes_replaced(out, word, value, list.at);
	gone = gone ? list.len ? 1 : 2 : 0;
	bytes_destroy(&list);
	return gone == 2 ? DROP : gone ? CHANGED : KEEP;
}

static enum fate console_word(const struct cmdline_rules *r, struct span key, struct span value, struct bytes *out)
{
	if (!r->options || r->options->targets & TARGET_XEN || !span_is(key, "console"))
		return KEEP;
	if (!span_starts(value, "hvc0") && !span_starts(value, "xvc0"))
		return KEEP;
	bytes_format(out, "console=%s", serial_port(r->devices->facts));
	return CHANGED;
}

static enum fate word_translate(const struct cmdline_rules *r, struct span word, struct bytes *out)
{
	const char *equals = memchr(word.at, '=', word.len);
	struct span key, value;

	if (!equals || word.len > WORD_MAX)
		return KEEP;
	key = (struct span){ word.at, (size_t)(equals - word.at) };
	value = (struct span){ equals + 1, (size_t)(word.at + word.len - equals - 1) };
	if (value.len >= 2 && strchr("\"'", *value.at) && value.at[value.len - 1] == *value.at)
		value = (struct span){ value.at + 1, value.len - 2 };
	if (key.len && strchr("\"'", *key.at)) { /* "key=value", the whole of it */
		key.at++;
		key.len--;
		value.len -= value.len && value.at[value.len - 1] == *word.at;
	}
	if (key_word(r, word, key, value, out))
		return CHANGED;
	return span_is(key, "console") ? console_word(r, key, value, out) : blacklist_word(r, word, key, value, out);
}

static void serial_add(const struct cmdline_rules *r, struct bytes *out, bool tty, bool serial)
{
	const char *blank = out->len ? " " : "";

	if (!r->serial || !r->options || !r->options->serial || serial)
		return;
	bytes_format(out, "%s%sconsole=%s,115200n8", blank, tty ? "" : "console=tty0 ", serial_port(r->devices->facts));
}

/* Words are looked for up to here: a newline, or the backslash before it or at the very end that says that more follows.  *next:
   where to go on. */
static const char *piece_end(const char *at, const char *end, const char **next)
{
	const char *nl = memchr(at, '\n', (size_t)(end - at)), *stop = nl ? nl : end;

	*next = nl ? nl + 1 : end;
	return stop - shell_goes_on(at, stop);
}

/* Its last word goes on where we do not see it: nothing can stand behind it. */
static bool is_cut(const struct cmdline_rules *r, struct span args)
{
	const char *end = args.at + args.len;

	if (!r->serial || !r->options || !r->options->serial || !shell_goes_on(args.at, end) ||
	    (args.len > 1 && strchr(" \t", end[-2])))
		return false;
	remark_once(r->plan, "%s: a kernel's command line goes on in the middle of a word: see to it that it has the serial console",
	            r->path);
	return true;
}

void cmdline_translate(const struct cmdline_rules *r, struct span args, struct bytes *whole)
{
	const char *at = args.at, *end = at + args.len, *done = at, *next = at, *stop;
	const char *port = serial_port(r->devices->facts);
	bool tty = false, serial = false;
	struct bytes out = { 0 };
	struct span word;

	for (; at < end; at = next) {
		stop = piece_end(at, end, &next);
		while (word_quoted(&at, stop, &word)) {
			struct bytes now = { 0 };
			enum fate fate = word_translate(r, word, &now);
			struct span is = fate == KEEP ? word : (struct span){ now.at, now.len };

			if (fate != DROP) {
				bytes_span(&out, (struct span){ done, (size_t)(word.at - done) });
				bytes_span(&out, is);
				tty = tty || (is.len && span_is(is, "console=tty0"));
				serial = serial || (is.len > 8 && span_starts(is, "console=") &&
				                    span_starts((struct span){ is.at + 8, is.len - 8 }, port));
			}
			done = word.at + word.len;
			bytes_destroy(&now);
		}
	}
	serial_add(r, &out, tty, serial || is_cut(r, args));
	bytes_span(&out, (struct span){ done, (size_t)(end - done) });
	if (out.failed)
		whole->failed = true;
	if (out.len)
		bytes_add(whole, out.at, out.len);
	bytes_destroy(&out);
}

void cmdline_put(const struct cmdline_rules *r, struct text *t, struct span args)
{
	struct bytes line = { 0 };
	const char *behind = args.at + args.len;
	size_t before;

	bytes_span(&line, (struct span){ t->line.at, (size_t)(args.at - t->line.at) });
	before = line.len;
	cmdline_translate(r, args, &line);
	if (!args.len && line.len > before && before &&
	    !strchr(" \t='\"", line.at[before - 1])) { /* behind a word: a blank between */
		struct bytes words = { 0 };

		bytes_add(&words, line.at + before, line.len - before);
		line.len = before;
		bytes_format(&line, " %s", words.at ? words.at : "");
		bytes_destroy(&words);
	}
	bytes_span(&line, (struct span){ behind, (size_t)(t->line.at + t->line.len - behind) });
	text_put(t, &line);
	bytes_destroy(&line);
}

void cmdline_put_shell(const struct cmdline_rules *r, struct text *t, const struct shell_value *v)
{
	struct bytes now = { 0 };

	cmdline_translate(r, v->inner, &now);
	if (v->plain)
		shell_value_put(t, v, &now);
	else if (now.len != v->inner.len || memcmp(now.at, v->inner.at, now.len))
		shell_value_keep(t, v);
	else
		text_keep(t);
	bytes_destroy(&now);
}
