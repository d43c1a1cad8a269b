/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The members of each object of a machine's JSON. */
#include "json_members.h"

#define MEMBER(type, key, kind, field)       { key, kind, offsetof(struct type, field), 0, NULL }
#define MEMBER_NAME(type, key, field, names) { key, NAME, offsetof(struct type, field), 0, &names }
#define MEMBER_LIST(type, key, field)        { key, TEXTS, offsetof(struct type, field), offsetof(struct type, field##_n), NULL }

const struct member json_machine_members[] = {
	MEMBER(machine, "name", TEXT, name),
	MEMBER(machine, "uuid", TEXT, uuid),
	MEMBER(machine, "description", LINES, description),
	MEMBER(machine, "os", TEXT, os),
	MEMBER(machine, "arch", TEXT, arch),
	MEMBER_NAME(machine, "firmware", firmware, names_firmware),
	MEMBER(machine, "secure-boot", YES, secure_boot),
	MEMBER_NAME(machine, "chipset", chipset, names_chipset),
	MEMBER(machine, "cpus", NUMBER, cpus),
	MEMBER(machine, "sockets", NUMBER, sockets),
	MEMBER(machine, "cores", NUMBER, cores),
	MEMBER(machine, "threads", NUMBER, threads),
	MEMBER(machine, "memory", LARGE, memory),
	MEMBER_NAME(machine, "tpm", tpm, names_tpm),
	MEMBER_NAME(machine, "video", video, names_video),
	MEMBER(machine, "video-memory", LARGE, video_memory),
	{ 0 },
};

const struct member json_disk_members[] = {
	MEMBER(machine_disk, "name", TEXT, name),
	MEMBER_NAME(machine_disk, "medium", medium, names_medium),
	MEMBER_NAME(machine_disk, "bus", bus, names_bus),
	MEMBER_NAME(machine_disk, "adapter", scsi, names_scsi),
	MEMBER(machine_disk, "controller", NUMBER, controller),
	MEMBER(machine_disk, "unit", UNIT, unit),
	MEMBER(machine_disk, "boot", NUMBER, boot),
	MEMBER(machine_disk, "path", TEXT, path),
	MEMBER(machine_disk, "ref", TEXT, ref),
	MEMBER(machine_disk, "format", TEXT, format),
	MEMBER(machine_disk, "size", LARGE, size),
	MEMBER(machine_disk, "file-size", LARGE, file_size),
	MEMBER(machine_disk, "chunk-size", LARGE, chunk_size),
	MEMBER(machine_disk, "compression", TEXT, compression),
	MEMBER(machine_disk, "logical-sector-size", NUMBER, logical_sector),
	MEMBER(machine_disk, "physical-sector-size", NUMBER, physical_sector),
	MEMBER(machine_disk, "serial", TEXT, serial),
	MEMBER(machine_disk, "wwn", TEXT, wwn),
	MEMBER(machine_disk, "model", TEXT, model),
	MEMBER(machine_disk, "image-uuid", TEXT, image_uuid),
	MEMBER(machine_disk, "read-only", YES, read_only),
	MEMBER(machine_disk, "removable", YES, removable),
	MEMBER(machine_disk, "rotational", YES, rotational),
	MEMBER(machine_disk, "host-device", YES, host),
	{ 0 },
};

static const struct member json_nic_members[] = {
	MEMBER(machine_nic, "name", TEXT, name),
	MEMBER(machine_nic, "mac", TEXT, mac),
	MEMBER_NAME(machine_nic, "model", model, names_nic_model),
	MEMBER_NAME(machine_nic, "connection", net, names_net),
	MEMBER(machine_nic, "network", TEXT, network),
	MEMBER(machine_nic, "driver", TEXT, driver),
	MEMBER_LIST(machine_nic, "addresses", addresses),
	MEMBER_LIST(machine_nic, "gateways", gateways),
	MEMBER_LIST(machine_nic, "dns", dns),
	MEMBER(machine_nic, "boot", NUMBER, boot),
	MEMBER(machine_nic, "vlan", NUMBER, vlan),
	MEMBER(machine_nic, "mtu", NUMBER, mtu),
	MEMBER(machine_nic, "dhcp", YES, dhcp),
	MEMBER(machine_nic, "disconnected", YES, disconnected),
	{ 0 },
};

static const struct member json_serial_members[] = {
	MEMBER_NAME(machine_serial, "kind", kind, names_serial_kind),
	MEMBER(machine_serial, "path", TEXT, path),
	{ 0 },
};

static const struct member json_partition_members[] = {
	MEMBER(machine_partition, "disk", TEXT, disk),
	MEMBER(machine_partition, "name", TEXT, name),
	MEMBER(machine_partition, "number", NUMBER, number),
	MEMBER(machine_partition, "start", LARGE, start),
	MEMBER(machine_partition, "size", LARGE, size),
	MEMBER(machine_partition, "type", TEXT, type),
	MEMBER(machine_partition, "filesystem", TEXT, fs),
	MEMBER(machine_partition, "uuid", TEXT, uuid),
	MEMBER(machine_partition, "label", TEXT, label),
	MEMBER(machine_partition, "mount", TEXT, mount),
	{ 0 },
};

