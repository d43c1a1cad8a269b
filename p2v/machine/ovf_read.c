/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * OVF envelopes, by DSP0243: 1.x and 2.0, and the 0.9 that VMware wrote before.  What the standard demands of an envelope and a lie
 * about which could make another machine of it is refused; sections of others' making are passed over where they say that they may
 * be.  What is for people only (<Info>), or what the image tells better (its format), may be missing, as it often is.
 */
#include "common/fail.h"
#include "formats.h"
#include "os.h"
#include "ovf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const sections[] = {
	"DiskSection", "NetworkSection", "VirtualHardwareSection", "OperatingSystemSection", "ProductSection", "EulaSection",
	"AnnotationSection", "StartupSection", "DeploymentOptionSection", "ResourceAllocationSection", "InstallSection",
	"EnvironmentFilesSection", "BootDeviceSection", "SharedDiskSection", "ScaleOutSection", "PlacementGroupSection",
	"PlacementSection", "EncryptionSection", NULL
};

static const char *const harmless[] = {
	"Info", "Description", "Label", "Category", "Caption", "ElementName", "InstanceID", "InstanceId", "@msgid", "@lang",
	"@required", "@id", "@buildId", "@schemaLocation", "@type", "VirtualQuantityUnits", "AutomaticAllocation", "Strings",
	"@uuid", "Reservation", "@noNamespaceSchemaLocation", "Weight", "PoolID", NULL
};

#define XSI "http://www.w3.org/2001/XMLSchema-instance"

/* xsi:type without its prefix. */
static const char *type_of(const xmlNode *node)
{
	const char *type = NULL, *colon;

	for (const xmlAttr *a = node->properties; a; a = a->next)
		if (a->ns && !strcmp((const char *)a->ns->href, XSI) && !strcmp((const char *)a->name, "type"))
			type = a->children && a->children->type == XML_TEXT_NODE ? (const char *)a->children->content : NULL;
	colon = type ? strrchr(type, ':') : NULL;
	return colon ? colon + 1 : type;
}

/* 0.9's xsi:type is the name of 1.x with "_Type" behind it. */
static bool is_typed(const xmlNode *node, const char *element, const char *name)
{
	const char *type = xml_is(node, element) ? type_of(node) : NULL;
	size_t n = strlen(name);

	return type && !strncmp(type, name, n) && !strcmp(type + n, "_Type");
}

bool ovf_is(xmlNode *node, const char *section)
{
	if (!xml_is(node, section) && !is_typed(node, "Section", section))
		return false;
	node->_private = (void *)1;
	return true;
}

/* VMware's own that say nothing of the hardware, or what the reader of systems takes; they are listed like all that is not
   taken. */
static bool is_vmware(const xmlNode *node)
{
	static const char *const names[] = {
		"BootOrderSection", "StorageGroupSection", "StorageSection", "TagBasedPlacementSection",
		"TagBasedPlacementGroupSection", "IpAssignmentSection", "CpuCompatibilitySection", "ExtraConfig", "Config",
		"NetworkPoolSection", "MigrationUpgradeRequisitesSection", "vServiceDependencySection"
	};
	const char *type = type_of(node);
	size_t n;

	if (!node->ns || !strcmp((const char *)node->ns->href, "http://schemas.dmtf.org/ovf/envelope/1"))
		return false;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		n = strlen(names[i]);
		if (xml_is(node, names[i]) ||
		    (type && xml_is(node, "Section") && !strncmp(type, names[i], n) && !strcmp(type + n, "_Type")))
			return true;
	}
	return false;
}

bool ovf_required(struct ovf *o, xmlNode *node)
{
	const char *text = xml_attr(&o->x, node, "required");

	return !text || strcasecmp(text, "false");
}

int ovf_unknown(struct ovf *o, xmlNode *node)
{
	const char *type = type_of(node);

	if (!ovf_required(o, node) || is_vmware(node))
		return 0;
	return fail(o->err, VDISK_UNSUPPORTED, "line %ld: <%.64s%s%.64s> is required and not known", xmlGetLineNo(node),
	            (const char *)node->name, type ? " " : "", type ? type : "");
}

static bool is_section(const xmlNode *node)
{
	for (size_t i = 0; sections[i]; i++)
		if (xml_is(node, sections[i]) || is_typed(node, "Section", sections[i]))
			return true;
	return false;
}

/* ---------------------------------------------------------------- properties */

