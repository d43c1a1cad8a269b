/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Descriptions of machines.  The first byte says which kind the rest is; what is read is written as every kind, and read back. */
#include "machine/describe.h"
#include "machine/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is written must be read, except where the name was no good for one kind. */
static void write_all(struct machine *m)
{
	for (int kind = DESCRIBE_JSON; kind <= DESCRIBE_HYPERV; kind++) {
		struct machine_lost_list lost = { 0 };
		struct describe_read how = { (enum describe_kind)kind, NULL, 0 };
		struct machine *back = NULL;
		vdisk_error err;
		size_t len = 0;
		char *text = describe_write(m, (enum describe_kind)kind, NULL, &len, &lost, &err);

		if (text && strlen(text) != len)
			abort();
		if (text && kind != DESCRIBE_HYPERV && len <= MACHINE_JSON_MAX && describe_read(text, len, &how, &back, &err)) {
			fprintf(stderr, "kind %d is not read back: %s\n%s\n", kind, err.message, text);
			abort();
		}
		machine_free(back);
		machine_lost_free(&lost);
		free(text);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct describe_read how = { 0 };
	struct machine *m = NULL;
	vdisk_error err;

	if (!size)
		return 0;
	how.kind = (enum describe_kind)(data[0] % (DESCRIBE_PROXMOX + 1));
	how.system = data[0] / 32;
	if (describe_read(data + 1, size - 1, &how, &m, &err)) {
		if (strchr(err.message, '\n') || !*err.message)
			abort();
		return 0;
	}
	for (size_t i = 0; i < m->disks_n; i++)
		if (m->disks[i].medium == MACHINE_DISK && !m->disks[i].size)
			m->disks[i].size = 1 << 20;
	write_all(m);
	machine_free(m);
	return 0;
}
