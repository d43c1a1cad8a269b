/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * "key=value" lists against a table.  A vd_options is immutable once parsed: every value was judged by its type then, so the
 * getters cannot fail.  Defaults come from the table's text, through the same judgement.
 */
#include "base/options.h"
#include "base/alloc.h"
#include "base/bytes.h"

#include <assert.h>
#include <string.h>

struct option {
	const struct vdisk_option_info *info;
	char *text;
	uint64_t num; /* SIZE, UINT; BOOL as 0 or 1 */
};

struct vd_options {
	const struct vdisk_option_info *table;
	size_t n;
	struct option v[];
};

/* Digits of `base` at *s, at least one; *s moves past them. */
static bool number_parse(const char **s, unsigned base, uint64_t *out)
{
	const char *p = *s;
	uint64_t v = 0;

	for (; (unsigned)vd_hex_value(*p) < base; p++)
		if (vd_mul64(v, base, &v) || vd_add64(v, (unsigned)vd_hex_value(*p), &v))
			return false;
	if (p == *s)
		return false;
	*s = p;
	*out = v;
	return true;
}

static bool is_hex(const char *s)
{
	return s[0] == '0' && (s[1] == 'x' || s[1] == 'X');
}

static bool uint_parse(const char *s, uint64_t *out)
{
	unsigned base = is_hex(s) ? 16 : 10;

	s += base == 16 ? 2 : 0;
	return number_parse(&s, base, out) && !*s;
}

/* The power of two that a suffix stands for; 0 for none, -1 if *s is no suffix. */
static int suffix_shift(const char *s)
{
	static const char letters[] = "KMGTPE";
	const char *at;

	if (!*s)
		return 0;
	at = strchr(letters, *s >= 'a' && *s <= 'z' ? *s - 'a' + 'A' : *s);
	if (!at || (s[1] && strcmp(s + 1, "iB")))
		return -1;
	return (int)(at - letters + 1) * 10;
}

/* The fraction's digits at *s times 2^shift, rounded down. */
static bool fraction_parse(const char **s, int shift, uint64_t *out)
{
	unsigned __int128 num = 0, den = 1;
	const char *p = *s;

	for (; *p >= '0' && *p <= '9'; p++) {
		if (p - *s >= 18)
			return false;
		num = num * 10 + (unsigned)(*p - '0');
		den *= 10;
	}
	if (p == *s)
		return false;
	*s = p;
	*out = (uint64_t)((num << shift) / den);
	return true;
}

static bool size_parse(const char *s, uint64_t *out)
{
	const char *dot, *rest;
	uint64_t whole, part = 0;
	int shift;

	if (is_hex(s))
		return uint_parse(s, out);
	if (!number_parse(&s, 10, &whole))
		return false;
	dot = *s == '.' ? s + 1 : NULL;
	rest = dot ? dot + strspn(dot, "0123456789") : s;
	shift = suffix_shift(rest);
	if (shift < 0 || (dot && (!shift || !fraction_parse(&dot, shift, &part))))
		return false;
	return !vd_mul64(whole, UINT64_C(1) << shift, &whole) && !vd_add64(whole, part, out);
}

int vd_parse_size(const char *text, uint64_t *out, vd_error *err)
{
	char shown[80];

	if (size_parse(text, out))
		return 0;
	return vd_fail(
		err, VDISK_INVALID, VDISK_NO_OFFSET,
		"'%s' is not a size: a number of bytes, or one with a suffix K, M, G, T, P or E (powers of 1,024), below 16 EiB",
		vd_printable(shown, sizeof(shown), text, strlen(text)));
}

static bool enum_has(const char *values, const char *text)
{
	size_t len = strlen(text);

	for (const char *p = values; p && *p;) {
		size_t n = strcspn(p, "|");

		if (n == len && !memcmp(p, text, len))
			return true;
		p += n + (p[n] == '|');
	}
	return false;
}

static bool value_judge(const struct vdisk_option_info *info, const char *text, uint64_t *num)
{
	*num = 0;
	switch (info->type) {
	case VDISK_OPT_STRING:
		return true;
	case VDISK_OPT_SIZE:
		return size_parse(text, num);
	case VDISK_OPT_UINT:
		return uint_parse(text, num);
	case VDISK_OPT_BOOL:
		*num = !strcmp(text, "on");
		return *num || !strcmp(text, "off");
	case VDISK_OPT_ENUM:
		return enum_has(info->values, text);
	}
	return false;
}

