/* Level and edge triggering, ONESHOT, MOD: when an event is reported once more. */
#define _GNU_SOURCE
#include "epoll_sets.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>

#define EDGE (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)

static char bytes[1 << 16];

static void settle(int fd, int events)
{
	struct pollfd entry = { .fd = fd, .events = (short)events };
	poll(&entry, 1, 2000);
}

CASE(level_repeats)
{
	int epoll = epoll_new(), fd = eventfd(1, EFD_NONBLOCK);
	eventfd_t value;
	epoll_add(epoll, fd, EPOLLIN | EPOLLOUT, 1);
	observe_wait("first", epoll, 1, 0);
	observe_wait("second", epoll, 1, 0);
	eventfd_read(fd, &value);
	observe_wait("read", epoll, 1, 0);
	eventfd_write(fd, 1);
	observe_wait("written", epoll, 1, 0);
}

CASE(edge_of_eventfd)
{
	int epoll = epoll_new(), fd = eventfd(0, EFD_NONBLOCK);
	eventfd_t value;
	epoll_add(epoll, fd, EPOLLIN | EPOLLET, 1);
	observe_wait("idle", epoll, 1, 0);
	eventfd_write(fd, 1);
	observe_wait("written", epoll, 1, 0);
	observe_wait("again", epoll, 1, 0);
	eventfd_write(fd, 1);
	observe_wait("written-again", epoll, 1, 0);
	eventfd_read(fd, &value);
	observe_wait("read", epoll, 1, 0);
	eventfd_write(fd, 0);
	observe_wait("zero-written", epoll, 1, 0);
}

CASE(edge_of_eventfd_both)
{
	int epoll = epoll_new(), fd = eventfd(0, EFD_NONBLOCK);
	eventfd_t value;
	epoll_add(epoll, fd, EPOLLIN | EPOLLOUT | EPOLLET, 1);
	observe_wait("added", epoll, 1, 0);
	observe_wait("again", epoll, 1, 0);
	eventfd_write(fd, 1);
	observe_wait("written", epoll, 1, 0);
	eventfd_read(fd, &value);
	observe_wait("read", epoll, 1, 0);
	eventfd_read(fd, &value);
	observe_wait("read-nothing", epoll, 1, 0);
}

CASE(edge_of_pipe_reader)
{
	int epoll = epoll_new(), ends[2];
	must("pipe", pipe2(ends, O_NONBLOCK));
	epoll_add(epoll, ends[0], EPOLLIN | EPOLLET, 1);
	must("write", write(ends[1], "abc", 3));
	observe_wait("written", epoll, 1, 0);
	observe_wait("again", epoll, 1, 0);
	observe("read", read(ends[0], bytes, 1));
	observe_wait("part-read", epoll, 1, 0);
	must("write", write(ends[1], "d", 1));
	observe_wait("written-more", epoll, 1, 0);
	observe("read", read(ends[0], bytes, 8));
	observe_wait("all-read", epoll, 1, 0);
	must("write", write(ends[1], "e", 1));
	observe_wait("written-anew", epoll, 1, 0);
	close(ends[1]);
	observe_wait("closed", epoll, 1, 0);
	observe_wait("again", epoll, 1, 0);
}

CASE(edge_of_pipe_writer)
{
	int epoll = epoll_new(), ends[2];
	must("pipe", pipe2(ends, O_NONBLOCK));
	epoll_add(epoll, ends[1], EPOLLOUT | EPOLLET, 1);
	observe_wait("added", epoll, 1, 0);
	must("write", write(ends[1], "abc", 3));
	observe_wait("written", epoll, 1, 0);
	observe("read", read(ends[0], bytes, 3));
	observe_wait("read", epoll, 1, 0);
	while (write(ends[1], bytes, 4096) > 0)
		;
	observe_wait("filled", epoll, 1, 0);
	observe("read", read(ends[0], bytes, 1));
	observe_wait("byte-read", epoll, 1, 0);
	observe("read", read(ends[0], bytes, 4095));
	observe_wait("page-read", epoll, 1, 0);
	observe("read", read(ends[0], bytes, 4096));
	observe_wait("more-read", epoll, 1, 0);
	close(ends[0]);
	observe_wait("closed", epoll, 1, 0);
	observe_wait("again", epoll, 1, 0);
}

/* A reader that has both is told twice. */
CASE(edge_of_fifo_both_ways)
{
	int epoll = epoll_new();
	mkfifo("fifo", 0600);
	int fd = open("fifo", O_RDWR | O_NONBLOCK);
	epoll_add(epoll, fd, EPOLLIN | EPOLLOUT | EPOLLET, 1);
	observe_wait("added", epoll, 1, 0);
	must("write", write(fd, "abc", 3));
	observe_wait("written", epoll, 1, 0);
	must("read", read(fd, bytes, 3));
	observe_wait("read", epoll, 1, 0);
}

