/* Control messages: well-formed ones, hostile ones, and what does not fit. User memory is the
 * test's own. */
#include "syscalls/net/control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "evloop/check.h"
#include "syscalls/process.h"

/* ---- the kernel around it ---- */

static struct file files[4];
static int installed, install_limit = 100;
static struct process process;
static struct thread thread = { .process = &process };

void *heap_alloc(size_t bytes)
{
	return malloc(bytes);
}
void heap_free(void *pointer)
{
	free(pointer);
}
int copy_from_user(void *to, struct user_addr from, size_t bytes)
{
	if (from.value < 4096 && bytes)
		return -EFAULT;
	if (bytes)
		memcpy(to, (const void *)(uintptr_t)from.value, bytes);
	return 0;
}
int copy_to_user(struct user_addr to, const void *from, size_t bytes)
{
	if (to.value < 4096)
		return -EFAULT;
	memcpy((void *)(uintptr_t)to.value, from, bytes);
	return 0;
}
struct file *thread_file(struct thread *caller, uint64_t descriptor)
{
	(void)caller;
	return descriptor < 4 ? &files[descriptor] : NULL;
}
int file_install(struct thread *caller, struct file *file, int from, bool close_on_exec)
{
	(void)caller, (void)file, (void)from, (void)close_on_exec;
	return installed < install_limit ? 10 + installed++ : -EMFILE;
}
void unix_flight_begin(struct file *file)
{
	(void)file;
}

void unix_flight_end(struct file *file)
{
	(void)file;
}

void file_put(struct file *file)
{
	CHECK(file->refs > 0);
	file->refs--;
}
struct process *process_find(int32_t pid)
{
	return pid == process.pid ? &process : NULL;
}

/* ---- */

static uint64_t refs(void)
{
	uint64_t sum = 0;
	for (int i = 0; i < 4; i++)
		sum += files[i].refs;
	return sum;
}

static struct user_addr at(const void *pointer)
{
	return user((uint64_t)(uintptr_t)pointer);
}

struct rights_message {
	struct user_cmsghdr header;
	int32_t descriptors[4];
};

static void check_rights(void)
{
	struct socket socket = { .domain = AF_UNIX, .type = SOCK_STREAM };
	struct send_control control;
	struct rights_message message = { { 16 + 12, SOL_SOCKET, SCM_RIGHTS }, { 0, 3, 3, 0 } };
	CHECK_EQ(control_parse(&thread, &socket, at(&message), sizeof(message), &control), 0);
	CHECK_EQ(control.rights->count, 3);
	CHECK_EQ(refs(), 3);
	struct file_rights *copy = file_rights_copy(control.rights);
	CHECK_EQ(refs(), 6);
	file_rights_free(copy);

	/* Room for two of the three; then a descriptor table that is full. */
	uint8_t room[64];
	struct control_writer writer = { .at = at(room).value, .room = 16 + 8 };
	control_put_rights(&thread, &writer, control.rights, false);
	CHECK(writer.truncated);
	CHECK_EQ(writer.used, 24);
	CHECK_EQ(installed, 2);
	install_limit = 3;
	writer = (struct control_writer){ .at = at(room).value, .room = sizeof(room) };
	control_put_rights(&thread, &writer, control.rights, false);
	CHECK(writer.truncated);
	CHECK_EQ(writer.used, 24);
	struct user_cmsghdr header;
	memcpy(&header, room, sizeof(header));
	CHECK_EQ(header.length, 20);
	CHECK_EQ(header.type, SCM_RIGHTS);
	control_release(&control);
	CHECK_EQ(refs(), 3); /* those installed */
	for (int i = 0; i < 4; i++)
		files[i].refs = 0;

	message.descriptors[1] = 77;
	CHECK_EQ(control_parse(&thread, &socket, at(&message), sizeof(message), &control), -EBADF);
	CHECK_EQ(refs(), 0);
	message.descriptors[1] = -1;
	CHECK_EQ(control_parse(&thread, &socket, at(&message), sizeof(message), &control), -EBADF);
	CHECK_EQ(refs(), 0);
}

