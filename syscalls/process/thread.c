/* Parking: a thread that waits keeps no stack, only a resume function and a few bytes of state. */
#include "syscalls/process/internal.h"

struct thread *resuming_thread;

/* No wake-up of this wait reaches the thread any more. */
static thread_resume *stop_waiting(struct thread *thread)
{
	struct loop *loop = &thread->task.hart->loop;
	thread_resume *resume = thread->resume;
	wait_entry_remove(&thread->wait);
	if (loop_timer_is_armed(&thread->timer) || loop_watcher_is_pending(&thread->timer.watcher))
		loop_timer_cancel(loop, &thread->timer);
	if (loop_watcher_is_pending(&thread->wake))
		loop_stop(loop, &thread->wake);
	thread->resume = NULL;
	return resume;
}

/* The call goes on: with its result the thread runs again, or it parks once more. */
static void run_resume(struct thread *thread, uint32_t reasons)
{
	if (!thread->resume)
		return;
	thread_resume *resume = stop_waiting(thread);
	task_activate_memory(&thread->task);
	struct thread *outer = resuming_thread;
	resuming_thread = thread;
	trace(TRACE_WAKE, thread->task.id, reasons);
	long result = resume(thread, reasons);
	resuming_thread = outer;
	if (result == SYS_PARKED || thread->ended)
		return;
	syscall_complete(thread, result);
	task_make_runnable(&thread->task);
}

static void woken(struct loop *loop, struct loop_watcher *watcher, uint32_t events)
{
	(void)loop;
	run_resume(container_of(watcher, struct thread, wake), events);
}

static void timed_out(struct loop *loop, struct loop_watcher *watcher, uint32_t events)
{
	(void)loop, (void)events;
	struct thread *thread = container_of(watcher, struct thread, timer.watcher);
	run_resume(thread,
	           WAKE_TIMEOUT |
	                   (loop_watcher_is_pending(&thread->wake) ? thread->wake.events : 0));
}

/* Leaves the queue, so that the next notification of an exclusive waiter goes to the one behind it.
 */
static bool notified(struct wait_entry *entry, uint32_t events)
{
	(void)events;
	struct thread *thread = container_of(entry, struct thread, wait);
	wait_entry_remove(entry);
	thread_wake(thread, WAKE_EVENT);
	return true;
}

void thread_waiting_init(struct thread *thread)
{
	loop_watcher_init(&thread->wake, LOOP_PRIORITY_NORMAL, woken);
	list_node_init(&thread->wait.link);
	thread->wait.notify = notified;
}

int thread_waiting_create(struct thread *thread)
{
	return loop_timer_create(&thread->task.hart->loop, &thread->timer, LOOP_PRIORITY_NORMAL,
	                         timed_out);
}

void thread_waiting_destroy(struct thread *thread)
{
	wait_entry_remove(&thread->wait);
	loop_stop(&thread->task.hart->loop, &thread->wake);
	loop_timer_destroy(&thread->task.hart->loop, &thread->timer);
}

void thread_abandon_call(struct thread *thread)
{
	if (thread->resume)
		stop_waiting(thread)(thread, WAKE_KILL);
}

void thread_park(struct thread *thread, thread_resume *resume)
{
	thread->resume = resume;
	trace(TRACE_PARK, thread->syscall_number, thread->task.id);
	if (thread->task.state == TASK_RUNNING)
		task_park(&thread->task);
	if (thread_has_signal(thread))
		thread_wake(thread, WAKE_SIGNAL);
}

void thread_wait_on(struct thread *thread, struct wait_queue *queue, uint32_t events,
                    bool exclusive)
{
	wait_entry_remove(&thread->wait);
	thread->wait.interest = events;
	thread->wait.exclusive = exclusive;
	wait_queue_add(queue, &thread->wait);
}

void thread_wait_until(struct thread *thread, uint64_t deadline_ns)
{
	loop_timer_arm(&thread->task.hart->loop, &thread->timer, deadline_ns);
}

void thread_wake(struct thread *thread, uint32_t reasons)
{
	if (thread->resume)
		loop_post(&thread->task.hart->loop, &thread->wake, reasons);
}
