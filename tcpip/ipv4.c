/* IPv4 (RFC 791): validation of what comes in, headers of what goes out. Reassembly and
 * fragmentation: fragment.c. */
#include "tcpip/group.h"
#include "tcpip/stack_internal.h"

#include <errno.h>

#define TCP_HEADER_LEAST   20
/* Of the header's second word as it is loaded: more fragments, and the offset. */
#define FRAGMENT_MASK_WORD 0xff3f0000u
#define DONT_FRAGMENT_WORD 0x00400000u

#define ROUTER_ALERT       0x94040000u /* RFC 2113: every router is to look at the packet */

enum icmp_codes { UNREACHABLE = 3, UNREACHABLE_PROTOCOL = 2 };

/* Sum of a header's 32-bit words, folded and complemented: 0 when a received header is right. */
static inline uint16_t header_fold(uint64_t sum)
{
	sum = (sum >> 32) + (uint32_t)sum;
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	sum += sum >> 16;
	return (uint16_t)~sum;
}

/* The same question about the sum of five words, which is at most 5 (2^32 - 1): its three 16-bit
 * parts sum to less than 3 * 0xffff, and are a multiple of 0xffff when the header is right. */
static inline bool header_sum_holds(uint64_t sum)
{
	uint64_t parts = (sum >> 32) + (sum >> 16 & 0xffff) + (sum & 0xffff);
	return parts == 0xffff || parts == 0x1fffe;
}

static uint16_t header_checksum(const struct ip_header *header, uint32_t words)
{
	const word_alias *w = __builtin_assume_aligned((const void *)header, 4);
	uint64_t sum = 0;
	for (uint32_t i = 0; i < words; i++)
		sum += w[i];
	return header_fold(sum);
}

/* Bytes that every transport's input wants contiguous. */
static uint32_t transport_header_bytes(uint8_t protocol)
{
	switch (protocol) {
	case IP_PROTOCOL_TCP:
		return 20;
	case IP_PROTOCOL_UDP:
		return UDP_HEADER_BYTES;
	case IP_PROTOCOL_ICMP:
		return ICMP_HEADER_BYTES;
	case IP_PROTOCOL_IGMP:
		return IGMP_HEADER_BYTES;
	default:
		return 0;
	}
}

/* A group or one of our other addresses, or a DHCP client that does not know its address yet. */
static bool is_for_us(struct netif *netif, const struct ip_packet *ip)
{
	struct ipv4_address destination = ip->destination;
	if (ipv4_is_multicast(destination))
		return ip->protocol != IP_PROTOCOL_TCP &&
		       group_is_received(netif, destination, ip->source, ip->protocol);
	if (netif->offloads & NETIF_LOOPBACK)
		return stack_is_local_address(netif->stack, destination);
	if (ipv4_is_loopback(destination))
		return false;
	if (stack_is_local_address(netif->stack, destination))
		return true;
	if (ip->protocol == IP_PROTOCOL_TCP)
		return false;
	if (netif_is_broadcast(netif, destination))
		return true;
	return ipv4_is_any(netif->address) && ip->protocol == IP_PROTOCOL_UDP;
}

/* Hosts that do not know their address yet ask for it, and switches that have none ask for groups
 * (RFC 4541 §2.1.1). */
static bool may_have_no_source(uint8_t protocol)
{
	return protocol == IP_PROTOCOL_UDP || protocol == IP_PROTOCOL_IGMP;
}

/* RFC 1122 §3.2.1.3: no host may send from these, nor may someone else send from ours. */
static bool source_is_martian(const struct netif *netif, struct ipv4_address source, bool looped)
{
	uint32_t first = source.value >> 24;
	if (looped)
		return ipv4_is_any(source);
	return first - 1 >= 223 || first == 127 || ipv4_equal(source, netif->address) ||
	       netif_is_broadcast(netif, source);
}

