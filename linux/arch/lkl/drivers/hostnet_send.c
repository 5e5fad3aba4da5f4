// SPDX-License-Identifier: GPL-2.0
/*
 * hostnet, sending: packets go to the host as they are. A socket buffer's head and pages are the segments, a list is one call, and
 * the socket buffer stays until the host gives the packet back.
 */
#include <linux/etherdevice.h>
#include <linux/slab.h>
#include <linux/virtio_net.h>
#include "hostnet.h"

void linux_net_transmitted(struct lkl_net_transmit *packets)
{
	struct lkl_net_transmit *last = packets;
	struct lkl_net *net;

	if (!packets)
		return;
	net = packets->linux_private[0];
	hostnet_enter(net);
	while (last->next)
		last = last->next;
	last->next = __atomic_load_n(&net->transmitted, __ATOMIC_RELAXED);
	while (!__atomic_compare_exchange_n(&net->transmitted, &last->next, packets, true, __ATOMIC_RELEASE,
					    __ATOMIC_RELAXED))
		;
	hostnet_announce_and_leave(net);
}

void hostnet_send_queued(struct lkl_net *net)
{
	struct lkl_net_transmit *packets = net->queued;

	if (!packets)
		return;
	net->queued = NULL;
	net->queued_end = &net->queued;
	net->ops.transmit(net->ops.net, packets);
}

void hostnet_take_transmitted(struct lkl_net *net, int budget)
{
	struct lkl_net_transmit *list = __atomic_exchange_n(&net->transmitted, NULL, __ATOMIC_ACQUIRE);
	unsigned int packets = 0, bytes = 0;

	while (list) {
		struct hostnet_packet *packet = container_of(list, struct hostnet_packet, transmit);

		list = list->next;
		packets++;
		bytes += packet->transmit.len;
		if (packet->transmit.error) {
			net->dev->stats.tx_errors++;
		} else {
			net->dev->stats.tx_packets++;
			net->dev->stats.tx_bytes += packet->transmit.len;
		}
		napi_consume_skb(packet->skb, budget);
		packet->skb = NULL;
		packet->next_spare = net->spare;
		net->spare = packet;
	}
	if (!packets)
		return;
	net->out -= packets;
	netdev_completed_queue(net->dev, packets, bytes);
	if (netif_queue_stopped(net->dev) && !net->stopping)
		netif_wake_queue(net->dev);
}

/* The pieces of a socket buffer. */
static unsigned int segments_of(struct sk_buff *skb, struct lkl_segment *segments)
{
	unsigned int i, n = 0;

	if (skb_headlen(skb))
		segments[n++] = (struct lkl_segment){ .addr = skb->data, .len = skb_headlen(skb) };
	for (i = 0; i < skb_shinfo(skb)->nr_frags; i++) {
		const skb_frag_t *frag = &skb_shinfo(skb)->frags[i];

		segments[n++] = (struct lkl_segment){ .addr = skb_frag_address(frag), .len = skb_frag_size(frag) };
	}
	return n;
}

netdev_tx_t hostnet_xmit(struct sk_buff *skb, struct net_device *dev)
{
	struct lkl_net *net = netdev_priv(dev);
	struct hostnet_packet *packet;
	struct lkl_net_transmit *transmit;
	struct virtio_net_hdr header;

	hostnet_take_transmitted(net, 0);
	packet = net->spare;
	if (unlikely(!packet)) {
		netif_stop_queue(dev);
		hostnet_send_queued(net);
		return NETDEV_TX_BUSY;
	}
	if (skb->ip_summed == CHECKSUM_PARTIAL && !(net->offloads & LKL_NET_HOST_CSUM) && skb_checksum_help(skb))
		goto drop;
	if (virtio_net_hdr_from_skb(skb, &header, true, false, 0))
		goto drop;

	transmit = &packet->transmit;
	memset(transmit, 0, sizeof(*transmit));
	BUILD_BUG_ON(sizeof(header) != offsetof(struct lkl_net_header, num_buffers));
	memcpy(&transmit->header, &header, sizeof(header));
	transmit->segments = packet->segments;
	transmit->segment_count = segments_of(skb, packet->segments);
	transmit->len = skb->len;
	transmit->linux_private[0] = net;
	skb_tx_timestamp(skb);
	packet->skb = skb;
	net->spare = packet->next_spare;
	net->out++;
	*net->queued_end = transmit;
	net->queued_end = &transmit->next;
	if (!net->spare)
		netif_stop_queue(dev);
	if (__netdev_sent_queue(dev, skb->len, netdev_xmit_more()) || netif_queue_stopped(dev))
		hostnet_send_queued(net);
	return NETDEV_TX_OK;

drop:
	dev->stats.tx_dropped++;
	dev_kfree_skb_any(skb);
	if (!netdev_xmit_more())
		hostnet_send_queued(net);
	return NETDEV_TX_OK;
}

int hostnet_alloc_packets(struct lkl_net *net)
{
	unsigned int i;

	net->packets = kvcalloc(net->transmit_depth, sizeof(*net->packets), GFP_KERNEL);
	if (!net->packets)
		return -ENOMEM;
	for (i = 0; i < net->transmit_depth; i++) {
		net->packets[i].next_spare = net->spare;
		net->spare = &net->packets[i];
	}
	return 0;
}
