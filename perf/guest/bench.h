/*
 * What is measured inside the guest: each measurement does a given number of operations and says
 * how long they took. What has to be there beforehand (a second process, a set of descriptors) is
 * made by the first call with the same argument and kept for the next ones.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* Counts by latency, in steps of 1/16 of a power of two: percentiles are right to 6 %. */
#define HISTOGRAM_STEPS   16
#define HISTOGRAM_BUCKETS (40 * HISTOGRAM_STEPS)

struct histogram {
	uint64_t total;
	uint64_t count[HISTOGRAM_BUCKETS];
};

struct result {
	uint64_t nanoseconds;
	struct histogram latency; /* empty where single operations are not timed */
};

/* NULL, or what went wrong. `argument` is the number behind the command's name, 0 without one. */
typedef const char *measurement(uint64_t argument, uint64_t operations, struct result *result);

/* bench_calls.c */
measurement measure_getppid, measure_clock, measure_open_close, measure_fstat, measure_read,
        measure_mmap, measure_fault;
/* bench_wait.c */
measurement measure_pipe, measure_epoll, measure_futex, measure_thread;
/* bench_loopback.c */
measurement measure_throughput, measure_ping_pong;

static inline uint64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void histogram_add(struct histogram *histogram, uint64_t nanoseconds);
/* Upper bound of a bucket, not within it. */
uint64_t histogram_bound(unsigned bucket);
/* The bound below which `share` of all lie. */
uint64_t histogram_percentile(const struct histogram *histogram, double share);

/* Another process that runs body(in, out) with no other descriptors than these, until it returns;
 * false when it cannot be had. The caller closes its copies of them. */
bool peer_start(void (*body)(int in, int out), int in, int out);
/* All `bytes`, or false at the end of the stream. */
bool read_all(int descriptor, void *out, uint64_t bytes);
bool write_all(int descriptor, const void *data, uint64_t bytes);
