/* Signals (signal(7)): generation, delivery into handlers (rt_sigframe of arch/riscv), default actions. */
#pragma once

#include "syscalls/thread.h"

#define SIGNALS 64
#define SIGNAL_FRAME_INFO_BYTES 128 /* sizeof(siginfo_t) */

struct process;

struct signal_information { /* the fields of siginfo_t that are filled, kernel form */
	int32_t number, code, error;
	int32_t status;
	union {
		struct {
			int32_t pid;
			uint32_t uid;
		};
		uint64_t band; /* of a file's signal, with its descriptor */
	};
	union {
		uint64_t value;
		int32_t descriptor;
	};
	uint64_t address;
	bool own; /* the process sent it itself, or whoever sits at its terminal: see signal_spares */
	bool reserved; /* of a timer, which holds its place in the queue as long as it exists */
};

/* Of the kind that files send: codes POLL_IN to POLL_HUP, or SI_SIGIO with a signal whose codes mean
 * something else (SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV, SIGCHLD, SIGSYS). */
static inline bool signal_has_own_codes(int number)
{
	return 1ull << number & (1 << 4 | 1 << 5 | 1 << 7 | 1 << 8 | 1 << 11 | 1 << 17 | 1ull << 31);
}
static inline bool signal_is_of_file(const struct signal_information *information)
{
	int32_t code = information->code;
	return code == -5 || (code >= 1 && code <= 6 && !signal_has_own_codes(information->number));
}

/* To one thread, or to the process (any thread that does not block it). Wakes a parked one as needed. -EAGAIN: queue full. */
int signal_send_thread(struct thread *thread, const struct signal_information *information);
int signal_send_process(struct process *process, const struct signal_information *information);
/* A fault of the running thread: delivered now, fatal when blocked or ignored. */
void signal_force(struct thread *thread, int number, int code, uint64_t address);
/* SIGPIPE for a write to a broken pipe or socket of the calling thread. */
void signal_send_pipe(struct thread *thread);
/* Temporarily replace the mask for a call that waits (ppoll, pselect6, epoll_pwait, sigsuspend): the old one returns after the call, or
 * after the handler. */
void signal_mask_swap(struct thread *thread, signal_set mask);
void signal_mask_restore(struct thread *thread);
/* The calls' common prologue: reads the user's mask (NULL: nothing). -EINVAL (size), -EFAULT. */
int signal_mask_from_user(struct thread *thread, struct user_addr mask, uint64_t bytes);

/* For signalfd: notified (POLLIN) when a signal becomes pending anywhere. */
extern struct wait_queue signal_generated;
/* Pending for the thread, its own and its process's, blocked or not. */
signal_set signals_pending(const struct thread *thread);
/* The next pending signal among `allowed`, taken off the queues; 0 when there is none. */
int signal_take(struct thread *thread, signal_set allowed, struct signal_information *out);
