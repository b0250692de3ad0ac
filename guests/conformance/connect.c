/* connect of TCP: how it succeeds, fails, waits and is repeated. */
#define _GNU_SOURCE
#include "conform.h"

#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>

static void *volatile bad_pointer = (void *)16; /* nothing is mapped there */

static int nonblocking_socket(void)
{
	return (int)must("socket", socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
}

/* An address of 127.0.0.1 where nobody listens. */
static struct sockaddr_in nobody(void)
{
	struct sockaddr_in address;
	close(tcp_listener(1, &address));
	return address;
}

static int disconnect(int fd)
{
	struct sockaddr_in unspecified = { .sin_family = AF_UNSPEC };
	return connect_to(fd, unspecified);
}

/* All that is asked of a socket whose connection may be there or not. */
static void observe_state(const char *label, int fd)
{
	observe_poll(label, fd, POLLIN | POLLOUT | POLLRDHUP, 0);
	observe_name("name", fd);
	observe_peer("peer", fd);
}

CASE(blocking)
{
	struct sockaddr_in address;
	int listener = tcp_listener(1, &address), fd = tcp_socket();
	observe("connect", connect_to(fd, address));
	observe_poll("poll", fd, POLLIN | POLLOUT, 0);
	observe_poll("listener", listener, POLLIN | POLLOUT, 0);
	observe_so_error("error", fd);
	observe("again", connect_to(fd, address));
	observe("elsewhere", connect_to(fd, nobody()));
}

CASE(blocking_refused)
{
	struct sockaddr_in address = nobody();
	int fd = tcp_socket();
	observe("connect", connect_to(fd, address));
	observe_so_error("error", fd);
	observe_state("poll", fd);
	observe("again", connect_to(fd, address));
	observe("bind", bind_to(fd, inet_address("127.0.0.1", 0)));
	tcp_listener(1, &address);
	observe("elsewhere", connect_to(fd, address));
	observe_state("poll", fd);
}

CASE(nonblocking)
{
	struct sockaddr_in address;
	int listener = tcp_listener(1, &address), fd = nonblocking_socket();
	observe("connect", connect_to(fd, address));
	observe_poll("poll", fd, POLLIN | POLLOUT, -1);
	observe_so_error("error", fd);
	observe_state("state", fd);
	observe("again", connect_to(fd, address));
	observe("again", connect_to(fd, address));
	observe_fd("accept", accept(listener, NULL, NULL));
}

CASE(nonblocking_refused)
{
	struct sockaddr_in address = nobody();
	int fd = nonblocking_socket();
	observe("connect", connect_to(fd, address));
	observe_poll("poll", fd, POLLIN | POLLOUT | POLLRDHUP, -1);
	observe_so_error("error", fd);
	observe_so_error("error", fd);
	observe_state("state", fd);
	observe("again", connect_to(fd, address));
	observe("again", connect_to(fd, address));
	observe_poll("poll", fd, POLLIN | POLLOUT | POLLRDHUP, -1);
}

CASE(nonblocking_refused_told_by_connect)
{
	struct sockaddr_in address = nobody();
	int fd = nonblocking_socket();
	observe("connect", connect_to(fd, address));
	observe_poll("poll", fd, POLLOUT, -1);
	observe("again", connect_to(fd, address));
	observe_so_error("error", fd);
	observe_state("state", fd);
	observe("again", connect_to(fd, address));
}

CASE(nonblocking_refused_told_by_receive)
{
	char byte;
	int fd = nonblocking_socket();
	observe("connect", connect_to(fd, nobody()));
	observe_poll("poll", fd, POLLOUT, -1);
	observe("recv", recv(fd, &byte, 1, 0));
	observe_so_error("error", fd);
	observe("recv", recv(fd, &byte, 1, 0));
	observe("send", send(fd, "x", 1, MSG_NOSIGNAL));
}

CASE(nonblocking_refused_told_by_send)
{
	char byte;
	int fd = nonblocking_socket();
	observe("connect", connect_to(fd, nobody()));
	observe_poll("poll", fd, POLLOUT, -1);
	observe("send", send(fd, "x", 1, MSG_NOSIGNAL));
	observe_so_error("error", fd);
	observe("send", send(fd, "x", 1, MSG_NOSIGNAL));
	observe("read", read(fd, &byte, 1));
	observe("shutdown", shutdown(fd, SHUT_RDWR));
}

CASE(in_progress)
{
	char byte;
	struct sockaddr_in address;
	full_listener(&address);
	int fd = nonblocking_socket();
	observe("connect", connect_to(fd, address));
	observe("again", connect_to(fd, address));
	observe("elsewhere", connect_to(fd, nobody()));
	observe_state("poll", fd);
	observe_so_error("error", fd);
	observe("send", send(fd, "x", 1, MSG_NOSIGNAL));
	observe("send-nothing", send(fd, "x", 0, MSG_NOSIGNAL));
	observe("recv", recv(fd, &byte, 1, 0));
	observe("recv-nothing", recv(fd, &byte, 0, 0));
	observe("bind", bind_to(fd, inet_address("127.0.0.1", 0)));
	observe("listen", listen(fd, 1));
	observe("accept", accept(fd, NULL, NULL));
}

CASE(in_progress_ends_when_there_is_room)
{
	struct sockaddr_in address;
	int listener = full_listener(&address), fd = nonblocking_socket();
	observe("connect", connect_to(fd, address));
	observe_poll("poll", fd, POLLOUT, 0);
	observe_fd("accept", accept(listener, NULL, NULL));
	observe_poll("poll", fd, POLLOUT, -1);
	observe("again", connect_to(fd, address));
	observe_fd("accept", accept(listener, NULL, NULL));
}

static void shutdown_in_progress(int how)
{
	char byte;
	struct sockaddr_in address;
	full_listener(&address);
	int fd = nonblocking_socket();
	observe("connect", connect_to(fd, address));
	observe("shutdown", shutdown(fd, how));
	observe_state("poll", fd);
	observe_so_error("error", fd);
	observe("recv", recv(fd, &byte, 1, 0));
	observe("send", send(fd, "x", 1, MSG_NOSIGNAL));
	observe("again", connect_to(fd, address));
}

CASE(in_progress_shutdown_receive)
{
	shutdown_in_progress(SHUT_RD);
}

CASE(in_progress_shutdown_send)
{
	shutdown_in_progress(SHUT_WR);
}

CASE(in_progress_shutdown_both)
{
	shutdown_in_progress(SHUT_RDWR);
}

CASE(in_progress_disconnect)
{
	struct sockaddr_in address;
	full_listener(&address);
	int fd = nonblocking_socket();
	observe("connect", connect_to(fd, address));
	observe("disconnect", disconnect(fd));
	observe_state("poll", fd);
	observe("elsewhere", connect_to(fd, nobody()));
	observe_poll("poll", fd, POLLOUT, -1);
	observe_so_error("error", fd);
}

CASE(timed_out_syncnt)
{
	struct sockaddr_in address;
	full_listener(&address);
	int fd = tcp_socket();
	observe("syncnt", set_int(fd, IPPROTO_TCP, TCP_SYNCNT, 1));
	long start = now_ms();
	observe("connect", connect_to(fd, address));
	observe_waited("waited", start, 2800, 5000);
	observe_so_error("error", fd);
	observe_state("poll", fd);
}

CASE(timed_out_user_timeout)
{
	struct sockaddr_in address;
	full_listener(&address);
	int fd = nonblocking_socket();
	observe("user-timeout", set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 500));
	long start = now_ms();
	observe("connect", connect_to(fd, address));
	observe_poll("poll", fd, POLLIN | POLLOUT | POLLRDHUP, -1);
	observe_waited("waited", start, 400, 3000);
	observe_so_error("error", fd);
	observe("again", connect_to(fd, address));
}

