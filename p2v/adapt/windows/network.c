/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The script that gives new adapters the old ones' addresses.  It knows the old connections by the settings in the registry; an
 * adapter that is still the same keeps its own; else one with the same MAC address is taken, else the next that is left, in order.
 * Windows PowerShell 2 (Windows 7) must understand it: so WMI and netsh, no NetTCPIP.  Of the guest's texts nothing goes into it
 * but addresses and numbers that were parsed and GUIDs of hexadecimal digits.
 */
#include "edit.h"

#include <string.h>

static const char head[] =
	"# Written by vdisk adapt: the addresses of the old machine's network connections.\r\n"
	"$old = @(\r\n";

static const char body[] =
	")\r\n"
	"\r\n"
	"function Adapters {\r\n"
	"    Get-WmiObject Win32_NetworkAdapter |\r\n"
	"        Where-Object { $_.PhysicalAdapter -and $_.MACAddress -and $_.GUID } | Sort-Object InterfaceIndex\r\n"
	"}\r\n"
	"\r\n"
	"# Drivers may still be on their way in: five minutes at most.\r\n"
	"for ($i = 0; $i -lt 60; $i++) {\r\n"
	"    $new = @(Adapters)\r\n"
	"    if ($new.Count -ge $old.Count) { break }\r\n"
	"    Start-Sleep -Seconds 5\r\n"
	"}\r\n"
	"\r\n"
	"$taken = @{}\r\n"
	"$rest = @()\r\n"
	"foreach ($o in $old) {\r\n"
	"    $same = @($new | Where-Object { $_.GUID -eq $o.Guid })\r\n"
	"    if ($same.Count) { $taken[$same[0].GUID] = 1; Write-Output \"$($o.Guid): its adapter is still there\" } else { $rest += $o }\r\n"
	"}\r\n"
	"foreach ($o in $rest) {\r\n"
	"    if ($o.Mac) { $o.To = @($new | Where-Object { -not $taken[$_.GUID] -and $_.MACAddress -eq $o.Mac })[0] }\r\n"
	"    if ($o.To) { $taken[$o.To.GUID] = 1 }\r\n"
	"}\r\n"
	"foreach ($o in $rest) {\r\n"
	"    if (-not $o.To) { $o.To = @($new | Where-Object { -not $taken[$_.GUID] })[0] }\r\n"
	"    if (-not $o.To) { Write-Output \"$($o.Guid): no adapter is left for $($o.Address) $($o.Address6)\"; continue }\r\n"
	"    $taken[$o.To.GUID] = 1\r\n"
	"    $n = $o.To.InterfaceIndex\r\n"
	"    Write-Output \"$($o.Guid): $($o.Address) $($o.Address6) go to interface $n, $($o.To.Name)\"\r\n"
	"    if ($o.Address.Count) {\r\n"
	"        $a = @('interface', 'ipv4', 'set', 'address', \"name=$n\", 'source=static', \"address=$($o.Address[0])\", \"mask=$($o.Mask[0])\")\r\n"
	"        if ($o.Gateway.Count) { $a += \"gateway=$($o.Gateway[0])\" }\r\n"
	"        if ($o.Gateway.Count -and $o.Metric) { $a += \"gwmetric=$($o.Metric)\" }\r\n"
	"        & netsh.exe $a\r\n"
	"    }\r\n"
	"    for ($k = 1; $k -lt $o.Address.Count; $k++) {\r\n"
	"        & netsh.exe interface ipv4 add address \"name=$n\" \"address=$($o.Address[$k])\" \"mask=$($o.Mask[$k])\"\r\n"
	"    }\r\n"
	"    for ($k = 0; $k -lt $o.Dns.Count; $k++) {\r\n"
	"        if ($k -eq 0) { & netsh.exe interface ipv4 set dnsservers \"name=$n\" source=static \"address=$($o.Dns[0])\" validate=no }\r\n"
	"        else { & netsh.exe interface ipv4 add dnsservers \"name=$n\" \"address=$($o.Dns[$k])\" \"index=$($k + 1)\" validate=no }\r\n"
	"    }\r\n"
	"    foreach ($a in $o.Address6) { & netsh.exe interface ipv6 add address \"interface=$n\" \"address=$a\" store=persistent }\r\n"
	"    for ($k = 0; $k -lt $o.Dns6.Count; $k++) {\r\n"
	"        if ($k -eq 0) { & netsh.exe interface ipv6 set dnsservers \"name=$n\" source=static \"address=$($o.Dns6[0])\" validate=no }\r\n"
	"        else { & netsh.exe interface ipv6 add dnsservers \"name=$n\" \"address=$($o.Dns6[$k])\" \"index=$($k + 1)\" validate=no }\r\n"
	"    }\r\n"
	"}\r\n";

enum part { PART_HOST, PART_MASK, PART_HOST6, PART_WHOLE6 };

/* 'a', 'b': of what stands in `list` between blanks, each IPv4 address without its prefix's length, or the mask of that; or each of
   IPv6, whose netsh takes it with the length. */
static void texts_write(struct bytes *out, const char *list, enum part part)
{
	const char *between = "";

	bytes_text(out, "@(");
	for (const char *s = list; *s;) {
		size_t n, host;
		bool six;

		s += strspn(s, " ");
		n = strcspn(s, " ");
		host = strcspn(s, " /");
		six = memchr(s, ':', host);
		if (n && six == (part >= PART_HOST6) && (six || (*s >= '0' && *s <= '9'))) { /* not "dhcp" */
			if (part == PART_MASK) {
				unsigned bits = 0;
				uint32_t m;

				for (const char *d = s + host + 1; host < n && *d >= '0' && *d <= '9'; d++)
					bits = bits * 10 + (unsigned)(*d - '0');
				m = bits ? UINT32_MAX << (32 - (bits > 32 ? 32 : bits)) : 0;
				bytes_format(out, "%s'%u.%u.%u.%u'", between, m >> 24, m >> 16 & 255, m >> 8 & 255, m & 255);
			} else {
				bytes_format(out, "%s'%.*s'", between, (int)(part == PART_WHOLE6 ? n : host), s);
			}
			between = ", ";
		}
		s += n;
	}
	bytes_text(out, ")");
}

bool windows_network_script(const struct windows_facts *w, struct bytes *out, bool *six)
{
	unsigned n = 0;

	*six = false;
	bytes_text(out, head);
	for (size_t i = 0; i < w->nics_n; i++) {
		const struct windows_nic *c = &w->nics[i];

		if (!c->present || !*c->addresses || !strcmp(c->addresses, "dhcp"))
			continue;
		bytes_format(out, "%s    @{ Guid = '%s'; Mac = '%s'; To = $null; Address = ", n++ ? ",\r\n" : "", c->guid, c->mac);
		texts_write(out, c->addresses, PART_HOST);
		bytes_text(out, "; Mask = ");
		texts_write(out, c->addresses, PART_MASK);
		bytes_text(out, "; Gateway = ");
		texts_write(out, c->gateways, PART_HOST);
		bytes_format(out, "; Metric = %u; Dns = ", c->metric);
		texts_write(out, c->dns, PART_HOST);
		bytes_text(out, "; Address6 = ");
		texts_write(out, c->addresses, PART_WHOLE6);
		bytes_text(out, "; Dns6 = ");
		texts_write(out, c->dns, PART_HOST6);
		bytes_text(out, " }");
		*six = *six || strchr(c->addresses, ':');
	}
	bytes_text(out, n ? "\r\n" : "");
	bytes_text(out, body);
	return n != 0;
}
