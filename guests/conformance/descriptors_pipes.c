/* Pipes and FIFOs: amounts, atomicity, sizes, packets, opening. */
#define _GNU_SOURCE
#include "conform.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>

static void *volatile bad_pointer = (void *)16;
static char bytes[1 << 17];

static void pipe_of(int ends[2], int flags)
{
	must("pipe2", pipe2(ends, flags));
}

static void observe_unread(const char *label, int fd)
{
	int count = -1;
	int result = ioctl(fd, FIONREAD, &count);
	observe(label, result == 0 ? count : result);
}

CASE(pipe_arguments)
{
	int ends[2] = { 77, 77 };
	observe("flags", pipe2(ends, 1));
	observe("notification", pipe2(ends, O_EXCL));
	observe("kept", ends[0]);
	observe("pointer", pipe2(bad_pointer, 0));
	observe("cloexec", pipe2(ends, O_CLOEXEC | O_NONBLOCK | O_DIRECT));
	observe("getfd", fcntl(ends[1], F_GETFD));
	observe("getfl-read", fcntl(ends[0], F_GETFL));
	observe("getfl-write", fcntl(ends[1], F_GETFL));
	observe("read-of-write", read(ends[1], bytes, 1));
	observe("write-of-read", write(ends[0], bytes, 1));
	observe("lseek", lseek(ends[0], 0, SEEK_CUR));
	observe("pread", pread(ends[0], bytes, 1, 0));
	observe("pwrite", pwrite(ends[1], bytes, 1, 0));
	observe("truncate", ftruncate(ends[1], 0));
	observe("fsync", fsync(ends[1]));
}

CASE(pipe_descriptors_run_out)
{
	int ends[2];
	while (dup(0) >= 0)
		;
	observe("none", pipe(ends));
	close(500);
	observe("one", pipe(ends));
	observe_fd("still-free", dup(0));
}

CASE(pipe_transfers)
{
	char got[16] = "";
	int ends[2];
	pipe_of(ends, O_NONBLOCK);
	observe("empty", read(ends[0], got, 8));
	observe("write", write(ends[1], "hello", 5));
	observe_unread("unread", ends[0]);
	observe_unread("unread-by-writer", ends[1]);
	observe("zero", read(ends[0], got, 0));
	observe_bytes("part", read(ends[0], got, 2), got);
	observe("more", write(ends[1], "xy", 2));
	observe_bytes("rest", read(ends[0], got, 16), got);
	observe("write-zero", write(ends[1], "", 0));
	observe("empty", read(ends[0], got, 8));
	close(ends[1]);
	observe("end", read(ends[0], got, 8));
}

CASE(pipe_bad_pointers)
{
	char got[8];
	int ends[2];
	pipe_of(ends, O_NONBLOCK);
	observe("write", write(ends[1], bad_pointer, 4));
	observe("write", write(ends[1], "abcd", 4));
	observe("read", read(ends[0], bad_pointer, 4));
	observe_bytes("kept", read(ends[0], got, 8), got);
	struct iovec parts[2] = { { "ab", 2 }, { bad_pointer, 2 } };
	observe("writev", writev(ends[1], parts, 2));
	observe_unread("unread", ends[0]);
}

CASE(pipe_capacity)
{
	int ends[2];
	pipe_of(ends, O_NONBLOCK);
	observe("size", fcntl(ends[0], F_GETPIPE_SZ));
	observe("write", write(ends[1], bytes, sizeof(bytes)));
	observe("full", write(ends[1], bytes, 1));
	observe("read", read(ends[0], bytes, 100));
	observe("one-in-page", write(ends[1], bytes, 1));
	observe("read", read(ends[0], bytes, 3996));
	observe("page", write(ends[1], bytes, 4096));
	observe("full", write(ends[1], bytes, 1));
}

/* At most PIPE_BUF: all or nothing; more: what there is room for. */
CASE(pipe_atomic_writes)
{
	int ends[2];
	pipe_of(ends, O_NONBLOCK);
	observe("fill", write(ends[1], bytes, 65536 - 100));
	observe("101", write(ends[1], bytes, 101));
	observe("4096", write(ends[1], bytes, 4096));
	observe("4097", write(ends[1], bytes, 4097));
	observe("none", write(ends[1], bytes, 4097));
	observe("read", read(ends[0], bytes, 2 * 4096));
	observe("5000", write(ends[1], bytes, 5000));
	observe("5000", write(ends[1], bytes, 5000));
	observe_unread("unread", ends[0]);
}

