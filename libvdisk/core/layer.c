/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guarded door to a layer: each call checks the question on the way in and the driver's answer on the way out, and holds the
 * layer's lock meanwhile, so that drivers stay naive.  Lock order: claim → layer → file; no data I/O under the layer's lock.
 */
#include "core/image.h"
#include "core/layer.h"
#include "base/alloc.h"
#include "base/bytes.h"

#include <assert.h>
#include <sys/stat.h>

struct vd_layer *vd_layer_new(const struct vd_driver *drv, const char *path)
{
	pthread_rwlockattr_t attr;
	struct vd_layer *l = vd_calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->drv = drv;
	l->path = vd_strdup(path);
	if (!l->path) {
		vd_free(l);
		return NULL;
	}
	l->alloc_grain = l->presence_grain = 1;
	pthread_rwlockattr_init(&attr);
	/* Many readers must not keep a writer out for ever. */
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&l->lock, &attr);
	pthread_rwlockattr_destroy(&attr);
	return l;
}

int vd_layer_add_file(struct vd_layer *l, struct vd_file *f, uint16_t *file, vd_error *err)
{
	struct vd_file **files;

	if (l->n_files >= VD_LAYER_FILES)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "%s: more than %u files", l->path, VD_LAYER_FILES);
	files = vd_realloc(l->files, l->n_files + 1u, sizeof(struct vd_file *));
	if (!files)
		return vd_fail_nomem(err, sizeof(struct vd_file *) * (l->n_files + 1u));
	l->files = files;
	files[l->n_files] = f;
	if (file)
		*file = l->n_files;
	l->n_files++;
	return 0;
}

void vd_layer_free(struct vd_layer *l)
{
	if (!l)
		return;
	if (l->priv)
		l->drv->close(l);
	for (unsigned i = 0; i < l->n_files; i++)
		vd_file_close(l->files[i]);
	vd_free(l->files);
	for (unsigned i = 0; i < l->parent_ref.n_names; i++)
		vd_free(l->parent_ref.names[i]);
	vd_free(l->parent_ref.format);
	vd_free(l->parent_problem);
	vd_free(l->path);
	pthread_rwlock_destroy(&l->lock);
	vd_free(l);
}

uint32_t vd_layer_caps(const struct vd_layer *l)
{
	return l->drv->layer_caps ? l->drv->layer_caps(l) : 0;
}

/* What map() answered: our own drivers' mistakes show here, not as wrong data. */
static void extents_verify(const struct vd_layer *l, const struct vd_extents *e)
{
	uint64_t at = e->off;

	assert(e->n > 0 && e->n <= e->cap);
	for (size_t i = 0; i < e->n; i++) {
		const struct vd_extent *x = &e->v[i];

		assert(x->off == at && x->len > 0 && x->len <= e->end - x->off);
		assert(!(x->flags & (VD_EXT_MAPPED | VD_EXT_COMPRESSED)) || x->file < l->n_files);
		assert(!(x->flags & VD_EXT_MAPPED) || x->host_len == x->len);
		assert(!(x->flags & VD_EXT_WRITABLE) || (x->flags & VD_EXT_MAPPED));
		assert(!(x->flags & VD_EXT_COMPRESSED) || (x->kind == VD_DATA && !(x->flags & VD_EXT_MAPPED)));
		assert(x->kind != VD_DATA || (x->flags & (VD_EXT_MAPPED | VD_EXT_COMPRESSED)));
		at = x->off + x->len;
	}
	assert(at == e->next && at > e->off);
}

int vd_layer_map(struct vd_layer *l, uint64_t off, uint64_t len, uint32_t flags, struct vd_extents *e, vd_error *err)
{
	int rc;

	assert(len > 0 && vd_within(off, len, l->size) && e->next == off && e->cap > 0);
	pthread_rwlock_rdlock(&l->lock);
	rc = l->drv->map(l, off, len, flags, e, err);
	pthread_rwlock_unlock(&l->lock);
	if (rc)
		return vd_fail_in(err, "%s", l->path);
	extents_verify(l, e);
	if (!(l->flags & VD_LAYER_WRITABLE) || l->broken)
		for (size_t i = 0; i < e->n; i++)
			e->v[i].flags &= ~VD_EXT_WRITABLE;
	return 0;
}

static int layer_refuse(const struct vd_layer *l, vd_error *err)
{
	if (l->broken)
		return vd_fail(err, VDISK_IO, VDISK_NO_OFFSET, "%s: read-only since a metadata update failed; open it again",
		               l->path);
	return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: not open for writing%s%s", l->path, l->ro_reason ? ": " : "",
	               l->ro_reason ? l->ro_reason : "");
}

int vd_layer_begin(struct vd_layer *l, vd_error *err)
{
	int rc = 0;

	if (!(l->flags & VD_LAYER_WRITABLE) || l->broken)
		return layer_refuse(l, err);
	if (l->begun)
		return 0;
	pthread_rwlock_wrlock(&l->lock);
	if (!l->begun && l->drv->begin_write)
		rc = l->drv->begin_write(l, err);
	if (!rc)
		l->begun = true;
	pthread_rwlock_unlock(&l->lock);
	return rc ? vd_fail_in(err, "%s", l->path) : 0;
}

int vd_layer_touch(struct vd_layer *l, uint64_t off, uint64_t len, vd_error *err)
{
	int rc;

	if (!l->tracked)
		return 0;
	do {
		pthread_rwlock_rdlock(&l->lock);
		rc = l->drv->bitmaps->touch(l, off, len, err);
		pthread_rwlock_unlock(&l->lock);
		if (rc <= 0)
			break;
		pthread_rwlock_wrlock(&l->lock);
		rc = l->drv->bitmaps->begin(l, err);
		pthread_rwlock_unlock(&l->lock);
	} while (!rc);
	return rc ? vd_fail_in(err, "%s", l->path) : 0;
}

