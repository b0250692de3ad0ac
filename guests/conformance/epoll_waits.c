/* epoll_wait, epoll_pwait, epoll_pwait2: arguments, order, times, signals. */
#define _GNU_SOURCE
#include "epoll_sets.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

static void *volatile bad_pointer = (void *)16;
static volatile sig_atomic_t caught;

static void catch (int number)
{
	(void)number;
	caught++;
}

static void handle(int number, int flags)
{
	struct sigaction action = { .sa_handler = catch, .sa_flags = flags };
	sigaction(number, &action, NULL);
}

static void set_blocked(int how, int number)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, number);
	sigprocmask(how, &set, NULL);
}

static void signal_later(int ms)
{
	pid_t self = getpid();
	if (fork() == 0) {
		pause_ms(ms);
		kill(self, SIGUSR1);
		_exit(0);
	}
}

static long raw_pwait(int epoll, void *events, int max, int timeout_ms, const void *mask,
                      size_t size)
{
	return syscall(SYS_epoll_pwait, epoll, events, max, timeout_ms, mask, size);
}

static long raw_pwait2(int epoll, void *events, int max, const void *time, const void *mask,
                       size_t size)
{
	return syscall(SYS_epoll_pwait2, epoll, events, max, time, mask, size);
}

CASE(wait_bad_arguments)
{
	int epoll = epoll_new(), fd = eventfd(1, 0);
	struct epoll_event event;
	epoll_add(epoll, fd, EPOLLIN, 1);
	observe("fd", raw_pwait(-1, &event, 1, 0, NULL, 0));
	observe("not-open", raw_pwait(900, &event, 1, 0, NULL, 0));
	observe("no-epoll", raw_pwait(fd, &event, 1, 0, NULL, 0));
	observe("max-0", raw_pwait(epoll, &event, 0, 0, NULL, 0));
	observe("max-negative", raw_pwait(epoll, &event, -1, 0, NULL, 0));
	observe("max-huge", raw_pwait(epoll, &event, INT32_MAX, 0, NULL, 0));
	observe("max-largest", raw_pwait(epoll, &event, INT32_MAX / 16, 0, NULL, 0));
	observe("max-and-fd", raw_pwait(-1, &event, 0, 0, NULL, 0));
	observe("pointer", raw_pwait(epoll, bad_pointer, 1, 0, NULL, 0));
	observe("still-there", raw_pwait(epoll, &event, 1, 0, NULL, 0));
	observe("mask", raw_pwait(epoll, &event, 1, 0, bad_pointer, 8));
	observe("mask-size", raw_pwait(epoll, &event, 1, 0, bad_pointer, 4));
	observe("mask-and-max", raw_pwait(epoll, &event, 0, 0, bad_pointer, 4));
	observe("no-mask", raw_pwait(epoll, &event, 1, 0, NULL, 77));
}

CASE(wait_bad_pointer_keeps_edge)
{
	int epoll = epoll_new(), fd = eventfd(1, 0);
	epoll_add(epoll, fd, EPOLLIN | EPOLLET, 1);
	observe("pointer", raw_pwait(epoll, bad_pointer, 1, 0, NULL, 0));
	observe_wait("after", epoll, 1, 0);
	observe_wait("again", epoll, 1, 0);
}

CASE(wait_room_ends_in_a_hole)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	int epoll = epoll_new();
	char *pages =
	        mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(pages + page, page);
	struct epoll_event *last = (struct epoll_event *)(pages + page) - 1;
	for (int i = 0; i < 3; i++)
		epoll_add(epoll, eventfd(1, 0), EPOLLIN | EPOLLET, i);
	observe("first", raw_pwait(epoll, last, 3, 0, NULL, 0));
	observe("data", (long)last->data.u64);
	observe_wait("others", epoll, 8, 0);
}

CASE(wait_far_pointer)
{
	int epoll = epoll_new();
	observe("kernel", raw_pwait(epoll, (void *)-4096ul, 1, 0, NULL, 0));
	observe("kernel-pwait2",
	        raw_pwait2(epoll, (void *)-4096ul, 1, &(struct timespec){ 0 }, NULL, 0));
}

CASE(wait_times)
{
	int epoll = epoll_new();
	struct epoll_event event;
	long start = now_ms();
	observe("zero", raw_pwait(epoll, &event, 1, 0, NULL, 0));
	observe("50", raw_pwait(epoll, &event, 1, 50, NULL, 0));
	observe_waited("waited", start, 50, 5000);
}

