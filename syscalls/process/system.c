/* What programs ask about the machine, and the few calls that tune how it runs them. */
#include "syscalls/process/internal.h"

#include "core/cpu.h"

uint64_t machine_hwcap;

#define NAME_BYTES 65

struct user_utsname {
	char system[NAME_BYTES], node[NAME_BYTES], release[NAME_BYTES], version[NAME_BYTES],
	        machine[NAME_BYTES], domain[NAME_BYTES];
};

static char host_name[NAME_BYTES] = "hartloop";

void system_init(const struct boot_information *boot)
{
	char value[NAME_BYTES] = { 0 }; /* programs see what follows the name, too */
	machine_hwcap = cpu_isa_letters;
	if (boot_option(boot->command_line, "hostname", 0, value, sizeof value) && value[0])
		memcpy(host_name, value, sizeof host_name);
}

long sys_uname(struct thread *thread, const uint64_t *argument)
{
	(void)thread;
	struct user_utsname names = {
		.system = "Linux",
		.release = "6.12.0-hartloop",
		.version = "#1 Hartloop",
		.machine = "riscv64",
		.domain = "(none)",
	};
	memcpy(names.node, host_name, sizeof names.node);
	return copy_to_user(user(argument[0]), &names, sizeof names);
}

long sys_sethostname(struct thread *thread, const uint64_t *argument)
{
	char name[NAME_BYTES] = { 0 };
	if (thread->process->credentials.euid != 0)
		return -EPERM;
	if (argument[1] >= NAME_BYTES)
		return -EINVAL;
	if (copy_from_user(name, user(argument[0]), argument[1]))
		return -EFAULT;
	memcpy(host_name, name, sizeof host_name);
	return 0;
}

struct user_sysinfo {
	int64_t uptime;
	uint64_t loads[3], total_ram, free_ram, shared_ram, buffer_ram, total_swap, free_swap;
	uint16_t processes, pad;
	uint64_t total_high, free_high;
	uint32_t unit;
};

long sys_sysinfo(struct thread *thread, const uint64_t *argument)
{
	struct memory_statistics memory;
	(void)thread;
	memory_read_statistics(&memory);
	struct user_sysinfo information = {
		.uptime = (int64_t)(clock_read_ns() / NANOSECONDS),
		.total_ram = memory.total_pages * PAGE_SIZE,
		.free_ram = memory.free_pages * PAGE_SIZE,
		.unit = 1,
	};
	list_for_each(node, &all_processes) information.processes++;
	return copy_to_user(user(argument[0]), &information, sizeof information);
}

/* ---- prctl(2) ---- */

enum {
	PR_SET_PDEATHSIG = 1,
	PR_GET_PDEATHSIG = 2,
	PR_GET_DUMPABLE = 3,
	PR_SET_DUMPABLE = 4,
	PR_GET_KEEPCAPS = 7,
	PR_SET_NAME = 15,
	PR_GET_NAME = 16,
	PR_GET_SECCOMP = 21,
	PR_CAPBSET_READ = 23,
	PR_SET_TIMERSLACK = 29,
	PR_GET_TIMERSLACK = 30,
	PR_SET_NO_NEW_PRIVS = 38,
	PR_GET_NO_NEW_PRIVS = 39,
	PR_SET_THP_DISABLE = 41,
	PR_GET_THP_DISABLE = 42
};

#define CAPABILITY_LAST 40
#define TIMER_SLACK_NS  50000 /* what Linux starts with; timers here have no slack */

static long set_name(struct thread *thread, struct user_addr from)
{
	char name[sizeof thread->name] = { 0 };
	/* Longer names are cut, and the string may end at the end of a page. */
	for (size_t i = 0; i < sizeof name - 1; i++) {
		if (copy_from_user(&name[i], user(from.value + i), 1))
			return -EFAULT;
		if (!name[i])
			break;
	}
	memcpy(thread->name, name, sizeof name);
	if (thread->tid == thread->process->pid)
		memcpy(thread->process->name, name, sizeof name);
	return 0;
}

