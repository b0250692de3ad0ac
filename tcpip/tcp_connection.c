/* The life of TCP's state of one stack, and of its connections. */
#include "tcpip/tcp_internal.h"

void *tcp_alloc(struct tcp_stack *tcp, size_t bytes)
{
	void *memory = stack_alloc(tcp->stack, bytes);
	if (memory)
		tcp->counters->tcp_memory_bytes += bytes;
	return memory;
}

void tcp_free(struct tcp_stack *tcp, void *memory, size_t bytes)
{
	tcp->counters->tcp_memory_bytes -= bytes;
	stack_free(tcp->stack, memory, bytes);
}

static int timers_create(struct tcp_stack *tcp)
{
	int error = loop_timer_create(tcp->loop, &tcp->request_timer, LOOP_PRIORITY_HIGH,
	                              tcp_request_timer_fired);
	if (error)
		return error;
	error = loop_timer_create(tcp->loop, &tcp->time_wait_timer, LOOP_PRIORITY_HIGH,
	                          tcp_time_wait_timer_fired);
	if (error)
		loop_timer_destroy(tcp->loop, &tcp->request_timer);
	return error;
}

static void configure(struct tcp_stack *tcp)
{
	const struct stack_config *config = stack_get_config(tcp->stack);
	tcp->max_connections = config->max_connections ? config->max_connections : 131072;
	tcp->max_time_wait = config->max_time_wait ? config->max_time_wait : 32768;
	tcp->receive_default =
	        config->tcp_receive_buffer_bytes ? config->tcp_receive_buffer_bytes : 131072;
	tcp->receive_max =
	        config->tcp_receive_buffer_max ? config->tcp_receive_buffer_max : 6u << 20;
	tcp->send_default = config->tcp_send_buffer_bytes ? config->tcp_send_buffer_bytes : 16384;
	tcp->send_max = config->tcp_send_buffer_max ? config->tcp_send_buffer_max : 4u << 20;
	tcp->acks_at_once = config->tcp_acks_at_once;
	tcp->congestion_default = TCP_CUBIC;
	struct pbuf_pool_statistics pool;
	pbuf_pool_statistics(tcp->pool, &pool);
	tcp->send_limit = pool.cap_bytes / 2;
	tcp->receive_limit = pool.cap_bytes / 2;
	stack_random(tcp->stack, tcp->hash_key, sizeof(tcp->hash_key));
	stack_random(tcp->stack, tcp->secret, sizeof(tcp->secret));
	stack_random(tcp->stack, &tcp->port_perturbation, sizeof(tcp->port_perturbation));
}

int tcp_init(struct stack *stack)
{
	struct tcp_stack *tcp = stack_alloc(stack, sizeof(*tcp));
	if (!tcp)
		return -ENOMEM;
	tcp->stack = stack;
	tcp->loop = stack_loop(stack);
	tcp->pool = stack_pool(stack);
	tcp->counters = stack_counters(stack);
	struct list *lists[] = { &tcp->output, &tcp->blocked,   &tcp->unread_acks, &tcp->held_acks,
		                 &tcp->all,    &tcp->time_wait, &tcp->recent_order };
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		list_init(lists[i]);
	for (uint32_t i = 0; i <= TCP_SYNACK_RETRIES; i++)
		list_init(&tcp->requests[i]);
	configure(tcp);
	int error = -ENOMEM;
	if (tcp_table_init(tcp, &tcp->flows, 256) && tcp_table_init(tcp, &tcp->ports, 64))
		error = timers_create(tcp);
	if (error) {
		tcp_table_fini(tcp, &tcp->flows);
		tcp_table_fini(tcp, &tcp->ports);
		stack_free(stack, tcp, sizeof(*tcp));
		return error;
	}
	stack_set_tcp(stack, tcp);
	return 0;
}

