/* AF_UNIX: names, connecting, the life of connections. */
#define _GNU_SOURCE
#include "unix.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

static const int types[] = { SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET };

CASE(unix_bind_path)
{
	struct stat status;
	int fd = unix_socket(SOCK_STREAM);
	observe_name("unbound", fd);
	umask(022);
	observe("bind", unix_bind(fd, "name"));
	observe_name("name", fd);
	observe("stat", stat("name", &status));
	observe_text("mode", "%o", status.st_mode);
	observe("again", unix_bind(fd, "name"));
	observe("other", unix_bind(fd, "other"));
	observe("other-exists", access("other", F_OK));
	observe("second", unix_bind(unix_socket(SOCK_STREAM), "name"));
	close(fd);
	observe("exists", access("name", F_OK));
	observe("stale", unix_bind(unix_socket(SOCK_STREAM), "name"));
	observe("connect", unix_connect(unix_socket(SOCK_STREAM), "name"));
	observe("open", open("name", O_RDWR));
	observe("unlink", unlink("name"));
	observe("bind", unix_bind(unix_socket(SOCK_STREAM), "name"));
}

CASE(unix_bind_path_mode)
{
	struct stat status;
	umask(077);
	observe("bind", unix_bind(unix_socket(SOCK_STREAM), "private"));
	observe("stat", stat("private", &status));
	observe_text("mode", "%o", status.st_mode);
	int fd = unix_socket(SOCK_STREAM);
	observe("fchmod", fchmod(fd, 0640));
	umask(0);
	observe("bind", unix_bind(fd, "chosen"));
	observe("stat", stat("chosen", &status));
	observe_text("mode", "%o", status.st_mode);
}

CASE(unix_bind_errors)
{
	int fd = unix_socket(SOCK_STREAM);
	struct sockaddr_un address;
	unix_address(&address, "x");
	observe("no-directory", unix_bind(fd, "nothing/name"));
	observe("not-directory", (mknod("file", S_IFREG | 0600, 0), unix_bind(fd, "file/name")));
	observe("exists", unix_bind(fd, "file"));
	observe("length-0", bind(fd, (struct sockaddr *)&address, 0));
	observe("length-1", bind(fd, (struct sockaddr *)&address, 1));
	observe("long", bind(fd, (struct sockaddr *)&address, sizeof(address) + 1));
	address.sun_family = AF_INET;
	observe("family", bind(fd, (struct sockaddr *)&address, sizeof(address)));
	address.sun_family = AF_UNSPEC;
	observe("unspec", bind(fd, (struct sockaddr *)&address, sizeof(address)));
	observe_name("name", fd);
}

CASE(unix_bind_full_length)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct sockaddr_storage got = { 0 };
	socklen_t length = sizeof(got);
	memset(address.sun_path, 'p', sizeof(address.sun_path));
	int fd = unix_socket(SOCK_STREAM);
	observe("bind", bind(fd, (struct sockaddr *)&address, sizeof(address)));
	observe("getsockname", getsockname(fd, (struct sockaddr *)&got, &length));
	observe("length", length);
	observe("listen", listen(fd, 1));
	observe("connect",
	        connect(unix_socket(SOCK_STREAM), (struct sockaddr *)&address, sizeof(address)));
}

CASE(unix_bind_unterminated)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "abcdef" };
	struct sockaddr_un got = { 0 };
	socklen_t length = sizeof(got);
	int fd = unix_socket(SOCK_STREAM);
	observe("bind", bind(fd, (struct sockaddr *)&address, 2 + 3));
	observe("getsockname", getsockname(fd, (struct sockaddr *)&got, &length));
	observe("length", length);
	observe_text("path", "%s", got.sun_path);
	observe("exists", access("abc", F_OK));
	fd = unix_socket(SOCK_STREAM);
	length = sizeof(got);
	observe("behind-nul", bind(fd, (struct sockaddr *)&address, sizeof(address)));
	observe("getsockname", getsockname(fd, (struct sockaddr *)&got, &length));
	observe("length", length);
}

