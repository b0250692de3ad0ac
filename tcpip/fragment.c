/*
 * IPv4 fragments (RFC 791 §3.2, RFC 815), both ways.
 *
 * Reassembly keeps the fragments of a datagram sorted by offset. It believes nothing: what overlaps
 * kills the datagram (as RFC 5722 demands for IPv6; an exact repetition is dropped alone), and
 * memory, datagrams and fragments per datagram have caps.
 */
#include "tcpip/stack_internal.h"

#include <errno.h>

#define REASSEMBLY_TIMEOUT_NS (30ull * 1000000000ull) /* Linux's ipfrag_time */
#define REASSEMBLY_DATAGRAMS  64
#define REASSEMBLY_FRAGMENTS  128 /* of one datagram: 65535 bytes at an MTU of 576 take 119 */
#define REASSEMBLY_BYTES      (1u << 20)

enum icmp_codes { TIME_EXCEEDED = 11, TIME_EXCEEDED_REASSEMBLY = 1 };

/* One datagram being put together. Allocated with its first fragment, freed when whole, broken or
 * too old. */
struct datagram {
	struct list_node link; /* reassembly.datagrams, oldest first */
	struct ip_packet ip;   /* of the fragment with offset 0 once it is there, else of the first
	                          that came */
	uint16_t identification;
	uint32_t fragments;
	uint32_t true_size;
	uint32_t bytes; /* payload received */
	uint32_t total; /* payload of the whole, 0: not known yet */
	uint64_t deadline_ns;
	struct list pieces; /* pbufs by `sequence`, their offset */
};

struct reassembly {
	struct stack *stack;
	struct list datagrams;
	uint32_t count;
	uint32_t true_size;
	struct loop_timer timer;
};

static struct pbuf *piece_of(struct list_node *node)
{
	return list_entry(node, struct pbuf, link);
}

static void datagram_drop(struct reassembly *reassembly, struct datagram *datagram)
{
	struct stack *stack = reassembly->stack;
	struct list_node *node;
	while ((node = list_pop_front(&datagram->pieces))) {
		stack->statistics.fragments_dropped++;
		pbuf_free(piece_of(node));
	}
	reassembly->true_size -= datagram->true_size;
	reassembly->count--;
	list_remove(&datagram->link);
	stack_free(stack, datagram, sizeof(*datagram));
}

static struct datagram *datagram_oldest(struct reassembly *reassembly)
{
	struct list_node *node = list_first(&reassembly->datagrams);
	return node ? list_entry(node, struct datagram, link) : NULL;
}

static void reassembly_rearm(struct reassembly *reassembly)
{
	const struct datagram *oldest = datagram_oldest(reassembly);
	loop_timer_arm(reassembly->stack->loop, &reassembly->timer,
	               oldest ? oldest->deadline_ns : LOOP_NEVER);
}

/* RFC 792: time exceeded is only told when the first fragment is at hand. */
static void reassembly_expire(struct loop *loop, struct loop_watcher *watcher, uint32_t events)
{
	struct reassembly *reassembly = container_of(watcher, struct reassembly, timer.watcher);
	struct datagram *oldest;
	(void)events;
	while ((oldest = datagram_oldest(reassembly)) && oldest->deadline_ns <= loop->now_ns) {
		const struct pbuf *first = piece_of(list_first(&oldest->pieces));
		if (first->sequence == 0)
			icmp_send_error(reassembly->stack, first, &oldest->ip, TIME_EXCEEDED,
			                TIME_EXCEEDED_REASSEMBLY);
		datagram_drop(reassembly, oldest);
	}
	reassembly_rearm(reassembly);
}

int reassembly_init(struct stack *stack)
{
	struct reassembly *reassembly = stack_alloc(stack, sizeof(*reassembly));
	if (!reassembly)
		return -ENOMEM;
	reassembly->stack = stack;
	list_init(&reassembly->datagrams);
	if (loop_timer_create(stack->loop, &reassembly->timer, LOOP_PRIORITY_HIGH,
	                      reassembly_expire)) {
		stack_free(stack, reassembly, sizeof(*reassembly));
		return -ENOMEM;
	}
	stack->reassembly = reassembly;
	return 0;
}

