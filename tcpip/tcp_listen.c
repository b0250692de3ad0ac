/* Passive opens: half-open requests, the accept queue, and Linux's rules for when they are full. */
#include "tcpip/tcp_internal.h"

static uint8_t scale_for(uint32_t space)
{
	uint8_t scale = 0;
	while (space >> scale > 65535 && scale < TCP_MAX_WSCALE)
		scale++;
	return scale;
}

/* Linux's tcp_select_initial_window: the scale must be able to show the largest buffer that
 * autotuning may reach. */
void tcp_choose_window(struct tcp_stack *tcp, uint32_t receive_buffer, uint32_t window_clamp,
                       uint32_t mss, bool scaling, uint32_t *window, uint8_t *wscale)
{
	uint32_t space = receive_buffer / 2;
	if (window_clamp)
		space = min_u32(space, window_clamp);
	*wscale = scaling ? scale_for(max_u32(space, tcp->receive_max)) : 0;
	*window = min_u32(space, 65535);
	if (mss > 1u << *wscale && *window > mss)
		*window -= *window % mss;
}

/* ---- requests ---- */

static void request_timer_arm(struct tcp_stack *tcp)
{
	uint64_t earliest = LOOP_NEVER;
	for (uint32_t i = 0; i <= TCP_SYNACK_RETRIES; i++) {
		struct list_node *first = list_first(&tcp->requests[i]);
		if (first)
			earliest = min_u64(
			        earliest,
			        list_entry(first, struct tcp_request, timer_link)->deadline_ns);
	}
	if (earliest < tcp->request_timer.deadline_ns)
		loop_timer_arm(tcp->loop, &tcp->request_timer, earliest);
}

/* Each queue has one interval, so its order is the order of its deadlines. */
static void request_queue(struct tcp_stack *tcp, struct tcp_request *request)
{
	request->deadline_ns =
	        tcp_now(tcp) + (uint64_t)TCP_RTO_INITIAL_US * 1000 * (1ull << request->retries);
	list_push_back(&tcp->requests[request->retries], &request->timer_link);
	if (request->deadline_ns < tcp->request_timer.deadline_ns)
		loop_timer_arm(tcp->loop, &tcp->request_timer, request->deadline_ns);
}

/* All but the table lets go of it. */
static void request_discard(struct tcp_stack *tcp, struct tcp_request *request)
{
	list_remove(&request->timer_link);
	list_remove(&request->listener_link);
	request->listener->listening->request_count--;
	tcp->request_count--;
	tcp_free(tcp, request, sizeof(*request) + request->saved_bytes);
}

void tcp_request_free(struct tcp_stack *tcp, struct tcp_request *request)
{
	tcp_table_remove(&tcp->flows, &request->flow.node);
	request_discard(tcp, request);
}

void tcp_send_syn_ack(const struct tcp_request *request, uint32_t now_ms)
{
	struct tcp_stack *tcp = request->listener->tcp;
	struct tcp_bare_segment reply = {
		.flow = &request->flow,
		.sequence = request->iss,
		.acknowledgment = seq_add(request->irs, 1),
		.window = (uint16_t)request->receive_window,
		.flags = TCP_SYN | TCP_ACK,
		.tos = request->listener->tos,
		.interface = request->listener->bound_interface,
	};
	const struct tcp_syn_options options = {
		.mss = request->advertised_mss,
		.window_scale = request->rcv_wscale,
		.sack = request->sack,
		.timestamps = request->timestamps,
		.window_scaling = request->window_scaling,
		.timestamp_value = now_ms + request->timestamp_offset,
		.timestamp_echo = request->timestamp_recent,
	};
	reply.option_bytes = (uint8_t)tcp_build_syn_options(reply.options, &options);
	tcp_send_bare(tcp, &reply);
}

