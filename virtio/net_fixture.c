/* The net driver with a simulated device: see net_fixture.h. */
#include "virtio/net_fixture.h"

#include <string.h>

#define OFFERED                                                                                    \
	(VIRTIO_F_VERSION_1 | VIRTIO_F_EVENT_IDX | VIRTIO_F_INDIRECT_DESC | VIRTIO_NET_F_CSUM |    \
	 VIRTIO_NET_F_GUEST_CSUM | VIRTIO_NET_F_GUEST_TSO4 | VIRTIO_NET_F_HOST_TSO4 |              \
	 VIRTIO_NET_F_MRG_RXBUF)

struct sim sim;
struct virtio_net net;
struct virtio_net_config config;
_Alignas(8) uint8_t buffers[BUFFERS][BUFFER_BYTES];
unsigned held[BUFFERS]; /* how often each cookie is with the driver: 0 or 1 */

static void *cookie_of(unsigned number)
{
	return (void *)(uintptr_t)(number + 1);
}

unsigned give_back(void *cookie)
{
	unsigned number = (unsigned)((uintptr_t)cookie - 1);
	CHECK(number < BUFFERS);
	CHECK_EQ(held[number], 1);
	held[number] = 0;
	return number;
}

void drop(void *context, void *cookie)
{
	++*(unsigned *)context;
	give_back(cookie);
}

void start(void)
{
	sim_init(&sim, VIRTIO_DEVICE_NET, OFFERED, 3, 256);
	CHECK_EQ(virtio_net_init(&net, &sim.transport, &config), 0);
	memset(held, 0, sizeof(held));
}

void start_default(void)
{
	config = VIRTIO_NET_CONFIG_DEFAULT;
	config.ring_size = RING;
	config.rx_buffer_bytes = BUFFER_BYTES;
	start();
}

/* Everything comes back; `expected` of it from the device's hands. */
void stop(unsigned expected)
{
	unsigned dropped = 0;
	CHECK(!virtio_net_verify(&net));
	CHECK(virtio_net_fini(&net, drop, drop, &dropped));
	CHECK_EQ(dropped, expected);
	for (unsigned i = 0; i < BUFFERS; i++)
		CHECK_EQ(held[i], 0);
	CHECK_EQ(sim.allocations, 0);
}

struct virtio_net_statistics statistics(void)
{
	struct virtio_net_statistics now;
	virtio_net_read_statistics(&net, &now);
	return now;
}

int post(unsigned number)
{
	int error = virtio_net_post_rx(&net, 0, buffers[number], BUFFER_BYTES, cookie_of(number));
	if (!error)
		held[number]++;
	return error;
}

void post_many(unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		CHECK_EQ(post(i), 0);
	virtio_net_publish_and_kick(&net, 0);
}

static void make_frame(uint8_t *frame, uint32_t bytes, unsigned seed)
{
	for (uint32_t i = 0; i < bytes; i++)
		frame[i] = (uint8_t)(seed * 31 + i * 7 + (i >> 8));
}

void deliver(uint32_t bytes, unsigned seed)
{
	static uint8_t frame[65536];
	struct virtio_net_header header = { 0 };
	make_frame(frame, bytes, seed);
	CHECK(sim_deliver(&sim, RX, &header, frame, bytes));
	sim_complete(&sim, RX);
}

void expect_packet(const struct virtio_net_rx *packet, uint32_t bytes, unsigned seed)
{
	static uint8_t expected[65536];
	uint32_t at = 0;
	make_frame(expected, bytes, seed);
	CHECK_EQ(packet->packet_bytes, bytes);
	for (unsigned i = 0; i < packet->piece_count; i++) {
		unsigned number = give_back(packet->pieces[i].cookie);
		uint32_t skip = i ? 0 : VIRTIO_NET_HEADER_BYTES;
		CHECK(at + packet->pieces[i].bytes <= bytes);
		CHECK(memcmp(buffers[number] + skip, expected + at, packet->pieces[i].bytes) == 0);
		at += packet->pieces[i].bytes;
	}
	CHECK_EQ(at, bytes);
}

uint8_t room[BUFFERS][4096];

/* Send a frame of `segments` pieces; the first one's headroom carries the header when
 * `in_headroom`. */
int transmit(unsigned number, uint32_t segments, uint32_t bytes_each, bool in_headroom,
             const struct virtio_net_tx_header *header)
{
	struct virtio_net_segment list[VIRTIO_NET_SEGMENTS_MAX + 1];
	make_frame(room[number] + 16, 2048, number);
	for (uint32_t i = 0; i < segments && i <= VIRTIO_NET_SEGMENTS_MAX; i++)
		list[i] = (struct virtio_net_segment){ room[number] + 16 + i * bytes_each,
			                               bytes_each };
	int error = virtio_net_transmit(&net, 0, list, segments, header,
	                                in_headroom ? room[number] + 4 : NULL, cookie_of(number));
	if (!error)
		held[number]++;
	return error;
}

/* The device's view of the next frame: joined together behind its header. */
uint32_t take_frame(struct sim_chain *chain, uint8_t *out)
{
	uint32_t bytes = 0;
	CHECK(sim_pop(&sim, TX, chain));
	for (unsigned i = 0; i < chain->count; i++) {
		CHECK(!chain->pieces[i].writable);
		memcpy(out + bytes, chain->pieces[i].data, chain->pieces[i].bytes);
		bytes += chain->pieces[i].bytes;
	}
	CHECK(bytes > VIRTIO_NET_HEADER_BYTES);
	return bytes - VIRTIO_NET_HEADER_BYTES;
}

void expect_frame(unsigned number, uint32_t bytes, unsigned descriptors, bool indirect,
                  const struct virtio_net_header *header)
{
	struct sim_chain chain;
	uint8_t frame[4096], expected[2048];
	CHECK_EQ(take_frame(&chain, frame), bytes);
	CHECK_EQ(chain.count, descriptors);
	CHECK_EQ(chain.indirect, indirect);
	CHECK(memcmp(frame, header, VIRTIO_NET_HEADER_BYTES) == 0);
	make_frame(expected, 2048, number);
	CHECK(memcmp(frame + VIRTIO_NET_HEADER_BYTES, expected, bytes) == 0);
	sim_push(&sim, TX, chain.id, 0);
}

size_t reclaim(void)
{
	unsigned count = 0;
	size_t result = virtio_net_reclaim(&net, 0, drop, &count);
	CHECK_EQ(result, count);
	return result;
}
