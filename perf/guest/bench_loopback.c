/* TCP over 127.0.0.1 between two processes: a bulk transfer whose bytes are verified, and a
 * ping-pong. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"

#define BLOCK_WORDS (128 * 1024 / sizeof(uint64_t)) /* iperf3 writes as much at a time */
#define BLOCK_BYTES (BLOCK_WORDS * sizeof(uint64_t))
#define MIB         (1 << 20)
#define PING_BYTES  64

static uint64_t block[BLOCK_WORDS];

struct checksum {
	uint64_t sum, sum_of_sums; /* the second one notices words that changed places */
};

static struct checksum block_checksum(void)
{
	struct checksum sum = { 0, 0 };
#pragma GCC unroll 16
	for (unsigned i = 0; i < BLOCK_WORDS; i++) {
		sum.sum += block[i];
		sum.sum_of_sums += sum.sum;
	}
	return sum;
}

/* Pseudo-random words but for the first, which numbers the blocks. Both sides fill theirs. */
static struct checksum fill_block(void)
{
	uint64_t state = 0x9e3779b97f4a7c15u;
	for (unsigned i = 0; i < BLOCK_WORDS; i++) {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		block[i] = i ? state : 0;
	}
	return block_checksum();
}

/* A connection to ourselves over 127.0.0.1: [0] the end that connected, [1] the accepted one. */
static bool connect_pair(int ends[2])
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof address;
	int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
	ends[0] = socket(AF_INET, SOCK_STREAM, 0);
	bool made = listener >= 0 && ends[0] >= 0 &&
	            bind(listener, (struct sockaddr *)&address, length) == 0 &&
	            listen(listener, 1) == 0 &&
	            getsockname(listener, (struct sockaddr *)&address, &length) == 0 &&
	            connect(ends[0], (struct sockaddr *)&address, length) == 0 &&
	            (ends[1] = accept(listener, NULL, NULL)) >= 0;
	close(listener);
	for (int i = 0; made && i < 2; i++)
		setsockopt(ends[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	return made;
}

/* A connection whose other end belongs to another process that runs `body`. */
static int connect_peer(void (*body)(int in, int out))
{
	int ends[2];
	if (!connect_pair(ends) || !peer_start(body, ends[1], ends[1]))
		return -1;
	close(ends[1]);
	return ends[0];
}

/* For each announced number of blocks: receives and verifies them, and answers how many were right.
 */
static void receive_blocks(int in, int out)
{
	const struct checksum expected = fill_block();
	uint64_t blocks;
	while (read_all(in, &blocks, sizeof blocks)) {
		uint64_t right = 0;
		for (uint64_t i = 0; i < blocks; i++) {
			if (!read_all(in, block, BLOCK_BYTES))
				return;
			struct checksum sum = block_checksum();
			right += sum.sum == expected.sum + i &&
			         sum.sum_of_sums == expected.sum_of_sums + i * BLOCK_WORDS;
		}
		if (!write_all(out, &right, sizeof right))
			return;
	}
}

const char *measure_throughput(uint64_t argument, uint64_t operations, struct result *result)
{
	static int descriptor = -1;
	uint64_t blocks = operations * (MIB / BLOCK_BYTES), right = 0;
	(void)argument;
	if (descriptor < 0) {
		descriptor = connect_peer(receive_blocks);
		fill_block();
	}
	if (descriptor < 0)
		return "no connection over 127.0.0.1 or no second process";
	uint64_t start = now_ns();
	bool sent = write_all(descriptor, &blocks, sizeof blocks);
	for (uint64_t i = 0; i < blocks && sent; i++) {
		block[0] = i;
		sent = write_all(descriptor, block, BLOCK_BYTES);
	}
	if (!sent || !read_all(descriptor, &right, sizeof right))
		return "the other process is gone";
	result->nanoseconds = now_ns() - start;
	return right == blocks ? NULL : "bytes arrived changed";
}

static void answer_pings(int in, int out)
{
	char ping[PING_BYTES];
	while (read_all(in, ping, sizeof ping) && write_all(out, ping, sizeof ping))
		;
}

const char *measure_ping_pong(uint64_t argument, uint64_t operations, struct result *result)
{
	static int descriptor = -1;
	uint64_t ping[PING_BYTES / sizeof(uint64_t)] = { 0 };
	(void)argument;
	if (descriptor < 0)
		descriptor = connect_peer(answer_pings);
	if (descriptor < 0)
		return "no connection over 127.0.0.1 or no second process";
	uint64_t start = now_ns(), last = start;
	for (uint64_t i = 0; i < operations; i++) {
		ping[0] = i;
		if (!write_all(descriptor, ping, sizeof ping) ||
		    !read_all(descriptor, ping, sizeof ping))
			return "the other process is gone";
		if (ping[0] != i)
			return "the answer is another one's";
		uint64_t now = now_ns();
		histogram_add(&result->latency, now - last);
		last = now;
	}
	result->nanoseconds = last - start;
	return NULL;
}
