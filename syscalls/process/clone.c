/* clone(2), clone3(2): threads and processes. */
#include "syscalls/process/internal.h"

enum {
	CLONE_VM = 0x100,
	CLONE_FS = 0x200,
	CLONE_FILES = 0x400,
	CLONE_SIGHAND = 0x800,
	CLONE_PIDFD = 0x1000,
	CLONE_PTRACE = 0x2000,
	CLONE_VFORK = 0x4000,
	CLONE_PARENT = 0x8000,
	CLONE_THREAD = 0x10000,
	CLONE_NEWNS = 0x20000,
	CLONE_SYSVSEM = 0x40000,
	CLONE_SETTLS = 0x80000,
	CLONE_PARENT_SETTID = 0x100000,
	CLONE_CHILD_CLEARTID = 0x200000,
	CLONE_DETACHED = 0x400000,
	CLONE_UNTRACED = 0x800000,
	CLONE_CHILD_SETTID = 0x1000000,
	CLONE_IO = (int)0x80000000
};
#define CLONE_NEW_ANY                                                                              \
	0x7e020080ull /* namespaces: NEWTIME NEWNS NEWCGROUP NEWUTS NEWIPC NEWUSER NEWPID NEWNET   \
	               */
#define CLONE_CLEAR_SIGHAND 0x100000000ull

struct clone_request {
	uint64_t flags, stack, parent_tid, child_tid, tls, pidfd;
	int exit_signal;
};

/* struct clone_args of uapi/linux/sched.h, version 2 */
struct clone_arguments {
	uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_bytes, tls, set_tid,
	        set_tid_count, cgroup;
};

static int check(const struct clone_request *request)
{
	uint64_t flags = request->flags;
	if (flags & CLONE_NEW_ANY)
		return -EINVAL;
	bool clash = flags & CLONE_PARENT_SETTID && request->pidfd == request->parent_tid;
	if (flags & CLONE_PIDFD && (flags & CLONE_DETACHED || clash))
		return -EINVAL;
	if ((flags & CLONE_THREAD) && !(flags & CLONE_SIGHAND))
		return -EINVAL;
	if ((flags & CLONE_SIGHAND) && (!(flags & CLONE_VM) || (flags & CLONE_CLEAR_SIGHAND)))
		return -EINVAL;
	return 0;
}

/* RLIMIT_NPROC counts the threads of the real user; root and the privileged may exceed it
 * (getrlimit(2)). threads_max binds all. */
static int check_room(const struct process *parent)
{
	const struct credentials *credentials = &parent->credentials;
	uint64_t all = 0, own = 0;
	list_for_each(node, &all_processes)
	{
		const struct process *process = list_entry(node, struct process, all_link);
		uint32_t threads = process->thread_count ? process->thread_count : 1;
		all += threads;
		if (process->credentials.uid == credentials->uid)
			own += threads;
	}
	bool exempt = credentials->uid == 0 ||
	              credentials->capabilities &
	                      (1ull << CAPABILITY_SYS_ADMIN | 1ull << CAPABILITY_SYS_RESOURCE);
	return all >= threads_max || (own >= parent->limits[LIMIT_NPROC].soft && !exempt) ? -EAGAIN
	                                                                                  : 0;
}

/* The new process's parts, each shared or copied. What was taken is released by process_free on
 * failure. */
