// SPDX-License-Identifier: GPL-2.0
/* The helpers, on interfaces whose other end takes everything and sends nothing; and arguments that make no sense. */
#include "check.h"

static struct lkl_sem *hups[4];

static int tx(struct lkl_netdev *nd, struct iovec *iov, int cnt)
{
	int i, len = 0;

	(void)nd;
	for (i = 0; i < cnt; i++)
		len += (int)iov[i].iov_len;
	return len;
}

static int rx(struct lkl_netdev *nd, struct iovec *iov, int cnt)
{
	(void)nd;
	(void)iov;
	(void)cnt;
	return -1;
}

static int poll_(struct lkl_netdev *nd)
{
	lkl_host_ops.sem_down(hups[nd->mac[5]]);
	return LKL_DEV_NET_POLL_HUP;
}

static void poll_hup(struct lkl_netdev *nd)
{
	lkl_host_ops.sem_up(hups[nd->mac[5]]);
}

static struct lkl_dev_net_ops ops = { tx, rx, poll_, poll_hup, NULL };

static struct lkl_netdev silent[2];

static int add_silent(int number)
{
	unsigned char mac[6] = { 2, 0, 0, 0, 0, (unsigned char)number };
	struct lkl_netdev_args args = { .mac = mac };

	hups[number] = lkl_host_ops.sem_alloc(0);
	silent[number].ops = &ops;
	/* poll() may be called before lkl_netdev_add() has returned. */
	silent[number].mac[5] = (unsigned char)number;
	SAYS(lkl_netdev_add(&silent[number], &args), value >= 0);
	return lkl_netdev_get_ifindex(silent[number].id);
}

static int has(const char *path, const char *text)
{
	return strstr(content(path), text) != NULL;
}

/* The interface by which Linux would send to an address from another. */
static int sends_by(unsigned int from, unsigned int to)
{
	struct lkl_sockaddr_in in = { 0 };
	char packets[64];
	long fd = lkl_sys_socket(LKL_AF_INET, LKL_SOCK_DGRAM, 0);
	int i, found = -1;
	long before[2];

	for (i = 0; i < 2; i++) {
		snprintf(packets, sizeof(packets), "/sysfs/class/net/eth%d/statistics/tx_packets", i);
		before[i] = 0;
		sscanf(content(packets), "%ld", &before[i]);
	}
	in.sin_family = LKL_AF_INET;
	in.sin_addr.lkl_s_addr = from;
	IS(lkl_sys_bind((int)fd, (struct lkl_sockaddr *)&in, sizeof(in)), 0);
	in.sin_addr.lkl_s_addr = to;
	in.sin_port = 0x0900;
	for (i = 0; i < 20; i++)
		lkl_sys_sendto((int)fd, "x", 1, 0, (struct lkl_sockaddr *)&in, sizeof(in));
	IS(lkl_sys_close((unsigned int)fd), 0);
	/* A packet is counted when the other end has it. */
	for (i = 0; found < 0 && i < 2000; i++) {
		struct __lkl__kernel_timespec pause = { .tv_nsec = 5000000 };
		long now = 0;

		snprintf(packets, sizeof(packets), "/sysfs/class/net/eth%d/statistics/tx_packets", i & 1);
		sscanf(content(packets), "%ld", &now);
		if (now - before[i & 1] >= 20)
			found = i & 1;
		else
			lkl_sys_nanosleep(&pause, NULL);
	}
	return found;
}

static const unsigned char gateway_mac[6] = { 2, 0, 0, 0, 0, 0x77 };

static void ipv4(int first, int second)
{
	unsigned int one = IP4(1, 2), gateway = IP4(1, 1), other = IP4(2, 1), extra = IP4(3, 2);

	IS(lkl_if_set_ipv4(first, one, 24), 0);
	IS(lkl_if_set_ipv4(first, one, 24), 0);
	IS(lkl_if_set_ipv4(second, IP4(2, 2), 24), 0);
	IS(lkl_if_add_ip(first, LKL_AF_INET, &extra, 24), 0);
	IS(lkl_if_add_ip(first, LKL_AF_INET, &extra, 24), -LKL_EEXIST);
	IS(has("/proc/net/fib_trie", "10.9.3.2"), 1);
	IS(lkl_if_del_ip(first, LKL_AF_INET, &extra, 24), 0);
	IS(lkl_if_del_ip(first, LKL_AF_INET, &extra, 24), -LKL_EADDRNOTAVAIL);
	IS(has("/proc/net/fib_trie", "10.9.3.2"), 0);
	IS(lkl_add_neighbor(first, LKL_AF_INET, &gateway, (void *)gateway_mac), 0);
	IS(lkl_add_neighbor(second, LKL_AF_INET, &other, (void *)gateway_mac), 0);
	IS(has("/proc/net/arp", "02:00:00:00:00:77"), 1);

	/* The way out of all, of either function; then that of the second interface's own address. */
	IS(lkl_set_ipv4_gateway(gateway), 0);
	IS(sends_by(one, 0x090200c0 /* 192.0.2.9 */), 0);
	IS(lkl_add_gateway(LKL_AF_INET, &other), 0);
	IS(sends_by(one, 0x090200c0), 1);
	IS(lkl_add_gateway(LKL_AF_INET, &gateway), 0);
	IS(sends_by(IP4(2, 2), 0x090200c0), 0);
	IS(lkl_if_set_ipv4_gateway(second, IP4(2, 2), 24, other), 0);
	IS(sends_by(IP4(2, 2), 0x090200c0), 1);
	IS(sends_by(one, 0x090200c0), 0);

	/* By its parts, for an address that is the first interface's and leaves by the second. */
	IS(lkl_if_add_ip(first, LKL_AF_INET, &extra, 32), 0);
	IS(sends_by(extra, 0x090200c0), 0);
	IS(lkl_if_add_rule_from_saddr(second, LKL_AF_INET, &extra), 0);
	IS(lkl_if_add_rule_from_saddr(second, LKL_AF_INET, &extra), 0);
	IS(sends_by(extra, 0x090200c0), 1);
	IS(lkl_if_add_linklocal(second, LKL_AF_INET, &other, 24), 0);
	IS(lkl_if_add_gateway(second, LKL_AF_INET, &other), 0);
	IS(sends_by(extra, 0x090200c0), 1);
}

