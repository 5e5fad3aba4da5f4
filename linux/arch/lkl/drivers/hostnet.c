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
#include <linux/module.h>
#include <linux/nsproxy.h>
#include <linux/rtnetlink.h>
#include <linux/slab.h>
#include <net/net_namespace.h>
#include "hostnet.h"

#define DEFAULT_DEPTH		256
/* Of buffers for packets that stand for many: each is 17 pages. */
#define DEFAULT_LARGE_DEPTH	64

void linux_net_carrier(struct lkl_net *net, int present)
{
	hostnet_enter(net);
	__atomic_store_n(&net->carrier, !!present, __ATOMIC_SEQ_CST);
	hostnet_announce_and_leave(net);
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

static int hostnet_poll(struct napi_struct *napi, int budget)
{
	struct lkl_net *net = container_of(napi, struct lkl_net, napi);
	int done;

	hostnet_take_transmitted(net, budget);
	done = hostnet_receive(net, budget);
	if (done < budget)
		napi_complete_done(napi, done);
	return done;
}

static int hostnet_open(struct net_device *dev)
{
	struct lkl_net *net = netdev_priv(dev);
	struct lkl_net_receive *empty = hostnet_fill_buffers(net);

	if (!empty)
		return -ENOMEM;
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
	hostnet_take_transmitted(net, 0);
	hostnet_take_back(net);
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
	hostnet_send_queued(net);
	local_bh_enable();
	net->ops.stop(net->ops.net);
	wait_event(net->back, all_back(net));
	hostnet_empty_buffers(net);
	netdev_reset_queue(dev);
	return 0;
}

static int hostnet_change_mtu(struct net_device *dev, int mtu)
{
	struct lkl_net *net = netdev_priv(dev);
	int old = dev->mtu, ret;

	dev->mtu = mtu;
	if (!netif_running(dev) || hostnet_pages_wanted(net) == net->pages)
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
		net->receive_depth = hostnet_pages_wanted(net) > 1 ? DEFAULT_LARGE_DEPTH : DEFAULT_DEPTH;
	ret = hostnet_alloc_packets(net) ?: hostnet_alloc_buffers(net);
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