static int fill_process(struct process *child, struct process *parent,
                        const struct clone_request *request)
{
	uint64_t flags = request->flags;
	child->group_id = parent->group_id;
	child->session_id = parent->session_id;
	child->credentials = parent->credentials;
	group_list_get(child->credentials.groups);
	child->dumpable = parent->dumpable;
	child->no_new_privileges = parent->no_new_privileges;
	memcpy(child->limits, parent->limits, sizeof(child->limits));
	memcpy(child->name, parent->name, sizeof(child->name));
	child->exit_signal = request->exit_signal;
	if (parent->executable)
		child->executable = path_node_get(parent->executable);
	child->command_line =
	        heap_alloc(parent->command_line_bytes ? parent->command_line_bytes : 1);
	if (!child->command_line)
		return -ENOMEM;
	memcpy(child->command_line, parent->command_line, parent->command_line_bytes);
	child->command_line_bytes = parent->command_line_bytes;
	if (flags & CLONE_FILES) {
		child->files = parent->files;
		child->files->refs++;
	} else {
		child->files = file_table_copy(parent->files);
	}
	if (flags & CLONE_FS) {
		child->fs = parent->fs;
		child->fs->refs++;
	} else {
		child->fs = fs_context_copy(parent->fs);
	}
	if (flags & CLONE_SIGHAND) {
		child->actions = parent->actions;
		child->actions->refs++;
	} else {
		child->actions = signal_actions_copy(parent->actions);
	}
	if (!child->files || !child->fs || !child->actions)
		return -ENOMEM;
	if (flags & CLONE_CLEAR_SIGHAND)
		signal_actions_after_exec(child->actions);
	if (flags & CLONE_VM) {
		child->memory = address_space_get(parent->memory);
		return 0;
	}
	return address_space_copy(parent->memory, &child->memory);
}

static void fill_thread(struct thread *child, struct thread *parent,
                        const struct clone_request *request)
{
	task_fp_save(&parent->task);
	child->task.registers = parent->task.registers;
	child->task.fp_live = parent->task.fp_live;
	child->task.fp = parent->task.fp;
	/* The C library's threads begin with setjmp. */
	child->task.fp_soon = parent->task.fp_live && (request->flags & CLONE_THREAD);
	child->task.satp = address_space_satp(child->process->memory);
	uint64_t *x = child->task.registers.x;
	x[REG_A0] = 0;
	if (request->stack)
		x[REG_SP] = request->stack;
	if (request->flags & CLONE_SETTLS)
		x[REG_TP] = request->tls;
	memcpy(child->name, parent->name, sizeof(child->name));
	child->blocked = parent->restore_blocked ? parent->saved_blocked : parent->blocked;
	if (!(request->flags & CLONE_VM) || (request->flags & CLONE_VFORK)) {
		child->altstack_base = parent->altstack_base;
		child->altstack_bytes = parent->altstack_bytes;
		child->altstack_flags = parent->altstack_flags;
	}
	if (request->flags & CLONE_CHILD_CLEARTID)
		child->clear_child_tid = user(request->child_tid);
}

/* The child's own memory gets its tid; through the parent's tables when they are the same, else
 * with the child's active. */
static void write_tids(struct thread *child, struct thread *parent,
                       const struct clone_request *request)
{
	if (request->flags & CLONE_PARENT_SETTID)
		user_store_u32(user(request->parent_tid), (uint32_t)child->tid);
	if (!(request->flags & CLONE_CHILD_SETTID))
		return;
	if (child->process->memory == parent->process->memory) {
		user_store_u32(user(request->child_tid), (uint32_t)child->tid);
		return;
	}
	struct thread *outer = resuming_thread;
	resuming_thread = child;
	task_activate_memory(&child->task);
	user_store_u32(user(request->child_tid), (uint32_t)child->tid);
	resuming_thread = outer;
	task_activate_memory(&parent->task);
}

struct vfork_wait {
	int32_t child;
};

static long resume_vfork(struct thread *thread, uint32_t reasons)
{
	int32_t pid = THREAD_PARK_STATE(thread, struct vfork_wait)->child;
	struct process *child = process_find(pid);
	thread->uninterruptible = false;
	if (child && child->vfork_parent == thread)
		child->vfork_parent = NULL;
	return reasons & (WAKE_KILL | WAKE_SIGNAL) && !(reasons & WAKE_EVENT) ? -EINTR : pid;
}

static long start_child(struct thread *child, struct thread *parent,
                        const struct clone_request *request)
{
	int32_t tid = child->tid;
	fill_thread(child, parent, request);
	thread_link(child);
	write_tids(child, parent, request);
	if (child->process->stopped || child->process->pending)
		child->task.return_work = true;
	task_make_runnable(&child->task);
	if (!(request->flags & CLONE_VFORK) || child->process == parent->process)
		return tid;
	child->process->vfork_parent = parent;
	parent->uninterruptible = true;
	THREAD_PARK_STATE(parent, struct vfork_wait)->child = tid;
	thread_park(parent, resume_vfork);
	return SYS_PARKED;
}

