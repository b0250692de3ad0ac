/*
 * HyStart++ (RFC 9406): the first slow start ends when round trips get longer, before the queue
 * overflows. It then goes on at a quarter of its pace for five rounds, for the delay may have been
 * one of something else.
 *
 * A round is the round trip that the connection measures anyway, and its one sample the round's
 * least: it is that of the first segment after the one before, which finds the shortest queue. It
 * is held against the connection's least, as by Linux, and not only against the round before: a
 * queue that grows by a little less than the limit in each round is noticed, too. The growth per
 * ACK has no limit of its own, as on Linux.
 */
#include "tcpip/tcp_internal.h"

#define LEAST_SEGMENTS      16u /* Linux's hystart_low_window */
#define LEAST_INCREASE_US   4000u
#define MOST_INCREASE_US    16000u
#define INCREASE_SHARE      8u
#define CONSERVATIVE_SHARE  4u
#define CONSERVATIVE_ROUNDS 5u

static void round_over(struct tcp_connection *c)
{
	uint32_t rtt_us = c->delivered_us, least_us = c->min_rtt_us;
	uint32_t increase_us =
	        min_u32(max_u32(least_us / INCREASE_SHARE, LEAST_INCREASE_US), MOST_INCREASE_US);
	struct tcp_congestion *m = c->congestion;
	if (m && m->css_rounds) {
		if (rtt_us < m->css_base_us)
			m->css_rounds = 0;
		else if (m->css_rounds++ == CONSERVATIVE_ROUNDS)
			c->ssthresh = c->cwnd;
	} else if (rtt_us >= least_us + increase_us && (m = tcp_congestion_memory(c)) != NULL) {
		m->css_base_us = rtt_us;
		m->css_rounds = 1;
	}
}

uint32_t tcp_hystart_acked(struct tcp_connection *c, uint32_t bytes)
{
	if (tcp_round_is_over(c) && c->cwnd >= LEAST_SEGMENTS * c->snd_mss)
		round_over(c);
	return c->congestion && c->congestion->css_rounds ? bytes / CONSERVATIVE_SHARE : bytes;
}