static bool is_type(const char *text)
{
	static const char *const types[] = { "uint8",  "sint8",   "uint16", "sint16", "uint32",   "sint32", "uint64",     "sint64",
		                             "string", "boolean", "real",   "int",    "password", "ip",     "expression", NULL };

	for (size_t i = 0; types[i]; i++)
		if (!strncasecmp(text, types[i], strlen(types[i])))
			return true;
	return false;
}

static int product_judge(struct ovf *o, xmlNode *section)
{
	XML_EACH(property, section, "Property") {
		const char *key = xml_attr(&o->x, property, "key"), *type = xml_attr(&o->x, property, "type");

		if (!key)
			return fail(o->err, VDISK_CORRUPT, "line %ld: <Property> has no key", xmlGetLineNo(property));
		if (!type || !is_type(type))
			return fail(o->err, VDISK_CORRUPT, "line %ld: property \"%.64s\" has the type \"%.32s\"",
			            xmlGetLineNo(property), key, type ? type : "");
	}
	return 0;
}

static void product_lose(struct ovf *o, xmlNode *section)
{
	const char *what = xml_child_text(&o->x, section, "Product");
	size_t n = ovf_count(section, "Property");

	if (what || n)
		machine_lost_add(&o->m->lost, what, "the guest would be told by its hypervisor",
		                 "ProductSection, line %ld: %zu properties", xmlGetLineNo(section), n);
	xml_seen(section);
}

/* ---------------------------------------------------------------- systems */

static bool is_system(const xmlNode *node) { return xml_is(node, "VirtualSystem") || is_typed(node, "Content", "VirtualSystem"); }

static bool is_collection(const xmlNode *node)
{
	return xml_is(node, "VirtualSystemCollection") || is_typed(node, "Content", "VirtualSystemCollection");
}

static int sections_judge(struct ovf *o, xmlNode *node, bool collection)
{
	static const char *const here[] = { "Info", "Name", "Content", NULL };

	for (xmlNode *c = node->children; c; c = c->next) {
		bool plain = c->type != XML_ELEMENT_NODE || is_system(c) || is_collection(c);

		for (size_t i = 0; here[i]; i++)
			plain |= xml_is(c, here[i]);
		if (plain)
			continue;
		if (!is_section(c)) {
			if (ovf_unknown(o, c))
				return -1;
		} else if (ovf_is(c, "DiskSection") || ovf_is(c, "NetworkSection") ||
			   (!collection && ovf_is(c, "ResourceAllocationSection"))) {
			return fail(o->err, VDISK_CORRUPT, "line %ld: this section does not belong here", xmlGetLineNo(c));
		} else if (ovf_is(c, "ProductSection") && product_judge(o, c)) {
			return -1;
		}
	}
	return 0;
}

/* Counts the systems and finds the one that is asked for. */
static int systems_walk(struct ovf *o, xmlNode *parent, unsigned want, unsigned depth, xmlNode **found)
{
	if (depth > OVF_NESTING_MAX)
		return fail(o->err, VDISK_UNSUPPORTED, "collections of systems lie more than %d deep", OVF_NESTING_MAX);
	for (xmlNode *c = parent->children; c; c = c->next) {
		const char *id;

		if (c->type != XML_ELEMENT_NODE || (!is_system(c) && !is_collection(c)))
			continue;
		id = xml_attr(&o->x, c, "id");
		if (!id || !*id)
			return fail(o->err, VDISK_CORRUPT, "line %ld: a virtual system has no id", xmlGetLineNo(c));
		xml_seen(c);
		if (sections_judge(o, c, is_collection(c)))
			return -1;
		if (is_system(c)) {
			if (o->m->systems++ == want)
				*found = c;
		} else if (systems_walk(o, c, want, depth + 1, found)) {
			return -1;
		}
	}
	return 0;
}

static void os_take(struct ovf *o, xmlNode *section)
{
	const char *id = xml_attr(&o->x, section, "id"), *word = xml_attr(&o->x, section, "osType");
	uint64_t number;

	xml_attr(&o->x, section, "version");
	if (!word)
		word = xml_child_text(&o->x, section, "OSType");
	if (!word && xml_number(id, 1000, &number))
		word = os_of_cim((unsigned)number);
	if (!word)
		word = xml_child_text(&o->x, section, "Description");
	o->m->os = machine_text_clean(o->m, word);
	if (word && strstr(word, "64"))
		o->m->arch = machine_text(o->m, "x86_64");
}

