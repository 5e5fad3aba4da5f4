/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of hostnet share: an interface, and what each of them does for the others.
 *
 * hostnet.c has interfaces as Linux and the host see them, hostnet_send.c what goes to the host, hostnet_receive.c what comes.
 */
#ifndef _LKL_HOSTNET_H
#define _LKL_HOSTNET_H

#include <linux/netdevice.h>
#include <linux/skbuff.h>
#include <linux/wait.h>
#include <asm/host_net.h>
#include <asm/lkl.h>

#define MAX_SEGMENTS		(MAX_SKB_FRAGS + 1)

struct hostnet_packet {
	struct lkl_net_transmit transmit;
	struct lkl_segment segments[MAX_SEGMENTS];
	struct sk_buff *skb;
	struct hostnet_packet *next_spare;
};

struct hostnet_buffer {
	struct lkl_net_receive receive;
	struct lkl_segment segments[MAX_SKB_FRAGS];	/* a page each */
};

/**
 * struct lkl_net - an interface
 * @dev: Linux's own
 * @napi: what takes back
 * @ops: the host's
 * @offloads: LKL_NET_*
 * @inside: how many threads of the host are in a function here that was called without the CPU
 * @posted: the interrupt is on its way
 * @event: the interrupt
 * @carrier: what the host said last
 * @transmitted: packets that came back, the last one first
 * @received: buffers that came back, the last one first
 * @packets: all of them, @transmit_depth
 * @spare: those that are free
 * @out: how many the host has
 * @queued: packets of a list that is being made
 * @queued_end: where the next one is put
 * @buffers: all of them, @receive_depth
 * @pages: how many pages each has
 * @lent: how many have not come back; kept while @stopping
 * @backlog: buffers with packets that were not looked at yet, in their order
 * @stopping: everything is to come back, and a thread waits for it
 * @back: there it waits
 */
struct lkl_net {
	struct net_device *dev;
	struct napi_struct napi;
	struct lkl_net_ops ops;
	unsigned long offloads;
	unsigned int inside;
	unsigned int posted;
	struct lkl_irq_event event;
	int carrier;
	struct lkl_net_transmit *transmitted;
	struct lkl_net_receive *received;
	struct hostnet_packet *packets;
	struct hostnet_packet *spare;
	unsigned int transmit_depth;
	unsigned int out;
	struct lkl_net_transmit *queued;
	struct lkl_net_transmit **queued_end;
	struct hostnet_buffer *buffers;
	unsigned int receive_depth;
	unsigned int pages;
	unsigned int lent;
	struct lkl_net_receive *backlog;
	bool stopping;
	wait_queue_head_t back;
};

/* Its count keeps the interface: lkl_net_forget() waits for it. */
static inline void hostnet_enter(struct lkl_net *net)
{
	__atomic_fetch_add(&net->inside, 1, __ATOMIC_SEQ_CST);
}

/* In any context: has the interrupt come that takes what was pushed. */
static inline void hostnet_announce_and_leave(struct lkl_net *net)
{
	if (!__atomic_exchange_n(&net->posted, 1, __ATOMIC_SEQ_CST))
		lkl_irq_post(&net->event);
	__atomic_fetch_sub(&net->inside, 1, __ATOMIC_SEQ_CST);
}

/* Sending */
int hostnet_alloc_packets(struct lkl_net *net);
netdev_tx_t hostnet_xmit(struct sk_buff *skb, struct net_device *dev);
void hostnet_send_queued(struct lkl_net *net);
/* Frees what the host has sent. */
void hostnet_take_transmitted(struct lkl_net *net, int budget);

/* Receiving */
int hostnet_alloc_buffers(struct lkl_net *net);
/* How many pages a buffer has, for the longest packet that may come. */
unsigned int hostnet_pages_wanted(const struct lkl_net *net);
/* Pages for the buffers: a list of them all for the host, or NULL for lack of memory. */
struct lkl_net_receive *hostnet_fill_buffers(struct lkl_net *net);
/* The pages go; the host has none. */
void hostnet_empty_buffers(struct lkl_net *net);
/* Takes up to @budget packets: how many there were. */
int hostnet_receive(struct lkl_net *net, int budget);
/* While everything is to come back: counts the buffers that have. */
void hostnet_take_back(struct lkl_net *net);

#endif
