/* Names and messages of AF_UNIX: see unix.h. */
#define _GNU_SOURCE
#include "unix.h"

#include <string.h>

#define FILES_MAX 300

socklen_t unix_address(struct sockaddr_un *address, const char *name)
{
	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	strncpy(address->sun_path, name, sizeof(address->sun_path) - 1);
	size_t length = offsetof(struct sockaddr_un, sun_path) + strlen(name);
	if (name[0] != '@')
		return (socklen_t)length + 1;
	address->sun_path[0] = 0;
	return (socklen_t)length;
}

int unix_socket(int type)
{
	return (int)must("socket", socket(AF_UNIX, type, 0));
}

int unix_bind(int fd, const char *name)
{
	struct sockaddr_un address;
	socklen_t length = unix_address(&address, name);
	return bind(fd, (struct sockaddr *)&address, length);
}

int unix_connect(int fd, const char *name)
{
	struct sockaddr_un address;
	socklen_t length = unix_address(&address, name);
	return connect(fd, (struct sockaddr *)&address, length);
}

int unix_server(int type, const char *name, int backlog)
{
	int fd = unix_socket(type);
	must("bind", unix_bind(fd, name));
	if ((type & 15) != SOCK_DGRAM)
		must("listen", listen(fd, backlog));
	return fd;
}

ssize_t send_files(int fd, const int *files, int count)
{
	union {
		char bytes[CMSG_SPACE(FILES_MAX * sizeof(int))];
		struct cmsghdr header;
	} control;
	char byte = 'f';
	struct iovec vector = { &byte, 1 };
	struct msghdr message = { .msg_iov = &vector,
		                  .msg_iovlen = 1,
		                  .msg_control = &control,
		                  .msg_controllen = CMSG_SPACE((size_t)count * sizeof(int)) };
	memset(&control, 0, sizeof(control));
	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
	memcpy(CMSG_DATA(&control.header), files, (size_t)count * sizeof(int));
	return sendmsg(fd, &message, 0);
}

int receive_files(const char *label, int fd, int *files, size_t room, int flags)
{
	union {
		char bytes[CMSG_SPACE(FILES_MAX * sizeof(int))];
		struct cmsghdr header;
	} control;
	char bytes[16];
	int count = 0;
	struct iovec vector = { bytes, sizeof(bytes) };
	struct msghdr message = {
		.msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = room
	};
	observe_bytes(label, recvmsg(fd, &message, flags), bytes);
	observe_text("flags", "%x", (unsigned)message.msg_flags);
	observe("control", (long)message.msg_controllen);
	for (struct cmsghdr *part = CMSG_FIRSTHDR(&message); part;
	     part = CMSG_NXTHDR(&message, part)) {
		if (part->cmsg_type != SCM_RIGHTS) {
			observe_text("cmsg", "%d,%d,%zu", part->cmsg_level, part->cmsg_type,
			             (size_t)part->cmsg_len);
			continue;
		}
		count = (int)((part->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(files, CMSG_DATA(part), (size_t)count * sizeof(int));
		observe_text("rights", "%d", count);
	}
	return count;
}
