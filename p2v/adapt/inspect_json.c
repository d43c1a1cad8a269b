/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The answer as JSON.  A member that is not known is null, a list that is empty is there. */
#include "inspect_show.h"
#include "windows.h"

#include <json.h>
#include <stdio.h>
#include <string.h>

#define SCHEMA 1

static void put(json_object *o, const char *key, const char *text)
{
	struct bytes clean = { 0 };

	json_object_object_add(o, key, text && *text ? json_object_new_string(show_clean(&clean, text)) : NULL);
	bytes_destroy(&clean);
}

static void put_bool(json_object *o, const char *key, bool yes) { json_object_object_add(o, key, json_object_new_boolean(yes)); }
static void put_number(json_object *o, const char *key, uint64_t n) { json_object_object_add(o, key, json_object_new_uint64(n)); }

static json_object *put_list(json_object *o, const char *key)
{
	json_object *list = json_object_new_array();

	json_object_object_add(o, key, list);
	return list;
}

static json_object *put_object(json_object *list)
{
	json_object *o = json_object_new_object();

	json_object_array_add(list, o);
	return o;
}

/* What `delimiters` part, one string each. */
static void put_parts(json_object *o, const char *key, const char *text, const char *delimiters)
{
	json_object *list = put_list(o, key);
	struct bytes part = { 0 }, clean = { 0 };

	while (text && *text) {
		size_t n = strcspn(text, delimiters);

		bytes_clear(&part);
		bytes_add(&part, text, n);
		if (n && !part.failed)
			json_object_array_add(list, json_object_new_string(show_clean(&clean, part.at)));
		text += n + (text[n] != '\0');
	}
	bytes_destroy(&part);
	bytes_destroy(&clean);
}

static void disks_put(json_object *o, const struct inspection *in)
{
	json_object *list = put_list(o, "disks");

	for (size_t i = 0; i < in->disks_n; i++) {
		const struct disk *d = &in->disks[i];
		json_object *one = put_object(list);

		put(one, "path", d->image);
		put(one, "format", vdisk_format_name(d->source.img));
		put_number(one, "size", d->source.len);
		put(one, "partition-table", show_table(d->table.kind, false));
		put(one, "boot-code", d->boot_code);
	}
}

static void fs_put(json_object *one, const struct fact_fs *fs)
{
	put_number(one, "disk", fs->disk);
	put(one, "where", fs->where);
	put(one, "device", fs->device);
	put(one, "type", fs->type);
	put(one, "uuid", fs->uuid);
	put(one, "label", fs->label);
	put(one, "partuuid", fs->partuuid);
	put(one, "partlabel", fs->partlabel);
	put_number(one, "size", fs->size);
}

static void pieces_put(json_object *o, const struct inspection *in)
{
	json_object *list = put_list(o, "filesystems");

	for (size_t i = 0; i < in->pieces_n; i++) {
		json_object *one = put_object(list);

		fs_put(one, &in->pieces[i].fs);
		put(one, "doubt", in->pieces[i].doubt);
		put(one, "closed", in->pieces[i].closed);
	}
}

static void mounts_put(json_object *o, const struct facts *f)
{
	json_object *list = put_list(o, "mounts");

	for (size_t i = 0; i < f->fs_n; i++) {
		json_object *one;

		if (!*f->fs[i].mount && !*f->fs[i].fstab)
			continue;
		one = put_object(list);
		put(one, "mount", f->fs[i].mount);
		put_number(one, "disk", f->fs[i].disk);
		put(one, "where", f->fs[i].where);
		put(one, "type", f->fs[i].type);
		put(one, "subvolume", f->fs[i].subvolume);
		put(one, "fstab", f->fs[i].fstab);
		put(one, "named-by", show_named_by(f->fs[i].fstab));
	}
}

static void kernels_put(json_object *o, const struct facts *f)
{
	json_object *list = put_list(o, "kernels");

	for (size_t i = 0; i < f->kernels_n; i++) {
		const struct fact_kernel *k = &f->kernels[i];
		json_object *one = put_object(list);

		put(one, "release", k->release);
		put(one, "path", k->path);
		put(one, "initramfs", k->initrd);
		put(one, "modules", k->modules);
		put_bool(one, "default", k->is_default);
		put_bool(one, "installed", k->installed);
		put_parts(one, "storage", k->storage, " ");
		put_parts(one, "network", k->network, " ");
	}
}

static void nics_put(json_object *o, const struct facts *f)
{
	json_object *list = put_list(o, "nics"), *agents = put_list(o, "agents");

	for (size_t i = 0; i < f->nics_n; i++) {
		json_object *one = put_object(list);

		put(one, "name", f->nics[i].name);
		put(one, "mac", f->nics[i].mac);
		put(one, "driver", f->nics[i].driver);
		put_parts(one, "addresses", f->nics[i].addresses, " ");
		put(one, "source", f->nics[i].source);
	}
	for (size_t i = 0; i < f->agents_n; i++) {
		json_object *one = put_object(agents);

		put(one, "name", f->agents[i].name);
		put(one, "of", f->agents[i].of);
		put(one, "source", f->agents[i].source);
	}
}

