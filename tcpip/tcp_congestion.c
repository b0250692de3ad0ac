/*
 * The congestion window and its threshold: slow start, what happens to them around losses and idle
 * times, and the choice of what is different in congestion avoidance (RFC 5681, 3465, 6582). All in
 * bytes.
 */
#include "tcpip/tcp_internal.h"

#define WINDOW_MOST (1u << 30)

static void reno_avoid(struct tcp_connection *c, uint32_t bytes)
{
	tcp_window_grow(c, bytes, c->cwnd);
}

/* RFC 5681 (4), of cwnd as on Linux: it does not grow while it is not used. */
static uint32_t reno_threshold(struct tcp_connection *c)
{
	return max_u32(c->cwnd / 2, 2u * c->snd_mss);
}

static void reno_timed_out(struct tcp_connection *c)
{
	(void)c;
}

const struct tcp_congestion_ops tcp_reno = {
	.name = "reno",
	.avoid = reno_avoid,
	.threshold = reno_threshold,
	.timed_out = reno_timed_out,
	.undone = reno_timed_out,
};

static const struct tcp_congestion_ops *const algorithms[] = {
	[TCP_RENO] = &tcp_reno,
	[TCP_CUBIC] = &tcp_cubic,
};

static const struct tcp_congestion_ops *algorithm(const struct tcp_connection *c)
{
	return algorithms[c->congestion_algorithm];
}

static int find(const char *name)
{
	for (int i = 0; i < TCP_CONGESTION_ALGORITHMS; i++) {
		if (strcmp(name, algorithms[i]->name) == 0)
			return i;
	}
	return -ENOENT;
}

int tcp_set_congestion(struct tcp_connection *c, const char *name)
{
	int found = find(name);
	if (found < 0)
		return found;
	if (found == c->congestion_algorithm)
		return 0;
	c->congestion_algorithm = (uint8_t)found;
	/* The new one has seen no loss; a recovery that is under way goes on. */
	struct tcp_congestion *m = c->congestion;
	if (m) {
		m->w_max = 0;
		m->epoch = false;
		m->css_rounds = 0;
	}
	return 0;
}

const char *tcp_get_congestion(const struct tcp_connection *c)
{
	return algorithm(c)->name;
}

int tcp_set_default_congestion(struct stack *stack, const char *name)
{
	int found = find(name);
	if (found < 0)
		return found;
	stack_tcp(stack)->congestion_default = (uint8_t)found;
	return 0;
}

const char *tcp_get_default_congestion(const struct stack *stack)
{
	return algorithms[stack_tcp(stack)->congestion_default]->name;
}

struct tcp_congestion *tcp_congestion_memory(struct tcp_connection *c)
{
	if (!c->congestion)
		c->congestion = tcp_alloc(c->tcp, sizeof(*c->congestion));
	return c->congestion;
}

void tcp_congestion_forget(struct tcp_connection *c)
{
	if (c->congestion)
		tcp_free(c->tcp, c->congestion, sizeof(*c->congestion));
	c->congestion = NULL;
}

void tcp_congestion_start(struct tcp_connection *c)
{
	c->cwnd = TCP_INITIAL_WINDOW_SEGMENTS * c->snd_mss;
	c->ssthresh = UINT32_MAX;
	c->cwnd_count = 0;
}

void tcp_window_grow(struct tcp_connection *c, uint32_t bytes, uint32_t bytes_per_segment)
{
	/* What came together while a segment was dearer is worth one. */
	if (c->cwnd_count >= bytes_per_segment) {
		c->cwnd_count = 0;
		c->cwnd += c->snd_mss;
	}
	c->cwnd_count += bytes;
	if (c->cwnd_count >= bytes_per_segment) {
		c->cwnd += c->cwnd_count / bytes_per_segment * c->snd_mss;
		c->cwnd_count %= bytes_per_segment;
	}
}

/* HyStart++ has a say: a round is over, or growth is conservative. */
static inline bool is_watched(const struct tcp_connection *c)
{
	return c->ssthresh == UINT32_MAX &&
	       (tcp_round_is_over(c) || (c->congestion && c->congestion->css_rounds)) &&
	       c->congestion_algorithm == TCP_CUBIC;
}

