/* DHCP: a scripted server, and replies that no server should send. */
#include "tcpip/dhcp_message.h"
#include "tcpip/stack_internal.h"
#include "tcpip/tests/frames.h"

#include <errno.h>

static struct catch catch;
static struct sim *sim;
static struct sim_host *host;
static uint32_t bound, lost;
static struct dhcp_result last;

static const struct ipv4_address SERVER = { 0x0a000002 }, OFFERED = { 0x0a000021 };

static void note_bound(void *context, const struct dhcp_result *result)
{
	(void)context;
	if (result) {
		bound++;
		last = *result;
	} else {
		lost++;
	}
}

static void begin(const char *name)
{
	struct sim_host_config config = SIM_HOST_DEFAULTS;
	config.no_address = true;
	sim = sim_create(1, name, NULL);
	host = sim_add_host(sim, &config);
	catch_start(host, &catch);
	bound = lost = 0;
	CHECK_EQ(dhcp_start(host->stack, &host->netif, note_bound, NULL), 0);
	CHECK_EQ(dhcp_start(host->stack, &host->netif, note_bound, NULL), -EALREADY);
}

/* ---- what the client says ---- */

struct query {
	uint8_t type;
	uint32_t transaction, requested, server, current;
};

static bool query_parse(const struct frame *f, struct query *out)
{
	memset(out, 0, sizeof(*out));
	if (!frame_is_ip(f, 17) || frame_be16(f, 36) != 67 || f->length < 42 + 240)
		return false;
	CHECK(frame_checksums_hold(f));
	CHECK_EQ(frame_be16(f, 34), 68);
	CHECK_EQ(f->length, 42 + 300);
	CHECK(!memcmp(f->bytes + 42 + 28, host->netif.mac.byte, 6));
	CHECK_EQ(frame_be32(f, 42 + 236), 0x63825363);
	out->transaction = frame_be32(f, 42 + 4);
	out->current = frame_be32(f, 42 + 12);
	for (uint32_t i = 42 + 240; f->bytes[i] != 255; i += 2u + f->bytes[i + 1]) {
		CHECK(i + 2 + f->bytes[i + 1] < f->length);
		if (f->bytes[i] == 53)
			out->type = f->bytes[i + 2];
		if (f->bytes[i] == 50)
			out->requested = frame_be32(f, i + 2);
		if (f->bytes[i] == 54)
			out->server = frame_be32(f, i + 2);
	}
	return true;
}

/* The last query among the caught frames; how many there were. */
static uint32_t queries(struct query *out)
{
	uint32_t count = 0;
	struct query q;
	CHECK(catch.count <= CATCH_MAX);
	for (uint32_t i = 0; i < catch.count; i++) {
		if (query_parse(&catch.frame[i], &q)) {
			*out = q;
			count++;
		}
	}
	catch.count = 0;
	return count;
}

static struct query expect_query(uint8_t type)
{
	struct query q;
	CHECK_EQ(queries(&q), 1);
	CHECK_EQ(q.type, type);
	return q;
}

/* ---- what the server says ---- */

struct reply {
	uint8_t bytes[600];
	uint32_t length;
};

static void reply_option(struct reply *r, uint8_t code, uint8_t length, const void *value)
{
	r->bytes[r->length - 1] = code;
	r->bytes[r->length] = length;
	memcpy(r->bytes + r->length + 1, value, length);
	r->length += 2u + length;
	r->bytes[r->length - 1] = 255;
}

static struct reply reply_begin(uint32_t transaction, uint8_t type)
{
	struct reply r = { .length = 241 };
	memcpy(r.bytes, "\2\1\6", 3);
	store_be32(r.bytes + 4, transaction);
	store_be32(r.bytes + 16, OFFERED.value);
	memcpy(r.bytes + 28, host->netif.mac.byte, 6);
	store_be32(r.bytes + 236, 0x63825363);
	r.bytes[240] = 255;
	reply_option(&r, 53, 1, &type);
	reply_option(&r, 54, 4, "\x0a\0\0\2");
	return r;
}

static struct reply reply_full(uint32_t transaction, uint8_t type, uint32_t lease)
{
	struct reply r = reply_begin(transaction, type);
	uint8_t value[4];
	store_be32(value, lease);
	reply_option(&r, 51, 4, value);
	reply_option(&r, 1, 4, "\xff\xff\xff\0");
	reply_option(&r, 3, 4, "\x0a\0\0\2");
	reply_option(&r, 6, 8, "\x0a\0\0\3\x08\x08\x08\x08");
	reply_option(&r, 15, 11, "example.org");
	reply_option(&r, 26, 2, "\x05\x78"); /* 1400 */
	return r;
}

static void reply_send(const struct reply *r, struct ipv4_address to)
{
	struct frame f = frame_udp(host, (struct endpoint){ SERVER, 67 },
	                           (struct endpoint){ to, 68 }, r->bytes, r->length);
	sim_inject(host, f.bytes, f.length);
}

