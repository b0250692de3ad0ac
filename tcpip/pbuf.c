/*
 * Packet buffer pools: per class a free list of pbufs carved out of slabs; a slab is a block of 2^k
 * bytes with a small header. Freed pbufs go back to their class's list; whole free slabs to the
 * owner in pbuf_pool_age, when none of their pbufs was used for a while, and in pbuf_pool_trim
 * (also called when the cap is reached, so that one class cannot starve another for ever). Nothing
 * is counted per packet for that: a sweep marks what is free, and who takes it wipes the mark out.
 *
 * Under AddressSanitizer free pbufs are poisoned: a use after free is found though the memory stays
 * with the pool.
 */
#include "tcpip/pbuf.h"

#include <errno.h>
#include <string.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PBUF_POISON 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define PBUF_POISON 1
#endif

#ifdef PBUF_POISON
#include <sanitizer/asan_interface.h>
#define poison(start, bytes)   ASAN_POISON_MEMORY_REGION(start, bytes)
#define unpoison(start, bytes) ASAN_UNPOISON_MEMORY_REGION(start, bytes)
#else
#define poison(start, bytes)   ((void)0)
#define unpoison(start, bytes) ((void)0)
#endif

#define unlikely(condition) __builtin_expect(!!(condition), 0)

#define POOL_BLOCK_BYTES    4096
#define SLAB_HEADER_BYTES   64
/* `refs` of a pbuf that was not handed out since the last sweep; that of others is 0 while they are
 * free. */
#define REFS_IDLE           UINT32_MAX
/* Refused allocations between two attempts to gather whole free slabs at the cap, unless this part
 * of it was freed since. */
#define TRIM_INTERVAL       64
#define TRIM_PART           16

struct slab {
	struct list_node link; /* pbuf_pool.slabs */
	uint32_t bytes;
	uint16_t count; /* pbufs in it */
	uint16_t free;  /* of these, and below: counted by `sweep` only */
	uint16_t idle;
};

struct size_class {
	struct pbuf *free; /* through `next` */
	uint64_t live;
};

/* Lives in a block of its own. */
struct pbuf_pool {
	struct size_class classes[PBUF_CLASSES];
	bool (*inject_failure)(void *context);
	void *inject_context;
	struct pbuf_pool_config config;
	struct list slabs;
	uint64_t bytes_held;
	uint64_t failures;
	uint32_t refusals_until_trim;
	uint64_t most_used; /* bytes, at refusals since the last attempt and at that */
};

/* Bytes of one pbuf with its room. Two small ones and one page one fill a 4 KiB slab. */
static const uint32_t class_stride[PBUF_CLASSES] = {
	[PBUF_SLICE] = sizeof(struct pbuf),
	[PBUF_EXTERNAL] = sizeof(struct pbuf),
	[PBUF_SMALL] = (POOL_BLOCK_BYTES - SLAB_HEADER_BYTES) / 2,
	[PBUF_PAGE] = POOL_BLOCK_BYTES - SLAB_HEADER_BYTES,
	[PBUF_UNIT] = (sizeof(struct pbuf) + PBUF_HEADROOM + PBUF_UNIT_PAYLOAD + 63) / 64 * 64,
};

/* Preferred slab size per class, and what to fall back to when no block of that size is free. Seven
 * units share 512 KiB since one alone would waste nearly half of its 128 KiB. */
static const uint32_t class_slab[PBUF_CLASSES] = { 4096, 4096, 4096, 4096, 512 << 10 };
static const uint32_t class_slab_least[PBUF_CLASSES] = { 4096, 4096, 4096, 4096, 128 << 10 };

_Static_assert(sizeof(struct pbuf) == 112, "36 slices fill a slab; 16-byte alignment of rooms");
_Static_assert(sizeof(struct slab) <= SLAB_HEADER_BYTES, "slab header");
_Static_assert(sizeof(struct pbuf_pool) <= POOL_BLOCK_BYTES, "pool block");
_Static_assert(offsetof(struct pbuf, next) == 0, "free pbufs keep `next` readable");

