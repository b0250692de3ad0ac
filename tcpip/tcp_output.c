/*
 * What is sent, and when. Everything else only links a connection on the output list; tcp_flush
 * then comes here once per connection and turn: handshake, retransmissions, new data, FIN, probes,
 * and an ACK if none of them carried it.
 */
#include "tcpip/tcp_internal.h"

/* Why sending stopped. */
enum stop {
	STOP_DONE,   /* nothing more may be sent now */
	STOP_FULL,   /* the interface has no room */
	STOP_MEMORY, /* no buffer: try again soon */
};

void tcp_output_schedule(struct tcp_connection *c)
{
	if (list_node_is_linked(&c->output_link)) {
		if (!c->ack_held)
			return;
		list_remove(&c->output_link);
		c->ack_held = false;
	}
	list_push_back(&c->tcp->output, &c->output_link);
	stack_note_output(c->tcp->stack);
}

void tcp_ack_hold_unread(struct tcp_connection *c)
{
	c->ack_when_read = true;
	if (list_node_is_linked(&c->output_link))
		return;
	list_push_back(&c->tcp->unread_acks, &c->output_link);
	c->ack_held = c->ack_unread = true;
}

void tcp_ack_hold(struct tcp_connection *c)
{
	struct tcp_stack *tcp = c->tcp;
	if (c->delayed_ack_ns == LOOP_NEVER)
		return; /* one left already */
	if (c->ack_held && c->ack_unread) {
		list_remove(&c->output_link);
	} else if (list_node_is_linked(&c->output_link)) {
		tcp_ack_schedule(c);
		return;
	}
	if (list_is_empty(&tcp->held_acks))
		tcp->held_acks_ns = tcp_now(tcp);
	list_push_back(&tcp->held_acks, &c->output_link);
	c->ack_held = true;
	c->ack_unread = false;
}

static void send_held_acks(struct list *held)
{
	struct list_node *first;
	while ((first = list_first(held)) != NULL)
		tcp_ack_schedule(list_entry(first, struct tcp_connection, output_link));
}

bool tcp_before_idle(struct stack *stack)
{
	struct tcp_stack *tcp = stack_tcp(stack);
	if (list_is_empty(&tcp->held_acks) && list_is_empty(&tcp->unread_acks))
		return false;
	send_held_acks(&tcp->held_acks);
	send_held_acks(&tcp->unread_acks);
	return true;
}

uint64_t tcp_held_until(const struct stack *stack)
{
	const struct tcp_stack *tcp = stack_tcp(stack);
	return list_is_empty(&tcp->held_acks) ? LOOP_NEVER : tcp->held_acks_ns + TCP_HELD_ACK_NS;
}

static bool interface_is_full(const struct tcp_connection *c)
{
	return netif_is_full(c->route.netif);
}

/* The most that one call may hand down: a device without TSO gets no more than its ring takes after
 * segmentation. The urgent pointer differs from segment to segment. */
static uint32_t burst_limit(const struct tcp_connection *c)
{
	struct netif *netif = c->route.netif;
	uint32_t limit = TCP_MAX_PAYLOAD / c->snd_mss;
	if (c->odd & TCP_ODD_URGENT_SENT)
		return c->snd_mss;
	if (!(netif->offloads & NETIF_TX_TSO4))
		limit = min_u32(limit, netif->transmit_space(netif));
	return max_u32(limit, 1) * c->snd_mss;
}

/* Bytes of the peer's window that are still free. */
static uint32_t window_room(const struct tcp_connection *c)
{
	int32_t room = seq_diff(seq_add(c->snd_una, c->snd_wnd), c->snd_nxt);
	return room > 0 ? (uint32_t)room : 0;
}

/* Nagle as Minshall refined it: a short segment waits while an earlier short one is unacknowledged;
 * a corked one always, an urgent one never. */
static bool short_segment_may_go(const struct tcp_connection *c)
{
	if (c->fin_queued || c->odd & TCP_ODD_URGENT_SENT)
		return true;
	if (c->cork || c->more)
		return false;
	return c->nodelay || seq_le(c->small_sequence, c->snd_una);
}

