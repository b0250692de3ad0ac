/* UDP datagrams in and out. */
#include "tcpip/udp_internal.h"

#include <errno.h>

enum icmp_codes { UNREACHABLE = 3, UNREACHABLE_PORT = 3 };
enum udp_offsets { UDP_LENGTH = 4, UDP_CHECKSUM = 6 };

/* Of the notes: empty, and somebody has looked at it. */
#define DATAGRAM_PEEKED (1ull << 16)

#define UDP_PAYLOAD_MAX (IP_PACKET_MAX - IP_HEADER_BYTES - UDP_HEADER_BYTES)

/* ---- in ---- */

/* What udp_receive will want to know, kept in the fields that are free for the holder. */
static void datagram_note(struct stack *stack, struct pbuf *payload, const struct ip_packet *ip,
                          uint16_t source_port, uint16_t destination_port)
{
	payload->cookie[0] = (uint64_t)ip->source.value << 32 | ip->destination.value;
	payload->cookie[1] = (uint64_t)source_port << 48 | (uint64_t)destination_port << 32 |
	                     (uint64_t)ip->ttl << 8 | ip->tos;
	payload->csum_start = ip->netif->index;
	payload->stamp_ns =
	        stack->config.wall_ns ? stack->config.wall_ns(stack->config.wall_context) : 0;
}

/* RFC 3948 §2: a keepalive, or no marker of zeros where IKE has one. */
static bool is_esp(const struct pbuf *payload)
{
	enum { ESP_HEADER_BYTES = 8, KEEPALIVE = 0xff };
	uint8_t first[4] = { 0 };
	uint32_t length = payload->packet_length;
	pbuf_copy_out(payload, 0, first, length < sizeof(first) ? length : sizeof(first));
	return length == 1 ? first[0] == KEEPALIVE
	                   : length > ESP_HEADER_BYTES && load_be32(first) != 0;
}

static void socket_deliver(struct udp_socket *socket, struct pbuf *payload)
{
	uint32_t bytes = pbuf_true_size(payload);
	if (unlikely(socket->drops_esp) && is_esp(payload)) {
		socket->stack->statistics.udp_bad++;
		pbuf_free(payload);
		return;
	}
	/* As Linux: one datagram always fits, whatever its size. */
	if (socket->queue_bytes && socket->queue_bytes + bytes > socket->receive_limit) {
		socket->stack->statistics.udp_buffer_dropped++;
		socket->dropped++;
		pbuf_free(payload);
		return;
	}
	payload->sequence = socket->dropped;
	socket->queue_bytes += bytes;
	list_push_back(&socket->queue, &payload->link);
	socket->stack->statistics.udp_in++;
	socket->event(socket->context, NET_READABLE);
}

/* The same bytes and notes once more, by reference. */
static struct pbuf *datagram_clone(struct pbuf *payload)
{
	struct pbuf *first = NULL, **tail = &first;
	for (struct pbuf *p = payload; p; p = p->next) {
		*tail = pbuf_slice(p, 0, p->length);
		if (!*tail) {
			if (first)
				pbuf_free(first);
			return NULL;
		}
		tail = &(*tail)->next;
	}
	first->packet_length = payload->packet_length;
	first->csum_start = payload->csum_start;
	first->stamp_ns = payload->stamp_ns;
	first->cookie[0] = payload->cookie[0];
	first->cookie[1] = payload->cookie[1];
	return first;
}

/* To a group: every socket that hears it gets its own. */
static void deliver_to_group(struct netif *netif, struct pbuf *payload, struct endpoint local,
                             struct endpoint remote)
{
	struct stack *stack = netif->stack;
	struct udp_socket *socket = udp_table_next_listener(netif, NULL, local, remote);
	while (socket) {
		struct udp_socket *next = udp_table_next_listener(netif, socket, local, remote);
		struct pbuf *copy = next ? datagram_clone(payload) : pbuf_ref(payload);
		if (copy)
			socket_deliver(socket, copy);
		else
			stack->statistics.udp_buffer_dropped++;
		socket = next;
	}
	pbuf_free(payload);
}