CASE(send_timeout)
{
	struct sockaddr_in address;
	full_listener(&address);
	int fd = tcp_socket();
	set_timeout(fd, SO_SNDTIMEO, 100);
	long start = now_ms();
	observe("connect", connect_to(fd, address));
	observe_waited("waited", start, 90, 900);
	start = now_ms();
	observe("again", connect_to(fd, address));
	observe_waited("waited", start, 90, 900);
	observe_state("poll", fd);
	observe("send", send(fd, "x", 1, MSG_NOSIGNAL));
}

CASE(interrupted)
{
	struct sockaddr_in address;
	int listener = full_listener(&address), fd = tcp_socket();
	interrupt_after(100, 0);
	observe("connect", connect_to(fd, address));
	set_nonblocking(fd);
	observe("again", connect_to(fd, address));
	observe_fd("accept", accept(listener, NULL, NULL));
	observe_poll("poll", fd, POLLOUT, -1);
	observe("again", connect_to(fd, address));
	observe("again", connect_to(fd, address));
}

CASE(interrupted_and_restarted)
{
	struct sockaddr_in address;
	int listener = full_listener(&address), fd = tcp_socket();
	if (fork() == 0) {
		pause_ms(300);
		accept(listener, NULL, NULL);
		pause();
	}
	interrupt_after(100, SA_RESTART);
	long start = now_ms();
	observe("connect", connect_to(fd, address));
	observe_waited("waited", start, 280, 5000);
	observe("again", connect_to(fd, address));
}

