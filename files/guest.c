/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One thread at a time uses the handle.  libguestfs's own messages are kept from standard error; its last error becomes ours.
 *
 * A KVM that emulates its guests lets the appliance hang for minutes, so it is timed before (the runner's probe), and QEMU's emulation is taken
 * instead; also where the start with KVM fails.  What LIBGUESTFS_BACKEND_SETTINGS says goes before that.
 */
#include "guest.h"

#include "common/fail.h"
#include "common/say.h"
#if VDISK_KVM_PROBE
#include "../tools/runner/probe.h"
#endif

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_MAX 8192u /* libguestfs hands it to cryptsetup as text */

static int fail_guest(guestfs_h *g, vdisk_error *err, const char *what)
{
	const char *text = guestfs_last_error(g);
	int n = text ? (int)strcspn(text, "\n") : 0;

	return fail(err, VDISK_IO, "%s: %.*s", what, n ? n : 15, n ? text : "libguestfs fails");
}

void guest_strings_free(char **v)
{
	for (char **p = v; v && *p; p++)
		free(*p);
	free(v);
}

int guest_fail(struct guest *t, vdisk_error *err, const char *what) { return fail_guest(t->g, err, what); }

void guest_name(const struct guest *t, const char *device, char *out, size_t room)
{
	for (size_t i = 0; i < t->n_disks; i++) {
		const char *at = strstr(device, t->disks[i]), *rest = at ? at + strlen(t->disks[i]) : NULL;

		/* Not /dev/sda in /dev/sdaa. */
		if (rest && (*rest < 'a' || *rest > 'z')) {
			snprintf(out, room, "%.*s/dev/sd%c%s", (int)(at - device), device, 'a' + (char)i, rest);
			return;
		}
	}
	snprintf(out, room, "%s", device);
}

/* Is it the one that the user named? */
static bool is_named(const struct guest *t, const char *device, const char *name)
{
	char shown[300];

	guest_name(t, device, shown, sizeof(shown));
	return !strcmp(shown, name);
}

/* ---------------------------------------------------------------- the appliance */

static bool kvm_is_good(void)
{
#if VDISK_KVM_PROBE
	char why[256];

	return kvm_probe(why) == KVM_GOOD;
#else
	return !access("/dev/kvm", R_OK | W_OK);
#endif
}

static int disk_add(guestfs_h *g, const char *socket, bool rw, vdisk_error *err)
{
	char server[4200], *servers[] = { server, NULL };
	const struct guestfs_add_drive_opts_argv drive = {
		.bitmask = GUESTFS_ADD_DRIVE_OPTS_READONLY_BITMASK | GUESTFS_ADD_DRIVE_OPTS_FORMAT_BITMASK |
		           GUESTFS_ADD_DRIVE_OPTS_PROTOCOL_BITMASK | GUESTFS_ADD_DRIVE_OPTS_SERVER_BITMASK,
		.readonly = !rw,
		.format = "raw",
		.protocol = "nbd",
		.server = servers,
	};

	snprintf(server, sizeof(server), "unix:%s", socket);
	return guestfs_add_drive_opts_argv(g, "", &drive) ? fail_guest(g, err, "libguestfs") : 0;
}

static int disks_name(struct guest *t, const struct guest_options *o, vdisk_error *err)
{
	char **devices = guestfs_list_devices(t->g);
	size_t n = 0;

	for (; devices && devices[n] && n < o->n_sockets; n++)
		snprintf(t->disks[n], sizeof(t->disks[n]), "%s", devices[n]);
	t->n_disks = n;
	guest_strings_free(devices);
	return n < o->n_sockets ? fail(err, VDISK_IO, "libguestfs's appliance does not see %s", o->n_sockets > 1 ? "all the disks" : "the disk") : 0;
}

/* Nobody in the appliance is to be kept from what others there hold, and each call of it passes the kernel's gate some times: a tenth of the time under
   emulation. */
static int kernel_hasten(guestfs_h *g, vdisk_error *err)
{
	const char *said = guestfs_get_append(g); /* the handle's own */
	char *line;
	int n = asprintf(&line, "%s%smitigations=off", said ? said : "", said ? " " : ""), rc;

	if (n < 0)
		return fail(err, VDISK_NOMEM, "out of memory");
	rc = guestfs_set_append(g, line) ? fail_guest(g, err, "libguestfs") : 0;
	free(line);
	return rc;
}

static int appliance_start(struct guest *t, const struct guest_options *o, bool tcg, vdisk_error *err)
{
	guestfs_h *g = guestfs_create_flags(GUESTFS_CREATE_NO_ENVIRONMENT);

	if (!g)
		return fail(err, VDISK_NOMEM, "libguestfs cannot be started");
	t->g = g;
	guestfs_set_error_handler(g, NULL, NULL); /* before it reads the environment, of which it may not like something */
	if (guestfs_parse_environment(g))
		return fail_guest(g, err, "libguestfs");
	guestfs_set_program(g, o->program);
	guestfs_set_pgroup(g, 1); /* the terminal's Ctrl-C is for us */
	if ((!getenv("LIBGUESTFS_BACKEND") && guestfs_set_backend(g, "direct")) || (tcg && guestfs_set_backend_setting(g, "force_tcg", "1")))
		return fail_guest(g, err, "libguestfs");
	if (kernel_hasten(g, err))
		return -1;
	for (size_t i = 0; i < o->n_sockets; i++)
		if (disk_add(g, o->sockets[i], o->rw, err))
			return -1;
	if (guestfs_launch(g))
		return fail_guest(g, err, "libguestfs's appliance does not start");
	return disks_name(t, o, err);
}

static int appliance_open(struct guest *t, const struct guest_options *o, vdisk_error *err)
{
	const char *settings = getenv("LIBGUESTFS_BACKEND_SETTINGS");
	bool said = settings && strstr(settings, "force_"), tcg = !said && !kvm_is_good();

	if (!appliance_start(t, o, tcg, err))
		return 0;
	guestfs_close(t->g);
	t->g = NULL;
	if (said || tcg)
		return -1;
	if (!appliance_start(t, o, true, err))
		return 0;
	guestfs_close(t->g);
	t->g = NULL;
	return -1;
}

/* ---------------------------------------------------------------- devices */

const char *guest_device_value(const struct guest_device *d, const char *key)
{
	for (char **p = d->blkid; p && p[0] && p[1]; p += 2)
		if (!strcmp(p[0], key))
			return p[1];
	return "";
}

static int device_look(struct guest *t, const char *name, vdisk_error *err)
{
	struct guest_device *v;

	for (size_t i = 0; i < t->n_devices; i++)
		if (!strcmp(t->devices[i].name, name))
			return 0;
	v = reallocarray(t->devices, t->n_devices + 1, sizeof(*v));
	if (v)
		t->devices = v;
	if (!v || !(v[t->n_devices].name = strdup(name)))
		return fail(err, VDISK_NOMEM, "out of memory");
	v[t->n_devices++].blkid = guestfs_blkid(t->g, name); /* it fails of an empty partition */
	return 0;
}

/* Those that are not known yet: each question takes tenths of a second under emulation.  The open side of what is encrypted has a list of its own. */
static int devices_look(struct guest *t, vdisk_error *err)
{
	char **lists[] = { guestfs_list_devices(t->g), guestfs_list_partitions(t->g), guestfs_list_md_devices(t->g), guestfs_lvs(t->g),
		           guestfs_list_dm_devices(t->g) };
	int rc = 0;

	for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++) {
		if (!rc && !lists[i])
			rc = fail_guest(t->g, err, "what the disks hold");
		for (char **p = lists[i]; !rc && p && *p; p++)
			rc = device_look(t, *p, err);
		guest_strings_free(lists[i]);
	}
	return rc;
}

