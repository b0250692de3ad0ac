/* The signal system calls (rt_sigaction(2) and others). */
#include "syscalls/process/internal.h"

static bool is_signal(uint64_t number)
{
	return number >= 1 && number <= SIGNALS;
}

long sys_rt_sigaction(struct thread *thread, const uint64_t *argument)
{
	uint64_t number = argument[0], new = argument[1], old = argument[2];
	struct process *process = thread->process;
	if (argument[3] != sizeof(signal_set) || !is_signal(number))
		return -EINVAL;
	struct signal_action action, previous = process->actions->action[number - 1];
	if (new) {
		if (number == SIGKILL || number == SIGSTOP)
			return -EINVAL;
		if (copy_from_user(&action, user(new), sizeof(action)))
			return -EFAULT;
		action.mask &= ~SIGNALS_UNBLOCKABLE;
		process->actions->action[number - 1] = action;
		if (signal_is_ignored(process, (int)number))
			signal_discard(process, SIGNAL_BIT(number));
	}
	if (old && copy_to_user(user(old), &previous, sizeof(previous)))
		return -EFAULT;
	return 0;
}

long sys_rt_sigprocmask(struct thread *thread, const uint64_t *argument)
{
	enum { SIG_BLOCK, SIG_UNBLOCK, SIG_SETMASK };
	uint64_t how = argument[0], new = argument[1], old = argument[2];
	signal_set set, previous = thread->blocked;
	if (argument[3] != sizeof(set))
		return -EINVAL;
	if (new) {
		if (copy_from_user(&set, user(new), sizeof(set)))
			return -EFAULT;
		if ((uint32_t)how > SIG_SETMASK)
			return -EINVAL;
		signal_set blocked = (uint32_t)how == SIG_BLOCK     ? previous | set
		                     : (uint32_t)how == SIG_UNBLOCK ? previous & ~set
		                                                    : set;
		thread->blocked = blocked & ~SIGNALS_UNBLOCKABLE;
		signal_recompute(thread);
	}
	if (old && copy_to_user(user(old), &previous, sizeof(previous)))
		return -EFAULT;
	return 0;
}

long sys_rt_sigpending(struct thread *thread, const uint64_t *argument)
{
	signal_set set = (thread->pending | thread->process->pending) & thread->blocked;
	if (argument[1] > sizeof(set))
		return -EINVAL;
	return copy_to_user(user(argument[0]), &set, argument[1]);
}

static long resume_suspend(struct thread *thread, uint32_t reasons)
{
	(void)reasons;
	if (!thread_has_signal(thread)) {
		thread_park(thread, resume_suspend);
		return SYS_PARKED;
	}
	thread->task.return_work = true;
	return -ERESTARTNOHAND;
}

long sys_rt_sigsuspend(struct thread *thread, const uint64_t *argument)
{
	signal_set set;
	if (argument[1] != sizeof(set))
		return -EINVAL;
	if (copy_from_user(&set, user(argument[0]), sizeof(set)))
		return -EFAULT;
	signal_mask_swap(thread, set);
	return resume_suspend(thread, 0);
}

/* ---- waiting for signals ---- */

static long take_wanted(struct thread *thread, uint64_t to)
{
	struct signal_information information;
	uint8_t out[SIGNAL_FRAME_INFO_BYTES];
	int number = signal_take(thread, thread->wanted, &information);
	if (!number)
		return 0;
	signal_information_to_user(&information, out);
	if (to && copy_to_user(user(to), out, sizeof(out)))
		return -EFAULT;
	return number;
}

struct signal_wait {
	uint64_t to;
};

static long resume_timedwait(struct thread *thread, uint32_t reasons)
{
	struct signal_wait *wait = THREAD_PARK_STATE(thread, struct signal_wait);
	long result = reasons & WAKE_KILL ? -EINTR : take_wanted(thread, wait->to);
	if (!result)
		result = reasons & WAKE_TIMEOUT ? -EAGAIN : -EINTR;
	thread->wanted = 0;
	return result;
}

