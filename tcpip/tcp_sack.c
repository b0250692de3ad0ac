/* The sender's view of what the peer holds: the SACK scoreboard, and what follows from it and from
 * what is lost (tcp_rack.c): RFC 6675's pipe and NextSeg, on byte ranges. */
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

uint32_t tcp_outstanding(const struct tcp_interval_set *set, uint32_t *hint, struct tcp_seq start,
                         struct tcp_seq end)
{
	if (!seq_lt(start, end))
		return 0;
	uint32_t bytes = end.value - start.value;
	while (set && *hint < set->count && seq_le(set->interval[*hint].end, start))
		++*hint;
	for (uint32_t i = *hint; set && i < set->count; i++) {
		struct tcp_seq from = seq_max(set->interval[i].start, start);
		struct tcp_seq to = seq_lt(end, set->interval[i].end) ? end : set->interval[i].end;
		if (!seq_lt(from, to))
			break;
		bytes -= to.value - from.value;
	}
	return bytes;
}

/* RFC 2883: the first block lies below the ACK, or within the second: it came twice. */
static bool is_duplicate_block(const struct tcp_options *options, struct tcp_seq ack)
{
	const struct tcp_interval *block = options->sack;
	return seq_lt(block[0].start, ack) ||
	       (options->sack_count > 1 && seq_le(block[1].start, block[0].start) &&
	        seq_le(block[0].end, block[1].end));
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
	if (is_duplicate_block(&segment->options, segment->acknowledgment))
		tcp_undo_note_duplicate(c, segment->options.sack[0]);
	for (uint32_t i = 0; i < segment->options.sack_count; i++) {
		struct tcp_interval block = segment->options.sack[i];
		/* Below the ACK: old. Beyond what was sent: nonsense. */
		if (seq_le(block.start, c->snd_una) || seq_lt(c->snd_nxt, block.end) ||
		    !seq_lt(block.start, block.end))
			continue;
		tcp_rack_arrived(c, block.start, block.end);
		tcp_interval_insert(loss->scoreboard, block.start, block.end);
	}
	if (!loss->scoreboard->count)
		tcp_scoreboard_clear(c);
	return loss->scoreboard && loss->scoreboard->bytes != before;
}

uint32_t tcp_lost_bytes(const struct tcp_connection *c)
{
	const struct tcp_interval_set *set = tcp_scoreboard(c);
	const struct tcp_repairs *r = tcp_repairs(c);
	struct tcp_seq edge = seq_max(c->lost_edge, c->snd_una), from = c->snd_una;
	if (!r)
		from = seq_max(from, c->high_retransmitted);
	uint32_t hint = 0, bytes = tcp_outstanding(set, &hint, from, edge);
	hint = 0;
	for (uint32_t i = 0; r && i < r->count; i++) {
		const struct tcp_repair *p = &r->range[i];
		struct tcp_seq end = seq_lt(edge, p->end) ? edge : p->end;
		bytes -= tcp_outstanding(set, &hint, p->start, end);
		if (p->lost)
			bytes += tcp_outstanding(set, &hint, p->start, p->end);
	}
	return bytes;
}

/* RFC 6675 §4 SetPipe: what is believed to be on the wire. */
uint32_t tcp_pipe(const struct tcp_connection *c)
{
	uint32_t flight = tcp_flight(c), hint = 0;
	if (!c->odd)
		return flight;
	uint32_t pipe = tcp_outstanding(tcp_scoreboard(c), &hint, c->snd_una, c->snd_nxt);
	if (tcp_in_recovery(c))
		pipe -= tcp_lost_bytes(c);
	/* Without SACK each duplicate ACK says that one segment left the network. */
	if (!c->sack && c->congestion_state != TCP_CA_LOSS)
		pipe -= min_u32(pipe, min_u32(c->duplicate_acks, UINT16_MAX) * c->snd_mss);
	return pipe;
}

/* From `from` on, or from the end of the repair that it lies in: what was never sent again goes as
 * far as *end; false: it lies in a repair that was lost, which ends there. */
static bool skip_repairs(const struct tcp_repairs *r, uint32_t *at, struct tcp_seq *from,
                         struct tcp_seq *end)
{
	for (; r && *at < r->count; ++*at) {
		const struct tcp_repair *p = &r->range[*at];
		if (seq_le(p->end, *from))
			continue;
		*end = seq_lt(*from, p->start) ? p->start : p->end;
		if (seq_lt(*from, p->start))
			return true;
		if (p->lost)
			return false;
		*from = p->end;
	}
	return true;
}

bool tcp_next_lost(const struct tcp_connection *c, struct tcp_seq *start, uint32_t *length)
{
	const struct tcp_interval_set *set = tcp_scoreboard(c);
	const struct tcp_repairs *r = tcp_repairs(c);
	struct tcp_seq from = r ? c->snd_una : seq_max(c->high_retransmitted, c->snd_una);
	uint32_t sacked = 0, repair = 0;
	while (seq_lt(from, c->snd_nxt)) {
		for (; set && sacked < set->count && seq_le(set->interval[sacked].start, from);
		     sacked++)
			from = seq_max(from, set->interval[sacked].end);
		struct tcp_seq end = c->snd_nxt, before = from;
		bool once = skip_repairs(r, &repair, &from, &end);
		if (!seq_eq(before, from))
			continue; /* perhaps the peer has what follows */
		if (once && seq_lt(c->lost_edge, end))
			end = seq_max(c->lost_edge, from);
		if (set && sacked < set->count && seq_lt(set->interval[sacked].start, end))
			end = set->interval[sacked].start;
		if (seq_lt(from, end)) {
			*start = from;
			*length = end.value - from.value;
			return true;
		}
		if (!r || repair == r->count)
			return false;
		from = r->range[repair].start;
	}
	return false;
}
