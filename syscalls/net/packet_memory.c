/*
 * The pool of packet buffers above the page allocator. It keeps what is freed for the next packets;
 * blocks of which nothing was used for AGE_NS go back, and all free ones when memory is short. The
 * timer for the former is armed when packets were handled, and rests when there is nothing to give
 * back.
 */
#include "syscalls/net/packet_memory.h"

#include "core/memory.h"
#include "syscalls/net.h"

#define AGE_NS    5000000000ull
/* Packets may hold this part of what kernel and archive leave: 12 MiB of 64, 1 MiB of a machine of
 * 20 MiB. */
#define CAP_SHARE 4

static struct {
	struct pbuf_pool *pool;
	struct loop *loop;
	struct loop_timer age_timer;
	struct memory_cache cache;
} packets;

/* Out of line: rare, and loop_timer_arm is inlined where it is not. */
static __attribute__((noinline)) void arm_age_timer(void)
{
	loop_timer_arm(packets.loop, &packets.age_timer, packets.loop->now_ns + AGE_NS);
}

void packet_memory_used(void)
{
	if (__builtin_expect(!loop_timer_is_armed(&packets.age_timer), 0))
		arm_age_timer();
}

static void age(struct loop *loop, struct loop_watcher *watcher, uint32_t events)
{
	(void)loop, (void)watcher, (void)events;
	if (pbuf_pool_age(packets.pool))
		packet_memory_used();
}

/* The pool does without when there is no free block, after a look at its own: it asks no other
 * cache. */
static void *block_alloc(void *context, size_t bytes)
{
	(void)context;
	void *block = page_alloc_if_free(page_order(bytes));
	if (block) {
		page_account(PAGES_OF_PACKETS, 1 << page_order(bytes));
		packet_memory_used();
	}
	return block;
}

static void block_free(void *context, void *block, size_t bytes)
{
	(void)context;
	page_account(PAGES_OF_PACKETS, -(1 << page_order(bytes)));
	page_free(block, page_order(bytes));
}

static void give_back(struct memory_cache *cache)
{
	(void)cache;
	pbuf_pool_trim(packets.pool);
}

int packet_memory_create(struct hart *hart, struct pbuf_pool **out)
{
	struct memory_statistics memory;
	memory_read_statistics(&memory);
	const struct pbuf_pool_config config = {
		.block_alloc = block_alloc,
		.block_free = block_free,
		.cap_bytes = memory.free_pages * PAGE_SIZE / CAP_SHARE,
	};
	packets.loop = &hart->loop;
	int error =
	        loop_timer_create(packets.loop, &packets.age_timer, LOOP_PRIORITY_DEFERRED, age);
	if (error)
		return error;
	error = pbuf_pool_create(&packets.pool, &config);
	if (error) {
		loop_timer_destroy(packets.loop, &packets.age_timer);
		return error;
	}
	packets.cache.give_back = give_back;
	memory_cache_register(&packets.cache);
	*out = packets.pool;
	return 0;
}

void net_packet_bytes(uint64_t *held, uint64_t *used)
{
	struct pbuf_pool_statistics statistics = { 0 };
	if (packets.pool)
		pbuf_pool_statistics(packets.pool, &statistics);
	*held = statistics.bytes_held;
	*used = statistics.bytes_used;
}
