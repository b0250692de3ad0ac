/* The slow path: RFC 9293 §3.10.7.3 and .4 with RFC 5961's and RFC 7323's checks, in their order.
 * One function per step. */
#include "tcpip/tcp_internal.h"

/* Answer to a segment that is not acceptable. Pure ACKs are answered at most every 500 ms: two
 * confused peers must fall silent. */
static void invalid_segment(struct tcp_connection *c, const struct tcp_segment *s)
{
	bool bare = !s->length && !(s->flags & TCP_SYN);
	uint64_t now = tcp_now(c->tcp);
	if (s->length && seq_le(seq_add(s->sequence, s->length), c->rcv_nxt))
		tcp_note_duplicate(c, s->sequence, seq_add(s->sequence, s->length));
	if (bare && c->invalid_ack_ns && now - c->invalid_ack_ns < TCP_INVALID_ACK_INTERVAL_NS)
		return;
	c->invalid_ack_ns = now;
	tcp_ack_schedule(c);
}

/* RFC 5961 §7: at most so many per second from the whole stack, and two per connection. */
void tcp_challenge_ack(struct tcp_connection *c)
{
	struct tcp_stack *tcp = c->tcp;
	uint64_t now = tcp_now(tcp), second = now / 1000000000ull;
	if (c->invalid_ack_ns && now - c->invalid_ack_ns < TCP_INVALID_ACK_INTERVAL_NS)
		return;
	if (tcp->challenge_second != second) {
		tcp->challenge_second = second;
		tcp->challenge_count = 0;
	}
	if (tcp->challenge_count >= TCP_CHALLENGE_PER_SECOND)
		return;
	tcp->challenge_count++;
	tcp->counters->tcp_challenge_acks++;
	c->invalid_ack_ns = now;
	tcp_ack_schedule(c);
}

/* Bytes of sequence space that the segment occupies. */
static uint32_t sequence_length(const struct tcp_segment *s)
{
	return s->length + !!(s->flags & TCP_SYN) + !!(s->flags & TCP_FIN);
}

/* RFC 7323 §5.3 R1: an old duplicate by its timestamp. Timestamps of a connection that was idle for
 * 24 days say nothing. */
static bool paws_rejects(const struct tcp_connection *c, const struct tcp_segment *s)
{
	if (!c->timestamps || !s->options.has_timestamp || s->flags & TCP_RST)
		return false;
	if ((int32_t)(s->options.timestamp_value - c->timestamp_recent) >= 0)
		return false;
	return tcp_now(c->tcp) - c->last_received_ns < TCP_PAWS_IDLE_NS;
}

/* As Linux: anything that reaches from the last ACK we sent to the window's right edge. */
static bool sequence_is_acceptable(const struct tcp_connection *c, const struct tcp_segment *s)
{
	struct tcp_seq end = seq_add(s->sequence, sequence_length(s));
	return seq_le(c->rcv_acked, end) &&
	       seq_le(s->sequence, seq_add(c->rcv_nxt, tcp_receive_window(c)));
}

/* RST in the right place (RFC 5961 §3.2). */
static void peer_reset(struct tcp_connection *c)
{
	int error = c->flow.state == TCP_SYN_SENT     ? ECONNREFUSED
	            : c->flow.state == TCP_CLOSE_WAIT ? EPIPE
	                                              : ECONNRESET;
	tcp_connection_finish(c, error);
}

/* The peer's SYN-ACK that completes a simultaneous open: what counts is its ACK. */
static bool completes_simultaneous_open(const struct tcp_connection *c, const struct tcp_segment *s)
{
	return c->flow.state == TCP_SYN_RECEIVED && s->flags & TCP_ACK &&
	       seq_eq(s->sequence, c->irs) && seq_eq(s->acknowledgment, c->snd_nxt);
}

/* What may be left of a segment that is not acceptable is its ACK, which may be news. Data that we
 * have already, from the last window's worth: a peer that is short of memory may have nothing but
 * its retransmissions to carry it. A segment behind the window's right edge: the peer sent more
 * than the window held, and numbers every later ACK behind that; for a closed window RFC 9293
 * §3.10.7.4 asks for it. passt is such a peer, and both sides would wait for each other until it
 * gives up. */
