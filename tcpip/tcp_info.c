/* What one can ask about a connection: readiness, errors, addresses, TCP_INFO. */
#include "tcpip/tcp_internal.h"

/* As Linux: a reader who waits for more than the window lets in gets what is there. */
static bool reaches_lowat(const struct tcp_connection *c, uint32_t unread)
{
	return unread >= c->receive_lowat || tcp_free_window(c) <= c->rcv_mss;
}

/* Linux's tcp_stream_is_readable: the urgent byte itself does not count unless it is inline. */
static bool is_readable(const struct tcp_connection *c)
{
	uint32_t unread = tcp_unread(c);
	if (unread && c->urgent_noted && !c->oob_inline &&
	    seq_eq(c->urgent_sequence, c->rcv_copied))
		unread--;
	return unread && reaches_lowat(c, unread);
}

static __attribute__((noinline)) uint32_t readiness_of_any(const struct tcp_connection *c)
{
	uint32_t ready = 0;
	enum tcp_state state = c->flow.state;
	if (state == TCP_LISTEN)
		return c->listening->accept_count ? NET_READABLE : 0;
	bool closed = state == TCP_CLOSED;
	bool receive_shut = c->receive_shut || c->fin_received;
	if (closed || (receive_shut && c->fin_queued))
		ready |= NET_HANGUP;
	if (receive_shut)
		ready |= NET_READABLE | NET_READ_HANGUP;
	if (state != TCP_SYN_SENT && state != TCP_SYN_RECEIVED) {
		if (is_readable(c))
			ready |= NET_READABLE;
		if (c->fin_queued || closed || tcp_is_writable(c))
			ready |= NET_WRITABLE;
		if (c->urgent_valid)
			ready |= NET_URGENT;
	}
	if (c->error || c->errors_kept)
		ready |= NET_ERROR;
	return ready;
}

/* Who waits for more than is there is looked at by the general code, so that this needs no
 * registers saved: it is asked with every wait. */
uint32_t tcp_readiness(const struct tcp_connection *c)
{
	uint32_t unread = c->rcv_nxt.value - c->rcv_copied.value;
	uint32_t queued = c->write_seq.value - c->snd_una.value;
	if (__builtin_expect(c->flow.state != TCP_ESTABLISHED || c->readiness_odd ||
	                             c->fin_queued || (unread && unread < c->receive_lowat),
	                     0))
		return readiness_of_any(c);
	uint32_t ready = unread ? NET_READABLE : 0;
	if (queued + queued / 2 <= c->send_buffer && !tcp_holds_unsent(c))
		ready |= NET_WRITABLE;
	return ready;
}

int tcp_take_error(struct tcp_connection *c)
{
	int error = c->error;
	c->error = 0;
	return error;
}

uint64_t tcp_last_arrival(const struct tcp_connection *c)
{
	return c->last_data_received_ns;
}

int tcp_take_error_or_hint(struct tcp_connection *c)
{
	int error = tcp_take_error(c);
	if (error)
		return error;
	error = c->soft_error;
	c->soft_error = 0;
	return error;
}

bool tcp_error_is_pending(const struct tcp_connection *c)
{
	return c->error != 0;
}

void tcp_set_error(struct tcp_connection *c, int error)
{
	c->error = (uint16_t)error;
	tcp_notify(c, NET_ERROR);
}

uint32_t tcp_timestamp(const struct tcp_connection *c)
{
	return tcp_now_ms(c->tcp) + c->timestamp_offset;
}

enum tcp_state tcp_get_state(const struct tcp_connection *c)
{
	return c->flow.state;
}

struct endpoint tcp_local(const struct tcp_connection *c)
{
	return (struct endpoint){ c->flow.local_address, c->flow.local_port };
}

struct endpoint tcp_remote(const struct tcp_connection *c)
{
	return (struct endpoint){ c->flow.remote_address, c->flow.remote_port };
}

uint64_t tcp_send_queue_bytes(const struct tcp_connection *c)
{
	return tcp_is_synchronized(c) ? tcp_unacked(c) : 0;
}

/* Linux's numbers of the states (tcp_states.h). */
static uint8_t linux_state(enum tcp_state state)
{
	static const uint8_t numbers[] = {
		[TCP_CLOSED] = 7,       [TCP_LISTEN] = 10,     [TCP_SYN_SENT] = 2,
		[TCP_SYN_RECEIVED] = 3, [TCP_ESTABLISHED] = 1, [TCP_FIN_WAIT_1] = 4,
		[TCP_FIN_WAIT_2] = 5,   [TCP_CLOSE_WAIT] = 8,  [TCP_CLOSING] = 11,
		[TCP_LAST_ACK] = 9,     [TCP_TIME_WAIT] = 6,
	};
	return numbers[state];
}

static uint32_t segments(uint32_t bytes, uint32_t mss)
{
	return (bytes + mss - 1) / mss;
}

