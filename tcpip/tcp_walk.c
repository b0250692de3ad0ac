/* Every listener and connection in turn, a piece at a time: what /proc/net/tcp shows. */
#include "tcpip/tcp_internal.h"

#define BUCKETS_IN_ONE_GO  1024

/* A position: whether the walk is behind the table of ports, how many rows of the bucket were shown
 * before, and the bucket. Buckets come in the order of their reversed numbers: when a table doubles
 * in between, the two that one becomes are both behind or both to come. */
#define POSITION_FLOWS     (1ull << 63)
#define POSITION_ROW_SHIFT 32

struct walk {
	const struct tcp_stack *tcp;
	bool (*visit)(void *context, const struct tcp_row *row);
	void *context;
	uint32_t skip; /* rows of the bucket, shown before */
	uint32_t row;  /* of the bucket */
	bool enough;
};

static void show(struct walk *walk, const struct tcp_flow *flow, struct tcp_row *row)
{
	row->local = (struct endpoint){ flow->local_address, flow->local_port };
	row->remote = (struct endpoint){ flow->remote_address, flow->remote_port };
	row->state = flow->state;
	walk->enough |= !walk->visit(walk->context, row);
}

static void set_timer(const struct walk *walk, struct tcp_row *row, enum tcp_row_timer timer,
                      uint64_t deadline_ns)
{
	uint64_t now = tcp_now(walk->tcp);
	row->timer = timer;
	row->timer_left_ns = deadline_ns > now ? deadline_ns - now : 0;
}

/* An orphan in FIN_WAIT_2 is a TIME_WAIT in all but its state, as on Linux. */
static void set_connection_timer(const struct walk *walk, const struct tcp_connection *c,
                                 struct tcp_row *row)
{
	if (c->persist)
		set_timer(walk, row, TCP_ROW_PROBE, c->retransmit_ns);
	else if (c->retransmit_ns != LOOP_NEVER && tcp_flight(c))
		set_timer(walk, row, TCP_ROW_RETRANSMIT, c->retransmit_ns);
	else if (c->keepalive_ns != LOOP_NEVER)
		set_timer(walk, row,
		          c->orphan && c->flow.state == TCP_FIN_WAIT_2 ? TCP_ROW_TIME_WAIT
		                                                       : TCP_ROW_KEEPALIVE,
		          c->keepalive_ns);
}

static void *owner_of(const struct tcp_connection *c)
{
	return c->owned && !tcp_parent(c) ? c->event_context : NULL;
}

static void show_connection(struct walk *walk, const struct tcp_connection *c)
{
	struct tcp_row row = { .connection = c, .owner = owner_of(c) };
	if (c->flow.state == TCP_LISTEN) {
		row.receive_queue = c->listening->accept_count;
	} else {
		row.send_queue = c->write_seq.value + c->fin_queued - c->snd_una.value;
		row.receive_queue = tcp_unread(c);
		row.retransmits = c->retransmits;
		row.probes = c->probes + c->keepalive_probes;
		row.quick_acks = c->quick;
		row.pingpong = c->pingpong;
		set_connection_timer(walk, c, &row);
	}
	show(walk, &c->flow, &row);
}

static void show_flow(struct walk *walk, const struct tcp_hash_node *node)
{
	struct tcp_flow *flow = container_of(node, struct tcp_flow, node);
	struct tcp_row row = { 0 };
	if (flow->kind == TCP_FLOW_CONNECTION) {
		show_connection(walk, tcp_flow_connection(flow));
	} else if (flow->kind == TCP_FLOW_REQUEST) {
		const struct tcp_request *request = container_of(flow, struct tcp_request, flow);
		row.owner = owner_of(request->listener);
		row.retransmits = request->retries;
		set_timer(walk, &row, TCP_ROW_RETRANSMIT, request->deadline_ns);
		show(walk, flow, &row);
	} else {
		const struct tcp_time_wait *tw = container_of(flow, struct tcp_time_wait, flow);
		set_timer(walk, &row, TCP_ROW_TIME_WAIT, tw->deadline_ns);
		show(walk, flow, &row);
	}
}

/* A port has any number of listeners (SO_REUSEPORT): what was not shown follows in the next go. */
static void show_listeners(struct walk *walk, const struct tcp_hash_node *node)
{
	const struct tcp_port *port = container_of(node, struct tcp_port, node);
	list_for_each(link, &port->listeners)
	{
		if (walk->enough)
			return;
		if (walk->row++ >= walk->skip)
			show_connection(walk, list_entry(link, struct tcp_connection, bind_link));
	}
}

/* What is in the bucket, and what has yet to be moved there from the table that was half as large.
 */
static void show_bucket(struct walk *walk, const struct tcp_table *table, uint32_t bucket,
                        void (*show_node)(struct walk *walk, const struct tcp_hash_node *node))
{
	for (struct tcp_hash_node *node = table->buckets[bucket]; node; node = node->next)
		show_node(walk, node);
	if (!table->old_buckets)
		return;
	struct tcp_hash_node *node = table->old_buckets[bucket & table->old_mask];
	for (; node; node = node->next)
		if ((node->hash & table->mask) == bucket)
			show_node(walk, node);
}

static uint32_t reversed(uint32_t v)
{
	v = (v >> 1 & 0x55555555) | (v & 0x55555555) << 1;
	v = (v >> 2 & 0x33333333) | (v & 0x33333333) << 2;
	v = (v >> 4 & 0x0f0f0f0f) | (v & 0x0f0f0f0f) << 4;
	return __builtin_bswap32(v);
}

/* 0 behind the last. */
static uint32_t bucket_after(uint32_t bucket, uint32_t mask)
{
	return reversed(reversed(bucket | ~mask) + 1);
}

bool tcp_walk(const struct stack *stack, uint64_t *position,
              bool (*visit)(void *context, const struct tcp_row *row), void *context)
{
	const struct tcp_stack *tcp = stack_tcp(stack);
	struct walk walk = { .tcp = tcp,
		             .visit = visit,
		             .context = context,
		             .skip = (uint32_t)(*position >> POSITION_ROW_SHIFT) & INT32_MAX };
	uint64_t flows = *position & POSITION_FLOWS;
	uint32_t bucket = (uint32_t)*position;
	for (unsigned done = 0; done < BUCKETS_IN_ONE_GO && !walk.enough; done++) {
		const struct tcp_table *table = flows ? &tcp->flows : &tcp->ports;
		walk.row = 0;
		show_bucket(&walk, table, bucket, flows ? show_flow : show_listeners);
		if (walk.enough && !flows) {
			*position = (uint64_t)walk.row << POSITION_ROW_SHIFT | bucket;
			return true;
		}
		walk.skip = 0;
		bucket = bucket_after(bucket, table->mask);
		if (!bucket && flows)
			return false;
		if (!bucket)
			flows = POSITION_FLOWS;
	}
	*position = flows | bucket;
	return true;
}
