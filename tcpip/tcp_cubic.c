/*
 * CUBIC (RFC 9438) in integers: bytes and milliseconds. After a loss the window approaches the one
 * at which it happened along a cubic curve of time, stays there for a while, and then looks for
 * more; it never grows more slowly than Reno's would.
 *
 *     W(t) = C (t - K)^3 + W_max segments,   C = 0.4 / s^3,   K = cbrt((W_max - cwnd) / C)
 *
 * An ACK costs two divisions that are not by constants; an epoch one cube root of 22 steps.
 */
#include "tcpip/tcp_internal.h"

#define MOST_AWAY_MS           (1u << 20) /* from K: the curve is far beyond every window by then */

/* A twentieth per round trip, at least, until a loss has shown where the limit is (Linux). */
#define UNKNOWN_LIMIT_SEGMENTS 20u

static uint32_t cube_root(uint64_t value)
{
	uint64_t root = 0;
	for (int shift = 63; shift >= 0; shift -= 3) {
		root *= 2;
		uint64_t step = 3 * root * (root + 1) + 1;
		if (value >> shift >= step) {
			value -= step << shift;
			root++;
		}
	}
	return (uint32_t)root;
}

/* In ms: 10^9 / 0.4 per segment. */
uint32_t tcp_cubic_k_ms(uint32_t cwnd, uint32_t w_max, uint32_t mss)
{
	return w_max > cwnd ? cube_root((w_max - cwnd) * 2500000000ull / mss) : 0;
}

uint32_t tcp_cubic_window(const struct tcp_congestion *m, uint32_t elapsed_ms, uint32_t mss)
{
	bool before = elapsed_ms < m->k_ms;
	uint64_t away = before ? m->k_ms - elapsed_ms : elapsed_ms - m->k_ms;
	away = min_u64(away, MOST_AWAY_MS);
	/* In 1/1024 of a segment: 0.4 * 1024 / 10^9 = 4 / 9765625. */
	uint64_t segments = away * away * away * 4 / 9765625;
	uint64_t bytes = segments * mss >> 10;
	if (before)
		return bytes < m->plateau ? m->plateau - (uint32_t)bytes : 0;
	return (uint32_t)min_u64(m->plateau + bytes, UINT32_MAX);
}

static void epoch_begin(struct tcp_connection *c, struct tcp_congestion *m, uint32_t now_ms)
{
	m->epoch = true;
	m->epoch_ms = m->growth_ms = now_ms;
	m->k_ms = tcp_cubic_k_ms(c->cwnd, m->w_max, c->snd_mss);
	m->plateau = max_u32(c->cwnd, m->w_max);
	m->w_est = c->cwnd;
	m->w_est_acked = 0;
}

/* RFC 9438 §4.3: by 9/17 of a segment per window, by a whole one when the window is what it was
 * before the loss. */
static void reno_estimate(struct tcp_connection *c, struct tcp_congestion *m, uint32_t bytes)
{
	uint32_t per_segment = m->w_est < m->cwnd_prior ? (uint32_t)(c->cwnd * 17ull / 9) : c->cwnd;
	m->w_est_acked += bytes;
	if (m->w_est_acked < per_segment)
		return;
	m->w_est += m->w_est_acked / per_segment * c->snd_mss;
	m->w_est_acked %= per_segment;
}

/* What has to be acknowledged for a segment more, so that cwnd is at its target in a round trip. */
static uint32_t bytes_per_segment(const struct tcp_connection *c, const struct tcp_congestion *m,
                                  uint32_t elapsed_ms)
{
	uint32_t mss = c->snd_mss, cwnd = c->cwnd;
	uint32_t target = max_u32(tcp_cubic_window(m, elapsed_ms, mss), m->w_est);
	target = min_u32(target, cwnd + cwnd / 2);
	uint64_t bytes = target > cwnd ? (uint64_t)cwnd * mss / (target - cwnd) : UINT32_MAX;
	if (!m->w_max)
		bytes = min_u64(bytes, UNKNOWN_LIMIT_SEGMENTS * mss);
	return (uint32_t)min_u64(bytes, UINT32_MAX);
}

static void cubic_avoid(struct tcp_connection *c, uint32_t bytes)
{
	struct tcp_congestion *m = tcp_congestion_memory(c);
	uint32_t now_ms = tcp_now_ms(c->tcp);
	if (!m) {
		tcp_reno.avoid(c, bytes);
		return;
	}
	if (!m->epoch)
		epoch_begin(c, m, now_ms);
	/* RFC 9438 §5.8, and Linux after an idle time: while the window was not the limit, time
	 * stands still. */
	if (now_ms - m->growth_ms > c->rto_us / 1000)
		m->epoch_ms += now_ms - m->growth_ms;
	m->growth_ms = now_ms;
	reno_estimate(c, m, bytes);
	uint32_t rtt_ms = min_u32(c->min_rtt_us, TCP_RTO_MAX_US) / 1000;
	tcp_window_grow(c, bytes, bytes_per_segment(c, m, now_ms - m->epoch_ms + rtt_ms));
}

/* §4.6 and 4.7: to 0.7; and one who lost before he was where he had been makes room for others. */
static uint32_t cubic_threshold(struct tcp_connection *c)
{
	struct tcp_congestion *m = tcp_congestion_memory(c);
	uint32_t cwnd = c->cwnd;
	if (m) {
		m->w_max_before = m->w_max;
		m->epoch_before = m->epoch;
		m->w_max = cwnd < m->w_max ? (uint32_t)(cwnd * 17ull / 20) : cwnd;
		m->cwnd_prior = cwnd;
		m->epoch = false;
	}
	return max_u32((uint32_t)(cwnd * 7ull / 10), 2u * c->snd_mss);
}

/* §4.8: the curve begins where slow start ends. */
static void cubic_timed_out(struct tcp_connection *c)
{
	struct tcp_congestion *m = c->congestion;
	if (m) {
		m->w_max = 0;
		m->epoch = false;
	}
}

/* §4.9: the curve of before goes on, unless another has begun. */
static void cubic_undone(struct tcp_connection *c)
{
	struct tcp_congestion *m = c->congestion;
	if (m) {
		m->w_max = m->w_max_before;
		m->epoch = !m->epoch && m->epoch_before;
	}
}

const struct tcp_congestion_ops tcp_cubic = {
	.name = "cubic",
	.avoid = cubic_avoid,
	.threshold = cubic_threshold,
	.timed_out = cubic_timed_out,
	.undone = cubic_undone,
};
