/*
 * Timers that send signals: setitimer(2) and timer_create(2). Each owns one timer of the loop.
 *
 * A timer on a CPU clock is armed for the earliest moment at which that clock can reach its value
 * (it advances no faster than time does), looks then, and arms itself anew for what is still
 * missing.
 */
#include "syscalls/process/internal.h"

/* ITIMER_VIRTUAL's clock: user mode only. Not a clock id of the ABI. */
#define CLOCK_USER_CPUTIME 64

#define POSIX_TIMERS_MAX   4096 /* per process, whatever RLIMIT_SIGPENDING allows */

enum { ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF, ITIMERS };
enum { SIGEV_SIGNAL = 0, SIGEV_NONE = 1, SIGEV_THREAD = 2, SIGEV_THREAD_ID = 4 };

struct signal_timer { /* owned by process->timers */
	struct loop_timer timer;
	struct list_node link; /* process_timers.posix */
	struct process *process;
	int32_t clock, identifier;
	int32_t counts_by;       /* the clock, but that of a span of time is never the wall clock */
	struct wait_entry entry; /* on wall_clock_set, while it counts by that clock */
	uint64_t expires_ns;     /* on counts_by; LOOP_NEVER: not armed */
	uint64_t interval_ns;
	uint64_t rest_ns; /* at least until it fires again; 0 before it fired */
	int32_t notify, signal, target_tid, code;
	uint64_t value;
	uint64_t overruns; /* expiries beyond the first since the signal was sent */
	uint64_t overruns_reported;
};

struct process_timers {
	struct signal_timer interval[ITIMERS];
	struct list posix;
	uint32_t posix_count;
	int32_t next_identifier;
};

static uint64_t timer_clock(struct signal_timer *timer)
{
	uint64_t now = 0, user_ns, system_ns;
	switch (timer->counts_by) {
	case CLOCK_USER_CPUTIME:
		process_cpu_ns(timer->process, &user_ns, &system_ns);
		return user_ns;
	case CLOCK_PROCESS_CPUTIME_ID:
		return process_cpu_ns(timer->process, &user_ns, &system_ns);
	case CLOCK_THREAD_CPUTIME_ID: {
		struct thread *thread = thread_find(timer->target_tid);
		return thread ? task_cpu_ns(&thread->task) : 0;
	}
	default:
		clock_now(NULL, timer->counts_by, &now);
		return now;
	}
}

static void timer_arm(struct signal_timer *timer)
{
	if (timer->expires_ns == LOOP_NEVER) {
		loop_timer_cancel(&this_hart()->loop, &timer->timer);
		return;
	}
	uint64_t now = timer_clock(timer);
	uint64_t left = timer->expires_ns > now ? timer->expires_ns - now : 0;
	if (left < timer->rest_ns)
		left = timer->rest_ns;
	loop_timer_arm(&this_hart()->loop, &timer->timer, deadline_after(left));
}

/* How often it expired since it was looked at. */
static uint64_t timer_expiries(struct signal_timer *timer)
{
	return timer_take_expiries(&timer->expires_ns, timer->interval_ns, timer_clock(timer));
}

/* False: in vain, as nobody is told, or not before he takes the signal that waits. */
static bool timer_notify(struct signal_timer *timer, uint64_t expiries)
{
	struct signal_information information = {
		.number = timer->signal,
		.code = timer->code,
		.pid = timer->identifier,
		.value = timer->value,
		.own = true,
		.reserved = timer->code == SI_TIMER,
	};
	struct thread *thread =
	        timer->notify == SIGEV_THREAD_ID ? thread_find(timer->target_tid) : NULL;
	signal_set pending = thread ? thread->pending : timer->process->pending;
	if (timer->notify == SIGEV_NONE)
		return false;
	if (pending & SIGNAL_BIT(timer->signal)) {
		timer->overruns += expiries;
		return false;
	}
	timer->overruns = expiries - 1;
	if (thread)
		signal_send_thread(thread, &information);
	else if (timer->notify != SIGEV_THREAD_ID)
		signal_send_process(timer->process, &information);
	return !signal_is_ignored(timer->process, timer->signal);
}

