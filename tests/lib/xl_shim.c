/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lets `xl -N create FILE`, which only parses, run where there is no Xen: what it asks the hypervisor for before that. */
#include <stdlib.h>

void *xc_interface_open(void *logger, void *other, unsigned flags)
{
	(void)logger, (void)other, (void)flags;
	return calloc(1, 65536);
}

int xc_interface_close(void *x)
{
	free(x);
	return 0;
}

void *xs_open(unsigned long flags)
{
	(void)flags;
	return calloc(1, 65536);
}

void xs_close(void *x) { free(x); }

int xs_fileno(void *x)
{
	(void)x;
	return -1;
}

int xc_version(void *x, int what, void *out)
{
	(void)x, (void)out;
	return what ? 0 : 4 << 16 | 17;
}

int xc_physinfo(void *x, void *out)
{
	(void)x, (void)out;
	return 0;
}

int xc_get_max_cpus(void *x)
{
	(void)x;
	return 64;
}

int xc_get_max_nodes(void *x)
{
	(void)x;
	return 1;
}

int libxl_get_physinfo(void *x, void *out)
{
	(void)x, (void)out;
	return 0;
}
