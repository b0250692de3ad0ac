/* Clocks, sleeping, and accounts of CPU time (clock_gettime(2), nanosleep(2), getrusage(2),
 * times(2)). */
#include "syscalls/process/internal.h"

#define MICROSECONDS     1000000ull
#define TICKS_PER_SECOND 100 /* AT_CLKTCK */
#define SECONDS_MAX      (INT64_MAX / (int64_t)NANOSECONDS)

static struct user_timeval timeval(uint64_t nanoseconds)
{
	return (struct user_timeval){ (int64_t)(nanoseconds / NANOSECONDS),
		                      (int64_t)(nanoseconds % NANOSECONDS / 1000) };
}

/*
 * The CPU clock of another process or thread is named by a negative id: ~identifier << 3, bit 2 for
 * a thread, and what is counted in bits 0 and 1 (include/linux/posix-timers.h): 0 user + system, 1
 * user, 2 all that was scheduled.
 */
static int cpu_clock_now(int32_t clock, uint64_t *out_ns)
{
	int32_t identifier = ~(clock >> 3);
	int what = clock & 3;
	uint64_t user_ns, system_ns, total;
	if (what == 3)
		return -EINVAL;
	if (clock & 4) {
		struct thread *thread = identifier ? thread_find(identifier) : current_thread();
		if (!thread)
			return -EINVAL;
		total = task_cpu_ns(&thread->task);
		user_ns = thread->task.user_ns;
	} else {
		struct process *process =
		        identifier ? process_find(identifier) : current_thread()->process;
		if (!process)
			return -EINVAL;
		total = process_cpu_ns(process, &user_ns, &system_ns);
	}
	*out_ns = what == 1 ? user_ns : total;
	return 0;
}

int clock_now(struct thread *thread, int32_t clock, uint64_t *out_ns)
{
	uint64_t user_ns, system_ns;
	switch (clock) {
	case CLOCK_REALTIME:
	case CLOCK_REALTIME_COARSE:
	case CLOCK_REALTIME_ALARM:
	case CLOCK_TAI: /* the offset to UTC is not known here: 0, as on a Linux nobody told */
		*out_ns = clock_wall_ns();
		return 0;
	case CLOCK_MONOTONIC:
	case CLOCK_MONOTONIC_RAW:
	case CLOCK_MONOTONIC_COARSE:
	case CLOCK_BOOTTIME:
	case CLOCK_BOOTTIME_ALARM:
		*out_ns = clock_read_ns();
		return 0;
	case CLOCK_PROCESS_CPUTIME_ID:
		*out_ns = process_cpu_ns(thread->process, &user_ns, &system_ns);
		return 0;
	case CLOCK_THREAD_CPUTIME_ID:
		*out_ns = task_cpu_ns(&thread->task);
		return 0;
	default:
		return clock < 0 ? cpu_clock_now(clock, out_ns) : -EINVAL;
	}
}

bool clock_is_wall(int32_t clock)
{
	return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_ALARM || clock == CLOCK_TAI;
}

uint64_t clock_deadline(int32_t clock, uint64_t absolute_ns)
{
	if (!clock_is_wall(clock))
		return absolute_ns;
	uint64_t offset = clock_parameters.wall_offset_ns;
	return absolute_ns > offset ? absolute_ns - offset : 0;
}

long sys_clock_gettime(struct thread *thread, const uint64_t *argument)
{
	uint64_t now;
	int error = clock_now(thread, (int32_t)argument[0], &now);
	return error ? error : timespec_to_user(user(argument[1]), now);
}

long sys_clock_getres(struct thread *thread, const uint64_t *argument)
{
	uint64_t now;
	int error = clock_now(thread, (int32_t)argument[0], &now);
	if (error || !argument[1])
		return error;
	return timespec_to_user(user(argument[1]), 1);
}

struct wait_queue wall_clock_set = { { { &wall_clock_set.entries.head,
	                                 &wall_clock_set.entries.head } } };