static void devices_free(struct guest *t)
{
	for (size_t i = 0; i < t->n_devices; i++) {
		free(t->devices[i].name);
		guest_strings_free(t->devices[i].blkid);
	}
	free(t->devices);
	t->devices = NULL;
	t->n_devices = 0;
}

/* ---------------------------------------------------------------- keys */

/* What the file holds, without a newline at its end.  Returns owned. */
static char *key_read(const char *path, vdisk_error *err)
{
	char *key = calloc(1, KEY_MAX + 2);
	FILE *f = key ? fopen(path, "re") : NULL;
	size_t n;

	if (!f) {
		key ? fail_errno(err, "%s", path) : fail(err, VDISK_NOMEM, "out of memory");
		free(key);
		return NULL;
	}
	n = fread(key, 1, KEY_MAX + 1, f);
	if (ferror(f))
		fail_errno(err, "%s", path);
	else if (n > KEY_MAX)
		fail(err, VDISK_INVALID, "%s: is longer than a passphrase may be (%u bytes)", path, KEY_MAX);
	else if (memchr(key, 0, n))
		fail(err, VDISK_UNSUPPORTED, "%s: holds a NUL byte, and libguestfs takes passphrases of text only", path);
	else
		goto good;
	fclose(f);
	free(key);
	return NULL;
good:
	fclose(f);
	if (n && key[n - 1] == '\n')
		key[n - 1] = '\0';
	return key;
}

