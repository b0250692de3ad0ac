/*
 * A segment arrives: validation, lookup, and the fast path. The fast path takes the ordinary
 * segment of an ESTABLISHED connection: in order, nothing but ACK and PSH, the options that every
 * segment carries. Everything else goes to tcp_states.c.
 */
#include "tcpip/tcp_internal.h"

#define likely(condition)   __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)

static void start_delayed_ack(struct tcp_connection *c)
{
	c->delayed_ack_ns = tcp_now(c->tcp) + TCP_DELAYED_ACK_NS;
	tcp_timer_update(c, c->delayed_ack_ns);
}

/*
 * More than a segment is not acknowledged. Behind a packet that was merged of several there are
 * most likely more of them: while the user works on what he has, one ACK does for all, which to a
 * guest of a hypervisor is one kick instead of one in each turn. The sender waits no longer than
 * that work takes or TCP_HELD_ACK_NS, and has three quarters of the window meanwhile.
 */
static void acknowledge_stream(struct tcp_connection *c, uint32_t bytes, uint32_t unacknowledged)
{
	if (bytes <= c->rcv_mss || unacknowledged > tcp_window_space(c) / 4 || c->quickack_asked ||
	    c->tcp->acks_at_once) {
		tcp_ack_schedule(c);
		return;
	}
	if (c->ack_held && !c->ack_unread)
		return;
	if (c->delayed_ack_ns == LOOP_NEVER)
		start_delayed_ack(c);
	tcp_ack_hold(c);
}

void tcp_ack_decide(struct tcp_connection *c, uint32_t bytes)
{
	uint32_t unacknowledged = c->rcv_nxt.value - c->rcv_acked.value;
	if (unacknowledged > c->rcv_mss) {
		acknowledge_stream(c, bytes, unacknowledged);
		return;
	}
	if (c->quick && !c->pingpong && !c->quickack_off) {
		c->quick--;
		if (c->quickack_asked || bytes + TCP_TIMESTAMP_BYTES >= c->advertised_mss) {
			tcp_ack_schedule(c);
			return;
		}
		tcp_ack_hold_unread(c);
	}
	if (c->delayed_ack_ns == LOOP_NEVER) {
		if (unlikely(c->tcp->acks_at_once)) {
			tcp_ack_schedule(c);
			return;
		}
		start_delayed_ack(c);
	}
}

void tcp_data_received(struct tcp_connection *c, uint32_t bytes, uint32_t gso_size)
{
	uint32_t segment = gso_size && gso_size < bytes ? gso_size : bytes;
	if (unlikely(segment > c->rcv_mss))
		c->rcv_mss = (uint16_t)min_u32(segment, max_u32(c->advertised_mss, c->rcv_mss));
	c->bytes_received += bytes;
	c->data_segments_in++;
	c->last_data_received_ns = tcp_now(c->tcp);
	tcp_ack_decide(c, bytes);
	tcp_notify(c, NET_READABLE);
}

void tcp_window_changed(struct tcp_connection *c, uint32_t window)
{
	c->snd_wnd = window;
	c->max_snd_wnd = max_u32(c->max_snd_wnd, window);
	if (tcp_unsent(c) || (c->fin_queued && !c->fin_sent))
		tcp_output_schedule(c);
}

/* The payload of an ordinary segment: without its header, to the socket. */
static inline void fast_payload(struct tcp_connection *c, struct tcp_segment *s, uint32_t echo)
{
	struct pbuf *packet = s->packet;
	uint32_t gso_size = packet->gso_size;
	if (likely(packet->length > s->header_bytes))
		pbuf_pull(packet, s->header_bytes);
	else
		packet = pbuf_trim_front(packet, s->header_bytes);
	if (c->timestamps && s->length >= c->rcv_mss)
		tcp_receive_rtt(c, echo);
	tcp_receive_append(c, packet, s->length);
	tcp_data_received(c, s->length, gso_size);
}

/* False: not an ordinary segment; nothing was changed. */
static inline bool fast_input(struct tcp_connection *c, struct tcp_segment *s,
                              const uint8_t *header)
{
	uint32_t acked = s->acknowledgment.value - c->snd_una.value, value = 0, echo = 0;
	uint32_t window = (uint32_t)s->window << c->snd_wscale, flight = tcp_flight(c);
	if (c->odd || (s->flags & (uint8_t)~TCP_PSH) != TCP_ACK ||
	    !seq_eq(s->sequence, c->rcv_nxt) || acked > flight || window == 0 ||
	    s->length > tcp_receive_window(c) || tcp_receive_memory_is_short(c->tcp))
		return false;
	if (c->timestamps) {
		if (s->header_bytes != TCP_HEADER_BYTES + TCP_TIMESTAMP_BYTES ||
		    load_word(header + 20) != TCP_TIMESTAMP_WORD)
			return false;
		value = load_word(header + 24);
		echo = load_word(header + 28);
		if ((int32_t)(value - c->timestamp_recent) < 0)
			return false;
	} else if (s->header_bytes != TCP_HEADER_BYTES) {
		return false;
	}
	bool window_changed = window != c->snd_wnd;
	if (!acked && !s->length && flight && !window_changed)
		return false; /* a duplicate ACK */

	c->tcp->counters->tcp_fast_path++;
	c->segments_in++;
	c->last_received_ns = tcp_now(c->tcp);
	c->keepalive_probes = 0;
	/* RFC 7323 §4.3: the echo belongs to the oldest segment that is not acknowledged yet. */
	if (c->timestamps && seq_le(s->sequence, c->rcv_acked))
		c->timestamp_recent = value;
	c->snd_wl1 = s->sequence;
	c->snd_wl2 = s->acknowledgment;
	if (window_changed)
		tcp_window_changed(c, window);
	c->probes = 0;
	if (acked)
		tcp_ack_advance(c, s->acknowledgment, echo);
	if (s->length)
		fast_payload(c, s, echo);
	else
		pbuf_free(s->packet);
	return true;
}

