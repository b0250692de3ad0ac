/* IPv4: what is accepted and what is not, fragments both ways and attacks with them, path MTU. */
#include "tcpip/stack_internal.h"
#include "tcpip/tests/frames.h"
#include "tcpip/udp.h"

#include <errno.h>

static const struct ipv4_address PEER = { 0x0a000063 };
static struct catch catch;
static struct sim *sim;
static struct sim_host *host;
static struct udp_socket *socket_;

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
	CHECK_EQ(udp_create(host->stack, &socket_, ignore_event, NULL), 0);
	CHECK_EQ(udp_bind(socket_, (struct endpoint){ { 0 }, 7 }, false, false), 0);
	catch.count = 0;
}

static void end(void)
{
	udp_close(socket_);
	sim_destroy(sim);
}

static void inject(const struct frame *frame)
{
	sim_inject(host, frame->bytes, frame->length);
}

/* How many datagrams are waiting; they are thrown away. */
static uint32_t received(void)
{
	struct udp_datagram d;
	uint32_t count = 0;
	while (udp_receive(socket_, &d)) {
		pbuf_free(d.payload);
		count++;
	}
	return count;
}

static struct frame good_udp(void)
{
	return frame_udp(host, (struct endpoint){ PEER, 1000 },
	                 (struct endpoint){ host->netif.address, 7 }, "hello", 5);
}

static void header_sum(struct frame *frame, uint32_t header_bytes)
{
	frame->bytes[24] = frame->bytes[25] = 0;
	uint16_t sum = naive_checksum(0, frame->bytes + 14, header_bytes);
	frame->bytes[24] = (uint8_t)(sum >> 8);
	frame->bytes[25] = (uint8_t)sum;
}

static void test_header_fields(void)
{
	begin("header_fields");
	struct frame good = good_udp(), f;
	inject(&good);
	CHECK_EQ(received(), 1);
	for (uint32_t bit = 0; bit < 20 * 8;
	     bit++) { /* every single bit is covered by the checksum */
		f = good;
		f.bytes[14 + bit / 8] ^= (uint8_t)(1 << bit % 8);
		inject(&f);
		CHECK_EQ(received(), 0);
	}
	for (uint32_t version_length = 0; version_length < 256; version_length++) {
		f = good;
		f.bytes[14] = (uint8_t)version_length;
		uint32_t header = (version_length & 15) * 4;
		header_sum(&f, header > 33 ? 33 : header);
		inject(&f);
		CHECK_EQ(received(), version_length == 0x45);
	}
	for (uint32_t total = 0; total < 70; total++) { /* total length */
		f = good;
		f.bytes[17] = (uint8_t)total;
		header_sum(&f, 20);
		inject(&f);
		CHECK_EQ(received(), total == 33);
	}
	for (uint32_t length = 0; length < good.length; length++) { /* truncated frames */
		sim_inject(host, good.bytes, length);
		CHECK_EQ(received(), 0);
	}
	f = good; /* padded, as short frames on Ethernet are */
	f.length = 60;
	inject(&f);
	CHECK_EQ(received(), 1);
	end();
}

static void test_options_are_skipped(void)
{
	begin("options");
	struct frame good = good_udp();
	for (uint32_t words = 1; words <= 10; words++) {
		struct frame f = good;
		memmove(f.bytes + 34 + 4 * words, f.bytes + 34, good.length - 34);
		memset(f.bytes + 34, words % 2 ? 1 : 0x83, 4 * words);
		f.length += 4 * words;
		f.bytes[14] = (uint8_t)(0x45 + words);
		f.bytes[17] = (uint8_t)(f.length - 14);
		header_sum(&f, 20 + 4 * words);
		inject(&f);
		CHECK_EQ(received(), 1);
		f.bytes[33 + 4 * words] ^= 1;
		inject(&f);
		CHECK_EQ(received(), 0);
	}
	end();
}

static void expect_from_to(struct ipv4_address source, struct ipv4_address destination,
                           bool accepted)
{
	struct frame f = frame_udp(host, (struct endpoint){ source, 1000 },
	                           (struct endpoint){ destination, 7 }, "x", 1);
	inject(&f);
	CHECK_EQ(received(), accepted);
}