static bool reduce_to_ack(const struct tcp_connection *c, struct tcp_segment *s)
{
	int32_t ahead = seq_diff(s->sequence, c->rcv_nxt);
	uint32_t space = tcp_window_space(c);
	if (!(s->flags & TCP_ACK) || !tcp_is_synchronized(c))
		return false;
	if (ahead > 0) {
		if ((uint32_t)ahead > tcp_receive_window(c) + space)
			return false;
		/* Its time is not that of the next byte, nor does it order windows (SND.WL1). */
		s->options.has_timestamp = false;
		s->sequence = c->rcv_nxt;
	} else if (!s->length || -(uint32_t)ahead > space + s->length) {
		return false;
	}
	s->length = 0;
	s->flags = TCP_ACK;
	return true;
}

/* First to fourth check. False: the segment is dealt with. */
static bool segment_passes(struct tcp_connection *c, struct tcp_segment *s)
{
	if (paws_rejects(c, s)) {
		c->tcp->counters->tcp_paws_dropped++;
		invalid_segment(c, s);
		return false;
	}
	if (!sequence_is_acceptable(c, s)) {
		if (s->flags & TCP_RST)
			return false;
		if (s->flags & TCP_SYN) {
			tcp_challenge_ack(c);
			return false;
		}
		invalid_segment(c, s);
		return reduce_to_ack(c, s);
	}
	if (s->flags & TCP_RST) {
		if (seq_eq(s->sequence, c->rcv_nxt))
			peer_reset(c);
		else
			tcp_challenge_ack(c);
		return false;
	}
	if (s->flags & TCP_SYN && completes_simultaneous_open(c, s)) {
		s->flags &= (uint8_t)~TCP_SYN;
		s->sequence = c->rcv_nxt;
		s->window >>= c->snd_wscale; /* a SYN's window is not scaled */
	}
	if (s->flags & TCP_SYN) { /* RFC 5961 §4.2 */
		tcp_challenge_ack(c);
		return false;
	}
	return s->flags & TCP_ACK;
}

/* SYN_RECEIVED of a simultaneous open, or of a request's child. False: the segment is dealt with.
 */
static bool handshake_completes(struct tcp_connection *c, const struct tcp_segment *s)
{
	if (!seq_eq(s->acknowledgment, c->snd_nxt)) {
		tcp_reply_reset(c->tcp, s);
		return false;
	}
	c->snd_wnd = (uint32_t)s->window << c->snd_wscale;
	c->max_snd_wnd = c->snd_wnd;
	c->snd_wl1 = s->sequence;
	c->snd_wl2 = s->acknowledgment;
	if (!c->snd_wnd)
		c->odd |= TCP_ODD_WINDOW;
	c->snd_una = s->acknowledgment;
	if (c->rtt_timing) {
		c->rtt_timing = false;
		tcp_rtt_sample(c, (tcp_now(c->tcp) - c->rtt_started_ns) / 1000);
	}
	tcp_connection_established(c);
	tcp_notify(c, NET_WRITABLE);
	return true;
}

/* RFC 5961 §5.2: ACKs from outside [SND.UNA - MAX.SND.WND, SND.NXT] are challenged. */
static bool ack_is_acceptable(struct tcp_connection *c, const struct tcp_segment *s)
{
	int32_t behind = seq_diff(c->snd_una, s->acknowledgment);
	if (seq_lt(c->snd_nxt, s->acknowledgment) ||
	    (behind > 0 && (uint32_t)behind > c->max_snd_wnd)) {
		tcp_challenge_ack(c);
		return false;
	}
	return true;
}

/* Our FIN was acknowledged. False: the connection is closed, perhaps gone. */
static bool fin_acknowledged(struct tcp_connection *c)
{
	switch (c->flow.state) {
	case TCP_FIN_WAIT_1:
		tcp_connection_set_state(c, TCP_FIN_WAIT_2);
		if (c->orphan) {
			c->keepalive_ns = tcp_now(c->tcp) + c->linger2_s * 1000000000ull;
			tcp_timer_update(c, c->keepalive_ns);
		}
		tcp_notify(c, NET_HANGUP); /* whoever waits for the end of sending */
		return true;
	case TCP_CLOSING:
		tcp_time_wait_enter(c);
		return false;
	case TCP_LAST_ACK:
		tcp_connection_finish(c, 0);
		return false;
	default:
		return true;
	}
}

