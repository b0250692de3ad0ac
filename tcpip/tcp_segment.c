/* The only builder of TCP segments. It decides nothing: what is sent, and when, is tcp_output.c's.
 */
#include "tcpip/tcp_headers.h"

/* The 20 bytes in network order, and the pseudo-header's sum where the checksum
 * goes (PBUF_CSUM_PARTIAL). */
static void build_header(uint8_t *at, const struct tcp_flow *flow, struct tcp_seq sequence,
                         struct tcp_seq acknowledgment, uint32_t header_bytes, uint8_t flags,
                         uint16_t window, uint32_t total)
{
	store_be16(at, flow->local_port);
	store_be16(at + 2, flow->remote_port);
	store_word(at + 4, sequence.value);
	store_word(at + 8, acknowledgment.value);
	at[12] = (uint8_t)(header_bytes << 2);
	at[13] = flags;
	store_be16(at + 14, window);
	uint32_t sum = checksum_pseudo_ipv4(flow->local_address, flow->remote_address,
	                                    IP_PROTOCOL_TCP, total);
	uint16_t partial = (uint16_t)~checksum_fold(sum);
	memcpy(at + 16, &partial, sizeof(partial));
	at[18] = at[19] = 0;
}

/* Both are 4-aligned, and so is the length. */
static inline void copy_options(uint8_t *to, const uint8_t *from, uint32_t bytes)
{
	to = __builtin_assume_aligned(to, 4);
	from = __builtin_assume_aligned(from, 4);
	if (__builtin_expect(bytes == TCP_TIMESTAMP_BYTES, 1))
		memcpy(to, from, TCP_TIMESTAMP_BYTES);
	else
		memcpy(to, from, bytes);
}

static void set_metadata(struct pbuf *packet, uint32_t header_bytes, uint32_t length, uint32_t mss)
{
	packet->csum_start = 0;
	packet->csum_offset = 16;
	packet->header_length = (uint16_t)header_bytes;
	packet->flags = PBUF_CSUM_PARTIAL;
	packet->gso_size = 0;
	if (length > mss) {
		packet->flags |= PBUF_GSO_TCP4;
		packet->gso_size = (uint16_t)mss;
	}
}

/* The unit that holds `sequence`; unsent data and the head are where one looks most. */
static struct tcp_unit *find_unit(const struct tcp_connection *c, struct tcp_seq sequence)
{
	if (c->send_next && seq_le(c->send_next->sequence, sequence))
		return c->send_next;
	list_for_each(node, &c->send_queue)
	{
		struct tcp_unit *unit = list_entry(node, struct tcp_unit, link);
		if (seq_lt(sequence, seq_add(unit->sequence, unit->length)))
			return unit;
	}
	return NULL;
}

/* A view of bytes of a unit, without regard to the buffer's own `data`. */
static struct pbuf *unit_slice(const struct tcp_unit *unit, uint32_t offset, uint32_t length)
{
	struct pbuf *slice = pbuf_slice(unit->buffer, 0, 0);
	if (!slice)
		return NULL;
	slice->data = unit->payload + offset;
	slice->length = slice->packet_length = length;
	return slice;
}

/* A header buffer followed by slices of the units: for retransmissions, parts of a unit, and bytes
 * of several units. May take less than *length. */
static struct pbuf *gather(struct tcp_connection *c, struct tcp_unit *unit, struct tcp_seq sequence,
                           uint32_t *length, uint32_t header_bytes)
{
	struct pbuf *packet = pbuf_alloc(c->tcp->pool, PBUF_SMALL, PBUF_HEADROOM);
	if (!packet)
		return NULL;
	packet->length = header_bytes;
	struct pbuf *last = packet;
	uint32_t taken = 0, offset = sequence.value - unit->sequence.value;
	for (uint32_t pieces = 0; taken < *length && pieces < TCP_MAX_PIECES; pieces++) {
		uint32_t bytes = min_u32(*length - taken, unit->length - offset);
		struct pbuf *slice = unit_slice(unit, offset, bytes);
		if (!slice)
			break;
		last->next = slice;
		last = slice;
		taken += bytes;
		offset = 0;
		if (unit->link.next == &c->send_queue.head)
			break;
		unit = list_entry(unit->link.next, struct tcp_unit, link);
	}
	if (!taken) {
		pbuf_free(packet);
		return NULL;
	}
	packet->packet_length = header_bytes + taken;
	*length = taken;
	return packet;
}

/* The header goes right in front of the payload, in the unit's own buffer, which no device reads.
 */
static struct pbuf *in_place(struct tcp_unit *unit, uint32_t length, uint32_t header_bytes)
{
	struct pbuf *buffer = unit->buffer;
	buffer->next = NULL;
	buffer->data = unit->payload - header_bytes;
	buffer->length = buffer->packet_length = header_bytes + length;
	return pbuf_ref(buffer);
}

