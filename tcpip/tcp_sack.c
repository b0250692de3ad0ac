/* The sender's view of what the peer holds: the SACK scoreboard and RFC 6675's pipe, IsLost and
 * NextSeg on byte ranges. */
#include "tcpip/tcp_internal.h"

static uint32_t interval_bytes(const struct tcp_interval *i)
{
	return i->end.value - i->start.value;
}

static void remove_at(struct tcp_interval_set *set, uint32_t first, uint32_t count)
{
	for (uint32_t i = first; i < first + count; i++)
		set->bytes -= interval_bytes(&set->interval[i]);
	memmove(&set->interval[first], &set->interval[first + count],
	        (set->count - first - count) * sizeof(set->interval[0]));
	set->count -= count;
}

/* A set that is full forgets the new range: the bytes will be sent again. */
void tcp_interval_insert(struct tcp_interval_set *set, struct tcp_seq start, struct tcp_seq end)
{
	uint32_t first = 0;
	while (first < set->count && seq_lt(set->interval[first].end, start))
		first++;
	uint32_t past = first;
	while (past < set->count && seq_le(set->interval[past].start, end)) {
		if (seq_lt(set->interval[past].start, start))
			start = set->interval[past].start;
		end = seq_max(end, set->interval[past].end);
		past++;
	}
	if (past == first && set->count == TCP_MAX_INTERVALS)
		return;
	remove_at(set, first, past - first);
	memmove(&set->interval[first + 1], &set->interval[first],
	        (set->count - first) * sizeof(set->interval[0]));
	set->interval[first] = (struct tcp_interval){ start, end };
	set->count++;
	set->bytes += interval_bytes(&set->interval[first]);
}

void tcp_interval_trim(struct tcp_interval_set *set, struct tcp_seq below)
{
	uint32_t gone = 0;
	while (gone < set->count && seq_le(set->interval[gone].end, below))
		gone++;
	remove_at(set, 0, gone);
	if (set->count && seq_lt(set->interval[0].start, below)) {
		set->bytes -= below.value - set->interval[0].start.value;
		set->interval[0].start = below;
	}
}

uint32_t tcp_interval_bytes_in(const struct tcp_interval_set *set, struct tcp_seq start,
                               struct tcp_seq end)
{
	uint32_t bytes = 0;
	for (uint32_t i = 0; i < set->count; i++) {
		struct tcp_seq from = seq_max(set->interval[i].start, start);
		struct tcp_seq to = seq_lt(end, set->interval[i].end) ? end : set->interval[i].end;
		if (seq_lt(from, to))
			bytes += to.value - from.value;
	}
	return bytes;
}

bool tcp_sack_update(struct tcp_connection *c, const struct tcp_segment *segment)
{
	if (!c->sack || !segment->options.sack_count)
		return false;
	struct tcp_loss *loss = tcp_loss_get(c);
	if (!loss)
		return false;
	if (!loss->scoreboard) {
		loss->scoreboard = tcp_alloc(c->tcp, sizeof(*loss->scoreboard));
		if (!loss->scoreboard)
			return false;
	}
	uint32_t before = loss->scoreboard->bytes;
	for (uint32_t i = 0; i < segment->options.sack_count; i++) {
		struct tcp_interval block = segment->options.sack[i];
		/* Below the ACK: a duplicate was received (RFC 2883). Beyond what was sent:
		 * nonsense. */
		if (seq_le(block.start, c->snd_una) || seq_lt(c->snd_nxt, block.end))
			continue;
		tcp_interval_insert(loss->scoreboard, block.start, block.end);
	}
	if (!loss->scoreboard->count)
		tcp_scoreboard_clear(c);
	return loss->scoreboard && loss->scoreboard->bytes != before;
}

/* RFC 6675 §4 IsLost: whatever lies below three SACKed ranges, or below more than two segments'
 * worth of SACKed bytes. Without SACK three duplicate ACKs say it of the first segment. */
