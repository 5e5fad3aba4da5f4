// SPDX-License-Identifier: GPL-2.0
/*
 * hostnet, receiving: packets come in pages that the host was given before; those that a packet fills become its socket buffer's, and
 * fresh ones take their places.
 */
#include <linux/etherdevice.h>
#include <linux/if_vlan.h>
#include <linux/slab.h>
#include <linux/virtio_net.h>
#include "hostnet.h"

/* A packet of up to so many bytes is copied, and its pages stay where they are. */
#define COPIED_WHOLE		256
/* So many of a longer one, its headers above all. */
#define COPIED_OF_LONGER	128

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
	hostnet_enter(net);
	last = turned(buffers);
	first->next = __atomic_load_n(&net->received, __ATOMIC_RELAXED);
	while (!__atomic_compare_exchange_n(&net->received, &first->next, last, true, __ATOMIC_RELEASE,
					    __ATOMIC_RELAXED))
		;
	hostnet_announce_and_leave(net);
}

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

int hostnet_receive(struct lkl_net *net, int budget)
{
	struct lkl_net_receive *empty = NULL;
	struct hostnet_buffer *buffer;
	int done = 0;

	while (done < budget && (buffer = next_received(net))) {
		take_packet(net, buffer);
		put_buffer(net, buffer, &empty);
		done++;
	}
	if (empty)
		net->ops.receive(net->ops.net, empty);
	return done;
}

void hostnet_take_back(struct lkl_net *net)
{
	while (next_received(net))
		net->lent--;
}

unsigned int hostnet_pages_wanted(const struct lkl_net *net)
{
	if (net->offloads & (LKL_NET_GUEST_TSO4 | LKL_NET_GUEST_TSO6 | LKL_NET_GUEST_UFO | LKL_NET_GUEST_USO4 |
			     LKL_NET_GUEST_USO6))
		return MAX_SKB_FRAGS;
	return min_t(unsigned int, DIV_ROUND_UP(net->dev->mtu + VLAN_ETH_HLEN, PAGE_SIZE), MAX_SKB_FRAGS);
}

void hostnet_empty_buffers(struct lkl_net *net)
{
	unsigned int i, page;

	for (i = 0; i < net->receive_depth; i++)
		for (page = 0; page < net->pages; page++)
			if (net->buffers[i].segments[page].addr)
				__free_page(page_of(&net->buffers[i], page));
	memset(net->buffers, 0, net->receive_depth * sizeof(*net->buffers));
	net->pages = 0;
}

struct lkl_net_receive *hostnet_fill_buffers(struct lkl_net *net)
{
	struct lkl_net_receive *empty = NULL;
	unsigned int i, n;

	net->pages = hostnet_pages_wanted(net);
	for (i = 0; i < net->receive_depth; i++) {
		for (n = 0; n < net->pages; n++) {
			struct page *page = alloc_page(GFP_KERNEL);

			if (!page) {
				hostnet_empty_buffers(net);
				return NULL;
			}
			set_page(&net->buffers[i], n, page);
		}
	}
	for (i = 0; i < net->receive_depth; i++)
		put_buffer(net, &net->buffers[i], &empty);
	return empty;
}

int hostnet_alloc_buffers(struct lkl_net *net)
{
	net->buffers = kvcalloc(net->receive_depth, sizeof(*net->buffers), GFP_KERNEL);
	return net->buffers ? 0 : -ENOMEM;
}
