/* A peer on the wire that resets, in every state; one that opens at the same time; one that knocks
 * too often. */
#define _GNU_SOURCE
#include "wire.h"

#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <string.h>

static char bytes[64];

/* What the calls say then, in this order. */
static void observe_calls(int fd, const char *order)
{
	for (; *order; order++) {
		if (*order == 'r')
			observe_bytes("recv", recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT), bytes);
		else if (*order == 's')
			observe("send", send(fd, "x", 1, MSG_NOSIGNAL));
		else if (*order == 'e')
			observe_so_error("error", fd);
		else if (*order == 'p')
			observe_state("poll", fd);
	}
}

static void reset_connected(const char *order)
{
	int fd = connected_to_host(80);
	command("reset %d", port_of(fd));
	observe_calls(fd, order);
	close(fd);
}

CASE_SECONDS(refused, 40)
{
	int fd = tcp_socket();
	observe("connect", connect_to(fd, inet_address(HOST, 1)));
	observe_calls(fd, "ep");
	observe("again", connect_to(fd, inet_address(HOST, 80)));
}

CASE_SECONDS(reset_receive_first, 40)
{
	reset_connected("prrsep");
}

CASE_SECONDS(reset_send_first, 40)
{
	reset_connected("pssrep");
}

CASE_SECONDS(reset_error_first, 40)
{
	reset_connected("pesrep");
}

/* Data that came before is lost with the connection. */
CASE_SECONDS(reset_with_unread, 40)
{
	int fd = connected_to_host(80);
	command("text %d hello", port_of(fd));
	observe_state("poll", fd);
	command("reset %d", port_of(fd));
	observe_calls(fd, "prrsep");
}

CASE_SECONDS(reset_with_unread_and_unsent, 40)
{
	int fd = connected_to_host(80);
	command("text %d hello", port_of(fd));
	command("mute %d 1", port_of(fd));
	must("send", send(fd, "abc", 3, 0));
	command("reset %d", port_of(fd));
	observe_calls(fd, "psrsep");
}

/* CLOSE_WAIT: a FIN, then RST. */
CASE_SECONDS(reset_after_fin, 40)
{
	int fd = connected_to_host(80);
	command("finish %d", port_of(fd));
	observe_calls(fd, "pr");
	command("reset %d", port_of(fd));
	observe_calls(fd, "psrep");
}

CASE_SECONDS(reset_after_fin_receive_first, 40)
{
	int fd = connected_to_host(80);
	command("finish_with %d bye", port_of(fd));
	command("reset %d", port_of(fd));
	observe_calls(fd, "prrsep");
}

/* The ordinary way: data to one that has closed is answered with RST. */
CASE_SECONDS(reset_for_data_after_fin, 40)
{
	int fd = connected_to_host(80);
	command("finish %d", port_of(fd));
	observe_calls(fd, "rs");
	command("reset %d", port_of(fd));
	observe_calls(fd, "ssrep");
}

/* FIN_WAIT_1: the FIN was sent and not acknowledged. */
CASE_SECONDS(reset_in_fin_wait_1, 40)
{
	int fd = connected_to_host(80);
	command("mute %d 1", port_of(fd));
	must("shutdown", shutdown(fd, SHUT_WR));
	command("reset %d", port_of(fd));
	observe_calls(fd, "prsep");
}

CASE_SECONDS(reset_in_fin_wait_2, 40)
{
	int fd = connected_to_host(80);
	must("shutdown", shutdown(fd, SHUT_WR));
	observe_command("seen", "seen %d", port_of(fd));
	command("reset %d", port_of(fd));
	observe_calls(fd, "prsep");
}

CASE_SECONDS(reset_in_closing, 40)
{
	int fd = connected_to_host(80);
	command("mute %d 1", port_of(fd));
	must("shutdown", shutdown(fd, SHUT_WR));
	command("finish %d", port_of(fd));
	observe_state("closing", fd);
	command("reset %d", port_of(fd));
	observe_calls(fd, "prsep");
}

CASE_SECONDS(reset_in_last_ack, 40)
{
	int fd = connected_to_host(80);
	command("finish %d", port_of(fd));
	command("mute %d 1", port_of(fd));
	must("shutdown", shutdown(fd, SHUT_WR));
	observe_state("last-ack", fd);
	command("reset %d", port_of(fd));
	observe_calls(fd, "prsep");
}

/* Both have closed: nothing is there to be reset. */
CASE_SECONDS(reset_in_time_wait, 40)
{
	int fd = connected_to_host(80);
	must("shutdown", shutdown(fd, SHUT_WR));
	command("finish %d", port_of(fd));
	observe_state("time-wait", fd);
	command("reset %d", port_of(fd));
	observe_calls(fd, "prsep");
}

CASE_SECONDS(reset_while_receiving, 40)
{
	int fd = connected_to_host(80);
	int port = port_of(fd);
	if (fork() == 0) {
		pause_ms(50);
		command("reset %d", port);
		_exit(0);
	}
	observe("recv", recv(fd, bytes, 1, 0));
	observe_calls(fd, "rsep");
}