static void ipv6(int first)
{
	unsigned char one[16] = { 0x20, 1, 0xd, 0xb8, [15] = 2 }, gateway[16] = { 0x20, 1, 0xd, 0xb8, [15] = 1 };
	unsigned char extra[16] = { 0x20, 1, 0xd, 0xb8, 0, 9, [15] = 2 };

	IS(lkl_if_set_ipv6(first, one, 64), 0);
	/* Another host may have it, for as long as that is asked. */
	IS(has("/proc/net/if_inet6", "20010db8000000000000000000000002"), 1);
	IS(lkl_if_wait_ipv6_dad(first), 0);
	IS(has("/proc/net/if_inet6", " 40     eth0"), 0);
	IS(lkl_if_add_ip(first, LKL_AF_INET6, extra, 64), 0);
	IS(lkl_if_del_ip(first, LKL_AF_INET6, extra, 64), 0);
	IS(has("/proc/net/if_inet6", "20010db8000900000000000000000002"), 0);
	IS(lkl_set_ipv6_gateway(gateway), 0);
	IS(has("/proc/net/ipv6_route",
	       "00000000000000000000000000000000 00 00000000000000000000000000000000 00 20010db8000000000000000000000001"), 1);
	IS(lkl_add_gateway(LKL_AF_INET6, gateway), 0);
	IS(lkl_if_set_ipv6_gateway(first, one, 64, gateway), 0);
	IS(lkl_add_neighbor(first, LKL_AF_INET6, gateway, (void *)gateway_mac), 0);
}

void helpers(void)
{
	int first, second;

	start("mem=64M loglevel=4");
	SAYS(lkl_mount_fs("proc"), value == 0 || value == 1);
	IS(lkl_mount_fs("sysfs"), 0);
	first = add_silent(0);
	second = add_silent(1);
	IS(lkl_ifname_to_ifindex("lo"), 1);
	IS(lkl_ifname_to_ifindex("eth1"), second);
	IS(lkl_ifname_to_ifindex("eth7"), -LKL_ENODEV);

	IS(lkl_if_up(1), 0);
	IS(ping(0x0100007f, 3), 3);
	IS(lkl_if_up(first), 0);
	IS(strcmp(content("/sysfs/class/net/eth0/operstate"), "up\n") && strcmp(content("/sysfs/class/net/eth0/operstate"), "unknown\n"), 0);
	IS(lkl_if_down(first), 0);
	IS(strcmp(content("/sysfs/class/net/eth0/operstate"), "down\n"), 0);
	IS(lkl_if_up(first), 0);
	IS(lkl_if_up(second), 0);
	IS(lkl_if_set_mtu(first, 1400), 0);
	IS(strcmp(content("/sysfs/class/net/eth0/mtu"), "1400\n"), 0);
	IS(lkl_if_set_mtu(first, 10), -LKL_EINVAL);

	ipv4(first, second);
	ipv6(first);

	IS(lkl_qdisc_add(first, "root", "fq"), 0);
	lkl_qdisc_parse_add(second, "root|fq_codel; root|fq");
	IS(lkl_qdisc_add(first, "root", "nosuch"), -LKL_ENOENT);
	IS(lkl_qdisc_add(first, "ingress", "fq"), -LKL_EINVAL);
	IS(strstr(printed, "qdisc") != NULL, 0);
	lkl_qdisc_parse_add(second, "root|nosuch;nonsense;");
	IS(strstr(printed, "lkl: qdisc root|nosuch: ") != NULL, 1);
	IS(strstr(printed, "lkl: qdisc nonsense: ") != NULL, 1);

	/* In another network there is no such interface. */
	IS(lkl_sys_unshare(LKL_CLONE_NEWNET), 0);
	IS(lkl_if_up(first), -LKL_ENODEV);
	IS(lkl_ifname_to_ifindex("eth0"), -LKL_ENODEV);
	IS(lkl_if_up(1), 0);
	lkl_netdev_free(&silent[0]);
	lkl_netdev_free(&silent[1]);
}

