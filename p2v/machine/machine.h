/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a machine is made of, physical or virtual: the model between all descriptions that are read and written.
 *
 * A machine owns everything in it: texts are its own copies (machine_text() and its kin), lists grow by machine_*_add(),
 * machine_free() frees all.  NULL, 0 and *_UNKNOWN mean that it is not known.  What goes wrong in building one (memory, a limit, a
 * text that cannot be one) is kept in `failed` and asked for once, by machine_judge().  Machines have no locks: one thread at a
 * time each.
 *
 * Paths of disks are what the description says, letter by letter.  machine_path_flags() tells which of them lead elsewhere; whoever
 * opens them judges.
 */
#ifndef MACHINE_H
#define MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <vdisk/vdisk.h>

#define MACHINE_TEXT_MAX   4096  /* bytes of one text */
#define MACHINE_LIST_MAX   1024  /* entries of one list */
#define MACHINE_CPUS_MAX   65536
#define MACHINE_MEMORY_MAX ((uint64_t)1 << 56) /* bytes */

enum machine_firmware { MACHINE_FIRMWARE_UNKNOWN, MACHINE_FIRMWARE_BIOS, MACHINE_FIRMWARE_UEFI };
enum machine_chipset { MACHINE_CHIPSET_UNKNOWN, MACHINE_CHIPSET_PC, MACHINE_CHIPSET_Q35 }; /* i440FX and its like; ICH9 and its
                                                                                              like */
enum machine_tpm { MACHINE_TPM_NONE, MACHINE_TPM_1_2, MACHINE_TPM_2_0 };
enum machine_video { MACHINE_VIDEO_UNKNOWN, MACHINE_VIDEO_NONE, MACHINE_VIDEO_VGA, MACHINE_VIDEO_CIRRUS, MACHINE_VIDEO_VMWARE,
	MACHINE_VIDEO_QXL, MACHINE_VIDEO_VIRTIO };
enum machine_medium { MACHINE_DISK, MACHINE_CDROM, MACHINE_FLOPPY };
enum machine_bus { MACHINE_BUS_UNKNOWN, MACHINE_BUS_IDE, MACHINE_BUS_SATA, MACHINE_BUS_SCSI, MACHINE_BUS_VIRTIO, MACHINE_BUS_NVME,
	MACHINE_BUS_USB, MACHINE_BUS_FLOPPY, MACHINE_BUS_XEN };
/* Which adapter a disk on SCSI hangs on. */
enum machine_scsi { MACHINE_SCSI_UNKNOWN, MACHINE_SCSI_BUSLOGIC, MACHINE_SCSI_LSI, MACHINE_SCSI_LSI_SAS, MACHINE_SCSI_PVSCSI,
	MACHINE_SCSI_VIRTIO, MACHINE_SCSI_MEGASAS, MACHINE_SCSI_HYPERV };
enum machine_nic_model { MACHINE_NIC_UNKNOWN, MACHINE_NIC_NE2000, MACHINE_NIC_PCNET, MACHINE_NIC_RTL8139, MACHINE_NIC_TULIP,
	MACHINE_NIC_E1000, MACHINE_NIC_E1000E, MACHINE_NIC_VMXNET, MACHINE_NIC_VMXNET3, MACHINE_NIC_VIRTIO, MACHINE_NIC_HYPERV,
	MACHINE_NIC_XEN };
/* What a NIC is connected to; `network` names it where it has a name. */
enum machine_net { MACHINE_NET_UNKNOWN, MACHINE_NET_BRIDGE, MACHINE_NET_NETWORK, MACHINE_NET_NAT, MACHINE_NET_HOST_ONLY,
	MACHINE_NET_INTERNAL, MACHINE_NET_NONE };
enum machine_serial_kind { MACHINE_SERIAL_PTY, MACHINE_SERIAL_FILE, MACHINE_SERIAL_PIPE, MACHINE_SERIAL_TCP, MACHINE_SERIAL_DEVICE,
	MACHINE_SERIAL_NONE };

struct machine_disk {
	const char *name;      /* what the description calls it; captured: sda, nvme0n1 */
	enum machine_medium medium;
	enum machine_bus bus;
	enum machine_scsi scsi; /* where bus is SCSI */
	unsigned controller;    /* of its bus, from 0 */
	int unit;               /* at its controller: IDE 0 to 3 (0 primary master, 3 secondary slave), SATA's port, SCSI's target;
	                           -1: unknown */
	unsigned boot;          /* its place in the boot order, from 1, counted together with NICs; 0: none */
	const char *path;       /* of the image, as the description says it; NULL: an empty drive, or unknown */
	unsigned path_flags;    /* MACHINE_PATH_*, by machine_disk_path() */
	const char *ref;        /* what an archive or envelope calls it: OVF's diskId, XVA's Ref:12, VMA's drive-scsi0 */
	const char *format;     /* as vdisk calls it: raw, qcow2, vmdk, vhd, vhdx, vdi */
	uint64_t size;          /* bytes of the disk */
	uint64_t file_size;     /* bytes of the file as the description has it (OVF) */
	uint64_t chunk_size;    /* OVF: the file lies in pieces of so many bytes, NAME.000000000 and on; 0: in one */
	const char *compression; /* OVF: gzip, bzip2, …; NULL: none */
	unsigned logical_sector, physical_sector; /* bytes */
	const char *serial, *wwn, *model; /* what the disk says of itself */
	const char *image_uuid; /* which VirtualBox knows the image by, as machine_uuid() has it */
	bool read_only, removable, rotational, host; /* host: a device of the host's, not a file */
};

