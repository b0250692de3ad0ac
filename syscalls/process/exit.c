/*
 * The end of threads and processes. A thread ends in its own system call or signal delivery; the
 * other threads of a process that ends are taken from wherever they wait. The last one out makes
 * the process a zombie and tells its parent.
 */
#include "syscalls/process/internal.h"

static void free_dead_threads(struct loop *loop, struct loop_watcher *watcher, uint32_t events);
static struct list dead_threads = { { &dead_threads.head, &dead_threads.head } };
static struct loop_watcher reaper = { .pending = { &reaper.pending, &reaper.pending },
	                              .callback = free_dead_threads,
	                              .priority = LOOP_PRIORITY_DEFERRED };
static struct loop_timer power_off;
static int machine_status;

static void free_dead_threads(struct loop *loop, struct loop_watcher *watcher, uint32_t events)
{
	(void)loop, (void)watcher, (void)events;
	struct list_node *node;
	while ((node = list_pop_front(&dead_threads)))
		heap_free(list_entry(node, struct thread, process_link));
}

/* What was written just before the end leaves the machine first. */
#define POWER_OFF_DELAY_NS 2000000

static void end_machine(struct loop *loop, struct loop_watcher *watcher, uint32_t events)
{
	(void)watcher, (void)events;
	loop_flush(loop);
	machine_exit((uint8_t)machine_status);
}

static void first_process_ended(int wait_status)
{
	struct hart *hart = this_hart();
	int signal = wait_status & 0x7f;
	machine_status = signal ? 128 + signal : wait_status >> 8;
	if (loop_timer_create(&hart->loop, &power_off, LOOP_PRIORITY_DEFERRED, end_machine))
		machine_exit((uint8_t)machine_status);
	loop_timer_arm(&hart->loop, &power_off, deadline_after(POWER_OFF_DELAY_NS));
}

void process_vfork_release(struct process *process)
{
	struct thread *waiter = process->vfork_parent;
	process->vfork_parent = NULL;
	if (waiter)
		thread_wake(waiter, WAKE_EVENT);
}

void process_notify_parent(struct process *process, int code, int status)
{
	struct process *parent = process->parent;
	if (!parent || parent->zombie)
		return;
	struct signal_information information = {
		.number = process->exit_signal ? process->exit_signal : SIGCHLD,
		.code = code,
		.pid = process->pid,
		.uid = process->credentials.uid,
		.status = status,
	};
	bool ended = code <= CLD_DUMPED;
	bool wanted = ended ? process->exit_signal != 0
	                    : !(parent->actions->action[SIGCHLD - 1].flags & SA_NOCLDSTOP);
	if (wanted)
		signal_send_process(parent, &information);
	wait_queue_notify(&parent->child_wait, POLLIN);
}

/* True: nobody waits for its status, it vanishes at once (wait(2), "Notes"). */
static bool reaps_itself(const struct process *process)
{
	const struct process *parent = process->parent;
	if (!parent || parent->zombie)
		return true;
	const struct signal_action *action = &parent->actions->action[SIGCHLD - 1];
	return process->exit_signal == SIGCHLD &&
	       (action->handler == SIGNAL_IGNORE || (action->flags & SA_NOCLDWAIT));
}

static void hand_over_children(struct process *process)
{
	struct process *heir = first_process && !first_process->exiting ? first_process : NULL;
	list_for_each_safe(node, &process->children)
	{
		struct process *child = list_entry(node, struct process, sibling_link);
		list_remove(&child->sibling_link);
		child->parent = heir;
		if (child->parent_death_signal && !child->zombie) {
			struct signal_information information = {
				.number = child->parent_death_signal,
				.code = SI_USER,
				.pid = process->pid
			};
			signal_send_process(child, &information);
		}
		if (!heir) {
			if (child->zombie)
				process_vanish(child);
			continue;
		}
		list_push_back(&heir->children, &child->sibling_link);
		child->exit_signal = SIGCHLD;
		if (child->zombie) {
			if (reaps_itself(child))
				process_vanish(child);
			else
				process_notify_parent(child, CLD_EXITED, child->exit_status >> 8);
		}
	}
}