/* Headers are written in words: move the payload down over bytes that were acknowledged. */
static void align_payload(struct tcp_unit *unit)
{
	uint32_t shift = (uintptr_t)unit->payload & 7;
	if (!shift)
		return;
	memmove(unit->payload - shift, unit->payload, unit->length);
	unit->payload -= shift;
	unit->capacity += shift;
}

/* Payload with room for the header in front. *length may become less. NULL: no memory. */
static struct pbuf *payload_packet(struct tcp_connection *c, struct tcp_seq sequence,
                                   uint32_t *length, uint32_t header_bytes)
{
	struct tcp_unit *unit = find_unit(c, sequence);
	if (!unit)
		return NULL;
	bool own = !unit->foreign && unit->buffer->refs == 1 && seq_eq(unit->sequence, sequence);
	if (own && *length <= unit->length && ((uintptr_t)unit->payload & 7) == 0)
		return in_place(unit, *length, header_bytes);
	struct pbuf *packet = gather(c, unit, sequence, length, header_bytes);
	if (packet || !own)
		return packet;
	/* Memory held by data that could not leave for want of memory would never come back: send
	 * what needs none. */
	align_payload(unit);
	*length = min_u32(*length, unit->length);
	return in_place(unit, *length, header_bytes);
}

static struct pbuf *control_packet(struct tcp_stack *tcp, uint32_t header_bytes)
{
	struct pbuf *packet = pbuf_alloc(tcp->pool, PBUF_SMALL, PBUF_HEADROOM);
	if (packet)
		packet->length = packet->packet_length = header_bytes;
	return packet;
}

static uint32_t build_connection_syn_options(struct tcp_connection *c, uint8_t *at, bool reply)
{
	const struct tcp_syn_options options = {
		.mss = c->advertised_mss,
		.window_scale = c->rcv_wscale,
		.sack = reply ? c->sack : true,
		.timestamps = reply ? c->timestamps : true,
		.window_scaling = reply ? c->window_scaling : true,
		.timestamp_value = tcp_now_ms(c->tcp) + c->timestamp_offset,
		.timestamp_echo = c->timestamp_recent,
	};
	return tcp_build_syn_options(at, &options);
}

uint32_t tcp_window_space(const struct tcp_connection *c)
{
	uint32_t space = c->receive_buffer / 2;
	return c->window_clamp ? min_u32(space, c->window_clamp) : space;
}

/* Room for more in-order bytes; none while the unread ones hold too much memory. */
uint32_t tcp_free_window(const struct tcp_connection *c)
{
	uint32_t space = tcp_window_space(c), unread = tcp_unread(c);
	if (unread >= space || c->receive_true >= 2 * c->receive_buffer ||
	    tcp_receive_memory_is_short(c->tcp))
		return 0;
	return space - unread;
}

uint16_t tcp_select_window(struct tcp_connection *c)
{
	uint32_t current = tcp_receive_window(c), window = current, space = tcp_window_space(c);
	uint32_t step = min_u32(c->rcv_mss, space / 2);
	/* Receiver's silly window avoidance (RFC 9293 §3.8.6.2.2); the edge never retracts. */
	if (space >= current + step) {
		window = tcp_free_window(c);
		if (window < current + step)
			window = current;
	}
	window = min_u32(window, 65535u << c->rcv_wscale);
	uint32_t scaled = window >> c->rcv_wscale;
	if (scaled << c->rcv_wscale < current)
		scaled = min_u32(scaled + 1, 65535);
	struct tcp_seq edge = seq_add(c->rcv_nxt, scaled << c->rcv_wscale);
	c->rcv_edge = seq_max(c->rcv_edge, edge);
	return (uint16_t)scaled;
}

static void acknowledgment_sent(struct tcp_connection *c)
{
	c->rcv_acked = c->rcv_nxt;
	c->ack_now = false;
	c->delayed_ack_ns = LOOP_NEVER;
}

static void count_sent(struct tcp_connection *c, uint32_t length)
{
	uint32_t segments = length > c->snd_mss ? (length + c->snd_mss - 1) / c->snd_mss : 1;
	c->segments_out += segments;
	c->tcp->counters->tcp_out++;
	if (!length)
		return;
	c->data_segments_out += segments;
	c->bytes_sent += length;
}

static int transmit(struct tcp_connection *c, struct pbuf *packet)
{
	const struct ip_output_options options = {
		.protocol = IP_PROTOCOL_TCP,
		.ttl = c->ttl,
		.tos = c->tos,
		.dont_fragment = true,
	};
	int error = ip_output(c->tcp->stack, &c->route, c->flow.local_address,
	                      c->flow.remote_address, packet, &options);
	/* A segment that was lost on the way down is repaired like one lost on the wire. */
	if (error == -EHOSTUNREACH || error == -ENETUNREACH)
		c->soft_error = (uint16_t)-error;
	return 0;
}

