/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names of the model's values, which JSON and the command line share. */
#include "names.h"

#include "machine.h"

#include <string.h>

#define NAMES(noun, ...)                                                                                       \
	static const char *const noun##_texts[] = { __VA_ARGS__ };                                             \
	const struct names names_##noun = { noun##_texts, sizeof(noun##_texts) / sizeof(*noun##_texts) };      \
	const char *machine_##noun##_name(enum machine_##noun v)                                               \
	{                                                                                                      \
		return (size_t)v < names_##noun.n ? noun##_texts[v] : NULL;                                    \
	}                                                                                                      \
	int machine_##noun##_parse(const char *text) { return names_find(&names_##noun, text); }

int names_find(const struct names *names, const char *text)
{
	for (size_t i = 0; text && i < names->n; i++)
		if (!strcmp(names->at[i], text))
			return (int)i;
	return -1;
}

NAMES(firmware, "unknown", "bios", "uefi")
NAMES(chipset, "unknown", "pc", "q35")
NAMES(tpm, "none", "1.2", "2.0")
NAMES(video, "unknown", "none", "vga", "cirrus", "vmware", "qxl", "virtio")
NAMES(medium, "disk", "cdrom", "floppy")
NAMES(bus, "unknown", "ide", "sata", "scsi", "virtio", "nvme", "usb", "floppy", "xen")
NAMES(scsi, "unknown", "buslogic", "lsi", "lsi-sas", "pvscsi", "virtio", "megasas", "hyperv")
NAMES(nic_model, "unknown", "ne2000", "pcnet", "rtl8139", "tulip", "e1000", "e1000e", "vmxnet", "vmxnet3", "virtio", "hyperv",
      "xen")
NAMES(net, "unknown", "bridge", "network", "nat", "host-only", "internal", "none")
NAMES(serial_kind, "pty", "file", "pipe", "tcp", "device", "none")