/* 0: open; 1: no key opens it; -1: *err.  What cryptsetup complains of besides is kept in t->trouble. */
static int unlock(struct guest *t, const struct guest_options *o, const char *device, unsigned number, vdisk_error *err)
{
	const struct guestfs_cryptsetup_open_argv how = { .bitmask = GUESTFS_CRYPTSETUP_OPEN_READONLY_BITMASK, .readonly = !t->rw };
	char name[32];

	snprintf(name, sizeof(name), "vdisk%u", number);
	for (size_t i = 0; i < o->n_keys; i++) {
		char *key = key_read(o->key_files[i], err);
		int rc;

		if (!key)
			return -1;
		rc = guestfs_cryptsetup_open_argv(t->g, device, key, name, &how);
		if (rc && guestfs_last_error(t->g) && !strstr(guestfs_last_error(t->g), "No key available"))
			fail_guest(t->g, &t->trouble, "libguestfs");
		explicit_bzero(key, strlen(key));
		free(key);
		if (!rc)
			return 0;
	}
	return 1;
}

static bool is_encrypted(const char *type) { return !strcmp(type, "crypto_LUKS") || !strcmp(type, "BitLocker"); }

/* What could not be opened is remembered in t->locked: whether it matters shows later. */
static int unlock_device(struct guest *t, const struct guest_options *o, const struct guest_device *d, unsigned *number, vdisk_error *err)
{
	const char *device = d->name;
	bool encrypted = is_encrypted(guest_device_value(d, "TYPE"));
	char seen[260];
	int rc;

	snprintf(seen, sizeof(seen), " %s ", device);
	if (!encrypted || strstr(t->opened, seen) || strlen(t->opened) + strlen(seen) >= sizeof(t->opened))
		return 0;
	rc = unlock(t, o, device, *number, err);
	if (rc > 0) {
		guest_name(t, device, t->locked, sizeof(t->locked));
	} else if (!rc) {
		strcat(t->opened, seen);
		++*number;
	}
	return rc < 0 ? -1 : 0;
}

/* Wherever something encrypted may lie: list_filesystems() leaves such out. */
static int unlock_round(struct guest *t, const struct guest_options *o, unsigned *number, vdisk_error *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < t->n_devices; i++)
		rc = unlock_device(t, o, &t->devices[i], number, err);
	return rc;
}

/* One that lies on another comes to light when that is open: twice is as deep as anybody goes. */
static int unlock_all(struct guest *t, const struct guest_options *o, vdisk_error *err)
{
	unsigned n = 0, before;

	for (int depth = 0; depth < 2; depth++) {
		before = n;
		if (unlock_round(t, o, &n, err))
			return -1;
		if (n == before)
			break;
		t->locked[0] = '\0';
		if (guestfs_lvm_scan(t->g, 1))
			return fail_guest(t->g, err, "looking for volumes");
		if (devices_look(t, err))
			return -1;
		if (unlock_round(t, &(struct guest_options){ .n_keys = 0 }, &n, err)) /* which are left? */
			return -1;
	}
	if (o->n_keys && !n && t->locked[0] && t->trouble.kind)
		return fail(err, VDISK_IO, "%s: is encrypted, and cannot be opened (%.200s)", t->locked, t->trouble.message);
	if (o->n_keys && !n)
		return t->locked[0] ? fail(err, VDISK_INVALID, "%s: is encrypted, and no key file opens it", t->locked)
		                    : fail(err, VDISK_INVALID, "%s: holds nothing encrypted, and --key-file was given", o->image);
	return 0;
}

