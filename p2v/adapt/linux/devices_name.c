/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names that kernels and udev give to disks and partitions, taken apart. */
#include "devices.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The digits at *s, which must end the name or stand alone; false: none, or too many. */
static bool number(const char **s, unsigned *out)
{
	const char *at = *s;
	unsigned long v = 0;

	while (isdigit((unsigned char)*at) && at - *s < 5)
		v = v * 10 + (unsigned long)(*at++ - '0');
	if (at == *s || isdigit((unsigned char)*at))
		return false;
	*s = at;
	*out = (unsigned)v;
	return true;
}

/* The partition's number to the end of the name; "" is the whole disk. */
static bool part_end(const char *s, unsigned *part)
{
	*part = 0;
	return !*s || (number(&s, part) && !*s && *part > 0);
}

static bool disk_set(struct device_name *out, const char *name, size_t len)
{
	if (!len || len >= sizeof(out->disk))
		return false;
	memcpy(out->disk, name, len);
	out->disk[len] = '\0';
	return true;
}

/* What follows `prefix` in the name, or NULL. */
static const char *after(const char *name, const char *prefix)
{
	size_t n = strlen(prefix);

	return strncmp(name, prefix, n) ? NULL : name + n;
}

/* sda1, hdb, vdaa12, xvda2, emcpowera1: letters count the disks. */
static bool lettered(const char *name, struct device_name *out)
{
	static const char *const kinds[] = { "/dev/sd", "/dev/hd", "/dev/vd", "/dev/xvd", "/dev/emcpower", NULL };

	for (const char *const *k = kinds; *k; k++) {
		const char *at = after(name, *k);
		int index = 0, n = 0;

		if (!at)
			continue;
		for (; n < 4 && islower((unsigned char)at[n]); n++)
			index = index * 26 + (at[n] - 'a') + 1;
		if (!n || n > 3)
			return false;
		out->index = index - 1;
		return disk_set(out, name, (size_t)(at + n - name)) && part_end(at + n, &out->part);
	}
	return false;
}

/* A number of the disk, and behind a `p` that of the partition: nvme0n1p2, mmcblk0p1, cciss/c0d1p3. */
static bool numbered(const char *name, struct device_name *out)
{
	static const struct {
		const char *before, *between; /* between the two numbers; "" there is one */
		bool second;                  /* the second one counts the disks, not the first */
	} kinds[] = { { "/dev/nvme", "n", false },
		      { "/dev/mmcblk", "", false },
		      { "/dev/cciss/c", "d", true },
		      { "/dev/ida/c", "d", true },
		      { "/dev/rd/c", "d", true } };

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		const char *s = after(name, kinds[i].before), *between = kinds[i].between;
		unsigned first, second = 0;

		if (!s)
			continue;
		if (!number(&s, &first))
			return false;
		if (*between) {
			s = after(s, between);
			if (!s || !number(&s, &second))
				return false;
		}
		out->index = kinds[i].second ? (first ? -1 : (int)second) : *between && second != 1 ? -1 : (int)first;
		if (!disk_set(out, name, (size_t)(s - name)))
			return false;
		return !*s || (*s == 'p' && s[1] && part_end(s + 1, &out->part));
	}
	return false;
}

/* Links of udev: …-part3. */
static bool linked(const char *name, struct device_name *out)
{
	static const char *const others[] = { "dm-name-", "dm-uuid-LVM-", "dm-uuid-CRYPT-", "md-", "lvm-pv-uuid-", NULL };
	const char *s = after(name, "/dev/disk/by-id/"), *part, *at;

	if (!s)
		s = after(name, "/dev/disk/by-path/");
	if (!s || !*s || strchr(s, '/'))
		return false;
	for (const char *const *o = others; *o; o++)
		if (after(s, *o))
			return false;
	out->index = -1;
	at = after(s, "dm-uuid-part"); /* a partition of a multipath device: the number stands in front */
	if (at)
		return number(&at, &out->part) && out->part && disk_set(out, at, strlen(at));
	for (part = s; (at = strstr(part + 1, "-part")); part = at) /* the last one */
		;
	if (part == s || !part_end(part + strlen("-part"), &out->part) || !out->part) {
		part = s + strlen(s);
		out->part = 0;
	}
	return disk_set(out, name, (size_t)(part - name));
}

/* Multipath devices and BIOS RAID sets: mpatha1, mpathap1, mpatha-part1, 3600508b4…p2, isw_…_Volume0p1. */
static bool mapped(const char *name, struct device_name *out)
{
	static const char *const sets[] = { "isw_", "ddf1_", "pdc_",    "sil_", "nvidia_", "jmicron_",
		                            "via_", "asr_",  "hpt37x_", "lsi_", NULL };
	const char *s = after(name, "/dev/mapper/"), *end = name + strlen(name), *digits = end;
	bool multipath, wwid, set = false;

	if (!s)
		return false;
	multipath = after(s, "mpath") && islower((unsigned char)s[5]);
	wwid = *s == '3' && (strspn(s, "0123456789abcdef") == 17 || strspn(s, "0123456789abcdef") == 33);
	for (const char *const *k = sets; *k; k++)
		set = set || after(s, *k);
	if (!multipath && !wwid && !set)
		return false;
	out->index = -1;
	while (digits > s && isdigit((unsigned char)digits[-1]))
		digits--;
	if (*digits && part_end(digits, &out->part)) {
		if (digits - s > 5 && (!memcmp(digits - 5, "-part", 5) || !memcmp(digits - 5, "_part", 5)))
			return disk_set(out, name, (size_t)(digits - 5 - name));
		if (digits - s > 1 && digits[-1] == 'p' && (isxdigit((unsigned char)digits[-2]) || (multipath && digits - s > 6)))
			return disk_set(out, name, (size_t)(digits - 1 - name));
		if (multipath)
			return disk_set(out, name, (size_t)(digits - name));
	}
	out->part = 0;
	return disk_set(out, name, strlen(name));
}

bool device_parse(const char *name, struct device_name *out)
{
	memset(out, 0, sizeof(*out));
	if (strncmp(name, "/dev/", 5) || strlen(name) >= DEVICE_NAME_MAX)
		return false;
	return lettered(name, out) || numbered(name, out) || linked(name, out) || mapped(name, out);
}