/* ---- ordinary segments ---- */

/* Ones' complement sum of the 16-bit words of both, as they lie in memory. */
static inline uint16_t sum_words(uint64_t a, uint64_t b)
{
	uint64_t sum = (uint32_t)a + (a >> 32) + (uint32_t)b + (b >> 32);
	sum = (sum >> 16) + (sum & 0xffff);
	return (uint16_t)~checksum_fold((uint32_t)sum);
}

/* How far the words of the headers and those of a route's Ethernet header are apart. */
_Static_assert(offsetof(struct route_cache, ethernet_header) % 8 == 2, "aligned words");

void tcp_headers_make(struct tcp_connection *c)
{
	struct tcp_headers *h = &c->recent->headers;
	const struct route_cache *route = &c->route;
	h->generation = 0;
	if (!c->timestamps || !tcp_is_synchronized(c) || !route->resolved ||
	    route->netif->offloads & NETIF_LOOPBACK)
		return;
	const struct tcp_flow *flow = &c->flow;
	const uint8_t *ethernet = route->ethernet_header;
	uint64_t ethernet_tail = *(const long_alias *)(const void *)(ethernet + 6);
	uint64_t version = 0x45 | (uint32_t)c->tos << 8;
	/* Don't fragment; no identification (RFC 6864 §4.1). */
	uint64_t fixed = 0x40 << 16 | (uint64_t)c->ttl << 32 | (uint64_t)IP_PROTOCOL_TCP << 40;
	uint64_t addresses = wire32(flow->local_address.value) | wire32(flow->remote_address.value)
	                                                                 << 32;
	h->word[0] = (uint64_t)(*(const half_alias *)(const void *)ethernet) << 48;
	h->word[1] = *(const word_alias *)(const void *)(ethernet + 2) | ethernet_tail << 32;
	h->word[2] = ethernet_tail >> 32 | version << 32;
	h->word[3] = fixed;
	h->word[4] = addresses;
	h->ip_sum = sum_words(addresses, (fixed >> 32) + (uint32_t)fixed + version);
	h->tcp_sum = sum_words(addresses, wire16(IP_PROTOCOL_TCP));
	h->ports = (uint32_t)(wire16(flow->local_port) | wire16(flow->remote_port) << 16);
	h->generation = route->generation;
}

/* The headers are current, and no option but timestamps is due. */
static inline bool is_ordinary(const struct tcp_connection *c, uint32_t length, uint8_t flags)
{
	if (!c->recent || c->recent->headers.generation != c->route.generation ||
	    !route_is_current(c->tcp->stack, &c->route) || flags & TCP_SYN ||
	    c->odd & TCP_ODD_URGENT_SENT)
		return false;
	return length || !(c->dsack_due || (c->reassembly && c->reassembly->block_count));
}

/* -ENOBUFS, or the payload bytes that went out. */
static int send_ordinary(struct tcp_connection *c, struct tcp_seq sequence, uint32_t length,
                         uint8_t flags)
{
	const uint32_t header_bytes = TCP_HEADER_BYTES + TCP_TIMESTAMP_BYTES;
	uint32_t wanted = length;
	struct pbuf *packet = length ? payload_packet(c, sequence, &length, header_bytes)
	                             : control_packet(c->tcp, header_bytes);
	if (!packet)
		return -ENOBUFS;
	if (length < wanted)
		flags &= (uint8_t) ~(TCP_FIN | TCP_PSH);
	packet->packet_length += HEADERS_BELOW_TCP;
	packet->length += HEADERS_BELOW_TCP;
	tcp_headers_put(c, packet, sequence, length, flags, tcp_select_window(c));
	if (length > c->snd_mss) {
		packet->flags |= PBUF_GSO_TCP4;
		packet->gso_size = c->snd_mss;
	}
	acknowledgment_sent(c);
	count_sent(c, length);
	c->tcp->counters->ip_out++;
	netif_send(c->route.netif, packet);
	return (int)length;
}

/* RFC 9293 §3.8.5, with RFC 6093's reading of it: the pointer points behind the urgent byte. */
static void add_urgent_pointer(const struct tcp_connection *c, uint8_t *header,
                               struct tcp_seq sequence)
{
	int32_t ahead = seq_diff(c->send_urgent, sequence);
	if (ahead <= 0)
		return;
	header[13] |= TCP_URG;
	store_be16(header + 18, (uint16_t)min_u32((uint32_t)ahead, 65535));
}

