/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Network interfaces whose other end is the host's: an addition to the contract of host_ops.h.
 *
 * A kernel has this part only if it was built with CONFIG_LKL_HOSTNET. The driver's was not.
 *
 * An interface is an Ethernet. Packets cross in both directions as lists, in pieces where Linux has them, and with a header in
 * virtio-net's terms that says what is left to do: a checksum that is not there yet, a packet that stands for many. Nothing is
 * copied on the way. What Linux sends belongs to the host until the host gives it back; what it receives, the host writes
 * into buffers that Linux gave it before.
 */
#ifndef _ASM_LKL_HOST_NET_H
#define _ASM_LKL_HOST_NET_H

#include "host_ops.h"

#define LKL_HOST_NET_VERSION	1

#ifdef __cplusplus
extern "C" {
#endif

/*
 * What the other end does, by the numbers of virtio-net's features. Linux does the rest itself.
 *
 * HOST: the other end takes such packets from Linux. GUEST: it gives such packets to Linux.
 */
#define LKL_NET_HOST_CSUM	(1UL << 0)	/* without a checksum (LKL_NET_NEEDS_CSUM) */
#define LKL_NET_GUEST_CSUM	(1UL << 1)
#define LKL_NET_GUEST_TSO4	(1UL << 7)	/* TCP over IPv4, to be cut by gso_size */
#define LKL_NET_GUEST_TSO6	(1UL << 8)
#define LKL_NET_GUEST_ECN	(1UL << 9)	/* with CWR set in the first piece alone */
#define LKL_NET_GUEST_UFO	(1UL << 10)	/* UDP, to become fragments */
#define LKL_NET_HOST_TSO4	(1UL << 11)
#define LKL_NET_HOST_TSO6	(1UL << 12)
#define LKL_NET_HOST_ECN	(1UL << 13)
#define LKL_NET_GUEST_USO4	(1UL << 54)	/* UDP, to become datagrams */
#define LKL_NET_GUEST_USO6	(1UL << 55)
#define LKL_NET_HOST_USO	(1UL << 56)

/* lkl_net_header.flags */
#define LKL_NET_NEEDS_CSUM	1	/* the sum from csum_start to the end belongs at csum_start + csum_offset */
#define LKL_NET_DATA_VALID	2	/* received: the checksums were looked at, and are right */

/* lkl_net_header.gso_type */
#define LKL_NET_GSO_NONE	0
#define LKL_NET_GSO_TCPV4	1
#define LKL_NET_GSO_UDP		3
#define LKL_NET_GSO_TCPV6	4
#define LKL_NET_GSO_UDP_L4	5
#define LKL_NET_GSO_ECN		0x80

/* struct virtio_net_hdr_mrg_rxbuf, little-endian: 10 or 12 bytes of it are what TAP devices and others have before a packet. */
struct lkl_net_header {
	unsigned char flags;
	unsigned char gso_type;
	unsigned short hdr_len;		/* bytes of headers, as a hint */
	unsigned short gso_size;	/* bytes of payload of each packet that this one stands for */
	unsigned short csum_start;	/* from the start of the Ethernet header */
	unsigned short csum_offset;
	unsigned short num_buffers;	/* 0; not used */
};

/* A packet that Linux sends. It is the host's from transmit() until linux_net_transmitted(). */
struct lkl_net_transmit {
	struct lkl_net_transmit *next;	/* of the list; NULL: the last */
	const struct lkl_segment *segments;	/* here, of any length */
	unsigned int segment_count;
	unsigned int len;		/* bytes, the sum of the segments' lengths */
	struct lkl_net_header header;
	int error;			/* of the host's, when it gives the packet back: 0, or why it was not sent */
	void *host_private[2];		/* the host's own, zero at first */
	void *linux_private[2];		/* Linux's own: not for the host */
};

/* A buffer for one packet. It is the host's from receive() until linux_net_received(). */
struct lkl_net_receive {
	struct lkl_net_receive *next;	/* of the list; NULL: the last */
	const struct lkl_segment *segments;	/* here, of any length */
	unsigned int segment_count;
	unsigned int room;		/* bytes, the sum of the segments' lengths */
	struct lkl_net_header header;	/* the host's to fill in; zero at first */
	unsigned int len;		/* bytes of the packet, from the first segment on; 0: none, the buffer comes back */
	void *host_private[2];		/* the host's own, zero at first */
	void *linux_private[2];		/* Linux's own: not for the host */
};

/*
 * What a host does for an interface. No operation waits: the host gives things back before it returns, or at any later time from
 * any thread or context. The first argument is the member `net`.
 */
struct lkl_net_ops {
	unsigned int size;		/* sizeof(struct lkl_net_ops) */
	unsigned int version;		/* LKL_HOST_NET_VERSION */
	void *net;

	/* Sends packets, in their order. The host may give them back in any. */
	void (*transmit)(void *net, struct lkl_net_transmit *packets);
	/* Takes buffers for packets to come. The order in which the host gives them back is the packets'. */
	void (*receive)(void *net, struct lkl_net_receive *buffers);
	/*
	 * The interface goes down: the host gives everything back soon. When it has, and Linux wants packets again, receive()
	 * says so.
	 */
	void (*stop)(void *net);
};

struct lkl_net_params {
	unsigned char mac[6];		/* all zero: Linux makes one up */
	unsigned short down;		/* not 0: there is no carrier at first */
	unsigned int mtu;		/* bytes; 0: 1500 */
	unsigned int max_mtu;		/* bytes, 68..65535; 0: 65535 */
	unsigned long offloads;		/* LKL_NET_HOST_*, LKL_NET_GUEST_* */
	unsigned int transmit_depth;	/* packets that the host has at once; 0: the default */
	unsigned int receive_depth;	/* buffers that the host has at once; 0: the default */
	const char *name;		/* may have a %d; NULL: "eth%d" */
};

struct lkl_net;				/* an interface */

struct lkl_net_info {
	struct lkl_net *interface;	/* for the functions below, until linux_net_remove() has returned */
	int index;			/* the number that Linux's other interfaces know it by */
	char name[16];
};

/*
 * Adds an interface, to the network name space of the task. It is down until it is set up, as any. Linux keeps a copy of *ops; what
 * ops->net points to stays until linux_net_remove() or linux_halt() has returned.
 */
long linux_net_add(struct lkl_task *task, const struct lkl_net_params *params, const struct lkl_net_ops *ops,
		   struct lkl_net_info *info);
/* Takes an interface away, wherever it is. Returns when the host has given everything back. */
long linux_net_remove(struct lkl_task *task, struct lkl_net *interface);
/* Has Linux know that the cable is in, or out. Any context. */
void linux_net_carrier(struct lkl_net *interface, int present);
/* Gives back a list of packets that were sent, or could not be. Any context. */
void linux_net_transmitted(struct lkl_net_transmit *packets);
/* Gives back a list of buffers with packets, in their order. Any context. */
void linux_net_received(struct lkl_net_receive *buffers);

#ifdef __cplusplus
}
#endif

#endif /* _ASM_LKL_HOST_NET_H */
