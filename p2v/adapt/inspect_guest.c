/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "inspect_parts.h"

#include "../../fuse/unmount.h"
#include "common/child.h"
#include "common/fail.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 600000 /* of an appliance under emulation, on a busy machine */
#define GRACE_MS    60000u /* until what it has mounted is closed */

struct guest_mount {
	char folder[4200];
	struct tree *tree;
	pid_t pid;
};

static int program_start(struct inspection *in, struct guest_mount *m, vdisk_error *err)
{
	const struct inspect_options *o = in->options;
	const char *argv[2 * (SOURCE_ALLOW_MAX + INSPECT_KEYS_MAX) + 16];
	char path[4096];
	size_t n = 0;

	if (!child_find("vdisk-files", true, path))
		return fail(err, VDISK_UNSUPPORTED, "what is encrypted is read by the program vdisk-files, which is not installed");
	argv[n++] = "vdisk-files";
	argv[n++] = "--foreground";
	for (size_t i = 0; i < o->keys_n; i++) {
		argv[n++] = "--key-file";
		argv[n++] = o->key_files[i];
	}
	if (o->root) {
		argv[n++] = "--root";
		argv[n++] = o->root;
	}
	if (o->source.format) {
		argv[n++] = "--format";
		argv[n++] = o->source.format;
	}
	for (size_t i = 0; i < o->source.n_allow; i++) {
		argv[n++] = "--allow-parent";
		argv[n++] = o->source.allow[i];
	}
	if (o->source.force_share)
		argv[n++] = "-U";
	argv[n++] = "--";
	argv[n++] = in->disks[0].image;
	argv[n++] = m->folder;
	argv[n] = NULL;
	m->pid = child_start(path, (char *const *)argv, false, -1);
	return m->pid < 0 ? fail_errno(err, "vdisk-files") : 0;
}

static int program_await(struct inspection *in, struct guest_mount *m, dev_t before, vdisk_error *err)
{
	struct stat st;

	for (unsigned ms = 0; stat(m->folder, &st) || st.st_dev == before; ms += 10) {
		if (waitpid(m->pid, NULL, WNOHANG) == m->pid) {
			m->pid = 0;
			return fail(err, VDISK_UNSUPPORTED,
				    "%s: what is encrypted cannot be read: vdisk mount --files --key-file FILE %s DIR tells why",
				    in->disks[0].image, in->disks[0].image);
		}
		if (ms >= PATIENCE_MS)
			return fail(err, VDISK_IO, "%s: vdisk-files takes too long", in->disks[0].image);
		shown_pause(10);
	}
	m->tree = tree_folder_open(m->folder, true, err);
	return m->tree ? 0 : -1;
}

int guest_mount_open(struct inspection *in, vdisk_error *err)
{
	struct guest_mount *m = in->guest = calloc(1, sizeof(*m));
	struct stat st;

	if (!m)
		return fail_nomem(err);
	if (in->disks_n > 1)
		return fail(err, VDISK_UNSUPPORTED, "what is encrypted is read of one disk alone, and %zu were given", in->disks_n);
	snprintf(m->folder, sizeof(m->folder), "%s/guest", in->folder);
	if (mkdir(m->folder, 0700) || stat(m->folder, &st))
		return fail_errno(err, "%s", m->folder);
	return program_start(in, m, err) || program_await(in, m, st.st_dev, err) ? -1 : 0;
}

struct tree *guest_mount_tree(struct guest_mount *m) { return m->tree; }

void guest_mount_close(struct guest_mount *m)
{
	if (!m)
		return;
	tree_close(m->tree);
	if (m->folder[0]) {
		if (m->pid > 0)
			child_end(m->pid, GRACE_MS); /* it unmounts */
		unmount(m->folder, UNMOUNT_DETACH);
		rmdir(m->folder);
	}
	free(m);
}
