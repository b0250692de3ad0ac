/* A line of /proc/meminfo, by its name without the colon. */
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include "guests/tests/check.h"

static inline long meminfo_kib(const char *name)
{
	static char text[8192];
	int fd = open("/proc/meminfo", O_RDONLY);
	ssize_t bytes = read(fd, text, sizeof(text) - 1);
	CHECK(bytes > 0);
	close(fd);
	text[bytes] = 0;
	const char *line = strstr(text, name);
	CHECK(line && line[strlen(name)] == ':');
	return strtol(line + strlen(name) + 1, NULL, 10);
}