/* RFC 768: length covers the header and lies within the packet; the checksum holds or is absent. */
static bool datagram_is_sound(struct pbuf *datagram, const struct ip_packet *ip)
{
	const uint8_t *h = datagram->data;
	uint32_t length = load_be16(h + UDP_LENGTH);
	if (length < UDP_HEADER_BYTES || length > datagram->packet_length)
		return false;
	if (length < datagram->packet_length)
		pbuf_trim_back(datagram, length);
	if (datagram->flags & (PBUF_CSUM_VALID | PBUF_CSUM_PARTIAL) ||
	    checksum_load(h + UDP_CHECKSUM) == 0)
		return true;
	uint32_t sum = checksum_pseudo_ipv4(ip->source, ip->destination, IP_PROTOCOL_UDP, length);
	return checksum_fold(checksum_pbuf(sum, datagram, 0, length)) == 0;
}

void udp_input(struct stack *stack, struct pbuf *datagram, const struct ip_packet *ip)
{
	if (!datagram_is_sound(datagram, ip)) {
		stack->statistics.udp_bad++;
		pbuf_free(datagram);
		return;
	}
	struct endpoint remote = { ip->source, load_be16(datagram->data) };
	struct endpoint local = { ip->destination, load_be16(datagram->data + 2) };
	if (unlikely(!list_is_empty(&stack->dhcp_clients)) && !(datagram->flags & PBUF_LOOPED) &&
	    dhcp_input(stack, datagram, ip))
		return;
	bool to_group =
	        ipv4_is_multicast(local.address) || netif_is_broadcast(ip->netif, local.address);
	struct udp_socket *socket = NULL;
	if (likely(!to_group)) {
		socket = udp_table_find(ip->netif, local, remote);
		if (!socket) {
			stack->statistics.udp_no_port++;
			icmp_send_error(stack, datagram, ip, UNREACHABLE, UNREACHABLE_PORT);
			pbuf_free(datagram);
			return;
		}
	}
	datagram_note(stack, datagram, ip, remote.port, local.port);
	pbuf_pull(datagram, UDP_HEADER_BYTES);
	if (to_group)
		deliver_to_group(ip->netif, datagram, local, remote);
	else
		socket_deliver(socket, datagram);
}

static void datagram_describe(const struct udp_socket *socket, struct pbuf *payload,
                              struct udp_datagram *out)
{
	uint64_t notes = payload->cookie[1];
	*out = (struct udp_datagram){
		.payload = payload,
		.source = { { (uint32_t)(payload->cookie[0] >> 32) }, (uint16_t)(notes >> 48) },
		.destination = { { (uint32_t)payload->cookie[0] }, (uint16_t)(notes >> 32) },
		.netif = stack_netif_by_index(socket->stack, payload->csum_start),
		.wall_ns = payload->stamp_ns,
		.dropped = payload->sequence,
		.ttl = (uint8_t)(notes >> 8),
		.tos = (uint8_t)notes,
	};
}

bool udp_receive(struct udp_socket *socket, struct udp_datagram *out)
{
	struct list_node *node = list_pop_front(&socket->queue);
	if (!node)
		return false;
	struct pbuf *payload = list_entry(node, struct pbuf, link);
	datagram_describe(socket, payload, out);
	socket->queue_bytes -= pbuf_true_size(payload);
	return true;
}

bool udp_peek(struct udp_socket *socket, struct udp_datagram *out, uint32_t *offset)
{
	uint32_t skip = offset ? *offset : 0;
	list_for_each(node, &socket->queue)
	{
		struct pbuf *payload = list_entry(node, struct pbuf, link);
		uint32_t length = payload->packet_length;
		bool seen = skip || payload->cookie[1] & DATAGRAM_PEEKED;
		if (offset && seen && skip >= length) {
			skip -= length;
			continue;
		}
		if (!length)
			payload->cookie[1] |= DATAGRAM_PEEKED;
		datagram_describe(socket, payload, out);
		if (offset)
			*offset = skip;
		return true;
	}
	return false;
}

uint32_t udp_queue_bytes(const struct udp_socket *socket)
{
	return socket->queue_bytes;
}

uint32_t udp_dropped(const struct udp_socket *socket)
{
	return socket->dropped;
}

uint32_t udp_next_length(const struct udp_socket *socket)
{
	struct list_node *node = list_first(&socket->queue);
	return node ? list_entry(node, struct pbuf, link)->packet_length : 0;
}

/* ---- out ---- */