static void send_request_ack(struct tcp_stack *tcp, struct tcp_request *request)
{
	uint64_t now = tcp_now(tcp);
	if (request->ack_sent_ns && now - request->ack_sent_ns < TCP_INVALID_ACK_INTERVAL_NS)
		return;
	request->ack_sent_ns = now;
	const struct tcp_bare_segment ack = {
		.flow = &request->flow,
		.sequence = seq_add(request->iss, 1),
		.acknowledgment = seq_add(request->irs, 1),
		.window = tcp_scale_window(request->receive_window, request->rcv_wscale),
		.flags = TCP_ACK,
		.interface = request->listener->bound_interface,
	};
	tcp_send_bare(tcp, &ack);
}

static void request_expired(struct tcp_stack *tcp, struct tcp_request *request)
{
	const struct tcp_connection *listener = request->listener;
	uint64_t age_ns = tcp_now(tcp) - request->created_ns;
	bool deferring = request->acked && age_ns < listener->defer_accept_s * 1000000000ull;
	if (request->retries >= TCP_SYNACK_RETRIES) {
		tcp_request_free(tcp, request);
		return;
	}
	/* The peer has answered already and only its data is awaited: no need to ask again. */
	if (!deferring) {
		tcp_send_syn_ack(request, tcp_now_ms(tcp));
		tcp->counters->tcp_retransmits++;
	}
	list_remove(&request->timer_link);
	request->retries++;
	request_queue(tcp, request);
}

void tcp_request_timer_fired(struct loop *loop, struct loop_watcher *watcher, uint32_t events)
{
	(void)events;
	struct tcp_stack *tcp = container_of(watcher, struct tcp_stack, request_timer.watcher);
	int budget = 256;
	for (uint32_t i = 0; i <= TCP_SYNACK_RETRIES; i++) {
		struct list_node *first;
		while (budget-- > 0 && (first = list_first(&tcp->requests[i])) != NULL) {
			struct tcp_request *request =
			        list_entry(first, struct tcp_request, timer_link);
			if (request->deadline_ns > loop->now_ns)
				break;
			request_expired(tcp, request);
		}
	}
	request_timer_arm(tcp);
}

/* No more of them are kept. */
static bool requests_are_full(const struct tcp_connection *listener)
{
	return listener->listening->request_count > listener->listening->backlog ||
	       listener->tcp->request_count >= TCP_MAX_REQUESTS;
}

/* Memory for half-open connections is bounded: for the successor of a TIME_WAIT, whose number a
 * cookie cannot follow and whose peer is real, the oldest gives way. */
static struct tcp_request *request_alloc(struct tcp_stack *tcp, uint8_t saved_bytes)
{
	if (tcp->request_count >= TCP_MAX_REQUESTS) {
		for (uint32_t i = TCP_SYNACK_RETRIES + 1; i-- > 0;) {
			struct list_node *oldest = list_first(&tcp->requests[i]);
			if (!oldest)
				continue;
			tcp_request_free(tcp, list_entry(oldest, struct tcp_request, timer_link));
			break;
		}
		tcp->counters->tcp_syn_dropped++;
	}
	struct tcp_request *request = tcp_alloc(tcp, sizeof(struct tcp_request) + saved_bytes);
	if (request)
		request->saved_bytes = saved_bytes;
	return request;
}

void tcp_request_fill(struct tcp_request *request, struct tcp_connection *listener,
                      const struct tcp_segment *s, uint32_t mtu)
{
	struct tcp_stack *tcp = listener->tcp;
	const struct tcp_options *o = &s->options;
	request->flow = tcp_segment_flow(s);
	request->flow.kind = TCP_FLOW_REQUEST;
	request->flow.state = TCP_SYN_RECEIVED;
	request->listener = listener;
	request->created_ns = tcp_now(tcp);
	request->irs = s->sequence;
	request->iss = tcp_initial_sequence(tcp, &request->flow, &request->timestamp_offset);
	request->peer_mss = o->mss ? o->mss : TCP_DEFAULT_MSS;
	request->sack = o->sack_permitted;
	request->timestamps = o->has_timestamp;
	request->timestamp_recent = o->timestamp_value;
	request->window_scaling = o->has_window_scale;
	request->snd_wscale = o->has_window_scale ? o->window_scale : 0;
	request->advertised_mss = (uint16_t)(min_u32(mtu, 65535) - 40);
	if (listener->user_mss)
		request->advertised_mss =
		        (uint16_t)min_u32(request->advertised_mss, listener->user_mss);
	tcp_choose_window(tcp, listener->receive_buffer, listener->window_clamp,
	                  request->advertised_mss - (o->has_timestamp ? TCP_TIMESTAMP_BYTES : 0),
	                  o->has_window_scale, &request->receive_window, &request->rcv_wscale);
}

