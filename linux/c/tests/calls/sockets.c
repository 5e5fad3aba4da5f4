// SPDX-License-Identifier: GPL-2.0
/* Sockets: pairs, and streams and datagrams over the loopback interface. */
#include "check.h"
#include <lkl/linux/in.h>
#include <lkl/linux/if.h>
#include <lkl/linux/un.h>
#include <lkl/linux/sockios.h>
#include <lkl/asm/socket.h>

static struct lkl_sockaddr_in here;

/* The loopback interface is down after the boot, as on any machine. */
static void raise_loopback(void)
{
	struct lkl_ifreq request = { 0 };
	int fd = lkl_sys_socket(LKL_AF_INET, LKL_SOCK_DGRAM, 0);

	SAYS(fd, value >= 0);
	strcpy(request.lkl_ifr_name, "lo");
	IS(lkl_sys_ioctl(fd, LKL_SIOCGIFFLAGS, (long)&request), 0);
	request.lkl_ifr_flags |= LKL_IFF_UP;
	IS(lkl_sys_ioctl(fd, LKL_SIOCSIFFLAGS, (long)&request), 0);
	IS(lkl_sys_close(fd), 0);
}

static void any_port(void)
{
	memset(&here, 0, sizeof(here));
	here.sin_family = LKL_AF_INET;
	/* 127.0.0.1 in the network's order. */
	memcpy(&here.sin_addr, "\x7f\0\0\1", 4);
}

static void pairs(void)
{
	char text[32] = "";
	struct lkl_iovec vec[2] = { { "one", 3 }, { "two", 3 } }, into = { text, sizeof(text) };
	struct lkl_msghdr message = { .msg_iov = vec, .msg_iovlen = 2 };
	struct lkl_mmsghdr several[2] = { { .msg_hdr = message }, { .msg_hdr = message } };
	int pair[2], none[2], kind = 0, len = sizeof(kind);

	IS(lkl_sys_socketpair(LKL_AF_UNIX, LKL_SOCK_SEQPACKET, 0, pair), 0);
	IS(lkl_sys_socketpair(LKL_AF_INET, LKL_SOCK_STREAM, 0, none), -LKL_EOPNOTSUPP);
	IS(lkl_sys_getsockopt(pair[0], LKL_SOL_SOCKET, LKL_SO_TYPE, (char *)&kind, &len), 0);
	IS(kind, LKL_SOCK_SEQPACKET);
	IS(lkl_sys_sendmsg(pair[0], &message, 0), 6);
	message.msg_iov = &into;
	message.msg_iovlen = 1;
	IS(lkl_sys_recvmsg(pair[1], &message, 0), 6);
	IS(strcmp(text, "onetwo"), 0);
	IS(lkl_sys_recvmsg(pair[1], &message, LKL_MSG_DONTWAIT), -LKL_EAGAIN);
	IS(lkl_sys_sendmmsg(pair[1], several, 2, 0), 2);
	several[0].msg_hdr = several[1].msg_hdr = message;
	IS(lkl_sys_recvmmsg(pair[0], several, 2, LKL_MSG_DONTWAIT, NULL), 2);
	IS(several[1].msg_len, 6);
	IS(lkl_sys_recvmmsg(-1, several, 2, 0, NULL), -LKL_EBADF);
	IS(lkl_sys_sendmmsg(-1, several, 2, 0), -LKL_EBADF);
	IS(lkl_sys_sendmsg(-1, &message, 0), -LKL_EBADF);
	IS(lkl_sys_close(pair[0]), 0);
	IS(lkl_sys_close(pair[1]), 0);
}

/* A descriptor, through a socket. */
static void passing(void)
{
	char text[8] = "", room[LKL_CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = "";
	struct lkl_iovec vec = { text, 1 };
	struct lkl_msghdr message = { .msg_iov = &vec, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room) };
	struct lkl_cmsghdr *control = (void *)room;
	int pair[2], fd = file_with("file", "passed"), other = -1;

	IS(lkl_sys_socketpair(LKL_AF_UNIX, LKL_SOCK_STREAM, 0, pair), 0);
	control->cmsg_len = LKL_CMSG_LEN(sizeof(int));
	control->cmsg_level = LKL_SOL_SOCKET;
	control->cmsg_type = LKL_SCM_RIGHTS;
	memcpy(LKL_CMSG_DATA(control), &fd, sizeof(fd));
	IS(lkl_sys_sendmsg(pair[0], &message, 0), 1);
	message.msg_controllen = sizeof(room);
	IS(lkl_sys_recvmsg(pair[1], &message, 0), 1);
	memcpy(&other, LKL_CMSG_DATA(control), sizeof(other));
	SAYS(other, value >= 0 && value != fd);
	IS(lkl_sys_pread64(other, text, 6, 0), 6);
	IS(strcmp(text, "passed"), 0);
	IS(lkl_sys_close(other), 0);
	IS(lkl_sys_close(fd), 0);
	IS(lkl_sys_close(pair[0]), 0);
	IS(lkl_sys_close(pair[1]), 0);
	IS(lkl_sys_unlink("file"), 0);
}

/* The client's end: sends a word, gets it back. */
static void client(void *arg)
{
	char text[8] = "";
	int fd = lkl_sys_socket(LKL_AF_INET, LKL_SOCK_STREAM, 0);

	(void)arg;
	IS(lkl_sys_connect(fd, (void *)&here, sizeof(here)), 0);
	IS(lkl_sys_connect(fd, (void *)&here, sizeof(here)), -LKL_EISCONN);
	IS(lkl_sys_sendto(fd, "word", 4, 0, NULL, 0), 4);
	IS(lkl_sys_recvfrom(fd, text, sizeof(text), LKL_MSG_WAITALL, NULL, NULL), 4);
	IS(strcmp(text, "word"), 0);
	IS(lkl_sys_close(fd), 0);
}

