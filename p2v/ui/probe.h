/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Is a receiver there, is it the one that was meant, and does it take the token? */
#ifndef UI_PROBE_H
#define UI_PROBE_H

#include "settings.h"

struct probe {
	char fingerprint[65]; /* of the server that answered: SHA-256 of its public key; "": none did */
	bool trusted;         /* it has the fingerprint that was given, or without one a certificate that the system's authorities
	                         vouch for */
	bool token_good;      /* asked only where trusted */
};

/* Connects to s->server and looks; a token goes out only to a server that is trusted.  -1: no connection, another server than the
   fingerprint's, or an answer that no receiver gives; p tells how far it came. */
int probe(const struct settings *s, struct probe *p, vdisk_error *err);

#endif
