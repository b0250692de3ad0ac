/* AF_INET datagram sockets, within net/. */
#pragma once

#include "syscalls/net/socket.h"
#include "tcpip/udp.h"

struct udp_cork;

#define UDP_STAMP_NONE    UINT64_MAX /* nothing was read yet */
#define UDP_STAMP_UNKNOWN 0          /* it was, before somebody asked: the time of asking will do */

struct udp_file_socket {
	struct socket socket; /* keep first */
	struct udp_socket *udp;
	struct udp_cork *cork; /* the datagram that grows (MSG_MORE, UDP_CORK), or NULL */
	bool corked;           /* UDP_CORK */
	bool knows_esp;        /* UDP_ENCAP was set to what looks for it */
	uint8_t encapsulation; /* UDP_ENCAP */
	uint16_t segment; /* UDP_SEGMENT: bytes of each datagram that a send is cut into; 0: off */
	/* When the last datagram that was read arrived (SIOCGSTAMP), or UDP_STAMP_*. */
	uint64_t stamp_ns;
	bool keeps_stamps; /* somebody asked */
};

static inline struct udp_file_socket *udp_socket_of(struct socket *socket)
{
	return (struct udp_file_socket *)socket;
}

/* One attempt: the bytes of the message, or a negative errno. */
long udp_send_message(struct udp_file_socket *udp, struct message *message);
/* What has grown leaves: 0, or a negative errno and it is lost. */
int udp_cork_send(struct udp_file_socket *udp);
void udp_cork_drop(struct udp_file_socket *udp);