uint64_t wall_clock_set_by_ns;

static long set_wall_clock(struct thread *thread, uint64_t since_1970_ns)
{
	if (thread->process->credentials.euid != 0)
		return -EPERM;
	uint64_t before_ns = clock_parameters.wall_offset_ns;
	clock_set_wall_ns(since_1970_ns);
	vdso_update_clock();
	wall_clock_set_by_ns = clock_parameters.wall_offset_ns - before_ns;
	wait_queue_notify(&wall_clock_set, POLLIN);
	return 0;
}

long sys_clock_settime(struct thread *thread, const uint64_t *argument)
{
	uint64_t time_ns;
	int error = timespec_from_user(user(argument[1]), &time_ns);
	if (error)
		return error;
	return (int32_t)argument[0] == CLOCK_REALTIME ? set_wall_clock(thread, time_ns) : -EINVAL;
}

struct user_timezone {
	int32_t minutes_west, dst;
};

long sys_gettimeofday(struct thread *thread, const uint64_t *argument)
{
	struct user_timeval now = timeval(clock_wall_ns());
	struct user_timezone zone = { 0, 0 };
	(void)thread;
	if ((argument[0] && copy_to_user(user(argument[0]), &now, sizeof now)) ||
	    (argument[1] && copy_to_user(user(argument[1]), &zone, sizeof zone)))
		return -EFAULT;
	return 0;
}

long sys_settimeofday(struct thread *thread, const uint64_t *argument)
{
	struct user_timeval time;
	if (!argument[0])
		return 0;
	if (copy_from_user(&time, user(argument[0]), sizeof time))
		return -EFAULT;
	if (time.seconds < 0 || time.seconds >= SECONDS_MAX ||
	    (uint64_t)time.microseconds >= MICROSECONDS)
		return -EINVAL;
	return set_wall_clock(thread, (uint64_t)time.seconds * NANOSECONDS +
	                                      (uint64_t)time.microseconds * 1000);
}

/* ---- sleeping ---- */

struct sleep_state {
	uint64_t deadline_ns;
	struct user_addr remaining; /* 0: not wanted */
	uint64_t wall_ns;           /* until then by the wall clock, which may be set; 0: no */
	bool relative;
};

static long sleep_resume(struct thread *thread, uint32_t reasons)
{
	struct sleep_state *sleep = THREAD_PARK_STATE(thread, struct sleep_state);
	uint64_t now = hart_refresh_now(this_hart());
	if (sleep->wall_ns) {
		sleep->deadline_ns = clock_deadline(CLOCK_REALTIME, sleep->wall_ns);
		thread_wait_on(thread, &wall_clock_set, POLLIN, false);
	}
	if (now >= sleep->deadline_ns || reasons & WAKE_KILL)
		return 0;
	if (reasons & WAKE_SIGNAL) {
		if (sleep->remaining.value &&
		    timespec_to_user(sleep->remaining, sleep->deadline_ns - now))
			return -EFAULT;
		if (!sleep->relative)
			return -ERESTARTNOHAND;
		thread->restart_deadline_ns = sleep->deadline_ns;
		return -ERESTART_RESTARTBLOCK;
	}
	thread_wait_until(thread, sleep->deadline_ns);
	thread_park(thread, sleep_resume);
	return SYS_PARKED;
}

static long sleep_until(struct thread *thread, int32_t clock, uint64_t absolute_ns)
{
	struct sleep_state *sleep = THREAD_PARK_STATE(thread, struct sleep_state);
	*sleep = (struct sleep_state){ .deadline_ns = absolute_ns };
	if (clock_is_wall(clock))
		sleep->wall_ns = absolute_ns;
	return sleep_resume(thread, 0);
}