long sys_rt_sigtimedwait(struct thread *thread, const uint64_t *argument)
{
	uint64_t to = argument[1], timeout_ns = LOOP_NEVER;
	signal_set set;
	if (argument[3] != sizeof(set))
		return -EINVAL;
	if (copy_from_user(&set, user(argument[0]), sizeof(set)))
		return -EFAULT;
	if (argument[2]) {
		int error = timespec_from_user(user(argument[2]), &timeout_ns);
		if (error)
			return error;
	}
	thread->wanted = set & ~SIGNALS_UNBLOCKABLE;
	long result = take_wanted(thread, to);
	if (!result && timeout_ns == 0)
		result = -EAGAIN;
	if (!result && thread_has_signal(thread))
		result = -EINTR;
	if (result) {
		thread->wanted = 0;
		return result;
	}
	THREAD_PARK_STATE(thread, struct signal_wait)->to = to;
	thread_wait_until(thread, deadline_after(timeout_ns));
	thread_park(thread, resume_timedwait);
	return SYS_PARKED;
}

/* ---- sending ---- */

static bool may_signal(struct thread *thread, const struct process *target, int number)
{
	const struct credentials *from = &thread->process->credentials, *to = &target->credentials;
	if (thread_capable(thread, CAPABILITY_KILL))
		return true;
	if (from->euid == to->suid || from->euid == to->uid || from->uid == to->suid ||
	    from->uid == to->uid)
		return true;
	return number == SIGCONT && thread->process->session_id == target->session_id;
}

static struct signal_information sent_by(const struct thread *thread, int number, int code,
                                         uint64_t value)
{
	return (struct signal_information){ .number = number,
		                            .code = code,
		                            .pid = thread->process->pid,
		                            .uid = thread->process->credentials.uid,
		                            .value = value };
}

static int send_process(struct thread *thread, struct process *target,
                        const struct signal_information *information)
{
	if (!may_signal(thread, target, information->number))
		return -EPERM;
	return information->number ? signal_send_process(target, information) : 0;
}

/* To the process `pid` by its name. */
static int send_one(struct thread *thread, int32_t pid, struct signal_information information)
{
	struct process *target = process_find(pid);
	information.own = target == thread->process;
	return target ? send_process(thread, target, &information) : -ESRCH;
}

/* Process group `group`, or with group 0 everybody but init and the caller. */
static long send_many(struct thread *thread, int32_t group,
                      const struct signal_information *information)
{
	long result = -ESRCH;
	list_for_each_safe(node, &all_processes)
	{
		struct process *target = list_entry(node, struct process, all_link);
		bool chosen = group ? target->group_id == group
		                    : target != thread->process && target != first_process;
		if (!chosen)
			continue;
		int error = send_process(thread, target, information);
		if (!error || result == -ESRCH)
			result = error;
	}
	return result;
}

long sys_kill(struct thread *thread, const uint64_t *argument)
{
	int32_t pid = (int32_t)argument[0];
	int number = (int)argument[1];
	if (number < 0 || number > SIGNALS)
		return -EINVAL;
	if (pid > 0)
		return send_one(thread, pid, sent_by(thread, number, SI_USER, 0));
	if (pid == INT32_MIN)
		return -ESRCH;
	const struct signal_information information = sent_by(thread, number, SI_USER, 0);
	return send_many(thread,
	                 pid == 0    ? thread->process->group_id
	                 : pid == -1 ? 0
	                             : -pid,
	                 &information);
}

static long send_thread(struct thread *thread, int32_t group, int32_t tid, int number, int code,
                        uint64_t value)
{
	struct thread *target = thread_find(tid);
	if (tid <= 0 || number < 0 || number > SIGNALS)
		return -EINVAL;
	if (!target || (group && target->process->pid != group))
		return -ESRCH;
	if (!may_signal(thread, target->process, number))
		return -EPERM;
	if (!number)
		return 0;
	struct signal_information information = sent_by(thread, number, code, value);
	information.own = target->process == thread->process;
	return signal_send_thread(target, &information);
}

long sys_tkill(struct thread *thread, const uint64_t *argument)
{
	return send_thread(thread, 0, (int32_t)argument[0], (int)argument[1], SI_TKILL, 0);
}

long sys_tgkill(struct thread *thread, const uint64_t *argument)
{
	int32_t group = (int32_t)argument[0];
	if (group <= 0)
		return -EINVAL;
	return send_thread(thread, group, (int32_t)argument[1], (int)argument[2], SI_TKILL, 0);
}

/* What of a user's siginfo_t goes with the signal. */
struct given_information {
	int32_t number, code;
	uint64_t value;
};

