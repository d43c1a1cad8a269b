/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The schema of the JSON stands in vdisk-verify(1). */
#include "report.h"
#include "output.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JSON_FLAGS (JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE)

static double seconds(int64_t ms)
{
	return (double)ms / 1000;
}

static struct json_object *seconds_json(int64_t ms)
{
	char text[32];

	snprintf(text, sizeof(text), "%.3f", seconds(ms));
	return json_object_new_double_s(seconds(ms), text);
}

/* "a.qcow2", "a.qcow2 and 1 more", or the kernel. */
static void subject(const struct options *o, char *out, size_t room)
{
	if (!o->n_images)
		snprintf(out, room, "%s", o->kernel);
	else if (o->n_images == 1)
		snprintf(out, room, "%s", o->images[0]);
	else
		snprintf(out, room, "%s and %u more", o->images[0], o->n_images - 1);
}

static struct json_object *report_json(const struct report *r)
{
	const struct judge *j = r->judge;
	struct json_object *all = json_object_new_object(), *images = json_object_new_array(), *stages = json_object_new_object();

	json_object_object_add(all, "schema-version", json_object_new_int(1));
	for (unsigned i = 0; i < r->options->n_images; i++)
		json_object_array_add(images, json_object_new_string(r->options->images[i]));
	json_object_object_add(all, "images", images);
	const char *verdict = j->verdict == VERDICT_TIMEOUT ? "timed-out" : verdict_name(j->verdict);
	json_object_object_add(all, "verdict", json_object_new_string(verdict));
	json_object_object_add(all, "cause", json_object_new_string(j->cause));
	json_object_object_add(all, "engine", json_object_new_string(r->engine));
	json_object_object_add(all, "engine-reason", *r->note ? json_object_new_string(r->note) : NULL);
	json_object_object_add(all, "firmware", json_object_new_string(r->firmware));
	json_object_object_add(all, "resets", json_object_new_int64(j->resets));
	json_object_object_add(all, "seconds", seconds_json(r->ms));
	for (unsigned i = 0; i < STAGES; i++)
		json_object_object_add(stages, stage_name((enum stage)i), j->stages[i] < 0 ? NULL : seconds_json(j->stages[i]));
	json_object_object_add(all, "stages", stages);
	json_object_object_add(all, "screenshot", r->screenshot ? json_object_new_string(r->screenshot) : NULL);
	return all;
}

static void line_print(const struct report *r)
{
	const struct judge *j = r->judge;
	char name[4200];

	subject(r->options, name, sizeof(name));
	printf("%s: %s after %.1f s: %s", name, verdict_name(j->verdict), seconds(r->ms), j->cause);
	const char *separator = " (";
	for (unsigned i = 0; i < STAGES; i++)
		if (j->stages[i] >= 0) {
			printf("%s%s %.1f", separator, stage_name((enum stage)i), seconds(j->stages[i]));
			separator = ", ";
		}
	printf("%s\n", *separator == ',' ? ")" : "");
}

int report_print(const struct report *r, vdisk_error *err)
{
	if (r->options->json) {
		struct json_object *all = report_json(r);

		printf("%s\n", json_object_to_json_string_ext(all, JSON_FLAGS));
		json_object_put(all);
	} else
		line_print(r);
	if (fflush(stdout) || ferror(stdout))
		return fail_errno(err, "standard output");
	return 0;
}

/* Text is UTF-8 without control characters where it comes from a guest; names of files may be anything. */
static void xml_put(FILE *f, const char *text)
{
	char clean[5000];

	transcript_clean(clean, sizeof(clean), (const uint8_t *)text, strlen(text));
	for (const char *p = clean; *p; p++)
		switch (*p) {
		case '&': fputs("&amp;", f); break;
		case '<': fputs("&lt;", f); break;
		case '>': fputs("&gt;", f); break;
		case '"': fputs("&quot;", f); break;
		default: fputc(*p, f);
		}
}

int report_junit(const struct report *r, const char *path, vdisk_error *err)
{
	const struct judge *j = r->judge;
	bool booted = j->verdict == VERDICT_BOOTED;
	char name[4200], *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);
	int rc;

	if (!f)
		return fail_nomem(err);
	subject(r->options, name, sizeof(name));
	fprintf(f,
	        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"vdisk verify\" tests=\"1\" failures=\"%d\" errors=\"0\" "
	        "skipped=\"0\" time=\"%.3f\">\n  <testcase classname=\"vdisk.verify\" name=\"",
	        !booted, seconds(r->ms));
	xml_put(f, name);
	fprintf(f, "\" time=\"%.3f\">\n    <properties>\n      <property name=\"engine\" value=\"%s\"/>\n"
	        "      <property name=\"firmware\" value=\"%s\"/>\n",
	        seconds(r->ms), r->engine, r->firmware);
	for (unsigned i = 0; i < STAGES; i++)
		if (j->stages[i] >= 0)
			fprintf(f, "      <property name=\"%s\" value=\"%.3f\"/>\n", stage_name((enum stage)i),
			        seconds(j->stages[i]));
	fputs("    </properties>\n", f);
	if (!booted) {
		fprintf(f, "    <failure type=\"%s\" message=\"", verdict_name(j->verdict));
		xml_put(f, j->cause);
		fputs("\"/>\n", f);
	}
	fputs("    <system-out>", f);
	xml_put(f, j->cause);
	fputs("</system-out>\n  </testcase>\n</testsuite>\n", f);
	rc = ferror(f) ? -1 : 0;
	rc = fclose(f) || rc ? fail_nomem(err) : output_write(path, text, n, err);
	free(text);
	return rc;
}
