/* ICMP's own state: shared by icmp.c (messages), icmp_error.c (errors out) and ping.c (sockets). */
#pragma once

#include "tcpip/icmp.h"
#include "tcpip/stack_internal.h"

enum icmp_type {
	ICMP_ECHO_REPLY = 0,
	ICMP_UNREACHABLE = 3,
	ICMP_ECHO_REQUEST = 8,
	ICMP_TIME_EXCEEDED = 11,
	ICMP_PARAMETER_PROBLEM = 12,
};

#define ICMP_LIMIT_BUCKETS 64

/* A token bucket; the unit is one message. */
struct icmp_bucket {
	struct ipv4_address destination; /* per-destination buckets: whose */
	uint32_t tokens;
	uint64_t refilled_ns;
};

struct icmp_state {
	struct icmp_bucket global;
	struct icmp_bucket per_destination[ICMP_LIMIT_BUCKETS];
	struct list ping_sockets;
	struct list raw_sockets;
};

static inline void icmp_count_out(struct stack *stack, uint8_t type)
{
	stack->statistics.icmp_out++;
	if (type < ICMP_TYPES_COUNTED)
		stack->statistics.icmp_out_of_type[type]++;
}

/* ping.c */
/* An echo reply, standing at its ICMP header: for the socket with its identifier, if any. Takes the
 * reference. */
void ping_input(struct stack *stack, struct pbuf *message, const struct ip_packet *ip);
/* Any ICMP message, which is only read: a copy for each raw socket that wants it. */
void ping_input_raw(struct stack *stack, const struct pbuf *message, const struct ip_packet *ip);
/* An ICMP error about an echo request of ours. */
void ping_error(struct stack *stack, uint16_t identifier, int error);
