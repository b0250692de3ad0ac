/* Errors from below and from routers: soft for a connection that works, hard for one that is being
 * opened (RFC 5461; Linux's tcp_v4_err). */
#include "tcpip/tcp_internal.h"

enum { ICMP_UNREACHABLE = 3, ICMP_FRAGMENTATION_NEEDED = 4 };

/* The path became narrower: what was too large is sent again in smaller segments. */
static void path_shrank(struct tcp_connection *c, uint32_t mtu)
{
	uint16_t before = c->snd_mss;
	path_mtu_update(c->tcp->stack, c->flow.remote_address, mtu);
	if (!tcp_is_synchronized(c) || !tcp_update_route(c) || c->snd_mss >= before)
		return;
	if (tcp_in_recovery(c) || !tcp_flight(c))
		return;
	/* Not a sign of congestion: the window stays. */
	uint32_t cwnd = c->cwnd, threshold = c->ssthresh;
	tcp_loss_enter(c);
	c->cwnd = cwnd;
	c->ssthresh = threshold;
	tcp_output_schedule(c);
}

void tcp_icmp_error(struct stack *stack, const struct icmp_error *error)
{
	struct tcp_stack *tcp = stack_tcp(stack);
	struct tcp_flow *flow = tcp_flow_find(tcp, error->local.address, error->local.port,
	                                      error->remote.address, error->remote.port);
	if (!flow || flow->kind == TCP_FLOW_TIME_WAIT)
		return;
	if (flow->kind == TCP_FLOW_REQUEST) {
		struct tcp_request *request = container_of(flow, struct tcp_request, flow);
		if (seq_eq(error->sequence, request->iss) && error->fatal)
			tcp_request_free(tcp, request);
		return;
	}
	struct tcp_connection *c = tcp_flow_connection(flow);
	/* RFC 5927 §4.1: it must be about something that is in flight. */
	if (seq_lt(error->sequence, c->snd_una) || seq_lt(c->snd_nxt, error->sequence))
		return;
	if (error->type == ICMP_UNREACHABLE && error->code == ICMP_FRAGMENTATION_NEEDED) {
		path_shrank(c, error->mtu);
		return;
	}
	if (!error->error)
		return;
	if (c->flow.state == TCP_SYN_SENT || c->flow.state == TCP_SYN_RECEIVED) {
		tcp_keep_error(c, error);
		tcp_connection_finish(c, error->error);
	} else if (c->tells_errors)
		tcp_set_error(c, error->error);
	else
		c->soft_error = (uint16_t)error->error;
}
