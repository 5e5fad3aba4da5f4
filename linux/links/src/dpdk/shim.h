/* SPDX-License-Identifier: GPL-2.0-only */
/* What shim.c has for sys.rs, which says the same in Rust. */
#ifndef LKL_DPDK_SHIM_H
#define LKL_DPDK_SHIM_H

#include <stddef.h>
#include <stdint.h>

/* Packets of a port that are in queues, in this program's hands, or free; and how many a queue has. */
#define LKL_DPDK_MBUFS 2047
#define LKL_DPDK_QUEUE 512

struct rte_mbuf;
struct rte_mempool;

/*
 * A device that runs.
 * @room: bytes that a packet may have
 * @checksums: it computes those of TCP and UDP
 * @address: the only one whose frames it passes; zeros: it passes all
 */
struct lkl_dpdk_port {
	struct rte_mempool *pool;
	uint32_t room;
	uint16_t port;
	uint8_t checksums;
	uint8_t address[6];
};

/* A piece of a packet. @next: what has the next one, or NULL */
struct lkl_dpdk_piece {
	const void *data;
	size_t len;
	const struct rte_mbuf *next;
};

/* Starts EAL: how many words it took, or a negative errno. */
int lkl_dpdk_start(int argc, char **argv);
/* What was said since lkl_dpdk_forget(). */
void lkl_dpdk_said(char *text, size_t size);
void lkl_dpdk_forget(void);

/* Takes the device of that name, or the first one, and has it run; 0 or a negative errno. */
int lkl_dpdk_open(const char *name, struct lkl_dpdk_port *out);
/* All of its packets are free. */
void lkl_dpdk_close(const struct lkl_dpdk_port *port);
int lkl_dpdk_link(const struct lkl_dpdk_port *port);

/* Each is one thread's at a time. */
unsigned int lkl_dpdk_receive(const struct lkl_dpdk_port *port, struct rte_mbuf **packets, unsigned int count);
unsigned int lkl_dpdk_send(const struct lkl_dpdk_port *port, struct rte_mbuf **packets, unsigned int count);

void lkl_dpdk_free(struct rte_mbuf **packets, unsigned int count);
int lkl_dpdk_good(const struct rte_mbuf *packet);
void lkl_dpdk_piece(const struct rte_mbuf *packet, struct lkl_dpdk_piece *out);

/* A packet with room for @len bytes at @data; NULL: there is none. */
struct rte_mbuf *lkl_dpdk_new(const struct lkl_dpdk_port *port, size_t len, void **data);
/* Its checksum is the device's to compute. @header: bytes of the header of IP */
void lkl_dpdk_checksum(struct rte_mbuf *packet, int ipv6, unsigned int header, int tcp);

#endif
