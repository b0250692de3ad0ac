/*
 * Blocking I/O above file operations that never block: try, park on the file's wait queue, try
 * again when it is notified, a deadline passes or a signal comes.
 */
#include <errno.h>

#include "syscalls/file.h"
#include "syscalls/files/io.h"
#include "syscalls/signal.h"
#include "syscalls/syscall.h"

static long io_resume(struct thread *thread, uint32_t reasons);

/* Attempts until the request has its result. -EAGAIN: it has to wait. */
static long io_try(struct thread *thread, struct io_request *request)
{
	for (;;) {
		const struct file_operations *operations = request->file->operations;
		if (request->total && operations->has_error && operations->has_error(request->file))
			return (long)request->total;
		long result = request->attempt(thread, request);
		if (result < 0) {
			if (result == -EAGAIN)
				return -EAGAIN;
			return request->total ? (long)request->total : result;
		}
		request->total += (uint64_t)result;
		bool enough = !request->all && request->total >= request->least;
		if (enough || result == 0 || request->uio.remaining == 0)
			return (long)request->total;
	}
}

static long io_finish(struct thread *thread, struct io_request *request, long result)
{
	if (request->finish)
		result = request->finish(thread, request, result);
	uio_fini(&request->uio);
	return result;
}

/* The request lies in the thread's park state and holds its file. */
static long io_wait(struct thread *thread, struct io_request *request)
{
	thread_wait_on(thread, &request->file->waiters, request->events, true);
	if (request->deadline_ns != LOOP_NEVER)
		thread_wait_until(thread, request->deadline_ns);
	thread_park(thread, io_resume);
	return SYS_PARKED;
}

/* What a call returns that waits no longer. Datagrams of one send (UDP_SEGMENT) that have left must
 * not be sent again: the rest counts as sent, too, and is lost as in a queue. */
static long io_given_up(const struct io_request *request, long error)
{
	if (request->total)
		return (long)request->total;
	if (request->events & POLLOUT && request->uio.done)
		return (long)(request->uio.done + request->uio.remaining);
	return error;
}

static long io_interrupted(const struct io_request *request)
{
	return io_given_up(request, request->deadline_ns == LOOP_NEVER ? -ERESTARTSYS : -EINTR);
}

static long io_resume(struct thread *thread, uint32_t reasons)
{
	struct io_request *request = THREAD_PARK_STATE(thread, struct io_request);
	struct file *file = request->file;
	/* A killed thread's memory must not be touched any more: its finish function gets an error
	 * and just lets go. */
	long result = reasons & WAKE_KILL ? -EINTR : io_try(thread, request);
	if (result == -EAGAIN) {
		if (reasons & WAKE_SIGNAL)
			result = io_interrupted(request);
		else if (reasons & WAKE_TIMEOUT)
			result = io_given_up(request, -EAGAIN);
		else
			return io_wait(thread, request);
	}
	result = io_finish(thread, request, result);
	/* This thread may have taken an exclusive wake-up that leaves work for the next. */
	if (!list_is_empty(&file->waiters.entries)) {
		uint32_t ready = file_poll(file) & (request->events | POLLERR | POLLHUP);
		if (ready)
			wait_queue_notify_exclusive(&file->waiters, ready);
	}
	file_put(file);
	return result;
}

long io_run(struct thread *thread, struct io_request *request)
{
	request->total = 0;
	return io_continue(thread, request);
}

long io_continue(struct thread *thread, struct io_request *request)
{
	long result = io_try(thread, request);
	if (result != -EAGAIN)
		return io_finish(thread, request, result);
	if (request->nonblocking)
		return io_finish(thread, request, request->total ? (long)request->total : -EAGAIN);
	if (thread_has_signal(thread))
		return io_finish(thread, request, io_interrupted(request));
	struct io_request *parked = THREAD_PARK_STATE(thread, struct io_request);
	*parked = *request;
	uio_moved(&parked->uio);
	file_get(parked->file);
	return io_wait(thread, parked);
}
