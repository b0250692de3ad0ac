/* The calls themselves: options, ports, buffers by reference, limits, and what an idle connection
 * costs. */
#include "tcpip/tests/tcp_script.h"

static struct script s;

static void options(void)
{
	script_begin(&s, "options");
	CHECK_EQ(tcp_open(s.wire.host[0].stack, &s.c, NULL, NULL), 0);
	static const struct {
		enum tcp_option option;
		int64_t initial, good, bad;
	} rows[] = {
		{ TCP_OPTION_NODELAY, 0, 1, 2 },
		{ TCP_OPTION_CORK, 0, 1, -1 },
		{ TCP_OPTION_QUICKACK, 1, 0, 2 },
		{ TCP_OPTION_KEEPALIVE, 0, 1, 5 },
		{ TCP_OPTION_KEEPIDLE_S, 7200, 300, 0 },
		{ TCP_OPTION_KEEPINTVL_S, 75, 100, 32768 },
		{ TCP_OPTION_KEEPCNT, 9, 3, 128 },
		{ TCP_OPTION_MAXSEG, 536, 1000, 20 },
		{ TCP_OPTION_SYNCNT, 6, 2, 0 },
		{ TCP_OPTION_USER_TIMEOUT_MS, 0, 30000, -1 },
		{ TCP_OPTION_DEFER_ACCEPT_S, 0, 5, -1 },
		{ TCP_OPTION_LINGER2_S, 60, 10, 121 },
		{ TCP_OPTION_WINDOW_CLAMP, 0, 20000, -1 },
		{ TCP_OPTION_NOTSENT_LOWAT, 0, 16384, -1 },
		{ TCP_OPTION_RECEIVE_BUFFER, 131072, 200000, -1 },
		{ TCP_OPTION_SEND_BUFFER, 16384, 200000, -1 },
		{ TCP_OPTION_RECEIVE_LOWAT, 1, 100, -1 },
		{ TCP_OPTION_LINGER_S, -1, 5, -2 },
		{ TCP_OPTION_TOS, 0, 0x10, 256 },
		{ TCP_OPTION_TTL, 64, 32, 0 },
		{ TCP_OPTION_FREE_BIND, 0, 1, 2 },
		{ TCP_OPTION_BIND_NO_PORT, 0, 1, 2 },
		{ TCP_OPTION_OOB_INLINE, 0, 1, 7 },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		CHECK_EQ(tcp_get_option(s.c, rows[i].option), rows[i].initial);
		CHECK_EQ(tcp_set_option(s.c, rows[i].option, rows[i].bad), -EINVAL);
		CHECK_EQ(tcp_set_option(s.c, rows[i].option, rows[i].good), 0);
		CHECK_EQ(tcp_get_option(s.c, rows[i].option), rows[i].good);
	}
	CHECK_EQ(tcp_set_option(s.c, (enum tcp_option)99, 0), -EINVAL);
	script_end(&s);

	script_begin(&s,
	             "SO_RCVLOWAT: the buffer grows to hold it, unless it has a size of its own");
	struct tcp_connection *c;
	CHECK_EQ(tcp_open(s.wire.host[0].stack, &c, NULL, NULL), 0);
	CHECK_EQ(tcp_set_option(c, TCP_OPTION_RECEIVE_LOWAT, 300000), 0);
	CHECK_EQ(tcp_get_option(c, TCP_OPTION_RECEIVE_LOWAT), 300000);
	CHECK(tcp_get_option(c, TCP_OPTION_RECEIVE_BUFFER) >= 600000);
	CHECK_EQ(tcp_set_option(c, TCP_OPTION_RECEIVE_BUFFER, 50000), 0);
	CHECK_EQ(tcp_set_option(c, TCP_OPTION_RECEIVE_LOWAT, 300000), 0);
	CHECK_EQ(tcp_get_option(c, TCP_OPTION_RECEIVE_LOWAT), 25000);
	CHECK_EQ(tcp_get_option(c, TCP_OPTION_RECEIVE_BUFFER), 50000);
	tcp_close(c);
	script_end(&s);

	script_begin(&s, "an accepted connection inherits");
	script_listen(&s, 5);
	tcp_set_option(s.listener, TCP_OPTION_NODELAY, 1);
	tcp_set_option(s.listener, TCP_OPTION_MAXSEG, 900);
	tcp_set_option(s.listener, TCP_OPTION_TTL, 7);
	tcp_set_option(s.listener, TCP_OPTION_SEND_BUFFER, 50000);
	script_accept(&s);
	CHECK_EQ(s.seen[0].options.mss, 900);
	CHECK_EQ(tcp_get_option(s.c, TCP_OPTION_NODELAY), 1);
	CHECK_EQ(tcp_get_option(s.c, TCP_OPTION_MAXSEG), 900);
	CHECK_EQ(tcp_get_option(s.c, TCP_OPTION_TTL), 7);
	CHECK_EQ(tcp_get_option(s.c, TCP_OPTION_SEND_BUFFER), 50000);
	script_end(&s);
}