static void edges_of_stream(int pair[2])
{
	int epoll = epoll_new();
	epoll_add(epoll, pair[0], EDGE, 1);
	observe_wait("added", epoll, 1, 0);
	observe_wait("again", epoll, 1, 0);
	must("write", write(pair[1], "abcdef", 6));
	settle(pair[0], POLLIN);
	observe_wait("arrived", epoll, 1, 0);
	observe_wait("again", epoll, 1, 0);
	observe("read", read(pair[0], bytes, 2));
	observe_wait("part-read", epoll, 1, 0);
	must("write", write(pair[1], "gh", 2));
	pause_ms(20);
	observe_wait("more-arrived", epoll, 1, 0);
	observe("read", read(pair[0], bytes, 16));
	observe_wait("all-read", epoll, 1, 0);
	must("shutdown", shutdown(pair[1], SHUT_WR));
	settle(pair[0], POLLRDHUP);
	observe_wait("peer-shut", epoll, 1, 0);
	observe_wait("again", epoll, 1, 0);
	must("shutdown", shutdown(pair[0], SHUT_WR));
	settle(pair[1], POLLRDHUP);
	observe_wait("own-shut", epoll, 1, 0);
	observe_wait("again", epoll, 1, 0);
	close(pair[1]);
	pause_ms(20);
	observe_wait("peer-closed", epoll, 1, 0);
}

CASE(edge_of_tcp)
{
	int pair[2];
	tcp_pair(pair);
	edges_of_stream(pair);
}

CASE(edge_of_unix_stream)
{
	int pair[2];
	unix_pair(SOCK_STREAM, pair);
	edges_of_stream(pair);
}

/* Each datagram is an edge. */
static void edges_of_datagrams(int pair[2])
{
	int epoll = epoll_new();
	epoll_add(epoll, pair[0], EDGE, 1);
	observe_wait("added", epoll, 1, 0);
	for (int i = 0; i < 3; i++) {
		must("write", write(pair[1], "abc", 3));
		settle(pair[0], POLLIN);
		pause_ms(20);
		observe_wait("arrived", epoll, 1, 0);
		observe_wait("again", epoll, 1, 0);
	}
	observe("read", read(pair[0], bytes, 16));
	observe_wait("read", epoll, 1, 0);
}

CASE(edge_of_udp)
{
	int pair[2];
	udp_pair(pair);
	edges_of_datagrams(pair);
}

CASE(edge_of_unix_dgram)
{
	int pair[2];
	unix_pair(SOCK_DGRAM, pair);
	edges_of_datagrams(pair);
}

CASE(edge_of_unix_seqpacket)
{
	int pair[2];
	unix_pair(SOCK_SEQPACKET, pair);
	edges_of_datagrams(pair);
}

CASE(edge_of_udp_sent)
{
	int pair[2], epoll = epoll_new();
	udp_pair(pair);
	epoll_add(epoll, pair[0], EPOLLOUT | EPOLLET, 1);
	observe_wait("added", epoll, 1, 0);
	must("write", write(pair[0], "abc", 3));
	settle(pair[1], POLLIN);
	pause_ms(20);
	observe_wait("sent", epoll, 1, 0);
	must("read", read(pair[1], bytes, 16));
	pause_ms(20);
	observe_wait("received", epoll, 1, 0);
}

CASE(edge_of_unix_stream_received)
{
	int pair[2], epoll = epoll_new();
	unix_pair(SOCK_STREAM, pair);
	epoll_add(epoll, pair[0], EPOLLOUT | EPOLLET, 1);
	observe_wait("added", epoll, 1, 0);
	must("write", write(pair[0], "abc", 3));
	observe_wait("sent", epoll, 1, 0);
	must("read", read(pair[1], bytes, 16));
	observe_wait("received", epoll, 1, 0);
}

CASE(edge_of_listener)
{
	struct sockaddr_in address;
	int listener = tcp_listener(8, &address), epoll = epoll_new();
	epoll_add(epoll, listener, EPOLLIN | EPOLLET, 1);
	observe_wait("idle", epoll, 1, 0);
	for (int i = 0; i < 3; i++) {
		must("connect", connect_to(tcp_socket(), address));
		settle(listener, POLLIN);
		pause_ms(20);
		observe_wait("connected", epoll, 1, 0);
		observe_wait("again", epoll, 1, 0);
	}
	must("accept", accept(listener, NULL, NULL));
	observe_wait("accepted", epoll, 1, 0);
}

