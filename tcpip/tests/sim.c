#include "tcpip/tests/sim_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

const struct sim_host_config SIM_HOST_DEFAULTS = {
	.prefix_length = 24,
	.mtu = 1500,
	.ring_slots = 256,
	.pool_cap_bytes = 64 << 20,
	.egress = { .delay_ns = 100 * SIM_MICROSECOND },
	.limits = { .arp_entries = 32 },
};

/* ---- failing ---- */

static struct sim *live_sim;
static const char *binary_name = "test";

void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

static void print_replay_line(void)
{
	if (!live_sim)
		return;
	fprintf(stderr, "replay: %s --seed %" PRIu64 " --case %s --pcap /tmp/replay.pcap\n",
	        binary_name, live_sim->seed, live_sim->case_name);
	if (live_sim->pcap)
		fflush(live_sim->pcap);
	live_sim = NULL;
}

void sim_fail(struct sim *sim, const char *what)
{
	fprintf(stderr, "sim: at %" PRIu64 ".%09" PRIu64 " s: %s\n", sim->now_ns / SIM_SECOND,
	        sim->now_ns % SIM_SECOND, what);
	exit(1);
}

struct sim_arguments sim_parse_arguments(int argc, char **argv)
{
	struct sim_arguments arguments = { .seed = 1, .count = 1 };
	binary_name = argv[0];
	for (int i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : "";
		if (!strcmp(argv[i], "--seed")) {
			arguments.seed = strtoull(value, NULL, 0);
			arguments.seed_given = true;
		} else if (!strcmp(argv[i], "--count")) {
			arguments.count = strtoull(value, NULL, 0);
		} else if (!strcmp(argv[i], "--case")) {
			arguments.only = value;
		} else if (!strcmp(argv[i], "--pcap")) {
			arguments.pcap = value;
		} else {
			fprintf(stderr,
			        "usage: %s [--seed N] [--count N] [--case NAME] [--pcap FILE]\n",
			        argv[0]);
			exit(2);
		}
		i++;
	}
	return arguments;
}

bool sim_case_wanted(const struct sim_arguments *arguments, const char *name)
{
	return !arguments->only || !strcmp(arguments->only, name);
}

/* ---- randomness ---- */