static void information(void)
{
	struct tcp_information info;
	script_begin(&s, "TCP_INFO");
	s.timestamps = s.sack = s.scaling = true;
	s.wscale = 7;
	s.window = 512;
	script_accept(&s);
	tcp_get_information(s.listener, &info);
	CHECK_EQ(info.state, 10);
	send_segment(&s, A, 1, 1, 1000);
	wait_ns(&s, 5 * MS);
	user_write(&s, 3000);
	tcp_get_information(s.c, &info);
	CHECK_EQ(info.state, 1);
	CHECK_EQ(info.options, 7);
	CHECK_EQ(info.snd_wscale, 7);
	CHECK_EQ(info.rcv_wscale, 7);
	CHECK_EQ(info.snd_mss, 1448);
	CHECK_EQ(info.advmss, 1448);
	CHECK_EQ(info.pmtu, 1500);
	CHECK_EQ(info.unacked, 3);
	CHECK_EQ(info.snd_cwnd, 10);
	CHECK_EQ(info.bytes_received, 1000);
	CHECK_EQ(info.bytes_sent, 3000);
	CHECK_EQ(info.data_segs_in, 1);
	CHECK_EQ(info.data_segs_out, 3);
	CHECK_EQ(info.snd_wnd, 65536);
	CHECK_EQ(info.last_data_recv_ms, 5);
	send_segment(&s, A, 1001, 3001, 0);
	tcp_get_information(s.c, &info);
	CHECK_EQ(info.unacked, 0);
	CHECK_EQ(info.bytes_acked, 3000);
	script_end(&s);
}

static void by_reference(void)
{
	script_begin(&s, "tcp_send_pbuf");
	script_accept(&s);
	struct pbuf_pool *pool = s.wire.host[0].pool;
	struct pbuf *first = pbuf_alloc(pool, PBUF_PAGE, 0),
	            *second = pbuf_alloc(pool, PBUF_PAGE, 0);
	CHECK(first && second);
	first->length = 2000;
	second->length = 1000;
	first->next = second;
	first->packet_length = 3000;
	memset(first->data, 'a', 2000);
	memset(second->data, 'b', 1000);
	uint8_t *room;
	CHECK_EQ(tcp_send_reserve(s.c, 100, &room), 100);
	tcp_send_commit(s.c, 100, false);
	CHECK_EQ(tcp_send_pbuf(s.c, first, false), 0);
	CHECK_EQ(tcp_send_reserve(s.c, 100, &room), 100); /* behind it, in a buffer of its own */
	tcp_send_commit(s.c, 100, false);
	flush_hosts(&s);
	expect(&s, A, 1, 1, 1460);
	expect(&s, A, 1461, 1, 1460);
	expect(&s, A, 2921, 1, 280);
	CHECK_EQ(tcp_send_queue_bytes(s.c), 3200);
	send_segment(&s, A, 1, 1461, 0);
	send_segment(&s, A, 1, 3201, 0);
	CHECK_EQ(tcp_send_queue_bytes(s.c), 0);
	script_end(&s);
}

