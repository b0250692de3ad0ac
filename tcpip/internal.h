/* What the parts of the stack promise each other (not for users of the library). */
#pragma once

#include "tcpip/stack.h"

enum ip_protocol {
	IP_PROTOCOL_ICMP = 1,
	IP_PROTOCOL_IGMP = 2,
	IP_PROTOCOL_TCP = 6,
	IP_PROTOCOL_UDP = 17
};

/* The parsed network header of a received packet, valid during the input call. The pbuf's `data` stands at the transport
 * header; its packet_length is the transport length (Ethernet padding cut off); the first `length` covers at least the
 * minimal transport header (8 for UDP and ICMP, 20 for TCP) contiguously. */
struct ip_packet {
	struct netif *netif; /* the one whose address it was sent to, for what never left the machine */
	struct ipv4_address source, destination;
	uint8_t ttl, tos, protocol;
	uint8_t header_bytes; /* of the IP header, directly in front of `data` (for ICMP errors) */
};

/* A cached way to a destination: filled by route_lookup, revalidated when `generation` differs from the stack's (address, route or
 * ARP change). With `resolved`, the 14 bytes of Ethernet header are ready to be copied. */
struct route_cache {
	struct netif *netif;
	struct ipv4_address next_hop;
	struct ipv4_address source; /* preferred source address */
	uint32_t generation;
	uint32_t mtu; /* netif's, or smaller by path MTU discovery */
	bool resolved;
	uint8_t interface; /* it had to be by this one; 0: by any */
	uint8_t ethernet_header[14] __attribute__((aligned(2))); /* and 2 bytes off a multiple of 4, like a frame */
};

/* -ENETUNREACH, or 0. Does not resolve ARP. */
int route_lookup(struct stack *stack, struct ipv4_address destination, struct route_cache *out);
/* By the interface of that index, 0: any (SO_BINDTODEVICE, IP_PKTINFO, IP_MULTICAST_IF). As on Linux, one that leads elsewhere is
 * taken all the same, as if the destination were on its link. -ENODEV. */
int route_lookup_by(struct stack *stack, struct ipv4_address destination, uint8_t interface,
                    struct route_cache *out);
/* What is sent there goes nowhere: an address of this machine by an interface that it does not belong to. */
static inline bool route_is_dead_end(const struct route_cache *route)
{
	return ipv4_is_any(route->next_hop);
}
/* No gateway is asked, and no route to everywhere is needed, to get there (SO_DONTROUTE): to groups only by an interface that was
 * chosen. */
static inline bool route_is_on_link(const struct route_cache *route,
                                    struct ipv4_address destination)
{
	return ipv4_equal(route->next_hop, destination) &&
	       (route->interface || !ipv4_is_multicast(destination));
}
/* Two sockets bound to these, 0: to none, can get in each other's way. */
static inline bool interfaces_overlap(uint8_t a, uint8_t b)
{
	return !a || !b || a == b;
}
/* A socket bound to the interface of that index, 0: none, receives what comes in there. */
static inline bool interface_suits(uint8_t index, const struct netif *netif)
{
	return __builtin_expect(!index, 1) || netif->index == index;
}
/* RFC 1191: a router said, in an ICMP error that its transport believes, that packets to `destination` may have at most `mtu`
 * bytes. Cached routes are looked up again. */
void path_mtu_update(struct stack *stack, struct ipv4_address destination, uint32_t mtu);
/* Current for this stack's generation? */
bool route_is_current(const struct stack *stack, const struct route_cache *route);
/* False: a loopback address must not leave the machine (RFC 1122 §3.2.1.3). */
bool route_suits_source(const struct route_cache *route, struct ipv4_address source);
bool netif_is_broadcast(const struct netif *netif, struct ipv4_address address);