CASE(edge_of_connect)
{
	struct sockaddr_in address;
	tcp_listener(8, &address);
	int fd = tcp_socket(), epoll = epoll_new();
	must("nonblock", fcntl(fd, F_SETFL, O_NONBLOCK));
	epoll_add(epoll, fd, EDGE, 1);
	observe_wait("unconnected", epoll, 1, 0);
	observe_wait("again", epoll, 1, 0);
	observe("connect", connect_to(fd, address));
	settle(fd, POLLOUT);
	observe_wait("connected", epoll, 1, 0);
	observe_wait("again", epoll, 1, 0);
}

CASE(edge_of_refusal)
{
	struct sockaddr_in address;
	close(tcp_listener(8, &address));
	int fd = tcp_socket(), epoll = epoll_new();
	must("nonblock", fcntl(fd, F_SETFL, O_NONBLOCK));
	connect_to(fd, address);
	epoll_add(epoll, fd, EPOLLET, 1);
	settle(fd, POLLOUT);
	observe_wait("refused", epoll, 1, 0);
	observe_wait("again", epoll, 1, 0);
}

CASE(edge_of_timer)
{
	int epoll = epoll_new(), fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	struct itimerspec soon = { .it_value = { 0, 1000000 } };
	epoll_add(epoll, fd, EPOLLIN | EPOLLET, 1);
	must("settime", timerfd_settime(fd, 0, &soon, NULL));
	observe_wait("expired", epoll, 1, 2000);
	observe_wait("again", epoll, 1, 0);
	must("settime", timerfd_settime(fd, 0, &soon, NULL));
	observe_wait("anew", epoll, 1, 2000);
}

CASE(add_when_ready)
{
	int level = epoll_new(), edge = epoll_new(), fd = eventfd(1, 0);
	epoll_add(level, fd, EPOLLIN, 1);
	epoll_add(edge, fd, EPOLLIN | EPOLLET, 2);
	observe_wait("level", level, 1, 0);
	observe_wait("edge", edge, 1, 0);
	observe_wait("edge-again", edge, 1, 0);
}

CASE(modify_reports_anew)
{
	int epoll = epoll_new(), fd = eventfd(1, 0);
	epoll_add(epoll, fd, EPOLLIN | EPOLLET, 1);
	observe_wait("first", epoll, 1, 0);
	observe_wait("again", epoll, 1, 0);
	observe("mod", epoll_change(epoll, EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLET, 2));
	observe_wait("modified", epoll, 1, 0);
	observe_wait("again", epoll, 1, 0);
	observe("mod", epoll_change(epoll, EPOLL_CTL_MOD, fd, EPOLLPRI | EPOLLET, 3));
	observe_wait("other-events", epoll, 1, 0);
	observe("mod", epoll_change(epoll, EPOLL_CTL_MOD, fd, EPOLLOUT | EPOLLET, 4));
	observe_wait("out", epoll, 1, 0);
	observe("mod", epoll_change(epoll, EPOLL_CTL_MOD, fd, EPOLLIN, 5));
	observe_wait("level", epoll, 1, 0);
	observe_wait("level-again", epoll, 1, 0);
}

CASE(modify_changes_pending_report)
{
	int epoll = epoll_new(), fd = eventfd(1, 0);
	epoll_add(epoll, fd, EPOLLIN, 1);
	observe("mod", epoll_change(epoll, EPOLL_CTL_MOD, fd, EPOLLOUT, 2));
	observe_wait("out", epoll, 1, 0);
	observe("mod", epoll_change(epoll, EPOLL_CTL_MOD, fd, EPOLLPRI, 3));
	observe_wait("none", epoll, 1, 0);
}

CASE(oneshot)
{
	int epoll = epoll_new(), fd = eventfd(0, EFD_NONBLOCK);
	epoll_add(epoll, fd, EPOLLIN | EPOLLONESHOT, 1);
	eventfd_write(fd, 1);
	observe_wait("first", epoll, 1, 0);
	observe_wait("again", epoll, 1, 0);
	eventfd_write(fd, 1);
	observe_wait("written", epoll, 1, 0);
	observe("add", epoll_change(epoll, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLONESHOT, 2));
	observe("mod", epoll_change(epoll, EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLONESHOT, 2));
	observe_wait("rearmed", epoll, 1, 0);
	observe_wait("again", epoll, 1, 0);
	observe("mod", epoll_change(epoll, EPOLL_CTL_MOD, fd, EPOLLOUT | EPOLLONESHOT, 3));
	observe_wait("out", epoll, 1, 0);
	observe_wait("again", epoll, 1, 0);
}

/* Once reported, not even a hang-up is. */
CASE(oneshot_hang_up)
{
	int epoll = epoll_new(), ends[2];
	must("pipe", pipe(ends));
	epoll_add(epoll, ends[0], EPOLLIN | EPOLLONESHOT, 1);
	must("write", write(ends[1], "a", 1));
	observe_wait("data", epoll, 1, 0);
	close(ends[1]);
	observe_wait("hang-up", epoll, 1, 0);
	observe("mod", epoll_change(epoll, EPOLL_CTL_MOD, ends[0], 0, 2));
	observe_wait("modified", epoll, 1, 0);
	observe_wait("level", epoll, 1, 0);
}