static const char *type_wants(const struct vdisk_option_info *info)
{
	switch (info->type) {
	case VDISK_OPT_SIZE:
		return "a size, such as 64K";
	case VDISK_OPT_UINT:
		return "a number";
	case VDISK_OPT_BOOL:
		return "on or off";
	case VDISK_OPT_ENUM:
		return info->values;
	case VDISK_OPT_STRING:
		break;
	}
	return "text";
}

static const struct vdisk_option_info *table_find(const struct vdisk_option_info *table, const char *name, size_t len)
{
	for (; table && table->name; table++)
		if (strlen(table->name) == len && !memcmp(table->name, name, len))
			return table;
	return NULL;
}

static const struct option *option_find(const struct vd_options *o, const struct vdisk_option_info *info)
{
	for (size_t i = 0; o && i < o->n; i++)
		if (o->v[i].info == info)
			return &o->v[i];
	return NULL;
}

static int option_add(struct vd_options *o, uint32_t use, const char *who, const char *kv, vd_error *err)
{
	size_t len = strcspn(kv, "=");
	const struct vdisk_option_info *info = table_find(o->table, kv, len);
	struct option *opt = &o->v[o->n];
	char shown[80], value[80];

	vd_printable(shown, sizeof(shown), kv, len);
	if (!info)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s has no option '%s'", who, shown);
	if (!(info->use & use))
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "the option '%s' of %s does not apply to %s", shown, who,
		               use & VDISK_OPT_FOR_CREATE ? "creating" : use & VDISK_OPT_FOR_OPEN ? "opening" : "amending");
	if (!kv[len])
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "the option '%s' of %s lacks a value: %s=%s", shown, who, shown,
		               type_wants(info));
	if (option_find(o, info))
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "the option '%s' of %s is given twice", shown, who);
	if (!value_judge(info, kv + len + 1, &opt->num))
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "the option '%s' of %s cannot be '%s'; it takes %s", shown, who,
		               vd_printable(value, sizeof(value), kv + len + 1, strlen(kv + len + 1)), type_wants(info));
	opt->text = vd_strdup(kv + len + 1);
	if (!opt->text)
		return vd_fail_nomem(err, strlen(kv));
	opt->info = info;
	o->n++;
	return 0;
}

int vd_options_parse(const struct vdisk_option_info *table, uint32_t use, const char *who, const char *const *kv,
                     struct vd_options **out, vd_error *err)
{
	struct vd_options *o;
	size_t n = 0;

	while (kv && kv[n])
		n++;
	o = vd_calloc(1, sizeof(*o) + n * sizeof(o->v[0]));
	if (!o)
		return vd_fail_nomem(err, sizeof(*o) + n * sizeof(o->v[0]));
	o->table = table;
	for (size_t i = 0; i < n; i++) {
		if (option_add(o, use, who, kv[i], err)) {
			vd_options_free(o);
			return -1;
		}
	}
	*out = o;
	return 0;
}

void vd_options_free(struct vd_options *o)
{
	if (!o)
		return;
	for (size_t i = 0; i < o->n; i++)
		vd_free(o->v[i].text);
	vd_free(o);
}

/* The table's entry for a name that must be in it. */
static const struct vdisk_option_info *option_info(const struct vd_options *o, const char *name)
{
	const struct vdisk_option_info *info = table_find(o->table, name, strlen(name));

	assert(info);
	return info;
}

bool vd_options_given(const struct vd_options *o, const char *name)
{
	return o && option_find(o, option_info(o, name));
}

const char *vd_options_str(const struct vd_options *o, const char *name)
{
	const struct vdisk_option_info *info;
	const struct option *opt;

	if (!o)
		return NULL;
	info = option_info(o, name);
	opt = option_find(o, info);
	return opt ? opt->text : info->deflt;
}

uint64_t vd_options_u64(const struct vd_options *o, const char *name)
{
	const struct vdisk_option_info *info;
	const struct option *opt;
	uint64_t num = 0;
	bool ok;

	if (!o)
		return 0;
	info = option_info(o, name);
	opt = option_find(o, info);
	if (opt)
		return opt->num;
	ok = !info->deflt || value_judge(info, info->deflt, &num);
	assert(ok);
	(void)ok;
	return num;
}

bool vd_options_bool(const struct vd_options *o, const char *name)
{
	return vd_options_u64(o, name) != 0;
}