static void test_addresses(void)
{
	begin("addresses");
	struct ipv4_address us = host->netif.address;
	expect_from_to(PEER, us, true);
	expect_from_to(ipv4(8, 8, 8, 8), us, true);
	expect_from_to(us, us, false);
	expect_from_to(ipv4(127, 0, 0, 1), us, false);
	expect_from_to(ipv4(224, 0, 0, 1), us, false);
	expect_from_to(ipv4(240, 0, 0, 1), us, false);
	expect_from_to(ipv4(10, 0, 0, 255), us, false);
	expect_from_to(ipv4(255, 255, 255, 255), us, false);
	expect_from_to(PEER, ipv4(10, 0, 0, 2), false);
	expect_from_to(PEER, ipv4(127, 0, 0, 1), false);
	expect_from_to(PEER, ipv4(10, 0, 0, 255), true);
	expect_from_to(PEER, ipv4(255, 255, 255, 255), true);
	expect_from_to(PEER, ipv4(10, 0, 1, 255), false);
	expect_from_to(PEER, ipv4(224, 0, 0, 1), true); /* all hosts; other groups want joining */
	expect_from_to(PEER, ipv4(224, 0, 0, 251), false);
	expect_from_to(PEER, ipv4(239, 1, 2, 3), false);
	/* another card's frame, and a group frame around a packet for one host */
	struct frame f = good_udp();
	f.bytes[5] ^= 1;
	inject(&f);
	CHECK_EQ(received(), 0);
	f = good_udp();
	memset(f.bytes, 0xff, 6);
	inject(&f);
	CHECK_EQ(received(), 0);
	end();
}

static void test_unknown_protocol(void)
{
	begin("unknown_protocol");
	struct ip_spec ip = { .source = PEER, .destination = host->netif.address, .protocol = 132 };
	struct frame f = frame_ipv4(host, &ip, "0123456789", 10);
	inject(&f);
	CHECK_EQ(catch.count, 1);
	const struct frame *e = &catch.frame[0];
	CHECK(frame_is_ip(e, 1) && frame_checksums_hold(e));
	CHECK_EQ(frame_be16(e, 34), 0x0302); /* protocol unreachable */
	CHECK(!memcmp(e->bytes + 42, f.bytes + 14, 30));
	end();
}

/* ---- fragments ---- */

/* UDP datagram whose payload is 0,1,2..., and one fragment of it. */
static uint8_t datagram[4000];

static void datagram_make(uint32_t length)
{
	memset(datagram, 0, 8);
	datagram[1] = 99;
	datagram[3] = 7;
	datagram[4] = (uint8_t)(length >> 8);
	datagram[5] = (uint8_t)length;
	for (uint32_t i = 8; i < length; i++)
		datagram[i] = (uint8_t)(i * 7);
	uint16_t sum = naive_checksum(naive_pseudo(PEER, host->netif.address, 17, length), datagram,
	                              length);
	datagram[6] = (uint8_t)(sum >> 8);
	datagram[7] = (uint8_t)sum;
}

static void fragment_send(uint16_t identification, uint32_t offset, uint32_t length, bool more)
{
	struct ip_spec ip = { .source = PEER,
		              .destination = host->netif.address,
		              .protocol = 17,
		              .identification = identification,
		              .fragment = (uint16_t)(offset / 8 | (more ? 0x2000 : 0)) };
	static const uint8_t zeros[2000];
	struct frame f = frame_ipv4(
	        host, &ip, offset + length <= sizeof(datagram) ? datagram + offset : zeros, length);
	inject(&f);
}

static void expect_datagram(uint32_t length)
{
	struct udp_datagram d;
	uint8_t bytes[4000];
	CHECK(udp_receive(socket_, &d));
	CHECK_EQ(pbuf_copy_out(d.payload, 0, bytes, sizeof(bytes)), length - 8);
	CHECK(!memcmp(bytes, datagram + 8, length - 8));
	pbuf_free(d.payload);
	CHECK_EQ(received(), 0);
}

