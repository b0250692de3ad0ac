/* What ends a wait: which changes of an object wake poll, and how many of those who wait. */
#define _GNU_SOURCE
#include "readiness.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

/* What is done to the object while a poll waits. */
struct change {
	int fd;
	void (*make)(int fd);
};

static void *change_later(void *argument)
{
	struct change *change = argument;
	pause_ms(10);
	change->make(change->fd);
	return NULL;
}

/* Polls `fd` for `events` while a thread makes the change. */
static void observe_wake_within(int ms, const char *label, int fd, int events, void (*make)(int),
                                int on)
{
	struct change change = { on, make };
	pthread_t thread;
	pthread_create(&thread, NULL, change_later, &change);
	observe_poll(label, fd, events, ms);
	pthread_join(thread, NULL);
}

static void observe_wake(const char *label, int fd, int events, void (*make)(int), int on)
{
	observe_wake_within(3000, label, fd, events, make, on);
}

static void write_one(int fd)
{
	must("write", write(fd, "a", 1));
}

static void write_counter(int fd)
{
	eventfd_write(fd, 1);
}

static void read_all(int fd)
{
	static char bytes[1 << 20];
	while (read(fd, bytes, sizeof(bytes)) > 0)
		;
}

/* Also what comes because there is room for it now. */
static void read_till_quiet(int fd)
{
	struct pollfd entry = { .fd = fd, .events = POLLIN };
	do
		read_all(fd);
	while (poll(&entry, 1, 50) > 0);
}

static void close_it(int fd)
{
	close(fd);
}

static void shut_write(int fd)
{
	shutdown(fd, SHUT_WR);
}

static void shut_read(int fd)
{
	shutdown(fd, SHUT_RD);
}

static void shut_both(int fd)
{
	shutdown(fd, SHUT_RDWR);
}

static void nothing(int fd)
{
	(void)fd;
}

CASE(wake_pipe_by_data)
{
	int ends[2];
	must("pipe", pipe(ends));
	observe_wake("in", ends[0], POLLIN, write_one, ends[1]);
	observe_wake_within(150, "nothing-new", ends[0], POLLPRI, write_one, ends[1]);
}

CASE(wake_pipe_by_room)
{
	int ends[2];
	must("pipe", pipe2(ends, O_NONBLOCK));
	fill(ends[1]);
	observe_wake("out", ends[1], POLLOUT, read_all, ends[0]);
}

CASE(wake_pipe_by_hang_up)
{
	int ends[2];
	must("pipe", pipe(ends));
	observe_wake("reader", ends[0], 0, close_it, ends[1]);
	must("pipe", pipe2(ends, O_NONBLOCK));
	fill(ends[1]);
	observe_wake("writer", ends[1], 0, close_it, ends[0]);
}

CASE(wake_fifo_by_writer)
{
	mkfifo("fifo", 0600);
	int reader = open("fifo", O_RDONLY | O_NONBLOCK), writer = open("fifo", O_WRONLY);
	observe_wake("gone", reader, POLLIN, close_it, writer);
}

CASE(wake_eventfd)
{
	int fd = eventfd(0, EFD_NONBLOCK);
	observe_wake("in", fd, POLLIN, write_counter, fd);
	eventfd_t value;
	eventfd_read(fd, &value);
	eventfd_write(fd, UINT64_MAX - 1);
	observe_wake("out", fd, POLLOUT, read_all, fd);
}

static void arm(int fd)
{
	struct itimerspec soon = { .it_value = { 0, 1000000 } };
	timerfd_settime(fd, 0, &soon, NULL);
}

CASE(wake_timerfd)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, 0);
	observe_wake("in", fd, POLLIN, arm, fd);
}

CASE(wake_stream_by_data)
{
	int pair[2];
	unix_pair(SOCK_STREAM, pair);
	observe_wake("in", pair[0], POLLIN, write_one, pair[1]);
}

CASE(wake_stream_by_room)
{
	int pair[2];
	unix_pair(SOCK_STREAM, pair);
	set_nonblocking(pair[0]);
	set_nonblocking(pair[1]);
	fill(pair[0]);
	observe_wake("out", pair[0], POLLOUT, read_all, pair[1]);
}

