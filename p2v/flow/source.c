/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the machine comes from: an archive, a description with its disks beside it, or the folder of a capture. */
#include "flow/flow.h"

#include "common/fail.h"
#include "machine/json.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define CAPTURE_FILE "machine.json"

/* ---------------------------------------------------------------- the description */

static char *bytes_read(const char *path, size_t most, size_t *len, vdisk_error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char *text = NULL;
	struct stat st;
	size_t got = 0;

	if (fd < 0 || fstat(fd, &st)) {
		fail_errno(err, "%s", path);
		goto out;
	}
	if (!S_ISREG(st.st_mode)) {
		fail(err, VDISK_INVALID, "%s: is neither a file nor the folder of a capture", path);
		goto out;
	}
	if ((uint64_t)st.st_size > most) {
		fail(err, VDISK_INVALID,
		     "%s: has %lld bytes, more than a machine's description (%zu at most); a disk image is converted by vdisk convert",
		     path, (long long)st.st_size, most);
		goto out;
	}
	text = malloc((size_t)st.st_size + 1);
	if (!text) {
		fail_nomem(err);
		goto out;
	}
	while (got < (size_t)st.st_size) {
		ssize_t n = read(fd, text + got, (size_t)st.st_size - got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			fail_errno(err, "%s", path);
			free(text);
			text = NULL;
		}
		if (n <= 0)
			break;
		got += (size_t)n;
	}
	*len = got;
out:
	if (fd >= 0)
		close(fd);
	return text;
}

static int folder_set(struct flow *f, const char *path, enum describe_kind kind, vdisk_error *err)
{
	free(f->folder);
	free(f->description);
	f->folder = machine_folder(path, kind);
	f->description = strdup(path);
	f->where = (struct locate){ .folder = f->folder, .allow = f->a->allow, .moved = kind == DESCRIBE_HYPERV,
		.uri = kind == DESCRIBE_OVF };
	return f->folder && f->description ? 0 : fail_nomem(err);
}

/* A capture under way lies in a folder that is called so, and its machine.json tells of disks that are not all there. */
static int capture_judge(const char *folder, vdisk_error *err)
{
	size_t n = strlen(folder);

	while (n > 1 && folder[n - 1] == '/')
		n--;
	if (n > 8 && !strncmp(folder + n - 8, ".partial", 8))
		return fail(err, VDISK_REFUSED, "%s: is of a capture that is not complete", folder);
	return 0;
}

static int description_take(struct flow *f, const void *bytes, size_t len, const char *path, const char *name, vdisk_error *err)
{
	struct describe_read how = { .name = name, .system = f->a->system ? f->a->system - 1 : 0 };

	how.kind = f->package ? package_kind_of(f->package) == PACKAGE_OVA   ? DESCRIBE_OVF
	                        : package_kind_of(f->package) == PACKAGE_XVA ? DESCRIBE_XVA
	                                                                     : DESCRIBE_PROXMOX
	                      : describe_probe(bytes, len, name);
	if (how.kind == DESCRIBE_UNKNOWN)
		return fail(err, VDISK_INVALID,
		            "%s: is no description of a machine that is known, and no archive; a disk image is converted by vdisk convert",
		            path);
	if (describe_read(bytes, len, &how, &f->m, err)) {
		char why[sizeof(err->message)];

		snprintf(why, sizeof(why), "%s", err->message);
		return fail(err, err->kind, "%s: %.700s", path, why);
	}
	if (!f->package && (folder_set(f, path, how.kind, err) || snapshots_load(f->m, how.kind, path, &f->where, err) ||
	                    snapshots_join(f->m, &f->where, err)))
		return -1;
	if (f->m->systems > 1 && !f->a->system)
		return fail(err, VDISK_INVALID, "%s: describes %u machines; --system N says which one, from 1", path,
		            f->m->systems);
	f->is_ovf = how.kind == DESCRIBE_OVF;
	f->kind = f->package                  ? package_kind_name(package_kind_of(f->package))
	          : how.kind == DESCRIBE_JSON ? "capture"
	                                      : describe_kind_name(how.kind);
	return machine_judge(f->m, err) ? fail(err, err->kind, "%s: %.700s", path,
	                                       f->m->failed.message[0] ? f->m->failed.message : "does not hold together")
	                                : 0;
}

