/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The same rules that change the guest's settings, run over those inside an initramfs: it is shown to them as a tree of the members
 * whose content is kept, and what they plan for it is what is to be appended.  A file cannot be taken away by appending; LVM's list
 * of devices, which would be, is overruled by a setting instead.
 */
#include "initrd_config.h"

#include "agents.h"
#include "cmdline.h"
#include "common/fail.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PATH_ROOM 4096

static const char no_devices[] = "# vdisk: the physical volumes listed in system.devices have other identities on the new machine\n"
                                 "devices {\n\tuse_devicesfile = 0\n}\n";

bool initrd_config_kept(const char *path)
{
	static const char *const patterns[] = {
		"conf/conf.d/*",   "conf/initramfs.conf",  "etc/lvm/*.conf",     "etc/lvm/devices/*.devices",
		"etc/mdadm.conf",  "etc/mdadm/mdadm.conf", "etc/modprobe.conf",  "etc/modprobe.d/*",
		"etc/cmdline.d/*", "etc/crypttab",         "cryptroot/crypttab", NULL
	};

	for (const char *const *p = patterns; *p; p++)
		if (!fnmatch(*p, path, 0))
			return true;
	return false;
}

/* ---------------------------------------------------------------- as a tree */

struct image_tree {
	struct tree tree;
	const struct initrd *initrd;
};

static const struct initrd_member *member_at(struct tree *t, const char *path)
{
	const struct image_tree *i = (const struct image_tree *)t;

	return initrd_find(i->initrd, path + strspn(path, "/"));
}

static int image_stat(struct tree *t, const char *path, bool follow, struct tree_stat *out, vdisk_error *err)
{
	const struct initrd_member *m = member_at(t, path);

	(void)follow;
	(void)err;
	if (!m && path[strspn(path, "/")])
		return 0;
	*out = (struct tree_stat){ .kind = !m || S_ISDIR(m->mode) ? TREE_FOLDER
		                            : S_ISREG(m->mode)     ? TREE_FILE
		                                                   : TREE_OTHER,
		                    .size = m ? m->size : 0,
		                    .mode = m ? m->mode & 07777 : 0755,
		                    .sure = true };
	return 1;
}

static int image_read(struct tree *t, const char *path, uint64_t max, struct bytes *out, vdisk_error *err)
{
	const struct initrd_member *m = member_at(t, path);

	if (!m || !S_ISREG(m->mode) || m->content.len != m->size)
		return 0;
	if (m->size > max)
		return fail(err, VDISK_UNSUPPORTED, "%s: is longer (%llu bytes) than what is read", path,
		            (unsigned long long)m->size);
	bytes_add(out, m->content.len ? m->content.at : "", m->content.len);
	return out->failed ? fail_nomem(err) : 1;
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static int image_list(struct tree *t, const char *path, struct bytes *names, vdisk_error *err)
{
	const struct initrd *i = ((const struct image_tree *)t)->initrd;
	char folder[PATH_ROOM];
	const char **v;
	size_t n = 0, len;

	if (!initrd_resolve(i, path + strspn(path, "/"), folder, sizeof(folder)))
		return 0;
	len = strlen(folder);
	v = calloc(i->members_n + 1, sizeof(*v));
	if (!v)
		return fail_nomem(err);
	for (size_t m = 0; m < i->members_n; m++) {
		const char *at = i->members[m].path;

		if (!strncmp(at, folder, len) && at[len] == '/' && !strchr(at + len + 1, '/') && at[len + 1])
			v[n++] = at + len + 1;
	}
	qsort(v, n, sizeof(*v), by_name);
	for (size_t m = 0; m < n; m++)
		if (!m || strcmp(v[m], v[m - 1]))
			bytes_add(names, v[m], strlen(v[m]) + 1);
	free(v);
	return names->failed ? fail_nomem(err) : n > 0;
}

/* Links on the way are followed by initrd_find() itself. */
static int image_link(struct tree *t, const char *path, struct bytes *target, vdisk_error *err)
{
	(void)t;
	(void)path;
	(void)target;
	(void)err;
	return 0;
}

static const struct tree_ops image_ops = { image_stat, image_read, image_list, image_link, NULL };

/* ---------------------------------------------------------------- */

void initrd_files_destroy(struct initrd_files *f)
{
	for (size_t i = 0; i < f->n; i++) {
		free(f->v[i].path);
		bytes_destroy(&f->v[i].content);
	}
	free(f->v);
	*f = (struct initrd_files){ 0 };
}

static int file_add(struct initrd_files *f, const char *path, const char *at, size_t len, vdisk_error *err)
{
	struct initrd_file *v = reallocarray(f->v, f->n + 1, sizeof(*v));

	if (!v)
		return fail_nomem(err);
	f->v = v;
	v[f->n] = (struct initrd_file){ .path = strdup(path + strspn(path, "/")) };
	bytes_add(&v[f->n].content, at, len);
	f->n++;
	return !v[f->n - 1].path || v[f->n - 1].content.failed ? fail_nomem(err) : 0;
}

/* The list of devices cannot go: the setting that has it looked at does. */
static int devices_overrule(struct plan *mine, vdisk_error *err)
{
	struct bytes local = { 0 };
	int rc = tree_text(&mine->view, "/etc/lvm/lvmlocal.conf", &local, err);

	if (rc >= 0) {
		if (local.len && local.at[local.len - 1] != '\n')
			bytes_text(&local, "\n");
		bytes_text(&local, no_devices);
		rc = local.failed
		             ? fail_nomem(err)
		             : plan_write(mine, "/etc/lvm/lvmlocal.conf", local.at, local.len, 0644, err, "LVM looks at all disks");
	}
	bytes_destroy(&local);
	return rc < 0 ? -1 : 0;
}

static int gather(struct plan *mine, struct initrd_files *out, vdisk_error *err)
{
	bool removed = false;

	for (size_t i = 0; i < mine->n; i++)
		removed = removed || (mine->changes[i].kind == CHANGE_REMOVE && strstr(mine->changes[i].path, ".devices"));
	if (removed && devices_overrule(mine, err))
		return -1;
	for (size_t i = 0; i < mine->n; i++) {
		const struct change *c = &mine->changes[i];

		if (c->kind == CHANGE_WRITE && file_add(out, c->path, c->content.len ? c->content.at : "", c->content.len, err))
			return -1;
	}
	return 0;
}

int initrd_config(struct plan *p, const struct facts *f, const struct adapt_options *o, const struct initrd *i,
                  struct initrd_files *out, vdisk_error *err)
{
	struct image_tree image = { .tree = { .ops = &image_ops }, .initrd = i };
	struct devices d;
	struct plan mine;
	int rc;

	*out = (struct initrd_files){ 0 };
	if (devices_read(&d, p, f, err))
		return -1;
	plan_init(&mine, &image.tree);
	rc = storage_adapt(&mine, &d, err) || crypttab_image_adapt(&mine, &d, err) || resume_image_adapt(&mine, &d, err) ||
	             modprobe_adapt(&mine, f, o, err) || gather(&mine, out, err)
	               ? -1 : 0;
	plan_destroy(&mine);
	if (rc)
		initrd_files_destroy(out);
	return rc;
}
