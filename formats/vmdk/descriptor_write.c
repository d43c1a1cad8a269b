/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writing a new descriptor, in the layout of VMware's own programs: importers (ESXi, ovftool) look for the adapter type, the
 * geometry and the virtual hardware's version, and take what they find only in this shape.
 */
#include "descriptor.h"

#include "base/alloc.h"
#include "base/bytes.h"

/* IDE disks: 16 heads, 63 sectors.  SCSI ones: what VMware's BIOS shows for that size. */
void vmdk_geometry(struct vmdk_geometry *g, uint64_t sectors, const char *adapter_type)
{
	uint64_t limit = 65535;
	if (!strcmp(adapter_type, "ide")) {
		*g = (struct vmdk_geometry){0, 16, 63};
		limit = 16383;
	} else if (sectors < (1u << 21)) {
		*g = (struct vmdk_geometry){0, 64, 32};
	} else if (sectors < (1u << 22)) {
		*g = (struct vmdk_geometry){0, 128, 32};
	} else {
		*g = (struct vmdk_geometry){0, 255, 63};
	}
	uint64_t cylinders = sectors / ((uint64_t)g->heads * g->sectors);
	g->cylinders = (uint32_t)vd_max(1, vd_min(cylinders, limit));
}

static char *lines_write(const struct vmdk_desc_new *n)
{
	char *text = vd_strdup("");
	for (size_t i = 0; text && i < n->n_lines; i++) {
		const struct vmdk_line *l = &n->lines[i];
		char *next;
		const char *access = vmdk_access_name(l->access), *type = vmdk_line_type_name(l->type);
		if (l->type == VMDK_LINE_FLAT)
			next = vd_asprintf("%s%s %" PRIu64 " %s \"%s\" %" PRIu64 "\n", text, access, l->sectors, type, l->name,
					   l->offset);
		else
			next = vd_asprintf("%s%s %" PRIu64 " %s \"%s\"\n", text, access, l->sectors, type, l->name);
		vd_free(text);
		text = next;
	}
	return text;
}

static char *uuid_write(const uint8_t u[16])
{
	return vd_asprintf("60 00 C2 9%x %02x %02x %02x %02x-%02x %02x %02x %02x %02x %02x %02x %02x", u[3] & 15u, u[4], u[5], u[6],
			   u[7], u[8], u[9], u[10], u[11], u[12], u[13], u[14], u[15]);
}

/* VirtualBox looks for four, and makes room for what is missing in images that it opens to write. */
static char *image_uuid_write(const char *uuid)
{
	static const char none[] = "00000000-0000-0000-0000-000000000000";
	if (!uuid)
		return vd_strdup("");
	return vd_asprintf("ddb.uuid.image=\"%s\"\n"
			   "ddb.uuid.modification=\"%s\"\n"
			   "ddb.uuid.parent=\"%s\"\n"
			   "ddb.uuid.parentmodification=\"%s\"\n",
			   uuid, none, none, none);
}

char *vmdk_desc_write(const struct vmdk_desc_new *n)
{
	struct vmdk_geometry g;
	vmdk_geometry(&g, n->sectors, n->adapter_type);
	VD_AUTO_FREE char *lines = lines_write(n);
	VD_AUTO_FREE char *uuid = uuid_write(n->uuid);
	VD_AUTO_FREE char *image_uuid = image_uuid_write(n->image_uuid);
	VD_AUTO_FREE char *hint = n->parent_hint ? vd_asprintf("parentFileNameHint=\"%s\"\n", n->parent_hint) : vd_strdup("");
	if (!lines || !uuid || !image_uuid || !hint)
		return NULL;
	const uint8_t *r = n->long_id;
	return vd_asprintf("# Disk DescriptorFile\n"
			   "version=1\n"
			   "encoding=\"UTF-8\"\n"
			   "CID=%08x\n"
			   "parentCID=%08x\n"
			   "createType=\"%s\"\n"
			   "%s"
			   "\n"
			   "# Extent description\n"
			   "%s"
			   "\n"
			   "# The Disk Data Base\n"
			   "#DDB\n"
			   "\n"
			   "ddb.adapterType = \"%s\"\n"
			   "ddb.geometry.cylinders = \"%u\"\n"
			   "ddb.geometry.heads = \"%u\"\n"
			   "ddb.geometry.sectors = \"%u\"\n"
			   /* its last eight digits are the CID */
			   "ddb.longContentID = \"%02x%02x%02x%02x%02x%02x%02x%02x%02x%02x%02x%02x%08x\"\n"
			   "%s"
			   "ddb.toolsVersion = \"%s\"\n"
			   "ddb.uuid = \"%s\"\n"
			   "%s"
			   "ddb.virtualHWVersion = \"%s\"\n",
			   n->cid, n->parent_cid, n->create_type, hint, lines, n->adapter_type, g.cylinders, g.heads, g.sectors,
			   r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7], r[8], r[9], r[10], r[11], n->cid,
			   n->thin ? "ddb.thinProvisioned = \"1\"\n" : "", n->toolsversion, uuid, image_uuid, n->hwversion);
}
