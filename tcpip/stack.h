/*
 * One TCP/IP stack: interfaces, addresses, routes, ARP, the demultiplexers and the connection tables of one hart.
 *
 * A pure library: time, randomness, memory and the wire are passed in; there are no globals, so that any number of stacks live in
 * one host test. All functions of a stack are called by its hart only; nothing here blocks or sleeps. Errors are negative
 * Linux errno values.
 *
 * Turn: the owner sets the time through loop->now_ns (loop_turn does), hands frames to netif_input, and calls
 * stack_flush at the end of the turn (a flush hook): delayed ACKs that became due, TCP output of every connection that was
 * touched, then netif->flush once per interface (publish and kick).
 */
#pragma once

#include <stdint.h>

#include "evloop/loop.h"
#include "tcpip/address.h"
#include "tcpip/pbuf.h"

struct stack;
struct netif;

/* Readiness of a socket, recomputed from state whenever asked. The values are Linux's POLL* bits (poll(2)). */
enum net_readiness {
	NET_READABLE = 0x001,     /* POLLIN: bytes, a datagram, end of stream, or a connection to accept */
	NET_WRITABLE = 0x004,     /* POLLOUT */
	NET_URGENT = 0x002,       /* POLLPRI */
	NET_ERROR = 0x008,        /* POLLERR: SO_ERROR is set */
	NET_HANGUP = 0x010,       /* POLLHUP: both directions are shut */
	NET_READ_HANGUP = 0x2000, /* POLLRDHUP: the peer will send no more */
};

struct stack_config {
	struct loop *loop; /* its now_ns is the clock, its timers carry the protocols' */
	void *(*alloc)(void *context, size_t bytes); /* zeroed; NULL when short */
	void (*free)(void *context, void *memory, size_t bytes);
	void *alloc_context;
	struct pbuf_pool *pool;
	void (*random)(void *context, void *out, size_t bytes); /* unpredictable: ISN key, ports, IP identification */
	void *random_context;
	uint64_t (*wall_ns)(void *context); /* nanoseconds since 1970 for SO_TIMESTAMP; may be NULL */
	void *wall_context;
	/* A connection, listener or UDP socket became touched since the last flush: the owner must call stack_flush before long.
	 * Called at most once between two flushes. May be NULL. */
	void (*output_pending)(void *context);
	void *output_context;
	/* The user whose the connection or listener with this context of its event is: with SO_REUSEPORT a port is shared by those of
	 * one user. NULL: all are of one. */
	uint32_t (*tcp_owner)(void *event_context);
	/* Limits; 0 takes the default in brackets. */
	uint32_t max_connections; /* TCP connections of all states but TIME_WAIT [131072] */
	uint32_t max_time_wait;   /* [32768] */
	uint32_t max_udp_sockets; /* [16384] */
	uint32_t arp_entries;     /* [256] */
	uint32_t tcp_receive_buffer_bytes; /* default SO_RCVBUF [131072], Linux's tcp_rmem[1] */
	uint32_t tcp_receive_buffer_max;   /* autotuning's bound [6 MiB] */
	uint32_t tcp_send_buffer_bytes;    /* default SO_SNDBUF [16384], grows to max by autotuning as Linux's tcp_wmem */
	uint32_t tcp_send_buffer_max;      /* [4 MiB] */
	/* Data is acknowledged at the end of the turn that received it. Otherwise the ACK waits for data that carries it, for a
	 * second segment or for 40 ms (delayed ACKs). */
	bool tcp_acks_at_once;
};

int stack_create(struct stack **out, const struct stack_config *config);
/* Aborts every connection silently and frees everything. Owners must have let go of their sockets. */
void stack_destroy(struct stack *stack);
/* End of a turn: see above. Bounded by what was touched. */
void stack_flush(struct stack *stack);
/* Nobody runs for now: what waited for others to go first is ready to leave. True: a flush is due. */
bool stack_before_idle(struct stack *stack);
/* When a flush is due at the latest for what waits for others to go first; LOOP_NEVER: nothing does. */
uint64_t stack_held_until(const struct stack *stack);
/* Whether TCP holds bytes that nobody has read yet. */
bool stack_input_waits(const struct stack *stack);
struct loop *stack_loop(struct stack *stack);
struct pbuf_pool *stack_pool(struct stack *stack);

/* ---- interfaces ---- */

enum netif_offload {
	NETIF_TX_CSUM = 1 << 0, /* device completes PBUF_CSUM_PARTIAL */
	NETIF_TX_TSO4 = 1 << 1, /* device cuts PBUF_GSO_TCP4 */
	NETIF_TX_TSO6 = 1 << 2,
	NETIF_TX_TSO_ECN = 1 << 3,
	NETIF_LOOPBACK = 1 << 4,
};