/* Each small write takes at most the rest of the last page. */
CASE(pipe_pages_of_small_writes)
{
	int ends[2];
	long writes = 0;
	pipe_of(ends, O_NONBLOCK);
	while (write(ends[1], bytes, 3000) == 3000)
		writes++;
	observe("writes-3000", writes);
	observe_unread("unread", ends[0]);
	pipe_of(ends, O_NONBLOCK);
	writes = 0;
	while (write(ends[1], bytes, 1000) == 1000)
		writes++;
	observe("writes-1000", writes);
	observe_unread("unread", ends[0]);
}

CASE(pipe_set_size)
{
	int ends[2];
	pipe_of(ends, O_NONBLOCK);
	observe("1", fcntl(ends[0], F_SETPIPE_SZ, 1));
	observe("get", fcntl(ends[1], F_GETPIPE_SZ));
	observe("write", write(ends[1], bytes, sizeof(bytes)));
	observe("5000", fcntl(ends[1], F_SETPIPE_SZ, 5000));
	observe("write", write(ends[1], bytes, sizeof(bytes)));
	observe("too-small", fcntl(ends[1], F_SETPIPE_SZ, 4096));
	observe("megabyte", fcntl(ends[1], F_SETPIPE_SZ, 1 << 20));
	observe("zero", fcntl(ends[1], F_SETPIPE_SZ, 0));
	observe("2-gigabytes", fcntl(ends[1], F_SETPIPE_SZ, 1u << 31));
	observe("negative", fcntl(ends[1], F_SETPIPE_SZ, -1));
	observe("no-pipe", fcntl(open("file", O_RDWR | O_CREAT, 0600), F_GETPIPE_SZ));
	observe("no-pipe-set", fcntl(open("file", O_RDWR | O_CREAT, 0600), F_SETPIPE_SZ, 4096));
	int pair[2];
	unix_pair(SOCK_STREAM, pair);
	observe("socket", fcntl(pair[0], F_GETPIPE_SZ));
}

CASE(pipe_set_size_zero)
{
	int ends[2];
	pipe_of(ends, O_NONBLOCK);
	observe("zero", fcntl(ends[1], F_SETPIPE_SZ, 0));
	observe("get", fcntl(ends[1], F_GETPIPE_SZ));
	observe("write", write(ends[1], bytes, sizeof(bytes)));
}

CASE(pipe_packets)
{
	char got[8192];
	int ends[2];
	pipe_of(ends, O_NONBLOCK | O_DIRECT);
	observe("write", write(ends[1], "abc", 3));
	observe("write", write(ends[1], "defgh", 5));
	observe_bytes("first", read(ends[0], got, 100), got);
	observe_bytes("cut", read(ends[0], got, 2), got);
	observe("rest-is-gone", read(ends[0], got, 100));
	observe("6000", write(ends[1], bytes, 6000));
	observe("page", read(ends[0], got, 8192));
	observe("other", read(ends[0], got, 8192));
	long packets = 0;
	while (write(ends[1], "x", 1) == 1)
		packets++;
	observe("packets", packets);
}

CASE(pipe_packet_mode_by_fcntl)
{
	char got[16];
	int ends[2];
	pipe_of(ends, O_NONBLOCK);
	observe("write", write(ends[1], "ab", 2));
	observe("setfl", fcntl(ends[1], F_SETFL, O_NONBLOCK | O_DIRECT));
	observe("write", write(ends[1], "cd", 2));
	observe("write", write(ends[1], "ef", 2));
	observe_bytes("read", read(ends[0], got, 16), got);
	observe_bytes("read", read(ends[0], got, 16), got);
	observe_bytes("read", read(ends[0], got, 16), got);
}

static volatile sig_atomic_t caught;

static void catch (int number)
{
	caught = number;
}