CASE(interrupted_with_send_timeout)
{
	struct sockaddr_in address;
	full_listener(&address);
	int fd = tcp_socket();
	set_timeout(fd, SO_SNDTIMEO, 5000);
	interrupt_after(100, SA_RESTART);
	long start = now_ms();
	observe("connect", connect_to(fd, address));
	observe_waited("waited", start, 50, 3000);
}

CASE(bad_arguments)
{
	struct sockaddr_in address;
	tcp_listener(1, &address);
	struct sockaddr *name = (struct sockaddr *)&address;
	int fd = tcp_socket();
	observe("short", connect(fd, name, sizeof(address) - 1));
	observe("family-only", connect(fd, name, 2));
	observe("one-byte", connect(fd, name, 1));
	observe("empty", connect(fd, name, 0));
	observe("negative", connect(fd, name, (socklen_t)-1));
	observe("too-long", connect(fd, name, sizeof(struct sockaddr_storage) + 1));
	observe("pointer", connect(fd, bad_pointer, sizeof(address)));
	observe("fd", connect(-1, name, sizeof(address)));
	observe("no-socket", connect(STDOUT_FILENO, name, sizeof(address)));
	address.sin_family = AF_INET6;
	observe("inet6", connect(fd, name, sizeof(address)));
	address.sin_family = AF_UNIX;
	observe("unix", connect(fd, name, sizeof(address)));
	address.sin_family = AF_UNSPEC;
	observe("unspec-short", connect(fd, name, 2));
	observe("unspec", connect(fd, name, sizeof(address)));
	address.sin_family = AF_INET;
	observe("longer", connect(fd, name, sizeof(address) + 16));
}

CASE(of_a_listener)
{
	struct sockaddr_in address;
	tcp_listener(1, &address);
	int fd = tcp_listener(1, NULL);
	observe("connect", connect_to(fd, address));
	observe_poll("poll", fd, POLLIN | POLLOUT, 0);
}

CASE(disconnect_fresh)
{
	int fd = tcp_socket();
	observe("disconnect", disconnect(fd));
	observe_state("poll", fd);
	bind_to(fd, inet_address("127.0.0.1", 5201));
	observe("bound", disconnect(fd));
	observe_state("poll", fd);
}

CASE(disconnect_connected)
{
	char byte;
	int pair[2];
	struct sockaddr_in address;
	tcp_pair(pair);
	observe("nodelay", set_int(pair[0], IPPROTO_TCP, TCP_NODELAY, 1));
	observe("disconnect", disconnect(pair[0]));
	observe_state("poll", pair[0]);
	observe_poll("peer", pair[1], POLLIN | POLLOUT | POLLRDHUP, -1);
	observe("recv", recv(pair[1], &byte, 1, 0));
	observe("recv", recv(pair[1], &byte, 1, 0));
	observe("recv", recv(pair[0], &byte, 1, 0));
	observe("send", send(pair[0], "x", 1, MSG_NOSIGNAL));
	tcp_listener(1, &address);
	observe("connect", connect_to(pair[0], address));
	observe_int("nodelay", pair[0], IPPROTO_TCP, TCP_NODELAY);
	observe_state("poll", pair[0]);
}

CASE(disconnect_bound)
{
	struct sockaddr_in address;
	tcp_listener(8, &address);
	int fd = tcp_socket();
	must("bind", bind_to(fd, inet_address("127.0.0.1", 5202)));
	must("connect", connect_to(fd, address));
	observe("disconnect", disconnect(fd));
	observe_name("name", fd);
	int any = tcp_socket();
	must("bind", bind_to(any, inet_address("0.0.0.0", 5203)));
	must("connect", connect_to(any, address));
	observe_name("name", any);
	observe("disconnect", disconnect(any));
	observe_name("name", any);
	int ephemeral = tcp_socket();
	must("bind", bind_to(ephemeral, inet_address("127.0.0.2", 0)));
	must("connect", connect_to(ephemeral, address));
	observe_name("name", ephemeral);
	observe("disconnect", disconnect(ephemeral));
	observe_name("name", ephemeral);
}

CASE(disconnect_listener)
{
	struct sockaddr_in address;
	int listener = tcp_listener(1, &address), client = nonblocking_socket();
	must("connect", connect_to(tcp_socket(), address));
	observe("disconnect", disconnect(listener));
	observe_state("poll", listener);
	observe_int("listens", listener, SOL_SOCKET, SO_ACCEPTCONN);
	observe("accept", accept(listener, NULL, NULL));
	observe("connect", connect_to(client, address));
	observe_poll("poll", client, POLLOUT, -1);
	observe_so_error("error", client);
	observe("listen", listen(listener, 1));
	observe_name("name", listener);
}