struct machine_nic {
	const char *name;       /* captured: the host's name for it, eth0 */
	const char *mac;        /* aa:bb:cc:dd:ee:ff, by machine_mac(); NULL: whoever makes the machine chooses */
	enum machine_nic_model model;
	enum machine_net net;
	const char *network;    /* name of the bridge or network */
	const char *driver;     /* captured: the kernel's driver */
	const char **addresses; /* with prefix: 192.0.2.7/24, 2001:db8::7/64 */
	size_t addresses_n;
	const char **gateways;
	size_t gateways_n;
	const char **dns;
	size_t dns_n;
	unsigned boot;          /* as a disk's */
	unsigned vlan;          /* 0: none */
	unsigned mtu;
	bool dhcp, disconnected;
};

struct machine_serial {
	enum machine_serial_kind kind;
	const char *path; /* of the file, pipe or device; HOST:PORT of tcp */
};

/* Images that a description keeps account of, whether or not the machine has them now. */
struct machine_image {
	const char *uuid;        /* as machine_uuid() has it; NULL: not said */
	const char *path;        /* as the description says it */
	unsigned path_flags;
	const char *format;      /* as vdisk calls it; NULL: not said */
	int parent;              /* the image that it lies over, a place in the list; -1: none, or only the image says */
};

/* A state of the machine that was kept. */
struct machine_snapshot {
	const char *id;          /* as machine_uuid() has it */
	const char *name, *description;
	int parent;              /* the one that it goes on from, a place in the list; -1: none, or (parents_by_images) not said */
	uint64_t date;           /* seconds since 1970, UTC; 0: not known */
	const char *memory;      /* the file that holds the running machine's memory; NULL: it was off */
	bool current;            /* the machine goes on from this one */
};

/* Which image held which disk's state in which snapshot. */
struct machine_state {
	int snapshot, image;     /* places in the lists */
	const char *disk;        /* the disk's name, as machine_disk has it */
};

/* What was found on the disks of a captured machine; it informs and is not carried into other descriptions. */
struct machine_partition {
	const char *disk, *name; /* sda, sda1 */
	unsigned number;
	uint64_t start, size;    /* bytes */
	const char *type;        /* GPT's type GUID, or MBR's type as 0x83 */
	const char *fs, *uuid, *label, *mount;
};

struct machine_volume { /* of LVM */
	const char *group, *name;
	uint64_t size;
	const char *on;          /* its physical volumes, blanks between */
	const char *fs, *uuid, *label, *mount;
};

struct machine_array { /* of MD */
	const char *name, *level, *uuid;
	const char *members;     /* blanks between */
	const char *state;
	uint64_t size;
};

struct machine_crypt { /* LUKS */
	const char *device, *name, *uuid; /* name: of the open mapping, NULL: not open */
	unsigned version;
};

struct machine_host { /* of a captured machine, what it says of itself */
	const char *hostname, *vendor, *product, *serial, *board, *bios, *cpu, *os, *kernel;
	const char *captured; /* when, ISO 8601 in UTC */
};

/* What could not be carried over: where it stood, what it was, why. */
struct machine_lost {
	char *where, *value, *why;
};

struct machine_lost_list { /* {0} is empty */
	struct machine_lost *at;
	size_t n;
	bool more; /* there was more than the list holds, or memory for */
};

struct machine {
	const char *name, *uuid, *description; /* uuid: small letters with hyphens, by machine_uuid() */
	const char *os;          /* what it runs, in the words of the description that was read */
	const char *arch;        /* as uname -m says it: x86_64, i686, aarch64 */
	enum machine_firmware firmware;
	bool secure_boot;
	enum machine_chipset chipset;
	unsigned cpus;           /* all of them; sockets * cores * threads where those are known */
	unsigned sockets, cores, threads; /* cores of a socket, threads of a core */
	uint64_t memory;         /* bytes */
	enum machine_tpm tpm;
	enum machine_video video;
	uint64_t video_memory;   /* bytes */
	struct machine_disk *disks;
	size_t disks_n;
	struct machine_nic *nics;
	size_t nics_n;
	struct machine_serial *serials;
	size_t serials_n;
	struct machine_partition *partitions;
	size_t partitions_n;
	struct machine_volume *volumes;
	size_t volumes_n;
	struct machine_array *arrays;
	size_t arrays_n;
	struct machine_crypt *crypts;
	size_t crypts_n;
	struct machine_image *images;
	size_t images_n;
	struct machine_snapshot *snapshots; /* parents before their children, where parents are said */
	size_t snapshots_n;
	struct machine_state *states;
	size_t states_n;
	uint64_t created;        /* seconds since 1970, UTC, where the description says it; 0: not known */
	bool parents_by_images;  /* which snapshot goes on from which is told by the images alone */
	struct machine_host host;
	struct machine_lost_list lost; /* in reading */
	unsigned systems;        /* machines that the description holds (OVF, several); this is one of them */
	vdisk_error failed;      /* kind 0: nothing went wrong so far */
	struct machine_arena *arena; /* texts and lists of texts */
};