long sys_prctl(struct thread *thread, const uint64_t *argument)
{
	struct process *process = thread->process;
	uint64_t value = argument[1];
	switch ((int32_t)argument[0]) {
	case PR_SET_PDEATHSIG:
		if (value > SIGNALS)
			return -EINVAL;
		process->parent_death_signal = (int)value;
		return 0;
	case PR_GET_PDEATHSIG:
		return user_store_u32(user(value), (uint32_t)process->parent_death_signal);
	case PR_GET_DUMPABLE:
		return process->dumpable;
	case PR_SET_DUMPABLE:
		if (value > 1)
			return -EINVAL;
		process->dumpable = value;
		return 0;
	case PR_SET_NAME:
		return set_name(thread, user(value));
	case PR_GET_NAME:
		return copy_to_user(user(value), thread->name, sizeof thread->name);
	case PR_CAPBSET_READ:
		return value <= CAPABILITY_LAST ? 1 : -EINVAL;
	case PR_GET_TIMERSLACK:
		return TIMER_SLACK_NS;
	case PR_SET_TIMERSLACK:
		return 0;
	case PR_SET_NO_NEW_PRIVS:
		if (value != 1 || argument[2] || argument[3] || argument[4])
			return -EINVAL;
		process->no_new_privileges = true; /* execve grants none here in any case */
		return 0;
	case PR_GET_NO_NEW_PRIVS:
		if (value || argument[2] || argument[3] || argument[4])
			return -EINVAL;
		return process->no_new_privileges;
	case PR_GET_KEEPCAPS:
	case PR_GET_SECCOMP:
	case PR_GET_THP_DISABLE:
		return 0;
	case PR_SET_THP_DISABLE:
		return argument[2] || argument[3] || argument[4] ? -EINVAL : 0;
	default:
		return -EINVAL;
	}
}

long sys_personality(struct thread *thread, const uint64_t *argument)
{
	(void)thread, (void)argument;
	return 0; /* PER_LINUX, and nothing else can be had */
}

/* ---- scheduling: one policy (SCHED_OTHER), programs run on the boot hart ---- */

enum { SCHED_OTHER, SCHED_FIFO, SCHED_RR, SCHED_BATCH, SCHED_IDLE = 5 };
#define SCHED_RESET_ON_FORK   0x40000000
#define REALTIME_PRIORITY_MAX 99

static bool thread_exists(struct thread *thread, uint64_t tid)
{
	return !(int32_t)tid || (int32_t)tid == thread->tid || thread_find((int32_t)tid);
}

static bool is_realtime(int32_t policy)
{
	return policy == SCHED_FIFO || policy == SCHED_RR;
}

static bool is_ordinary(int32_t policy)
{
	return policy == SCHED_OTHER || policy == SCHED_BATCH || policy == SCHED_IDLE;
}

long sys_sched_yield(struct thread *thread, const uint64_t *argument)
{
	(void)argument;
	thread->task.resched = true;
	return 0;
}

long sys_sched_getscheduler(struct thread *thread, const uint64_t *argument)
{
	return thread_exists(thread, argument[0]) ? SCHED_OTHER : -ESRCH;
}

/* Real-time policies are refused as to a user without the privilege: they would not be honoured. */
long sys_sched_setscheduler(struct thread *thread, const uint64_t *argument)
{
	int32_t policy = (int32_t)argument[1] & ~SCHED_RESET_ON_FORK;
	uint32_t priority;
	if ((int32_t)argument[0] < 0 || !argument[2])
		return -EINVAL;
	if (user_load_u32(user(argument[2]), &priority))
		return -EFAULT;
	if (!thread_exists(thread, argument[0]))
		return -ESRCH;
	if (is_realtime(policy))
		return priority >= 1 && priority <= REALTIME_PRIORITY_MAX ? -EPERM : -EINVAL;
	return is_ordinary(policy) && priority == 0 ? 0 : -EINVAL;
}