CASE(unix_bind_abstract)
{
	int fd = unix_socket(SOCK_STREAM), second = unix_socket(SOCK_STREAM);
	observe("bind", unix_bind(fd, "@conform-abstract"));
	observe_name("name", fd);
	observe("again", unix_bind(fd, "@conform-abstract"));
	observe("second", unix_bind(second, "@conform-abstract"));
	observe("dgram", unix_bind(unix_socket(SOCK_DGRAM), "@conform-abstract"));
	observe("longer", unix_bind(unix_socket(SOCK_STREAM), "@conform-abstract2"));
	close(fd);
	observe("closed", unix_bind(second, "@conform-abstract"));
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	memcpy(address.sun_path, "\0a\0b", 4);
	fd = unix_socket(SOCK_STREAM);
	observe("with-nul", bind(fd, (struct sockaddr *)&address, 2 + 4));
	observe("other", bind(unix_socket(SOCK_STREAM), (struct sockaddr *)&address, 2 + 3));
	struct sockaddr_un got = { 0 };
	socklen_t length = sizeof(got);
	observe("getsockname", getsockname(fd, (struct sockaddr *)&got, &length));
	observe("length", length);
	observe("one-nul", bind(unix_socket(SOCK_STREAM), (struct sockaddr *)&address, 2 + 1));
}

CASE(unix_autobind)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	for (int i = 0; i < 3; i++) {
		int fd = unix_socket(types[i]);
		observe("bind", bind(fd, (struct sockaddr *)&address, 2));
		observe_name("name", fd);
		observe("again", bind(fd, (struct sockaddr *)&address, 2));
	}
	int fd = unix_socket(SOCK_DGRAM), on = 1;
	setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
	int server = unix_server(SOCK_DGRAM, "server", 0);
	observe("connect", unix_connect(fd, "server"));
	observe_name("passcred", fd);
	close(server);
	fd = unix_socket(SOCK_STREAM);
	observe("listen-unbound", listen(fd, 1));
}

CASE(unix_connect_errors)
{
	for (int i = 0; i < 3; i++) {
		int fd = unix_socket(types[i]);
		observe("path", unix_connect(fd, "nothing"));
		observe("abstract", unix_connect(fd, "@conform-nothing"));
		unlink("bound");
		must("bind", unix_bind(unix_socket(types[i]), "bound"));
		observe("bound", unix_connect(fd, "bound"));
		mknod("file", S_IFREG | 0600, 0);
		observe("file", unix_connect(fd, "file"));
		observe("directory", unix_connect(fd, "."));
		observe("through-file", unix_connect(fd, "file/x"));
	}
}

CASE(unix_connect_prototype)
{
	static const char *const names[] = { "stream", "dgram", "seqpacket" };
	for (int i = 0; i < 3; i++)
		unix_server(types[i], names[i], 5);
	for (int i = 0; i < 3; i++)
		for (int j = 0; j < 3; j++)
			observe(names[j], unix_connect(unix_socket(types[i]), names[j]));
}

CASE(unix_connect_addresses)
{
	struct sockaddr_un address;
	struct sockaddr_in inet = inet_address("127.0.0.1", 80);
	unix_server(SOCK_STREAM, "server", 5);
	int fd = unix_socket(SOCK_STREAM);
	socklen_t length = unix_address(&address, "server");
	observe("inet", connect(fd, (struct sockaddr *)&inet, sizeof(inet)));
	observe("length-2", connect(fd, (struct sockaddr *)&address, 2));
	observe("length-1", connect(fd, (struct sockaddr *)&address, 1));
	observe("too-long", connect(fd, (struct sockaddr *)&address, sizeof(address) + 1));
	observe("no-nul", connect(fd, (struct sockaddr *)&address, length - 1));
	observe("again", unix_connect(fd, "server"));
	observe_name("name", fd);
	observe_peer("peer", fd);
	fd = unix_socket(SOCK_DGRAM);
	address.sun_family = AF_UNSPEC;
	observe("unspec-dgram", connect(fd, (struct sockaddr *)&address, 2));
	fd = unix_socket(SOCK_STREAM);
	observe("unspec-stream", connect(fd, (struct sockaddr *)&address, sizeof(address)));
	observe("inet-socket", connect(tcp_socket(), (struct sockaddr *)&address, length));
}

