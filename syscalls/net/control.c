/* Control messages. */
#include "syscalls/net/control.h"

#include <errno.h>
#include <string.h>

#include "core/memory.h"
#include "syscalls/process.h"

#define CONTROL_MAX_BYTES 131072u /* net.core.optmem_max */
#define ALIGN8(bytes)     (((bytes) + 7) & ~(uint64_t)7)

#define IN_FLIGHT_MAX     OPEN_FILES_MAX /* of all users, the privileged included */

static struct list rights_users = { { &rights_users.head, &rights_users.head } };
static uint64_t in_flight_total;

static struct rights_user *rights_user_get(uint32_t uid)
{
	list_for_each(node, &rights_users)
	{
		struct rights_user *user = list_entry(node, struct rights_user, link);
		if (user->uid == uid) {
			user->refs++;
			return user;
		}
	}
	struct rights_user *user = heap_alloc(sizeof(*user));
	if (!user)
		return NULL;
	*user = (struct rights_user){ .refs = 1, .uid = uid };
	list_push_back(&rights_users, &user->link);
	return user;
}

static void rights_user_put(struct rights_user *user)
{
	if (--user->refs)
		return;
	list_remove(&user->link);
	heap_free(user);
}

/* unix(7), ETOOMANYREFS: RLIMIT_NOFILE bounds what an unprivileged user has in flight. */
static bool too_many_in_flight(const struct process *process, const struct rights_user *user)
{
	enum { CAP_SYS_ADMIN = 21, CAP_SYS_RESOURCE = 24 };
	bool privileged = process->credentials.capabilities &
	                  (1ull << CAP_SYS_ADMIN | 1ull << CAP_SYS_RESOURCE);
	return in_flight_total > IN_FLIGHT_MAX ||
	       (!privileged && user->in_flight > process->limits[LIMIT_NOFILE].soft);
}

static void rights_free_one(struct file_rights *rights)
{
	for (uint32_t i = 0; i < rights->count; i++) {
		if (rights->in_flight)
			unix_flight_end(rights->files[i]);
		file_put(rights->files[i]);
	}
	if (rights->in_flight) {
		rights->user->in_flight -= rights->count;
		in_flight_total -= rights->count;
	}
	rights_user_put(rights->user);
	heap_free(rights);
}

/* One after the other: a file may be a socket whose messages hold sockets, to any depth, and the
 * stack is small. */
void file_rights_free(struct file_rights *rights)
{
	static struct list dying = { { &dying.head, &dying.head } };
	static bool busy;
	struct list_node *node;
	if (!rights)
		return;
	list_push_back(&dying, &rights->link);
	if (busy)
		return;
	busy = true;
	while ((node = list_pop_front(&dying)))
		rights_free_one(list_entry(node, struct file_rights, link));
	busy = false;
}

struct file_rights *file_rights_copy(const struct file_rights *rights)
{
	size_t bytes = sizeof(*rights) + rights->count * sizeof(rights->files[0]);
	struct file_rights *copy = heap_alloc(bytes);
	if (!copy)
		return NULL;
	memcpy(copy, rights, bytes);
	for (uint32_t i = 0; i < copy->count; i++)
		unix_flight_begin(file_get(copy->files[i]));
	list_node_init(&copy->link);
	copy->in_flight = true;
	copy->user->refs++;
	copy->user->in_flight += copy->count;
	in_flight_total += copy->count;
	return copy;
}

void control_release(struct send_control *control)
{
	file_rights_free(control->rights);
	control->rights = NULL;
}

/* ---- sending ---- */

static int parse_rights(struct thread *thread, const uint8_t *data, uint64_t bytes,
                        struct send_control *out)
{
	uint64_t more = bytes / sizeof(int32_t);
	uint32_t have = out->rights ? out->rights->count : 0;
	if (more == 0)
		return 0;
	if (have + more > SCM_MAX_FILES)
		return -EINVAL;
	struct file_rights *rights =
	        heap_alloc(sizeof(*rights) + (have + more) * sizeof(rights->files[0]));
	if (!rights)
		return -ENOMEM;
	list_node_init(&rights->link);
	rights->count = have;
	rights->in_flight = false;
	rights->user = have ? out->rights->user : rights_user_get(thread->process->credentials.uid);
	if (!rights->user) {
		heap_free(rights);
		return -ENOMEM;
	}
	if (have) {
		memcpy(rights->files, out->rights->files, have * sizeof(rights->files[0]));
		heap_free(out->rights);
	}
	out->rights = rights;
	if (too_many_in_flight(thread->process, rights->user))
		return -ETOOMANYREFS;
	for (uint64_t i = 0; i < more; i++) {
		int32_t descriptor;
		memcpy(&descriptor, data + i * sizeof(descriptor), sizeof(descriptor));
		struct file *file = thread_file(thread, (uint64_t)(int64_t)descriptor);
		if (descriptor < 0 || !file)
			return -EBADF;
		rights->files[rights->count++] = file_get(file);
	}
	return 0;
}

static int parse_credentials(struct thread *thread, const uint8_t *data, uint64_t bytes,
                             struct send_control *out)
{
	if (bytes != sizeof(out->credentials))
		return -EINVAL;
	memcpy(&out->credentials, data, sizeof(out->credentials));
	const struct process *process = thread->process;
	const struct credentials *own = &process->credentials;
	const struct user_credentials *claim = &out->credentials;
	bool uid_own = claim->uid == own->uid || claim->uid == own->euid || claim->uid == own->suid;
	bool gid_own = claim->gid == own->gid || claim->gid == own->egid || claim->gid == own->sgid;
	if (own->euid != 0 && (claim->pid != process->pid || !uid_own || !gid_own))
		return -EPERM;
	if (claim->pid != process->pid && !process_find(claim->pid))
		return -ESRCH;
	out->has_credentials = true;
	return 0;
}

