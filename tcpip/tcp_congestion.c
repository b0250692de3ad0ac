/* Congestion control (RFC 5681, 3465, 6582) and what happens to it around losses. All in bytes. */
#include "tcpip/tcp_internal.h"

static void newreno_start(struct tcp_connection *c)
{
	c->cwnd = TCP_INITIAL_WINDOW_SEGMENTS * c->snd_mss;
	c->ssthresh = UINT32_MAX;
	c->cwnd_count = 0;
}

/* Slow start: by what was acknowledged. Congestion avoidance: one segment per window's worth of it.
 */
static void newreno_acknowledged(struct tcp_connection *c, uint32_t bytes)
{
	if (c->cwnd < c->ssthresh) {
		uint32_t step = min_u32(bytes, c->ssthresh - c->cwnd);
		c->cwnd += step;
		bytes -= step;
	}
	c->cwnd_count += bytes;
	if (c->cwnd_count >= c->cwnd && c->cwnd >= c->ssthresh) {
		c->cwnd_count -= c->cwnd;
		c->cwnd += c->snd_mss;
	}
	c->cwnd = min_u32(c->cwnd, 1u << 30);
	c->cwnd_count = min_u32(c->cwnd_count, c->cwnd);
}

/* RFC 5681 (4). */
static uint32_t newreno_threshold(struct tcp_connection *c)
{
	return max_u32(tcp_flight(c) / 2, 2u * c->snd_mss);
}

const struct tcp_congestion_ops tcp_newreno = {
	.name = "reno",
	.start = newreno_start,
	.acknowledged = newreno_acknowledged,
	.threshold = newreno_threshold,
};

/* Fast retransmit: three duplicate ACKs, or SACK says that the first hole is lost (RFC 6675 §5
 * (4)). */
void tcp_recovery_enter(struct tcp_connection *c)
{
	tcp_undo_save(c);
	c->congestion_state = TCP_CA_RECOVERY;
	c->tail_probing = false;
	c->odd |= TCP_ODD_RECOVERY;
	c->recover = c->snd_nxt;
	c->high_retransmitted = c->snd_una;
	c->ssthresh = c->congestion->threshold(c);
	c->cwnd = c->ssthresh;
	c->cwnd_count = 0;
	c->recovery_entered = true; /* the first retransmission does not wait for room in cwnd */
	c->rtt_timing = false;
	c->tcp->counters->tcp_fast_retransmits++;
	if (!c->first_retransmit_ns)
		c->first_retransmit_ns = tcp_now(c->tcp);
	tcp_output_schedule(c);
}

/* The retransmission timer expired (RFC 5681 §3.1, RFC 6582 §4): everything outstanding counts as
 * lost. */
void tcp_loss_enter(struct tcp_connection *c)
{
	/* Not again while the same window is being repaired: the threshold would collapse. */
	if (c->congestion_state != TCP_CA_LOSS || seq_lt(c->recover, c->snd_una)) {
		if (!tcp_in_recovery(c) || seq_lt(c->recover, c->snd_una))
			tcp_undo_save(c);
		c->ssthresh = c->congestion->threshold(c);
	}
	/* The peer withdrew what it had SACKed (RFC 2018 §8). */
	const struct tcp_interval_set *set = tcp_scoreboard(c);
	if (set && set->count && seq_le(set->interval[0].start, c->snd_una))
		tcp_scoreboard_clear(c);
	c->congestion_state = TCP_CA_LOSS;
	c->tail_probing = false;
	c->odd |= TCP_ODD_RECOVERY;
	c->recover = c->snd_nxt;
	c->high_retransmitted = c->snd_una;
	c->lost_edge = c->snd_nxt;
	c->cwnd = c->snd_mss;
	c->cwnd_count = 0;
	c->duplicate_acks = 0;
	c->recovery_entered = c->head_again = false;
	c->rtt_timing = false;
}

static void recovery_leave(struct tcp_connection *c)
{
	/* RFC 6582 §3.2 (3): no burst when little is in flight. */
	uint32_t flight = tcp_flight(c);
	if (c->congestion_state == TCP_CA_RECOVERY)
		c->cwnd = min_u32(c->ssthresh, max_u32(flight, c->snd_mss) + c->snd_mss);
	c->congestion_state = TCP_CA_OPEN;
	c->duplicate_acks = 0;
	c->high_retransmitted = c->lost_edge = c->snd_una;
	c->recovery_entered = c->head_again = false;
	if (tcp_scoreboard(c) && !tcp_scoreboard(c)->count)
		tcp_scoreboard_clear(c);
	if (!tcp_scoreboard(c))
		c->odd &= (uint8_t)~TCP_ODD_RECOVERY;
}

void tcp_recovery_undo(struct tcp_connection *c)
{
	c->cwnd = max_u32(c->cwnd, c->loss->prior_cwnd);
	c->ssthresh = max_u32(c->ssthresh, c->loss->prior_ssthresh);
	c->cwnd_count = 0;
}

/* snd_una moved by `bytes` during recovery. */
void tcp_recovery_acked(struct tcp_connection *c, uint32_t bytes)
{
	if (seq_le(c->recover, c->snd_una)) {
		recovery_leave(c);
		return;
	}
	c->high_retransmitted = seq_max(c->high_retransmitted, c->snd_una);
	c->head_mark = c->snd_nxt;
	c->head_again = false;
	c->lost_edge = seq_max(c->lost_edge, c->snd_una);
	if (c->congestion_state == TCP_CA_LOSS) {
		if (c->cwnd < c->ssthresh)
			c->cwnd += min_u32(bytes, c->snd_mss);
	} else if (!c->sack) {
		/* Partial ACK (RFC 6582 §3.2 (3)): the next segment is lost, too. */
		uint32_t segments = bytes / c->snd_mss;
		c->duplicate_acks -= min_u32(c->duplicate_acks, segments ? segments - 1 : 0);
		c->high_retransmitted = c->snd_una;
		c->lost_edge = seq_add(c->snd_una, min_u32(c->snd_mss, tcp_flight(c)));
		c->recovery_entered = true;
	}
	tcp_output_schedule(c);
}

/* RFC 5681 §4.1: after an idle time longer than the RTO the window is stale; it decays by half per
 * RTO. */
void tcp_congestion_idle(struct tcp_connection *c)
{
	uint64_t idle_us = (tcp_now(c->tcp) - c->last_sent_ns) / 1000;
	uint32_t least = min_u32(TCP_INITIAL_WINDOW_SEGMENTS * c->snd_mss, c->cwnd);
	if (idle_us <= c->rto_us)
		return;
	c->ssthresh = max_u32(c->ssthresh, c->cwnd / 4 * 3);
	while (idle_us > c->rto_us && c->cwnd > least) {
		idle_us -= c->rto_us;
		c->cwnd /= 2;
	}
	c->cwnd = max_u32(c->cwnd, least);
	c->cwnd_count = 0;
}
