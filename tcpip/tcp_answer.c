/*
 * The fast path of sending: the whole answer to a request lies unsent in one unit that fits a
 * segment, and nothing holds it back. It leaves in a straight line; everything else is
 * tcp_output.c's.
 */
#include "tcpip/tcp_headers.h"

#define likely(condition)   __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)

/* Congestion control, the peer's window and Nagle's algorithm let it go. */
static inline bool may_leave(const struct tcp_connection *c, uint32_t length, uint64_t now)
{
	uint32_t flight = tcp_flight(c);
	if (flight + length > c->cwnd || flight + length > c->snd_wnd)
		return false;
	if (flight)
		return c->nodelay || seq_le(c->small_sequence, c->snd_una) || length == c->snd_mss;
	/* After a pause the congestion window may be stale (RFC 5681 §4.1). */
	return now - c->last_sent_ns <= c->rto_us * 1000ull || !c->last_sent_ns;
}

/* As tcp_select_window, which sees to all but the case that the window need not move. */
static inline uint16_t window_to_tell(struct tcp_connection *c)
{
	uint32_t current = tcp_receive_window(c), space = c->receive_buffer / 2;
	uint32_t scaled = (current + (1u << c->rcv_wscale) - 1) >> c->rcv_wscale;
	if (unlikely(c->window_clamp || space >= current + c->rcv_mss || scaled > 65535))
		return tcp_select_window(c);
	c->rcv_edge = seq_add(c->rcv_nxt, scaled << c->rcv_wscale);
	return (uint16_t)scaled;
}

/* tcp_retransmit_timer_start for a lone segment, which no tail probe precedes. */
static inline void start_timer(struct tcp_connection *c, uint64_t now)
{
	if (unlikely(c->backoff)) {
		tcp_retransmit_timer_start(c);
		return;
	}
	c->retransmit_ns = c->timeout_ns = now + c->rto_us * 1000ull;
	c->tail_armed = false;
	tcp_timer_update(c, c->retransmit_ns);
}

static inline void note_sent(struct tcp_connection *c, uint32_t length, uint64_t now)
{
	c->tcp->counters->tcp_answers++;
	c->segments_out++;
	c->data_segments_out++;
	c->bytes_sent += length;
	c->rcv_acked = c->rcv_nxt;
	c->ack_now = false;
	c->delayed_ack_ns = LOOP_NEVER;
	tcp_sent_note(c);
	c->snd_nxt = c->write_seq;
	c->send_next = NULL;
	c->last_sent_ns = now;
	if (length < c->snd_mss)
		c->small_sequence = c->snd_nxt;
	if (!c->rtt_timing) {
		c->rtt_timing = true;
		c->rtt_sequence = c->snd_nxt;
		c->rtt_started_ns = now;
	}
	if (now - c->last_data_received_ns < TCP_DELAYED_ACK_NS)
		c->pingpong = true;
	if (c->retransmit_ns == LOOP_NEVER)
		start_timer(c, now);
}

bool tcp_send_answer(struct tcp_connection *c)
{
	struct tcp_unit *unit = c->send_next;
	struct netif *netif = c->route.netif;
	uint32_t length = c->write_seq.value - c->snd_nxt.value;
	uint64_t now = tcp_now(c->tcp);
	if (unlikely(!unit || c->odd || c->output_odd || length - 1 >= c->snd_mss ||
	             !seq_eq(unit->sequence, c->snd_nxt) || unit->length != length ||
	             unit->foreign || ((uintptr_t)unit->payload & 7) || !c->recent ||
	             c->recent->headers.generation != stack_generation(c->tcp->stack)))
		return false;
	struct pbuf *buffer = unit->buffer;
	if (unlikely(buffer->refs != 1 || !may_leave(c, length, now) || netif_is_full(netif)))
		return false;
	buffer->refs = 2;
	buffer->next = NULL;
	buffer->data = unit->payload - (TCP_HEADER_BYTES + TCP_TIMESTAMP_BYTES);
	buffer->length = buffer->packet_length = HEADERS_BYTES + length;
	tcp_headers_put(c, buffer, c->snd_nxt, length, TCP_ACK | TCP_PSH, window_to_tell(c));
	note_sent(c, length, now);
	netif_transmit(netif, buffer);
	return true;
}
