/* The checksum against one that sums byte by byte, at every alignment and length, whole and in
 * pieces. */
#include "tcpip/internal.h"
#include "tcpip/tests/frames.h"

#include <string.h>

static uint64_t state = 12345;

static uint32_t next_random(void)
{
	state = state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(state >> 33);
}

/* What checksum_store leaves in memory, read as the wire's big-endian word. */
static uint16_t stored(uint16_t folded)
{
	uint8_t bytes[2];
	checksum_store(bytes, folded);
	CHECK_EQ(checksum_load(bytes), folded);
	return load_be16(bytes);
}

static void fill(uint8_t *p, uint32_t length, uint32_t kind)
{
	for (uint32_t i = 0; i < length; i++)
		p[i] = kind == 0 ? (uint8_t)next_random() : kind == 1 ? 0xff : 0;
}

static void test_contiguous(void)
{
	uint8_t bytes[2100];
	for (uint32_t kind = 0; kind < 3; kind++) {
		fill(bytes, sizeof(bytes), kind);
		for (uint32_t offset = 0; offset < 9; offset++) {
			for (uint32_t length = 0; length < 300; length++)
				CHECK_EQ(stored(checksum_fold(
				                 checksum_add(0, bytes + offset, length))),
				         naive_checksum(0, bytes + offset, length));
			CHECK_EQ(stored(checksum_fold(checksum_add(0, bytes + offset, 2048))),
			         naive_checksum(0, bytes + offset, 2048));
		}
	}
}

static void test_across_calls(void)
{
	uint8_t bytes[1000];
	fill(bytes, sizeof(bytes), 0);
	for (uint32_t cut = 0; cut <= 1000; cut += 2) {
		uint32_t sum = checksum_add(0xffffffff, bytes, cut);
		sum = checksum_add(sum, bytes + cut, 1000 - cut);
		CHECK_EQ(stored(checksum_fold(sum)), naive_checksum(0, bytes, 1000));
	}
}

static void *block_alloc(void *context, size_t bytes)
{
	(void)context;
	return aligned_alloc(4096, bytes);
}

static void block_free(void *context, void *block, size_t bytes)
{
	(void)context;
	(void)bytes;
	free(block);
}

static void test_chains(void)
{
	struct pbuf_pool *pool;
	struct pbuf_pool_config config = { block_alloc, block_free, NULL, 1 << 20 };
	CHECK_EQ(pbuf_pool_create(&pool, &config), 0);
	for (int round = 0; round < 500; round++) {
		uint8_t flat[4000];
		struct pbuf *first = NULL, **tail = &first;
		uint32_t total = 0, pieces = 1 + next_random() % 6;
		for (uint32_t i = 0; i < pieces; i++) {
			struct pbuf *p = pbuf_alloc(pool, PBUF_SMALL, next_random() % 32);
			p->length = next_random() % 600;
			fill(p->data, p->length, 0);
			memcpy(flat + total, p->data, p->length);
			total += p->length;
			*tail = p;
			tail = &p->next;
		}
		first->packet_length = total;
		uint32_t offset = total ? next_random() % total : 0;
		uint32_t length = next_random() % (total - offset + 1);
		CHECK_EQ(stored(checksum_fold(checksum_pbuf(0, first, offset, length))),
		         naive_checksum(0, flat + offset, length));
		pbuf_free(first);
	}
	CHECK(pbuf_pool_destroy(pool));
}

static void test_pseudo_header(void)
{
	for (int round = 0; round < 1000; round++) {
		struct ipv4_address a = { next_random() * 2 }, b = { next_random() * 2 };
		uint32_t length = next_random() & 0xffff;
		uint32_t sum = checksum_pseudo_ipv4(a, b, 17, length);
		CHECK_EQ(stored(checksum_fold(sum)), (uint16_t)~naive_pseudo(a, b, 17, length));
		uint8_t partial[2];
		checksum_store_partial(partial, sum);
		CHECK_EQ(load_be16(partial), naive_pseudo(a, b, 17, length));
	}
}

int main(void)
{
	test_contiguous();
	test_across_calls();
	test_chains();
	test_pseudo_header();
	return 0;
}
