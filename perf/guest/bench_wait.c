/* Calls that make another thread or process run, and waiting for one of many descriptors. */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench.h"

#define SPARE_DESCRIPTORS 64

/* ---- two processes and two pipes ---- */

static void answer_pipe(int in, int out)
{
	char byte;
	while (read(in, &byte, 1) == 1 && write(out, &byte, 1) == 1)
		;
}

const char *measure_pipe(uint64_t argument, uint64_t operations, struct result *result)
{
	static int there[2], back[2] = { -1, -1 };
	char byte = 0;
	(void)argument;
	if (back[0] < 0) {
		if (pipe(there) || pipe(back) || !peer_start(answer_pipe, there[0], back[1]))
			return "no pipes or no second process";
		close(there[0]);
		close(back[1]);
	}
	uint64_t start = now_ns(), last = start;
	for (uint64_t i = 0; i < operations; i++) {
		if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1)
			return "the other process is gone";
		uint64_t now = now_ns();
		histogram_add(&result->latency, now - last);
		last = now;
	}
	result->nanoseconds = last - start;
	return NULL;
}

/* ---- epoll_wait ---- */

static struct {
	int epoll;
	int *events;
	uint64_t count;
} watched = { .epoll = -1 };

static void watch_end(void)
{
	for (uint64_t i = 0; i < watched.count; i++)
		close(watched.events[i]);
	free(watched.events);
	if (watched.epoll >= 0)
		close(watched.epoll);
	watched.events = NULL;
	watched.count = 0;
	watched.epoll = -1;
}

/* `count` eventfds, of which the middle one is ready. */
static const char *watch_start(uint64_t count)
{
	struct rlimit limit = { count + SPARE_DESCRIPTORS, count + SPARE_DESCRIPTORS };
	watch_end();
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
		return "the limit of descriptors can't be raised";
	watched.events = calloc(count, sizeof(int));
	watched.epoll = epoll_create1(0);
	if (!watched.events || watched.epoll < 0)
		return "no memory";
	for (; watched.count < count; watched.count++) {
		uint64_t i = watched.count;
		struct epoll_event event = { .events = EPOLLIN, .data.u64 = i };
		watched.events[i] = eventfd(i == count / 2, EFD_NONBLOCK);
		if (watched.events[i] < 0 ||
		    epoll_ctl(watched.epoll, EPOLL_CTL_ADD, watched.events[i], &event) != 0)
			return "not so many eventfds can be had";
	}
	return NULL;
}

const char *measure_epoll(uint64_t argument, uint64_t operations, struct result *result)
{
	struct epoll_event event;
	if (argument == 0)
		return "epoll wants a number of descriptors: epoll 10 OPERATIONS";
	const char *error = watched.count == argument ? NULL : watch_start(argument);
	if (error)
		return error;
	uint64_t start = now_ns();
	for (uint64_t i = 0; i < operations; i++) {
		if (epoll_wait(watched.epoll, &event, 1, -1) != 1 || event.data.u64 != argument / 2)
			return "epoll_wait told the wrong descriptor";
	}
	result->nanoseconds = now_ns() - start;
	return NULL;
}

/* ---- two threads and a futex ---- */

static uint32_t turn; /* even: ours */

static void hand_over(uint32_t from)
{
	__atomic_store_n(&turn, from + 1, __ATOMIC_RELEASE);
	syscall(SYS_futex, &turn, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
	uint32_t now;
	while ((now = __atomic_load_n(&turn, __ATOMIC_ACQUIRE)) != from + 2)
		syscall(SYS_futex, &turn, FUTEX_WAIT_PRIVATE, now, NULL, NULL, 0);
}

static void *answer_futex(void *unused)
{
	while (__atomic_load_n(&turn, __ATOMIC_ACQUIRE) != 1)
		syscall(SYS_futex, &turn, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
	for (uint32_t mine = 1;; mine += 2)
		hand_over(mine);
	return unused;
}

const char *measure_futex(uint64_t argument, uint64_t operations, struct result *result)
{
	static bool started;
	pthread_t other;
	(void)argument;
	if (!started && pthread_create(&other, NULL, answer_futex, NULL) != 0)
		return "no thread can be had";
	started = true;
	uint64_t start = now_ns(), last = start;
	for (uint64_t i = 0; i < operations; i++) {
		hand_over(turn);
		uint64_t now = now_ns();
		histogram_add(&result->latency, now - last);
		last = now;
	}
	result->nanoseconds = last - start;
	return NULL;
}

/* ---- threads ---- */

static void *return_at_once(void *argument)
{
	return argument;
}

const char *measure_thread(uint64_t argument, uint64_t operations, struct result *result)
{
	(void)argument;
	uint64_t start = now_ns(), last = start;
	for (uint64_t i = 0; i < operations; i++) {
		pthread_t thread;
		if (pthread_create(&thread, NULL, return_at_once, NULL) != 0 ||
		    pthread_join(thread, NULL) != 0)
			return "pthread_create failed";
		uint64_t now = now_ns();
		histogram_add(&result->latency, now - last);
		last = now;
	}
	result->nanoseconds = last - start;
	return NULL;
}
