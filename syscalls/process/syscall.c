/*
 * The table of system calls and the way through it. The ordinary path is counted in instructions:
 * look up, call, store the result. Everything that is odd (errors, tracing, unknown numbers) leaves
 * it.
 */
#include "syscalls/process/internal.h"

struct syscall_entry {
	const char *name, *format;
};

#define SYSCALL(number, name, arity, format) [number] = sys_##name,
static syscall_handler *const handlers[SYSCALLS_MAX] = {
#include "syscalls/table_process.def"
#include "syscalls/table_memory.def"
#include "syscalls/table_files.def"
#include "syscalls/table_net.def"
};
#undef SYSCALL

#define SYSCALL(number, name, arity, format) [number] = { #name, format },
static const struct syscall_entry entries[SYSCALLS_MAX] = {
#include "syscalls/table_process.def"
#include "syscalls/table_memory.def"
#include "syscalls/table_files.def"
#include "syscalls/table_net.def"
};
#undef SYSCALL

#define SYSCALL(number, name, arity, format)                                                       \
	_Static_assert(sizeof(format) - 1 == (arity), #name ": one format letter per argument");
#include "syscalls/table_process.def"
#include "syscalls/table_memory.def"
#include "syscalls/table_files.def"
#include "syscalls/table_net.def"
#undef SYSCALL

struct syscall_statistics syscall_statistics[SYSCALLS_MAX];
static uint64_t absent_named[SYSCALLS_MAX / 64];
/* strace=1 or trace=1: calls take the path that shows them. */
static bool observed;

const char *syscall_name(uint64_t number)
{
	return number < SYSCALLS_MAX && entries[number].name ? entries[number].name : NULL;
}

void syscall_observe(void)
{
	observed = boot_flag_strace || trace_enabled;
}

static long absent(struct thread *thread, uint64_t number)
{
	if (number >= SYSCALLS_MAX) {
		log_info("%s: system call %lu is out of range", thread->process->name, number);
		return -ENOSYS;
	}
	uint64_t bit = 1ull << (number % 64);
	if (!(absent_named[number / 64] & bit)) {
		absent_named[number / 64] |= bit;
		log_warning("%s: system call %lu is not implemented (ENOSYS); said once",
		            thread->process->name, number);
	}
	return -ENOSYS;
}

/* The result that the program will see now; a restart is settled when signals are delivered. */
static long settle_error(struct thread *thread, uint64_t number, long result)
{
	if (number < SYSCALLS_MAX)
		syscall_statistics[number].errors++;
	if (result != -ERESTARTSYS)
		return result;
	thread->restart_call = true;
	thread->task.return_work = true;
	return -EINTR;
}

static inline bool is_error(long result)
{
	return (unsigned long)result >= (unsigned long)-4095L;
}

static void enter_observed(struct thread *thread, uint64_t number)
{
	uint64_t *argument = &thread->task.registers.x[REG_A0];
	trace(TRACE_SYSCALL, number, argument[0]);
	bool known = number < SYSCALLS_MAX && handlers[number];
	if (boot_flag_strace)
		strace_call(thread, number, known ? entries[number].name : NULL,
		            known ? entries[number].format : "xxxxxx", argument);
	long result = known ? handlers[number](thread, argument) : absent(thread, number);
	if (result == SYS_PARKED) {
		if (known)
			syscall_statistics[number].parks++;
		return;
	}
	syscall_complete(thread, result);
}

void syscall_enter(struct task *task)
{
	struct thread *thread = thread_of(task);
	uint64_t *argument = &task->registers.x[REG_A0];
	uint64_t number = task->registers.x[REG_A7];
	thread->syscall_number = number;
	thread->first_argument = argument[0];
	if (number < SYSCALLS_MAX)
		syscall_statistics[number].calls++;
	if (__builtin_expect(number >= SYSCALLS_MAX || !handlers[number] || observed, 0)) {
		enter_observed(thread, number);
		return;
	}
	long result = handlers[number](thread, argument);
	if (__builtin_expect(is_error(result), 0))
		result = settle_error(thread, number, result);
	else if (__builtin_expect(result == SYS_PARKED, 0)) {
		syscall_statistics[number].parks++;
		return;
	}
	argument[0] = (uint64_t)result;
}

void syscall_complete(struct thread *thread, long result)
{
	uint64_t number = thread->syscall_number;
	if (boot_flag_strace)
		strace_result(thread, number, syscall_name(number), result);
	if (is_error(result))
		result = settle_error(thread, number, result);
	thread->task.registers.x[REG_A0] = (uint64_t)result;
	trace(TRACE_RETURN, number, (uint64_t)result);
}
