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

/* Linux: shutdown for reading disconnects a listener and a socket that still connects. */
static void disconnect(struct tcp_connection *c)
{
	if (c->flow.state == TCP_LISTEN) {
		tcp_listener_close(c, false);
		list_remove(&c->bind_link);
		list_push_back(&c->port->bound, &c->bind_link);
	}
	if (c->flow.state == TCP_SYN_SENT)
		c->error = ECONNRESET;
	tcp_connection_finish(c, 0);
}

int tcp_disconnect_error(const struct tcp_connection *c)
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

int tcp_shutdown(struct tcp_connection *c, bool receive, bool send)
{
	switch (c->flow.state) {
	case TCP_CLOSED:
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
