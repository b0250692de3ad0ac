/* Packet buffers: pools, caps, slices, chains. */
#include "evloop/check.h"
#include "tcpip/pbuf.h"

#include <string.h>

static uint64_t blocks_live;
static bool memory_is_short;

static void *block_alloc(void *context, size_t bytes)
{
	(void)context;
	if (memory_is_short)
		return NULL;
	blocks_live++;
	return aligned_alloc(4096, bytes);
}

static void block_free(void *context, void *block, size_t bytes)
{
	(void)context;
	(void)bytes;
	blocks_live--;
	free(block);
}

static struct pbuf_pool *pool_create(uint64_t cap)
{
	struct pbuf_pool *pool;
	struct pbuf_pool_config config = { block_alloc, block_free, NULL, cap };
	CHECK_EQ(pbuf_pool_create(&pool, &config), 0);
	return pool;
}

static void pool_destroy(struct pbuf_pool *pool)
{
	CHECK(pbuf_pool_destroy(pool));
	CHECK_EQ(blocks_live, 0);
}

static struct pbuf *filled(struct pbuf_pool *pool, uint32_t length, uint8_t first)
{
	struct pbuf *p = pbuf_alloc(pool, PBUF_SMALL, PBUF_HEADROOM);
	CHECK(p);
	for (uint32_t i = 0; i < length; i++)
		p->data[i] = (uint8_t)(first + i);
	p->length = p->packet_length = length;
	return p;
}

static struct pbuf *chain(struct pbuf *a, struct pbuf *b, struct pbuf *c)
{
	a->next = b;
	b->next = c;
	a->packet_length = a->length + b->length + c->length;
	return a;
}

static void check_bytes(const struct pbuf *p, uint8_t first)
{
	uint8_t bytes[4096];
	CHECK_EQ(pbuf_copy_out(p, 0, bytes, sizeof(bytes)), p->packet_length);
	for (uint32_t i = 0; i < p->packet_length; i++)
		CHECK_EQ(bytes[i], (uint8_t)(first + i));
}

static void test_classes(void)
{
	struct pbuf_pool *pool = pool_create(16 << 20);
	static const uint32_t least[PBUF_CLASSES] = {
		[PBUF_SMALL] = 1514 + PBUF_HEADROOM,
		[PBUF_PAGE] = 3072 + PBUF_HEADROOM,
		[PBUF_UNIT] = PBUF_UNIT_PAYLOAD + PBUF_HEADROOM,
	};
	for (int c = PBUF_SMALL; c < PBUF_CLASSES; c++) {
		struct pbuf *p = pbuf_alloc(pool, c, PBUF_HEADROOM);
		CHECK(p);
		CHECK_EQ((uintptr_t)p->block % 16, 0);
		CHECK_EQ(pbuf_headroom(p), PBUF_HEADROOM);
		CHECK(pbuf_headroom(p) + pbuf_tailroom(p) >= least[c]);
		memset(p->block, 0xaa, p->block_bytes);
		struct pbuf_pool_statistics s;
		pbuf_pool_statistics(pool, &s);
		CHECK_EQ(s.live[c], 1);
		CHECK(s.bytes_used >= pbuf_true_size(p));
		CHECK(s.bytes_used <= s.bytes_held);
		CHECK(!pbuf_pool_destroy(pool));
		pbuf_free(p);
	}
	pool_destroy(pool);
}

/* Many of all classes at once, no two overlap (the sanitizer and the pattern tell), all come back.
 */
static void test_many(void)
{
	struct pbuf_pool *pool = pool_create(64 << 20);
	struct pbuf *p[400];
	for (int i = 0; i < 400; i++) {
		p[i] = pbuf_alloc(pool, PBUF_SMALL + i % 3, 0);
		CHECK(p[i]);
		memset(p[i]->data, i, p[i]->block_bytes);
	}
	for (int i = 0; i < 400; i++) {
		CHECK_EQ(p[i]->data[0], (uint8_t)i);
		CHECK_EQ(p[i]->data[p[i]->block_bytes - 1], (uint8_t)i);
		pbuf_free(p[i]);
	}
	pbuf_pool_trim(pool);
	struct pbuf_pool_statistics s;
	pbuf_pool_statistics(pool, &s);
	CHECK_EQ(s.bytes_held, 0);
	pool_destroy(pool);
}

/* The cap holds; what one class has free, another gets once it is asked for. */
static void test_cap(void)
{
	struct pbuf_pool *pool = pool_create(1 << 20);
	struct pbuf *p[600];
	int n = 0;
	while ((p[n] = pbuf_alloc(pool, PBUF_PAGE, 0)))
		n++;
	CHECK_EQ(n, 256);
	CHECK(!pbuf_alloc(pool, PBUF_UNIT, 0));
	CHECK(!pbuf_slice(p[0], 0, 0));
	struct pbuf_pool_statistics s;
	pbuf_pool_statistics(pool, &s);
	CHECK(s.bytes_held <= 1 << 20);
	CHECK(s.failures >= 3);
	while (n)
		pbuf_free(p[--n]);
	struct pbuf *unit = pbuf_alloc(pool, PBUF_UNIT, PBUF_HEADROOM);
	CHECK(unit);
	pbuf_free(unit);
	memory_is_short = true;
	pbuf_pool_trim(pool);
	CHECK(!pbuf_alloc(pool, PBUF_SMALL, 0));
	memory_is_short = false;
	pool_destroy(pool);
}

