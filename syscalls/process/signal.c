/* Signals: generation, queues, and who hears of them (signal(7), POSIX.1-2017 §2.4). */
#include "syscalls/process/internal.h"

struct wait_queue signal_generated = { { { &signal_generated.entries.head,
	                                   &signal_generated.entries.head } } };

signal_set signals_pending(const struct thread *thread)
{
	return thread->pending | thread->process->pending;
}

static signal_set deliverable(const struct thread *thread)
{
	return (thread->pending | thread->process->pending) & ~thread->blocked;
}

static uint64_t handler_of(const struct process *process, int number)
{
	return process->actions->action[number - 1].handler;
}

bool signal_is_ignored(const struct process *process, int number)
{
	uint64_t handler = handler_of(process, number);
	if (handler == SIGNAL_DEFAULT)
		return (SIGNALS_IGNORED_BY_DEFAULT & SIGNAL_BIT(number)) != 0;
	return handler == SIGNAL_IGNORE;
}

bool signal_spares(const struct process *process, const struct signal_information *information)
{
	int number = information->number;
	if (signal_is_ignored(process, number))
		return true;
	bool stops = (SIGNALS_STOPPING & SIGNAL_BIT(number)) != 0;
	return process->unkillable && handler_of(process, number) == SIGNAL_DEFAULT &&
	       (stops || !information->own);
}

/* Ends the process when it arrives. */
static bool is_fatal(const struct process *process, int number)
{
	if (number == SIGKILL)
		return true;
	return handler_of(process, number) == SIGNAL_DEFAULT &&
	       !((SIGNALS_IGNORED_BY_DEFAULT | SIGNALS_STOPPING) & SIGNAL_BIT(number));
}

bool thread_has_signal(const struct thread *thread)
{
	signal_set set = deliverable(thread) | (thread->pending & thread->wanted) |
	                 (thread->process->pending & thread->wanted);
	if (__builtin_expect(!set, 1))
		return false;
	for (int number = 1; number <= SIGNALS; number++) {
		if (!(set & SIGNAL_BIT(number)))
			continue;
		if (thread->uninterruptible ? is_fatal(thread->process, number)
		                            : !signal_is_ignored(thread->process, number) ||
		                                      (thread->wanted & SIGNAL_BIT(number)))
			return true;
	}
	return false;
}

void signal_recompute(struct thread *thread)
{
	if (deliverable(thread))
		thread->task.return_work = true;
}

/* ---- queues ---- */

/* Standard signals of the kernel and of kill queue beyond the limit, as in Linux. */
static bool has_place(const struct process *process, const struct signal_information *information)
{
	return information->reserved ||
	       (information->number < SIGRTMIN && information->code >= 0) ||
	       process->signals_queued < process->limits[LIMIT_SIGPENDING].soft;
}

static int enqueue(struct process *process, struct signal_queue **queue, signal_set *pending,
                   const struct signal_information *information)
{
	int number = information->number;
	if (number < SIGRTMIN && (*pending & SIGNAL_BIT(number)))
		return 0; /* standard signals do not queue */
	struct signal_queue *entry = NULL;
	if (has_place(process, information))
		entry = heap_alloc(sizeof(*entry));
	if (!entry) {
		if (number >= SIGRTMIN && information->code != SI_USER)
			return -EAGAIN;
	} else {
		entry->next = NULL;
		entry->information = *information;
		while (*queue)
			queue = &(*queue)->next;
		*queue = entry;
		process->signals_queued += !information->reserved;
	}
	*pending |= SIGNAL_BIT(number);
	wait_queue_notify(&signal_generated, POLLIN);
	return 0;
}

/* Takes the oldest entry of `number`; the pending bit stays while more of it are queued. */
static void dequeue(struct process *process, struct signal_queue **queue, signal_set *pending,
                    int number, struct signal_information *out)
{
	*out = (struct signal_information){ .number = number, .code = SI_USER };
	bool found = false, more = false;
	for (struct signal_queue **link = queue; *link && !more;) {
		struct signal_queue *entry = *link;
		if (entry->information.number == number && !found) {
			found = true;
			*out = entry->information;
			*link = entry->next;
			heap_free(entry);
			process->signals_queued -= !out->reserved;
			continue;
		}
		more = entry->information.number == number;
		link = &entry->next;
	}
	if (!more)
		*pending &= ~SIGNAL_BIT(number);
}

void signal_queue_free(struct process *process, struct signal_queue **queue)
{
	while (*queue) {
		struct signal_queue *entry = *queue;
		*queue = entry->next;
		process->signals_queued -= !entry->information.reserved;
		heap_free(entry);
	}
}

static void discard(struct process *process, struct signal_queue **queue, signal_set *pending,
                    signal_set which)
{
	struct signal_information unused;
	for (int number = 1; number <= SIGNALS; number++)
		while (which & *pending & SIGNAL_BIT(number))
			dequeue(process, queue, pending, number, &unused);
}

void signal_discard(struct process *process, signal_set which)
{
	discard(process, &process->signal_information, &process->pending, which);
	list_for_each(node, &process->threads)
	{
		struct thread *thread = list_entry(node, struct thread, process_link);
		discard(process, &thread->signal_information, &thread->pending, which);
	}
}

