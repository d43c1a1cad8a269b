/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What `vdisk inspect` tells of a kernel: which storage and network drivers it has before its root is there.  Judged by where
   drivers stand in the kernel's tree; an initramfs that keeps its modules in one folder (mkinitcpio) is asked for names, and the
   guest's modules.dep for the place. */
#include "initrd.h"

#include "common/fail.h"
#include "kmod.h"

#include <stdlib.h>
#include <string.h>

struct names {
	char **list;
	size_t n, cap;
	bool failed;
};

enum module_class module_class(const char *path)
{
	static const struct {
		const char *folder;
		enum module_class class;
	} folders[] = {
		{ "/net/phy/", MODULE_OTHER }, { "/net/mdio/", MODULE_OTHER }, { "/net/pcs/", MODULE_OTHER },
		{ "/net/ppp/", MODULE_OTHER }, { "/net/dsa/", MODULE_OTHER }, { "/net/", MODULE_NETWORK },
		{ "/ata/", MODULE_STORAGE }, { "/scsi/", MODULE_STORAGE }, { "/nvme/host/", MODULE_STORAGE },
		{ "/message/fusion/", MODULE_STORAGE }, { "/mmc/", MODULE_STORAGE }, { "/ide/", MODULE_STORAGE },
		{ "/usb/storage/", MODULE_STORAGE }, { "/ufs/", MODULE_STORAGE }, { "/block/aoe/", MODULE_STORAGE },
		{ "/block/virtio_blk.", MODULE_STORAGE }, { "/block/xen-blkfront.", MODULE_STORAGE },
		{ "/block/cciss.", MODULE_STORAGE }, { "/block/cpqarray.", MODULE_STORAGE },
		{ "/block/DAC960.", MODULE_STORAGE }, { "/block/mtip32xx/", MODULE_STORAGE },
		{ "/block/sx8.", MODULE_STORAGE },
	};
	const char *at = strstr(path, "drivers/");

	for (size_t i = 0; at && i < sizeof(folders) / sizeof(folders[0]); i++)
		if (!strncmp(at + 7, folders[i].folder, strlen(folders[i].folder)))
			return folders[i].class;
	return MODULE_OTHER;
}

static int by_text(const void *a, const void *b)
{
	const char *const *x = a, *const *y = b;

	return strcmp(*x, *y);
}

static void names_add(struct names *v, const char *name)
{
	if (v->n == v->cap) {
		size_t cap = v->cap ? 2 * v->cap : 64;
		char **list = realloc(v->list, cap * sizeof(*list));

		if (!list) {
			v->failed = true;
			return;
		}
		v->list = list;
		v->cap = cap;
	}
	v->list[v->n] = strdup(name);
	v->failed |= !v->list[v->n];
	v->n += v->list[v->n] != NULL;
}

/* Sorted, each once, blanks between; takes the names.  NULL: no memory. */
static char *names_join(struct names *v)
{
	struct bytes out = { 0 };

	if (v->n)
		qsort(v->list, v->n, sizeof(*v->list), by_text);
	for (size_t i = 0; i < v->n; i++)
		if (!i || strcmp(v->list[i], v->list[i - 1]))
			bytes_format(&out, "%s%s", out.len ? " " : "", v->list[i]);
	for (size_t i = 0; i < v->n; i++)
		free(v->list[i]);
	free(v->list);
	bytes_text(&out, "");
	if (out.failed || v->failed)
		bytes_destroy(&out);
	return out.at;
}

static void driver_add(struct names by[3], const char *path)
{
	enum module_class class = module_class(path);
	char name[256];

	if (class != MODULE_OTHER && module_name(path, name, sizeof(name)))
		names_add(&by[class], name);
}

static void builtins_add(struct names by[3], const struct kmod *k)
{
	const char *at;
	char path[4096];
	size_t pos = 0, len;

	while (kmod_line(&k->builtin, &pos, &at, &len)) {
		if (len >= sizeof(path))
			continue;
		memcpy(path, at, len);
		path[len] = '\0';
		driver_add(by, path);
	}
}

/* 1 where it could be read. */
static int initrd_of(struct tree *t, const char *path, struct initrd *i, struct bytes *why, vdisk_error *err)
{
	struct bytes file = { 0 };
	vdisk_error e;
	int rc = t->ops->read(t, path, INITRD_MAX, &file, &e);

	if (!rc)
		bytes_format(why, "%s: is not there", path);
	else if (rc > 0 && initrd_read(i, file.at, file.len, &e))
		rc = -1;
	bytes_destroy(&file);
	if (rc >= 0)
		return rc;
	if (e.kind == VDISK_NOMEM || e.kind == VDISK_IO) {
		*err = e;
		return -1;
	}
	bytes_format(why, "%s: %s", path, e.message);
	return 0;
}

int initrd_facts(struct tree *t, struct fact_kernel *k, enum initrd_tool *tool, struct bytes *why, vdisk_error *err)
{
	struct initrd i = { 0 };
	struct kmod kmod = { 0 };
	struct names by[3] = { 0 };
	char *storage, *network;
	int rc = 0;

	*tool = INITRD_UNKNOWN;
	if (*k->modules && (rc = kmod_open(&kmod, t, k->modules, k->release, err)) < 0)
		return -1;
	if (*k->initrd && (rc = initrd_of(t, k->initrd, &i, why, err)) < 0) {
		kmod_close(&kmod);
		return -1;
	}
	builtins_add(by, &kmod);
	for (size_t n = 0; n < i.modules_n; n++) {
		const struct kmod_module *m = kmod_find(&kmod, i.modules[n].name);

		driver_add(by, m ? m->path : i.modules[n].path);
	}
	*tool = i.tool;
	initrd_destroy(&i);
	kmod_close(&kmod);
	storage = names_join(&by[MODULE_STORAGE]);
	network = names_join(&by[MODULE_NETWORK]);
	if (!storage || !network || why->failed) {
		free(storage);
		free(network);
		return fail_nomem(err);
	}
	free(k->storage);
	free(k->network);
	k->storage = storage;
	k->network = network;
	return 0;
}
