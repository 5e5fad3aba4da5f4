/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What DPDK has as inline functions and as structures that differ between its versions, as plain functions for sys.rs.
 *
 * DPDK's environment (EAL) is started once in a process. It prints, to the C library's streams, what it has to say of that: here
 * it is kept instead, and its first line is the reason that a user is told.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_log.h>
#include <rte_mbuf.h>

#include "shim.h"

/* What is said at first: a reason is there, and what follows it explains. */
static char said[4096];
static size_t said_len;
static pthread_mutex_t saying = PTHREAD_MUTEX_INITIALIZER;

static ssize_t keep(void *cookie, const char *text, size_t len)
{
	size_t now;

	(void)cookie;
	pthread_mutex_lock(&saying);
	now = RTE_MIN(len, sizeof(said) - 1 - said_len);
	memcpy(said + said_len, text, now);
	said_len += now;
	said[said_len] = 0;
	pthread_mutex_unlock(&saying);
	return (ssize_t)len;
}

void lkl_dpdk_forget(void)
{
	pthread_mutex_lock(&saying);
	said_len = 0;
	said[0] = 0;
	pthread_mutex_unlock(&saying);
}

void lkl_dpdk_said(char *text, size_t size)
{
	pthread_mutex_lock(&saying);
	snprintf(text, size, "%s", said);
	pthread_mutex_unlock(&saying);
}

int lkl_dpdk_start(int argc, char **argv)
{
	/* Never closed: EAL has it for as long as the process lives, and a thread may print to it while it is standard output. */
	static FILE *kept;
	const cookie_io_functions_t functions = { .write = keep };
	FILE *out = stdout, *err = stderr;
	int parsed;

	if (!kept) {
		kept = fopencookie(NULL, "w", functions);
		if (!kept)
			return -ENOMEM;
		setvbuf(kept, NULL, _IOLBF, 0);
	}
	lkl_dpdk_forget();
	rte_openlog_stream(kept);
	rte_log_set_global_level(RTE_LOG_ERR);
	stdout = kept;
	stderr = kept;
	parsed = rte_eal_init(argc, argv);
	stdout = out;
	stderr = err;
	fflush(kept);
	if (parsed < 0)
		return rte_errno ? -rte_errno : -EINVAL;
	return parsed;
}

/* A pool whose packets have that much room. */
static struct rte_mempool *pool_of(uint16_t port, uint32_t room)
{
	char name[RTE_MEMPOOL_NAMESIZE];

	snprintf(name, sizeof(name), "lkl%u-%u", port, room);
	return rte_pktmbuf_pool_create(name, LKL_DPDK_MBUFS, 0, 0, room + RTE_PKTMBUF_HEADROOM,
				       (int)SOCKET_ID_ANY);
}

static int configure(uint16_t port, uint32_t room, struct lkl_dpdk_port *out)
{
	const uint64_t receive = RTE_ETH_RX_OFFLOAD_CHECKSUM | RTE_ETH_RX_OFFLOAD_SCATTER;
	const uint64_t checksums = RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
	struct rte_eth_conf conf = { 0 };
	struct rte_eth_dev_info info;
	struct rte_eth_rxconf rx;
	struct rte_eth_txconf tx;
	struct rte_ether_addr address;
	uint16_t receives = LKL_DPDK_QUEUE, sends = LKL_DPDK_QUEUE;
	int result;

	result = rte_eth_dev_info_get(port, &info);
	if (result)
		return result;
	conf.rxmode.offloads = receive & info.rx_offload_capa;
	/* Of the two one alone is of no use: Linux leaves both to a device, or none. */
	if ((info.tx_offload_capa & checksums) == checksums)
		conf.txmode.offloads = checksums;
	result = rte_eth_dev_configure(port, 1, 1, &conf);
	if (result)
		return result;
	result = rte_eth_dev_adjust_nb_rx_tx_desc(port, &receives, &sends);
	if (result)
		return result;
	out->pool = pool_of(port, room);
	if (!out->pool)
		return -rte_errno;
	rx = info.default_rxconf;
	rx.offloads = conf.rxmode.offloads;
	tx = info.default_txconf;
	tx.offloads = conf.txmode.offloads;
	result = rte_eth_rx_queue_setup(port, 0, receives, SOCKET_ID_ANY, &rx, out->pool);
	if (result) {
		rte_mempool_free(out->pool);
		return result == -EINVAL || result == -ENOMEM ? -EMSGSIZE : result;
	}
	/* Where it ends after this the pool is the queue's, and stays. */
	result = rte_eth_tx_queue_setup(port, 0, sends, SOCKET_ID_ANY, &tx);
	if (!result)
		result = rte_eth_dev_start(port);
	if (result)
		return result;
	/* Frames for Linux's own address, whichever it has; or else Linux has the device's. */
	if (rte_eth_promiscuous_enable(port) && rte_eth_macaddr_get(port, &address) == 0)
		memcpy(out->address, address.addr_bytes, sizeof(out->address));
	out->port = port;
	out->room = room;
	out->checksums = conf.txmode.offloads != 0;
	return 0;
}

