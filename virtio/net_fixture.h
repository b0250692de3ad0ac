/*
 * What the tests of the net driver's data path share: one driver with one simulated device
 * (sim_device.h), buffers, and an account of which of them the driver has. Each test begins with
 * start or start_default and ends with stop.
 */
#pragma once

#include "evloop/check.h"
#include "virtio/net.h"
#include "virtio/net_internal.h"
#include "virtio/sim_device.h"

enum { RX = 0, TX = 1, RING = 32, BUFFERS = 64, BUFFER_BYTES = 2048 };

extern struct sim sim;
extern struct virtio_net net;
extern struct virtio_net_config config;
extern uint8_t buffers[BUFFERS][BUFFER_BYTES]; /* to receive into */
extern uint8_t room[BUFFERS][4096];            /* to send from */
extern unsigned held[BUFFERS]; /* how often each cookie is with the driver: 0 or 1 */

/* With `config`; or with the usual one, rings of RING and a device that offers everything. */
void start(void);
void start_default(void);
/* Everything comes back; `expected` of it from the device's hands. */
void stop(unsigned expected);

struct virtio_net_statistics statistics(void);
/* A cookie is no longer with the driver: its number. */
unsigned give_back(void *cookie);
/* The same, as the driver's callback; counts in *context, an unsigned. */
void drop(void *context, void *cookie);

/* Buffers for the device; post: 0, or the driver's error. */
int post(unsigned number);
void post_many(unsigned count);
/* The device receives a frame, of bytes that `seed` chooses. */
void deliver(uint32_t bytes, unsigned seed);
/* The driver handed that frame up. Gives its buffers back. */
void expect_packet(const struct virtio_net_rx *packet, uint32_t bytes, unsigned seed);

/* Send a frame of `segments` pieces; the first one's headroom carries the header when
 * `in_headroom`. */
int transmit(unsigned number, uint32_t segments, uint32_t bytes_each, bool in_headroom,
             const struct virtio_net_tx_header *header);
/* The device's view of the next frame: joined together behind its header. */
uint32_t take_frame(struct sim_chain *chain, uint8_t *out);
/* The device takes the next frame, which is that of `number`, and is done with it. */
void expect_frame(unsigned number, uint32_t bytes, unsigned descriptors, bool indirect,
                  const struct virtio_net_header *header);
/* How many frames the driver has back. */
size_t reclaim(void);
