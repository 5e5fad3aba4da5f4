// SPDX-License-Identifier: GPL-2.0
/* A DHCP server as small as one can be: one address for one client. */
#ifndef _WIN32
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>
#include "check.h"

static int server;

/* The value of an option, or NULL. */
static const unsigned char *option(const unsigned char *message, long len, unsigned char wanted)
{
	long at = 240;

	while (at + 1 < len && message[at] != 255) {
		if (message[at] == wanted)
			return message + at + 2;
		at += message[at] ? message[at + 1] + 2 : 1;
	}
	return NULL;
}

static void *serve(void *unused)
{
	static const unsigned char options[] = {
		54, 4, 10, 9, 1, 1,		/* the server */
		51, 4, 0, 0, 14, 16,		/* an hour */
		1, 4, 255, 255, 255, 0,
		3, 4, 10, 9, 1, 1,		/* the router */
		255,
	};
	struct sockaddr_in all = {
		.sin_family = AF_INET, .sin_port = htons(68), .sin_addr.s_addr = INADDR_BROADCAST
	};
	unsigned char message[1500];
	ssize_t len;

	(void)unused;
	while ((len = recv(server, message, sizeof(message), 0)) > 0) {
		const unsigned char *kind = option(message, len, 53);
		unsigned char answer[300] = { 2, 1, 6 };
		static const unsigned char ours[4] = { 10, 9, 1, 2 };

		if (len < 240 || !kind || (*kind != 1 && *kind != 3))
			continue;
		memcpy(answer + 4, message + 4, 4);
		memcpy(answer + 16, ours, 4);
		memcpy(answer + 28, message + 28, 16);
		memcpy(answer + 236, message + 236, 4);
		answer[240] = 53;
		answer[241] = 1;
		answer[242] = *kind == 1 ? 2 : 5;
		memcpy(answer + 243, options, sizeof(options));
		sendto(server, answer, sizeof(answer), 0, (struct sockaddr *)&all, sizeof(all));
	}
	return NULL;
}

void serve_dhcp(const char *device)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(67) };
	pthread_t thread;
	int yes = 1;

	server = socket(AF_INET, SOCK_DGRAM, 0);
	IS(setsockopt(server, SOL_SOCKET, SO_BROADCAST, &yes, sizeof(yes)), 0);
	IS(setsockopt(server, SOL_SOCKET, SO_BINDTODEVICE, device, (socklen_t)strlen(device)), 0);
	IS(bind(server, (struct sockaddr *)&in, sizeof(in)), 0);
	IS(pthread_create(&thread, NULL, serve, NULL), 0);
	pthread_detach(thread);
}
#endif
