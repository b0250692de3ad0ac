/* The end of life as the layer above asks for it (RFC 9293 §3.10.4, shutdown(2), close(2),
 * SO_LINGER). */
#include "tcpip/tcp_internal.h"

static void queue_fin(struct tcp_connection *c)
{
	if (c->fin_queued)
		return;
	switch (c->flow.state) {
	case TCP_ESTABLISHED:
		tcp_connection_set_state(c, TCP_FIN_WAIT_1);
		break;
	case TCP_CLOSE_WAIT:
		tcp_connection_set_state(c, TCP_LAST_ACK);
		break;
	default:
		return;
	}
	c->fin_queued = true;
	c->cork = c->more = false;
	tcp_output_schedule(c);
}

/* Linux: shutdown for reading disconnects a listener and a socket that still connects. For one that
 * never was connected. */
static void disconnect(struct tcp_connection *c)
{
	if (c->flow.state == TCP_LISTEN) {
		tcp_listener_close(c, false);
		list_remove(&c->bind_link);
		list_push_back(&c->port->bound, &c->bind_link);
	}
	if (c->flow.state == TCP_SYN_SENT)
		c->error = ECONNRESET;
	if (c->flow.state != TCP_CLOSED)
		tcp_connection_finish(c, 0);
	if (!c->address_kept)
		c->flow.local_address = (struct ipv4_address){ 0 };
	c->flow.remote_address = (struct ipv4_address){ 0 };
	c->flow.remote_port = 0;
	c->receive_shut = false;
}

/* What bind gave to `from` goes over to `to`, which has nothing yet. The number of a port that is
 * not kept still shows, as in Linux. */
static void take_binding(struct tcp_connection *to, struct tcp_connection *from)
{
	to->flow.local_port = from->flow.local_port;
	to->address_kept = from->address_kept;
	if (from->address_kept)
		to->flow.local_address = from->flow.local_address;
	if (!from->port_kept)
		return;
	to->port_kept = to->port_bound = true;
	to->port = from->port;
	list_remove(&from->bind_link);
	list_push_back(&to->port->bound, &to->bind_link);
	from->port = NULL;
	from->port_kept = from->port_bound = false;
}

static int disconnect_error(const struct tcp_connection *c)
{
	switch (c->flow.state) {
	case TCP_CLOSED:
	case TCP_LISTEN:
	case TCP_TIME_WAIT:
		return 0;
	case TCP_CLOSING:
	case TCP_LAST_ACK:
		return seq_eq(c->snd_nxt, c->write_seq) ? 0 : ECONNRESET;
	default:
		return ECONNRESET;
	}
}

int tcp_disconnect(struct tcp_connection **connection)
{
	struct tcp_connection *c = *connection;
	if (!c->ever_connected) {
		disconnect(c);
		return 0;
	}
	struct tcp_connection *fresh = tcp_connection_create(c->tcp);
	if (!fresh)
		return -ENOBUFS;
	tcp_inherit_options(fresh, c);
	fresh->defer_accept_s = c->defer_accept_s;
	tcp_set_event(fresh, c->event, c->event_context);
	fresh->error = (uint16_t)disconnect_error(c);
	tcp_extra_move(fresh, c);
	c->event = NULL;
	if (c->flow.state != TCP_CLOSED) {
		tcp_output_now(c);
		tcp_connection_abort(c, 0);
	}
	take_binding(fresh, c);
	tcp_close(c);
	*connection = fresh;
	tcp_notify(fresh, NET_READABLE | NET_WRITABLE | NET_ERROR | NET_HANGUP | NET_READ_HANGUP);
	return 0;
}

int tcp_shutdown(struct tcp_connection *c, bool receive, bool send)
{
	switch (c->flow.state) {
	case TCP_CLOSED:
		if (receive) /* Linux: it fails, and is done all the same */
			c->receive_shut = true;
		return -ENOTCONN;
	case TCP_LISTEN:
	case TCP_SYN_SENT:
		if (receive || (send && c->flow.state == TCP_SYN_SENT))
			disconnect(c);
		return 0;
	case TCP_SYN_RECEIVED:
		tcp_connection_abort(c, 0);
		return 0;
	default:
		break;
	}
	if (receive)
		c->receive_shut = true;
	if (send)
		queue_fin(c);
	tcp_notify(c, (receive ? NET_READABLE | NET_READ_HANGUP : 0u) | (send ? NET_WRITABLE : 0u) |
	                      NET_HANGUP);
	return 0;
}

/* From here on nobody owns it: timeouts apply where the protocol itself would wait for ever. */
static void become_orphan(struct tcp_connection *c)
{
	struct tcp_stack *tcp = c->tcp;
	c->orphan = true;
	tcp->orphan_count++;
	if (tcp->orphan_count > TCP_MAX_ORPHANS) {
		tcp_connection_abort(c, 0);
		return;
	}
	c->receive_shut = true;
	c->keepalive_ns = LOOP_NEVER;
	queue_fin(c);
	if (c->flow.state == TCP_FIN_WAIT_2) {
		c->keepalive_ns = tcp_now(tcp) + c->linger2_s * 1000000000ull;
		tcp_timer_update(c, c->keepalive_ns);
	}
}

void tcp_close(struct tcp_connection *c)
{
	c->event = NULL;
	c->owned = false;
	tcp_leave_groups(c);
	switch (c->flow.state) {
	case TCP_LISTEN:
		tcp_listener_close(c, false);
		tcp_connection_finish(c, 0);
		return;
	case TCP_CLOSED:
	case TCP_SYN_SENT:
		tcp_connection_finish(c, 0);
		return;
	case TCP_SYN_RECEIVED:
		tcp_connection_abort(c, 0);
		return;
	default:
		break;
	}
	/* RFC 2525 §2.17: the peer must learn that data of its was thrown away. */
	if (tcp_unread(c) || c->linger_s == 0) {
		tcp_output_now(c);
		tcp_connection_abort(c, 0);
		return;
	}
	become_orphan(c);
}

bool tcp_is_drained(const struct tcp_connection *c)
{
	return c->flow.state == TCP_CLOSED || (c->fin_sent && seq_eq(c->snd_una, c->snd_nxt));
}

void tcp_abort(struct tcp_connection *c)
{
	if (c->flow.state == TCP_LISTEN)
		disconnect(c);
	else if (c->flow.state != TCP_CLOSED)
		tcp_connection_abort(c, ECONNABORTED);
}
