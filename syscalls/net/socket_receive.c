/* recvfrom, recvmsg, recvmmsg. */
#include <errno.h>
#include <string.h>

#include "core/clock.h"
#include "syscalls/files/io.h"
#include "syscalls/net/control.h"
#include "syscalls/net/message.h"
#include "syscalls/syscall.h"

/* Where the results of a receive go in user memory; lies in io_request.extra while it waits. */
struct receive_state {
	uint64_t name, name_length; /* addresses; name 0: not wanted */
	uint64_t header;            /* address of the msghdr; 0: recvfrom */
	uint64_t control, control_room;
	uint64_t out; /* control bytes used << 32 | msg_flags */
};

_Static_assert(sizeof(struct receive_state) <= sizeof(((struct io_request *)0)->extra),
               "receive state");

static long receive_once(struct thread *thread, struct socket *socket, struct uio *uio,
                         uint32_t flags, struct receive_state *state)
{
	struct socket_name name;
	struct control_writer writer = { .at = state->control, .room = state->control_room };
	struct message message = { .uio = uio, .flags = flags };
	if (state->name) {
		name.length = 0;
		message.name = &name;
	}
	if (state->header)
		message.control = &writer;
	long result = socket->operations->receive(thread, socket, &message);
	if (result < 0)
		return result;
	if (state->name) {
		int error = socket_name_to_user(&name, user(state->name), user(state->name_length));
		if (error)
			return error;
		state->name = 0;
	}
	if (state->header) {
		state->control = writer.at;
		state->control_room = writer.room;
		state->out += writer.used << 32;
		state->out |= message.out_flags | (writer.truncated ? MSG_CTRUNC : 0) |
		              (flags & MSG_CMSG_CLOEXEC);
		if (writer.faulted)
			return -EFAULT;
	}
	return result;
}

static long receive_complete(const struct receive_state *state, long result)
{
	if (result < 0 || !state->header)
		return result;
	struct {
		uint64_t control_length;
		uint32_t flags;
	} tail = { state->out >> 32, (uint32_t)state->out };
	uint64_t at = state->header + offsetof(struct user_message_header, control_length);
	return copy_to_user(user(at), &tail, 12) ? -EFAULT : result;
}

static long receive_attempt(struct thread *thread, struct io_request *request)
{
	struct receive_state state;
	memcpy(&state, request->extra, sizeof(state));
	long result = receive_once(thread, socket_of(request->file), &request->uio, request->flags,
	                           &state);
	memcpy(request->extra, &state, sizeof(state));
	return result;
}

static long receive_finish(struct thread *thread, struct io_request *request, long result)
{
	(void)thread;
	struct receive_state state;
	memcpy(&state, request->extra, sizeof(state));
	return receive_complete(&state, result);
}

static long receive_wait(struct thread *thread, struct socket *socket, struct uio *uio,
                         uint32_t flags, const struct receive_state *state, uint64_t least,
                         long done)
{
	struct io_request request = {
		.file = &socket->file,
		.attempt = receive_attempt,
		.finish = receive_finish,
		.uio = *uio,
		.deadline_ns = socket_deadline_ns(socket, false),
		.events = POLLIN,
		.flags = flags,
		.all = flags & MSG_WAITALL,
		.least = least,
		.total = (uint64_t)done,
	};
	uio_moved(&request.uio);
	memcpy(request.extra, state, sizeof(*state));
	return io_continue(thread, &request);
}

/* One message; consumes the uio. */
static long receive_one(struct thread *thread, struct socket *socket, struct uio *uio,
                        uint32_t flags, struct receive_state *state)
{
	if (socket->file.flags & O_NONBLOCK)
		flags |= MSG_DONTWAIT;
	bool peeks_once = flags & MSG_PEEK && socket->domain == AF_UNIX; /* as Linux */
	if (socket->type != SOCK_STREAM || peeks_once ||
	    (flags & (MSG_DONTWAIT | MSG_ERRQUEUE | MSG_OOB)))
		flags &= ~(uint32_t)MSG_WAITALL;
	uint64_t least = file_least(&socket->file, uio->remaining);
	long result = receive_once(thread, socket, uio, flags, state);
	bool more = result == -EAGAIN || (result > 0 && uio->remaining &&
	                                  ((flags & MSG_WAITALL) || (uint64_t)result < least));
	if (more && !(flags & (MSG_DONTWAIT | MSG_ERRQUEUE | MSG_OOB)))
		return receive_wait(thread, socket, uio, flags, state, least,
		                    result > 0 ? result : 0);
	uio_fini(uio);
	return receive_complete(state, result);
}

long sys_recvfrom(struct thread *thread, const uint64_t *argument)
{
	int error = 0;
	struct socket *socket = socket_lookup(thread, argument[0], &error);
	if (!socket)
		return error;
	uint32_t flags = (uint32_t)argument[3];
	if (!argument[4] && !(flags & ~(uint32_t)(MSG_NOSIGNAL | MSG_DONTWAIT)) &&
	    socket->operations->receive_piece) {
		long received =
		        socket->operations->receive_piece(socket, user(argument[1]), argument[2]);
		if (__builtin_expect(received != 0, 1))
			return received;
	}
	struct receive_state state = { .name = argument[4], .name_length = argument[5] };
	struct uio uio;
	uio_init_single(&uio, user(argument[1]), argument[2]);
	if (!uio_range_possible(argument[1], uio.remaining))
		return -EFAULT;
	return receive_one(thread, socket, &uio, flags, &state);
}

