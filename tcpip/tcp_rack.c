/*
 * RACK (RFC 8985 §6): what was sent before something that arrived, and longer ago than a round trip
 * and the reordering window, is lost. That goes for repairs, too.
 *
 * There is nothing kept per segment. What was sent only once was sent in the order of its sequence
 * numbers, so that a few marks (how far was sent when) tell the time of each byte, and what is lost
 * of it ends at one edge. The mark of what left last is last_sent_ns; others are made only when
 * more is sent while that is on its way. What was sent again has its times in tcp_repair.c.
 */
#include "tcpip/tcp_internal.h"

/* ---- when it was sent ---- */

/* Room for another mark: those that are acknowledged go. If they are few, each two become one, and
 * later ones are as far apart. */
static void make_room(struct tcp_sent_log *log, struct tcp_seq acknowledged)
{
	uint32_t gone = 0;
	while (gone < log->count && seq_le(log->mark[gone].end, acknowledged))
		gone++;
	log->count -= gone;
	memmove(log->mark, &log->mark[gone], log->count * sizeof(log->mark[0]));
	if (log->count < TCP_SENT_MARKS / 2) {
		log->grain_ns /= 2;
		return;
	}
	uint32_t pairs = log->count / 2;
	for (uint32_t i = 0; i < pairs; i++) {
		uint64_t first_ns = log->mark[2 * i].first_ns;
		log->mark[i] = log->mark[2 * i + 1];
		log->mark[i].first_ns = first_ns;
	}
	if (log->count % 2)
		log->mark[pairs] = log->mark[log->count - 1];
	log->count -= pairs;
	log->grain_ns = (log->mark[pairs - 1].last_ns - log->mark[0].first_ns) / pairs;
}

void tcp_sent_log(struct tcp_connection *c)
{
	struct tcp_loss *loss = c->sack ? tcp_loss_get(c) : NULL;
	if (!loss)
		return;
	if (!loss->sent)
		loss->sent = tcp_alloc(c->tcp, sizeof(*loss->sent));
	struct tcp_sent_log *log = loss->sent;
	if (!log)
		return;
	struct tcp_sent_mark *last = log->count ? &log->mark[log->count - 1] : NULL;
	if (last && seq_le(c->snd_nxt, last->end))
		return;
	if (last && c->last_sent_ns - last->first_ns <= log->grain_ns) {
		last->end = c->snd_nxt;
		last->last_ns = c->last_sent_ns;
		return;
	}
	if (log->count == TCP_SENT_MARKS)
		make_room(log, c->snd_una);
	log->mark[log->count++] =
	        (struct tcp_sent_mark){ c->last_sent_ns, c->last_sent_ns, c->snd_nxt };
}

/* The mark with this index, the last one being what left last; false: there is none. */
static bool mark_at(const struct tcp_connection *c, uint32_t i, struct tcp_sent_mark *mark)
{
	const struct tcp_sent_log *log = c->loss->sent;
	uint32_t count = log ? log->count : 0;
	if (i < count) {
		*mark = log->mark[i];
		return true;
	}
	*mark = (struct tcp_sent_mark){ c->last_sent_ns, c->last_sent_ns, c->snd_nxt };
	return i == count && (!count || seq_lt(log->mark[count - 1].end, c->snd_nxt));
}

static uint64_t sent_at(const struct tcp_connection *c, struct tcp_seq last_byte)
{
	struct tcp_sent_mark mark;
	uint32_t i = 0;
	while (mark_at(c, i, &mark) && seq_le(mark.end, last_byte))
		i++;
	return mark.first_ns;
}

/* ---- what arrived ---- */

static bool sent_before(uint64_t a_ns, struct tcp_seq a_end, uint64_t b_ns, struct tcp_seq b_end)
{
	return a_ns < b_ns || (a_ns == b_ns && seq_lt(a_end, b_end));
}

