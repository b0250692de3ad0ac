/*
 * load: drives one guest server in a closed loop and tells what it saw as one line of JSON.
 *
 * A run has connections, and each of them does exchanges: it sends a request and waits for a reply
 * whose every byte is known beforehand. The first reply that differs, the first connection that
 * fails and the first wait that is too long end the run with status 1, so a result that is printed
 * is one without errors. Nothing is allocated after the start.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is sent and what must come back. Owned by the mode, unchanged during the run. */
struct exchange {
	const char *request;
	size_t request_bytes;
	const char *reply;
	size_t reply_bytes;
};

/* What follows an exchange. */
enum after {
	AFTER_REPEAT,    /* the next one on the same connection */
	AFTER_RECONNECT, /* close, and the next one on a new connection */
	AFTER_KEEP,      /* the connection stays and is idle */
};

struct options {
	struct sockaddr_in server;
	unsigned connections; /* at once; AFTER_KEEP: in all */
	size_t size;          /* bytes of a message or value */
	unsigned keys;
	double seconds;      /* of exchanges; `idle`: how long it stays at most */
	uint64_t operations; /* the run ends earlier when so many are done; 0: no matter */
	double timeout;      /* longest wait for anything, seconds */
	uint32_t source;     /* first own address, host order; 0: the system chooses */
	unsigned sources;    /* how many, one after the other */
};

/* Latencies: 64 buckets for every power of two of nanoseconds, so within 1.6 %. */
#define HISTOGRAM_BITS    6
#define HISTOGRAM_BUCKETS ((65 - HISTOGRAM_BITS) << HISTOGRAM_BITS)

struct histogram {
	uint64_t counts[HISTOGRAM_BUCKETS];
	uint64_t total;
};

void histogram_add(struct histogram *histogram, uint64_t ns);
/* The highest latency that counts as `share` (0 to 1) of all; 0 when there is none. */
uint64_t histogram_percentile(const struct histogram *histogram, double share);
/* The highest latency of a bucket. */
uint64_t histogram_limit(unsigned bucket);

/* What a run of the engine did. */
struct result {
	uint64_t operations;
	uint64_t elapsed_ns; /* from the first connection to the last reply */
	struct histogram latencies;
};

/*
 * The engine: keeps `connections` busy (AFTER_KEEP: opens so many, 64 at a time) until the time or
 * the count of operations is up; what was begun is finished. Connection i begins with exchange
 * i * count / connections, and each further one on it is `step` further. With AFTER_KEEP the
 * connections are open when it returns; engine_watch then waits until standard input ends and fails
 * when a connection closes or speaks before.
 */
void engine_run(const struct options *options, enum after after, const struct exchange *exchanges,
                unsigned count, unsigned step, struct result *result);
void engine_watch(const struct options *options);

uint64_t now_ns(void);
/* Says on standard error what is wrong and ends the program with status 1. */
void fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
/* Zeroed memory, or fail(). */
void *allocate(size_t count, size_t size);
