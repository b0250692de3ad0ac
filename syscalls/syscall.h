/*
 * The system-call table: number, name, arity and argument formats from one line each, in table_process.def, table_memory.def,
 * table_files.def and table_net.def:
 *
 *     SYSCALL(63, read, 3, "dpu")
 *
 * declares `long sys_read(struct thread *thread, const uint64_t *argument)` as the handler. Format letters, one per argument: d int,
 * u unsigned, x hexadecimal, p user pointer, s path or string in user memory, f file descriptor. Numbers are Linux's
 * asm-generic/unistd.h.
 *
 * A handler runs to completion on the hart's stack. It returns the result (negative errno for errors), or SYS_PARKED after thread_park:
 * then the resume function it named decides later. It reads its arguments from `argument[0..5]` (they lie in the saved
 * registers: a0..a5; argument[0] is overwritten by the result).
 */
#pragma once

#include <errno.h>
#include <stdint.h>

#include "core/address.h"
#include "core/personality.h"
#include "syscalls/thread.h"

/* Not a result: the thread waits, was killed, or its registers were replaced (execve, rt_sigreturn). */
#define SYS_PARKED (-100000L)
/* The call was interrupted by a signal: becomes a restart when the handler has SA_RESTART, EINTR otherwise. Never seen by programs. */
#define ERESTARTSYS 512
/* The same, but a handler always sees EINTR: the call starts again only when none runs, as after SIGSTOP and SIGCONT. */
#define ERESTARTNOHAND 514
/* As ERESTARTNOHAND, for waits with a relative time: the handler put its deadline into thread->restart_deadline_ns, from where the call
 * that starts again takes it (restart_deadline). */
#define ERESTART_RESTARTBLOCK 516

typedef long syscall_handler(struct thread *thread, const uint64_t *argument);

#define SYSCALL(number, name, arity, format) long sys_##name(struct thread *thread, const uint64_t *argument);
#include "syscalls/table_process.def"
#include "syscalls/table_memory.def"
#include "syscalls/table_files.def"
#include "syscalls/table_net.def"
#undef SYSCALL

#define SYSCALLS_MAX 512 /* numbers below this have a table entry; others are ENOSYS */

extern struct syscall_slot syscall_slots[SYSCALLS_MAX];
/* Calls, errors and parks of a number; NULL: no such number. */
const struct syscall_slot *syscall_statistics_of(uint64_t number);

/* personality.syscall: dispatch and count, where the trap entry does not do it. */
void syscall_enter(struct task *task);
/* personality.syscall_odd: a handler's negative result. */
void syscall_odd(struct task *task, long result);
/* Give a parked thread's call its result (called by thread.c after resume). */
void syscall_complete(struct thread *thread, long result);
/* NULL: no such call here. */
const char *syscall_name(uint64_t number);
/* strace=1: the hart's calls are printed from now on. */
void syscall_show(struct hart *hart);