void process_timer_delivered(struct process *process, struct signal_information *information)
{
	list_for_each(node, &process->timers->posix)
	{
		struct signal_timer *timer = list_entry(node, struct signal_timer, link);
		if (timer->identifier != information->pid)
			continue;
		timer->overruns_reported = timer->overruns;
		if (timer->interval_ns)
			timer->overruns_reported += timer_expiries(timer);
		timer->overruns = 0;
		information->status = timer->overruns_reported < INT32_MAX
		                              ? (int32_t)timer->overruns_reported
		                              : INT32_MAX;
	}
}

static void timer_fired(struct loop *loop, struct loop_watcher *watcher, uint32_t events)
{
	struct signal_timer *timer = container_of(container_of(watcher, struct loop_timer, watcher),
	                                          struct signal_timer, timer);
	(void)loop, (void)events;
	uint64_t expiries = timer_expiries(timer), rest_ns = 2 * timer->rest_ns;
	if ((expiries && timer_notify(timer, expiries)) || rest_ns < TIMER_REST_NS)
		rest_ns = TIMER_REST_NS;
	timer->rest_ns = rest_ns < TIMER_REST_MOST_NS ? rest_ns : TIMER_REST_MOST_NS;
	timer_arm(timer);
}

static bool timer_clock_was_set(struct wait_entry *entry, uint32_t by)
{
	(void)by;
	timer_arm(container_of(entry, struct signal_timer, entry));
	return true;
}

static int timer_init(struct signal_timer *timer, struct process *process, int32_t clock,
                      int32_t signal)
{
	timer->process = process;
	timer->clock = timer->counts_by = clock;
	timer->entry = (struct wait_entry){ .notify = timer_clock_was_set, .interest = POLLIN };
	list_node_init(&timer->entry.link);
	timer->signal = signal;
	timer->expires_ns = LOOP_NEVER;
	timer->code = SI_KERNEL;
	list_node_init(&timer->link);
	return loop_timer_create(&this_hart()->loop, &timer->timer, LOOP_PRIORITY_NORMAL,
	                         timer_fired);
}

static struct process_timers *timers_of(struct process *process)
{
	static const int32_t clocks[ITIMERS] = { CLOCK_MONOTONIC, CLOCK_USER_CPUTIME,
		                                 CLOCK_PROCESS_CPUTIME_ID };
	static const int32_t signals[ITIMERS] = { SIGALRM, SIGVTALRM, SIGPROF };
	if (process->timers)
		return process->timers;
	struct process_timers *timers = heap_alloc_zeroed(sizeof *timers);
	if (!timers)
		return NULL;
	list_init(&timers->posix);
	for (int i = 0; i < ITIMERS; i++) {
		if (timer_init(&timers->interval[i], process, clocks[i], signals[i]) == 0)
			continue;
		while (i-- > 0)
			loop_timer_destroy(&this_hart()->loop, &timers->interval[i].timer);
		heap_free(timers);
		return NULL;
	}
	process->timers = timers;
	return timers;
}

static void posix_timer_free(struct process_timers *timers, struct signal_timer *timer)
{
	list_remove(&timer->link);
	timers->posix_count--;
	timer->process->signals_queued--;
	wait_entry_remove(&timer->entry);
	loop_timer_destroy(&this_hart()->loop, &timer->timer);
	heap_free(timer);
}

/* execve keeps interval timers and deletes POSIX ones. */
void process_timers_after_exec(struct process *process)
{
	struct process_timers *timers = process->timers;
	struct list_node *node;
	while (timers && (node = list_first(&timers->posix)))
		posix_timer_free(timers, list_entry(node, struct signal_timer, link));
}

void process_timers_free(struct process *process)
{
	struct process_timers *timers = process->timers;
	if (!timers)
		return;
	process_timers_after_exec(process);
	for (int i = 0; i < ITIMERS; i++)
		loop_timer_destroy(&this_hart()->loop, &timers->interval[i].timer);
	heap_free(timers);
	process->timers = NULL;
}

