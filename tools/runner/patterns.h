/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Words by which boot loaders, kernels and init systems show how far they came.  Pure. */
#ifndef RUNNER_PATTERNS_H
#define RUNNER_PATTERNS_H

#include <stdbool.h>

enum sign {
	SIGN_NONE,
	SIGN_LOADER, /* a boot loader is at work */
	SIGN_KERNEL, /* a kernel, or what it started */
	SIGN_HINT,   /* an error that may be survived: worth telling if the worst comes */
	SIGN_FAILED,
	SIGN_BOOTED,
};

/* `settled`: nothing came after this line for a while, so that it may be a prompt.  *meaning (may stay NULL): what it means, if
   the line itself does not say so. */
enum sign pattern_find(const char *line, bool settled, const char **meaning);
/* Has the line a time stamp of Linux's? */
bool pattern_stamped(const char *line);

#endif
