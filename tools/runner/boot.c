/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The distribution's SeaBIOS and OVMF.  Variables start as OVMF's template has them, and live as long as the process. */
#include "boot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEABIOS        "/usr/share/seabios/bios-256k.bin"
#define VIDEO_BIOS     "/usr/share/seabios/vgabios-stdvga.bin"
#define OVMF_CODE      "/usr/share/OVMF/OVMF_CODE_4M.fd"
#define OVMF_VARIABLES "/usr/share/OVMF/OVMF_VARS_4M.fd"
#define ESP_GUID       "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
#define VARIABLES_MAX  0x400000
#define PARTITIONS_MAX 128

bool boot_has_esp(vdisk_image *img)
{
	struct vdisk_partition parts[PARTITIONS_MAX];
	struct vdisk_partition_table table;
	vdisk_error err;
	size_t n;

	if (vdisk_partitions(img, &table, parts, PARTITIONS_MAX, &n, &err))
		return false;
	for (size_t i = 0; i < n && i < PARTITIONS_MAX; i++)
		if (!strcasecmp(parts[i].type, ESP_GUID) || !strcasecmp(parts[i].type, "0xef"))
			return true;
	return false;
}

static int variables_load(struct machine_config *config, const char *path, vdisk_error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st)) {
		fail_errno(err, "firmware's variables %s", path);
		if (fd >= 0)
			close(fd);
		return -1;
	}
	void *p = MAP_FAILED;
	bool fits = st.st_size > 0 && st.st_size <= VARIABLES_MAX && !(st.st_size & 0xfff);
	if (fits)
		p = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	close(fd);
	if (!fits)
		return fail(err, VDISK_INVALID, "firmware's variables %s: %lld bytes", path, (long long)st.st_size);
	if (p == MAP_FAILED)
		return fail_errno(err, "firmware's variables %s", path);
	config->variables = p;
	config->variables_bytes = (uint64_t)st.st_size;
	return 0;
}

int boot_possible(const struct options *o, vdisk_error *err)
{
	if (o->bus != BUS_VIRTIO_BLK && o->bus != BUS_AHCI)
		return fail(err, VDISK_UNSUPPORTED, "the machine on KVM has no bus %s; --engine qemu has",
		            o->bus == BUS_IDE ? "ide" : "virtio-scsi");
	if (o->nic.model)
		return fail(err, VDISK_UNSUPPORTED, "the machine on KVM has the network card virtio-net only; --engine qemu has %s",
		            o->nic.model);
	return 0;
}

int boot_choose(struct machine_config *config, const struct options *o, vdisk_error *err)
{
	if (config->kernel)
		return 0;
	if (o->firmware == FIRMWARE_UEFI || (o->firmware == FIRMWARE_AUTO && boot_has_esp(config->disks[0]))) {
		config->bios = OVMF_CODE;
		return variables_load(config, OVMF_VARIABLES, err);
	}
	config->bios = SEABIOS;
	config->video_bios = VIDEO_BIOS;
	return 0;
}

void boot_release(struct machine_config *config)
{
	if (config->variables)
		munmap(config->variables, config->variables_bytes);
	config->variables = NULL;
}