/* With many units on their way it pays to wait for the next ACK and send a whole one, which leaves
 * in one piece: a part of it now would cut every later one, too. What waits is less than an eighth
 * of what is in flight. Not while duplicate ACKs come: each lets a new segment go (RFC 3042), and
 * the answers to those start the repair. */
static bool better_deferred(const struct tcp_connection *c, uint32_t bytes, uint32_t unsent)
{
	uint32_t whole = min_u32(burst_limit(c), unsent);
	return bytes < whole && whole > c->snd_mss && tcp_flight(c) >= 8 * whole &&
	       !tcp_in_recovery(c) && !c->duplicate_acks;
}

/* How much of the unsent bytes goes into the next segment; 0: nothing now. */
static uint32_t next_length(struct tcp_connection *c)
{
	uint32_t unsent = tcp_unsent(c), mss = c->snd_mss, pipe = tcp_pipe(c);
	uint32_t congestion_room = c->cwnd > pipe ? c->cwnd - pipe : 0;
	uint32_t window = window_room(c), limit = burst_limit(c);
	uint32_t length = min_u32(min_u32(unsent, limit), min_u32(congestion_room, window));
	if (length < min_u32(unsent, limit) && congestion_room <= window)
		c->cwnd_limited = true;
	if (length == 0)
		return 0;
	uint32_t tail = length % mss;
	if (length == unsent)
		return tail == 0 || short_segment_may_go(c) ? length : length - tail;
	length -= tail;
	if (length)
		return better_deferred(c, length, unsent) ? 0 : length;
	/* Sender's silly window avoidance (RFC 9293 §3.8.6.2.1): less than a segment, unless it is
	 * half the largest window. */
	if (window < mss && tail == window && window >= c->max_snd_wnd / 2)
		return tail;
	return 0;
}

static void data_sent(struct tcp_connection *c, uint32_t length, bool fin)
{
	uint64_t now = tcp_now(c->tcp);
	tcp_sent_note(c);
	c->snd_nxt = seq_add(c->snd_nxt, length + fin);
	c->fin_sent |= fin;
	c->last_sent_ns = now;
	if (length % c->snd_mss)
		c->small_sequence = c->snd_nxt;
	if (!c->rtt_timing && !tcp_in_recovery(c)) {
		c->rtt_timing = true;
		c->rtt_sequence = c->snd_nxt;
		c->rtt_started_ns = now;
	}
	while (c->send_next &&
	       seq_le(seq_add(c->send_next->sequence, c->send_next->length), c->snd_nxt)) {
		struct list_node *next = c->send_next->link.next;
		c->send_next = next == &c->send_queue.head
		                       ? NULL
		                       : list_entry(next, struct tcp_unit, link);
	}
	/* Data so soon after data received: a conversation, in which ACKs ride (Linux's pingpong
	 * mode). */
	if (length && now - c->last_data_received_ns < TCP_DELAYED_ACK_NS)
		c->pingpong = true;
	if (c->persist || c->retransmit_ns == LOOP_NEVER) {
		c->persist = false;
		tcp_retransmit_timer_start(c);
	}
}

static enum stop send_new(struct tcp_connection *c, uint32_t *budget)
{
	c->cwnd_limited = false;
	if (tcp_flight(c) == 0 && tcp_unsent(c) && c->last_sent_ns)
		tcp_congestion_idle(c);
	while (tcp_unsent(c)) {
		uint32_t length = next_length(c);
		if (!length)
			return STOP_DONE;
		if (interface_is_full(c) || !*budget)
			return STOP_FULL;
		bool last = length == tcp_unsent(c);
		bool fin = last && c->fin_queued && window_room(c) > length;
		uint8_t flags = TCP_ACK | (last ? TCP_PSH : 0) | (fin ? TCP_FIN : 0);
		int sent = tcp_send_segment(c, c->snd_nxt, length, flags);
		if (sent < 0)
			return STOP_MEMORY;
		data_sent(c, (uint32_t)sent, fin && (uint32_t)sent == length);
		--*budget;
	}
	if (!c->fin_queued || c->fin_sent || window_room(c) == 0)
		return STOP_DONE;
	if (interface_is_full(c) || !*budget)
		return STOP_FULL;
	if (tcp_send_segment(c, c->snd_nxt, 0, TCP_FIN | TCP_ACK) < 0)
		return STOP_MEMORY;
	data_sent(c, 0, true);
	--*budget;
	return STOP_DONE;
}

