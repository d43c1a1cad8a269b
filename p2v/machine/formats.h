/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Readers and writers of each kind, for describe.c.  A reader fills a new machine; what it could not add is left to
   machine_judge(). */
#ifndef MACHINE_FORMATS_H
#define MACHINE_FORMATS_H

#include "describe.h"

#define READER(name) int name(struct machine *m, const void *bytes, size_t len, const struct describe_read *how, vdisk_error *err)
#define WRITER(name) \
	char *name(const struct machine *m, const struct describe_write *how, size_t *len, struct machine_lost_list *lost, \
	           vdisk_error *err)

READER(libvirt_read);
READER(vmx_read);
READER(ovf_read);
READER(vbox_read);
READER(xl_read);
READER(hyperv_read);
READER(vmc_read);
READER(xva_read);
READER(proxmox_read);
WRITER(libvirt_write);
WRITER(vmx_write);
WRITER(ovf_write);
WRITER(vbox_write);
WRITER(xl_write);
WRITER(hyperv_write);

/* Which of the kinds that are lines of text this is: VMX, Proxmox, xl. */
enum describe_kind lines_probe(const void *bytes, size_t len);

#endif
