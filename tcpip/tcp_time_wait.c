/* TIME_WAIT (RFC 9293 §3.6.1, RFC 6191) in an object much smaller than a connection. */
#include "tcpip/tcp_internal.h"

static void arm(struct tcp_stack *tcp)
{
	struct list_node *first = list_first(&tcp->time_wait);
	uint64_t deadline =
	        first ? list_entry(first, struct tcp_time_wait, link)->deadline_ns : LOOP_NEVER;
	if (deadline < tcp->time_wait_timer.deadline_ns)
		loop_timer_arm(tcp->loop, &tcp->time_wait_timer, deadline);
}

static void restart(struct tcp_stack *tcp, struct tcp_time_wait *tw)
{
	list_remove(&tw->link);
	tw->deadline_ns = tcp_now(tcp) + TCP_TIME_WAIT_NS;
	list_push_back(&tcp->time_wait, &tw->link);
	arm(tcp);
}

void tcp_time_wait_free(struct tcp_stack *tcp, struct tcp_time_wait *tw)
{
	list_remove(&tw->link);
	tcp_table_remove(&tcp->flows, &tw->flow.node);
	tcp_port_remove_child(tw->port, tw->reuse_address, tw->reuse_port);
	tw->port->time_waits--;
	tcp_port_put(tcp, tw->port);
	tcp->time_wait_count--;
	tcp->counters->tcp_time_wait--;
	tcp_free(tcp, tw, sizeof(*tw));
}

void tcp_time_wait_timer_fired(struct loop *loop, struct loop_watcher *watcher, uint32_t events)
{
	(void)events;
	struct tcp_stack *tcp = container_of(watcher, struct tcp_stack, time_wait_timer.watcher);
	struct list_node *first;
	/* At most a few at a time: the rest follows in the next turn. */
	for (int budget = 256; budget && (first = list_first(&tcp->time_wait)) != NULL; budget--) {
		struct tcp_time_wait *tw = list_entry(first, struct tcp_time_wait, link);
		if (tw->deadline_ns > loop->now_ns)
			break;
		tcp_time_wait_free(tcp, tw);
	}
	arm(tcp);
}

static void send_ack(struct tcp_stack *tcp, struct tcp_time_wait *tw)
{
	struct tcp_bare_segment ack = {
		.flow = &tw->flow,
		.sequence = tw->snd_nxt,
		.acknowledgment = tw->rcv_nxt,
		.window = (uint16_t)tw->receive_window,
		.flags = TCP_ACK,
		.tos = tw->tos,
		.interface = tw->bound_interface,
	};
	if (tw->timestamps) {
		store_be32(ack.options, 0x0101080a);
		store_be32(ack.options + 4, tcp_now_ms(tcp) + tw->timestamp_offset);
		store_be32(ack.options + 8, tw->timestamp_recent);
		ack.option_bytes = TCP_TIMESTAMP_BYTES;
	}
	tcp_send_bare(tcp, &ack);
}

