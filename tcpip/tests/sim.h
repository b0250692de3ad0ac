/*
 * Deterministic simulation for host tests: N stacks, each with a loop of its own, under one virtual clock, joined by a simulated
 * Ethernet segment that loses, delays, reorders, duplicates and damages frames. Everything follows from one seed.
 *
 * Use:
 *     int main(int argc, char **argv)
 *     {
 *             struct sim_arguments arguments = sim_parse_arguments(argc, argv);   // --seed N --case NAME --pcap FILE --count N
 *             struct sim *sim = sim_create(arguments.seed, "lossy", arguments.pcap);
 *             struct sim_host_config config = SIM_HOST_DEFAULTS;                  // address is set from the host's index:
 *             struct sim_host *a = sim_add_host(sim, &config);                    // 10.0.0.1/24, 10.0.0.2/24 ...
 *             config.egress.loss_ppm = 20000;
 *             struct sim_host *b = sim_add_host(sim, &config);
 *             ... open sockets on a->stack and b->stack, post watchers on &a->loop ...
 *             CHECK(sim_run(sim, done, context, 10 * SIM_SECOND));                // until done(context), at most 10 s of virtual time
 *             ... close sockets ...
 *             sim_destroy(sim);   // destroys the stacks; fails when a pbuf or an allocation is left over
 *     }
 *
 * A turn of a host: its received frames go into netif_input, its loop's events run, stack_flush. Calls made from outside a turn (from
 * main, between sim_run calls) are followed by a turn of that host at the current time once the simulation runs on, provided that the
 * stack asked for it (output_pending) or a watcher is pending.
 *
 * After every turn loop_verify, stack_verify and the `invariant` hook are asked; a complaint ends the process with status 1. So does
 * CHECK (evloop/check.h). Whenever the process ends (also by a sanitizer) while a sim exists, a line
 *     replay: BINARY --seed N --case NAME --pcap FILE
 * is printed, which runs the same case again and writes what was on the wire.
 */
#pragma once

#include "evloop/check.h"
#include "evloop/loop.h"
#include "tcpip/stack.h"

#define SIM_SECOND UINT64_C(1000000000)
#define SIM_MILLISECOND UINT64_C(1000000)
#define SIM_MICROSECOND UINT64_C(1000)
#define SIM_HOSTS_MAX 16

/* What befalls the frames that a host sends. Probabilities in parts per million and per frame. */
struct sim_link {
	uint64_t delay_ns;
	uint64_t jitter_ns;       /* uniform addition to the delay; keeps the order */
	uint64_t bits_per_second; /* 0: infinitely fast */
	uint32_t queue_bytes;     /* drop-tail queue in front of the bottleneck; 0: endless */
	uint32_t loss_ppm;        /* independent loss */
	uint32_t burst_start_ppm, burst_end_ppm, burst_loss_ppm; /* Gilbert-Elliott: good->bad, bad->good, loss while bad */
	uint32_t reorder_ppm;     /* these frames are held back by reorder_delay_ns and overtaken */
	uint64_t reorder_delay_ns;
	uint32_t duplicate_ppm;
	uint32_t corrupt_ppm; /* one bit of an IP packet flips */
	uint32_t mtu;         /* longer IP packets vanish; 0: no limit */
	bool mtu_is_told;     /* ... and with DF set are answered by ICMP fragmentation needed (from 10.0.0.254) */
};

struct sim_host_config {
	struct ipv4_address address; /* any: 10.0.0.<index + 1> */
	uint8_t prefix_length;
	struct ipv4_address gateway;
	bool no_address;         /* leave the interface unconfigured (DHCP) */
	uint32_t mtu;            /* of the interface */
	uint32_t offloads;       /* enum netif_offload */
	bool receive_offloads;   /* GUEST_CSUM + GUEST_TSO4: a peer's GSO frame arrives whole, with PBUF_CSUM_VALID | PBUF_GSO_TCP4; else
	                          * it is cut and its checksums are completed on the way */
	bool scatter;            /* received frames come in pieces of random size */
	uint32_t ring_slots;     /* transmit ring; a slot is busy until the frame is on the wire + tx_completion_ns */
	uint64_t tx_completion_ns;
	uint64_t pool_cap_bytes;
	uint32_t pbuf_failure_ppm, alloc_failure_ppm; /* injected after sim_add_host returned */
	struct sim_link egress;
	struct stack_config limits; /* only the limits of it are used */
};

