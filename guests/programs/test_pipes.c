/* Pipes, eventfd, timerfd, signalfd: capacity, atomicity, ends that close, counters. The same
 * program passes on Linux. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "test_check.h"

#define CAPACITY 65536

static char buffer[2 * CAPACITY];

static void test_flow(void)
{
	int ends[2];
	EQ(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
	EQ(fcntl(ends[0], F_GETFD), FD_CLOEXEC);
	EQ(fcntl(ends[0], F_GETPIPE_SZ), CAPACITY);
	EQ(ready(ends[0], POLLIN, 0), 0);
	EQ(ready(ends[1], POLLOUT, 0), POLLOUT);
	FAILS(read(ends[0], buffer, 10), EAGAIN);
	EQ(write(ends[1], buffer, 0), 0);
	EQ(write(ends[1], "hello", 5), 5);
	EQ(ready(ends[0], POLLIN, 0), POLLIN);
	int bytes;
	EQ(ioctl(ends[0], FIONREAD, &bytes), 0);
	EQ(bytes, 5);
	EQ(read(ends[0], buffer, 3), 3);
	EQ(read(ends[0], buffer, 3), 2);
	FAILS(read(ends[1], buffer, 1), EBADF);
	FAILS(write(ends[0], buffer, 1), EBADF);
	FAILS(lseek(ends[0], 0, SEEK_SET), ESPIPE);
	FAILS(pread(ends[0], buffer, 1, 0), ESPIPE);
	EQ(write(ends[1], buffer, 2 * CAPACITY), CAPACITY);
	EQ(ready(ends[1], POLLOUT, 0), 0);
	FAILS(write(ends[1], "x", 1), EAGAIN);
	EQ(read(ends[0], buffer, 4095), 4095);
	FAILS(write(ends[1], buffer, 4096), EAGAIN); /* whole or not at all */
	EQ(read(ends[0], buffer, 1), 1);
	EQ(write(ends[1], buffer, 4096), 4096);
	EQ(read(ends[0], buffer, 2 * CAPACITY), CAPACITY);
	FAILS(write(ends[1], bad_pointer, 10), EFAULT);
	EQ(fcntl(ends[1], F_SETPIPE_SZ, 5000), 8192);
	EQ(write(ends[1], buffer, CAPACITY), 8192);
	FAILS(fcntl(ends[1], F_SETPIPE_SZ, 4096), EBUSY);
	EQ(read(ends[0], buffer, CAPACITY), 8192);
	close(ends[1]);
	EQ(ready(ends[0], POLLIN, 0), POLLHUP);
	EQ(read(ends[0], buffer, 1), 0);
	close(ends[0]);
	FAILS(pipe2(ends, 0x40000000), EINVAL);
	FAILS(pipe((int *)bad_pointer), EFAULT);
}

static void test_broken(void)
{
	int ends[2];
	EQ(pipe(ends), 0);
	close(ends[0]);
	pipes = 0;
	FAILS(write(ends[1], "x", 1), EPIPE);
	EQ(pipes, 1);
	EQ(ready(ends[1], POLLOUT, 0) & POLLERR, POLLERR);
	close(ends[1]);
}

static void test_packets(void)
{
	int ends[2];
	EQ(pipe2(ends, O_DIRECT | O_NONBLOCK), 0);
	EQ(write(ends[1], "one", 3), 3);
	EQ(write(ends[1], "three", 5), 5);
	EQ(read(ends[0], buffer, 100), 3);
	EQ(read(ends[0], buffer, 2), 2); /* the rest of a packet is gone */
	FAILS(read(ends[0], buffer, 100), EAGAIN);
	close(ends[0]);
	close(ends[1]);
}

static int stream[2];

static void *slow_reader(void *argument)
{
	long total = 0;
	unsigned char expected = 0;
	static unsigned char bytes[7777];
	(void)argument;
	for (;;) {
		long got = read(stream[0], bytes, sizeof(bytes));
		if (got <= 0)
			break;
		for (long i = 0; i < got; i++)
			total += bytes[i] != expected++;
	}
	return (void *)total;
}

static void test_blocking(void)
{
	pthread_t reader;
	void *wrong;
	EQ(pipe(stream), 0);
	EQ(pthread_create(&reader, NULL, slow_reader, NULL), 0);
	char *bytes = malloc(1000000);
	for (int i = 0; i < 1000000; i++)
		bytes[i] = (char)i;
	struct iovec vector[2] = { { bytes, 300000 }, { bytes + 300000, 700000 } };
	EQ(writev(stream[1], vector, 2), 1000000); /* blocking writes are never short */
	close(stream[1]);
	EQ(pthread_join(reader, &wrong), 0);
	EQ((long)wrong, 0);
	close(stream[0]);
	free(bytes);
}

/* Several readers wait on one pipe: each hears that the last writer is gone. */
static void test_end_for_all(void)
{
	enum { READERS = 4 };
	int ends[2], status;
	EQ(pipe(ends), 0);
	for (int i = 0; i < READERS; i++) {
		if (fork() == 0) {
			char byte;
			close(ends[1]);
			alarm(10);
			_exit(read(ends[0], &byte, 1) == 0 ? 0 : 1);
		}
	}
	usleep(50000);
	close(ends[1]);
	for (int i = 0; i < READERS; i++) {
		EQ(wait(&status) > 0, 1);
		EQ(status, 0);
	}
	close(ends[0]);
}

static void on_alarm(int number)
{
	(void)number;
}

