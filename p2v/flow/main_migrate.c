/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "flow/flow.h"

int main(int argc, char **argv)
{
	return flow_main(FLOW_MIGRATE, argc, argv);
}