static uint64_t held(const struct pbuf_pool *pool)
{
	struct pbuf_pool_statistics s;
	pbuf_pool_statistics(pool, &s);
	return s.bytes_held;
}

/* Blocks go back once nothing of them was used between two looks, and no others do. */
static void test_age(void)
{
	enum { PAGES = 10 };
	struct pbuf_pool *pool = pool_create(16 << 20);
	struct pbuf *p[PAGES];
	for (int i = 0; i < PAGES; i++)
		p[i] = pbuf_alloc(pool, PBUF_PAGE, 0);
	CHECK(!pbuf_pool_age(pool)); /* all are in use */
	CHECK_EQ(held(pool), PAGES * 4096);
	for (int i = 1; i < PAGES; i++)
		pbuf_free(p[i]);
	CHECK(pbuf_pool_age(pool)); /* were in use until now */
	CHECK_EQ(held(pool), PAGES * 4096);
	p[1] = pbuf_alloc(pool, PBUF_PAGE, 0);
	p[2] = pbuf_alloc(pool, PBUF_PAGE, 0);
	pbuf_free(p[2]); /* p[1] is in use, p[2]'s was, the other seven were not */
	CHECK(pbuf_pool_age(pool));
	CHECK_EQ(held(pool), 3 * 4096);
	CHECK(!pbuf_pool_age(pool));
	CHECK_EQ(held(pool), 2 * 4096);
	memset(p[0]->data, 0xaa, p[0]->block_bytes);
	memset(p[1]->data, 0xaa, p[1]->block_bytes);
	pbuf_free(p[0]);
	pbuf_free(p[1]);
	CHECK(pbuf_pool_age(pool));
	CHECK(!pbuf_pool_age(pool));
	CHECK_EQ(held(pool), 0);
	CHECK_EQ(blocks_live, 1); /* the pool's own */
	pool_destroy(pool);
}

/* After a look, blocks that are in use anyway are used first: the others get idle. */
static void test_age_gathers(void)
{
	enum { COUNT = 36 * 8 }; /* of slices: eight blocks */
	struct pbuf_pool *pool = pool_create(16 << 20);
	struct pbuf *of = pbuf_alloc(pool, PBUF_PAGE, 0), *p[COUNT];
	for (int i = 0; i < COUNT; i++)
		p[i] = pbuf_slice(of, 0, 0);
	CHECK_EQ(held(pool), 9 * 4096);
	for (int i = 1; i < COUNT; i++)
		pbuf_free(p[i]); /* p[0]'s block was freed first: it comes last */
	CHECK(pbuf_pool_age(pool));
	for (int i = 1; i < 36; i++)
		p[i] = pbuf_slice(of, 0, 0);
	CHECK(!pbuf_pool_age(pool));
	CHECK_EQ(held(pool), 2 * 4096);
	for (int i = 0; i < 36; i++)
		pbuf_free(p[i]);
	pbuf_free(of);
	pool_destroy(pool);
}

static bool fail_once(void *context)
{
	int *left = context;
	return (*left)-- == 0;
}

static void test_injection(void)
{
	struct pbuf_pool *pool = pool_create(1 << 20);
	int left = 2;
	pbuf_pool_inject_failures(pool, fail_once, &left);
	struct pbuf *a = pbuf_alloc(pool, PBUF_SMALL, 0), *b = pbuf_slice(a, 0, 0);
	CHECK(a && b);
	CHECK(!pbuf_alloc(pool, PBUF_SMALL, 0));
	struct pbuf *c = pbuf_alloc(pool, PBUF_SMALL, 0);
	CHECK(c);
	pbuf_free(a);
	pbuf_free(b);
	pbuf_free(c);
	pool_destroy(pool);
}

static void test_references(void)
{
	struct pbuf_pool *pool = pool_create(16 << 20);
	struct pbuf_pool_statistics s;
	struct pbuf *unit = pbuf_alloc(pool, PBUF_UNIT, PBUF_HEADROOM);
	memset(unit->data, 'x', 1000);
	unit->length = unit->packet_length = 1000;
	struct pbuf *slice = pbuf_slice(unit, 100, 200), *of_slice = pbuf_slice(slice, 50, 20);
	pbuf_free(unit);
	pbuf_free(slice);
	pbuf_pool_statistics(pool, &s);
	CHECK_EQ(s.live[PBUF_UNIT], 1);
	CHECK_EQ(of_slice->data[19], 'x');
	CHECK_EQ(pbuf_headroom(of_slice), 0);
	CHECK_EQ(pbuf_tailroom(of_slice), 0);
	pbuf_free(of_slice);
	pbuf_pool_statistics(pool, &s);
	CHECK_EQ(s.live[PBUF_UNIT], 0);

	/* A chain is freed up to the first piece that somebody else holds. */
	struct pbuf *a = filled(pool, 10, 0), *b = filled(pool, 10, 10), *c = filled(pool, 10, 20);
	pbuf_free(chain(a, pbuf_ref(b), c));
	pbuf_pool_statistics(pool, &s);
	CHECK_EQ(s.live[PBUF_SMALL], 2);
	pbuf_free(b);
	pool_destroy(pool);
}

