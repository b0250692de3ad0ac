/* How TCP connections end: shutdown, close, reset, and the errors that follow. */
#define _GNU_SOURCE
#include "ending.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

static char large[1 << 20];

/* ---- shutdown in every state ---- */

static void try_shutdown(int fd, int how)
{
	static const char *const names[] = { "rd", "wr", "rdwr" };
	observe(names[how], shutdown(fd, how));
}

CASE(shutdown_unconnected)
{
	for (int how = 0; how < 3; how++) {
		int fd = tcp_socket();
		try_shutdown(fd, how);
		observe_state(fd);
	}
	observe("how", shutdown(tcp_socket(), 3));
	observe("fd", shutdown(-1, SHUT_RD));
	observe("file", shutdown(0, SHUT_RD));
}

CASE(shutdown_bound)
{
	int fd = tcp_socket();
	must("bind", bind_to(fd, inet_address("127.0.0.1", 0)));
	for (int how = 0; how < 3; how++)
		try_shutdown(fd, how);
	observe("listen", listen(fd, 1));
}

CASE(shutdown_listener_wr)
{
	struct sockaddr_in address;
	int fd = tcp_listener(1, &address);
	try_shutdown(fd, SHUT_WR);
	observe_poll("poll", fd, POLLIN | POLLOUT | POLLRDHUP, 0);
	observe("connect", connect_to(tcp_socket(), address));
	observe("accept", accept(fd, NULL, NULL) >= 0);
}

CASE(shutdown_listener_rd)
{
	for (int how = 0; how < 3; how += 2) {
		struct sockaddr_in address;
		int fd = tcp_listener(1, &address), queued = tcp_socket();
		must("connect", connect_to(queued, address));
		try_shutdown(fd, how);
		observe_poll("poll", fd, POLLIN | POLLOUT | POLLRDHUP, 0);
		observe("accept", accept(fd, NULL, NULL));
		observe("connect", connect_to(tcp_socket(), address));
		wait_for(queued, POLLIN);
		observe_state(queued);
		observe_name("name", fd);
		observe("again", shutdown(fd, how));
		observe("listen", listen(fd, 1));
		observe("connect", connect_to(tcp_socket(), address));
	}
}

CASE(shutdown_wakes_accept)
{
	int fd = tcp_listener(1, NULL);
	pid_t child = (pid_t)must("fork", fork());
	if (!child) {
		pause_ms(50);
		shutdown(fd, SHUT_RDWR);
		_exit(0);
	}
	observe("accept", accept(fd, NULL, NULL));
	must("wait", waitpid(child, NULL, 0));
}

CASE(shutdown_wakes_recv)
{
	int pair[2];
	char byte;
	for (int how = 0; how < 3; how += 2) {
		tcp_pair(pair);
		pid_t child = (pid_t)must("fork", fork());
		if (!child) {
			pause_ms(50);
			shutdown(pair[0], how);
			_exit(0);
		}
		observe("recv", recv(pair[0], &byte, 1, 0));
		must("wait", waitpid(child, NULL, 0));
	}
}

CASE(shutdown_wakes_send)
{
	int pair[2];
	tcp_pair(pair);
	signal(SIGPIPE, SIG_IGN);
	pid_t child = (pid_t)must("fork", fork());
	if (!child) {
		pause_ms(200);
		shutdown(pair[0], SHUT_WR);
		_exit(0);
	}
	ssize_t result;
	while ((result = send(pair[0], large, sizeof(large), 0)) == (ssize_t)sizeof(large))
		;
	observe_text("partial", "%s", result > 0 ? "some" : "error");
	observe("send", send(pair[0], "x", 1, 0));
	must("wait", waitpid(child, NULL, 0));
}

CASE(shutdown_syn_sent)
{
	struct sockaddr_in full; /* whose queue takes no more */
	int listener = tcp_listener(0, &full);
	must("connect", connect_to(tcp_socket(), full));
	wait_for(listener, POLLIN);
	for (int how = 0; how < 3; how++) {
		int fd = tcp_socket();
		fcntl(fd, F_SETFL, O_NONBLOCK);
		observe("connect", connect_to(fd, full));
		try_shutdown(fd, how);
		observe_poll("poll", fd, POLLIN | POLLOUT | POLLRDHUP, 0);
		observe_error(fd);
		close(fd);
	}
}

CASE(shutdown_twice)
{
	int pair[2];
	tcp_pair(pair);
	for (int how = 0; how < 3; how++) {
		try_shutdown(pair[0], how);
		try_shutdown(pair[0], how);
	}
	observe_state(pair[0]);
}

