// SPDX-License-Identifier: GPL-2.0
#include "check.h"

int checks, failures;
char printed[1 << 16];
static int printed_len;

void check(int right, const char *file, int line, const char *what, long value)
{
	__atomic_fetch_add(&checks, 1, __ATOMIC_SEQ_CST);
	if (right)
		return;
	__atomic_fetch_add(&failures, 1, __ATOMIC_SEQ_CST);
	printf("%s:%d: %s: %ld\n", file, line, what, value);
	fflush(stdout);
}

static void print(const char *text, int len)
{
	if (printed_len + len < (int)sizeof(printed)) {
		memcpy(printed + printed_len, text, (size_t)len);
		printed_len += len;
	}
}

#ifdef _WIN32
static void limit(void)
{
}
#else
#include <unistd.h>

static void limit(void)
{
	alarm(60);
}
#endif

void begin(void)
{
	limit();
	lkl_host_ops.print = print;
	IS(lkl_init(&lkl_host_ops), 0);
}

void start(const char *command_line)
{
	IS(lkl_start_kernel("%s", command_line), 0);
}

int end(void)
{
	IS(lkl_sys_halt(), 0);
	lkl_cleanup();
	printf("%d checks, %d failed\n", checks, failures);
	if (failures)
		printf("%s\n", printed);
	return failures != 0;
}

long send_all(long fd, const void *bytes, long len)
{
	long done = 0;

	while (done < len) {
		long now = lkl_sys_write((unsigned int)fd, (const char *)bytes + done, (size_t)(len - done));

		if (now <= 0)
			return now;
		done += now;
	}
	return done;
}

long receive_all(long fd, void *bytes, long len)
{
	long done = 0;

	while (done < len) {
		long now = lkl_sys_read((unsigned int)fd, (char *)bytes + done, (size_t)(len - done));

		if (now <= 0)
			return now < 0 ? now : done;
		done += now;
	}
	return done;
}

static struct lkl_sockaddr_in address(unsigned int addr, unsigned short port)
{
	struct lkl_sockaddr_in in = { 0 };

	in.sin_family = LKL_AF_INET;
	in.sin_port = (unsigned short)(port << 8 | port >> 8);
	in.sin_addr.lkl_s_addr = addr;
	return in;
}

static long limited(long fd)
{
	struct lkl_timeval time = { .tv_sec = 20 };

	lkl_sys_setsockopt((int)fd, LKL_SOL_SOCKET, LKL_SO_RCVTIMEO_OLD, (char *)&time, sizeof(time));
	return fd;
}

long tcp_listen(unsigned int addr, unsigned short port)
{
	struct lkl_sockaddr_in in = address(addr, port);
	long fd = lkl_sys_socket(LKL_AF_INET, LKL_SOCK_STREAM, 0), error;
	int yes = 1;

	if (fd < 0)
		return fd;
	/* A connection of before may still be remembered. */
	lkl_sys_setsockopt((int)fd, LKL_SOL_SOCKET, LKL_SO_REUSEADDR, (char *)&yes, sizeof(yes));
	error = lkl_sys_bind((int)fd, (struct lkl_sockaddr *)&in, sizeof(in));
	if (!error)
		error = lkl_sys_listen((int)fd, 8);
	return error ? error : limited(fd);
}

long tcp_connect(unsigned int addr, unsigned short port)
{
	struct lkl_sockaddr_in in = address(addr, port);
	long fd = lkl_sys_socket(LKL_AF_INET, LKL_SOCK_STREAM, 0), error;

	if (fd < 0)
		return fd;
	error = lkl_sys_connect((int)fd, (struct lkl_sockaddr *)&in, sizeof(in));
	return error ? error : limited(fd);
}

static unsigned short checksum(const unsigned char *bytes, int len)
{
	unsigned int sum = 0;
	int i;

	for (i = 0; i + 1 < len; i += 2)
		sum += (unsigned int)bytes[i] << 8 | bytes[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (unsigned short)~sum;
}

int ping(unsigned int addr, int count)
{
	struct lkl_sockaddr_in in = address(addr, 0);
	struct lkl_timeval time = { .tv_sec = 5 };
	long fd = lkl_sys_socket(LKL_AF_INET, LKL_SOCK_RAW, LKL_IPPROTO_ICMP);
	int i, answered = 0;

	if (fd < 0)
		return (int)fd;
	lkl_sys_setsockopt((int)fd, LKL_SOL_SOCKET, LKL_SO_RCVTIMEO_OLD, (char *)&time, sizeof(time));
	for (i = 0; i < count; i++) {
		unsigned char packet[64] = { 8, 0, 0, 0, 0x4c, 0x4b, 0, (unsigned char)i }, answer[256];
		unsigned short sum;
		long len;

		memset(packet + 8, 'a' + i % 26, sizeof(packet) - 8);
		sum = checksum(packet, sizeof(packet));
		packet[2] = (unsigned char)(sum >> 8);
		packet[3] = (unsigned char)sum;
		len = lkl_sys_sendto((int)fd, packet, sizeof(packet), 0, (struct lkl_sockaddr *)&in, sizeof(in));
		if (len != sizeof(packet))
			return (int)len;
		/* What else comes is passed over: the header of IP is 20 bytes. */
		while ((len = lkl_sys_recvfrom((int)fd, answer, sizeof(answer), 0, NULL, NULL)) > 0) {
			if (len == 20 + (long)sizeof(packet) && answer[20] == 0 && answer[27] == (unsigned char)i &&
			    !memcmp(answer + 28, packet + 8, sizeof(packet) - 8)) {
				answered++;
				break;
			}
		}
	}
	lkl_sys_close((unsigned int)fd);
	return answered;
}

const char *content(const char *path)
{
	static char text[1 << 14];
	long fd = lkl_sys_open(path, LKL_O_RDONLY, 0), len;

	text[0] = 0;
	if (fd < 0)
		return text;
	len = receive_all(fd, text, sizeof(text) - 1);
	text[len > 0 ? len : 0] = 0;
	lkl_sys_close((unsigned int)fd);
	return text;
}
