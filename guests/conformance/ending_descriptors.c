/* The end of descriptors: duplicates, children, exec, SIGPIPE. */
#define _GNU_SOURCE
#include "ending.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <sys/wait.h>

CASE(dup_keeps_open)
{
	int pair[2];
	char byte;
	tcp_pair(pair);
	int copy = observe_fd("dup", dup(pair[0]));
	observe("close", close(pair[0]));
	observe_poll("open", pair[1], POLLIN | POLLRDHUP, 30);
	observe("send", send(copy, "x", 1, 0));
	observe("recv", recv(pair[1], &byte, 1, 0));
	observe("close", close(copy));
	wait_for(pair[1], POLLRDHUP);
	observe("recv", recv(pair[1], &byte, 1, 0));
}

CASE(dup_shares)
{
	int pair[2];
	tcp_pair(pair);
	int copy = observe_fd("dup", dup(pair[0]));
	fcntl(copy, F_SETFL, O_NONBLOCK);
	observe("nonblock", fcntl(pair[0], F_GETFL) & O_NONBLOCK);
	fcntl(copy, F_SETFD, FD_CLOEXEC);
	observe("cloexec", fcntl(pair[0], F_GETFD));
	observe("shutdown", shutdown(copy, SHUT_WR));
	observe("send", send(pair[0], "x", 1, MSG_NOSIGNAL));
}

CASE(dup2_closes)
{
	int pair[2], other[2];
	tcp_pair(pair);
	tcp_pair(other);
	observe("dup2", dup2(other[0], pair[0]) == pair[0]);
	wait_for(pair[1], POLLRDHUP);
	observe_state(pair[1]);
	observe("same", dup2(other[0], other[0]) == other[0]);
	observe_poll("open", other[1], POLLRDHUP, 0);
}

CASE(child_keeps_open)
{
	int pair[2], sync[2];
	char byte;
	tcp_pair(pair);
	must("pipe", pipe(sync));
	pid_t child = (pid_t)must("fork", fork());
	if (!child) {
		close(sync[1]);
		read(sync[0], &byte, 1);
		_exit(0);
	}
	close(sync[0]);
	close(pair[0]);
	observe_poll("open", pair[1], POLLRDHUP, 30);
	close(sync[1]);
	must("wait", waitpid(child, NULL, 0));
	wait_for(pair[1], POLLRDHUP);
	observe_state(pair[1]);
}

CASE(child_shutdown)
{
	int pair[2];
	tcp_pair(pair);
	pid_t child = (pid_t)must("fork", fork());
	if (!child) {
		shutdown(pair[0], SHUT_WR);
		_exit(0);
	}
	must("wait", waitpid(child, NULL, 0));
	observe("send", send(pair[0], "x", 1, MSG_NOSIGNAL));
	wait_for(pair[1], POLLRDHUP);
	observe_poll("poll", pair[1], POLLIN | POLLOUT | POLLRDHUP, 0);
}

CASE(child_listener)
{
	struct sockaddr_in address;
	int listener = tcp_listener(5, &address);
	pid_t child = (pid_t)must("fork", fork());
	if (!child) {
		int fd = accept(listener, NULL, NULL);
		must("send", send(fd, "child", 5, 0));
		_exit(0);
	}
	close(listener);
	int fd = tcp_socket();
	char bytes[8];
	observe("connect", connect_to(fd, address));
	must("wait", waitpid(child, NULL, 0));
	observe_bytes("recv", recv(fd, bytes, sizeof(bytes), MSG_WAITALL), bytes);
	observe("connect", connect_to(tcp_socket(), address));
}

CASE(killed_child)
{
	int pair[2];
	tcp_pair(pair);
	pid_t child = (pid_t)must("fork", fork());
	if (!child) {
		close(pair[1]);
		pause();
		_exit(0);
	}
	close(pair[0]);
	must("kill", kill(child, SIGKILL));
	must("wait", waitpid(child, NULL, 0));
	wait_for(pair[1], POLLRDHUP);
	observe_state(pair[1]);
}

CASE(killed_child_unread)
{
	int pair[2];
	tcp_pair(pair);
	must("send", send(pair[1], "unread", 6, 0));
	wait_for(pair[0], POLLIN);
	pid_t child = (pid_t)must("fork", fork());
	if (!child) {
		pause();
		_exit(0);
	}
	close(pair[0]);
	must("kill", kill(child, SIGKILL));
	must("wait", waitpid(child, NULL, 0));
	wait_for(pair[1], POLLHUP);
	observe_state(pair[1]);
}

/* The program runs itself again: CONFORM_EXEC says which descriptors to look at. */
static void exec_self(int fds[], int count)
{
	char text[64] = "", *const arguments[] = { (char *)"exec", (char *)"exec_looks", NULL };
	size_t length = 0;
	for (int i = 0; i < count; i++)
		length += (size_t)snprintf(text + length, sizeof(text) - length, "%d ", fds[i]);
	setenv("CONFORM_EXEC", text, 1);
	execv("/proc/self/exe", arguments);
	observe("exec", -1);
}

/* In a run of its own it says what the program has that exec_cloexec started. */
__attribute__((constructor)) static void look_after_exec(void)
{
	const char *text = getenv("CONFORM_EXEC");
	if (!text)
		return;
	char *end;
	int status = 0, bit = 1;
	for (long fd = strtol(text, &end, 10); end != text; fd = strtol(text, &end, 10)) {
		if (fcntl((int)fd, F_GETFD) != -1)
			status |= bit;
		bit *= 2;
		text = end;
	}
	_exit(status);
}