static struct slab *slab_of(const struct pbuf *pbuf)
{
	uintptr_t offset =
	        SLAB_HEADER_BYTES + (uintptr_t)pbuf->reserved * class_stride[pbuf->class_];
	return (struct slab *)((uintptr_t)pbuf - offset);
}

int pbuf_pool_create(struct pbuf_pool **out, const struct pbuf_pool_config *config)
{
	struct pbuf_pool *pool = config->block_alloc(config->context, POOL_BLOCK_BYTES);
	if (!pool)
		return -ENOMEM;
	memset(pool, 0, sizeof(*pool));
	pool->config = *config;
	list_init(&pool->slabs);
	*out = pool;
	return 0;
}

bool pbuf_pool_destroy(struct pbuf_pool *pool)
{
	for (int c = 0; c < PBUF_CLASSES; c++) {
		if (pool->classes[c].live)
			return false;
	}
	pbuf_pool_trim(pool);
	struct pbuf_pool_config config = pool->config;
	config.block_free(config.context, pool, POOL_BLOCK_BYTES);
	return true;
}

static uint64_t bytes_used(const struct pbuf_pool *pool)
{
	uint64_t used = 0;
	for (int c = 0; c < PBUF_CLASSES; c++)
		used += pool->classes[c].live * class_stride[c];
	return used;
}

void pbuf_pool_statistics(const struct pbuf_pool *pool, struct pbuf_pool_statistics *out)
{
	memset(out, 0, sizeof(*out));
	out->bytes_held = pool->bytes_held;
	out->failures = pool->failures;
	out->cap_bytes = pool->config.cap_bytes;
	out->bytes_used = bytes_used(pool);
	for (int c = 0; c < PBUF_CLASSES; c++)
		out->live[c] = pool->classes[c].live;
}

void pbuf_pool_inject_failures(struct pbuf_pool *pool, bool (*fail)(void *context), void *context)
{
	pool->inject_failure = fail;
	pool->inject_context = context;
}

static void free_list_push(struct size_class *size_class, struct pbuf *pbuf, uint32_t stride)
{
	(void)stride;
	pbuf->next = size_class->free;
	size_class->free = pbuf;
	poison((uint8_t *)pbuf + sizeof(pbuf->next), stride - sizeof(pbuf->next));
}

/* How many pbufs of each slab are free, and how many of these lay idle. */
static void count_free(struct pbuf_pool *pool)
{
	list_for_each(node, &pool->slabs)
	{
		struct slab *slab = list_entry(node, struct slab, link);
		slab->free = slab->idle = 0;
	}
	for (int c = 0; c < PBUF_CLASSES; c++) {
		for (struct pbuf *p = pool->classes[c].free; p; p = p->next) {
			unpoison(p, sizeof(*p));
			struct slab *slab = slab_of(p);
			slab->free++;
			slab->idle += p->refs == REFS_IDLE;
		}
	}
}

static bool slab_is_whole(const struct slab *slab)
{
	return slab->free == slab->count;
}

static bool slab_goes(const struct slab *slab, bool idle_only)
{
	return slab_is_whole(slab) && (!idle_only || slab->idle == slab->count);
}

/* Takes the pbufs of slabs that go out of the free lists. Those that stay are idle from here on;
 * the pbufs of slabs that are in use anyway come first, so that whole slabs are left alone. */
static void rebuild_free_list(struct size_class *size_class, uint32_t stride, bool idle_only)
{
	struct size_class whole = { .free = NULL };
	struct pbuf *rest = size_class->free, **tail = &size_class->free;
	while (rest) {
		struct pbuf *p = rest;
		const struct slab *slab = slab_of(p);
		rest = p->next;
		if (slab_goes(slab, idle_only))
			continue;
		p->refs = REFS_IDLE;
		if (slab_is_whole(slab)) {
			free_list_push(&whole, p, stride);
			continue;
		}
		poison((uint8_t *)p + sizeof(p->next), stride - sizeof(p->next));
		*tail = p;
		tail = &p->next;
	}
	*tail = whole.free;
}