static void wake_by_end(void (*make_pair)(int pair[2]))
{
	static const struct {
		const char *label;
		void (*make)(int);
		int side;
	} ends[] = {
		{ "peer-shuts-write", shut_write, 1 }, { "peer-shuts-read", shut_read, 1 },
		{ "peer-shuts-both", shut_both, 1 },   { "peer-closes", close_it, 1 },
		{ "own-shuts-write", shut_write, 0 },  { "own-shuts-read", shut_read, 0 },
		{ "own-shuts-both", shut_both, 0 },    { "nothing", nothing, 0 },
	};
	static const int masks[] = { 0, POLLRDHUP };
	static const char *const names[] = { "0", "RDHUP" };
	char label[60];
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		for (int m = 0; m < 2; m++) {
			int pair[2];
			make_pair(pair);
			snprintf(label, sizeof(label), "%s/%s", ends[i].label, names[m]);
			observe_wake_within(150, label, pair[0], masks[m], ends[i].make,
			                    pair[ends[i].side]);
			close(pair[0]);
			close(pair[1]);
		}
	}
}

static void stream_pair(int pair[2])
{
	unix_pair(SOCK_STREAM, pair);
}

static void datagram_pair(int pair[2])
{
	unix_pair(SOCK_DGRAM, pair);
}

CASE_SECONDS(wake_tcp_by_end, 60)
{
	wake_by_end(tcp_pair);
}

CASE_SECONDS(wake_stream_by_end, 60)
{
	wake_by_end(stream_pair);
}

CASE_SECONDS(wake_dgram_by_end, 60)
{
	wake_by_end(datagram_pair);
}

CASE_SECONDS(wake_udp_by_end, 60)
{
	wake_by_end(udp_pair);
}

CASE(wake_tcp_by_data)
{
	int pair[2];
	tcp_pair(pair);
	observe_wake("in", pair[0], POLLIN, write_one, pair[1]);
}

CASE(wake_tcp_by_room)
{
	int pair[2];
	tcp_pair(pair);
	set_nonblocking(pair[0]);
	set_nonblocking(pair[1]);
	fill(pair[0]);
	observe_wake("out", pair[0], POLLOUT, read_till_quiet, pair[1]);
}

static struct sockaddr_in target;

static void connect_there(int fd)
{
	connect_to(fd, target);
}

CASE(wake_listener)
{
	int listener = tcp_listener(1, &target);
	observe_wake("in", listener, POLLIN, connect_there, tcp_socket());
}

CASE(wake_listener_by_shutdown)
{
	int listener = tcp_listener(1, NULL);
	observe_wake("shutdown", listener, POLLIN, shut_read, listener);
}

CASE(wake_connecting_by_close_of_listener)
{
	int listener = tcp_listener(0, &target), fd = tcp_socket();
	must("connect", connect_to(tcp_socket(), target));
	set_nonblocking(fd);
	observe("connect", connect_to(fd, target));
	observe_wake("shut", fd, POLLOUT, shut_both, fd);
	close(listener);
}

/* ---- how many wake ---- */

#define WAITERS 4

static atomic_int woken, waiting;

struct waiter {
	int fd;
	void (*wait)(int fd);
};

static void *waiter_run(void *argument)
{
	struct waiter *waiter = argument;
	atomic_fetch_add(&waiting, 1);
	waiter->wait(waiter->fd);
	atomic_fetch_add(&woken, 1);
	return NULL;
}

/* How many of four threads that wait on `fd` are woken by each of some changes. */
static void observe_wakes(int fd, void (*wait)(int), void (*make)(int), int on, int times)
{
	struct waiter waiter = { fd, wait };
	pthread_t thread;
	for (int i = 0; i < WAITERS; i++)
		pthread_create(&thread, NULL, waiter_run, &waiter);
	while (atomic_load(&waiting) < WAITERS)
		pause_ms(1);
	pause_ms(30);
	for (int i = 0; i < times; i++) {
		make(on);
		pause_ms(50);
		observe("woken", atomic_load(&woken));
	}
}

static void wait_poll(int fd)
{
	struct pollfd entry = { .fd = fd, .events = POLLIN };
	poll(&entry, 1, 5000);
}

static void wait_read_counter(int fd)
{
	uint64_t value;
	(void)!read(fd, &value, sizeof(value));
}

static void wait_read_one(int fd)
{
	char byte;
	(void)!read(fd, &byte, 1);
}

static void wait_accept(int fd)
{
	accept(fd, NULL, NULL);
}

static void wait_epoll(int fd)
{
	struct epoll_event event;
	epoll_wait(fd, &event, 1, 5000);
}

