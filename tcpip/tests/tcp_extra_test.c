/* What few connections have: the headers of their SYN, errors for MSG_ERRQUEUE. wire_destroy says
 * when memory is not given back. */
#include "tcpip/tests/tcp_script.h"

static struct script s;

static struct tcp_connection *accept_from(uint16_t port)
{
	s.peer_port = port;
	s.iss_known = false;
	send_segment(&s, TCP_SYN, 0, 0, 0);
	send_segment(&s, A, 1, 1, 0);
	struct tcp_connection *child = tcp_accept(s.listener);
	CHECK(child);
	return child;
}

static void saved_syns(void)
{
	uint32_t bytes;
	script_begin(&s, "the SYN's headers");
	s.timestamps = s.sack = s.scaling = true;
	script_listen(&s, 16);
	struct tcp_connection *plain = accept_from(2000);
	CHECK(!tcp_saved_syn(plain, &bytes));
	tcp_forget_saved_syn(plain);
	tcp_set_option(s.listener, TCP_OPTION_SAVE_SYN, 1);
	struct tcp_connection *child = accept_from(2001);
	const uint8_t *headers = tcp_saved_syn(child, &bytes);
	CHECK(headers && bytes == 60);
	CHECK_EQ(headers[0], 0x45);
	CHECK_EQ(load_be16(headers + 20), 2001);
	CHECK_EQ(load_be16(headers + 22), OUR_PORT);
	CHECK_EQ(load_be32(headers + 24), PEER_ISS);
	CHECK_EQ(headers[33], TCP_SYN);
	CHECK_EQ(headers[40], 2); /* MSS */
	CHECK_EQ(tcp_get_option(child, TCP_OPTION_SAVE_SYN), 1);
	tcp_forget_saved_syn(child);
	CHECK(!tcp_saved_syn(child, &bytes));
	tcp_set_option(s.listener, TCP_OPTION_SAVE_SYN, 2);
	struct tcp_connection *unread = accept_from(2002);
	headers = tcp_saved_syn(unread, &bytes);
	CHECK(headers && bytes == 74);
	CHECK(memcmp(headers, s.wire.host[0].netif.mac.byte, 6) == 0);
	CHECK_EQ(load_be16(headers + 12), 0x0800);
	CHECK_EQ(headers[14], 0x45);
	tcp_close(plain);
	tcp_close(child);
	tcp_abort(unread);
	tcp_close(unread);
	/* One half-open and one that is never accepted go with their listener. */
	s.peer_port = 2003;
	s.iss_known = false;
	send_segment(&s, TCP_SYN, 0, 0, 0);
	send_segment(&s, A, 1, 1, 0);
	s.peer_port = 2004;
	s.iss_known = false;
	send_segment(&s, TCP_SYN, 0, 0, 0);
	CHECK_EQ(s.listener->listening->accept_count, 1);
	CHECK_EQ(s.listener->listening->request_count, 1);
	script_end(&s);
}

/* The stack goes while one waits to be accepted. */
static void saved_syn_at_the_end(void)
{
	script_begin(&s, "the SYN's headers outlive nothing");
	script_listen(&s, 16);
	tcp_set_option(s.listener, TCP_OPTION_SAVE_SYN, 1);
	send_segment(&s, TCP_SYN, 0, 0, 0);
	send_segment(&s, A, 1, 1, 0);
	CHECK_EQ(s.listener->listening->accept_count, 1);
	s.listener = NULL;
	script_end(&s);
}

static void refuse(uint8_t code)
{
	uint8_t quoted[28] = { 0 };
	struct host *host = &s.wire.host[0];
	struct pbuf *packet = pbuf_alloc(host->receive_pool, PBUF_SMALL, 0);
	CHECK(packet);
	store_be32(quoted + 20, 0xabcd0000 | code);
	memcpy(packet->data, quoted, sizeof(quoted));
	packet->length = packet->packet_length = sizeof(quoted);
	const struct icmp_error error = {
		.type = 12, /* parameter problem: any code will do */
		.code = code,
		.error = EHOSTUNREACH,
		.fatal = true,
		.local = tcp_local(s.c),
		.remote = tcp_remote(s.c),
		.sequence = s.c->iss,
		.offender = s.wire.host[1].address,
		.packet = packet,
		.quoted_offset = 20,
	};
	tcp_icmp_error(host->stack, &error);
	pbuf_free(packet);
}