static void repaired(struct tcp_connection *c, struct tcp_seq start, struct tcp_seq end)
{
	tcp_sent_note(c);
	tcp_repair_note(c, start, end);
	c->high_retransmitted = seq_max(c->high_retransmitted, end);
}

/* One retransmission of at most `length` sequence numbers from `start`. */
static enum stop resend(struct tcp_connection *c, struct tcp_seq start, uint32_t length)
{
	int32_t data_left = seq_diff(c->write_seq, start);
	uint32_t bytes = data_left > 0 ? min_u32(length, (uint32_t)data_left) : 0;
	bool fin = c->fin_sent && seq_eq(seq_add(start, bytes), c->write_seq);
	if (!bytes && !fin) {
		repaired(c, start, seq_add(start, length));
		return STOP_DONE;
	}
	int sent = tcp_send_segment(c, start, bytes, TCP_ACK | (fin ? TCP_FIN : 0));
	if (sent < 0)
		return STOP_MEMORY;
	fin = fin && (uint32_t)sent == bytes;
	uint32_t count = max_u32(((uint32_t)sent + c->snd_mss - 1) / c->snd_mss, 1);
	struct tcp_seq end = seq_add(start, (uint32_t)sent + fin);
	repaired(c, start, end);
	if (seq_eq(start, c->snd_una))
		tcp_retransmit_timer_start(c);
	c->recovery_entered = false;
	c->rtt_timing = false;
	c->last_sent_ns = tcp_now(c->tcp);
	tcp_undo_note_retransmission(c, count);
	c->total_retransmits += count;
	c->bytes_retransmitted += (uint32_t)sent;
	c->tcp->counters->tcp_retransmits += count;
	if (c->retransmit_ns == LOOP_NEVER)
		tcp_retransmit_timer_start(c);
	return STOP_DONE;
}

static enum stop send_lost(struct tcp_connection *c, uint32_t *budget)
{
	struct tcp_seq start;
	uint32_t length;
	while (tcp_in_recovery(c) && tcp_next_lost(c, &start, &length)) {
		uint32_t pipe = tcp_pipe(c), mss = c->snd_mss;
		uint32_t room = c->cwnd > pipe ? c->cwnd - pipe : 0;
		bool at_once = c->recovery_entered;
		if (!at_once && room < min_u32(mss, length)) /* RFC 6675 §5 (C) */
			return STOP_DONE;
		int32_t window = seq_diff(seq_add(c->snd_una, c->snd_wnd), start);
		if (window <= 0 && !seq_eq(start, c->snd_una))
			return STOP_DONE;
		if (!tcp_repair_has_room(c))
			return STOP_DONE;
		if (interface_is_full(c) || !*budget)
			return STOP_FULL;
		uint32_t most = at_once ? mss : max_u32(room - room % mss, mss);
		if (window > 0)
			most = min_u32(most, (uint32_t)window);
		most = min_u32(most, burst_limit(c));
		/* The FIN's own sequence number may come on top. */
		if (length > most)
			length = most;
		enum stop stop = resend(c, start, length);
		if (stop != STOP_DONE)
			return stop;
		--*budget;
	}
	return STOP_DONE;
}

