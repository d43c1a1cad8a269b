/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which kind of lines of text it is, by the keys that stand in them. */
#include "formats.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define LINES_MAX 200 /* that are looked at */

static bool begins(const char *line, size_t n, const char *const *keys, char sign)
{
	size_t key = 0;

	while (key < n && (isalnum((unsigned char)line[key]) || strchr("._:", line[key])) && line[key] && line[key] != sign)
		key++;
	for (; *keys; keys++)
		if (strlen(*keys) == key && !strncasecmp(line, *keys, key)) {
			while (key < n && (line[key] == ' ' || line[key] == '\t'))
				key++;
			return key < n && line[key] == sign;
		}
	return false;
}

enum describe_kind lines_probe(const void *bytes, size_t len)
{
	static const char *const vmx[] = { ".encoding", "config.version", "virtualHW.version", "displayName", "guestOS", "memsize",
		                           NULL };
	static const char *const proxmox[] = { "ostype",  "scsihw",  "sockets", "cores", "bootdisk",
		                               "smbios1", "vmgenid", "memory",  NULL };
	static const char *const xl[] = { "builder", "vcpus", "disk", "vif", "memory", "type", "kernel", "bootloader", NULL };
	const char *line = bytes, *end = line + len;

	for (unsigned i = 0; i < LINES_MAX && line < end; i++) {
		const char *next = memchr(line, '\n', (size_t)(end - line));
		size_t n = (size_t)((next ? next : end) - line);

		while (n && (*line == ' ' || *line == '\t')) {
			line++;
			n--;
		}
		if (begins(line, n, vmx, '='))
			return DESCRIBE_VMX;
		if (begins(line, n, proxmox, ':'))
			return DESCRIBE_PROXMOX;
		if (begins(line, n, xl, '='))
			return DESCRIBE_XL;
		line = next ? next + 1 : end;
	}
	return DESCRIBE_UNKNOWN;
}
