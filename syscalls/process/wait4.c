/* wait4(2) and waitid(2): hearing of children. */
#include "syscalls/process/internal.h"

enum {
	WNOHANG = 1,
	WUNTRACED = 2,
	WEXITED = 4,
	WCONTINUED = 8,
	WNOWAIT = 0x01000000,
	WNOTHREAD = 0x20000000,
	WALL = 0x40000000,
	WCLONE = (int)0x80000000
};
enum { P_ALL, P_PID, P_PGID, P_PIDFD };

#define WAITID_BYTES 28 /* of siginfo_t, to the end of si_status */

struct child_request {
	int32_t pid;   /* > 0: this child; 0: any */
	int32_t group; /* > 0: of this process group */
	uint32_t options;
	bool is_waitid;
	bool nonblocking; /* of a pidfd: no news are -EAGAIN */
	uint64_t status_to, information_to, usage_to;
};

struct child_report {
	struct process *child;
	int code, status; /* CLD_*, and the exit code or signal */
	int wait_status;  /* as wait4 encodes it */
};

static bool matches(const struct child_request *request, const struct process *child)
{
	if (request->pid && child->pid != request->pid)
		return false;
	if (request->group && child->group_id != request->group)
		return false;
	bool clone_child = child->exit_signal != SIGCHLD;
	if (request->options & (uint32_t)WALL)
		return true;
	return clone_child == ((request->options & (uint32_t)WCLONE) != 0);
}

static bool has_news(const struct child_request *request, struct process *child,
                     struct child_report *report)
{
	report->child = child;
	if (child->zombie && (request->options & WEXITED)) {
		int signal = child->exit_status & 0x7f;
		report->code =
		        signal ? (child->exit_status & 0x80 ? CLD_DUMPED : CLD_KILLED) : CLD_EXITED;
		report->status = signal ? signal : child->exit_status >> 8 & 0xff;
		report->wait_status = child->exit_status;
		return true;
	}
	if (child->stopped && !child->stop_reported && (request->options & WUNTRACED)) {
		report->code = CLD_STOPPED;
		report->status = child->stop_signal;
		report->wait_status = child->stop_signal << 8 | 0x7f;
		return true;
	}
	if (child->continued && (request->options & WCONTINUED)) {
		report->code = CLD_CONTINUED;
		report->status = SIGCONT;
		report->wait_status = 0xffff;
		return true;
	}
	return false;
}

static int write_usage(uint64_t to, const struct process *child)
{
	uint64_t usage[18] = { 0 };
	uint64_t user_ns = child->user_ns + child->child_user_ns,
	         system_ns = child->system_ns + child->child_system_ns;
	usage[0] = user_ns / NANOSECONDS;
	usage[1] = user_ns % NANOSECONDS / 1000;
	usage[2] = system_ns / NANOSECONDS;
	usage[3] = system_ns % NANOSECONDS / 1000;
	usage[4] = child->peak_resident_pages * (PAGE_SIZE / 1024);
	usage[8] = child->minor_faults;
	return copy_to_user(user(to), usage, sizeof(usage));
}

/* 0, or -EFAULT before the child is consumed. */
static int write_report(const struct child_request *request, const struct child_report *report)
{
	if (request->status_to &&
	    user_store_u32(user(request->status_to), (uint32_t)report->wait_status))
		return -EFAULT;
	if (request->usage_to && write_usage(request->usage_to, report->child))
		return -EFAULT;
	if (request->information_to) {
		struct signal_information information = { .number = SIGCHLD,
			                                  .code = report->code,
			                                  .pid = report->child->pid,
			                                  .uid = report->child->credentials.uid,
			                                  .status = report->status };
		uint8_t out[SIGNAL_FRAME_INFO_BYTES];
		signal_information_to_user(&information, out);
		if (copy_to_user(user(request->information_to), out, WAITID_BYTES))
			return -EFAULT;
	}
	return 0;
}

static long consume(struct process *parent, const struct child_request *request,
                    const struct child_report *report)
{
	struct process *child = report->child;
	int32_t pid = child->pid;
	int error = write_report(request, report);
	if (error)
		return error;
	if (!(request->options & WNOWAIT)) {
		if (report->code == CLD_STOPPED)
			child->stop_reported = true;
		else if (report->code == CLD_CONTINUED)
			child->continued = false;
		else
			process_reap(child);
	}
	(void)parent;
	return request->is_waitid ? 0 : pid;
}

