// SPDX-License-Identifier: GPL-2.0
/*
 * hostnet: network interfaces whose other end is the host's, by asm/host_net.h.
 *
 * Packets go to the host as they are: a socket buffer's head and pages are the segments, a list is one call, and the socket
 * buffer stays until the host gives the packet back. Packets come in pages that the host was given before; those that a packet
 * fills become its socket buffer's, and fresh ones take their places.
 *
 * What the host gives back, it pushes onto a lock-free list, from any thread; one interrupt tells of all that has come since
 * the last was taken, and NAPI does the rest, with the CPU held and bottom halves off. Everything else here is written by
 * such alone, so there are no locks.
 */
#include <linux/etherdevice.h>
#include <linux/ethtool.h>
#include <linux/if_vlan.h>
#include <linux/module.h>
#include <linux/netdevice.h>
#include <linux/nsproxy.h>
#include <linux/rtnetlink.h>
#include <linux/slab.h>
#include <linux/virtio_net.h>
#include <linux/wait.h>
#include <net/net_namespace.h>
#include <asm/host_net.h>
#include <asm/lkl.h>

#define DEFAULT_DEPTH		256
/* Of buffers for packets that stand for many: each is 17 pages. */
#define DEFAULT_LARGE_DEPTH	64
/* A packet of up to so many bytes is copied, and its pages stay where they are. */
#define COPIED_WHOLE		256
/* So many of a longer one, its headers above all. */
#define COPIED_OF_LONGER	128
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

/* ---- what the host says, in any context ---- */

/* Its count keeps the interface: lkl_net_forget() waits for it. */
static void enter(struct lkl_net *net)
{
	__atomic_fetch_add(&net->inside, 1, __ATOMIC_SEQ_CST);
}

static void announce_and_leave(struct lkl_net *net)
{
	if (!__atomic_exchange_n(&net->posted, 1, __ATOMIC_SEQ_CST))
		lkl_irq_post(&net->event);
	__atomic_fetch_sub(&net->inside, 1, __ATOMIC_SEQ_CST);
}

void linux_net_carrier(struct lkl_net *net, int present)
{
	enter(net);
	__atomic_store_n(&net->carrier, !!present, __ATOMIC_SEQ_CST);
	announce_and_leave(net);
}

void linux_net_transmitted(struct lkl_net_transmit *packets)
{
	struct lkl_net_transmit *last = packets;
	struct lkl_net *net;

	if (!packets)
		return;
	net = packets->linux_private[0];
	enter(net);
	while (last->next)
		last = last->next;
	last->next = __atomic_load_n(&net->transmitted, __ATOMIC_RELAXED);
	while (!__atomic_compare_exchange_n(&net->transmitted, &last->next, packets, true, __ATOMIC_RELEASE,
					    __ATOMIC_RELAXED))
		;
	announce_and_leave(net);
}

/* The list, the other way round. */
static struct lkl_net_receive *turned(struct lkl_net_receive *list)
{
	struct lkl_net_receive *other = NULL;

	while (list) {
		struct lkl_net_receive *next = list->next;

		list->next = other;
		other = list;
		list = next;
	}
	return other;
}

void linux_net_received(struct lkl_net_receive *buffers)
{
	struct lkl_net_receive *first = buffers, *last;
	struct lkl_net *net;

	if (!buffers)
		return;
	net = buffers->linux_private[0];
	enter(net);
	last = turned(buffers);
	first->next = __atomic_load_n(&net->received, __ATOMIC_RELAXED);
	while (!__atomic_compare_exchange_n(&net->received, &first->next, last, true, __ATOMIC_RELEASE,
					    __ATOMIC_RELAXED))
		;
	announce_and_leave(net);
}

/* In interrupt context: something came back, or the cable is in or out. */
static void told(struct lkl_irq_event *event)
{
	struct lkl_net *net = container_of(event, struct lkl_net, event);

	__atomic_store_n(&net->posted, 0, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&net->carrier, __ATOMIC_SEQ_CST))
		netif_carrier_on(net->dev);
	else
		netif_carrier_off(net->dev);
	if (net->stopping)
		wake_up(&net->back);
	else
		napi_schedule(&net->napi);
}