CASE(pipe_broken)
{
	int ends[2];
	pipe_of(ends, 0);
	close(ends[0]);
	signal(SIGPIPE, catch);
	observe("write", write(ends[1], "a", 1));
	observe("caught", caught == SIGPIPE);
	caught = 0;
	observe("zero", write(ends[1], "a", 0));
	observe("caught", caught == SIGPIPE);
	signal(SIGPIPE, SIG_IGN);
	observe("ignored", write(ends[1], "a", 1));
}

CASE(pipe_broken_kills)
{
	int ends[2], status;
	pipe_of(ends, 0);
	close(ends[0]);
	pid_t pid = (pid_t)must("fork", fork());
	if (pid == 0) {
		(void)!write(ends[1], "a", 1);
		_exit(1);
	}
	waitpid(pid, &status, 0);
	observe("signal", WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}

struct later {
	int fd, ms;
};

static void *close_later(void *argument)
{
	struct later *later = argument;
	pause_ms(later->ms);
	close(later->fd);
	return NULL;
}

CASE(pipe_breaks_while_writing)
{
	int ends[2];
	pthread_t thread;
	pipe_of(ends, 0);
	signal(SIGPIPE, catch);
	struct later later = { ends[0], 30 };
	pthread_create(&thread, NULL, close_later, &later);
	observe("write", write(ends[1], bytes, sizeof(bytes)));
	observe("caught", caught == SIGPIPE);
	pthread_join(thread, NULL);
}

CASE(pipe_ends_while_reading)
{
	int ends[2];
	pthread_t thread;
	pipe_of(ends, 0);
	struct later later = { ends[1], 30 };
	pthread_create(&thread, NULL, close_later, &later);
	observe("read", read(ends[0], bytes, 8));
	pthread_join(thread, NULL);
}

/* The descriptor that a thread reads from is closed: the read goes on. */
CASE(pipe_own_end_closed_while_reading)
{
	int ends[2];
	pthread_t thread;
	char got[8];
	pipe_of(ends, 0);
	struct later later = { ends[0], 20 };
	pthread_create(&thread, NULL, close_later, &later);
	if (fork() == 0) {
		close(ends[0]);
		pause_ms(80);
		(void)!write(ends[1], "ab", 2);
		_exit(0);
	}
	close(ends[1]);
	observe_bytes("read", read(ends[0], got, 8), got);
	observe("again", read(ends[0], got, 8));
	pthread_join(thread, NULL);
}

static void *read_slowly(void *argument)
{
	static char got[4096];
	int fd = *(int *)argument;
	long total = 0;
	for (ssize_t count; (count = read(fd, got, sizeof(got))) > 0; total += count)
		;
	return (void *)total;
}

CASE(pipe_blocking_write_goes_on)
{
	int ends[2];
	pthread_t thread;
	void *total;
	pipe_of(ends, 0);
	pthread_create(&thread, NULL, read_slowly, &ends[0]);
	observe("write", write(ends[1], bytes, sizeof(bytes)));
	close(ends[1]);
	pthread_join(thread, &total);
	observe("read", (long)total);
}

CASE(pipe_reads_cross_pages)
{
	int ends[2];
	char got[100];
	pipe_of(ends, O_NONBLOCK);
	for (int i = 0; i < 4; i++) {
		memset(bytes, 'a' + i, 3000);
		must("write", write(ends[1], bytes, 3000));
	}
	observe("read", read(ends[0], bytes, 2990));
	observe_bytes("read", read(ends[0], got, 50), got);
	observe_unread("unread", ends[0]);
}

/* ---- FIFOs ---- */

static int fifo(int flags)
{
	return open("fifo", flags);
}

CASE(fifo_make)
{
	struct stat status;
	observe("mkfifo", mkfifo("fifo", 0640));
	observe("again", mkfifo("fifo", 0640));
	must("stat", stat("fifo", &status));
	observe("mode", status.st_mode);
	observe("size", status.st_size);
	observe_fd("creat-excl", open("fifo", O_CREAT | O_EXCL | O_RDWR, 0600));
	observe_fd("directory", open("fifo", O_DIRECTORY | O_RDONLY));
}

CASE(fifo_nonblocking_opens)
{
	must("mkfifo", mkfifo("fifo", 0600));
	observe_fd("write-alone", fifo(O_WRONLY | O_NONBLOCK));
	int reader = observe_fd("read", fifo(O_RDONLY | O_NONBLOCK));
	int writer = observe_fd("write", fifo(O_WRONLY | O_NONBLOCK));
	observe("read", read(reader, bytes, 8));
	observe("write", write(writer, "abc", 3));
	close(writer);
	observe_bytes("read", read(reader, bytes, 8), bytes);
	observe("end", read(reader, bytes, 8));
	close(reader);
	observe_fd("write-alone", fifo(O_WRONLY | O_NONBLOCK));
	observe_fd("both", fifo(O_RDWR | O_NONBLOCK));
	observe_fd("write-now", fifo(O_WRONLY | O_NONBLOCK));
}

CASE(fifo_opens_meet)
{
	must("mkfifo", mkfifo("fifo", 0600));
	if (fork() == 0) {
		pause_ms(30);
		int writer = fifo(O_WRONLY);
		(void)!write(writer, "hello", 5);
		_exit(0);
	}
	long start = now_ms();
	int reader = observe_fd("read", fifo(O_RDONLY));
	observe_waited("waited", start, 15, 5000);
	observe_bytes("read", read(reader, bytes, 8), bytes);
	observe("end", read(reader, bytes, 8));
}

CASE(fifo_opens_meet_the_other_way)
{
	must("mkfifo", mkfifo("fifo", 0600));
	if (fork() == 0) {
		pause_ms(30);
		int reader = fifo(O_RDONLY);
		_exit((int)read(reader, bytes, 8));
	}
	int writer = observe_fd("write", fifo(O_WRONLY));
	observe("write", write(writer, "hello", 5));
	int status;
	wait(&status);
	observe("child-read", WEXITSTATUS(status));
}

/* A writer that came and went lets a waiting reader in. */
CASE(fifo_writer_passes_by)
{
	must("mkfifo", mkfifo("fifo", 0600));
	if (fork() == 0) {
		pause_ms(30);
		close(fifo(O_WRONLY));
		_exit(0);
	}
	int reader = observe_fd("read", fifo(O_RDONLY));
	observe("end", read(reader, bytes, 8));
}

CASE(fifo_open_interrupted)
{
	struct sigaction action = { .sa_handler = catch };
	must("mkfifo", mkfifo("fifo", 0600));
	sigaction(SIGUSR1, &action, NULL);
	pid_t self = getpid();
	if (fork() == 0) {
		pause_ms(30);
		kill(self, SIGUSR1);
		_exit(0);
	}
	observe_fd("open", fifo(O_RDONLY));
	wait(NULL);
	observe_fd("lowest-free-unused", dup(0));
	observe_fd("writer-finds-nobody", fifo(O_WRONLY | O_NONBLOCK));
}

CASE(fifo_open_read_write)
{
	must("mkfifo", mkfifo("fifo", 0600));
	int fd = observe_fd("both", fifo(O_RDWR));
	observe("write", write(fd, "abc", 3));
	observe_bytes("read", read(fd, bytes, 8), bytes);
	observe("size", fcntl(fd, F_GETPIPE_SZ));
	observe("lseek", lseek(fd, 0, SEEK_SET));
	observe("truncate", ftruncate(fd, 0));
	observe("getfl", fcntl(fd, F_GETFL));
}

CASE(fifo_data_goes_with_the_last)
{
	must("mkfifo", mkfifo("fifo", 0600));
	int fd = fifo(O_RDWR | O_NONBLOCK);
	must("write", write(fd, "abc", 3));
	close(fd);
	fd = fifo(O_RDONLY | O_NONBLOCK);
	observe("read", read(fd, bytes, 8));
}

CASE(fifo_unlinked_while_open)
{
	must("mkfifo", mkfifo("fifo", 0600));
	int fd = fifo(O_RDWR | O_NONBLOCK);
	must("unlink", unlink("fifo"));
	observe("write", write(fd, "abc", 3));
	observe_bytes("read", read(fd, bytes, 8), bytes);
	observe_fd("open", fifo(O_RDONLY | O_NONBLOCK));
}

CASE(fifo_through_proc)
{
	int ends[2];
	char path[40];
	pipe_of(ends, 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", ends[0]);
	int writer = observe_fd("reopened", open(path, O_WRONLY | O_NONBLOCK));
	observe("write", write(writer, "abc", 3));
	observe_bytes("read", read(ends[0], bytes, 8), bytes);
}