static long sleep_for(struct thread *thread, uint64_t time_ns, struct user_addr remaining)
{
	struct sleep_state *sleep = THREAD_PARK_STATE(thread, struct sleep_state);
	*sleep = (struct sleep_state){ .deadline_ns =
		                               restart_deadline(thread, deadline_after(time_ns)),
		                       .remaining = remaining,
		                       .relative = true };
	return sleep_resume(thread, 0);
}

long sys_nanosleep(struct thread *thread, const uint64_t *argument)
{
	uint64_t time_ns;
	int error = timespec_from_user(user(argument[0]), &time_ns);
	return error ? error : sleep_for(thread, time_ns, user(argument[1]));
}

long sys_clock_nanosleep(struct thread *thread, const uint64_t *argument)
{
	int32_t clock = (int32_t)argument[0];
	uint64_t time_ns, now;
	int error = clock_now(thread, clock, &now);
	if (error || clock == CLOCK_THREAD_CPUTIME_ID)
		return -EINVAL;
	if (clock < 0 || clock == CLOCK_PROCESS_CPUTIME_ID || clock == CLOCK_MONOTONIC_RAW ||
	    clock == CLOCK_REALTIME_COARSE || clock == CLOCK_MONOTONIC_COARSE)
		return -ENOTSUP;
	error = timespec_from_user(user(argument[2]), &time_ns);
	if (error)
		return error;
	if (argument[1] & TIMER_ABSTIME)
		return sleep_until(thread, clock, time_ns);
	return sleep_for(thread, time_ns, user(argument[3]));
}

/* ---- accounts ---- */

struct user_rusage {
	struct user_timeval user_time, system_time;
	int64_t maximum_resident_kib, shared, data, stack, minor_faults, major_faults, swaps,
	        blocks_in, blocks_out, messages_sent, messages_received, signals,
	        voluntary_switches, involuntary_switches;
};

enum { RUSAGE_CHILDREN = -1, RUSAGE_SELF = 0, RUSAGE_THREAD = 1 };

long sys_getrusage(struct thread *thread, const uint64_t *argument)
{
	struct process *process = thread->process;
	struct user_rusage usage = { .maximum_resident_kib = (int64_t)(process_peak_pages(process) *
		                                                       (PAGE_SIZE / 1024)) };
	uint64_t user_ns, system_ns;
	switch ((int32_t)argument[0]) {
	case RUSAGE_SELF:
		process_cpu_ns(process, &user_ns, &system_ns);
		break;
	case RUSAGE_THREAD:
		system_ns = task_cpu_ns(&thread->task);
		user_ns = thread->task.user_ns;
		system_ns -= user_ns;
		break;
	case RUSAGE_CHILDREN:
		user_ns = process->child_user_ns;
		system_ns = process->child_system_ns;
		usage.maximum_resident_kib = 0;
		break;
	default:
		return -EINVAL;
	}
	usage.user_time = timeval(user_ns);
	usage.system_time = timeval(system_ns);
	if ((int32_t)argument[0] != RUSAGE_CHILDREN) {
		usage.minor_faults = (int64_t)process->minor_faults;
		usage.voluntary_switches = (int64_t)process->voluntary_switches;
	}
	return copy_to_user(user(argument[1]), &usage, sizeof usage);
}

struct user_tms {
	int64_t user_time, system_time, child_user_time, child_system_time;
};

static int64_t ticks(uint64_t nanoseconds)
{
	return (int64_t)(nanoseconds / (NANOSECONDS / TICKS_PER_SECOND));
}

long sys_times(struct thread *thread, const uint64_t *argument)
{
	struct process *process = thread->process;
	uint64_t user_ns, system_ns;
	process_cpu_ns(process, &user_ns, &system_ns);
	struct user_tms times = { ticks(user_ns), ticks(system_ns), ticks(process->child_user_ns),
		                  ticks(process->child_system_ns) };
	if (argument[0] && copy_to_user(user(argument[0]), &times, sizeof times))
		return -EFAULT;
	return ticks(clock_read_ns());
}
