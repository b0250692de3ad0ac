/* Which calls a signal ends, which start again, and which end when the process was stopped
 * (signal(7)). */
#define _GNU_SOURCE
#include "signals.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

static char bytes[65536];

static void nothing(void)
{
}

/* ---- descriptors ---- */

static void open_pipe(void)
{
	must("pipe", pipe(fds));
}

static long read_first(void)
{
	return read(fds[0], bytes, sizeof(bytes));
}

static void write_second(void)
{
	must("write", write(fds[1], "ab", 2));
}

INTERRUPTED(read_pipe, open_pipe, read_first, write_second)

static void open_full_pipe(void)
{
	open_pipe();
	must("F_SETPIPE_SZ", fcntl(fds[1], F_SETPIPE_SZ, 4096));
	must("write", write(fds[1], bytes, 4096));
}

static long write_to_second(void)
{
	return write(fds[1], "abc", 3);
}

static void read_from_first(void)
{
	must("read", read(fds[0], bytes, 4096));
}

INTERRUPTED(write_pipe, open_full_pipe, write_to_second, read_from_first)

static void open_pipe_with_room(void)
{
	open_pipe();
	must("F_SETPIPE_SZ", fcntl(fds[1], F_SETPIPE_SZ, 4096));
}

static long write_more_than_fits(void)
{
	return write(fds[1], bytes, 6000);
}

INTERRUPTED(write_pipe_partly, open_pipe_with_room, write_more_than_fits, read_from_first)

static long readv_first(void)
{
	struct iovec piece = { bytes, 10 };
	return readv(fds[0], &piece, 1);
}

INTERRUPTED(readv_pipe, open_pipe, readv_first, write_second)

static void open_eventfd(void)
{
	fds[0] = eventfd(0, 0);
}

static long read_counter(void)
{
	return read(fds[0], bytes, 8);
}

static void add_to_counter(void)
{
	eventfd_write(fds[0], 1);
}

INTERRUPTED(read_eventfd, open_eventfd, read_counter, add_to_counter)

static void open_full_eventfd(void)
{
	open_eventfd();
	eventfd_write(fds[0], UINT64_MAX - 1);
}

static long write_counter(void)
{
	uint64_t one = 1;
	return write(fds[0], &one, 8);
}

static void take_counter(void)
{
	eventfd_t value;
	eventfd_read(fds[0], &value);
}

INTERRUPTED(write_eventfd, open_full_eventfd, write_counter, take_counter)

static void open_timerfd(void)
{
	fds[0] = timerfd_create(CLOCK_MONOTONIC, 0);
}

static void expire(void)
{
	struct itimerspec soon = { .it_value.tv_nsec = 1 };
	timerfd_settime(fds[0], 0, &soon, NULL);
}

INTERRUPTED(read_timerfd, open_timerfd, read_counter, expire)

static pid_t reader;

static void open_signalfd(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	block_signal(SIGUSR2);
	fds[0] = signalfd(-1, &set, 0);
	must("pipe", pipe(fds + 1));
}

static long read_signal(void)
{
	reader = getpid();
	(void)!write(fds[2], &reader, sizeof(reader));
	return read(fds[0], bytes, sizeof(struct signalfd_siginfo));
}

static void send_usr2(void)
{
	must("read", read(fds[1], &reader, sizeof(reader)));
	kill(reader, SIGUSR2);
}

INTERRUPTED(read_signalfd, open_signalfd, read_signal, send_usr2)

static long splice_first(void)
{
	return splice(fds[0], NULL, fds[3], NULL, 100, 0);
}

static void open_two_pipes(void)
{
	open_pipe();
	must("pipe", pipe(fds + 2));
}

INTERRUPTED(splice_pipes, open_two_pipes, splice_first, write_second)

static void make_fifo(void)
{
	unlink("fifo");
	must("mkfifo", mkfifo("fifo", 0600));
}

static long open_fifo(void)
{
	return open("fifo", O_RDONLY) >= 0;
}

static void open_fifo_writer(void)
{
	fds[0] = (int)must("open", open("fifo", O_WRONLY));
}

INTERRUPTED(open_of_fifo, make_fifo, open_fifo, open_fifo_writer)

static void open_locked(int flags)
{
	struct flock lock = { .l_type = F_WRLCK };
	fds[0] = (int)must("open", open("file", O_RDWR | O_CREAT, 0600));
	if (flags)
		must("flock", flock(fds[0], LOCK_EX));
	else
		must("F_SETLK", fcntl(fds[0], F_SETLK, &lock));
}

static void open_record_locked(void)
{
	open_locked(0);
}

