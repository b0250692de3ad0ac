#include "perf/insn_count/server.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define REQUEST_BYTES 64
#define WAITING_MAX   16

static struct sockaddr_un address = { .sun_family = AF_UNIX };
static server_answer_fn *answer;
static int listener = -1;

static int send_all(int client, const char *data, size_t length)
{
	while (length) {
		ssize_t sent = send(client, data, length, MSG_NOSIGNAL);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent <= 0)
			return -1;
		data += sent;
		length -= (size_t)sent;
	}
	return 0;
}

static int send_answer(int client, const char *request)
{
	char *text = NULL;
	size_t length = 0;
	FILE *out = open_memstream(&text, &length);
	if (!out)
		return -1;
	answer(out, request);
	fputc('\n', out);
	int status = fclose(out) ? -1 : send_all(client, text, length);
	free(text);
	return status;
}

/* One client until it leaves. What exceeds the longest request is not one. */
static void *serve(void *data)
{
	int client = (int)(intptr_t)data;
	char line[REQUEST_BYTES];
	size_t length = 0;
	for (char byte; recv(client, &byte, 1, 0) == 1;) {
		if (byte != '\n') {
			if (length == sizeof line - 1)
				break;
			line[length++] = byte;
			continue;
		}
		line[length] = '\0';
		length = 0;
		if (send_answer(client, line))
			break;
	}
	close(client);
	return NULL;
}

static void detach(void *(*function)(void *), intptr_t data)
{
	pthread_t thread;
	if (!pthread_create(&thread, NULL, function, (void *)data))
		pthread_detach(thread);
	else if (function == serve)
		close((int)data);
}

static void *accept_clients(void *unused)
{
	for (;;) {
		int client = accept(listener, NULL, NULL);
		if (client >= 0)
			detach(serve, client);
		else if (errno != EINTR && errno != ECONNABORTED)
			return unused;
	}
}

int server_start(const char *path, server_answer_fn *function)
{
	if (strlen(path) >= sizeof address.sun_path) {
		fprintf(stderr, "insn_count: socket=%s: longer than %zu bytes\n", path,
		        sizeof address.sun_path - 1);
		return -1;
	}
	strcpy(address.sun_path, path);
	struct stat left;
	if (!lstat(path, &left) && S_ISSOCK(left.st_mode))
		unlink(path);
	answer = function;
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) ||
	    listen(listener, WAITING_MAX)) {
		fprintf(stderr, "insn_count: socket=%s: %s\n", path, strerror(errno));
		return -1;
	}
	/* Signals are QEMU's own threads' business. */
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	detach(accept_clients, 0);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return 0;
}

void server_stop(void)
{
	unlink(address.sun_path);
}
