/*
 * load MODE HOST PORT [options]; see usage() and load.h.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "perf/load/load.h"

#define STATUS_USAGE    2
#define SPARE_FILES     64
#define CONNECTIONS_MAX 60000
#define KEYS_MAX        1000000
#define SIZE_MAX_BYTES  (1 << 20)
#define STEP            7919 /* between a connection's keys: prime, so that all of them are reached */

static const struct mode {
	const char *name, *summary;
	void (*run)(const struct options *options, struct result *result);
	unsigned connections; /* unless --connections says otherwise */
} modes[];

uint64_t now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

void fail(const char *format, ...)
{
	va_list arguments;

	fputs("load: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	exit(1);
}

void *allocate(size_t count, size_t size)
{
	void *memory = calloc(count, size);

	if (!memory)
		fail("no memory for %zu times %zu bytes", count, size);
	return memory;
}

/* Bytes of a key's value or a message: without a pattern, printable, different for every seed. */
static void fill(char *to, size_t bytes, uint64_t seed)
{
	uint64_t state = (seed + 1) * 0x9e3779b97f4a7c15;

	for (size_t i = 0; i < bytes; i++) {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		to[i] = (char)('0' + (state >> 40) % 64);
	}
}

/* A key's commands and replies of memcached's text protocol. */
static void describe_key(unsigned key, size_t size, char *get, char *value, char *set)
{
	int n = sprintf(value, "VALUE key-%08u 0 %zu\r\n", key, size);

	fill(value + n, size, key);
	memcpy(value + n + size, "\r\nEND\r\n", 8);
	sprintf(get, "get key-%08u\r\n", key);
	n += sprintf(set, "set key-%08u 0 0 %zu\r\n", key, size) - n;
	memcpy(set + n, strchr(value, '\n') + 1, size);
	memcpy(set + n + size, "\r\n", 3);
}

static void run_memcached(const struct options *options, bool set, struct result *result)
{
	struct exchange *exchanges = allocate(options->keys, sizeof *exchanges);
	size_t room = options->size + 80;
	char *get, *value, *store;

	for (unsigned key = 0; key < options->keys; key++) {
		get = allocate(3, room);
		value = get + room;
		store = value + room;
		describe_key(key, options->size, get, value, store);
		exchanges[key].request = set ? store : get;
		exchanges[key].reply = set ? "STORED\r\n" : value;
		exchanges[key].request_bytes = strlen(exchanges[key].request);
		exchanges[key].reply_bytes = strlen(exchanges[key].reply);
	}
	engine_run(options, AFTER_REPEAT, exchanges, options->keys, STEP, result);
}

static void run_memcached_get(const struct options *options, struct result *result)
{
	run_memcached(options, false, result);
}

static void run_memcached_set(const struct options *options, struct result *result)
{
	run_memcached(options, true, result);
}

static void run_echo(const struct options *options, enum after after, struct result *result)
{
	struct exchange exchange = { .request_bytes = options->size, .reply_bytes = options->size };
	char *message = allocate(1, options->size);

	fill(message, options->size, 0);
	exchange.request = exchange.reply = message;
	engine_run(options, after, &exchange, 1, 1, result);
}

static void run_pingpong(const struct options *options, struct result *result)
{
	run_echo(options, AFTER_REPEAT, result);
}

static void run_connect(const struct options *options, struct result *result)
{
	run_echo(options, AFTER_RECONNECT, result);
}

static void run_idle(const struct options *options, struct result *result)
{
	run_echo(options, AFTER_KEEP, result);
}

static const struct mode modes[] = {
	{ "memcached-get", "get --keys keys that memcached-set stored, checking their values",
	  run_memcached_get, 50 },
	{ "memcached-set", "set --keys keys to values of --size bytes", run_memcached_set, 50 },
	{ "pingpong", "send --size bytes to an echo server, wait for them, again", run_pingpong,
	  1 },
	{ "connect", "connect to an echo server, exchange --size bytes, close, again", run_connect,
	  16 },
	{ "idle",
	  "open --connections to an echo server, exchange --size bytes once on each, say "
	  "so, keep them until standard input ends",
	  run_idle, 1000 },
};
#define MODES (sizeof modes / sizeof *modes)

static void usage(FILE *to)
{
	fprintf(to, "load MODE HOST PORT [OPTION VALUE]...\nmodes:\n");
	for (unsigned i = 0; i < MODES; i++)
		fprintf(to, "  %-14s %s\n", modes[i].name, modes[i].summary);
	fprintf(to,
	        "options:\n"
	        "  --connections N     at once, 1 to %d (idle: 1000, memcached: 50, connect: 16, "
	        "pingpong: 1)\n"
	        "  --size BYTES        of a value or message, 1 to %d (64)\n"
	        "  --keys N            1 to %d (10000)\n"
	        "  --seconds S         of load (2); idle: the longest that it stays (600)\n"
	        "  --operations N      ends earlier when so many are done\n"
	        "  --timeout S         the longest wait for a reply (10)\n"
	        "  --sources ADDR+N    N own addresses from ADDR on, in turn, when one has too few "
	        "ports\n",
	        CONNECTIONS_MAX, SIZE_MAX_BYTES, KEYS_MAX);
}

static void refuse(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
static void refuse(const char *format, ...)
{
	va_list arguments;

	fputs("load: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	usage(stderr);
	exit(STATUS_USAGE);
}

static double number(const char *option, const char *text, double least, double most)
{
	char *end;
	double value = strtod(text, &end);

	if (!isdigit((unsigned char)*text) || *end || !(value >= least && value <= most))
		refuse("%s %s: %.10g to %.10g are valid", option, text, least, most);
	return value;
}

static unsigned whole(const char *option, const char *text, unsigned most)
{
	double value = number(option, text, 1, most);

	if (value != (double)(unsigned)value)
		refuse("%s %s: whole numbers are valid", option, text);
	return (unsigned)value;
}

static void parse_sources(struct options *options, const char *text)
{
	char address[INET_ADDRSTRLEN] = "";
	struct in_addr first;
	const char *plus = strchr(text, '+');

	if (plus && (size_t)(plus - text) < sizeof address)
		memcpy(address, text, (size_t)(plus - text));
	if (!plus || inet_pton(AF_INET, address, &first) != 1)
		refuse("--sources %s: ADDRESS+COUNT is valid, such as 10.0.2.64+32", text);
	options->source = ntohl(first.s_addr);
	options->sources = whole("--sources", plus + 1, 65536);
}

static void parse_option(struct options *options, const char *name, const char *value)
{
	if (!strcmp(name, "--connections"))
		options->connections = whole(name, value, CONNECTIONS_MAX);
	else if (!strcmp(name, "--size"))
		options->size = whole(name, value, SIZE_MAX_BYTES);
	else if (!strcmp(name, "--keys"))
		options->keys = whole(name, value, KEYS_MAX);
	else if (!strcmp(name, "--seconds"))
		options->seconds = number(name, value, 0.01, 3600);
	else if (!strcmp(name, "--operations"))
		options->operations = whole(name, value, UINT32_MAX);
	else if (!strcmp(name, "--timeout"))
		options->timeout = number(name, value, 0.1, 600);
	else if (!strcmp(name, "--sources"))
		parse_sources(options, value);
	else
		refuse("unknown option '%s'", name);
}

static const struct mode *parse(int argc, char **argv, struct options *options)
{
	const struct mode *mode = NULL;

	for (unsigned i = 0; argc > 1 && i < MODES; i++)
		if (!strcmp(argv[1], modes[i].name))
			mode = &modes[i];
	if (!mode)
		refuse(argc > 1 ? "unknown mode '%s'" : "the mode is missing%s",
		       argc > 1 ? argv[1] : "");
	if (argc < 4)
		refuse("HOST and PORT are missing");
	options->server.sin_family = AF_INET;
	if (inet_pton(AF_INET, argv[2], &options->server.sin_addr) != 1)
		refuse("'%s' is no IPv4 address", argv[2]);
	options->server.sin_port = htons((uint16_t)whole("PORT", argv[3], 65535));
	options->connections = mode->connections;
	options->seconds = mode->run == run_idle ? 600 : 2;
	for (int i = 4; i < argc; i += 2) {
		if (i + 1 == argc)
			refuse("%s: the value is missing", argv[i]);
		parse_option(options, argv[i], argv[i + 1]);
	}
	return mode;
}

/* Room for as many descriptors as there are connections. */
static void raise_files(unsigned connections)
{
	struct rlimit limit;
	rlim_t wanted = connections + SPARE_FILES;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur >= wanted)
		return;
	limit.rlim_cur = wanted;
	if (limit.rlim_max < wanted)
		limit.rlim_max = wanted;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		fail("%u connections need %llu descriptors, and RLIMIT_NOFILE can't be raised to "
		     "them",
		     connections, (unsigned long long)wanted);
}

static void print(const struct options *options, const char *mode, const struct result *result)
{
	static const struct {
		const char *name;
		double share;
	} shares[] = { { "p50", 0.5 }, { "p99", 0.99 }, { "p99.9", 0.999 }, { "max", 1 } };
	const struct histogram *latencies = &result->latencies;
	const char *separator = "";

	printf("{\"mode\": \"%s\", \"connections\": %u, \"size\": %zu, \"operations\": %llu, "
	       "\"seconds\": %.6f, \"latency_us\": {",
	       mode, options->connections, options->size, (unsigned long long)result->operations,
	       (double)result->elapsed_ns / 1e9);
	for (unsigned i = 0; i < sizeof shares / sizeof *shares; i++)
		printf("%s\"%s\": %.3f", i ? ", " : "", shares[i].name,
		       (double)histogram_percentile(latencies, shares[i].share) / 1e3);
	printf("}, \"histogram_us\": [");
	for (unsigned bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
		if (!latencies->counts[bucket])
			continue;
		printf("%s[%.3f, %llu]", separator, (double)histogram_limit(bucket) / 1e3,
		       (unsigned long long)latencies->counts[bucket]);
		separator = ", ";
	}
	printf("]}\n");
	if (fflush(stdout) != 0)
		fail("standard output can't be written");
}

int main(int argc, char **argv)
{
	static struct result result;
	struct options options = { .size = 64, .keys = 10000, .timeout = 10 };
	const struct mode *mode;

	if (argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
		usage(stdout);
		return 0;
	}
	mode = parse(argc, argv, &options);
	raise_files(options.connections);
	mode->run(&options, &result);
	print(&options, mode->name, &result);
	if (mode->run == run_idle)
		engine_watch(&options);
	return 0;
}