static void streams(void)
{
	struct lkl_sockaddr_in peer, name;
	struct beside beside;
	char text[8] = "";
	int yes = 1, len = sizeof(here), fd, accepted, turn;

	any_port();
	fd = lkl_sys_socket(LKL_AF_INET, LKL_SOCK_STREAM | LKL_SOCK_CLOEXEC, 0);
	SAYS(fd, value >= 0);
	IS(lkl_sys_socket(999, LKL_SOCK_STREAM, 0), -LKL_EAFNOSUPPORT);
	IS(lkl_sys_setsockopt(fd, LKL_SOL_SOCKET, LKL_SO_REUSEADDR, (char *)&yes, sizeof(yes)), 0);
	IS(lkl_sys_setsockopt(fd, LKL_SOL_SOCKET, 9999, (char *)&yes, sizeof(yes)), -LKL_ENOPROTOOPT);
	IS(lkl_sys_bind(fd, (void *)&here, sizeof(here)), 0);
	IS(lkl_sys_getsockname(fd, (void *)&here, &len), 0);
	SAYS(here.sin_port, value != 0);
	IS(lkl_sys_bind(fd, (void *)&here, sizeof(here)), -LKL_EINVAL);
	IS(lkl_sys_accept4(fd, NULL, NULL, LKL_SOCK_NONBLOCK), -LKL_EINVAL);
	IS(lkl_sys_listen(fd, 4), 0);
	IS(lkl_sys_listen(-1, 4), -LKL_EBADF);
	for (turn = 0; turn < 2; turn++) {
		begin(&beside, client, NULL);
		len = sizeof(peer);
		accepted = turn ? lkl_sys_accept4(fd, (void *)&peer, &len, LKL_SOCK_CLOEXEC)
				: lkl_sys_accept(fd, (void *)&peer, &len);
		SAYS(accepted, value >= 0);
		len = sizeof(name);
		IS(lkl_sys_getpeername(accepted, (void *)&name, &len), 0);
		IS(name.sin_port == peer.sin_port, 1);
		IS(lkl_sys_recvfrom(accepted, text, 4, LKL_MSG_WAITALL, NULL, NULL), 4);
		IS(lkl_sys_sendto(accepted, text, 4, 0, NULL, 0), 4);
		IS(lkl_sys_shutdown(accepted, LKL_SHUT_WR), 0);
		IS(lkl_sys_sendto(accepted, text, 4, LKL_MSG_NOSIGNAL, NULL, 0), -LKL_EPIPE);
		IS(lkl_sys_recvfrom(accepted, text, 4, 0, NULL, NULL), 0);
		IS(lkl_sys_close(accepted), 0);
		end(&beside);
	}
	IS(lkl_sys_getpeername(fd, (void *)&name, &len), -LKL_ENOTCONN);
	IS(lkl_sys_close(fd), 0);
	fd = lkl_sys_socket(LKL_AF_INET, LKL_SOCK_STREAM, 0);
	IS(lkl_sys_connect(fd, (void *)&here, sizeof(here)), -LKL_ECONNREFUSED);
	IS(lkl_sys_shutdown(fd, LKL_SHUT_RDWR), -LKL_ENOTCONN);
	IS(lkl_sys_close(fd), 0);
}

static void datagrams(void)
{
	struct lkl_sockaddr_in from;
	char text[16] = "";
	int len = sizeof(here), fd = lkl_sys_socket(LKL_AF_INET, LKL_SOCK_DGRAM, 0);

	any_port();
	IS(lkl_sys_bind(fd, (void *)&here, sizeof(here)), 0);
	IS(lkl_sys_getsockname(fd, (void *)&here, &len), 0);
	IS(lkl_sys_sendto(fd, "datagram", 8, 0, (void *)&here, sizeof(here)), 8);
	len = sizeof(from);
	IS(lkl_sys_recvfrom(fd, text, sizeof(text), LKL_MSG_PEEK, NULL, NULL), 8);
	IS(lkl_sys_recvfrom(fd, text, 4, LKL_MSG_TRUNC, (void *)&from, &len), 8);
	IS(from.sin_port == here.sin_port, 1);
	IS(lkl_sys_recvfrom(fd, text, 4, LKL_MSG_DONTWAIT, NULL, NULL), -LKL_EAGAIN);
	IS(lkl_sys_close(fd), 0);
}

static void named(void)
{
	struct lkl_sockaddr_un name = { .sun_family = LKL_AF_UNIX, .sun_path = "socket" };
	struct lkl_stat stat;
	int fd = lkl_sys_socket(LKL_AF_UNIX, LKL_SOCK_STREAM, 0), other, accepted;

	IS(lkl_sys_bind(fd, (void *)&name, sizeof(name)), 0);
	IS(lkl_sys_listen(fd, 1), 0);
	IS(lkl_sys_stat("socket", &stat), 0);
	IS(stat.st_mode & LKL_S_IFMT, LKL_S_IFSOCK);
	other = lkl_sys_socket(LKL_AF_UNIX, LKL_SOCK_STREAM, 0);
	IS(lkl_sys_connect(other, (void *)&name, sizeof(name)), 0);
	accepted = lkl_sys_accept(fd, NULL, NULL);
	IS(lkl_sys_write(other, "x", 1), 1);
	IS(lkl_sys_read(accepted, (char *)&stat, 4), 1);
	IS(lkl_sys_close(accepted), 0);
	IS(lkl_sys_close(other), 0);
	IS(lkl_sys_close(fd), 0);
	IS(lkl_sys_unlink("socket"), 0);
}

void sockets(void)
{
	raise_loopback();
	pairs();
	passing();
	streams();
	datagrams();
	named();
}
