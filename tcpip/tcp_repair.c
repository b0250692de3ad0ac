/*
 * What was sent again, and when: ranges of retransmitted bytes up to SND.NXT, in ascending order.
 * With SACK only, for only then can a repair's own loss be seen. A list that is full joins
 * neighbours with nothing but SACKed bytes between them; without such, what is lost waits.
 */
#include "tcpip/tcp_internal.h"

static void remove_at(struct tcp_repairs *r, uint32_t first, uint32_t count)
{
	memmove(&r->range[first], &r->range[first + count],
	        (r->count - first - count) * sizeof(r->range[0]));
	r->count -= count;
}

static void insert_at(struct tcp_repairs *r, uint32_t at, struct tcp_repair repair)
{
	memmove(&r->range[at + 1], &r->range[at], (r->count - at) * sizeof(r->range[0]));
	r->range[at] = repair;
	r->count++;
}

/* The neighbours to join, sent the least time apart: what lies between them has arrived. False:
 * none.
 */
static bool find_neighbours(const struct tcp_repairs *r, const struct tcp_interval_set *sacked,
                            uint32_t *index)
{
	uint64_t least_ns = UINT64_MAX;
	uint32_t hint = 0;
	for (uint32_t i = 0; i + 1 < r->count; i++) {
		const struct tcp_repair *left = &r->range[i], *right = left + 1;
		uint64_t first_ns = min_u64(left->first_ns, right->first_ns);
		uint64_t last_ns = left->last_ns < right->last_ns ? right->last_ns : left->last_ns;
		if (left->lost != right->lost || last_ns - first_ns >= least_ns ||
		    tcp_outstanding(sacked, &hint, left->end, right->start))
			continue;
		least_ns = last_ns - first_ns;
		*index = i;
	}
	return least_ns != UINT64_MAX;
}

static void join(struct tcp_repairs *r, uint32_t first, uint32_t last)
{
	struct tcp_repair *left = &r->range[first];
	for (uint32_t i = first + 1; i <= last; i++) {
		const struct tcp_repair *p = &r->range[i];
		left->end = p->end;
		left->first_ns = min_u64(left->first_ns, p->first_ns);
		if (left->last_ns < p->last_ns)
			left->last_ns = p->last_ns;
	}
	remove_at(r, first + 1, last - first);
}

bool tcp_repair_has_room(struct tcp_connection *c)
{
	struct tcp_repairs *r = tcp_repairs(c);
	const struct tcp_interval_set *sacked = tcp_scoreboard(c);
	uint32_t hint = 0, kept = 0, index;
	if (!r || r->count + 2 <= TCP_MAX_REPAIRS)
		return true;
	for (uint32_t i = 0; i < r->count; i++) {
		if (tcp_outstanding(sacked, &hint, r->range[i].start, r->range[i].end))
			r->range[kept++] = r->range[i];
	}
	r->count = kept;
	while (r->count + 2 > TCP_MAX_REPAIRS && find_neighbours(r, sacked, &index))
		join(r, index, index + 1);
	return r->count + 2 <= TCP_MAX_REPAIRS;
}

/* Takes the range out; at most one piece is cut into two. The index of what comes behind it. */
static uint32_t cut(struct tcp_repairs *r, struct tcp_seq start, struct tcp_seq end)
{
	uint32_t i = 0;
	while (i < r->count && seq_le(r->range[i].end, start))
		i++;
	if (i < r->count && seq_lt(r->range[i].start, start)) {
		struct tcp_repair rest = r->range[i];
		r->range[i++].end = start;
		rest.start = start;
		insert_at(r, i, rest);
	}
	uint32_t past = i;
	while (past < r->count && seq_le(r->range[past].end, end))
		past++;
	remove_at(r, i, past - i);
	if (i < r->count && seq_lt(r->range[i].start, end))
		r->range[i].start = end;
	return i;
}

void tcp_repair_note(struct tcp_connection *c, struct tcp_seq start, struct tcp_seq end)
{
	struct tcp_loss *loss = c->sack ? tcp_loss_get(c) : NULL;
	if (!loss)
		return;
	if (!loss->repairs)
		loss->repairs = tcp_alloc(c->tcp, sizeof(*loss->repairs));
	struct tcp_repairs *r = loss->repairs;
	if (!r)
		return;
	uint64_t now = tcp_now(c->tcp);
	if (!tcp_repair_has_room(c))
		return;
	uint32_t at = cut(r, start, end);
	struct tcp_repair *left = at ? &r->range[at - 1] : NULL;
	if (left && seq_eq(left->end, start) && left->first_ns == now && !left->lost)
		left->end = end;
	else
		insert_at(r, at, (struct tcp_repair){ now, now, start, end, false });
}

void tcp_repairs_trim(struct tcp_connection *c)
{
	struct tcp_repairs *r = c->loss->repairs;
	uint32_t gone = 0;
	while (gone < r->count && seq_le(r->range[gone].end, c->snd_una))
		gone++;
	remove_at(r, 0, gone);
	if (r->count && seq_lt(r->range[0].start, c->snd_una))
		r->range[0].start = c->snd_una;
	if (!r->count)
		tcp_repairs_clear(c);
}

void tcp_repairs_set_lost(struct tcp_connection *c, bool lost)
{
	struct tcp_repairs *r = tcp_repairs(c);
	for (uint32_t i = 0; r && i < r->count; i++)
		r->range[i].lost = lost;
	/* After a timeout there must be room for a repair, whatever lies between the others. */
	if (r && lost && r->count > TCP_MAX_REPAIRS / 2)
		join(r, 0, r->count - 1);
}

uint32_t tcp_repairs_flight(const struct tcp_connection *c)
{
	const struct tcp_repairs *r = tcp_repairs(c);
	uint32_t bytes = 0, hint = 0;
	for (uint32_t i = 0; r && i < r->count; i++) {
		if (!r->range[i].lost)
			bytes += tcp_outstanding(tcp_scoreboard(c), &hint, r->range[i].start,
			                         r->range[i].end);
	}
	return bytes;
}
