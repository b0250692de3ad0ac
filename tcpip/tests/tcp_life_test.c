/* Scripts for how connections begin, idle, fail and end; what other stacks got wrong is named in
 * the comments (project and issue number). */
#include "tcpip/tests/tcp_script.h"

static struct script s;

static void begin_plain(const char *name)
{
	script_begin(&s, name);
	script_accept(&s);
}

static void expect_data(uint32_t seq, uint32_t ack, uint32_t length, uint32_t mss)
{
	for (uint32_t at = 0; at < length; at += mss)
		expect(&s, A, seq + at, ack, min_u32(mss, length - at));
}

/* ---- life ---- */

static void time_wait(void)
{
	struct tcp_stack *tcp;
	for (int by_timestamp = 0; by_timestamp < 2; by_timestamp++) {
		script_begin(&s, "a new SYN takes the place of TIME_WAIT (asterinas #1531)");
		s.timestamps = by_timestamp;
		script_accept(&s);
		tcp = stack_tcp(s.wire.host[0].stack);
		tcp_close(s.c);
		s.c = NULL;
		flush_hosts(&s);
		expect(&s, TCP_FIN | A, 1, 1, 0);
		send_segment(&s, TCP_FIN | A, 1, 2, 0);
		expect(&s, A, 2, 2, 0);
		CHECK_EQ(tcp->time_wait_count, 1);
		send_segment(&s, TCP_SYN, 0, 0,
		             0); /* an old duplicate: neither newer by number nor by time */
		expect(&s, A, 2, 2, 0);
		CHECK_EQ(tcp->time_wait_count, 1);
		s.timestamp++;
		uint32_t old_iss = s.iss;
		send_segment(&s, TCP_SYN, by_timestamp ? 0 : 1000, 0, 0);
		CHECK_EQ(tcp->time_wait_count, 0);
		const struct seen *g = &s.seen[s.next++];
		CHECK_EQ(g->flags, TCP_SYN | A);
		CHECK(seq_lt(seq(old_iss + 2), seq(old_iss + g->seq)));
		script_end(&s);
	}
	script_begin(&s, "RST in TIME_WAIT");
	script_accept(&s);
	tcp_close(s.c);
	s.c = NULL;
	flush_hosts(&s);
	send_segment(&s, TCP_FIN | A, 1, 2, 0);
	tcp = stack_tcp(s.wire.host[0].stack);
	send_segment(&s, TCP_RST, 500, 0, 0);
	CHECK_EQ(tcp->time_wait_count, 1);
	send_segment(&s, TCP_RST, 2, 0, 0);
	CHECK_EQ(tcp->time_wait_count, 0);
	script_end(&s);
}

