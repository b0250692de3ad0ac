/* Acknowledgements: what they free, measure and change (RFC 9293 §3.10.7.4 fifth, RFC 5681, 6298,
 * 6675). */
#include "tcpip/tcp_internal.h"

/* Linux's sk_stream_is_writeable: a third of the buffer is free. */
bool tcp_is_writable(const struct tcp_connection *c)
{
	uint32_t queued = tcp_unacked(c);
	return !c->starved && queued + queued / 2 <= c->send_buffer && !tcp_holds_unsent(c);
}

static inline void unit_free(struct tcp_connection *c, struct tcp_unit *unit)
{
	struct pbuf *buffer = unit->buffer;
	if (c->send_next == unit)
		c->send_next = NULL;
	c->tcp->send_held -= unit->held;
	if (__builtin_expect(unit->foreign, 0))
		tcp_free(c->tcp, unit, sizeof(*unit));
	pbuf_free(buffer);
}

static __attribute__((noinline)) void units_acknowledged(struct tcp_connection *c)
{
	struct list_node *first;
	while ((first = list_first(&c->send_queue)) != NULL) {
		struct tcp_unit *unit = list_entry(first, struct tcp_unit, link);
		int32_t acked = seq_diff(c->snd_una, unit->sequence);
		if (acked <= 0)
			return;
		if ((uint32_t)acked < unit->length) {
			unit->payload += acked;
			unit->length -= (uint32_t)acked;
			unit->capacity -= (uint32_t)acked;
			unit->sequence = c->snd_una;
			return;
		}
		list_remove(first);
		unit_free(c, unit);
	}
}

void tcp_units_acknowledged(struct tcp_connection *c)
{
	struct list_node *first = c->send_queue.head.next;
	struct tcp_unit *unit = list_entry(first, struct tcp_unit, link);
	if (__builtin_expect(first == &c->send_queue.head || first->next != &c->send_queue.head ||
	                             unit->sequence.value + unit->length != c->snd_una.value,
	                     0)) {
		units_acknowledged(c);
		return;
	}
	list_init(&c->send_queue);
	unit_free(c, unit);
}

/* RFC 6298 §2 with Linux's granularity: the variance term counts for at least 200 ms. */
static void rtt_take(struct tcp_connection *c, uint64_t rtt_us)
{
	uint32_t r = rtt_us > 60000000 ? 60000000 : (uint32_t)rtt_us;
	if (r == 0)
		r = 1;
	if (c->srtt_us8 == 0) {
		c->srtt_us8 = r * 8;
		c->rttvar_us4 = r * 2;
	} else {
		int32_t error = (int32_t)r - (int32_t)(c->srtt_us8 / 8);
		c->srtt_us8 = (uint32_t)((int32_t)c->srtt_us8 + error);
		uint32_t deviation = (uint32_t)(error < 0 ? -error : error);
		c->rttvar_us4 = c->rttvar_us4 - c->rttvar_us4 / 4 + deviation;
	}
	uint32_t rto = c->srtt_us8 / 8 + max_u32(c->rttvar_us4, TCP_RTO_MIN_US);
	c->rto_us = min_u32(rto, TCP_RTO_MAX_US);
}

void tcp_rtt_sample(struct tcp_connection *c, uint64_t rtt_us)
{
	c->min_rtt_us = min_u32(c->min_rtt_us, (uint32_t)min_u64(rtt_us ? rtt_us : 1, UINT32_MAX));
	rtt_take(c, rtt_us);
}

void tcp_round_trip_over(struct tcp_connection *c)
{
	uint64_t rtt_us = (tcp_now(c->tcp) - c->rtt_started_ns) / 1000;
	c->rtt_timing = false;
	tcp_rtt_sample(c, rtt_us);
	c->delivered = (uint32_t)c->bytes_acked - c->delivery_rate_mark;
	c->delivered_us = (uint32_t)rtt_us;
	c->delivery_rate_mark = (uint32_t)c->bytes_acked;
}

/* Linux's tcp_sndbuf_expand: twice the congestion window, in its unit of account. */
static void send_buffer_grow(struct tcp_connection *c)
{
	if (c->send_locked)
		return;
	uint64_t wanted = 2ull * c->cwnd / c->snd_mss * tcp_send_buffer_per_segment(c);
	if (wanted > c->tcp->send_max)
		wanted = c->tcp->send_max;
	if (wanted > c->send_buffer)
		c->send_buffer = (uint32_t)wanted;
}