/* True: free blocks are left. */
static bool sweep(struct pbuf_pool *pool, bool idle_only)
{
	bool left = false;
	count_free(pool);
	for (int c = 0; c < PBUF_CLASSES; c++)
		rebuild_free_list(&pool->classes[c], class_stride[c], idle_only);
	list_for_each_safe(node, &pool->slabs)
	{
		struct slab *slab = list_entry(node, struct slab, link);
		if (!slab_goes(slab, idle_only)) {
			left |= slab_is_whole(slab);
			continue;
		}
		list_remove(node);
		pool->bytes_held -= slab->bytes;
		unpoison(slab, slab->bytes);
		pool->config.block_free(pool->config.context, slab, slab->bytes);
	}
	return left;
}

void pbuf_pool_trim(struct pbuf_pool *pool)
{
	sweep(pool, false);
}

bool pbuf_pool_age(struct pbuf_pool *pool)
{
	return sweep(pool, true);
}

static struct slab *slab_alloc(struct pbuf_pool *pool, uint32_t bytes)
{
	if (pool->bytes_held + bytes > pool->config.cap_bytes)
		return NULL;
	struct slab *slab = pool->config.block_alloc(pool->config.context, bytes);
	if (!slab)
		return NULL;
	slab->bytes = bytes;
	pool->bytes_held += bytes;
	list_push_back(&pool->slabs, &slab->link);
	return slab;
}

static struct slab *slab_alloc_for_class(struct pbuf_pool *pool, enum pbuf_class class_)
{
	struct slab *slab = slab_alloc(pool, class_slab[class_]);
	if (!slab && class_slab_least[class_] < class_slab[class_])
		slab = slab_alloc(pool, class_slab_least[class_]);
	return slab;
}

/* At the cap. A look at all free pbufs is dear, and mostly in vain. */
static bool is_time_to_gather(struct pbuf_pool *pool)
{
	uint64_t used = bytes_used(pool), part = pool->config.cap_bytes / TRIM_PART;
	if (used > pool->most_used)
		pool->most_used = used;
	if (pool->refusals_until_trim && used + part > pool->most_used) {
		pool->refusals_until_trim--;
		return false;
	}
	pool->refusals_until_trim = TRIM_INTERVAL;
	pool->most_used = used;
	return true;
}

/* Fill the free list of a class with a fresh slab. */
static bool class_refill(struct pbuf_pool *pool, enum pbuf_class class_)
{
	struct slab *slab = slab_alloc_for_class(pool, class_);
	if (!slab && is_time_to_gather(pool)) {
		pbuf_pool_trim(pool);
		slab = slab_alloc_for_class(pool, class_);
	}
	if (!slab)
		return false;
	uint32_t stride = class_stride[class_];
	slab->count = (uint16_t)((slab->bytes - SLAB_HEADER_BYTES) / stride);
	for (uint32_t i = slab->count; i-- > 0;) {
		struct pbuf *p = (struct pbuf *)((uint8_t *)slab + SLAB_HEADER_BYTES + i * stride);
		memset(p, 0, sizeof(*p));
		p->pool = pool;
		p->class_ = (uint8_t)class_;
		p->reserved = (uint16_t)i;
		if (class_ > PBUF_EXTERNAL) {
			p->block = (uint8_t *)(p + 1);
			p->block_bytes = stride - (uint32_t)sizeof(*p);
		}
		free_list_push(&pool->classes[class_], p, stride);
	}
	return true;
}

/* False: refused. */
static bool class_prepare(struct pbuf_pool *pool, enum pbuf_class class_)
{
	bool injected = pool->inject_failure && pool->inject_failure(pool->inject_context);
	if (injected || (!pool->classes[class_].free && !class_refill(pool, class_))) {
		pool->failures++;
		return false;
	}
	return true;
}

