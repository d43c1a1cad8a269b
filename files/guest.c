/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One thread at a time uses the handle.  libguestfs's own messages are kept from standard error; its last error becomes ours.
 *
 * A KVM that emulates its guests lets the appliance hang for minutes, so it is timed before (the runner's probe), and QEMU's
 * emulation is taken instead; also where the start with KVM fails.  What LIBGUESTFS_BACKEND_SETTINGS says goes before that.
 */
#include "guest_parts.h"

#include "common/fail.h"
#if VDISK_KVM_PROBE
#include "../tools/runner/probe.h"
#endif

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
	return n < o->n_sockets ? fail(err, VDISK_IO, "libguestfs's appliance does not see %s",
	                               o->n_sockets > 1 ? "all the disks" : "the disk")
	                        : 0;
}

/* Nobody in the appliance is to be kept from what others there hold, and each call of it passes the kernel's gate some times: a
   tenth of the time under emulation. */
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
	if ((!getenv("LIBGUESTFS_BACKEND") && guestfs_set_backend(g, "direct")) ||
	    (tcg && guestfs_set_backend_setting(g, "force_tcg", "1")))
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

/* Those that are not known yet: each question takes tenths of a second under emulation.  The open side of what is encrypted has a
   list of its own. */
int guest_devices_look(struct guest *t, vdisk_error *err)
{
	char **lists[] = { guestfs_list_devices(t->g), guestfs_list_partitions(t->g), guestfs_list_md_devices(t->g),
		           guestfs_lvs(t->g), guestfs_list_dm_devices(t->g) };
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

/* ---------------------------------------------------------------- here */

int guest_start(struct guest *t, const struct guest_options *o, vdisk_error *err)
{
	*t = (struct guest){ .rw = o->rw };
	if (appliance_open(t, o, err))
		return -1;
	if (!guest_devices_look(t, err) && !guest_unlock(t, o, err))
		return 0;
	guest_close(t, NULL);
	return -1;
}

int guest_open(struct guest *t, const struct guest_options *o, vdisk_error *err)
{
	if (guest_start(t, o, err))
		return -1;
	if (!guest_inside_mount(t, o, err))
		return 0;
	guest_close(t, NULL);
	return -1;
}

static void called(guestfs_h *g, void *to, uint64_t event, int handle, int flags, const char *text, size_t len,
                   const uint64_t *numbers, size_t n)
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