/* One segment beyond the congestion window: new data, or what is in flight once more. */
static enum stop send_tail_probe(struct tcp_connection *c, uint32_t *budget)
{
	if (!c->tail_due)
		return STOP_DONE;
	uint32_t mss = c->snd_mss, unsent = tcp_unsent(c), room = window_room(c);
	struct tcp_seq start = c->sack ? seq_add(c->snd_nxt, -mss) : c->snd_una;
	if (!tcp_tail_is_due(c) || seq_lt(seq_add(c->snd_una, c->snd_wnd), seq_add(start, mss))) {
		c->tail_due = false;
		return STOP_DONE;
	}
	if (interface_is_full(c) || !*budget)
		return STOP_FULL;
	uint32_t length = min_u32(min_u32(unsent, room), mss);
	bool fresh = c->sack && length &&
	             (length == mss || (length == unsent && short_segment_may_go(c)));
	if (fresh) {
		int sent = tcp_send_segment(c, c->snd_nxt, length, TCP_ACK | TCP_PSH);
		if (sent < 0)
			return STOP_MEMORY;
		data_sent(c, (uint32_t)sent, false);
	} else {
		enum stop stop = resend(c, start, mss);
		if (stop != STOP_DONE)
			return stop;
	}
	c->tail_due = false;
	c->tail_probing = true;
	c->tail_repeated = !fresh;
	c->tail_edge = c->snd_nxt;
	c->tail_probe_end = fresh ? c->snd_nxt : c->high_retransmitted;
	c->tcp->counters->tcp_tail_probes++;
	tcp_retransmit_timer_start(c);
	--*budget;
	return STOP_DONE;
}

/* Corked bytes do not wait for ever. */
static void cork_timer_start(struct tcp_connection *c)
{
	if (c->retry_ns == LOOP_NEVER)
		c->retry_ns = tcp_now(c->tcp) + TCP_CORK_NS;
	tcp_timer_update(c, c->retry_ns);
}

void tcp_output_written(struct tcp_connection *c)
{
	bool held = (c->cork || c->more) && tcp_unsent(c) < c->snd_mss;
	if (held && tcp_is_synchronized(c) && !tcp_flight(c) && window_room(c) >= c->snd_mss)
		cork_timer_start(c);
	else
		tcp_output_schedule(c);
}

/* Data that waits behind a closed (or too small) window with nothing in flight needs the persist
 * timer (RFC 9293 §3.8.6.1). */
static void persist_check(struct tcp_connection *c)
{
	bool waiting = tcp_unsent(c) || (c->fin_queued && !c->fin_sent);
	if (!waiting || tcp_flight(c) || c->retransmit_ns != LOOP_NEVER)
		return;
	if (c->cork || c->more) {
		cork_timer_start(c);
		if (window_room(c) >= min_u32(c->snd_mss, tcp_unsent(c)))
			return;
	}
	c->persist = true;
	tcp_retransmit_timer_start(c);
}

/* Zero-window and keep-alive probes: an old sequence number, which the peer answers with an ACK. */
static enum stop send_probe(struct tcp_connection *c)
{
	uint32_t window = window_room(c);
	if (!c->probe_due && !c->keepalive_due)
		return STOP_DONE;
	int sent;
	if (c->probe_due && window && tcp_unsent(c) && tcp_flight(c) == 0) {
		uint32_t length = min_u32(min_u32(window, tcp_unsent(c)), c->snd_mss);
		sent = tcp_send_segment(c, c->snd_nxt, length, TCP_ACK | TCP_PSH);
		if (sent > 0)
			data_sent(c, (uint32_t)sent, false);
	} else {
		sent = tcp_send_segment(c, seq_add(c->snd_una, UINT32_MAX), 0, TCP_ACK);
	}
	if (sent < 0)
		return STOP_MEMORY;
	c->probe_due = c->keepalive_due = false;
	return STOP_DONE;
}

static enum stop send_handshake(struct tcp_connection *c)
{
	if (!c->syn_due) {
		if (c->ack_now && c->flow.state == TCP_SYN_RECEIVED &&
		    tcp_send_segment(c, c->snd_nxt, 0, TCP_ACK) < 0)
			return STOP_MEMORY;
		return STOP_DONE;
	}
	bool reply = c->flow.state == TCP_SYN_RECEIVED;
	if (tcp_send_segment(c, c->iss, 0, reply ? TCP_SYN | TCP_ACK : TCP_SYN) < 0)
		return STOP_MEMORY;
	c->syn_due = false;
	if (!c->rtt_timing && !c->retransmits) {
		c->rtt_timing = true;
		c->rtt_sequence = c->snd_nxt;
		c->rtt_started_ns = tcp_now(c->tcp);
	}
	return STOP_DONE;
}