/* Sixth: the URG pointer (Linux: it points behind the urgent byte). */
static void urgent_check(struct tcp_connection *c, const struct tcp_segment *s)
{
	if (!(s->flags & TCP_URG) || !s->urgent)
		return;
	struct tcp_seq mark = seq_add(s->sequence, s->urgent - 1u);
	if (seq_lt(mark, c->rcv_copied) || seq_lt(mark, c->rcv_nxt))
		return;
	if (c->urgent_noted && seq_le(mark, c->urgent_sequence))
		return;
	/* As Linux: an earlier urgent byte that was next to be read gives way. */
	if (c->urgent_noted && !c->oob_inline && seq_eq(c->urgent_sequence, c->rcv_copied) &&
	    tcp_unread(c))
		tcp_receive_consume(c, 1);
	c->urgent_noted = true;
	c->urgent_valid = false;
	c->urgent_sequence = mark;
	c->odd |= TCP_ODD_URGENT;
	tcp_notify(c, NET_URGENT);
}

/* The urgent byte itself, when this segment brings it. */
static void urgent_take(struct tcp_connection *c, const struct tcp_segment *s)
{
	if (!c->urgent_noted || c->urgent_valid || !s->packet)
		return;
	int32_t offset = seq_diff(c->urgent_sequence, s->sequence);
	if (offset < 0 || (uint32_t)offset >= s->length)
		return;
	if (pbuf_copy_out(s->packet, (uint32_t)offset, &c->urgent_byte, 1) == 1) {
		c->urgent_valid = true;
		tcp_notify(c, NET_URGENT);
	}
}

/* Eighth: the peer will send no more. May free. */
static void peer_finished(struct tcp_connection *c)
{
	c->rcv_nxt = seq_add(c->rcv_nxt, 1);
	c->rcv_edge = seq_max(c->rcv_edge, c->rcv_nxt);
	c->fin_received = true;
	tcp_reassembly_purge(c);
	tcp_ack_schedule(c);
	c->pingpong = true;
	switch (c->flow.state) {
	case TCP_SYN_RECEIVED:
	case TCP_ESTABLISHED:
		tcp_connection_set_state(c, TCP_CLOSE_WAIT);
		break;
	case TCP_FIN_WAIT_1:
		tcp_connection_set_state(c, TCP_CLOSING);
		break;
	case TCP_FIN_WAIT_2:
		tcp_notify(c, NET_READABLE | NET_READ_HANGUP);
		tcp_time_wait_enter(c);
		return;
	default:
		break;
	}
	tcp_notify(c, NET_READABLE | NET_READ_HANGUP);
}

static bool may_receive(const struct tcp_connection *c)
{
	return c->flow.state == TCP_ESTABLISHED || c->flow.state == TCP_FIN_WAIT_1 ||
	       c->flow.state == TCP_FIN_WAIT_2;
}

/* Data for someone who said that he reads no more (RFC 9293 §3.6.1; Linux: TCPABORTONDATA). */
static bool data_is_unwanted(const struct tcp_connection *c, const struct tcp_segment *s)
{
	return c->receive_shut && c->flow.state != TCP_ESTABLISHED && s->length &&
	       seq_lt(c->rcv_nxt, seq_add(s->sequence, s->length));
}

/* Seventh and eighth. May free. */
static void accept_text(struct tcp_connection *c, struct tcp_segment *s)
{
	bool fin = s->flags & TCP_FIN;
	if (!s->length && !fin)
		return;
	if (!may_receive(c)) { /* the peer repeats what came before its FIN */
		tcp_ack_schedule(c);
		return;
	}
	if (data_is_unwanted(c, s)) {
		tcp_reply_reset(c->tcp, s);
		tcp_connection_finish(c, ECONNRESET);
		return;
	}
	urgent_take(c, s);
	if (tcp_receive_payload(c, s, fin))
		peer_finished(c);
}