static void test_reassembly_in_any_order(void)
{
	begin("reassembly");
	datagram_make(2400);
	static const uint8_t order[6][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 },
		                             { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };
	for (uint16_t i = 0; i < 6; i++) {
		for (int j = 0; j < 3; j++) {
			uint32_t part = order[i][j];
			CHECK_EQ(received(), 0);
			fragment_send(i, part * 800, 800, part < 2);
			fragment_send(i, part * 800, 800, part < 2); /* repeated: harmless */
			if (j == 2)
				expect_datagram(2400);
			else
				CHECK_EQ(received(), 0);
		}
	}
	end();
}

static void test_tiny_fragments(void)
{
	begin("tiny");
	datagram_make(72);
	for (uint32_t offset = 0; offset < 72; offset += 8) /* even the UDP header is cut off */
		fragment_send(1, offset, 8, offset < 64);
	expect_datagram(72);
	end();
}

static uint64_t fragments_dropped(void)
{
	struct stack_statistics s;
	stack_read_statistics(host->stack, &s);
	return s.fragments_dropped;
}

/* RFC 5722 (and 1858): what overlaps takes the whole datagram with it. */
static void test_overlap(void)
{
	begin("overlap");
	datagram_make(1600);
	for (uint32_t start = 0; start < 1600; start += 8) {
		for (uint32_t length = 8; length <= 24; length += 8) {
			uint16_t id = (uint16_t)(start * 4 + length);
			fragment_send(id, 800, 400, true);
			fragment_send(id, start, length, true);
			fragment_send(id, 0, 800, true);
			fragment_send(id, 1200, 400, false);
			CHECK_EQ(received(),
			         0); /* wherever it lies, it overlaps one of the three */
			sim_pass(sim, 31 * SIM_SECOND);
		}
	}
	CHECK(fragments_dropped() > 1000);
	end();
}

static void test_ends_that_disagree(void)
{
	begin("ends");
	datagram_make(1600);
	fragment_send(1, 800, 800, false);
	fragment_send(1, 1600, 8, false);
	fragment_send(1, 0, 800, true);
	CHECK_EQ(received(), 0);
	fragment_send(2, 1600, 80, true); /* beyond the end that follows */
	fragment_send(2, 800, 800, false);
	fragment_send(2, 0, 800, true);
	CHECK_EQ(received(), 0);
	fragment_send(3, 0, 804, true); /* not a multiple of 8 */
	fragment_send(3, 800, 800, false);
	CHECK_EQ(received(), 0);
	fragment_send(4, 65528, 800, false); /* "ping of death" */
	fragment_send(4, 65528, 8, false);
	fragment_send(5, 0, 0, true);
	CHECK_EQ(received(), 0);
	end();
}

static void test_fragment_flood(void)
{
	begin("flood");
	struct pbuf_pool_statistics pool;
	datagram_make(1600);
	for (uint32_t i = 0; i < 5000; i++)
		fragment_send((uint16_t)i, 0, 1400, true);
	pbuf_pool_statistics(host->pool, &pool);
	CHECK(pool.bytes_used < 3 << 20);
	for (uint32_t i = 0; i < 400; i++) /* many fragments of one datagram */
		fragment_send(9, i * 16, 8, true);
	fragment_send(10, 0, 800, true); /* an honest one still gets through */
	fragment_send(10, 800, 800, false);
	expect_datagram(1600);
	catch.count = 0;
	sim_pass(sim, 31 * SIM_SECOND);
	pbuf_pool_statistics(host->pool, &pool);
	CHECK_EQ(pool.bytes_used, 0);
	uint32_t told = 0; /* time exceeded, rate limited */
	for (uint32_t i = 0; i < catch.count && i < CATCH_MAX; i++) {
		if (!frame_is_ip(&catch.frame[i], 1))
			continue;
		CHECK_EQ(frame_be16(&catch.frame[i], 34), 0x0b01);
		CHECK(frame_checksums_hold(&catch.frame[i]));
		told++;
	}
	CHECK(told >= 1 && told <= 10);
	end();
}

