/* epoll, poll and select: level and edge, one-shot, exclusive, nesting, closing, signals, timeouts.
 * The same program passes on Linux. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "test_check.h"

static struct epoll_event got[64];

static int add(int instance, int fd, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.fd = fd };
	return epoll_ctl(instance, EPOLL_CTL_ADD, fd, &event);
}

static int modify(int instance, int fd, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.fd = fd };
	return epoll_ctl(instance, EPOLL_CTL_MOD, fd, &event);
}

static int look(int instance)
{
	return epoll_wait(instance, got, 64, 0);
}

static void signal_event(int fd)
{
	uint64_t one = 1;
	EQ(write(fd, &one, 8), 8);
}

static void drain(int fd)
{
	uint64_t value;
	EQ(read(fd, &value, 8), 8);
}

static void test_control(void)
{
	int instance = epoll_create1(EPOLL_CLOEXEC), fd = eventfd(0, 0);
	EQ(add(instance, fd, EPOLLIN), 0);
	FAILS(add(instance, fd, EPOLLIN), EEXIST);
	int other = eventfd(0, 0);
	FAILS(modify(instance, other, EPOLLIN), ENOENT);
	close(other);
	FAILS(add(instance, instance, EPOLLIN), EINVAL);
	FAILS(add(fd, instance, EPOLLIN), EINVAL);
	FAILS(add(instance, 999, EPOLLIN), EBADF);
	FAILS(add(999, fd, EPOLLIN), EBADF);
	int file = open("/", O_RDONLY);
	FAILS(add(instance, file, EPOLLIN), EPERM);
	close(file);
	FAILS(epoll_ctl(instance, 9, fd, got), EINVAL);
	FAILS(epoll_ctl(instance, EPOLL_CTL_ADD, fd, bad_pointer), EFAULT);
	EQ(epoll_ctl(instance, EPOLL_CTL_DEL, fd, NULL), 0);
	FAILS(epoll_ctl(instance, EPOLL_CTL_DEL, fd, NULL), ENOENT);
	FAILS(epoll_wait(instance, got, 0, 0), EINVAL);
	FAILS(epoll_wait(fd, got, 1, 0), EINVAL);
	signal_event(fd);
	EQ(add(instance, fd, EPOLLIN), 0); /* ready when added */
	FAILS(epoll_wait(instance, bad_pointer, 4, 0), EFAULT);
	EQ(look(instance), 1);
	EQ(got[0].events, EPOLLIN);
	EQ(got[0].data.fd, fd);
	FAILS(epoll_create1(1), EINVAL);
	close(fd);
	close(instance);
}

static void test_triggers(void)
{
	int instance = epoll_create1(0), fd = eventfd(0, EFD_NONBLOCK);
	add(instance, fd, EPOLLIN);
	EQ(look(instance), 0);
	signal_event(fd);
	EQ(look(instance), 1);
	EQ(look(instance), 1); /* level: again and again */
	drain(fd);
	EQ(look(instance), 0);

	modify(instance, fd, EPOLLIN | EPOLLET);
	signal_event(fd);
	EQ(look(instance), 1);
	EQ(look(instance), 0); /* edge: once */
	signal_event(fd);
	EQ(look(instance), 1); /* a new event, though it was ready before */
	modify(instance, fd, EPOLLIN | EPOLLET);
	EQ(look(instance), 1); /* MOD looks anew */
	EQ(look(instance), 0);

	modify(instance, fd, EPOLLIN | EPOLLONESHOT);
	EQ(look(instance), 1);
	signal_event(fd);
	EQ(look(instance), 0);
	modify(instance, fd, EPOLLIN | EPOLLONESHOT);
	EQ(look(instance), 1);
	EQ(look(instance), 0);

	modify(instance, fd, EPOLLOUT);
	EQ(look(instance), 1);
	EQ(got[0].events, EPOLLOUT);
	modify(instance, fd, EPOLLIN | EPOLLOUT);
	EQ(look(instance), 1);
	EQ(got[0].events, EPOLLIN | EPOLLOUT);
	close(fd);
	EQ(look(instance), 0);
	close(instance);
}

static void test_hang_up(void)
{
	int instance = epoll_create1(0), ends[2];
	socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
	add(instance, ends[0], EPOLLIN | EPOLLRDHUP | EPOLLET);
	EQ(write(ends[1], "x", 1), 1);
	EQ(look(instance), 1);
	EQ(got[0].events, EPOLLIN);
	shutdown(ends[1], SHUT_WR);
	EQ(look(instance), 1);
	EQ(got[0].events, EPOLLIN | EPOLLRDHUP);
	close(ends[1]);
	EQ(look(instance), 1);
	EQ(got[0].events & (EPOLLHUP | EPOLLRDHUP), EPOLLHUP | EPOLLRDHUP);
	close(ends[0]);
	pipe(ends);
	add(instance, ends[0], 0); /* hang-ups are reported without being asked for */
	close(ends[1]);
	EQ(look(instance), 1);
	EQ(got[0].events, EPOLLHUP);
	close(ends[0]);
	close(instance);
}