static uint32_t ms_since(const struct tcp_connection *c, uint64_t then_ns)
{
	return then_ns ? (uint32_t)((tcp_now(c->tcp) - then_ns) / 1000000) : 0;
}

/* Linux's tcp_update_pacing_rate: twice the window per round trip in slow start, 1.2 times later.
 * Unlimited before there is a round trip. */
static uint64_t pacing_rate(const struct tcp_connection *c)
{
	uint64_t window = max_u32(c->cwnd, tcp_flight(c));
	unsigned percent = c->cwnd < c->ssthresh / 2 ? 200 : 120;
	return c->srtt_us8 ? window * 8 * 10000 * percent / c->srtt_us8 : UINT64_MAX;
}

static void sender_information(const struct tcp_connection *c, struct tcp_information *out)
{
	uint32_t mss = c->snd_mss;
	out->snd_mss = mss;
	out->unacked = segments(tcp_flight(c), mss);
	out->sacked = tcp_scoreboard(c) ? segments(tcp_scoreboard(c)->bytes, mss) : 0;
	if (tcp_in_recovery(c)) {
		uint32_t again = tcp_repairs(c) ? tcp_repairs_flight(c)
		                                : c->high_retransmitted.value - c->snd_una.value;
		out->retrans = segments(again, mss);
		out->lost = segments(tcp_lost_bytes(c) + again, mss);
	}
	if (c->loss) {
		out->reord_seen = c->loss->reorderings;
		out->dsack_dups = c->loss->dsack_duplicates;
	}
	out->snd_cwnd = c->cwnd ? c->cwnd / mss : TCP_INITIAL_WINDOW_SEGMENTS;
	out->snd_ssthresh = c->ssthresh == UINT32_MAX ? INT32_MAX : c->ssthresh / mss;
	out->rto_us = c->rto_us << min_u32(c->backoff, 6);
	out->rtt_us = c->srtt_us8 / 8;
	out->rttvar_us = c->srtt_us8 ? c->rttvar_us4 / 4 : TCP_RTO_INITIAL_US / 4;
	out->min_rtt_us = c->min_rtt_us;
	out->reordering = TCP_DUPACK_THRESHOLD;
	out->notsent_bytes = tcp_unsent(c);
	out->snd_wnd = c->snd_wnd;
	out->segs_out = c->segments_out;
	out->data_segs_out = c->data_segments_out;
	out->total_retrans = c->total_retransmits;
	out->bytes_acked = c->bytes_acked;
	if (tcp_is_synchronized(c)) { /* segments that arrived; the SYN counts */
		uint32_t away = out->unacked - min_u32(out->unacked, out->sacked);
		out->delivered = 1 + out->data_segs_out -
		                 min_u32(out->data_segs_out, out->total_retrans + away);
	}
	out->pacing_rate = pacing_rate(c);
	out->bytes_sent = c->bytes_sent;
	out->bytes_retrans = c->bytes_retransmitted;
	out->delivery_rate = c->delivered * 1000000ull / (c->delivered_us ? c->delivered_us : 1);
	out->last_data_sent_ms = ms_since(c, c->last_sent_ns);
}

static void receiver_information(const struct tcp_connection *c, struct tcp_information *out)
{
	out->ato_us = c->data_segments_in ? (uint32_t)(TCP_DELAYED_ACK_NS / 1000) : 0;
	out->rcv_mss = c->rcv_mss;
	out->advmss = c->advertised_mss - (c->timestamps ? TCP_TIMESTAMP_BYTES : 0);
	out->rcv_ssthresh = tcp_window_space(c);
	out->rcv_rtt_us = c->receive_rtt_us;
	out->rcv_space = c->ever_connected ? c->space_bytes : 0;
	out->rcv_wnd = tcp_receive_window(c);
	out->segs_in = c->segments_in;
	out->data_segs_in = c->data_segments_in;
	out->bytes_received = c->bytes_received;
	out->last_data_recv_ms = ms_since(c, c->last_data_received_ns);
	out->last_ack_recv_ms = ms_since(c, c->last_received_ns);
}

void tcp_get_information(const struct tcp_connection *c, struct tcp_information *out)
{
	memset(out, 0, sizeof(*out));
	out->state = linux_state(c->flow.state);
	if (c->flow.state == TCP_LISTEN) {
		out->unacked = c->listening->accept_count;
		out->sacked = c->listening->backlog;
		return;
	}
	out->ca_state = c->congestion_state;
	out->retransmits = c->retransmits;
	out->probes = c->probes;
	out->backoff = c->backoff;
	out->options = (uint8_t)(c->timestamps | c->sack << 1 | c->window_scaling << 2);
	out->snd_wscale = c->snd_wscale;
	out->rcv_wscale = c->rcv_wscale;
	out->pmtu = c->path_mtu;
	sender_information(c, out);
	receiver_information(c, out);
}
