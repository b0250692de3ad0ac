/*
 * A loss that was none: the segment was only late. When that shows, the window that was reduced is
 * what it was before (RFC 4015).
 *
 * With timestamps the first ACK that goes on tells it: it echoes the original's timestamp, which is
 * older than that of the first retransmission (RFC 3522).
 */
#include "tcpip/tcp_internal.h"

void tcp_undo_save(struct tcp_connection *c)
{
	struct tcp_loss *loss = tcp_loss_get(c);
	if (!loss)
		return;
	loss->prior_cwnd = c->cwnd;
	loss->prior_ssthresh = max_u32(c->ssthresh, c->cwnd / 4 * 3);
	loss->may_undo = true;
	loss->has_stamp = false;
}

void tcp_undo_note_retransmission(struct tcp_connection *c)
{
	struct tcp_loss *loss = c->loss;
	if (!loss || !loss->may_undo || loss->has_stamp)
		return;
	loss->first_stamp = tcp_now_ms(c->tcp) + c->timestamp_offset;
	loss->has_stamp = true;
}

/* Nothing is lost: what is in flight is waited for. */
static void undo(struct tcp_connection *c)
{
	tcp_recovery_undo(c);
	c->loss->may_undo = false;
	c->tcp->counters->tcp_undone++;
	c->duplicate_acks = 0;
	c->recover = c->high_retransmitted = c->lost_edge = c->snd_una;
	c->recovery_entered = c->head_again = false;
	if (tcp_scoreboard(c) && !tcp_scoreboard(c)->count)
		tcp_scoreboard_clear(c);
	c->congestion_state = tcp_scoreboard(c) ? TCP_CA_DISORDER : TCP_CA_OPEN;
	tcp_output_schedule(c);
}

bool tcp_undo_by_timestamp(struct tcp_connection *c, uint32_t timestamp_echo)
{
	const struct tcp_loss *loss = c->loss;
	if (!loss || !loss->may_undo || !loss->has_stamp || !c->timestamps || !timestamp_echo ||
	    (int32_t)(timestamp_echo - loss->first_stamp) >= 0)
		return false;
	/* Some of a fast retransmission may be needed, while it is not over. */
	if (c->congestion_state == TCP_CA_RECOVERY && seq_lt(c->snd_una, c->high_retransmitted))
		return false;
	undo(c);
	return true;
}