static int description_open(struct flow *f, vdisk_error *err)
{
	const char *source = f->a->source, *base;
	char *path = NULL, *bytes;
	struct stat st;
	size_t len;
	int rc;

	if (vdisk_path_judge(source, err))
		return -1;
	if (stat(source, &st))
		return fail_errno(err, "%s", source);
	if (S_ISDIR(st.st_mode)) {
		if (capture_judge(source, err))
			return -1;
		if (asprintf(&path, "%s/%s", source, CAPTURE_FILE) < 0)
			return fail_nomem(err);
		if (access(path, F_OK)) {
			free(path);
			return fail(
				err, VDISK_INVALID,
				"%s: is a folder without a machine.json, so it is none of a capture: name the machine's description in it",
				source);
		}
	} else if (f->a->kind == FLOW_MIGRATE) {
		if (package_open(source, &f->package, err))
			return -1;
		if (f->package) {
			const void *desc = package_description(f->package, &len, &base);
			size_t n = strlen(base);

			if (folder_set(f, source, DESCRIBE_UNKNOWN, err))
				return -1;
			rc = description_take(f, desc, len, source, n ? base : NULL, err);
			return rc;
		}
	}
	if (!path && !(path = strdup(source)))
		return fail_nomem(err);
	base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	rc = folder_set(f, path, DESCRIBE_UNKNOWN, err);
	if (!rc && !strcmp(base, CAPTURE_FILE))
		rc = capture_judge(f->folder, err);
	else if (!rc && f->a->kind == FLOW_P2V)
		rc = fail(err, VDISK_INVALID, "%s: is not the folder of a capture; vdisk migrate takes other machines", source);
	bytes = rc ? NULL : bytes_read(path, DESCRIBE_MAX, &len, err);
	rc = bytes ? description_take(f, bytes, len, path, base, err) : -1;
	free(bytes);
	free(path);
	return rc;
}

/* ---------------------------------------------------------------- the disks */

/* A capture's disks lie beside their machine.json, called like the disks and their format, which is believed: a raw one's bytes are
   the machine's own. */
static char *captured_path(struct flow *f, const struct machine_disk *d, char **format_name, vdisk_error *err)
{
	const struct vdisk_format_info *format;
	char name[PATH_MAX];

	for (size_t i = 0; d->name && (format = vdisk_format_get(i)); i++) {
		char *path;

		snprintf(name, sizeof(name), "%s/%s.%s", f->folder, d->name, format->name);
		if (!access(name, F_OK)) {
			snprintf(name, sizeof(name), "%s.%s", d->name, format->name);
			*format_name = strdup(format->name);
			path = *format_name ? machine_locate(&f->where, name, err) : NULL;
			if (!*format_name)
				fail_nomem(err);
			return path;
		}
	}
	fail(err, VDISK_INVALID, "%s: has no image of the disk %s beside it", f->description, d->name ? d->name : "without a name");
	return NULL;
}

/* A file of the host, and, where the description keeps account of its images, those below it. */
static int image_take(struct flow *f, struct flow_disk *x, vdisk_error *err)
{
	int image = machine_disk_image(f->m, x->d);

	if (image < 0)
		x->source = machine_locate(&f->where, x->d->path, err);
	else if (chain_find(f->m, &f->where, image, &x->chain, err))
		return -1;
	else if (!(x->source = strdup(x->chain.path)))
		return fail_nomem(err);
	return x->source ? 0 : -1;
}

/* OVF's disks without a file are empty, as long as they do not lie over another one. */
static int empty_take(struct flow *f, struct flow_disk *x, vdisk_error *err)
{
	if (!x->d->size)
		return fail(err, VDISK_UNSUPPORTED, "%s: the disk %s has no file, and its content is another disk's",
		            f->description, x->d->name ? x->d->name : "without a name");
	x->is_empty = true;
	x->source = strdup("");
	flow_note(f, "the disk %s has no file in the description: it is made empty", x->d->name ? x->d->name : "without a name");
	return x->source ? 0 : fail_nomem(err);
}

