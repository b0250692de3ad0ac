/* What the files of syscalls/process/ share with one another only. */
#pragma once

#include <errno.h>
#include <string.h>

#include "core/boot.h"
#include "core/clock.h"
#include "core/console.h"
#include "core/memory.h"
#include "core/panic.h"
#include "core/trace.h"
#include "core/user.h"
#include "syscalls/file.h"
#include "syscalls/memory.h"
#include "syscalls/net.h"
#include "syscalls/process.h"
#include "syscalls/signal.h"
#include "syscalls/syscall.h"
#include "syscalls/timespec.h"

/* Signal numbers of asm-generic/signal.h */
enum {
	SIGHUP = 1,
	SIGINT,
	SIGQUIT,
	SIGILL,
	SIGTRAP,
	SIGABRT,
	SIGBUS,
	SIGFPE,
	SIGKILL,
	SIGUSR1,
	SIGSEGV,
	SIGUSR2,
	SIGPIPE,
	SIGALRM,
	SIGTERM,
	SIGSTKFLT,
	SIGCHLD,
	SIGCONT,
	SIGSTOP,
	SIGTSTP,
	SIGTTIN,
	SIGTTOU,
	SIGURG,
	SIGXCPU,
	SIGXFSZ,
	SIGVTALRM,
	SIGPROF,
	SIGWINCH,
	SIGIO,
	SIGPWR,
	SIGSYS,
	SIGRTMIN = 32
};

/* si_code (asm-generic/siginfo.h) */
enum { SI_USER = 0, SI_KERNEL = 0x80, SI_QUEUE = -1, SI_TIMER = -2, SI_TKILL = -6 };
enum { CLD_EXITED = 1, CLD_KILLED, CLD_DUMPED, CLD_TRAPPED, CLD_STOPPED, CLD_CONTINUED };
enum {
	ILL_ILLOPC = 1,
	TRAP_BRKPT = 1,
	BUS_ADRALN = 1,
	BUS_ADRERR = 2,
	SEGV_MAPERR = 1,
	SEGV_ACCERR = 2
};

#define SIGNAL_BIT(number)  (1ull << ((number)-1))
#define SIGNALS_UNBLOCKABLE (SIGNAL_BIT(SIGKILL) | SIGNAL_BIT(SIGSTOP))
#define SIGNALS_STOPPING                                                                           \
	(SIGNAL_BIT(SIGSTOP) | SIGNAL_BIT(SIGTSTP) | SIGNAL_BIT(SIGTTIN) | SIGNAL_BIT(SIGTTOU))
#define SIGNALS_IGNORED_BY_DEFAULT                                                                 \
	(SIGNAL_BIT(SIGCHLD) | SIGNAL_BIT(SIGCONT) | SIGNAL_BIT(SIGURG) | SIGNAL_BIT(SIGWINCH))

enum {
	SA_NOCLDSTOP = 1,
	SA_NOCLDWAIT = 2,
	SA_SIGINFO = 4,
	SA_ONSTACK = 0x08000000,
	SA_RESTART = 0x10000000,
	SA_NODEFER = 0x40000000
};
#define SA_RESETHAND   0x80000000u

#define SIGNAL_DEFAULT 0ull /* SIG_DFL */
#define SIGNAL_IGNORE  1ull /* SIG_IGN */

struct signal_action { /* the user's struct sigaction: riscv has no sa_restorer */
	uint64_t handler, flags;
	signal_set mask;
};

struct signal_actions { /* counted: CLONE_SIGHAND shares it */
	uint32_t refs;
	struct signal_action action[SIGNALS];
};

struct signal_queue { /* one queued signal; a singly linked list, oldest first */
	struct signal_queue *next;
	struct signal_information information;
};

struct user_timeval {
	int64_t seconds, microseconds;
};

/* ---- process.c, exit.c ---- */
void process_tables_init(void);
int32_t identifier_allocate(void);
struct process *process_create(struct process *parent, int32_t pid); /* NULL when memory is short */
void process_link(struct process *process);
/* Never linked, or already a reaped zombie: releases what it holds and frees it. */
void process_free(struct process *process);
/* Its parent has waited for it, and is charged with its times. */
void process_reap(struct process *zombie);
/* Nobody waits for it: its times are charged to no process, only to the machine. */
void process_vanish(struct process *zombie);
/* All threads are gone: gives back everything but the identity and the status. */
void process_become_zombie(struct process *process);
struct thread *thread_create(struct process *process, int32_t tid,
                             struct hart *hart); /* NULL when memory is short */
void thread_link(struct thread *thread);
void thread_rename(struct thread *thread,
                   int32_t tid); /* execve: the survivor becomes the leader */
/* Takes the thread out of its process and off the hart; memory goes when the current trap is over.
 */
void thread_exit(struct thread *thread);
void thread_free_unlinked(struct thread *thread); /* of a thread that was never linked */
void process_kill_other_threads(struct process *process, struct thread *survivor);
void process_vfork_release(struct process *process);
void process_notify_parent(struct process *process, int code, int status);
void fs_context_put(struct fs_context *fs);
struct fs_context *fs_context_copy(const struct fs_context *from);
uint64_t process_cpu_ns(struct process *process, uint64_t *user_ns, uint64_t *system_ns);
/* The most pages that were ever resident, over all images. */
uint64_t process_peak_pages(const struct process *process);
extern struct process *first_process;