CASE(exec_cloexec)
{
	int fds[6], status;
	fds[0] = (int)must("socket", socket(AF_INET, SOCK_STREAM, 0));
	fds[1] = (int)must("socket", socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
	fds[2] = (int)must("dup", dup(fds[1]));
	fds[3] = (int)must("dup", fcntl(fds[0], F_DUPFD_CLOEXEC, 0));
	int pair[2];
	must("socketpair", socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	fds[4] = pair[0];
	struct sockaddr_in address;
	int listener = tcp_listener(1, &address);
	must("connect", connect_to(fds[0], address));
	fds[5] = (int)must("accept", accept4(listener, NULL, NULL, SOCK_CLOEXEC));
	pid_t child = (pid_t)must("fork", fork());
	if (!child) {
		exec_self(fds, 6);
		_exit(99);
	}
	must("wait", waitpid(child, &status, 0));
	observe_text("open", "%x", (unsigned)WEXITSTATUS(status));
}

CASE(exec_ends_connections)
{
	int pair[2], status, none[1] = { 99 };
	tcp_pair(pair);
	pid_t child = (pid_t)must("fork", fork());
	if (!child) {
		fcntl(pair[0], F_SETFD, FD_CLOEXEC);
		exec_self(none, 1);
		_exit(99);
	}
	close(pair[0]);
	must("wait", waitpid(child, &status, 0));
	observe("status", WEXITSTATUS(status));
	wait_for(pair[1], POLLRDHUP);
	observe_poll("poll", pair[1], POLLIN | POLLOUT | POLLRDHUP, 0);
}

CASE(close_while_reading)
{
	int pair[2];
	char bytes[8];
	tcp_pair(pair);
	pid_t child = (pid_t)must("fork", fork());
	if (!child) {
		pause_ms(50);
		send(pair[1], "late", 4, 0);
		_exit(0);
	}
	close(pair[1]);
	observe_bytes("recv", recv(pair[0], bytes, sizeof(bytes), 0), bytes);
	must("wait", waitpid(child, NULL, 0));
	observe_bytes("recv", recv(pair[0], bytes, sizeof(bytes), 0), bytes);
}

CASE(close_errors)
{
	int fd = tcp_socket();
	observe("close", close(fd));
	observe("again", close(fd));
	observe("send", send(fd, "x", 1, MSG_NOSIGNAL));
	observe("recv", recv(fd, &(char){ 0 }, 1, 0));
	observe("connect", connect_to(fd, inet_address("127.0.0.1", 1)));
	observe("listen", listen(fd, 1));
	observe("accept", accept(fd, NULL, NULL));
	observe("shutdown", shutdown(fd, SHUT_RD));
	observe("negative", close(-1));
}

static sigset_t pipe_set;

static void observe_pipe_signal(const char *label, long result)
{
	struct timespec none = { 0, 0 };
	observe(label, result);
	observe_text("signal", "%s",
	             sigtimedwait(&pipe_set, NULL, &none) == SIGPIPE ? "SIGPIPE" : "none");
}

CASE(sigpipe)
{
	int pair[2], pipes[2];
	char byte = 'x';
	struct iovec vector = { &byte, 1 };
	struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };
	struct mmsghdr messages = { .msg_hdr = message };
	sigemptyset(&pipe_set);
	sigaddset(&pipe_set, SIGPIPE);
	sigprocmask(SIG_BLOCK, &pipe_set, NULL);
	tcp_pair(pair);
	must("shutdown", shutdown(pair[0], SHUT_WR));
	observe_pipe_signal("send", send(pair[0], &byte, 1, 0));
	observe_pipe_signal("nosignal", send(pair[0], &byte, 1, MSG_NOSIGNAL));
	observe_pipe_signal("write", write(pair[0], &byte, 1));
	observe_pipe_signal("writev", writev(pair[0], &vector, 1));
	observe_pipe_signal("sendmsg", sendmsg(pair[0], &message, 0));
	observe_pipe_signal("sendmmsg", sendmmsg(pair[0], &messages, 1, 0));
	observe_pipe_signal("empty", send(pair[0], &byte, 0, 0));
	int file = open("file", O_RDWR | O_CREAT, 0600);
	must("write", write(file, "abc", 3));
	off_t offset = 0;
	observe_pipe_signal("sendfile", sendfile(pair[0], file, &offset, 3));
	must("pipe", pipe(pipes));
	must("write", write(pipes[1], "abc", 3));
	observe_pipe_signal("splice", splice(pipes[0], NULL, pair[0], NULL, 3, 0));
	observe_pipe_signal("unconnected", send(tcp_socket(), &byte, 1, 0));
	close(pipes[0]);
	observe_pipe_signal("pipe", write(pipes[1], &byte, 1));
	udp_pair(pair);
	must("shutdown", shutdown(pair[0], SHUT_WR));
	observe_pipe_signal("udp", send(pair[0], &byte, 1, 0));
}

CASE(sigpipe_kills)
{
	int pair[2], status;
	tcp_pair(pair);
	pid_t child = (pid_t)must("fork", fork());
	if (!child) {
		signal(SIGPIPE, SIG_DFL);
		shutdown(pair[0], SHUT_WR);
		send(pair[0], "x", 1, 0);
		_exit(0);
	}
	must("wait", waitpid(child, &status, 0));
	observe_text("status", "%s", WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "exit");
}

CASE(sigpipe_after_reset)
{
	int pair[2];
	sigemptyset(&pipe_set);
	sigaddset(&pipe_set, SIGPIPE);
	sigprocmask(SIG_BLOCK, &pipe_set, NULL);
	tcp_pair(pair);
	end(pair, CLOSE_LINGER_0);
	observe_pipe_signal("first", send(pair[1], "x", 1, 0));
	observe_pipe_signal("second", send(pair[1], "x", 1, 0));
}
