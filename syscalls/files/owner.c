/* Signals of files: O_ASYNC, the owner that hears of them, and SIGURG (fcntl(2)). The owner is one
 * more listener on the file's wait queue. As on Linux, readiness itself sends nothing: each event
 * does, once. */
#include "syscalls/files/owner.h"

#include <errno.h>

#include "core/user.h"
#include "syscalls/process.h"

enum { SIGURG = 23, SIGIO = 29 };
enum { SI_KERNEL = 0x80, SI_SIGIO = -5 };
/* si_code (asm-generic/siginfo.h) */
enum reason { POLL_NONE, POLL_IN, POLL_OUT, POLL_MSG, POLL_ERR, POLL_PRI, POLL_HUP };

enum owner_type { OWNER_THREAD, OWNER_PROCESS, OWNER_GROUP };
struct owner_ex { /* struct f_owner_ex */
	int32_t type, id;
};

/* Made when it is first needed; lives as long as the file. */
struct file_owner {
	struct wait_entry entry; /* on file->waiters */
	struct file *file;
	struct owner_ex who; /* id 0: nobody */
	uint64_t started_ns; /* of the process: another may get its number later */
	uint32_t uid, euid;  /* of whoever chose the owner */
	int32_t descriptor;  /* through which O_ASYNC was set: si_fd */
	uint8_t signal;      /* F_SETSIG; 0: SIGIO without details */
	bool asynchronous;   /* O_ASYNC was set: not by open(2), where it has no effect */
};

/* ---- sending ---- */

static bool may_signal(const struct file_owner *owner, const struct credentials *to)
{
	return owner->euid == 0 || owner->euid == to->suid || owner->euid == to->uid ||
	       owner->uid == to->suid || owner->uid == to->uid;
}

/* To the thread, or, when that is NULL, to the process. */
static int send(struct process *process, struct thread *thread,
                const struct signal_information *information)
{
	return thread ? signal_send_thread(thread, information)
	              : signal_send_process(process, information);
}

static void send_urgent(struct process *process, struct thread *thread)
{
	struct signal_information urgent = { .number = SIGURG, .code = SI_KERNEL };
	send(process, thread, &urgent);
}

/* With details when F_SETSIG chose a signal; SIGIO when that cannot be queued. */
static void send_details(const struct file_owner *owner, struct process *process,
                         struct thread *thread, enum reason reason)
{
	static const uint16_t bands[] = {
		[POLL_IN] = POLLIN | POLLRDNORM,
		[POLL_OUT] = POLLOUT | POLLWRNORM | POLLWRBAND,
		[POLL_ERR] = POLLERR,
		[POLL_PRI] = POLLPRI | POLLRDBAND,
		[POLL_HUP] = POLLHUP | POLLERR,
	};
	int number = owner->signal;
	struct signal_information details = { .number = number,
		                              .code = signal_has_own_codes(number) ? SI_SIGIO
		                                                                   : (int)reason,
		                              .band = bands[reason],
		                              .descriptor = owner->descriptor };
	struct signal_information plain = { .number = SIGIO, .code = SI_KERNEL };
	if (!number || send(process, thread, &details))
		send(process, thread, &plain);
}

static void tell(const struct file_owner *owner, struct process *process, struct thread *thread,
                 enum reason reason)
{
	if (!may_signal(owner, &process->credentials))
		return;
	if (reason == POLL_PRI)
		send_urgent(process, thread);
	if (owner->asynchronous && (reason != POLL_PRI || owner->signal))
		send_details(owner, process, thread, reason);
}

/* The process of that number, or the thread's; NULL: there is none. */
static struct process *process_of(int32_t id)
{
	struct process *process = process_find(id);
	struct thread *thread = process ? NULL : thread_find(id);
	return thread ? thread->process : process;
}

/* The owner's, unless it is gone, or a group. */
static struct process *owner_process(const struct file_owner *owner)
{
	struct process *process = owner->who.type == OWNER_GROUP ? NULL : process_of(owner->who.id);
	return process && process->start_ns == owner->started_ns ? process : NULL;
}

static void tell_owner(const struct file_owner *owner, enum reason reason)
{
	struct process *process = owner_process(owner);
	struct thread *thread = owner->who.type == OWNER_THREAD ? thread_find(owner->who.id) : NULL;
	if (process && (thread || owner->who.type == OWNER_PROCESS))
		tell(owner, process, thread, reason);
	if (owner->who.type != OWNER_GROUP || !owner->who.id)
		return;
	list_for_each_safe(node, &all_processes)
	{
		process = list_entry(node, struct process, all_link);
		if (process->group_id == owner->who.id)
			tell(owner, process, NULL, reason);
	}
}

/* What Linux says of an event, POLL_NONE: nothing. POLLHUP without POLLERR is the doing of the
 * caller's own shutdown. */
static enum reason reason_of(struct file *file, uint32_t events)
{
	if (events & FILE_TELL)
		return events & FILE_TELL_IN    ? POLL_IN
		       : events & FILE_TELL_OUT ? POLL_OUT
		       : events & FILE_TELL_HUP ? POLL_HUP
		                                : POLL_NONE;
	if (events & POLLERR)
		return file_poll(file) & POLLERR ? POLL_ERR : POLL_NONE;
	if (events & POLLHUP)
		return POLL_NONE;
	if (events & POLLPRI) /* announced, or here: an ordinary event */
		return file_poll(file) & POLLPRI ? POLL_IN : POLL_PRI;
	return events & POLLIN ? POLL_IN : POLL_OUT;
}

