/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is known of a guest: found by inspect_disk() and inspect_tree(), printed by `vdisk inspect`, and what every step goes by.
   Strings are the facts' own, never NULL ("" where unknown). */
#ifndef ADAPT_FACTS_H
#define ADAPT_FACTS_H

#include "tree.h"

enum guest_kind { GUEST_UNKNOWN, GUEST_LINUX, GUEST_WINDOWS };

/* A file system or other content of the disk: a partition, a logical volume, an array, the open side of a LUKS device. */
struct fact_fs {
	char *where;      /* our name: partitions/1, volumes/VG/LV, md/0, luks/UUID … */
	char *device;     /* as libguestfs or the guest knows it, where known: /dev/sda1, /dev/VG/LV */
	char *type;       /* blkid's: ext4, xfs, btrfs, vfat, swap, ntfs, crypto_LUKS, LVM2_member, linux_raid_member */
	char *uuid, *label, *partuuid, *partlabel;
	char *mount;      /* where the guest mounts it ("" nowhere), from its fstab */
	char *subvolume;  /* btrfs, of that mount */
	char *fstab;      /* how the guest's fstab names it: its first field, as it stands */
	uint64_t size;    /* bytes */
	unsigned disk;    /* which of the disks, from 0 */
};

enum initrd_tool { INITRD_UNKNOWN, INITRD_INITRAMFS_TOOLS, INITRD_DRACUT, INITRD_MKINITCPIO, INITRD_MKINITFS, INITRD_MKINITRD };

struct fact_kernel {
	char *release;    /* 6.1.0-18-amd64 */
	char *path;       /* /boot/vmlinuz-…, "" where none was found */
	char *initrd;     /* "" where none */
	char *modules;    /* /lib/modules/RELEASE or /usr/lib/modules/RELEASE */
	bool is_default;  /* what the boot loader starts by itself */
	bool installed;   /* it has its modules */
	char *storage;    /* storage drivers in the initramfs or built in, blanks between, canonical names */
	char *network;
};

enum loader_kind {
	LOADER_GRUB2 = 1,
	LOADER_GRUB_LEGACY = 2,
	LOADER_BLS = 4,
	LOADER_SYSTEMD_BOOT = 8,
	LOADER_EXTLINUX = 16,
	LOADER_UKI = 32,
	LOADER_WINDOWS = 64,
	LOADER_LILO = 128
};

struct fact_nic {
	char *name;       /* as its configuration calls it */
	char *mac;        /* what ties it, lower case; "" nothing does */
	char *driver;
	char *addresses;  /* "192.0.2.5/24 2001:db8::5/64" or "dhcp" */
	char *source;     /* the file that says so */
};

struct fact_agent {
	char *name;       /* open-vm-tools */
	char *of;         /* vmware, xen, hyperv, virtualbox, kvm */
	char *source;     /* the package or file that shows it */
};

struct facts {
	enum guest_kind kind;
	char *os;         /* debian, ubuntu, rhel, centos, fedora, opensuse-leap, sles, arch, alpine, windows … (os-release's ID) */
	char *like;       /* ID_LIKE */
	char *product;    /* PRETTY_NAME, or Windows' ProductName */
	char *version;    /* 12, 9.3, 10.0.17763 */
	char *arch;       /* x86_64, i686, aarch64 … */
	char *hostname;
	bool bios, uefi;  /* boot code for it was found */
	bool uefi_fallback; /* EFI/BOOT/BOOTX64.EFI is there */
	unsigned loaders; /* sum of enum loader_kind */
	char *loader_config; /* the file that is read at boot: /boot/grub/grub.cfg */
	char *esp;        /* where the guest mounts its EFI system partition */
	char *init;       /* systemd, openrc, sysvinit, upstart */
	char *package_format; /* deb, rpm, apk, pacman */
	bool selinux;     /* enforcing or permissive */
	enum initrd_tool initrd_tool;
	struct fact_fs *fs; size_t fs_n;
	struct fact_kernel *kernels; size_t kernels_n;
	struct fact_nic *nics; size_t nics_n;
	struct fact_agent *agents; size_t agents_n;
	void *windows;    /* struct windows_facts (windows.h), for those */
};

void facts_destroy(struct facts *f);
/* Fills what the tree shows: everything but fs[].{type,uuid,…}, which the disk shows and the caller fills in before (malloc'ed;
   what is NULL becomes
   ""), and which is matched with fstab here.  A file system that is mounted at several places (btrfs, by its subvolumes) gets an
   entry for each. What the initramfs of a kernel holds is another matter: initrd_facts().  0, or -1 with *err, and facts_destroy()
   is due in either case.  A tree in which no system is found is GUEST_UNKNOWN, and no error. */
int facts_read(struct facts *f, struct tree *t, vdisk_error *err);
/* The file system that a name of fstab, crypttab or a kernel's command line means (UUID=…, LABEL=…, PARTUUID=…, /dev/sda1,
   /dev/disk/by-…, /dev/mapper/…, /dev/VG/LV), or NULL. */
const struct fact_fs *facts_device(const struct facts *f, const char *name);

#endif
