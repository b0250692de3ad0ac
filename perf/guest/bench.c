/*
 * bench PORT: measures the system that it runs on, as asked over TCP.
 *
 * Serves one client after the other. A request is a line "COMMAND [ARGUMENT] OPERATIONS", such as
 * "getppid 200000" or "epoll 10000 50000"; its answer is a line of JSON:
 *
 *     {"operations": N, "nanoseconds": N, "latency_ns": {"p50": N, "p99": N, "p99.9": N},
 *      "histogram_ns": [[UPPER BOUND, COUNT], ...]}
 *
 * with the last two where every operation is timed by itself, or {"error": "what is wrong"}. The
 * same program runs on Linux and on Hartloop.
 */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"

#define OPERATIONS_MAX 1000000000u

static const struct {
	const char *name;
	measurement *measure;
} commands[] = {
	{ "getppid", measure_getppid },
	{ "clock_gettime", measure_clock },
	{ "open-close", measure_open_close },
	{ "fstat", measure_fstat },
	{ "read-4k", measure_read },
	{ "mmap-munmap", measure_mmap },
	{ "page-fault", measure_fault },
	{ "pipe", measure_pipe },
	{ "epoll", measure_epoll },
	{ "futex", measure_futex },
	{ "thread", measure_thread },
	{ "loopback-throughput", measure_throughput },
	{ "loopback-latency", measure_ping_pong },
};

#define COMMANDS (sizeof commands / sizeof commands[0])

/* ---- what the measurements share ---- */

void histogram_add(struct histogram *histogram, uint64_t nanoseconds)
{
	unsigned bucket = (unsigned)nanoseconds;
	if (nanoseconds >= HISTOGRAM_STEPS) {
		unsigned power = 63 - (unsigned)__builtin_clzll(nanoseconds / HISTOGRAM_STEPS);
		bucket = power * HISTOGRAM_STEPS + (unsigned)(nanoseconds >> power);
	}
	histogram->count[bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1]++;
	histogram->total++;
}

uint64_t histogram_bound(unsigned bucket)
{
	bucket++;
	if (bucket < 2 * HISTOGRAM_STEPS)
		return bucket;
	unsigned power = bucket / HISTOGRAM_STEPS - 1;
	return (uint64_t)(HISTOGRAM_STEPS + bucket % HISTOGRAM_STEPS) << power;
}

uint64_t histogram_percentile(const struct histogram *histogram, double share)
{
	uint64_t seen = 0;
	unsigned bucket = 0;
	for (; bucket < HISTOGRAM_BUCKETS - 1; bucket++) {
		seen += histogram->count[bucket];
		if ((double)seen >= share * (double)histogram->total)
			break;
	}
	return histogram_bound(bucket);
}

bool peer_start(void (*body)(int in, int out), int in, int out)
{
	pid_t child = fork();
	if (child != 0)
		return child > 0;
	for (int descriptor = STDERR_FILENO + 1; descriptor < getdtablesize(); descriptor++) {
		if (descriptor != in && descriptor != out)
			close(descriptor);
	}
	body(in, out);
	_exit(0);
}

bool read_all(int descriptor, void *out, uint64_t bytes)
{
	for (uint64_t done = 0; done < bytes;) {
		ssize_t n = read(descriptor, (char *)out + done, bytes - done);
		if (n <= 0)
			return false;
		done += (uint64_t)n;
	}
	return true;
}

bool write_all(int descriptor, const void *data, uint64_t bytes)
{
	for (uint64_t done = 0; done < bytes;) {
		ssize_t n = write(descriptor, (const char *)data + done, bytes - done);
		if (n <= 0)
			return false;
		done += (uint64_t)n;
	}
	return true;
}

/* ---- requests ---- */

static void print_latency(FILE *out, const struct histogram *latency)
{
	const char *separator = "";
	fprintf(out, ", \"latency_ns\": {\"p50\": %llu, \"p99\": %llu, \"p99.9\": %llu}",
	        (unsigned long long)histogram_percentile(latency, 0.5),
	        (unsigned long long)histogram_percentile(latency, 0.99),
	        (unsigned long long)histogram_percentile(latency, 0.999));
	fprintf(out, ", \"histogram_ns\": [");
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		if (!latency->count[i])
			continue;
		fprintf(out, "%s[%llu, %llu]", separator, (unsigned long long)histogram_bound(i),
		        (unsigned long long)latency->count[i]);
		separator = ", ";
	}
	fprintf(out, "]");
}

static void print_error(FILE *out, const char *name)
{
	fprintf(out, "{\"error\": \"%s; the commands are:", name);
	for (unsigned i = 0; i < COMMANDS; i++)
		fprintf(out, " %s", commands[i].name);
	fprintf(out, "; a request is COMMAND [ARGUMENT] OPERATIONS\"}\n");
}

static measurement *find(const char *name)
{
	for (unsigned i = 0; i < COMMANDS; i++) {
		if (strcmp(name, commands[i].name) == 0)
			return commands[i].measure;
	}
	return NULL;
}

static void answer(FILE *out, const char *line)
{
	static struct result result;
	unsigned long long first = 0, second = 0;
	char name[32], rest;
	int words = sscanf(line, "%31s %llu %llu %c", name, &first, &second, &rest);
	measurement *measure = words >= 1 ? find(name) : NULL;
	uint64_t operations = words == 3 ? second : first;
	if (!measure || words < 2 || words > 3 || operations == 0 || operations > OPERATIONS_MAX) {
		print_error(out, measure ? "not a request" : "unknown command");
		return;
	}
	memset(&result, 0, sizeof result);
	const char *error = measure(words == 3 ? first : 0, operations, &result);
	if (error) {
		fprintf(out, "{\"error\": \"%s\"}\n", error);
		return;
	}
	fprintf(out, "{\"operations\": %llu, \"nanoseconds\": %llu", (unsigned long long)operations,
	        (unsigned long long)result.nanoseconds);
	if (result.latency.total)
		print_latency(out, &result.latency);
	fprintf(out, "}\n");
}

static void serve(int descriptor)
{
	char line[256];
	FILE *in = fdopen(dup(descriptor), "r"), *out = fdopen(descriptor, "w");
	while (in && out && fgets(line, sizeof line, in)) {
		answer(out, line);
		if (fflush(out) != 0)
			break;
	}
	if (in)
		fclose(in);
	if (out)
		fclose(out);
}

int main(int argc, char **argv)
{
	int port = argc == 2 ? atoi(argv[1]) : 0, one = 1;
	if (port <= 0 || port > 65535) {
		fprintf(stderr, "usage: bench PORT\n");
		return 2;
	}
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_IGN);
	if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 ||
	    listen(listener, 4) != 0) {
		perror("bench");
		return 1;
	}
	printf("bench: serving port %d\n", port);
	fflush(stdout);
	for (;;) {
		int client = accept(listener, NULL, NULL);
		if (client >= 0)
			serve(client);
	}
}