void tcp_sack_mark_lost(struct tcp_connection *c)
{
	bool probed = tcp_tail_is_probed(c);
	if (!c->sack) {
		if (c->duplicate_acks >= (probed ? 1 : TCP_DUPACK_THRESHOLD))
			c->lost_edge =
			        seq_max(c->lost_edge,
			                seq_add(c->snd_una, min_u32(c->snd_mss, tcp_flight(c))));
		return;
	}
	const struct tcp_interval_set *set = tcp_scoreboard(c);
	uint32_t bytes = 0;
	/* What lies below was sent before the last round trips (RFC 8985 §7.4). */
	if (probed && set && set->count) {
		struct tcp_seq start = set->interval[set->count - 1].start;
		c->lost_edge =
		        seq_max(c->lost_edge, seq_lt(start, c->tail_edge) ? start : c->tail_edge);
		return;
	}
	for (uint32_t above = 1; set && above <= set->count; above++) {
		const struct tcp_interval *i = &set->interval[set->count - above];
		bytes += interval_bytes(i);
		if (above >= TCP_DUPACK_THRESHOLD ||
		    bytes > (TCP_DUPACK_THRESHOLD - 1) * c->snd_mss) {
			c->lost_edge = seq_max(c->lost_edge, i->start);
			return;
		}
	}
}

bool tcp_head_repair_is_lost(const struct tcp_connection *c)
{
	const struct tcp_interval_set *set = tcp_scoreboard(c);
	if (!set || !set->count || !seq_lt(c->snd_una, c->high_retransmitted))
		return false;
	return seq_lt(seq_add(c->head_mark, (TCP_DUPACK_THRESHOLD - 1) * c->snd_mss),
	              set->interval[set->count - 1].end);
}

static uint32_t outstanding(const struct tcp_connection *c, struct tcp_seq start,
                            struct tcp_seq end)
{
	if (!seq_lt(start, end))
		return 0;
	uint32_t bytes = end.value - start.value;
	const struct tcp_interval_set *set = tcp_scoreboard(c);
	return set ? bytes - tcp_interval_bytes_in(set, start, end) : bytes;
}

/* RFC 6675 §4 SetPipe: what is believed to be on the wire. */
uint32_t tcp_pipe(const struct tcp_connection *c)
{
	uint32_t flight = tcp_flight(c);
	if (!c->odd)
		return flight;
	uint32_t pipe;
	if (tcp_in_recovery(c)) {
		struct tcp_seq repaired = seq_lt(c->high_retransmitted, c->lost_edge)
		                                  ? c->high_retransmitted
		                                  : c->lost_edge;
		pipe = outstanding(c, seq_max(c->lost_edge, c->snd_una), c->snd_nxt) +
		       outstanding(c, c->snd_una, repaired);
	} else {
		pipe = outstanding(c, c->snd_una, c->snd_nxt);
	}
	/* Without SACK each duplicate ACK says that one segment left the network. */
	if (!c->sack && c->congestion_state != TCP_CA_LOSS)
		pipe -= min_u32(pipe, min_u32(c->duplicate_acks, UINT16_MAX) * c->snd_mss);
	return pipe;
}

bool tcp_next_lost(const struct tcp_connection *c, struct tcp_seq *start, uint32_t *length)
{
	struct tcp_seq from =
	        c->head_again ? c->snd_una : seq_max(c->high_retransmitted, c->snd_una);
	const struct tcp_interval_set *set = tcp_scoreboard(c);
	for (uint32_t i = 0; set && i < set->count; i++) {
		if (seq_le(set->interval[i].end, from))
			continue;
		if (seq_lt(from, set->interval[i].start)) {
			struct tcp_seq end = seq_lt(set->interval[i].start, c->lost_edge)
			                             ? set->interval[i].start
			                             : c->lost_edge;
			if (!seq_lt(from, end))
				return false;
			*start = from;
			*length = end.value - from.value;
			return true;
		}
		from = set->interval[i].end;
	}
	if (!seq_lt(from, c->lost_edge))
		return false;
	*start = from;
	*length = c->lost_edge.value - from.value;
	return true;
}