/* CLONE_PIDFD: the parent gets a descriptor of the child, which has none of it. */
static int give_pidfd(struct thread *child, struct thread *parent,
                      const struct clone_request *request)
{
	struct file *file = pidfd_create(child->process, child->tid, request->flags & CLONE_THREAD);
	if (!file)
		return -ENOMEM;
	int descriptor = file_install(parent, file, 0, true);
	if (descriptor < 0) {
		file_put(file);
		return descriptor;
	}
	if (!user_store_u32(user(request->pidfd), (uint32_t)descriptor))
		return 0;
	file_close(parent, descriptor);
	return -EFAULT;
}

static long clone(struct thread *parent, const struct clone_request *request)
{
	int error = check(request);
	if (!error)
		error = check_room(parent->process);
	if (error)
		return error;
	int32_t tid = identifier_allocate();
	if (tid < 0)
		return tid;
	struct process *process = parent->process;
	if (!(request->flags & CLONE_THREAD)) {
		struct process *father = request->flags & CLONE_PARENT && process->parent
		                                 ? process->parent
		                                 : process;
		process = process_create(father, tid);
		if (!process)
			return -ENOMEM;
		error = fill_process(process, parent->process, request);
		if (error) {
			process_free(process);
			return error;
		}
		if (request->flags & CLONE_PARENT)
			process->exit_signal = parent->process->exit_signal;
	}
	struct thread *child = thread_create(process, tid, parent->task.hart);
	if (!child) {
		if (process != parent->process)
			process_free(process);
		return -ENOMEM;
	}
	if (request->flags & CLONE_PIDFD) {
		error = give_pidfd(child, parent, request);
		if (error) {
			thread_free_unlinked(child);
			if (process != parent->process)
				process_free(process);
			return error;
		}
	}
	if (process != parent->process)
		process_link(process);
	return start_child(child, parent, request);
}

/* Behind process/clone_entry.S. */
long clone_saved(struct thread *thread, const uint64_t *argument);
long clone3_saved(struct thread *thread, const uint64_t *argument);

long clone_saved(struct thread *thread, const uint64_t *argument)
{
	struct clone_request request = {
		.flags = (uint32_t)argument[0] & ~0xffu,
		.exit_signal = (int)(argument[0] & 0xff),
		.stack = argument[1],
		.parent_tid = argument[2],
		.pidfd = argument[2],
		.tls = argument[3],
		.child_tid = argument[4],
	};
	return clone(thread, &request);
}

long clone3_saved(struct thread *thread, const uint64_t *argument)
{
	struct clone_arguments given = { 0 };
	uint64_t bytes = argument[1];
	if (bytes < 64)
		return -EINVAL;
	if (bytes > PAGE_SIZE)
		return -E2BIG;
	for (uint64_t at = sizeof(given); at < bytes;
	     at++) { /* what a newer program adds must be zero */
		uint8_t beyond;
		if (copy_from_user(&beyond, user(argument[0] + at), 1))
			return -EFAULT;
		if (beyond)
			return -E2BIG;
	}
	if (copy_from_user(&given, user(argument[0]),
	                   bytes < sizeof(given) ? bytes : sizeof(given)))
		return -EFAULT;
	if (given.set_tid || given.set_tid_count || given.cgroup || (given.flags & 0xff) ||
	    (given.flags & (CLONE_DETACHED | 0x200000000ull)) || given.exit_signal > SIGNALS ||
	    !given.stack != !given.stack_bytes)
		return -EINVAL;
	if ((given.flags & (CLONE_THREAD | CLONE_PARENT)) && given.exit_signal)
		return -EINVAL;
	struct clone_request request = {
		.flags = given.flags,
		.exit_signal = (int)given.exit_signal,
		.stack = given.stack ? given.stack + given.stack_bytes : 0,
		.parent_tid = given.parent_tid,
		.pidfd = given.pidfd,
		.child_tid = given.child_tid,
		.tls = given.tls,
	};
	return clone(thread, &request);
}
