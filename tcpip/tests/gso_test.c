/* Segmentation and checksums at the driver's edge against the simulated card's, which were written
 * independently: both get the same packets, what is on the wire must be equal byte for byte. */
#include "tcpip/stack_internal.h"
#include "tcpip/tests/frames.h"

#include <errno.h>

#define FRAMES 200

struct wire_log {
	uint32_t count;
	struct frame frame[FRAMES];
};

static struct wire_log by_software, by_card;

static bool log_tap(struct sim_host *host, const uint8_t *bytes, uint32_t length)
{
	struct wire_log *log = host->tap_context;
	CHECK(log->count < FRAMES && length <= sizeof(log->frame[0].bytes));
	log->frame[log->count].length = length;
	memcpy(log->frame[log->count++].bytes, bytes, length);
	return true;
}

static struct sim_host *host_with(struct sim *sim, uint32_t offloads, struct wire_log *log)
{
	struct sim_host_config config = SIM_HOST_DEFAULTS;
	config.offloads = offloads;
	config.address = ipv4(10, 0, 0, 1);
	struct sim_host *host = sim_add_host(sim, &config);
	host->netif.mac = (struct ethernet_address){ { 2, 0, 0, 0, 0, 1 } };
	host->tap = log_tap;
	host->tap_context = log;
	log->count = 0;
	return host;
}

struct packet {
	uint8_t header[60];
	uint32_t header_bytes, payload_bytes, pieces;
	uint16_t gso_size;
	uint8_t flags, payload[65000];
};

static void packet_random(struct sim *sim, struct packet *p)
{
	p->header_bytes = 20 + 4 * sim_random_below(sim, 11);
	for (uint32_t i = 0; i < p->header_bytes; i++)
		p->header[i] = (uint8_t)sim_random(sim);
	p->header[12] = (uint8_t)(p->header_bytes / 4 << 4);
	static const uint32_t sizes[] = { 1, 2, 536, 1447, 1448, 1460 };
	p->gso_size = (uint16_t)sizes[sim_random_below(sim, 6)];
	if (p->gso_size + p->header_bytes > 1480)
		p->gso_size = (uint16_t)(1480 - p->header_bytes);
	uint32_t most = p->gso_size < 100 ? 150 : 65000 - 100;
	p->payload_bytes = sim_random_below(sim, 4) ? sim_random_below(sim, most)
	                                            : p->gso_size * (1 + sim_random_below(sim, 3));
	p->pieces = 1 + sim_random_below(sim, 5);
	p->flags = PBUF_CSUM_PARTIAL | PBUF_GSO_TCP4;
	if (p->payload_bytes <= p->gso_size && sim_chance(sim, 500000))
		p->flags = PBUF_CSUM_PARTIAL;
	for (uint32_t i = 0; i < p->payload_bytes; i++)
		p->payload[i] = (uint8_t)sim_random(sim);
}

/* The packet as TCP builds it: headers, then slices of a unit. */
static struct pbuf *packet_build(struct sim_host *host, const struct packet *p)
{
	static const struct ipv4_address source = { 0x0a000001 }, destination = { 0x0a000063 };
	struct pbuf *first = pbuf_alloc(host->pool, PBUF_SMALL, PBUF_HEADROOM);
	struct pbuf *unit = pbuf_alloc(host->pool, PBUF_UNIT, PBUF_HEADROOM);
	memcpy(first->data, p->header, p->header_bytes);
	memcpy(unit->data, p->payload, p->payload_bytes);
	unit->length = unit->packet_length = p->payload_bytes;
	first->length = p->header_bytes;
	first->packet_length = p->header_bytes + p->payload_bytes;
	first->flags = p->flags;
	first->gso_size = p->gso_size;
	first->csum_offset = 16;
	checksum_store_partial(first->data + 16,
	                       checksum_pseudo_ipv4(source, destination, 6, first->packet_length));
	struct pbuf **tail = &first->next;
	uint32_t offset = 0;
	for (uint32_t left = p->pieces; left; left--) {
		uint32_t rest = p->payload_bytes - offset,
		         length = left == 1 ? rest : rest / left | 1;
		if (length > rest)
			length = rest;
		*tail = pbuf_slice(unit, offset, length);
		tail = &(*tail)->next;
		offset += length;
	}
	pbuf_free(unit);
	return first;
}