static void ports(void)
{
	struct tcp_connection *c[3];
	struct stack *stack;
	script_begin(&s, "SO_REUSEPORT shares connections out");
	stack = s.wire.host[0].stack;
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(tcp_open(stack, &c[i], NULL, NULL), 0);
		CHECK_EQ(tcp_bind(c[i], (struct endpoint){ { 0 }, OUR_PORT }, false, true), 0);
		CHECK_EQ(tcp_listen(c[i], 4096), 0);
	}
	for (uint32_t i = 0; i < 3000; i++) {
		s.peer_port = (uint16_t)(2000 + i);
		s.iss_known = false;
		send_segment(&s, TCP_SYN, 0, 0, 0);
		send_segment(&s, A, 1, 1, 0);
		s.count = s.next = 0;
	}
	for (int i = 0; i < 3; i++) {
		uint32_t count = 0;
		struct tcp_connection *child;
		while ((child = tcp_accept(c[i])) != NULL) {
			count++;
			tcp_abort(child);
			tcp_close(child);
		}
		CHECK(count > 850 && count < 1150);
		tcp_close(c[i]);
	}
	script_end(&s);

	script_begin(&s, "bound to an address rather than to any");
	stack = s.wire.host[0].stack;
	CHECK_EQ(tcp_open(stack, &c[0], NULL, NULL), 0);
	CHECK_EQ(tcp_open(stack, &c[1], NULL, NULL), 0);
	CHECK_EQ(tcp_bind(c[0], (struct endpoint){ ipv4(127, 0, 0, 1), OUR_PORT }, false, false),
	         0);
	CHECK_EQ(tcp_bind(c[1], (struct endpoint){ ipv4(10, 0, 0, 1), OUR_PORT }, false, false), 0);
	CHECK_EQ(tcp_listen(c[0], 5), 0);
	CHECK_EQ(tcp_listen(c[1], 5), 0);
	send_segment(&s, TCP_SYN, 0, 0, 0);
	send_segment(&s, A, 1, 1, 0);
	CHECK(!tcp_accept(c[0]));
	s.c = tcp_accept(c[1]);
	CHECK(s.c);
	tcp_close(c[0]);
	tcp_close(c[1]);
	/* The port is still in use by the connection: without SO_REUSEADDR it cannot be bound. */
	CHECK_EQ(tcp_open(stack, &c[0], NULL, NULL), 0);
	CHECK_EQ(tcp_bind(c[0], (struct endpoint){ { 0 }, OUR_PORT }, false, false), -EADDRINUSE);
	/* It counts as it is now, not as it was when the port was taken. */
	CHECK_EQ(tcp_bind(c[0], (struct endpoint){ { 0 }, OUR_PORT }, true, false), -EADDRINUSE);
	tcp_set_reuse(s.c, true, false);
	CHECK_EQ(tcp_bind(c[0], (struct endpoint){ { 0 }, OUR_PORT }, true, false), 0);
	tcp_set_reuse(c[0], false, false);
	CHECK_EQ(tcp_open(stack, &c[1], NULL, NULL), 0);
	CHECK_EQ(tcp_bind(c[1], (struct endpoint){ { 0 }, OUR_PORT }, true, false), -EADDRINUSE);
	tcp_set_reuse(c[0], true, false);
	CHECK_EQ(tcp_bind(c[1], (struct endpoint){ { 0 }, OUR_PORT }, true, false), 0);
	tcp_close(c[1]);
	tcp_close(c[0]);
	script_end(&s);

	script_begin(&s, "all ephemeral ports to one peer (mtcp #200)");
	stack = s.wire.host[0].stack;
	static struct tcp_connection *all[EPHEMERAL_PORT_LAST - EPHEMERAL_PORT_FIRST + 1];
	const struct endpoint peer = { s.wire.host[1].address, PEER_PORT };
	uint32_t count = 0, range = EPHEMERAL_PORT_LAST - EPHEMERAL_PORT_FIRST + 1;
	for (; count < range; count++) {
		CHECK_EQ(tcp_open(stack, &all[count], NULL, NULL), 0);
		CHECK_EQ(tcp_connect(all[count], peer), 0);
	}
	CHECK_EQ(tcp_open(stack, &c[0], NULL, NULL), 0);
	CHECK_EQ(tcp_connect(c[0], peer), -EADDRNOTAVAIL);
	/* Another peer is another 4-tuple. */
	CHECK_EQ(tcp_connect(c[0], (struct endpoint){ s.wire.host[1].address, PEER_PORT + 1 }), 0);
	tcp_close(c[0]);
	tcp_close(all[77]);
	CHECK_EQ(tcp_open(stack, &all[77], NULL, NULL), 0);
	CHECK_EQ(tcp_connect(all[77], peer), 0);
	while (count-- > 0)
		tcp_close(all[count]);
	CHECK_EQ(stack_tcp(stack)->ports.count, 0);
	script_end(&s);
}

