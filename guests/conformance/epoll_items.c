/* epoll_create, epoll_ctl: arguments, items, their ends. */
#define _GNU_SOURCE
#include "epoll_sets.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static void *volatile bad_pointer = (void *)16;

CASE(create_arguments)
{
	observe_fd("create1", epoll_create1(0));
	observe_fd("cloexec", epoll_create1(EPOLL_CLOEXEC));
	observe_fd("flags", epoll_create1(1));
	observe_fd("nonblock", epoll_create1(O_NONBLOCK));
	observe_fd("negative", epoll_create1(-1));
	observe_fd("size-1", epoll_create(1));
	observe_fd("size-0", epoll_create(0));
	observe_fd("size-negative", epoll_create(-1));
}

CASE(create_flags_read_back)
{
	struct stat status;
	int plain = epoll_create1(0), cloexec = epoll_create1(EPOLL_CLOEXEC);
	observe("getfl", fcntl(plain, F_GETFL));
	observe("getfd", fcntl(plain, F_GETFD));
	observe("getfd-cloexec", fcntl(cloexec, F_GETFD));
	observe("fstat", fstat(plain, &status));
	observe("mode", status.st_mode);
	observe("size", status.st_size);
}

CASE(create_descriptors_run_out)
{
	int fd;
	do
		fd = epoll_create1(0);
	while (fd >= 0);
	observe_fd("full", fd);
}

CASE(epoll_read_write)
{
	char bytes[8] = "";
	int epoll = epoll_new();
	observe("read", read(epoll, bytes, 8));
	observe("write", write(epoll, bytes, 8));
	observe("lseek", lseek(epoll, 0, SEEK_SET));
	observe("pread", pread(epoll, bytes, 8, 0));
	observe("truncate", ftruncate(epoll, 0));
}

CASE(control_bad_arguments)
{
	int epoll = epoll_new(), fd = eventfd(0, 0);
	struct epoll_event event = { .events = EPOLLIN };
	observe("epoll", epoll_ctl(-1, EPOLL_CTL_ADD, fd, &event));
	observe("not-open", epoll_ctl(900, EPOLL_CTL_ADD, fd, &event));
	observe("fd", epoll_ctl(epoll, EPOLL_CTL_ADD, -1, &event));
	observe("fd-not-open", epoll_ctl(epoll, EPOLL_CTL_ADD, 900, &event));
	observe("no-epoll", epoll_ctl(fd, EPOLL_CTL_ADD, epoll, &event));
	observe("itself", epoll_ctl(epoll, EPOLL_CTL_ADD, epoll, &event));
	observe("fd-itself", epoll_ctl(fd, EPOLL_CTL_ADD, fd, &event));
	observe("operation-0", epoll_ctl(epoll, 0, fd, &event));
	observe("operation-4", epoll_ctl(epoll, 4, fd, &event));
	observe("operation-negative", epoll_ctl(epoll, -1, fd, &event));
	observe("add-pointer", epoll_ctl(epoll, EPOLL_CTL_ADD, fd, bad_pointer));
	observe("mod-pointer", epoll_ctl(epoll, EPOLL_CTL_MOD, fd, bad_pointer));
	observe("del-pointer", epoll_ctl(epoll, EPOLL_CTL_DEL, fd, bad_pointer));
	observe("null", epoll_ctl(epoll, EPOLL_CTL_ADD, fd, NULL));
	observe("pointer-and-fds", epoll_ctl(-1, EPOLL_CTL_ADD, -1, bad_pointer));
	observe("operation-and-pointer", epoll_ctl(epoll, 9, fd, bad_pointer));
	observe("operation-and-fds", epoll_ctl(-1, 9, -1, &event));
}

CASE(control_item_errors)
{
	int epoll = epoll_new(), fd = eventfd(0, 0);
	observe("mod", epoll_change(epoll, EPOLL_CTL_MOD, fd, EPOLLIN, 1));
	observe("del", epoll_change(epoll, EPOLL_CTL_DEL, fd, 0, 1));
	observe("add", epoll_change(epoll, EPOLL_CTL_ADD, fd, EPOLLIN, 1));
	observe("again", epoll_change(epoll, EPOLL_CTL_ADD, fd, EPOLLIN, 1));
	observe("again-exclusive",
	        epoll_change(epoll, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLEXCLUSIVE, 1));
	observe("mod", epoll_change(epoll, EPOLL_CTL_MOD, fd, EPOLLOUT, 2));
	observe("del", epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL));
	observe("del-again", epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL));
	observe("mod", epoll_change(epoll, EPOLL_CTL_MOD, fd, EPOLLIN, 1));
	observe("add", epoll_change(epoll, EPOLL_CTL_ADD, fd, EPOLLIN, 1));
}