static long lock_record(void)
{
	struct flock lock = { .l_type = F_WRLCK };
	return fcntl(fds[0], F_SETLKW, &lock);
}

static void unlock_record(void)
{
	struct flock lock = { .l_type = F_UNLCK };
	must("F_SETLK", fcntl(fds[0], F_SETLK, &lock));
}

INTERRUPTED(fcntl_setlkw, open_record_locked, lock_record, unlock_record)

static long lock_open_file(void)
{
	struct flock lock = { .l_type = F_WRLCK };
	return fcntl(open("file", O_RDWR), F_OFD_SETLKW, &lock);
}

INTERRUPTED(fcntl_ofd_setlkw, open_record_locked, lock_open_file, unlock_record)

static void open_file_locked(void)
{
	open_locked(1);
}

static long lock_file(void)
{
	return flock(open("file", O_RDWR), LOCK_EX);
}

static void unlock_file(void)
{
	must("flock", flock(fds[0], LOCK_UN));
}

INTERRUPTED(flock_exclusive, open_file_locked, lock_file, unlock_file)

/* ---- readiness ---- */

static long poll_first(void)
{
	struct pollfd entry = { .fd = fds[0], .events = POLLIN };
	return poll(&entry, 1, -1);
}

INTERRUPTED(poll_without_time, open_pipe, poll_first, write_second)

static long poll_long(void)
{
	struct pollfd entry = { .fd = fds[0], .events = POLLIN };
	return poll(&entry, 1, 20000);
}

INTERRUPTED(poll_with_time, open_pipe, poll_long, write_second)

/* Whether the rest of 20 s was written, by the raw call; glibc's keep it. */
static void note_rest(const struct timespec *time)
{
	note_more("%s", time->tv_sec == 20 ? "kept" : time->tv_sec >= 10 ? "rest" : "other");
}

static long ppoll_long(void)
{
	struct pollfd entry = { .fd = fds[0], .events = POLLIN };
	struct timespec time = { 20, 0 };
	long result = syscall(SYS_ppoll, &entry, 1, &time, NULL, 8);
	note_rest(&time);
	return result;
}

INTERRUPTED(ppoll_with_time, open_pipe, ppoll_long, write_second)

static long select_first(void)
{
	fd_set set;
	FD_ZERO(&set);
	FD_SET(fds[0], &set);
	long result = select(fds[0] + 1, &set, NULL, NULL, NULL);
	note_more("%s", FD_ISSET(fds[0], &set) ? "set" : "clear");
	return result;
}

INTERRUPTED(select_without_time, open_pipe, select_first, write_second)

static long pselect_long(void)
{
	fd_set set;
	struct timespec time = { 20, 0 };
	FD_ZERO(&set);
	FD_SET(fds[0], &set);
	long result = syscall(SYS_pselect6, fds[0] + 1, &set, NULL, NULL, &time, NULL);
	note_rest(&time);
	return result;
}

INTERRUPTED(pselect_with_time, open_pipe, pselect_long, write_second)

static void open_epoll(void)
{
	struct epoll_event event = { .events = EPOLLIN };
	open_pipe();
	fds[2] = epoll_create1(0);
	must("epoll_ctl", epoll_ctl(fds[2], EPOLL_CTL_ADD, fds[0], &event));
}

static long epoll_first(void)
{
	struct epoll_event event;
	return epoll_wait(fds[2], &event, 1, -1);
}

INTERRUPTED(epoll_wait_without_time, open_epoll, epoll_first, write_second)

static long epoll_long(void)
{
	struct epoll_event event;
	return epoll_wait(fds[2], &event, 1, 20000);
}

INTERRUPTED(epoll_wait_with_time, open_epoll, epoll_long, write_second)

static long epoll_masked(void)
{
	struct epoll_event event;
	sigset_t none;
	sigemptyset(&none);
	return epoll_pwait(fds[2], &event, 1, -1, &none);
}

INTERRUPTED(epoll_pwait_with_mask, open_epoll, epoll_masked, write_second)

static long epoll_fine(void)
{
	struct epoll_event event;
	struct timespec time = { 20, 0 };
	return epoll_pwait2(fds[2], &event, 1, &time, NULL);
}

INTERRUPTED(epoll_pwait2_with_time, open_epoll, epoll_fine, write_second)

/* ---- time ---- */

static struct timespec rest;

static long sleep_long(void)
{
	struct timespec time = { 0, 600000000 };
	rest = (struct timespec){ 77, 77 };
	long result = nanosleep(&time, &rest);
	note_more("%s", rest.tv_sec == 77 ? "unwritten" : rest.tv_sec == 0 ? "rest" : "other");
	return result;
}

