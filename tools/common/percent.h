/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Percent-encoding, as references in OVF are to be written, and often are not. */
#ifndef COMMON_PERCENT_H
#define COMMON_PERCENT_H

/* What "My%20disk.vmdk" stands for; to be freed.  NULL: there is nothing to decode, what is there is no such thing, or no memory. */
char *percent_decode(const char *text);

#endif
