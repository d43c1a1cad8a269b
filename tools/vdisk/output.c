/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Owns both output streams.  Messages come from any thread: each is one call of fputs(), and the bar is wiped before it.
 * Warnings are held back until the command's end, and dropped where it fails (unless -v): the error is one line.  `lock` guards
 * what is held.
 */
#include "output.h"
#include "progress.h"
#include "common/utf8.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static struct {
	const char *command; /* NULL: none yet */
	const struct common_args *common;
	bool answers_on_stderr;
	bool array_has_element;
	pthread_mutex_t lock;
	char *held[64];
	size_t n_held;
} output = { .lock = PTHREAD_MUTEX_INITIALIZER };

void output_begin(const char *command, const struct common_args *common)
{
	output.command = command;
	output.common = common;
}

void output_to_stderr(void) { output.answers_on_stderr = true; }

static FILE *answers(void) { return output.answers_on_stderr ? stderr : stdout; }

void *tool_realloc(void *p, size_t n)
{
	void *q = realloc(p, n ? n : 1);
	if (!q) {
		fputs("vdisk: out of memory\n", stderr);
		exit(EXIT_TROUBLE);
	}
	return q;
}

struct json_object *json_must(struct json_object *p)
{
	if (!p) {
		fputs("vdisk: out of memory\n", stderr);
		exit(EXIT_TROUBLE);
	}
	return p;
}

/* ---------------------------------------------------------------- text */

/* Control bytes as \xNN: a file name must not steer a terminal nor forge a line. */
static char *escaped(const char *text)
{
	size_t n = 0;
	char *out = tool_realloc(NULL, strlen(text) * 4 + 1);
	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		if (*p >= 0x20 && *p != 0x7f && !(*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0))
			out[n++] = (char)*p;
		else
			n += (size_t)sprintf(out + n, "\\x%02x", *p);
	}
	out[n] = '\0';
	return out;
}

const char *shown(const char *text)
{
	static char *ring[8];
	static unsigned next;
	free(ring[next % 8]);
	return ring[next++ % 8] = escaped(text);
}

__attribute__((format(printf, 1, 0))) static char *formatted(const char *fmt, va_list ap)
{
	char *text = NULL;
	if (vasprintf(&text, fmt, ap) < 0)
		return NULL;
	return text;
}

static char *message_make(const char *severity, const char *text, const char *tail)
{
	char *line = escaped(text);
	size_t cap = strlen(line) + strlen(severity) + strlen(tail) + 128;
	char *whole = tool_realloc(NULL, cap);
	const char *command = output.command ? output.command : "";
	snprintf(whole, cap, "vdisk: %s%s%s%s%s\n", command, *command ? ": " : "", severity, line, tail);
	free(line);
	return whole;
}

static void message_put(const char *severity, const char *text, const char *tail)
{
	char *whole = message_make(severity, text, tail);
	progress_wipe();
	fputs(whole, stderr);
	free(whole);
}

static void held_release(bool print)
{
	for (size_t i = 0; i < output.n_held; i++) {
		if (print)
			fputs(output.held[i], stderr);
		free(output.held[i]);
	}
	output.n_held = 0;
}

int fail(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	char *text = formatted(fmt, ap);
	va_end(ap);
	message_put("", text ? text : "out of memory", "");
	free(text);
	return EXIT_TROUBLE;
}

int fail_usage(const char *fmt, ...)
{
	char tail[96];
	va_list ap;
	va_start(ap, fmt);
	char *text = formatted(fmt, ap);
	va_end(ap);
	snprintf(tail, sizeof(tail), " (\"vdisk help%s%s\" says more)", output.command ? " " : "",
	         output.command ? output.command : "");
	message_put("", text ? text : "out of memory", tail);
	free(text);
	return EXIT_TROUBLE;
}

int fail_vdisk(const vdisk_error *err)
{
	return err->kind == VDISK_CANCELLED ? fail("interrupted") : fail("%s", err->message);
}

