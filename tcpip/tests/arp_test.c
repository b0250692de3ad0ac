/* ARP: announcing, answering, resolving, queueing, aging, giving up, and what is not believed. */
#include "tcpip/stack_internal.h"
#include "tcpip/tests/frames.h"
#include "tcpip/udp.h"

#include <errno.h>

static const struct ipv4_address PEER = { 0x0a000063 };    /* 10.0.0.99 */
static const struct ipv4_address GATEWAY = { 0x0a0000fe }; /* 10.0.0.254 */
static struct catch catch;

static struct sim_host *lone_host(struct sim *sim, bool with_gateway)
{
	struct sim_host_config config = SIM_HOST_DEFAULTS;
	config.no_address = true;
	struct sim_host *host = sim_add_host(sim, &config);
	catch_start(host, &catch);
	CHECK_EQ(stack_set_address(host->stack, &host->netif, ipv4(10, 0, 0, 1), 24,
	                           with_gateway ? GATEWAY : (struct ipv4_address){ 0 }),
	         0);
	return host;
}

static void ignore_event(void *context, uint32_t readiness)
{
	(void)context;
	(void)readiness;
}

static struct udp_socket *socket_open(struct sim_host *host)
{
	struct udp_socket *socket;
	CHECK_EQ(udp_create(host->stack, &socket, ignore_event, NULL), 0);
	return socket;
}

static void send_to(struct udp_socket *socket, struct ipv4_address to, uint32_t length)
{
	struct pbuf *payload = udp_payload_alloc(socket, length);
	struct udp_send_options options = { 0 };
	memset(payload->data, 7, length);
	CHECK_EQ(udp_send(socket, &(struct endpoint){ to, 9 }, payload, &options), 0);
}

static bool is_request_for(const struct frame *frame, struct ipv4_address target)
{
	return frame->length == 42 && frame_be16(frame, 12) == 0x0806 &&
	       frame_be16(frame, 20) == 1 && frame_be32(frame, 38) == target.value;
}

static uint32_t requests_for(struct ipv4_address target)
{
	uint32_t count = 0;
	for (uint32_t i = 0; i < catch.count && i < CATCH_MAX; i++)
		count += is_request_for(&catch.frame[i], target);
	return count;
}

static void answer(struct sim_host *host, struct ipv4_address from)
{
	struct frame reply = frame_arp(host, 2, from, &PEER_MAC, host->netif.address);
	sim_inject(host, reply.bytes, reply.length);
}

static void test_start(void)
{
	struct sim *sim = sim_create(1, "start", NULL);
	lone_host(sim, true);
	CHECK_EQ(catch.count, 2);
	CHECK(is_request_for(&catch.frame[0], ipv4(10, 0, 0, 1))); /* the announcement */
	CHECK_EQ(frame_be32(&catch.frame[0], 28), 0x0a000001);
	CHECK(is_request_for(&catch.frame[1], GATEWAY));
	for (int i = 0; i < 6; i++)
		CHECK_EQ(catch.frame[1].bytes[i], 0xff);
	sim_destroy(sim);
}

static void test_answers(void)
{
	struct sim *sim = sim_create(1, "answers", NULL);
	struct sim_host *host = lone_host(sim, false);
	catch.count = 0;
	struct frame ask = frame_arp(host, 1, PEER, &PEER_MAC, host->netif.address);
	memset(ask.bytes, 0xff, 6);
	sim_inject(host, ask.bytes, ask.length);
	CHECK_EQ(catch.count, 1);
	const struct frame *reply = &catch.frame[0];
	CHECK_EQ(frame_be16(reply, 20), 2);
	CHECK(!memcmp(reply->bytes, PEER_MAC.byte, 6));
	CHECK(!memcmp(reply->bytes + 22, host->netif.mac.byte, 6));
	CHECK_EQ(frame_be32(reply, 28), host->netif.address.value);
	CHECK(!memcmp(reply->bytes + 32, PEER_MAC.byte, 6));
	CHECK_EQ(frame_be32(reply, 38), PEER.value);

	/* Who asked is known now: no request before the first packet to him. */
	struct udp_socket *socket = socket_open(host);
	send_to(socket, PEER, 10);
	CHECK_EQ(catch.count, 2);
	CHECK(frame_is_ip(&catch.frame[1], 17));

	/* Not for us: no answer, nothing learnt. */
	ask = frame_arp(host, 1, GATEWAY, &PEER_MAC, PEER);
	sim_inject(host, ask.bytes, ask.length);
	CHECK_EQ(catch.count, 2);
	send_to(socket, GATEWAY, 10);
	CHECK(is_request_for(&catch.frame[2], GATEWAY));
	udp_close(socket);
	sim_destroy(sim);
}