struct pbuf *udp_payload_alloc(struct udp_socket *socket, uint32_t bytes)
{
	enum pbuf_class class_ = bytes <= 1536 ? PBUF_SMALL : bytes <= 3584 ? PBUF_PAGE : PBUF_UNIT;
	if (bytes > UDP_PAYLOAD_MAX)
		return NULL;
	struct pbuf *payload = pbuf_alloc(socket->stack->config.pool, class_, PBUF_HEADROOM);
	if (payload)
		payload->length = payload->packet_length = bytes;
	return payload;
}

/* What the socket's own settings say of the source; 0: nothing. */
static struct ipv4_address wanted_source(const struct udp_socket *socket,
                                         struct ipv4_address destination,
                                         const struct udp_send_options *options)
{
	struct ipv4_address source = options->source;
	if (!options->source_is_told && !socket->bound_to_group)
		source = socket->local.address;
	return ipv4_is_any(source) && ipv4_is_multicast(destination) ? socket->group_sending.source
	                                                             : source;
}

/* Which interface it has to be, by index; 0: by route. To groups, whose address has one leads by
 * its interface, as on Linux. */
static uint8_t wanted_interface(const struct udp_socket *socket, struct ipv4_address destination,
                                const struct udp_send_options *options, struct ipv4_address source)
{
	if (unlikely(options->interface))
		return options->interface;
	bool multicast = ipv4_is_multicast(destination);
	uint8_t index = multicast ? socket->group_interface : socket->unicast_interface;
	if (likely(!multicast && !ipv4_is_limited_broadcast(destination)) || index)
		return index;
	const struct netif *netif = stack_netif_by_address(socket->stack, source);
	return netif ? netif->index : 0;
}

int udp_route(struct udp_socket *socket, struct ipv4_address destination,
              const struct udp_send_options *options, struct ipv4_address *source)
{
	struct stack *stack = socket->stack;
	struct route_cache *route = &socket->route;
	struct ipv4_address wanted = wanted_source(socket, destination, options);
	uint8_t interface = wanted_interface(socket, destination, options, wanted);
	if (!route_is_current(stack, route) || !route->resolved || route->interface != interface ||
	    !ipv4_equal(socket->route_destination, destination)) {
		int error = route_lookup_by(stack, destination, interface, route);
		if (error)
			return error;
		socket->route_destination = destination;
		socket->to_broadcast = netif_is_broadcast(route->netif, destination);
	}
	if (!ipv4_is_any(options->source) && socket->foreign != UDP_FOREIGN_SENT &&
	    !stack_is_local_address(stack, options->source))
		return -ENETUNREACH;
	if (unlikely(socket->foreign == UDP_FOREIGN_BOUND) && !ipv4_is_any(wanted) &&
	    !stack_is_local_address(stack, wanted))
		return -ENETUNREACH;
	if (!route_suits_source(route, wanted))
		return -EINVAL;
	if (socket->to_broadcast && !options->broadcast_allowed)
		return -EACCES;
	if (unlikely(socket->on_link_only || options->on_link_only) &&
	    !route_is_on_link(route, destination))
		return -ENETUNREACH;
	*source = ipv4_is_any(wanted) ? route->source : wanted;
	return 0;
}

/* Everything that can be wrong with a send before the datagram is touched; the route is current
 * afterwards. */
static int send_prepare(struct udp_socket *socket, struct endpoint to, uint32_t bytes,
                        const struct udp_send_options *options, struct ipv4_address *source)
{
	struct stack *stack = socket->stack;
	if (socket->error)
		return -udp_take_error(socket);
	if (bytes > UDP_PAYLOAD_MAX)
		return -EMSGSIZE;
	const struct route_cache *route = &socket->route;
	int error = udp_route(socket, to.address, options, source);
	if (error)
		return error;
	bool whole = options->dont_fragment || options->segment;
	if (whole && bytes + UDP_HEADER_BYTES + IP_HEADER_BYTES > route->mtu) {
		if (!options->segment)
			udp_note_too_long(socket, to, route->mtu);
		return -EMSGSIZE;
	}
	if (!socket->local.port) {
		error = udp_table_bind(socket, (struct endpoint){ socket->bound_address, 0 });
		if (error)
			return error == -EAGAIN ? -EADDRINUSE : error;
	}
	if (netif_is_full(route->netif)) {
		if (!list_node_is_linked(&socket->blocked_link))
			list_push_back(&stack->udp->blocked, &socket->blocked_link);
		return -EAGAIN;
	}
	return 0;
}