static void services_put(json_object *o, const struct windows_facts *w)
{
	static const char *const roles[] = { "storage", "network", "agent" };
	json_object *list = put_list(o, "services");

	for (size_t i = 0; i < w->services_n; i++) {
		const struct windows_service *s = &w->services[i];
		json_object *one = put_object(list);

		put(one, "name", s->name);
		put(one, "display", s->display);
		put(one, "image", s->image);
		put(one, "group", s->group);
		put(one, "of", s->of);
		put(one, "role", (size_t)s->role < 3 ? roles[s->role] : "");
		put_number(one, "control-set", s->set);
		json_object_object_add(one, "start", s->start == UINT32_MAX ? NULL : json_object_new_uint64(s->start));
		json_object_object_add(one, "start-override",
				       s->start_override == UINT32_MAX ? NULL : json_object_new_uint64(s->start_override));
		put_number(one, "type", s->type);
	}
}

static void windows_nics_put(json_object *o, const struct windows_facts *w)
{
	json_object *list = put_list(o, "connections");

	for (size_t i = 0; i < w->nics_n; i++) {
		const struct windows_nic *n = &w->nics[i];
		json_object *one = put_object(list);

		put(one, "guid", n->guid);
		put(one, "name", n->name);
		put(one, "mac", n->mac);
		put(one, "driver", n->driver);
		put_parts(one, "addresses", n->addresses, " ");
		put_parts(one, "gateways", n->gateways, " ");
		put_parts(one, "dns", n->dns, " ");
		put_bool(one, "present", n->present);
	}
}

static void windows_put(json_object *o, const struct windows_facts *w)
{
	json_object *one = w ? json_object_new_object() : NULL, *sets;

	json_object_object_add(o, "windows", one);
	if (!w)
		return;
	put(one, "folder", w->folder);
	put(one, "edition", w->edition);
	put(one, "installation", w->installation);
	put_number(one, "build", w->build);
	put_bool(one, "server", w->server);
	sets = put_list(one, "control-sets");
	for (size_t i = 0; i < w->sets_n; i++)
		json_object_array_add(sets, json_object_new_uint64(w->sets[i]));
	put_number(one, "control-set-current", w->set_current);
	put_bool(one, "bitlocker", w->bitlocker);
	put_bool(one, "fast-startup", w->fast_startup);
	put_bool(one, "hibernation", w->hibernation);
	put_bool(one, "hibernated", w->hibernated);
	put(one, "unclean", w->unclean);
	put(one, "dynamic", w->dynamic);
	put(one, "encrypted", w->encrypted);
	services_put(one, w);
	windows_nics_put(one, w);
}

static void system_put(json_object *list, const struct inspection *in, const struct system *s)
{
	const struct facts *f = &s->facts;
	const struct fact_fs *root = &in->pieces[s->piece].fs;
	json_object *one = put_object(list), *firmware = json_object_new_object(), *loaders;

	put(one, "kind", f->kind == GUEST_LINUX ? "linux" : f->kind == GUEST_WINDOWS ? "windows" : "unknown");
	put(one, "os", f->os);
	put_parts(one, "like", f->like, " ");
	put(one, "product", f->product);
	put(one, "version", f->version);
	put(one, "arch", f->arch);
	put(one, "hostname", f->hostname);
	put_number(one, "root-disk", root->disk);
	put(one, "root", root->where);
	put(one, "root-folder", s->below);
	json_object_object_add(one, "firmware", firmware);
	put_bool(firmware, "bios", f->bios);
	put_bool(firmware, "uefi", f->uefi);
	put_bool(firmware, "uefi-fallback", f->uefi_fallback);
	loaders = put_list(one, "boot-loaders");
	for (unsigned i = 0; show_loader(i, false); i++)
		if (f->loaders >> i & 1)
			json_object_array_add(loaders, json_object_new_string(show_loader(i, false)));
	put(one, "boot-loader-config", f->loader_config);
	put(one, "esp", f->esp);
	put(one, "init", f->init);
	put(one, "package-format", f->package_format);
	put_bool(one, "selinux", f->selinux);
	put(one, "initramfs-tool", show_initrd_tool(f->initrd_tool));
	mounts_put(one, f);
	kernels_put(one, f);
	nics_put(one, f);
	windows_put(one, f->windows);
	put_parts(one, "remarks", s->remarks.at, "\n");
}

int inspect_print_json(const struct inspection *in)
{
	json_object *o = json_object_new_object(), *systems;
	int rc;

	put_number(o, "schema-version", SCHEMA);
	disks_put(o, in);
	pieces_put(o, in);
	systems = put_list(o, "systems");
	for (size_t i = 0; i < in->systems_n; i++)
		system_put(systems, in, &in->systems[i]);
	put_parts(o, "remarks", in->remarks.at, "\n");
	rc = puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE)) < 0 || fflush(stdout)
		 ? -1
		 : 0;
	json_object_put(o);
	return rc;
}
