/* SPDX-License-Identifier: GPL-2.0 */
/* What the programs of this folder share: checks, a program's own print, a time limit. */
#ifndef NETWORK_CHECK_H
#define NETWORK_CHECK_H

#include <stdio.h>
#include <string.h>
#include <lkl.h>
#include <lkl_host.h>
#include <lkl/asm/socket.h>
#include <lkl/linux/if_packet.h>
#include <lkl/linux/in.h>
#include <lkl/linux/sched.h>
#include <lkl/linux/time.h>

extern int checks, failures;
extern char printed[1 << 16];

void check(int right, const char *file, int line, const char *what, long value);
/* Linux's words go to `printed`. The program ends by itself after a minute. */
void begin(void);
void start(const char *command_line);
/* Halts Linux; the last line is "N checks, M failed". What main() returns. */
int end(void);

#define SAYS(call, condition)							\
	do {									\
		long value = (long)(call);					\
										\
		check(condition, __FILE__, __LINE__, #call " " #condition, value);	\
	} while (0)
#define IS(call, expected) SAYS(call, value == (expected))

/* 10.9.N.M in network order, on a little-endian machine. */
#define IP4(n, m) (0x0000090au | (unsigned int)(n) << 16 | (unsigned int)(m) << 24)

/* Linux's sockets. */
long tcp_listen(unsigned int addr, unsigned short port);
long tcp_connect(unsigned int addr, unsigned short port);
long send_all(long fd, const void *bytes, long len);
long receive_all(long fd, void *bytes, long len);
/* How many of `count` echo requests are answered. */
int ping(unsigned int addr, int count);
/* The content of a file of Linux's. */
const char *content(const char *path);

/* The groups. */
void host_end(const char *tap);
void pipe_end(const char *pipes, int answers);
void own_kinds(void);
void helpers(void);
void wrong_arguments(void);
/* A DHCP server of the machine's, on a thread: it lends 10.9.1.2/24, with 10.9.1.1 as the router. */
void serve_dhcp(const char *device);
void addresses_at_boot(const char *tap, const char *word);
void raw_end(const char *interface);
void macvtap_end(const char *path);

#endif