static int copy_information(uint64_t from, struct given_information *out)
{
	uint8_t raw[32];
	if (copy_from_user(raw, user(from), sizeof(raw)))
		return -EFAULT;
	memcpy(&out->number, raw, 4);
	memcpy(&out->code, raw + 8, 4);
	memcpy(&out->value, raw + 24, 8);
	return 0;
}

/* The kernel's codes are for the kernel. */
static bool code_is_kernels(int32_t code)
{
	return code >= 0 || code == SI_TKILL;
}

static int read_information(uint64_t from, bool to_self, int *code, uint64_t *value)
{
	struct given_information given;
	int error = copy_information(from, &given);
	if (error)
		return error;
	*code = given.code;
	*value = given.value;
	return code_is_kernels(given.code) && !to_self ? -EPERM : 0;
}

long sys_rt_sigqueueinfo(struct thread *thread, const uint64_t *argument)
{
	int32_t pid = (int32_t)argument[0];
	int number = (int)argument[1], code;
	uint64_t value;
	int error = read_information(argument[2], pid == thread->process->pid, &code, &value);
	if (error)
		return error;
	if (number < 0 || number > SIGNALS)
		return -EINVAL;
	return send_one(thread, pid, sent_by(thread, number, code, value));
}

long sys_rt_tgsigqueueinfo(struct thread *thread, const uint64_t *argument)
{
	int32_t group = (int32_t)argument[0], tid = (int32_t)argument[1];
	int code;
	uint64_t value;
	int error = read_information(argument[3], tid == thread->tid, &code, &value);
	if (error)
		return error;
	if (group <= 0)
		return -EINVAL;
	return send_thread(thread, group, tid, (int)argument[2], code, value);
}

/* ---- pidfd_send_signal(2) ---- */

enum { PIDFD_SIGNAL_THREAD = 1, PIDFD_SIGNAL_THREAD_GROUP = 2, PIDFD_SIGNAL_PROCESS_GROUP = 4 };

static long send_by_pidfd(struct thread *thread, const struct pidfd *pidfd, uint32_t scope,
                          struct signal_information *information)
{
	struct process *process = pidfd->process;
	/* The number of a process that is gone still is its group's, unless somebody has it again.
	 */
	if (scope == PIDFD_SIGNAL_PROCESS_GROUP)
		return process || !process_find(pidfd->id)
		               ? send_many(thread, pidfd->id, information)
		               : -ESRCH;
	if (!process)
		return -ESRCH;
	struct thread *target = thread_find(pidfd->id);
	information->own = process == thread->process;
	if (scope == PIDFD_SIGNAL_THREAD_GROUP)
		return send_process(thread, process, information);
	if (!may_signal(thread, process, information->number))
		return -EPERM;
	/* The first thread of a process may have ended before the others. */
	return target && information->number ? signal_send_thread(target, information) : 0;
}

long sys_pidfd_send_signal(struct thread *thread, const uint64_t *argument)
{
	int number = (int)argument[1];
	uint32_t scope = (uint32_t)argument[3];
	if (scope & (scope - 1) || scope > PIDFD_SIGNAL_PROCESS_GROUP)
		return -EINVAL;
	struct file *file = thread_file(thread, argument[0]);
	const struct pidfd *pidfd = file ? pidfd_of(file) : NULL;
	if (!pidfd)
		return -EBADF;
	if (!scope)
		scope = pidfd->of_thread ? PIDFD_SIGNAL_THREAD : PIDFD_SIGNAL_THREAD_GROUP;
	int code = scope == PIDFD_SIGNAL_THREAD ? SI_TKILL : SI_USER;
	struct given_information given = { .number = number, .code = code };
	if (argument[2]) {
		int error = copy_information(argument[2], &given);
		if (error)
			return error;
		bool to_self = pidfd->process && pidfd->id == thread->tid &&
		               scope != PIDFD_SIGNAL_PROCESS_GROUP;
		if (given.number != number)
			return -EINVAL;
		if (!to_self && code_is_kernels(given.code))
			return -EPERM;
	}
	if (number < 0 || number > SIGNALS)
		return -EINVAL;
	struct signal_information information = sent_by(thread, number, given.code, given.value);
	return send_by_pidfd(thread, pidfd, scope, &information);
}