static void backlog(void)
{
	script_begin(&s, "accept queue full: silence, no RST (asterinas #1733, #1734)");
	script_listen(&s, 2);
	for (uint16_t i = 0; i < 3;
	     i++) { /* three handshakes under way before the first completes */
		s.peer_port = (uint16_t)(6000 + i);
		s.iss_known = false;
		send_segment(&s, TCP_SYN, 0, 0, 0);
	}
	uint32_t iss[3];
	CHECK_EQ(s.count, 3);
	CHECK_EQ(tcp_listen(s.listener, 0), 0);
	for (int i = 0; i < 3; i++)
		iss[i] = s.seen[i].seq;
	(void)iss;
	s.next = s.count;
	s.peer_port = 6002; /* s.iss belongs to the last */
	send_segment(&s, A, 1, 1, 0);
	CHECK(tcp_readiness(s.listener) & NET_READABLE);
	s.peer_port = 7000;
	send_segment(&s, TCP_SYN, 0, 0, 0); /* the queue holds one: a further SYN is not answered */
	expect_silence(&s);
	wait_ns(&s, 1500 * MS); /* the others' SYN-ACKs are repeated */
	CHECK_EQ(s.count - s.next, 2);
	CHECK(s.seen[s.next].flags == (TCP_SYN | A));
	CHECK_EQ(stack_counters(s.wire.host[0].stack)->tcp_listen_overflows, 1);
	s.c = tcp_accept(s.listener);
	CHECK(s.c && !tcp_accept(s.listener));
	script_end(&s);

	script_begin(&s, "the last ACK finds the queue full, is dropped, and served later");
	script_listen(&s, 1);
	send_segment(&s, TCP_SYN, 0, 0, 0);
	send_segment(&s, A, 1, 1, 0);
	s.iss_known = false;
	s.peer_port = 6001;
	struct tcp_connection *first = tcp_accept(s.listener);
	send_segment(&s, TCP_SYN, 0, 0, 0);
	uint32_t second_iss = s.iss;
	s.iss_known = false;
	s.peer_port = 6002;
	send_segment(&s, TCP_SYN, 0, 0, 0);
	CHECK_EQ(tcp_listen(s.listener, 0), 0);
	send_segment(&s, A, 1, 1, 0);
	s.next = s.count;
	s.iss = second_iss;
	s.peer_port = 6001;
	send_segment(&s, A, 1, 1, 0);
	expect_silence(&s);
	CHECK_EQ(stack_counters(s.wire.host[0].stack)->tcp_listen_overflows, 1);
	struct tcp_connection *third = tcp_accept(s.listener);
	CHECK(third);
	wait_ns(&s, 1100 * MS);
	s.next = s.count;
	send_segment(&s, A, 1, 1, 0);
	s.c = tcp_accept(s.listener);
	CHECK(s.c);
	tcp_close(first);
	tcp_close(third);
	script_end(&s);

	script_begin(&s, "TCP_DEFER_ACCEPT");
	script_listen(&s, 5);
	tcp_set_option(s.listener, TCP_OPTION_DEFER_ACCEPT_S, 5);
	send_segment(&s, TCP_SYN, 0, 0, 0);
	expect(&s, TCP_SYN | A, 0, 1, 0);
	send_segment(&s, A, 1, 1, 0);
	CHECK(!tcp_accept(s.listener));
	wait_ns(&s, 2 * SECOND);
	expect_silence(&s);
	send_segment(&s, A, 1, 1, 10);
	s.c = tcp_accept(s.listener);
	CHECK(s.c);
	CHECK_EQ(tcp_receive_available(s.c), 10);
	script_end(&s);

	script_begin(&s, "closing a listener resets what waits");
	script_listen(&s, 5);
	send_segment(&s, TCP_SYN, 0, 0, 0);
	send_segment(&s, A, 1, 1, 0);
	s.next = s.count;
	tcp_close(s.listener);
	s.listener = NULL;
	expect(&s, TCP_RST | A, 1, 1, 0);
	script_end(&s);
}

static void keepalive(void)
{
	begin_plain("keep-alive: probes, then ETIMEDOUT and RST");
	tcp_set_option(s.c, TCP_OPTION_KEEPALIVE, 1);
	tcp_set_option(s.c, TCP_OPTION_KEEPIDLE_S, 10);
	tcp_set_option(s.c, TCP_OPTION_KEEPINTVL_S, 3);
	tcp_set_option(s.c, TCP_OPTION_KEEPCNT, 2);
	wait_ns(&s, 9 * SECOND);
	expect_silence(&s);
	wait_ns(&s, 2 * SECOND);
	expect(&s, A, 0, 1, 0);
	send_segment(&s, A, 1, 1, 0); /* answered: starts over */
	wait_ns(&s, 9 * SECOND);
	expect_silence(&s);
	wait_ns(&s, 9 * SECOND);
	expect(&s, A, 0, 1, 0);
	expect(&s, A, 0, 1, 0);
	expect(&s, TCP_RST | A, 1, 1, 0);
	expect_state(&s, TCP_CLOSED);
	CHECK_EQ(tcp_take_error(s.c), ETIMEDOUT);
	script_end(&s);
}