void tcp_segment_accepted(struct tcp_connection *c, struct tcp_segment *s)
{
	/* RFC 7323 §4.3. */
	if (c->timestamps && s->options.has_timestamp && seq_le(s->sequence, c->rcv_acked) &&
	    (int32_t)(s->options.timestamp_value - c->timestamp_recent) >= 0)
		c->timestamp_recent = s->options.timestamp_value;
	tcp_ack_process(c, s);
	if (c->fin_sent && seq_eq(c->snd_una, c->snd_nxt) && !fin_acknowledged(c))
		return;
	urgent_check(c, s);
	accept_text(c, s);
}

void tcp_segment_arrives(struct tcp_connection *c, struct tcp_segment *s)
{
	c->segments_in++;
	if (c->flow.state == TCP_SYN_SENT) {
		tcp_syn_sent_arrives(c, s);
		return;
	}
	if (!segment_passes(c, s))
		return;
	if (c->flow.state == TCP_SYN_RECEIVED && !handshake_completes(c, s))
		return;
	if (!ack_is_acceptable(c, s))
		return;
	c->last_received_ns = tcp_now(c->tcp);
	c->keepalive_probes = 0;
	tcp_segment_accepted(c, s);
}

/* What the peer's SYN says. */
static void take_syn(struct tcp_connection *c, const struct tcp_segment *s)
{
	const struct tcp_options *o = &s->options;
	c->irs = s->sequence;
	c->rcv_nxt = seq_add(s->sequence, 1);
	c->rcv_copied = c->rcv_nxt;
	c->rcv_acked = s->sequence;
	c->peer_mss = o->mss ? o->mss : TCP_DEFAULT_MSS;
	c->sack = o->sack_permitted;
	c->timestamps = o->has_timestamp;
	if (c->timestamps)
		c->timestamp_recent = o->timestamp_value;
	c->window_scaling = o->has_window_scale;
	if (c->window_scaling)
		c->snd_wscale = o->window_scale;
	else
		c->snd_wscale = c->rcv_wscale = 0;
	c->rcv_edge = seq_add(c->rcv_nxt, min_u32(tcp_window_space(c), 65535));
	c->snd_wnd = s->window; /* never scaled in a SYN (RFC 7323 §2.2) */
	c->max_snd_wnd = c->snd_wnd;
	c->snd_wl1 = s->sequence;
	c->snd_wl2 = s->acknowledgment;
	if (!c->snd_wnd)
		c->odd |= TCP_ODD_WINDOW;
	c->rcv_mss = (uint16_t)min_u32(c->rcv_mss, c->advertised_mss);
	tcp_update_mss(c);
}

/* RFC 9293 §3.10.7.3. */
void tcp_syn_sent_arrives(struct tcp_connection *c, struct tcp_segment *s)
{
	if (s->flags & TCP_ACK && !seq_eq(s->acknowledgment, c->snd_nxt)) {
		tcp_reply_reset(c->tcp, s);
		return;
	}
	if (s->flags & TCP_RST) {
		if (s->flags & TCP_ACK)
			peer_reset(c);
		return;
	}
	if (!(s->flags & TCP_SYN))
		return;
	take_syn(c, s);
	s->sequence = seq_add(s->sequence, 1);
	if (!(s->flags & TCP_ACK)) { /* simultaneous open */
		tcp_connection_set_state(c, TCP_SYN_RECEIVED);
		c->syn_due = true;
		c->retransmits = c->backoff = 0;
		tcp_retransmit_timer_start(c);
		tcp_output_schedule(c);
		return;
	}
	c->snd_una = s->acknowledgment;
	c->bytes_acked = 1; /* as Linux: the SYN counts where it was sent first */
	c->syn_due = false;
	if (c->rtt_timing) {
		c->rtt_timing = false;
		tcp_rtt_sample(c, (tcp_now(c->tcp) - c->rtt_started_ns) / 1000);
	}
	tcp_connection_established(c);
	tcp_ack_schedule(c);
	tcp_notify(c, NET_WRITABLE);
	accept_text(c, s);
}