/* An item belongs to the open file and the number it was registered with. */
static void test_duplicates(void)
{
	int instance = epoll_create1(0), fd = eventfd(1, 0), copy = dup(fd);
	add(instance, fd, EPOLLIN);
	EQ(add(instance, copy, EPOLLIN), 0);
	EQ(look(instance), 2);
	close(copy);
	EQ(look(instance), 2); /* still open as fd */
	FAILS(epoll_ctl(instance, EPOLL_CTL_DEL, copy, NULL), EBADF);
	close(fd);
	EQ(look(instance), 0);
	int again = eventfd(1, 0);
	EQ(again, fd);
	EQ(look(instance), 0);
	EQ(add(instance, again, EPOLLIN), 0);
	EQ(look(instance), 1);
	close(again);
	close(instance);
}

static void test_fairness(void)
{
	int instance = epoll_create1(0), fds[8], seen[8] = { 0 };
	for (int i = 0; i < 8; i++) {
		fds[i] = eventfd(1, 0);
		struct epoll_event event = { .events = EPOLLIN, .data.u64 = (uint64_t)i };
		epoll_ctl(instance, EPOLL_CTL_ADD, fds[i], &event);
	}
	for (int round = 0; round < 8; round++) {
		EQ(epoll_wait(instance, got, 3, 0), 3);
		for (int i = 0; i < 3; i++)
			seen[got[i].data.u64]++;
	}
	for (int i = 0; i < 8; i++) {
		EQ(seen[i], 3);
		close(fds[i]);
	}
	close(instance);
}

static void test_nesting(void)
{
	int inner = epoll_create1(0), outer = epoll_create1(0), fd = eventfd(0, 0);
	EQ(add(inner, fd, EPOLLIN), 0);
	EQ(add(outer, inner, EPOLLIN), 0);
	FAILS(add(inner, outer, EPOLLIN), ELOOP);
	EQ(look(outer), 0);
	signal_event(fd);
	EQ(look(outer), 1);
	EQ(got[0].data.fd, inner);
	EQ(ready(inner, POLLIN, 0), POLLIN);
	EQ(ready(outer, POLLIN, 0), POLLIN);
	EQ(look(inner), 1);
	drain(fd);
	EQ(look(outer), 0);
	EQ(ready(inner, POLLIN, 0), 0);
	int chain[6];
	chain[0] = outer;
	int error = 0;
	for (int i = 1; i < 6 && !error; i++) {
		chain[i] = epoll_create1(0);
		error = add(chain[i], chain[i - 1], EPOLLIN);
	}
	EQ(error, -1);
	EQ(errno, ELOOP);
	for (int i = 1; i < 6; i++)
		close(chain[i]);
	close(fd);
	close(inner);
	close(outer);
}

static int shared_fd;

static void *notify_later(void *argument)
{
	pause_ms((int)(long)argument);
	signal_event(shared_fd);
	return NULL;
}

static long milliseconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void test_waiting(void)
{
	pthread_t thread;
	int instance = epoll_create1(0);
	shared_fd = eventfd(0, EFD_NONBLOCK);
	add(instance, shared_fd, EPOLLIN);
	long start = milliseconds();
	EQ(epoll_wait(instance, got, 4, 50), 0);
	EQ(milliseconds() - start >= 49, 1);
	pthread_create(&thread, NULL, notify_later, (void *)20L);
	EQ(epoll_wait(instance, got, 4, -1), 1);
	pthread_join(thread, NULL);
	drain(shared_fd);
	pthread_create(&thread, NULL, notify_later, (void *)20L);
	EQ(ready(shared_fd, POLLIN, 5000), POLLIN);
	pthread_join(thread, NULL);
	drain(shared_fd);
	pthread_create(&thread, NULL, notify_later, (void *)20L);
	fd_set set;
	FD_ZERO(&set);
	FD_SET(shared_fd, &set);
	struct timeval timeout = { 5, 0 };
	EQ(select(shared_fd + 1, &set, NULL, NULL, &timeout), 1);
	EQ(FD_ISSET(shared_fd, &set) != 0, 1);
	EQ(timeout.tv_sec, 4); /* what was left */
	pthread_join(thread, NULL);
	close(shared_fd);
	close(instance);
}

static volatile int caught;

static void on_signal(int number)
{
	caught = number;
}