void tcp_fini(struct stack *stack)
{
	struct tcp_stack *tcp = stack_tcp(stack);
	struct list_node *first;
	while ((first = list_first(&tcp->all)) != NULL) {
		struct tcp_connection *c = list_entry(first, struct tcp_connection, all_link);
		c->event = NULL;
		if (c->flow.state == TCP_LISTEN) {
			tcp_listener_close(c, true);
		} else if (tcp_parent(c)) {
			list_remove(&c->bind_link);
			tcp_parent(c)->listening->accept_count--;
		}
		c->owned = false;
		tcp_connection_set_state(c, TCP_CLOSED);
		tcp_connection_finish(c, 0);
	}
	list_for_each_safe(node, &tcp->time_wait)
	        tcp_time_wait_free(tcp, list_entry(node, struct tcp_time_wait, link));
	tcp_recent_fini(tcp);
	loop_timer_destroy(tcp->loop, &tcp->request_timer);
	loop_timer_destroy(tcp->loop, &tcp->time_wait_timer);
	tcp_table_fini(tcp, &tcp->flows);
	tcp_table_fini(tcp, &tcp->ports);
	stack_set_tcp(stack, NULL);
	stack_free(stack, tcp, sizeof(*tcp));
}

static void set_defaults(struct tcp_connection *c)
{
	struct tcp_stack *tcp = c->tcp;
	c->flow.kind = TCP_FLOW_CONNECTION;
	c->flow.state = TCP_CLOSED;
	c->odd = TCP_ODD_STATE;
	list_node_init(&c->output_link);
	list_node_init(&c->bind_link);
	list_init(&c->send_queue);
	c->retransmit_ns = c->delayed_ack_ns = c->retry_ns = c->keepalive_ns = LOOP_NEVER;
	c->receive_buffer = tcp->receive_default;
	c->send_buffer = tcp->send_default;
	c->congestion_algorithm = tcp->congestion_default;
	c->ssthresh = UINT32_MAX;
	c->rto_us = TCP_RTO_INITIAL_US;
	c->min_rtt_us = UINT32_MAX;
	c->snd_mss = c->rcv_mss = TCP_DEFAULT_MSS;
	c->keepidle_s = 7200;
	c->keepintvl_s = 75;
	c->keepcnt = 9;
	c->syncnt = 6;
	c->linger_s = -1;
	c->linger2_s = 60;
	c->receive_lowat = 1;
	c->ttl = 64;
	c->owned = true;
}

struct tcp_connection *tcp_connection_create(struct tcp_stack *tcp)
{
	if (tcp->connection_count >= tcp->max_connections)
		return NULL;
	struct tcp_connection *c = tcp_alloc(tcp, sizeof(*c));
	if (!c)
		return NULL;
	c->tcp = tcp;
	if (loop_timer_create(tcp->loop, &c->timer, LOOP_PRIORITY_HIGH, tcp_timer_fired)) {
		tcp_free(tcp, c, sizeof(*c));
		return NULL;
	}
	set_defaults(c);
	list_push_back(&tcp->all, &c->all_link);
	tcp->connection_count++;
	tcp->counters->tcp_live++;
	return c;
}

void tcp_connection_hash(struct tcp_connection *c)
{
	tcp_flow_insert(c->tcp, &c->flow);
	c->hashed = true;
}

void tcp_connection_unhash(struct tcp_connection *c)
{
	if (!c->hashed)
		return;
	tcp_table_remove(&c->tcp->flows, &c->flow.node);
	tcp_recent_drop(c);
	c->hashed = false;
}

static bool is_established(enum tcp_state state)
{
	return state == TCP_ESTABLISHED || state == TCP_CLOSE_WAIT;
}

static void count_end(struct stack_statistics *counters, enum tcp_state state)
{
	counters->tcp_attempt_fails += state == TCP_SYN_SENT || state == TCP_SYN_RECEIVED;
	counters->tcp_establish_resets += is_established(state);
}

void tcp_add_statistics(const struct stack *stack, struct stack_statistics *out)
{
	const struct tcp_stack *tcp = stack_tcp(stack);
	out->tcp_orphans = tcp->orphan_count;
	out->tcp_in_use =
	        out->tcp_listeners + tcp->flows.count - tcp->request_count - tcp->time_wait_count;
}