static void test_interrupted(void)
{
	int ends[2];
	struct sigaction action = { .sa_handler = on_alarm };
	EQ(pipe(ends), 0);
	sigaction(SIGALRM, &action, NULL);
	ualarm(20000, 0);
	FAILS(read(ends[0], buffer, 1), EINTR);
	ualarm(20000, 0);
	EQ(write(ends[1], buffer, 2 * CAPACITY), CAPACITY); /* what was written counts */
	ualarm(20000, 0);
	FAILS(write(ends[1], buffer, 1), EINTR);
	close(ends[0]);
	close(ends[1]);
	signal(SIGALRM, SIG_DFL);
	alarm(60);
}

static void test_eventfd(void)
{
	uint64_t value;
	int fd = eventfd(3, EFD_NONBLOCK);
	EQ(ready(fd, POLLIN | POLLOUT, 0), POLLIN | POLLOUT);
	value = 4;
	EQ(write(fd, &value, 8), 8);
	EQ(read(fd, &value, 8), 8);
	EQ(value, 7);
	FAILS(read(fd, &value, 8), EAGAIN);
	FAILS(read(fd, &value, 7), EINVAL);
	FAILS(write(fd, &value, 7), EINVAL);
	value = UINT64_MAX;
	FAILS(write(fd, &value, 8), EINVAL);
	value = UINT64_MAX - 1;
	EQ(write(fd, &value, 8), 8);
	EQ(ready(fd, POLLIN | POLLOUT, 0), POLLIN);
	value = 1;
	FAILS(write(fd, &value, 8), EAGAIN);
	EQ(read(fd, &value, 8), 8);
	EQ(value, UINT64_MAX - 1);
	uint64_t two[2] = { 1, 99 };
	FAILS(write(fd, two, 16), EINVAL);
	EQ(write(fd, two, 8), 8);
	EQ(read(fd, two, 16), 8);
	EQ(two[0], 1);
	close(fd);
	fd = eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK);
	EQ(read(fd, &value, 8), 8);
	EQ(value, 1);
	EQ(read(fd, &value, 8), 8);
	FAILS(read(fd, &value, 8), EAGAIN);
	close(fd);
	FAILS(eventfd(0, 0x10000), EINVAL);
}

static void test_timerfd(void)
{
	uint64_t count;
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	struct itimerspec setting = { .it_value = { 0, 20000000 }, .it_interval = { 0, 10000000 } };
	FAILS(read(fd, &count, 8), EAGAIN);
	EQ(timerfd_settime(fd, 0, &setting, NULL), 0);
	EQ(ready(fd, POLLIN, 0), 0);
	EQ(ready(fd, POLLIN, 1000), POLLIN);
	pause_ms(55);
	EQ(read(fd, &count, 8), 8);
	EQ(count >= 5 && count < 20, 1);
	struct itimerspec left;
	EQ(timerfd_gettime(fd, &left), 0);
	EQ(left.it_interval.tv_nsec, 10000000);
	EQ(left.it_value.tv_nsec > 0 && left.it_value.tv_nsec <= 10000000, 1);
	setting = (struct itimerspec){ 0 };
	EQ(timerfd_settime(fd, 0, &setting, &left), 0);
	EQ(ready(fd, POLLIN, 30), 0);
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	setting.it_value = now; /* in the past by the time it is set */
	EQ(timerfd_settime(fd, TFD_TIMER_ABSTIME, &setting, NULL), 0);
	EQ(read(fd, &count, 8), 8);
	EQ(count, 1);
	setting.it_value.tv_nsec = 1000000000;
	FAILS(timerfd_settime(fd, 0, &setting, NULL), EINVAL);
	FAILS(timerfd_settime(0, 0, &(struct itimerspec){ 0 }, NULL), EINVAL);
	close(fd);
	FAILS(timerfd_create(77, 0), EINVAL);
}

static void test_signalfd(void)
{
	struct signalfd_siginfo got[3];
	sigset_t mask;
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR1);
	sigaddset(&mask, SIGUSR2);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	int fd = signalfd(-1, &mask, SFD_NONBLOCK);
	FAILS(read(fd, got, sizeof(got)), EAGAIN);
	EQ(ready(fd, POLLIN, 0), 0);
	raise(SIGUSR2);
	EQ(kill(getpid(), SIGUSR1), 0);
	EQ(ready(fd, POLLIN, 0), POLLIN);
	FAILS(read(fd, got, 100), EINVAL);
	EQ(read(fd, got, sizeof(got)), 2 * sizeof(got[0]));
	EQ(got[0].ssi_signo + got[1].ssi_signo, SIGUSR1 + SIGUSR2);
	EQ(got[0].ssi_pid, getpid());
	EQ(ready(fd, POLLIN, 0), 0);
	pid_t child = fork();
	if (!child) {
		pause_ms(20);
		_exit(kill(getppid(), SIGUSR1));
	}
	EQ(ready(fd, POLLIN, 5000), POLLIN);
	EQ(read(fd, got, sizeof(got)), sizeof(got[0]));
	EQ(got[0].ssi_pid, child);
	EQ(waitpid(child, NULL, 0), child);
	sigprocmask(SIG_UNBLOCK, &mask, NULL);
	close(fd);
}

int main(void)
{
	begin();
	test_flow();
	test_broken();
	test_packets();
	test_blocking();
	test_end_for_all();
	test_interrupted();
	test_eventfd();
	test_timerfd();
	test_signalfd();
	return end("test_pipes");
}