void reassembly_fini(struct stack *stack)
{
	struct reassembly *reassembly = stack->reassembly;
	struct datagram *datagram;
	while ((datagram = datagram_oldest(reassembly)))
		datagram_drop(reassembly, datagram);
	loop_timer_destroy(stack->loop, &reassembly->timer);
	stack_free(stack, reassembly, sizeof(*reassembly));
}

static struct datagram *datagram_find(struct reassembly *reassembly, const struct ip_packet *ip,
                                      uint16_t identification)
{
	list_for_each(node, &reassembly->datagrams)
	{
		struct datagram *d = list_entry(node, struct datagram, link);
		if (d->identification == identification && ipv4_equal(d->ip.source, ip->source) &&
		    ipv4_equal(d->ip.destination, ip->destination) &&
		    d->ip.protocol == ip->protocol && d->ip.netif == ip->netif)
			return d;
	}
	return NULL;
}

static struct datagram *datagram_create(struct reassembly *reassembly, const struct ip_packet *ip,
                                        uint16_t identification)
{
	if (reassembly->count >= REASSEMBLY_DATAGRAMS)
		datagram_drop(reassembly, datagram_oldest(reassembly));
	struct datagram *datagram = stack_alloc(reassembly->stack, sizeof(*datagram));
	if (!datagram)
		return NULL;
	datagram->ip = *ip;
	datagram->identification = identification;
	datagram->deadline_ns = stack_now(reassembly->stack) + REASSEMBLY_TIMEOUT_NS;
	list_init(&datagram->pieces);
	list_push_back(&reassembly->datagrams, &datagram->link);
	reassembly->count++;
	return datagram;
}

enum insertion { INSERTED, REPEATED, CONFLICT };

/* Put a fragment in its place, if its place is free. */
static enum insertion datagram_insert(struct datagram *datagram, struct pbuf *fragment,
                                      uint32_t offset, bool last)
{
	uint32_t end = offset + fragment->packet_length;
	if (datagram->fragments >= REASSEMBLY_FRAGMENTS)
		return CONFLICT;
	if (last ? datagram->total && datagram->total != end
	         : datagram->total && datagram->total <= end)
		return CONFLICT;
	struct list_node *position =
	        datagram->pieces.head.prev; /* usually fragments come in order */
	while (position != &datagram->pieces.head && piece_of(position)->sequence >= offset) {
		const struct pbuf *piece = piece_of(position);
		if (piece->sequence == offset && piece->packet_length == fragment->packet_length)
			return REPEATED;
		if (piece->sequence < end)
			return CONFLICT;
		position = position->prev;
	}
	if (position != &datagram->pieces.head) {
		const struct pbuf *before = piece_of(position);
		if (before->sequence + before->packet_length > offset)
			return CONFLICT;
		if (last && position != datagram->pieces.head.prev)
			return CONFLICT;
	} else if (last && !list_is_empty(&datagram->pieces)) {
		return CONFLICT;
	}
	fragment->sequence = offset;
	list_insert_between(&fragment->link, position, position->next);
	if (last)
		datagram->total = end;
	datagram->bytes += fragment->packet_length;
	datagram->fragments++;
	return INSERTED;
}

/* All pieces are there: one chain. */
static struct pbuf *datagram_join(struct reassembly *reassembly, struct datagram *datagram)
{
	struct pbuf *whole = piece_of(list_pop_front(&datagram->pieces));
	struct pbuf *last = whole;
	struct list_node *node;
	while ((node = list_pop_front(&datagram->pieces))) {
		while (last->next)
			last = last->next;
		last->next = piece_of(node);
	}
	whole->packet_length = datagram->total;
	whole->flags &= (uint8_t) ~(PBUF_CSUM_VALID | PBUF_CSUM_PARTIAL);
	datagram_drop(reassembly, datagram);
	return whole;
}

