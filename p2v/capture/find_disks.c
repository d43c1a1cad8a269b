/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "find.h"
#include "find_text.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SCSI_CDROM 5

static bool is_ours(const char *root, const char *name)
{
	char stack[64];

	if (!find_number(0, root, "/sys/block/%s/size", name))
		return false;
	if (find_stack(root, name) != FIND_PLAIN)
		return true;
	/* What has no device behind it is made of other disks, of files or of memory. */
	if (find_member_of(stack, root, name) != FIND_PLAIN ||
	    !find_there(root, "/sys/block/%s/device", name) ||
	    find_number(0, root, "/sys/block/%s/hidden", name) || find_number(0, root, "/sys/block/%s/removable", name) ||
	    find_number(0, root, "/sys/block/%s/device/type", name) == SCSI_CDROM)
		return false;
	return strncmp(name, "fd", 2) && strncmp(name, "sr", 2) && strncmp(name, "nbd", 3) && strncmp(name, "mtdblock", 8) &&
		!(strncmp(name, "mmcblk", 6) == 0 && (strstr(name, "boot") || strstr(name, "rpmb")));
}

char **find_disks(const char *root, size_t *n)
{
	size_t all, kept = 0;
	char **names = find_names(root, &all, "/sys/block");

	for (size_t i = 0; i < all; i++) {
		if (is_ours(root, names[i]))
			names[kept++] = names[i];
		else
			free(names[i]);
	}
	*n = kept;
	return names;
}

static const struct { const char *driver; enum machine_scsi model;
} adapters[] = {
	{ "BusLogic", MACHINE_SCSI_BUSLOGIC },     { "sym53c8xx", MACHINE_SCSI_LSI },      { "mptspi", MACHINE_SCSI_LSI },
	{ "mptsas", MACHINE_SCSI_LSI_SAS },        { "mpt2sas", MACHINE_SCSI_LSI_SAS },    { "mpt3sas", MACHINE_SCSI_LSI_SAS },
	{ "vmw_pvscsi", MACHINE_SCSI_PVSCSI },     { "virtio_scsi", MACHINE_SCSI_VIRTIO }, { "megaraid_sas", MACHINE_SCSI_MEGASAS },
	{ "storvsc_host_t", MACHINE_SCSI_HYPERV }, { "storvsc", MACHINE_SCSI_HYPERV },
};

static bool place_taken(const struct machine *m, const struct machine_disk *d, int unit)
{
	for (size_t i = 0; i < m->disks_n; i++)
		if (&m->disks[i] != d && m->disks[i].bus == d->bus && m->disks[i].controller == d->controller &&
		    m->disks[i].unit == unit)
			return true;
	return false;
}

/* By libata: the old controllers have two channels with two disks each. */
static void ata_place(struct machine *m, struct machine_disk *d, const char *path, const char *driver)
{
	const char *ata = strstr(path, "/ata"), *target = strstr(path, "/target");
	unsigned port = 0, host, channel, id = 0;

	d->bus = !strcmp(driver, "ata_piix") || !strncmp(driver, "pata_", 5) || !strcmp(driver, "ata_generic") ? MACHINE_BUS_IDE
	                                                                                                       : MACHINE_BUS_SATA;
	if (d->bus != MACHINE_BUS_IDE || !ata || sscanf(ata, "/ata%u/", &port) != 1 || !port || port > 2 || !target ||
	    sscanf(target, "/target%u:%u:%u", &host, &channel, &id) != 3 || id > 1)
		return;
	if (!place_taken(m, d, (int)((port - 1) * 2 + id)))
		d->unit = (int)((port - 1) * 2 + id);
}

static void bus_find(struct machine *m, struct machine_disk *d, const char *name, const char *root)
{
	char path[PATH_MAX], driver[64] = "";
	const char *host;
	unsigned number;

	find_real(path, root, "/sys/block/%s/device", name);
	host = strstr(path, "/host");
	if (host && sscanf(host, "/host%u", &number) == 1)
		find_text(driver, sizeof(driver), root, "/sys/class/scsi_host/host%u/proc_name", number);
	if (!strncmp(name, "nvme", 4)) {
		d->bus = MACHINE_BUS_NVME;
	} else if (strstr(path, "/usb")) {
		d->bus = MACHINE_BUS_USB;
	} else if (strstr(path, "/ata")) {
		ata_place(m, d, path, driver);
	} else if (!strncmp(name, "vd", 2)) {
		d->bus = MACHINE_BUS_VIRTIO;
	} else if (!strncmp(name, "xvd", 3)) {
		d->bus = MACHINE_BUS_XEN;
	} else if (host) {
		d->bus = MACHINE_BUS_SCSI;
		for (size_t i = 0; i < sizeof(adapters) / sizeof(*adapters); i++)
			if (!strcmp(adapters[i].driver, driver))
				d->scsi = adapters[i].model;
	}
}

/* Page 0x80 of SPC's vital product data: four bytes of header, the number. */
static const char *scsi_serial(struct machine *m, const char *root, const char *name)
{
	char path[PATH_MAX], text[256];
	ssize_t n = -1;
	int fd;

	if (!find_path(path, root, "/sys/block/%s/device/vpd_pg80", name))
		return NULL;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, text, sizeof(text) - 1);
		close(fd);
	}
	if (n <= 4)
		return NULL;
	text[n] = '\0';
	return machine_text_clean(m, text + 4);
}

/* What others make hangs on the machine as the first of them does. */
static void first_of(char out[64], const char *root, const char *kernel)
{
	size_t n = 0;
	char **names = find_stack(root, kernel) == FIND_PLAIN ? NULL : find_names(root, &n, "/sys/block/%s/slaves", kernel);

	snprintf(out, 64, "%.63s", n ? names[0] : kernel);
	find_names_free(names, n);
}

void find_disk(struct machine *m, struct machine_disk *d, const char *kernel, const char *root)
{
	char text[256], name[64];

	d->host = true;
	first_of(name, root, kernel);
	bus_find(m, d, name, root);
	d->logical_sector = (unsigned)find_number(512, root, "/sys/block/%s/queue/logical_block_size", kernel);
	d->physical_sector = (unsigned)find_number(d->logical_sector, root, "/sys/block/%s/queue/physical_block_size", kernel);
	d->rotational = find_number(0, root, "/sys/block/%s/queue/rotational", name) == 1;
	d->removable = find_number(0, root, "/sys/block/%s/removable", name) == 1;
	d->read_only = find_number(0, root, "/sys/block/%s/ro", name) == 1;
	if (find_text(text, sizeof(text), root, "/sys/block/%s/device/model", name))
		d->model = machine_text_clean(m, text);
	if (find_text(text, sizeof(text), root, "/sys/block/%s/device/serial", name) ||
	    find_text(text, sizeof(text), root, "/sys/block/%s/serial", name))
		d->serial = machine_text_clean(m, text);
	else
		d->serial = scsi_serial(m, root, name);
	if (find_text(text, sizeof(text), root, "/sys/block/%s/device/wwid", name) ||
	    find_text(text, sizeof(text), root, "/sys/block/%s/wwid", name))
		d->wwn = machine_text_clean(m, text);
}
