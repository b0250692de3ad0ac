/* Pipes, FIFOs, descriptors of events, files and devices: what poll, select and epoll say. */
#define _GNU_SOURCE
#include "readiness.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>

static void pipe_of(int ends[2])
{
	must("pipe", pipe(ends));
}

STATE(pipe_read_empty)
{
	int ends[2];
	pipe_of(ends);
	return ends[0];
}

STATE(pipe_read_data)
{
	int ends[2];
	pipe_of(ends);
	must("write", write(ends[1], "abc", 3));
	return ends[0];
}

STATE(pipe_read_writer_gone)
{
	int ends[2];
	pipe_of(ends);
	close(ends[1]);
	return ends[0];
}

STATE(pipe_read_writer_gone_data)
{
	int ends[2];
	pipe_of(ends);
	must("write", write(ends[1], "abc", 3));
	close(ends[1]);
	return ends[0];
}

STATE(pipe_write_empty)
{
	int ends[2];
	pipe_of(ends);
	return ends[1];
}

STATE(pipe_write_full)
{
	int ends[2];
	pipe_of(ends);
	set_nonblocking(ends[1]);
	fill(ends[1]);
	return ends[1];
}

/* A byte less than full, in as few pages as it takes: the last page has room for one. */
STATE(pipe_write_almost_full)
{
	static char bytes[65535];
	int ends[2];
	pipe_of(ends);
	observe("write", write(ends[1], bytes, sizeof(bytes)));
	return ends[1];
}

STATE(pipe_write_full_part_read)
{
	static char bytes[4095];
	int ends[2];
	pipe_of(ends);
	set_nonblocking(ends[1]);
	fill(ends[1]);
	observe("read", read(ends[0], bytes, sizeof(bytes)));
	return ends[1];
}

STATE(pipe_write_full_page_read)
{
	static char bytes[4096];
	int ends[2];
	pipe_of(ends);
	set_nonblocking(ends[1]);
	fill(ends[1]);
	observe("read", read(ends[0], bytes, sizeof(bytes)));
	return ends[1];
}

STATE(pipe_write_reader_gone)
{
	int ends[2];
	pipe_of(ends);
	close(ends[0]);
	return ends[1];
}

STATE(pipe_write_full_reader_gone)
{
	int ends[2];
	pipe_of(ends);
	set_nonblocking(ends[1]);
	fill(ends[1]);
	close(ends[0]);
	return ends[1];
}

static int fifo(int flags)
{
	mkfifo("fifo", 0600);
	return (int)must("open", open("fifo", flags | O_NONBLOCK));
}

STATE(fifo_read_never_written)
{
	return fifo(O_RDONLY);
}

STATE(fifo_read_writer_there)
{
	int reader = fifo(O_RDONLY);
	fifo(O_WRONLY);
	return reader;
}

STATE(fifo_read_writer_gone)
{
	int reader = fifo(O_RDONLY);
	close(fifo(O_WRONLY));
	return reader;
}

STATE(fifo_read_writer_back)
{
	int reader = fifo(O_RDONLY);
	close(fifo(O_WRONLY));
	fifo(O_WRONLY);
	return reader;
}

/* A second reader, opened when the writer had gone already. */
STATE(fifo_read_opened_after_writer)
{
	fifo(O_RDONLY);
	close(fifo(O_WRONLY));
	return fifo(O_RDONLY);
}

STATE(fifo_write_reader_gone)
{
	int reader = fifo(O_RDONLY), writer = fifo(O_WRONLY);
	close(reader);
	return writer;
}

STATE(fifo_read_write)
{
	return fifo(O_RDWR);
}

STATE(fifo_read_write_data)
{
	int fd = fifo(O_RDWR);
	must("write", write(fd, "abc", 3));
	return fd;
}

STATE(eventfd_zero)
{
	return eventfd(0, 0);
}

STATE(eventfd_one)
{
	return eventfd(1, 0);
}

