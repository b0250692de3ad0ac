/* Ways to end and what is seen of them: see ending.h. */
#define _GNU_SOURCE
#include "ending.h"

#include <poll.h>
#include <string.h>

const char *const ending_names[ENDINGS] = {
	[SHUT_READ] = "shut-rd", [SHUT_WRITE] = "shut-wr",        [SHUT_BOTH] = "shut-rdwr",
	[CLOSE] = "close",       [CLOSE_UNREAD] = "close-unread", [CLOSE_LINGER_0] = "linger-0",
};

void wait_for(int fd, int events)
{
	struct pollfd entry = { .fd = fd, .events = (short)events };
	if (must("poll", poll(&entry, 1, 5000)) == 0)
		observe_text("WAIT", "over");
}

void end(int pair[2], enum ending how)
{
	struct linger linger = { 1, 0 };
	switch (how) {
	case SHUT_READ:
		must("shutdown", shutdown(pair[0], SHUT_RD));
		return;
	case SHUT_WRITE:
		must("shutdown", shutdown(pair[0], SHUT_WR));
		break;
	case SHUT_BOTH:
		must("shutdown", shutdown(pair[0], SHUT_RDWR));
		break;
	case CLOSE_UNREAD:
		must("send", send(pair[1], "u", 1, 0));
		wait_for(pair[0], POLLIN);
		must("close", close(pair[0]));
		break;
	case CLOSE_LINGER_0:
		must("linger", setsockopt(pair[0], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
		must("close", close(pair[0]));
		break;
	default:
		must("close", close(pair[0]));
		break;
	}
	wait_for(pair[1], POLLRDHUP);
}

void observe_error(int fd)
{
	int error = -1;
	socklen_t length = sizeof(error);
	int result = getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
	observe_text("so-error", "%s", result == -1 ? "-1" : error ? strerrorname_np(error) : "0");
}

void observe_state(int fd)
{
	char bytes[8];
	observe_poll("poll", fd, POLLIN | POLLOUT | POLLRDHUP, 0);
	observe_bytes("recv", recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT), bytes);
	observe_bytes("recv", recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT), bytes);
	observe("send", send(fd, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT));
	pause_ms(10); /* an answer to what was sent takes a moment, or none */
	observe_error(fd);
}
