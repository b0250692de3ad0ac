/* virtio-rng (virtio 1.2 §5.4), read at boot to seed the kernel's generator. */
#pragma once

#include "virtio/transport.h"

/*
 * Start the device, fetch up to `bytes` <= 4096 of entropy into `out`, and reset it. Polls until
 * `timeout_ns` of `clock_ns` have passed. Returns the number of bytes that came (a device may give
 * fewer), -ETIMEDOUT, -ENODEV, -ENOMEM, or -EIO when the device misbehaves.
 */
int virtio_rng_read(struct virtio_transport *transport, void *out, size_t bytes,
                    uint64_t (*clock_ns)(void), uint64_t timeout_ns);
