/* AF_UNIX sockets in each of their states: what poll, select and epoll say. */
#define _GNU_SOURCE
#include "readiness.h"

#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/un.h>

static struct sockaddr_un path_address(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
	return address;
}

static int bound(int type, const char *path)
{
	struct sockaddr_un address = path_address(path);
	int fd = (int)must("socket", socket(AF_UNIX, type, 0));
	must("bind", bind(fd, (struct sockaddr *)&address, sizeof(address)));
	return fd;
}

static int connected_to(int type, const char *path)
{
	struct sockaddr_un address = path_address(path);
	int fd = (int)must("socket", socket(AF_UNIX, type, 0));
	must("connect", connect(fd, (struct sockaddr *)&address, sizeof(address)));
	return fd;
}

static int listening(int type)
{
	int fd = bound(type, "listener");
	must("listen", listen(fd, 1));
	return fd;
}

/* One end of a pair whose other end is `*peer`. */
static int half(int type, int *peer)
{
	int pair[2];
	unix_pair(type, pair);
	*peer = pair[1];
	return pair[0];
}

/* ---- stream ---- */

STATE(stream_unconnected)
{
	return socket(AF_UNIX, SOCK_STREAM, 0);
}

STATE(stream_bound)
{
	return bound(SOCK_STREAM, "bound");
}

STATE(stream_listening)
{
	return listening(SOCK_STREAM);
}

STATE(stream_listening_queued)
{
	int fd = listening(SOCK_STREAM);
	connected_to(SOCK_STREAM, "listener");
	return fd;
}

STATE(stream_listening_shut_read)
{
	int fd = listening(SOCK_STREAM);
	observe("shutdown", shutdown(fd, SHUT_RD));
	return fd;
}

STATE(stream_connected_not_accepted)
{
	listening(SOCK_STREAM);
	return connected_to(SOCK_STREAM, "listener");
}

STATE(stream_listener_closed)
{
	int listener = listening(SOCK_STREAM), fd = connected_to(SOCK_STREAM, "listener");
	close(listener);
	return fd;
}

STATE(stream_connected)
{
	int peer;
	return half(SOCK_STREAM, &peer);
}

STATE(stream_data)
{
	int peer, fd = half(SOCK_STREAM, &peer);
	must("write", write(peer, "abc", 3));
	return fd;
}

STATE(stream_full)
{
	int peer, fd = half(SOCK_STREAM, &peer);
	set_nonblocking(fd);
	fill(fd);
	return fd;
}

STATE(stream_full_then_read)
{
	static char bytes[1 << 20];
	int peer, fd = half(SOCK_STREAM, &peer);
	set_nonblocking(fd);
	set_nonblocking(peer);
	fill(fd);
	while (read(peer, bytes, sizeof(bytes)) > 0)
		;
	return fd;
}

STATE(stream_peer_shut_write)
{
	int peer, fd = half(SOCK_STREAM, &peer);
	must("shutdown", shutdown(peer, SHUT_WR));
	return fd;
}

STATE(stream_peer_shut_write_data)
{
	int peer, fd = half(SOCK_STREAM, &peer);
	must("write", write(peer, "abc", 3));
	must("shutdown", shutdown(peer, SHUT_WR));
	return fd;
}

STATE(stream_peer_shut_read)
{
	int peer, fd = half(SOCK_STREAM, &peer);
	must("shutdown", shutdown(peer, SHUT_RD));
	return fd;
}

STATE(stream_shut_write)
{
	int peer, fd = half(SOCK_STREAM, &peer);
	must("shutdown", shutdown(fd, SHUT_WR));
	return fd;
}

STATE(stream_shut_read)
{
	int peer, fd = half(SOCK_STREAM, &peer);
	must("shutdown", shutdown(fd, SHUT_RD));
	return fd;
}

STATE(stream_shut_both)
{
	int peer, fd = half(SOCK_STREAM, &peer);
	must("shutdown", shutdown(fd, SHUT_RDWR));
	return fd;
}

STATE(stream_peer_closed)
{
	int peer, fd = half(SOCK_STREAM, &peer);
	close(peer);
	return fd;
}

STATE(stream_peer_closed_data)
{
	int peer, fd = half(SOCK_STREAM, &peer);
	must("write", write(peer, "abc", 3));
	close(peer);
	return fd;
}

STATE(stream_peer_closed_unread)
{
	int peer, fd = half(SOCK_STREAM, &peer);
	must("write", write(fd, "abc", 3));
	close(peer);
	return fd;
}

STATE(stream_refused)
{
	struct sockaddr_un address = path_address("bound");
	int fd = (int)must("socket", socket(AF_UNIX, SOCK_STREAM, 0));
	bound(SOCK_STREAM, "bound");
	observe("connect", connect(fd, (struct sockaddr *)&address, sizeof(address)));
	return fd;
}

