/*
 * Deadlines. A connection has one timer of the loop, which fires no later than the earliest of its
 * deadlines; an ACK only moves a field, and a timer that fires too early looks and is armed again.
 */
#include "tcpip/tcp_internal.h"

/* tcp_retries2 and tcp_orphan_retries in time: Linux adds up the doubling timeouts from 200 ms to
 * 120 s. */
static uint64_t retries_us(uint32_t retries)
{
	uint64_t total = 0, timeout = TCP_RTO_MIN_US;
	for (uint32_t i = 0; i <= retries; i++) {
		total += timeout;
		timeout = min_u64(timeout * 2, TCP_RTO_MAX_US);
	}
	return total;
}

/* RTO with its backoff (RFC 6298 (5.5)), or the persist interval. */
void tcp_retransmit_timer_start(struct tcp_connection *c)
{
	uint64_t interval_us =
	        min_u64((uint64_t)c->rto_us << min_u32(c->backoff, 16), TCP_RTO_MAX_US);
	c->retransmit_ns = tcp_now(c->tcp) + interval_us * 1000;
	tcp_tail_arm(c);
	c->rack_armed = false;
	if (c->loss)
		tcp_rack_arm(c);
	tcp_timer_update(c, c->retransmit_ns);
}

void tcp_keepalive_restart(struct tcp_connection *c)
{
	c->keepalive_ns = LOOP_NEVER;
	if (!c->keepalive || c->orphan || !tcp_is_synchronized(c))
		return;
	c->keepalive_ns = c->last_received_ns + c->keepidle_s * 1000000000ull;
	tcp_timer_update(c, c->keepalive_ns);
}

static int timeout_error(const struct tcp_connection *c)
{
	return c->soft_error ? c->soft_error : ETIMEDOUT;
}

/* The backoff must not outlast the user's patience (Linux's tcp_clamp_rto_to_user_timeout). */
static void clamp_to_user_timeout(struct tcp_connection *c)
{
	if (!c->user_timeout_ms || !c->first_retransmit_ns)
		return;
	uint64_t soonest = tcp_now(c->tcp) + 1000000;
	uint64_t end = c->first_retransmit_ns + c->user_timeout_ms * 1000000ull;
	c->retransmit_ns = min_u64(c->retransmit_ns, end > soonest ? end : soonest);
	tcp_timer_update(c, c->retransmit_ns);
}

static void backoff_and_restart(struct tcp_connection *c)
{
	if (c->backoff < 32)
		c->backoff++;
	tcp_retransmit_timer_start(c);
	clamp_to_user_timeout(c);
	tcp_output_schedule(c);
}

/* The user's or the system's patience has ended (tcp_retries2, TCP_USER_TIMEOUT). */
static bool given_up(const struct tcp_connection *c)
{
	uint64_t waited_us = (tcp_now(c->tcp) - c->first_retransmit_ns) / 1000;
	if (c->user_timeout_ms)
		return waited_us >= c->user_timeout_ms * 1000ull;
	return waited_us >= retries_us(c->orphan ? TCP_ORPHAN_RETRIES : TCP_RETRIES);
}

/* False: the connection is closed, perhaps gone. */
static bool persist_expired(struct tcp_connection *c)
{
	if (!c->first_retransmit_ns)
		c->first_retransmit_ns = tcp_now(c->tcp);
	bool silent = c->probes >= TCP_RETRIES || (c->orphan && c->backoff >= TCP_ORPHAN_RETRIES);
	if (silent || (c->user_timeout_ms && given_up(c))) {
		tcp_connection_abort(c, timeout_error(c));
		return false;
	}
	c->probes++;
	c->probe_due = true;
	c->tcp->counters->tcp_probes++;
	backoff_and_restart(c);
	return true;
}

static bool handshake_expired(struct tcp_connection *c)
{
	uint8_t limit = c->flow.state == TCP_SYN_SENT ? c->syncnt : TCP_SYNACK_RETRIES;
	uint64_t waited_ms = (tcp_now(c->tcp) - c->first_retransmit_ns) / 1000000;
	if (c->retransmits >= limit ||
	    (c->user_timeout_ms && c->retransmits && waited_ms >= c->user_timeout_ms)) {
		tcp_connection_finish(c, timeout_error(c));
		return false;
	}
	c->retransmits++;
	c->total_retransmits++;
	c->tcp->counters->tcp_retransmits++;
	c->syn_due = true;
	c->rtt_timing = false;
	backoff_and_restart(c);
	return true;
}

