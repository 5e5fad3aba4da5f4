/* A client that makes its system calls itself: it connects twice, blocking and not, and gets back what it sends. */
#include <netinet/in.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/socket.h>

static long call(long number, long a, long b, long c, long d, long e, long f)
{
	long value;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;

	__asm__ volatile("syscall"
			 : "=a"(value)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return value;
}

static void must(int right, int place)
{
	if (!right)
		call(SYS_exit_group, place, 0, 0, 0, 0, 0);
}

static void exchange(long fd)
{
	static char sent[100000], got[100000];
	long done = 0, len;

	memset(sent, 'r', sizeof(sent));
	/* Half by write, half by sendto without an address; the echo is shorter than what may be between. */
	must(call(SYS_write, fd, (long)sent, 50000, 0, 0, 0) == 50000, 20);
	must(call(SYS_sendto, fd, (long)sent, 50000, MSG_NOSIGNAL, 0, 0) == 50000, 21);
	must(call(SYS_shutdown, fd, SHUT_WR, 0, 0, 0, 0) == 0, 22);
	while ((len = call(SYS_recvfrom, fd, (long)(got + done), sizeof(got) - done, 0, 0, 0)) > 0)
		done += len;
	must(len == 0 && done == sizeof(got), 23);
	must(memcmp(sent, got, sizeof(got)) == 0, 24);
	must(call(SYS_close, fd, 0, 0, 0, 0, 0) == 0, 25);
}

int main(int argc, char **argv)
{
	struct sockaddr_in to = { .sin_family = AF_INET }, name;
	int len = sizeof(name), error = -1, error_len = sizeof(error);
	struct pollfd entry = { .events = POLLOUT };
	long fd;

	must(argc == 3, 2);
	to.sin_port = htons(atoi(argv[2]));
	must(inet_aton(argv[1], &to.sin_addr), 3);

	fd = call(SYS_socket, AF_INET, SOCK_STREAM, 0, 0, 0, 0);
	must(fd >= 0, 4);
	must(call(SYS_connect, fd, (long)&to, sizeof(to), 0, 0, 0) == 0, 5);
	must(call(SYS_connect, fd, (long)&to, sizeof(to), 0, 0, 0) == -EISCONN, 6);
	must(call(SYS_getpeername, fd, (long)&name, (long)&len, 0, 0, 0) == 0, 7);
	must(len == sizeof(name) && memcmp(&name, &to, sizeof(name)) == 0, 8);
	exchange(fd);

	fd = call(SYS_socket, AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, 0, 0, 0);
	must(fd >= 0, 10);
	must(call(SYS_fcntl, fd, F_GETFD, 0, 0, 0, 0) == FD_CLOEXEC, 11);
	must(call(SYS_connect, fd, (long)&to, sizeof(to), 0, 0, 0) == -EINPROGRESS, 12);
	entry.fd = fd;
	must(call(SYS_poll, (long)&entry, 1, 10000, 0, 0, 0) == 1 && entry.revents == POLLOUT, 13);
	must(call(SYS_getsockopt, fd, SOL_SOCKET, SO_ERROR, (long)&error, (long)&error_len, 0) == 0, 14);
	must(error == 0, 15);
	must(call(SYS_fcntl, fd, F_SETFL, 0, 0, 0, 0) == 0, 16);
	exchange(fd);
	must(call(SYS_write, 1, (long)"raw ok\n", 7, 0, 0, 0) == 7, 17);
	return 0;
}