/* ---- sending ---- */

static void send_queued(struct lkl_net *net)
{
	struct lkl_net_transmit *packets = net->queued;

	if (!packets)
		return;
	net->queued = NULL;
	net->queued_end = &net->queued;
	net->ops.transmit(net->ops.net, packets);
}

/* Frees what the host has sent. */
static void take_transmitted(struct lkl_net *net, int budget)
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

static netdev_tx_t hostnet_xmit(struct sk_buff *skb, struct net_device *dev)
{
	struct lkl_net *net = netdev_priv(dev);
	struct hostnet_packet *packet;
	struct lkl_net_transmit *transmit;
	struct virtio_net_hdr header;

	take_transmitted(net, 0);
	packet = net->spare;
	if (unlikely(!packet)) {
		netif_stop_queue(dev);
		send_queued(net);
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
		send_queued(net);
	return NETDEV_TX_OK;

drop:
	dev->stats.tx_dropped++;
	dev_kfree_skb_any(skb);
	if (!netdev_xmit_more())
		send_queued(net);
	return NETDEV_TX_OK;
}

/* ---- receiving ---- */

static struct page *page_of(const struct hostnet_buffer *buffer, unsigned int i)
{
	return virt_to_page(buffer->segments[i].addr);
}

static void set_page(struct hostnet_buffer *buffer, unsigned int i, struct page *page)
{
	buffer->segments[i] = (struct lkl_segment){ .addr = page_address(page), .len = PAGE_SIZE };
}

/*
 * The socket buffer of a packet: some of it copied, the rest in the buffer's pages. NULL for lack of memory; the buffer is as
 * it was then.
 */
static struct sk_buff *skb_of(struct lkl_net *net, struct hostnet_buffer *buffer)
{
	unsigned int len = buffer->receive.len;
	unsigned int copied = len <= COPIED_WHOLE ? len : COPIED_OF_LONGER;
	unsigned int used = len == copied ? 0 : DIV_ROUND_UP(len, PAGE_SIZE), i;
	struct sk_buff *skb = napi_alloc_skb(&net->napi, copied);
	struct page *fresh[MAX_SKB_FRAGS];

	if (!skb)
		return NULL;
	for (i = 0; i < used; i++) {
		fresh[i] = dev_alloc_page();
		if (!fresh[i])
			goto free;
	}
	skb_put_data(skb, buffer->segments[0].addr, copied);
	for (i = 0; i < used; i++) {
		unsigned int start = i ? 0 : copied;
		unsigned int end = min_t(unsigned int, len - i * PAGE_SIZE, PAGE_SIZE);

		skb_add_rx_frag(skb, i, page_of(buffer, i), start, end - start, PAGE_SIZE);
		set_page(buffer, i, fresh[i]);
	}
	return skb;

free:
	while (i--)
		__free_page(fresh[i]);
	dev_kfree_skb_any(skb);
	return NULL;
}

static void take_packet(struct lkl_net *net, struct hostnet_buffer *buffer)
{
	const struct lkl_net_receive *receive = &buffer->receive;
	struct net_device *dev = net->dev;
	struct virtio_net_hdr header;
	struct sk_buff *skb;

	if (!receive->len)
		return;
	if (receive->len < ETH_HLEN || receive->len > receive->room) {
		dev->stats.rx_length_errors++;
		dev->stats.rx_errors++;
		return;
	}
	skb = skb_of(net, buffer);
	if (!skb) {
		dev->stats.rx_dropped++;
		return;
	}
	memcpy(&header, &receive->header, sizeof(header));
	if (header.flags & VIRTIO_NET_HDR_F_DATA_VALID)
		skb->ip_summed = CHECKSUM_UNNECESSARY;
	if (virtio_net_hdr_to_skb(skb, &header, true)) {
		dev->stats.rx_frame_errors++;
		dev->stats.rx_errors++;
		dev_kfree_skb_any(skb);
		return;
	}
	dev->stats.rx_packets++;
	dev->stats.rx_bytes += receive->len;
	skb->protocol = eth_type_trans(skb, dev);
	napi_gro_receive(&net->napi, skb);
}

/* Puts a buffer at the head of a list for the host. */
static void put_buffer(struct lkl_net *net, struct hostnet_buffer *buffer, struct lkl_net_receive **list)
{
	struct lkl_net_receive *receive = &buffer->receive;

	memset(receive, 0, sizeof(*receive));
	receive->next = *list;
	receive->segments = buffer->segments;
	receive->segment_count = net->pages;
	receive->room = net->pages * PAGE_SIZE;
	receive->linux_private[0] = net;
	*list = receive;
}

/* The next buffer that came back. */
static struct hostnet_buffer *next_received(struct lkl_net *net)
{
	struct lkl_net_receive *receive;

	if (!net->backlog)
		net->backlog = turned(__atomic_exchange_n(&net->received, NULL, __ATOMIC_ACQUIRE));
	receive = net->backlog;
	if (!receive)
		return NULL;
	net->backlog = receive->next;
	return container_of(receive, struct hostnet_buffer, receive);
}

static int hostnet_poll(struct napi_struct *napi, int budget)
{
	struct lkl_net *net = container_of(napi, struct lkl_net, napi);
	struct lkl_net_receive *empty = NULL;
	struct hostnet_buffer *buffer;
	int done = 0;

	take_transmitted(net, budget);
	while (done < budget && (buffer = next_received(net))) {
		take_packet(net, buffer);
		put_buffer(net, buffer, &empty);
		done++;
	}
	if (empty)
		net->ops.receive(net->ops.net, empty);
	if (done < budget)
		napi_complete_done(napi, done);
	return done;
}

/* ---- up and down ---- */

static void free_pages_of(struct lkl_net *net)
{
	unsigned int i, page;

	for (i = 0; i < net->receive_depth; i++)
		for (page = 0; page < net->pages; page++)
			if (net->buffers[i].segments[page].addr)
				__free_page(page_of(&net->buffers[i], page));
	memset(net->buffers, 0, net->receive_depth * sizeof(*net->buffers));
	net->pages = 0;
}

/* Pages for the longest packet that may come. */
static unsigned int pages_wanted(const struct lkl_net *net)
{
	if (net->offloads & (LKL_NET_GUEST_TSO4 | LKL_NET_GUEST_TSO6 | LKL_NET_GUEST_UFO | LKL_NET_GUEST_USO4 |
			     LKL_NET_GUEST_USO6))
		return MAX_SKB_FRAGS;
	return min_t(unsigned int, DIV_ROUND_UP(net->dev->mtu + VLAN_ETH_HLEN, PAGE_SIZE), MAX_SKB_FRAGS);
}

static int hostnet_open(struct net_device *dev)
{
	struct lkl_net *net = netdev_priv(dev);
	struct lkl_net_receive *empty = NULL;
	unsigned int i, n;

	net->pages = pages_wanted(net);
	for (i = 0; i < net->receive_depth; i++) {
		for (n = 0; n < net->pages; n++) {
			struct page *page = alloc_page(GFP_KERNEL);

			if (!page) {
				free_pages_of(net);
				return -ENOMEM;
			}
			set_page(&net->buffers[i], n, page);
		}
	}
	for (i = 0; i < net->receive_depth; i++)
		put_buffer(net, &net->buffers[i], &empty);
	net->lent = net->receive_depth;
	net->stopping = false;
	napi_enable(&net->napi);
	net->ops.receive(net->ops.net, empty);
	netif_start_queue(dev);
	return 0;
}

/* Whether everything is back. */
static bool all_back(struct lkl_net *net)
{
	local_bh_disable();
	take_transmitted(net, 0);
	while (next_received(net))
		net->lent--;
	local_bh_enable();
	return !net->out && !net->lent;
}

static int hostnet_stop(struct net_device *dev)
{
	struct lkl_net *net = netdev_priv(dev);

	netif_tx_disable(dev);
	napi_disable(&net->napi);
	net->stopping = true;
	local_bh_disable();
	send_queued(net);
	local_bh_enable();
	net->ops.stop(net->ops.net);
	wait_event(net->back, all_back(net));
	free_pages_of(net);
	netdev_reset_queue(dev);
	return 0;
}

static int hostnet_change_mtu(struct net_device *dev, int mtu)
{
	struct lkl_net *net = netdev_priv(dev);
	int old = dev->mtu, ret;

	dev->mtu = mtu;
	if (!netif_running(dev) || pages_wanted(net) == net->pages)
		return 0;
	hostnet_stop(dev);
	ret = hostnet_open(dev);
	if (!ret)
		return 0;
	/* The room that there was is free still. */
	dev->mtu = old;
	if (hostnet_open(dev))
		netif_carrier_off(dev);
	return ret;
}

static const struct net_device_ops hostnet_ops = {
	.ndo_open		= hostnet_open,
	.ndo_stop		= hostnet_stop,
	.ndo_start_xmit		= hostnet_xmit,
	.ndo_change_mtu		= hostnet_change_mtu,
	.ndo_set_mac_address	= eth_mac_addr,
	.ndo_validate_addr	= eth_validate_addr,
	.ndo_features_check	= passthru_features_check,
};

static void hostnet_drvinfo(struct net_device *dev, struct ethtool_drvinfo *info)
{
	strscpy(info->driver, "hostnet", sizeof(info->driver));
}

static const struct ethtool_ops hostnet_ethtool_ops = {
	.get_drvinfo	= hostnet_drvinfo,
	.get_link	= ethtool_op_get_link,
	.get_ts_info	= ethtool_op_get_ts_info,
};

/* ---- interfaces ---- */

static netdev_features_t features_of(unsigned long offloads)
{
	/* Without the host's help Linux fills in the checksum when the packet leaves, wherever its pieces are. */
	netdev_features_t features = NETIF_F_SG | NETIF_F_HW_CSUM | NETIF_F_HIGHDMA;

	if (offloads & LKL_NET_HOST_TSO4)
		features |= NETIF_F_TSO;
	if (offloads & LKL_NET_HOST_TSO6)
		features |= NETIF_F_TSO6;
	if (offloads & LKL_NET_HOST_ECN)
		features |= NETIF_F_TSO_ECN;
	if (offloads & LKL_NET_HOST_USO)
		features |= NETIF_F_GSO_UDP_L4;
	if (offloads & LKL_NET_GUEST_CSUM)
		features |= NETIF_F_RXCSUM;
	return features;
}

static bool offloads_make_sense(unsigned long offloads)
{
	if (offloads & (LKL_NET_HOST_TSO4 | LKL_NET_HOST_TSO6 | LKL_NET_HOST_USO) && !(offloads & LKL_NET_HOST_CSUM))
		return false;
	if (offloads & LKL_NET_HOST_ECN && !(offloads & (LKL_NET_HOST_TSO4 | LKL_NET_HOST_TSO6)))
		return false;
	return offloads & LKL_NET_GUEST_CSUM ||
	       !(offloads & (LKL_NET_GUEST_TSO4 | LKL_NET_GUEST_TSO6 | LKL_NET_GUEST_UFO | LKL_NET_GUEST_USO4 |
			     LKL_NET_GUEST_USO6));
}

static int alloc_rings(struct lkl_net *net)
{
	unsigned int i;

	net->packets = kvcalloc(net->transmit_depth, sizeof(*net->packets), GFP_KERNEL);
	net->buffers = kvcalloc(net->receive_depth, sizeof(*net->buffers), GFP_KERNEL);
	if (!net->packets || !net->buffers)
		return -ENOMEM;
	for (i = 0; i < net->transmit_depth; i++) {
		net->packets[i].next_spare = net->spare;
		net->spare = &net->packets[i];
	}
	return 0;
}

static void free_net(struct lkl_net *net)
{
	kvfree(net->packets);
	kvfree(net->buffers);
	free_netdev(net->dev);
}

static long add(const struct lkl_net_params *params, const struct lkl_net_ops *ops, struct lkl_net_info *info)
{
	struct net_device *dev;
	struct lkl_net *net;
	long ret;

	if (ops->size != sizeof(*ops) || ops->version != LKL_HOST_NET_VERSION || !ops->transmit || !ops->receive || !ops->stop)
		return -EINVAL;
	if (!offloads_make_sense(params->offloads))
		return -EINVAL;
	if (params->max_mtu && (params->max_mtu < ETH_MIN_MTU || params->max_mtu > ETH_MAX_MTU))
		return -EINVAL;

	dev = alloc_netdev(sizeof(*net), "eth%d", NET_NAME_ENUM, ether_setup);
	if (!dev)
		return -ENOMEM;
	if (params->name)
		strscpy(dev->name, params->name, sizeof(dev->name));
	net = netdev_priv(dev);
	net->dev = dev;
	net->ops = *ops;
	net->offloads = params->offloads;
	net->event.handler = told;
	net->carrier = !params->down;
	net->queued_end = &net->queued;
	init_waitqueue_head(&net->back);
	dev->min_mtu = ETH_MIN_MTU;
	dev->max_mtu = params->max_mtu ?: ETH_MAX_MTU;
	dev->mtu = params->mtu ?: min_t(unsigned int, ETH_DATA_LEN, dev->max_mtu);
	net->transmit_depth = params->transmit_depth ?: DEFAULT_DEPTH;
	net->receive_depth = params->receive_depth;
	if (!net->receive_depth)
		net->receive_depth = pages_wanted(net) > 1 ? DEFAULT_LARGE_DEPTH : DEFAULT_DEPTH;
	ret = alloc_rings(net);
	if (ret)
		goto free;

	dev_net_set(dev, current->nsproxy->net_ns);
	dev->netdev_ops = &hostnet_ops;
	dev->ethtool_ops = &hostnet_ethtool_ops;
	dev->hw_features = features_of(params->offloads);
	dev->features = dev->hw_features;
	dev->vlan_features = dev->hw_features;
	dev->priv_flags |= IFF_LIVE_ADDR_CHANGE;
	if (is_valid_ether_addr(params->mac))
		eth_hw_addr_set(dev, params->mac);
	else if (is_zero_ether_addr(params->mac))
		eth_hw_addr_random(dev);
	else
		ret = -EADDRNOTAVAIL;
	if (ret || dev->mtu < dev->min_mtu || dev->mtu > dev->max_mtu) {
		ret = ret ?: -EINVAL;
		goto free;
	}
	netif_napi_add(dev, &net->napi, hostnet_poll);
	if (!net->carrier)
		netif_carrier_off(dev);
	ret = register_netdev(dev);
	if (ret)
		goto free;
	info->interface = net;
	info->index = dev->ifindex;
	strscpy(info->name, dev->name, sizeof(info->name));
	return 0;

free:
	free_net(net);
	return ret;
}

/* The host has said its last word of this interface; its threads may still be on their way out of the functions above. */
static void lkl_net_forget(struct lkl_net *net)
{
	while (__atomic_load_n(&net->inside, __ATOMIC_SEQ_CST) || __atomic_load_n(&net->posted, __ATOMIC_SEQ_CST))
		cpu_relax();
	free_net(net);
}

/* ---- calls of the host ---- */

struct net_call {
	const struct lkl_net_params *params;
	const struct lkl_net_ops *ops;
	struct lkl_net_info *info;
	struct lkl_net *net;
};

static long do_net_add(void *arg)
{
	struct net_call *call = arg;

	return add(call->params, call->ops, call->info);
}

long linux_net_add(struct lkl_task *task, const struct lkl_net_params *params, const struct lkl_net_ops *ops,
		   struct lkl_net_info *info)
{
	struct net_call call = { .params = params, .ops = ops, .info = info };

	return lkl_enter_and(task, do_net_add, &call);
}

static long do_net_remove(void *arg)
{
	struct net_call *call = arg;

	unregister_netdev(call->net->dev);
	lkl_net_forget(call->net);
	return 0;
}

long linux_net_remove(struct lkl_task *task, struct lkl_net *net)
{
	struct net_call call = { .net = net };

	return lkl_enter_and(task, do_net_remove, &call);
}