static bool retransmit_expired(struct tcp_connection *c)
{
	c->retransmit_ns = LOOP_NEVER;
	if (tcp_rack_expired(c) || tcp_tail_expired(c))
		return true;
	if (c->persist)
		return persist_expired(c);
	if (c->flow.state < TCP_ESTABLISHED)
		return handshake_expired(c);
	if (!tcp_flight(c)) {
		/* Nothing went out: there was no route. For that, too, patience has an end. */
		c->persist = tcp_unsent(c) || (c->fin_queued && !c->fin_sent);
		return !c->persist || persist_expired(c);
	}
	if (!c->first_retransmit_ns)
		c->first_retransmit_ns = tcp_now(c->tcp);
	/* A peer that closed its window but answers is alive. */
	bool answers = !c->snd_wnd && !c->orphan &&
	               tcp_now(c->tcp) - c->last_received_ns < 2000ull * TCP_RTO_MAX_US;
	if (given_up(c) && (!answers || c->user_timeout_ms)) {
		tcp_connection_abort(c, timeout_error(c));
		return false;
	}
	c->tcp->counters->tcp_timeouts++;
	if (c->retransmits < UINT8_MAX)
		c->retransmits++;
	tcp_loss_enter(c);
	backoff_and_restart(c);
	return true;
}

static bool keepalive_gives_up(const struct tcp_connection *c, uint64_t idle_ns)
{
	if (c->user_timeout_ms)
		return c->keepalive_probes && idle_ns >= c->user_timeout_ms * 1000000ull;
	return c->keepalive_probes >= c->keepcnt;
}

/* Keep-alive (RFC 9293 §3.8.4), or the end of an orphan's FIN_WAIT_2. */
static bool keepalive_expired(struct tcp_connection *c)
{
	uint64_t now = tcp_now(c->tcp), idle_ns = now - c->last_received_ns;
	c->keepalive_ns = LOOP_NEVER;
	if (c->orphan) {
		if (c->flow.state != TCP_FIN_WAIT_2)
			return true;
		tcp_connection_finish(c, 0);
		return false;
	}
	if (!c->keepalive || !tcp_is_synchronized(c))
		return true;
	uint64_t idle_limit = c->keepidle_s * 1000000000ull;
	if (tcp_flight(c) ||
	    tcp_unsent(c)) { /* the retransmission or persist timer looks after it */
		c->keepalive_ns = now + idle_limit;
		return true;
	}
	if (idle_ns < idle_limit) {
		c->keepalive_ns = c->last_received_ns + idle_limit;
		return true;
	}
	if (keepalive_gives_up(c, idle_ns)) {
		tcp_connection_abort(c, timeout_error(c));
		return false;
	}
	c->keepalive_probes++;
	c->keepalive_due = true;
	c->tcp->counters->tcp_keepalives++;
	c->keepalive_ns = now + c->keepintvl_s * 1000000000ull;
	tcp_output_schedule(c);
	return true;
}

static void delayed_ack_expired(struct tcp_connection *c)
{
	c->delayed_ack_ns = LOOP_NEVER;
	c->ack_when_read = false;
	c->pingpong = false; /* the answer did not come: no conversation */
	c->tcp->counters->tcp_delayed_acks++;
	tcp_ack_schedule(c);
}

/* Memory was short, or corked bytes have waited long enough. */
static void retry_expired(struct tcp_connection *c)
{
	c->retry_ns = LOOP_NEVER;
	if (c->starved) {
		c->starved = false;
		tcp_notify(c, NET_WRITABLE);
	}
	if ((c->cork || c->more) && tcp_unsent(c) && !tcp_flight(c))
		c->probe_due = true;
	tcp_output_schedule(c);
}

void tcp_timer_fired(struct loop *loop, struct loop_watcher *watcher, uint32_t events)
{
	(void)events;
	struct tcp_connection *c = container_of(watcher, struct tcp_connection, timer.watcher);
	uint64_t now = loop->now_ns;
	if (c->delayed_ack_ns <= now)
		delayed_ack_expired(c);
	if (c->retry_ns <= now)
		retry_expired(c);
	if (c->retransmit_ns <= now && !retransmit_expired(c))
		return;
	if (c->keepalive_ns <= now && !keepalive_expired(c))
		return;
	uint64_t next = min_u64(min_u64(c->delayed_ack_ns, c->retry_ns),
	                        min_u64(c->retransmit_ns, c->keepalive_ns));
	/* In a conversation the next request asks for this again: fire once per delay, rather than
	 * be armed anew for each request after an idle fire. */
	if (c->pingpong && now - c->last_received_ns < TCP_DELAYED_ACK_NS)
		next = min_u64(next, now + TCP_DELAYED_ACK_NS);
	loop_timer_arm(loop, &c->timer, next);
}