/* ---------------------------------------------------------------- mounting inside */

struct place {
	const char *mountpoint, *device;
};

static int shorter(const void *a, const void *b)
{
	size_t x = strlen(((const struct place *)a)->mountpoint), y = strlen(((const struct place *)b)->mountpoint);

	return x < y ? -1 : x > y;
}

static int mount_one(struct guest *t, const char *device, const char *mountpoint)
{
	return guestfs_mount_options(t->g, t->rw ? "" : "ro", device, mountpoint);
}

/* A file system that cannot be mounted is a warning, but for the root. */
static int mount_places(struct guest *t, const char *root, char *const *pairs, vdisk_error *err)
{
	struct place *v;
	size_t n = 0;
	int rc = 0;

	while (pairs[2 * n])
		n++;
	v = calloc(n + 1, sizeof(*v));
	for (size_t i = 0; v && i < n; i++)
		v[i] = (struct place){ pairs[2 * i], pairs[2 * i + 1] };
	if (v)
		qsort(v, n, sizeof(*v), shorter);
	else
		rc = fail(err, VDISK_NOMEM, "out of memory");
	for (size_t i = 0; !rc && i < n; i++) {
		vdisk_error why;

		if (!mount_one(t, v[i].device, v[i].mountpoint))
			continue;
		if (!strcmp(v[i].mountpoint, "/") && strcmp(v[i].device, root) && !mount_one(t, root, "/")) /* fstab may call it by another name */
			continue;
		fail_guest(t->g, &why, v[i].device);
		if (!strcmp(v[i].mountpoint, "/")) {
			*err = why;
			rc = -1;
		} else {
			say(LOG_WARNING, "%s", why.message);
		}
	}
	free(v);
	return rc;
}

/* As the guest's fstab has it. */
static int mount_system(struct guest *t, const char *root, vdisk_error *err)
{
	char **pairs = guestfs_inspect_get_mountpoints(t->g, root);
	int rc = pairs ? mount_places(t, root, pairs, err) : fail_guest(t->g, err, root);

	guest_strings_free(pairs);
	return rc;
}

static bool is_file_system(const char *type)
{
	return *type && strcmp(type, "swap") && strcmp(type, "unknown") && strcmp(type, "crypto_LUKS") && strcmp(type, "BitLocker");
}

/* A disk without a system: its only file system, or each of them in a folder named like its device. */
static int mount_data(struct guest *t, const char *image, const char *only, vdisk_error *err)
{
	char **found = guestfs_list_filesystems(t->g), *one = NULL;
	unsigned n = 0, mounted = 0;
	int rc = 0;

	if (!found)
		return fail_guest(t->g, err, "looking for file systems");
	for (char **p = found; *p; p += 2)
		if (is_file_system(p[1]) && (!only || is_named(t, *p, only))) {
			one = *p;
			n++;
		}
	if (!n)
		rc = fail(err, VDISK_INVALID, "%s: %s%s", image, only ? "there is no file system on " : "no file system was found", only ? only : "");
	else if (n == 1 && mount_one(t, one, "/"))
		rc = fail_guest(t->g, err, one);
	for (char **p = found; n > 1 && *p; p += 2) {
		char name[300], folder[302];
		vdisk_error why;

		if (!is_file_system(p[1]))
			continue;
		guest_name(t, *p, name, sizeof(name));
		snprintf(folder, sizeof(folder), "/%s", !strncmp(name, "/dev/", 5) ? name + 5 : name);
		for (char *c = folder + 1; *c; c++)
			*c = *c == '/' || *c == ':' ? '-' : *c;
		if (!guestfs_mkmountpoint(t->g, folder) && !mount_one(t, *p, folder)) {
			mounted++;
			continue;
		}
		fail_guest(t->g, &why, *p);
		say(LOG_WARNING, "%s", why.message);
	}
	if (!rc && n > 1 && !mounted)
		rc = fail(err, VDISK_IO, "%s: none of its %u file systems can be mounted", image, n);
	guest_strings_free(found);
	return rc;
}

