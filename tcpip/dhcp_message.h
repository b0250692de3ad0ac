/* DHCP messages on the wire (RFC 2131 §2, RFC 2132). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tcpip/address.h"

#define DHCP_MESSAGE_BYTES                                                                         \
	300 /* what we send: the least that BOOTP relays pass on (RFC 1542 §2.1) */
#define DHCP_MESSAGE_MAX 1472

enum dhcp_type { DHCP_DISCOVER = 1, DHCP_OFFER, DHCP_REQUEST, DHCP_DECLINE, DHCP_ACK, DHCP_NAK };

/* What a server said; what it did not say is 0. */
struct dhcp_reply {
	enum dhcp_type type;
	uint32_t transaction;
	struct ethernet_address client;
	struct ipv4_address address, server, gateway, dns[3];
	uint8_t prefix_length; /* 0: no mask given */
	uint16_t mtu;
	uint32_t lease_s, renew_s, rebind_s;
	char domain[64];
};

struct dhcp_query {
	enum dhcp_type type;
	uint32_t transaction;
	uint16_t seconds; /* since the client began */
	struct ethernet_address client;
	struct ipv4_address current;           /* ciaddr: when renewing */
	struct ipv4_address requested, server; /* options 50 and 54; any: left out */
};

/* False when the bytes are no well-formed reply to a client. */
bool dhcp_reply_parse(const uint8_t *bytes, size_t length, struct dhcp_reply *out);
void dhcp_query_write(const struct dhcp_query *query, uint8_t out[DHCP_MESSAGE_BYTES]);