CASE(control_which_files)
{
	int epoll = epoll_new();
	static const struct {
		const char *label, *path;
		int flags;
	} files[] = {
		{ "regular", "file", O_RDWR | O_CREAT },
		{ "directory", ".", O_RDONLY },
		{ "path", ".", O_PATH },
		{ "null", "/dev/null", O_RDWR },
		{ "zero", "/dev/zero", O_RDWR },
		{ "random", "/dev/random", O_RDONLY },
		{ "urandom", "/dev/urandom", O_RDONLY },
		{ "proc", "/proc/self/stat", O_RDONLY },
		{ "mounts", "/proc/self/mounts", O_RDONLY },
	};
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		int fd = (int)must(files[i].label, open(files[i].path, files[i].flags, 0600));
		observe(files[i].label, epoll_change(epoll, EPOLL_CTL_ADD, fd, EPOLLIN, 1));
	}
	int file = open("file", O_RDONLY);
	observe("del-regular", epoll_change(epoll, EPOLL_CTL_DEL, file, 0, 0));
	observe("operation-regular", epoll_change(epoll, 9, file, 0, 0));
}

CASE(control_exclusive_rules)
{
	int epoll = epoll_new(), other = epoll_new(), fd = eventfd(0, 0);
	unsigned int exclusive = EPOLLEXCLUSIVE;
	observe("oneshot",
	        epoll_change(epoll, EPOLL_CTL_ADD, fd, EPOLLIN | exclusive | EPOLLONESHOT, 1));
	observe("rdhup",
	        epoll_change(epoll, EPOLL_CTL_ADD, fd, EPOLLIN | exclusive | EPOLLRDHUP, 1));
	observe("pri", epoll_change(epoll, EPOLL_CTL_ADD, fd, EPOLLPRI | exclusive, 1));
	observe("rdnorm", epoll_change(epoll, EPOLL_CTL_ADD, fd, EPOLLRDNORM | exclusive, 1));
	observe("epoll", epoll_change(epoll, EPOLL_CTL_ADD, other, EPOLLIN | exclusive, 1));
	observe("nothing", epoll_change(epoll, EPOLL_CTL_ADD, fd, exclusive, 1));
	observe("mod-to-plain", epoll_change(epoll, EPOLL_CTL_MOD, fd, EPOLLIN, 1));
	observe("mod-to-exclusive", epoll_change(epoll, EPOLL_CTL_MOD, fd, EPOLLIN | exclusive, 1));
	observe("del", epoll_change(epoll, EPOLL_CTL_DEL, fd, 0, 1));
	observe("wakeup-edge", epoll_change(epoll, EPOLL_CTL_ADD, fd,
	                                    EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLET |
	                                            EPOLLWAKEUP | exclusive,
	                                    1));
	observe("del", epoll_change(epoll, EPOLL_CTL_DEL, fd, 0, 1));
	observe("add-plain", epoll_change(epoll, EPOLL_CTL_ADD, fd, EPOLLIN, 1));
	observe("mod-exclusive", epoll_change(epoll, EPOLL_CTL_MOD, fd, EPOLLIN | exclusive, 1));
	observe_wait("wait", epoll, 1, 0);
}

CASE(control_unknown_events)
{
	int epoll = epoll_new(), fd = eventfd(1, 0);
	observe("add", epoll_change(epoll, EPOLL_CTL_ADD, fd, 0x0ffff000, 1));
	observe_wait("wait", epoll, 1, 0);
	observe("mod", epoll_change(epoll, EPOLL_CTL_MOD, fd, 0xefffffff, 1));
	observe_wait("wait", epoll, 1, 0);
}

CASE(nesting_loops)
{
	int a = epoll_new(), b = epoll_new(), c = epoll_new();
	observe("a-b", epoll_change(a, EPOLL_CTL_ADD, b, EPOLLIN, 1));
	observe("b-a", epoll_change(b, EPOLL_CTL_ADD, a, EPOLLIN, 1));
	observe("b-c", epoll_change(b, EPOLL_CTL_ADD, c, EPOLLIN, 1));
	observe("c-a", epoll_change(c, EPOLL_CTL_ADD, a, EPOLLIN, 1));
	observe("c-b", epoll_change(c, EPOLL_CTL_ADD, b, EPOLLIN, 1));
	observe("a-c", epoll_change(a, EPOLL_CTL_ADD, c, EPOLLIN, 1));
	observe("a-dup", epoll_change(a, EPOLL_CTL_ADD, dup(a), EPOLLIN, 1));
}