static void process_ended(struct process *process)
{
	int status = process->exit_status, signal = status & 0x7f;
	process->exiting = true;
	process_vfork_release(process);
	process_become_zombie(process);
	pidfd_thread_ended(process, process->pid);
	hand_over_children(process);
	if (process == first_process) {
		first_process_ended(status);
		return;
	}
	bool vanishes = reaps_itself(process);
	if (signal)
		process_notify_parent(process, status & 0x80 ? CLD_DUMPED : CLD_KILLED, signal);
	else
		process_notify_parent(process, CLD_EXITED, (status >> 8) & 0xff);
	if (vanishes)
		process_vanish(process);
}

void thread_exit(struct thread *thread)
{
	struct process *process = thread->process;
	KASSERT(!thread->ended);
	thread->ended = true;
	thread_abandon_call(thread);
	task_activate_memory(&thread->task);
	futex_thread_exit(thread, !process->exiting);
	task_fp_forget(&thread->task);
	uint64_t total = task_cpu_ns(&thread->task);
	uint64_t system = thread->task.system_ns < total ? thread->task.system_ns : total;
	process->system_ns += system;
	process->user_ns += total - system;
	task_kill(&thread->task);
	thread_waiting_destroy(thread);
	signal_queue_free(process, &thread->signal_information);
	list_remove(&thread->process_link);
	list_remove(&thread->hash_link);
	pidfd_thread_ended(process, thread->tid);
	list_push_back(&dead_threads, &thread->process_link);
	loop_post(&thread->task.hart->loop, &reaper, 1);
	if (--process->thread_count == 0)
		process_ended(process);
}

void process_kill_other_threads(struct process *process, struct thread *survivor)
{
	list_for_each_safe(node, &process->threads)
	{
		struct thread *thread = list_entry(node, struct thread, process_link);
		if (thread != survivor)
			thread_exit(thread);
	}
}

void process_exit(struct process *process, int wait_status)
{
	if (process->exiting)
		return;
	process->exiting = true;
	process->exit_status = wait_status;
	struct thread *self = NULL;
	list_for_each(node, &process->threads)
	{
		struct thread *thread = list_entry(node, struct thread, process_link);
		if (thread == current_thread())
			self = thread;
	}
	if (self) {
		process_kill_other_threads(process, self);
		thread_exit(self);
	} else {
		for (uint32_t left = process->thread_count; left; left--)
			thread_exit(list_entry(list_first(&process->threads), struct thread,
			                       process_link));
	}
}

long sys_exit(struct thread *thread, const uint64_t *argument)
{
	struct process *process = thread->process;
	if (process->thread_count == 1)
		process->exit_status = (int)(argument[0] & 0xff) << 8;
	thread_exit(thread);
	return SYS_PARKED;
}

long sys_exit_group(struct thread *thread, const uint64_t *argument)
{
	process_exit(thread->process, (int)(argument[0] & 0xff) << 8);
	return SYS_PARKED;
}

long sys_reboot(struct thread *thread, const uint64_t *argument)
{
	const uint32_t magic = 0xfee1dead, halt = 0xcdef0123, power_off_now = 0x4321fedc,
	               restart = 0x01234567, keyboard_on = 0x89abcdef, keyboard_off = 0;
	uint32_t command = (uint32_t)argument[2];
	if (!thread_capable(thread, CAPABILITY_SYS_BOOT))
		return -EPERM;
	if ((uint32_t)argument[0] != magic)
		return -EINVAL;
	if (command == keyboard_on || command == keyboard_off)
		return 0;
	if (command != halt && command != power_off_now && command != restart)
		return -EINVAL;
	machine_exit(0);
}