CASE(shutdown_after_reset)
{
	int pair[2];
	for (int how = 0; how < 3; how++) {
		tcp_pair(pair);
		end(pair, CLOSE_LINGER_0);
		try_shutdown(pair[1], how);
		observe_state(pair[1]);
		try_shutdown(pair[1], how);
	}
}

CASE(shutdown_after_both_fins)
{
	int pair[2];
	tcp_pair(pair);
	end(pair, SHUT_WRITE);
	must("shutdown", shutdown(pair[1], SHUT_WR));
	wait_for(pair[0], POLLRDHUP);
	for (int how = 0; how < 3; how++)
		try_shutdown(pair[0], how);
	pause_ms(20);
	for (int how = 0; how < 3; how++)
		try_shutdown(pair[1], how);
}

CASE(shutdown_rd_then_data)
{
	int pair[2];
	tcp_pair(pair);
	must("send", send(pair[1], "before", 6, 0));
	wait_for(pair[0], POLLIN);
	try_shutdown(pair[0], SHUT_RD);
	observe_state(pair[0]);
	observe("send", send(pair[1], "after", 5, MSG_NOSIGNAL));
	pause_ms(20);
	observe_state(pair[0]);
	observe_state(pair[1]);
}

CASE(shutdown_udp)
{
	int pair[2];
	char byte;
	for (int how = 0; how < 3; how++) {
		udp_pair(pair);
		try_shutdown(pair[0], how);
		observe_state(pair[0]);
		observe("from-peer", send(pair[1], "y", 1, 0));
		observe("received", recv(pair[0], &byte, 1, MSG_DONTWAIT));
	}
	for (int how = 0; how < 3; how++) {
		int fd = udp_socket();
		try_shutdown(fd, how);
		observe_poll("poll", fd, POLLIN | POLLOUT | POLLRDHUP, 0);
	}
}

/* ---- what the other end sees ---- */

#define SEEN_CASE(name, how)                                                                       \
	CASE(name)                                                                                 \
	{                                                                                          \
		int pair[2];                                                                       \
		tcp_pair(pair);                                                                    \
		end(pair, how);                                                                    \
		observe_state(pair[1]);                                                            \
		pause_ms(30);                                                                      \
		observe_state(pair[1]);                                                            \
		observe_peer("peer", pair[1]);                                                     \
	}

SEEN_CASE(seen_shut_rd, SHUT_READ)
SEEN_CASE(seen_shut_wr, SHUT_WRITE)
SEEN_CASE(seen_shut_rdwr, SHUT_BOTH)
SEEN_CASE(seen_close, CLOSE)
SEEN_CASE(seen_close_unread, CLOSE_UNREAD)
SEEN_CASE(seen_linger_0, CLOSE_LINGER_0)

/* The same with data on its way to the end that sees it. */
CASE(seen_after_data)
{
	for (enum ending how = 0; how < ENDINGS; how++) {
		int pair[2];
		tcp_pair(pair);
		must("send", send(pair[0], "data", 4, 0));
		wait_for(pair[1], POLLIN);
		end(pair, how);
		observe_text(ending_names[how], "%s", "");
		observe_state(pair[1]);
	}
}

CASE(error_order_so_error_first)
{
	int pair[2];
	tcp_pair(pair);
	end(pair, CLOSE_LINGER_0);
	observe_error(pair[1]);
	observe_error(pair[1]);
	observe_state(pair[1]);
}

CASE(error_order_send_first)
{
	int pair[2];
	char byte;
	tcp_pair(pair);
	end(pair, CLOSE_LINGER_0);
	observe("send", send(pair[1], "x", 1, MSG_NOSIGNAL));
	observe("send", send(pair[1], "x", 1, MSG_NOSIGNAL));
	observe("recv", recv(pair[1], &byte, 1, 0));
	observe_error(pair[1]);
}

CASE(error_order_recv_first)
{
	int pair[2];
	char byte;
	tcp_pair(pair);
	end(pair, CLOSE_LINGER_0);
	observe("recv", recv(pair[1], &byte, 1, 0));
	observe("recv", recv(pair[1], &byte, 1, 0));
	observe("send", send(pair[1], "x", 1, MSG_NOSIGNAL));
	observe("recv", recv(pair[1], &byte, 1, 0));
	observe_error(pair[1]);
}

/* Data sent into a closed connection is answered by a reset: EPIPE, since the FIN came first. */
CASE(error_after_fin)
{
	int pair[2];
	char byte;
	tcp_pair(pair);
	end(pair, CLOSE);
	observe("send", send(pair[1], "x", 1, MSG_NOSIGNAL));
	wait_for(pair[1], POLLHUP);
	observe_error(pair[1]);
	observe("send", send(pair[1], "x", 1, MSG_NOSIGNAL));
	observe("recv", recv(pair[1], &byte, 1, 0));
	tcp_pair(pair);
	end(pair, CLOSE);
	observe("send", send(pair[1], "x", 1, MSG_NOSIGNAL));
	wait_for(pair[1], POLLHUP);
	observe("recv", recv(pair[1], &byte, 1, 0));
	observe("recv", recv(pair[1], &byte, 1, 0));
	observe("send", send(pair[1], "x", 1, MSG_NOSIGNAL));
}