/* The first free pbuf with everything set but data, length and what it refers to. */
static inline struct pbuf *class_pop(struct pbuf_pool *pool, enum pbuf_class class_)
{
	struct size_class *size_class = &pool->classes[class_];
	struct pbuf *p = size_class->free;
	size_class->free = p->next;
	size_class->live++;
	unpoison(p, class_stride[class_]);
	p->next = NULL;
	p->refs = 1;
	p->flags = 0;
	p->gso_size = 0;
	return p;
}

static inline struct pbuf *pop_with_headroom(struct pbuf_pool *pool, enum pbuf_class class_,
                                             uint32_t headroom)
{
	struct pbuf *p = class_pop(pool, class_);
	p->data = p->block + headroom;
	p->length = 0;
	p->packet_length = 0;
	return p;
}

static __attribute__((noinline)) struct pbuf *
alloc_slowly(struct pbuf_pool *pool, enum pbuf_class class_, uint32_t headroom)
{
	return class_prepare(pool, class_) ? pop_with_headroom(pool, class_, headroom) : NULL;
}

struct pbuf *pbuf_alloc(struct pbuf_pool *pool, enum pbuf_class class_, uint32_t headroom)
{
	if (unlikely(!pool->classes[class_].free || pool->inject_failure))
		return alloc_slowly(pool, class_, headroom);
	return pop_with_headroom(pool, class_, headroom);
}

struct pbuf *pbuf_slice(struct pbuf *of, uint32_t offset, uint32_t length)
{
	struct pbuf_pool *pool = of->pool;
	if (unlikely(!pool->classes[PBUF_SLICE].free || pool->inject_failure) &&
	    !class_prepare(pool, PBUF_SLICE))
		return NULL;
	struct pbuf *p = class_pop(pool, PBUF_SLICE);
	p->owner = of->block ? of : of->owner;
	p->owner->refs++;
	p->data = of->data + offset;
	p->length = length;
	p->packet_length = length;
	return p;
}

struct pbuf *pbuf_external(struct pbuf_pool *pool, const void *bytes, uint32_t length,
                           pbuf_release *release)
{
	if (!class_prepare(pool, PBUF_EXTERNAL))
		return NULL;
	struct pbuf *p = class_pop(pool, PBUF_EXTERNAL);
	p->block = (uint8_t *)(uintptr_t)bytes;
	p->block_bytes = length;
	p->data = p->block;
	p->length = p->packet_length = length;
	p->release = release;
	return p;
}

static void nothing_to_release(const void *bytes, size_t length)
{
	(void)bytes;
	(void)length;
}

void pbuf_external_drop(struct pbuf *external)
{
	external->release = nothing_to_release;
	pbuf_free(external);
}

static inline void storage_put(struct pbuf *pbuf)
{
	if (pbuf->class_ == PBUF_SLICE)
		pbuf_free(pbuf->owner);
	else
		pbuf->release(pbuf->block, pbuf->block_bytes);
}

static inline void give_back(struct pbuf *packet)
{
	struct size_class *size_class = &packet->pool->classes[packet->class_];
	size_class->live--;
	free_list_push(size_class, packet, class_stride[packet->class_]);
}

static __attribute__((noinline)) void release_chain(struct pbuf *packet)
{
	do {
		struct pbuf *next = packet->next;
		if (packet->class_ <= PBUF_EXTERNAL)
			storage_put(packet);
		give_back(packet);
		packet = next;
	} while (packet && --packet->refs == 0);
}

void pbuf_recycle(struct pbuf *packet)
{
	if (unlikely(packet->next || packet->class_ <= PBUF_EXTERNAL))
		release_chain(packet);
	else
		give_back(packet);
}

