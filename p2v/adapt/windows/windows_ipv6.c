/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Lasting IPv6 addresses stand in the network store's own key, Control\Nsi\{eb004a01-…}\10: a value for each, whose name is the
 * adapter's LUID and the address, 16 and 32 hexadecimal digits, and whose content has the prefix's length at byte 16.  The LUID is
 * made of two numbers in the adapter's class key.  Routes stand there, too, in a form that nobody has told: a gateway is not known
 * from here.
 */
#include "windows_read.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define UNICAST "Control\\Nsi\\{eb004a01-9b1a-11d4-9123-0050047759bc}\\10"
#define PREFIX_AT 16
#define LUID_DIGITS 16
#define ADDRESSES_MAX 64

/* The eight bytes of a LUID as they lie in memory: 24 bits of nothing, 24 of the index, 16 of the type. */
static bool luid_read(const struct hive *system, hive_node_h class_key, char out[LUID_DIGITS + 1])
{
	uint32_t index, type;

	if (!class_key || !hive_number(system, class_key, "NetLuidIndex", &index) ||
	    !hive_number(system, class_key, "*IfType", &type))
		return false;
	snprintf(out, LUID_DIGITS + 1, "000000%02x%02x%02x%02x%02x", index & 255, index >> 8 & 255, index >> 16 & 255, type & 255,
	         type >> 8 & 255);
	return true;
}

static bool address_parse(const char *digits, unsigned char out[16])
{
	if (strlen(digits) != 32 || strspn(digits, "0123456789abcdefABCDEF") != 32)
		return false;
	for (unsigned i = 0; i < 16; i++) {
		const char pair[3] = { digits[2 * i], digits[2 * i + 1], 0 };

		out[i] = (unsigned char)strtoul(pair, NULL, 16);
	}
	return true;
}

/* One that somebody gave it: neither none, nor of the link alone, which each card makes for itself. */
static bool is_given(const unsigned char a[16])
{
	static const unsigned char none[16];

	return memcmp(a, none, 16) && !(a[0] == 0xfe && (a[1] & 0xc0) == 0x80) && a[0] != 0xff;
}

static void value_take(const struct hive *system, hive_node_h key, const char *name, struct bytes *out)
{
	struct bytes content = { 0 };
	char clean[INET6_ADDRSTRLEN];
	unsigned char a[16];

	if (address_parse(name + LUID_DIGITS, a) && is_given(a) && hive_bytes(system, key, name, &content) &&
	    content.len > PREFIX_AT && (unsigned char)content.at[PREFIX_AT] <= 128 && inet_ntop(AF_INET6, a, clean, sizeof(clean)))
		bytes_format(out, "%s%s/%u", out->len ? " " : "", clean, (unsigned)(unsigned char)content.at[PREFIX_AT]);
	bytes_destroy(&content);
}

void windows_ipv6_read(const struct hive *system, unsigned set, hive_node_h class_key, struct bytes *out)
{
	hive_node_h key = windows_set_find(system, set, UNICAST);
	hive_value_h *all = key ? hivex_node_values(system->h, key) : NULL;
	char luid[LUID_DIGITS + 1];
	unsigned n = 0;

	if (luid_read(system, class_key, luid))
		for (hive_value_h *v = all; v && *v && n < ADDRESSES_MAX; v++) {
			char *name = hivex_value_key(system->h, *v);

			if (name && !strncasecmp(name, luid, LUID_DIGITS)) {
				value_take(system, key, name, out);
				n++;
			}
			free(name);
		}
	free(all);
}