/* FreeRTOS-Plus-TCP #1235, smoltcp #338: two confused ends must fall silent. */
static void silence(void)
{
	begin_plain("unacceptable ACKs are answered rarely");
	for (int i = 0; i < 1000; i++) {
		send_segment(&s, A, 500000, 1, 0);
		wait_ns(&s, 1 * MS);
	}
	CHECK(s.count - s.next <= 3);
	s.next = s.count;
	for (int i = 0; i < 1000; i++) {
		send_segment(&s, TCP_SYN, 100, 0, 0);
		send_segment(&s, TCP_RST, 100, 0, 0);
		wait_ns(&s, 1 * MS);
	}
	CHECK(s.count - s.next <= 3);
	script_end(&s);
}

static void path_errors(void)
{
	struct icmp_error error = { .type = 3, .code = 4, .mtu = 1000 };
	begin_plain("fragmentation needed: smaller segments at once (RFC 1191)");
	user_write(&s, 5840);
	expect_data(1, 1, 5840, 1460);
	error.local = tcp_local(s.c);
	error.remote = tcp_remote(s.c);
	error.sequence = seq(s.iss + 500000); /* not in flight: forged */
	tcp_icmp_error(s.wire.host[0].stack, &error);
	CHECK_EQ(s.c->snd_mss, 1460);
	error.sequence = seq(s.iss + 1);
	tcp_icmp_error(s.wire.host[0].stack, &error);
	flush_hosts(&s);
	CHECK_EQ(s.c->snd_mss, 960);
	expect_data(1, 1, 5840, 960);
	script_end(&s);

	script_begin(&s, "port unreachable while connecting");
	script_connect(&s);
	error = (struct icmp_error){ .type = 3,
		                     .code = 3,
		                     .error = ECONNREFUSED,
		                     .fatal = true,
		                     .local = tcp_local(s.c),
		                     .remote = tcp_remote(s.c),
		                     .sequence = seq(s.iss) };
	tcp_icmp_error(s.wire.host[0].stack, &error);
	expect_state(&s, TCP_CLOSED);
	CHECK_EQ(tcp_take_error(s.c), ECONNREFUSED);
	script_end(&s);

	begin_plain("host unreachable while established is soft, and told at the end");
	user_write(&s, 10);
	error = (struct icmp_error){ .type = 3,
		                     .code = 1,
		                     .error = EHOSTUNREACH,
		                     .local = tcp_local(s.c),
		                     .remote = tcp_remote(s.c),
		                     .sequence = seq(s.iss + 1) };
	tcp_icmp_error(s.wire.host[0].stack, &error);
	expect_state(&s, TCP_ESTABLISHED);
	wait_ns(&s, 1200 * SECOND);
	expect_state(&s, TCP_CLOSED);
	CHECK_EQ(tcp_take_error(s.c), EHOSTUNREACH);
	script_end(&s);
}

