/* listen and accept: flags, addresses, what is inherited, waiting, and ends of listeners. */
#define _GNU_SOURCE
#include "conform.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

static void *volatile bad_pointer = (void *)16; /* nothing is mapped there */

static int client_of(struct sockaddr_in address)
{
	int fd = tcp_socket();
	must("connect", connect_to(fd, address));
	return fd;
}

static void observe_flags(const char *label, int fd)
{
	int status = fcntl(fd, F_GETFL), descriptor = fcntl(fd, F_GETFD);
	observe_text(label, "%s%s%s", (status & O_ACCMODE) == O_RDWR ? "RDWR" : "other",
	             status & O_NONBLOCK ? "|NONBLOCK" : "",
	             descriptor & FD_CLOEXEC ? "|CLOEXEC" : "");
}

CASE(socket_flags)
{
	observe_flags("plain", socket(AF_INET, SOCK_STREAM, 0));
	observe_flags("nonblock", socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
	observe_flags("cloexec", socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
	observe_flags("both", socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

CASE(accept4_flags)
{
	struct sockaddr_in address;
	int listener = tcp_listener(8, &address);
	static const int flags[] = { 0, SOCK_NONBLOCK, SOCK_CLOEXEC, SOCK_NONBLOCK | SOCK_CLOEXEC };
	for (int i = 0; i < 4; i++) {
		client_of(address);
		observe_flags("accept4", accept4(listener, NULL, NULL, flags[i]));
	}
	client_of(address);
	observe_flags("accept", accept(listener, NULL, NULL));
	client_of(address);
	observe("bad", accept4(listener, NULL, NULL, 1));
	observe("append", accept4(listener, NULL, NULL, O_APPEND));
	observe_flags("after", accept4(listener, NULL, NULL, SOCK_NONBLOCK));
}

CASE(nonblocking_listener_is_not_inherited)
{
	struct sockaddr_in address;
	int listener = tcp_listener(8, &address);
	set_nonblocking(listener);
	fcntl(listener, F_SETFD, FD_CLOEXEC);
	observe("empty", accept(listener, NULL, NULL));
	client_of(address);
	observe_poll("poll", listener, POLLIN, -1);
	observe_flags("accept", accept(listener, NULL, NULL));
}

CASE(addresses)
{
	struct sockaddr_in address, peer = { 0 };
	int listener = tcp_listener(8, &address);
	socklen_t length = sizeof(peer);
	client_of(address);
	observe_address("accept", accept(listener, (struct sockaddr *)&peer, &length), &peer,
	                length);
	int client = tcp_socket();
	must("bind", bind_to(client, inet_address("127.0.0.1", 5301)));
	must("connect", connect_to(client, address));
	length = sizeof(peer);
	int fd = accept(listener, (struct sockaddr *)&peer, &length);
	observe_address("bound", fd, &peer, length);
	observe_name("name", fd);
	observe_peer("peer", fd);
}

CASE(bad_addresses)
{
	struct sockaddr_in address, peer = { 0 };
	int listener = tcp_listener(8, &address);
	struct sockaddr *name = (struct sockaddr *)&peer;
	socklen_t length = 4, negative = (socklen_t)-1;
	client_of(address);
	observe_fd("short", accept(listener, name, &length));
	observe("length", length);
	observe("family", peer.sin_family);
	client_of(address);
	observe("negative", accept(listener, name, &negative));
	client_of(address);
	observe("no-length", accept(listener, name, NULL));
	client_of(address);
	length = sizeof(peer);
	observe("bad-name", accept(listener, bad_pointer, &length));
	client_of(address);
	observe("bad-length", accept(listener, name, bad_pointer));
	observe_poll("poll", listener, POLLIN, 0);
	client_of(address);
	observe_fd("length-only", accept(listener, NULL, bad_pointer));
}

CASE(bad_sockets)
{
	int pair[2];
	tcp_pair(pair);
	observe("fd", accept(-1, NULL, NULL));
	observe("no-socket", accept(STDOUT_FILENO, NULL, NULL));
	observe("fresh", accept(tcp_socket(), NULL, NULL));
	observe("connected", accept(pair[0], NULL, NULL));
	observe("udp", accept(udp_socket(), NULL, NULL));
	observe("listen-fd", listen(-1, 1));
	observe("listen-no-socket", listen(STDOUT_FILENO, 1));
	observe("listen-connected", listen(pair[0], 1));
	observe("listen-udp", listen(udp_socket(), 1));
}

CASE(inherited_options)
{
	struct sockaddr_in address;
	int listener = tcp_listener(8, &address);
	struct linger linger = { 1, 7 };
	set_int(listener, SOL_SOCKET, SO_KEEPALIVE, 1);
	set_int(listener, SOL_SOCKET, SO_REUSEADDR, 1);
	set_int(listener, SOL_SOCKET, SO_OOBINLINE, 1);
	set_int(listener, SOL_SOCKET, SO_RCVLOWAT, 3);
	set_int(listener, SOL_SOCKET, SO_PRIORITY, 4);
	set_int(listener, SOL_SOCKET, SO_RCVBUF, 20000);
	set_int(listener, SOL_SOCKET, SO_SNDBUF, 30000);
	set_int(listener, IPPROTO_TCP, TCP_NODELAY, 1);
	set_int(listener, IPPROTO_TCP, TCP_CORK, 1);
	set_int(listener, IPPROTO_TCP, TCP_KEEPIDLE, 100);
	set_int(listener, IPPROTO_TCP, TCP_KEEPINTVL, 101);
	set_int(listener, IPPROTO_TCP, TCP_KEEPCNT, 9);
	set_int(listener, IPPROTO_TCP, TCP_SYNCNT, 3);
	set_int(listener, IPPROTO_TCP, TCP_LINGER2, 11);
	set_int(listener, IPPROTO_TCP, TCP_USER_TIMEOUT, 12345);
	set_int(listener, IPPROTO_TCP, TCP_NOTSENT_LOWAT, 5000);
	set_int(listener, IPPROTO_IP, IP_TOS, 0x10);
	set_int(listener, IPPROTO_IP, IP_TTL, 33);
	setsockopt(listener, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	set_timeout(listener, SO_RCVTIMEO, 1500);
	client_of(address);
	int fd = observe_fd("accept", accept(listener, NULL, NULL));
	observe_int("keepalive", fd, SOL_SOCKET, SO_KEEPALIVE);
	observe_int("reuse", fd, SOL_SOCKET, SO_REUSEADDR);
	observe_int("inline", fd, SOL_SOCKET, SO_OOBINLINE);
	observe_int("lowat", fd, SOL_SOCKET, SO_RCVLOWAT);
	observe_int("priority", fd, SOL_SOCKET, SO_PRIORITY);
	observe_int("rcvbuf", fd, SOL_SOCKET, SO_RCVBUF);
	observe_int("sndbuf", fd, SOL_SOCKET, SO_SNDBUF);
	observe_int("nodelay", fd, IPPROTO_TCP, TCP_NODELAY);
	observe_int("cork", fd, IPPROTO_TCP, TCP_CORK);
	observe_int("keepidle", fd, IPPROTO_TCP, TCP_KEEPIDLE);
	observe_int("keepintvl", fd, IPPROTO_TCP, TCP_KEEPINTVL);
	observe_int("keepcnt", fd, IPPROTO_TCP, TCP_KEEPCNT);
	observe_int("syncnt", fd, IPPROTO_TCP, TCP_SYNCNT);
	observe_int("linger2", fd, IPPROTO_TCP, TCP_LINGER2);
	observe_int("user-timeout", fd, IPPROTO_TCP, TCP_USER_TIMEOUT);
	observe_int("notsent", fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT);
	observe_int("tos", fd, IPPROTO_IP, IP_TOS);
	observe_int("ttl", fd, IPPROTO_IP, IP_TTL);
	observe_int("acceptconn", fd, SOL_SOCKET, SO_ACCEPTCONN);
	struct timeval time;
	socklen_t length = sizeof(linger);
	getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &length);
	observe_text("linger", "%d,%d", linger.l_onoff, linger.l_linger);
	length = sizeof(time);
	getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, &length);
	observe_text("rcvtimeo", "%ld.%06ld", (long)time.tv_sec, (long)time.tv_usec);
}

CASE(receive_timeout)
{
	int listener = tcp_listener(1, NULL);
	set_timeout(listener, SO_RCVTIMEO, 100);
	long start = now_ms();
	observe("accept", accept(listener, NULL, NULL));
	observe_waited("waited", start, 90, 900);
	set_timeout(listener, SO_RCVTIMEO, 5000);
	interrupt_after(100, SA_RESTART);
	start = now_ms();
	observe("interrupted", accept(listener, NULL, NULL));
	observe_waited("waited", start, 50, 3000);
}

CASE(interrupted)
{
	int listener = tcp_listener(1, NULL);
	interrupt_after(100, 0);
	observe("accept", accept(listener, NULL, NULL));
}

CASE(interrupted_and_restarted)
{
	struct sockaddr_in address;
	int listener = tcp_listener(1, &address);
	if (fork() == 0) {
		pause_ms(300);
		client_of(address);
		pause();
	}
	interrupt_after(100, SA_RESTART);
	observe_fd("accept", accept(listener, NULL, NULL));
}

CASE(of_a_connection_that_was_reset)
{
	char byte;
	struct sockaddr_in address, peer = { 0 };
	socklen_t length = sizeof(peer);
	int listener = tcp_listener(1, &address), client = client_of(address);
	struct linger abort = { 1, 0 };
	setsockopt(client, SOL_SOCKET, SO_LINGER, &abort, sizeof(abort));
	close(client);
	observe_poll("poll", listener, POLLIN, -1);
	int fd = accept(listener, (struct sockaddr *)&peer, &length);
	observe_address("accept", fd, &peer, length);
	observe_peer("peer", fd);
	observe_poll("poll", fd, POLLIN | POLLOUT | POLLRDHUP, -1);
	observe("recv", recv(fd, &byte, 1, 0));
	observe("recv", recv(fd, &byte, 1, 0));
	observe("send", send(fd, "x", 1, MSG_NOSIGNAL));
}

CASE(of_a_connection_that_was_closed)
{
	char bytes[8];
	struct sockaddr_in address;
	int listener = tcp_listener(1, &address), client = client_of(address);
	observe("send", send(client, "early", 5, 0));
	close(client);
	int fd = observe_fd("accept", accept(listener, NULL, NULL));
	observe_poll("closed", fd, POLLRDHUP, -1);
	observe_poll("poll", fd, POLLIN | POLLOUT | POLLRDHUP, -1);
	observe_bytes("recv", recv(fd, bytes, sizeof(bytes), 0), bytes);
	observe("recv", recv(fd, bytes, sizeof(bytes), 0));
	observe_peer("peer", fd);
}

CASE(close_with_queued_connections)
{
	char byte;
	struct sockaddr_in address;
	int listener = tcp_listener(4, &address);
	int first = client_of(address), second = client_of(address);
	observe("send", send(second, "x", 1, 0));
	observe("close", close(listener));
	observe_poll("first", first, POLLIN | POLLOUT | POLLRDHUP, -1);
	observe("recv", recv(first, &byte, 1, 0));
	observe_poll("second", second, POLLIN | POLLOUT | POLLRDHUP, -1);
	observe_so_error("error", second);
	observe("connect", connect_to(tcp_socket(), address));
}

CASE(shutdown_with_queued_connections)
{
	char byte;
	struct sockaddr_in address;
	int listener = tcp_listener(4, &address), client = client_of(address);
	observe("write", shutdown(listener, SHUT_WR));
	observe_poll("poll", listener, POLLIN | POLLOUT | POLLRDHUP, 0);
	observe("read", shutdown(listener, SHUT_RD));
	observe_poll("poll", listener, POLLIN | POLLOUT | POLLRDHUP, 0);
	observe_poll("client", client, POLLIN | POLLOUT | POLLRDHUP, -1);
	observe("recv", recv(client, &byte, 1, 0));
	observe("accept", accept(listener, NULL, NULL));
	observe("again", shutdown(listener, SHUT_RD));
	observe("connect", connect_to(tcp_socket(), address));
	observe_name("name", listener);
	observe("listen", listen(listener, 1));
	observe_name("name", listener);
}

CASE(shutdown_wakes_accept)
{
	int listener = tcp_listener(4, NULL);
	if (fork() == 0) {
		pause_ms(200);
		shutdown(listener, SHUT_RDWR);
		pause();
	}
	observe("accept", accept(listener, NULL, NULL));
}

CASE(close_does_not_wake_accept)
{
	struct sockaddr_in address;
	int listener = tcp_listener(4, &address);
	pid_t child = fork();
	if (child == 0) {
		close(listener);
		pause_ms(200);
		client_of(address);
		pause();
	}
	observe_fd("accept", accept(listener, NULL, NULL));
}

/* One connection wakes one of two tasks, the next the other. */
CASE(two_tasks_blocked)
{
	struct sockaddr_in address;
	int listener = tcp_listener(4, &address), done[2];
	char byte;
	must("pipe", pipe(done));
	for (int i = 0; i < 2; i++) {
		if (fork() == 0) {
			int fd = accept(listener, NULL, NULL);
			must("write", write(done[1], fd >= 0 ? "a" : "e", 1));
			pause();
		}
	}
	pause_ms(200);
	client_of(address);
	observe("read", read(done[0], &byte, 1));
	observe_text("accepted", "%c", byte);
	observe_poll("other", done[0], POLLIN, 200);
	client_of(address);
	observe("read", read(done[0], &byte, 1));
	observe_text("accepted", "%c", byte);
}

CASE(two_tasks_one_nonblocking)
{
	struct sockaddr_in address;
	int listener = tcp_listener(4, &address), done[2];
	must("pipe", pipe(done));
	if (fork() == 0) {
		int fd = accept(listener, NULL, NULL);
		observe_fd("child", fd);
		must("write", write(done[1], "x", 1));
		pause();
	}
	pause_ms(200);
	observe_poll("poll", listener, POLLIN, 0);
	client_of(address);
	char byte;
	must("read", read(done[0], &byte, 1));
	set_nonblocking(listener);
	observe("parent", accept(listener, NULL, NULL));
}

CASE(order)
{
	struct sockaddr_in address, peer;
	int listener = tcp_listener(8, &address);
	for (int i = 0; i < 4; i++) {
		int fd = tcp_socket();
		must("bind", bind_to(fd, inet_address("127.0.0.1", 5310 + i)));
		must("connect", connect_to(fd, address));
	}
	for (int i = 0; i < 4; i++) {
		socklen_t length = sizeof(peer);
		int fd = accept(listener, (struct sockaddr *)&peer, &length);
		observe_address("accept", fd, &peer, length);
	}
}

CASE(too_many_descriptors)
{
	struct sockaddr_in address;
	int listener = tcp_listener(4, &address), last = -1, fd;
	client_of(address);
	while ((fd = dup(listener)) >= 0)
		last = fd;
	observe("dup", -1);
	observe("accept", accept(listener, NULL, NULL));
	observe_poll("poll", listener, POLLIN, -1);
	close(last);
	observe_fd("accept", accept(listener, NULL, NULL));
}

CASE(readiness_of_a_listener)
{
	struct sockaddr_in address;
	char byte;
	int listener = tcp_listener(4, &address);
	int all = POLLIN | POLLOUT | POLLPRI | POLLRDHUP;
	observe_poll("empty", listener, all, 0);
	client_of(address);
	observe_poll("one", listener, all, -1);
	observe("recv", recv(listener, &byte, 1, 0));
	observe("read", read(listener, &byte, 1));
	observe("send", send(listener, "x", 1, MSG_NOSIGNAL));
	observe("send-nothing", send(listener, "x", 0, MSG_NOSIGNAL));
	observe_peer("peer", listener);
	observe_so_error("error", listener);
	observe_int("acceptconn", listener, SOL_SOCKET, SO_ACCEPTCONN);
	observe_fd("accept", accept(listener, NULL, NULL));
	observe_poll("empty", listener, all, 0);
}