/* Whoever is on this machine hears it as well, whole and by the same interface. */
static void loop_back(struct netif *netif, const struct pbuf *datagram,
                      const struct ip_fields *fields)
{
	struct stack *stack = netif->stack;
	uint32_t bytes = datagram->packet_length;
	enum pbuf_class class_ = bytes <= 1536 ? PBUF_SMALL : PBUF_UNIT;
	struct pbuf *copy = pbuf_alloc(stack->config.pool, class_, PBUF_HEADROOM);
	if (!copy) {
		stack->statistics.udp_buffer_dropped++;
		return;
	}
	copy->length = copy->packet_length = bytes;
	pbuf_copy_out(datagram, 0, copy->data, bytes);
	ip_push_header(copy, fields);
	loopback_send(netif, copy);
}

/* To a group, which may have members on this machine, or only there. */
static SLOW_PATH int send_to_group(struct udp_socket *socket, struct ipv4_address source,
                                   struct ipv4_address destination, struct pbuf *datagram,
                                   struct ip_output_options *options, bool ttl_is_told)
{
	const struct udp_group_sending *sending = &socket->group_sending;
	struct netif *netif = socket->route.netif;
	bool loops = socket->to_broadcast;
	if (!socket->to_broadcast) {
		if (!ttl_is_told)
			options->ttl = sending->ttl;
		loops = sending->loops &&
		        group_is_received(netif, destination, source, IP_PROTOCOL_UDP);
	}
	if (netif->offloads & NETIF_LOOPBACK)
		return ip_output(socket->stack, &socket->route, source, destination, datagram,
		                 options);
	const struct ip_fields fields = { .source = source,
		                          .destination = destination,
		                          .protocol = IP_PROTOCOL_UDP,
		                          .ttl = options->ttl,
		                          .tos = options->tos };
	if (loops)
		loop_back(netif, datagram, &fields);
	if (options->ttl == 0) { /* RFC 1112 §6.1 */
		pbuf_free(datagram);
		return 0;
	}
	return ip_output(socket->stack, &socket->route, source, destination, datagram, options);
}

int udp_send(struct udp_socket *socket, const struct endpoint *to, struct pbuf *payload,
             const struct udp_send_options *options)
{
	struct stack *stack = socket->stack;
	struct endpoint destination = to ? *to : socket->remote;
	if (ipv4_is_any(destination.address)) /* as Linux: this host */
		destination.address = ipv4(127, 0, 0, 1);
	struct ipv4_address source;
	int error = !to && !udp_is_connected(socket) ? -EDESTADDRREQ
	            : to && !to->port                ? -EINVAL
	                              : send_prepare(socket, destination, payload->packet_length,
	                                             options, &source);
	if (error) {
		pbuf_free(payload);
		return error;
	}
	uint32_t length = payload->packet_length + UDP_HEADER_BYTES;
	uint8_t *h = pbuf_push(payload, UDP_HEADER_BYTES);
	store_be16(h, socket->local.port);
	store_be16(h + 2, destination.port);
	store_be16(h + UDP_LENGTH, (uint16_t)length);
	checksum_store_partial(h + UDP_CHECKSUM, checksum_pseudo_ipv4(source, destination.address,
	                                                              IP_PROTOCOL_UDP, length));
	payload->flags = PBUF_CSUM_PARTIAL;
	payload->csum_offset = UDP_CHECKSUM;
	struct ip_output_options ip_options = {
		.protocol = IP_PROTOCOL_UDP,
		.ttl = options->ttl ? options->ttl : IP_DEFAULT_TTL,
		.tos = options->tos,
		/* What fits the path is marked, so that we learn when the path shrinks (Linux's
		   IP_PMTUDISC_WANT). */
		.dont_fragment =
		        length + IP_HEADER_BYTES <= socket->route.mtu && !options->may_fragment,
	};
	stack->statistics.udp_out++;
	if (unlikely(socket->to_broadcast || ipv4_is_multicast(destination.address)))
		error = send_to_group(socket, source, destination.address, payload, &ip_options,
		                      options->ttl_is_told);
	else
		error = ip_output(stack, &socket->route, source, destination.address, payload,
		                  &ip_options);
	/* Lost on this side of the wire is lost like on the other: UDP promises nothing. */
	return error == -ENOBUFS ? 0 : error;
}

void udp_set_send_buffer(struct udp_socket *socket, uint32_t bytes)
{
	/* The ring is the send buffer: udp_send refuses when it is full. Nothing else of a datagram
	 * waits here. */
	(void)socket;
	(void)bytes;
}
