/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Each description through each other one: what both can say is intact, what one cannot say is listed by it. */
#include "machine_sample.h"

enum {
	NAME = 1, UUID = 2, DESCRIPTION = 4, CORES = 8, SECURE = 16, TPM = 32, CHIPSET = 64, SATA = 128, SCSI = 256, NETWORK = 512,
	OS = 1024, SIZE = 2048,
	BOTH = 4096 /* IDE and SATA in one machine */,
	OS_WORD = 8192 /* another word for the same system */,
	PC = 16384 /* the one chipset */
};

static const struct {
	enum describe_kind kind;
	unsigned says;
} kinds[] = {
	{ DESCRIBE_JSON, ~0u },
	{ DESCRIBE_LIBVIRT, NAME | UUID | DESCRIPTION | CORES | SECURE | TPM | CHIPSET | SATA | SCSI | NETWORK | BOTH },
	{ DESCRIBE_VMX, NAME | UUID | DESCRIPTION | CORES | SECURE | TPM | SATA | SCSI | NETWORK | OS | BOTH },
	{ DESCRIBE_OVF, NAME | DESCRIPTION | CORES | SECURE | TPM | SATA | SCSI | NETWORK | OS | SIZE | BOTH },
	{ DESCRIBE_VBOX, NAME | UUID | DESCRIPTION | TPM | CHIPSET | SATA | SCSI | NETWORK | BOTH | OS_WORD },
	{ DESCRIBE_XL, NAME | UUID | SATA | SCSI | PC },
};

#define KINDS_N (sizeof(kinds) / sizeof(*kinds))

/* What of the sample the list must name where the kind cannot say it. */
static const struct {
	unsigned what;
	const char *words;
	bool bios, uefi;
} losses[] = {
	{ UUID, "UUID", true, true },
	{ DESCRIPTION, "description", true, false },
	{ CORES, "CPU topology", true, true },
	{ SECURE, "secure boot", false, true },
	{ TPM, "TPM", false, true },
	{ CHIPSET | PC, "chipset", true, false },
	{ CHIPSET, "chipset", false, true },
	{ NETWORK, "Office & Lab", true, false },
	{ OS | OS_WORD, "operating system", false, true },
};

/* Most descriptions leave a disk's size to its image; OVF must say it. */
static void sizes_set(struct machine *m)
{
	for (size_t i = 0; i < m->disks_n; i++)
		if (m->disks[i].medium == MACHINE_DISK && !m->disks[i].size)
			m->disks[i].size = 1 << 30;
}

static struct machine *through(struct machine *m, size_t k, bool uefi, unsigned lately)
{
	struct machine_lost_list lost = { 0 };
	vdisk_error err = { 0 };
	struct machine *back;
	size_t len = 0;
	char *text;

	if (kinds[k].says & SIZE)
		sizes_set(m);
	text = describe_write(m, kinds[k].kind, NULL, &len, &lost, &err);
	if (!text)
		fail_msg("%s is not written: %s", describe_kind_name(kinds[k].kind), err.message);
	for (size_t i = 0; i < sizeof(losses) / sizeof(*losses); i++)
		if (!(kinds[k].says & losses[i].what) && lately & losses[i].what && (uefi ? losses[i].uefi : losses[i].bios) &&
		    !is_lost(&lost, losses[i].words)) {
			lost_print(&lost);
			fail_msg("%s does not list \"%s\" as lost", describe_kind_name(kinds[k].kind), losses[i].words);
		}
	assert_int_equal(kinds[k].kind, describe_probe(text, len, NULL));
	back = described_as(text, len, kinds[k].kind, NULL);
	machine_lost_free(&lost);
	free(text);
	return back;
}

static const struct machine_disk *disk_of(const struct machine *m, const char *path)
{
	for (size_t i = 0; i < m->disks_n; i++)
		if (m->disks[i].path && !strcmp(m->disks[i].path, path))
			return &m->disks[i];
	fail_msg("there is no disk %s", path);
	return NULL;
}

static void disk_same(const struct machine_disk *due, const struct machine *m, unsigned says)
{
	const struct machine_disk *is = due->path ? disk_of(m, due->path) : NULL;

	for (size_t i = 0; !is && i < m->disks_n; i++)
		if (!m->disks[i].path)
			is = &m->disks[i];
	assert_non_null(is);
	assert_int_equal(due->medium, is->medium);
	if (due->bus == MACHINE_BUS_IDE || (due->bus == MACHINE_BUS_SATA && says & SATA) ||
	    (due->bus == MACHINE_BUS_SCSI && says & SCSI)) {
		assert_int_equal(due->bus, is->bus);
		assert_int_equal(due->scsi, is->scsi);
		assert_int_equal(due->controller, is->controller);
		assert_int_equal(due->unit, is->unit);
	}
	if (says & SIZE && due->size)
		assert_int_equal(due->size, is->size);
	if (due->boot)
		assert_int_equal(due->boot, is->boot);
}