CASE(hang_up_without_being_asked)
{
	int epoll = epoll_new(), ends[2], pair[2];
	must("pipe", pipe(ends));
	epoll_add(epoll, ends[0], 0, 1);
	close(ends[1]);
	observe_wait("pipe", epoll, 4, 0);
	must("pipe", pipe(ends));
	epoll_add(epoll, ends[1], 0, 2);
	close(ends[0]);
	observe_wait("pipes", epoll, 4, 0);
	unix_pair(SOCK_STREAM, pair);
	epoll_add(epoll, pair[0], 0, 3);
	must("write", write(pair[0], "a", 1));
	close(pair[1]);
	observe_wait("unix", epoll, 4, 0);
}

CASE(rdhup_only_when_asked)
{
	int epoll = epoll_new(), pair[2];
	tcp_pair(pair);
	epoll_add(epoll, pair[0], 0, 1);
	must("shutdown", shutdown(pair[1], SHUT_WR));
	settle(pair[0], POLLRDHUP);
	observe_wait("none", epoll, 1, 0);
	observe("mod", epoll_change(epoll, EPOLL_CTL_MOD, pair[0], EPOLLRDHUP, 1));
	observe_wait("rdhup", epoll, 1, 0);
	observe("mod", epoll_change(epoll, EPOLL_CTL_MOD, pair[0], EPOLLIN, 1));
	observe_wait("in", epoll, 1, 0);
}

CASE(edge_after_full_buffer)
{
	int epoll = epoll_new(), pair[2];
	unix_pair(SOCK_STREAM, pair);
	for (int i = 0; i < 2; i++)
		must("nonblock", fcntl(pair[i], F_SETFL, O_NONBLOCK));
	epoll_add(epoll, pair[0], EPOLLOUT | EPOLLET, 1);
	observe_wait("added", epoll, 1, 0);
	while (write(pair[0], bytes, 4096) > 0)
		;
	observe_wait("full", epoll, 1, 0);
	observe("read", read(pair[1], bytes, 1));
	observe_wait("byte-read", epoll, 1, 0);
	while (read(pair[1], bytes, sizeof(bytes)) > 0)
		;
	observe_wait("all-read", epoll, 1, 0);
	observe_wait("again", epoll, 1, 0);
}

CASE(edge_tcp_after_full_buffer)
{
	int epoll = epoll_new(), pair[2];
	tcp_pair(pair);
	for (int i = 0; i < 2; i++)
		must("nonblock", fcntl(pair[i], F_SETFL, O_NONBLOCK));
	epoll_add(epoll, pair[0], EPOLLOUT | EPOLLET, 1);
	observe_wait("added", epoll, 1, 0);
	struct pollfd writable = { .fd = pair[0], .events = POLLOUT };
	do
		while (write(pair[0], bytes, 4096) > 0)
			;
	while (poll(&writable, 1, 50) > 0);
	struct epoll_event event;
	epoll_wait(epoll, &event, 1, 0);
	observe_wait("full", epoll, 1, 0);
	struct pollfd readable = { .fd = pair[1], .events = POLLIN };
	do
		while (read(pair[1], bytes, sizeof(bytes)) > 0)
			;
	while (poll(&readable, 1, 50) > 0);
	observe_wait("all-read", epoll, 1, 2000);
	observe_wait("again", epoll, 1, 0);
}

CASE(oneshot_with_edge)
{
	int epoll = epoll_new(), ends[2];
	must("pipe", pipe(ends));
	epoll_add(epoll, ends[0], EPOLLIN | EPOLLET | EPOLLONESHOT, 1);
	must("write", write(ends[1], "a", 1));
	observe_wait("first", epoll, 1, 0);
	must("write", write(ends[1], "a", 1));
	observe_wait("written", epoll, 1, 0);
	observe("mod", epoll_change(epoll, EPOLL_CTL_MOD, ends[0], EPOLLIN | EPOLLET, 1));
	observe_wait("modified", epoll, 1, 0);
}

CASE(shut_own_side_edges)
{
	int pair[2], epoll = epoll_new();
	tcp_pair(pair);
	epoll_add(epoll, pair[0], EDGE, 1);
	observe_wait("added", epoll, 1, 0);
	must("shutdown", shutdown(pair[0], SHUT_RD));
	observe_wait("read-shut", epoll, 1, 0);
	must("shutdown", shutdown(pair[0], SHUT_RD));
	observe_wait("read-shut-again", epoll, 1, 0);
	must("shutdown", shutdown(pair[0], SHUT_WR));
	pause_ms(20);
	observe_wait("write-shut", epoll, 1, 0);
}