static void test_trim(void)
{
	struct pbuf_pool *pool = pool_create(1 << 20);
	for (uint32_t cut = 0; cut <= 30; cut++) {
		struct pbuf *p =
		        chain(filled(pool, 10, 0), filled(pool, 10, 10), filled(pool, 10, 20));
		p->sequence = 77;
		p->flags = PBUF_CSUM_VALID;
		p = pbuf_trim_front(p, cut);
		CHECK_EQ(!p, cut == 30);
		if (p) {
			CHECK_EQ(p->packet_length, 30 - cut);
			CHECK_EQ(p->sequence, 77);
			CHECK_EQ(p->flags, PBUF_CSUM_VALID);
			check_bytes(p, (uint8_t)cut);
			pbuf_free(p);
		}
		p = chain(filled(pool, 10, 0), filled(pool, 10, 10), filled(pool, 10, 20));
		pbuf_trim_back(p, cut);
		CHECK_EQ(p->packet_length, cut);
		check_bytes(p, 0);
		pbuf_trim_back(p, 1000);
		CHECK_EQ(p->packet_length, cut);
		pbuf_free(p);
	}
	/* A piece that is shared stays as it is for the other holder. */
	struct pbuf *p = chain(filled(pool, 10, 0), filled(pool, 10, 10), filled(pool, 10, 20));
	struct pbuf *shared = pbuf_ref(p);
	p = pbuf_trim_front(p, 10);
	CHECK_EQ(p->packet_length, 20);
	CHECK_EQ(shared->packet_length, 30);
	check_bytes(shared, 0);
	pbuf_free(shared);
	check_bytes(p, 10);
	pbuf_free(p);
	pool_destroy(pool);
}

static void test_pull_up(void)
{
	struct pbuf_pool *pool = pool_create(1 << 20);
	for (uint32_t bytes = 1; bytes <= 30; bytes++) {
		struct pbuf *p =
		        chain(filled(pool, 10, 0), filled(pool, 10, 10), filled(pool, 10, 20));
		CHECK(pbuf_pull_up(p, bytes));
		CHECK(p->length >= bytes);
		CHECK_EQ(p->packet_length, 30);
		check_bytes(p, 0);
		CHECK(!pbuf_pull_up(p, 31));
		pbuf_free(p);

		/* First a slice: it gets storage of its own, the bytes' owner is left alone. */
		struct pbuf *owner = filled(pool, 15, 0), *slice = pbuf_slice(owner, 0, 10);
		p = chain(slice, filled(pool, 10, 10), filled(pool, 10, 20));
		CHECK(pbuf_pull_up(p, bytes));
		check_bytes(p, 0);
		check_bytes(owner, 0);
		pbuf_free(p);
		pbuf_free(owner);
	}
	/* No room behind, but in front. */
	struct pbuf *p = pbuf_alloc(pool, PBUF_SMALL, 0);
	p->data += p->block_bytes - 4;
	memcpy(p->data, "\0\1\2\3", 4);
	p->length = 4;
	p = chain(p, filled(pool, 10, 4), filled(pool, 10, 14));
	CHECK(pbuf_pull_up(p, 20));
	check_bytes(p, 0);
	pbuf_free(p);
	pool_destroy(pool);
}

static const void *released;
static size_t released_bytes;
static int releases;

static void note_release(const void *bytes, size_t length)
{
	released = bytes;
	released_bytes = length;
	releases++;
}

static void test_external(void)
{
	struct pbuf_pool *pool = pool_create(1 << 20);
	static const uint8_t memory[100] = { 1, 2, 3 };
	struct pbuf *external = pbuf_external(pool, memory, sizeof(memory), note_release);
	CHECK(external);
	CHECK_EQ(external->length, 100);
	CHECK_EQ(pbuf_headroom(external), 0);
	CHECK_EQ(pbuf_tailroom(external), 0);
	struct pbuf *slice = pbuf_slice(external, 10, 50), *other = pbuf_slice(slice, 5, 5);
	CHECK_EQ(other->data == memory + 15, true);
	pbuf_free(external);
	pbuf_free(slice);
	CHECK_EQ(releases, 0);
	CHECK(!pbuf_pool_destroy(pool));
	pbuf_free(other);
	CHECK_EQ(releases, 1);
	CHECK_EQ(released == memory, true);
	CHECK_EQ(released_bytes, 100);
	external = pbuf_external(pool, memory, 50, note_release);
	pbuf_external_drop(external);
	CHECK_EQ(releases, 1);
	pool_destroy(pool);
}

int main(void)
{
	test_external();
	test_classes();
	test_many();
	test_cap();
	test_age();
	test_age_gathers();
	test_injection();
	test_references();
	test_trim();
	test_pull_up();
	return 0;
}
