/* Values and sizes of options: see options.h. */
#define _GNU_SOURCE
#include "options.h"

#include <stdio.h>
#include <string.h>

#define TEXT_BYTES 48

static const char *result_text(char text[TEXT_BYTES], int result, int value, socklen_t length)
{
	if (result == -1)
		snprintf(text, TEXT_BYTES, "%s", strerrorname_np(errno));
	else if (length == sizeof(value))
		snprintf(text, TEXT_BYTES, "%d", value);
	else
		snprintf(text, TEXT_BYTES, "%d/%u", value, length);
	return text;
}

static const char *get_text(char text[TEXT_BYTES], int fd, int level, int option, socklen_t room)
{
	int value[64] = { 0 };
	socklen_t length = room;
	int result = getsockopt(fd, level, option, value, &length);
	return result_text(text, result, value[0], length);
}

static const char *set_text(char text[TEXT_BYTES], int fd, int level, int option, int value,
                            socklen_t length)
{
	int bytes[64] = { value };
	int result = setsockopt(fd, level, option, bytes, length);
	return result_text(text, result, result, sizeof(result));
}

void try_values(int fd, int level, int option, const int *values, int count)
{
	char label[TEXT_BYTES], set[TEXT_BYTES], get[TEXT_BYTES];
	observe_text("first", "%s", get_text(get, fd, level, option, sizeof(int)));
	for (int i = 0; i < count; i++) {
		snprintf(label, sizeof(label), "%d", values[i]);
		set_text(set, fd, level, option, values[i], sizeof(values[i]));
		observe_text(label, "%s>%s", set, get_text(get, fd, level, option, sizeof(int)));
	}
}

void try_sizes(int fd, int level, int option)
{
	static const int sizes[] = { 0, 1, 2, 3, 4, 5, 8, -1 };
	char label[TEXT_BYTES], set[TEXT_BYTES], get[TEXT_BYTES];
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		snprintf(label, sizeof(label), "set-%d", sizes[i]);
		set_text(set, fd, level, option, 1, (socklen_t)sizes[i]);
		observe_text(label, "%s>%s", set, get_text(get, fd, level, option, sizeof(int)));
		set_text(set, fd, level, option, 0, sizeof(int));
	}
	set_text(set, fd, level, option, 1, sizeof(int));
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		snprintf(label, sizeof(label), "get-%d", sizes[i]);
		observe_text(label, "%s", get_text(get, fd, level, option, (socklen_t)sizes[i]));
	}
}

void try_kinds(int level, int option)
{
	static const struct {
		const char *name;
		int domain, type;
	} kinds[] = {
		{ "tcp", AF_INET, SOCK_STREAM },
		{ "udp", AF_INET, SOCK_DGRAM },
		{ "unix-stream", AF_UNIX, SOCK_STREAM },
		{ "unix-dgram", AF_UNIX, SOCK_DGRAM },
		{ "unix-seqpacket", AF_UNIX, SOCK_SEQPACKET },
	};
	char before[TEXT_BYTES], set[TEXT_BYTES], after[TEXT_BYTES];
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		int fd = (int)must("socket", socket(kinds[i].domain, kinds[i].type, 0));
		get_text(before, fd, level, option, sizeof(int));
		set_text(set, fd, level, option, 1, sizeof(int));
		get_text(after, fd, level, option, sizeof(int));
		observe_text(kinds[i].name, "%s,%s>%s", before, set, after);
		close(fd);
	}
}

void observe_option(const char *label, int fd, int level, int option)
{
	char text[TEXT_BYTES];
	observe_text(label, "%s", get_text(text, fd, level, option, sizeof(int)));
}

void observe_set(const char *label, int fd, int level, int option, int value)
{
	observe(label, setsockopt(fd, level, option, &value, sizeof(value)));
}
