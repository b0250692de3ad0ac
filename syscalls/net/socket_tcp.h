/* AF_INET stream sockets, within net/. */
#pragma once

#include "syscalls/net/socket.h"
#include "tcpip/tcp.h"

/* What connect(2) answers the next time (Linux's socket state). */
enum tcp_socket_progress { TCP_SOCKET_IDLE, TCP_SOCKET_CONNECTING, TCP_SOCKET_CONNECTED };

struct tcp_socket {
	struct socket socket; /* keep first */
	struct tcp_connection *connection;
	int32_t fastopen_queue; /* TCP_FASTOPEN as set */
	uint8_t progress;       /* enum tcp_socket_progress */
	bool tells_unread;      /* TCP_INQ */
};

static inline struct tcp_socket *tcp_socket_of(struct socket *socket)
{
	return (struct tcp_socket *)socket;
}

/* stack_config.tcp_owner */
uint32_t tcp_socket_owner(void *context);
uint8_t tcp_linux_state(enum tcp_state state);
int tcp_socket_set_option(struct socket *socket, int level, int name, const void *value,
                          uint32_t length);
int tcp_socket_get_option(struct socket *socket, int level, int name, void *value,
                          uint32_t *length);
