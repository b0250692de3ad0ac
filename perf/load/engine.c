/* Connections and their exchanges, on one epoll. */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "perf/load/load.h"

#define BATCH         256
#define OPENING       64 /* connections of AFTER_KEEP that are under way at once */
#define RECEIVE_BYTES (256 << 10)
#define STDIN_MARK    UINT32_MAX

/* One connection; it lies in run.connections and lives as long as the run. */
struct connection {
	int fd;
	unsigned exchange; /* the current one */
	bool busy;         /* an exchange is under way */
	size_t sent, received;
	uint64_t started_ns;
};

static struct {
	const struct options *options;
	enum after after;
	const struct exchange *exchanges;
	unsigned count, step;
	struct connection *connections;
	struct result *result;
	int epoll;
	unsigned opened;  /* AFTER_KEEP: connections begun so far */
	unsigned busy;    /* exchanges under way */
	uint64_t begun;   /* exchanges begun in all */
	uint64_t sockets; /* made in all */
	uint64_t start_ns, end_ns;
	char scratch[RECEIVE_BYTES];
} run;

static unsigned number_of(const struct connection *connection)
{
	return (unsigned)(connection - run.connections);
}

/* Own addresses are taken in turn; the port is chosen when the connection's other end is known, so
 * that one port serves many destinations and sources. */
static void choose_source(int fd)
{
	const struct options *options = run.options;
	struct sockaddr_in own = { .sin_family = AF_INET };
	int on = 1;

	if (!options->source)
		return;
	own.sin_addr.s_addr = htonl(options->source + (uint32_t)(run.sockets % options->sources));
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
	if (bind(fd, (struct sockaddr *)&own, sizeof own) < 0)
		fail("bind to own address %u of --sources: %s",
		     (unsigned)(run.sockets % options->sources), strerror(errno));
}

static void open_connection(struct connection *connection)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
		                     .data.u32 = number_of(connection) };
	int on = 1;

	connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (connection->fd < 0)
		fail("socket: %s", strerror(errno));
	setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	choose_source(connection->fd);
	run.sockets++;
	if (connect(connection->fd, (const struct sockaddr *)&run.options->server,
	            sizeof run.options->server) < 0 &&
	    errno != EINPROGRESS)
		fail("connect: %s%s", strerror(errno),
		     errno == EADDRNOTAVAIL ? " (more own addresses: --sources)" : "");
	if (epoll_ctl(run.epoll, EPOLL_CTL_ADD, connection->fd, &event) < 0)
		fail("epoll_ctl: %s", strerror(errno));
}

/* The reason why a connection broke. */
static void fail_connection(const struct connection *connection, const char *what)
{
	int error = 0;
	socklen_t length = sizeof error;

	getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &error, &length);
	fail("connection %u, after %llu exchanges in all: %s%s%s", number_of(connection),
	     (unsigned long long)run.result->operations, what, error ? ": " : "",
	     error ? strerror(error) : "");
}

/* Begins an exchange unless the run is over. */
static void begin_exchange(struct connection *connection, uint64_t now)
{
	const struct options *options = run.options;

	if (run.after != AFTER_KEEP && now >= run.end_ns)
		return;
	if (options->operations && run.begun >= options->operations)
		return;
	run.begun++;
	run.busy++;
	connection->busy = true;
	connection->sent = connection->received = 0;
	connection->started_ns = now;
	if (connection->fd < 0)
		open_connection(connection);
}

static void send_request(struct connection *connection)
{
	const struct exchange *exchange = &run.exchanges[connection->exchange];

	while (connection->sent < exchange->request_bytes) {
		ssize_t n = send(connection->fd, exchange->request + connection->sent,
		                 exchange->request_bytes - connection->sent, MSG_NOSIGNAL);

		if (n < 0 && (errno == EAGAIN || errno == ENOTCONN))
			return; /* the next edge tells */
		if (n < 0)
			fail_connection(connection, strerror(errno));
		connection->sent += (size_t)n;
	}
}

static void check_reply(const struct connection *connection, size_t bytes)
{
	const struct exchange *exchange = &run.exchanges[connection->exchange];
	const char *expected = exchange->reply + connection->received;
	size_t at = 0, printable = 0;

	if (!connection->busy)
		fail_connection(connection, "the server speaks unasked");
	if (bytes <= exchange->reply_bytes - connection->received &&
	    memcmp(run.scratch, expected, bytes) == 0)
		return;
	while (at < bytes && connection->received + at < exchange->reply_bytes &&
	       run.scratch[at] == expected[at])
		at++;
	while (printable < bytes && printable < 60 && run.scratch[printable] >= ' ' &&
	       run.scratch[printable] <= '~')
		printable++;
	fail("connection %u, after %llu exchanges in all: wrong reply at byte %zu of %zu: \"%.*s\"",
	     number_of(connection), (unsigned long long)run.result->operations,
	     connection->received + at, exchange->reply_bytes, (int)printable, run.scratch);
}

