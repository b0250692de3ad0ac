/* The stack's own state and what the parts of the IP layer promise each other (TCP uses internal.h
 * only). */
#pragma once

#include "tcpip/internal.h"

#define likely(condition)     __builtin_expect(!!(condition), 1)
#define unlikely(condition)   __builtin_expect(!!(condition), 0)

#define ETHERNET_HEADER_BYTES 14
#define IP_HEADER_BYTES       20
#define IP_PACKET_MAX         65535
#define UDP_HEADER_BYTES      8
#define ICMP_HEADER_BYTES     8
#define IGMP_HEADER_BYTES     8
#define ROUTER_ALERT_BYTES    4
#define IP_DEFAULT_TTL        64

enum ethernet_type { ETHERNET_IPV4 = 0x0800, ETHERNET_ARP = 0x0806 };

struct arp_table;
struct reassembly;
struct udp_stack;
struct group_table;
struct icmp_state;
struct path_mtu_cache;

/* Packets to ourselves wait here for their turn, so that input never nests in output. */
struct loopback {
	struct netif netif;
	struct list queue;
	uint32_t queued;
	struct loop_watcher watcher;
	struct stack *stack;
};

#define RECENT_ROUTES_BITS 4

struct recent_route {
	struct ipv4_address destination;
	struct route_cache route; /* generation 0: free */
};

struct stack {
	struct stack_config config;
	struct loop *loop;
	struct stack_statistics statistics;
	struct tcp_stack *tcp;
	uint32_t generation; /* of everything a struct route_cache was filled from; never 0 */
	bool output_noted;   /* output_pending was called since the last flush */
	bool flushing; /* frames handed to drivers now are published at the end of this very flush
	                */
	struct list netifs; /* loopback first */
	struct ipv4_address gateway;
	struct netif *gateway_netif;
	struct recent_route
	        recent_routes[1 << RECENT_ROUTES_BITS]; /* one per hash of the destination */
	struct loopback loopback;
	struct arp_table *arp;
	struct reassembly *reassembly;
	struct path_mtu_cache *path_mtu;
	struct udp_stack *udp;
	struct group_table *groups;
	struct icmp_state *icmp;
	struct list dhcp_clients;
	uint64_t identification_key;
	uint16_t identification[64]; /* counters of the IP identification, one per hash of source
	                                and destination */
};

static inline uint64_t stack_now(const struct stack *stack)
{
	return stack->loop->now_ns;
}
/* A route may have changed: every struct route_cache is looked up again at its next use. */
static inline void stack_routes_changed(struct stack *stack)
{
	if (++stack->generation == 0)
		stack->generation = 1;
}

/* Little-endian machines only: network order of 16 and 32 bits. */
static inline uint16_t swap16(uint16_t v)
{
	return __builtin_bswap16(v);
}
static inline uint32_t swap32(uint32_t v)
{
	return __builtin_bswap32(v);
}

/* The IPv4 header on the wire; 4-aligned wherever the stack reads it (see netif_input). */
struct __attribute__((may_alias)) ip_header {
	uint8_t version_length;
	uint8_t tos;
	uint16_t total_length;
	uint16_t identification;
	uint16_t fragment; /* flags and offset */
	uint8_t ttl;
	uint8_t protocol;
	uint16_t checksum;
	uint32_t source, destination;
};
#define IP_DONT_FRAGMENT   0x4000
#define IP_MORE_FRAGMENTS  0x2000
#define IP_FRAGMENT_OFFSET 0x1fff /* in units of 8 bytes */

/* One predicate decides what takes the straight way; everything else goes to functions marked so,
 * which keeps their cost (saved registers, branches) out of it. */
#define SLOW_PATH          __attribute__((noinline, cold))

typedef uint16_t __attribute__((may_alias)) half_alias;
typedef uint32_t __attribute__((may_alias)) word_alias;

/* ethernet.c */
/* Push the Ethernet header and hand the frame to the driver's edge. Takes the reference. */
int ethernet_send(struct netif *netif, struct pbuf *packet, const struct ethernet_address *to,
                  enum ethernet_type type);