/* Owned by the driver's glue, which fills the upper half before stack_add_netif. */
struct netif {
	char name[16];
	struct ethernet_address mac;
	uint32_t mtu;      /* IP bytes per frame */
	uint32_t offloads; /* enum netif_offload */
	/* One frame (Ethernet header first, headroom for the virtio-net header in front). Takes the reference, also on error.
	 * -ENOBUFS when the ring is full: the stack asks netif_can_transmit first where it can hold data back. */
	int (*transmit)(struct netif *netif, struct pbuf *frame);
	/* Ring slots free right now, in frames. */
	uint32_t (*transmit_space)(struct netif *netif);
	/* Frames that are sure to fit, kept by a driver that knows it cheaply: not 0 saves the
	 * call. */
	uint32_t room;
	/* Publish everything transmitted since the last flush; kick at most once. */
	void (*flush)(struct netif *netif);
	void *driver;
	/* Filled by the stack. */
	struct stack *stack;
	struct list_node link;
	struct netif_groups *groups; /* multicast, group.h */
	uint8_t index;               /* as programs count: 1 is loopback */
	struct ipv4_address address;
	uint32_t address_wire;   /* the same in network order */
	uint32_t broadcast_wire; /* of its network; address_wire where there is none */
	uint8_t prefix_length;
	bool up;
	struct netif_statistics {
		uint64_t rx_frames, rx_bytes, rx_dropped, rx_errors;
		uint64_t tx_frames, tx_bytes, tx_dropped, tx_busy, tx_software_gso, tx_software_csum;
	} statistics;
};

int stack_add_netif(struct stack *stack, struct netif *netif);
/* Address, prefix and default gateway (0: none). Announces itself and probes the gateway (ARP). The loopback interface
 * (127.0.0.1/8, mtu 65536) exists from stack_create on. */
int stack_set_address(struct stack *stack, struct netif *netif, struct ipv4_address address,
                      uint8_t prefix_length, struct ipv4_address gateway);
struct netif *stack_first_netif(struct stack *stack); /* the first that is not loopback, or NULL */
struct netif *stack_loopback(struct stack *stack);
struct netif *stack_netif_by_index(struct stack *stack, uint32_t index); /* NULL: there is none */
/* Whose address it is (loopback's: all of 127/8), or NULL. */
struct netif *stack_netif_by_address(struct stack *stack, struct ipv4_address address);
struct ipv4_address stack_gateway(struct stack *stack);
/* True when `address` is one of ours (127/8 included). */
bool stack_is_local_address(struct stack *stack, struct ipv4_address address);

/* A received frame, Ethernet header first; takes the reference. Never trusts a byte of it. */
void netif_input(struct netif *netif, struct pbuf *frame);
/* The driver has ring space again after transmit_space was 0: held-back output continues at the next flush. */
void netif_transmit_ready(struct netif *netif);

/* ---- DHCPv4 client (RFC 2131) ---- */

struct dhcp_result {
	struct ipv4_address address, gateway, dns[3], server;
	uint8_t prefix_length;
	uint16_t mtu;
	uint32_t lease_seconds;
	char domain[64];
};
/* Start on the interface; on every lease (and on loss: result NULL) `bound` is called; the stack has set the address already. */
int dhcp_start(struct stack *stack, struct netif *netif,
               void (*bound)(void *context, const struct dhcp_result *result), void *context);
void dhcp_stop(struct stack *stack, struct netif *netif);

/* ---- what one wants to see ---- */

#define ICMP_TYPES_COUNTED 19 /* all that RFC 1213 names */

struct stack_statistics {
	uint64_t ip_in, ip_out, ip_bad_header, ip_bad_checksum, ip_not_for_us, ip_no_route;
	uint64_t fragments_in, fragments_reassembled, fragments_dropped, fragments_out;
	uint64_t arp_in, arp_out, arp_failed, arp_queue_dropped;
	uint64_t icmp_in_of_type[ICMP_TYPES_COUNTED], icmp_out_of_type[ICMP_TYPES_COUNTED];
	uint64_t icmp_in, icmp_out, icmp_echo, icmp_bad, icmp_rate_limited;
	uint64_t igmp_in, igmp_out, igmp_bad;
	uint64_t udp_in, udp_out, udp_no_port, udp_bad, udp_buffer_dropped;
	uint64_t tcp_in, tcp_out, tcp_bad, tcp_retransmits, tcp_fast_retransmits, tcp_timeouts;
	uint64_t tcp_undone; /* losses that were none */
	uint64_t tcp_fast_path, tcp_slow_path, tcp_out_of_order, tcp_resets_in, tcp_resets_out;
	uint64_t tcp_active_opens, tcp_passive_opens, tcp_listen_overflows, tcp_syn_dropped;
	uint64_t tcp_challenge_acks, tcp_paws_dropped, tcp_delayed_acks, tcp_probes, tcp_keepalives;
	uint64_t tcp_tail_probes, tcp_too_far;
	uint64_t tcp_cookies_sent, tcp_cookies_received, tcp_cookies_failed;
	uint64_t tcp_predicted, tcp_answers; /* on the straight paths; counted there alone, added to
	                                        the others when read */
	uint64_t tcp_attempt_fails, tcp_establish_resets; /* RFC 4022's AttemptFails, EstabResets */
	uint64_t tcp_time_waits;                          /* that there ever were */
	uint64_t tcp_established; /* now, those in CLOSE_WAIT included; so are the following */
	uint64_t tcp_in_use, tcp_orphans;
	uint64_t tcp_live, tcp_time_wait, tcp_listeners, tcp_memory_bytes;
};
void stack_read_statistics(const struct stack *stack, struct stack_statistics *out);

struct arp_row {
	struct ipv4_address address;
	struct ethernet_address mac;
	const struct netif *netif;
	bool complete; /* the MAC is known */
};
/* Shows `visit` all entries, 256 at most. */
void arp_walk(const struct stack *stack, void (*visit)(void *context, const struct arp_row *row), void *context);
/* Check every invariant (tests). NULL when sound, else what is broken. */
const char *stack_verify(struct stack *stack);
