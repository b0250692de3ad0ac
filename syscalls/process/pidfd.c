/*
 * Descriptors of processes and threads (pidfd_open(2)). One keeps nothing alive: it hangs in a list
 * of its process, which tells it when a thread or all of them end, and lets go of it when the
 * process is waited for. From then on it is nobody's, whoever has the number next.
 */
#include "syscalls/process/internal.h"

#include "syscalls/files/anonymous.h"
#include "syscalls/files/text.h"

enum { PIDFD_THREAD = 0200, PIDFD_NONBLOCK = O_NONBLOCK, FIONREAD = 0x541b };

static const struct file_operations pidfd_operations;
static uint64_t next_inode = 1;

struct pidfd *pidfd_of(struct file *file)
{
	return file->operations == &pidfd_operations ? container_of(file, struct pidfd, file)
	                                             : NULL;
}

/* It is of the whole process, or of the thread that began it, which share a number. */
static bool is_of_leader(const struct pidfd *pidfd)
{
	return pidfd->process && pidfd->id == pidfd->process->pid;
}

/* As Linux: the first thread ends, for those who wait, when the last one does. */
static bool has_ended(const struct pidfd *pidfd)
{
	return is_of_leader(pidfd) ? pidfd->process->zombie : !pidfd->process;
}

static uint32_t pidfd_poll(struct file *file)
{
	const struct pidfd *pidfd = pidfd_of(file);
	uint32_t ended = has_ended(pidfd) ? POLLIN | POLLRDNORM : 0;
	return pidfd->process ? ended : ended | POLLHUP;
}

static int pidfd_status(struct file *file, struct file_status *out)
{
	int error = anonymous_status(file, out);
	out->inode = pidfd_of(file)->inode;
	out->mode = 0700;
	return error;
}

/* Linux takes it for an empty regular file, which has no position. */
static long pidfd_ioctl(struct file *file, uint32_t command, uint64_t argument)
{
	(void)file;
	return command == FIONREAD ? user_store_u32(user(argument), 0) : -ENOTTY;
}

static int pidfd_truncate(struct file *file, uint64_t bytes)
{
	(void)file, (void)bytes;
	return -EOPNOTSUPP;
}

static void pidfd_information(struct file *file, struct text *text)
{
	const struct pidfd *pidfd = pidfd_of(file);
	int32_t id = pidfd->process ? pidfd->id : -1;
	text_printf(text, "Pid:\t%d\nNSpid:\t%d\n", id, id);
}

static void pidfd_release(struct file *file)
{
	struct pidfd *pidfd = pidfd_of(file);
	list_remove(&pidfd->link);
	heap_free(pidfd);
}

static const struct file_operations pidfd_operations = {
	.kind = "pidfd",
	.no_splice_read = true,
	.no_splice_write = true,
	.poll = pidfd_poll,
	.ioctl = pidfd_ioctl,
	.truncate = pidfd_truncate,
	.status = pidfd_status,
	.information = pidfd_information,
	.release = pidfd_release,
};

/* Descriptors of the same have the same. */
static uint64_t inode_of(const struct process *process, int32_t id)
{
	list_for_each(node, &process->pidfds)
	{
		const struct pidfd *other = list_entry(node, struct pidfd, link);
		if (other->id == id)
			return other->inode;
	}
	return next_inode++;
}

struct file *pidfd_create(struct process *process, int32_t id, bool of_thread)
{
	struct pidfd *pidfd = heap_alloc_zeroed(sizeof(*pidfd));
	if (!pidfd)
		return NULL;
	file_init(&pidfd->file, &pidfd_operations, NULL,
	          O_RDWR | (of_thread ? (uint32_t)PIDFD_THREAD : 0));
	pidfd->file.seekable = true;
	pidfd->process = process;
	pidfd->id = id;
	pidfd->of_thread = of_thread;
	pidfd->inode = inode_of(process, id);
	list_push_back(&process->pidfds, &pidfd->link);
	return &pidfd->file;
}

long pidfd_install(struct thread *thread, int32_t pid, uint64_t serial)
{
	struct process *process = process_find(pid);
	if (!process || process->serial != serial)
		return -EINVAL;
	struct file *file = pidfd_create(process, pid, false);
	return file ? anonymous_install(thread, file, true) : -ENOMEM;
}

/* ---- what becomes of processes and threads ---- */

static void let_go(struct pidfd *pidfd)
{
	list_remove(&pidfd->link);
	pidfd->process = NULL;
	file_notify(&pidfd->file, POLLIN | POLLRDNORM | POLLHUP);
}

void pidfd_thread_ended(struct process *process, int32_t tid)
{
	list_for_each_safe(node, &process->pidfds)
	{
		struct pidfd *pidfd = list_entry(node, struct pidfd, link);
		if (pidfd->id != tid)
			continue;
		if (!is_of_leader(pidfd))
			let_go(pidfd);
		else if (process->zombie)
			file_notify(&pidfd->file, POLLIN | POLLRDNORM);
	}
}

void pidfd_process_freed(struct process *process)
{
	list_for_each_safe(node, &process->pidfds) let_go(list_entry(node, struct pidfd, link));
}

/* ---- calls ---- */

long sys_pidfd_open(struct thread *thread, const uint64_t *argument)
{
	int32_t id = (int32_t)argument[0];
	uint32_t flags = (uint32_t)argument[1];
	bool of_thread = flags & PIDFD_THREAD;
	if (flags & ~(uint32_t)(PIDFD_NONBLOCK | PIDFD_THREAD) || id <= 0)
		return -EINVAL;
	struct process *process = process_find(id);
	struct thread *other = process ? NULL : thread_find(id);
	if (!process && !other)
		return -ESRCH;
	if (other && !of_thread)
		return -EINVAL;
	struct file *file = pidfd_create(process ? process : other->process, id, of_thread);
	if (!file)
		return -ENOMEM;
	file->flags |= flags & PIDFD_NONBLOCK;
	return anonymous_install(thread, file, true);
}

/* Linux's ptrace_may_access with PTRACE_MODE_ATTACH_REALCREDS. */
static bool may_look_into(const struct thread *thread, const struct process *target)
{
	const struct credentials *own = &thread->process->credentials, *its = &target->credentials;
	if (thread->process == target || thread_capable(thread, CAPABILITY_SYS_PTRACE))
		return true;
	bool same_user = own->uid == its->euid && own->uid == its->suid && own->uid == its->uid;
	bool same_group = own->gid == its->egid && own->gid == its->sgid && own->gid == its->gid;
	return same_user && same_group && (target->dumpable || target->zombie) &&
	       !(its->capabilities & ~own->capabilities);
}

long sys_pidfd_getfd(struct thread *thread, const uint64_t *argument)
{
	struct file *file = thread_file(thread, argument[0]);
	const struct pidfd *pidfd = file ? pidfd_of(file) : NULL;
	if ((uint32_t)argument[2])
		return -EINVAL;
	if (!pidfd)
		return -EBADF;
	if (!pidfd->process)
		return -ESRCH;
	if (!may_look_into(thread, pidfd->process))
		return -EPERM;
	/* A thread that has ended has none any more. */
	if (!pidfd->process->files || !thread_find(pidfd->id))
		return -ESRCH;
	struct file *wanted = file_table_lookup(pidfd->process->files, (int)argument[1]);
	return wanted ? anonymous_install(thread, file_get(wanted), true) : -EBADF;
}