void ip_deliver(struct stack *stack, struct pbuf *packet, const struct ip_packet *ip)
{
	uint32_t least = transport_header_bytes(ip->protocol);
	if (unlikely(packet->length < least) && !pbuf_pull_up(packet, least)) {
		stack->statistics.ip_bad_header++;
		pbuf_free(packet);
		return;
	}
	if (likely(ip->protocol == IP_PROTOCOL_TCP)) {
		tcp_input(stack, packet, ip);
	} else if (ip->protocol == IP_PROTOCOL_UDP) {
		udp_input(stack, packet, ip);
	} else if (ip->protocol == IP_PROTOCOL_ICMP) {
		icmp_input(stack, packet, ip);
	} else if (ip->protocol == IP_PROTOCOL_IGMP) {
		igmp_input(stack, packet, ip);
	} else {
		icmp_send_error(stack, packet, ip, UNREACHABLE, UNREACHABLE_PROTOCOL);
		pbuf_free(packet);
	}
}

static void packet_reject(struct pbuf *packet, uint64_t *counter)
{
	(*counter)++;
	pbuf_free(packet);
}

/* Options, fragments, groups, other addresses of ours, padding, loopback; and all that is wrong. */
static SLOW_PATH void ip_input_slowly(struct netif *netif, struct pbuf *packet)
{
	struct stack *stack = netif->stack;
	struct stack_statistics *counters = &stack->statistics;
	if (unlikely(packet->length < IP_HEADER_BYTES) && !pbuf_pull_up(packet, IP_HEADER_BYTES))
		return packet_reject(packet, &counters->ip_bad_header);
	const struct ip_header *h = __builtin_assume_aligned(packet->data, 4);
	uint32_t header_bytes = IP_HEADER_BYTES;
	if (unlikely(h->version_length != 0x45)) {
		/* Options are skipped: a host need not act on any (RFC 1122 §3.2.1.8). */
		header_bytes = (h->version_length & 15) * 4u;
		if (h->version_length >> 4 != 4 || header_bytes < IP_HEADER_BYTES ||
		    !pbuf_pull_up(packet, header_bytes))
			return packet_reject(packet, &counters->ip_bad_header);
		h = __builtin_assume_aligned(packet->data, 4);
	}
	uint32_t total = swap16(h->total_length);
	if (unlikely(total < header_bytes || total > packet->packet_length))
		return packet_reject(packet, &counters->ip_bad_header);
	if (unlikely(!(packet->flags & PBUF_LOOPED) && header_checksum(h, header_bytes / 4)))
		return packet_reject(packet, &counters->ip_bad_checksum);

	struct ip_packet ip = {
		.netif = netif,
		.source = { swap32(h->source) },
		.destination = netif->address,
		.ttl = h->ttl,
		.tos = h->tos,
		.protocol = h->protocol,
		.header_bytes = (uint8_t)header_bytes,
	};
	if (unlikely(h->destination != netif->address_wire)) {
		ip.destination.value = swap32(h->destination);
		if (!is_for_us(netif, &ip))
			return packet_reject(packet, &counters->ip_not_for_us);
	}
	if (unlikely(source_is_martian(netif, ip.source, packet->flags & PBUF_LOOPED)) &&
	    !(ipv4_is_any(ip.source) && may_have_no_source(ip.protocol)))
		return packet_reject(packet, &counters->ip_bad_header);
	if (unlikely(total < packet->packet_length))
		pbuf_trim_back(packet, total); /* Ethernet padding */

	uint16_t fragment = swap16(h->fragment), identification = h->identification;
	pbuf_pull(packet, header_bytes);
	if (unlikely(fragment & (IP_MORE_FRAGMENTS | IP_FRAGMENT_OFFSET))) {
		packet = reassembly_input(stack, packet, &ip, identification, fragment);
		if (!packet)
			return;
	}
	ip_deliver(stack, packet, &ip);
}

/* May a host have sent this from outside? The cheap half of source_is_martian. */
static inline bool source_is_ordinary(const struct netif *netif, uint32_t source_wire)
{
	uint32_t first = source_wire & 0xff;
	return first - 1 < 223 && first != 127 && source_wire != netif->address_wire &&
	       source_wire != netif->broadcast_wire;
}

