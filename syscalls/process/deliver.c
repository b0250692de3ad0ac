/* Delivery: what happens to pending signals just before a thread returns to user mode; default
 * actions; stop and continue. */
#include "syscalls/process/internal.h"

/* Signals whose default action would write a core file on Linux; the status says "no core" here. */
static void die(struct thread *thread, const struct signal_information *information)
{
	struct process *process = thread->process;
	const uint64_t *x = thread->task.registers.x;
	if (information->number == SIGSEGV || information->number == SIGBUS ||
	    information->number == SIGILL || information->number == SIGTRAP ||
	    information->number == SIGFPE)
		log_warning("%s (%d/%d) ends by signal %d: code %d, address 0x%lx, pc 0x%lx, ra "
		            "0x%lx, sp 0x%lx",
		            process->name, process->pid, thread->tid, information->number,
		            information->code, information->address, x[REG_PC], x[REG_RA],
		            x[REG_SP]);
	process_exit(process, information->number);
}

void signal_stop_process(struct process *process, int number)
{
	if (process->stopped)
		return;
	process->stopped = true;
	process->stop_signal = number;
	process->stop_reported = false;
	process->continued = false;
	list_for_each(node, &process->threads) list_entry(node, struct thread, process_link)
	        ->task.return_work = true;
	process_notify_parent(process, CLD_STOPPED, number);
}

void signal_continue_process(struct process *process)
{
	if (!process->stopped)
		return;
	process->stopped = false;
	process->continued = true;
	list_for_each(node, &process->threads)
	{
		struct thread *thread = list_entry(node, struct thread, process_link);
		if (!thread->stopped)
			continue;
		thread->stopped = false;
		thread->task.return_work = true;
		task_make_runnable(&thread->task);
	}
	process_notify_parent(process, CLD_CONTINUED, SIGCONT);
}

/* An interrupted call starts again: the program counter goes back onto the ecall. */
static void restart(struct thread *thread)
{
	thread->restart_call = 0;
	thread->task.registers.x[REG_PC] -= 4;
	thread->task.registers.x[REG_A0] = thread->first_argument;
}

static void run_handler(struct thread *thread, struct signal_information *information,
                        struct signal_action *action)
{
	if (thread->restart_call == ERESTARTSYS && action->flags & SA_RESTART)
		restart(thread);
	thread->restart_call = 0;
	thread->restart_deadline_ns = 0;
	signal_set mask = thread->restore_blocked ? thread->saved_blocked : thread->blocked;
	struct signal_action taken = *action;
	if (!signal_frame_push(thread, information, &taken, mask)) {
		struct signal_information fault = { .number = SIGSEGV,
			                            .code = SI_KERNEL,
			                            .address = thread->task.registers.x[REG_SP] };
		die(thread, &fault);
		return;
	}
	thread->restore_blocked = false;
	if (action->flags & SA_RESETHAND)
		action->handler = SIGNAL_DEFAULT;
	thread->blocked |= taken.mask;
	if (!(taken.flags & SA_NODEFER))
		thread->blocked |= SIGNAL_BIT(information->number);
	thread->blocked &= ~SIGNALS_UNBLOCKABLE;
}

/* One signal; false when the thread will not return to user mode now. */
static bool deliver(struct thread *thread, struct signal_information *information)
{
	struct process *process = thread->process;
	int number = information->number;
	struct signal_action *action = &process->actions->action[number - 1];
	if (number != SIGKILL && signal_spares(process, information))
		return true;
	if (number == SIGKILL) {
		die(thread, information);
		return false;
	}
	if (action->handler != SIGNAL_DEFAULT) {
		run_handler(thread, information, action);
		return !thread->ended;
	}
	if (SIGNALS_STOPPING & SIGNAL_BIT(number)) {
		signal_stop_process(process, number);
		return true;
	}
	die(thread, information);
	return false;
}

void signal_before_user(struct task *task)
{
	struct thread *thread = thread_of(task);
	struct signal_information information;
	task->return_work = false;
	if (thread->ended)
		return;
	while (!thread->process->stopped && signal_take(thread, ~thread->blocked, &information))
		if (!deliver(thread, &information))
			return;
	if (thread->restart_call && !thread->process->stopped)
		restart(thread);
	if (thread->restore_blocked) {
		thread->restore_blocked = false;
		thread->blocked = thread->saved_blocked;
		signal_recompute(thread);
	}
	if (thread->process->stopped) {
		thread->stopped = true;
		task_park(task);
	}
}