extern const struct sim_host_config SIM_HOST_DEFAULTS;
/* NETIF_TX_CSUM | NETIF_TX_TSO4 | NETIF_TX_TSO_ECN */
#define SIM_ALL_OFFLOADS (NETIF_TX_CSUM | NETIF_TX_TSO4 | NETIF_TX_TSO_ECN)

struct sim;

struct sim_host {
	struct sim *sim;
	uint32_t index;
	struct stack *stack;
	struct loop loop;
	struct pbuf_pool *pool;
	struct netif netif;
	struct sim_host_config config; /* egress, failure rates and receive_offloads may be changed while it runs */
	/* Sees every frame that this host sends (checksums completed, segments cut as on the wire) before the wire does. Returns true to
	 * swallow it: so a test plays the peer by hand. */
	bool (*tap)(struct sim_host *host, const uint8_t *frame, uint32_t length);
	void *tap_context;
	struct {
		uint64_t sent, lost, queue_dropped, delivered, no_buffer, reordered, duplicated, corrupted, too_large;
	} wire; /* frames sent by this host, by fate; delivered and no_buffer count frames for it */

	/* ---- private ---- */
	struct loop_hook collect, flush;
	struct list receive_queue;
	uint32_t ring_used;
	bool ring_was_full;
	bool touched;
	bool burst_bad;
	uint64_t link_free_ns, last_arrival_ns;
	uint64_t allocated_bytes, allocations;
};

struct sim_arguments {
	uint64_t seed;     /* [1] */
	uint64_t count;    /* seeds to run, from `seed` on [1] */
	const char *only;  /* run only this case; NULL: all */
	const char *pcap;  /* NULL: none */
	bool seed_given;
};
struct sim_arguments sim_parse_arguments(int argc, char **argv);
/* Is `name` to be run? */
bool sim_case_wanted(const struct sim_arguments *arguments, const char *name);

struct sim *sim_create(uint64_t seed, const char *case_name, const char *pcap_path);
/* Destroys the stacks and checks that nothing is left of them. */
void sim_destroy(struct sim *sim);
struct sim_host *sim_add_host(struct sim *sim, const struct sim_host_config *config);
struct sim_host *sim_host(struct sim *sim, uint32_t index);
uint64_t sim_now(const struct sim *sim);
/* Called after every turn: NULL when all is well. */
void sim_set_invariant(struct sim *sim, const char *(*invariant)(void *context), void *context);
/* Structural checks after every `turns` turns only [1]. */
void sim_set_verify_interval(struct sim *sim, uint32_t turns);

/* One instant: everything due then. False: nothing will ever happen again. */
bool sim_step(struct sim *sim);
/* Until done(context) holds: true. False: `timeout_ns` passed or nothing happens any more. done NULL: until then. */
bool sim_run(struct sim *sim, bool (*done)(void *context), void *context, uint64_t timeout_ns);
/* Let `duration_ns` pass. */
void sim_pass(struct sim *sim, uint64_t duration_ns);
/* A frame arrives at the host now; its turn is run. */
void sim_inject(struct sim_host *host, const uint8_t *frame, uint32_t length);
/* End the process as a failed invariant does. */
void sim_fail(struct sim *sim, const char *what) __attribute__((noreturn));

/* The simulation's own randomness. */
uint64_t sim_random(struct sim *sim);
uint32_t sim_random_below(struct sim *sim, uint32_t bound);
bool sim_chance(struct sim *sim, uint32_t ppm);