void warn(const char *fmt, ...)
{
	if (output.common && output.common->quiet)
		return;
	va_list ap;
	va_start(ap, fmt);
	char *text = formatted(fmt, ap);
	va_end(ap);
	char *whole = message_make("warning: ", text ? text : "out of memory", "");
	free(text);
	pthread_mutex_lock(&output.lock);
	bool at_once = !output.common || output.common->verbose;
	if (!at_once && output.n_held == sizeof(output.held) / sizeof(*output.held))
		held_release(true);
	if (at_once)
		progress_wipe();
	if (at_once)
		fputs(whole, stderr);
	else
		output.held[output.n_held++] = whole;
	pthread_mutex_unlock(&output.lock);
	if (at_once)
		free(whole);
}

void output_log(void *ctx, enum vdisk_log_level level, const char *message)
{
	(void)ctx;
	unsigned verbose = output.common ? output.common->verbose : 0;
	if (level == VDISK_LOG_WARNING)
		warn("%s", message);
	else if (verbose >= (level == VDISK_LOG_INFO ? 1u : 2u))
		message_put("", message, "");
}

void say(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vfprintf(answers(), fmt, ap);
	va_end(ap);
}

void remark(const char *fmt, ...)
{
	if (output.common && (output.common->quiet || output.common->json))
		return;
	va_list ap;
	va_start(ap, fmt);
	vfprintf(answers(), fmt, ap);
	va_end(ap);
}

int output_end(int status)
{
	held_release(status != EXIT_TROUBLE);
	bool bad = ferror(stdout);
	errno = 0;
	if (fflush(stdout))
		bad = true;
	int code = errno;
	/* A full file system behind NFS answers only to close(). */
	if (fclose(stdout)) {
		bad = true;
		code = code ? code : errno;
	}
	return bad ? fail("standard output: %s", strerror(code ? code : EIO)) : status;
}

/* ---------------------------------------------------------------- JSON */

void json_put(struct json_object *o, const char *key, struct json_object *value)
{
	if (json_object_object_add(o, key, value))
		json_must(NULL);
}

void json_put_text(struct json_object *o, const char *key, const char *text)
{
	if (!text) {
		json_put(o, key, NULL);
		return;
	}
	size_t left = strlen(text), n = 0;
	char *clean = tool_realloc(NULL, left * 3 + 1);
	for (size_t len; left; left -= len ? len : 1, text += len ? len : 1) {
		len = utf8_len(text, left);
		memcpy(clean + n, len ? text : "\xef\xbf\xbd", len ? len : 3);
		n += len ? len : 3;
	}
	json_put(o, key, json_must(json_object_new_string_len(clean, (int)n)));
	free(clean);
}

void json_put_u64(struct json_object *o, const char *key, uint64_t v) { json_put(o, key, json_must(json_object_new_uint64(v))); }
void json_put_bool(struct json_object *o, const char *key, bool v) { json_put(o, key, json_must(json_object_new_boolean(v))); }
void json_put_double(struct json_object *o, const char *key, double v)
{
	char text[64];
	snprintf(text, sizeof(text), "%.3f", v);
	json_put(o, key, json_must(json_object_new_double_s(v, text)));
}

struct json_object *json_report(void)
{
	struct json_object *o = json_must(json_object_new_object());
	json_put_u64(o, "schema-version", SCHEMA_VERSION);
	json_put_text(o, "command", output.command);
	return o;
}

static const char *json_text(struct json_object *o, int flags)
{
	const char *text = json_object_to_json_string_ext(o, flags | JSON_C_TO_STRING_NOSLASHESCAPE);
	if (!text)
		json_must(NULL);
	return text;
}

void json_print(struct json_object *o)
{
	fprintf(answers(), "%s\n", json_text(o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED));
	json_object_put(o);
}

void json_array_begin(struct json_object *o, const char *key)
{
	/* The document with an empty array in the last place, cut before the array's end. */
	json_put(o, key, json_must(json_object_new_array()));
	const char *text = json_text(o, 0);
	fprintf(answers(), "%.*s", (int)(strrchr(text, ']') - text), text);
	json_object_put(o);
	output.array_has_element = false;
}

void json_array_element(struct json_object *o)
{
	fprintf(answers(), "%s\n%s", output.array_has_element ? "," : "", json_text(o, 0));
	output.array_has_element = true;
	json_object_put(o);
}

void json_array_end(void) { fputs("]}\n", answers()); }

const char *digest_text(char buf[DIGEST_TEXT], const uint8_t digest[32])
{
	for (int i = 0; i < 32; i++)
		sprintf(buf + 2 * i, "%02x", digest[i]);
	return buf;
}
