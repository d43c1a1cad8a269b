/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Operating systems by everybody's names.  The last row of each family is what it is called where nothing closer is known. */
#include "os.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum family { LINUX, WINDOWS, OTHER };

static const struct os {
	enum family family;
	bool wide; /* 64 bits */
	const char *vmx, *vbox, *proxmox;
	unsigned cim;
} table[] = {
	{ WINDOWS, true, "windows2019srv-64", "Windows2019_64", "win10", 112 },
	{ WINDOWS, true, "windows9srv-64", "Windows2016_64", "win10", 112 },
	{ WINDOWS, true, "windows8srv-64", "Windows2012_64", "win8", 112 },
	{ WINDOWS, true, "windows7srv-64", "Windows2008_64", "win7", 103 },
	{ WINDOWS, true, "windows11-64", "Windows11_64", "win11", 0 },
	{ WINDOWS, true, "windows9-64", "Windows10_64", "win10", 0 },
	{ WINDOWS, false, "windows9", "Windows10", "win10", 0 },
	{ WINDOWS, true, "windows8-64", "Windows8_64", "win8", 0 },
	{ WINDOWS, true, "windows7-64", "Windows7_64", "win7", 105 },
	{ WINDOWS, false, "windows7", "Windows7", "win7", 105 },
	{ WINDOWS, false, "winxppro", "WindowsXP", "wxp", 67 },
	{ WINDOWS, true, "winxppro-64", "WindowsXP_64", "wxp", 67 },
	{ WINDOWS, false, "winnetstandard", "Windows2003", "w2k3", 69 },
	{ WINDOWS, true, "winnetstandard-64", "Windows2003_64", "w2k3", 70 },
	{ WINDOWS, false, "win2000pro", "Windows2000", "w2k", 58 },
	{ WINDOWS, true, "windows9srv-64", "Windows2016_64", "win10", 112 },
	{ WINDOWS, false, "windows7", "Windows7", "win7", 105 },
	{ LINUX, true, "debian12-64", "Debian12_64", "l26", 96 },
	{ LINUX, true, "debian11-64", "Debian11_64", "l26", 96 },
	{ LINUX, true, "debian10-64", "Debian10_64", "l26", 96 },
	{ LINUX, true, "debian-64", "Debian_64", "l26", 96 },
	{ LINUX, false, "debian", "Debian", "l26", 95 },
	{ LINUX, true, "ubuntu-64", "Ubuntu_64", "l26", 94 },
	{ LINUX, false, "ubuntu", "Ubuntu", "l26", 93 },
	{ LINUX, true, "rhel9-64", "RedHat9_64", "l26", 80 },
	{ LINUX, true, "rhel8-64", "RedHat8_64", "l26", 80 },
	{ LINUX, true, "rhel7-64", "RedHat7_64", "l26", 80 },
	{ LINUX, true, "rhel6-64", "RedHat6_64", "l26", 80 },
	{ LINUX, true, "centos-64", "RedHat_64", "l26", 107 },
	{ LINUX, true, "fedora-64", "Fedora_64", "l26", 101 },
	{ LINUX, true, "sles-64", "OpenSUSE_64", "l26", 85 },
	{ LINUX, true, "other3xlinux-64", "Linux26_64", "l26", 101 },
	{ LINUX, true, "other26xlinux-64", "Linux26_64", "l26", 100 },
	{ LINUX, true, "otherlinux-64", "Linux_64", "l26", 101 },
	{ LINUX, false, "other26xlinux", "Linux26", "l26", 99 },
	{ LINUX, false, "otherlinux", "Linux", "l26", 36 },
	{ OTHER, true, "solaris11-64", "Solaris11_64", "solaris", 29 },
	{ OTHER, true, "freebsd-64", "FreeBSD_64", "other", 78 },
	{ OTHER, false, "freebsd", "FreeBSD", "other", 42 },
	{ OTHER, false, "dos", "DOS", "other", 14 },
	{ OTHER, true, "other-64", "Other_64", "other", 102 },
	{ OTHER, false, "other", "Other", "other", 1 },
};