CASE(waiters_poll_pipe)
{
	int ends[2];
	must("pipe", pipe(ends));
	observe_wakes(ends[0], wait_poll, write_one, ends[1], 1);
}

CASE(waiters_poll_tcp)
{
	int pair[2];
	tcp_pair(pair);
	observe_wakes(pair[0], wait_poll, write_one, pair[1], 1);
}

CASE(waiters_read_pipe)
{
	int ends[2];
	must("pipe", pipe(ends));
	observe_wakes(ends[0], wait_read_one, write_one, ends[1], WAITERS);
}

CASE(waiters_read_eventfd)
{
	int fd = eventfd(0, 0);
	observe_wakes(fd, wait_read_counter, write_counter, fd, WAITERS);
}

CASE(waiters_read_eventfd_semaphore)
{
	int fd = eventfd(0, EFD_SEMAPHORE);
	observe_wakes(fd, wait_read_counter, write_counter, fd, WAITERS);
}

CASE(waiters_read_tcp)
{
	int pair[2];
	tcp_pair(pair);
	observe_wakes(pair[0], wait_read_one, write_one, pair[1], WAITERS);
}

CASE(waiters_read_tcp_closed)
{
	int pair[2];
	tcp_pair(pair);
	observe_wakes(pair[0], wait_read_one, shut_write, pair[1], 1);
}

CASE(waiters_read_pipe_closed)
{
	int ends[2];
	must("pipe", pipe(ends));
	observe_wakes(ends[0], wait_read_one, close_it, ends[1], 1);
}

static void connect_new(int unused)
{
	(void)unused;
	connect_to(tcp_socket(), target);
}

CASE(waiters_accept)
{
	int listener = tcp_listener(8, &target);
	observe_wakes(listener, wait_accept, connect_new, 0, WAITERS);
}

CASE(waiters_accept_shut_down)
{
	int listener = tcp_listener(8, &target);
	observe_wakes(listener, wait_accept, shut_read, listener, 1);
}

static int epoll_of(int fd, unsigned int events)
{
	struct epoll_event event = { .events = events };
	int epoll = (int)must("epoll", epoll_create1(0));
	must("add", epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
	return epoll;
}

CASE(waiters_epoll_level)
{
	int fd = eventfd(0, 0);
	observe_wakes(epoll_of(fd, EPOLLIN), wait_epoll, write_counter, fd, 1);
}

CASE(waiters_epoll_edge)
{
	int fd = eventfd(0, 0);
	observe_wakes(epoll_of(fd, EPOLLIN | EPOLLET), wait_epoll, write_counter, fd, WAITERS);
}

CASE(waiters_epoll_oneshot)
{
	int fd = eventfd(0, 0);
	observe_wakes(epoll_of(fd, EPOLLIN | EPOLLONESHOT), wait_epoll, write_counter, fd, 2);
}

static int shared_fd;
static unsigned int shared_events;

/* Each in an instance of its own. */
static void wait_own_epoll(int unused)
{
	(void)unused;
	wait_epoll(epoll_of(shared_fd, shared_events));
}

CASE(waiters_own_epolls)
{
	shared_fd = eventfd(0, 0);
	shared_events = EPOLLIN;
	observe_wakes(0, wait_own_epoll, write_counter, shared_fd, 1);
}

CASE(waiters_own_epolls_exclusive)
{
	shared_fd = eventfd(0, 0);
	shared_events = EPOLLIN | EPOLLEXCLUSIVE;
	observe_wakes(0, wait_own_epoll, write_counter, shared_fd, 1);
}

CASE(waiters_own_epolls_exclusive_edge)
{
	shared_fd = eventfd(0, 0);
	shared_events = EPOLLIN | EPOLLEXCLUSIVE | EPOLLET;
	observe_wakes(0, wait_own_epoll, write_counter, shared_fd, WAITERS);
}

CASE(waiters_own_epolls_exclusive_accept)
{
	shared_fd = tcp_listener(8, &target);
	shared_events = EPOLLIN | EPOLLEXCLUSIVE | EPOLLET;
	observe_wakes(0, wait_own_epoll, connect_new, 0, WAITERS);
}

CASE(waiters_poll_nested_epoll)
{
	int fd = eventfd(0, 0);
	observe_wakes(epoll_of(fd, EPOLLIN), wait_poll, write_counter, fd, 1);
}