INTERRUPTED(nanosleep_rest, nothing, sleep_long, nothing)

static long sleep_on_clock(void)
{
	struct timespec time = { 0, 600000000 };
	rest = (struct timespec){ 77, 77 };
	int error = clock_nanosleep(CLOCK_REALTIME, 0, &time, &rest);
	note_more("%s", rest.tv_sec == 77 ? "unwritten" : rest.tv_sec == 0 ? "rest" : "other");
	errno = error;
	return error ? -1 : 0;
}

INTERRUPTED(clock_nanosleep_rest, nothing, sleep_on_clock, nothing)

static long sleep_until(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	time.tv_nsec += 600000000;
	time.tv_sec += time.tv_nsec / 1000000000;
	time.tv_nsec %= 1000000000;
	rest = (struct timespec){ 77, 77 };
	int error = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, &rest);
	note_more("%s", rest.tv_sec == 77 ? "unwritten" : "written");
	errno = error;
	return error ? -1 : 0;
}

INTERRUPTED(clock_nanosleep_absolute, nothing, sleep_until, nothing)

/* ---- futex ---- */

static int *word;

static void map_word(void)
{
	word = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

static long wait_on_word(void)
{
	return syscall(SYS_futex, word, FUTEX_WAIT, 0, NULL, NULL, 0);
}

static void wake_word(void)
{
	syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

INTERRUPTED(futex_wait, map_word, wait_on_word, wake_word)

static long wait_on_word_long(void)
{
	struct timespec time = { 20, 0 };
	return syscall(SYS_futex, word, FUTEX_WAIT, 0, &time, NULL, 0);
}

INTERRUPTED(futex_wait_with_time, map_word, wait_on_word_long, wake_word)

static long wait_on_word_until(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	time.tv_sec += 20;
	return syscall(SYS_futex, word, FUTEX_WAIT_BITSET, 0, &time, NULL, ~0u);
}

INTERRUPTED(futex_wait_until, map_word, wait_on_word_until, wake_word)

/* ---- processes and signals ---- */

static long wait_for_child(void)
{
	pid_t pid = fork();
	if (pid == 0) {
		pause();
		_exit(0);
	}
	(void)!write(fds[1], &pid, sizeof(pid));
	int status = 0;
	long result = wait4(pid, &status, 0, NULL);
	note_more("%s", result == pid ? "the-child" : "-");
	return result > 0 ? 1 : result;
}

static void end_child(void)
{
	pid_t pid;
	must("read", read(fds[0], &pid, sizeof(pid)));
	kill(pid, SIGKILL);
}

INTERRUPTED(wait4_child, open_pipe, wait_for_child, end_child)

static long waitid_for_child(void)
{
	siginfo_t info;
	pid_t pid = fork();
	if (pid == 0) {
		pause();
		_exit(0);
	}
	(void)!write(fds[1], &pid, sizeof(pid));
	return waitid(P_PID, (id_t)pid, &info, WEXITED);
}

INTERRUPTED(waitid_child, open_pipe, waitid_for_child, end_child)

static long tell_and_pause(void)
{
	pid_t pid = getpid();
	(void)!write(fds[1], &pid, sizeof(pid));
	return pause();
}

static void send_usr1(void)
{
	pid_t pid;
	must("read", read(fds[0], &pid, sizeof(pid)));
	kill(pid, SIGUSR1);
}

INTERRUPTED(pause_alone, open_pipe, tell_and_pause, send_usr1)

static long tell_and_suspend(void)
{
	sigset_t none;
	pid_t pid = getpid();
	(void)!write(fds[1], &pid, sizeof(pid));
	sigemptyset(&none);
	return sigsuspend(&none);
}

INTERRUPTED(sigsuspend_alone, open_pipe, tell_and_suspend, send_usr1)

static long wait_for_usr2(const struct timespec *time)
{
	sigset_t set;
	pid_t pid = getpid();
	(void)!write(fds[1], &pid, sizeof(pid));
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return sigtimedwait(&set, NULL, time);
}

static long wait_for_signal(void)
{
	return wait_for_usr2(NULL);
}

static long wait_for_signal_long(void)
{
	struct timespec time = { 20, 0 };
	return wait_for_usr2(&time);
}

static void send_wanted(void)
{
	pid_t pid;
	must("read", read(fds[0], &pid, sizeof(pid)));
	kill(pid, SIGUSR2);
}

INTERRUPTED(sigwaitinfo_usr2, open_pipe, wait_for_signal, send_wanted)
INTERRUPTED(sigtimedwait_usr2, open_pipe, wait_for_signal_long, send_wanted)