struct ip_output_options {
	uint8_t protocol, ttl, tos;
	bool dont_fragment;
};
/* Send a transport segment: `packet` starts at the transport header, with headroom. With PBUF_CSUM_PARTIAL the caller sets
 * csum_offset, with PBUF_GSO_TCP4 also gso_size; csum_start and header_length are filled here. Adds IP and Ethernet headers, resolves
 * ARP when needed (queueing the packet, bounded), fragments when larger than the MTU and not GSO. Takes the reference. Looped
 * back when the destination is ours. -ENOBUFS, -ENETUNREACH, -EMSGSIZE (dont_fragment). That ARP failed comes later, as
 * EHOSTUNREACH to tcp_icmp_error or udp_icmp_error. */
int ip_output(struct stack *stack, struct route_cache *route, struct ipv4_address source,
              struct ipv4_address destination, struct pbuf *packet,
              const struct ip_output_options *options);

/* A whole frame to the driver's edge: does in software what the device does not offer, counts,
 * transmits. Takes the reference. */
int netif_send(struct netif *netif, struct pbuf *frame);
int netif_send_in_software(struct netif *netif, struct pbuf *frame);
/* The flags of what is open in a frame stand one bit above the offloads that close it. */
#define NETIF_TX_OFFLOADS (NETIF_TX_CSUM | NETIF_TX_TSO4 | NETIF_TX_TSO6 | NETIF_TX_TSO_ECN)
_Static_assert(PBUF_CSUM_PARTIAL == NETIF_TX_CSUM << 1 && PBUF_GSO_TCP4 == NETIF_TX_TSO4 << 1 &&
                       PBUF_GSO_TCP6 == NETIF_TX_TSO6 << 1 && PBUF_GSO_ECN == NETIF_TX_TSO_ECN << 1,
               "netif_transmit compares flags and offloads");
static inline int frame_transmit(struct netif *netif, struct pbuf *frame)
{
	netif->statistics.tx_frames++;
	netif->statistics.tx_bytes += frame->packet_length;
	int error = netif->transmit(netif, frame);
	if (__builtin_expect(error, 0))
		netif->statistics.tx_busy++;
	return error;
}
/* The same as netif_send during stack_flush, which publishes by itself. */
static inline int netif_transmit(struct netif *netif, struct pbuf *frame)
{
	if (__builtin_expect(frame->flags >> 1 & NETIF_TX_OFFLOADS & ~netif->offloads, 0))
		return netif_send_in_software(netif, frame);
	return frame_transmit(netif, frame);
}
/* No further frame fits now. */
static inline bool netif_is_full(struct netif *netif)
{
	return netif->room == 0 && netif->transmit_space(netif) == 0;
}
/* Changes with every route, address and neighbour: what was derived from them is to be made anew.
 */
uint32_t stack_generation(const struct stack *stack);

/* Ephemeral ports: net.ipv4.ip_local_port_range. */
#define EPHEMERAL_PORT_FIRST 32768u
#define EPHEMERAL_PORT_LAST  60999u
struct port_range {
	uint16_t first, last; /* 0: as the system has it */
};
/* The ports that a socket chooses from (IP_LOCAL_PORT_RANGE): each end counts as far as it lies within the system's range. */
static inline struct port_range port_range_effective(struct port_range wanted)
{
	struct port_range range = { EPHEMERAL_PORT_FIRST, EPHEMERAL_PORT_LAST };
	if (wanted.first >= range.first && wanted.first <= range.last)
		range.first = wanted.first;
	if (wanted.last >= EPHEMERAL_PORT_FIRST && wanted.last <= range.last)
		range.last = wanted.last;
	return range;
}

/* Transports' entries; each takes the reference. Called by ip input for packets addressed to us. */
void tcp_input(struct stack *stack, struct pbuf *segment, const struct ip_packet *ip);
/* A whole frame, before anything else looks at it: true when it was the expected next segment of a
 * connection, and taken. */
bool tcp_predict(struct netif *netif, struct pbuf *frame);
void udp_input(struct stack *stack, struct pbuf *datagram, const struct ip_packet *ip);
void icmp_input(struct stack *stack, struct pbuf *message, const struct ip_packet *ip);

