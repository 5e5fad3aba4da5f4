// SPDX-License-Identifier: GPL-2.0
/*
 * Kinds of interfaces that are the program's own: two whose ends are connected by a ring in memory, and one at whose other
 * end a host of ten lines answers ARP and echo requests.
 */
#include <stdlib.h>
#include "check.h"

#define RING	32
#define FRAME	2048

/* What one end has for the other. */
struct ring {
	struct lkl_mutex *lock;
	struct lkl_sem *news;
	unsigned char frames[RING][FRAME];
	int lens[RING];
	unsigned int head, tail;
	int hup;
	int waits_for_room;
};

struct end {
	struct lkl_netdev nd;	/* the first member: its address is the structure's */
	struct ring *in, *out;
	int refused, sent, received, freed;
	/* What comes is answered instead of being given to the other end. */
	int answers;
};

static struct ring *new_ring(void)
{
	struct ring *ring = calloc(1, sizeof(*ring));

	ring->lock = lkl_host_ops.mutex_alloc(0);
	ring->news = lkl_host_ops.sem_alloc(0);
	return ring;
}

static void free_ring(struct ring *ring)
{
	lkl_host_ops.mutex_free(ring->lock);
	lkl_host_ops.sem_free(ring->news);
	free(ring);
}

/* Nothing is received meanwhile. */
static int hold;

static int put(struct ring *ring, const unsigned char *frame, int len)
{
	int room;

	lkl_host_ops.mutex_lock(ring->lock);
	room = ring->tail - ring->head < RING;
	if (room) {
		memcpy(ring->frames[ring->tail % RING], frame, (size_t)len);
		ring->lens[ring->tail++ % RING] = len;
	} else {
		ring->waits_for_room = 1;
	}
	lkl_host_ops.mutex_unlock(ring->lock);
	if (!room)
		return -1;
	lkl_host_ops.sem_up(ring->news);
	return len;
}

/* A host at 10.9.7.9, 02:00:00:00:00:99. */
static int answer(unsigned char *frame, int len)
{
	static const unsigned char mac[6] = { 2, 0, 0, 0, 0, 0x99 }, ip[4] = { 10, 9, 7, 9 };
	unsigned char other[6];

	if (len >= 42 && frame[12] == 8 && frame[13] == 6 && frame[21] == 1 && !memcmp(frame + 38, ip, 4)) {
		memcpy(frame + 32, frame + 22, 10);	/* the asker is the target */
		memcpy(frame + 22, mac, 6);
		memcpy(frame + 28, ip, 4);
		frame[21] = 2;
	} else if (len >= 42 && frame[12] == 8 && frame[13] == 0 && frame[23] == 1 && frame[34] == 8 &&
		   !memcmp(frame + 30, ip, 4)) {
		unsigned int sum = (unsigned int)frame[36] << 8 | frame[37];

		memcpy(frame + 30, frame + 26, 4);
		memcpy(frame + 26, ip, 4);
		frame[34] = 0;
		/* The type was 8 and is 0: the checksum is so much more. */
		sum += 0x800;
		sum = (sum & 0xffff) + (sum >> 16);
		frame[36] = (unsigned char)(sum >> 8);
		frame[37] = (unsigned char)sum;
	} else {
		return 0;
	}
	memcpy(other, frame + 6, 6);
	memcpy(frame + 6, mac, 6);
	memcpy(frame, other, 6);
	return len;
}

static int tx(struct lkl_netdev *nd, struct iovec *iov, int cnt)
{
	struct end *end = (struct end *)nd;
	unsigned char frame[FRAME];
	int i, len = 0;

	for (i = 0; i < cnt; i++) {
		if (len + (int)iov[i].iov_len > FRAME)
			return 0;	/* too long for this wire: lost */
		memcpy(frame + len, iov[i].iov_base, iov[i].iov_len);
		len += (int)iov[i].iov_len;
	}
	if (end->answers) {
		int head = nd->has_vnet_hdr ? 12 : 0;

		if (!answer(frame + head, len - head))
			return len;
		memset(frame, 0, (size_t)head);
		put(end->in, frame, len);
		end->sent++;
		return len;
	}
	if (put(end->out, frame, len) < 0) {
		__atomic_fetch_add(&end->refused, 1, __ATOMIC_SEQ_CST);
		return -1;
	}
	end->sent++;
	return len;
}