CASE(pwait2_times)
{
	int epoll = epoll_new();
	struct epoll_event event;
	struct timespec zero = { 0 }, some = { 0, 20000000 }, one = { 0, 1 };
	struct timespec negative = { -1, 0 }, too_many = { 0, 1000000000 };
	long start = now_ms();
	observe("zero", raw_pwait2(epoll, &event, 1, &zero, NULL, 0));
	observe("one", raw_pwait2(epoll, &event, 1, &one, NULL, 0));
	observe("some", raw_pwait2(epoll, &event, 1, &some, NULL, 0));
	observe_waited("waited", start, 20, 5000);
	observe_text("kept", "%ld.%09ld", some.tv_sec, some.tv_nsec);
	observe("negative", raw_pwait2(epoll, &event, 1, &negative, NULL, 0));
	observe("nanoseconds", raw_pwait2(epoll, &event, 1, &too_many, NULL, 0));
	observe("pointer", raw_pwait2(epoll, &event, 1, bad_pointer, NULL, 0));
	observe("time-and-fd", raw_pwait2(-1, &event, 1, &negative, NULL, 0));
	epoll_add(epoll, eventfd(1, 0), EPOLLIN, 1);
	observe("no-time", raw_pwait2(epoll, &event, 1, NULL, NULL, 0));
}

CASE(wait_interrupted)
{
	int epoll = epoll_new();
	struct epoll_event event;
	handle(SIGUSR1, SA_RESTART);
	signal_later(30);
	observe("wait", raw_pwait(epoll, &event, 1, -1, NULL, 0));
	observe("caught", caught);
}

CASE(wait_ignored_signal)
{
	int epoll = epoll_new();
	struct epoll_event event;
	long start = now_ms();
	signal(SIGUSR1, SIG_IGN);
	signal_later(10);
	observe("wait", raw_pwait(epoll, &event, 1, 60, NULL, 0));
	observe_waited("waited", start, 60, 5000);
}

CASE(wait_stopped_and_continued)
{
	int status = 0, epoll = epoll_new();
	struct epoll_event event;
	pid_t pid = (pid_t)must("fork", fork());
	if (pid == 0)
		_exit(raw_pwait(epoll, &event, 1, 200, NULL, 0) == 0 ? 100 : errno);
	pause_ms(30);
	kill(pid, SIGSTOP);
	waitpid(pid, &status, WUNTRACED);
	kill(pid, SIGCONT);
	waitpid(pid, &status, 0);
	observe_text("child", "%s",
	             WEXITSTATUS(status) == 100 ? "0" : strerrorname_np(WEXITSTATUS(status)));
}

CASE(pwait_mask)
{
	int epoll = epoll_new();
	struct epoll_event event;
	sigset_t none, usr1, now;
	sigemptyset(&none);
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	handle(SIGUSR1, 0);
	set_blocked(SIG_BLOCK, SIGUSR1);
	raise(SIGUSR1);
	observe("zero-time", raw_pwait(epoll, &event, 1, 0, &none, 8));
	observe("caught", caught);
	observe("for-ever", raw_pwait(epoll, &event, 1, -1, &none, 8));
	observe("caught", caught);
	sigprocmask(SIG_BLOCK, NULL, &now);
	observe("blocked", sigismember(&now, SIGUSR1));
	set_blocked(SIG_UNBLOCK, SIGUSR1);
	signal_later(10);
	observe("blocks", raw_pwait(epoll, &event, 1, 60, &usr1, 8));
	observe("caught", caught);
}

CASE(pwait_ready_before_signal)
{
	int epoll = epoll_new();
	struct epoll_event event;
	sigset_t none;
	sigemptyset(&none);
	epoll_add(epoll, eventfd(1, 0), EPOLLIN, 1);
	handle(SIGUSR1, 0);
	set_blocked(SIG_BLOCK, SIGUSR1);
	raise(SIGUSR1);
	observe("wait", raw_pwait(epoll, &event, 1, -1, &none, 8));
	observe("caught", caught);
	observe("wait2", raw_pwait2(epoll, &event, 1, NULL, &none, 8));
	observe("caught", caught);
}

CASE(order_of_events)
{
	int epoll = epoll_new(), fds[6];
	for (int i = 0; i < 6; i++) {
		fds[i] = eventfd(0, EFD_NONBLOCK);
		epoll_add(epoll, fds[i], EPOLLIN, i);
	}
	static const int order[] = { 3, 1, 5, 0 };
	for (int i = 0; i < 4; i++)
		eventfd_write(fds[order[i]], 1);
	observe_wait("all", epoll, 6, 0);
	observe_wait("again", epoll, 6, 0);
}

CASE(order_of_adds_when_ready)
{
	int epoll = epoll_new();
	for (int i = 0; i < 5; i++)
		epoll_add(epoll, eventfd(1, 0), EPOLLIN, i);
	observe_wait("all", epoll, 6, 0);
}