static void expect_error(uint8_t code)
{
	struct queued_error error;
	CHECK(tcp_readiness(s.c) & NET_ERROR);
	CHECK(tcp_take_kept_error(s.c, &error));
	CHECK_EQ(error.code, code);
	CHECK_EQ(error.error, EHOSTUNREACH);
	CHECK_EQ(error.origin, ERROR_ORIGIN_ICMP);
	CHECK_EQ(error.payload->length, 8);
	CHECK_EQ(load_be32(error.payload->data), 0xabcd0000 | code);
	pbuf_free(error.payload);
}

static void kept_errors(void)
{
	struct queued_error error;
	const uint8_t attempts = ERROR_QUEUE_MAX + 10;
	script_begin(&s, "errors while it connects");
	CHECK_EQ(tcp_open(s.wire.host[0].stack, &s.c, script_event, &s), 0);
	CHECK(!tcp_take_kept_error(s.c, &error));
	for (uint8_t i = 0; i < attempts; i++) {
		CHECK_EQ(tcp_connect(s.c, (struct endpoint){ s.wire.host[1].address, PEER_PORT }),
		         0);
		refuse(i);
		CHECK_EQ(tcp_take_error(s.c), EHOSTUNREACH);
		expect_state(&s, TCP_CLOSED);
	}
	for (uint8_t i = 0; i < ERROR_QUEUE_MAX - 1; i++)
		expect_error(i);
	/* It listens, and no more, and still has the last of them. */
	CHECK_EQ(tcp_listen(s.c, 5), 0);
	CHECK(!(tcp_readiness(s.c) & NET_ERROR));
	CHECK_EQ(tcp_disconnect(&s.c), 0);
	expect_error(ERROR_QUEUE_MAX - 1);
	CHECK(!tcp_take_kept_error(s.c, &error));
	CHECK(!(tcp_readiness(s.c) & NET_ERROR));
	script_end(&s);
}

/* They outlive a connection that ends in between, and go when nobody asks for them any more. */
static void kept_errors_stay(void)
{
	struct queued_error error;
	script_begin(&s, "errors of before the connection");
	script_connect(&s);
	refuse(7);
	s.count = s.next = 0;
	s.iss_known = false;
	CHECK_EQ(tcp_connect(s.c, (struct endpoint){ s.wire.host[1].address, PEER_PORT }), 0);
	wait_ns(&s, 1 * MS);
	send_segment(&s, TCP_SYN | A, 0, 1, 0);
	expect_state(&s, TCP_ESTABLISHED);
	CHECK(tcp_readiness(s.c) & NET_ERROR);
	CHECK_EQ(tcp_disconnect(&s.c), 0);
	expect_error(7);
	CHECK(!tcp_take_kept_error(s.c, &error));
	CHECK_EQ(tcp_connect(s.c, (struct endpoint){ s.wire.host[1].address, PEER_PORT }), 0);
	refuse(8);
	tcp_set_option(s.c, TCP_OPTION_TELL_ERRORS, 0);
	CHECK(!tcp_take_kept_error(s.c, &error));
	CHECK_EQ(tcp_connect(s.c, (struct endpoint){ s.wire.host[1].address, PEER_PORT }), 0);
	refuse(9); /* lies there when the socket ends */
	script_end(&s);
}

/* Memberships end when the owner lets go, though the connection goes on. */
static void groups(void)
{
	const struct ipv4_address group = ipv4(239, 1, 2, 3);
	const struct group_request request = { .group = group };
	struct host *host = &s.wire.host[0];
	script_begin(&s, "a connection joins a group");
	script_accept(&s);
	struct group_set *set = tcp_groups(s.c);
	CHECK(set);
	CHECK_EQ(group_join(host->stack, set, &request, GROUP_EXCLUDE), 0);
	CHECK(group_set_hears(set, &host->netif, group, ipv4(10, 0, 0, 9)));
	CHECK_EQ(set->count, 1);
	tcp_close(s.c);
	flush_hosts(&s);
	expect_state(&s, TCP_FIN_WAIT_1);
	CHECK_EQ(tcp_groups(s.c)->count, 0);
	s.c = NULL;
	script_end(&s);
}

int main(void)
{
	groups();
	saved_syns();
	saved_syn_at_the_end();
	kept_errors();
	kept_errors_stay();
	printf("ok\n");
	return 0;
}
