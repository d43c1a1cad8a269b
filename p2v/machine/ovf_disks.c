/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* OVF's files and the disks in them: what the envelope refers to, and how large it says that it is. */
#include "common/fail.h"
#include "ovf.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* "byte * 2^20" in its spellings, and the words of 0.9. */
uint64_t ovf_units(const char *text)
{
	static const struct {
		const char *name;
		unsigned shift;
	} words[] = { { "byte", 0 }, { "bytes", 0 },      { "kilobytes", 10 }, { "kb", 10 },        { "megabytes", 20 },
		      { "mb", 20 },  { "gigabytes", 30 }, { "gb", 30 },        { "terabytes", 40 }, { "tb", 40 } };
	char plain[64];
	size_t n = 0;
	uint64_t power, value = 1;

	for (; *text && n < sizeof(plain) - 1; text++)
		if (*text != ' ')
			plain[n++] = *text;
	plain[n] = '\0';
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (!strcasecmp(plain, words[i].name))
			return (uint64_t)1 << words[i].shift;
	if (!strncasecmp(plain, "byte*2^", 7))
		return xml_number(plain + 7, 60, &power) ? (uint64_t)1 << power : 0;
	if (!strncasecmp(plain, "byte*10^", 8) && xml_number(plain + 8, 18, &power)) {
		while (power--)
			value *= 10;
		return value;
	}
	return xml_number(plain, (uint64_t)1 << 60, &value) ? value : 0;
}

struct ovf_file *ovf_file_find(struct ovf *o, const char *id)
{
	for (size_t i = 0; id && i < o->files_n; i++)
		if (!strcmp(o->files[i].id, id))
			return &o->files[i];
	return NULL;
}

struct ovf_disk *ovf_disk_find(struct ovf *o, const char *id)
{
	for (size_t i = 0; id && i < o->disks_n; i++)
		if (!strcmp(o->disks[i].id, id))
			return &o->disks[i];
	return NULL;
}

size_t ovf_count(xmlNode *parent, const char *name)
{
	size_t n = 0;

	XML_EACH(node, parent, name)
		n++;
	return n;
}

static int file_take(struct ovf *o, xmlNode *node, struct ovf_file *f)
{
	const char *size = xml_attr(&o->x, node, "size"), *chunk = xml_attr(&o->x, node, "chunkSize");

	f->id = xml_attr(&o->x, node, "id");
	f->href = xml_attr(&o->x, node, "href");
	f->compression = xml_attr(&o->x, node, "compression");
	if (!f->id || !*f->id)
		return fail(o->err, VDISK_CORRUPT, "line %ld: <File> has no id", xmlGetLineNo(node));
	if (!f->href || !*f->href)
		return fail(o->err, VDISK_CORRUPT, "line %ld: file \"%.64s\" has no href", xmlGetLineNo(node), f->id);
	if (ovf_file_find(o, f->id) != f)
		return fail(o->err, VDISK_CORRUPT, "line %ld: two files have the id \"%.64s\"", xmlGetLineNo(node), f->id);
	if (size && !xml_number(size, INT64_MAX, &f->size))
		return fail(o->err, VDISK_CORRUPT, "line %ld: size of file \"%.64s\" is \"%.32s\"", xmlGetLineNo(node), f->id,
		            size);
	if (chunk && (!xml_number(chunk, INT64_MAX, &f->chunk) || !f->chunk))
		return fail(o->err, VDISK_CORRUPT, "line %ld: chunkSize of file \"%.64s\" is \"%.32s\"", xmlGetLineNo(node), f->id,
		            chunk);
	if (f->compression && (!*f->compression || !strcmp(f->compression, "identity")))
		f->compression = NULL;
	return 0;
}