int lkl_dpdk_open(const char *name, struct lkl_dpdk_port *out)
{
	/* The least that the device takes: some want as much as their own frames have. */
	static const uint32_t rooms[] = { 2048, 4096, 9728, 16384, 65280 };
	uint16_t port;
	unsigned int i;
	int result;

	memset(out, 0, sizeof(*out));
	if (name) {
		result = rte_eth_dev_get_port_by_name(name, &port);
		if (result)
			return -ENODEV;
	} else {
		port = (uint16_t)rte_eth_find_next(0);
		if (port == RTE_MAX_ETHPORTS)
			return -ENODEV;
	}
	result = -ENODEV;
	for (i = 0; i < RTE_DIM(rooms); i++) {
		result = configure(port, rooms[i], out);
		if (!result)
			lkl_dpdk_forget();
		if (result != -EMSGSIZE)
			break;
	}
	return result;
}

void lkl_dpdk_close(const struct lkl_dpdk_port *port)
{
	(void)rte_eth_dev_stop(port->port);
	(void)rte_eth_dev_close(port->port);
	rte_mempool_free(port->pool);
}

int lkl_dpdk_link(const struct lkl_dpdk_port *port)
{
	struct rte_eth_link link;

	memset(&link, 0, sizeof(link));
	/* A device that does not know has one. */
	return rte_eth_link_get_nowait(port->port, &link) || link.link_status == RTE_ETH_LINK_UP;
}

unsigned int lkl_dpdk_receive(const struct lkl_dpdk_port *port, struct rte_mbuf **packets, unsigned int count)
{
	return rte_eth_rx_burst(port->port, 0, packets, (uint16_t)count);
}

unsigned int lkl_dpdk_send(const struct lkl_dpdk_port *port, struct rte_mbuf **packets, unsigned int count)
{
	return rte_eth_tx_burst(port->port, 0, packets, (uint16_t)count);
}

void lkl_dpdk_free(struct rte_mbuf **packets, unsigned int count)
{
	rte_pktmbuf_free_bulk(packets, count);
}

int lkl_dpdk_good(const struct rte_mbuf *packet)
{
	return (packet->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD;
}

void lkl_dpdk_piece(const struct rte_mbuf *packet, struct lkl_dpdk_piece *out)
{
	out->data = rte_pktmbuf_mtod(packet, void *);
	out->len = packet->data_len;
	out->next = packet->next;
}

struct rte_mbuf *lkl_dpdk_new(const struct lkl_dpdk_port *port, size_t len, void **data)
{
	struct rte_mbuf *packet = len <= port->room ? rte_pktmbuf_alloc(port->pool) : NULL;

	if (packet)
		*data = rte_pktmbuf_append(packet, (uint16_t)len);
	return packet;
}

void lkl_dpdk_checksum(struct rte_mbuf *packet, int ipv6, unsigned int header, int tcp)
{
	packet->l2_len = RTE_ETHER_HDR_LEN;
	packet->l3_len = header;
	packet->ol_flags |= ipv6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4;
	packet->ol_flags |= tcp ? RTE_MBUF_F_TX_TCP_CKSUM : RTE_MBUF_F_TX_UDP_CKSUM;
}
