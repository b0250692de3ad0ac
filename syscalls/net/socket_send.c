/* sendto, sendmsg, sendmmsg. A call is tried at once with everything on the stack; only one that
 * must wait is copied. */
#include <errno.h>
#include <string.h>

#include "core/memory.h"
#include "syscalls/files/io.h"
#include "syscalls/net/control.h"
#include "syscalls/net/message.h"
#include "syscalls/net/zerocopy.h"
#include "syscalls/signal.h"
#include "syscalls/syscall.h"

/* What a waiting sendmsg keeps beside its io_request. */
struct send_context {
	struct socket_name name;
	struct send_control control;
	bool has_control;
};

enum { SEND_CONTEXT };

static void raise_pipe(struct thread *thread, const struct socket *socket, uint32_t flags)
{
	if (socket->type == SOCK_STREAM && !(flags & MSG_NOSIGNAL))
		signal_send_pipe(thread);
}

static long send_attempt(struct thread *thread, struct io_request *request)
{
	struct socket *socket = socket_of(request->file);
	struct send_context *context = (void *)request->extra[SEND_CONTEXT];
	struct message message = {
		.uio = &request->uio,
		.flags = request->flags,
		.name = context->name.length ? &context->name : NULL,
		.sent = context->has_control ? &context->control : NULL,
	};
	return socket->operations->send(thread, socket, &message);
}

static long send_finish(struct thread *thread, struct io_request *request, long result)
{
	struct send_context *context = (void *)request->extra[SEND_CONTEXT];
	if (result == -EPIPE)
		raise_pipe(thread, socket_of(request->file), request->flags);
	if (context->has_control)
		control_release(&context->control);
	heap_free(context);
	zerocopy_end(socket_of(request->file), request->flags, result);
	return result;
}

/* Goes on with a message of which `done` bytes are sent. Takes the control messages over and
 * consumes the uio. */
static long send_wait(struct thread *thread, struct socket *socket, struct message *message,
                      long done)
{
	struct send_context *context = heap_alloc(sizeof(*context));
	if (!context) {
		if (message->sent)
			control_release(message->sent);
		uio_fini(message->uio);
		return done ? done : -ENOBUFS;
	}
	context->name.length = 0;
	if (message->name)
		context->name = *message->name;
	context->has_control = message->sent != NULL;
	if (message->sent)
		context->control = *message->sent;
	struct io_request request = {
		.file = &socket->file,
		.attempt = send_attempt,
		.finish = send_finish,
		.uio = *message->uio,
		.deadline_ns = socket_deadline_ns(socket, true),
		.events = POLLOUT,
		.flags = message->flags,
		.all = socket->type == SOCK_STREAM,
		.total = (uint64_t)done,
	};
	uio_moved(&request.uio);
	request.extra[SEND_CONTEXT] = (uint64_t)(uintptr_t)context;
	return io_continue(thread, &request);
}

/* One message; releases its control messages and consumes the uio. */
static long send_one(struct thread *thread, struct socket *socket, struct message *message)
{
	if (socket->file.flags & O_NONBLOCK)
		message->flags |= MSG_DONTWAIT;
	long result = zerocopy_begin(socket, message->flags);
	if (!result)
		result = socket->operations->send(thread, socket, message);
	bool partial = result >= 0 && socket->type == SOCK_STREAM && message->uio->remaining;
	if ((result == -EAGAIN || partial) && !(message->flags & MSG_DONTWAIT))
		return send_wait(thread, socket, message, partial ? result : 0);
	if (result == -EPIPE)
		raise_pipe(thread, socket, message->flags);
	if (message->sent)
		control_release(message->sent);
	uio_fini(message->uio);
	zerocopy_end(socket, message->flags, result);
	return result;
}