static int built_send(struct sim_host *host, struct pbuf *packet)
{
	static const struct ip_output_options options = { .protocol = IP_PROTOCOL_TCP,
		                                          .ttl = 64,
		                                          .dont_fragment = true };
	struct route_cache route = { .netif = &host->netif,
		                     .generation = host->stack->generation,
		                     .mtu = 1500,
		                     .resolved = true };
	memcpy(route.ethernet_header, PEER_MAC.byte, 6);
	memcpy(route.ethernet_header + 6, host->netif.mac.byte, 6);
	route.ethernet_header[12] = 8;
	return ip_output(host->stack, &route, ipv4(10, 0, 0, 1), ipv4(10, 0, 0, 99), packet,
	                 &options);
}

static int packet_send(struct sim_host *host, const struct packet *p)
{
	return built_send(host, packet_build(host, p));
}

static void test_equal_to_card(uint64_t seed)
{
	static struct packet p;
	struct sim *sim = sim_create(seed, "equal_to_card", NULL);
	struct sim_host *plain = host_with(sim, 0, &by_software);
	struct sim_host *able = host_with(sim, SIM_ALL_OFFLOADS, &by_card);
	for (int round = 0; round < 200; round++) {
		sim_pass(sim, SIM_MILLISECOND);
		by_software.count = by_card.count = 0;
		packet_random(sim, &p);
		if (p.flags == PBUF_CSUM_PARTIAL && p.header_bytes + p.payload_bytes > 1480)
			continue;
		CHECK_EQ(packet_send(plain, &p), 0);
		CHECK_EQ(packet_send(able, &p), 0);
		CHECK_EQ(by_software.count, by_card.count);
		uint32_t bytes = 0;
		for (uint32_t i = 0; i < by_card.count; i++) {
			const struct frame *s = &by_software.frame[i], *c = &by_card.frame[i];
			CHECK_EQ(s->length, c->length);
			CHECK(!memcmp(s->bytes, c->bytes, c->length));
			CHECK(frame_checksums_hold(s));
			bool last = i + 1 == by_card.count;
			CHECK_EQ(s->bytes[47] & 0x09, last ? p.header[13] & 0x09 : 0);
			CHECK_EQ(s->bytes[47] & 0x80, i ? 0 : p.header[13] & 0x80);
			bytes += s->length - 34 - p.header_bytes;
		}
		CHECK_EQ(bytes, p.payload_bytes);
	}
	sim_destroy(sim);
}

static bool fail_sometimes(void *sim)
{
	return sim_chance(sim, 200000);
}

/* No more segments than the ring has room for; memory that runs out ends the packet, not the
 * program. */
static void test_shortage(void)
{
	static struct packet p;
	struct sim *sim = sim_create(1, "shortage", NULL);
	struct sim_host *host = host_with(sim, 0, &by_software);
	sim_pass(sim, SIM_MILLISECOND);
	packet_random(sim, &p);
	p.flags = PBUF_CSUM_PARTIAL | PBUF_GSO_TCP4;
	p.gso_size = 1000;
	p.payload_bytes = 20000;
	host->config.ring_slots = 7;
	by_software.count = 0;
	CHECK_EQ(packet_send(host, &p), 0);
	CHECK_EQ(by_software.count, 7);
	CHECK_EQ(packet_send(host, &p), -ENOBUFS);
	CHECK_EQ(by_software.count, 7);
	CHECK_EQ(host->netif.statistics.tx_busy, 2);
	sim_destroy(sim);

	/* every allocation fails with a probability of a fifth */
	for (uint64_t seed = 1; seed <= 200; seed++) {
		sim = sim_create(seed, "no_memory", NULL);
		host = host_with(sim, 0, &by_software);
		struct pbuf_pool *pool = host->pool;
		struct pbuf *packet = packet_build(host, &p);
		pbuf_pool_inject_failures(pool, fail_sometimes, sim);
		int error = built_send(host, packet);
		CHECK(error == 0 || error == -ENOBUFS);
		CHECK(by_software.count <= 21);
		pbuf_pool_inject_failures(pool, NULL, NULL);
		sim_destroy(sim);
	}
}

int main(int argc, char **argv)
{
	struct sim_arguments arguments = sim_parse_arguments(argc, argv);
	for (uint64_t seed = arguments.seed; seed < arguments.seed + 20; seed++)
		test_equal_to_card(seed);
	test_shortage();
	return 0;
}