/* Slow start: by what was acknowledged. */
void tcp_congestion_acked(struct tcp_connection *c, uint32_t bytes)
{
	if (c->cwnd < c->ssthresh) {
		if (__builtin_expect(is_watched(c), 0))
			bytes = tcp_hystart_acked(c, bytes);
		uint32_t step = min_u32(bytes, c->ssthresh - c->cwnd);
		c->cwnd += step;
		bytes -= step;
	}
	if (bytes)
		algorithm(c)->avoid(c, bytes);
	c->cwnd = min_u32(c->cwnd, WINDOW_MOST);
}

/* Fast retransmit: three duplicate ACKs, or SACK says that the first hole is lost (RFC 6675 §5
 * (4)). */
void tcp_recovery_enter(struct tcp_connection *c, uint32_t delivered)
{
	tcp_undo_save(c, false);
	c->congestion_state = TCP_CA_RECOVERY;
	c->tail_probing = false;
	c->odd |= TCP_ODD_RECOVERY;
	c->recover = c->snd_nxt;
	c->high_retransmitted = c->snd_una;
	c->ssthresh = algorithm(c)->threshold(c);
	tcp_prr_begin(c, delivered);
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
	if (!tcp_in_recovery(c) || seq_le(c->recover, c->snd_una)) {
		tcp_undo_save(c, true);
		c->ssthresh = algorithm(c)->threshold(c);
	}
	algorithm(c)->timed_out(c);
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
	c->recovery_entered = false;
	tcp_repairs_set_lost(c, true);
	c->rtt_timing = false;
}

static void recovery_leave(struct tcp_connection *c)
{
	/* RFC 6582 §3.2 (3): no burst when little is in flight, because the peer's window was full.
	 * The other half of the threshold then comes in slow start. */
	if (c->congestion_state == TCP_CA_RECOVERY) {
		uint32_t most = tcp_flight(c) + TCP_INITIAL_WINDOW_SEGMENTS * c->snd_mss;
		c->cwnd = min_u32(c->ssthresh, max_u32(most, c->ssthresh / 2));
	}
	c->congestion_state = TCP_CA_OPEN;
	c->duplicate_acks = 0;
	c->high_retransmitted = c->lost_edge = c->snd_una;
	c->recovery_entered = false;
	tcp_rack_recovered(c);
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
	algorithm(c)->undone(c);
}

/* snd_una moved by `bytes` during recovery. */
void tcp_recovery_acked(struct tcp_connection *c, uint32_t bytes)
{
	if (seq_le(c->recover, c->snd_una)) {
		recovery_leave(c);
		return;
	}
	c->high_retransmitted = seq_max(c->high_retransmitted, c->snd_una);
	c->lost_edge = seq_max(c->lost_edge, c->snd_una);
	if (c->congestion_state == TCP_CA_RECOVERY && !c->sack) {
		/* Partial ACK (RFC 6582 §3.2 (3)): the next segment is lost, too. */
		uint32_t segments = bytes / c->snd_mss;
		c->duplicate_acks -= min_u32(c->duplicate_acks, segments ? segments - 1 : 0);
		c->high_retransmitted = c->snd_una;
		c->lost_edge = seq_add(c->snd_una, min_u32(c->snd_mss, tcp_flight(c)));
		c->recovery_entered = true;
	}
	tcp_output_schedule(c);
}

/* After a timeout slow start goes by what was delivered; without SACK that is known of one segment
 * only, for an ACK may tell of many that arrived long ago (RFC 3465 §2.3). */
void tcp_recovery_delivered(struct tcp_connection *c, uint32_t bytes, bool safe)
{
	if (c->congestion_state == TCP_CA_RECOVERY) {
		tcp_prr_delivered(c, bytes, safe);
	} else if (c->congestion_state == TCP_CA_LOSS && c->cwnd < c->ssthresh) {
		uint32_t step = c->sack ? bytes : min_u32(bytes, c->snd_mss);
		c->cwnd += min_u32(step, c->ssthresh - c->cwnd);
	}
}

void tcp_congestion_repaired(struct tcp_connection *c)
{
	c->ssthresh = algorithm(c)->threshold(c);
	c->cwnd = min_u32(c->cwnd, c->ssthresh);
	c->cwnd_count = 0;
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