CASE(error_with_unread_data)
{
	int pair[2];
	tcp_pair(pair);
	must("send", send(pair[0], "kept?", 5, 0));
	wait_for(pair[1], POLLIN);
	end(pair, CLOSE_LINGER_0);
	observe_state(pair[1]);
}

CASE(connect_after_end)
{
	struct sockaddr_in address;
	tcp_listener(5, &address);
	for (enum ending how = CLOSE; how < ENDINGS; how++) {
		int pair[2];
		tcp_pair(pair);
		end(pair, how);
		observe("connect", connect_to(pair[1], address));
		observe("listen", listen(pair[1], 1));
	}
	int pair[2];
	tcp_pair(pair);
	must("shutdown", shutdown(pair[0], SHUT_RDWR));
	close(pair[1]);
	wait_for(pair[0], POLLHUP);
	pause_ms(20);
	observe("connect", connect_to(pair[0], address));
}

CASE(disconnect)
{
	struct sockaddr_in nobody = { .sin_family = AF_UNSPEC }, address;
	tcp_listener(5, &address);
	int pair[2];
	tcp_pair(pair);
	must("send", send(pair[0], "abc", 3, 0));
	observe("unspec", connect_to(pair[0], nobody));
	observe_name("name", pair[0]);
	observe_peer("peer", pair[0]);
	wait_for(pair[1], POLLRDHUP);
	observe_state(pair[1]);
	observe_state(pair[0]);
	observe("connect", connect_to(pair[0], address));
	observe("send", send(pair[0], "x", 1, MSG_NOSIGNAL));
}

/* ---- half-close, linger ---- */

CASE_SECONDS(half_close_large_response, 30)
{
	int pair[2];
	char bytes[65536];
	tcp_pair(pair);
	pid_t child = (pid_t)must("fork", fork());
	if (!child) {
		close(pair[0]);
		while (recv(pair[1], bytes, sizeof(bytes), 0) > 0)
			;
		for (int i = 0; i < 8; i++)
			must("send", send(pair[1], large, sizeof(large), 0));
		_exit(0);
	}
	close(pair[1]);
	must("send", send(pair[0], "request", 7, 0));
	must("shutdown", shutdown(pair[0], SHUT_WR));
	long total = 0;
	ssize_t result;
	while ((result = recv(pair[0], bytes, sizeof(bytes), 0)) > 0)
		total += result;
	observe("end", result);
	observe("total", total);
	observe("send", send(pair[0], "x", 1, MSG_NOSIGNAL));
	must("wait", waitpid(child, NULL, 0));
}

CASE(close_sends_what_is_queued)
{
	int pair[2];
	char bytes[65536];
	tcp_pair(pair);
	fcntl(pair[0], F_SETFL, O_NONBLOCK);
	long queued = 0, total = 0;
	ssize_t result;
	while ((result = send(pair[0], large, sizeof(large), 0)) > 0)
		queued += result;
	close(pair[0]);
	while ((result = recv(pair[1], bytes, sizeof(bytes), 0)) > 0)
		total += result;
	observe("end", result);
	observe("all", total == queued);
}