void wrong_arguments(void)
{
	unsigned char six[16] = { 0x20, 1 }, group[6] = { 1, 0, 0x5e, 0, 0, 1 };
	struct lkl_dev_net_ops some = { tx, NULL, poll_, poll_hup, NULL };
	struct lkl_netdev lacking = { .ops = &some }, none = { .ops = NULL };
	unsigned int ip = IP4(1, 2);
	int first;

	IS(lkl_netdev_tap_create("lklnone", 0), 0);
	SAYS(strstr(printed, "lkl: TAP device lklnone: ") != NULL, value == 1);
	IS(lkl_netdev_tap_create("a-name-that-is-too-long", 0), 0);
	IS(lkl_netdev_tap_create(NULL, 0), 0);
	IS(lkl_netdev_macvtap_create("/nonexistent/tap", 0), 0);
	IS(lkl_netdev_raw_create("lklnone"), 0);
	IS(lkl_netdev_pipe_create("/nonexistent", 0), 0);
	IS(lkl_netdev_pipe_create("/nonexistent/in|/nonexistent/out", 0), 0);
	IS(lkl_netdev_vde_create("/run/vde"), 0);
	SAYS(strstr(printed, "lkl: interfaces of kind vde are not built in\n") != NULL, value == 1);
	IS(lkl_netdev_dpdk_create("dpdk0", 0, six), 0);
	lkl_netdev_free(NULL);

	IS(lkl_netdev_add(NULL, NULL), -LKL_EINVAL);
	IS(lkl_netdev_add(&none, NULL), -LKL_EINVAL);
	IS(lkl_netdev_add(&lacking, NULL), -LKL_EINVAL);
	IS(lkl_netdev_remove(0), -LKL_ENODEV);
	IS(lkl_netdev_remove(-1), -LKL_ENODEV);
	IS(lkl_netdev_get_ifindex(0), -LKL_ENODEV);
	/* There is no Linux yet. */
	IS(lkl_if_up(1), -LKL_ENODEV);
	IS(lkl_set_ipv4_gateway(ip), -LKL_ENODEV);
	IS(lkl_ifname_to_ifindex("lo"), -LKL_ENODEV);
	IS(lkl_start_kernel("ip=10.9.1.256"), -LKL_EINVAL);
	SAYS(strstr(printed, "lkl: ip=10.9.1.256: ") != NULL, value == 1);

	start("mem=64M loglevel=4");
	first = add_silent(0);
	IS(lkl_netdev_add(&silent[0], NULL), -LKL_EBUSY);
	silent[1].ops = &ops;
	silent[1].mac[5] = 1;
	hups[1] = lkl_host_ops.sem_alloc(0);
	IS(lkl_netdev_add(&silent[1], &(struct lkl_netdev_args){ .mac = group }), -LKL_EADDRNOTAVAIL);
	IS(lkl_if_up(77), -LKL_ENODEV);
	IS(lkl_if_down(-1), -LKL_ENODEV);
	IS(lkl_if_set_mtu(first, -1), -LKL_EINVAL);
	IS(lkl_if_set_ipv4(first, ip, 33), -LKL_EINVAL);
	IS(lkl_if_set_ipv6(first, six, 129), -LKL_EINVAL);
	IS(lkl_if_set_ipv6(first, NULL, 64), -LKL_EFAULT);
	IS(lkl_if_add_ip(first, 77, &ip, 24), -LKL_EAFNOSUPPORT);
	IS(lkl_if_add_ip(first, LKL_AF_INET, NULL, 24), -LKL_EFAULT);
	IS(lkl_if_add_linklocal(first, LKL_AF_INET, &ip, -1), -LKL_EINVAL);
	IS(lkl_if_add_gateway(first, LKL_AF_INET, NULL), -LKL_EFAULT);
	IS(lkl_if_add_rule_from_saddr(77, LKL_AF_INET, &ip), -LKL_ENODEV);
	IS(lkl_if_wait_ipv6_dad(77), -LKL_ENODEV);
	IS(lkl_add_neighbor(first, LKL_AF_INET, &ip, NULL), -LKL_EFAULT);
	IS(lkl_ifname_to_ifindex(NULL), -LKL_EFAULT);
	IS(lkl_qdisc_add(first, "root", NULL), -LKL_EFAULT);
	lkl_qdisc_parse_add(first, NULL);
	/* No interface leads there. */
	IS(lkl_set_ipv4_gateway(IP4(9, 9)), -LKL_ENETUNREACH);
	lkl_netdev_free(&silent[0]);
}