long sys_sched_setparam(struct thread *thread, const uint64_t *argument)
{
	uint32_t priority;
	if ((int32_t)argument[0] < 0 || !argument[1])
		return -EINVAL;
	if (user_load_u32(user(argument[1]), &priority))
		return -EFAULT;
	if (!thread_exists(thread, argument[0]))
		return -ESRCH;
	return priority ? -EINVAL : 0;
}

long sys_sched_getparam(struct thread *thread, const uint64_t *argument)
{
	if ((int32_t)argument[0] < 0 || !argument[1])
		return -EINVAL;
	if (!thread_exists(thread, argument[0]))
		return -ESRCH;
	return user_store_u32(user(argument[1]), 0);
}

long sys_sched_get_priority_max(struct thread *thread, const uint64_t *argument)
{
	int32_t policy = (int32_t)argument[0];
	(void)thread;
	return is_realtime(policy) ? REALTIME_PRIORITY_MAX : is_ordinary(policy) ? 0 : -EINVAL;
}

long sys_sched_get_priority_min(struct thread *thread, const uint64_t *argument)
{
	int32_t policy = (int32_t)argument[0];
	(void)thread;
	return is_realtime(policy) ? 1 : is_ordinary(policy) ? 0 : -EINVAL;
}

long sys_sched_rr_get_interval(struct thread *thread, const uint64_t *argument)
{
	if (!thread_exists(thread, argument[0]))
		return -ESRCH;
	return timespec_to_user(user(argument[1]), 0);
}

#define AFFINITY_BYTES 8 /* room for 64 harts; programs run on hart 0 */

long sys_sched_getaffinity(struct thread *thread, const uint64_t *argument)
{
	uint64_t mask = 1;
	if (argument[1] < AFFINITY_BYTES || argument[1] % AFFINITY_BYTES)
		return -EINVAL;
	if (!thread_exists(thread, argument[0]))
		return -ESRCH;
	return copy_to_user(user(argument[2]), &mask, sizeof mask) ? -EFAULT : AFFINITY_BYTES;
}

long sys_sched_setaffinity(struct thread *thread, const uint64_t *argument)
{
	uint64_t mask = 0;
	size_t bytes = argument[1] < sizeof mask ? argument[1] : sizeof mask;
	if (copy_from_user(&mask, user(argument[2]), bytes))
		return -EFAULT;
	if (!thread_exists(thread, argument[0]))
		return -ESRCH;
	return mask & 1 ? 0 : -EINVAL;
}

enum { PRIO_PROCESS, PRIO_PGRP, PRIO_USER };

/* Nice values are accepted and have no effect: getpriority reports 0, as the system call encodes it
 * (20 - nice). */
long sys_getpriority(struct thread *thread, const uint64_t *argument)
{
	if ((uint32_t)argument[0] > PRIO_USER)
		return -EINVAL;
	if ((uint32_t)argument[0] == PRIO_PROCESS && !thread_exists(thread, argument[1]))
		return -ESRCH;
	return 20;
}

long sys_setpriority(struct thread *thread, const uint64_t *argument)
{
	if ((uint32_t)argument[0] > PRIO_USER)
		return -EINVAL;
	if ((uint32_t)argument[0] == PRIO_PROCESS && !thread_exists(thread, argument[1]))
		return -ESRCH;
	return 0;
}

long sys_getcpu(struct thread *thread, const uint64_t *argument)
{
	if ((argument[0] && user_store_u32(user(argument[0]), thread->task.hart->index)) ||
	    (argument[1] && user_store_u32(user(argument[1]), 0)))
		return -EFAULT;
	return 0;
}

enum {
	MEMBARRIER_QUERY = 0,
	MEMBARRIER_GLOBAL = 1,
	MEMBARRIER_PRIVATE_EXPEDITED = 8,
	MEMBARRIER_REGISTER_PRIVATE_EXPEDITED = 16
};