struct pbuf *reassembly_input(struct stack *stack, struct pbuf *fragment, struct ip_packet *ip,
                              uint16_t identification, uint16_t fragment_field)
{
	struct reassembly *reassembly = stack->reassembly;
	uint32_t offset = (fragment_field & IP_FRAGMENT_OFFSET) * 8u;
	uint32_t length = fragment->packet_length;
	bool last = !(fragment_field & IP_MORE_FRAGMENTS);
	stack->statistics.fragments_in++;
	if (length == 0 || (!last && length % 8) ||
	    offset + length + ip->header_bytes > IP_PACKET_MAX)
		goto drop;
	uint32_t true_size = pbuf_true_size(fragment);
	while (reassembly->true_size + true_size > REASSEMBLY_BYTES && reassembly->count)
		datagram_drop(reassembly, datagram_oldest(reassembly));
	struct datagram *datagram = datagram_find(reassembly, ip, identification);
	if (!datagram)
		datagram = datagram_create(reassembly, ip, identification);
	if (!datagram)
		goto drop;
	switch (datagram_insert(datagram, fragment, offset, last)) {
	case REPEATED:
		goto drop;
	case CONFLICT:
		datagram_drop(reassembly, datagram);
		reassembly_rearm(reassembly);
		goto drop;
	case INSERTED:
		break;
	}
	datagram->true_size += true_size;
	reassembly->true_size += true_size;
	if (offset == 0)
		datagram->ip = *ip;
	struct pbuf *whole = NULL;
	if (datagram->total && datagram->bytes == datagram->total) {
		*ip = datagram->ip;
		whole = datagram_join(reassembly, datagram);
		stack->statistics.fragments_reassembled++;
	}
	reassembly_rearm(reassembly);
	return whole;
drop:
	stack->statistics.fragments_dropped++;
	pbuf_free(fragment);
	return NULL;
}

/* [offset, offset + length) of the packet as a chain of slices behind a fresh, empty pbuf for the
 * headers. */
static struct pbuf *fragment_create(struct stack *stack, struct pbuf *packet, uint32_t offset,
                                    uint32_t length)
{
	struct pbuf *first = pbuf_alloc(stack->config.pool, PBUF_SMALL, PBUF_HEADROOM);
	if (!first)
		return NULL;
	struct pbuf *last = first;
	for (struct pbuf *p = packet; length; p = p->next) {
		if (offset >= p->length) {
			offset -= p->length;
			continue;
		}
		uint32_t step = p->length - offset < length ? p->length - offset : length;
		last->next = pbuf_slice(p, offset, step);
		if (!last->next) {
			pbuf_free(first);
			return NULL;
		}
		last = last->next;
		first->packet_length += step;
		length -= step;
		offset = 0;
	}
	return first;
}

int fragment_output(struct stack *stack, const struct route_cache *route, struct pbuf *packet,
                    const struct ip_fields *fields)
{
	uint32_t step = (route->mtu - IP_HEADER_BYTES) & ~7u, total = packet->packet_length;
	int error = 0;
	if (packet->flags & PBUF_CSUM_PARTIAL) {
		packet->csum_start = 0;
		if (!checksum_complete(packet))
			error = -EINVAL;
	}
	for (uint32_t offset = 0; offset < total && !error; offset += step) {
		uint32_t length = total - offset < step ? total - offset : step;
		struct pbuf *fragment = fragment_create(stack, packet, offset, length);
		if (!fragment) {
			error = -ENOBUFS;
			break;
		}
		struct ip_fields part = *fields;
		part.fragment = (uint16_t)(offset / 8);
		if (offset + length < total)
			part.fragment |= IP_MORE_FRAGMENTS;
		ip_push_header(fragment, &part);
		stack->statistics.fragments_out++;
		error = ip_send_to_next_hop(stack, route, fragment);
	}
	pbuf_free(packet);
	return error;
}

const char *reassembly_verify(struct stack *stack)
{
	const struct reassembly *reassembly = stack->reassembly;
	uint32_t count = 0, true_size = 0;
	list_for_each(node, &reassembly->datagrams)
	{
		struct datagram *d = list_entry(node, struct datagram, link);
		uint32_t end = 0, bytes = 0, fragments = 0;
		list_for_each(piece_node, &d->pieces)
		{
			const struct pbuf *piece = piece_of(piece_node);
			if (piece->sequence < end)
				return "reassembly: pieces overlap or are out of order";
			end = piece->sequence + piece->packet_length;
			bytes += piece->packet_length;
			fragments++;
		}
		if (fragments == 0 || fragments != d->fragments || bytes != d->bytes)
			return "reassembly: a datagram's counts are wrong";
		count++;
		true_size += d->true_size;
	}
	if (count != reassembly->count || true_size != reassembly->true_size)
		return "reassembly: the table's counts are wrong";
	if ((count != 0) != loop_timer_is_armed(&reassembly->timer) &&
	    !loop_watcher_is_pending(&reassembly->timer.watcher))
		return "reassembly: timer";
	return NULL;
}