/* Large datagrams leave in fragments that another reassembler accepts. */
static void test_fragmentation(void)
{
	begin("fragmentation");
	struct udp_send_options options = { 0 };
	struct endpoint to = { PEER, 99 };
	struct pbuf *payload = udp_payload_alloc(socket_, 5000);
	for (uint32_t i = 0; i < 5000; i++)
		payload->data[i] = (uint8_t)(i * 3);
	CHECK_EQ(udp_send(socket_, &to, payload, &options), 0);
	CHECK_EQ(catch.count, 4);
	uint8_t whole[6000];
	uint32_t end_offset = 0;
	for (uint32_t i = 0; i < 4; i++) {
		const struct frame *f = &catch.frame[i];
		uint32_t field = frame_be16(f, 20), offset = (field & 0x1fff) * 8;
		CHECK(f->length <= 1514);
		CHECK_EQ(naive_checksum(0, f->bytes + 14, 20), 0);
		CHECK_EQ(offset, end_offset);
		CHECK_EQ(!!(field & 0x2000), i < 3);
		CHECK_EQ(frame_be16(f, 18), frame_be16(&catch.frame[0], 18));
		memcpy(whole + offset, f->bytes + 34, f->length - 34);
		end_offset = offset + f->length - 34;
	}
	CHECK_EQ(end_offset, 5008);
	CHECK_EQ(naive_checksum(naive_pseudo(host->netif.address, PEER, 17, 5008), whole, 5008), 0);
	for (uint32_t i = 0; i < 5000; i++)
		CHECK_EQ(whole[8 + i], (uint8_t)(i * 3));
	/* but not when told not to */
	options.dont_fragment = true;
	CHECK_EQ(udp_send(socket_, &to, udp_payload_alloc(socket_, 1473), &options), -EMSGSIZE);
	CHECK_EQ(udp_send(socket_, &to, udp_payload_alloc(socket_, 1472), &options), 0);
	end();
}

static void test_path_mtu(void)
{
	begin("path_mtu");
	struct udp_send_options options = { 0 };
	CHECK_EQ(udp_connect(socket_, (struct endpoint){ PEER, 99 }, false), 0);
	CHECK_EQ(udp_send(socket_, NULL, udp_payload_alloc(socket_, 1400), &options), 0);
	CHECK_EQ(catch.count, 1);
	CHECK_EQ(frame_be16(&catch.frame[0], 20), 0x4000);
	struct frame e = frame_icmp(host, PEER, host->netif.address, 3, 4, 1000,
	                            catch.frame[0].bytes + 14, 28);
	inject(&e);
	CHECK_EQ(udp_take_error(socket_), EMSGSIZE);
	CHECK_EQ(udp_send(socket_, NULL, udp_payload_alloc(socket_, 1400), &options), 0);
	CHECK_EQ(catch.count, 3); /* in two fragments now */
	CHECK(catch.frame[1].length <= 1014);
	/* absurdly small: clamped, never below 552 */
	e = frame_icmp(host, PEER, host->netif.address, 3, 4, 1, catch.frame[0].bytes + 14, 28);
	inject(&e);
	udp_take_error(socket_);
	catch.count = 0;
	CHECK_EQ(udp_send(socket_, NULL, udp_payload_alloc(socket_, 1400), &options), 0);
	CHECK_EQ(catch.count, 3);
	CHECK(catch.frame[0].length > 500);
	/* after ten minutes the path is tried anew */
	sim_pass(sim, 601 * SIM_SECOND);
	struct frame arp = frame_arp(host, 1, PEER, &PEER_MAC, host->netif.address);
	inject(&arp);
	catch.count = 0;
	CHECK_EQ(udp_send(socket_, NULL, udp_payload_alloc(socket_, 1400), &options), 0);
	CHECK_EQ(catch.count, 1);
	end();
}

int main(int argc, char **argv)
{
	sim_parse_arguments(argc, argv);
	test_header_fields();
	test_options_are_skipped();
	test_addresses();
	test_unknown_protocol();
	test_reassembly_in_any_order();
	test_tiny_fragments();
	test_overlap();
	test_ends_that_disagree();
	test_fragment_flood();
	test_fragmentation();
	test_path_mtu();
	return 0;
}
