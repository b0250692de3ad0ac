/* Signals of files: which event of what file sends one, and why it says so; SIGURG. */
#define _GNU_SOURCE
#include "descriptors_async.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/un.h>

CASE(signal_of_pipe)
{
	int ends[2];
	char byte;
	must("pipe", pipe(ends));
	asynchronous(ends[0], SIGIO);
	observe_taken("none", SIGIO, ends[0]);
	must("write", write(ends[1], "a", 1));
	observe_taken("written", SIGIO, ends[0]);
	must("write", write(ends[1], "a", 1));
	observe_taken("written-again", SIGIO, ends[0]);
	must("read", read(ends[0], &byte, 1));
	observe_taken("read", SIGIO, ends[0]);
	close(ends[1]);
	observe_taken("closed", SIGIO, ends[0]);
}

CASE(signal_of_pipe_with_details)
{
	int ends[2];
	char byte;
	must("pipe", pipe(ends));
	asynchronous(ends[0], SIGRTMIN);
	must("write", write(ends[1], "a", 1));
	observe_taken("written", SIGRTMIN, ends[0]);
	must("read", read(ends[0], &byte, 1));
	close(ends[1]);
	observe_taken("closed", SIGRTMIN, ends[0]);
}

CASE(signal_of_pipe_writer)
{
	static char page[4096];
	int ends[2];
	must("pipe", pipe(ends));
	asynchronous(ends[1], SIGRTMIN);
	while (write(ends[1], page, sizeof(page)) > 0)
		;
	observe_taken("full", SIGRTMIN, ends[1]);
	must("read", read(ends[0], page, sizeof(page)));
	observe_taken("room", SIGRTMIN, ends[1]);
	close(ends[0]);
	observe_taken("closed", SIGRTMIN, ends[1]);
}

CASE(signal_of_udp)
{
	int pair[2];
	udp_pair(pair);
	asynchronous(pair[0], SIGRTMIN);
	must("write", write(pair[1], "abc", 3));
	observe_taken("arrived", SIGRTMIN, pair[0]);
	must("write", write(pair[1], "abc", 3));
	observe_taken("arrived-again", SIGRTMIN, pair[0]);
	observe_taken("no-more", SIGRTMIN, pair[0]);
}

CASE(signal_of_tcp)
{
	int pair[2];
	tcp_pair(pair);
	asynchronous(pair[0], SIGRTMIN);
	must("write", write(pair[1], "abc", 3));
	observe_taken("arrived", SIGRTMIN, pair[0]);
	must("shutdown", shutdown(pair[1], SHUT_WR));
	observe_taken("peer-shut", SIGRTMIN, pair[0]);
}

CASE(signal_of_unix_stream)
{
	int pair[2];
	unix_pair(SOCK_STREAM, pair);
	asynchronous(pair[0], SIGRTMIN);
	must("write", write(pair[1], "abc", 3));
	observe_taken("arrived", SIGRTMIN, pair[0]);
	close(pair[1]);
	observe_taken("closed", SIGRTMIN, pair[0]);
}

CASE(signal_of_listener)
{
	struct sockaddr_in address;
	int listener = tcp_listener(4, &address);
	asynchronous(listener, SIGRTMIN);
	must("connect", connect_to(tcp_socket(), address));
	observe_taken("connected", SIGRTMIN, listener);
}

CASE(signal_of_connect)
{
	struct sockaddr_in address;
	tcp_listener(4, &address);
	int fd = tcp_socket();
	asynchronous(fd, SIGRTMIN);
	connect_to(fd, address);
	observe_taken("connected", SIGRTMIN, fd);
}

/* The number of the descriptor on which it was asked for is told, a copy or not. */
CASE(signal_of_duplicate)
{
	int ends[2];
	must("pipe", pipe(ends));
	int copy = dup(ends[0]);
	asynchronous(copy, SIGRTMIN);
	close(copy);
	must("write", write(ends[1], "a", 1));
	observe_taken("written", SIGRTMIN, copy);
}

CASE(signal_of_listener_with_two)
{
	struct sockaddr_in address;
	int listener = tcp_listener(4, &address);
	asynchronous(listener, SIGRTMIN);
	must("connect", connect_to(tcp_socket(), address));
	must("connect", connect_to(tcp_socket(), address));
	observe_reasons("connected", SIGRTMIN);
	must("accept", accept(listener, NULL, NULL));
	observe_reasons("accepted", SIGRTMIN);
}