static void test_signals(void)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	sigset_t blocked, open_mask;
	int instance = epoll_create1(0);
	sigaction(SIGUSR1, &action, NULL);
	sigaction(SIGALRM, &action, NULL);
	ualarm(20000, 0);
	FAILS(epoll_wait(instance, got, 4, 5000), EINTR); /* never restarted */
	EQ(caught, SIGALRM);
	ualarm(20000, 0);
	FAILS(poll(NULL, 0, 5000), EINTR);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR1);
	sigprocmask(SIG_BLOCK, &blocked, &open_mask);
	raise(SIGUSR1);
	caught = 0;
	EQ(epoll_wait(instance, got, 4, 0), 0);
	EQ(caught, 0);
	FAILS(epoll_pwait(instance, got, 4, 5000, &open_mask),
	      EINTR); /* pending, unblocked for the wait */
	EQ(caught, SIGUSR1);
	raise(SIGUSR1);
	caught = 0;
	struct timespec timeout = { 5, 0 };
	FAILS(ppoll(NULL, 0, &timeout, &open_mask), EINTR);
	EQ(caught, SIGUSR1);
	raise(SIGUSR1);
	FAILS(pselect(0, NULL, NULL, NULL, &timeout, &open_mask), EINTR);
	sigset_t now;
	sigprocmask(SIG_SETMASK, NULL, &now);
	EQ(sigismember(&now, SIGUSR1), 1); /* the mask came back */
	sigprocmask(SIG_SETMASK, &open_mask, NULL);
	signal(SIGALRM, SIG_DFL);
	alarm(60);
	close(instance);
}

static void test_poll(void)
{
	int ends[2];
	pipe(ends);
	struct pollfd set[4] = { { ends[0], POLLIN, 77 },
		                 { -1, POLLIN, 77 },
		                 { 999, POLLIN, 77 },
		                 { ends[1], POLLOUT, 77 } };
	EQ(poll(set, 4, -1), 2);
	EQ(set[0].revents, 0);
	EQ(set[1].revents, 0);
	EQ(set[2].revents, POLLNVAL);
	EQ(set[3].revents, POLLOUT);
	FAILS(poll(bad_pointer, 2, 0), EFAULT);
	FAILS(syscall(SYS_ppoll, set, 1u << 30, NULL, NULL, 0), EINVAL);
	struct timespec wrong = { -1, 0 };
	FAILS(ppoll(set, 1, &wrong, NULL), EINVAL);
	fd_set in, out;
	FD_ZERO(&in);
	FD_ZERO(&out);
	FD_SET(ends[0], &in);
	FD_SET(ends[1], &out);
	struct timeval timeout = { 0, 0 };
	EQ(select(ends[1] + 1, &in, &out, NULL, &timeout), 1);
	EQ(FD_ISSET(ends[0], &in), 0);
	EQ(FD_ISSET(ends[1], &out) != 0, 1);
	FD_SET(60, &in);
	FAILS(select(61, &in, NULL, NULL, &timeout), EBADF);
	FAILS(select(-1, NULL, NULL, NULL, NULL), EINVAL);
	close(ends[1]);
	FD_ZERO(&in);
	FD_SET(ends[0], &in);
	EQ(select(ends[0] + 1, &in, NULL, NULL, NULL), 1);
	close(ends[0]);
}

static int exclusive_instance[2], woken_count;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void *exclusive_waiter(void *argument)
{
	struct epoll_event event;
	int found = epoll_wait(exclusive_instance[(long)argument], &event, 1, 200);
	pthread_mutex_lock(&mutex);
	woken_count += found;
	pthread_mutex_unlock(&mutex);
	return NULL;
}

static void test_exclusive(void)
{
	pthread_t threads[2];
	int fd = eventfd(0, EFD_NONBLOCK);
	for (long i = 0; i < 2; i++) {
		exclusive_instance[i] = epoll_create1(0);
		EQ(add(exclusive_instance[i], fd, EPOLLIN | EPOLLEXCLUSIVE), 0);
		FAILS(modify(exclusive_instance[i], fd, EPOLLIN), EINVAL);
		pthread_create(&threads[i], NULL, exclusive_waiter, (void *)i);
	}
	FAILS(add(exclusive_instance[0], exclusive_instance[1], EPOLLIN | EPOLLEXCLUSIVE), EINVAL);
	pause_ms(50);
	signal_event(fd);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	EQ(woken_count >= 1, 1);
	close(exclusive_instance[0]);
	close(exclusive_instance[1]);
	close(fd);
}

static void test_many(void)
{
	enum { COUNT = 600 };
	static int fds[COUNT];
	int instance = epoll_create1(0), total = 0;
	for (int i = 0; i < COUNT; i++) {
		fds[i] = eventfd(0, 0);
		EQ(add(instance, fds[i], EPOLLIN), 0);
	}
	for (int i = 0; i < COUNT; i += 3)
		signal_event(fds[i]);
	for (int i = 0; i < 10; i++) {
		int found = epoll_wait(instance, got, 64, 0);
		for (int k = 0; k < found; k++)
			drain(got[k].data.fd);
		total += found;
	}
	EQ(total, COUNT / 3);
	for (int i = 0; i < COUNT; i++)
		close(fds[i]);
	EQ(look(instance), 0);
	close(instance);
}

int main(void)
{
	begin();
	test_control();
	test_triggers();
	test_hang_up();
	test_duplicates();
	test_fairness();
	test_nesting();
	test_waiting();
	test_signals();
	test_poll();
	test_exclusive();
	test_many();
	return end("test_epoll");
}