CASE(linger_discards)
{
	int pair[2];
	char bytes[65536];
	struct linger linger = { 1, 0 };
	tcp_pair(pair);
	fcntl(pair[0], F_SETFL, O_NONBLOCK);
	while (send(pair[0], large, sizeof(large), 0) > 0)
		;
	must("linger", setsockopt(pair[0], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
	observe("close", close(pair[0]));
	wait_for(pair[1], POLLHUP);
	ssize_t result;
	while ((result = recv(pair[1], bytes, sizeof(bytes), 0)) > 0)
		;
	observe("end", result);
}

static void fill(int fd)
{
	while (send(fd, large, sizeof(large), MSG_DONTWAIT) > 0)
		;
}

CASE(linger_waits)
{
	int pair[2];
	struct linger linger = { 1, 1 };
	tcp_pair(pair);
	fill(pair[0]);
	must("linger", setsockopt(pair[0], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
	long start = now_ms();
	observe("close", close(pair[0]));
	observe_waited("waited", start, 900, 4000);
}

CASE(linger_ends_when_sent)
{
	int pair[2];
	char bytes[65536];
	struct linger linger = { 1, 8 };
	tcp_pair(pair);
	fill(pair[0]);
	must("linger", setsockopt(pair[0], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
	pid_t child = (pid_t)must("fork", fork());
	if (!child) {
		close(pair[0]);
		pause_ms(200);
		while (recv(pair[1], bytes, sizeof(bytes), 0) > 0)
			;
		_exit(0);
	}
	close(pair[1]);
	long start = now_ms();
	observe("close", close(pair[0]));
	observe_waited("waited", start, 0, 6000);
	must("wait", waitpid(child, NULL, 0));
}

CASE(linger_nonblocking)
{
	int pair[2];
	struct linger linger = { 1, 5 };
	tcp_pair(pair);
	fill(pair[0]);
	must("linger", setsockopt(pair[0], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
	fcntl(pair[0], F_SETFL, O_NONBLOCK);
	long start = now_ms();
	observe("close", close(pair[0]));
	observe_waited("waited", start, 4900, 9000);
}

CASE(linger_interrupted)
{
	int pair[2];
	struct linger linger = { 1, 8 };
	tcp_pair(pair);
	fill(pair[0]);
	must("linger", setsockopt(pair[0], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
	interrupt_after(200, 0);
	long start = now_ms();
	observe("close", close(pair[0]));
	observe_waited("waited", start, 100, 4000);
}

CASE(linger_of_a_duplicate)
{
	int pair[2];
	struct linger linger = { 1, 8 };
	tcp_pair(pair);
	fill(pair[0]);
	must("linger", setsockopt(pair[0], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
	must("dup", dup(pair[0]));
	long start = now_ms();
	observe("close", close(pair[0]));
	observe_waited("waited", start, 0, 2000);
}

CASE(linger_at_exit)
{
	int pair[2];
	struct linger linger = { 1, 8 };
	tcp_pair(pair);
	fill(pair[0]);
	must("linger", setsockopt(pair[0], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
	pid_t child = (pid_t)must("fork", fork());
	if (!child)
		pause_ms(60000);
	close(pair[0]);
	long start = now_ms();
	must("kill", kill(child, SIGKILL));
	must("wait", waitpid(child, NULL, 0));
	observe_waited("waited", start, 0, 3000);
}

CASE(linger_by_shutdown)
{
	int pair[2];
	struct linger linger = { 1, 8 };
	tcp_pair(pair);
	fill(pair[0]);
	must("linger", setsockopt(pair[0], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
	long start = now_ms();
	observe("shutdown", shutdown(pair[0], SHUT_WR));
	observe_waited("waited", start, 0, 2000);
}

CASE(linger_of_others)
{
	int pair[2], kinds[] = { SOCK_STREAM, SOCK_DGRAM };
	struct linger linger = { 1, 5 };
	for (int i = 0; i < 2; i++) {
		unix_pair(kinds[i], pair);
		must("send", send(pair[0], "x", 1, 0));
		must("linger", setsockopt(pair[0], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
		long start = now_ms();
		observe("close", close(pair[0]));
		observe_waited("waited", start, 0, 2000);
	}
	int listener = tcp_listener(1, NULL);
	must("linger", setsockopt(listener, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
	long start = now_ms();
	observe("listener", close(listener));
	observe_waited("waited", start, 0, 2000);
}

CASE(linger_2)
{
	int pair[2], value = -1;
	tcp_pair(pair);
	must("linger2", setsockopt(pair[0], IPPROTO_TCP, 8, &value, sizeof(value)));
	must("close", close(pair[0]));
	wait_for(pair[1], POLLRDHUP);
	observe("send", send(pair[1], "x", 1, MSG_NOSIGNAL));
	wait_for(pair[1], POLLHUP);
	observe_error(pair[1]);
}

CASE(urgent_at_the_end)
{
	int pair[2];
	char byte;
	tcp_pair(pair);
	end(pair, CLOSE);
	observe("oob", recv(pair[1], &byte, 1, MSG_OOB));
	observe("atmark", ioctl(pair[1], SIOCATMARK, &(int){ 0 }));
	observe("peek", recv(pair[1], &byte, 1, MSG_PEEK));
	observe("inq", ioctl(pair[1], SIOCINQ, &(int){ 0 }));
}

CASE(epoll_sees_the_end)
{
	for (enum ending how = 0; how < ENDINGS; how++) {
		int pair[2], epoll = (int)must("epoll", epoll_create1(0));
		struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET };
		tcp_pair(pair);
		must("add", epoll_ctl(epoll, EPOLL_CTL_ADD, pair[1], &event));
		must("wait", epoll_wait(epoll, &event, 1, 0));
		end(pair, how);
		int count = epoll_wait(epoll, &event, 1, 0);
		observe(ending_names[how], count);
		observe_events("events", count == 1 ? event.events : 0);
	}
}
