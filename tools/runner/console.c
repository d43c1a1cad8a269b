/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Only a terminal has the escape: bytes from a pipe are the guest's, all of them. */
#include "console.h"

#include <errno.h>
#include <unistd.h>

#define CTRL_A 1

void console_begin(struct console *c, int fd)
{
	*c = (struct console){ .fd = fd };
	if (fd < 0 || tcgetattr(fd, &c->saved))
		return;
	struct termios raw = c->saved;
	cfmakeraw(&raw);
	raw.c_oflag |= OPOST; /* our own messages want their line ends */
	c->raw = !tcsetattr(fd, TCSANOW, &raw);
}

void console_end(struct console *c)
{
	if (c->raw)
		tcsetattr(c->fd, TCSANOW, &c->saved);
	c->raw = false;
}

bool console_read(struct console *c, uint8_t *out, size_t room, size_t *n)
{
	uint8_t typed[64];
	ssize_t got = read(c->fd, typed, room < sizeof(typed) ? room : sizeof(typed));

	*n = 0;
	if (got <= 0) {
		if (got == 0 || (errno != EINTR && errno != EAGAIN))
			c->fd = -1;
		return false;
	}
	for (ssize_t i = 0; i < got; i++) {
		if (c->raw && c->prefixed) {
			c->prefixed = false;
			if (typed[i] == 'x' || typed[i] == 'X')
				return true;
			if (typed[i] != CTRL_A) /* twice: one for the guest */
				continue;
		} else if (c->raw && typed[i] == CTRL_A) {
			c->prefixed = true;
			continue;
		}
		out[(*n)++] = typed[i];
	}
	return false;
}