/* With room for one, all that are ready have their turn. */
CASE(fairness_with_one)
{
	int epoll = epoll_new();
	for (int i = 0; i < 4; i++)
		epoll_add(epoll, eventfd(1, 0), EPOLLIN, i);
	for (int i = 0; i < 9; i++)
		observe_wait("wait", epoll, 1, 0);
}

CASE(fairness_with_three_of_five)
{
	int epoll = epoll_new();
	for (int i = 0; i < 5; i++)
		epoll_add(epoll, eventfd(1, 0), EPOLLIN, i);
	for (int i = 0; i < 4; i++)
		observe_wait("wait", epoll, 3, 0);
}

CASE(fairness_newcomer)
{
	int epoll = epoll_new(), late = eventfd(0, 0);
	for (int i = 0; i < 3; i++)
		epoll_add(epoll, eventfd(1, 0), EPOLLIN, i);
	epoll_add(epoll, late, EPOLLIN, 9);
	observe_wait("wait", epoll, 1, 0);
	eventfd_write(late, 1);
	for (int i = 0; i < 5; i++)
		observe_wait("wait", epoll, 1, 0);
}

CASE(edge_with_room_for_one)
{
	int epoll = epoll_new();
	for (int i = 0; i < 3; i++)
		epoll_add(epoll, eventfd(1, 0), EPOLLIN | EPOLLET, i);
	for (int i = 0; i < 4; i++)
		observe_wait("wait", epoll, 1, 0);
}

CASE(gone_between_is_not_reported)
{
	int epoll = epoll_new(), fd = eventfd(0, EFD_NONBLOCK);
	eventfd_t value;
	epoll_add(epoll, fd, EPOLLIN | EPOLLET, 1);
	eventfd_write(fd, 1);
	eventfd_read(fd, &value);
	observe_wait("wait", epoll, 1, 0);
}

struct later {
	int epoll, fd;
};

static void *add_later(void *argument)
{
	struct later *later = argument;
	pause_ms(30);
	epoll_add(later->epoll, later->fd, EPOLLIN, 7);
	return NULL;
}

CASE(add_while_waiting)
{
	struct later later = { epoll_new(), eventfd(1, 0) };
	pthread_t thread;
	pthread_create(&thread, NULL, add_later, &later);
	observe_wait("wait", later.epoll, 1, 5000);
	pthread_join(thread, NULL);
}

static void *modify_later(void *argument)
{
	struct later *later = argument;
	pause_ms(30);
	epoll_change(later->epoll, EPOLL_CTL_MOD, later->fd, EPOLLIN, 8);
	return NULL;
}

CASE(modify_while_waiting)
{
	struct later later = { epoll_new(), eventfd(1, 0) };
	pthread_t thread;
	epoll_add(later.epoll, later.fd, 0, 7);
	pthread_create(&thread, NULL, modify_later, &later);
	observe_wait("wait", later.epoll, 1, 5000);
	pthread_join(thread, NULL);
}

static void *close_later(void *argument)
{
	struct later *later = argument;
	pause_ms(30);
	close(later->epoll);
	pause_ms(30);
	eventfd_write(later->fd, 1);
	return NULL;
}

/* The wait holds the instance; its items stay. */
CASE(closed_while_waiting)
{
	struct later later = { epoll_new(), eventfd(0, 0) };
	pthread_t thread;
	epoll_add(later.epoll, later.fd, EPOLLIN, 7);
	pthread_create(&thread, NULL, close_later, &later);
	observe_wait("wait", later.epoll, 1, 300);
	pthread_join(thread, NULL);
	observe_wait("after", later.epoll, 1, 0);
}

static void *close_watched_later(void *argument)
{
	struct later *later = argument;
	pause_ms(30);
	close(later->fd);
	return NULL;
}

CASE(watched_closed_while_waiting)
{
	struct later later = { epoll_new(), eventfd(0, 0) };
	pthread_t thread;
	epoll_add(later.epoll, later.fd, EPOLLIN, 7);
	pthread_create(&thread, NULL, close_watched_later, &later);
	observe_wait("wait", later.epoll, 1, 150);
	pthread_join(thread, NULL);
}

CASE_SECONDS(ten_thousand_idle, 60)
{
	struct rlimit most = { 10100, 10100 };
	must("setrlimit", setrlimit(RLIMIT_NOFILE, &most));
	int epoll = epoll_new(), last = 0, middle = 0;
	for (int i = 0; i < 10000; i++) {
		last = (int)must("eventfd", eventfd(0, 0));
		epoll_add(epoll, last, EPOLLIN, i);
		if (i == 5000)
			middle = last;
	}
	observe_wait("idle", epoll, 8, 0);
	eventfd_write(last, 1);
	eventfd_write(middle, 1);
	observe_wait("two", epoll, 8, 0);
	observe("del", epoll_change(epoll, EPOLL_CTL_DEL, last, 0, 0));
	observe_wait("one", epoll, 8, 0);
}
