/* The network side of the personality: start-up and what other parts may ask. */
#pragma once

#include "core/boot.h"
#include "core/hart.h"

struct stack;

/* Creates the boot hart's stack, probes virtio-net (mmio and pci) and, where entropy is needed, virtio-rng, applies ip=; later than files_init. Absent hardware is not
 * an error. */
int net_init(struct hart *hart, const struct boot_information *boot);
struct stack *net_stack(struct hart *hart);
/* Somebody waits for transmitted buffers to come back: ask the device to tell before the hart sleeps. */
void net_want_completions(struct hart *hart);
/* Bytes that packet buffers hold, free ones and all, and those of buffers in use. */
void net_packet_bytes(uint64_t *held, uint64_t *used);
/* Hang and panic dumps: one line per socket and queue. */
void net_dump(void);

/* Random bytes for getrandom, AT_RANDOM, /dev/urandom: ChaCha20 keyed from the DTB's rng-seed, virtio-rng and timing (process/random.c). */
void random_bytes(void *out, size_t bytes);
/* The boot loader gave a seed as long as the generator's key: no other entropy is needed. */
bool random_is_seeded(void);
void random_add_entropy(const void *bytes, size_t length);