CASE(unix_connect_itself)
{
	int fd = unix_server(SOCK_STREAM, "self", 1);
	observe("stream", unix_connect(fd, "self"));
	fd = unix_server(SOCK_DGRAM, "dself", 1);
	observe("dgram", unix_connect(fd, "dself"));
	observe("send", send(fd, "abc", 3, 0));
	char bytes[8];
	observe_bytes("recv", recv(fd, bytes, sizeof(bytes), 0), bytes);
	observe_peer("peer", fd);
}

CASE(unix_permissions)
{
	umask(0);
	int server = unix_server(SOCK_STREAM, "server", 5);
	unix_server(SOCK_DGRAM, "dgram", 5);
	chmod(".", 0755);
	chmod("server", 0600);
	chmod("dgram", 0600);
	int connected = unix_socket(SOCK_DGRAM);
	observe("before", unix_connect(connected, "dgram"));
	must("setgid", setresgid(1000, 1000, 1000));
	must("setuid", setresuid(1000, 1000, 1000));
	observe("connect", unix_connect(unix_socket(SOCK_STREAM), "server"));
	observe("dgram", unix_connect(unix_socket(SOCK_DGRAM), "dgram"));
	struct sockaddr_un address;
	socklen_t length = unix_address(&address, "dgram");
	observe("sendto",
	        sendto(unix_socket(SOCK_DGRAM), "x", 1, 0, (struct sockaddr *)&address, length));
	observe("connected", send(connected, "x", 1, 0));
	observe("bind", unix_bind(unix_socket(SOCK_STREAM), "mine"));
	close(server);
}

CASE(unix_names_connected)
{
	int server = unix_server(SOCK_STREAM, "server", 5), client = unix_socket(SOCK_STREAM);
	must("connect", unix_connect(client, "server"));
	struct sockaddr_un peer = { 0 };
	socklen_t length = sizeof(peer);
	int accepted = accept(server, (struct sockaddr *)&peer, &length);
	observe_address("accept", accepted == -1 ? -1 : 0, &peer, length);
	observe_name("accepted", accepted);
	observe_peer("peer", accepted);
	observe_name("client", client);
	observe_peer("peer", client);
	observe_peer("listener", server);
	client = unix_socket(SOCK_STREAM);
	must("bind", unix_bind(client, "client"));
	must("connect", unix_connect(client, "server"));
	length = sizeof(peer);
	accepted = accept(server, (struct sockaddr *)&peer, &length);
	observe_address("accept", accepted == -1 ? -1 : 0, &peer, length);
	close(client);
	observe_peer("closed", accepted);
	observe("shutdown", shutdown(accepted, SHUT_RDWR));
	observe_peer("shut", accepted);
	int pair[2];
	unix_pair(SOCK_STREAM, pair);
	observe_name("pair", pair[0]);
	observe_peer("peer", pair[0]);
	close(pair[1]);
	observe_peer("closed", pair[0]);
	length = 4;
	observe("short", getsockname(server, (struct sockaddr *)&peer, &length));
	observe("length", length);
}

CASE(unix_bind_after_connect)
{
	int server = unix_server(SOCK_STREAM, "server", 5), client = unix_socket(SOCK_STREAM);
	must("connect", unix_connect(client, "server"));
	int accepted = (int)must("accept", accept(server, NULL, NULL));
	observe("bind", unix_bind(client, "late"));
	observe_name("name", client);
	observe_peer("peer", accepted);
	int pair[2];
	unix_pair(SOCK_DGRAM, pair);
	observe("bind", unix_bind(pair[0], "dlate"));
	observe_peer("peer", pair[1]);
}

CASE(unix_listen)
{
	observe("unbound", listen(unix_socket(SOCK_STREAM), 1));
	observe("dgram", listen(unix_server(SOCK_DGRAM, "d", 0), 1));
	int fd = unix_server(SOCK_STREAM, "s", 1);
	observe("again", listen(fd, 5));
	observe("accept", accept4(fd, NULL, NULL, SOCK_NONBLOCK | 0x1000000));
	observe("send", send(fd, "x", 1, MSG_NOSIGNAL));
	char byte;
	observe("recv", recv(fd, &byte, 1, 0));
	int client = unix_socket(SOCK_STREAM);
	must("connect", unix_connect(client, "s"));
	observe("connected", listen(client, 1));
	observe("accept-client", accept(client, NULL, NULL));
	observe("accept-dgram", accept(unix_socket(SOCK_DGRAM), NULL, NULL));
	observe("shutdown", shutdown(fd, SHUT_RD));
	observe_poll("poll", fd, POLLIN | POLLOUT | POLLRDHUP, 0);
	observe("accept", accept(fd, NULL, NULL) >= 0);
	observe("accept", accept(fd, NULL, NULL));
	observe("connect", unix_connect(unix_socket(SOCK_STREAM), "s"));
}