STATE(stream_connecting_full_queue)
{
	struct sockaddr_un address = path_address("listener");
	int fd = (int)must("socket", socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0));
	must("listen", listen(bound(SOCK_STREAM, "listener"), 0));
	connected_to(SOCK_STREAM, "listener");
	observe("connect", connect(fd, (struct sockaddr *)&address, sizeof(address)));
	return fd;
}

/* ---- seqpacket ---- */

STATE(seqpacket_unconnected)
{
	return socket(AF_UNIX, SOCK_SEQPACKET, 0);
}

STATE(seqpacket_listening_queued)
{
	int fd = listening(SOCK_SEQPACKET);
	connected_to(SOCK_SEQPACKET, "listener");
	return fd;
}

STATE(seqpacket_connected)
{
	int peer;
	return half(SOCK_SEQPACKET, &peer);
}

STATE(seqpacket_full)
{
	int peer, fd = half(SOCK_SEQPACKET, &peer);
	set_nonblocking(fd);
	fill(fd);
	return fd;
}

STATE(seqpacket_empty_message)
{
	int peer, fd = half(SOCK_SEQPACKET, &peer);
	must("send", send(peer, "", 0, 0));
	return fd;
}

STATE(seqpacket_peer_closed)
{
	int peer, fd = half(SOCK_SEQPACKET, &peer);
	close(peer);
	return fd;
}

STATE(seqpacket_peer_closed_unread)
{
	int peer, fd = half(SOCK_SEQPACKET, &peer);
	must("write", write(fd, "abc", 3));
	close(peer);
	return fd;
}

STATE(seqpacket_peer_shut_write)
{
	int peer, fd = half(SOCK_SEQPACKET, &peer);
	must("shutdown", shutdown(peer, SHUT_WR));
	return fd;
}

/* ---- dgram ---- */

STATE(dgram_unconnected)
{
	return socket(AF_UNIX, SOCK_DGRAM, 0);
}

STATE(dgram_bound)
{
	return bound(SOCK_DGRAM, "bound");
}

STATE(dgram_pair)
{
	int peer;
	return half(SOCK_DGRAM, &peer);
}

STATE(dgram_data)
{
	int peer, fd = half(SOCK_DGRAM, &peer);
	must("write", write(peer, "abc", 3));
	return fd;
}

STATE(dgram_empty_datagram)
{
	int peer, fd = half(SOCK_DGRAM, &peer);
	must("send", send(peer, "", 0, 0));
	return fd;
}

STATE(dgram_full_pair)
{
	int peer, fd = half(SOCK_DGRAM, &peer);
	set_nonblocking(fd);
	fill(fd);
	return fd;
}

/* The receiver's queue of max_dgram_qlen is full, the sender's buffer is not. */
STATE(dgram_peer_queue_full)
{
	bound(SOCK_DGRAM, "server");
	int fd = connected_to(SOCK_DGRAM, "server");
	set_nonblocking(fd);
	while (write(fd, "a", 1) == 1)
		;
	return fd;
}

STATE(dgram_pair_queue_full)
{
	int peer, fd = half(SOCK_DGRAM, &peer);
	set_nonblocking(fd);
	while (write(fd, "a", 1) == 1)
		;
	return fd;
}

STATE(dgram_peer_closed)
{
	int peer, fd = half(SOCK_DGRAM, &peer);
	close(peer);
	return fd;
}

STATE(dgram_server_closed)
{
	int server = bound(SOCK_DGRAM, "server"), fd = connected_to(SOCK_DGRAM, "server");
	close(server);
	return fd;
}

STATE(dgram_server_closed_unread)
{
	int server = bound(SOCK_DGRAM, "server"), fd = connected_to(SOCK_DGRAM, "server");
	must("write", write(fd, "abc", 3));
	close(server);
	return fd;
}

STATE(dgram_shut_read)
{
	int peer, fd = half(SOCK_DGRAM, &peer);
	must("shutdown", shutdown(fd, SHUT_RD));
	return fd;
}

STATE(dgram_shut_write)
{
	int peer, fd = half(SOCK_DGRAM, &peer);
	must("shutdown", shutdown(fd, SHUT_WR));
	return fd;
}

STATE(dgram_shut_both)
{
	int peer, fd = half(SOCK_DGRAM, &peer);
	must("shutdown", shutdown(fd, SHUT_RDWR));
	return fd;
}

STATE(dgram_peer_shut_both)
{
	int peer, fd = half(SOCK_DGRAM, &peer);
	must("shutdown", shutdown(peer, SHUT_RDWR));
	return fd;
}
