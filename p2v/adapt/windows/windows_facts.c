/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a Windows says of itself, in its registry: which release, which control sets, whether it sleeps.  Names of keys and values
   are Microsoft's, the same from Windows 7 to 11.  What a hive does not say stays unknown; a hive that is none is an error. */
#include "windows_read.h"

#include "common/fail.h"
#include "hive.h"
#include "winpath.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---------------------------------------------------------------- where it is */

static int part_find(struct tree *t, const char *folder, const char *below, char **out, vdisk_error *err)
{
	struct bytes path = { 0 };
	int rc;

	bytes_format(&path, "%s/%s", folder, below);
	rc = path.failed ? fail_nomem(err) : win_path(t, path.at, out, err);
	bytes_destroy(&path);
	return rc;
}

/* The folder of the system, with both of its hives. */
static int folder_find(struct tree *t, char **folder, vdisk_error *err)
{
	static const char *const names[] = { "/Windows", "/WINNT" };

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		char *hive = NULL;
		int rc = win_path(t, names[i], folder, err);

		for (unsigned k = 0; k < 2 && rc > 0; k++) {
			rc = part_find(t, *folder, k ? "System32/config/SOFTWARE" : "System32/config/SYSTEM", &hive, err);
			free(hive);
			hive = NULL;
		}
		if (rc)
			return rc;
		free(*folder);
		*folder = NULL;
	}
	return 0;
}

/* ---------------------------------------------------------------- which one it is */

static void text_take(char **slot, char *owned)
{
	free(*slot);
	*slot = owned;
}

struct release {
	unsigned major, minor, build; /* from this one on */
	const char *client, *server;  /* NULL: there is none */
};

/* By build, descending; the names that virtio-win has for its folders. */
static const struct release releases[] = {
	{ 10, 0, 26100, "w11", "2k25" }, { 10, 0, 22000, "w11", "2k22" }, { 10, 0, 20348, "w10", "2k22" },
	{ 10, 0, 17763, "w10", "2k19" }, { 10, 0, 0, "w10", "2k16" },     { 6, 3, 0, "w8.1", "2k12R2" },
	{ 6, 2, 0, "w8", "2k12" },       { 6, 1, 0, "w7", "2k8R2" },
};

static const char *release_name(const struct windows_facts *w)
{
	for (size_t i = 0; i < sizeof(releases) / sizeof(*releases); i++) {
		const struct release *r = &releases[i];

		if (w->major == r->major && w->minor == r->minor && w->build >= r->build)
			return w->server ? r->server : r->client;
	}
	return "";
}

/* "Windows 10 Pro" is what Windows 11 calls itself there. */
static void product_mend(struct windows_facts *w)
{
	static const char ten[] = "Windows 10";

	if (!w->server && w->major == 10 && w->build >= 22000 && !strncmp(w->product, ten, sizeof(ten) - 1))
		w->product[sizeof(ten) - 2] = '1';
}

static unsigned text_number(const struct hive *h, hive_node_h key, const char *name)
{
	char *s = hive_text(h, key, name);
	unsigned long v = s ? strtoul(s, NULL, 10) : 0;

	free(s);
	return v > 1000000 ? 0 : (unsigned)v;
}

static int version_read(struct windows_facts *w, const struct hive *software, vdisk_error *err)
{
	hive_node_h key = hive_find(software, 0, "Microsoft\\Windows NT\\CurrentVersion");
	char *current = hive_text(software, key, "CurrentVersion");
	char version[64];
	uint32_t v;

	if (hive_number(software, key, "CurrentMajorVersionNumber", &v)) {
		w->major = v > 1000 ? 0 : v;
		w->minor = hive_number(software, key, "CurrentMinorVersionNumber", &v) && v < 1000 ? v : 0;
	} else if (!current || sscanf(current, "%3u.%3u", &w->major, &w->minor) != 2) {
		w->major = w->minor = 0;
	}
	free(current);
	w->build = text_number(software, key, "CurrentBuildNumber");
	if (!w->build)
		w->build = text_number(software, key, "CurrentBuild");
	text_take(&w->product, hive_text(software, key, "ProductName"));
	text_take(&w->edition, hive_text(software, key, "EditionID"));
	text_take(&w->installation, hive_text(software, key, "InstallationType"));
	version[0] = '\0';
	if (w->major)
		snprintf(version, sizeof(version), "%u.%u.%u", w->major, w->minor, w->build);
	text_take(&w->version, strdup(version));
	if (!w->version)
		return fail_nomem(err);
	w->server = w->installation && !strncasecmp(w->installation, "Server", 6);
	text_take(&w->name, strdup(release_name(w)));
	if (w->product)
		product_mend(w);
	return w->name ? 0 : fail_nomem(err);
}