/* RFC 9293 §3.10.7.2. */
void tcp_listen_segment(struct tcp_connection *listener, struct tcp_segment *s,
                        struct tcp_seq least_iss, bool has_least_iss)
{
	struct tcp_stack *tcp = listener->tcp;
	if (s->flags & TCP_RST || s->ip->ttl < listener->min_ttl)
		return;
	if (s->flags & TCP_ACK) {
		if (s->flags & TCP_SYN || !tcp_cookie_answered(listener, s))
			tcp_reply_reset(tcp, s);
		return;
	}
	if ((s->flags & (TCP_SYN | TCP_FIN)) != TCP_SYN)
		return;
	/* Full: no answer, the peer tries again (never a RST). */
	if (listener->listening->accept_count > listener->listening->backlog) {
		tcp->counters->tcp_listen_overflows++;
		tcp->counters->tcp_syn_dropped++;
		return;
	}
	struct route_cache route;
	if (route_lookup_by(tcp->stack, s->ip->source, listener->bound_interface, &route) ||
	    !route_suits_source(&route, s->ip->destination))
		return;
	if (requests_are_full(listener) && !has_least_iss) {
		tcp_cookie_send(listener, s, route.mtu);
		return;
	}
	struct tcp_request *request = request_alloc(tcp, tcp_syn_headers_bytes(listener, s));
	if (!request) {
		tcp->counters->tcp_syn_dropped++;
		return;
	}
	tcp_request_fill(request, listener, s, route.mtu);
	if (request->saved_bytes)
		tcp_syn_headers_copy((uint8_t *)(request + 1), request->saved_bytes, s);
	if (has_least_iss && seq_lt(request->iss, least_iss))
		request->iss = least_iss;
	tcp_flow_insert(tcp, &request->flow);
	list_push_back(&listener->listening->requests, &request->listener_link);
	listener->listening->request_count++;
	tcp->request_count++;
	request_queue(tcp, request);
	tcp_send_syn_ack(request, tcp_now_ms(tcp));
}

/* ---- from request to connection ---- */

void tcp_inherit_options(struct tcp_connection *child, const struct tcp_connection *listener)
{
	child->nodelay = listener->nodelay;
	child->cork = listener->cork;
	child->keepalive = listener->keepalive;
	child->oob_inline = listener->oob_inline;
	child->tells_errors = listener->tells_errors;
	child->reuse_address = listener->reuse_address;
	child->reuse_port = listener->reuse_port;
	child->receive_locked = listener->receive_locked;
	child->send_locked = listener->send_locked;
	child->receive_buffer = listener->receive_buffer;
	child->send_buffer = listener->send_buffer;
	child->window_clamp = listener->window_clamp;
	child->user_mss = listener->user_mss;
	child->quickack_off = listener->quickack_off;
	child->pingpong = listener->pingpong;
	child->user_timeout_ms = listener->user_timeout_ms;
	child->notsent_lowat = listener->notsent_lowat;
	child->receive_lowat = listener->receive_lowat;
	child->linger_s = listener->linger_s;
	child->linger2_s = listener->linger2_s;
	child->keepidle_s = listener->keepidle_s;
	child->keepintvl_s = listener->keepintvl_s;
	child->keepcnt = listener->keepcnt;
	child->syncnt = listener->syncnt;
	child->tos = listener->tos;
	child->ttl = listener->ttl;
	child->min_ttl = listener->min_ttl;
	child->bound_interface = listener->bound_interface;
	child->save_syn = listener->save_syn;
	child->odd |= listener->odd & TCP_ODD_GUARDED;
	child->congestion_algorithm = listener->congestion_algorithm;
}

