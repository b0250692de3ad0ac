/* How signals of files are asked for and looked at: see descriptors_async.h. */
#define _GNU_SOURCE
#include "descriptors_async.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

void block(int number)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, number);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

void observe_taken(const char *label, int number, int fd)
{
	siginfo_t info;
	sigset_t set;
	struct timespec time = { 0, 100000000 };
	sigemptyset(&set);
	sigaddset(&set, number);
	memset(&info, 0, sizeof(info));
	if (sigtimedwait(&set, &info, &time) != number) {
		observe_text(label, "-");
		return;
	}
	observe_text(label, "code%d/fd%s/band%#lx", info.si_code,
	             info.si_fd == fd ? "-own" : "-other", (unsigned long)info.si_band);
}

void observe_reasons(const char *label, int number)
{
	static const char *names[] = { "USER", "IN", "OUT", "MSG", "ERR", "PRI", "HUP" };
	char text[200] = "-";
	size_t length = 0;
	siginfo_t info;
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, number);
	for (;;) {
		struct timespec time = { 0, 50000000 };
		if (sigtimedwait(&set, &info, &time) != number)
			break;
		const char *name = info.si_code >= 0 && info.si_code <= 6 ? names[info.si_code]
		                   : info.si_code == SI_SIGIO             ? "SIGIO"
		                   : info.si_code == SI_KERNEL            ? "KERNEL"
		                                                          : "?";
		length += (size_t)snprintf(text + length, sizeof(text) - length, "%s%s",
		                           length ? "," : "", name);
	}
	observe_text(label, "%s", text);
}

void own(int fd)
{
	must("F_SETOWN", fcntl(fd, F_SETOWN, getpid()));
}

void asynchronous(int fd, int number)
{
	own(fd);
	if (number != SIGIO)
		must("F_SETSIG", fcntl(fd, F_SETSIG, number));
	must("F_SETFL", fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_ASYNC | O_NONBLOCK));
	block(number);
}