static void errors(void)
{
	uint8_t *room;
	const uint8_t *bytes;
	for (int unread = 0; unread < 2; unread++) {
		begin_plain("an answer leaves before the reset of a close that follows it at once");
		uint8_t *room;
		if (unread)
			send_segment(&s, A, 1, 1, 10);
		else
			CHECK_EQ(tcp_set_option(s.c, TCP_OPTION_LINGER_S, 0), 0);
		CHECK_EQ(tcp_send_reserve(s.c, 5, &room), 5);
		memcpy(room, "reply", 5);
		tcp_send_commit(s.c, 5, false);
		tcp_close(s.c);
		s.c = NULL;
		flush_hosts(&s);
		if (unread)
			expect(&s, A, 1, 11, 0);
		expect(&s, A, 1, unread ? 11 : 1, 5);
		expect(&s, TCP_RST | A, 6, unread ? 11 : 1, 0);
		script_end(&s);
	}

	begin_plain("after a reset: the data, then ECONNRESET once, then end and EPIPE");
	send_segment(&s, A, 1, 1, 10);
	send_segment(&s, TCP_RST, 11, 0, 0);
	CHECK(tcp_readiness(s.c) ==
	      (NET_READABLE | NET_WRITABLE | NET_ERROR | NET_HANGUP | NET_READ_HANGUP));
	CHECK_EQ(tcp_receive_peek(s.c, 0, &bytes), 10);
	tcp_receive_consume(s.c, 10);
	CHECK_EQ(tcp_receive_peek(s.c, 0, &bytes), -ECONNRESET);
	CHECK_EQ(tcp_receive_peek(s.c, 0, &bytes), 0);
	CHECK_EQ(tcp_send_reserve(s.c, 1, &room), -EPIPE);
	script_end(&s);

	script_begin(&s, "a fresh socket");
	CHECK_EQ(tcp_open(s.wire.host[0].stack, &s.c, NULL, NULL), 0);
	CHECK_EQ(tcp_readiness(s.c), NET_WRITABLE | NET_HANGUP);
	CHECK_EQ(tcp_receive_peek(s.c, 0, &bytes), -ENOTCONN);
	CHECK_EQ(tcp_send_reserve(s.c, 1, &room), -EPIPE);
	CHECK_EQ(tcp_shutdown(s.c, true, true), -ENOTCONN);
	script_end(&s);

	script_begin(&s, "bind and listen");
	struct stack *stack = s.wire.host[0].stack;
	struct tcp_connection *a, *b;
	CHECK_EQ(tcp_open(stack, &a, NULL, NULL), 0);
	CHECK_EQ(tcp_open(stack, &b, NULL, NULL), 0);
	CHECK_EQ(tcp_bind(a, (struct endpoint){ ipv4(1, 2, 3, 4), 80 }, false, false),
	         -EADDRNOTAVAIL);
	CHECK_EQ(tcp_bind(a, (struct endpoint){ { 0 }, 80 }, true, false), 0);
	CHECK_EQ(tcp_bind(a, (struct endpoint){ { 0 }, 81 }, true, false), -EINVAL);
	CHECK_EQ(tcp_bind(b, (struct endpoint){ { 0 }, 80 }, false, false), -EADDRINUSE);
	CHECK_EQ(tcp_bind(b, (struct endpoint){ { 0 }, 80 }, true, false), 0);
	CHECK_EQ(tcp_listen(a, 1), 0);
	CHECK_EQ(tcp_listen(b, 1), -EADDRINUSE);
	tcp_close(b);
	CHECK_EQ(tcp_open(stack, &b, NULL, NULL), 0);
	CHECK_EQ(tcp_bind(b, (struct endpoint){ { 0 }, 80 }, true, false), -EADDRINUSE);
	CHECK_EQ(tcp_listen(b, 1), 0); /* an ephemeral port */
	CHECK(tcp_local(b).port >= EPHEMERAL_PORT_FIRST);
	CHECK_EQ(tcp_connect(a, (struct endpoint){ ipv4(10, 0, 0, 2), 80 }), -EISCONN);
	tcp_close(a);
	tcp_close(b);
	script_end(&s);
}

/* lwIP #45559: the scale must not cut the window off; and small buffers, small segments. */
static void small_things(void)
{
	script_begin(&s, "a peer without MSS option; 1 byte at a time");
	script_accept(&s);
	CHECK_EQ(s.c->snd_mss, 1460);
	for (uint32_t i = 0; i < 3000; i++) {
		send_segment(&s, A, 1 + i, 1, 1);
		s.count = s.next = 0;
	}
	CHECK_EQ(tcp_receive_available(s.c), 3000);
	CHECK(s.c->receive_true < 16384); /* not a page per byte */
	script_end(&s);

	script_begin(&s, "the smallest buffers");
	script_listen(&s, 5);
	tcp_set_option(s.listener, TCP_OPTION_RECEIVE_BUFFER, 1);
	tcp_set_option(s.listener, TCP_OPTION_SEND_BUFFER, 1);
	script_accept(&s);
	CHECK_EQ(s.seen[0].window, 1152);
	send_segment(&s, A, 1, 1, 1152);
	wait_ns(&s, 50 * MS);
	CHECK_EQ(s.seen[s.count - 1].window, 0);
	user_read(&s, 1152);
	CHECK(s.seen[s.count - 1].window >= 576);
	script_end(&s);
}