static int rx(struct lkl_netdev *nd, struct iovec *iov, int cnt)
{
	struct end *end = (struct end *)nd;
	struct ring *ring = end->in;
	int i, len = -1, done = 0, room = 0;

	lkl_host_ops.mutex_lock(ring->lock);
	if (ring->head != ring->tail && !__atomic_load_n(&hold, __ATOMIC_SEQ_CST)) {
		const unsigned char *frame = ring->frames[ring->head % RING];

		len = ring->lens[ring->head % RING];
		for (i = 0; i < cnt && done < len; i++) {
			int now = len - done < (int)iov[i].iov_len ? len - done : (int)iov[i].iov_len;

			memcpy(iov[i].iov_base, frame + done, (size_t)now);
			done += now;
		}
		ring->head++;
		room = ring->waits_for_room;
		ring->waits_for_room = 0;
	}
	lkl_host_ops.mutex_unlock(ring->lock);
	/* The sender's poll is told that there is room. */
	if (room && end->out)
		lkl_host_ops.sem_up(end->out->news);
	if (len >= 0)
		end->received++;
	return len;
}

static int poll_(struct lkl_netdev *nd)
{
	struct end *end = (struct end *)nd;

	lkl_host_ops.sem_down(end->in->news);
	if (end->in->hup)
		return LKL_DEV_NET_POLL_HUP;
	return LKL_DEV_NET_POLL_RX | LKL_DEV_NET_POLL_TX;
}

static void poll_hup(struct lkl_netdev *nd)
{
	struct end *end = (struct end *)nd;

	end->in->hup = 1;
	lkl_host_ops.sem_up(end->in->news);
}

static void free_(struct lkl_netdev *nd)
{
	((struct end *)nd)->freed++;
}

static struct lkl_dev_net_ops ops = { tx, rx, poll_, poll_hup, free_ };

static long packet_socket(int ifindex)
{
	struct lkl_timeval time = { .tv_sec = 20 };
	struct lkl_sockaddr_ll place = { 0 };
	long fd = lkl_sys_socket(LKL_AF_PACKET, LKL_SOCK_RAW, 0xb588 /* 0x88b5, for experiments */);

	if (fd < 0)
		return fd;
	place.sll_family = LKL_AF_PACKET;
	place.sll_protocol = 0xb588;
	place.sll_ifindex = ifindex;
	IS(lkl_sys_bind((int)fd, (struct lkl_sockaddr *)&place, sizeof(place)), 0);
	IS(lkl_sys_setsockopt((int)fd, LKL_SOL_SOCKET, LKL_SO_RCVTIMEO_OLD, (char *)&time, sizeof(time)), 0);
	return fd;
}

#define FRAMES 2000

static long sender;

static void send_frames(void *unused)
{
	unsigned char frame[1000];
	int i;

	(void)unused;
	memset(frame, 0xff, 12);
	frame[12] = 0x88;
	frame[13] = 0xb5;
	for (i = 0; i < FRAMES; i++) {
		int len = 60 + i % 900;

		memset(frame + 14, i, sizeof(frame) - 14);
		memcpy(frame + 14, &i, sizeof(i));
		IS(lkl_sys_write((unsigned int)sender, (char *)frame, (size_t)len), len);
	}
}

/* Each frame comes, whole and in its turn, though the ring is shorter than what is sent. */
static void frames_cross(struct end *one, struct end *other)
{
	long receiver = packet_socket(lkl_netdev_get_ifindex(other->nd.id));
	int i, size = 4 << 20;
	lkl_thread_t thread;

	sender = packet_socket(lkl_netdev_get_ifindex(one->nd.id));
	SAYS(sender, value >= 0);
	SAYS(receiver, value >= 0);
	IS(lkl_sys_setsockopt((int)receiver, LKL_SOL_SOCKET, LKL_SO_RCVBUFFORCE, (char *)&size, sizeof(size)), 0);
	/* The ring gets full before anything is taken out of it. */
	__atomic_store_n(&hold, 1, __ATOMIC_SEQ_CST);
	thread = lkl_host_ops.thread_create(send_frames, NULL);
	SAYS(thread, value != 0);
	while (!__atomic_load_n(&one->refused, __ATOMIC_SEQ_CST)) {
		struct __lkl__kernel_timespec pause = { .tv_nsec = 1000000 };

		lkl_sys_nanosleep(&pause, NULL);
	}
	__atomic_store_n(&hold, 0, __ATOMIC_SEQ_CST);
	lkl_host_ops.sem_up(other->in->news);
	for (i = 0; i < FRAMES; i++) {
		unsigned char frame[FRAME], wanted = (unsigned char)i;
		long len = lkl_sys_read((unsigned int)receiver, (char *)frame, sizeof(frame));
		int number;

		memcpy(&number, frame + 14, sizeof(number));
		if (len != 60 + i % 900 || number != i || frame[len - 1] != wanted) {
			check(0, __FILE__, __LINE__, "frame", i);
			break;
		}
	}
	IS(lkl_host_ops.thread_join(thread), 0);
	IS(lkl_sys_close((unsigned int)sender), 0);
	IS(lkl_sys_close((unsigned int)receiver), 0);
	SAYS(one->sent, value >= FRAMES);
	SAYS(other->received, value >= FRAMES);
}

