/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* GRUB's blscfg, as Fedora and its kin have it: each entry of the Boot Loader Specification becomes a menu entry. */
#include "grubrun.h"

#include <stdlib.h>
#include <string.h>

int grub_bls(struct grub *g)
{
	char folder[BOOT_PATH_MAX], path[BOOT_PATH_MAX], *names[256];
	static const char *const folders[] = { "/loader/entries/", "/boot/loader/entries/" };

	for (unsigned k = 0; k < 2; k++) {
		char *list = grub_work(g, GRUB_WORK_LOOK) && grub_path(g, folder, folders[k]) ? g->src->list(g->src->ctx, folder) : NULL;
		size_t n = list ? bls_names_sort(list, ".conf", names, 256) : 0;

		for (size_t i = 0; i < n; i++) {
			char id[256];
			size_t len = strlen(names[i]) - 5;

			if (len >= sizeof(id) || strlen(folder) + len + 6 > sizeof(path))
				continue;
			memcpy(id, names[i], len);
			id[len] = '\0';
			strcat(strcpy(path, folder), names[i]);
			grub_entry_add(g, id, id, path, false, true);
		}
		free(list);
		if (n)
			return 0;
	}
	return 1;
}
