/*
 * A loss that was none: the segment was only late. When that shows, the window that was reduced is
 * what it was before. It shows by
 *
 * - the timestamp that an ACK echoes, if it is older than the first retransmission (RFC 3522,
 * 4015);
 * - D-SACKs, if all that was sent again came twice (RFC 2883, 3708);
 * - after a timeout, what was sent only once and arrives yet (RFC 5682 §3.1 step 3b).
 */
#include "tcpip/tcp_internal.h"

static uint32_t segments(const struct tcp_connection *c, uint32_t bytes)
{
	return (bytes + c->snd_mss - 1) / c->snd_mss;
}

void tcp_undo_save(struct tcp_connection *c, bool timeout)
{
	struct tcp_loss *loss = tcp_loss_get(c);
	if (!loss)
		return;
	loss->prior_cwnd = c->cwnd;
	loss->prior_ssthresh = max_u32(c->ssthresh, c->cwnd / 4 * 3);
	loss->undo_start = c->snd_una;
	/* A repair that is on its way, a tail probe perhaps, may come twice, too. */
	loss->undo_left = segments(c, tcp_repairs_flight(c));
	loss->may_undo = true;
	loss->by_timeout = timeout;
	loss->repeated = false;
}

void tcp_undo_note_retransmission(struct tcp_connection *c, uint32_t count)
{
	struct tcp_loss *loss = c->loss;
	if (!loss || !loss->may_undo)
		return;
	loss->undo_left += count;
	if (loss->repeated)
		return;
	loss->first_stamp = tcp_now_ms(c->tcp) + c->timestamp_offset;
	loss->repeated = true;
}

void tcp_undo_note_duplicate(struct tcp_connection *c, struct tcp_interval block)
{
	struct tcp_loss *loss = tcp_loss_get(c);
	uint32_t bytes = block.end.value - block.start.value, count = segments(c, bytes);
	if (!loss || !seq_lt(block.start, block.end) || bytes > c->max_snd_wnd)
		return;
	loss->dsack_duplicates += count;
	/* More than was sent twice: it is the network that does it. */
	if (loss->dsack_duplicates > c->total_retransmits)
		return;
	if (!c->tail_probing || !seq_eq(block.end, c->tail_edge))
		tcp_rack_duplicate(c);
	if (loss->may_undo && seq_lt(loss->undo_start, block.end))
		loss->undo_left -= min_u32(loss->undo_left, count);
}

/* Nothing is lost: what is in flight is waited for. */
static void undo(struct tcp_connection *c)
{
	struct tcp_loss *loss = c->loss;
	tcp_recovery_undo(c);
	c->tcp->counters->tcp_undone++;
	loss->may_undo = false;
	if (!loss->by_timeout && !loss->reorderings)
		loss->reorderings = 1;
	if (tcp_in_recovery(c))
		c->duplicate_acks = 0;
	c->recover = c->high_retransmitted = c->lost_edge = c->snd_una;
	c->recovery_entered = false;
	tcp_repairs_set_lost(c, false);
	if (loss->scoreboard && !loss->scoreboard->count)
		tcp_scoreboard_clear(c);
	c->congestion_state = loss->scoreboard ? TCP_CA_DISORDER : TCP_CA_OPEN;
	if (!loss->scoreboard)
		c->odd &= (uint8_t)~TCP_ODD_RECOVERY;
	tcp_output_schedule(c);
}

static bool original_was_acknowledged(const struct tcp_connection *c, uint32_t timestamp_echo)
{
	const struct tcp_loss *loss = c->loss;
	if (!c->timestamps || !timestamp_echo || (int32_t)(timestamp_echo - loss->first_stamp) >= 0)
		return false;
	/* Some of a fast retransmission may be needed, while it is not over. */
	return c->congestion_state != TCP_CA_RECOVERY || !tcp_repairs_flight(c);
}

void tcp_undo_check(struct tcp_connection *c, bool advanced, uint32_t timestamp_echo)
{
	const struct tcp_loss *loss = c->loss;
	if (!loss->may_undo || !loss->repeated)
		return;
	if (!loss->undo_left || (loss->by_timeout && loss->original_came) ||
	    (advanced && original_was_acknowledged(c, timestamp_echo)))
		undo(c);
}