static const struct member json_volume_members[] = {
	MEMBER(machine_volume, "group", TEXT, group),
	MEMBER(machine_volume, "name", TEXT, name),
	MEMBER(machine_volume, "size", LARGE, size),
	MEMBER(machine_volume, "on", TEXT, on),
	MEMBER(machine_volume, "filesystem", TEXT, fs),
	MEMBER(machine_volume, "uuid", TEXT, uuid),
	MEMBER(machine_volume, "label", TEXT, label),
	MEMBER(machine_volume, "mount", TEXT, mount),
	{ 0 },
};

static const struct member json_array_members[] = {
	MEMBER(machine_array, "name", TEXT, name),
	MEMBER(machine_array, "level", TEXT, level),
	MEMBER(machine_array, "uuid", TEXT, uuid),
	MEMBER(machine_array, "members", TEXT, members),
	MEMBER(machine_array, "state", TEXT, state),
	MEMBER(machine_array, "size", LARGE, size),
	{ 0 },
};

static const struct member json_crypt_members[] = {
	MEMBER(machine_crypt, "device", TEXT, device),
	MEMBER(machine_crypt, "name", TEXT, name),
	MEMBER(machine_crypt, "uuid", TEXT, uuid),
	MEMBER(machine_crypt, "version", NUMBER, version),
	{ 0 },
};

static const struct member json_image_members[] = {
	MEMBER(machine_image, "uuid", TEXT, uuid),
	MEMBER(machine_image, "path", TEXT, path),
	MEMBER(machine_image, "format", TEXT, format),
	MEMBER(machine_image, "parent", UNIT, parent),
	{ 0 },
};

static const struct member json_snapshot_members[] = {
	MEMBER(machine_snapshot, "id", TEXT, id),
	MEMBER(machine_snapshot, "name", TEXT, name),
	MEMBER(machine_snapshot, "description", LINES, description),
	MEMBER(machine_snapshot, "parent", UNIT, parent),
	MEMBER(machine_snapshot, "date", LARGE, date),
	MEMBER(machine_snapshot, "memory", TEXT, memory),
	MEMBER(machine_snapshot, "current", YES, current),
	{ 0 },
};

static const struct member json_state_members[] = {
	MEMBER(machine_state, "snapshot", UNIT, snapshot),
	MEMBER(machine_state, "disk", TEXT, disk),
	MEMBER(machine_state, "image", UNIT, image),
	{ 0 },
};

const struct member json_host_members[] = {
	MEMBER(machine_host, "hostname", TEXT, hostname),
	MEMBER(machine_host, "vendor", TEXT, vendor),
	MEMBER(machine_host, "product", TEXT, product),
	MEMBER(machine_host, "serial", TEXT, serial),
	MEMBER(machine_host, "board", TEXT, board),
	MEMBER(machine_host, "bios", TEXT, bios),
	MEMBER(machine_host, "cpu", TEXT, cpu),
	MEMBER(machine_host, "os", TEXT, os),
	MEMBER(machine_host, "kernel", TEXT, kernel),
	MEMBER(machine_host, "captured", TEXT, captured),
	{ 0 },
};

static void *disk_new(struct machine *m) { return machine_disk_add(m); }
static void *nic_new(struct machine *m) { return machine_nic_add(m); }
static void *serial_new(struct machine *m) { return machine_serial_add(m); }
static void *partition_new(struct machine *m) { return machine_partition_add(m); }
static void *volume_new(struct machine *m) { return machine_volume_add(m); }
static void *array_new(struct machine *m) { return machine_array_add(m); }
static void *crypt_new(struct machine *m) { return machine_crypt_add(m); }
static void *image_new(struct machine *m) { return machine_image_add(m); }
static void *snapshot_new(struct machine *m) { return machine_snapshot_add(m); }
static void *state_new(struct machine *m) { return machine_state_add(m); }

const struct list json_lists[] = {
#define LIST(key, field, noun) \
	{ key, json_##noun##_members, offsetof(struct machine, field), offsetof(struct machine, field##_n), \
	  sizeof(struct machine_##noun), noun##_new }
	LIST("disks", disks, disk),
	LIST("nics", nics, nic),
	LIST("serial-ports", serials, serial),
	LIST("partitions", partitions, partition),
	LIST("logical-volumes", volumes, volume),
	LIST("arrays", arrays, array),
	LIST("encrypted", crypts, crypt),
	LIST("images", images, image),
	LIST("snapshots", snapshots, snapshot),
	LIST("snapshot-disks", states, state),
};