static void lease_get(uint32_t lease)
{
	struct query q = expect_query(DHCP_DISCOVER);
	struct reply r = reply_full(q.transaction, DHCP_OFFER, lease);
	reply_send(&r, OFFERED);
	q = expect_query(DHCP_REQUEST);
	CHECK_EQ(q.requested, OFFERED.value);
	CHECK_EQ(q.server, SERVER.value);
	CHECK_EQ(q.current, 0);
	r = reply_full(q.transaction, DHCP_ACK, lease);
	reply_send(&r, OFFERED);
	CHECK_EQ(bound, 1);
	/* the server's MAC, for renewing */
	struct frame arp = frame_arp(host, 1, SERVER, &PEER_MAC, OFFERED);
	sim_inject(host, arp.bytes, arp.length);
}

static void test_lease(void)
{
	begin("lease");
	lease_get(3600);
	CHECK_EQ(host->netif.address.value, OFFERED.value);
	CHECK_EQ(host->netif.prefix_length, 24);
	CHECK_EQ(host->netif.mtu, 1400);
	CHECK_EQ(stack_gateway(host->stack).value, SERVER.value);
	CHECK_EQ(last.address.value, OFFERED.value);
	CHECK_EQ(last.dns[0].value, 0x0a000003);
	CHECK_EQ(last.dns[1].value, 0x08080808);
	CHECK_EQ(last.dns[2].value, 0);
	CHECK_EQ(last.lease_seconds, 3600);
	CHECK(!strcmp(last.domain, "example.org"));
	dhcp_stop(host->stack, &host->netif);
	sim_pass(sim, 4000 * SIM_SECOND);
	sim_destroy(sim);
}

/* Nobody answers: asked again after 1, 2, 4 ... 64 s. */
static void test_retries(void)
{
	begin("retries");
	struct query q;
	sim_pass(sim, 100 * SIM_SECOND);
	uint32_t count = queries(&q);
	CHECK(count >= 6 && count <= 8);
	sim_pass(sim, 640 * SIM_SECOND);
	count = queries(&q);
	CHECK(count >= 8 && count <= 11);
	/* an offer whose server then dies */
	struct reply r = reply_full(q.transaction, DHCP_OFFER, 60);
	reply_send(&r, OFFERED);
	expect_query(DHCP_REQUEST);
	sim_pass(sim, 60 * SIM_SECOND);
	CHECK(queries(&q) >= 5);
	CHECK_EQ(q.type, DHCP_DISCOVER);
	CHECK_EQ(bound, 0);
	sim_destroy(sim);
}

static void test_nak(void)
{
	begin("nak");
	struct query q = expect_query(DHCP_DISCOVER);
	struct reply r = reply_full(q.transaction, DHCP_OFFER, 60);
	reply_send(&r, ipv4(255, 255, 255, 255));
	q = expect_query(DHCP_REQUEST);
	r = reply_begin(q.transaction, DHCP_NAK);
	reply_send(&r, ipv4(255, 255, 255, 255));
	CHECK_EQ(bound, 0);
	lease_get(60);
	sim_destroy(sim);
}

/* At half of the lease by unicast, at 7/8 by broadcast, then the address is given up. */
static void test_renew_rebind_expire(void)
{
	begin("renew");
	lease_get(1000);
	struct query q;
	queries(&q);
	sim_pass(sim, 499 * SIM_SECOND);
	CHECK_EQ(queries(&q), 0);
	struct frame arp = frame_arp(host, 1, SERVER, &PEER_MAC, OFFERED);
	sim_inject(host, arp.bytes, arp.length);
	catch.count = 0;
	sim_pass(sim, 2 * SIM_SECOND);
	CHECK(!memcmp(catch.frame[0].bytes, PEER_MAC.byte, 6));
	CHECK_EQ(frame_be32(&catch.frame[0], 30), SERVER.value);
	q = expect_query(DHCP_REQUEST);
	CHECK_EQ(q.current, OFFERED.value);
	CHECK_EQ(q.requested, 0);
	CHECK_EQ(q.server, 0);
	struct reply r = reply_full(q.transaction, DHCP_ACK, 1000);
	reply_send(&r, OFFERED);
	CHECK_EQ(bound, 2);
	catch.count = 0;
	sim_pass(sim, 870 * SIM_SECOND); /* no answer to the renewal */
	queries(&q);
	CHECK_EQ(lost, 0);
	sim_pass(sim, 20 * SIM_SECOND);
	CHECK_EQ(catch.frame[catch.count - 1].bytes[0], 0xff);
	q = expect_query(DHCP_REQUEST);
	CHECK_EQ(q.current, OFFERED.value);
	sim_pass(sim, 115 * SIM_SECOND);
	CHECK_EQ(lost, 1);
	CHECK(ipv4_is_any(host->netif.address));
	CHECK_EQ(host->netif.mtu, 1500);
	CHECK(queries(&q) >= 1);
	CHECK_EQ(q.type, DHCP_DISCOVER);
	sim_destroy(sim);
}

static void test_nak_of_renewal(void)
{
	begin("nak_of_renewal");
	lease_get(1000);
	struct query q;
	sim_pass(sim, 501 * SIM_SECOND);
	queries(&q);
	struct reply r = reply_begin(q.transaction, DHCP_NAK);
	reply_send(&r, OFFERED);
	CHECK_EQ(lost, 1);
	CHECK(ipv4_is_any(host->netif.address));
	lost = bound = 0;
	lease_get(1000);
	sim_destroy(sim);
}