static void child_fill(struct tcp_connection *child, const struct tcp_request *request)
{
	child->flow.local_address = request->flow.local_address;
	child->flow.remote_address = request->flow.remote_address;
	child->flow.local_port = request->flow.local_port;
	child->flow.remote_port = request->flow.remote_port;
	child->iss = child->snd_una = request->iss;
	child->snd_nxt = child->write_seq = seq_add(request->iss, 1);
	child->irs = request->irs;
	child->rcv_nxt = child->rcv_copied = child->rcv_acked = seq_add(request->irs, 1);
	child->rcv_edge = seq_add(child->rcv_nxt, request->receive_window);
	child->peer_mss = request->peer_mss;
	child->advertised_mss = request->advertised_mss;
	child->rcv_mss = (uint16_t)min_u32(child->rcv_mss, request->advertised_mss);
	child->snd_wscale = request->snd_wscale;
	child->rcv_wscale = request->rcv_wscale;
	child->sack = request->sack;
	child->timestamps = request->timestamps;
	child->window_scaling = request->window_scaling;
	child->timestamp_recent = request->timestamp_recent;
	child->timestamp_offset = request->timestamp_offset;
	child->total_retransmits = request->retries;
	child->rtt_timing = request->retries == 0;
	child->rtt_started_ns = request->created_ns;
	tcp_connection_set_state(child, TCP_SYN_RECEIVED);
}

struct tcp_connection *tcp_child_create(const struct tcp_request *request)
{
	struct tcp_connection *listener = request->listener;
	struct tcp_connection *child = tcp_connection_create(listener->tcp);
	if (!child)
		return NULL;
	tcp_inherit_options(child, listener);
	child_fill(child, request);
	child->port = listener->port;
	child->port->users++;
	tcp_port_add_child(child->port, child->reuse_address, child->reuse_port);
	tcp_set_parent(child, listener);
	if (request->saved_bytes)
		tcp_keep_saved_syn(child, (const uint8_t *)(request + 1), request->saved_bytes);
	list_push_back(&listener->listening->accept_queue, &child->bind_link);
	listener->listening->accept_count++;
	listener->tcp->counters->tcp_passive_opens++;
	tcp_update_route(child);
	return child;
}

/* The request's place in the table goes to the connection. */
static void request_become(struct tcp_stack *tcp, struct tcp_request *request,
                           struct tcp_connection *child)
{
	tcp_table_replace(&tcp->flows, &request->flow.node, &child->flow.node);
	child->hashed = true;
	request_discard(tcp, request);
}

/* Sequence number, RST and SYN of a segment for a half-open connection. True: go on with the ACK.
 */
