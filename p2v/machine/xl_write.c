/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An xl.cfg(5) of a fully virtual machine.  Emulated disks are there beside Xen's own: a guest with Xen's drivers unplugs them. */
#include "common/fail.h"
#include "fit.h"
#include "formats.h"
#include "settings.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define WHAT "Xen"

struct xl {
	struct text t;
	const struct machine *m;
	const struct describe_write *how;
	struct machine_lost_list *lost;
	struct fitted f;
};

static const struct fit_rules rules_plain = {
	.what = WHAT,
	.bus = {
		[MACHINE_BUS_IDE] = { 1, 4, -1 },
		[MACHINE_BUS_SATA] = { 1, 6, -1 },
		[MACHINE_BUS_SCSI] = { 1, 7, -1 },
		[MACHINE_BUS_XEN] = { 1, 256, -1 },
	},
	.disk = MACHINE_BUS_XEN,
	.cdrom = MACHINE_BUS_IDE,
	.spill = MACHINE_BUS_XEN,
	.scsi_models = FIT_SCSI(LSI),
	.scsi = MACHINE_SCSI_LSI,
	.nic_models = FIT_NIC(NE2000) | FIT_NIC(PCNET) | FIT_NIC(RTL8139) | FIT_NIC(E1000) | FIT_NIC(VIRTIO) | FIT_NIC(XEN),
	.nic = MACHINE_NIC_XEN,
};

/* Other characters that xl knows escapes for stand in no text of a machine; those by numbers it gets wrong. */
static void string_put(struct xl *x, const char *text)
{
	text_add(&x->t, "\"");
	for (; *text; text++)
		if (*text == '"' || *text == '\\')
			text_add(&x->t, "\\%c", *text);
		else
			text_add(&x->t, "%c", *text);
	text_add(&x->t, "\"");
}

static void put(struct xl *x, const char *key, const char *text)
{
	if (!text)
		return;
	text_add(&x->t, "%s = ", key);
	string_put(x, text);
	text_add(&x->t, "\n");
}

/* All IDE disks are SATA's with hdtype=ahci, or none is. */
static void rules_choose(const struct machine *m, const struct describe_write *how, struct fit_rules *r, bool *ahci)
{
	bool sata = how->disk_bus == MACHINE_BUS_SATA, ide = how->disk_bus == MACHINE_BUS_IDE;

	for (size_t i = 0; i < m->disks_n; i++) {
		sata |= !how->disk_bus && m->disks[i].bus == MACHINE_BUS_SATA;
		ide |= (!how->disk_bus || m->disks[i].medium == MACHINE_CDROM) && m->disks[i].bus == MACHINE_BUS_IDE;
	}
	*r = rules_plain;
	*ahci = sata && !ide;
	r->bus[*ahci ? MACHINE_BUS_IDE : MACHINE_BUS_SATA].controllers = 0;
	if (*ahci)
		r->cdrom = MACHINE_BUS_SATA;
}

static void vdev_name(const struct machine_disk *d, char out[16])
{
	const char *prefix = d->bus == MACHINE_BUS_XEN ? "xvd" : d->bus == MACHINE_BUS_SCSI ? "sd" : "hd";
	unsigned n = (unsigned)d->unit;

	if (n < 26)
		snprintf(out, 16, "%s%c", prefix, 'a' + n);
	else
		snprintf(out, 16, "%s%c%c", prefix, 'a' + n / 26 - 1, 'a' + n % 26);
}

/* One that is no word would say more of the disk than its format; xl refuses to start with a word that it does not know. */
static bool is_word(const char *format)
{
	for (; *format; format++)
		if (!isalnum((unsigned char)*format) && !strchr("-._", *format))
			return false;
	return true;
}

static void format_tell(struct xl *x, const char *format, const char *vdev)
{
	if (!is_word(format))
		machine_lost_add(x->lost, format, "it is no format's name; xl takes raw without one", "disk %s: its format", vdev);
	else if (strcmp(format, "raw") && strcmp(format, "qcow2") && strcmp(format, "vhd"))
		machine_lost_add(x->lost, format, "Xen reads raw, qcow2 and vhd: it must be converted", "disk %s: its format",
		                 vdev);
}

