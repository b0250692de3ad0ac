/* What each kind of file says to lseek, read, write, pread, fstat and their like. */
#define _GNU_SOURCE
#include "conform.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>

static void *volatile bad_pointer = (void *)16;
static char bytes[64];
static volatile int negative = -1, too_many = 1025; /* the compiler must not know */

static void observe_kind(int fd)
{
	struct stat status;
	struct iovec one = { bytes, 1 };
	int count = -1;
	signal(SIGPIPE, SIG_IGN);
	observe("fstat", fstat(fd, &status));
	observe_text("mode", "%o", status.st_mode);
	observe("links", (long)status.st_nlink);
	observe("blksize", status.st_blksize);
	observe("size", status.st_size);
	observe("seek-cur", lseek(fd, 0, SEEK_CUR));
	observe("seek-set", lseek(fd, 5, SEEK_SET));
	observe("seek-end", lseek(fd, 0, SEEK_END));
	observe("seek-whence", lseek(fd, 0, 9));
	observe("seek-back", lseek(fd, 0, SEEK_SET));
	observe("read-0", read(fd, bytes, 0));
	observe("write-0", write(fd, bytes, 0));
	observe("read-bad", read(fd, bad_pointer, 1));
	observe("pread", pread(fd, bytes, 1, 0));
	observe("pread-negative", pread(fd, bytes, 1, -1));
	observe("pwrite", pwrite(fd, bytes, 1, 0));
	observe("preadv", preadv(fd, &one, 1, 0));
	observe("readv-0", readv(fd, &one, 0));
	observe("readv-negative", readv(fd, &one, negative));
	observe("readv-1025", readv(fd, &one, too_many));
	observe("truncate", ftruncate(fd, 1));
	observe("truncate-negative", ftruncate(fd, -1));
	observe("fsync", fsync(fd));
	observe("fionread", ioctl(fd, FIONREAD, &count));
	observe("ioctl", ioctl(fd, 0x12345678, &count));
	observe("getdents", syscall(SYS_getdents64, fd, bytes, sizeof(bytes)));
	observe("fallocate", fallocate(fd, 0, 0, 1));
	observe("fchdir", fchdir(fd));
}

CASE(kind_tcp_unconnected)
{
	observe_kind(tcp_socket());
}

CASE(kind_tcp)
{
	int pair[2];
	tcp_pair(pair);
	fcntl(pair[0], F_SETFL, O_NONBLOCK);
	observe_kind(pair[0]);
}

CASE(kind_tcp_listening)
{
	observe_kind(tcp_listener(1, NULL));
}

CASE(kind_udp)
{
	int fd = udp_socket();
	fcntl(fd, F_SETFL, O_NONBLOCK);
	observe_kind(fd);
}

CASE(kind_unix_stream)
{
	int pair[2];
	unix_pair(SOCK_STREAM, pair);
	fcntl(pair[0], F_SETFL, O_NONBLOCK);
	observe_kind(pair[0]);
}

CASE(kind_unix_dgram)
{
	int pair[2];
	unix_pair(SOCK_DGRAM, pair);
	fcntl(pair[0], F_SETFL, O_NONBLOCK);
	observe_kind(pair[0]);
}

CASE(kind_pipe_reader)
{
	int ends[2];
	must("pipe", pipe2(ends, O_NONBLOCK));
	observe_kind(ends[0]);
}

CASE(kind_pipe_writer)
{
	int ends[2];
	must("pipe", pipe2(ends, O_NONBLOCK));
	observe_kind(ends[1]);
}

CASE(kind_eventfd)
{
	observe_kind(eventfd(0, EFD_NONBLOCK));
}