static bool request_checks(struct tcp_stack *tcp, struct tcp_request *request,
                           const struct tcp_segment *s)
{
	struct tcp_seq expected = seq_add(request->irs, 1);
	uint32_t length = s->length + !!(s->flags & TCP_FIN);
	if ((s->flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN &&
	    seq_eq(s->sequence, request->irs)) { /* our answer was lost */
		uint64_t now = tcp_now(tcp);
		if (!request->ack_sent_ns ||
		    now - request->ack_sent_ns >= TCP_INVALID_ACK_INTERVAL_NS) {
			request->ack_sent_ns = now;
			tcp_send_syn_ack(request, tcp_now_ms(tcp));
		}
		return false;
	}
	bool paws = request->timestamps && s->options.has_timestamp &&
	            (int32_t)(s->options.timestamp_value - request->timestamp_recent) < 0;
	bool inside = seq_le(expected, seq_add(s->sequence, length)) &&
	              seq_le(s->sequence, seq_add(expected, request->receive_window));
	if (paws || !inside) {
		if (!(s->flags & TCP_RST))
			send_request_ack(tcp, request);
		return false;
	}
	if (s->flags & TCP_RST) {
		if (seq_eq(s->sequence, expected))
			tcp_request_free(tcp, request);
		return false;
	}
	if (s->flags & TCP_SYN) {
		send_request_ack(tcp, request);
		return false;
	}
	return s->flags & TCP_ACK;
}

void tcp_request_segment(struct tcp_request *request, struct tcp_segment *s)
{
	struct tcp_connection *listener = request->listener;
	struct tcp_stack *tcp = listener->tcp;
	if (!request_checks(tcp, request, s))
		return;
	if (!seq_eq(s->acknowledgment, seq_add(request->iss, 1))) {
		tcp_reply_reset(tcp, s);
		return;
	}
	bool bare = !s->length && !(s->flags & TCP_FIN);
	uint64_t age_ns = tcp_now(tcp) - request->created_ns;
	if (bare && age_ns < listener->defer_accept_s * 1000000000ull) {
		request->acked = true;
		return;
	}
	/* Full: the ACK is dropped, our SYN-ACK will be repeated, the peer's data too (Linux
	 * without tcp_abort_on_overflow). */
	if (listener->listening->accept_count > listener->listening->backlog) {
		request->acked = true;
		tcp->counters->tcp_listen_overflows++;
		return;
	}
	struct tcp_connection *child = tcp_child_create(request);
	if (!child) {
		tcp->counters->tcp_listen_overflows++;
		return;
	}
	request_become(tcp, request, child);
	tcp_segment_arrives(child, s);
	tcp_notify(listener, NET_READABLE);
}

/* ---- the calls ---- */

int tcp_listen(struct tcp_connection *c, int backlog)
{
	uint32_t limit =
	        backlog < 0 ? TCP_MAX_BACKLOG : min_u32((uint32_t)backlog, TCP_MAX_BACKLOG);
	if (c->flow.state == TCP_LISTEN) {
		c->listening->backlog = limit;
		return 0;
	}
	if (c->flow.state != TCP_CLOSED || c->ever_connected)
		return -EINVAL;
	if (!c->port) {
		int error = tcp_port_bind_any(c);
		if (error)
			return error;
	}
	/* Two sockets may have bound the port with SO_REUSEADDR, but only one listens (unless
	 * SO_REUSEPORT). */
	list_for_each(node, &c->port->listeners)
	{
		const struct tcp_connection *other =
		        list_entry(node, struct tcp_connection, bind_link);
		bool overlap = ipv4_is_any(other->flow.local_address) ||
		               ipv4_is_any(c->flow.local_address) ||
		               ipv4_equal(other->flow.local_address, c->flow.local_address);
		if (overlap && interfaces_overlap(other->bound_interface, c->bound_interface) &&
		    !tcp_port_is_shared(other, c))
			return -EADDRINUSE;
	}
	struct tcp_listener *listening = tcp_alloc(c->tcp, sizeof(*listening));
	if (!listening)
		return -ENOBUFS;
	list_init(&listening->accept_queue);
	list_init(&listening->requests);
	listening->backlog = limit;
	tcp_set_listening(c, listening);
	list_remove(&c->bind_link);
	list_push_back(&c->port->listeners, &c->bind_link);
	tcp_connection_set_state(c, TCP_LISTEN);
	c->tcp->counters->tcp_listeners++;
	return 0;
}

struct tcp_connection *tcp_accept(struct tcp_connection *listener)
{
	if (!listener->listening)
		return NULL;
	struct list_node *first = list_pop_front(&listener->listening->accept_queue);
	if (!first)
		return NULL;
	struct tcp_connection *child = list_entry(first, struct tcp_connection, bind_link);
	listener->listening->accept_count--;
	tcp_set_parent(child, NULL);
	return child;
}

void tcp_listener_close(struct tcp_connection *listener, bool silently)
{
	struct tcp_stack *tcp = listener->tcp;
	struct list_node *node;
	while ((node = list_first(&listener->listening->requests)) != NULL)
		tcp_request_free(tcp, list_entry(node, struct tcp_request, listener_link));
	struct tcp_connection *child;
	while ((child = tcp_accept(listener)) != NULL) {
		child->owned = silently;
		if (!silently && child->flow.state != TCP_CLOSED)
			tcp_connection_abort(child, 0);
		else if (!silently)
			tcp_connection_release(child);
	}
	struct tcp_listener *listening = listener->listening;
	tcp_set_listening(listener, NULL);
	tcp_free(tcp, listening, sizeof(*listening));
	tcp->counters->tcp_listeners--;
}
