/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What files are called whose machine may be called anything: letters, digits, '.', '_' and '-', which every hypervisor, archive
   and shell takes as they are.  Latin letters lose what is above and below them. */
#include "flow/flow.h"

#include "common/fail.h"
#include "machine/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MOST 80u /* with what comes behind it: a tar file's header holds 100 */

/* U+00C0 to U+017F, one after the other; '-' for what is no letter. */
static const char *const latin[] = {
	"A", "A", "A", "A", "A", "A", "AE", "C", "E", "E", "E", "E", "I", "I", "I", "I", "D", "N", "O", "O", "O", "O", "O", "-", "O", "U",
	"U", "U", "U", "Y", "Th", "ss", "a", "a", "a", "a", "a", "a", "ae", "c", "e", "e", "e", "e", "i", "i", "i", "i", "d", "n", "o", "o",
	"o", "o", "o", "-", "o", "u", "u", "u", "u", "y", "th", "y", "A", "a", "A", "a", "A", "a", "C", "c", "C", "c", "C", "c", "C", "c",
	"D", "d", "D", "d", "E", "e", "E", "e", "E", "e", "E", "e", "E", "e", "G", "g", "G", "g", "G", "g", "G", "g", "H", "h", "H", "h",
	"I", "i", "I", "i", "I", "i", "I", "i", "I", "i", "IJ", "ij", "J", "j", "K", "k", "k", "L", "l", "L", "l", "L", "l", "L", "l", "L",
	"l", "N", "n", "N", "n", "N", "n", "n", "N", "n", "O", "o", "O", "o", "O", "o", "OE", "oe", "R", "r", "R", "r", "R", "r", "S", "s",
	"S", "s", "S", "s", "S", "s", "T", "t", "T", "t", "T", "t", "U", "u", "U", "u", "U", "u", "U", "u", "U", "u", "U", "u", "W", "w",
	"Y", "y", "Y", "Z", "z", "Z", "z", "Z", "z", "s",
};
_Static_assert(sizeof(latin) / sizeof(latin[0]) == 0x180 - 0xc0, "one for each");

/* One character of UTF-8; what is none counts as one that is not known, byte by byte. */
static const char *char_take(const char *p, unsigned *c)
{
	size_t n = text_utf8_len(p, strnlen(p, 4));

	*c = n > 1 ? (unsigned char)*p & (0x7fu >> n) : n ? (unsigned char)*p : 0xfffd;
	for (size_t i = 1; i < n; i++)
		*c = *c << 6 | ((unsigned char)p[i] & 0x3f);
	return p + (n ? n : 1);
}

static bool is_plain(unsigned c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c && c < 0x80 && strchr("._-", (int)c));
}

int flow_name(struct flow *f, vdisk_error *err)
{
	const char *said = f->a->name            ? f->a->name
	                   : f->m->name          ? f->m->name
	                   : f->m->host.hostname ? f->m->host.hostname
	                                         : "machine";
	size_t n = 0;
	unsigned c;

	if (f->a->name && !(f->m->name = machine_text(f->m, f->a->name)))
		return fail(err, VDISK_INVALID, "--name: is no text that a machine may be called by");
	if (!f->m->name)
		f->m->name = machine_text(f->m, said);
	f->name = calloc(1, NAME_MOST + 1);
	if (!f->name)
		return fail_nomem(err);
	for (const char *p = said; *p && n < NAME_MOST;) {
		char own[2] = "-";
		const char *as = own;

		p = char_take(p, &c);
		if (is_plain(c))
			own[0] = (char)c;
		else if (c >= 0xc0 && c < 0x180)
			as = latin[c - 0xc0];
		else if (c >= 0x300 && c < 0x370) /* what stands above or below the letter before it */
			continue;
		n += (size_t)snprintf(f->name + n, NAME_MOST + 1 - n, "%s", as);
	}
	if (!*f->name || *f->name == '.' || *f->name == '-')
		*f->name = 'm';
	return 0;
}
