/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "flow/flow.h"

#include "common/streams.h"

int main(int argc, char **argv)
{
	streams_secure();
	return flow_main(FLOW_P2V, argc, argv);
}