static int disk_take(struct flow *f, struct machine_disk *d, vdisk_error *err)
{
	struct flow_disk *x = &f->disks[f->n_disks];

	if (f->n_disks == DISKS_MAX)
		return fail(err, VDISK_UNSUPPORTED, "%s: has more than %u disks", f->description, DISKS_MAX);
	x->d = d;
	x->index = f->n_disks++;
	if (!d->path && f->is_ovf)
		return empty_take(f, x, err);
	if (f->package) {
		bool ova = package_kind_of(f->package) == PACKAGE_OVA;
		const char *ref = ova ? d->path : d->ref ? d->ref : d->name;

		x->in_archive = true;
		x->member = f->n_members++;
		x->source = strdup(ref ? ref : "");
		if (!x->source)
			return fail_nomem(err);
	} else if (!d->path && !strcmp(f->kind, "capture")) {
		x->source = captured_path(f, d, &x->source_format, err);
	} else if (!d->path) {
		return fail(err, VDISK_INVALID, "%s: does not say where the disk %s is", f->description,
		            d->name ? d->name : "without a name");
	} else if (d->chunk_size || (d->compression && strcasecmp(d->compression, "identity"))) {
		return fail(err, VDISK_UNSUPPORTED, "%s: the disk %s is %s: that is read in an OVA only", f->description, d->path,
		            d->chunk_size ? "in pieces" : "packed");
	} else if (image_take(f, x, err) && err) {
		char why[sizeof(err->message)];

		snprintf(why, sizeof(why), "%s", err->message);
		fail(err, err->kind, "%s: %.700s", f->description, why);
	}
	if (d->format && (f->package ? package_kind_of(f->package) == PACKAGE_OVA : d->path != NULL) &&
	    !(x->source_format = strdup(d->format)))
		return fail_nomem(err);
	if (x->source && x->source_format && !vdisk_format_find(x->source_format))
		return fail(err, VDISK_UNSUPPORTED, "%s: the disk %s is of the format '%s', for which there is no driver",
		            f->description, x->source, x->source_format);
	return x->source ? 0 : -1;
}

/* What is no disk stays here: the image of a CD in a drive is none of the machine's own. */
static void medium_drop(struct flow *f, struct machine_disk *d)
{
	if (!d->path)
		return;
	machine_lost_add(&f->lost, d->path, "images of CDs and floppies stay where they are", "%s %s",
	                 machine_medium_name(d->medium), d->name ? d->name : "");
	d->path = NULL;
	d->path_flags = 0;
	d->format = NULL;
}

static int disks_find(struct flow *f, vdisk_error *err)
{
	for (size_t i = 0; i < f->m->disks_n; i++) {
		struct machine_disk *d = &f->m->disks[i];

		if (d->medium != MACHINE_DISK)
			medium_drop(f, d);
		else if (disk_take(f, d, err))
			return -1;
	}
	return f->n_disks ? 0 : fail(err, VDISK_INVALID, "%s: the machine has no disk", f->description);
}

static int disks_want(struct flow *f, vdisk_error *err)
{
	struct package_disk want[DISKS_MAX];

	for (size_t i = 0; i < f->n_disks; i++) {
		const struct machine_disk *d = f->disks[i].d;

		if (f->disks[i].is_empty)
			continue;
		want[f->disks[i].member] = (struct package_disk){
			.ref = f->disks[i].source,
			.format = f->disks[i].source_format,
			.size = d->size,
			.file_size = d->file_size,
			.chunk_size = d->chunk_size,
			.compression = d->compression,
		};
	}
	return package_want(f->package, want, f->n_members, err);
}

int flow_source(struct flow *f, vdisk_error *err)
{
	if (description_open(f, err) || disks_find(f, err) || (f->package && disks_want(f, err)))
		return -1;
	if (f->package && f->a->keep_snapshots)
		return fail(err, VDISK_INVALID, "%s: archives hold no snapshots to be kept", f->a->source);
	return flow_snapshots(f, err);
}

void flow_source_close(struct flow *f)
{
	for (size_t i = 0; i < f->n_disks; i++) {
		free(f->disks[i].source);
		free(f->disks[i].source_format);
		free(f->disks[i].names);
		for (size_t k = 0; f->disks[i].branches && k < f->disks[i].n_names; k++)
			chain_free(&f->disks[i].branches[k]);
		free(f->disks[i].branches);
		json_object_put(f->disks[i].kept);
		chain_free(&f->disks[i].chain);
		free(f->disks[i].file);
		free(f->disks[i].work);
	}
	machine_free(f->m);
	package_close(f->package);
	free(f->folder);
	free(f->description);
}