/* VMware's order: a section for each device. */
static void boot_take(struct ovf *o, xmlNode *system)
{
	unsigned next = 1;

	XML_EACH(section, system, "BootOrderSection") {
		const char *id = xml_attr(&o->x, section, "instanceId");
		char name[64];

		snprintf(name, sizeof(name), "%s", id ? id : "");
		for (size_t i = 0; i < o->m->disks_n; i++)
			if (o->m->disks[i].name && !strcmp(o->m->disks[i].name, name) && !o->m->disks[i].boot)
				o->m->disks[i].boot = next++;
		for (size_t i = 0; i < o->m->nics_n; i++)
			if (o->m->nics[i].name && !strcmp(o->m->nics[i].name, name) && !o->m->nics[i].boot)
				o->m->nics[i].boot = next++;
		xml_seen(section);
	}
}

/* While the items are read, devices have their InstanceID for a name; it means nothing outside. */
static void names_set(struct ovf *o)
{
	unsigned disks = 0;

	for (size_t i = 0; i < o->m->disks_n; i++)
		o->m->disks[i].name = machine_text_format(o->m, "%s%u", machine_medium_name(o->m->disks[i].medium), ++disks);
	for (size_t i = 0; i < o->m->nics_n; i++)
		o->m->nics[i].name = NULL;
}

/* Of VirtualBox's own section, what the standard has no word for. */
static void vbox_take(struct ovf *o, xmlNode *system)
{
	xmlNode *machine = xml_child(system, "Machine"), *hardware = xml_child(machine, "Hardware");
	const char *firmware = xml_child_attr(&o->x, hardware, "Firmware", "type");

	if (!machine)
		return;
	if (firmware && !strncasecmp(firmware, "EFI", 3))
		o->m->firmware = MACHINE_FIRMWARE_UEFI;
	o->m->uuid = machine_uuid(o->m, xml_attr(&o->x, machine, "uuid"));
	xml_seen(machine); /* it repeats what the items say */
}

static int hardware_take(struct ovf *o, xmlNode *system)
{
	xmlNode *first = NULL;

	for (xmlNode *c = system->children; c; c = c->next) {
		if (!ovf_is(c, "VirtualHardwareSection"))
			continue;
		if (first)
			machine_lost_add(&o->m->lost, NULL, "the first one is taken", "VirtualHardwareSection, line %ld",
			                 xmlGetLineNo(c));
		else
			first = c;
	}
	if (!first)
		return fail(o->err, VDISK_CORRUPT, "line %ld: the virtual system has no VirtualHardwareSection",
		            xmlGetLineNo(system));
	return ovf_hardware(o, first);
}

/* Marks were for the search; what is read now is what counts. */
static void unmark(xmlNode *node)
{
	for (xmlNode *c = node->children; c; c = c->next) {
		if (c->type != XML_ELEMENT_NODE)
			continue;
		c->_private = NULL;
		for (xmlAttr *a = c->properties; a; a = a->next)
			a->_private = NULL;
		unmark(c);
	}
}

static int system_take(struct ovf *o, xmlNode *system)
{
	struct machine *m = o->m;
	const char *name = xml_child_text(&o->x, system, "Name");

	unmark(system);
	xml_child(system, "Name");
	xml_attr(&o->x, system, "id");
	if (!name || !*name)
		name = xml_attr(&o->x, system, "id");
	m->name = machine_text(m, name);
	for (xmlNode *c = system->children; c; c = c->next) {
		if (c->type != XML_ELEMENT_NODE)
			continue;
		if (ovf_is(c, "OperatingSystemSection"))
			os_take(o, c);
		else if (ovf_is(c, "AnnotationSection"))
			m->description = machine_text_clean(m, xml_child_text(&o->x, c, "Annotation"));
		else if (ovf_is(c, "ProductSection"))
			product_lose(o, c);
	}
	if (hardware_take(o, system))
		return -1;
	vbox_take(o, system);
	boot_take(o, system);
	names_set(o);
	xml_unused(&o->x, system, harmless, NULL, &m->lost);
	return 0;
}

/* ---------------------------------------------------------------- the envelope */

