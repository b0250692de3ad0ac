/*
 * UDP sockets (RFC 768) as the layer above sees them. A socket belongs to its creator until udp_close. Readiness changes are told
 * through `event`, which must only note them (post, wake): it must not call back into the same socket's send or close.
 */
#pragma once

#include "tcpip/error_queue.h"
#include "tcpip/group.h"
#include "tcpip/stack.h"

struct udp_socket;

typedef void udp_event(void *context, uint32_t readiness_that_may_have_changed);

struct udp_datagram {           /* what udp_receive hands out */
	struct pbuf *payload;   /* may be empty (length 0) but is never NULL */
	struct endpoint source, destination;
	struct netif *netif;
	uint64_t wall_ns; /* time of arrival */
	uint32_t dropped; /* by the socket for want of room, before it came */
	uint8_t ttl, tos;
};

struct udp_send_options {
	struct ipv4_address source; /* 0: by route or bound address (IP_PKTINFO) */
	uint8_t interface;          /* its index; 0: by route, or udp_set_interfaces (IP_PKTINFO) */
	uint8_t ttl, tos;           /* ttl 0: default 64; to multicast groups: udp_set_group_sending's */
	bool source_is_told; /* 0 means by route, whatever the socket is bound to */
	bool ttl_is_told;           /* for this very datagram: ttl counts to groups, too (IP_TTL) */
	bool broadcast_allowed;
	bool dont_fragment; /* -EMSGSIZE for what the path does not take whole */
	bool may_fragment;  /* routers may cut it; otherwise only what is cut here already */
	bool on_link_only; /* not through a gateway (MSG_DONTROUTE) */
	bool segment; /* of several (UDP_SEGMENT): fits the path or is refused, and no error is kept */
};

int udp_create(struct stack *stack, struct udp_socket **out, udp_event *event, void *context);
void udp_close(struct udp_socket *socket);
/* The user whose it is, at first 0: with SO_REUSEPORT a port is shared by the sockets of one. */
void udp_set_owner(struct udp_socket *socket, uint32_t owner);
/* Port 0 takes an ephemeral one (RFC 6056). reuse: SO_REUSEADDR/SO_REUSEPORT as Linux treats them for UDP.
 * -EADDRINUSE, -EADDRNOTAVAIL, -EINVAL (already bound). */
int udp_bind(struct udp_socket *socket, struct endpoint local, bool reuse_address, bool reuse_port);
/* What udp_bind was told of reuse, changed. */
void udp_set_reuse(struct udp_socket *socket, bool reuse_address, bool reuse_port);
/* UDP_ENCAP: what would be ESP in UDP, and keepalives of it, is dropped (RFC 3948; there are no security associations). */
void udp_drop_esp(struct udp_socket *socket, bool drop);
/* What to do with addresses that are not ours: -EADDRNOTAVAIL of bind; bind to them but send nothing from them, which is
 * -ENETUNREACH (IP_FREEBIND); or both (IP_TRANSPARENT). */
enum udp_foreign_address { UDP_FOREIGN_REFUSED, UDP_FOREIGN_BOUND, UDP_FOREIGN_SENT };
/* From now on. without_port: of udp_bind port 0 fixes the address only. */
void udp_set_binding(struct udp_socket *socket, enum udp_foreign_address foreign, bool without_port);
/* Interfaces by index, 0: any. Bound to one it hears and sends by that alone (SO_BINDTODEVICE); otherwise what goes to one host
 * leaves by the other (IP_UNICAST_IF). */
void udp_set_interfaces(struct udp_socket *socket, uint8_t bound, uint8_t unicast);
/* The ephemeral ports that it is given from now on, first to last; 0: as the system has it (IP_LOCAL_PORT_RANGE). */
void udp_set_port_range(struct udp_socket *socket, uint16_t first, uint16_t last);
/* From now on connect and send go through no gateway: -ENETUNREACH (SO_DONTROUTE). */
void udp_set_on_link_only(struct udp_socket *socket, bool on);
/* How datagrams to multicast groups leave: IP_MULTICAST_IF, IP_MULTICAST_TTL, IP_MULTICAST_LOOP of ip(7). At first by route, with
 * TTL 1, and looped back. */
struct udp_group_sending {
	uint8_t interface;           /* its index; 0: by route */
	struct ipv4_address source;  /* 0: the interface's */
	uint8_t ttl;                 /* 0: not beyond this host */
	bool loops;                  /* to members on this host, too */
};
void udp_set_group_sending(struct udp_socket *socket, const struct udp_group_sending *sending);
/* The groups that it is a member of; they end with it. */
struct group_set *udp_groups(struct udp_socket *socket);
/* Fixes the peer (filters input, ICMP errors surface as ECONNREFUSED; port 0: all of that host's) and, unless it is fixed already,
 * the source address. -ENETUNREACH, -EINVAL (a loopback source towards the outside), -EACCES (broadcast), -EAGAIN (no port left). */
int udp_connect(struct udp_socket *socket, struct endpoint remote, bool broadcast_allowed);
int udp_disconnect(struct udp_socket *socket); /* AF_UNSPEC */
struct endpoint udp_local(const struct udp_socket *socket);
struct endpoint udp_remote(const struct udp_socket *socket); /* address 0: not connected */
/* A payload buffer with room for all headers: `bytes` <= 65507. NULL: pool exhausted. The chain's pieces have length set;
 * fill them in order. */
struct pbuf *udp_payload_alloc(struct udp_socket *socket, uint32_t bytes);
/* Takes the payload, also on error. to NULL: the connected peer. -EDESTADDRREQ -EMSGSIZE -ENETUNREACH -EACCES (broadcast) -ENOBUFS
 * -EADDRINUSE (no port left), -EAGAIN (send buffer full: wait for NET_WRITABLE). Fragments when larger than the path (RFC 791). */
int udp_send(struct udp_socket *socket, const struct endpoint *to, struct pbuf *payload,
             const struct udp_send_options *options);
/* The first datagram of the queue; the payload becomes the caller's. False: none. */
bool udp_receive(struct udp_socket *socket, struct udp_datagram *out);
/* The same, but it stays there and is only lent. With an offset: the one that this byte of the queue lies in, whose offset within it
 * then is; an empty one lies at the bytes behind it until it was looked at once. */
bool udp_peek(struct udp_socket *socket, struct udp_datagram *out, uint32_t *offset);
/* What lies in the queue, in true size, and how many datagrams had no room in it. */
uint32_t udp_queue_bytes(const struct udp_socket *socket);
uint32_t udp_dropped(const struct udp_socket *socket);
uint32_t udp_next_length(const struct udp_socket *socket); /* FIONREAD: bytes of the first datagram */
uint32_t udp_readiness(const struct udp_socket *socket);
/* Pending error (positive errno), cleared by the call: SO_ERROR. */
int udp_take_error(struct udp_socket *socket);
void udp_set_error(struct udp_socket *socket, int error);
void udp_set_receive_buffer(struct udp_socket *socket, uint32_t bytes); /* counted in true size */

/* ---- the queue of errors (ip(7), IP_RECVERR) ---- */

/* From now on errors are kept, those of an unconnected socket as well; or no more, and those kept go. */
void udp_keep_errors(struct udp_socket *socket, bool keep);
/* The oldest; the payload becomes the caller's. False: none. */
bool udp_take_kept_error(struct udp_socket *socket, struct queued_error *out);
/* The sender refused a datagram as too long for the path; kept if errors are. */
void udp_note_too_long(struct udp_socket *socket, struct endpoint remote, uint32_t mtu);
void udp_set_send_buffer(struct udp_socket *socket, uint32_t bytes);
