/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "inspect_show.h"
#include "common/utf8.h"

#include <string.h>

const char *show_clean(struct bytes *buffer, const char *text)
{
	bytes_clear(buffer);
	bytes_add(buffer, "", 0);
	for (const unsigned char *s = (const unsigned char *)text; s && *s;) {
		size_t n = utf8_len(s, strnlen((const char *)s, 4));
		bool order = *s < 0x20 || *s == 0x7f || (n == 2 && *s == 0xc2 && s[1] < 0xa0) || /* C1 */
			     (n == 3 && s[0] == 0xe2 &&
			      ((s[1] == 0x80 && s[2] >= 0xaa && s[2] <= 0xae) || (s[1] == 0x81 && s[2] >= 0xa6 && s[2] <= 0xa9)));

		if (!n || order)
			bytes_text(buffer, n ? "?" : "\xef\xbf\xbd");
		else
			bytes_add(buffer, s, n);
		s += n ? n : 1;
	}
	return buffer->failed || !buffer->at ? "" : buffer->at;
}

const char *show_initrd_tool(enum initrd_tool tool)
{
	switch (tool) {
	case INITRD_INITRAMFS_TOOLS: return "initramfs-tools";
	case INITRD_DRACUT: return "dracut";
	case INITRD_MKINITCPIO: return "mkinitcpio";
	case INITRD_MKINITFS: return "mkinitfs";
	case INITRD_MKINITRD: return "mkinitrd";
	default: return "";
	}
}

const char *show_loader(unsigned i, bool people)
{
	static const char *const names[][2] = { { "grub2", "GRUB 2" },
						{ "grub-legacy", "GRUB legacy" },
						{ "bls", "Boot Loader Specification" },
						{ "systemd-boot", "systemd-boot" },
						{ "extlinux", "extlinux" },
						{ "uki", "unified kernel images" },
						{ "windows", "Windows' own" },
						{ "lilo", "LILO" } };

	return i < sizeof(names) / sizeof(*names) ? names[i][people] : NULL;
}

const char *show_named_by(const char *fstab)
{
	static const struct {
		const char *begin, *kind;
	} v[] = { { "UUID=", "uuid" },
		  { "LABEL=", "label" },
		  { "PARTUUID=", "partuuid" },
		  { "PARTLABEL=", "partlabel" },
		  { "/dev/disk/by-uuid/", "uuid" },
		  { "/dev/disk/by-label/", "label" },
		  { "/dev/disk/by-partuuid/", "partuuid" },
		  { "/dev/disk/by-partlabel/", "partlabel" },
		  { "/dev/disk/", "link" },
		  { "/dev/mapper/", "volume" },
		  { "/dev/md", "volume" } };
	static const char *const disks[] = { "sd", "hd", "vd", "xvd", "nvme", "mmcblk", "cciss/", "ida/", "rd/", NULL };

	for (size_t i = 0; i < sizeof(v) / sizeof(*v); i++)
		if (!strncmp(fstab, v[i].begin, strlen(v[i].begin)))
			return v[i].kind;
	if (strncmp(fstab, "/dev/", 5))
		return "";
	for (const char *const *p = disks; *p; p++)
		if (!strncmp(fstab + 5, *p, strlen(*p)))
			return "device";
	return strchr(fstab + 5, '/') ? "volume" : "device";
}

const char *show_table(enum vdisk_table table, bool people)
{
	return table == VDISK_TABLE_GPT   ? (people ? "GPT" : "gpt")
	       : table == VDISK_TABLE_MBR ? (people ? "MBR" : "mbr")
	       : people                   ? "no partitions"
					  : "none";
}