#define TABLE_N (sizeof(table) / sizeof(*table))

static const char *column(const struct os *o, enum describe_kind kind)
{
	return kind == DESCRIBE_VMX ? o->vmx : kind == DESCRIBE_VBOX ? o->vbox : o->proxmox;
}

/* vSphere's word is the VMX one with capitals, underlines or nothing for hyphens and "Guest" behind it: debian10_64Guest,
   other3xLinux64Guest. */
static bool is_same(const char *os, const char *name)
{
	for (;; os++, name++) {
		while (*os == '_' || *os == '-')
			os++;
		while (*name == '-')
			name++;
		if (!*name)
			return !*os || !strcasecmp(os, "Guest");
		if ((*os | 0x20) != (*name | 0x20))
			return false;
	}
}

bool os_is_windows(const char *os) { return os && strcasestr(os, "win") && !strcasestr(os, "darwin"); }

static const struct os *find(const char *os)
{
	/* A number is CIM's, a word anybody's. */
	unsigned cim = strspn(os, "0123456789") == strlen(os) ? (unsigned)strtoul(os, NULL, 10) : 0;

	for (size_t i = 0; i < TABLE_N; i++)
		if (cim ? cim == table[i].cim : is_same(os, table[i].vmx) || !strcasecmp(os, table[i].vbox) ||
		    !strcasecmp(os, table[i].proxmox))
			return &table[i];
	return NULL;
}

static const struct os *find_family(const char *os, const char *arch)
{
	static const char *const linuxes[] = { "linux",  "debian", "ubuntu", "centos", "rhel", "red hat", "fedora", "suse", "sles",
		                               "photon", "alma",   "rocky",  "oracle", "l26",  "l24",     "kali",   "arch" };
	enum family family = os_is_windows(os) ? WINDOWS : OTHER;
	bool wide = !arch || !strstr(arch, "86") || strstr(arch, "64");

	for (size_t i = 0; i < sizeof(linuxes) / sizeof(*linuxes); i++)
		if (os && strcasestr(os, linuxes[i]))
			family = LINUX;
	for (size_t i = TABLE_N; i--;)
		if (table[i].family == family && table[i].wide == wide)
			return &table[i];
	return &table[TABLE_N - 1];
}

const char *os_name(const char *os, const char *arch, enum describe_kind kind, struct machine_lost_list *lost)
{
	static const char *const numbers[] = {
		[1] = "1",   [14] = "14",   [29] = "29",   [36] = "36",   [42] = "42",   [58] = "58",   [67] = "67",   [69] = "69",
		[70] = "70", [78] = "78",   [80] = "80",   [85] = "85",   [93] = "93",   [94] = "94",   [95] = "95",   [96] = "96",
		[99] = "99", [100] = "100", [101] = "101", [102] = "102", [103] = "103", [105] = "105", [107] = "107", [112] = "112"
	};
	const struct os *o = os ? find(os) : NULL;
	const char *name;

	if (os && !o && kind == DESCRIBE_VMX && !strpbrk(os, " _") && strspn(os, "0123456789") != strlen(os) &&
	    strcasestr(os, "-64"))
		return os; /* VMware has more of them, all of this form */
	if (!o) {
		o = find_family(os, arch);
		if (os)
			machine_lost_add(lost, os, "there is no such name there; the nearest is taken", "operating system");
	}
	name = kind == DESCRIBE_OVF ? numbers[o->cim ? o->cim : 1] : column(o, kind);
	return name;
}

const char *os_of_cim(unsigned number)
{
	for (size_t i = 0; i < TABLE_N; i++)
		if (number && table[i].cim == number && number != 1)
			return table[i].vmx;
	return NULL;
}