static void segment_arrived(struct tcp_connection *c, uint64_t sent_ns, struct tcp_seq end,
                            bool once)
{
	struct tcp_loss *loss = c->loss;
	if (!sent_before(loss->rack_sent_ns, loss->rack_end, sent_ns, end))
		return;
	loss->rack_sent_ns = sent_ns;
	loss->rack_once = once;
	loss->rack_end = end;
	loss->rack_rtt_ns = tcp_now(c->tcp) - sent_ns;
}

static void original_arrived(struct tcp_connection *c, struct tcp_seq start, struct tcp_seq end)
{
	struct tcp_loss *loss = c->loss;
	segment_arrived(c, sent_at(c, seq_add(end, UINT32_MAX)), end, true);
	if (seq_lt(start, loss->highest_sacked) && !loss->reordered) {
		loss->reordered = true;
		loss->reorderings++;
	}
	loss->original_came |= c->congestion_state == TCP_CA_LOSS && seq_lt(start, c->recover);
}

/* Sooner than any round trip: it was the original, whose time is not known any more. */
static void repair_arrived(struct tcp_connection *c, uint64_t sent_ns, struct tcp_seq end)
{
	if (tcp_now(c->tcp) - sent_ns >= c->min_rtt_us * 1000ull)
		segment_arrived(c, sent_ns, end, false);
}

static void range_arrived(struct tcp_connection *c, struct tcp_seq start, struct tcp_seq end)
{
	const struct tcp_repairs *r = tcp_repairs(c);
	if (!r) /* perhaps for want of memory */
		start = seq_max(start, c->high_retransmitted);
	for (uint32_t i = 0; r && i < r->count && seq_lt(start, end); i++) {
		const struct tcp_repair *p = &r->range[i];
		if (seq_le(p->end, start))
			continue;
		if (seq_le(end, p->start))
			break;
		if (seq_lt(start, p->start))
			original_arrived(c, start, p->start);
		start = seq_lt(end, p->end) ? end : p->end;
		repair_arrived(c, p->first_ns, start);
	}
	if (seq_lt(start, end))
		original_arrived(c, start, end);
}

void tcp_rack_begin(struct tcp_connection *c)
{
	struct tcp_loss *loss = c->loss;
	const struct tcp_interval_set *set = loss->scoreboard;
	loss->highest_sacked = set && set->count ? set->interval[set->count - 1].end : c->snd_una;
	loss->reordered = loss->original_came = false;
}

void tcp_rack_arrived(struct tcp_connection *c, struct tcp_seq start, struct tcp_seq end)
{
	const struct tcp_interval_set *set = c->loss->scoreboard;
	for (uint32_t i = 0; set && i < set->count && seq_lt(start, end); i++) {
		const struct tcp_interval *known = &set->interval[i];
		if (seq_le(known->end, start))
			continue;
		if (seq_le(end, known->start))
			break;
		if (seq_lt(start, known->start))
			range_arrived(c, start, known->start);
		start = known->end;
	}
	if (seq_lt(start, end))
		range_arrived(c, start, end);
}

/* ---- the reordering window ---- */

/* §6.2 step 4. Without reordering three segments decide, as they always did. */
static uint64_t reordering_window_ns(const struct tcp_connection *c)
{
	const struct tcp_loss *loss = c->loss;
	const struct tcp_interval_set *set = loss->scoreboard;
	if (c->min_rtt_us == UINT32_MAX)
		return 0;
	if (!loss->reorderings) {
		if (tcp_in_recovery(c) || c->duplicate_acks >= TCP_DUPACK_THRESHOLD)
			return 0;
		if (set && (set->count >= TCP_DUPACK_THRESHOLD ||
		            set->bytes > (TCP_DUPACK_THRESHOLD - 1) * c->snd_mss))
			return 0;
	}
	uint64_t window_ns = c->min_rtt_us * 250ull * loss->window_steps;
	return min_u64(window_ns, c->srtt_us8 * 125ull);
}

void tcp_rack_duplicate(struct tcp_connection *c)
{
	struct tcp_loss *loss = c->loss;
	if (!loss->reorderings || (loss->in_dsack_round && seq_lt(c->snd_una, loss->dsack_round)))
		return;
	loss->in_dsack_round = true;
	loss->dsack_round = c->snd_nxt;
	if (loss->window_steps < UINT8_MAX)
		loss->window_steps++;
	loss->window_recoveries = TCP_RACK_RECOVERIES;
}