/* The metadata of a packet goes from its first pbuf to the one that becomes first. */
static void metadata_move(struct pbuf *to, const struct pbuf *from)
{
	to->csum_start = from->csum_start;
	to->csum_offset = from->csum_offset;
	to->gso_size = from->gso_size;
	to->header_length = from->header_length;
	to->flags = from->flags;
	to->sequence = from->sequence;
	to->stamp_ns = from->stamp_ns;
	to->cookie[0] = from->cookie[0];
	to->cookie[1] = from->cookie[1];
}

struct pbuf *pbuf_trim_front(struct pbuf *packet, uint32_t bytes)
{
	uint32_t left = packet->packet_length > bytes ? packet->packet_length - bytes : 0;
	if (left == 0) {
		pbuf_free(packet);
		return NULL;
	}
	while (bytes >= packet->length) {
		struct pbuf *next = packet->next;
		bytes -= packet->length;
		metadata_move(next, packet);
		if (packet->refs > 1)
			pbuf_ref(next);
		else
			packet->next = NULL;
		pbuf_free(packet);
		packet = next;
	}
	packet->data += bytes;
	packet->length -= bytes;
	packet->packet_length = left;
	return packet;
}

void pbuf_trim_back(struct pbuf *packet, uint32_t packet_length)
{
	if (packet_length >= packet->packet_length)
		return;
	packet->packet_length = packet_length;
	struct pbuf *last = packet;
	while (packet_length > last->length) {
		packet_length -= last->length;
		last = last->next;
	}
	last->length = packet_length;
	pbuf_free(last->next);
	last->next = NULL;
}

/* Give `packet`, a slice, storage of its own that holds the packet's first `length` bytes. */
static bool slice_rehouse(struct pbuf *packet, uint32_t length)
{
	enum pbuf_class class_ = PBUF_SMALL;
	while (class_stride[class_] - sizeof(struct pbuf) < length) {
		if (class_ == PBUF_UNIT)
			return false;
		class_++;
	}
	struct pbuf *house = pbuf_alloc(packet->pool, class_, 0);
	if (!house)
		return false;
	memcpy(house->data, packet->data, packet->length);
	pbuf_free(packet->owner);
	packet->owner = house;
	packet->data = house->data;
	return true;
}

bool pbuf_pull_up(struct pbuf *packet, uint32_t bytes)
{
	if (packet->length >= bytes)
		return true;
	if (packet->packet_length < bytes || packet->refs > 1)
		return false;
	uint32_t missing = bytes - packet->length;
	if (!packet->block) {
		if (!slice_rehouse(packet, bytes))
			return false;
	} else if (pbuf_tailroom(packet) < missing) {
		if (pbuf_headroom(packet) + pbuf_tailroom(packet) < missing)
			return false;
		memmove(packet->block, packet->data, packet->length);
		packet->data = packet->block;
	}
	while (missing) {
		struct pbuf *next = packet->next;
		uint32_t step = next->length < missing ? next->length : missing;
		memcpy(packet->data + packet->length, next->data, step);
		packet->length += step;
		missing -= step;
		if (step < next->length) {
			next->data += step;
			next->length -= step;
			break;
		}
		packet->next = next->next;
		next->next = NULL;
		pbuf_free(next);
	}
	return true;
}

uint32_t pbuf_copy_out(const struct pbuf *packet, uint32_t offset, void *to, uint32_t bytes)
{
	uint32_t copied = 0;
	for (const struct pbuf *p = packet; p && copied < bytes; p = p->next) {
		if (offset >= p->length) {
			offset -= p->length;
			continue;
		}
		uint32_t step = p->length - offset;
		if (step > bytes - copied)
			step = bytes - copied;
		memcpy((uint8_t *)to + copied, p->data + offset, step);
		copied += step;
		offset = 0;
	}
	return copied;
}

uint32_t pbuf_true_size(const struct pbuf *packet)
{
	uint32_t size = 0;
	for (const struct pbuf *p = packet; p; p = p->next) {
		size += class_stride[p->class_];
		if (!p->block)
			size += class_stride[p->owner->class_];
	}
	return size;
}