/* NULL: out of memory. */
struct machine *machine_new(void);
void machine_free(struct machine *m); /* NULL is fine */
/* 0: nothing went wrong in building it, and what it says holds together (numbers within the limits, no disk's name twice, no two
   disks at one place); else -1. */
int machine_judge(const struct machine *m, vdisk_error *err);

/* A copy of the text that the machine owns.  NULL for NULL or "", and where it fails: too long, no UTF-8, control characters. */
const char *machine_text(struct machine *m, const char *text);
const char *machine_text_n(struct machine *m, const char *text, size_t len);
/* For texts that only inform (from DMI, a description): what is no text becomes '?', what is too long is cut, lines are kept,
   blanks at both ends are not.  Fails for lack of memory alone. */
const char *machine_text_clean(struct machine *m, const char *text);
const char *machine_text_format(struct machine *m, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* In their one form; NULL where the text is none (which is no failure: the caller says what it was). */
const char *machine_mac(struct machine *m, const char *text);
const char *machine_uuid(struct machine *m, const char *text);

/* Each returns a new entry, all zeros (a disk's unit -1), or NULL where it fails.  It stays where it is until the next one is added
   to the same list. */
struct machine_disk *machine_disk_add(struct machine *m);
struct machine_nic *machine_nic_add(struct machine *m);
struct machine_serial *machine_serial_add(struct machine *m);
struct machine_partition *machine_partition_add(struct machine *m);
struct machine_volume *machine_volume_add(struct machine *m);
struct machine_array *machine_array_add(struct machine *m);
struct machine_crypt *machine_crypt_add(struct machine *m);
struct machine_image *machine_image_add(struct machine *m);       /* its parent -1 */
struct machine_snapshot *machine_snapshot_add(struct machine *m); /* the same */
struct machine_state *machine_state_add(struct machine *m);
/* Copies the text to the end of a NIC's list, as machine_list_add(m, &nic->dns, &nic->dns_n, "192.0.2.1"). */
void machine_list_add(struct machine *m, const char ***list, size_t *n, const char *text);

#define MACHINE_PATH_ABSOLUTE 1u /* /x, C:\x, \\server\x */
#define MACHINE_PATH_UP       2u /* has a part ".." */
#define MACHINE_PATH_REMOTE   4u /* has a scheme (http://, nbd:, json:), or VMware's [datastore] */

unsigned machine_path_flags(const char *path);
/* Sets path and path_flags; the format by the name's end where it is not set yet. */
void machine_disk_path(struct machine *m, struct machine_disk *d, const char *path);
/* The image with this UUID (as machine_uuid() has it); where uuid is NULL, with this path: its place, or -1. */
int machine_image_find(const struct machine *m, const char *uuid, const char *path);
/* The image that the snapshot has for the disk with this name; -1: none. */
int machine_state_find(const struct machine *m, size_t snapshot, const char *disk);
/* The image that the disk is now; -1: the description keeps no account of it. */
int machine_disk_image(const struct machine *m, const struct machine_disk *d);
/* The disk with this name, or NULL. */
struct machine_disk *machine_disk_find(struct machine *m, const char *name);

/* `where` is a format; value and why may be NULL.  Beyond MACHINE_LIST_MAX entries, or memory, `more` is set. */
void machine_lost_add(struct machine_lost_list *list, const char *value, const char *why, const char *where, ...)
	__attribute__((format(printf, 4, 5)));
void machine_lost_free(struct machine_lost_list *list);

/* Names of the enums' values, as JSON and the command line have them; NULL: no such value.  *_parse: the value, or -1. */
const char *machine_firmware_name(enum machine_firmware v);
const char *machine_chipset_name(enum machine_chipset v);
const char *machine_tpm_name(enum machine_tpm v);
const char *machine_video_name(enum machine_video v);
const char *machine_medium_name(enum machine_medium v);
const char *machine_bus_name(enum machine_bus v);
const char *machine_scsi_name(enum machine_scsi v);
const char *machine_nic_model_name(enum machine_nic_model v);
const char *machine_net_name(enum machine_net v);
const char *machine_serial_kind_name(enum machine_serial_kind v);
int machine_firmware_parse(const char *text);
int machine_chipset_parse(const char *text);
int machine_tpm_parse(const char *text);
int machine_video_parse(const char *text);
int machine_medium_parse(const char *text);
int machine_bus_parse(const char *text);
int machine_scsi_parse(const char *text);
int machine_nic_model_parse(const char *text);
int machine_net_parse(const char *text);
int machine_serial_kind_parse(const char *text);

#endif