void tcp_connection_set_state(struct tcp_connection *c, enum tcp_state state)
{
	struct stack_statistics *counters = c->tcp->counters;
	enum tcp_state before = c->flow.state;
	counters->tcp_established += is_established(state);
	counters->tcp_established -= is_established(before);
	if (state == TCP_CLOSED)
		count_end(counters, before);
	c->flow.state = (uint8_t)state;
	if (state == TCP_ESTABLISHED)
		c->odd &= (uint8_t)~TCP_ODD_STATE;
	else
		c->odd |= TCP_ODD_STATE;
}

void tcp_port_release(struct tcp_connection *c)
{
	if (!c->port)
		return;
	if (c->port_bound)
		list_remove(&c->bind_link);
	else
		tcp_port_remove_child(c->port, c->reuse_address, c->reuse_port);
	tcp_port_put(c->tcp, c->port);
	c->port = NULL;
	c->port_bound = false;
}

void tcp_receive_purge(struct tcp_connection *c)
{
	pbuf_free(c->receive_head);
	c->receive_head = c->receive_tail = NULL;
	c->tcp->receive_held -= c->receive_true;
	c->receive_true = 0;
	if (c->tcp->cursor_connection == c)
		c->tcp->cursor_connection = NULL;
}

void tcp_send_purge(struct tcp_connection *c)
{
	list_for_each_safe(node, &c->send_queue)
	{
		struct tcp_unit *unit = list_entry(node, struct tcp_unit, link);
		struct pbuf *buffer = unit->buffer;
		list_remove(node);
		c->tcp->send_held -= unit->held;
		if (unit->foreign)
			tcp_free(c->tcp, unit, sizeof(*unit));
		pbuf_free(buffer);
	}
	c->send_next = NULL;
}

void tcp_reassembly_purge(struct tcp_connection *c)
{
	struct tcp_reassembly *r = c->reassembly;
	c->odd &= (uint8_t)~TCP_ODD_REASSEMBLY;
	if (!r)
		return;
	c->tcp->receive_held -= r->true_bytes;
	struct list_node *node;
	while ((node = list_pop_front(&r->queue)) != NULL)
		pbuf_free(list_entry(node, struct pbuf, link));
	tcp_free(c->tcp, r, sizeof(*r));
	c->reassembly = NULL;
}

void tcp_scoreboard_clear(struct tcp_connection *c)
{
	struct tcp_interval_set *scoreboard = tcp_scoreboard(c);
	if (!scoreboard)
		return;
	tcp_free(c->tcp, scoreboard, sizeof(*scoreboard));
	c->loss->scoreboard = NULL;
}

struct tcp_loss *tcp_loss_get(struct tcp_connection *c)
{
	if (!c->loss)
		c->loss = tcp_alloc(c->tcp, sizeof(*c->loss));
	else
		return c->loss;
	if (c->loss) {
		c->loss->reorder_ns = LOOP_NEVER;
		c->loss->window_steps = 1;
		c->loss->highest_sacked = c->snd_una;
	}
	return c->loss;
}

void tcp_repairs_clear(struct tcp_connection *c)
{
	struct tcp_repairs *repairs = tcp_repairs(c);
	if (!repairs)
		return;
	tcp_free(c->tcp, repairs, sizeof(*repairs));
	c->loss->repairs = NULL;
}

void tcp_sent_log_clear(struct tcp_connection *c)
{
	if (!c->loss || !c->loss->sent)
		return;
	tcp_free(c->tcp, c->loss->sent, sizeof(*c->loss->sent));
	c->loss->sent = NULL;
}

void tcp_loss_purge(struct tcp_connection *c)
{
	if (!c->loss)
		return;
	tcp_scoreboard_clear(c);
	tcp_repairs_clear(c);
	tcp_sent_log_clear(c);
	tcp_free(c->tcp, c->loss, sizeof(*c->loss));
	c->loss = NULL;
}

