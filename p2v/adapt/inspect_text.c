/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The answer for people: what is on the disks, then each system.  Of drivers it shows those that a hypervisor wants; JSON has them
   all. */
#include "inspect_show.h"
#include "lines.h"
#include "target.h"
#include "windows.h"

#include <stdio.h>
#include <string.h>

static struct bytes scratch[8]; /* texts of one line, by turns; the program has one thread */
static unsigned turn;

static const char *c(const char *text) { return show_clean(&scratch[turn++ % 8], text); }

/* 12 MiB, 1.2 GiB. */
static const char *size(uint64_t n)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	struct bytes *b = &scratch[turn++ % 8];
	double v = (double)n;
	unsigned u = 0;

	for (; v >= 1024 && u < 6; u++)
		v /= 1024;
	bytes_clear(b);
	bytes_format(b, v < 10 && u ? "%.1f %s" : "%.0f %s", v, units[u]);
	return b->at ? b->at : "";
}

static void field(const char *name, const char *text)
{
	if (text && *text)
		printf("  %-10s %s\n", name, c(text));
}

static void remarks(const struct bytes *b)
{
	struct lines t = lines_of(b);
	const char *line;
	size_t len;

	while (lines_entry(&t, &line, &len)) {
		struct bytes one = { 0 };

		bytes_add(&one, line, len);
		if (one.at)
			printf("  note: %s\n", c(one.at));
		bytes_destroy(&one);
	}
}

static void disk_print(const struct inspection *in, unsigned number)
{
	const struct disk *d = &in->disks[number];

	printf("%s: %s, %s, %s%s%s\n", c(d->image), vdisk_format_name(d->source.img), size(d->source.len),
	       show_table(d->table.kind, true), d->boot_code && *d->boot_code ? ", boot code: " : "",
	       d->boot_code && *d->boot_code ? d->boot_code : "");
	for (size_t i = 0; i < in->pieces_n; i++) {
		const struct piece *p = &in->pieces[i];

		if (p->fs.disk != number)
			continue;
		printf("  %-16s %8s  %-12s %s%s%s\n", c(p->fs.where), size(p->fs.size),
		       p->fs.type && *p->fs.type ? c(p->fs.type) : "-", p->fs.uuid && *p->fs.uuid ? c(p->fs.uuid) : "",
		       p->fs.label && *p->fs.label ? "  " : "", p->fs.label ? c(p->fs.label) : "");
		if (p->closed)
			printf("  %-16s note: %s\n", "", c(p->closed));
		else if (p->doubt)
			printf("  %-16s note: %s\n", "", c(p->doubt));
	}
}

/* ---------------------------------------------------------------- drivers */

static bool is_wanted(const char *name, size_t len)
{
	for (size_t i = 0; i < TARGET_N; i++) {
		const char *const *const lists[] = { target_infos[i].storage, target_infos[i].network };

		for (size_t k = 0; k < 2; k++)
			for (const char *const *p = lists[k]; *p; p++)
				if (chars_are(name, len, *p))
					return true;
	}
	return false;
}

static void drivers_print(const char *what, const char *list)
{
	const char *at = list, *end = list + strlen(list), *word;
	unsigned others = 0, n = 0;
	size_t len;

	printf("    %-9s", what);
	while (lines_word(&at, end, &word, &len)) {
		if (!is_wanted(word, len)) {
			others++;
			continue;
		}
		printf(" %.*s", (int)len, word);
		n++;
	}
	if (others)
		printf("%s %u other%s", n ? " and" : "", others, others > 1 ? "s" : "");
	puts(n || others ? "" : " none");
}

static void kernels_print(const struct facts *f)
{
	for (size_t i = f->kernels_n; i-- > 0;) {
		const struct fact_kernel *k = &f->kernels[i];

		printf("  kernel     %s%s%s%s\n", c(k->release), k->is_default ? " (default)" : "",
		       *k->path ? "" : " (no kernel file)", k->installed ? "" : " (no modules)");
		printf("    initramfs %s\n", *k->initrd ? c(k->initrd) : "none");
		if (*k->initrd || *k->storage || *k->network) {
			drivers_print("storage", k->storage);
			drivers_print("network", k->network);
		}
	}
}

/* ---------------------------------------------------------------- Linux */

static void boot_print(const struct facts *f)
{
	printf("  boots by   %s%s%s%s", f->bios ? "BIOS" : "", f->bios && f->uefi ? " and " : "", f->uefi ? "UEFI" : "",
	       f->bios || f->uefi ? "" : "-");
	if (f->uefi && !f->uefi_fallback)
		printf(" (no fallback loader)");
	for (unsigned i = 0, n = 0; show_loader(i, true); i++)
		if (f->loaders >> i & 1)
			printf("%s%s", n++ ? ", " : ": ", show_loader(i, true));
	printf("%s%s\n", *f->loader_config ? ", " : "", c(f->loader_config));
}

