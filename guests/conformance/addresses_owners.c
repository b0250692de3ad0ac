/* Whose sockets are: what fstat says, and SO_REUSEPORT, by which the sockets of one user share a
 * port. */
#define _GNU_SOURCE
#include "conform.h"

#include <poll.h>
#include <sys/stat.h>

#define USER  1000
#define GROUP 100

static int shared_socket(int type, const char *host, int port)
{
	int fd = (int)must("socket", socket(AF_INET, type, 0));
	must("reuse", set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1));
	must("bind", bind_to(fd, inet_address(host, port)));
	return fd;
}

static void observe_shared(const char *label, int type, const char *host, int port)
{
	int fd = (int)must("socket", socket(AF_INET, type, 0));
	must("reuse", set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1));
	observe(label, bind_to(fd, inet_address(host, port)));
}

static void observe_both(const char *host, int port)
{
	observe_shared("tcp", SOCK_STREAM, host, port);
	observe_shared("udp", SOCK_DGRAM, host, port);
}

static void observe_owner(const char *label, int fd)
{
	struct stat status;
	must("fstat", fstat(fd, &status));
	observe_text(label, "%d:%d", (int)status.st_uid, (int)status.st_gid);
}

CASE(owner_of_sockets)
{
	struct sockaddr_in address;
	int pair[2], listener = tcp_listener(1, &address), client = tcp_socket();
	observe_owner("tcp", listener);
	must("connect", connect_to(client, address));
	must("setegid", setegid(GROUP));
	must("seteuid", seteuid(USER));
	observe_owner("accepted", (int)must("accept", accept(listener, NULL, NULL)));
	observe_owner("listener", listener);
	observe_owner("tcp", tcp_socket());
	observe_owner("udp", udp_socket());
	unix_pair(SOCK_STREAM, pair);
	observe_owner("unix", pair[1]);
}

CASE(reuse_with_same_user)
{
	must("setuid", setuid(USER));
	int first = shared_socket(SOCK_STREAM, "127.0.0.1", 5183);
	int second = shared_socket(SOCK_STREAM, "0.0.0.0", 5183);
	shared_socket(SOCK_DGRAM, "127.0.0.1", 5183);
	observe("listen", listen(first, 1));
	observe("listen", listen(second, 1));
	observe_both("127.0.0.1", 5183);
}

CASE(reuse_by_root)
{
	must("seteuid", seteuid(USER));
	shared_socket(SOCK_STREAM, "127.0.0.1", 5184);
	shared_socket(SOCK_DGRAM, "127.0.0.1", 5184);
	must("seteuid", seteuid(0));
	observe_both("127.0.0.1", 5184);
	observe_both("0.0.0.0", 5184);
}

/* It counts who made the socket, not who binds it. */
CASE(reuse_by_maker)
{
	int tcp = tcp_socket(), udp = udp_socket();
	must("reuse", set_int(tcp, SOL_SOCKET, SO_REUSEPORT, 1));
	must("reuse", set_int(udp, SOL_SOCKET, SO_REUSEPORT, 1));
	must("seteuid", seteuid(USER));
	shared_socket(SOCK_STREAM, "127.0.0.1", 5185);
	shared_socket(SOCK_DGRAM, "127.0.0.1", 5185);
	observe("tcp", bind_to(tcp, inet_address("127.0.0.1", 5185)));
	observe("udp", bind_to(udp, inet_address("127.0.0.1", 5185)));
}

CASE(reuse_at_other_address)
{
	shared_socket(SOCK_STREAM, "127.0.0.1", 5186);
	shared_socket(SOCK_DGRAM, "127.0.0.1", 5186);
	must("seteuid", seteuid(USER));
	observe_both("127.0.0.2", 5186);
	observe_both("127.0.0.2", 5186);
	observe_both("127.0.0.1", 5186);
	observe_both("0.0.0.0", 5186);
}

/* With SO_REUSEADDR, too, both bind, but only one listens. */
CASE(reuse_and_listen)
{
	int fds[2];
	for (int i = 0; i < 2; i++) {
		fds[i] = tcp_socket();
		must("reuse", set_int(fds[i], SOL_SOCKET, SO_REUSEPORT, 1));
		must("reuse", set_int(fds[i], SOL_SOCKET, SO_REUSEADDR, 1));
		observe("bind", bind_to(fds[i], inet_address("127.0.0.1", 5187)));
		must("seteuid", seteuid(USER));
	}
	observe("first", listen(fds[0], 1));
	observe("second", listen(fds[1], 1));
	close(fds[0]);
	observe("second", listen(fds[1], 1));
}

/* An accepted connection alone keeps the port from others; what is left of it later does not. */
CASE(reuse_beside_connection)
{
	int listener = shared_socket(SOCK_STREAM, "127.0.0.1", 5188), client = tcp_socket();
	must("listen", listen(listener, 1));
	must("connect", connect_to(client, inet_address("127.0.0.1", 5188)));
	int server = (int)must("accept", accept(listener, NULL, NULL));
	close(listener);
	observe_shared("same", SOCK_STREAM, "127.0.0.1", 5188);
	must("seteuid", seteuid(USER));
	observe_shared("other", SOCK_STREAM, "127.0.0.1", 5188);
	must("shutdown", shutdown(server, SHUT_WR));
	observe_poll("poll", client, POLLIN, 1000);
	close(client);
	observe_poll("poll", server, POLLIN | POLLHUP, 1000);
	close(server);
	pause_ms(30);
	observe_shared("time-wait", SOCK_STREAM, "127.0.0.2", 5188);
}