/* Threads of a process share one hart: a trap on it orders their accesses already. */
long sys_membarrier(struct thread *thread, const uint64_t *argument)
{
	(void)thread;
	if (argument[1])
		return -EINVAL;
	switch ((int32_t)argument[0]) {
	case MEMBARRIER_QUERY:
		return MEMBARRIER_GLOBAL | MEMBARRIER_PRIVATE_EXPEDITED |
		       MEMBARRIER_REGISTER_PRIVATE_EXPEDITED;
	case MEMBARRIER_GLOBAL:
	case MEMBARRIER_PRIVATE_EXPEDITED:
	case MEMBARRIER_REGISTER_PRIVATE_EXPEDITED:
		return 0;
	default:
		return -EINVAL;
	}
}

/* ---- riscv's own calls ---- */

long sys_riscv_flush_icache(struct thread *thread, const uint64_t *argument)
{
	(void)thread;
	if (argument[2] & ~1ull) /* SYS_RISCV_FLUSH_ICACHE_LOCAL */
		return -EINVAL;
	__asm__ volatile("fence.i" ::: "memory");
	return 0;
}

struct user_hwprobe {
	int64_t key;
	uint64_t value;
};

enum {
	HWPROBE_MVENDORID,
	HWPROBE_MARCHID,
	HWPROBE_MIMPID,
	HWPROBE_BASE_BEHAVIOR,
	HWPROBE_IMA_EXT_0,
	HWPROBE_CPUPERF_0,
	HWPROBE_ZICBOZ_BLOCK_SIZE,
	HWPROBE_HIGHEST_VIRT_ADDRESS
};
enum {
	HWPROBE_IMA_FD = 1,
	HWPROBE_IMA_C = 2,
	HWPROBE_EXT_ZBA = 1 << 3,
	HWPROBE_EXT_ZBB = 1 << 4,
	HWPROBE_EXT_ZBS = 1 << 5
};
#define HWPROBE_MISALIGNED_FAST 3

static uint64_t hwprobe_extensions(void)
{
	uint64_t letters = cpu_isa_letters, value = 0;
	if (letters & 1 << ('f' - 'a') && letters & 1 << ('d' - 'a'))
		value |= HWPROBE_IMA_FD;
	if (letters & 1 << ('c' - 'a'))
		value |= HWPROBE_IMA_C;
	if (cpu_has(CPU_ZBA))
		value |= HWPROBE_EXT_ZBA;
	if (cpu_has(CPU_ZBB))
		value |= HWPROBE_EXT_ZBB;
	if (cpu_has(CPU_ZBS))
		value |= HWPROBE_EXT_ZBS;
	return value;
}

static void hwprobe_answer(struct user_hwprobe *pair)
{
	switch (pair->key) {
	case HWPROBE_MVENDORID:
	case HWPROBE_MARCHID:
	case HWPROBE_MIMPID:
	case HWPROBE_ZICBOZ_BLOCK_SIZE:
		pair->value = 0;
		return;
	case HWPROBE_BASE_BEHAVIOR:
		pair->value = 1; /* RISCV_HWPROBE_BASE_BEHAVIOR_IMA */
		return;
	case HWPROBE_IMA_EXT_0:
		pair->value = hwprobe_extensions();
		return;
	case HWPROBE_CPUPERF_0:
		pair->value = copy_misaligned_is_fast ? HWPROBE_MISALIGNED_FAST : 0;
		return;
	case HWPROBE_HIGHEST_VIRT_ADDRESS:
		pair->value = USER_END - 1;
		return;
	default:
		pair->key = -1;
		pair->value = 0;
	}
}

long sys_riscv_hwprobe(struct thread *thread, const uint64_t *argument)
{
	(void)thread;
	if (argument[4])
		return -EINVAL;
	for (uint64_t i = 0; i < argument[1]; i++) {
		struct user_addr at = user(argument[0] + i * sizeof(struct user_hwprobe));
		struct user_hwprobe pair;
		if (copy_from_user(&pair, at, sizeof pair))
			return -EFAULT;
		hwprobe_answer(&pair);
		if (copy_to_user(at, &pair, sizeof pair))
			return -EFAULT;
	}
	return 0;
}
