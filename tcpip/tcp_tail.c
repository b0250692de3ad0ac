/*
 * Tail loss probe (RFC 8985 §7): when the end of a burst is lost, nothing comes back that would say
 * so. Two round trips after the last transmission one segment goes out, and its answer tells what
 * is missing long before the retransmission timer would.
 *
 * With SACK the probe is new data or the last segment (§7.3). Without it (which the RFC leaves out)
 * it is the first unacknowledged segment: an ACK of just that one means that nothing after it
 * arrived.
 */
#include "tcpip/tcp_internal.h"

static uint64_t probe_interval_ns(const struct tcp_connection *c)
{
	return (c->srtt_us8 / 4 + TCP_TAIL_PROBE_MIN_US) * 1000ull;
}

/* One probe until everything sent up to it is acknowledged. */
bool tcp_tail_is_probed(const struct tcp_connection *c)
{
	return c->tail_probing && seq_lt(c->snd_una, c->tail_edge);
}

/* A lone segment's ACK may be delayed: with the time that takes, the probe would come no earlier
 * than the RTO. */
static bool may_probe(const struct tcp_connection *c)
{
	return tcp_is_synchronized(c) && c->srtt_us8 && !c->backoff && !c->persist && c->snd_wnd &&
	       tcp_unacked(c) > c->snd_mss && !tcp_scoreboard(c) && !tcp_in_recovery(c) &&
	       !tcp_tail_is_probed(c);
}

/* The RTO was armed: a probe goes before it. */
void tcp_tail_arm(struct tcp_connection *c)
{
	uint64_t probe_ns = tcp_now(c->tcp) + probe_interval_ns(c);
	c->timeout_ns = c->retransmit_ns;
	c->tail_armed = may_probe(c) && probe_ns < c->timeout_ns;
	if (c->tail_armed)
		c->retransmit_ns = probe_ns;
}

bool tcp_tail_expired(struct tcp_connection *c)
{
	uint64_t now = tcp_now(c->tcp), probe_ns = c->last_sent_ns + probe_interval_ns(c);
	if (!c->tail_armed || now >= c->timeout_ns)
		return false;
	c->tail_armed = now < probe_ns && probe_ns < c->timeout_ns;
	c->retransmit_ns = c->tail_armed ? probe_ns : c->timeout_ns;
	if (!c->tail_armed && now >= probe_ns && tcp_tail_is_due(c)) {
		c->tail_due = true;
		tcp_output_schedule(c);
	}
	return true;
}

bool tcp_tail_is_due(const struct tcp_connection *c)
{
	return may_probe(c) && tcp_flight(c) > c->snd_mss;
}

/* SND.UNA moved, and recovery was not on. */
void tcp_tail_acked(struct tcp_connection *c)
{
	if (tcp_tail_is_probed(c)) {
		if (!c->sack && seq_eq(c->snd_una, c->tail_probe_end)) {
			tcp_loss_enter(c);
			tcp_output_schedule(c);
		}
		return;
	}
	/* RFC 8985 §7.4.2: later data is acknowledged and nothing said that the probe came twice:
	 * it repaired a loss. */
	if (c->tail_repeated && !seq_lt(c->tail_edge, c->snd_una))
		return;
	if (c->tail_repeated)
		tcp_congestion_repaired(c);
	c->tail_probing = false;
}

/* A D-SACK below the ACK (RFC 2883), or an ACK of nothing new once all is acknowledged: the probe
 * came twice. */
void tcp_tail_duplicate_check(struct tcp_connection *c, const struct tcp_segment *segment)
{
	const struct tcp_options *o = &segment->options;
	struct tcp_seq ack = segment->acknowledgment;
	bool told = o->sack_count && seq_le(o->sack[0].end, ack);
	bool pure = !segment->length && seq_eq(c->snd_una, ack) && seq_eq(ack, c->tail_edge);
	if (c->tail_repeated && seq_le(c->tail_edge, ack) && (told || pure))
		c->tail_probing = false;
}