CASE(kind_timerfd)
{
	observe_kind(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
}

CASE(kind_signalfd)
{
	sigset_t set;
	sigemptyset(&set);
	observe_kind(signalfd(-1, &set, SFD_NONBLOCK));
}

CASE(kind_epoll)
{
	observe_kind(epoll_create1(0));
}

CASE(kind_null)
{
	observe_kind(open("/dev/null", O_RDWR));
}

CASE(kind_zero)
{
	observe_kind(open("/dev/zero", O_RDWR));
}

CASE(kind_full)
{
	observe_kind(open("/dev/full", O_RDWR));
}

CASE(kind_regular)
{
	int fd = open("file", O_RDWR | O_CREAT, 0600);
	must("write", write(fd, "hello", 5));
	observe_kind(fd);
}

CASE(kind_regular_read_only)
{
	int fd = open("file", O_RDWR | O_CREAT, 0600);
	must("write", write(fd, "hello", 5));
	observe_kind(open("file", O_RDONLY));
}

CASE(kind_regular_write_only)
{
	observe_kind(open("file", O_WRONLY | O_CREAT, 0600));
}

CASE(kind_memfd)
{
	observe_kind(memfd_create("name", 0));
}

CASE(kind_path)
{
	close(open("file", O_RDWR | O_CREAT, 0600));
	observe_kind(open("file", O_PATH));
}

CASE(kind_closed)
{
	observe("fstat", fstat(900, &(struct stat){ 0 }));
	observe("lseek", lseek(900, 0, SEEK_SET));
	observe("read", read(900, bytes, 1));
	observe("read-0", read(900, bytes, 0));
	observe("read-bad", read(900, bad_pointer, 1));
	observe("write", write(900, bytes, 1));
	observe("pread-negative", pread(900, bytes, 1, -1));
	observe("readv", readv(900, bad_pointer, 1));
	observe("readv-negative", readv(900, bad_pointer, negative));
	observe("ftruncate", ftruncate(900, -1));
	observe("fsync", fsync(900));
	observe("ioctl", ioctl(900, FIONREAD, bad_pointer));
	observe("fallocate", fallocate(900, 0, 0, 0));
	observe("fchdir", fchdir(900));
	observe("getsockname", getsockname(900, bad_pointer, bad_pointer));
}

CASE(directory_errors)
{
	struct stat status;
	int fd = open(".", O_RDONLY | O_DIRECTORY);
	must("fstat", fstat(fd, &status));
	observe_text("mode", "%o", status.st_mode);
	observe("read", read(fd, bytes, 1));
	observe("read-0", read(fd, bytes, 0));
	observe("write", write(fd, bytes, 1));
	observe("pread", pread(fd, bytes, 1, 0));
	observe("seek", lseek(fd, 0, SEEK_SET));
	observe("truncate", ftruncate(fd, 0));
	observe("fsync", fsync(fd));
	observe_fd("open-write", open(".", O_RDWR));
	observe_fd("open-creat", open(".", O_RDONLY | O_CREAT, 0600));
	observe_fd("open-trunc", open(".", O_RDONLY | O_TRUNC));
}

CASE(regular_seeks)
{
	int fd = open("file", O_RDWR | O_CREAT, 0600);
	must("write", write(fd, "hello", 5));
	observe("end", lseek(fd, 3, SEEK_END));
	observe("back", lseek(fd, -20, SEEK_CUR));
	observe("negative", lseek(fd, -1, SEEK_SET));
	observe("read-behind", read(fd, bytes, 8));
	observe("write-behind", write(fd, "x", 1));
	observe("size", lseek(fd, 0, SEEK_END));
	observe("overflow", lseek(fd, INT64_MAX, SEEK_CUR));
	observe("far", lseek(fd, INT64_MAX - 10, SEEK_SET));
	observe("data", lseek(fd, 0, SEEK_DATA));
	observe("hole", lseek(fd, 0, SEEK_HOLE));
	observe("data-behind", lseek(fd, 100, SEEK_DATA));
}

static long map_of(int fd)
{
	return mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED ? -1 : 0;
}

CASE(map_of_kinds)
{
	int ends[2], pair[2];
	must("pipe", pipe(ends));
	unix_pair(SOCK_STREAM, pair);
	observe("pipe", map_of(ends[0]));
	observe("pipe-write", map_of(ends[1]));
	observe("unix", map_of(pair[0]));
	observe("udp", map_of(udp_socket()));
	observe("eventfd", map_of(eventfd(0, 0)));
	observe("timerfd", map_of(timerfd_create(CLOCK_MONOTONIC, 0)));
	observe("epoll", map_of(epoll_create1(0)));
	observe("null", map_of(open("/dev/null", O_RDWR)));
	observe("zero", map_of(open("/dev/zero", O_RDWR)));
	observe("directory", map_of(open(".", O_RDONLY)));
	observe("path", map_of(open(".", O_PATH)));
	observe("regular", map_of(open("file", O_RDWR | O_CREAT, 0600)));
	observe("write-only", map_of(open("file", O_WRONLY)));
	observe("memfd", map_of(memfd_create("name", 0)));
	observe("closed", map_of(900));
}

CASE(map_of_tcp)
{
	observe("tcp", map_of(tcp_socket()));
}