void ip_input(struct netif *netif, struct pbuf *packet)
{
	struct stack *stack = netif->stack;
	const word_alias *w = (const word_alias *)(void *)packet->data;
	stack->statistics.ip_in++;
	if (unlikely(packet->length < IP_HEADER_BYTES + TCP_HEADER_LEAST)) {
		ip_input_slowly(netif, packet);
		return;
	}
	uint64_t w0 = w[0], w1 = w[1], w2 = w[2], source_wire = w[3], destination_wire = w[4];
	if (unlikely((w0 & 0xff) != 0x45 || swap16((uint16_t)(w0 >> 16)) != packet->packet_length ||
	             (w1 & FRAGMENT_MASK_WORD) || destination_wire != netif->address_wire ||
	             !header_sum_holds(w0 + w1 + w2 + source_wire + destination_wire) ||
	             !source_is_ordinary(netif, (uint32_t)source_wire))) {
		ip_input_slowly(netif, packet);
		return;
	}
	struct ip_packet ip = {
		.netif = netif,
		.source = { swap32((uint32_t)source_wire) },
		.destination = netif->address,
		.ttl = (uint8_t)w2,
		.tos = (uint8_t)(w0 >> 8),
		.protocol = (uint8_t)(w2 >> 8),
		.header_bytes = IP_HEADER_BYTES,
	};
	pbuf_pull(packet, IP_HEADER_BYTES);
	if (likely(ip.protocol == IP_PROTOCOL_TCP))
		tcp_input(stack, packet, &ip);
	else
		ip_deliver(stack, packet, &ip);
}

/* ---- output ---- */

void ip_push_header(struct pbuf *packet, const struct ip_fields *fields)
{
	uint32_t words = IP_HEADER_BYTES / 4;
	if (unlikely(fields->router_alert)) {
		store_be32(pbuf_push(packet, ROUTER_ALERT_BYTES), ROUTER_ALERT);
		words += ROUTER_ALERT_BYTES / 4;
	}
	struct ip_header *h = __builtin_assume_aligned(pbuf_push(packet, IP_HEADER_BYTES), 4);
	h->version_length = (uint8_t)(0x40 | words);
	h->tos = fields->tos;
	h->total_length = swap16((uint16_t)packet->packet_length);
	h->identification = fields->identification;
	h->fragment = swap16(fields->fragment);
	h->ttl = fields->ttl;
	h->protocol = fields->protocol;
	h->checksum = 0;
	h->source = swap32(fields->source.value);
	h->destination = swap32(fields->destination.value);
	h->checksum = header_checksum(h, words);
}

/* Both are 2 bytes off a multiple of 4: a half and three words. */
static inline void ethernet_header_push(struct pbuf *packet, const struct route_cache *route)
{
	uint8_t *to = pbuf_push(packet, ETHERNET_HEADER_BYTES);
	const uint8_t *from = route->ethernet_header;
	*(half_alias *)(void *)to = *(const half_alias *)(const void *)from;
	word_alias *to_word = (word_alias *)(void *)(to + 2);
	const word_alias *from_word = (const word_alias *)(const void *)(from + 2);
	to_word[0] = from_word[0];
	to_word[1] = from_word[1];
	to_word[2] = from_word[2];
}

/* What goes over loopback to an interface's own address comes in by that interface, unless loopback
 * was asked for. */
static struct netif *arrival_of(struct stack *stack, const struct route_cache *route)
{
	struct netif *own = route->interface ? stack_netif_by_index(stack, route->interface)
	                                     : stack_netif_by_address(stack, route->next_hop);
	return own ? own : route->netif;
}

int ip_send_to_next_hop(struct stack *stack, const struct route_cache *route, struct pbuf *packet)
{
	if (route->netif->offloads & NETIF_LOOPBACK)
		return loopback_send(arrival_of(stack, route), packet);
	if (!route->resolved)
		return arp_send_resolved(stack, route->netif, route->next_hop, packet);
	ethernet_header_push(packet, route);
	return netif_send(route->netif, packet);
}

/* An identification that is unique among what can be fragmented, and says nothing about other
 * destinations' traffic. */
static uint16_t identification_next(struct stack *stack, struct ipv4_address source,
                                    struct ipv4_address destination)
{
	uint64_t hash =
	        stack->identification_key ^ ((uint64_t)source.value << 32 | destination.value);
	hash = (hash ^ hash >> 29) * 0xbf58476d1ce4e5b9ull;
	hash = (hash ^ hash >> 32) * 0x94d049bb133111ebull;
	return stack->identification[hash >> 58]++;
}

/* TSO or its software counterpart cuts it; everything else larger than the path is cut here. */
static int output_oversized(struct stack *stack, const struct route_cache *route,
                            struct pbuf *packet, const struct ip_fields *fields)
{
	uint32_t length = packet->packet_length + IP_HEADER_BYTES;
	if (length > IP_PACKET_MAX || fields->fragment & IP_DONT_FRAGMENT) {
		pbuf_free(packet);
		return -EMSGSIZE;
	}
	return fragment_output(stack, route, packet, fields);
}