/* Nothing more is known of what is acknowledged. A connection that never lost anything, and has
 * nothing in flight, keeps nothing. */
static void loss_acked(struct tcp_connection *c)
{
	struct tcp_loss *loss = c->loss;
	if (loss->repairs)
		tcp_repairs_trim(c);
	if (!loss->scoreboard)
		loss->reorder_ns = LOOP_NEVER;
	if (tcp_flight(c))
		return;
	tcp_sent_log_clear(c);
	if (!loss->scoreboard && !loss->may_undo && !loss->reorderings && !loss->dsack_duplicates)
		tcp_loss_purge(c);
}

void tcp_ack_advance(struct tcp_connection *c, struct tcp_seq ack, uint32_t timestamp_echo)
{
	uint32_t bytes = ack.value - c->snd_una.value, flight = tcp_flight(c);
	bool was_writable = tcp_is_writable(c);
	c->snd_una = ack;
	c->bytes_acked += bytes;
	tcp_units_acknowledged(c);
	if (c->rtt_timing && seq_le(c->rtt_sequence, ack))
		tcp_round_trip_over(c);
	else if (!c->rtt_timing && c->timestamps && timestamp_echo)
		rtt_take(c, (tcp_now_ms(c->tcp) + c->timestamp_offset - timestamp_echo) * 1000ull);
	c->retransmits = c->backoff = c->probes = 0;
	c->first_retransmit_ns = 0;
	c->soft_error = 0;
	if (seq_lt(c->small_sequence, ack))
		c->small_sequence = ack;
	if (seq_le(c->send_urgent, ack))
		c->odd &= (uint8_t)~TCP_ODD_URGENT_SENT;
	if (tcp_scoreboard(c)) {
		tcp_interval_trim(tcp_scoreboard(c), ack);
		if (!tcp_scoreboard(c)->count && !tcp_in_recovery(c)) {
			tcp_scoreboard_clear(c);
			c->congestion_state = TCP_CA_OPEN;
			c->odd &= (uint8_t)~TCP_ODD_RECOVERY;
		}
	}
	if (tcp_in_recovery(c)) {
		tcp_recovery_acked(c, bytes);
	} else {
		c->duplicate_acks = 0;
		c->recover = c->high_retransmitted = c->lost_edge = ack;
		if (!tcp_scoreboard(c)) {
			c->congestion_state = TCP_CA_OPEN;
			c->odd &= (uint8_t)~TCP_ODD_RECOVERY;
		}
		/* RFC 7661's point: a window that was not used says nothing about the path. */
		if (c->cwnd_limited || (c->cwnd < c->ssthresh && flight > c->cwnd / 2)) {
			tcp_congestion_acked(c, bytes);
			send_buffer_grow(c);
		}
	}
	if (c->loss)
		loss_acked(c);
	if (c->tail_probing)
		tcp_tail_acked(c);
	c->persist = false;
	c->retransmit_ns = LOOP_NEVER;
	if (tcp_flight(c))
		tcp_retransmit_timer_start(c);
	if (!was_writable && tcp_is_writable(c))
		tcp_notify(c, NET_WRITABLE);
	if (tcp_unsent(c) || (c->fin_queued && !c->fin_sent))
		tcp_output_schedule(c);
}

/* RFC 9293 §3.10.7.4: only a segment newer than the one that last set it changes the window. True
 * when it did. */
static bool update_window(struct tcp_connection *c, const struct tcp_segment *segment,
                          bool advanced)
{
	uint32_t window = (uint32_t)segment->window << c->snd_wscale;
	if (!(advanced || seq_lt(c->snd_wl1, segment->sequence) ||
	      (seq_eq(c->snd_wl1, segment->sequence) &&
	       (seq_lt(c->snd_wl2, segment->acknowledgment) ||
	        (seq_eq(c->snd_wl2, segment->acknowledgment) && window > c->snd_wnd)))))
		return false;
	bool changed = window != c->snd_wnd;
	c->snd_wl1 = segment->sequence;
	c->snd_wl2 = segment->acknowledgment;
	c->snd_wnd = window;
	c->max_snd_wnd = max_u32(c->max_snd_wnd, window);
	if (window)
		c->odd &= (uint8_t)~TCP_ODD_WINDOW;
	else
		c->odd |= TCP_ODD_WINDOW;
	return changed;
}