uint64_t sim_random(struct sim *sim)
{
	uint64_t z = sim->random_state += 0x9e3779b97f4a7c15ull; /* splitmix64 */
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

uint32_t sim_random_below(struct sim *sim, uint32_t bound)
{
	return bound ? (uint32_t)((sim_random(sim) >> 32) * bound >> 32) : 0;
}

bool sim_chance(struct sim *sim, uint32_t ppm)
{
	return ppm && sim_random_below(sim, 1000000) < ppm;
}

/* ---- events ---- */

static bool event_before(const struct sim_event *a, const struct sim_event *b)
{
	return a->time_ns != b->time_ns ? a->time_ns < b->time_ns : a->sequence < b->sequence;
}

static void event_swap(struct sim_event *a, struct sim_event *b)
{
	struct sim_event t = *a;
	*a = *b;
	*b = t;
}

void sim_post(struct sim *sim, const struct sim_event *event)
{
	if (sim->heap_count == sim->heap_capacity) {
		sim->heap_capacity = sim->heap_capacity ? 2 * sim->heap_capacity : 64;
		sim->heap = realloc(sim->heap, sim->heap_capacity * sizeof(*sim->heap));
		CHECK(sim->heap);
	}
	uint32_t i = sim->heap_count++;
	sim->heap[i] = *event;
	sim->heap[i].sequence = sim->sequence++;
	for (; i && event_before(&sim->heap[i], &sim->heap[(i - 1) / 2]); i = (i - 1) / 2)
		event_swap(&sim->heap[i], &sim->heap[(i - 1) / 2]);
}

static struct sim_event event_pop(struct sim *sim)
{
	struct sim_event first = sim->heap[0];
	sim->heap[0] = sim->heap[--sim->heap_count];
	for (uint32_t i = 0;;) {
		uint32_t least = i;
		for (uint32_t child = 2 * i + 1; child <= 2 * i + 2; child++) {
			if (child < sim->heap_count &&
			    event_before(&sim->heap[child], &sim->heap[least]))
				least = child;
		}
		if (least == i)
			return first;
		event_swap(&sim->heap[i], &sim->heap[least]);
		i = least;
	}
}

/* ---- what a host's stack is given ---- */

static void *host_alloc(void *context, size_t bytes)
{
	struct sim_host *host = context;
	if (host->stack && sim_chance(host->sim, host->config.alloc_failure_ppm))
		return NULL;
	size_t *block = calloc(1, bytes + 16);
	CHECK(block);
	*block = bytes;
	host->allocated_bytes += bytes;
	host->allocations++;
	return (uint8_t *)block + 16;
}

static void host_free(void *context, void *memory, size_t bytes)
{
	struct sim_host *host = context;
	size_t *block = (size_t *)((uint8_t *)memory - 16);
	if (*block != bytes)
		sim_fail(host->sim, "stack_free with another size than was allocated");
	host->allocated_bytes -= bytes;
	host->allocations--;
	free(block);
}

static void *host_reallocate(void *context, void *old, size_t old_bytes, size_t new_bytes)
{
	(void)context;
	(void)old_bytes;
	if (new_bytes)
		return realloc(old, new_bytes);
	free(old);
	return NULL;
}

static void *host_block_alloc(void *context, size_t bytes)
{
	(void)context;
	return aligned_alloc(bytes < 4096 ? bytes : 4096, bytes);
}

static void host_block_free(void *context, void *block, size_t bytes)
{
	(void)context;
	(void)bytes;
	free(block);
}

static void host_random(void *context, void *out, size_t bytes)
{
	struct sim_host *host = context;
	for (size_t i = 0; i < bytes; i++)
		((uint8_t *)out)[i] = (uint8_t)sim_random(host->sim);
}

static uint64_t host_wall(void *context)
{
	struct sim_host *host = context;
	return 1700000000ull * SIM_SECOND + host->sim->now_ns;
}

static void host_output_pending(void *context)
{
	((struct sim_host *)context)->touched = true;
}

static bool host_inject_failure(void *context)
{
	struct sim_host *host = context;
	return !host->sim->tearing_down && sim_chance(host->sim, host->config.pbuf_failure_ppm);
}

static void host_collect(struct loop *loop, struct loop_hook *hook)
{
	struct sim_host *host = container_of(hook, struct sim_host, collect);
	struct list_node *node;
	(void)loop;
	while ((node = list_pop_front(&host->receive_queue)))
		netif_input(&host->netif, list_entry(node, struct pbuf, link));
}

static void host_flush(struct loop *loop, struct loop_hook *hook)
{
	(void)loop;
	stack_flush(container_of(hook, struct sim_host, flush)->stack);
}

static void host_configure(struct sim_host *host)
{
	struct sim_host_config *config = &host->config;
	if (ipv4_is_any(config->address))
		config->address = ipv4(10, 0, 0, (uint8_t)(host->index + 1));
	struct netif *netif = &host->netif;
	memcpy(netif->name, "eth0", 5);
	netif->mac =
	        (struct ethernet_address){ { 0x52, 0x54, 0, 0, 0, (uint8_t)(host->index + 1) } };
	netif->mtu = config->mtu;
	netif->offloads = config->offloads;
	wire_attach(host);
	CHECK_EQ(stack_add_netif(host->stack, netif), 0);
	if (!config->no_address)
		CHECK_EQ(stack_set_address(host->stack, netif, config->address,
		                           config->prefix_length, config->gateway),
		         0);
}

struct sim_host *sim_add_host(struct sim *sim, const struct sim_host_config *config)
{
	CHECK(sim->hosts < SIM_HOSTS_MAX);
	struct sim_host *host = calloc(1, sizeof(*host));
	CHECK(host);
	host->sim = sim;
	host->index = sim->hosts;
	host->config = *config;
	list_init(&host->receive_queue);
	struct loop_config loop_config = { .reallocate = host_reallocate };
	CHECK_EQ(loop_init(&host->loop, &loop_config), 0);
	host->loop.now_ns = sim->now_ns;
	struct pbuf_pool_config pool_config = { host_block_alloc, host_block_free, host,
		                                config->pool_cap_bytes };
	CHECK_EQ(pbuf_pool_create(&host->pool, &pool_config), 0);
	struct stack_config stack_config = config->limits;
	stack_config.loop = &host->loop;
	stack_config.alloc = host_alloc;
	stack_config.free = host_free;
	stack_config.alloc_context = host;
	stack_config.pool = host->pool;
	stack_config.random = host_random;
	stack_config.random_context = host;
	stack_config.wall_ns = host_wall;
	stack_config.wall_context = host;
	stack_config.output_pending = host_output_pending;
	stack_config.output_context = host;
	CHECK_EQ(stack_create(&host->stack, &stack_config), 0);
	host->collect.run = host_collect;
	host->flush.run = host_flush;
	loop_hook_add_collect(&host->loop, &host->collect);
	loop_hook_add_flush(&host->loop, &host->flush);
	sim->host[sim->hosts++] = host;
	host_configure(host);
	if (config->pbuf_failure_ppm)
		pbuf_pool_inject_failures(host->pool, host_inject_failure, host);
	return host;
}

/* ---- the simulation ---- */

struct sim *sim_create(uint64_t seed, const char *case_name, const char *pcap_path)
{
	static bool registered;
	struct sim *sim = calloc(1, sizeof(*sim));
	CHECK(sim);
	sim->seed = seed;
	sim->random_state = seed * 0xd1342543de82ef95ull + 1;
	sim->case_name = case_name;
	sim->now_ns = SIM_SECOND;
	sim->verify_interval = 1;
	if (pcap_path)
		wire_pcap_open(sim, pcap_path);
	live_sim = sim;
	if (!registered) {
		registered = true;
		atexit(print_replay_line);
		if (__sanitizer_set_death_callback)
			__sanitizer_set_death_callback(print_replay_line);
	}
	return sim;
}

static void host_destroy(struct sim_host *host)
{
	struct list_node *node;
	while ((node = list_pop_front(&host->receive_queue)))
		pbuf_free(list_entry(node, struct pbuf, link));
	stack_destroy(host->stack);
	if (host->allocations) {
		fprintf(stderr, "host %u: %" PRIu64 " allocations, %" PRIu64 " bytes\n",
		        host->index, host->allocations, host->allocated_bytes);
		sim_fail(host->sim, "memory is left over after stack_destroy");
	}
	struct pbuf_pool_statistics pool;
	pbuf_pool_statistics(host->pool, &pool);
	for (int c = 0; c < PBUF_CLASSES; c++) {
		if (!pool.live[c])
			continue;
		fprintf(stderr, "host %u: %" PRIu64 " pbufs of class %d\n", host->index,
		        pool.live[c], c);
		sim_fail(host->sim, "pbufs are left over after stack_destroy");
	}
	CHECK(pbuf_pool_destroy(host->pool));
	loop_hook_remove(&host->collect);
	loop_hook_remove(&host->flush);
	loop_fini(&host->loop);
	free(host);
}

void sim_destroy(struct sim *sim)
{
	sim->tearing_down = true;
	while (sim->heap_count) {
		struct sim_event event = event_pop(sim);
		if (event.kind == SIM_ARRIVAL)
			free(event.frame.bytes);
	}
	for (uint32_t i = 0; i < sim->hosts; i++)
		host_destroy(sim->host[i]);
	if (sim->pcap)
		fclose(sim->pcap);
	live_sim = NULL;
	free(sim->heap);
	free(sim);
}

struct sim_host *sim_host(struct sim *sim, uint32_t index)
{
	return sim->host[index];
}

uint64_t sim_now(const struct sim *sim)
{
	return sim->now_ns;
}

void sim_set_invariant(struct sim *sim, const char *(*invariant)(void *context), void *context)
{
	sim->invariant = invariant;
	sim->invariant_context = context;
}

void sim_set_verify_interval(struct sim *sim, uint32_t turns)
{
	sim->verify_interval = turns ? turns : 1;
}

static void host_turn(struct sim_host *host)
{
	struct sim *sim = host->sim;
	host->touched = false;
	loop_turn(&host->loop, sim->now_ns);
	if (++sim->turns % sim->verify_interval == 0) {
		const char *broken = loop_verify(&host->loop);
		if (!broken)
			broken = stack_verify(host->stack);
		if (broken)
			sim_fail(sim, broken);
	}
	const char *broken = sim->invariant ? sim->invariant(sim->invariant_context) : NULL;
	if (broken)
		sim_fail(sim, broken);
}

static bool host_is_busy(const struct sim_host *host)
{
	return host->touched || loop_has_pending(&host->loop) ||
	       !list_is_empty(&host->receive_queue);
}

static uint64_t next_instant(struct sim *sim)
{
	uint64_t next = sim->heap_count ? sim->heap[0].time_ns : LOOP_NEVER;
	for (uint32_t i = 0; i < sim->hosts; i++) {
		uint64_t deadline = loop_next_deadline(&sim->host[i]->loop);
		if (host_is_busy(sim->host[i]))
			return sim->now_ns;
		if (deadline < next)
			next = deadline;
	}
	return next;
}

static void event_happen(struct sim_event *event)
{
	struct sim_host *host = event->host;
	if (event->kind == SIM_ARRIVAL) {
		wire_arrive(host, &event->frame);
		return;
	}
	host->ring_used--;
	if (host->ring_was_full) {
		host->ring_was_full = false;
		netif_transmit_ready(&host->netif);
	}
}

bool sim_step(struct sim *sim)
{
	uint64_t next = next_instant(sim);
	if (next == LOOP_NEVER)
		return false;
	if (next > sim->now_ns)
		sim->now_ns = next;
	for (uint32_t i = 0; i < sim->hosts; i++)
		sim->host[i]->loop.now_ns = sim->now_ns;
	while (sim->heap_count && sim->heap[0].time_ns <= sim->now_ns) {
		struct sim_event event = event_pop(sim);
		event_happen(&event);
	}
	for (uint32_t i = 0; i < sim->hosts; i++) {
		struct sim_host *host = sim->host[i];
		if (host_is_busy(host) || loop_next_deadline(&host->loop) <= sim->now_ns)
			host_turn(host);
	}
	return true;
}

bool sim_run(struct sim *sim, bool (*done)(void *context), void *context, uint64_t timeout_ns)
{
	uint64_t end = sim->now_ns + timeout_ns;
	while (!done || !done(context)) {
		if (next_instant(sim) > end || !sim_step(sim))
			return false;
	}
	return true;
}

void sim_pass(struct sim *sim, uint64_t duration_ns)
{
	uint64_t end = sim->now_ns + duration_ns;
	sim_run(sim, NULL, NULL, duration_ns);
	sim->now_ns = end;
	for (uint32_t i = 0; i < sim->hosts; i++)
		sim->host[i]->loop.now_ns = end;
}

void sim_inject(struct sim_host *host, const uint8_t *frame, uint32_t length)
{
	struct sim_frame copy = { .bytes = malloc(length ? length : 1), .length = length };
	CHECK(copy.bytes);
	memcpy(copy.bytes, frame, length);
	wire_arrive(host, &copy);
	host->loop.now_ns = host->sim->now_ns;
	host_turn(host);
}
