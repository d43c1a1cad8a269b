/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The report as one page of HTML that needs no other file: made of the JSON's content, so that both say the same. */
#include "flow/flow.h"

#include "common/fail.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PICTURE_MAX ((off_t)32 << 20)

static const char head[] =
	"<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\n"
	"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">\n<style>\n"
	"body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:60em;padding:0 1em;color:#222}h1{font-size:1.5em}h2{font-size:1.15em;margin-top:1.6em}\n"
	"table{border-collapse:collapse}td,th{text-align:left;padding:.2em .9em .2em 0;vertical-align:top}code{font-size:.9em;word-break:break-all}\n"
	".verdict{display:inline-block;padding:.2em .8em;border-radius:.4em;font-weight:600;background:#eee}.booted{background:#cfeccf}\n"
	".failed,.timed-out{background:#f6c9c9}pre{background:#f4f4f4;padding:.6em;overflow:auto}img{max-width:100%;border:1px solid #ccc}\n</style>\n";

static void put(FILE *o, const char *text)
{
	for (; text && *text; text++)
		switch (*text) {
		case '&': fputs("&amp;", o); break;
		case '<': fputs("&lt;", o); break;
		case '>': fputs("&gt;", o); break;
		case '"': fputs("&quot;", o); break;
		default: fputc((unsigned char)*text < ' ' && *text != '\n' && *text != '\t' ? '?' : *text, o);
		}
}

static const char *text_of(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) && v ? json_object_get_string(v) : "";
}

static struct json_object *list_of(struct json_object *o, const char *key)
{
	struct json_object *v;

	return o && json_object_object_get_ex(o, key, &v) && json_object_get_type(v) == json_type_array ? v : NULL;
}

static void row(FILE *o, const char *name, const char *value)
{
	if (!*value)
		return;
	fprintf(o, "<tr><th>%s</th><td>", name);
	put(o, value);
	fputs("</td></tr>\n", o);
}

static void size_put(FILE *o, uint64_t n)
{
	static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB", "PiB" };
	double v = (double)n;
	size_t i = 0;

	for (; v >= 1024 && i < 5; i++)
		v /= 1024;
	fprintf(o, i ? "%.1f %s" : "%.0f %s", v, units[i]);
}

static void kept_put(FILE *o, const struct flow_disk *d)
{
	for (size_t i = 0; d->kept && i < json_object_array_length(d->kept); i++) {
		struct json_object *s = json_object_array_get_idx(d->kept, i);

		fputs("<tr><td></td><td colspan=\"4\">snapshot ", o);
		put(o, text_of(s, "name"));
		fputs(" <code>", o);
		put(o, text_of(s, "file"));
		fputs("</code> ", o);
		put(o, text_of(s, "date"));
		fputs("</td></tr>\n", o);
	}
}

static void disks_put(FILE *o, const struct flow *f)
{
	fputs("<h2>Disks</h2>\n<table><tr><th>Disk</th><th>From</th><th>To</th><th>Size</th><th>Data</th></tr>\n", o);
	for (size_t i = 0; i < f->n_disks; i++) {
		const struct flow_disk *d = &f->disks[i];

		fputs("<tr><td>", o);
		put(o, d->d->name ? d->d->name : "");
		fputs("</td><td><code>", o);
		put(o, d->source);
		fputs("</code></td><td><code>", o);
		put(o, d->file);
		fputs("</code></td><td>", o);
		size_put(o, d->size);
		fputs("</td><td>", o);
		size_put(o, d->data);
		fputs("</td></tr>\n", o);
		if (*d->digest) {
			fputs("<tr><td></td><td colspan=\"4\">digest <code>", o);
			put(o, d->digest);
			fputs("</code></td></tr>\n", o);
		}
		kept_put(o, d);
	}
	fputs("</table>\n", o);
}

static void change_put(FILE *o, struct json_object *c)
{
	struct json_object *why = list_of(c, "why");

	fputs("<li><b>", o);
	put(o, text_of(c, "kind"));
	fputs("</b> <code>", o);
	put(o, text_of(c, "path"));
	fputs("</code>", o);
	for (size_t i = 0; why && i < json_object_array_length(why); i++) {
		fputs(i ? "; " : ": ", o);
		put(o, json_object_get_string(json_object_array_get_idx(why, i)));
	}
	if (*text_of(c, "difference")) {
		fputs("<pre>", o);
		put(o, text_of(c, "difference"));
		fputs("</pre>", o);
	}
	fputs("</li>\n", o);
}

static void adapted_put(FILE *o, const struct flow *f)
{
	struct json_object *systems = list_of(f->adapted, "systems");

	fputs("<h2>What was changed in the guest</h2>\n", o);
	if (!systems || !json_object_array_length(systems))
		fputs("<p>Nothing: it was not adapted.</p>\n", o);
	for (size_t i = 0; systems && i < json_object_array_length(systems); i++) {
		struct json_object *s = json_object_array_get_idx(systems, i), *changes = list_of(s, "changes");

		fputs("<p>", o);
		put(o, text_of(s, "product"));
		fputs("</p>\n<ul>\n", o);
		for (size_t k = 0; changes && k < json_object_array_length(changes); k++)
			change_put(o, json_object_array_get_idx(changes, k));
		if (!changes || !json_object_array_length(changes))
			fputs("<li>It had what it needs.</li>\n", o);
		fputs("</ul>\n", o);
	}
}

