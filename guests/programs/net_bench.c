/*
 * net_bench PORT: moves bytes over TCP and says how fast, with the bytes verified at both ends.
 *
 * Serves one client after the other; the client is perf/net_bench_client.py. All numbers
 * big-endian.
 *
 *   request   8 bytes: the count of payload bytes; its highest bit set asks for the reverse
 * direction forward   client: payload, 8 bytes checksum.   server: 8 bytes checksum as received, 8
 * bytes nanoseconds reverse   server: payload, 8 bytes checksum, 8 bytes nanoseconds.   client: 8
 * bytes checksum as received
 *
 * The checksum of a block of 4096 bytes is the sum, modulo 2^64, of its little-endian 8-byte words,
 * a last short one filled up with zeros; that of the payload is sum(block i) * FACTOR^(blocks
 * behind it), so that bytes in the wrong place are noticed. The server prints one line a run and
 * goes on; a wrong checksum is said and counted, and the count is the exit status once the client
 * has asked for 0 bytes.
 */
#define _GNU_SOURCE
#include <endian.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CHUNK_BYTES (128 * 1024)
#define BLOCK_WORDS (4096 / sizeof(uint64_t))
#define FACTOR      0x9e3779b97f4a7c15ull
#define REVERSE     (1ull << 63)

static uint64_t chunk[CHUNK_BYTES / sizeof(uint64_t)];

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Fills `length` bytes, fewer only at the end of the stream. */
static size_t read_whole(int fd, void *out, size_t length)
{
	size_t done = 0;

	while (done < length) {
		ssize_t n = read(fd, (char *)out + done, length - done);

		if (n <= 0)
			break;
		done += (size_t)n;
	}
	return done;
}

static bool write_whole(int fd, const void *data, size_t length)
{
	size_t done = 0;

	while (done < length) {
		ssize_t n = send(fd, (const char *)data + done, length - done, MSG_NOSIGNAL);

		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return true;
}

/* The checksum with the first `length` bytes of the chunk added; clears the rest of the last word.
 */
static uint64_t add_chunk(uint64_t checksum, size_t length)
{
	size_t words = (length + 7) / 8;

	if (length % 8)
		memset((char *)chunk + length, 0, 8 - length % 8);
	for (size_t start = 0; start < words; start += BLOCK_WORDS) {
		size_t end = start + BLOCK_WORDS < words ? start + BLOCK_WORDS : words;
		uint64_t sum = 0;

		for (size_t i = start; i < end; i++)
			sum += le64toh(chunk[i]);
		checksum = checksum * FACTOR + sum;
	}
	return checksum;
}

static void report(const char *direction, uint64_t count, uint64_t ns, uint64_t sum, bool good)
{
	printf("net_bench: %s %llu bytes in %.3f s, %.1f Mbit/s, checksum %016llx %s\n", direction,
	       (unsigned long long)count, (double)ns / 1e9,
	       ns ? (double)count * 8e3 / (double)ns : 0.0, (unsigned long long)sum,
	       good ? "good" : "WRONG");
	fflush(stdout);
}

/* The client sends. True: all arrived and the checksum is right. */
static bool receive(int fd, uint64_t count)
{
	uint64_t left = count, sum = 0, start = now_ns(), ns, wire[2];
	size_t part;
	bool good;

	for (; left > 0; left -= part) {
		part = left < CHUNK_BYTES ? left : CHUNK_BYTES;
		if (read_whole(fd, chunk, part) != part) {
			printf("net_bench: the client left with %llu bytes to come\n",
			       (unsigned long long)left);
			return false;
		}
		sum = add_chunk(sum, part);
	}
	ns = now_ns() - start;
	if (read_whole(fd, wire, 8) != 8)
		return false;
	good = be64toh(wire[0]) == sum;
	wire[0] = htobe64(sum);
	wire[1] = htobe64(ns);
	report("received", count, ns, sum, good);
	return write_whole(fd, wire, sizeof wire) && good;
}

/* The client receives. True: it took all and computed the same checksum. */
static bool transmit(int fd, uint64_t count)
{
	uint64_t left = count, sum = 0, start, ns, wire[2], full, power = 1;
	size_t part;
	bool good;

	for (size_t i = 0; i < CHUNK_BYTES / 8; i++)
		chunk[i] = htole64(i * FACTOR);
	full = add_chunk(0, CHUNK_BYTES);
	for (size_t i = 0; i < CHUNK_BYTES / 8 / BLOCK_WORDS; i++)
		power *= FACTOR;
	start = now_ns();
	for (; left > 0; left -= part) {
		part = left < CHUNK_BYTES ? left : CHUNK_BYTES;
		if (!write_whole(fd, chunk, part))
			return false;
		sum = part == CHUNK_BYTES ? sum * power + full : add_chunk(sum, part);
	}
	ns = now_ns() - start;
	wire[0] = htobe64(sum);
	wire[1] = htobe64(ns);
	if (!write_whole(fd, wire, sizeof wire) || read_whole(fd, wire, 8) != 8)
		return false;
	good = be64toh(wire[0]) == sum;
	report("sent", count, now_ns() - start, sum, good);
	return good;
}

static int listen_on(uint16_t port)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
	int on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
	    listen(fd, 16) < 0) {
		fprintf(stderr, "net_bench: port %u: %s\n", port, strerror(errno));
		exit(1);
	}
	return fd;
}

int main(int argc, char **argv)
{
	int listener, failures = 0;
	uint64_t request;

	if (argc != 2) {
		fprintf(stderr, "usage: net_bench PORT\n");
		return 2;
	}
	listener = listen_on((uint16_t)atoi(argv[1]));
	printf("net_bench: listening on port %s\n", argv[1]);
	fflush(stdout);
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		bool good = false;

		if (fd < 0)
			continue;
		if (read_whole(fd, &request, 8) == 8) {
			request = be64toh(request);
			if (request == 0)
				return failures > 100 ? 100 : failures;
			good = request & REVERSE ? transmit(fd, request & ~REVERSE)
			                         : receive(fd, request);
		}
		failures += !good;
		close(fd);
	}
}