/* The result, -ECHILD, or 0 with *found false: children, but no news. */
static long look(struct thread *thread, const struct child_request *request, bool *found)
{
	struct process *process = thread->process;
	bool any = false, ended = request->options & WEXITED;
	*found = false;
	list_for_each(node, &process->children)
	{
		struct process *child = list_entry(node, struct process, sibling_link);
		struct child_report report;
		if (!matches(request, child))
			continue;
		any |= ended || !child->zombie; /* of a zombie there is nothing else to hear */
		if (!has_news(request, child, &report))
			continue;
		*found = true;
		return consume(process, request, &report);
	}
	return any ? 0 : -ECHILD;
}

/* waitid with nobody to tell of: si_pid and si_signo read 0, also when it fails. */
static long tell_of_nobody(uint64_t to, long result)
{
	static const uint8_t zeros[WAITID_BYTES];
	return to && copy_to_user(user(to), zeros, sizeof(zeros)) ? -EFAULT : result;
}

static long wait_for_child(struct thread *thread, const struct child_request *request);

static long resume_wait(struct thread *thread, uint32_t reasons)
{
	struct child_request request = *THREAD_PARK_STATE(thread, struct child_request);
	if (reasons & WAKE_KILL)
		return -EINTR;
	if (reasons & WAKE_SIGNAL) {
		bool found;
		long result = look(thread, &request, &found);
		return found || result ? result : -ERESTARTSYS;
	}
	return wait_for_child(thread, &request);
}

static long wait_for_child(struct thread *thread, const struct child_request *request)
{
	bool found;
	long result = look(thread, request, &found);
	if (result && !found)
		return tell_of_nobody(request->information_to, result);
	if (found)
		return result;
	if (request->options & WNOHANG)
		return tell_of_nobody(request->information_to, 0);
	if (request->nonblocking)
		return tell_of_nobody(request->information_to, -EAGAIN);
	if (thread_has_signal(thread))
		return -ERESTARTSYS;
	*THREAD_PARK_STATE(thread, struct child_request) = *request;
	thread_wait_on(thread, &thread->process->child_wait, POLLIN, false);
	thread_park(thread, resume_wait);
	return SYS_PARKED;
}

long sys_wait4(struct thread *thread, const uint64_t *argument)
{
	int32_t pid = (int32_t)argument[0];
	uint32_t options = (uint32_t)argument[2];
	if (options & ~(uint32_t)(WNOHANG | WUNTRACED | WCONTINUED | WNOTHREAD | WALL | WCLONE))
		return -EINVAL;
	if (pid == INT32_MIN)
		return -ESRCH;
	struct child_request request = {
		.pid = pid > 0 ? pid : 0,
		.group = pid < -1   ? -pid
		         : pid == 0 ? thread->process->group_id
		                    : 0,
		.options = options | WEXITED,
		.status_to = argument[1],
		.usage_to = argument[3],
	};
	return wait_for_child(thread, &request);
}

static int choose_by_pidfd(struct thread *thread, int32_t descriptor, struct child_request *request)
{
	if (descriptor < 0)
		return -EINVAL;
	struct file *file = thread_file(thread, (uint64_t)descriptor);
	const struct pidfd *pidfd = file ? pidfd_of(file) : NULL;
	if (!pidfd)
		return -EBADF;
	request->pid = pidfd->process ? pidfd->id : -1; /* nobody's */
	request->nonblocking = file->flags & O_NONBLOCK;
	return 0;
}

static int choose_children(struct thread *thread, uint32_t type, int32_t id,
                           struct child_request *request)
{
	const uint32_t any = WEXITED | WUNTRACED | WCONTINUED;
	const uint32_t known = any | WNOHANG | WNOWAIT | WNOTHREAD | WALL | (uint32_t)WCLONE;
	if (request->options & ~known || !(request->options & any))
		return -EINVAL;
	switch (type) {
	case P_ALL:
		return 0;
	case P_PID:
		request->pid = id;
		return id <= 0 ? -EINVAL : 0;
	case P_PGID:
		request->group = id ? id : thread->process->group_id;
		return id < 0 ? -EINVAL : 0;
	case P_PIDFD:
		return choose_by_pidfd(thread, id, request);
	default:
		return -EINVAL;
	}
}

long sys_waitid(struct thread *thread, const uint64_t *argument)
{
	struct child_request request = { .options = (uint32_t)argument[3],
		                         .is_waitid = true,
		                         .information_to = argument[2],
		                         .usage_to = argument[4] };
	int error = choose_children(thread, (uint32_t)argument[0], (int32_t)argument[1], &request);
	return error ? tell_of_nobody(request.information_to, error)
	             : wait_for_child(thread, &request);
}
