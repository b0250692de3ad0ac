/* ICMP errors that we send (RFC 1122 §3.2.2): when, how much is quoted, how often. The limits are
 * Linux's. */
#include "tcpip/icmp_internal.h"

#include <errno.h>

#define ICMP_ERROR_MAX          576 /* the whole datagram (RFC 1812 §4.3.2.3) */
#define GLOBAL_PER_SECOND       1000
#define GLOBAL_BURST            50
#define DESTINATION_INTERVAL_NS 1000000000ull /* icmp_ratelimit: one per second and destination */
#define DESTINATION_BURST       6

static bool bucket_take(struct icmp_bucket *bucket, uint64_t now, uint64_t interval_ns,
                        uint32_t burst)
{
	uint64_t periods = (now - bucket->refilled_ns) / interval_ns;
	if (periods) {
		uint64_t tokens = bucket->tokens + periods;
		bucket->tokens = tokens > burst ? burst : (uint32_t)tokens;
		bucket->refilled_ns += periods * interval_ns;
	}
	if (!bucket->tokens)
		return false;
	bucket->tokens--;
	return true;
}

/* Whoever shares a bucket with another destination inherits what that one left. */
static bool error_allowed(struct stack *stack, struct ipv4_address destination)
{
	struct icmp_state *icmp = stack->icmp;
	uint64_t now = stack_now(stack);
	struct icmp_bucket *bucket = &icmp->per_destination[destination.value * 2654435761u >> 26];
	if (!ipv4_equal(bucket->destination, destination)) {
		bool fresh = ipv4_is_any(bucket->destination);
		bucket->destination = destination;
		if (fresh) {
			bucket->tokens = DESTINATION_BURST;
			bucket->refilled_ns = now;
		}
	}
	if (!icmp->global.refilled_ns) {
		icmp->global.tokens = GLOBAL_BURST;
		icmp->global.refilled_ns = now;
	}
	return bucket_take(bucket, now, DESTINATION_INTERVAL_NS, DESTINATION_BURST) &&
	       bucket_take(&icmp->global, now, 1000000000ull / GLOBAL_PER_SECOND, GLOBAL_BURST);
}

/* RFC 1122 §3.2.2: never about an ICMP error, about a packet to a group, or to somebody who is not
 * one host. */
static bool error_is_due(struct stack *stack, const struct pbuf *packet, const struct ip_packet *ip)
{
	if (!stack_is_local_address(stack, ip->destination))
		return false;
	if (ipv4_is_any(ip->source) || ipv4_is_multicast(ip->source) ||
	    netif_is_broadcast(ip->netif, ip->source))
		return false;
	if (ipv4_is_loopback(ip->source) && !(packet->flags & PBUF_LOOPED))
		return false;
	if (ip->protocol != IP_PROTOCOL_ICMP)
		return true;
	return packet->length && (packet->data[0] == ICMP_ECHO_REQUEST);
}

void icmp_send_error(struct stack *stack, const struct pbuf *packet, const struct ip_packet *ip,
                     uint8_t type, uint8_t code)
{
	struct ip_output_options options = { .protocol = IP_PROTOCOL_ICMP, .ttl = IP_DEFAULT_TTL };
	struct route_cache route = { 0 };
	if (!error_is_due(stack, packet, ip))
		return;
	if (!(packet->flags & PBUF_LOOPED) && !error_allowed(stack, ip->source)) {
		stack->statistics.icmp_rate_limited++;
		return;
	}
	struct pbuf *message = pbuf_alloc(stack->config.pool, PBUF_SMALL, PBUF_HEADROOM);
	if (!message)
		return;
	uint8_t *p = message->data;
	uint32_t quoted = ICMP_ERROR_MAX - IP_HEADER_BYTES - ICMP_HEADER_BYTES - ip->header_bytes;
	memset(p, 0, ICMP_HEADER_BYTES);
	p[0] = type;
	p[1] = code;
	/* The IP header still stands in front of the transport's. */
	memcpy(p + ICMP_HEADER_BYTES, packet->data - ip->header_bytes, ip->header_bytes);
	quoted = pbuf_copy_out(packet, 0, p + ICMP_HEADER_BYTES + ip->header_bytes, quoted);
	message->length = message->packet_length = ICMP_HEADER_BYTES + ip->header_bytes + quoted;
	checksum_store(p + 2, checksum_fold(checksum_add(0, p, message->length)));
	options.tos = (uint8_t)((ip->tos & 0x1e) | 0xc0); /* internetwork control, as Linux */
	icmp_count_out(stack, type);
	ip_output(stack, &route, ip->destination, ip->source, message, &options);
}