static enum stop send_all(struct tcp_connection *c, uint32_t *budget)
{
	if (c->flow.state < TCP_ESTABLISHED)
		return send_handshake(c);
	enum stop stop = send_lost(c, budget);
	if (stop == STOP_DONE)
		stop = send_tail_probe(c, budget);
	if (stop == STOP_DONE)
		stop = send_new(c, budget);
	if (stop == STOP_DONE)
		stop = send_probe(c);
	if (stop != STOP_DONE)
		return stop;
	persist_check(c);
	if (c->ack_now && tcp_send_segment(c, c->snd_nxt, 0, TCP_ACK) < 0)
		return STOP_MEMORY;
	return STOP_DONE;
}

/* False: the interface is full and the connection must be visited again. */
static bool output(struct tcp_connection *c, uint32_t *budget)
{
	if (c->flow.state == TCP_CLOSED || c->flow.state == TCP_LISTEN)
		return true;
	/* Without a route the retransmission timer goes on trying. */
	if (!tcp_update_route(c)) {
		if (c->retransmit_ns == LOOP_NEVER && (tcp_unacked(c) || c->fin_queued))
			tcp_retransmit_timer_start(c);
		c->syn_due = c->ack_now = false;
		return true;
	}
	if (c->recent && c->recent->headers.generation != c->route.generation)
		tcp_headers_make(c);
	if (interface_is_full(c))
		return false;
	bool held = tcp_holds_unsent(c);
	enum stop stop = send_all(c, budget);
	if (held && tcp_is_writable(c)) /* by sending alone, no ACK need come */
		tcp_notify(c, NET_WRITABLE);
	switch (stop) {
	case STOP_FULL:
		return false;
	case STOP_MEMORY:
		c->retry_ns = tcp_now(c->tcp) + TCP_RETRY_NS;
		tcp_timer_update(c, c->retry_ns);
		return true;
	case STOP_DONE:
		break;
	}
	return true;
}

void tcp_output_now(struct tcp_connection *c)
{
	uint32_t budget = TCP_FLUSH_BUDGET;
	if (tcp_unsent(c))
		output(c, &budget);
}

/* The interface of the first blocked connection has room again: all of them try. */
static void unblock(struct tcp_stack *tcp)
{
	struct list_node *first = list_first(&tcp->blocked);
	if (!first)
		return;
	struct tcp_connection *c = list_entry(first, struct tcp_connection, output_link);
	if (!route_is_current(tcp->stack, &c->route) || !interface_is_full(c))
		list_splice_back(&tcp->output, &tcp->blocked);
}

void tcp_flush(struct stack *stack)
{
	struct tcp_stack *tcp = stack_tcp(stack);
	uint32_t budget = TCP_FLUSH_BUDGET;
	struct list now;
	if (!list_is_empty(&tcp->held_acks) && tcp_now(tcp) - tcp->held_acks_ns >= TCP_HELD_ACK_NS)
		send_held_acks(&tcp->held_acks);
	if (list_is_empty(&tcp->output) && list_is_empty(&tcp->blocked))
		return;
	list_init(&now);
	unblock(tcp);
	list_splice_back(&now, &tcp->output);
	struct list_node *node;
	while (budget && (node = list_pop_front(&now)) != NULL) {
		struct tcp_connection *c = list_entry(node, struct tcp_connection, output_link);
		if (tcp_send_answer(c))
			budget--;
		else if (!output(c, &budget) && !list_node_is_linked(&c->output_link))
			list_push_back(budget ? &tcp->blocked : &tcp->output, &c->output_link);
	}
	list_splice_back(&tcp->output, &now);
	if (!list_is_empty(&tcp->output))
		stack_note_output(stack);
}