/* A client's port comes back from TIME_WAIT after a second when timestamps protect the new
 * connection. */
static void time_wait_reuse(void)
{
	script_begin(&s, "TIME_WAIT gives way to a connect");
	s.timestamps = true;
	CHECK_EQ(tcp_open(s.wire.host[0].stack, &s.c, NULL, NULL), 0);
	CHECK_EQ(tcp_bind(s.c, (struct endpoint){ { 0 }, 4000 }, true, false), 0);
	const struct endpoint peer = { s.wire.host[1].address, PEER_PORT };
	CHECK_EQ(tcp_connect(s.c, peer), 0);
	CHECK_EQ(tcp_connect(s.c, peer), -EALREADY);
	flush_hosts(&s);
	send_segment(&s, TCP_SYN | A, 0, 1, 0);
	CHECK_EQ(tcp_connect(s.c, peer), -EISCONN);
	tcp_close(s.c);
	flush_hosts(&s);
	send_segment(&s, TCP_FIN | A, 1, 2, 0);
	struct tcp_stack *tcp = stack_tcp(s.wire.host[0].stack);
	CHECK_EQ(tcp->time_wait_count, 1);
	CHECK_EQ(tcp_open(s.wire.host[0].stack, &s.c, NULL, NULL), 0);
	CHECK_EQ(tcp_bind(s.c, (struct endpoint){ { 0 }, 4000 }, false, false), -EADDRINUSE);
	CHECK_EQ(tcp_bind(s.c, (struct endpoint){ { 0 }, 4000 }, true, false), 0);
	tcp_close(s.c);
	wait_ns(&s, 61 * SECOND);
	CHECK_EQ(tcp->ports.count, 0);
	s.c = NULL;
	script_end(&s);

	script_begin(&s, "the same, with an ephemeral port");
	s.timestamps = true;
	script_connect(&s);
	uint16_t port = tcp_local(s.c).port;
	uint32_t iss = s.iss;
	send_segment(&s, TCP_SYN | A, 0, 1, 0);
	tcp_close(s.c);
	flush_hosts(&s);
	send_segment(&s, TCP_FIN | A, 1, 2, 0);
	tcp = stack_tcp(s.wire.host[0].stack);
	CHECK_EQ(tcp->time_wait_count, 1);
	static struct tcp_connection *all[EPHEMERAL_PORT_LAST - EPHEMERAL_PORT_FIRST + 1];
	uint32_t range = EPHEMERAL_PORT_LAST - EPHEMERAL_PORT_FIRST + 1, used = 0;
	const struct endpoint same = { s.wire.host[1].address, PEER_PORT };
	for (; used < range - 1; used++) {
		CHECK_EQ(tcp_open(s.wire.host[0].stack, &all[used], NULL, NULL), 0);
		CHECK_EQ(tcp_connect(all[used], same), 0);
	}
	CHECK_EQ(tcp_open(s.wire.host[0].stack, &s.c, NULL, NULL), 0);
	CHECK_EQ(tcp_connect(s.c, same), -EADDRNOTAVAIL); /* not within a second */
	while (used-- > 0)
		tcp_close(all[used]);
	flush_hosts(&s);
	s.wire.now_ns += 1100 * MS;
	s.wire.host[0].loop.now_ns = s.wire.now_ns;
	for (used = 0; used < range - 1; used++) {
		CHECK_EQ(tcp_open(s.wire.host[0].stack, &all[used], NULL, NULL), 0);
		CHECK_EQ(tcp_connect(all[used], same), 0);
	}
	CHECK_EQ(tcp_connect(s.c, same), 0);
	CHECK_EQ(tcp->time_wait_count, 0);
	bool reused = tcp_local(s.c).port == port;
	struct tcp_connection *successor = s.c;
	for (uint32_t i = 0; i < used; i++) {
		if (tcp_local(all[i]).port == port)
			successor = all[i];
	}
	CHECK(reused || successor != s.c);
	CHECK(seq_lt(seq(iss + 2), successor->iss));
	while (used-- > 0)
		tcp_close(all[used]);
	script_end(&s);
}