/* ---- not every segment is let in ---- */

static void segment_from_afar(uint8_t ttl, uint32_t seq)
{
	inject(&s, (struct sending){ .flags = A, .seq = seq, .ack = 1, .length = 10, .ttl = ttl });
}

static void min_ttl(void)
{
	begin_plain("IP_MINTTL (RFC 5082): what comes from further away is not the peer's");
	CHECK_EQ(tcp_set_option(s.c, TCP_OPTION_MIN_TTL, 256), -EINVAL);
	CHECK_EQ(tcp_set_option(s.c, TCP_OPTION_MIN_TTL, 255), 0);
	segment_from_afar(254, 1);
	inject(&s, (struct sending){ .flags = TCP_RST, .seq = 1, .ttl = 64 });
	CHECK_EQ(tcp_receive_available(s.c), 0);
	CHECK_EQ(tcp_get_state(s.c), TCP_ESTABLISHED);
	CHECK_EQ(s.count, s.next); /* not a word */
	CHECK_EQ(stack_counters(s.wire.host[0].stack)->tcp_too_far, 2);
	segment_from_afar(255, 1);
	CHECK_EQ(tcp_receive_available(s.c), 10);
	CHECK_EQ(tcp_set_option(s.c, TCP_OPTION_MIN_TTL, 0), 0);
	segment_from_afar(1, 11);
	CHECK_EQ(tcp_receive_available(s.c), 20);
	s.next = s.count;
	script_end(&s);
}

static void bound_to_an_interface(void)
{
	begin_plain("SO_BINDTODEVICE: what comes in elsewhere is nobody's");
	CHECK_EQ(tcp_set_option(s.c, TCP_OPTION_INTERFACE, 2), 0);
	segment_from_afar(64, 1);
	CHECK_EQ(tcp_receive_available(s.c), 10);
	s.next = s.count;
	CHECK_EQ(tcp_set_option(s.c, TCP_OPTION_INTERFACE, 1), 0);
	inject(&s, (struct sending){ .flags = A, .seq = 11, .ack = 1, .length = 10 });
	CHECK_EQ(tcp_receive_available(s.c), 10);
	CHECK_EQ(s.seen[s.next++].flags, TCP_RST);
	CHECK_EQ(tcp_set_option(s.c, TCP_OPTION_INTERFACE, 0), 0);
	segment_from_afar(64, 11);
	CHECK_EQ(tcp_receive_available(s.c), 20);
	s.next = s.count;
	script_end(&s);
}

/* It sends nothing, so nothing times out but the attempts to find a way. */
static void without_a_route(void)
{
	begin_plain("bytes and a FIN without a route: it ends after so many attempts");
	const struct tcp_stack *tcp = stack_tcp(s.wire.host[0].stack);
	CHECK_EQ(tcp_set_option(s.c, TCP_OPTION_INTERFACE, 77), 0);
	user_write(&s, 100);
	tcp_close(s.c);
	s.c = NULL;
	for (int minutes = 0; tcp->flows.count && minutes < 10; minutes++)
		wait_ns(&s, 60 * SECOND);
	CHECK_EQ(tcp->orphan_count, 0);
	CHECK_EQ(tcp->flows.count, 0);
	s.next = s.count;
	script_end(&s);
}

int main(void)
{
	min_ttl();
	without_a_route();
	bound_to_an_interface();
	time_wait();
	backlog();
	keepalive();
	silence();
	path_errors();
	errors();
	small_things();
	printf("ok\n");
	return 0;
}
