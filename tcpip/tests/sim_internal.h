/* Shared by sim.c (hosts and clock) and sim_wire.c (frames). */
#pragma once

#include <stdio.h>

#include "tcpip/tests/sim.h"

/* A frame on its way; the bytes are malloc'ed to their exact length so that a sanitizer sees an overrun. */
struct sim_frame {
	uint8_t *bytes;
	uint32_t length;
	uint8_t flags; /* of the sending pbuf */
	uint16_t csum_start, csum_offset, gso_size, header_length;
};

struct sim_event {
	uint64_t time_ns, sequence;
	struct sim_host *host;
	enum { SIM_ARRIVAL, SIM_TX_COMPLETION } kind;
	struct sim_frame frame; /* SIM_ARRIVAL */
};

struct sim {
	uint64_t seed, random_state, now_ns, sequence, turns;
	const char *case_name;
	FILE *pcap;
	struct sim_host *host[SIM_HOSTS_MAX];
	uint32_t hosts;
	struct sim_event *heap;
	uint32_t heap_count, heap_capacity;
	const char *(*invariant)(void *context);
	void *invariant_context;
	uint32_t verify_interval;
	bool tearing_down;
};

void sim_post(struct sim *sim, const struct sim_event *event);

/* The driver's side of a host's netif. */
void wire_attach(struct sim_host *host);
void wire_pcap_open(struct sim *sim, const char *path);
/* Put a frame into the host's receive queue. Takes the frame's bytes. */
void wire_arrive(struct sim_host *host, struct sim_frame *frame);