CASE(nesting_depth_from_below)
{
	int below = epoll_new();
	for (int depth = 1; depth <= 7; depth++) {
		int above = epoll_new();
		observe("add", epoll_change(above, EPOLL_CTL_ADD, below, EPOLLIN, 1));
		below = above;
	}
}

CASE(nesting_depth_from_above)
{
	int above = epoll_new();
	for (int depth = 1; depth <= 7; depth++) {
		int below = epoll_new();
		observe("add", epoll_change(above, EPOLL_CTL_ADD, below, EPOLLIN, 1));
		above = below;
	}
}

CASE(nesting_two_chains_joined)
{
	int chain[2][3];
	for (int i = 0; i < 2; i++) {
		for (int j = 0; j < 3; j++)
			chain[i][j] = epoll_new();
		epoll_add(chain[i][0], chain[i][1], EPOLLIN, 1);
		epoll_add(chain[i][1], chain[i][2], EPOLLIN, 1);
	}
	observe("join", epoll_change(chain[0][2], EPOLL_CTL_ADD, chain[1][0], EPOLLIN, 1));
	observe("join-lower", epoll_change(chain[0][2], EPOLL_CTL_ADD, chain[1][1], EPOLLIN, 1));
	observe("join-higher", epoll_change(chain[0][1], EPOLL_CTL_ADD, chain[1][0], EPOLLIN, 1));
}

CASE(nesting_reports)
{
	int inner = epoll_new(), outer = epoll_new(), fd = eventfd(0, EFD_NONBLOCK);
	eventfd_t value;
	epoll_add(inner, fd, EPOLLIN, 1);
	epoll_add(outer, inner, EPOLLIN, 2);
	observe_wait("idle", outer, 4, 0);
	eventfd_write(fd, 1);
	observe_wait("outer", outer, 4, 0);
	observe_wait("outer-again", outer, 4, 0);
	observe_wait("inner", inner, 4, 0);
	observe_wait("outer-after-inner", outer, 4, 0);
	eventfd_read(fd, &value);
	observe_wait("outer-after-read", outer, 4, 0);
	observe_wait("inner-after-read", inner, 4, 0);
}

CASE(nesting_edge_inside)
{
	int inner = epoll_new(), outer = epoll_new(), fd = eventfd(0, EFD_NONBLOCK);
	epoll_add(inner, fd, EPOLLIN | EPOLLET, 1);
	epoll_add(outer, inner, EPOLLIN, 2);
	eventfd_write(fd, 1);
	observe_wait("outer", outer, 4, 0);
	observe_wait("inner", inner, 4, 0);
	observe_wait("outer-after", outer, 4, 0);
	eventfd_write(fd, 1);
	observe_wait("outer-new", outer, 4, 0);
}

CASE(nesting_edge_outside)
{
	int inner = epoll_new(), outer = epoll_new(), fd = eventfd(0, EFD_NONBLOCK);
	epoll_add(inner, fd, EPOLLIN, 1);
	epoll_add(outer, inner, EPOLLIN | EPOLLET, 2);
	eventfd_write(fd, 1);
	observe_wait("outer", outer, 4, 0);
	observe_wait("outer-again", outer, 4, 0);
	eventfd_write(fd, 1);
	observe_wait("outer-new", outer, 4, 0);
	observe_wait("inner", inner, 4, 0);
	observe_wait("outer-after-inner", outer, 4, 0);
	eventfd_write(fd, 1);
	observe_wait("outer-third", outer, 4, 0);
}

CASE(nesting_inner_closed)
{
	int inner = epoll_new(), outer = epoll_new(), fd = eventfd(1, 0);
	epoll_add(inner, fd, EPOLLIN, 1);
	epoll_add(outer, inner, EPOLLIN, 2);
	observe_wait("before", outer, 4, 0);
	close(inner);
	observe_wait("after", outer, 4, 0);
}

CASE(closed_descriptor_leaves)
{
	int epoll = epoll_new(), fd = eventfd(1, 0);
	epoll_add(epoll, fd, EPOLLIN, 1);
	close(fd);
	observe_wait("wait", epoll, 4, 0);
	observe("del", epoll_change(epoll, EPOLL_CTL_DEL, fd, 0, 0));
}