static void same(const struct machine *due, const struct machine *is, unsigned says)
{
	assert_text(due->name, is->name);
	if (says & UUID)
		assert_text(due->uuid, is->uuid);
	if (says & DESCRIPTION)
		assert_text(due->description, is->description);
	if (says & CORES) {
		assert_int_equal(due->sockets, is->sockets);
		assert_int_equal(due->cores, is->cores);
	}
	assert_int_equal(due->cpus, is->cpus);
	assert_int_equal(due->memory, is->memory);
	assert_int_equal(due->firmware, is->firmware);
	if (says & SECURE)
		assert_int_equal(due->secure_boot, is->secure_boot);
	if (says & TPM)
		assert_int_equal(due->tpm, is->tpm);
	if (says & CHIPSET)
		assert_int_equal(due->chipset, is->chipset);
	if (says & OS && due->os)
		assert_text(due->os, is->os);
	assert_int_equal(due->disks_n, is->disks_n);
	for (size_t i = 0; i < due->disks_n; i++)
		disk_same(&due->disks[i], is, says);
	assert_int_equal(due->nics_n, is->nics_n);
	for (size_t i = 0; i < due->nics_n; i++) {
		assert_text(due->nics[i].mac, is->nics[i].mac);
		assert_int_equal(due->nics[i].model, is->nics[i].model);
		assert_int_equal(due->nics[i].boot, is->nics[i].boot);
		if (says & NETWORK) {
			assert_int_equal(due->nics[i].net, is->nics[i].net);
			assert_text(due->nics[i].network, is->nics[i].network);
		}
	}
	assert_int_equal(due->serials_n, is->serials_n);
}

static void matrix(struct machine *sample, bool uefi)
{
	for (size_t a = 0; a < KINDS_N; a++)
		for (size_t b = 0; b < KINDS_N; b++) {
			unsigned both = kinds[a].says & kinds[b].says;
			struct machine *first = through(sample, a, uefi, ~0u), *second = through(first, b, uefi, kinds[a].says);

			print_message("%s, then %s\n", describe_kind_name(kinds[a].kind), describe_kind_name(kinds[b].kind));
			if (!uefi && !(both & BOTH))
				both &= ~(unsigned)SATA;
			same(sample, second, both);
			machine_free(first);
			machine_free(second);
		}
	machine_free(sample);
}

static void bios_through_all(void **state)
{
	(void)state;
	matrix(sample_bios(), false);
}

static void uefi_through_all(void **state)
{
	(void)state;
	matrix(sample_uefi(), true);
}

/* NVMe, where there is such a thing. */
static void nvme_is_kept(void **state)
{
	static const enum describe_kind kept[] = { DESCRIBE_JSON, DESCRIBE_VMX, DESCRIBE_OVF, DESCRIBE_VBOX };
	struct machine_lost_list lost = { 0 };
	struct machine *m = sample_uefi(), *back;
	vdisk_error err;
	size_t len;
	char *text;

	(void)state;
	disk_put(m, "nvme0n1", MACHINE_BUS_NVME, 0, 2, "fast.vmdk");
	for (size_t i = 0; i < sizeof(kept) / sizeof(*kept); i++) {
		text = describe_write(m, kept[i], NULL, &len, &lost, &err);
		assert_non_null(text);
		back = described_as(text, len, kept[i], NULL);
		assert_int_equal(MACHINE_BUS_NVME, disk_of(back, "fast.vmdk")->bus);
		assert_int_equal(2, disk_of(back, "fast.vmdk")->unit);
		assert_false(is_lost(&lost, "its bus"));
		free(text);
		machine_free(back);
	}
	text = describe_write(m, DESCRIBE_LIBVIRT, NULL, &len, &lost, &err);
	assert_non_null(text);
	assert_lost(&lost, "nvme0n1: its bus becomes virtio");
	free(text);
	machine_lost_free(&lost);
	machine_free(m);
}

/* A script is not read back; it names what matters, and quotes it. */
static void hyperv_script(void **state)
{
	struct machine_lost_list lost = { 0 };
	struct machine *m = sample_bios();
	vdisk_error err;
	char *text;

	(void)state;
	m->name = machine_text(m, "it's $(one)");
	text = describe_write(m, DESCRIBE_HYPERV, NULL, NULL, &lost, &err);
	assert_non_null(text);
	assert_memory_equal(text, "\xef\xbb\xbf#requires", 12); /* else Windows PowerShell would not take it for UTF-8 */
	assert_non_null(strstr(text, "New-VM -Name 'it''s $(one)' -Generation 1 -MemoryStartupBytes 2048MB"));
	assert_non_null(strstr(
		text,
		"-ControllerType IDE -ControllerNumber 0 -ControllerLocation 0 -Passthru -Path (Join-Path $PSScriptRoot 'root disk.vmdk')"));
	assert_non_null(strstr(text, "-StaticMacAddress '005056010203' -SwitchName 'Office & Lab'"));
	assert_lost(&lost, "UUID");
	assert_lost(&lost, "CPU topology");
	assert_lost(&lost, "its model becomes hyperv");
	free(text);
	machine_lost_free(&lost);
	machine_free(m);
	m = sample_uefi();
	text = describe_write(m, DESCRIBE_HYPERV, NULL, NULL, NULL, &err);
	assert_non_null(strstr(text, "-Generation 2"));
	assert_non_null(strstr(text, "-EnableSecureBoot On -SecureBootTemplate 'MicrosoftWindows'"));
	assert_non_null(strstr(text, "Enable-VMTPM"));
	free(text);
	machine_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bios_through_all),
		cmocka_unit_test(uefi_through_all),
		cmocka_unit_test(nvme_is_kept),
		cmocka_unit_test(hyperv_script),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