static void try_backlog(int type, int backlog)
{
	int server = unix_server(type, "server", backlog), full = 0;
	for (int i = 0; i < 10; i++) {
		if (unix_connect(unix_socket(type | SOCK_NONBLOCK), "server")) {
			observe("connect", -1);
			break;
		}
		full++;
	}
	observe("connected", full);
	int waiting = unix_socket(type | SOCK_NONBLOCK);
	observe("full", unix_connect(waiting, "server"));
	observe_poll("poll", waiting, POLLOUT, 0);
	must("accept", accept(server, NULL, NULL));
	observe("room", unix_connect(waiting, "server"));
	close(server);
	unlink("server");
}

CASE(unix_backlog)
{
	try_backlog(SOCK_STREAM, 0);
	try_backlog(SOCK_STREAM, 1);
	try_backlog(SOCK_STREAM, 3);
	try_backlog(SOCK_SEQPACKET, 2);
}

CASE(unix_backlog_waits)
{
	int server = unix_server(SOCK_STREAM, "server", 0);
	must("connect", unix_connect(unix_socket(SOCK_STREAM), "server"));
	pid_t child = (pid_t)must("fork", fork());
	if (!child) {
		int fd = unix_socket(SOCK_STREAM);
		observe("connect", unix_connect(fd, "server"));
		_exit(0);
	}
	pause_ms(30);
	int accepted = accept(server, NULL, NULL);
	must("wait", waitpid(child, NULL, 0));
	observe("accept", accepted >= 0);
	child = (pid_t)must("fork", fork());
	if (!child) {
		struct timeval time = { 0, 50000 };
		int fd = unix_socket(SOCK_STREAM);
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof(time));
		observe("timeout", unix_connect(fd, "server"));
		_exit(0);
	}
	must("wait", waitpid(child, NULL, 0));
	child = (pid_t)must("fork", fork());
	if (!child) {
		int fd = unix_socket(SOCK_STREAM);
		close(server);
		observe("closed", unix_connect(fd, "server"));
		_exit(0);
	}
	pause_ms(30);
	close(server);
	must("wait", waitpid(child, NULL, 0));
}

CASE(unix_listener_closed)
{
	int server = unix_server(SOCK_STREAM, "server", 5), client = unix_socket(SOCK_STREAM);
	char byte;
	must("connect", unix_connect(client, "server"));
	observe("send", send(client, "abc", 3, 0));
	close(server);
	observe_poll("poll", client, POLLIN | POLLOUT | POLLRDHUP, 0);
	observe("recv", recv(client, &byte, 1, 0));
	observe("recv", recv(client, &byte, 1, 0));
	observe("send", send(client, "abc", 3, MSG_NOSIGNAL));
	observe("connect", unix_connect(client, "server"));
}

CASE(unix_socketpair_flags)
{
	int pair[2];
	for (int i = 0; i < 3; i++) {
		observe("socketpair",
		        socketpair(AF_UNIX, types[i] | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair));
		observe("flags", fcntl(pair[0], F_GETFL) & O_NONBLOCK);
		observe("cloexec", fcntl(pair[1], F_GETFD));
		observe_poll("poll", pair[0], POLLIN | POLLOUT | POLLRDHUP, 0);
		char byte;
		observe("recv", recv(pair[0], &byte, 1, 0));
	}
	observe("raw", socketpair(AF_UNIX, SOCK_RAW, 0, pair));
	int type = 0;
	socklen_t length = sizeof(type);
	getsockopt(pair[0], SOL_SOCKET, SO_TYPE, &type, &length);
	observe("type", type);
}