/* gso.c */
/* Fill in the checksum that PBUF_CSUM_PARTIAL left open; false: the packet is malformed. */
bool checksum_complete(struct pbuf *frame);

/* arp.c */
int arp_init(struct stack *stack);
void arp_fini(struct stack *stack);
void arp_input(struct netif *netif, struct pbuf *frame);
/* The address's MAC is known now: true. Asks for confirmation where it is stale. */
bool arp_lookup(struct stack *stack, struct netif *netif, struct ipv4_address address,
                struct ethernet_address *out);
/* Send `packet` (IP header first) to `address` as soon as it is resolved. Takes the reference.
 * -ENOBUFS. */
int arp_send_resolved(struct stack *stack, struct netif *netif, struct ipv4_address address,
                      struct pbuf *packet);
/* Start to resolve without a packet (the gateway at start). */
void arp_probe(struct stack *stack, struct netif *netif, struct ipv4_address address);
void arp_announce(struct netif *netif);
void arp_forget_netif(struct stack *stack, struct netif *netif);
const char *arp_verify(struct stack *stack);

/* ipv4.c */
/* `packet` starts at an IP header, 4-aligned, contiguous for at least 20 bytes or what there is.
 * Takes the reference. */
void ip_input(struct netif *netif, struct pbuf *packet);
/* Transport input of a whole packet that stands at its transport header. */
void ip_deliver(struct stack *stack, struct pbuf *packet, const struct ip_packet *ip);
/* Push an IP header; the packet is at most IP_PACKET_MAX long with it. */
struct ip_fields {
	struct ipv4_address source, destination;
	uint16_t identification, fragment;
	uint8_t protocol, ttl, tos;
	bool router_alert; /* the option of RFC 2113 */
};
void ip_push_header(struct pbuf *packet, const struct ip_fields *fields);
/* A whole IP packet (header first) towards the route's next hop, which may have to be resolved
 * first. */
int ip_send_to_next_hop(struct stack *stack, const struct route_cache *route, struct pbuf *packet);

/* fragment.c */
int reassembly_init(struct stack *stack);
void reassembly_fini(struct stack *stack);
/* A fragment, standing at its payload; `ip` is changed to describe the whole once NULL is not
 * returned. */
struct pbuf *reassembly_input(struct stack *stack, struct pbuf *fragment, struct ip_packet *ip,
                              uint16_t identification, uint16_t fragment_field);
/* Cut a packet (transport header first) into fragments of at most route->mtu bytes and send them.
 */
int fragment_output(struct stack *stack, const struct route_cache *route, struct pbuf *packet,
                    const struct ip_fields *fields);
const char *reassembly_verify(struct stack *stack);

/* route.c */
int path_mtu_init(struct stack *stack);
void path_mtu_fini(struct stack *stack);
/* The broadcast address of the interface's network, or its own address where there is none. */
struct ipv4_address netif_broadcast(const struct netif *netif);
/* The destination MAC of a group (RFC 1112 §6.4). */
struct ethernet_address group_mac(struct ipv4_address group);

/* loopback.c */
void loopback_init(struct stack *stack);
void loopback_fini(struct stack *stack);
/* An IP packet for ourselves, which comes in by `netif`. Takes the reference. */
int loopback_send(struct netif *netif, struct pbuf *packet);

/* group.c */
int groups_init(struct stack *stack);
void groups_fini(struct stack *stack);
/* An interface begins: -ENOMEM. */
int groups_start(struct netif *netif);
const char *groups_verify(struct stack *stack);

/* igmp.c */
void igmp_input(struct stack *stack, struct pbuf *message, const struct ip_packet *ip);

/* icmp.c */
int icmp_init(struct stack *stack);
void icmp_fini(struct stack *stack);

/* udp.c */
int udp_init(struct stack *stack);
void udp_fini(struct stack *stack);
/* A ring has space again: sockets that were refused are writable. */
void udp_transmit_ready(struct stack *stack);
const char *udp_verify(struct stack *stack);

/* dhcp.c */
void dhcp_fini(struct stack *stack);
/* True when taken: UDP to port 68 on an interface with a running client, also before it has an
 * address. */
bool dhcp_input(struct stack *stack, struct pbuf *datagram, const struct ip_packet *ip);
