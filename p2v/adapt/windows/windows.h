/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is known of a Windows guest: read from its registry and files by windows_facts_read(), shown by `vdisk inspect`, and what
   step_windows() goes by.  Strings are the facts' own, never NULL ("" where unknown). */
#ifndef ADAPT_WINDOWS_H
#define ADAPT_WINDOWS_H

#include "tree.h"

struct facts;

enum windows_role { WINDOWS_STORAGE, WINDOWS_NETWORK, WINDOWS_AGENT };

/* A driver or service that matters to a hypervisor; what does not is left out. */
struct windows_service {
	char *name;      /* its key below Services: storahci */
	char *display;   /* for people; may be "" */
	char *image;     /* ImagePath as it stands */
	char *group;     /* load order group: SCSI Miniport */
	char *of;        /* whose it is: vmware, xen, hyperv, virtualbox, kvm, parallels; "" for plain hardware's */
	enum windows_role role;
	unsigned set;    /* of ControlSetNNN */
	uint32_t start;  /* 0 boot, 1 system, 2 automatic, 3 on demand, 4 disabled; UINT32_MAX where the key has none */
	uint32_t start_override; /* StartOverride\0; UINT32_MAX where there is none */
	uint32_t type;   /* 1 kernel driver, 0x10 program */
};

/* A network connection of the control set that is used. */
struct windows_nic {
	char *guid;      /* {…}, as below Tcpip\Parameters\Interfaces */
	char *name;      /* as people see it: Ethernet0 */
	char *mac;       /* lower case, with colons, where the registry holds one; else "" */
	char *driver;    /* the service of its adapter */
	char *addresses; /* "192.0.2.5/24 …" or "dhcp", and IPv6 ones behind: "dhcp 2001:db8::5/64" */
	char *gateways, *dns; /* blanks between */
	uint32_t metric; /* of its first gateway; 0: automatic */
	bool present;    /* an adapter of this machine stands behind it, not a left-over */
};

struct windows_facts {
	char *folder;    /* %SystemRoot% as it is spelled in the tree: /Windows */
	char *product;   /* Windows Server 2019 Standard */
	char *edition;   /* ServerStandard */
	char *installation; /* Client, Server, Server Core */
	char *name;      /* as virtio-win's folders call it: 2k8R2 w7 2k12 w8 2k12R2 w8.1 2k16 w10 2k19 2k22 w11 2k25; "" for
	                    others */
	char *version;   /* 6.1.7601, 10.0.17763 */
	char *arch;      /* x86_64, i686, aarch64 */
	char *hostname;
	unsigned major, minor, build;
	bool server;
	unsigned *sets; size_t sets_n; /* the control sets that are there, ascending */
	unsigned set_current, set_default, set_failed, set_last_good; /* Select; 0 where it does not say */
	bool driver_database; /* the SYSTEM hive has one: Windows 8 and later; those before have a CriticalDeviceDatabase */
	bool closed;         /* SYSTEM and SOFTWARE were written to the end: nothing waits in their logs */
	bool bitlocker;      /* the system volume's protection is on, by BitLockerStatus */
	bool fast_startup;   /* HiberbootEnabled; counts from Windows 8 on where hibernation is enabled */
	bool hibernation;    /* HibernateEnabled */
	bool hiberfil;       /* hiberfil.sys is there */
	bool hibernated;     /* and holds a system that sleeps */
	bool secure_boot;    /* it was on when it last ran: unsigned drivers do not load */
	bool test_signing;   /* by the boot options that were used last */
	struct windows_service *services; size_t services_n;
	struct windows_nic *nics; size_t nics_n;
	/* What the tree does not show; the caller sets them (strings by strdup) before step_windows(), if it knows. */
	char *encrypted;     /* a partition that is BitLocker's (blkid's type) */
	char *dynamic;       /* a disk that is dynamic (MBR type 0x42, GPT's LDM types) */
	char *unclean;       /* an NTFS that was not closed cleanly (common/ntfs.h) */
};

/* 1 and *out where the tree holds a Windows, 0 where it does not, -1 with *err. */
int windows_facts_read(struct windows_facts **out, struct tree *t, vdisk_error *err);
void windows_facts_free(struct windows_facts *w);

/* The refusals of a Windows that is hibernated, encrypted, on a dynamic disk: -1 with *err.  `image` (may be NULL) goes before. */
int windows_sleeps(vdisk_error *err);
int windows_encrypted(const char *image, const char *where, vdisk_error *err);
int windows_dynamic(const char *image, const char *where, vdisk_error *err);

#endif