/* ---------------------------------------------------------------- control sets */

struct sets {
	struct windows_facts *w;
	bool failed;
};

static int set_add(void *to, const char *name, hive_node_h node)
{
	struct sets *s = to;
	unsigned n, *more;

	(void)node;
	if (strlen(name) != 13 || strncasecmp(name, "ControlSet", 10) || strspn(name + 10, "0123456789") != 3)
		return 0;
	n = (unsigned)strtoul(name + 10, NULL, 10);
	more = realloc(s->w->sets, (s->w->sets_n + 1) * sizeof(*more));
	s->failed |= !more;
	if (!more)
		return 1;
	s->w->sets = more;
	s->w->sets[s->w->sets_n++] = n;
	return 0;
}

static int set_order(const void *a, const void *b)
{
	unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;

	return (x > y) - (x < y);
}

static unsigned selected(const struct hive *system, const char *name)
{
	uint32_t v;

	return hive_number(system, hive_find(system, 0, "Select"), name, &v) && v < 1000 ? v : 0;
}

static int sets_read(struct windows_facts *w, const struct hive *system, vdisk_error *err)
{
	struct sets s = { .w = w };

	hive_each(system, hive_find(system, 0, ""), set_add, &s);
	if (s.failed)
		return fail_nomem(err);
	if (w->sets_n)
		qsort(w->sets, w->sets_n, sizeof(*w->sets), set_order);
	w->set_current = selected(system, "Current");
	w->set_default = selected(system, "Default");
	w->set_failed = selected(system, "Failed");
	w->set_last_good = selected(system, "LastKnownGood");
	return 0;
}

unsigned windows_set(const struct windows_facts *w)
{
	const unsigned wanted[] = { w->set_default, w->set_current };

	for (unsigned k = 0; k < 2; k++) {
		for (size_t i = 0; i < w->sets_n; i++) {
			if (wanted[k] && w->sets[i] == wanted[k])
				return wanted[k];
		}
	}
	return w->sets_n ? w->sets[0] : 0;
}

hive_node_h windows_set_find(const struct hive *system, unsigned set, const char *below)
{
	char path[600];

	snprintf(path, sizeof(path), "ControlSet%03u\\%s", set, below);
	return hive_find(system, 0, path);
}

/* ---------------------------------------------------------------- its state */

static bool flag_is(const struct hive *h, unsigned set, const char *key, const char *name, uint32_t value)
{
	uint32_t v;

	return hive_number(h, windows_set_find(h, set, key), name, &v) && v == value;
}

static void state_read(struct windows_facts *w, const struct hive *system)
{
	unsigned set = windows_set(w);
	hive_node_h control = windows_set_find(system, set, "Control");
	char *options = hive_text(system, control, "SystemStartOptions");
	uint32_t v;

	w->bitlocker = flag_is(system, set, "Control\\BitLockerStatus", "BootStatus", 1);
	w->fast_startup = flag_is(system, set, "Control\\Session Manager\\Power", "HiberbootEnabled", 1);
	w->hibernation = hive_number(system, windows_set_find(system, set, "Control\\Power"), "HibernateEnabled", &v)
	                 ? v == 1 : flag_is(system, set, "Control\\Power", "HibernateEnabledDefault", 1);
	w->secure_boot = flag_is(system, set, "Control\\SecureBoot\\State", "UEFISecureBootEnabled", 1);
	w->test_signing = options && strcasestr(options, "TESTSIGNING");
	free(options);
	text_take(&w->hostname,
	          hive_text(system, windows_set_find(system, set, "Control\\ComputerName\\ComputerName"), "ComputerName"));
	w->driver_database = hive_find(system, 0, "DriverDatabase") != 0;
}

static int arch_read(struct windows_facts *w, const struct hive *system, vdisk_error *err)
{
	static const char *const names[][2] = { { "AMD64", "x86_64" }, { "x86", "i686" }, { "ARM64", "aarch64" } };
	char *s = hive_text(system, windows_set_find(system, windows_set(w), "Control\\Session Manager\\Environment"),
	                    "PROCESSOR_ARCHITECTURE");

	for (size_t i = 0; s && i < 3; i++) {
		if (!strcasecmp(s, names[i][0]))
			text_take(&w->arch, strdup(names[i][1]));
	}
	free(s);
	if (!w->arch)
		w->arch = strdup("");
	return w->arch ? 0 : fail_nomem(err);
}