static void test_resolution(void)
{
	struct sim *sim = sim_create(1, "resolution", NULL);
	struct sim_host *host = lone_host(sim, false);
	struct udp_socket *socket = socket_open(host);
	catch.count = 0;
	for (uint32_t i = 1; i <= 5; i++)
		send_to(socket, PEER, i);
	CHECK_EQ(catch.count, 1);
	answer(host, PEER);
	CHECK_EQ(catch.count, 6);
	for (uint32_t i = 1; i <= 5; i++) { /* in order, to the MAC that answered */
		CHECK_EQ(catch.frame[i].length, 42 + i);
		CHECK(!memcmp(catch.frame[i].bytes, PEER_MAC.byte, 6));
		CHECK(frame_checksums_hold(&catch.frame[i]));
	}
	send_to(socket, PEER, 6);
	CHECK_EQ(catch.count, 7);
	udp_close(socket);
	sim_destroy(sim);
}

static void test_failure(void)
{
	struct sim *sim = sim_create(1, "failure", NULL);
	struct sim_host *host = lone_host(sim, false);
	struct udp_socket *socket = socket_open(host);
	struct stack_statistics s;
	catch.count = 0;
	send_to(socket, PEER, 10);
	sim_pass(sim, 2900 * SIM_MILLISECOND);
	CHECK_EQ(requests_for(PEER), 3);
	stack_read_statistics(host->stack, &s);
	CHECK_EQ(s.arp_failed, 0);
	sim_pass(sim, 200 * SIM_MILLISECOND);
	stack_read_statistics(host->stack, &s);
	CHECK_EQ(s.arp_failed, 1);
	sim_pass(sim, 100 * SIM_SECOND); /* silence */
	CHECK_EQ(requests_for(PEER), 3);
	CHECK_EQ(udp_take_error(socket), 0); /* not connected: not told (Linux) */
	send_to(socket, PEER, 10);           /* begins anew */
	CHECK_EQ(requests_for(PEER), 4);
	udp_close(socket);
	sim_destroy(sim);
}

static void test_queue_is_bounded(void)
{
	struct sim *sim = sim_create(1, "queue", NULL);
	struct sim_host *host = lone_host(sim, false);
	struct udp_socket *socket = socket_open(host);
	struct stack_statistics s;
	struct pbuf_pool_statistics pool;
	for (uint32_t i = 0; i < 1000; i++)
		send_to(socket, PEER, 1000);
	for (uint32_t i = 0; i < 1000; i++)
		send_to(socket, ipv4(10, 0, 0, (uint8_t)(100 + i % 30)), 1000);
	stack_read_statistics(host->stack, &s);
	pbuf_pool_statistics(host->pool, &pool);
	CHECK(s.arp_queue_dropped > 700);
	CHECK(pool.bytes_used < (3 << 20) / 2);
	catch.count = 0;
	answer(host, PEER); /* the youngest were kept */
	CHECK(catch.count > 50 && catch.count < 200);
	sim_pass(sim, 10 * SIM_SECOND);
	pbuf_pool_statistics(host->pool, &pool);
	CHECK_EQ(pool.bytes_used, 0);
	udp_close(socket);
	sim_destroy(sim);
}

static void test_aging(void)
{
	struct sim *sim = sim_create(1, "aging", NULL);
	struct sim_host *host = lone_host(sim, false);
	struct udp_socket *socket = socket_open(host);
	send_to(socket, PEER, 1);
	answer(host, PEER);
	catch.count = 0;
	sim_pass(sim, 40 * SIM_SECOND);
	CHECK_EQ(catch.count, 0); /* stale, but nobody asks */
	send_to(socket, PEER, 1);
	CHECK_EQ(catch.count, 2); /* asked to confirm, by unicast, and still used */
	CHECK(is_request_for(&catch.frame[0], PEER));
	CHECK(!memcmp(catch.frame[0].bytes, PEER_MAC.byte, 6));
	CHECK(frame_is_ip(&catch.frame[1], 17));
	answer(host, PEER);
	catch.count = 0;
	sim_pass(sim, 10 * SIM_SECOND);
	send_to(socket, PEER, 1);
	CHECK_EQ(catch.count, 1);
	CHECK(frame_is_ip(&catch.frame[0], 17));

	/* No confirmation: asked again by broadcast after the probes. */
	sim_pass(sim, 40 * SIM_SECOND);
	send_to(socket, PEER, 1);
	sim_pass(sim, 5 * SIM_SECOND);
	catch.count = 0;
	send_to(socket, PEER, 1);
	CHECK_EQ(catch.count, 1);
	CHECK(is_request_for(&catch.frame[0], PEER));
	CHECK_EQ(catch.frame[0].bytes[0], 0xff);
	udp_close(socket);
	sim_destroy(sim);
}