static int disk_put(struct xl *x, const struct machine_disk *d, bool first, vdisk_error *err)
{
	char vdev[16], *path = fit_path(d, x->how), *spec = NULL;
	const char *format = d->format && *d->format ? d->format : "raw";
	int n;

	if (d->path && !path)
		return fail_nomem(err);
	vdev_name(d, vdev);
	if (path && *path && path[strlen(path) - 1] == ',')
		machine_lost_add(x->lost, path, "xl takes a comma at its end off: it must be renamed", "disk %s: its path", vdev);
	format_tell(x, format, vdev);
	if (d->medium == MACHINE_CDROM)
		n = asprintf(&spec, "devtype=cdrom,vdev=%s,access=ro,%starget=%s", vdev, path ? "format=raw," : "",
		             path ? path : "");
	else
		n = asprintf(&spec, "vdev=%s,access=%s,%s%s%starget=%s", vdev, d->read_only ? "ro" : "rw",
		             is_word(format) ? "format=" : "", is_word(format) ? format : "", is_word(format) ? "," : "",
		             path ? path : "");
	free(path);
	if (n < 0)
		return fail_nomem(err);
	if (!d->path && d->medium == MACHINE_DISK)
		machine_lost_add(x->lost, NULL, "it is not known; xl will not start without", "disk %s: its file", vdev);
	text_add(&x->t, "%s  ", first ? "\n" : ",\n");
	string_put(x, spec);
	free(spec);
	return 0;
}

static int disks_put(struct xl *x, vdisk_error *err)
{
	text_add(&x->t, "disk = [");
	for (size_t i = 0; i < x->f.disks_n; i++)
		if (disk_put(x, &x->f.disks[i], !i, err))
			return -1;
	text_add(&x->t, "%s]\n", x->f.disks_n ? "\n" : " ");
	return 0;
}

static void nic_put(struct xl *x, const struct machine_nic *n, size_t at)
{
	static const char *const models[] = { [MACHINE_NIC_NE2000] = "ne2k_pci", [MACHINE_NIC_PCNET] = "pcnet",
		[MACHINE_NIC_RTL8139] = "rtl8139", [MACHINE_NIC_E1000] = "e1000", [MACHINE_NIC_VIRTIO] = "virtio-net" };
	const char *bridge = n->net == MACHINE_NET_BRIDGE ? n->network : NULL;
	char spec[MACHINE_TEXT_MAX + 256];
	size_t len = 0;

	if (!bridge && (n->network || (n->net && n->net != MACHINE_NET_BRIDGE)))
		machine_lost_add(x->lost, n->network ? n->network : machine_net_name(n->net),
		                 "Xen has bridges alone; the host's default one is taken", "NIC %zu: its network", at + 1);
	if (bridge && strchr(bridge, ',')) {
		machine_lost_add(x->lost, bridge, "xl takes a comma for its end; the host's default one is taken",
		                 "NIC %zu: its network", at + 1);
		bridge = NULL;
	}
	if (n->mac)
		len += (size_t)snprintf(spec + len, sizeof(spec) - len, ",mac=%s", n->mac);
	if (bridge)
		len += (size_t)snprintf(spec + len, sizeof(spec) - len, ",bridge=%s", bridge);
	if (n->model == MACHINE_NIC_XEN)
		len += (size_t)snprintf(spec + len, sizeof(spec) - len, ",type=vif");
	else
		len += (size_t)snprintf(spec + len, sizeof(spec) - len, ",type=ioemu,model=%s", models[n->model]);
	text_add(&x->t, "%s  ", at ? ",\n" : "\n");
	string_put(x, len ? spec + 1 : "");
}

static void serials_put(struct xl *x)
{
	static const char *const prefixes[] = { "pty", "file:", "pipe:", "tcp:", "", "null" };

	if (!x->m->serials_n)
		return;
	text_add(&x->t, "serial = [");
	for (size_t i = 0; i < x->m->serials_n && i < 4; i++) {
		const struct machine_serial *s = &x->m->serials[i];
		char spec[MACHINE_TEXT_MAX + 32];

		snprintf(spec, sizeof(spec), "%s%s", prefixes[s->kind],
		         s->kind == MACHINE_SERIAL_PTY || s->kind == MACHINE_SERIAL_NONE || !s->path ? "" : s->path);
		text_add(&x->t, "%s", i ? ", " : " ");
		string_put(x, *spec ? spec : "null");
	}
	text_add(&x->t, " ]\n");
	for (size_t i = 4; i < x->m->serials_n; i++)
		machine_lost_add(x->lost, x->m->serials[i].path, "four are the most", "serial port %zu", i + 1);
}

