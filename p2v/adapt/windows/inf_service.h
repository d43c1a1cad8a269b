/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef ADAPT_INF_SERVICE_H
#define ADAPT_INF_SERVICE_H

#include "inf.h"

/* Adds the services of the section `s` that the driver does not have yet.  `name`: the INF's, for messages. */
int inf_services_read(struct inf_driver *d, const struct inf *f, const struct inf_section *s, const char *name, vdisk_error *err);
void inf_service_destroy(struct inf_service *s);

#endif