static bool checksum_is_good(const struct pbuf *packet, const struct ip_packet *ip)
{
	if (packet->flags & (PBUF_CSUM_VALID | PBUF_CSUM_PARTIAL))
		return true;
	uint32_t sum = checksum_pseudo_ipv4(ip->source, ip->destination, IP_PROTOCOL_TCP,
	                                    packet->packet_length);
	return checksum_fold(checksum_pbuf(sum, packet, 0, packet->packet_length)) == 0;
}

/* SYN for a listener, or a segment of nobody's. */
static void no_flow(struct tcp_stack *tcp, struct tcp_segment *s)
{
	uint32_t hash = tcp_flow_hash(tcp, s->ip->destination, s->local_port, s->ip->source,
	                              s->remote_port);
	struct tcp_connection *listener = tcp_listener_find(tcp, s->ip, s->local_port, hash);
	if (listener)
		tcp_listen_segment(listener, s, seq(0), false);
	else
		tcp_reply_reset(tcp, s);
}

/* Is the segment the flow's at all, going by where it came in? */
static bool comes_in_rightly(struct tcp_flow *flow, const struct tcp_segment *s)
{
	uint8_t index = 0;
	if (flow->kind == TCP_FLOW_CONNECTION)
		index = tcp_flow_connection(flow)->bound_interface;
	else if (flow->kind == TCP_FLOW_REQUEST)
		index = container_of(flow, struct tcp_request, flow)->listener->bound_interface;
	else
		index = container_of(flow, struct tcp_time_wait, flow)->bound_interface;
	return interface_suits(index, s->ip->netif);
}

/* RFC 5082 §3: who is further away than that is not the peer. */
static bool is_too_far(const struct tcp_connection *c, const struct tcp_segment *s)
{
	return c->odd & TCP_ODD_GUARDED && s->ip->ttl < c->min_ttl;
}

static void slow_input(struct tcp_stack *tcp, struct tcp_flow *flow, struct tcp_segment *s,
                       const uint8_t *header)
{
	tcp->counters->tcp_slow_path++;
	if (s->flags & TCP_RST)
		tcp->counters->tcp_resets_in++;
	tcp_parse_options(header + TCP_HEADER_BYTES, s->header_bytes - TCP_HEADER_BYTES,
	                  &s->options);
	if (!flow || !comes_in_rightly(flow, s)) {
		if (flow) /* a listener could not have another of the same addresses */
			tcp_reply_reset(tcp, s);
		else
			no_flow(tcp, s);
		pbuf_free(s->packet);
		return;
	}
	if (flow->kind == TCP_FLOW_TIME_WAIT) {
		tcp_time_wait_segment(tcp, container_of(flow, struct tcp_time_wait, flow), s);
		pbuf_free(s->packet);
		return;
	}
	s->packet = pbuf_trim_front(s->packet, s->header_bytes);
	if (flow->kind == TCP_FLOW_CONNECTION && is_too_far(tcp_flow_connection(flow), s))
		tcp->counters->tcp_too_far++;
	else if (flow->kind == TCP_FLOW_CONNECTION)
		tcp_segment_arrives(tcp_flow_connection(flow), s);
	else
		tcp_request_segment(container_of(flow, struct tcp_request, flow), s);
	pbuf_free(s->packet);
}

void tcp_input(struct stack *stack, struct pbuf *packet, const struct ip_packet *ip)
{
	struct tcp_stack *tcp = stack_tcp(stack);
	uint32_t total = packet->packet_length;
	uint32_t header_bytes = total >= TCP_HEADER_BYTES ? (packet->data[12] >> 4) * 4u : 0;
	tcp->counters->tcp_in++;
	if (unlikely(header_bytes < TCP_HEADER_BYTES || header_bytes > total ||
	             !pbuf_pull_up(packet, header_bytes) || !checksum_is_good(packet, ip) ||
	             ipv4_is_multicast(ip->source) || ipv4_is_any(ip->source))) {
		tcp->counters->tcp_bad++;
		pbuf_free(packet);
		return;
	}
	const uint8_t *header = packet->data;
	uint32_t ports = load_word(header);
	struct tcp_segment s;
	s.packet = packet;
	s.ip = ip;
	s.remote_port = (uint16_t)(ports >> 16);
	s.local_port = (uint16_t)ports;
	s.sequence = seq(load_word(header + 4));
	s.acknowledgment = seq(load_word(header + 8));
	s.flags = header[13];
	s.window = load_be16(header + 14);
	s.urgent = load_be16(header + 18);
	s.header_bytes = (uint8_t)header_bytes;
	s.length = total - header_bytes;

	struct tcp_flow *flow =
	        tcp_flow_find(tcp, ip->destination, s.local_port, ip->source, s.remote_port);
	if (likely(flow && flow->kind == TCP_FLOW_CONNECTION)) {
		struct tcp_connection *c = tcp_flow_connection(flow);
		if (!c->odd && c->timestamps)
			tcp_arrival_learn(c, ip);
		if (likely(fast_input(c, &s, header)))
			return;
	}
	slow_input(tcp, flow, &s, header);
}