CASE_SECONDS(reset_while_polling, 40)
{
	int fd = connected_to_host(80);
	int port = port_of(fd);
	if (fork() == 0) {
		pause_ms(50);
		command("reset %d", port);
		_exit(0);
	}
	observe_poll("poll", fd, POLLIN, 5000);
	observe_calls(fd, "ersep");
}

CASE_SECONDS(reset_of_an_accepted, 40)
{
	int listener = tcp_socket();
	must("bind", bind_to(listener, inet_address("0.0.0.0", 5301)));
	must("listen", listen(listener, 5));
	observe_command("connect", "connect 5301 1 7001");
	int fd = observe_fd("accept", accept(listener, NULL, NULL));
	observe_peer("peer", fd);
	command("reset 5301");
	observe_calls(fd, "prsep");
}

CASE_SECONDS(reset_before_accept, 40)
{
	int listener = tcp_socket();
	must("bind", bind_to(listener, inet_address("0.0.0.0", 5302)));
	must("listen", listen(listener, 5));
	observe_command("connect", "connect 5302 1 7011");
	command("reset 5302");
	observe_poll("poll", listener, POLLIN, 1000);
	int fd = observe_fd("accept", accept(listener, NULL, NULL));
	observe_peer("peer", fd);
	observe_calls(fd, "prsep");
}

/* Only a reset with exactly the next sequence number is one (RFC 5961); SYNs are none at all. */
static void forge(const char *label, const char *flags, int offset)
{
	int fd = connected_to_host(80);
	command("forge %d %s %d", port_of(fd), flags, offset);
	observe_state(label, fd);
	command("text %d x", port_of(fd));
	observe_bytes("recv", recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT), bytes);
	observe_command("seen", "seen %d", port_of(fd));
	close(fd);
}

CASE_SECONDS(forged_segments, 40)
{
	forge("reset", "R", 0);
	forge("reset-ack", "RA", 0);
	forge("reset-next", "R", 1);
	forge("reset-before", "R", -1);
	forge("reset-far", "R", 1000000);
	forge("syn", "S", 0);
	forge("syn-ack", "SA", -1);
	forge("syn-far", "S", 1000000);
	forge("fin-without-ack", "F", 0);
	forge("fin-later", "FA", 1);
	forge("fin-earlier", "FA", -1);
	forge("nothing", "-", 0);
}

/* What close sends: FIN, or RST when something was unread, or with SO_LINGER 0. */
CASE_SECONDS(close_sends, 40)
{
	struct linger linger = { 1, 0 };
	int fd = connected_to_host(80), port = port_of(fd);
	close(fd);
	observe_command("plain", "seen %d", port);
	fd = connected_to_host(80);
	port = port_of(fd);
	command("text %d hello", port);
	close(fd);
	observe_command("unread", "seen %d", port);
	fd = connected_to_host(80);
	port = port_of(fd);
	must("SO_LINGER", setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
	close(fd);
	observe_command("linger-0", "seen %d", port);
	fd = connected_to_host(80);
	port = port_of(fd);
	must("shutdown", shutdown(fd, SHUT_RD));
	command("text %d hello", port);
	observe_command("shut-read", "seen %d", port);
	close(fd);
	observe_command("closed", "seen %d", port);
}

/* Data that comes after close is answered with RST. */
CASE_SECONDS(data_after_close, 40)
{
	int fd = connected_to_host(80), port = port_of(fd);
	close(fd);
	command("text %d hello", port);
	observe_command("seen", "seen %d", port);
}

/* SYNs that cross (RFC 9293 figure 8). */
CASE_SECONDS(simultaneous_open, 40)
{
	int fd = tcp_socket();
	observe("connect", connect_to(fd, inet_address(HOST, 3)));
	observe_command("seen", "seen %d", port_of(fd));
	observe_state("poll", fd);
	observe_peer("peer", fd);
	observe("send", send(fd, "abc", 3, 0));
	command("text %d hello", port_of(fd));
	observe_calls(fd, "r");
	command("finish %d", port_of(fd));
	observe_calls(fd, "rp");
}

CASE_SECONDS(simultaneous_open_nonblocking, 40)
{
	int fd = tcp_socket();
	set_nonblocking(fd);
	observe("connect", connect_to(fd, inet_address(HOST, 3)));
	observe_poll("poll", fd, POLLOUT, 5000);
	observe_so_error("error", fd);
	observe("again", connect_to(fd, inet_address(HOST, 3)));
}

/* A queue of two holds two; further SYNs are not answered, until one is accepted. */
CASE_SECONDS(backlog_overflow, 20)
{
	int listener = tcp_socket();
	must("bind", bind_to(listener, inet_address("0.0.0.0", 5303)));
	must("listen", listen(listener, 1));
	observe_command("connected", "connect 5303 4 7021");
	observe_fd("accept", accept(listener, NULL, NULL));
	observe_command("connected", "connect 5303 2 7031");
	observe_fd("accept", accept(listener, NULL, NULL));
	observe_fd("accept", accept(listener, NULL, NULL));
	set_nonblocking(listener);
	observe_fd("accept", accept(listener, NULL, NULL));
}