void own_kinds(void)
{
	struct ring *there = new_ring(), *back = new_ring(), *alone = new_ring(), *headed = new_ring();
	struct end one = { .nd = { .ops = &ops }, .in = back, .out = there };
	struct end other = { .nd = { .ops = &ops }, .in = there, .out = back };
	struct end host = { .nd = { .ops = &ops }, .in = alone, .answers = 1 };
	struct end with = { .nd = { .ops = &ops, .has_vnet_hdr = 1 }, .in = headed, .answers = 1 };
	unsigned char mac[6] = { 2, 0, 0, 0, 0, 1 };
	struct lkl_netdev_args args = { .mac = mac, .offload = LKL_NETDEV_OFFLOAD_TCP };
	int index, id;

	/* One before the boot, the others after it. */
	id = lkl_netdev_add(&one.nd, &args);
	IS(id, 0);
	IS(one.nd.id, id);
	IS(memcmp(one.nd.mac, mac, 6), 0);
	IS(lkl_netdev_add(&one.nd, NULL), -LKL_EBUSY);
	IS(lkl_netdev_get_ifindex(id), -LKL_EAGAIN);
	start("mem=64M loglevel=4");
	IS(lkl_netdev_add(&other.nd, NULL), 1);
	IS(lkl_netdev_add(&host.nd, NULL), 2);
	IS(lkl_netdev_add(&with.nd, &(struct lkl_netdev_args){ .offload = LKL_NETDEV_OFFLOAD_TCP }), 3);
	IS(lkl_mount_fs("sysfs"), 0);
	IS(strcmp(content("/sysfs/class/net/eth0/address"), "02:00:00:00:00:01\n"), 0);
	index = lkl_netdev_get_ifindex(id);
	IS(lkl_ifname_to_ifindex("eth0"), index);
	IS(lkl_if_up(index), 0);
	IS(lkl_if_up(lkl_netdev_get_ifindex(1)), 0);
	frames_cross(&one, &other);

	/* The host of ten lines, without the header and with it, where Linux leaves checksums to the other end. */
	index = lkl_netdev_get_ifindex(2);
	IS(lkl_if_up(index), 0);
	IS(lkl_if_set_ipv4(index, IP4(7, 1), 24), 0);
	IS(ping(IP4(7, 9), 20), 20);
	SAYS(host.sent, value >= 21);
	IS(lkl_netdev_remove(2), 0);
	IS(ping(IP4(7, 9), 1), -LKL_ENETUNREACH);
	index = lkl_netdev_get_ifindex(3);
	IS(lkl_if_up(index), 0);
	IS(lkl_if_set_ipv4(index, IP4(7, 1), 24), 0);
	IS(ping(IP4(7, 9), 20), 20);

	/* The same structure once more, after its ring is usable again. */
	alone->hup = 0;
	IS(lkl_netdev_add(&host.nd, NULL), 4);
	SAYS(lkl_netdev_get_ifindex(4), value > index);
	IS(lkl_netdev_remove(4), 0);

	/* Whoever is free'd is taken away before; the one that is left ends with Linux. */
	IS(lkl_netdev_remove(id), 0);
	IS(lkl_netdev_remove(id), -LKL_ENODEV);
	IS(lkl_netdev_get_ifindex(id), -LKL_ENODEV);
	lkl_netdev_free(&one.nd);
	IS(one.freed, 1);
	lkl_netdev_free(&other.nd);
	IS(other.freed, 1);
	IS(there->hup, 1);
	IS(lkl_netdev_get_ifindex(1), -LKL_ENODEV);
	IS(lkl_sys_halt(), 0);
	IS(headed->hup, 1);
	lkl_netdev_free(&with.nd);
	IS(with.freed, 1);
	lkl_netdev_free(&host.nd);
	free_ring(there);
	free_ring(back);
	free_ring(alone);
	free_ring(headed);
}
