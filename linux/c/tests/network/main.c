// SPDX-License-Identifier: GPL-2.0
/*
 * Calls the functions of the network, a group a run, and says what is not as lkl.h has it.
 *
 *	network helpers | wrong | own
 *	network tap DEVICE			a TAP device at 10.9.1.1/24
 *	network raw INTERFACE			an interface of the machine's, 10.9.1.1/24 being at its other end
 *	network macvtap INTERFACE DEVICE	a macvtap upon it, by its device
 *	network boot DEVICE WORD		"ip=..." of the command line; a DHCP server for it is in the program
 *	network pipe-answer READ|WRITE, network pipe-ask READ|WRITE
 */
#include "check.h"

int main(int argc, char **argv)
{
	const char *group = argc > 1 ? argv[1] : "";
	const char *first = argc > 2 ? argv[2] : "", *second = argc > 3 ? argv[3] : "";

	begin();
	if (!strcmp(group, "helpers"))
		helpers();
	else if (!strcmp(group, "wrong"))
		wrong_arguments();
	else if (!strcmp(group, "own"))
		own_kinds();
#ifndef _WIN32
	else if (!strcmp(group, "tap"))
		host_end(first);
	else if (!strcmp(group, "raw"))
		raw_end(first);
	else if (!strcmp(group, "macvtap"))
		macvtap_end(argc > 3 ? second : first);
	else if (!strcmp(group, "boot"))
		addresses_at_boot(first, second);
	else if (!strcmp(group, "pipe-answer") || !strcmp(group, "pipe-ask"))
		pipe_end(first, !strcmp(group, "pipe-answer"));
#endif
	else
		check(0, __FILE__, __LINE__, "no such group", argc);
	(void)first;
	(void)second;
	return end();
}