long sys_sendto(struct thread *thread, const uint64_t *argument)
{
	int error = 0;
	struct socket *socket = socket_lookup(thread, argument[0], &error);
	if (!socket)
		return error;
	uint32_t flags = (uint32_t)argument[3];
	if (!argument[4] && !(flags & ~(uint32_t)(MSG_NOSIGNAL | MSG_DONTWAIT)) &&
	    socket->operations->send_pieces) {
		const struct user_iovec piece = { argument[1], argument[2] };
		long sent = socket->operations->send_pieces(socket, &piece, 1, argument[2]);
		if (sent)
			return sent;
	}
	struct socket_name name;
	struct uio uio;
	struct message message = { .uio = &uio, .flags = flags };
	uio_init_single(&uio, user(argument[1]), argument[2]);
	if (!uio_range_possible(argument[1], uio.remaining))
		return -EFAULT;
	if (argument[4]) {
		if (!(uint32_t)argument[5] && socket->domain == AF_INET &&
		    socket->type == SOCK_DGRAM)
			return -EINVAL; /* an address of no bytes is a short one */
		error = socket_name_from_user(&name, user(argument[4]), argument[5]);
		if (error)
			return error;
		message.name = &name;
	}
	return send_one(thread, socket, &message);
}

/* ---- message headers ---- */

int message_header_read(struct user_addr at, struct user_message_header *header, struct uio *uio)
{
	if (copy_from_user(header, at, sizeof(*header)))
		return -EFAULT;
	if (header->name_length < 0)
		return -EINVAL;
	if (!header->name)
		header->name_length = 0;
	if (header->name_length > SOCKADDR_MAX_BYTES)
		header->name_length = SOCKADDR_MAX_BYTES;
	if (header->vector_count > UIO_MAXIOV)
		return -EMSGSIZE;
	return uio_init_vector(uio, user(header->vector), header->vector_count);
}

/* Everything of a sendmsg in kernel memory; a name of no length is none. On success the caller owes
 * uio_fini and control_release (send_one does both). */
static int message_prepare(struct thread *thread, struct socket *socket, struct user_addr at,
                           struct message *message, struct send_control *control)
{
	struct user_message_header header;
	int error = message_header_read(at, &header, message->uio);
	if (error)
		return error;
	error = socket_name_from_user(message->name, user(header.name),
	                              (uint32_t)header.name_length);
	if (!message->name->length)
		message->name = NULL;
	if (!error && header.control_length) {
		error = control_parse(thread, socket, user(header.control), header.control_length,
		                      control);
		if (!error)
			message->sent = control;
	}
	if (error)
		uio_fini(message->uio);
	return error;
}

static __attribute__((noinline)) long send_message(struct thread *thread, struct socket *socket,
                                                   const uint64_t *argument)
{
	struct socket_name name;
	struct send_control control;
	struct uio uio;
	struct message message = { .uio = &uio, .flags = (uint32_t)argument[2], .name = &name };
	int error = message_prepare(thread, socket, user(argument[1]), &message, &control);
	return error ? error : send_one(thread, socket, &message);
}

/* A few pieces to the peer and nothing else. 0: it is for send_message to see. */
static inline long send_pieces(struct socket *socket, const uint64_t *argument)
{
	struct user_message_header header;
	struct user_iovec pieces[UIO_INLINE];
	uint64_t bytes = 0;
	if (!socket->operations->send_pieces ||
	    (uint32_t)argument[2] & ~(uint32_t)(MSG_NOSIGNAL | MSG_DONTWAIT) ||
	    copy_from_user(&header, user(argument[1]), sizeof(header)) || header.name ||
	    header.name_length < 0 || header.control_length ||
	    header.vector_count - 1 >= UIO_INLINE ||
	    copy_from_user(pieces, user(header.vector), header.vector_count * sizeof(pieces[0])))
		return 0;
	for (uint64_t i = 0; i < header.vector_count; i++) {
		if (pieces[i].length > UIO_MAX_BYTES)
			return 0;
		bytes += pieces[i].length;
	}
	return socket->operations->send_pieces(socket, pieces, (uint32_t)header.vector_count,
	                                       bytes);
}

long sys_sendmsg(struct thread *thread, const uint64_t *argument)
{
	int error = 0;
	struct socket *socket = socket_lookup(thread, argument[0], &error);
	if (!socket)
		return error;
	long sent = send_pieces(socket, argument);
	return __builtin_expect(sent != 0, 1) ? sent : send_message(thread, socket, argument);
}

/* ---- many messages ---- */

enum { MANY_VECTOR, MANY_COUNT, MANY_DONE, MANY_PARTIAL };