/* An ICMP error about a packet of ours: `type`/`code` as received, positive errno as Linux maps it, and the quoted
 * endpoints; `mtu` for fragmentation-needed (RFC 1191), `sequence` the quoted TCP sequence number. */
struct icmp_error {
	uint8_t type, code;
	int error;
	bool fatal; /* Linux: hard error for TCP in SYN_SENT, ECONNREFUSED for UDP */
	struct endpoint local, remote;
	struct tcp_seq sequence;
	uint32_t mtu;
	struct ipv4_address offender;  /* who says so */
	const struct netif *netif;     /* where that came in */
	const struct pbuf *packet;     /* holds what was sent, as far as it was quoted, */
	uint32_t quoted_offset;        /* with the transport's header here; only lent */
};
void tcp_icmp_error(struct stack *stack, const struct icmp_error *error);
void udp_icmp_error(struct stack *stack, const struct icmp_error *error);
/* Port unreachable and the like, rate limited; `packet` stands at the transport header and is only read. */
void icmp_send_error(struct stack *stack, const struct pbuf *packet, const struct ip_packet *ip,
                     uint8_t type, uint8_t code);

/* Life of the transports within a stack. */
int tcp_init(struct stack *stack);
void tcp_fini(struct stack *stack);
void tcp_flush(struct stack *stack); /* part of stack_flush: builds the segments of every connection on the output list */
bool tcp_before_idle(struct stack *stack); /* part of stack_before_idle */
uint64_t tcp_held_until(const struct stack *stack); /* stack_held_until */
void tcp_add_statistics(const struct stack *stack, struct stack_statistics *out); /* part of stack_read_statistics */
bool tcp_input_waits(const struct stack *stack); /* stack_input_waits */
const char *tcp_verify(struct stack *stack);
struct tcp_stack *stack_tcp(const struct stack *stack); /* TCP's own per-stack state, see tcp_internal.h */
void stack_set_tcp(struct stack *stack, struct tcp_stack *tcp);
/* Tell the owner once that a flush is due (stack_config.output_pending). */
void stack_note_output(struct stack *stack);
const struct stack_config *stack_get_config(const struct stack *stack);
struct stack_statistics *stack_counters(struct stack *stack);
void *stack_alloc(struct stack *stack, size_t bytes); /* zeroed; NULL when short */
void stack_free(struct stack *stack, void *memory, size_t bytes);
void stack_random(struct stack *stack, void *out, size_t bytes);

/* Internet checksum (RFC 1071): ones' complement sum of bytes, unfolded, in the machine's (little-endian) byte order:
 * load and store the field with checksum_load and checksum_store only. Order-independent across calls for even lengths. A sum
 * over bytes that include a correct checksum folds to 0. */
uint32_t checksum_add(uint32_t sum, const void *bytes, size_t length);
uint16_t checksum_fold(uint32_t sum); /* complemented, ready to be stored with checksum_store */
uint32_t checksum_pbuf(uint32_t sum, const struct pbuf *packet, uint32_t offset, uint32_t length);
uint32_t checksum_pseudo_ipv4(struct ipv4_address source, struct ipv4_address destination,
                              uint8_t protocol, uint32_t length);

static inline void checksum_store(uint8_t *p, uint16_t folded)
{
	p[0] = (uint8_t)folded;
	p[1] = (uint8_t)(folded >> 8);
}
static inline uint16_t checksum_load(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}
/* What PBUF_CSUM_PARTIAL wants in the checksum field: the sum of the pseudo header (with the length of the whole packet, also
 * with GSO), not complemented. */
static inline void checksum_store_partial(uint8_t *p, uint32_t pseudo_sum)
{
	checksum_store(p, (uint16_t)~checksum_fold(pseudo_sum));
}

/* Big-endian loads and stores, unaligned. */
static inline uint16_t load_be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}
static inline uint32_t load_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}
static inline void store_be16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}
static inline void store_be32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}
