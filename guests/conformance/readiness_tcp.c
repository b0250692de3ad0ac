/* TCP and UDP sockets in each of their states: what poll, select and epoll say. */
#define _GNU_SOURCE
#include "readiness.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>

static struct sockaddr_in closed_port(void)
{
	struct sockaddr_in address;
	int listener = tcp_listener(1, &address);
	close(listener);
	return address;
}

static void reset(int fd)
{
	struct linger now = { .l_onoff = 1 };
	must("linger", setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)));
	close(fd);
}

STATE(tcp_unconnected)
{
	return tcp_socket();
}

STATE(tcp_bound)
{
	int fd = tcp_socket();
	must("bind", bind_to(fd, inet_address("127.0.0.1", 0)));
	return fd;
}

STATE(tcp_listening)
{
	return tcp_listener(1, NULL);
}

STATE(tcp_listening_queued)
{
	struct sockaddr_in address;
	int listener = tcp_listener(1, &address);
	must("connect", connect_to(tcp_socket(), address));
	return listener;
}

STATE(tcp_listening_queued_reset)
{
	struct sockaddr_in address;
	int listener = tcp_listener(1, &address), client = tcp_socket();
	must("connect", connect_to(client, address));
	reset(client);
	await(listener, POLLIN);
	return listener;
}

STATE(tcp_listening_shut_read)
{
	int listener = tcp_listener(1, NULL);
	observe("shutdown", shutdown(listener, SHUT_RD));
	return listener;
}

/* The queue is full, so that the SYN gets no answer. */
static int connecting(void)
{
	struct sockaddr_in address;
	tcp_listener(0, &address);
	must("connect", connect_to(tcp_socket(), address));
	int fd = tcp_socket();
	set_nonblocking(fd);
	observe("connect", connect_to(fd, address));
	return fd;
}

STATE(tcp_connecting)
{
	return connecting();
}

STATE(tcp_connecting_shut_write)
{
	int fd = connecting();
	observe("shutdown", shutdown(fd, SHUT_WR));
	return fd;
}

STATE(tcp_connecting_shut_read)
{
	int fd = connecting();
	observe("shutdown", shutdown(fd, SHUT_RD));
	return fd;
}

STATE(tcp_refused)
{
	int fd = tcp_socket();
	set_nonblocking(fd);
	connect_to(fd, closed_port());
	await(fd, POLLOUT);
	return fd;
}

static void take_error(int fd)
{
	int error = -1;
	socklen_t length = sizeof(error);
	must("SO_ERROR", getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length));
	observe_text("SO_ERROR", "%s", error ? strerrorname_np(error) : "0");
}

STATE(tcp_refused_error_taken)
{
	int fd = tcp_socket();
	set_nonblocking(fd);
	connect_to(fd, closed_port());
	await(fd, POLLOUT);
	take_error(fd);
	return fd;
}

STATE(tcp_refused_blocking)
{
	int fd = tcp_socket();
	observe("connect", connect_to(fd, closed_port()));
	return fd;
}

static int tcp_connected(int *peer)
{
	int pair[2];
	tcp_pair(pair);
	*peer = pair[1];
	return pair[0];
}

STATE(tcp_connected_idle)
{
	int peer;
	return tcp_connected(&peer);
}

STATE(tcp_accepted_idle)
{
	int peer;
	tcp_connected(&peer);
	return peer;
}

STATE(tcp_data)
{
	int peer, fd = tcp_connected(&peer);
	must("write", write(peer, "abc", 3));
	await(fd, POLLIN);
	return fd;
}

STATE(tcp_data_below_lowat)
{
	int peer, low = 4, fd = tcp_connected(&peer);
	must("lowat", setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &low, sizeof(low)));
	must("write", write(peer, "abc", 3));
	pause_ms(20);
	return fd;
}

STATE(tcp_data_at_lowat)
{
	int peer, low = 4, fd = tcp_connected(&peer);
	must("lowat", setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &low, sizeof(low)));
	must("write", write(peer, "abcd", 4));
	await(fd, POLLIN);
	return fd;
}

STATE(tcp_write_full)
{
	int peer, fd = tcp_connected(&peer);
	set_nonblocking(fd);
	fill(fd);
	return fd;
}

STATE(tcp_peer_half_closed)
{
	int peer, fd = tcp_connected(&peer);
	must("shutdown", shutdown(peer, SHUT_WR));
	await(fd, POLLIN);
	return fd;
}

STATE(tcp_peer_half_closed_data)
{
	int peer, fd = tcp_connected(&peer);
	must("write", write(peer, "abc", 3));
	must("shutdown", shutdown(peer, SHUT_WR));
	await(fd, POLLRDHUP);
	return fd;
}

STATE(tcp_peer_half_closed_below_lowat)
{
	int peer, low = 4, fd = tcp_connected(&peer);
	must("lowat", setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &low, sizeof(low)));
	must("write", write(peer, "abc", 3));
	must("shutdown", shutdown(peer, SHUT_WR));
	await(fd, POLLRDHUP);
	return fd;
}

STATE(tcp_peer_half_closed_full)
{
	int peer, fd = tcp_connected(&peer);
	set_nonblocking(fd);
	fill(fd);
	must("shutdown", shutdown(peer, SHUT_WR));
	await(fd, POLLIN);
	return fd;
}

STATE(tcp_shut_write)
{
	int peer, fd = tcp_connected(&peer);
	must("shutdown", shutdown(fd, SHUT_WR));
	await(peer, POLLRDHUP);
	return fd;
}