CASE(duplicate_keeps_item)
{
	int epoll = epoll_new(), fd = eventfd(1, 0), copy = dup(fd);
	epoll_add(epoll, fd, EPOLLIN, 1);
	close(fd);
	observe_wait("closed", epoll, 4, 0);
	observe("del-closed", epoll_change(epoll, EPOLL_CTL_DEL, fd, 0, 0));
	observe("del-copy", epoll_change(epoll, EPOLL_CTL_DEL, copy, 0, 0));
	observe_wait("still", epoll, 4, 0);
	must("dup2", dup2(copy, fd));
	observe("del-after-dup2", epoll_change(epoll, EPOLL_CTL_DEL, fd, 0, 0));
	observe_wait("gone", epoll, 4, 0);
}

CASE(duplicate_last_closed)
{
	int epoll = epoll_new(), fd = eventfd(1, 0), copy = dup(fd);
	epoll_add(epoll, fd, EPOLLIN, 1);
	close(fd);
	close(copy);
	observe_wait("wait", epoll, 4, 0);
}

CASE(duplicates_are_items_of_their_own)
{
	int epoll = epoll_new(), fd = eventfd(1, 0), copy = dup(fd);
	epoll_add(epoll, fd, EPOLLIN, 1);
	observe("copy", epoll_change(epoll, EPOLL_CTL_ADD, copy, EPOLLOUT, 2));
	observe_wait("both", epoll, 4, 0);
	close(copy);
	observe_wait("copy-closed", epoll, 4, 0);
	observe("del", epoll_change(epoll, EPOLL_CTL_DEL, fd, 0, 0));
	observe_wait("only-copy", epoll, 4, 0);
}

/* The number is another file's: the old item stays, and both may be there. */
CASE(number_taken_by_another_file)
{
	int epoll = epoll_new(), fd = eventfd(1, 0), copy = dup(fd), other = eventfd(2, 0);
	epoll_add(epoll, fd, EPOLLIN, 1);
	must("dup2", dup2(other, fd));
	observe("add-new", epoll_change(epoll, EPOLL_CTL_ADD, fd, EPOLLOUT, 2));
	observe_wait("both", epoll, 4, 0);
	close(copy);
	observe_wait("old-gone", epoll, 4, 0);
}

CASE(two_epolls)
{
	int one = epoll_new(), other = epoll_new(), fd = eventfd(0, EFD_NONBLOCK);
	eventfd_t value;
	epoll_add(one, fd, EPOLLIN | EPOLLET, 1);
	epoll_add(other, fd, EPOLLIN, 2);
	eventfd_write(fd, 1);
	observe_wait("one", one, 4, 0);
	observe_wait("other", other, 4, 0);
	observe_wait("one-again", one, 4, 0);
	observe_wait("other-again", other, 4, 0);
	eventfd_read(fd, &value);
	observe_wait("other-read", other, 4, 0);
}

CASE(fork_shares_the_instance)
{
	int epoll = epoll_new(), fd = eventfd(0, EFD_NONBLOCK), own = eventfd(1, 0);
	epoll_add(epoll, fd, EPOLLIN, 1);
	pid_t pid = (pid_t)must("fork", fork());
	if (pid == 0) {
		close(fd);
		epoll_add(epoll, own, EPOLLIN, 2);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	observe_wait("child's", epoll, 4, 0);
	eventfd_write(fd, 1);
	observe_wait("both", epoll, 4, 0);
	observe("del", epoll_change(epoll, EPOLL_CTL_DEL, own, 0, 0));
	observe_wait("own-gone", epoll, 4, 0);
}

CASE(fork_child_keeps_file)
{
	int epoll = epoll_new(), fd = eventfd(1, 0), ends[2];
	must("pipe", pipe(ends));
	epoll_add(epoll, fd, EPOLLIN, 1);
	pid_t pid = (pid_t)must("fork", fork());
	if (pid == 0) {
		char byte;
		close(ends[1]);
		(void)!read(ends[0], &byte, 1);
		_exit(0);
	}
	close(fd);
	observe_wait("child-has-it", epoll, 4, 0);
	close(ends[1]);
	waitpid(pid, NULL, 0);
	observe_wait("child-gone", epoll, 4, 0);
}

CASE(many_descriptors)
{
	int epoll = epoll_new(), fds[900];
	for (int i = 0; i < 900; i++) {
		fds[i] = eventfd(0, 0);
		epoll_add(epoll, fds[i], EPOLLIN, i);
	}
	observe_wait("idle", epoll, 4, 0);
	for (int i = 100; i < 900; i += 200)
		eventfd_write(fds[i], 1);
	observe_wait("ready", epoll, 8, 0);
	for (int i = 0; i < 900; i++)
		close(fds[i]);
	observe_wait("closed", epoll, 8, 0);
}