static int version_judge(struct ovf *o)
{
	static const char *const known[] = { "http://schemas.dmtf.org/ovf/envelope/1", "http://schemas.dmtf.org/ovf/envelope/2",
		"http://schemas.dmtf.org/ovf/1/envelope", "http://www.vmware.com/schema/ovf/1/envelope" };
	const xmlNs *ns = o->x.root->ns;
	const char *uri = ns ? (const char *)ns->href : "", *version = xml_attr(&o->x, o->x.root, "version");
	size_t i = 0;

	while (i < 4 && strcmp(uri, known[i]))
		i++;
	if (i == 4)
		return fail(o->err, VDISK_UNSUPPORTED, "the envelope is of no version that is known: its namespace is \"%.128s\"",
		            uri);
	if (i >= 2 && !version)
		return fail(o->err, VDISK_CORRUPT, "the envelope has no version");
	if (version && strcmp(version, "0.9") && strncmp(version, "1.", 2) && strcmp(version, "1") && strncmp(version, "2.", 2))
		return fail(o->err, VDISK_UNSUPPORTED, "the envelope's version is not known: \"%.32s\"", version);
	if (version && i >= 2 && strcmp(version, "0.9"))
		return fail(o->err, VDISK_CORRUPT, "the envelope's version \"%.32s\" has another namespace", version);
	return 0;
}

static void configuration_take(struct ovf *o, xmlNode *section)
{
	XML_EACH(c, section, "Configuration") {
		const char *id = xml_attr(&o->x, c, "id");

		if (!o->configuration || xml_yes(xml_attr(&o->x, c, "default")))
			o->configuration = id;
	}
	if (o->configuration)
		machine_lost_add(&o->m->lost, o->configuration, "this configuration is taken", "DeploymentOptionSection, line %ld",
				 xmlGetLineNo(section));
	xml_seen(section);
}

static int networks_take(struct ovf *o, xmlNode *section)
{
	o->networks = true;
	XML_EACH(network, section, "Network") {
		const char *name = xml_attr(&o->x, network, "name");

		if (!name || !*name)
			return fail(o->err, VDISK_CORRUPT, "line %ld: <Network> has no name", xmlGetLineNo(network));
	}
	xml_seen(section);
	return 0;
}

static int envelope_section(struct ovf *o, xmlNode *c)
{
	const char *colon = strrchr((const char *)c->name, ':'); /* of a prefix that is declared nowhere */

	if (xml_is(c, "References") || !strcmp(colon ? colon + 1 : (const char *)c->name, "Strings") || is_system(c) ||
	    is_collection(c))
		return 0;
	if (ovf_is(c, "DiskSection"))
		return ovf_disks(o, c);
	if (ovf_is(c, "NetworkSection"))
		return networks_take(o, c);
	if (ovf_is(c, "VirtualHardwareSection") || ovf_is(c, "OperatingSystemSection"))
		return fail(o->err, VDISK_CORRUPT, "line %ld: this section belongs to a virtual system", xmlGetLineNo(c));
	if (ovf_is(c, "DeploymentOptionSection")) {
		configuration_take(o, c);
		return 0;
	}
	return is_section(c) ? 0 : ovf_unknown(o, c);
}

static int envelope_take(struct ovf *o, unsigned want)
{
	xmlNode *system = NULL, *root = o->x.root;

	o->m->systems = 0;
	if (version_judge(o) || ovf_references(o, root))
		return -1;
	for (xmlNode *c = root->children; c; c = c->next)
		if (c->type == XML_ELEMENT_NODE && envelope_section(o, c))
			return -1;
	if (systems_walk(o, root, want, 0, &system))
		return -1;
	if (!o->m->systems)
		return fail(o->err, VDISK_CORRUPT, "the envelope holds no virtual system");
	if (!system)
		return fail(o->err, VDISK_INVALID, "the envelope holds %u systems; there is no number %u", o->m->systems, want + 1);
	if (system_take(o, system))
		return -1;
	ovf_disks_left(o);
	xml_unused(&o->x, root, harmless, NULL, &o->m->lost);
	return o->x.nomem ? fail_nomem(o->err) : 0;
}

int ovf_read(struct machine *m, const void *bytes, size_t len, const struct describe_read *how, vdisk_error *err)
{
	struct ovf o = { .m = m, .err = err };
	int rc;

	if (xml_parse(&o.x, bytes, len, err))
		return -1;
	if (xml_is(o.x.root, "Envelope"))
		rc = envelope_take(&o, how->system);
	else
		rc = fail(err, VDISK_CORRUPT, "this is no OVF: its root is <%.64s>", (const char *)o.x.root->name);
	free(o.files);
	free(o.disks);
	xml_free(&o.x);
	return rc;
}