static int mount_inside(struct guest *t, const struct guest_options *o, vdisk_error *err)
{
	char **roots = guestfs_inspect_os(t->g), list[400] = "";
	const char *root = NULL;
	size_t n = 0;
	int rc;

	if (!roots)
		return fail_guest(t->g, err, "looking for a system");
	for (; roots[n]; n++) {
		size_t len = strlen(list);
		char name[300];

		guest_name(t, roots[n], name, sizeof(name));
		snprintf(list + len, sizeof(list) - len, "%s%.90s", n ? ", " : "", name);
		if (!o->root || !strcmp(o->root, name))
			root = roots[n];
	}
	if (n > 1 && !o->root)
		rc = fail(err, VDISK_INVALID, "%s: holds several systems; --root takes one of %s", o->image, list);
	else if (root)
		rc = mount_system(t, root, err);
	else
		rc = mount_data(t, o->image, o->root, err);
	guest_strings_free(roots);
	if (rc && t->locked[0] && !o->n_keys)
		return fail(err, VDISK_INVALID, "%s: is encrypted; --key-file FILE gives its passphrase", t->locked);
	if (!rc && t->locked[0]) {
		snprintf(list, sizeof(list), "%s: is encrypted, and stays closed", t->locked);
		say(LOG_WARNING, "%s", list);
	}
	return rc;
}

/* ---------------------------------------------------------------- here */

int guest_start(struct guest *t, const struct guest_options *o, vdisk_error *err)
{
	*t = (struct guest){ .rw = o->rw };
	if (appliance_open(t, o, err))
		return -1;
	if (!devices_look(t, err) && !unlock_all(t, o, err))
		return 0;
	guest_close(t, NULL);
	return -1;
}

int guest_open(struct guest *t, const struct guest_options *o, vdisk_error *err)
{
	if (guest_start(t, o, err))
		return -1;
	if (!mount_inside(t, o, err))
		return 0;
	guest_close(t, NULL);
	return -1;
}

int guest_system_mount(struct guest *t, const char *root, char *const *places, vdisk_error *err)
{
	return places ? mount_places(t, root, places, err) : mount_system(t, root, err);
}

int guest_system_unmount(struct guest *t, vdisk_error *err)
{
	return guestfs_umount_all(t->g) ? fail_guest(t->g, err, "unmounting") : 0;
}

static void called(guestfs_h *g, void *to, uint64_t event, int handle, int flags, const char *text, size_t len, const uint64_t *numbers, size_t n)
{
	struct guest *t = to;

	(void)g, (void)event, (void)handle, (void)flags, (void)text, (void)len, (void)numbers, (void)n;
	t->calls++;
}

int guest_mount(struct guest *t, const char *mountpoint, bool allow_other, bool lasting, vdisk_error *err)
{
	char options[200];
	const struct guestfs_mount_local_argv how = {
		.bitmask = GUESTFS_MOUNT_LOCAL_READONLY_BITMASK | GUESTFS_MOUNT_LOCAL_OPTIONS_BITMASK,
		.readonly = !t->rw,
		.options = options,
	};

	snprintf(options, sizeof(options), "fsname=vdisk,subtype=vdisk-files,nosuid,nodev%s%s", allow_other ? ",allow_other" : "",
	         lasting ? ",kernel_cache,entry_timeout=86400,attr_timeout=86400" : "");

	if (guestfs_set_event_callback(t->g, called, GUESTFS_EVENT_ENTER, 0, t) < 0)
		return fail_guest(t->g, err, "libguestfs");
	return guestfs_mount_local_argv(t->g, mountpoint, &how) ? fail_guest(t->g, err, mountpoint) : 0;
}

int guest_serve(struct guest *t, vdisk_error *err)
{
	return guestfs_mount_local_run(t->g) ? fail_guest(t->g, err, "the mount") : 0;
}

int guest_close(struct guest *t, vdisk_error *err)
{
	int rc = 0;

	devices_free(t);
	if (!t->g)
		return 0;
	if (t->rw && guestfs_umount_all(t->g))
		rc = fail_guest(t->g, err, "unmounting");
	if (guestfs_shutdown(t->g) && t->rw && !rc)
		rc = fail_guest(t->g, err, "ending the appliance");
	guestfs_close(t->g);
	t->g = NULL;
	return rc;
}
