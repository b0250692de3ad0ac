/* Cases whose ends the framework has to tell apart; framework_sample.txt is what it has to print.
 */
#define _GNU_SOURCE
#include "conform.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

CASE(results)
{
	errno = EAGAIN;
	observe("failed", -1);
	observe("value", 42);
	observe_fd("descriptor", dup(0));
	observe_text("text", "%s-%d", "a", 1);
	observe_waited("waited", now_ms() - 50, 50, 10000);
	observe_waited("waited", now_ms(), 50000, 90000);
}

CASE(addresses)
{
	struct sockaddr_in chosen = inet_address("10.1.2.3", 80);
	struct sockaddr_in ephemeral = inet_address("10.1.2.3", 32768);
	observe_address("chosen", 0, &chosen, sizeof(chosen));
	observe_address("ephemeral", 0, &ephemeral, sizeof(ephemeral));
	observe_address("cut", 0, &chosen, 8);
	errno = ENOTCONN;
	observe_address("failed", -1, &chosen, sizeof(chosen));
	int pair[2];
	unix_pair(SOCK_STREAM, pair);
	observe_name("unix", pair[0]);
}

CASE(masks)
{
	observe_events("none", 0);
	observe_events("some", POLLIN | POLLHUP | POLLRDHUP);
	observe_events("unknown", POLLOUT | 0x800000);
}

CASE(bytes)
{
	char many[100];
	memset(many, 'x', sizeof(many));
	observe_bytes("some", 6, "a b\n\0\\");
	observe_bytes("none", 0, "");
	observe_bytes("many", sizeof(many), many);
}

/* Different in every run, as far as it can be. */
CASE(differing)
{
	static const char path[] = "/tmp/conform-differing";
	observe("first", access(path, F_OK) != 0);
	mkdir(path, 0700);
}

CASE(failed_setup)
{
	errno = EMFILE;
	must("socket", -1);
	observe("reached", 1);
}

CASE(exits)
{
	exit(3);
}

CASE(aborts)
{
	observe("before", 0);
	abort();
}

/* The second run finds nothing of the first: neither its file nor the child that holds its port. */
CASE(left_behind)
{
	int fd = tcp_socket();
	observe("mkdir", mkdir("entry", 0700));
	observe("bind", bind_to(fd, inet_address("127.0.0.1", 5001)));
	if (fork() == 0)
		pause();
}

CASE_SECONDS(hangs, 1)
{
	observe("before", 0);
	if (fork() == 0)
		pause();
	pause();
}

/* Longer than a line may be: said, and the next case is sound. Not in framework_sample.txt for its
 * length. */
CASE(zero_long)
{
	for (int i = 0; i < 20000; i++)
		observe("number", i);
}

CASE(zero_not_chosen)
{
	observe("reached", 1);
}