/* Tells how many bytes of the message at that place were sent. */
static long tell_length(uint64_t message, uint32_t bytes)
{
	return copy_to_user(user(message + offsetof(struct user_mmsghdr, length)), &bytes,
	                    sizeof(bytes));
}

static void uio_skip(struct uio *uio, uint64_t bytes)
{
	while (bytes) {
		uint64_t here = uio->vector[uio->index].length - uio->offset;
		uint64_t step = here < bytes ? here : bytes;
		uio->offset += step;
		uio->remaining -= step;
		uio->done += step;
		bytes -= step;
		if (step == here && bytes) {
			uio->index++;
			uio->offset = 0;
		}
	}
}

/* The message at MANY_DONE, of which MANY_PARTIAL bytes are sent already. */
static long send_many_one(struct thread *thread, struct io_request *request)
{
	struct socket *socket = socket_of(request->file);
	uint64_t at = request->extra[MANY_VECTOR] +
	              request->extra[MANY_DONE] * sizeof(struct user_mmsghdr);
	uint64_t before = request->extra[MANY_PARTIAL];
	struct socket_name name;
	struct send_control control;
	struct uio uio;
	struct message message = { .uio = &uio, .flags = request->flags, .name = &name };
	int error = message_prepare(thread, socket, user(at), &message, &control);
	if (error)
		return error;
	if (before > uio.remaining)
		before = uio.remaining;
	uio_skip(&uio, before);
	long result = zerocopy_begin(socket, request->flags);
	if (!result)
		result = socket->operations->send(thread, socket, &message);
	bool stream = socket->type == SOCK_STREAM;
	bool unfinished = stream && uio.remaining && !request->nonblocking;
	if (result == -EAGAIN) { /* datagrams of one send that were cut from it (UDP_SEGMENT) */
		request->extra[MANY_PARTIAL] = uio.done;
		tell_length(at, (uint32_t)(uio.done + uio.remaining));
	}
	if (message.sent)
		control_release(message.sent);
	uio_fini(&uio);
	if (result >= 0 && unfinished) {
		request->extra[MANY_PARTIAL] += (uint64_t)result;
		return -EAGAIN;
	}
	if (result < 0)
		return result;
	zerocopy_end(socket, request->flags, result);
	uint32_t length = (uint32_t)((stream ? before : 0) + (uint64_t)result);
	request->extra[MANY_PARTIAL] = 0;
	return tell_length(at, length);
}

static long send_many_attempt(struct thread *thread, struct io_request *request)
{
	while (request->extra[MANY_DONE] < request->extra[MANY_COUNT]) {
		long result = send_many_one(thread, request);
		if (result)
			return result;
		request->extra[MANY_DONE]++;
	}
	return 0;
}

static long send_many_finish(struct thread *thread, struct io_request *request, long result)
{
	/* What has begun to leave must not be sent again: see io_given_up. */
	if (request->extra[MANY_PARTIAL] && socket_of(request->file)->type == SOCK_DGRAM)
		request->extra[MANY_DONE]++;
	if (request->extra[MANY_DONE])
		return (long)request->extra[MANY_DONE];
	if (result == -EPIPE)
		raise_pipe(thread, socket_of(request->file), request->flags);
	return result;
}

long sys_sendmmsg(struct thread *thread, const uint64_t *argument)
{
	int error = 0;
	struct socket *socket = socket_lookup(thread, argument[0], &error);
	if (!socket)
		return error;
	uint32_t count = (uint32_t)argument[2];
	uint32_t flags = (uint32_t)argument[3];
	if (socket->file.flags & O_NONBLOCK)
		flags |= MSG_DONTWAIT;
	struct io_request request = {
		.file = &socket->file,
		.attempt = send_many_attempt,
		.finish = send_many_finish,
		.deadline_ns = socket_deadline_ns(socket, true),
		.events = POLLOUT,
		.flags = flags,
		.nonblocking = flags & MSG_DONTWAIT,
	};
	uio_init_kernel(&request.uio, NULL, 0);
	request.extra[MANY_VECTOR] = argument[1];
	request.extra[MANY_COUNT] = count > UIO_MAXIOV ? UIO_MAXIOV : count;
	return io_run(thread, &request);
}