/* What is left, never 0 while armed (0 means "not armed" to programs). */
static uint64_t timer_left(struct signal_timer *timer)
{
	if (timer->expires_ns == LOOP_NEVER)
		return 0;
	uint64_t now = timer_clock(timer);
	if (timer->expires_ns > now)
		return timer->expires_ns - now;
	return timer->interval_ns
	               ? timer->interval_ns - (now - timer->expires_ns) % timer->interval_ns
	               : 1;
}

static void timer_set(struct signal_timer *timer, uint64_t value_ns, uint64_t interval_ns,
                      bool absolute)
{
	timer->interval_ns = interval_ns;
	timer->rest_ns = 0;
	timer->overruns = 0;
	timer->overruns_reported = 0;
	bool wall = clock_is_wall(timer->clock);
	timer->counts_by = wall && !absolute ? CLOCK_MONOTONIC : timer->clock;
	wait_entry_remove(&timer->entry);
	if (wall && absolute)
		wait_queue_add(&wall_clock_set, &timer->entry);
	if (!value_ns)
		timer->expires_ns = LOOP_NEVER;
	else
		timer->expires_ns = absolute ? value_ns : timer_clock(timer) + value_ns;
	timer_arm(timer);
}

/* ---- setitimer ---- */

struct user_itimerval {
	struct user_timeval interval, value;
};

static int timeval_ns(const struct user_timeval *time, uint64_t *out_ns)
{
	if (time->seconds < 0 || (uint64_t)time->microseconds >= 1000000)
		return -EINVAL;
	uint64_t seconds = (uint64_t)time->seconds;
	if (seconds > UINT32_MAX)
		seconds = UINT32_MAX;
	*out_ns = seconds * NANOSECONDS + (uint64_t)time->microseconds * 1000;
	return 0;
}

/* Rounded up: a timer that runs is never reported as stopped. */
static struct user_timeval timeval_up(uint64_t nanoseconds)
{
	uint64_t microseconds = (nanoseconds + 999) / 1000;
	return (struct user_timeval){ (int64_t)(microseconds / 1000000),
		                      (int64_t)(microseconds % 1000000) };
}

static long itimer_report(struct process *process, uint64_t which, uint64_t to)
{
	struct user_itimerval old = { 0 };
	if (process->timers) {
		struct signal_timer *timer = &process->timers->interval[which];
		old.value = timeval_up(timer_left(timer));
		old.interval = timeval_up(timer->interval_ns);
	}
	return copy_to_user(user(to), &old, sizeof old);
}

long sys_getitimer(struct thread *thread, const uint64_t *argument)
{
	uint64_t which = (uint32_t)argument[0];
	return which < ITIMERS ? itimer_report(thread->process, which, argument[1]) : -EINVAL;
}

long sys_setitimer(struct thread *thread, const uint64_t *argument)
{
	uint64_t which = (uint32_t)argument[0], value_ns = 0, interval_ns = 0;
	struct user_itimerval new;
	if (which >= ITIMERS)
		return -EINVAL;
	if (argument[1]) {
		if (copy_from_user(&new, user(argument[1]), sizeof new))
			return -EFAULT;
		if (timeval_ns(&new.value, &value_ns) || timeval_ns(&new.interval, &interval_ns))
			return -EINVAL;
	}
	if (argument[2]) {
		long error = itimer_report(thread->process, which, argument[2]);
		if (error)
			return error;
	}
	struct process_timers *timers = timers_of(thread->process);
	if (!timers)
		return -ENOMEM;
	timer_set(&timers->interval[which], value_ns, interval_ns, false);
	return 0;
}

/* ---- timer_create ---- */

struct user_sigevent {
	uint64_t value;
	int32_t signal, notify, tid;
	uint8_t pad[44];
};

struct user_itimerspec {
	struct user_timespec interval, value;
};

static struct signal_timer *posix_timer(struct thread *thread, uint64_t identifier)
{
	struct process_timers *timers = thread->process->timers;
	if (!timers)
		return NULL;
	list_for_each(node, &timers->posix)
	{
		struct signal_timer *timer = list_entry(node, struct signal_timer, link);
		if (timer->identifier == (int32_t)identifier)
			return timer;
	}
	return NULL;
}