/* ---- pidfd.c ---- */
struct pidfd {
	struct file file;        /* keep first */
	struct list_node link;   /* process->pidfds */
	struct process *process; /* NULL: it, or the thread, is gone */
	int32_t id;              /* of the thread; the first one's is the process's */
	bool of_thread;          /* PIDFD_THREAD */
	uint64_t inode;
};
struct pidfd *pidfd_of(struct file *file); /* NULL: it is none */
struct file *pidfd_create(struct process *process, int32_t id,
                          bool of_thread); /* NULL when memory is short */
/* Who looks at its descriptors is told. A thread is out of the tables by now. */
void pidfd_thread_ended(struct process *process, int32_t tid);
void pidfd_process_freed(struct process *process);

/* ---- thread.c ---- */
void thread_waiting_init(struct thread *thread);
int thread_waiting_create(struct thread *thread); /* reserves the timer: -ENOMEM */
void thread_waiting_destroy(struct thread *thread);
/* Runs the resume function of a parked thread with WAKE_KILL; no-op when it is not parked. */
void thread_abandon_call(struct thread *thread);

/* ---- signals ---- */
struct signal_actions *signal_actions_copy(const struct signal_actions *from);
void signal_actions_put(struct signal_actions *actions);
void signal_actions_after_exec(struct signal_actions *actions);
void signal_queue_free(struct process *process, struct signal_queue **queue);
/* Forgets pending signals of the process and its threads. */
void signal_discard(struct process *process, signal_set which);
void signal_recompute(struct thread *thread); /* blocked changed: return_work as needed */
bool signal_is_ignored(const struct process *process, int number);
/* Ignored, or its default action spares the first process (Linux's SIGNAL_UNKILLABLE): nobody ends
 * or stops that one by a signal for which it has no handler, SIGKILL and SIGSTOP included, but by a
 * fault. Here it may end itself, too: by abort, kill of its own pid, an alarm, or Ctrl-C. */
bool signal_spares(const struct process *process, const struct signal_information *information);
void signal_information_to_user(const struct signal_information *from,
                                uint8_t out[SIGNAL_FRAME_INFO_BYTES]);
/* personality.before_user */
void signal_before_user(struct task *task);
/* Pushes the handler's frame. False: the stack cannot take it. */
bool signal_frame_push(struct thread *thread, const struct signal_information *information,
                       const struct signal_action *action, signal_set mask);
/* -EFAULT, or 0 with the registers and mask of the frame at sp. */
int signal_frame_pop(struct thread *thread);
void signal_stop_process(struct process *process, int number);
void signal_continue_process(struct process *process);

/* ---- time and timers ---- */
/* Now on a clock id; -EINVAL: unknown. */
int clock_now(struct thread *thread, int32_t clock, uint64_t *out_ns);
/* It may be set, and whoever waits until a time by it is told (wall_clock_set). */
bool clock_is_wall(int32_t clock);
/* Monotonic deadline of an absolute time on a wall or monotonic clock. */
uint64_t clock_deadline(int32_t clock, uint64_t absolute_ns);
void process_timers_free(struct process *process);
/* The signal of a timer is about to be seen: its overrun count is settled (timer_getoverrun(2)). */
void process_timer_delivered(struct process *process, struct signal_information *information);
void process_timers_after_exec(struct process *process);

enum {
	CLOCK_REALTIME,
	CLOCK_MONOTONIC,
	CLOCK_PROCESS_CPUTIME_ID,
	CLOCK_THREAD_CPUTIME_ID,
	CLOCK_MONOTONIC_RAW,
	CLOCK_REALTIME_COARSE,
	CLOCK_MONOTONIC_COARSE,
	CLOCK_BOOTTIME,
	CLOCK_REALTIME_ALARM,
	CLOCK_BOOTTIME_ALARM,
	CLOCK_TAI = 11
};
#define TIMER_ABSTIME 1

/* ---- futex.c ---- */
void futex_init(void);
int futex_wake_address(struct address_space *space, struct user_addr address, bool is_private,
                       int count);
/* Robust list and clear_child_tid of a thread that ends; its address space is active. */
void futex_thread_exit(struct thread *thread, bool memory_survives);

/* ---- exec.c ---- */
/* Replaces the process's image. The strings are kernel memory, NUL-separated. 0 or negative errno;
 * the thread's registers are the new program's. */
struct exec_strings {
	char *bytes; /* heap */
	size_t used, room;
	uint32_t arguments, environment;
};
void exec_strings_free(struct exec_strings *strings);
int exec_strings_add(struct exec_strings *strings, const char *text);
int exec_load(struct thread *thread, const char *path, struct exec_strings *strings);

/* ---- vdso.c ---- */
int vdso_init(void);
void vdso_update_clock(void);
#define VDSO_DATA_BYTES PAGE_SIZE
/* Data page and code behind it, in pages of the direct map. */
void *vdso_pages(uint64_t *bytes);
/* Offset of __vdso_rt_sigreturn in the mapping. */
uint64_t vdso_sigreturn_offset(void);

/* ---- strace.c ---- */
void strace_call(struct thread *thread, uint64_t number, const char *name, const char *format,
                 const uint64_t *argument);
void strace_result(struct thread *thread, uint64_t number, const char *name, long result);

/* ---- random.c ---- */
void random_init(const struct boot_information *boot);

/* ---- system.c ---- */
void system_init(const struct boot_information *boot);
extern uint64_t machine_hwcap;
extern bool boot_flag_strace;