static int parse_ip(const struct user_cmsghdr *header, const uint8_t *data, uint64_t bytes,
                    struct send_control *out)
{
	int32_t value = 0;
	if (bytes == sizeof(value))
		memcpy(&value, data, sizeof(value));
	else if (bytes == 1)
		value = data[0];
	switch (header->type) {
	case IP_PKTINFO:
		if (bytes != 12)
			return -EINVAL;
		memcpy(&out->interface, data, sizeof(out->interface));
		out->source = ipv4(data[4], data[5], data[6], data[7]);
		out->has_information = true;
		return 0;
	case IP_TTL:
		if (bytes != sizeof(value) || value < 1 || value > 255)
			return -EINVAL;
		out->ttl = value;
		return 0;
	case IP_TOS:
		if ((bytes != sizeof(value) && bytes != 1) || value < 0 || value > 255)
			return -EINVAL;
		out->tos = value;
		return 0;
	default:
		return -EINVAL;
	}
}

static int parse_udp(const struct user_cmsghdr *header, const uint8_t *data, uint64_t bytes,
                     struct send_control *out)
{
	uint16_t segment;
	if (header->type != UDP_SEGMENT || bytes != sizeof(segment))
		return -EINVAL;
	memcpy(&segment, data, sizeof(segment));
	out->segment = segment;
	return 0;
}

static int parse_one(struct thread *thread, const struct socket *socket,
                     const struct user_cmsghdr *header, const uint8_t *data,
                     struct send_control *out)
{
	uint64_t bytes = header->length - sizeof(*header);
	if (header->level == IPPROTO_IP)
		return socket->domain == AF_INET && socket->type == SOCK_DGRAM
		               ? parse_ip(header, data, bytes, out)
		               : 0;
	if (header->level == IPPROTO_UDP && socket->protocol == IPPROTO_UDP)
		return parse_udp(header, data, bytes, out);
	if (header->level != SOL_SOCKET)
		return 0;
	bool local = socket->domain == AF_UNIX;
	switch (header->type) {
	case SCM_RIGHTS:
		return local ? parse_rights(thread, data, bytes, out) : 0;
	case SCM_CREDENTIALS:
		return local ? parse_credentials(thread, data, bytes, out) : 0;
	case SO_MARK:
		return !local && bytes == sizeof(uint32_t) ? 0 : -EINVAL;
	case SCM_TXTIME:
		return !local && socket->options->txtime && bytes == sizeof(uint64_t) ? 0 : -EINVAL;
	default:
		return -EINVAL;
	}
}

static int parse_all(struct thread *thread, const struct socket *socket, const uint8_t *buffer,
                     uint64_t length, struct send_control *out)
{
	uint64_t offset = 0;
	while (offset <= length && length - offset >= sizeof(struct user_cmsghdr)) {
		struct user_cmsghdr header;
		memcpy(&header, buffer + offset, sizeof(header));
		if (header.length < sizeof(header) || header.length > length - offset)
			return -EINVAL;
		int error =
		        parse_one(thread, socket, &header, buffer + offset + sizeof(header), out);
		if (error)
			return error;
		offset += ALIGN8(header.length);
	}
	return 0;
}

int control_parse(struct thread *thread, const struct socket *socket, struct user_addr from,
                  uint64_t length, struct send_control *out)
{
	memset(out, 0, sizeof(*out));
	out->ttl = out->tos = out->segment = -1;
	if (length >= CONTROL_MAX_BYTES)
		return -ENOBUFS;
	uint8_t small[256];
	uint8_t *buffer = length > sizeof(small) ? heap_alloc(length) : small;
	if (!buffer)
		return -ENOBUFS;
	int error = copy_from_user(buffer, from, length);
	if (!error)
		error = parse_all(thread, socket, buffer, length, out);
	if (buffer != small)
		heap_free(buffer);
	if (error)
		control_release(out);
	return error;
}

/* ---- receiving ---- */

void control_put(struct control_writer *writer, int level, int type, const void *data,
                 uint32_t bytes)
{
	struct user_cmsghdr header = { sizeof(header) + bytes, level, type };
	if (writer->room < sizeof(header)) {
		writer->truncated = true;
		return;
	}
	if (writer->room < header.length) {
		writer->truncated = true;
		header.length = writer->room;
	}
	if (copy_to_user(user(writer->at), &header, sizeof(header)) ||
	    copy_to_user(user(writer->at + sizeof(header)), data, header.length - sizeof(header))) {
		writer->faulted = true;
		return;
	}
	uint64_t space = ALIGN8(sizeof(header) + bytes);
	if (space > writer->room)
		space = writer->room;
	writer->at += space;
	writer->room -= space;
	writer->used += space;
}

void control_put_rights(struct thread *thread, struct control_writer *writer,
                        const struct file_rights *rights, bool close_on_exec)
{
	uint64_t fits = writer->room < sizeof(struct user_cmsghdr)
	                        ? 0
	                        : (writer->room - sizeof(struct user_cmsghdr)) / sizeof(int32_t);
	uint32_t count = rights->count < fits ? rights->count : (uint32_t)fits;
	int32_t descriptors[SCM_MAX_FILES];
	uint32_t installed = 0;
	while (installed < count) {
		struct file *file = file_get(rights->files[installed]);
		int descriptor = file_install(thread, file, 0, close_on_exec);
		if (descriptor < 0) {
			file_put(file);
			break;
		}
		descriptors[installed++] = descriptor;
	}
	if (installed)
		control_put(writer, SOL_SOCKET, SCM_RIGHTS, descriptors,
		            installed * (uint32_t)sizeof(int32_t));
	if (installed < rights->count)
		writer->truncated = true;
}
