/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the program says.  Errors are one line on standard error, "vdisk: COMMAND: message"; answers go to standard output, as text
 * or as one JSON document (through json-c).  Bytes that a terminal would act upon are escaped, whoever they come from.
 */
#ifndef VDISK_TOOL_OUTPUT_H
#define VDISK_TOOL_OUTPUT_H

#include "options.h"

#include <json-c/json.h>
#include <stdio.h>
#include <vdisk/vdisk.h>

#define PRINTF(f, a) __attribute__((format(printf, f, a)))

#define EXIT_YES 0     /* done, or the answer is yes */
#define EXIT_NO 1      /* the answer is no */
#define EXIT_TROUBLE 2

/* Version of each JSON document's layout, in its "schema-version". */
#define SCHEMA_VERSION 1

/* Once, before anything else is said. */
void output_begin(const char *command, const struct common_args *common);
/* Flushes standard output; the exit status: `status`, or EXIT_TROUBLE where not all could be written. */
int output_end(int status);

/* These return EXIT_TROUBLE. */
int fail(const char *fmt, ...) PRINTF(1, 2);
int fail_usage(const char *fmt, ...) PRINTF(1, 2); /* and says where help is */
int fail_vdisk(const vdisk_error *err);
/* Unless quiet; at the command's end, if it does not fail. */
void warn(const char *fmt, ...) PRINTF(1, 2);

/* Standard output.  remark(): unless quiet or --json. */
void say(const char *fmt, ...) PRINTF(1, 2);
void remark(const char *fmt, ...) PRINTF(1, 2);
/* `text`, which may come from an image or be a file's name, fit for one line of these; good for eight calls more.  Main thread. */
const char *shown(const char *text);
/* From here on say() and json_print() go to standard error, because standard output carries an image. */
void output_to_stderr(void);

/* For the `log` of the library's calls; context: none. */
void output_log(void *ctx, enum vdisk_log_level level, const char *message);

/* Out of memory ends the program: these never return NULL. */
void *tool_realloc(void *p, size_t n);
/* `p`, which a json-c constructor returned. */
struct json_object *json_must(struct json_object *p);

/* {"schema-version": 1, "command": …} */
struct json_object *json_report(void);
void json_put(struct json_object *o, const char *key, struct json_object *value); /* takes value */
/* text NULL: null; bytes that are no UTF-8 become U+FFFD. */
void json_put_text(struct json_object *o, const char *key, const char *text);
void json_put_u64(struct json_object *o, const char *key, uint64_t v);
void json_put_bool(struct json_object *o, const char *key, bool v);
void json_put_double(struct json_object *o, const char *key, double v);
/* Prints and frees. */
void json_print(struct json_object *o);
/* Prints `o` but for a last member `key`, an array whose elements follow one by one, so that a long one needs no memory; frees. */
void json_array_begin(struct json_object *o, const char *key);
void json_array_element(struct json_object *o);
void json_array_end(void);

#define DIGEST_TEXT 65
const char *digest_text(char buf[DIGEST_TEXT], const uint8_t digest[32]);

#endif
