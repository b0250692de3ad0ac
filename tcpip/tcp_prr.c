/*
 * Proportional rate reduction (RFC 6937, and its revision, which chooses between the two bounds by
 * itself): during recovery what is sent per ACK follows what the ACK says was delivered, so that
 * the window reaches the threshold neither by a pause of half a round trip nor by a burst.
 *
 * On each ACK cwnd becomes what is on the wire plus what may be sent now.
 */
#include "tcpip/tcp_internal.h"

static uint32_t sent_since(const struct tcp_connection *c, const struct tcp_congestion *m)
{
	return (uint32_t)c->bytes_sent - m->prr_sent_mark;
}

/* What is in flight: up to this ACK. The first retransmission waits for no room (recovery_entered).
 */
void tcp_prr_begin(struct tcp_connection *c, uint32_t delivered)
{
	struct tcp_congestion *m = tcp_congestion_memory(c);
	if (!m) {
		c->cwnd = c->ssthresh;
		return;
	}
	m->prr_delivered = 0;
	m->prr_sent_mark = (uint32_t)c->bytes_sent;
	uint32_t sacked = tcp_scoreboard(c) ? tcp_scoreboard(c)->bytes : 0;
	m->prr_flight = max_u32(tcp_flight(c) - sacked + delivered, 1);
	c->cwnd = max_u32(tcp_pipe(c), c->snd_mss);
}

/* More is on the wire than the threshold: of what is delivered, the threshold's share of the flight
 * is sent. Less is: as much as was delivered, and a segment more if all goes well. */
static uint32_t may_send(const struct tcp_connection *c, const struct tcp_congestion *m,
                         uint32_t pipe, uint32_t bytes, bool safe)
{
	uint32_t sent = sent_since(c, m);
	if (pipe > c->ssthresh) {
		uint64_t share = ((uint64_t)m->prr_delivered * c->ssthresh + m->prr_flight - 1) /
		                 m->prr_flight;
		return share > sent ? (uint32_t)(share - sent) : 0;
	}
	uint32_t owed = m->prr_delivered > sent ? m->prr_delivered - sent : 0;
	return min_u32(c->ssthresh - pipe, max_u32(owed, bytes) + (safe ? c->snd_mss : 0));
}

void tcp_prr_delivered(struct tcp_connection *c, uint32_t bytes, bool safe)
{
	struct tcp_congestion *m = c->congestion;
	if (!m || !bytes)
		return;
	m->prr_delivered += bytes;
	uint32_t pipe = tcp_pipe(c);
	c->cwnd = max_u32(pipe + may_send(c, m, pipe, bytes, safe), c->snd_mss);
}
