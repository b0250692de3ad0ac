/* ICMP: echo both ways, errors both ways, rate limits, what must not be answered. */
#include "tcpip/icmp.h"
#include "tcpip/stack_internal.h"
#include "tcpip/tests/frames.h"

#include <errno.h>

static const struct ipv4_address PEER = { 0x0a000063 };
static struct catch catch;
static struct sim *sim;
static struct sim_host *host;

static void ignore_event(void *context, uint32_t readiness)
{
	(void)context;
	(void)readiness;
}

static void begin(const char *name)
{
	struct sim_host_config config = SIM_HOST_DEFAULTS;
	sim = sim_create(1, name, NULL);
	host = sim_add_host(sim, &config);
	catch_start(host, &catch);
	struct frame arp = frame_arp(host, 1, PEER, &PEER_MAC, host->netif.address);
	sim_inject(host, arp.bytes, arp.length);
	catch.count = 0;
}

static void inject(const struct frame *frame)
{
	sim_inject(host, frame->bytes, frame->length);
}

static void test_echo_reply(void)
{
	begin("echo_reply");
	uint8_t data[1472];
	for (uint32_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 5);
	for (uint32_t length = 0; length <= sizeof(data); length += 23) {
		for (int scatter = 0; scatter < 2; scatter++) {
			struct frame f = frame_icmp(host, PEER, host->netif.address, 8, 0,
			                            0x12340007, data, length);
			host->config.scatter = scatter;
			catch.count = 0;
			inject(&f);
			sim_pass(sim, SIM_MICROSECOND);
			CHECK_EQ(catch.count, 1);
			const struct frame *r = &catch.frame[0];
			CHECK_EQ(r->length, f.length);
			CHECK(frame_checksums_hold(r));
			CHECK_EQ(frame_be16(r, 34), 0);
			CHECK_EQ(frame_be32(r, 38), 0x12340007);
			CHECK(!memcmp(r->bytes + 42, data, length));
			CHECK_EQ(frame_be32(r, 30), PEER.value);
			CHECK_EQ(frame_be32(r, 26), host->netif.address.value);
		}
	}
	sim_destroy(sim);
}

static void test_echo_not_answered(void)
{
	begin("echo_not_answered");
	struct frame f = frame_icmp(host, PEER, ipv4(10, 0, 0, 255), 8, 0, 1, "x", 1);
	inject(&f);
	f = frame_icmp(host, PEER, ipv4(224, 0, 0, 1), 8, 0, 1, "x", 1);
	inject(&f);
	f = frame_icmp(host, PEER, host->netif.address, 8, 0, 1, "x", 1);
	f.bytes[36] ^= 1; /* checksum */
	inject(&f);
	f = frame_icmp(host, PEER, host->netif.address, 0, 0, 1, "x", 1);
	inject(&f); /* a reply nobody waits for */
	struct ip_spec ip = { .source = PEER, .destination = host->netif.address, .protocol = 1 };
	for (uint32_t length = 0; length < 8; length++) {
		f = frame_ipv4(host, &ip, "\x08\0\xf7\xff\0\0\0\0", length);
		inject(&f);
	}
	sim_pass(sim, SIM_SECOND);
	CHECK_EQ(catch.count, 0);
	sim_destroy(sim);
}

static struct frame probe(struct ipv4_address from, struct ipv4_address to)
{
	return frame_udp(host, (struct endpoint){ from, 53 }, (struct endpoint){ to, 9999 }, "data",
	                 4);
}

static void test_port_unreachable(void)
{
	begin("port_unreachable");
	struct frame f = probe(PEER, host->netif.address);
	inject(&f);
	CHECK_EQ(catch.count, 1);
	const struct frame *e = &catch.frame[0];
	CHECK(frame_is_ip(e, 1) && frame_checksums_hold(e));
	CHECK_EQ(frame_be16(e, 34), 0x0303);
	CHECK(!memcmp(e->bytes + 42, f.bytes + 14, f.length - 14)); /* all of it is quoted */
	/* at most 576 bytes in all */
	uint8_t large[1400] = { 0 };
	f = frame_udp(host, (struct endpoint){ PEER, 53 },
	              (struct endpoint){ host->netif.address, 9999 }, large, sizeof(large));
	inject(&f);
	CHECK_EQ(catch.count, 2);
	CHECK_EQ(catch.frame[1].length, 14 + 576);
	/* not for groups, nor to nobody */
	f = probe(PEER, ipv4(10, 0, 0, 255));
	inject(&f);
	f = probe(PEER, ipv4(239, 1, 2, 3));
	inject(&f);
	f = probe(ipv4(0, 0, 0, 0), host->netif.address);
	inject(&f);
	CHECK_EQ(catch.count, 2);
	sim_destroy(sim);
}