/* An ACK that acknowledges nothing new while data is outstanding. */
static void duplicate_ack(struct tcp_connection *c)
{
	if (c->duplicate_acks < UINT16_MAX)
		c->duplicate_acks++;
	if (!tcp_in_recovery(c))
		c->congestion_state = TCP_CA_DISORDER;
	c->odd |= TCP_ODD_RECOVERY;
	tcp_output_schedule(c); /* limited transmit (RFC 3042): pipe shrank */
}

/* Without SACK three duplicate ACKs say it of the first segment, after a tail probe one. */
static bool count_duplicates(struct tcp_connection *c)
{
	struct tcp_seq end = seq_add(c->snd_una, min_u32(c->snd_mss, tcp_flight(c)));
	if (c->duplicate_acks < (tcp_tail_is_probed(c) ? 1 : TCP_DUPACK_THRESHOLD) ||
	    seq_le(end, c->lost_edge))
		return false;
	c->lost_edge = end;
	return true;
}

bool tcp_loss_check(struct tcp_connection *c, uint32_t delivered)
{
	struct tcp_seq start;
	uint32_t length;
	bool more = c->sack ? tcp_rack_detect(c) : count_duplicates(c);
	if (tcp_in_recovery(c))
		tcp_output_schedule(c);
	/* RFC 6582 §3.2 (1): not again for a window that was repaired already. */
	else if (seq_le(c->recover, c->snd_una) &&
	         (seq_lt(c->snd_una, c->lost_edge) || tcp_next_lost(c, &start, &length)))
		tcp_recovery_enter(c, delivered);
	return more;
}

/* The window opened: probing ends. */
static void window_opened(struct tcp_connection *c)
{
	if (c->persist) {
		c->persist = false;
		c->retransmit_ns = LOOP_NEVER;
		c->backoff = 0;
	}
	tcp_output_schedule(c);
}

/* What of the bytes sent is known to have arrived, up to an offset that stays the same. Without
 * SACK a duplicate ACK tells of a segment. */
static uint32_t known_delivered(const struct tcp_connection *c)
{
	uint32_t beyond = c->sack ? tcp_scoreboard(c) ? tcp_scoreboard(c)->bytes : 0
	                          : c->duplicate_acks * c->snd_mss;
	return c->snd_una.value + beyond;
}

void tcp_ack_process(struct tcp_connection *c, struct tcp_segment *segment)
{
	struct tcp_seq ack = segment->acknowledgment;
	uint32_t echo = segment->options.has_timestamp ? segment->options.timestamp_echo : 0;
	uint32_t known_before = known_delivered(c);
	bool old = seq_lt(ack, c->snd_una), recovering = tcp_in_recovery(c);
	if (old)
		ack = c->snd_una;
	c->probes = 0;
	bool advanced = seq_lt(c->snd_una, ack);
	bool window_changed = !old && update_window(c, segment, advanced);
	if (c->tail_probing && !old && !window_changed)
		tcp_tail_duplicate_check(c, segment);
	if (c->loss && c->sack) {
		tcp_rack_begin(c);
		tcp_rack_arrived(c, c->snd_una, ack);
	}
	if (advanced)
		tcp_ack_advance(c, ack, echo);
	bool new_sack = tcp_sack_update(c, segment);
	/* With SACK only new information counts (RFC 6675 §2); without, RFC 5681 §2's five
	 * conditions. */
	bool duplicate = !advanced && !old && !window_changed && tcp_flight(c) &&
	                 !segment->length && !(segment->flags & TCP_FIN);
	if (c->sack ? new_sack : duplicate)
		duplicate_ack(c);
	if (c->loss)
		tcp_undo_check(c, advanced && recovering, echo);
	if (new_sack || c->duplicate_acks || tcp_scoreboard(c) || tcp_in_recovery(c)) {
		int32_t known = (int32_t)(known_delivered(c) - known_before);
		uint32_t delivered = known > 0 ? (uint32_t)known : 0;
		bool more_lost = tcp_loss_check(c, delivered);
		tcp_recovery_delivered(c, delivered, advanced && !more_lost);
	}
	if (window_changed)
		window_opened(c);
}