static void mounts_print(const struct facts *f)
{
	for (size_t i = 0; i < f->fs_n; i++) {
		const struct fact_fs *s = &f->fs[i];

		if (!*s->mount && !*s->fstab)
			continue;
		printf("  mounts     %-12s %s", *s->mount ? c(s->mount) : "swap", c(s->where));
		if (*s->subvolume)
			printf(", subvolume %s", c(s->subvolume));
		printf(*s->fstab ? " (as %s)\n" : "\n", c(s->fstab));
	}
}

static void network_print(const struct facts *f)
{
	for (size_t i = 0; i < f->nics_n; i++) {
		const struct fact_nic *n = &f->nics[i];

		printf("  network    %s: %s%s%s (%s)\n", c(n->name), *n->addresses ? c(n->addresses) : "no address",
		       *n->mac ? ", tied to " : "", c(n->mac), c(n->source));
	}
	for (size_t i = 0; i < f->agents_n; i++)
		printf("  agent      %s (%s)\n", c(f->agents[i].name), c(f->agents[i].of));
}

static void linux_print(const struct facts *f)
{
	boot_print(f);
	mounts_print(f);
	field("init", f->init);
	field("packages", f->package_format);
	field("initramfs", show_initrd_tool(f->initrd_tool));
	if (f->selinux)
		field("SELinux", "on");
	kernels_print(f);
	network_print(f);
}

/* ---------------------------------------------------------------- Windows */

static void windows_print(const struct facts *f)
{
	static const char *const roles[] = { "storage", "network", "agent" };
	static const char *const starts[] = { "boot", "system", "automatic", "on demand", "disabled" };
	const struct windows_facts *w = f->windows;

	boot_print(f);
	field("edition", w->edition);
	field("folder", w->folder);
	printf("  registry   control set %u of %zu\n", w->set_current, w->sets_n);
	for (size_t i = 0; i < w->services_n; i++) {
		const struct windows_service *s = &w->services[i];

		if (s->set == w->set_current)
			printf("  %-10s %s (%s)%s%s\n", (size_t)s->role < 3 ? roles[s->role] : "driver", c(s->name),
			       s->start < 5 ? starts[s->start] : "no start", *s->of ? ", " : "", c(s->of));
	}
	for (size_t i = 0; i < w->nics_n; i++)
		if (w->nics[i].present)
			printf("  network    %s: %s%s%s\n", c(w->nics[i].name),
			       *w->nics[i].addresses ? c(w->nics[i].addresses) : "no address", *w->nics[i].mac ? ", " : "",
			       c(w->nics[i].mac));
	if (w->bitlocker)
		puts("  BitLocker  on");
	field("BitLocker", w->encrypted);
	field("dynamic", w->dynamic);
	if (w->fast_startup)
		puts("  Fast Startup is on: a shutdown leaves the file systems unfinished");
	if (w->hibernated)
		puts("  hibernated: what is in memory is on the disk, and not in the file systems");
}

static void system_print(const struct inspection *in, const struct system *s)
{
	const struct facts *f = &s->facts;
	const struct fact_fs *root = &in->pieces[s->piece].fs;

	printf("\n%s%s%s%s%s\n",
	       *f->product ? c(f->product)
	       : *f->os    ? c(f->os)
			   : "unknown system",
	       *f->arch ? ", " : "", c(f->arch), *f->hostname ? ", host " : "", c(f->hostname));
	printf("  root       %s%s%s%s\n", c(root->where), s->below[1] ? ", below " : "", s->below[1] ? c(s->below) : "",
	       in->disks_n > 1 && root->disk ? ", of another disk than the first" : "");
	if (f->kind == GUEST_WINDOWS)
		windows_print(f);
	else
		linux_print(f);
	remarks(&s->remarks);
}

int inspect_print(const struct inspection *in)
{
	for (unsigned i = 0; i < in->disks_n; i++)
		disk_print(in, i);
	remarks(&in->remarks);
	for (size_t i = 0; i < in->systems_n; i++)
		system_print(in, &in->systems[i]);
	if (!in->systems_n)
		puts("\nno system was found");
	for (unsigned i = 0; i < 8; i++)
		bytes_destroy(&scratch[i]);
	return fflush(stdout) || ferror(stdout) ? -1 : 0;
}