static int receive_prepare(uint64_t at, struct uio *uio, struct receive_state *state)
{
	struct user_message_header header;
	int error = message_header_read(user(at), &header, uio);
	*state = (struct receive_state){
		.name = header.name,
		.name_length = at + offsetof(struct user_message_header, name_length),
		.header = at,
		.control = header.control,
		.control_room = header.control ? header.control_length : 0,
	};
	return error;
}

long sys_recvmsg(struct thread *thread, const uint64_t *argument)
{
	int error = 0;
	struct socket *socket = socket_lookup(thread, argument[0], &error);
	if (!socket)
		return error;
	struct receive_state state;
	struct uio uio;
	error = receive_prepare(argument[1], &uio, &state);
	return error ? error : receive_one(thread, socket, &uio, (uint32_t)argument[2], &state);
}

/* ---- many messages ---- */

enum { MANY_VECTOR, MANY_COUNT, MANY_DONE, MANY_TIMEOUT, MANY_DEADLINE };

static long receive_many_one(struct thread *thread, struct io_request *request)
{
	uint64_t at = request->extra[MANY_VECTOR] +
	              request->extra[MANY_DONE] * sizeof(struct user_mmsghdr);
	struct receive_state state;
	struct uio uio;
	int error = receive_prepare(at, &uio, &state);
	if (error)
		return error;
	long result =
	        receive_once(thread, socket_of(request->file), &uio,
	                     request->flags & ~(uint32_t)(MSG_WAITFORONE | MSG_WAITALL), &state);
	uio_fini(&uio);
	result = receive_complete(&state, result);
	if (result < 0)
		return result;
	uint32_t length = (uint32_t)result;
	return copy_to_user(user(at + offsetof(struct user_mmsghdr, length)), &length,
	                    sizeof(length));
}

/* As Linux: the timeout is looked at only after a message has come (recvmmsg(2), BUGS). */
static long receive_many_attempt(struct thread *thread, struct io_request *request)
{
	while (request->extra[MANY_DONE] < request->extra[MANY_COUNT]) {
		long result = receive_many_one(thread, request);
		if (result == -EAGAIN && request->extra[MANY_DONE] &&
		    (request->flags & MSG_WAITFORONE))
			return 0;
		if (result)
			return result;
		request->extra[MANY_DONE]++;
		if (request->extra[MANY_TIMEOUT] &&
		    clock_read_ns() >= request->extra[MANY_DEADLINE])
			return 0;
	}
	return 0;
}

static long receive_many_finish(struct thread *thread, struct io_request *request, long result)
{
	(void)thread;
	if (!request->extra[MANY_DONE])
		return result;
	/* As Linux: the next call tells what ended this one. */
	struct socket *socket = socket_of(request->file);
	bool failed = result < 0 && result != -EAGAIN && result != -EINTR && result != -ERESTARTSYS;
	if (failed && socket->operations->set_error)
		socket->operations->set_error(socket, (int)-result);
	result = (long)request->extra[MANY_DONE];
	if (request->extra[MANY_TIMEOUT]) {
		uint64_t now = clock_read_ns(), deadline = request->extra[MANY_DEADLINE];
		uint64_t left = deadline > now ? deadline - now : 0;
		struct user_timespec rest = { (int64_t)(left / 1000000000),
			                      (int64_t)(left % 1000000000) };
		if (copy_to_user(user(request->extra[MANY_TIMEOUT]), &rest, sizeof(rest)))
			return -EFAULT;
	}
	return result;
}

long sys_recvmmsg(struct thread *thread, const uint64_t *argument)
{
	uint64_t deadline_ns = LOOP_NEVER;
	if (argument[4]) {
		struct user_timespec timeout;
		if (copy_from_user(&timeout, user(argument[4]), sizeof(timeout)))
			return -EFAULT;
		if (timeout.seconds < 0 || timeout.nanoseconds < 0 ||
		    timeout.nanoseconds >= 1000000000)
			return -EINVAL;
		const int64_t for_ever_s = 1ll << 32;
		if (timeout.seconds > for_ever_s)
			timeout.seconds = for_ever_s;
		deadline_ns = clock_read_ns() + (uint64_t)timeout.seconds * 1000000000 +
		              (uint64_t)timeout.nanoseconds;
	}
	int error = 0;
	struct socket *socket = socket_lookup(thread, argument[0], &error);
	if (!socket)
		return error;
	uint32_t flags = (uint32_t)argument[3];
	if (socket->file.flags & O_NONBLOCK)
		flags |= MSG_DONTWAIT;
	struct io_request request = {
		.file = &socket->file,
		.attempt = receive_many_attempt,
		.finish = receive_many_finish,
		.deadline_ns = socket_deadline_ns(socket, false),
		.events = POLLIN,
		.flags = flags,
		.nonblocking = flags & (MSG_DONTWAIT | MSG_ERRQUEUE),
	};
	uio_init_kernel(&request.uio, NULL, 0);
	request.extra[MANY_VECTOR] = argument[1];
	request.extra[MANY_COUNT] = (uint32_t)argument[2];
	request.extra[MANY_TIMEOUT] = argument[4];
	request.extra[MANY_DEADLINE] = deadline_ns;
	return io_run(thread, &request);
}