int signal_take(struct thread *thread, signal_set allowed, struct signal_information *out)
{
	/* Faults first, so that their frame shows the faulting instruction; then the lowest number
	 * (signal(7)). */
	const signal_set faults = SIGNAL_BIT(SIGSEGV) | SIGNAL_BIT(SIGBUS) | SIGNAL_BIT(SIGILL) |
	                          SIGNAL_BIT(SIGTRAP) | SIGNAL_BIT(SIGFPE);
	struct process *process = thread->process;
	signal_set set = thread->pending & allowed;
	bool own = set != 0;
	if (!own)
		set = process->pending & allowed;
	if (!set)
		return 0;
	int number = __builtin_ctzll(set & faults ? set & faults : set) + 1;
	if (own)
		dequeue(process, &thread->signal_information, &thread->pending, number, out);
	else
		dequeue(process, &process->signal_information, &process->pending, number, out);
	if (out->code == SI_TIMER && process->timers)
		process_timer_delivered(process, out);
	return number;
}

/* ---- sending ---- */

static void tell(struct thread *thread)
{
	thread->task.return_work = true;
	if (thread->resume && thread_has_signal(thread))
		thread_wake(thread, WAKE_SIGNAL);
}

/* Effects at generation: continue and stop signals cancel one another, SIGCONT resumes even when
 * blocked or ignored. */
static void prepare(struct process *process, int number)
{
	if (number == SIGCONT) {
		signal_discard(process, SIGNALS_STOPPING);
		signal_continue_process(process);
	} else if (SIGNALS_STOPPING & SIGNAL_BIT(number)) {
		signal_discard(process, SIGNAL_BIT(SIGCONT));
	} else if (number == SIGKILL) {
		signal_continue_process(process);
	}
}

int signal_send_thread(struct thread *thread, const struct signal_information *information)
{
	struct process *process = thread->process;
	int number = information->number;
	if (thread->ended || process->zombie || process->exiting)
		return 0;
	prepare(process, number);
	signal_set listening = ~thread->blocked | thread->wanted;
	if (signal_spares(process, information) && (~thread->blocked & SIGNAL_BIT(number)) &&
	    !(thread->wanted & SIGNAL_BIT(number)))
		return 0;
	int result = enqueue(process, &thread->signal_information, &thread->pending, information);
	if (!result && (listening & SIGNAL_BIT(number)))
		tell(thread);
	return result;
}

/* The thread to bother: one that wants it, else the first that does not block it (the main thread
 * if it can). */
static struct thread *choose(struct process *process, int number)
{
	struct thread *chosen = NULL;
	list_for_each(node, &process->threads)
	{
		struct thread *thread = list_entry(node, struct thread, process_link);
		if (thread->ended)
			continue;
		if (thread->wanted & SIGNAL_BIT(number))
			return thread;
		if (!chosen && !(thread->blocked & SIGNAL_BIT(number)))
			chosen = thread;
	}
	return chosen;
}

int signal_send_process(struct process *process, const struct signal_information *information)
{
	int number = information->number;
	if (process->zombie || process->exiting || !process->thread_count)
		return 0;
	prepare(process, number);
	struct thread *thread = choose(process, number);
	if (thread && signal_spares(process, information) && !(thread->wanted & SIGNAL_BIT(number)))
		return 0;
	int result = enqueue(process, &process->signal_information, &process->pending, information);
	if (!result && thread)
		tell(thread);
	return result;
}

void signal_force(struct thread *thread, int number, int code, uint64_t address)
{
	struct signal_action *action = &thread->process->actions->action[number - 1];
	if (action->handler == SIGNAL_IGNORE || (thread->blocked & SIGNAL_BIT(number))) {
		action->handler = SIGNAL_DEFAULT;
		thread->blocked &= ~SIGNAL_BIT(number);
	}
	if (action->handler == SIGNAL_DEFAULT)
		thread->process->unkillable = false;
	struct signal_information information = { .number = number,
		                                  .code = code,
		                                  .address = address };
	signal_send_thread(thread, &information);
}

void signal_send_pipe(struct thread *thread)
{
	struct signal_information information = { .number = SIGPIPE,
		                                  .code = SI_USER,
		                                  .pid = thread->process->pid,
		                                  .uid = thread->process->credentials.uid };
	signal_send_thread(thread, &information);
}

/* ---- masks of calls that wait ---- */

void signal_mask_swap(struct thread *thread, signal_set mask)
{
	if (!thread->restore_blocked) {
		thread->saved_blocked = thread->blocked;
		thread->restore_blocked = true;
	}
	thread->blocked = mask & ~SIGNALS_UNBLOCKABLE;
	signal_recompute(thread);
}

void signal_mask_restore(struct thread *thread)
{
	if (!thread->restore_blocked)
		return;
	thread->restore_blocked = false;
	thread->blocked = thread->saved_blocked;
	signal_recompute(thread);
}

int signal_mask_from_user(struct thread *thread, struct user_addr mask, uint64_t bytes)
{
	signal_set set;
	if (!mask.value)
		return 0;
	if (bytes != sizeof(set))
		return -EINVAL;
	if (copy_from_user(&set, mask, sizeof(set)))
		return -EFAULT;
	signal_mask_swap(thread, set);
	return 0;
}

/* ---- actions ---- */

struct signal_actions *signal_actions_copy(const struct signal_actions *from)
{
	struct signal_actions *actions = heap_alloc_zeroed(sizeof(*actions));
	if (!actions)
		return NULL;
	if (from)
		*actions = *from;
	actions->refs = 1;
	return actions;
}

void signal_actions_put(struct signal_actions *actions)
{
	if (actions && !--actions->refs)
		heap_free(actions);
}

void signal_actions_after_exec(struct signal_actions *actions)
{
	for (int i = 0; i < SIGNALS; i++) {
		bool ignored = actions->action[i].handler == SIGNAL_IGNORE;
		actions->action[i] = (struct signal_action){ .handler = ignored ? SIGNAL_IGNORE
			                                                        : SIGNAL_DEFAULT };
	}
}