/* An unprivileged user may pass RLIMIT_NOFILE by one message, and then no more. */
static void check_in_flight(void)
{
	struct socket socket = { .domain = AF_UNIX, .type = SOCK_STREAM };
	struct rights_message message = { { 16 + 16, SOL_SOCKET, SCM_RIGHTS }, { 0, 1, 2, 3 } };
	struct send_control control;
	struct file_rights *sent[2];
	process.limits[LIMIT_NOFILE].soft = 4;
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(control_parse(&thread, &socket, at(&message), sizeof(message), &control),
		         0);
		sent[i] = file_rights_copy(control.rights);
		control_release(&control);
	}
	CHECK_EQ(control_parse(&thread, &socket, at(&message), sizeof(message), &control),
	         -ETOOMANYREFS);
	process.credentials.capabilities = 1ull << 24; /* CAP_SYS_RESOURCE */
	CHECK_EQ(control_parse(&thread, &socket, at(&message), sizeof(message), &control), 0);
	control_release(&control);
	process.credentials.capabilities = 0;
	process.credentials.uid = 1; /* another user */
	CHECK_EQ(control_parse(&thread, &socket, at(&message), sizeof(message), &control), 0);
	control_release(&control);
	process.credentials.uid = 0;
	file_rights_free(sent[0]);
	CHECK_EQ(control_parse(&thread, &socket, at(&message), sizeof(message), &control), 0);
	control_release(&control);
	file_rights_free(sent[1]);
	CHECK_EQ(refs(), 0);
}

static void check_lengths(void)
{
	struct socket socket = { .domain = AF_UNIX, .type = SOCK_STREAM };
	struct send_control control;
	struct rights_message message = { { 15, SOL_SOCKET, SCM_RIGHTS }, { 0 } };
	CHECK_EQ(control_parse(&thread, &socket, at(&message), sizeof(message), &control), -EINVAL);
	message.header.length = sizeof(message) + 1;
	CHECK_EQ(control_parse(&thread, &socket, at(&message), sizeof(message), &control), -EINVAL);
	message.header.length = UINT64_MAX;
	CHECK_EQ(control_parse(&thread, &socket, at(&message), sizeof(message), &control), -EINVAL);
	CHECK_EQ(control_parse(&thread, &socket, at(&message), 15, &control),
	         0); /* too short for one */
	CHECK_EQ(control_parse(&thread, &socket, user(16), 32, &control), -EFAULT);
	CHECK_EQ(control_parse(&thread, &socket, at(&message), 1 << 20, &control), -ENOBUFS);
	message.header = (struct user_cmsghdr){ 20, SOL_SOCKET, 99 };
	CHECK_EQ(control_parse(&thread, &socket, at(&message), sizeof(message), &control), -EINVAL);
	message.header.level = 99; /* other levels are ignored */
	CHECK_EQ(control_parse(&thread, &socket, at(&message), sizeof(message), &control), 0);
}

static void check_packet_information(void)
{
	struct socket socket = { .domain = AF_INET, .type = SOCK_DGRAM };
	struct send_control control;
	struct {
		struct user_cmsghdr header;
		uint8_t information[16];
	} message = { { 16 + 12, IPPROTO_IP, IP_PKTINFO }, { [4] = 10, 0, 2, 15 } };
	CHECK_EQ(control_parse(&thread, &socket, at(&message), sizeof(message), &control), 0);
	CHECK_EQ(control.source.value, 0x0a00020f);
	CHECK_EQ(control.ttl, -1);
	message.header.length = 16 + 11;
	CHECK_EQ(control_parse(&thread, &socket, at(&message), sizeof(message), &control), -EINVAL);
	socket.type = SOCK_STREAM; /* tcp does not look at them */
	CHECK_EQ(control_parse(&thread, &socket, at(&message), sizeof(message), &control), 0);
}

/* Random bytes, biased to look like headers: no fault, and no reference lost. */
static void check_random(void)
{
	srand(1);
	install_limit = 1 << 30;
	for (int round = 0; round < 200000; round++) {
		struct socket socket = { .domain = rand() & 1 ? AF_UNIX : AF_INET,
			                 .type = rand() & 1 ? SOCK_STREAM : SOCK_DGRAM };
		uint32_t words[24];
		for (size_t i = 0; i < 24; i++)
			words[i] = rand() & 3 ? (uint32_t)rand() % 40 : (uint32_t)rand();
		for (size_t i = 0; i + 3 < 24; i += 6) {
			words[i + 1] = rand() % 10 ? 0 : (uint32_t)rand();
			words[i + 2] = rand() & 1 ? SOL_SOCKET : IPPROTO_IP;
			words[i + 3] = 1 + (uint32_t)rand() % 2;
		}
		struct send_control control;
		uint64_t length = (uint64_t)rand() % (sizeof(words) + 1);
		if (control_parse(&thread, &socket, at(words), length, &control) == 0)
			control_release(&control);
		CHECK_EQ(refs(), 0);
	}
}

int main(void)
{
	check_rights();
	check_in_flight();
	check_lengths();
	check_packet_information();
	check_random();
	return 0;
}