static void lost_put(FILE *o, struct json_object *report)
{
	struct json_object *lost = list_of(report, "lost"), *remarks = list_of(report, "remarks");

	fputs("<h2>What could not be carried over</h2>\n<ul>\n", o);
	for (size_t i = 0; lost && i < json_object_array_length(lost); i++) {
		struct json_object *l = json_object_array_get_idx(lost, i);

		fputs("<li>", o);
		put(o, text_of(l, "where"));
		if (*text_of(l, "value")) {
			fputs(": <code>", o);
			put(o, text_of(l, "value"));
			fputs("</code>", o);
		}
		if (*text_of(l, "why")) {
			fputs(" (", o);
			put(o, text_of(l, "why"));
			fputs(")", o);
		}
		fputs("</li>\n", o);
	}
	if (!lost || !json_object_array_length(lost))
		fputs("<li>Nothing was left behind.</li>\n", o);
	fputs("</ul>\n", o);
	if (!remarks || !json_object_array_length(remarks))
		return;
	fputs("<h2>Remarks</h2>\n<ul>\n", o);
	for (size_t i = 0; i < json_object_array_length(remarks); i++) {
		fputs("<li>", o);
		put(o, json_object_get_string(json_object_array_get_idx(remarks, i)));
		fputs("</li>\n", o);
	}
	fputs("</ul>\n", o);
}

static void base64_put(FILE *o, const uint8_t *p, size_t len)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < len; i += 3) {
		uint32_t v = (uint32_t)p[i] << 16 | (i + 1 < len ? (uint32_t)p[i + 1] << 8 : 0) | (i + 2 < len ? p[i + 2] : 0);

		fputc(digits[v >> 18], o);
		fputc(digits[v >> 12 & 63], o);
		fputc(i + 1 < len ? digits[v >> 6 & 63] : '=', o);
		fputc(i + 2 < len ? digits[v & 63] : '=', o);
	}
}

static int picture_put(FILE *o, const struct flow *f, vdisk_error *err)
{
	int fd = openat(f->partial_fd, "screenshot.png", O_RDONLY | O_NOFOLLOW | O_CLOEXEC), rc = 0;
	uint8_t *png = NULL;
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		rc = fail_errno(err, "%s/screenshot.png", f->partial);
	else if (!(png = malloc((size_t)st.st_size + 1)))
		rc = fail_nomem(err);
	else if (pread(fd, png, (size_t)st.st_size, 0) != st.st_size)
		rc = fail_errno(err, "%s/screenshot.png", f->partial);
	if (!rc) {
		fputs("<h2>The screen at the verdict</h2>\n<p><img alt=\"the guest's screen\" src=\"data:image/png;base64,", o);
		base64_put(o, png, (size_t)st.st_size);
		fputs("\"></p>\n", o);
	}
	free(png);
	if (fd >= 0)
		close(fd);
	return rc;
}

/* A picture that is too large for the page lies beside it, which the report says. */
static bool picture_fits(struct flow *f)
{
	struct stat st;

	if (!f->has_screenshot || fstatat(f->partial_fd, "screenshot.png", &st, AT_SYMLINK_NOFOLLOW) || st.st_size <= PICTURE_MAX)
		return true; /* what else is wrong with it is heard when it is read */
	flow_note(f, "the screen at the verdict is not in this page: screenshot.png has %lld bytes", (long long)st.st_size);
	return false;
}

static int page_put(FILE *o, const struct flow *f, struct json_object *report, bool picture, vdisk_error *err)
{
	const char *machine = text_of(report, "machine");

	fputs(head, o);
	fputs("<title>", o);
	put(o, machine);
	fputs("</title></head><body>\n<h1>", o);
	put(o, machine);
	fprintf(o, "</h1>\n<p><span class=\"verdict %s\">%s</span> ", f->verdict, f->verdict);
	put(o, flow_cause(f) ? flow_cause(f) : "nobody asked whether it boots");
	fputs("</p>\n<table>\n", o);
	row(o, "From", f->a->source);
	row(o, "Which is", f->kind);
	row(o, "To", flow_target_name(f->a->target));
	row(o, "Description", text_of(report, "description"));
	row(o, "What comes next", text_of(report, "next"));
	fprintf(o, "<tr><th>Took</th><td>%.1f s", f->seconds);
	for (size_t i = 0; i < f->n_times; i++)
		fprintf(o, "%s%s %.1f", i ? ", " : " (", f->times[i].step, f->times[i].seconds);
	fprintf(o, "%s</td></tr>\n</table>\n", f->n_times ? ")" : "");
	if (f->has_screenshot && picture && picture_put(o, f, err))
		return -1;
	disks_put(o, f);
	adapted_put(o, f);
	lost_put(o, report);
	fprintf(o, "<p>vdisk %s</p>\n</body></html>\n", vdisk_version());
	return 0;
}

int flow_page(struct flow *f, vdisk_error *err)
{
	bool picture = picture_fits(f);
	struct json_object *report = flow_report(f);
	char *text = NULL;
	size_t len = 0;
	FILE *o = open_memstream(&text, &len);
	int rc;

	if (!o || !report) {
		if (o)
			fclose(o);
		free(text);
		json_object_put(report);
		return fail_nomem(err);
	}
	rc = page_put(o, f, report, picture, err);
	if (fclose(o))
		rc = fail_nomem(err);
	if (!rc)
		rc = flow_write(f, "report.html", text, len, err);
	free(text);
	if (!rc) {
		const char *json = json_object_to_json_string_ext(report, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
		                                                                  JSON_C_TO_STRING_NOSLASHESCAPE);

		rc = flow_write(f, "report.json", json, strlen(json), err);
	}
	json_object_put(report);
	return rc;
}
