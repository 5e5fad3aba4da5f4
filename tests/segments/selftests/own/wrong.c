// SPDX-License-Identifier: GPL-2.0
/* A check that is wrong: the test of the runner has this program fail. */
#include <netinet/in.h>
#include <sys/socket.h>

#include "../../kselftest_harness.h"

FIXTURE(port)
{
	int first;
	int second;
};

FIXTURE_SETUP(port)
{
	self->first = socket(AF_INET, SOCK_STREAM, 0);
	self->second = socket(AF_INET, SOCK_STREAM, 0);
	ASSERT_LE(0, self->first);
	ASSERT_LE(0, self->second);
}

FIXTURE_TEARDOWN(port)
{
	close(self->first);
	close(self->second);
}

TEST_F(port, second_bind_is_allowed)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(4000) };

	ASSERT_EQ(0, bind(self->first, (struct sockaddr *)&address, sizeof(address)));
	ASSERT_EQ(0, listen(self->first, 1));
	ASSERT_EQ(0, bind(self->second, (struct sockaddr *)&address, sizeof(address)));
}

TEST_HARNESS_MAIN