/* A file that sleeps begins with "hibr" (as Windows writes it); one that was woken, or never used, does not. */
static int hiberfil_read(struct windows_facts *w, struct tree *t, vdisk_error *err)
{
	struct bytes head = { 0 };
	char *path = NULL;
	int rc = win_path(t, "/hiberfil.sys", &path, err);

	w->hiberfil = rc > 0;
	if (rc > 0 && t->ops->head)
		rc = t->ops->head(t, path, 4, &head, err);
	w->hibernated = rc > 0 && head.len >= 4 && !strncasecmp(head.at, "hibr", 4);
	bytes_destroy(&head);
	free(path);
	return rc < 0 ? -1 : 0;
}

/* ---------------------------------------------------------------- the whole */

static int hive_of(struct hive *h, struct tree *t, const char *folder, const char *name, const char *label, bool write,
                   vdisk_error *err)
{
	char below[64], *path = NULL;
	int rc;

	snprintf(below, sizeof(below), "System32/config/%s", name);
	rc = part_find(t, folder, below, &path, err);
	if (rc >= 0)
		rc = hive_open(h, t, path, label, write, err);
	if (!rc)
		rc = fail(err, VDISK_CORRUPT, "%s: is not there", path);
	free(path);
	return rc < 0 ? -1 : 0;
}

int windows_hives_open(struct hive *system, struct hive *software, struct tree *t, const char *folder, bool write, vdisk_error *err)
{
	*system = *software = (struct hive){ 0 };
	if (hive_of(system, t, folder, "SYSTEM", "HKLM\\SYSTEM", write, err))
		return -1;
	if (!hive_of(software, t, folder, "SOFTWARE", "HKLM\\SOFTWARE", write, err))
		return 0;
	hive_close(system);
	return -1;
}

static int facts_fill(struct windows_facts *w, struct tree *t, vdisk_error *err)
{
	struct hive system, software;
	int rc = windows_hives_open(&system, &software, t, w->folder, false, err);

	if (rc)
		return -1;
	w->closed = system.clean && software.clean;
	rc = version_read(w, &software, err);
	if (!rc)
		rc = sets_read(w, &system, err);
	if (!rc)
		rc = arch_read(w, &system, err);
	if (!rc) {
		state_read(w, &system);
		rc = hiberfil_read(w, t, err);
	}
	if (!rc)
		rc = windows_services_read(w, &system, err);
	if (!rc)
		rc = windows_nics_read(w, &system, err);
	hive_close(&software);
	hive_close(&system);
	return rc;
}

int windows_facts_read(struct windows_facts **out, struct tree *t, vdisk_error *err)
{
	struct windows_facts *w;
	char *folder = NULL;
	int rc = folder_find(t, &folder, err);

	*out = NULL;
	w = rc > 0 ? calloc(1, sizeof(*w)) : NULL;
	if (!w) {
		free(folder);
		return rc > 0 ? fail_nomem(err) : rc;
	}
	w->folder = folder;
	if (!facts_fill(w, t, err)) {
		char **texts[] = {
			&w->product, &w->edition, &w->installation, &w->hostname, &w->encrypted, &w->dynamic, &w->unclean
		};

		*out = w;
		for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
			if (!*texts[i] && !(*texts[i] = strdup("")))
				*out = NULL;
		}
		if (*out)
			return 1;
		fail_nomem(err);
	}
	windows_facts_free(w);
	return -1;
}

static void service_destroy(struct windows_service *s)
{
	free(s->name);
	free(s->display);
	free(s->image);
	free(s->group);
	free(s->of);
}

static void nic_destroy(struct windows_nic *n)
{
	free(n->guid);
	free(n->name);
	free(n->mac);
	free(n->driver);
	free(n->addresses);
	free(n->gateways);
	free(n->dns);
}

void windows_facts_free(struct windows_facts *w)
{
	if (!w)
		return;
	for (size_t i = 0; i < w->services_n; i++)
		service_destroy(&w->services[i]);
	for (size_t i = 0; i < w->nics_n; i++)
		nic_destroy(&w->nics[i]);
	free(w->services);
	free(w->nics);
	free(w->sets);
	free(w->folder);
	free(w->product);
	free(w->edition);
	free(w->installation);
	free(w->name);
	free(w->version);
	free(w->arch);
	free(w->hostname);
	free(w->encrypted);
	free(w->dynamic);
	free(w->unclean);
	free(w);
}
