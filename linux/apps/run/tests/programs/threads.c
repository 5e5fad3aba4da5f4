/* Eight threads connect to a ninth, which waits in accept; then a signal ends such a wait. */
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { CLIENTS = 8, SIZE = 1 << 20 };

static struct sockaddr_in place;

static void must(int right, const char *what)
{
	if (!right) {
		perror(what);
		exit(1);
	}
}

static void *serve(void *argument)
{
	int fd = (int)(long)argument;
	char *buffer = malloc(65536);
	long len;

	while ((len = read(fd, buffer, 65536)) > 0)
		for (long done = 0, now; done < len; done += now) {
			now = write(fd, buffer + done, len - done);
			must(now > 0, "write");
		}
	must(len == 0, "read");
	close(fd);
	free(buffer);
	return NULL;
}

static void *talk(void *argument)
{
	char seed = (char)(long)argument, *sent = malloc(SIZE), *got = malloc(SIZE);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	long done = 0;

	memset(sent, seed, SIZE);
	must(connect(fd, (struct sockaddr *)&place, sizeof(place)) == 0, "connect");
	for (long at = 0; at < SIZE; at += 32768) {
		must(send(fd, sent + at, 32768, 0) == 32768, "send");
		for (long want = 32768, now; want > 0; want -= now, done += now) {
			now = recv(fd, got + done, want, 0);
			must(now > 0, "recv");
		}
	}
	must(memcmp(sent, got, SIZE) == 0, "compare");
	close(fd);
	free(sent);
	free(got);
	return NULL;
}

static void nothing(int signal)
{
	(void)signal;
}

int main(void)
{
	struct sigaction action = { .sa_handler = nothing };
	struct itimerval soon = { .it_value = { .tv_usec = 200000 } };
	struct timeval patience = { .tv_usec = 300000 };
	pthread_t clients[CLIENTS], servers[CLIENTS];
	socklen_t len = sizeof(place);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	place.sin_family = AF_INET;
	place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	must(bind(listener, (struct sockaddr *)&place, sizeof(place)) == 0, "bind");
	must(getsockname(listener, (struct sockaddr *)&place, &len) == 0, "getsockname");
	must(listen(listener, CLIENTS) == 0, "listen");
	for (long n = 0; n < CLIENTS; n++)
		must(pthread_create(&clients[n], NULL, talk, (void *)(n + 1)) == 0, "thread");
	for (long n = 0; n < CLIENTS; n++) {
		struct sockaddr_in from;
		socklen_t from_len = sizeof(from);
		int fd = accept(listener, (struct sockaddr *)&from, &from_len);

		must(fd >= 0, "accept");
		must(from.sin_addr.s_addr == htonl(INADDR_LOOPBACK) && from.sin_port != 0, "peer");
		must(pthread_create(&servers[n], NULL, serve, (void *)(long)fd) == 0, "thread");
	}
	for (long n = 0; n < CLIENTS; n++) {
		pthread_join(clients[n], NULL);
		pthread_join(servers[n], NULL);
	}

	must(sigaction(SIGALRM, &action, NULL) == 0, "sigaction");
	must(setitimer(ITIMER_REAL, &soon, NULL) == 0, "setitimer");
	must(accept(listener, NULL, NULL) == -1 && errno == EINTR, "interrupted");
	must(setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == 0, "timeout");
	must(accept(listener, NULL, NULL) == -1 && errno == EAGAIN, "timed out");
	/* With SA_RESTART the wait goes on, and the next connection is not lost. */
	action.sa_flags = SA_RESTART;
	patience.tv_usec = 0;
	must(setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == 0, "timeout");
	must(sigaction(SIGALRM, &action, NULL) == 0, "sigaction");
	must(setitimer(ITIMER_REAL, &soon, NULL) == 0, "setitimer");
	if (fork() == 0) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);

		usleep(500000);
		_exit(connect(fd, (struct sockaddr *)&place, sizeof(place)) != 0);
	}
	must(accept(listener, NULL, NULL) >= 0, "restarted");
	puts("threads ok");
	return 0;
}
