/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How far captures are, as JSON (vdisk-receive(1)). */
#ifndef RECEIVE_VIEW_H
#define RECEIVE_VIEW_H

#include "receiver.h"

/* Return owned; NULL: out of memory. */
json_object *view_capture(struct capture *c);
json_object *view_all(struct receiver *r);

#endif
