/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which system it is: os-release(5), or what stood there before that was thought of; architecture, init, packages, SELinux. */
#include "facts_parts.h"
#include "lines.h"

#include <stdlib.h>
#include <string.h>

#define PROGRAM_MAX (64u << 20)

/* Systems older than os-release. */
static const struct {
	const char *path, *os, *like;
} release_files[] = {
	{ "/etc/centos-release", "centos", "rhel fedora" },
	{ "/etc/oracle-release", "ol", "rhel fedora" },
	{ "/etc/fedora-release", "fedora", "" },
	{ "/etc/redhat-release", "rhel", "fedora" },
	{ "/etc/SuSE-release", "suse", "suse" },
	{ "/etc/alpine-release", "alpine", "" },
	{ "/etc/arch-release", "arch", "" },
	{ "/etc/gentoo-release", "gentoo", "" },
	{ "/etc/slackware-version", "slackware", "" },
	{ "/etc/debian_version", "debian", "" },
};

static void setting_take(struct look *l, const struct bytes *file, const char *name, char **to)
{
	struct bytes value = { 0 };

	if (setting_find(file, name, &value))
		look_set(l, to, value.at);
	bytes_destroy(&value);
}

/* The first number in "CentOS release 6.10 (Final)". */
static void version_take(struct look *l, const char *line)
{
	const char *at = line + strcspn(line, "0123456789");
	struct bytes number = { 0 };

	bytes_add(&number, at, strspn(at, "0123456789."));
	if (number.len)
		look_set(l, &l->f->version, number.at);
	bytes_destroy(&number);
}

/* 1: known now. */
static int old_release(struct look *l, struct bytes *b)
{
	for (size_t i = 0; i < sizeof(release_files) / sizeof(*release_files); i++) {
		int rc = look_text(l, release_files[i].path, b);

		if (rc < 0)
			return -1;
		if (!rc)
			continue;
		if (b->at)
			b->at[strcspn(b->at, "\r\n")] = '\0';
		look_set(l, &l->f->os, release_files[i].os);
		look_set(l, &l->f->like, release_files[i].like);
		look_set(l, &l->f->product, b->at && *b->at ? b->at : release_files[i].os);
		version_take(l, b->at ? b->at : "");
		return 1;
	}
	return 0;
}

static int release_read(struct look *l, struct bytes *b)
{
	int rc = look_text(l, "/etc/os-release", b);

	if (!rc)
		rc = look_text(l, "/usr/lib/os-release", b);
	if (rc <= 0)
		return rc < 0 ? -1 : old_release(l, b);
	look_set(l, &l->f->os, "linux"); /* os-release's own default */
	setting_take(l, b, "ID", &l->f->os);
	setting_take(l, b, "ID_LIKE", &l->f->like);
	setting_take(l, b, "NAME", &l->f->product);
	setting_take(l, b, "PRETTY_NAME", &l->f->product);
	setting_take(l, b, "VERSION_ID", &l->f->version);
	if (!*l->f->version && !strcmp(l->f->os, "debian")) { /* testing and unstable */
		rc = look_text(l, "/etc/debian_version", b);
		if (rc < 0)
			return -1;
		if (rc) {
			b->at[strcspn(b->at, "\r\n")] = '\0';
			look_set(l, &l->f->version, b->at);
		}
	}
	return 1;
}

static const char *elf_arch(const unsigned char *b, size_t len)
{
	unsigned machine;

	if (len < 20 || memcmp(b, "\177ELF", 4))
		return "";
	machine = b[5] == 2 ? (unsigned)b[18] << 8 | b[19] : (unsigned)b[19] << 8 | b[18];
	switch (machine) {
	case 3: return "i686";
	case 62: return "x86_64";
	case 40: return "arm";
	case 183: return "aarch64";
	case 21: return b[5] == 2 ? "ppc64" : "ppc64le";
	case 22: return "s390x";
	case 243: return "riscv64";
	case 258: return "loongarch64";
	default: return "";
	}
}

/* By a small program that every system has. */
static int arch_read(struct look *l)
{
	static const char *const programs[] = { "/usr/bin/true", "/bin/true",   "/bin/cat",   "/bin/busybox",
						"/bin/sh",       "/usr/bin/sh", "/sbin/init", NULL };

	for (const char *const *p = programs; *p && !*l->f->arch; p++) {
		struct bytes b = { 0 };
		vdisk_error why;
		int rc =
		    l->t->ops->head ? l->t->ops->head(l->t, *p, 20, &b, &why) : l->t->ops->read(l->t, *p, PROGRAM_MAX, &b, &why);

		if (rc > 0)
			look_set(l, &l->f->arch, elf_arch((unsigned char *)b.at, b.len));
		bytes_destroy(&b);
		if (rc < 0 && why.kind != VDISK_UNSUPPORTED) {
			if (l->err)
				*l->err = why;
			return -1;
		}
	}
	return 0;
}