/* A host that changed its card is heard, cached routes notwithstanding. */
static void test_mac_changes(void)
{
	static const struct ethernet_address other = { { 2, 0, 0, 0, 0, 0x55 } };
	struct sim *sim = sim_create(1, "mac_changes", NULL);
	struct sim_host *host = lone_host(sim, false);
	struct udp_socket *socket = socket_open(host);
	send_to(socket, PEER, 1);
	answer(host, PEER);
	struct frame announce = frame_arp(host, 1, PEER, &other, PEER);
	memset(announce.bytes, 0xff, 6);
	sim_inject(host, announce.bytes, announce.length);
	catch.count = 0;
	send_to(socket, PEER, 1);
	CHECK_EQ(catch.count, 1);
	CHECK(!memcmp(catch.frame[0].bytes, other.byte, 6));
	udp_close(socket);
	sim_destroy(sim);
}

static void test_not_believed(void)
{
	static const struct ethernet_address group = { { 1, 0, 0, 0, 0, 1 } };
	struct sim *sim = sim_create(1, "not_believed", NULL);
	struct sim_host *host = lone_host(sim, false);
	struct udp_socket *socket = socket_open(host);
	send_to(socket, PEER, 1);
	answer(host, PEER);
	catch.count = 0;
	/* a group's MAC, our own address, an answer nobody asked for, broken fields, truncation */
	struct frame f = frame_arp(host, 2, PEER, &group, host->netif.address);
	sim_inject(host, f.bytes, f.length);
	f = frame_arp(host, 1, host->netif.address, &PEER_MAC, host->netif.address);
	sim_inject(host, f.bytes, f.length);
	answer(host, GATEWAY);
	for (uint32_t length = 0; length < 42; length++) {
		f = frame_arp(host, 1, PEER, &PEER_MAC, host->netif.address);
		sim_inject(host, f.bytes, length);
	}
	for (uint32_t byte = 14; byte < 22; byte++) {
		f = frame_arp(host, 1, PEER, &PEER_MAC, host->netif.address);
		f.bytes[byte] ^= 0x40;
		sim_inject(host, f.bytes, f.length);
	}
	CHECK_EQ(catch.count, 0);
	send_to(socket, PEER, 1);
	CHECK(!memcmp(catch.frame[0].bytes, PEER_MAC.byte, 6));
	send_to(socket, GATEWAY, 1);
	CHECK(is_request_for(&catch.frame[1], GATEWAY));
	udp_close(socket);
	sim_destroy(sim);
}

/* More neighbours than entries: the oldest gives way, nothing breaks. */
static void test_table_is_full(void)
{
	struct sim *sim = sim_create(1, "full", NULL);
	struct sim_host *host = lone_host(sim, true);
	answer(host, GATEWAY);
	struct udp_socket *socket = socket_open(host);
	for (uint32_t i = 0; i < 200; i++) {
		struct frame f = frame_arp(host, 1, ipv4(10, 0, 0, (uint8_t)(i + 2)), &PEER_MAC,
		                           host->netif.address);
		sim_inject(host, f.bytes, f.length);
		send_to(socket, ipv4(10, 0, 0, (uint8_t)(i + 2)), 10);
		send_to(socket, ipv4(10, 0, 0, (uint8_t)(i + 50)), 10);
		sim_pass(sim, SIM_MILLISECOND);
	}
	sim_pass(sim, 100 * SIM_SECOND);
	udp_close(socket);
	sim_destroy(sim);
}

int main(int argc, char **argv)
{
	sim_parse_arguments(argc, argv);
	test_start();
	test_answers();
	test_resolution();
	test_failure();
	test_queue_is_bounded();
	test_aging();
	test_mac_changes();
	test_not_believed();
	test_table_is_full();
	return 0;
}