/* asterinas #1561, and DESIGN §6: at most 1 KiB per idle connection; finding one does not depend on
 * how many there are. */
static void many_connections(void)
{
	script_begin(&s, "50,000 idle connections");
	struct host *host = &s.wire.host[0];
	const struct tcp_stack *tcp = stack_tcp(host->stack);
	script_listen(&s, 4096);
	size_t before = host->bytes_allocated;
	static struct tcp_connection *all[50000];
	uint32_t count = 0;
	for (uint32_t i = 0; i < 50000; i++) {
		s.peer_port = (uint16_t)(1024 + i);
		s.iss_known = false;
		uint32_t verified = i % 1000;
		s.name = "50,000 idle connections";
		struct sending syn = { .flags = TCP_SYN }, ack = { .flags = A, .seq = 1, .ack = 1 };
		if (verified == 0) {
			inject(&s, syn);
			inject(&s, ack);
		} else {
			inject_unverified(&s, syn);
			inject_unverified(&s, ack);
		}
		s.count = s.next = 0;
		all[count] = tcp_accept(s.listener);
		CHECK(all[count++]);
	}
	struct pbuf_pool_statistics pool;
	pbuf_pool_statistics(host->pool, &pool);
	size_t heap_slots = host->loop.heap_capacity * sizeof(struct loop_heap_node);
	size_t each = (host->bytes_allocated - before + heap_slots + pool.bytes_used) / count;
	uint32_t longest = 0;
	for (uint32_t i = 0; i <= tcp->flows.mask; i++) {
		uint32_t length = 0;
		for (const struct tcp_hash_node *n = tcp->flows.buckets[i]; n; n = n->next)
			length++;
		longest = length > longest ? length : longest;
	}
	printf("%u connections: %zu bytes each, longest hash chain %u\n", count, each, longest);
	CHECK(each <= 1024);
	CHECK(longest <= 12);
	while (count-- > 0) {
		tcp_abort(all[count]);
		tcp_close(all[count]);
	}
	CHECK_EQ(tcp->flows.count, 0);
	script_end(&s);
}

/* Peers that never read what they asked for use up the memory of the send queues: another
 * connection is answered all the same. */
static void slow_readers(void)
{
	enum { READERS = 16 };
	script_begin(&s, "slow readers");
	struct tcp_stack *tcp = stack_tcp(s.wire.host[0].stack);
	struct tcp_connection *all[READERS + 1];
	script_listen(&s, 64);
	tcp_set_option(s.listener, TCP_OPTION_SEND_BUFFER, 1 << 20);
	tcp->send_limit = 1 << 20; /* the last quarter exceeds a unit */
	for (uint16_t i = 0; i <= READERS; i++) {
		s.peer_port = (uint16_t)(1024 + i);
		s.iss_known = false;
		inject(&s, (struct sending){ .flags = TCP_SYN });
		inject(&s, (struct sending){ .flags = A, .seq = 1, .ack = 1 });
		all[i] = tcp_accept(s.listener);
		CHECK(all[i]);
	}
	uint8_t *room;
	int64_t got = 0;
	for (int i = 0; i < READERS; i++) {
		while ((got = tcp_send_reserve(all[i], 4000, &room)) > 0)
			tcp_send_commit(all[i], (uint32_t)got, false);
		CHECK_EQ(got, -ENOBUFS);
	}
	CHECK(tcp->send_held < tcp->send_limit);
	CHECK(tcp_send_reserve(all[READERS], 7, &room) == 7);
	tcp_send_commit(all[READERS], 7, false);
	for (int i = 0; i <= READERS; i++) {
		tcp_abort(all[i]);
		tcp_close(all[i]);
	}
	script_end(&s);
}

int main(void)
{
	slow_readers();
	options();
	information();
	by_reference();
	ports();
	time_wait_reuse();
	many_connections();
	printf("ok\n");
	return 0;
}