void tcp_connection_finish(struct tcp_connection *c, int error)
{
	if (c->flow.state != TCP_CLOSED) {
		tcp_connection_set_state(c, TCP_CLOSED);
		c->receive_shut = true; /* both ways: a read finds the end */
		if (error)
			c->error = (uint16_t)error;
	}
	c->retransmit_ns = c->delayed_ack_ns = c->retry_ns = c->keepalive_ns = LOOP_NEVER;
	loop_timer_cancel(c->tcp->loop, &c->timer);
	tcp_send_purge(c);
	tcp_reassembly_purge(c);
	tcp_loss_purge(c);
	tcp_congestion_forget(c);
	tcp_connection_unhash(c);
	list_remove(&c->output_link);
	c->ack_held = false;
	c->starved = false;
	if (!c->port_kept)
		tcp_port_release(c);
	tcp_notify(c, NET_READABLE | NET_WRITABLE | NET_ERROR | NET_HANGUP | NET_READ_HANGUP);
	tcp_connection_release(c);
}

void tcp_connection_abort(struct tcp_connection *c, int error)
{
	if (c->flow.state != TCP_CLOSED && c->flow.state != TCP_SYN_SENT)
		tcp_send_reset(c);
	tcp_connection_finish(c, error);
}

void tcp_connection_release(struct tcp_connection *c)
{
	if (c->owned || c->flow.state != TCP_CLOSED)
		return;
	struct tcp_stack *tcp = c->tcp;
	if (c->orphan)
		tcp->orphan_count--;
	tcp_extra_free(c);
	tcp_receive_purge(c);
	tcp_port_release(c);
	loop_timer_destroy(tcp->loop, &c->timer);
	list_remove(&c->all_link);
	tcp->connection_count--;
	tcp->counters->tcp_live--;
	tcp_free(tcp, c, sizeof(*c));
}

/* What may be sent in one segment: the path, the peer's offer and the user's wish, less the options
 * that every segment carries. */
void tcp_update_mss(struct tcp_connection *c)
{
	uint32_t mss = c->path_mtu > 40 + TCP_MIN_MSS ? c->path_mtu - 40u : TCP_MIN_MSS;
	mss = min_u32(mss, max_u32(c->peer_mss ? c->peer_mss : TCP_DEFAULT_MSS, TCP_MIN_MSS));
	if (c->user_mss)
		mss = min_u32(mss, c->user_mss);
	if (c->timestamps)
		mss -= TCP_TIMESTAMP_BYTES;
	c->snd_mss = (uint16_t)min_u32(mss, TCP_MAX_PAYLOAD);
}

/* False: no way to the peer right now. */
bool tcp_update_route(struct tcp_connection *c)
{
	struct stack *stack = c->tcp->stack;
	if (!route_is_current(stack, &c->route)) {
		int error = route_lookup_by(stack, c->flow.remote_address, c->bound_interface,
		                            &c->route);
		if (error) {
			c->route.generation = 0;
			c->soft_error = (uint16_t)-error;
			return false;
		}
	}
	uint32_t mtu = min_u32(c->route.mtu, 65535);
	if (mtu != c->path_mtu) {
		c->path_mtu = (uint16_t)mtu;
		tcp_update_mss(c);
	}
	return true;
}

void tcp_connection_established(struct tcp_connection *c)
{
	uint64_t now = tcp_now(c->tcp);
	tcp_connection_set_state(c, TCP_ESTABLISHED);
	c->ever_connected = true;
	tcp_update_mss(c);
	c->retransmits = c->backoff = 0;
	c->first_retransmit_ns = 0;
	tcp_congestion_start(c);
	if (c->total_retransmits > 1)
		c->cwnd = c->snd_mss;
	c->quick = 16;
	c->small_sequence = c->snd_una;
	c->high_retransmitted = c->lost_edge = c->recover = c->snd_una;
	c->space_bytes = TCP_INITIAL_WINDOW_SEGMENTS * c->advertised_mss;
	c->space_sequence = c->rcv_nxt;
	c->space_started_ns = now;
	c->last_received_ns = now;
	if (!c->send_locked)
		c->send_buffer =
		        max_u32(c->send_buffer, min_u32(2 * TCP_INITIAL_WINDOW_SEGMENTS *
		                                                tcp_send_buffer_per_segment(c),
		                                        c->tcp->send_max));
	c->retransmit_ns = LOOP_NEVER;
	tcp_keepalive_restart(c);
	if (tcp_unsent(c) || c->fin_queued)
		tcp_output_schedule(c);
}