/* "c" is the first disk: those that boot come first, the others stay in their order. */
static void disks_sort(struct fitted *f)
{
	for (size_t i = 1; i < f->disks_n; i++) {
		struct machine_disk d = f->disks[i];
		size_t at = i;

		while (d.boot && at && (!f->disks[at - 1].boot || f->disks[at - 1].boot > d.boot)) {
			f->disks[at] = f->disks[at - 1];
			at--;
		}
		f->disks[at] = d;
	}
}

/* Letters for kinds of devices: the first of each. */
static void boot_put(struct xl *x)
{
	struct fit_boot list[32];
	size_t n = fit_boot_list(&x->f, list, 32);
	char order[8] = "";

	for (size_t i = 0; i < n; i++) {
		char c = list[i].nic ? 'n' : x->f.disks[list[i].at].medium == MACHINE_DISK ? 'c' : 'd';

		if (strchr(order, c))
			machine_lost_add(x->lost, NULL, "Xen orders kinds of devices, of which the first one counts",
			                 "boot order: number %u", list[i].order);
		else
			order[strlen(order)] = c;
	}
	if (*order)
		put(x, "boot", order);
}

static void machine_put(struct xl *x, bool ahci)
{
	static const char *const vga[] = { NULL, "none", "stdvga", "cirrus", "stdvga", "qxl", "stdvga" };
	const struct machine *m = x->m;
	uint64_t megabytes = (m->memory + (1 << 20) - 1) >> 20;

	put(x, "name", m->name);
	put(x, "uuid", m->uuid);
	put(x, "type", "hvm");
	if (megabytes << 20 != m->memory)
		machine_lost_add(x->lost, NULL, "Xen has whole MiB", "memory: %llu bytes become %llu MiB",
		                 (unsigned long long)m->memory, (unsigned long long)megabytes);
	text_add(&x->t, "memory = %llu\nvcpus = %u\n", (unsigned long long)megabytes, m->cpus);
	if (m->firmware == MACHINE_FIRMWARE_UEFI)
		put(x, "bios", "ovmf");
	if (ahci)
		put(x, "hdtype", "ahci");
	if (m->chipset == MACHINE_CHIPSET_Q35)
		machine_lost_add(x->lost, "q35", WHAT " has none", "chipset");
	put(x, "vga", vga[m->video]);
	if (m->video == MACHINE_VIDEO_VMWARE || m->video == MACHINE_VIDEO_VIRTIO)
		machine_lost_add(x->lost, machine_video_name(m->video), "it becomes stdvga", "graphics");
	if (m->video_memory)
		text_add(&x->t, "videoram = %llu\n", (unsigned long long)(m->video_memory >> 20));
	if (m->video != MACHINE_VIDEO_NONE)
		text_add(&x->t, "vnc = 1\nusb = 1\nusbdevice = [ \"tablet\" ]\n");
	if (m->os && strcasestr(m->os, "win"))
		text_add(&x->t, "viridian = 1\nlocaltime = 1\n");
}

char *xl_write(const struct machine *m, const struct describe_write *how, size_t *len, struct machine_lost_list *lost,
               vdisk_error *err)
{
	struct xl x = { .m = m, .how = how, .lost = lost };
	struct fit_rules rules;
	bool ahci;
	char *text;
	int rc;

	rules_choose(m, how, &rules, &ahci);
	if (fit(&x.f, m, &rules, how, lost, err))
		return NULL;
	if (text_begin(&x.t)) {
		fit_free(&x.f);
		fail_nomem(err);
		return NULL;
	}
	disks_sort(&x.f);
	machine_put(&x, ahci);
	rc = disks_put(&x, err);
	text_add(&x.t, "vif = [");
	for (size_t i = 0; i < x.f.nics_n; i++)
		nic_put(&x, &x.f.nics[i], i);
	text_add(&x.t, "%s]\n", x.f.nics_n ? "\n" : " ");
	serials_put(&x);
	boot_put(&x);
	fit_lost(m,
	         FIT_NO_DESCRIPTION | FIT_NO_OS | FIT_NO_ARCH | FIT_NO_TPM | FIT_NO_SECURE_BOOT | FIT_NO_TOPOLOGY | FIT_NO_THREADS |
	                 FIT_NO_DISK_SERIAL | FIT_NO_VLAN | FIT_NO_MTU | FIT_NO_SECTOR | FIT_NO_LINK,
	         WHAT, lost);
	fit_free(&x.f);
	text = text_end(&x.t, len);
	if (rc) {
		free(text);
		return NULL;
	}
	if (!text)
		fail_nomem(err);
	return text;
}