/* Without memory, or beyond the cap, the connection just ends (as Linux's tcp_time_wait). */
void tcp_time_wait_enter(struct tcp_connection *c)
{
	struct tcp_stack *tcp = c->tcp;
	struct tcp_time_wait *tw = NULL;
	/* The connection has its headers ready. */
	if (c->ack_now && tcp_update_route(c)) {
		tcp_send_segment(c, c->snd_nxt, 0, TCP_ACK);
		stack_note_output(tcp->stack);
	}
	if (tcp->time_wait_count < tcp->max_time_wait)
		tw = tcp_alloc(tcp, sizeof(*tw));
	if (!tw) {
		tcp_connection_finish(c, 0);
		return;
	}
	tcp_table_replace(&tcp->flows, &c->flow.node, &tw->flow.node);
	tcp_recent_drop(c);
	c->hashed = false;
	tw->flow.local_address = c->flow.local_address;
	tw->flow.remote_address = c->flow.remote_address;
	tw->flow.local_port = c->flow.local_port;
	tw->flow.remote_port = c->flow.remote_port;
	tw->flow.kind = TCP_FLOW_TIME_WAIT;
	tw->flow.state = TCP_TIME_WAIT;
	tw->snd_nxt = c->snd_nxt;
	tw->rcv_nxt = c->rcv_nxt;
	tw->receive_window = tcp_scale_window(tcp_receive_window(c), c->rcv_wscale);
	tw->timestamps = c->timestamps;
	tw->timestamp_recent = c->timestamp_recent;
	tw->timestamp_offset = c->timestamp_offset;
	tw->timestamp_noted_ns = tcp_now(tcp);
	tw->reuse_address = c->reuse_address;
	tw->reuse_port = c->reuse_port;
	tw->tos = c->tos;
	tw->bound_interface = c->bound_interface;
	tw->port = c->port;
	tw->port->users++;
	tw->port->time_waits++;
	tcp_port_add_child(tw->port, tw->reuse_address, tw->reuse_port);
	list_node_init(&tw->link);
	tcp->time_wait_count++;
	tcp->counters->tcp_time_wait++;
	tcp->counters->tcp_time_waits++;
	restart(tcp, tw);
	tcp_connection_finish(c, 0);
}

bool tcp_time_wait_reusable(const struct tcp_stack *tcp, const struct tcp_time_wait *tw)
{
	return tw->timestamps && tcp_now(tcp) - tw->timestamp_noted_ns >= 1000000000ull;
}

/* RFC 6191, RFC 9293 §3.10.7.4: a SYN that cannot be an old duplicate opens the successor. */
static bool syn_is_new(const struct tcp_time_wait *tw, const struct tcp_segment *s)
{
	if ((s->flags & (TCP_SYN | TCP_RST | TCP_ACK)) != TCP_SYN)
		return false;
	if (seq_lt(tw->rcv_nxt, s->sequence))
		return true;
	return tw->timestamps && s->options.has_timestamp &&
	       (int32_t)(s->options.timestamp_value - tw->timestamp_recent) > 0;
}

static bool paws_rejects(const struct tcp_time_wait *tw, const struct tcp_segment *s)
{
	return tw->timestamps && s->options.has_timestamp &&
	       (int32_t)(s->options.timestamp_value - tw->timestamp_recent) < 0;
}

void tcp_time_wait_segment(struct tcp_stack *tcp, struct tcp_time_wait *tw, struct tcp_segment *s)
{
	bool old = paws_rejects(tw, s);
	if (!old && s->flags & TCP_RST) {
		if (seq_eq(s->sequence, tw->rcv_nxt))
			tcp_time_wait_free(tcp, tw);
		return;
	}
	if (s->flags & TCP_RST)
		return;
	if (!old && syn_is_new(tw, s)) {
		struct tcp_connection *listener =
		        tcp_listener_find(tcp, s->ip, tw->flow.local_port, tw->flow.node.hash);
		if (listener) {
			struct tcp_seq least = seq_add(tw->snd_nxt, 65535 + 2);
			tcp_time_wait_free(tcp, tw);
			tcp_listen_segment(listener, s, least, true);
			return;
		}
	}
	bool in_order =
	        seq_eq(s->sequence, tw->rcv_nxt) && !s->length && !(s->flags & (TCP_SYN | TCP_FIN));
	if (!old && in_order && s->flags & TCP_ACK) { /* an ACK of our FIN: no answer */
		if (s->options.has_timestamp)
			tw->timestamp_recent = s->options.timestamp_value;
		return;
	}
	uint64_t now = tcp_now(tcp);
	if (!old && s->flags & TCP_FIN) /* our last ACK was lost */
		restart(tcp, tw);
	else if (tw->ack_sent_ns && now - tw->ack_sent_ns < TCP_INVALID_ACK_INTERVAL_NS)
		return;
	tw->ack_sent_ns = now;
	send_ack(tcp, tw);
}