CASE(unix_peercred)
{
	struct ucred peer;
	socklen_t length = sizeof(peer);
	int server = unix_server(SOCK_STREAM, "server", 5), fd = unix_socket(SOCK_STREAM);
	observe("get", getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length));
	observe_text("unconnected", "%d,%d,%d", peer.pid, (int)peer.uid, (int)peer.gid);
	chmod("server", 0666);
	chmod(".", 0755);
	pid_t child = (pid_t)must("fork", fork());
	if (!child) {
		must("setgid", setresgid(1001, 1001, 1001));
		must("setuid", setresuid(1000, 1000, 1000));
		must("connect", unix_connect(fd, "server"));
		must("get", getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length));
		observe_text("of-server", "%s,%d,%d", peer.pid == getppid() ? "parent" : "other",
		             (int)peer.uid, (int)peer.gid);
		_exit(0);
	}
	must("wait", waitpid(child, NULL, 0));
	int accepted = (int)must("accept", accept(server, NULL, NULL));
	must("get", getsockopt(accepted, SOL_SOCKET, SO_PEERCRED, &peer, &length));
	observe_text("of-client", "%s,%d,%d", peer.pid == child ? "child" : "other", (int)peer.uid,
	             (int)peer.gid);
	length = sizeof(peer);
	must("get", getsockopt(server, SOL_SOCKET, SO_PEERCRED, &peer, &length));
	observe_text("of-listener", "%s,%d,%d", peer.pid == getpid() ? "self" : "other",
	             (int)peer.uid, (int)peer.gid);
	int pair[2];
	unix_pair(SOCK_DGRAM, pair);
	must("get", getsockopt(pair[0], SOL_SOCKET, SO_PEERCRED, &peer, &length));
	observe_text("of-pair", "%s,%d,%d", peer.pid == getpid() ? "self" : "other", (int)peer.uid,
	             (int)peer.gid);
}

CASE(unix_peergroups)
{
	int pair[2];
	gid_t groups[4] = { 7, 8, 9 };
	unix_pair(SOCK_STREAM, pair);
	socklen_t length = sizeof(groups);
	observe("none", getsockopt(pair[0], SOL_SOCKET, SO_PEERGROUPS, groups, &length));
	observe("length", length);
	gid_t two[] = { 5, 6 };
	must("setgroups", setgroups(2, two));
	unix_pair(SOCK_STREAM, pair);
	length = 4;
	observe("short", getsockopt(pair[0], SOL_SOCKET, SO_PEERGROUPS, groups, &length));
	observe("length", length);
	length = sizeof(groups);
	observe("two", getsockopt(pair[0], SOL_SOCKET, SO_PEERGROUPS, groups, &length));
	observe_text("groups", "%u,%u/%u", groups[0], groups[1], length);
	length = sizeof(groups);
	observe("tcp", getsockopt(tcp_socket(), SOL_SOCKET, SO_PEERGROUPS, groups, &length));
}

static void observe_groups(const char *label, int fd)
{
	gid_t groups[4] = { 0 };
	socklen_t length = sizeof(groups);
	int result = getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &length);
	if (result)
		observe(label, result);
	else
		observe_text(label, "%u,%u/%u", groups[0], groups[1], length);
}

/* Those at the time of listen, connect and socketpair count. */
CASE(unix_peergroups_connected)
{
	struct sockaddr_un address;
	socklen_t length = unix_address(&address, "server");
	int listener = unix_socket(SOCK_STREAM), client = unix_socket(SOCK_STREAM), pair[2];
	observe_groups("fresh", client);
	observe_groups("dgram", unix_socket(SOCK_DGRAM));
	must("bind", bind(listener, (struct sockaddr *)&address, length));
	must("setgroups", setgroups(2, (gid_t[]){ 1, 2 }));
	must("listen", listen(listener, 5));
	unix_pair(SOCK_DGRAM, pair);
	must("setgroups", setgroups(2, (gid_t[]){ 3, 4 }));
	must("connect", connect(client, (struct sockaddr *)&address, length));
	must("setgroups", setgroups(0, NULL));
	observe_groups("listener", listener);
	observe_groups("client", client);
	observe_groups("server", accept(listener, NULL, NULL));
	observe_groups("pair", pair[0]);
	close(pair[0]);
	observe_groups("other", pair[1]);
}