CASE(signal_of_fifo_writer)
{
	char bytes[10];
	int ends[2];
	must("pipe", pipe(ends));
	asynchronous(ends[1], SIGRTMIN);
	must("write", write(ends[1], "abc", 3));
	observe_reasons("own-write", SIGRTMIN);
	must("read", read(ends[0], bytes, 1));
	observe_reasons("read", SIGRTMIN);
	must("F_SETFL", fcntl(ends[0], F_SETFL, O_NONBLOCK));
	must("read", read(ends[0], bytes, sizeof(bytes)));
	observe_reasons("read-all", SIGRTMIN);
	observe("empty", read(ends[0], bytes, sizeof(bytes)));
	observe_reasons("empty", SIGRTMIN);
}

CASE(signal_of_tcp_room)
{
	static char block_bytes[65536];
	int pair[2];
	tcp_pair(pair);
	asynchronous(pair[0], SIGRTMIN);
	set_nonblocking(pair[1]);
	observe_reasons("idle", SIGRTMIN);
	do {
		while (write(pair[0], block_bytes, sizeof(block_bytes)) > 0)
			;
	} while (poll(&(struct pollfd){ .fd = pair[0], .events = POLLOUT }, 1, 100) > 0);
	observe_reasons("full", SIGRTMIN);
	while (poll(&(struct pollfd){ .fd = pair[1], .events = POLLIN }, 1, 100) > 0)
		while (read(pair[1], block_bytes, sizeof(block_bytes)) > 0)
			;
	observe_taken("drained", SIGRTMIN, pair[0]);
}

CASE(signal_of_tcp_ends)
{
	int pair[2];
	tcp_pair(pair);
	asynchronous(pair[0], SIGRTMIN);
	must("shutdown", shutdown(pair[0], SHUT_WR));
	observe_reasons("own-shut", SIGRTMIN);
	must("shutdown", shutdown(pair[1], SHUT_WR));
	observe_reasons("both-shut", SIGRTMIN);
}

CASE(signal_of_tcp_peer_first)
{
	int pair[2];
	tcp_pair(pair);
	asynchronous(pair[0], SIGRTMIN);
	must("shutdown", shutdown(pair[1], SHUT_WR));
	observe_reasons("peer-shut", SIGRTMIN);
	must("shutdown", shutdown(pair[0], SHUT_WR));
	observe_reasons("own-shut", SIGRTMIN);
}

CASE(signal_of_tcp_shut_read)
{
	int pair[2];
	tcp_pair(pair);
	asynchronous(pair[0], SIGRTMIN);
	must("shutdown", shutdown(pair[0], SHUT_RD));
	observe_reasons("own-shut", SIGRTMIN);
	must("write", write(pair[1], "a", 1));
	observe_reasons("data", SIGRTMIN);
	must("shutdown", shutdown(pair[0], SHUT_WR));
	observe_reasons("all-shut", SIGRTMIN);
}

