/* Every invariant of every structure, recounted. For tests, after every event. */
#include "tcpip/tcp_internal.h"

#define MUST(condition, text)                                                                      \
	do {                                                                                       \
		if (!(condition))                                                                  \
			return "tcp: " text;                                                       \
	} while (0)

static const char *verify_send_queue(const struct tcp_connection *c)
{
	struct tcp_seq expected = c->snd_una;
	const struct tcp_unit *next = NULL;
	bool first = true;
	list_for_each(node, &c->send_queue)
	{
		const struct tcp_unit *unit = list_entry(node, struct tcp_unit, link);
		MUST(!first || seq_eq(unit->sequence, c->snd_una) || !unit->length,
		     "the send queue does not begin at SND.UNA");
		MUST(first || seq_eq(unit->sequence, expected), "a gap in the send queue");
		MUST(unit->length <= unit->capacity, "a unit holds more than it has room for");
		MUST(unit->buffer->refs > 0, "a unit without a reference to its buffer");
		expected = seq_add(unit->sequence, unit->length);
		if (!next && unit->length && seq_lt(c->snd_nxt, expected))
			next = unit;
		first = false;
	}
	if (tcp_is_synchronized(c) && (!first || tcp_unacked(c)))
		MUST(seq_eq(expected, c->write_seq),
		     "the send queue does not end at the last byte written");
	MUST(c->send_next == next, "send_next is not the unit of SND.NXT");
	return NULL;
}

static const char *verify_loss(const struct tcp_connection *c)
{
	const struct tcp_repairs *r = tcp_repairs(c);
	const struct tcp_sent_log *log = c->loss ? c->loss->sent : NULL;
	struct tcp_seq previous = c->snd_una;
	for (uint32_t i = 0; r && i < r->count; i++) {
		const struct tcp_repair *p = &r->range[i];
		MUST(seq_le(previous, p->start), "repairs overlap, or lie below SND.UNA");
		MUST(seq_lt(p->start, p->end) && seq_le(p->end, c->snd_nxt),
		     "a repair of nothing, or of what was not sent");
		MUST(p->first_ns <= p->last_ns && p->last_ns <= tcp_now(c->tcp),
		     "a repair at an impossible time");
		previous = p->end;
	}
	MUST(!r || r->count, "an empty list of repairs");
	for (uint32_t i = 0; log && i < log->count; i++) {
		const struct tcp_sent_mark *mark = &log->mark[i];
		MUST(mark->first_ns <= mark->last_ns && seq_le(mark->end, c->snd_nxt),
		     "a mark of what was not sent");
		MUST(!i || (mark[-1].last_ns <= mark->first_ns && seq_lt(mark[-1].end, mark->end)),
		     "times of transmission out of order");
	}
	MUST(!log || tcp_flight(c), "times of transmission, and nothing in flight");
	return NULL;
}

static const char *verify_sender(const struct tcp_connection *c)
{
	MUST(seq_le(c->snd_una, c->snd_nxt), "SND.UNA beyond SND.NXT");
	MUST(seq_le(c->snd_nxt, seq_add(c->write_seq, c->fin_sent)),
	     "SND.NXT beyond what was written");
	MUST(c->snd_mss > 0, "no segment size");
	MUST(!tcp_is_synchronized(c) || c->cwnd >= 1, "no congestion window");
	MUST(tcp_pipe(c) <= 2 * (uint64_t)tcp_flight(c), "pipe exceeds what was sent");
	MUST(!tcp_tail_is_probed(c) || seq_le(c->tail_edge, c->snd_nxt),
	     "a tail probe beyond SND.NXT");
	MUST(!c->tail_probing || !tcp_in_recovery(c), "a tail probe outlives into recovery");
	const struct tcp_interval_set *scoreboard = tcp_scoreboard(c);
	if (scoreboard) {
		uint32_t bytes = 0;
		struct tcp_seq previous = c->snd_una;
		for (uint32_t i = 0; i < scoreboard->count; i++) {
			const struct tcp_interval *v = &scoreboard->interval[i];
			MUST(seq_lt(v->start, v->end), "an empty SACKed range");
			MUST(i ? seq_lt(previous, v->start) : seq_le(previous, v->start),
			     "SACKed ranges overlap, or lie below SND.UNA");
			previous = v->end;
			bytes += v->end.value - v->start.value;
		}
		MUST(seq_le(previous, c->snd_nxt), "SACKed beyond SND.NXT");
		MUST(bytes == scoreboard->bytes, "the count of SACKed bytes is wrong");
		MUST(c->odd & TCP_ODD_RECOVERY, "SACKed ranges on the fast path");
	}
	if (!tcp_in_recovery(c) && tcp_is_synchronized(c))
		MUST(seq_le(c->recover, c->snd_una), "a recovery point without recovery");
	return NULL;
}

static const char *verify_receiver(const struct tcp_connection *c)
{
	uint32_t unread = 0, held = 0;
	const struct pbuf *last = NULL;
	for (const struct pbuf *p = c->receive_head; p; p = p->next) {
		MUST(p->length > 0, "an empty piece in the receive queue");
		unread += p->length;
		held += tcp_piece_true_size(p);
		last = p;
	}
	MUST(last == c->receive_tail, "the receive queue's tail is wrong");
	MUST(unread == tcp_unread(c), "the receive queue does not match RCV.NXT");
	MUST(held == c->receive_true, "the receive queue's memory is miscounted");
	MUST(seq_le(c->rcv_acked, c->rcv_nxt) || c->flow.state <= TCP_SYN_RECEIVED,
	     "acknowledged more than was received");
	const struct tcp_reassembly *r = c->reassembly;
	MUST(!r == !(c->odd & TCP_ODD_REASSEMBLY), "the reassembly flag is wrong");
	if (!r)
		return NULL;
	uint32_t bytes = 0, count = 0;
	struct tcp_seq previous = c->rcv_nxt;
	list_for_each(node, &r->queue)
	{
		const struct pbuf *p = list_entry(node, struct pbuf, link);
		MUST(seq_le(previous, seq(p->sequence)), "reassembled pieces overlap");
		MUST(count || seq_lt(c->rcv_nxt, seq(p->sequence)),
		     "a reassembled piece was left behind");
		previous = seq_add(seq(p->sequence), p->packet_length);
		bytes += p->packet_length;
		count++;
	}
	MUST(bytes == r->bytes && count == r->count, "the reassembly queue is miscounted");
	return NULL;
}

