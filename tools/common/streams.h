/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The standard streams of a program. */
#ifndef COMMON_STREAMS_H
#define COMMON_STREAMS_H

/* To be called first: those that are closed become /dev/null, so that no image is ever opened as a standard stream and no message
   written into one.  Writing to a standard output that was closed fails. */
void streams_secure(void);

#endif