CASE(signal_of_tcp_reset)
{
	struct linger linger = { 1, 0 };
	int pair[2];
	tcp_pair(pair);
	asynchronous(pair[0], SIGRTMIN);
	must("SO_LINGER", setsockopt(pair[1], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
	close(pair[1]);
	observe_taken("reset", SIGRTMIN, pair[0]);
	observe_reasons("more", SIGRTMIN);
	observe_so_error("error", pair[0]);
}

CASE(signal_of_tcp_refused)
{
	struct sockaddr_in address;
	close(tcp_listener(1, &address));
	int fd = tcp_socket();
	asynchronous(fd, SIGRTMIN);
	connect_to(fd, address);
	observe_reasons("refused", SIGRTMIN);
	observe_so_error("error", fd);
}

CASE(signal_of_udp_refused)
{
	int pair[2];
	udp_pair(pair);
	asynchronous(pair[0], SIGRTMIN);
	close(pair[1]);
	must("write", write(pair[0], "abc", 3));
	observe_taken("refused", SIGRTMIN, pair[0]);
	observe_reasons("more", SIGRTMIN);
}

CASE(signal_of_udp_shut)
{
	int pair[2];
	udp_pair(pair);
	asynchronous(pair[0], SIGRTMIN);
	must("shutdown", shutdown(pair[0], SHUT_RDWR));
	observe_reasons("own-shut", SIGRTMIN);
}

CASE(signal_of_unix_shut)
{
	int pair[2];
	unix_pair(SOCK_STREAM, pair);
	asynchronous(pair[0], SIGRTMIN);
	must("shutdown", shutdown(pair[1], SHUT_RD));
	observe_reasons("peer-read", SIGRTMIN);
	must("shutdown", shutdown(pair[1], SHUT_WR));
	observe_reasons("peer-write", SIGRTMIN);
	must("shutdown", shutdown(pair[1], SHUT_RDWR));
	observe_reasons("peer-both", SIGRTMIN);
	must("shutdown", shutdown(pair[0], SHUT_RDWR));
	observe_reasons("own-shut", SIGRTMIN);
}

CASE(signal_of_unix_unread)
{
	int pair[2];
	unix_pair(SOCK_STREAM, pair);
	asynchronous(pair[0], SIGRTMIN);
	must("write", write(pair[0], "abc", 3));
	observe_reasons("written", SIGRTMIN);
	close(pair[1]);
	observe_reasons("closed-unread", SIGRTMIN);
}

CASE(signal_of_unix_room)
{
	static char bytes[4096];
	int pair[2];
	unix_pair(SOCK_STREAM, pair);
	asynchronous(pair[0], SIGRTMIN);
	while (write(pair[0], bytes, sizeof(bytes)) > 0)
		;
	observe_reasons("full", SIGRTMIN);
	must("read", read(pair[1], bytes, sizeof(bytes)));
	observe_reasons("read-little", SIGRTMIN);
	set_nonblocking(pair[1]);
	while (read(pair[1], bytes, sizeof(bytes)) > 0)
		;
	observe_reasons("read-all", SIGRTMIN);
}

CASE(signal_of_unix_datagram)
{
	int pair[2];
	char bytes[8];
	unix_pair(SOCK_DGRAM, pair);
	asynchronous(pair[0], SIGRTMIN);
	must("write", write(pair[1], "abc", 3));
	must("write", write(pair[1], "abc", 3));
	observe_reasons("two", SIGRTMIN);
	must("read", read(pair[0], bytes, sizeof(bytes)));
	observe_reasons("read", SIGRTMIN);
	close(pair[1]);
	observe_reasons("closed", SIGRTMIN);
}

CASE(signal_of_unix_listener)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "listener" };
	int listener = (int)must("socket", socket(AF_UNIX, SOCK_STREAM, 0));
	int client = (int)must("socket", socket(AF_UNIX, SOCK_STREAM, 0));
	must("bind", bind(listener, (struct sockaddr *)&address, sizeof(address)));
	must("listen", listen(listener, 1));
	asynchronous(listener, SIGRTMIN);
	asynchronous(client, SIGRTMIN + 1);
	must("connect", connect(client, (struct sockaddr *)&address, sizeof(address)));
	observe_reasons("listener", SIGRTMIN);
	observe_reasons("client", SIGRTMIN + 1);
	must("accept", accept(listener, NULL, NULL));
	observe_reasons("client-accepted", SIGRTMIN + 1);
}

/* SIGURG goes to the owner without O_ASYNC. */
CASE(urgent_to_owner)
{
	int pair[2];
	tcp_pair(pair);
	own(pair[0]);
	block(SIGURG);
	must("send", send(pair[1], "abc", 3, MSG_OOB));
	observe_taken("urgent", SIGURG, pair[0]);
	must("send", send(pair[1], "d", 1, 0));
	observe_reasons("plain", SIGURG);
	must("send", send(pair[1], "e", 1, MSG_OOB));
	observe_taken("urgent-again", SIGURG, pair[0]);
}

CASE(urgent_without_owner)
{
	int pair[2];
	tcp_pair(pair);
	block(SIGURG);
	must("send", send(pair[1], "abc", 3, MSG_OOB));
	observe_reasons("urgent", SIGURG);
	must("F_SETFL", fcntl(pair[0], F_SETFL, O_ASYNC));
	must("send", send(pair[1], "abc", 3, MSG_OOB));
	observe_reasons("urgent", SIGURG);
}

CASE(urgent_with_async)
{
	int pair[2];
	tcp_pair(pair);
	asynchronous(pair[0], SIGIO);
	block(SIGURG);
	must("send", send(pair[1], "abc", 3, MSG_OOB));
	observe_reasons("sigurg", SIGURG);
	observe_reasons("sigio", SIGIO);
}

CASE(urgent_with_details)
{
	int pair[2];
	tcp_pair(pair);
	asynchronous(pair[0], SIGRTMIN);
	block(SIGURG);
	must("send", send(pair[1], "a", 1, MSG_OOB));
	observe_reasons("sigurg", SIGURG);
	observe_taken("first", SIGRTMIN, pair[0]);
	observe_reasons("more", SIGRTMIN);
}
