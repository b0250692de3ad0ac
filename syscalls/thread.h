/*
 * A Linux thread: the task, its process, its signals and the state of the system call it waits in.
 *
 * Parking. A handler that cannot complete puts what it must remember into thread->park (THREAD_PARK_STATE), links itself where it will
 * hear (thread_wait_on, thread_wait_until, or entries of its own), calls thread_park(thread, resume) and returns SYS_PARKED. When any of
 * these wakes it, the loop removes the inline entry and the timer, activates the thread's address space and calls
 * resume(thread, reasons), which returns the result or parks again (and returns SYS_PARKED). Wake-ups are never lost: readiness is state,
 * so a resume function always tries first.
 * With WAKE_SIGNAL the resume function must not park again: it cleans up and returns a partial result, -ERESTARTSYS or -EINTR. With WAKE_KILL
 * it must only release what it holds; the result is ignored.
 */
#pragma once

#include "core/task.h"
#include "evloop/loop.h"
#include "syscalls/wait.h"

struct process;
struct thread;
struct file;

enum wake_reason {
	WAKE_EVENT = 1 << 0,
	WAKE_TIMEOUT = 1 << 1,
	WAKE_SIGNAL = 1 << 2, /* an unblocked signal with a handler, or a fatal one */
	WAKE_KILL = 1 << 3,   /* the thread is being destroyed while parked (exit_group, execve of another thread) */
};

typedef long thread_resume(struct thread *thread, uint32_t reasons);

#define THREAD_PARK_BYTES 320

typedef uint64_t signal_set; /* bit n-1: signal n */

struct thread {
	struct task task; /* keep first */
	struct process *process;
	struct list_node process_link; /* process->threads */
	struct list_node hash_link;    /* the table of tids */
	int32_t tid;
	char name[16]; /* PR_SET_NAME */

	/* Parking. */
	thread_resume *resume; /* non-NULL while parked in a call */
	struct loop_watcher wake;
	struct loop_timer timer;
	struct wait_entry wait; /* the inline entry of thread_wait_on */
	uint64_t syscall_number;
	uint64_t first_argument; /* a0 as it was: for restarts */
	union {
		unsigned char bytes[THREAD_PARK_BYTES];
		uint64_t align;
	} park;

	/* Signals (syscalls/signal.h). */
	signal_set blocked, pending, saved_blocked;
	bool restore_blocked; /* saved_blocked is put back after the handler (ppoll, sigsuspend, epoll_pwait) */
	struct signal_queue *signal_information;
	uint64_t altstack_base, altstack_bytes;
	uint32_t altstack_flags;

	struct user_addr clear_child_tid, robust_list;
	uint64_t robust_list_bytes;
	uint64_t restart_deadline_ns; /* of a call that starts again (ERESTART_RESTARTBLOCK); 0: of none */
	signal_set wanted;          /* rt_sigtimedwait: these wake it though blocked */
	uint16_t restart_call;      /* the ERESTART* that the call just ended with, or 0: delivery decides */
	bool uninterruptible;       /* parked where only a fatal signal may wake it (vfork) */
	bool stopped;               /* taken off the hart by a stop signal */
	bool ended;                 /* thread_exit has begun */
};

#define THREAD_PARK_STATE(thread, type)                                                            \
	({                                                                                         \
		_Static_assert(sizeof(type) <= THREAD_PARK_BYTES, "park state too large");         \
		(type *)(void *)(thread)->park.bytes;                                              \
	})

static inline struct thread *thread_of(struct task *task)
{
	return (struct thread *)task;
}
/* The thread whose call is being served: in a resume function the resuming one, else hart->current. */
extern struct thread *resuming_thread; /* whose resume function runs now, or NULL */
static inline struct thread *current_thread(void)
{
	return resuming_thread ? resuming_thread : thread_of(this_hart()->current);
}

/* Legal only inside a handler or resume function of this thread. */
void thread_park(struct thread *thread, thread_resume *resume);
/* Hear of `events` (POLL* bits; ~0 for all) on `queue`, through the thread's inline entry (one queue at a time). */
void thread_wait_on(struct thread *thread, struct wait_queue *queue, uint32_t events, bool exclusive);
/* Be woken with WAKE_TIMEOUT at this monotonic time; LOOP_NEVER: no timeout. */
void thread_wait_until(struct thread *thread, uint64_t deadline_ns);
/* The deadline of a call that starts again (once), else the one given. */
static inline uint64_t restart_deadline(struct thread *thread, uint64_t deadline_ns)
{
	uint64_t kept_ns = thread->restart_deadline_ns;
	thread->restart_deadline_ns = 0;
	return kept_ns ? kept_ns : deadline_ns;
}
/* Wake a parked thread: its resume function runs from the loop (coalesced; no-op when not parked). */
void thread_wake(struct thread *thread, uint32_t reasons);
/* True when a signal would interrupt it: a handler about to park checks this first and returns -ERESTARTSYS instead. (thread_park
 * itself also wakes the thread at once with WAKE_SIGNAL if one is pending.) */
bool thread_has_signal(const struct thread *thread);
