/* virtio-rng: one queue, one buffer, once. */
#include "virtio/rng.h"

#include <errno.h>
#include <string.h>

#include "virtio/ring.h"

#define RNG_BYTES_MAX 4096

static int wait_for_bytes(struct virtio_ring *ring, size_t bytes, uint64_t (*clock_ns)(void),
                          uint64_t timeout_ns)
{
	uint64_t start_ns = clock_ns();
	while (!ring_poll(ring))
		if (clock_ns() - start_ns > timeout_ns)
			return -ETIMEDOUT;
	uint32_t got;
	if (!ring_consume(ring, &got) || got > bytes)
		return -EIO;
	return (int)got;
}

static int fetch(struct virtio_transport *transport, void *buffer, size_t bytes,
                 uint64_t (*clock_ns)(void), uint64_t timeout_ns)
{
	uint64_t offered, features;
	struct virtio_ring ring;
	int result = virtio_begin(transport, &offered);
	if (!result)
		result = virtio_accept(transport, 0, &features);
	if (!result)
		result = virtio_ring_init(&ring, transport, 0, 1, 0, false);
	if (result)
		return result;
	virtio_driver_ok(transport);
	ring_add_one(&ring, buffer, (uint32_t)bytes, VIRTIO_DESCRIPTOR_WRITE, buffer);
	ring_publish_and_kick(&ring);
	result = wait_for_bytes(&ring, bytes, clock_ns, timeout_ns);
	if (!virtio_reset(transport))
		return -ENODEV; /* it may still write: its memory is given up */
	virtio_ring_fini(&ring, NULL, NULL);
	return result;
}

int virtio_rng_read(struct virtio_transport *transport, void *out, size_t bytes,
                    uint64_t (*clock_ns)(void), uint64_t timeout_ns)
{
	struct virtio_memory *memory = &transport->memory;
	if (!bytes || bytes > RNG_BYTES_MAX)
		return -EINVAL;
	void *buffer = memory->alloc(memory->context, bytes);
	if (!buffer)
		return -ENOMEM;
	int result = fetch(transport, buffer, bytes, clock_ns, timeout_ns);
	if (result > 0)
		memcpy(out, buffer, (size_t)result);
	if (result != -ENODEV)
		memory->free(memory->context, buffer, bytes);
	return result;
}