/* Six at once, then one per second for one destination; a thousand a second in all. */
static void test_rate_limit(void)
{
	begin("rate_limit");
	struct frame f = probe(PEER, host->netif.address);
	for (int i = 0; i < 100; i++)
		inject(&f);
	CHECK_EQ(catch.count, 6);
	for (int i = 0; i < 50; i++) {
		sim_pass(sim, 100 * SIM_MILLISECOND);
		inject(&f);
	}
	CHECK(catch.count >= 10 && catch.count <= 12);
	sim_pass(sim, SIM_SECOND);
	for (uint32_t i = 0; i < 2000; i++) { /* many sources */
		f = probe((struct ipv4_address){ 0x0a000064 + i % 150 }, host->netif.address);
		inject(&f);
	}
	struct stack_statistics s;
	stack_read_statistics(host->stack, &s);
	CHECK(s.icmp_out < 6 + 8 + 60);
	CHECK(s.icmp_rate_limited > 1800);
	sim_pass(sim, 10 * SIM_SECOND);
	sim_destroy(sim);
}

/* Errors about errors would never end. */
static void test_no_error_about_errors(void)
{
	begin("no_error_about_errors");
	struct frame inner = probe(host->netif.address, PEER);
	for (uint32_t type = 0; type < 256; type++) {
		struct frame f = frame_icmp(host, PEER, host->netif.address, (uint8_t)type, 3, 0,
		                            inner.bytes + 14, 28);
		if (type == 8)
			continue;
		inject(&f);
	}
	CHECK_EQ(catch.count, 0);
	sim_destroy(sim);
}

/* Every truncation and every bit of the quoted packet: nothing is harmed, no wrong socket hears of
 * it. */
static void test_errors_are_distrusted(void)
{
	begin("errors_are_distrusted");
	struct udp_socket *socket;
	struct udp_send_options options = { 0 };
	CHECK_EQ(udp_create(host->stack, &socket, ignore_event, NULL), 0);
	CHECK_EQ(udp_connect(socket, (struct endpoint){ PEER, 53 }, false), 0);
	CHECK_EQ(udp_send(socket, NULL, udp_payload_alloc(socket, 4), &options), 0);
	struct frame sent = catch.frame[0];
	for (uint32_t length = 0; length <= 32; length++) {
		struct frame e = frame_icmp(host, PEER, host->netif.address, 3, 3, 0,
		                            sent.bytes + 14, length);
		inject(&e);
		CHECK_EQ(udp_take_error(socket), length >= 28 ? ECONNREFUSED : 0);
	}
	for (uint32_t bit = 0; bit < 28 * 8; bit++) {
		uint8_t quote[28];
		memcpy(quote, sent.bytes + 14, 28);
		quote[bit / 8] ^= (uint8_t)(1 << bit % 8);
		struct frame e = frame_icmp(host, PEER, host->netif.address, 3, 3, 0, quote, 28);
		inject(&e);
		uint32_t byte = bit / 8;
		bool matters = byte == 0 || byte == 9 || (byte >= 12 && byte < 24) || byte == 7 ||
		               (byte == 6 && bit % 8 < 5);
		if (matters)
			CHECK_EQ(udp_take_error(socket), 0);
		else
			udp_take_error(socket);
	}
	udp_close(socket);
	sim_destroy(sim);
}

