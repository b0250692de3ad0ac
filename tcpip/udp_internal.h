/* UDP's own state, shared by udp.c (sockets), udp_table.c (ports and demultiplexing) and udp_data.c
 * (datagrams). */
#pragma once

#include "tcpip/stack_internal.h"
#include "tcpip/udp.h"

#define UDP_HASH_BUCKETS           512
#define UDP_DEFAULT_RECEIVE_BUFFER 212992 /* Linux's rmem_default */

struct udp_socket {
	struct list_node port_link;    /* udp_stack.ports, while bound */
	struct list_node demux_link;   /* udp_stack.connected or .unconnected, while bound */
	struct list_node blocked_link; /* udp_stack.blocked, while refused for want of ring space */
	struct stack *stack;
	udp_event *event;
	void *context;
	struct endpoint local;  /* port 0: not bound */
	struct endpoint remote; /* address 0: not connected; port 0: any (connect(2) to port 0) */
	struct ipv4_address bound_address; /* what udp_bind asked for */
	uint32_t owner;                    /* udp_set_owner */
	bool bound_explicitly;
	bool bound_to_group; /* bound_address is no source to send from */
	bool reuse_address, reuse_port;
	bool drops_esp;               /* udp_drop_esp */
	uint8_t foreign;              /* enum udp_foreign_address */
	bool bind_no_port;            /* udp_set_binding */
	bool on_link_only;            /* SO_DONTROUTE */
	bool to_broadcast;            /* route_destination is a broadcast address */
	struct port_range port_range; /* IP_LOCAL_PORT_RANGE */
	uint8_t bound_interface;      /* its index, 0: none */
	uint8_t unicast_interface;    /* where to send to one host by; 0: by route */
	uint8_t group_interface; /* where to send to groups by: the one bound to, or sending's */
	struct udp_group_sending group_sending;
	struct group_set groups;
	int error;
	bool keep_errors;
	struct error_queue errors; /* udp_error.c */
	struct route_cache route;  /* to route_destination */
	struct ipv4_address route_destination;
	struct list queue; /* received payloads; cookies: see datagram_note */
	uint32_t queue_bytes;
	uint32_t receive_limit; /* of queue_bytes */
	uint32_t dropped;       /* datagrams that had no room */
};

/* Three views of the bound sockets: by port (conflicts), by local port for those without a peer's
 * port, by all four values for the connected. So neither many connected nor many bound sockets make
 * a lookup slow. */
struct udp_stack {
	struct list ports[UDP_HASH_BUCKETS];
	struct list unconnected[UDP_HASH_BUCKETS];
	struct list connected[UDP_HASH_BUCKETS];
	struct list blocked;
	uint64_t key; /* of the hash, unpredictable */
	uint32_t sockets;
};

static inline bool udp_is_connected(const struct udp_socket *socket)
{
	return !ipv4_is_any(socket->remote.address);
}

/* ---- udp_data.c ---- */

/* Makes socket->route the way there, and tells the source address. -ENETUNREACH, -ENODEV, -EINVAL
 * (a loopback source towards the outside), -EACCES (broadcast). */
int udp_route(struct udp_socket *socket, struct ipv4_address destination,
              const struct udp_send_options *options, struct ipv4_address *source);

/* ---- udp_table.c ---- */

/* Bind to local.port, or to a free ephemeral one: -EADDRINUSE, -EAGAIN (none free). */
int udp_table_bind(struct udp_socket *socket, struct endpoint local);
void udp_table_unbind(struct udp_socket *socket);
/* local or remote changed. */
void udp_table_rehash(struct udp_socket *socket);
struct udp_socket *udp_table_find(const struct netif *netif, struct endpoint local,
                                  struct endpoint remote);
/* The next socket that hears a datagram to a group; `after` NULL: the first. */
struct udp_socket *udp_table_next_listener(const struct netif *netif, struct udp_socket *after,
                                           struct endpoint local, struct endpoint remote);