void tcp_rack_recovered(struct tcp_connection *c)
{
	struct tcp_loss *loss = c->loss;
	if (loss && loss->window_recoveries && !--loss->window_recoveries)
		loss->window_steps = 1;
}

/* ---- what is lost ---- */

/* One mark or repair: is it lost? *latest: when the last of what is not will be. */
static bool is_lost(const struct tcp_connection *c, uint64_t sent_ns, uint64_t wait_ns,
                    uint64_t *latest)
{
	uint64_t due = sent_ns + wait_ns;
	if (due <= tcp_now(c->tcp))
		return true;
	if (due > *latest)
		*latest = due;
	return false;
}

static bool originals_detect(struct tcp_connection *c, uint64_t wait_ns, uint64_t *latest)
{
	const struct tcp_loss *loss = c->loss;
	struct tcp_sent_mark mark;
	struct tcp_seq from = seq_max(c->lost_edge, c->snd_una);
	uint32_t hint = 0;
	bool more = false;
	for (uint32_t i = 0; mark_at(c, i, &mark); i++) {
		struct tcp_seq end = mark.end;
		uint64_t sent_ns = mark.last_ns;
		/* Within a mark the order of sequence numbers is that of time. */
		if (loss->rack_once && mark.first_ns == loss->rack_sent_ns) {
			end = seq_lt(loss->rack_end, end) ? loss->rack_end : end;
			sent_ns = mark.first_ns;
		} else if (sent_ns >= loss->rack_sent_ns) {
			break;
		}
		if (!tcp_outstanding(loss->scoreboard, &hint, from, end))
			continue;
		if (is_lost(c, sent_ns, wait_ns, latest)) {
			c->lost_edge = end;
			more = true;
		}
		from = end;
	}
	return more;
}

static bool repairs_detect(struct tcp_connection *c, uint64_t wait_ns, uint64_t *latest)
{
	const struct tcp_loss *loss = c->loss;
	uint32_t hint = 0;
	bool more = false;
	for (uint32_t i = 0; loss->repairs && i < loss->repairs->count; i++) {
		struct tcp_repair *p = &loss->repairs->range[i];
		if (!p->lost && tcp_outstanding(loss->scoreboard, &hint, p->start, p->end) &&
		    !sent_before(loss->rack_sent_ns, loss->rack_end, p->last_ns, p->end))
			more |= p->lost = is_lost(c, p->last_ns, wait_ns, latest);
	}
	return more;
}

bool tcp_rack_detect(struct tcp_connection *c)
{
	struct tcp_loss *loss = c->loss;
	if (!loss || !loss->rack_sent_ns)
		return false;
	uint64_t wait_ns = loss->rack_rtt_ns + reordering_window_ns(c), latest = 0;
	bool more = originals_detect(c, wait_ns, &latest);
	more |= repairs_detect(c, wait_ns, &latest);
	loss->reorder_ns = latest ? latest + TCP_TAIL_PROBE_MIN_US * 1000ull : LOOP_NEVER;
	tcp_rack_arm(c);
	return more;
}

/* The RTO is armed, or runs: what was only reordered is waited for no longer than this. */
void tcp_rack_arm(struct tcp_connection *c)
{
	struct tcp_loss *loss = c->loss;
	if (loss->reorder_ns >= c->retransmit_ns)
		return;
	c->tail_armed = false;
	c->rack_armed = true;
	c->retransmit_ns = loss->reorder_ns;
	tcp_timer_update(c, c->retransmit_ns);
}

bool tcp_rack_expired(struct tcp_connection *c)
{
	uint64_t now = tcp_now(c->tcp);
	bool armed = c->rack_armed && c->loss && now < c->timeout_ns && tcp_flight(c);
	c->rack_armed = false;
	if (!armed)
		return false;
	c->retransmit_ns = c->timeout_ns;
	if (c->loss->reorder_ns <= now)
		tcp_loss_check(c, 0);
	else
		tcp_rack_arm(c);
	return true;
}
