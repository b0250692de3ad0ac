/* Caps below TCP that no other test reaches: UDP sockets, the loopback queue, remembered path MTUs.
 */
#include "tcpip/stack_internal.h"
#include "tcpip/tests/frames.h"
#include "tcpip/udp.h"

#include <errno.h>

static struct sim *sim;
static struct sim_host *host;
static struct catch catch;
static uint32_t event_bits;

static void note_event(void *context, uint32_t readiness)
{
	(void)context;
	event_bits |= readiness;
}

static void begin(const char *name)
{
	sim = sim_create(1, name, NULL);
	host = sim_add_host(sim, &SIM_HOST_DEFAULTS);
	catch_start(host, &catch);
	event_bits = 0;
}

static struct udp_socket *open_socket(void)
{
	struct udp_socket *socket;
	CHECK_EQ(udp_create(host->stack, &socket, note_event, NULL), 0);
	return socket;
}

static int send_to(struct udp_socket *socket, struct endpoint to, uint32_t bytes)
{
	const struct udp_send_options options = { 0 };
	struct pbuf *payload = udp_payload_alloc(socket, bytes);
	CHECK(payload);
	return udp_send(socket, &to, payload, &options);
}

static void udp_sockets(void)
{
	enum { MOST = 16384 };
	static struct udp_socket *all[MOST];
	struct udp_socket *socket;
	begin("udp_sockets");
	for (uint32_t i = 0; i < MOST; i++)
		all[i] = open_socket();
	CHECK_EQ(udp_create(host->stack, &socket, note_event, NULL), -ENFILE);
	udp_close(all[5000]);
	all[5000] = open_socket();
	CHECK_EQ(udp_create(host->stack, &socket, note_event, NULL), -ENFILE);
	for (uint32_t i = 0; i < MOST; i++)
		udp_close(all[i]);
	socket = open_socket();
	udp_close(socket);
	sim_destroy(sim);
}

/* What does not fit waits; whoever was refused is told when there is room. */
static void loopback_queue(void)
{
	enum { QUEUE = 4096 };
	begin("loopback_queue");
	struct udp_socket *from = open_socket(), *to = open_socket();
	const struct endpoint place = { ipv4(127, 0, 0, 1), 7000 };
	struct udp_datagram datagram;
	uint32_t received = 0;
	udp_set_receive_buffer(to, UINT32_MAX);
	CHECK_EQ(udp_bind(to, place, false, false), 0);
	for (uint32_t i = 0; i < QUEUE; i++)
		CHECK_EQ(send_to(from, place, 1), 0);
	CHECK_EQ(send_to(from, place, 1), -EAGAIN);
	CHECK_EQ(udp_readiness(from) & NET_WRITABLE, 0);
	sim_pass(sim, SIM_MILLISECOND);
	CHECK(event_bits & NET_WRITABLE);
	CHECK(udp_readiness(from) & NET_WRITABLE);
	CHECK_EQ(send_to(from, place, 1), 0);
	sim_pass(sim, SIM_MILLISECOND);
	for (; udp_receive(to, &datagram); received++)
		pbuf_free(datagram.payload);
	CHECK_EQ(received, QUEUE + 1);
	udp_close(from);
	udp_close(to);
	sim_destroy(sim);
}

/* The frames that a datagram to there makes. */
static uint32_t frames_to(struct udp_socket *socket, struct ipv4_address address)
{
	catch.count = 0;
	CHECK_EQ(send_to(socket, (struct endpoint){ address, 99 }, 1400), 0);
	sim_pass(sim, SIM_MILLISECOND);
	return catch.count;
}

/* An ICMP "fragmentation needed" of the first hop, for a datagram of ours to `address`. */
static void path_shrinks(struct udp_socket *socket, struct ipv4_address address)
{
	const struct ipv4_address router = ipv4(10, 0, 0, 99);
	CHECK_EQ(frames_to(socket, address), 1);
	struct frame told = frame_icmp(host, router, host->netif.address, 3, 4, 1000,
	                               catch.frame[0].bytes + 14, 28);
	sim_inject(host, told.bytes, told.length);
	CHECK_EQ(frames_to(socket, address), 2);
}

static struct ipv4_address destination(uint32_t number)
{
	return ipv4(192, 168, (uint8_t)(number >> 4), (uint8_t)(1 + (number & 15)));
}

/* More destinations than are remembered: each has its MTU when it is told, and the last of all has
 * it still; some of the first have to learn anew. */
static void path_mtus(void)
{
	enum { ENTRIES = 64, DESTINATIONS = 4 * ENTRIES };
	struct sim_host_config config = SIM_HOST_DEFAULTS;
	config.gateway = ipv4(10, 0, 0, 99);
	sim = sim_create(1, "path_mtus", NULL);
	host = sim_add_host(sim, &config);
	catch_start(host, &catch);
	struct frame arp = frame_arp(host, 1, config.gateway, &PEER_MAC, host->netif.address);
	sim_inject(host, arp.bytes, arp.length);
	struct udp_socket *socket = open_socket();
	for (uint32_t i = 0; i < DESTINATIONS; i++)
		path_shrinks(socket, destination(i));
	uint32_t remembered = 0, last = 0;
	for (uint32_t i = 0; i < DESTINATIONS; i++) {
		last = frames_to(socket, destination(i));
		remembered += last == 2;
	}
	CHECK_EQ(last, 2);
	CHECK(remembered > ENTRIES / 2 && remembered <= ENTRIES);
	udp_close(socket);
	sim_destroy(sim);
}

int main(int argc, char **argv)
{
	sim_parse_arguments(argc, argv);
	udp_sockets();
	loopback_queue();
	path_mtus();
	printf("ok\n");
	return 0;
}