static int sigevent_check(struct thread *thread, const struct user_sigevent *event)
{
	if (event->notify == SIGEV_NONE)
		return 0;
	if (event->signal < 1 || event->signal > SIGNALS)
		return -EINVAL;
	if (event->notify == SIGEV_SIGNAL || event->notify == SIGEV_THREAD)
		return 0;
	struct thread *target = event->notify == SIGEV_THREAD_ID ? thread_find(event->tid) : NULL;
	return target && target->process == thread->process ? 0 : -EINVAL;
}

long sys_timer_create(struct thread *thread, const uint64_t *argument)
{
	struct user_sigevent event = { .signal = SIGALRM, .notify = SIGEV_SIGNAL };
	int32_t clock = (int32_t)argument[0];
	uint64_t now;
	if (clock_now(thread, clock, &now) || clock < 0)
		return -EINVAL;
	if (clock == CLOCK_MONOTONIC_RAW || clock == CLOCK_REALTIME_COARSE ||
	    clock == CLOCK_MONOTONIC_COARSE)
		return -ENOTSUP;
	if (argument[1] && copy_from_user(&event, user(argument[1]), sizeof event))
		return -EFAULT;
	int error = sigevent_check(thread, &event);
	if (error)
		return error;
	struct process *process = thread->process;
	struct process_timers *timers = timers_of(process);
	if (!timers || timers->posix_count >= POSIX_TIMERS_MAX ||
	    process->signals_queued >= process->limits[LIMIT_SIGPENDING].soft)
		return -EAGAIN;
	struct signal_timer *timer = heap_alloc_zeroed(sizeof *timer);
	if (!timer || timer_init(timer, process, clock, event.signal)) {
		heap_free(timer);
		return -EAGAIN;
	}
	timer->identifier = timers->next_identifier++;
	timer->code = SI_TIMER;
	timer->notify = event.notify;
	timer->target_tid = event.notify == SIGEV_THREAD_ID ? event.tid : thread->tid;
	timer->value = argument[1] ? event.value : (uint64_t)timer->identifier;
	list_push_back(&timers->posix, &timer->link);
	timers->posix_count++;
	process->signals_queued++;
	if (user_store_u32(user(argument[2]), (uint32_t)timer->identifier)) {
		posix_timer_free(timers, timer);
		return -EFAULT;
	}
	return 0;
}

static long timer_report(struct signal_timer *timer, uint64_t to)
{
	uint64_t left = timer_left(timer);
	if (timespec_to_user(user(to), timer->interval_ns) ||
	    timespec_to_user(user(to + sizeof(struct user_timespec)), left))
		return -EFAULT;
	return 0;
}

long sys_timer_settime(struct thread *thread, const uint64_t *argument)
{
	struct signal_timer *timer = posix_timer(thread, argument[0]);
	uint64_t value_ns, interval_ns;
	if (!argument[2])
		return -EINVAL;
	int error = timespec_from_user(user(argument[2]), &interval_ns);
	if (!error)
		error = timespec_from_user(user(argument[2] + sizeof(struct user_timespec)),
		                           &value_ns);
	if (error)
		return error;
	if (!timer)
		return -EINVAL;
	if (argument[3] && timer_report(timer, argument[3]))
		return -EFAULT;
	timer_set(timer, value_ns, interval_ns, argument[1] & TIMER_ABSTIME);
	return 0;
}

long sys_timer_gettime(struct thread *thread, const uint64_t *argument)
{
	struct signal_timer *timer = posix_timer(thread, argument[0]);
	return timer ? timer_report(timer, argument[1]) : -EINVAL;
}

long sys_timer_getoverrun(struct thread *thread, const uint64_t *argument)
{
	struct signal_timer *timer = posix_timer(thread, argument[0]);
	if (!timer)
		return -EINVAL;
	return timer->overruns_reported < INT32_MAX ? (long)timer->overruns_reported : INT32_MAX;
}

long sys_timer_delete(struct thread *thread, const uint64_t *argument)
{
	struct signal_timer *timer = posix_timer(thread, argument[0]);
	if (!timer)
		return -EINVAL;
	posix_timer_free(thread->process->timers, timer);
	return 0;
}
