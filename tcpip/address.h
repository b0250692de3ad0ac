/* Addresses and sequence numbers as distinct types. Ports and lengths are in host order everywhere above the wire parsers. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct ipv4_address {
	uint32_t value; /* host order: 10.0.2.15 is 0x0a00020f */
};

struct ethernet_address {
	uint8_t byte[6];
};

struct endpoint {
	struct ipv4_address address;
	uint16_t port;
};

/* A TCP sequence number (RFC 9293 §3.4): compares modulo 2^32. */
struct tcp_seq {
	uint32_t value;
};

static inline struct ipv4_address ipv4(uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
	return (struct ipv4_address){ (uint32_t)a << 24 | (uint32_t)b << 16 | (uint32_t)c << 8 | d };
}
static inline bool ipv4_equal(struct ipv4_address a, struct ipv4_address b)
{
	return a.value == b.value;
}
static inline bool ipv4_is_any(struct ipv4_address a)
{
	return a.value == 0;
}
static inline bool ipv4_is_loopback(struct ipv4_address a)
{
	return a.value >> 24 == 127;
}
static inline bool ipv4_is_multicast(struct ipv4_address a)
{
	return a.value >> 28 == 0xe;
}
static inline uint32_t ipv4_prefix_mask(uint8_t prefix_length) /* 24: 0xffffff00 */
{
	return prefix_length ? UINT32_MAX << (32 - prefix_length) : 0;
}
static inline bool ipv4_is_all_hosts(struct ipv4_address a) /* the group that every host is in */
{
	return a.value == 0xe0000001;
}
static inline bool ipv4_is_limited_broadcast(struct ipv4_address a)
{
	return a.value == 0xffffffff;
}

static inline struct tcp_seq seq(uint32_t value)
{
	return (struct tcp_seq){ value };
}
static inline struct tcp_seq seq_add(struct tcp_seq s, uint32_t bytes)
{
	return (struct tcp_seq){ s.value + bytes };
}
/* a - b as a signed distance */
static inline int32_t seq_diff(struct tcp_seq a, struct tcp_seq b)
{
	return (int32_t)(a.value - b.value);
}
static inline bool seq_lt(struct tcp_seq a, struct tcp_seq b)
{
	return seq_diff(a, b) < 0;
}
static inline bool seq_le(struct tcp_seq a, struct tcp_seq b)
{
	return seq_diff(a, b) <= 0;
}
static inline bool seq_eq(struct tcp_seq a, struct tcp_seq b)
{
	return a.value == b.value;
}
static inline struct tcp_seq seq_max(struct tcp_seq a, struct tcp_seq b)
{
	return seq_lt(a, b) ? b : a;
}