static bool owner_notified(struct wait_entry *entry, uint32_t events)
{
	struct file_owner *owner = container_of(entry, struct file_owner, entry);
	if (!owner->asynchronous && !(events & POLLPRI))
		return false;
	/* The peer's FIN is told twice: that it came, and that there is something to read. */
	const uint32_t others = POLLERR | POLLHUP | FILE_TELL;
	if (events & POLLRDHUP && !(events & others))
		tell_owner(owner, file_poll(owner->file) & POLLHUP ? POLL_HUP : POLL_IN);
	enum reason reason = reason_of(owner->file, events);
	if (reason != POLL_NONE)
		tell_owner(owner, reason);
	return true;
}

/* ---- the owner ---- */

/* The file's, made now if there was none. NULL: no memory. */
static struct file_owner *owner_of(struct file *file)
{
	if (file->owner)
		return file->owner;
	struct file_owner *owner = heap_alloc_zeroed(sizeof(*owner));
	if (!owner)
		return NULL;
	owner->file = file;
	owner->entry.notify = owner_notified;
	owner->entry.interest = POLLIN | POLLPRI | POLLOUT | FILE_TELL;
	list_node_init(&owner->entry.link);
	wait_queue_add(&file->waiters, &owner->entry);
	return file->owner = owner;
}

void file_owner_free(struct file *file)
{
	wait_entry_remove(&file->owner->entry);
	heap_free(file->owner);
	file->owner = NULL;
}

static bool is_group(int32_t id)
{
	list_for_each(node, &all_processes)
	{
		if (list_entry(node, struct process, all_link)->group_id == id)
			return true;
	}
	return false;
}

static int choose(struct file *file, struct owner_ex who)
{
	struct process *process = process_of(who.id);
	if (who.id && !process && !is_group(who.id))
		return -ESRCH;
	struct file_owner *owner = owner_of(file);
	if (!owner)
		return -ENOMEM;
	owner->who = who;
	owner->started_ns = process ? process->start_ns : 0;
	if (who.id) {
		owner->uid = current_thread()->process->credentials.uid;
		owner->euid = current_thread()->process->credentials.euid;
	}
	return 0;
}

int file_set_owner(struct file *file, int32_t who)
{
	if (who == INT32_MIN)
		return -EINVAL;
	return choose(file, who < 0 ? (struct owner_ex){ OWNER_GROUP, -who }
	                            : (struct owner_ex){ OWNER_PROCESS, who });
}

static bool exists(const struct file_owner *owner)
{
	if (owner->who.type == OWNER_GROUP)
		return is_group(owner->who.id);
	/* A thread hears of its file as a process would, but is not shown as one. */
	return owner_process(owner) &&
	       (owner->who.type == OWNER_THREAD ? thread_find(owner->who.id) != NULL
	                                        : process_find(owner->who.id) != NULL);
}

/* Of an owner that is gone only the type is told. */
static struct owner_ex get_owner(const struct file *file)
{
	const struct file_owner *owner = file->owner;
	if (!owner)
		return (struct owner_ex){ OWNER_THREAD, 0 };
	return (struct owner_ex){ owner->who.type, exists(owner) ? owner->who.id : 0 };
}

int32_t file_get_owner(const struct file *file)
{
	struct owner_ex who = get_owner(file);
	return who.type == OWNER_GROUP ? -who.id : who.id;
}

long file_set_owner_extended(struct file *file, struct user_addr from)
{
	struct owner_ex who;
	if (copy_from_user(&who, from, sizeof(who)))
		return -EFAULT;
	if (who.type < OWNER_THREAD || who.type > OWNER_GROUP)
		return -EINVAL;
	return choose(file, who);
}

long file_get_owner_extended(const struct file *file, struct user_addr to)
{
	struct owner_ex who = get_owner(file);
	return copy_to_user(to, &who, sizeof(who));
}

int file_set_signal(struct file *file, uint64_t number)
{
	if (number > SIGNALS)
		return -EINVAL;
	struct file_owner *owner = owner_of(file);
	if (!owner)
		return -ENOMEM;
	owner->signal = (uint8_t)number;
	return 0;
}

int file_get_signal(const struct file *file)
{
	return file->owner ? file->owner->signal : 0;
}

int file_set_async(struct file *file, int descriptor, bool on)
{
	struct file_owner *owner = on ? owner_of(file) : file->owner;
	if (!on) {
		/* As Linux: a flag from open(2), where it has no effect, stays. */
		if (owner && owner->asynchronous)
			file->flags &= ~(uint32_t)O_ASYNC;
		if (owner)
			owner->asynchronous = false;
		return 0;
	}
	if (!owner)
		return -ENOMEM;
	owner->asynchronous = true;
	owner->descriptor = descriptor;
	file->flags |= O_ASYNC;
	if (!owner->who.id && file->operations->async_owner)
		file_set_owner(file, file->operations->async_owner());
	return 0;
}