/* Returns the payload bytes that went out (perhaps fewer than asked for), or -ENOBUFS: nothing was
 * sent. */
int tcp_send_segment(struct tcp_connection *c, struct tcp_seq sequence, uint32_t length,
                     uint8_t flags)
{
	if (__builtin_expect(is_ordinary(c, length, flags), 1))
		return send_ordinary(c, sequence, length, flags);
	_Alignas(4) uint8_t options[40];
	uint32_t option_bytes, wanted = length;
	if (flags & TCP_SYN)
		option_bytes = build_connection_syn_options(c, options, flags & TCP_ACK);
	else
		option_bytes = tcp_build_options(options, c, length == 0);
	uint32_t header_bytes = TCP_HEADER_BYTES + option_bytes;
	struct pbuf *packet = length ? payload_packet(c, sequence, &length, header_bytes)
	                             : control_packet(c->tcp, header_bytes);
	if (!packet)
		return -ENOBUFS;
	if (length < wanted)
		flags &= (uint8_t) ~(TCP_FIN | TCP_PSH);
	uint16_t window;
	if (flags & TCP_SYN)
		window = (uint16_t)min_u32(tcp_receive_window(c), 65535);
	else
		window = tcp_select_window(c);
	build_header(packet->data, &c->flow, sequence, flags & TCP_ACK ? c->rcv_nxt : seq(0),
	             header_bytes, flags, window, header_bytes + length);
	if (c->odd & TCP_ODD_URGENT_SENT)
		add_urgent_pointer(c, packet->data, sequence);
	copy_options(packet->data + TCP_HEADER_BYTES, options, option_bytes);
	set_metadata(packet, header_bytes, length, c->snd_mss);
	if (flags & TCP_ACK)
		acknowledgment_sent(c);
	count_sent(c, length);
	transmit(c, packet);
	return (int)length;
}

void tcp_send_reset(struct tcp_connection *c)
{
	struct pbuf *packet = control_packet(c->tcp, TCP_HEADER_BYTES);
	if (!packet || !tcp_update_route(c)) {
		pbuf_free(packet);
		return;
	}
	build_header(packet->data, &c->flow, c->snd_nxt, c->rcv_nxt, TCP_HEADER_BYTES,
	             TCP_RST | TCP_ACK, tcp_is_synchronized(c) ? tcp_select_window(c) : 0,
	             TCP_HEADER_BYTES);
	set_metadata(packet, TCP_HEADER_BYTES, 0, 1);
	c->tcp->counters->tcp_resets_out++;
	count_sent(c, 0);
	transmit(c, packet);
	stack_note_output(c->tcp->stack);
}

void tcp_send_bare(struct tcp_stack *tcp, const struct tcp_bare_segment *segment)
{
	struct route_cache route;
	if (route_lookup_by(tcp->stack, segment->flow->remote_address, segment->interface,
	                    &route) ||
	    !route_suits_source(&route, segment->flow->local_address))
		return;
	uint32_t header_bytes = TCP_HEADER_BYTES + segment->option_bytes;
	struct pbuf *packet = control_packet(tcp, header_bytes);
	if (!packet)
		return;
	build_header(packet->data, segment->flow, segment->sequence, segment->acknowledgment,
	             header_bytes, segment->flags, segment->window, header_bytes);
	memcpy(packet->data + TCP_HEADER_BYTES, segment->options, segment->option_bytes);
	set_metadata(packet, header_bytes, 0, 1);
	tcp->counters->tcp_out++;
	const struct ip_output_options options = {
		.protocol = IP_PROTOCOL_TCP,
		.ttl = 64,
		.tos = segment->tos,
		.dont_fragment = true,
	};
	ip_output(tcp->stack, &route, segment->flow->local_address, segment->flow->remote_address,
	          packet, &options);
	stack_note_output(tcp->stack);
}

/* RFC 9293 §3.10.7.1: a segment for which there is no connection. Never in answer to a RST. */
void tcp_reply_reset(struct tcp_stack *tcp, const struct tcp_segment *segment)
{
	const struct tcp_flow flow = tcp_segment_flow(segment);
	if (segment->flags & TCP_RST)
		return;
	struct tcp_bare_segment reset = { .flow = &flow };
	if (segment->flags & TCP_ACK) {
		reset.flags = TCP_RST;
		reset.sequence = segment->acknowledgment;
	} else {
		uint32_t length = segment->length + !!(segment->flags & TCP_SYN) +
		                  !!(segment->flags & TCP_FIN);
		reset.flags = TCP_RST | TCP_ACK;
		reset.acknowledgment = seq_add(segment->sequence, length);
	}
	tcp->counters->tcp_resets_out++;
	tcp_send_bare(tcp, &reset);
}