/* Where the transport header and the payload begin, for whoever completes the checksum or cuts the
 * packet. */
static inline void note_offload_offsets(struct pbuf *packet, bool framed)
{
	uint32_t below = IP_HEADER_BYTES + (framed ? ETHERNET_HEADER_BYTES : 0);
	packet->csum_start = (uint16_t)below;
	if (packet->flags & PBUF_GSO_TCP4)
		packet->header_length = (uint16_t)(below + (packet->data[12] >> 4) * 4u);
}

/* Routes to be looked up, addresses to be resolved, fragments, loopback. */
static SLOW_PATH int ip_output_slowly(struct stack *stack, struct route_cache *route,
                                      struct ipv4_address source, struct ipv4_address destination,
                                      struct pbuf *packet, const struct ip_output_options *options)
{
	if (!route_is_current(stack, route) || !route->resolved) {
		int error = route_lookup_by(stack, destination, route->interface, route);
		if (error) {
			pbuf_free(packet);
			return error;
		}
	}
	if (!route_suits_source(route, source)) {
		pbuf_free(packet);
		return -EINVAL;
	}
	if (route_is_dead_end(route)) {
		stack->statistics.ip_no_route++;
		pbuf_free(packet);
		return 0;
	}
	stack->statistics.ip_out++;
	struct ip_fields fields = {
		.source = source,
		.destination = destination,
		.protocol = options->protocol,
		.ttl = options->ttl,
		.tos = options->tos,
	};
	/* An atomic datagram's identification means nothing (RFC 6864 §4.1). */
	if (options->dont_fragment)
		fields.fragment = IP_DONT_FRAGMENT;
	else
		fields.identification = identification_next(stack, source, destination);
	uint32_t length = packet->packet_length + IP_HEADER_BYTES;
	if (length > route->mtu && (!(packet->flags & PBUF_GSO_TCP4) || length > IP_PACKET_MAX))
		return output_oversized(stack, route, packet, &fields);
	if (packet->flags & (PBUF_CSUM_PARTIAL | PBUF_GSO_TCP4))
		note_offload_offsets(packet, !(route->netif->offloads & NETIF_LOOPBACK));
	ip_push_header(packet, &fields);
	return ip_send_to_next_hop(stack, route, packet);
}

int ip_output(struct stack *stack, struct route_cache *route, struct ipv4_address source,
              struct ipv4_address destination, struct pbuf *packet,
              const struct ip_output_options *options)
{
	uint32_t length = packet->packet_length + IP_HEADER_BYTES, flags = packet->flags;
	struct netif *netif = route->netif;
	uint32_t longest = flags & PBUF_GSO_TCP4 ? IP_PACKET_MAX : route->mtu;
	if (unlikely(route->generation != stack->generation || !route->resolved ||
	             length > longest || !options->dont_fragment ||
	             netif->offloads & NETIF_LOOPBACK))
		return ip_output_slowly(stack, route, source, destination, packet, options);
	stack->statistics.ip_out++;
	if (likely(flags & (PBUF_CSUM_PARTIAL | PBUF_GSO_TCP4)))
		note_offload_offsets(packet, true);
	/* ip_push_header in words: version, length, no identification (RFC 6864 §4.1), don't
	 * fragment. */
	word_alias *w = (word_alias *)(void *)pbuf_push(packet, IP_HEADER_BYTES);
	uint32_t w0 =
	        0x45u | (uint32_t)options->tos << 8 | (uint32_t)swap16((uint16_t)length) << 16;
	uint32_t w2 = options->ttl | (uint32_t)options->protocol << 8;
	uint64_t source_wire = swap32(source.value), destination_wire = swap32(destination.value);
	uint64_t sum = (uint64_t)w0 + DONT_FRAGMENT_WORD + w2 + source_wire + destination_wire;
	w[0] = w0;
	w[1] = DONT_FRAGMENT_WORD;
	w[2] = w2 | (uint32_t)header_fold(sum) << 16;
	w[3] = (uint32_t)source_wire;
	w[4] = (uint32_t)destination_wire;
	ethernet_header_push(packet, route);
	return netif_send(netif, packet);
}