static void test_not_for_us(void)
{
	begin("not_for_us");
	struct query q = expect_query(DHCP_DISCOVER);
	struct reply good = reply_full(q.transaction, DHCP_OFFER, 60), r;
	r = good;
	r.bytes[4] ^= 1; /* another's transaction */
	reply_send(&r, OFFERED);
	r = good;
	r.bytes[33] ^= 1; /* another's MAC */
	reply_send(&r, OFFERED);
	r = good;
	r.bytes[0] = 1; /* a request */
	reply_send(&r, OFFERED);
	r = good;
	r.bytes[236] ^= 1; /* the cookie */
	reply_send(&r, OFFERED);
	static const uint32_t nonsense[] = { 0, 0xffffffff, 0x7f000001, 0xe0000001 };
	for (int i = 0; i < 4; i++) {
		r = good;
		store_be32(r.bytes + 16, nonsense[i]);
		reply_send(&r, OFFERED);
	}
	r = good;
	r.bytes[242] = DHCP_ACK; /* not asked for yet */
	reply_send(&r, OFFERED);
	CHECK_EQ(catch.count, 0);
	CHECK_EQ(bound, 0);
	reply_send(&good, OFFERED);
	q = expect_query(DHCP_REQUEST);
	r = reply_full(q.transaction, DHCP_ACK, 60);
	for (uint32_t i = 0; i < r.length - 8; i++) { /* the server that was not chosen */
		if (r.bytes[i] == 54 && r.bytes[i + 1] == 4)
			r.bytes[i + 5] = 77;
	}
	reply_send(&r, OFFERED);
	CHECK_EQ(bound, 0);
	sim_destroy(sim);
}

/* Parsers: every truncation in memory of its exact size, and random damage. */
static void test_parser(void)
{
	begin("parser");
	struct reply r = reply_full(7, DHCP_ACK, 60);
	struct dhcp_reply out;
	for (uint32_t length = 0; length <= r.length; length++) {
		uint8_t *exact = malloc(length ? length : 1);
		memcpy(exact, r.bytes, length);
		dhcp_reply_parse(exact, length, &out);
		free(exact);
	}
	CHECK(dhcp_reply_parse(r.bytes, r.length, &out));
	CHECK_EQ(out.prefix_length, 24);
	for (int round = 0; round < 100000; round++) {
		uint8_t *damaged = malloc(r.length);
		memcpy(damaged, r.bytes, r.length);
		for (uint32_t i = 1 + sim_random_below(sim, 4); i; i--)
			damaged[sim_random_below(sim, 4)
			                ? 240 + sim_random_below(sim, r.length - 240)
			                : sim_random_below(sim, r.length)] =
			        (uint8_t)sim_random(sim);
		if (dhcp_reply_parse(damaged, r.length, &out)) {
			CHECK(out.prefix_length <= 32);
			CHECK(strnlen(out.domain, 64) < 64);
		}
		free(damaged);
	}
	/* options in the file and server name fields */
	uint8_t both = 3;
	reply_option(&r, 52, 1, &both);
	memcpy(r.bytes + 108, "\x3a\4\0\0\0\x10\xff", 7);
	memcpy(r.bytes + 44, "\x3b\4\0\0\0\x20\xff", 7);
	CHECK(dhcp_reply_parse(r.bytes, r.length, &out));
	CHECK_EQ(out.renew_s, 16);
	CHECK_EQ(out.rebind_s, 32);
	r.bytes[109] = 200; /* beyond the field */
	CHECK(!dhcp_reply_parse(r.bytes, r.length, &out));
	sim_destroy(sim);
}

/* Absurd times in an ACK do not make a busy client. */
static void test_absurd_lease_times(void)
{
	static const uint32_t times[] = { 0, 1, 0x7fffffff, 0xfffffffe, 0xffffffff };
	for (int i = 0; i < 125; i++) {
		begin("absurd_times");
		struct query q = expect_query(DHCP_DISCOVER);
		struct reply r = reply_full(q.transaction, DHCP_OFFER, 60);
		uint8_t value[4];
		reply_send(&r, OFFERED);
		q = expect_query(DHCP_REQUEST);
		r = reply_full(q.transaction, DHCP_ACK, times[i % 5]);
		store_be32(value, times[i / 5 % 5]);
		reply_option(&r, 58, 4, value);
		store_be32(value, times[i / 25]);
		reply_option(&r, 59, 4, value);
		reply_send(&r, OFFERED);
		CHECK_EQ(bound, 1);
		catch.count = 0;
		sim_pass(sim, 100 * SIM_SECOND);
		CHECK(catch.count < 50);
		sim_destroy(sim);
	}
}

int main(int argc, char **argv)
{
	sim_parse_arguments(argc, argv);
	test_lease();
	test_retries();
	test_nak();
	test_renew_rebind_expire();
	test_nak_of_renewal();
	test_not_for_us();
	test_parser();
	test_absurd_lease_times();
	return 0;
}
