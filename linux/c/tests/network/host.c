// SPDX-License-Identifier: GPL-2.0
/*
 * Kinds of interfaces that lead out of the process: the machine's own network stack is at the other end, in the network that the
 * program was started in, or another program like this one.
 */
#ifndef _WIN32
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "check.h"

#define BULK (8 << 20)

static unsigned char bulk(long at)
{
	return (unsigned char)(at * 31 + (at >> 12));
}

/* ---- the machine's ends of connections ---- */

static int machine_listen(unsigned int addr, int *port)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = addr };
	socklen_t len = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	IS(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	IS(listen(fd, 8), 0);
	IS(getsockname(fd, (struct sockaddr *)&in, &len), 0);
	*port = ntohs(in.sin_port);
	return fd;
}

/* Gives back what it gets, to the end. */
static void machine_echo(int fd)
{
	char bytes[65536];
	ssize_t len;

	while ((len = read(fd, bytes, sizeof(bytes))) > 0) {
		ssize_t done = 0, now;

		while (done < len && (now = write(fd, bytes + done, (size_t)(len - done))) > 0)
			done += now;
	}
	close(fd);
}

static void *machine_server(void *listener)
{
	machine_echo(accept(*(int *)listener, NULL, NULL));
	return NULL;
}

static void *machine_client(void *unused)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(7000), .sin_addr.s_addr = IP4(1, 2) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	(void)unused;
	IS(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	machine_echo(fd);
	return NULL;
}

/* ---- Linux's ends ---- */

static long writer_fd;

static void *write_bulk(void *unused)
{
	unsigned char *bytes = malloc(BULK);
	long i;

	(void)unused;
	for (i = 0; i < BULK; i++)
		bytes[i] = bulk(i);
	IS(send_all(writer_fd, bytes, BULK), BULK);
	IS(lkl_sys_shutdown((int)writer_fd, 1), 0);
	free(bytes);
	return NULL;
}

/* Everything that goes out comes back, byte for byte. */
static void echoed(long fd)
{
	unsigned char *bytes = malloc(BULK + 1);
	pthread_t writer;
	long i, wrong = 0;

	SAYS(fd, value >= 0);
	writer_fd = fd;
	IS(pthread_create(&writer, NULL, write_bulk, NULL), 0);
	IS(receive_all(fd, bytes, BULK + 1), BULK);
	for (i = 0; i < BULK; i++)
		wrong += bytes[i] != bulk(i);
	IS(wrong, 0);
	IS(pthread_join(writer, NULL), 0);
	IS(lkl_sys_close((unsigned int)fd), 0);
	free(bytes);
}

static void talks(void)
{
	pthread_t thread;
	int port, listener = machine_listen(IP4(1, 1), &port);
	long inner;

	IS(ping(IP4(1, 1), 10), 10);
	IS(pthread_create(&thread, NULL, machine_server, &listener), 0);
	echoed(tcp_connect(IP4(1, 1), (unsigned short)port));
	IS(pthread_join(thread, NULL), 0);
	close(listener);

	inner = tcp_listen(IP4(1, 2), 7000);
	SAYS(inner, value >= 0);
	IS(pthread_create(&thread, NULL, machine_client, NULL), 0);
	echoed(lkl_sys_accept((int)inner, NULL, NULL));
	IS(pthread_join(thread, NULL), 0);
	IS(lkl_sys_close((unsigned int)inner), 0);
}

static void with(struct lkl_netdev *nd)
{
	int id, index;

	SAYS(nd != NULL, value == 1);
	if (!nd)
		return;
	id = lkl_netdev_add(nd, NULL);
	SAYS(id, value >= 0);
	index = lkl_netdev_get_ifindex(id);
	IS(lkl_if_up(index), 0);
	IS(lkl_if_set_ipv4(index, IP4(1, 2), 24), 0);
	talks();
	IS(lkl_netdev_remove(id), 0);
	IS(lkl_ifname_to_ifindex("eth0"), -LKL_ENODEV);
	lkl_netdev_free(nd);
}

