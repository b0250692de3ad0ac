/* AF_INET datagram sockets, within net/. */
#pragma once

#include "syscalls/net/socket.h"
#include "tcpip/udp.h"

struct udp_file_socket {
	struct socket socket; /* keep first */
	struct udp_socket *udp;
};

static inline struct udp_file_socket *udp_socket_of(struct socket *socket)
{
	return (struct udp_file_socket *)socket;
}