static int hostname_read(struct look *l, struct bytes *b)
{
	static const struct {
		const char *path, *setting;
	} v[] = { { "/etc/hostname", NULL },
		  { "/etc/HOSTNAME", NULL },
		  { "/etc/sysconfig/network", "HOSTNAME" },
		  { "/etc/conf.d/hostname", "hostname" } };

	for (size_t i = 0; i < sizeof(v) / sizeof(*v) && !*l->f->hostname; i++) {
		int rc = look_text(l, v[i].path, b);
		struct lines t = lines_of(b);
		const char *line;
		size_t len;

		if (rc < 0)
			return -1;
		if (rc && v[i].setting) {
			setting_take(l, b, v[i].setting, &l->f->hostname);
		} else if (rc && lines_entry(&t, &line, &len)) {
			b->at[line - b->at + (ptrdiff_t)len] = '\0';
			look_set(l, &l->f->hostname, line);
		}
	}
	return 0;
}

/* Both may be installed: init is what /sbin/init is, a link or (where links do not show) a file of the same size. */
static int is_systemd(struct look *l)
{
	static const char *const programs[] = { "/usr/lib/systemd/systemd", "/lib/systemd/systemd", NULL };
	struct tree_stat init, program;
	struct bytes target = { 0 };
	const char *path;
	int rc = look_first(l, programs, &path);

	if (rc > 0)
		rc = l->t->ops->stat(l->t, path, true, &program, l->err);
	if (rc <= 0)
		return rc;
	rc = l->t->ops->link(l->t, "/sbin/init", &target, l->err);
	if (rc > 0)
		rc = strstr(target.at, "systemd") != NULL;
	else if (!rc)
		rc = l->t->ops->stat(l->t, "/sbin/init", true, &init, l->err);
	if (rc > 0 && !target.len)
		rc = init.size == program.size;
	else if (!rc && !target.len)
		rc = 1; /* no /sbin/init at all */
	bytes_destroy(&target);
	return rc;
}

static int first_name(struct look *l, const char *const (*v)[2], char **to)
{
	for (; (*v)[0] && !**to; v++) {
		int rc = look_there(l, (*v)[0]);

		if (rc < 0)
			return -1;
		if (rc)
			look_set(l, to, (*v)[1]);
	}
	return 0;
}

static int init_read(struct look *l)
{
	static const char *const inits[][2] = { { "/sbin/openrc-init", "openrc" },
						{ "/sbin/openrc", "openrc" },
						{ "/usr/bin/openrc", "openrc" },
						{ "/etc/init/rc-sysinit.conf", "upstart" },
						{ "/etc/init/rcS.conf", "upstart" },
						{ "/etc/inittab", "sysvinit" },
						{ NULL, NULL } };
	int rc = is_systemd(l);

	if (rc > 0)
		look_set(l, &l->f->init, "systemd");
	return rc < 0 ? -1 : first_name(l, inits, &l->f->init);
}

static int generator_read(struct look *l)
{
	static const struct {
		const char *path;
		enum initrd_tool tool;
	} v[] = {
		/* in this order: dracut brings an update-initramfs of its own, SUSE a mkinitrd that calls it */
		{ "/usr/bin/dracut", INITRD_DRACUT },         { "/sbin/dracut", INITRD_DRACUT },
		{ "/usr/sbin/dracut", INITRD_DRACUT },        { "/usr/sbin/mkinitramfs", INITRD_INITRAMFS_TOOLS },
		{ "/usr/bin/mkinitcpio", INITRD_MKINITCPIO }, { "/sbin/mkinitfs", INITRD_MKINITFS },
		{ "/usr/sbin/mkinitfs", INITRD_MKINITFS },    { "/sbin/mkinitrd", INITRD_MKINITRD },
	};

	for (size_t i = 0; i < sizeof(v) / sizeof(*v) && l->f->initrd_tool == INITRD_UNKNOWN; i++) {
		int rc = look_there(l, v[i].path);

		if (rc < 0)
			return -1;
		if (rc)
			l->f->initrd_tool = v[i].tool;
	}
	return 0;
}

static int selinux_read(struct look *l, struct bytes *b)
{
	int rc = look_text(l, "/etc/selinux/config", b);
	struct bytes value = { 0 };

	if (rc > 0 && setting_find(b, "SELINUX", &value))
		l->f->selinux = !strcmp(value.at, "enforcing") || !strcmp(value.at, "permissive");
	bytes_destroy(&value);
	return rc < 0 ? -1 : 0;
}

int facts_os(struct look *l)
{
	static const char *const packages[][2] = { { "/var/lib/dpkg/status", "deb" },
						   { "/usr/lib/sysimage/rpm", "rpm" },
						   { "/var/lib/rpm", "rpm" },
						   { "/lib/apk/db/installed", "apk" },
						   { "/usr/lib/apk/db/installed", "apk" },
						   { "/var/lib/pacman/local", "pacman" },
						   { NULL, NULL } };
	struct bytes b = { 0 };
	int rc = release_read(l, &b);

	if (!rc) /* none of those, but an fstab: somebody's own */
		rc = look_there(l, "/etc/fstab");
	if (rc > 0) {
		l->f->kind = GUEST_LINUX;
		if (!*l->f->os)
			look_set(l, &l->f->os, "linux");
		rc = arch_read(l) || hostname_read(l, &b) || init_read(l) || first_name(l, packages, &l->f->package_format) ||
			     generator_read(l) || selinux_read(l, &b)
			 ? -1
			 : 0;
	}
	bytes_destroy(&b);
	return rc;
}