int ovf_references(struct ovf *o, xmlNode *root)
{
	xmlNode *references = xml_child(root, "References");
	size_t n = ovf_count(references, "File");

	if (!references)
		return fail(o->err, VDISK_CORRUPT, "the envelope has no <References>");
	for (xmlNode *c = references->children; c; c = c->next)
		if (c->type == XML_ELEMENT_NODE && !xml_is(c, "File") && ovf_unknown(o, c))
			return -1;
	o->files = calloc(n + 1, sizeof(*o->files));
	if (!o->files)
		return fail_nomem(o->err);
	XML_EACH(node, references, "File") {
		if (o->files_n == MACHINE_LIST_MAX)
			return fail(o->err, VDISK_UNSUPPORTED, "there are more than %d files", MACHINE_LIST_MAX);
		if (file_take(o, node, &o->files[o->files_n++]))
			return -1;
	}
	return 0;
}

/* The value of a property, for a capacity "${NAME}": by its key in any product section. */
static const char *property_find(const xmlNode *node, const char *key, size_t len, unsigned depth)
{
	const char *name, *found = NULL;

	for (const xmlNode *c = depth < OVF_NESTING_MAX ? node->children : NULL; c && !found; c = c->next) {
		if (c->type != XML_ELEMENT_NODE)
			continue;
		name = xml_is(c, "Property") ? xml_peek(c, "key") : NULL;
		if (name && strlen(name) == len && !strncmp(name, key, len))
			found = xml_peek(c, "value");
		else if (!name)
			found = property_find(c, key, len, depth + 1);
	}
	return found;
}

static int capacity_take(struct ovf *o, xmlNode *node, struct ovf_disk *d)
{
	const char *text = xml_attr(&o->x, node, "capacity"), *units = xml_attr(&o->x, node, "capacityAllocationUnits");
	const char *value = text;
	uint64_t n, factor = units ? ovf_units(units) : 1;

	if (!text || !*text)
		return fail(o->err, VDISK_CORRUPT, "line %ld: disk \"%.64s\" has no capacity", xmlGetLineNo(node), d->id);
	if (!strncmp(text, "${", 2) && text[strlen(text) - 1] == '}')
		value = property_find(o->x.root, text + 2, strlen(text) - 3, 0);
	if (!value)
		return fail(o->err, VDISK_CORRUPT, "line %ld: capacity of disk \"%.64s\" is a property that there is not: %.64s",
			    xmlGetLineNo(node), d->id, text);
	if (!factor)
		return fail(o->err, VDISK_CORRUPT, "line %ld: units of disk \"%.64s\" are not understood: \"%.64s\"",
		            xmlGetLineNo(node), d->id, units);
	if (!xml_number(value, INT64_MAX, &n) || !n || __builtin_mul_overflow(n, factor, &d->capacity) || d->capacity > INT64_MAX)
		return fail(o->err, VDISK_CORRUPT, "line %ld: capacity of disk \"%.64s\" is \"%.64s\"", xmlGetLineNo(node), d->id,
		            value);
	return 0;
}

static int populated_judge(struct ovf *o, xmlNode *node, const struct ovf_disk *d)
{
	const char *text = xml_attr(&o->x, node, "populatedSize");
	uint64_t n;

	if (!text)
		return 0;
	if (!xml_number(text, INT64_MAX, &n))
		return fail(o->err, VDISK_CORRUPT, "line %ld: populatedSize of disk \"%.64s\" is \"%.64s\"", xmlGetLineNo(node),
		            d->id, text);
	if (n > d->capacity)
		return fail(o->err, VDISK_CORRUPT, "line %ld: disk \"%.64s\" has %llu bytes populated of %llu", xmlGetLineNo(node),
		            d->id, (unsigned long long)n, (unsigned long long)d->capacity);
	return 0;
}

