/* AF_NETLINK, NETLINK_ROUTE: what interfaces, addresses and routes there are (netlink(7), rtnetlink(7)). Asking only: nothing is
 * changed, and no group is told anything. */
#pragma once

#include "syscalls/net/socket.h"

/* Everything in the caller's byte order; messages and attributes start at multiples of 4. */
struct netlink_header {
	uint32_t length; /* with this header */
	uint16_t type, flags;
	uint32_t sequence, port;
};

enum netlink_type { NETLINK_NOOP = 1, NETLINK_ERROR, NETLINK_DONE, NETLINK_TYPE_LEAST = 16 };
enum netlink_flag {
	NETLINK_REQUEST = 1,
	NETLINK_MULTI = 2,
	NETLINK_WANTS_ACK = 4,
	NETLINK_CAPPED = 0x100,
	NETLINK_DUMP_FILTERED = 0x20,
	NETLINK_DUMP = 0x300, /* both NLM_F_ROOT and NLM_F_MATCH */
};

#define NETLINK_ALIGN(bytes) (((bytes) + 3u) & ~3u)

/* An answer that grows: messages, each of which attributes are added to. What does not fit sets `full`. */
struct netlink_answer {
	uint8_t *bytes;
	uint32_t room, used;
	uint32_t message; /* where the last one begins */
	uint32_t sequence, port;
	bool full;
};

/* Begins a message with `body` of so many bytes behind its header. */
void netlink_put_message(struct netlink_answer *answer, uint16_t type, uint16_t flags,
                         const void *body, uint32_t bytes);
void netlink_put_attribute(struct netlink_answer *answer, uint16_t type, const void *value,
                           uint32_t bytes);

/* Answers a request for NETLINK_ROUTE; `body` is what follows its header. 1: answered, with its end; 0: nothing is to be said but an
 * acknowledgement; else a negative errno, to be told. */
int netlink_route_answer(const struct netlink_header *request, const uint8_t *body,
                         uint32_t body_bytes, struct netlink_answer *answer);

int netlink_socket_create(int type, int protocol, struct socket **out);