/* Something must happen by itself as long as something is owed. */
static const char *verify_liveness(const struct tcp_connection *c)
{
	bool scheduled = list_node_is_linked(&c->output_link) && !c->ack_held;
	uint64_t earliest = min_u64(min_u64(c->retransmit_ns, c->delayed_ack_ns),
	                            min_u64(c->retry_ns, c->keepalive_ns));
	MUST(c->timer.deadline_ns <= earliest || loop_watcher_is_pending(&c->timer.watcher),
	     "the timer is later than a deadline");
	if (tcp_flight(c))
		MUST(c->retransmit_ns != LOOP_NEVER,
		     "data in flight without a retransmission timer");
	if ((tcp_unsent(c) || (c->fin_queued && !c->fin_sent)) && !tcp_flight(c) && !scheduled)
		MUST(c->retransmit_ns != LOOP_NEVER || c->retry_ns != LOOP_NEVER,
		     "unsent data without a persist timer");
	MUST(!c->ack_now || scheduled || c->retry_ns != LOOP_NEVER,
	     "an ACK is due but not scheduled");
	if (c->orphan && c->flow.state == TCP_FIN_WAIT_2)
		MUST(c->keepalive_ns != LOOP_NEVER, "an orphan in FIN_WAIT_2 for ever");
	return NULL;
}

const char *tcp_connection_verify(const struct tcp_connection *c)
{
	const char *broken = NULL;
	MUST((c->flow.state == TCP_ESTABLISHED) == !(c->odd & TCP_ODD_STATE),
	     "the state flag is wrong");
	if (c->flow.state == TCP_LISTEN) {
		uint32_t count = 0;
		list_for_each(node, &c->listening->accept_queue) count++;
		MUST(count == c->listening->accept_count, "the accept queue is miscounted");
		MUST(count <= c->listening->backlog + 1, "the accept queue is too long");
		return NULL;
	}
	broken = verify_receiver(c);
	if (broken || c->flow.state == TCP_CLOSED)
		return broken;
	MUST(c->hashed, "a live connection that cannot be found");
	MUST(tcp_flow_find(c->tcp, c->flow.local_address, c->flow.local_port,
	                   c->flow.remote_address, c->flow.remote_port) == &c->flow,
	     "the table finds another connection");
	broken = verify_send_queue(c);
	if (!broken)
		broken = verify_sender(c);
	if (!broken)
		broken = verify_loss(c);
	if (!broken)
		broken = verify_liveness(c);
	return broken;
}

static const char *verify_table(const struct tcp_table *table)
{
	uint32_t count = 0;
	for (uint32_t i = 0; i <= table->mask; i++) {
		for (struct tcp_hash_node *n = table->buckets[i]; n; n = n->next, count++)
			MUST((n->hash & table->mask) == i,
			     "a hash table entry in the wrong bucket");
	}
	for (uint32_t i = 0; table->old_buckets && i <= table->old_mask; i++) {
		for (struct tcp_hash_node *n = table->old_buckets[i]; n; n = n->next)
			count++;
	}
	MUST(count == table->count, "a hash table is miscounted");
	return NULL;
}

const char *tcp_verify(struct stack *stack)
{
	struct tcp_stack *tcp = stack_tcp(stack);
	uint64_t send_held = 0, receive_held = 0;
	uint32_t connections = 0, hashed = 0, orphans = 0, waiting = 0, requests = 0;
	list_for_each(node, &tcp->all)
	{
		const struct tcp_connection *c = list_entry(node, struct tcp_connection, all_link);
		connections++;
		hashed += c->hashed;
		orphans += c->orphan;
		receive_held += c->receive_true + (c->reassembly ? c->reassembly->true_bytes : 0);
		list_for_each(n, &c->send_queue) send_held +=
		        list_entry(n, struct tcp_unit, link)->held;
		MUST(c->owned || c->flow.state != TCP_CLOSED,
		     "a closed connection that nobody owns");
		const char *broken = tcp_connection_verify(c);
		if (broken)
			return broken;
	}
	list_for_each(node, &tcp->time_wait) waiting++;
	for (uint32_t i = 0; i <= TCP_SYNACK_RETRIES; i++)
		list_for_each(node, &tcp->requests[i]) requests++;
	MUST(connections == tcp->connection_count, "connections are miscounted");
	MUST(send_held == tcp->send_held, "the memory of the send queues is miscounted");
	MUST(receive_held == tcp->receive_held, "the memory of the receive queues is miscounted");
	MUST(orphans == tcp->orphan_count, "orphans are miscounted");
	MUST(waiting == tcp->time_wait_count, "TIME_WAITs are miscounted");
	MUST(requests == tcp->request_count, "requests are miscounted");
	MUST(hashed + waiting + requests == tcp->flows.count,
	     "the flow table holds something else");
	const char *broken = verify_table(&tcp->flows);
	if (!broken)
		broken = verify_table(&tcp->ports);
	return broken ? broken : tcp_recent_verify(tcp);
}
