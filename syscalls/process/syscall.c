/*
 * The table of system calls and the way through it. The ordinary path is counted in instructions:
 * find the slot, call, store the result. Everything that is odd (errors, waiting, unknown numbers)
 * leaves it; strace=1 puts another entry in its place.
 */
#include "syscalls/process/internal.h"

static long absent(struct thread *thread, const uint64_t *argument);

/* Every number has a handler; the named ones replace the first line's. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
#define SYSCALL(number, name, arity, format) [number] = { .handler = sys_##name },
struct syscall_slot syscall_slots[SYSCALLS_MAX] = {
	[0 ... SYSCALLS_MAX - 1] = { .handler = absent },
#include "syscalls/table_process.def"
#include "syscalls/table_memory.def"
#include "syscalls/table_files.def"
#include "syscalls/table_net.def"
};
#undef SYSCALL
#pragma GCC diagnostic pop

#define SYSCALL(number, name, arity, format) [number] = { #name, format },
static const struct {
	const char *name, *format;
} entries[SYSCALLS_MAX] = {
#include "syscalls/table_process.def"
#include "syscalls/table_memory.def"
#include "syscalls/table_files.def"
#include "syscalls/table_net.def"
};
#undef SYSCALL

#define SYSCALL(number, name, arity, format)                                                       \
	_Static_assert(sizeof(format) - 1 == (arity), #name ": one format letter per argument");   \
	_Static_assert((number) < SYSCALLS_MAX, #name ": number out of range");
#include "syscalls/table_process.def"
#include "syscalls/table_memory.def"
#include "syscalls/table_files.def"
#include "syscalls/table_net.def"
#undef SYSCALL

const char *syscall_name(uint64_t number)
{
	return number < SYSCALLS_MAX ? entries[number].name : NULL;
}

const struct syscall_slot *syscall_statistics_of(uint64_t number)
{
	return number < SYSCALLS_MAX ? &syscall_slots[number] : NULL;
}

/* A number without a call: ENOSYS, said once. */
static long absent(struct thread *thread, const uint64_t *argument)
{
	static uint64_t said[SYSCALLS_MAX / 64];
	uint64_t number = thread->task.registers.x[REG_A7];
	(void)argument;
	if (number < SYSCALLS_MAX && !(said[number / 64] & 1ull << number % 64)) {
		said[number / 64] |= 1ull << number % 64;
		log_warning("%s: system call %lu is not implemented (ENOSYS); said once",
		            thread->process->name, number);
	}
	return -ENOSYS;
}

static bool is_error(long result)
{
	return (unsigned long)result >= (unsigned long)-4095L;
}

/* The result that the program will see now; a restart is settled when signals are delivered. */
static long settle_error(struct thread *thread, uint64_t number, long result)
{
	if (number < SYSCALLS_MAX)
		syscall_slots[number].errors++;
	if (result != -ERESTARTSYS && result != -ERESTARTNOHAND && result != -ERESTART_RESTARTBLOCK)
		return result;
	thread->restart_call = (uint16_t)-result;
	thread->task.return_work = true;
	return -EINTR;
}

/* A result that is negative: an error, or the call waits. */
void syscall_odd(struct task *task, long result)
{
	struct thread *thread = thread_of(task);
	uint64_t *x = thread->task.registers.x;
	uint64_t number = x[REG_A7];
	thread->syscall_number = number;
	thread->first_argument = x[REG_A0];
	if (is_error(result))
		x[REG_A0] = (uint64_t)settle_error(thread, number, result);
	else if (number < SYSCALLS_MAX)
		syscall_slots[number].parks++;
}

static void __attribute__((noinline)) enter_out_of_range(struct task *task)
{
	syscall_odd(task, absent(thread_of(task), &task->registers.x[REG_A0]));
}

void syscall_enter(struct task *task)
{
	uint64_t *argument = &task->registers.x[REG_A0];
	uint64_t number = task->registers.x[REG_A7];
	if (__builtin_expect(number >= SYSCALLS_MAX, 0)) {
		enter_out_of_range(task);
		return;
	}
	struct syscall_slot *slot = &syscall_slots[number];
	slot->calls++;
	long result = slot->handler(thread_of(task), argument);
	if (__builtin_expect(result < 0, 0)) {
		syscall_odd(task, result);
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

/* strace=1 */
static void enter_shown(struct task *task)
{
	struct thread *thread = thread_of(task);
	uint64_t *argument = &task->registers.x[REG_A0];
	uint64_t number = task->registers.x[REG_A7];
	bool known = number < SYSCALLS_MAX && entries[number].name;
	strace_call(thread, number, known ? entries[number].name : NULL,
	            known ? entries[number].format : "xxxxxx", argument);
	if (number < SYSCALLS_MAX)
		syscall_slots[number].calls++;
	thread->syscall_number = number;
	thread->first_argument = argument[0];
	long result =
	        known ? syscall_slots[number].handler(thread, argument) : absent(thread, argument);
	if (result >= 0 || is_error(result))
		syscall_complete(thread, result);
	else if (known)
		syscall_slots[number].parks++;
}

void syscall_show(struct hart *hart)
{
	personality_ops.syscall = enter_shown;
	if (hart->syscall_entry == syscall_enter)
		hart->syscall_entry = enter_shown;
	hart->syscall_table = NULL;
}