STATE(eventfd_full)
{
	uint64_t most = UINT64_MAX - 1;
	int fd = eventfd(0, 0);
	must("write", write(fd, &most, sizeof(most)));
	return fd;
}

STATE(eventfd_almost_full)
{
	uint64_t most = UINT64_MAX - 2;
	int fd = eventfd(0, 0);
	must("write", write(fd, &most, sizeof(most)));
	return fd;
}

static int timer(long nanoseconds)
{
	struct itimerspec setting = { .it_value = { 0, nanoseconds } };
	int fd = (int)must("timerfd", timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
	must("settime", timerfd_settime(fd, 0, &setting, NULL));
	return fd;
}

STATE(timerfd_unset)
{
	return timerfd_create(CLOCK_MONOTONIC, 0);
}

STATE(timerfd_armed)
{
	struct itimerspec setting = { .it_value = { 1000, 0 } };
	int fd = timer(0);
	must("settime", timerfd_settime(fd, 0, &setting, NULL));
	return fd;
}

STATE(timerfd_expired)
{
	int fd = timer(1);
	await(fd, POLLIN);
	return fd;
}

STATE(timerfd_expired_read)
{
	uint64_t count = 0;
	int fd = timer(1);
	await(fd, POLLIN);
	must("read", read(fd, &count, sizeof(count)));
	return fd;
}

static int signal_fd(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return (int)must("signalfd", signalfd(-1, &set, 0));
}

STATE(signalfd_none)
{
	return signal_fd();
}

STATE(signalfd_pending)
{
	int fd = signal_fd();
	raise(SIGUSR1);
	return fd;
}

STATE(signalfd_other_pending)
{
	sigset_t set;
	int fd = signal_fd();
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	raise(SIGUSR2);
	return fd;
}

STATE(epoll_empty)
{
	return epoll_create1(0);
}

static int epoll_of(int fd, unsigned int events)
{
	struct epoll_event event = { .events = events };
	int epoll = (int)must("epoll", epoll_create1(0));
	must("add", epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
	return epoll;
}

STATE(epoll_idle)
{
	return epoll_of(eventfd(0, 0), EPOLLIN);
}

STATE(epoll_ready)
{
	return epoll_of(eventfd(1, 0), EPOLLIN);
}

STATE(epoll_ready_edge)
{
	return epoll_of(eventfd(1, 0), EPOLLIN | EPOLLET);
}

STATE(epoll_ready_edge_taken)
{
	struct epoll_event event;
	int epoll = epoll_of(eventfd(1, 0), EPOLLIN | EPOLLET);
	must("wait", epoll_wait(epoll, &event, 1, 0));
	return epoll;
}

STATE(file_regular)
{
	return open("file", O_RDWR | O_CREAT, 0600);
}

STATE(file_regular_write_only)
{
	return open("file", O_WRONLY | O_CREAT, 0600);
}

STATE(file_directory)
{
	return open(".", O_RDONLY | O_DIRECTORY);
}

STATE(file_path_only)
{
	return open(".", O_PATH);
}

STATE(memory_file)
{
	return memfd_create("name", 0);
}

STATE(device_null)
{
	return open("/dev/null", O_RDWR);
}

STATE(device_zero)
{
	return open("/dev/zero", O_RDWR);
}

STATE(device_full)
{
	return open("/dev/full", O_RDWR);
}

STATE(device_urandom)
{
	return open("/dev/urandom", O_RDONLY);
}

STATE(device_random)
{
	return open("/dev/random", O_RDONLY);
}

STATE(proc_file)
{
	return open("/proc/self/stat", O_RDONLY);
}

STATE(proc_mounts)
{
	return open("/proc/self/mounts", O_RDONLY);
}

STATE(terminal_input)
{
	return STDIN_FILENO;
}

STATE(terminal_output)
{
	return STDERR_FILENO;
}