STATE(tcp_shut_read)
{
	int peer, fd = tcp_connected(&peer);
	must("shutdown", shutdown(fd, SHUT_RD));
	return fd;
}

STATE(tcp_shut_both)
{
	int peer, fd = tcp_connected(&peer);
	must("shutdown", shutdown(fd, SHUT_RDWR));
	await(peer, POLLRDHUP);
	return fd;
}

STATE(tcp_shut_read_data)
{
	int peer, fd = tcp_connected(&peer);
	must("shutdown", shutdown(fd, SHUT_RD));
	must("write", write(peer, "abc", 3));
	pause_ms(20);
	return fd;
}

/* CLOSE_WAIT, then we close our side too: LAST_ACK, CLOSE. */
STATE(tcp_both_half_closed)
{
	int peer, fd = tcp_connected(&peer);
	must("shutdown", shutdown(peer, SHUT_WR));
	await(fd, POLLRDHUP);
	must("shutdown", shutdown(fd, SHUT_WR));
	await(peer, POLLRDHUP);
	return fd;
}

/* We close first: FIN_WAIT_2, then TIME_WAIT; the socket itself is closed. */
STATE(tcp_both_half_closed_first)
{
	int peer, fd = tcp_connected(&peer);
	must("shutdown", shutdown(fd, SHUT_WR));
	await(peer, POLLRDHUP);
	must("shutdown", shutdown(peer, SHUT_WR));
	await(fd, POLLIN);
	return fd;
}

STATE(tcp_both_half_closed_data)
{
	int peer, fd = tcp_connected(&peer);
	must("write", write(peer, "abc", 3));
	must("shutdown", shutdown(peer, SHUT_WR));
	await(fd, POLLRDHUP);
	must("shutdown", shutdown(fd, SHUT_WR));
	await(peer, POLLRDHUP);
	return fd;
}

STATE(tcp_peer_closed)
{
	int peer, fd = tcp_connected(&peer);
	close(peer);
	await(fd, POLLRDHUP);
	return fd;
}

STATE(tcp_reset)
{
	int peer, fd = tcp_connected(&peer);
	reset(peer);
	await(fd, POLLRDHUP);
	return fd;
}

STATE(tcp_reset_data)
{
	int peer, fd = tcp_connected(&peer);
	must("write", write(peer, "abc", 3));
	await(fd, POLLIN);
	reset(peer);
	await(fd, POLLRDHUP);
	return fd;
}

STATE(tcp_reset_error_taken)
{
	int peer, fd = tcp_connected(&peer);
	reset(peer);
	await(fd, POLLRDHUP);
	take_error(fd);
	return fd;
}

STATE(tcp_reset_after_half_close)
{
	int peer, fd = tcp_connected(&peer);
	must("shutdown", shutdown(peer, SHUT_WR));
	await(fd, POLLRDHUP);
	reset(peer);
	must("write", write(fd, "abc", 3));
	await(fd, POLLERR);
	return fd;
}

/* The peer closes with unread bytes: it resets. */
STATE(tcp_peer_closed_unread)
{
	int peer, fd = tcp_connected(&peer);
	must("write", write(fd, "abc", 3));
	await(peer, POLLIN);
	close(peer);
	await(fd, POLLRDHUP);
	return fd;
}

STATE(tcp_disconnected)
{
	struct sockaddr_in nobody = { .sin_family = AF_UNSPEC };
	int peer, fd = tcp_connected(&peer);
	observe("connect", connect_to(fd, nobody));
	return fd;
}

STATE(udp_unbound)
{
	return udp_socket();
}

STATE(udp_bound)
{
	int fd = udp_socket();
	must("bind", bind_to(fd, inet_address("127.0.0.1", 0)));
	return fd;
}

STATE(udp_connected)
{
	int pair[2];
	udp_pair(pair);
	return pair[0];
}

STATE(udp_data)
{
	int pair[2];
	udp_pair(pair);
	must("write", write(pair[1], "abc", 3));
	await(pair[0], POLLIN);
	return pair[0];
}

STATE(udp_empty_datagram)
{
	int pair[2];
	udp_pair(pair);
	must("send", send(pair[1], "", 0, 0));
	await(pair[0], POLLIN);
	return pair[0];
}

STATE(udp_peer_closed)
{
	int pair[2];
	udp_pair(pair);
	close(pair[1]);
	return pair[0];
}

STATE(udp_refused)
{
	int pair[2];
	udp_pair(pair);
	close(pair[1]);
	must("write", write(pair[0], "abc", 3));
	await(pair[0], POLLERR);
	return pair[0];
}

STATE(udp_refused_error_taken)
{
	int pair[2];
	udp_pair(pair);
	close(pair[1]);
	must("write", write(pair[0], "abc", 3));
	await(pair[0], POLLERR);
	take_error(pair[0]);
	return pair[0];
}

STATE(udp_shut_read)
{
	int pair[2];
	udp_pair(pair);
	must("shutdown", shutdown(pair[0], SHUT_RD));
	return pair[0];
}

STATE(udp_shut_write)
{
	int pair[2];
	udp_pair(pair);
	must("shutdown", shutdown(pair[0], SHUT_WR));
	return pair[0];
}

STATE(udp_shut_both)
{
	int pair[2];
	udp_pair(pair);
	must("shutdown", shutdown(pair[0], SHUT_RDWR));
	return pair[0];
}