static int disk_take(struct ovf *o, xmlNode *node, struct ovf_disk *d)
{
	const char *ref = xml_attr(&o->x, node, "fileRef");

	d->id = xml_attr(&o->x, node, "diskId");
	d->format = xml_attr(&o->x, node, "format");
	d->parent = xml_attr(&o->x, node, "parentRef");
	xml_attr(&o->x, node, "allocationUnits");
	if (!d->id || !*d->id)
		return fail(o->err, VDISK_CORRUPT, "line %ld: <Disk> has no diskId", xmlGetLineNo(node));
	if (ovf_disk_find(o, d->id) != d)
		return fail(o->err, VDISK_CORRUPT, "line %ld: two disks have the diskId \"%.64s\"", xmlGetLineNo(node), d->id);
	if (capacity_take(o, node, d) || populated_judge(o, node, d))
		return -1;
	if (!ref || !*ref)
		return 0;
	d->file = ovf_file_find(o, ref);
	if (!d->file)
		return fail(o->err, VDISK_CORRUPT, "line %ld: disk \"%.64s\" is in file \"%.64s\", which there is not",
		            xmlGetLineNo(node), d->id, ref);
	if (d->file->disks++)
		return fail(o->err, VDISK_CORRUPT, "line %ld: file \"%.64s\" holds two disks", xmlGetLineNo(node), ref);
	return 0;
}

int ovf_disks(struct ovf *o, xmlNode *section)
{
	size_t n = ovf_count(section, "Disk");

	if (o->disks)
		return fail(o->err, VDISK_CORRUPT, "line %ld: a second DiskSection", xmlGetLineNo(section));
	for (xmlNode *c = section->children; c; c = c->next)
		if (c->type == XML_ELEMENT_NODE && !xml_is(c, "Disk") && !xml_is(c, "Info") && ovf_unknown(o, c))
			return -1;
	o->disks = calloc(n + 1, sizeof(*o->disks));
	if (!o->disks)
		return fail_nomem(o->err);
	XML_EACH(node, section, "Disk") {
		if (o->disks_n == MACHINE_LIST_MAX)
			return fail(o->err, VDISK_UNSUPPORTED, "there are more than %d disks", MACHINE_LIST_MAX);
		if (disk_take(o, node, &o->disks[o->disks_n++]))
			return -1;
	}
	return 0;
}

static const char *format_of(const char *uri)
{
	static const char *const names[][2] = { { "vmdk", "vmdk" },  { "vhdx", "vhdx" }, { "vhd", "vhd" },
		                                { "qcow", "qcow2" }, { "vdi", "vdi" },   { "iso", NULL } };

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (strcasestr(uri, names[i][0]))
			return names[i][1];
	return NULL;
}

void ovf_disk_use(struct ovf *o, struct machine_disk *d, struct ovf_disk *disk)
{
	disk->used = true;
	d->ref = machine_text(o->m, disk->id);
	d->size = disk->parent && !disk->file ? 0 : disk->capacity; /* without a file it is empty, unless it shows another disk */
	d->format = disk->format ? format_of(disk->format) : NULL; /* else the image says it itself */
	if (disk->parent)
		machine_lost_add(&o->m->lost, disk->parent, "it lies over another disk of the envelope", "disk %s", disk->id);
	if (!disk->file)
		return;
	machine_disk_path(o->m, d, disk->file->href);
	d->file_size = disk->file->size;
	d->chunk_size = disk->file->chunk;
	d->compression = machine_text(o->m, disk->file->compression);
}

static bool is_parent(const struct ovf *o, const char *id)
{
	for (size_t i = 0; i < o->disks_n; i++)
		if (o->disks[i].parent && !strcmp(o->disks[i].parent, id))
			return true;
	return false;
}

void ovf_disks_left(struct ovf *o)
{
	for (size_t i = 0; o->m->systems == 1 && i < o->disks_n; i++) {
		const struct ovf_disk *d = &o->disks[i];

		if (!d->used && !is_parent(o, d->id))
			machine_lost_add(&o->m->lost, d->file ? d->file->href : NULL, "the machine has no device for it",
			                 "disk %.128s", d->id);
	}
}
