/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns struct facts.  What a guest's file says is taken as text and never as a path of this machine. */
#include "facts_parts.h"

#include "common/fail.h"
#include "windows.h"

#include <stdlib.h>
#include <string.h>

char *look_dup(struct look *l, const char *text)
{
	char *copy = strdup(text);

	if (!copy)
		l->nomem = true;
	return copy;
}

void look_set(struct look *l, char **to, const char *text)
{
	char *copy = text ? look_dup(l, text) : NULL;

	if (!copy)
		return;
	free(*to);
	*to = copy;
}

int look_there(struct look *l, const char *path) { return tree_exists(l->t, path, l->err); }

int look_first(struct look *l, const char *const *paths, const char **which)
{
	for (; *paths; paths++) {
		int rc = look_there(l, *paths);

		if (rc) {
			*which = *paths;
			return rc;
		}
	}
	return 0;
}

int look_text(struct look *l, const char *path, struct bytes *out)
{
	vdisk_error why;
	int rc;

	bytes_clear(out);
	rc = tree_text(l->t, path, out, &why);
	if (rc < 0 && (why.kind == VDISK_CORRUPT || why.kind == VDISK_UNSUPPORTED)) {
		bytes_clear(out);
		return 0;
	}
	if (rc < 0 && l->err)
		*l->err = why;
	return rc;
}

void *look_grow(struct look *l, void *array, size_t n, size_t size)
{
	char *v = reallocarray(array, n + 1, size);

	if (!v) {
		l->nomem = true;
		return NULL;
	}
	memset(v + n * size, 0, size);
	return v;
}

/* Nothing is NULL. */
static void texts_fill(struct look *l)
{
	struct facts *f = l->f;
	char **v[] = { &f->os,       &f->like,          &f->product, &f->version, &f->arch,
		       &f->hostname, &f->loader_config, &f->esp,     &f->init,    &f->package_format };

	for (size_t i = 0; i < sizeof(v) / sizeof(*v); i++)
		if (!*v[i])
			*v[i] = look_dup(l, "");
	for (size_t i = 0; i < f->fs_n; i++) {
		struct fact_fs *s = &f->fs[i];
		char **w[] = { &s->where,    &s->device,    &s->type,  &s->uuid,      &s->label,
			       &s->partuuid, &s->partlabel, &s->mount, &s->subvolume, &s->fstab };

		for (size_t k = 0; k < sizeof(w) / sizeof(*w); k++)
			if (!*w[k])
				*w[k] = look_dup(l, "");
	}
}

static int windows_read(struct look *l)
{
	struct windows_facts *w = NULL;
	int rc = windows_facts_read(&w, l->t, l->err);

	if (rc <= 0)
		return rc;
	l->f->kind = GUEST_WINDOWS;
	l->f->windows = w;
	l->f->loaders |= LOADER_WINDOWS;
	look_set(l, &l->f->os, "windows");
	look_set(l, &l->f->product, w->product);
	look_set(l, &l->f->version, w->version);
	look_set(l, &l->f->arch, w->arch);
	look_set(l, &l->f->hostname, w->hostname);
	return 0;
}

int facts_read(struct facts *f, struct tree *t, vdisk_error *err)
{
	static int (*const parts[])(struct look *) = { facts_mounts, facts_kernels, facts_loader, facts_network, facts_agents };
	struct look l = { .f = f, .t = t, .err = err };
	int rc;

	texts_fill(&l);
	rc = l.nomem ? 0 : windows_read(&l);
	if (!rc && f->kind == GUEST_UNKNOWN)
		rc = facts_os(&l);
	for (size_t i = 0; !rc && !l.nomem && f->kind == GUEST_LINUX && i < sizeof(parts) / sizeof(*parts); i++)
		rc = parts[i](&l);
	texts_fill(&l);
	return rc ? -1 : l.nomem ? fail(err, VDISK_NOMEM, "out of memory") : 0;
}

static void fs_destroy(struct fact_fs *s)
{
	free(s->where);
	free(s->device);
	free(s->type);
	free(s->uuid);
	free(s->label);
	free(s->partuuid);
	free(s->partlabel);
	free(s->mount);
	free(s->subvolume);
	free(s->fstab);
}

static void kernel_destroy(struct fact_kernel *k)
{
	free(k->release);
	free(k->path);
	free(k->initrd);
	free(k->modules);
	free(k->storage);
	free(k->network);
}

void facts_destroy(struct facts *f)
{
	for (size_t i = 0; i < f->fs_n; i++)
		fs_destroy(&f->fs[i]);
	for (size_t i = 0; i < f->kernels_n; i++)
		kernel_destroy(&f->kernels[i]);
	for (size_t i = 0; i < f->nics_n; i++) {
		free(f->nics[i].name);
		free(f->nics[i].mac);
		free(f->nics[i].driver);
		free(f->nics[i].addresses);
		free(f->nics[i].source);
	}
	for (size_t i = 0; i < f->agents_n; i++) {
		free(f->agents[i].name);
		free(f->agents[i].of);
		free(f->agents[i].source);
	}
	free(f->fs);
	free(f->kernels);
	free(f->nics);
	free(f->agents);
	windows_facts_free(f->windows);
	free(f->os);
	free(f->like);
	free(f->product);
	free(f->version);
	free(f->arch);
	free(f->hostname);
	free(f->loader_config);
	free(f->esp);
	free(f->init);
	free(f->package_format);
	*f = (struct facts){ 0 };
}