/* A raw socket sees each message whole, behind its IP header, and no more than its queue holds. */
static void test_raw(void)
{
	begin("raw");
	struct ping_socket *socket;
	struct udp_datagram got;
	uint8_t bytes[2048];
	const struct ipv4_address any = { 0 };
	CHECK_EQ(ping_create_raw(host->stack, &socket, ignore_event, NULL), 0);
	for (int scatter = 0; scatter < 2; scatter++) {
		host->config.scatter = scatter;
		for (uint8_t type = 0; type < 20; type++) {
			struct frame f = frame_icmp(host, PEER, host->netif.address, type, 3, 7,
			                            "some data", 9);
			inject(&f);
			CHECK(ping_receive(socket, &got, false));
			uint32_t length = got.payload->packet_length;
			CHECK_EQ(length, 20 + 8 + 9);
			CHECK_EQ(pbuf_copy_out(got.payload, 0, bytes, length), length);
			CHECK(!memcmp(bytes, f.bytes + 14, length));
			CHECK(ipv4_equal(got.source.address, PEER));
			pbuf_free(got.payload);
			CHECK(!ping_receive(socket, &got, false));
		}
	}
	struct frame f = frame_icmp(host, PEER, host->netif.address, 0, 0, 7, "x", 1);
	ping_select(socket, any, any, 1);
	inject(&f);
	ping_select(socket, any, ipv4(10, 0, 0, 98), 0);
	inject(&f);
	ping_select(socket, ipv4(10, 0, 0, 97), any, 0);
	inject(&f);
	CHECK(!ping_receive(socket, &got, false));
	ping_select(socket, host->netif.address, PEER, 1u << 8);
	uint32_t queued = 0;
	for (int i = 0; i < 1000; i++)
		inject(&f);
	while (ping_receive(socket, &got, false)) {
		pbuf_free(got.payload);
		queued++;
	}
	CHECK(queued > 20 && queued < 1000);
	inject(&f);
	CHECK(ping_readiness(socket) & NET_READABLE);
	ping_close(socket); /* with what it holds */
	struct ping_socket *many[256];
	for (size_t i = 0; i < sizeof(many) / sizeof(many[0]); i++)
		CHECK_EQ(ping_create_raw(host->stack, &many[i], ignore_event, NULL), 0);
	CHECK_EQ(ping_create_raw(host->stack, &socket, ignore_event, NULL), -ENFILE);
	for (size_t i = 0; i < sizeof(many) / sizeof(many[0]); i++)
		ping_close(many[i]);
	sim_destroy(sim);
}

static void test_ping(void)
{
	sim = sim_create(1, "ping", NULL);
	struct sim_host_config config = SIM_HOST_DEFAULTS;
	host = sim_add_host(sim, &config);
	struct sim_host *peer = sim_add_host(sim, &config);
	static const struct ipv4_address loopback = { 0x7f000001 };
	const struct ipv4_address targets[] = { peer->netif.address, loopback,
		                                host->netif.address };
	struct ping_socket *socket;
	CHECK_EQ(ping_create(host->stack, &socket, ignore_event, NULL), 0);
	CHECK_EQ(ping_bind(socket, 0x4242), 0);
	CHECK_EQ(ping_bind(socket, 1), -EINVAL);
	for (uint16_t i = 0; i < 30; i++) {
		struct ipv4_address target = targets[i % 3];
		uint32_t length = 8 + i * 300; /* also in fragments */
		struct pbuf *message = ping_message_alloc(socket, length);
		memset(message->data, 0, 8);
		message->data[0] = 8;
		message->data[7] = (uint8_t)i;
		for (uint32_t j = 8; j < length; j++)
			message->data[j] = (uint8_t)(j + i);
		CHECK_EQ(ping_send(socket, target, message, 0), 0);
		sim_pass(sim, 10 * SIM_MILLISECOND);
		struct udp_datagram reply;
		CHECK(ping_readiness(socket) & NET_READABLE);
		CHECK(ping_receive(socket, &reply, false));
		CHECK(ipv4_equal(reply.source.address, target));
		CHECK_EQ(reply.payload->packet_length, length);
		uint8_t bytes[10000];
		pbuf_copy_out(reply.payload, 0, bytes, length);
		CHECK_EQ(bytes[0], 0);
		CHECK_EQ(bytes[4] << 8 | bytes[5], 0x4242);
		CHECK_EQ(bytes[7], i);
		for (uint32_t j = 8; j < length; j++)
			CHECK_EQ(bytes[j], (uint8_t)(j + i));
		pbuf_free(reply.payload);
	}
	CHECK_EQ(ping_send(socket, ipv4(8, 8, 8, 8), ping_message_alloc(socket, 8), 0), -EINVAL);
	struct pbuf *message = ping_message_alloc(socket, 8);
	memset(message->data, 0, 8);
	message->data[0] = 8;
	CHECK_EQ(ping_send(socket, ipv4(8, 8, 8, 8), message, 0), -ENETUNREACH);
	ping_close(socket);
	sim_destroy(sim);
}

int main(int argc, char **argv)
{
	sim_parse_arguments(argc, argv);
	test_echo_reply();
	test_echo_not_answered();
	test_port_unreachable();
	test_rate_limit();
	test_no_error_about_errors();
	test_errors_are_distrusted();
	test_ping();
	test_raw();
	return 0;
}