/* Notes a finished exchange and begins what follows. */
static void end_exchange(struct connection *connection)
{
	uint64_t now = now_ns();

	histogram_add(&run.result->latencies, now - connection->started_ns);
	run.result->operations++;
	run.result->elapsed_ns = now - run.start_ns;
	run.busy--;
	connection->busy = false;
	connection->exchange = (connection->exchange + run.step) % run.count;
	if (run.after == AFTER_RECONNECT) {
		close(connection->fd);
		connection->fd = -1;
	}
	if (run.after != AFTER_KEEP)
		begin_exchange(connection, now);
	else if (run.opened < run.options->connections)
		begin_exchange(&run.connections[run.opened++], now);
}

/* Sends what waits and receives until the exchange ends or the kernel has nothing more. What
 * follows is begun, and left to its own events: only they can bring its reply. */
static void serve(struct connection *connection)
{
	const struct exchange *exchange = &run.exchanges[connection->exchange];
	ssize_t n;

	for (;;) {
		if (connection->busy)
			send_request(connection);
		n = recv(connection->fd, run.scratch, sizeof run.scratch, 0);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			fail_connection(connection, strerror(errno));
		if (n == 0)
			fail_connection(connection, "the server closed it");
		check_reply(connection, (size_t)n);
		connection->received += (size_t)n;
		if (connection->received == exchange->reply_bytes)
			break;
	}
	if (connection->sent < exchange->request_bytes)
		fail_connection(connection, "a whole reply before the end of its request");
	end_exchange(connection);
	if (connection->busy && run.after == AFTER_REPEAT)
		send_request(connection);
}

/* Serves what is ready; waits `timeout` at most, and fails when nothing was. */
static void turn(void)
{
	struct epoll_event events[BATCH];
	int n = epoll_wait(run.epoll, events, BATCH, (int)(run.options->timeout * 1e3));

	if (n < 0 && errno != EINTR)
		fail("epoll_wait: %s", strerror(errno));
	if (n == 0)
		fail("nothing came for %g s; %u exchanges were under way after %llu",
		     run.options->timeout, run.busy, (unsigned long long)run.result->operations);
	for (int i = 0; i < n; i++) {
		struct connection *connection = &run.connections[events[i].data.u32];

		if (connection->fd < 0)
			continue;
		if (events[i].events & EPOLLERR)
			fail_connection(connection, "broken");
		serve(connection);
	}
}

void engine_run(const struct options *options, enum after after, const struct exchange *exchanges,
                unsigned count, unsigned step, struct result *result)
{
	unsigned first = options->connections;

	run.options = options;
	run.after = after;
	run.exchanges = exchanges;
	run.count = count;
	run.step = step;
	run.result = result;
	run.connections = allocate(options->connections, sizeof *run.connections);
	run.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (run.epoll < 0)
		fail("epoll_create1: %s", strerror(errno));
	if (after == AFTER_KEEP && first > OPENING)
		first = OPENING;
	run.start_ns = now_ns();
	run.end_ns = run.start_ns + (uint64_t)(options->seconds * 1e9);
	for (unsigned i = 0; i < options->connections; i++) {
		run.connections[i].fd = -1;
		run.connections[i].exchange =
		        (unsigned)((uint64_t)i * count / options->connections);
	}
	run.opened = first;
	for (unsigned i = 0; i < first; i++)
		begin_exchange(&run.connections[i], now_ns());
	while (run.busy)
		turn();
}

void engine_watch(const struct options *options)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u32 = STDIN_MARK };
	uint64_t end = now_ns() + (uint64_t)(options->seconds * 1e9);
	struct linger reset = { .l_onoff = 1 };
	char byte;
	int n;

	if (epoll_ctl(run.epoll, EPOLL_CTL_ADD, STDIN_FILENO, &event) < 0)
		fail("standard input can't be waited for: %s", strerror(errno));
	for (;;) {
		uint64_t now = now_ns();

		if (now >= end)
			fail("standard input was open for %g s", options->seconds);
		n = epoll_wait(run.epoll, &event, 1, (int)((end - now) / 1000000 + 1));
		if (n < 0 && errno != EINTR)
			fail("epoll_wait: %s", strerror(errno));
		if (n <= 0)
			continue;
		if (event.data.u32 != STDIN_MARK)
			serve(&run.connections[event.data.u32]);
		else if (read(STDIN_FILENO, &byte, 1) <= 0)
			break;
	}
	/* Resets leave nothing behind on this side that would wait for its end. */
	for (unsigned i = 0; i < options->connections; i++)
		setsockopt(run.connections[i].fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
}