int vd_layer_reserve(struct vd_layer *l, struct vd_resv *r, vd_error *err)
{
	uint64_t asked = r->len;
	int rc;

	assert(r->len > 0 && r->off % l->presence_grain == 0 && r->off < l->size);
	assert(r->len % l->presence_grain == 0);
	assert(r->off + r->len <= vd_up(l->size, l->alloc_grain));
	if (!(l->flags & VD_LAYER_WRITABLE) || l->broken)
		return layer_refuse(l, err);
	if (!l->drv->reserve)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "%s: %s images cannot be written to", l->path,
		               l->drv->info.name);
	pthread_rwlock_wrlock(&l->lock);
	rc = l->drv->reserve(l, r, err);
	pthread_rwlock_unlock(&l->lock);
	if (rc)
		return vd_fail_in(err, "%s", l->path);
	assert(r->len > 0 && r->len <= asked && r->len % l->presence_grain == 0);
	assert(r->kind != VD_DATA || r->file < l->n_files);
	return 0;
}

int vd_layer_publish(struct vd_layer *l, const struct vd_resv *r, size_t n, vd_error *err)
{
	int rc;

	if (l->broken)
		return layer_refuse(l, err);
	pthread_rwlock_wrlock(&l->lock);
	rc = l->drv->publish(l, r, n, err);
	if (rc)
		l->broken = true; /* C4 */
	pthread_rwlock_unlock(&l->lock);
	return rc ? vd_fail_in(err, "%s", l->path) : 0;
}

void vd_layer_abandon(struct vd_layer *l, struct vd_resv *r)
{
	pthread_rwlock_wrlock(&l->lock);
	if (l->drv->abandon)
		l->drv->abandon(l, r);
	pthread_rwlock_unlock(&l->lock);
}

int vd_layer_unmap(struct vd_layer *l, uint64_t off, uint64_t len, enum vd_kind to, vd_error *err)
{
	int rc = 0;

	if (!(l->flags & VD_LAYER_WRITABLE) || l->broken)
		return layer_refuse(l, err);
	if (!l->drv->unmap)
		return 0;
	pthread_rwlock_wrlock(&l->lock);
	rc = l->drv->unmap(l, off, len, to, err);
	if (rc)
		l->broken = true;
	pthread_rwlock_unlock(&l->lock);
	return rc ? vd_fail_in(err, "%s", l->path) : 0;
}

int vd_layer_flush(struct vd_layer *l, vd_error *err)
{
	int rc;

	if (l->broken)
		return layer_refuse(l, err);
	pthread_rwlock_wrlock(&l->lock);
	rc = l->drv->flush(l, err);
	pthread_rwlock_unlock(&l->lock);
	return rc ? vd_fail_in(err, "%s", l->path) : 0;
}

static int parent_ref_make(struct vd_parent_ref *ref, const struct vd_new_parent *p, vd_error *err)
{
	*ref = (struct vd_parent_ref){ 0 };
	if (!p)
		return 0;
	ref->names[0] = vd_strdup(p->name);
	ref->n_names = 1;
	ref->format = vd_strdup(p->format);
	return ref->names[0] && ref->format ? 0 : vd_fail_nomem(err, strlen(p->name));
}

static void parent_ref_clear(struct vd_parent_ref *ref)
{
	for (unsigned i = 0; i < ref->n_names; i++)
		vd_free(ref->names[i]);
	vd_free(ref->format);
}

int vd_layer_set_parent(struct vd_layer *l, const struct vd_new_parent *p, vd_error *err)
{
	struct vd_parent_ref ref;
	int rc;

	if (!l->drv->set_parent)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "%s: %s images have no parents", l->path,
		               l->drv->info.name);
	if (vd_layer_begin(l, err) || vd_layer_flush(l, err))
		return -1;
	if (parent_ref_make(&ref, p, err)) {
		parent_ref_clear(&ref);
		return -1;
	}
	if (p && l->parent_ref.id.kind != VD_ID_NONE)
		ref.id = p->layer->id;
	pthread_rwlock_wrlock(&l->lock);
	rc = l->drv->set_parent(l, p, err);
	pthread_rwlock_unlock(&l->lock);
	if (rc) {
		l->broken = !err || err->kind != VDISK_UNSUPPORTED;
		parent_ref_clear(&ref);
		return vd_fail_in(err, "%s", l->path);
	}
	parent_ref_clear(&l->parent_ref);
	l->parent_ref = ref;
	return 0;
}

int vd_layer_write_at(struct vd_layer *l, const struct vd_resv *r, const void *buf, size_t len, vd_error *err)
{
	VD_AUTO_FREE uint8_t *copy = NULL;

	if (r->flags & VD_RESV_CIPHERED) {
		copy = vd_malloc(len);
		if (!copy)
			return vd_fail_nomem(err, len);
		memcpy(copy, buf, len);
		if (l->drv->codec->crypt(l, true, r->off, r->host, copy, len, err))
			return vd_fail_in(err, "%s", l->path);
		buf = copy;
	}
	return vd_file_pwrite(l->files[r->file], buf, len, r->host, err);
}

void vd_layer_identify(struct vd_layer *l)
{
	struct stat st;

	if (l->files[0]->fd < 0 || fstat(l->files[0]->fd, &st))
		return;
	l->dev = st.st_dev;
	l->ino = st.st_ino;
}