void host_end(const char *tap)
{
	struct lkl_netdev *first, *second;

	start("mem=64M loglevel=4");
	/* With all offloads, with those that users' files have, and with none. */
	with(lkl_netdev_tap_create(tap, LKL_NETDEV_OFFLOAD_TCP));
	with(lkl_netdev_tap_create(tap, 0xc803));
	with(lkl_netdev_tap_create(tap, 0));
	/* It is one program's at a time. */
	first = lkl_netdev_tap_create(tap, 0);
	SAYS(first != NULL, value == 1);
	second = lkl_netdev_tap_create(tap, 0);
	IS(second, 0);
	lkl_netdev_free(first);
}

void raw_end(const char *interface)
{
	start("mem=64M loglevel=4");
	with(lkl_netdev_raw_create(interface));
}

void macvtap_end(const char *path)
{
	start("mem=64M loglevel=4");
	with(lkl_netdev_macvtap_create(path, LKL_NETDEV_OFFLOAD_TCP));
	with(lkl_netdev_macvtap_create(path, 0));
}

void addresses_at_boot(const char *tap, const char *word)
{
	struct lkl_netdev *nd = lkl_netdev_tap_create(tap, LKL_NETDEV_OFFLOAD_TCP);
	char line[256];

	SAYS(nd != NULL, value == 1);
	IS(lkl_netdev_add(nd, NULL), 0);
	if (!strcmp(word, "ip=dhcp"))
		serve_dhcp(tap);
	snprintf(line, sizeof(line), "mem=64M loglevel=4 %s", word);
	start(line);
	IS(strstr(printed, "lkl: ip=") != NULL, 0);
	SAYS(lkl_mount_fs("proc"), value == 0 || value == 1);
	SAYS(strstr(content("/proc/net/fib_trie"), "10.9.1.2") != NULL, value == 1);
	/* The way out of all networks is 10.9.1.1. */
	SAYS(strstr(content("/proc/net/route"), "eth0\t00000000\t0101090A") != NULL, value == 1);
	SAYS(strstr(content("/proc/cmdline"), "ip=") == NULL, value == 1);
	IS(ping(IP4(1, 1), 3), 3);
	IS(lkl_sys_halt(), 0);
	lkl_netdev_free(nd);
}

void pipe_end(const char *pipes, int answers)
{
	struct lkl_netdev *nd = lkl_netdev_pipe_create(pipes, 0);
	int id, index;
	long listener, fd;

	SAYS(nd != NULL, value == 1);
	start("mem=64M loglevel=4");
	id = lkl_netdev_add(nd, NULL);
	index = lkl_netdev_get_ifindex(id);
	IS(lkl_if_up(index), 0);
	IS(lkl_if_set_ipv4(index, answers ? IP4(1, 2) : IP4(1, 3), 24), 0);
	if (answers) {
		unsigned char bytes[4096];
		long len;

		listener = tcp_listen(IP4(1, 2), 7000);
		SAYS(listener, value >= 0);
		printf("listening\n");
		fflush(stdout);
		fd = lkl_sys_accept((int)listener, NULL, NULL);
		SAYS(fd, value >= 0);
		while ((len = lkl_sys_read((unsigned int)fd, (char *)bytes, sizeof(bytes))) > 0)
			IS(send_all(fd, bytes, len), len);
		IS(len, 0);
		IS(lkl_sys_shutdown((int)fd, 1), 0);
		/* The other program takes what is under way, and ends: it closes the connection. */
		IS(lkl_sys_close((unsigned int)fd), 0);
		IS(lkl_sys_close((unsigned int)listener), 0);
		sleep(1);
	} else {
		IS(ping(IP4(1, 2), 10), 10);
		echoed(tcp_connect(IP4(1, 2), 7000));
	}
	IS(lkl_netdev_remove(id), 0);
	lkl_netdev_free(nd);
}
#endif
