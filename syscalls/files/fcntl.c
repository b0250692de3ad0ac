/* fcntl(2), ioctl(2) and the calls that synchronise files with a disk there isn't. */
#include "syscalls/files/fcntl.h"

#include <errno.h>

#include "core/user.h"
#include "syscalls/files/node.h"
#include "syscalls/files/owner.h"
#include "syscalls/memory.h"
#include "syscalls/process.h"
#include "syscalls/syscall.h"

enum {
	F_DUPFD,
	F_GETFD,
	F_SETFD,
	F_GETFL,
	F_SETFL,
	F_GETLK,
	F_SETLK,
	F_SETLKW,
	F_SETOWN,
	F_GETOWN,
	F_SETSIG,
	F_GETSIG,
	F_SETOWN_EX = 15,
	F_GETOWN_EX = 16,
	F_OFD_GETLK = 36,
	F_OFD_SETLK = 37,
	F_OFD_SETLKW = 38,
	F_DUPFD_QUERY = 1027,
	F_DUPFD_CLOEXEC = 1030,
	F_SETPIPE_SZ = 1031,
	F_GETPIPE_SZ = 1032,
	F_ADD_SEALS = 1033,
	F_GET_SEALS = 1034
};

#define FD_CLOEXEC     1u
#define SETTABLE_FLAGS (O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME)

static int set_status_flags(struct file *file, int descriptor, uint32_t flags)
{
	bool turned = ((flags ^ file->flags) & O_ASYNC) != 0;
	if (turned && file->operations->can_be_async) {
		int error = file_set_async(file, descriptor, flags & O_ASYNC);
		if (error)
			return error;
	}
	file->flags = (file->flags & ~(uint32_t)SETTABLE_FLAGS) | (flags & SETTABLE_FLAGS);
	if (file->operations->flags_changed)
		file->operations->flags_changed(file);
	return 0;
}

static long duplicate(struct thread *thread, struct file *file, uint64_t from, bool close_on_exec)
{
	if (from >= thread->process->limits[LIMIT_NOFILE].soft || from > INT32_MAX)
		return -EINVAL;
	int descriptor = file_install(thread, file, (int)from, close_on_exec);
	if (descriptor >= 0)
		file_get(file);
	return descriptor;
}

static bool node_is_mapped_shared(const struct path_node *node)
{
	list_for_each(link, &all_processes)
	{
		const struct process *process = list_entry(link, struct process, all_link);
		if (process->memory && address_space_may_write(process->memory, node))
			return true;
	}
	return false;
}

static long seals(struct file *file, bool add, uint32_t wanted)
{
	struct path_node *node = file->node;
	if (!node || !node_is_regular(node))
		return -EINVAL;
	if (!add)
		return node->seals;
	if ((file->flags & O_ACCMODE) == O_RDONLY)
		return -EPERM;
	if (wanted & ~(uint32_t)SEALS_ALL)
		return -EINVAL;
	if (node->seals & SEAL_SEAL)
		return -EPERM;
	if (wanted & SEAL_EXEC && node->mode & 0111) /* a program that must not change at all */
		wanted |= SEAL_SHRINK | SEAL_GROW | SEAL_WRITE | SEAL_FUTURE_WRITE;
	if (wanted & SEAL_WRITE && !(node->seals & SEAL_WRITE) && node_is_mapped_shared(node))
		return -EBUSY;
	node->seals |= wanted;
	return 0;
}

static long fcntl_query(struct thread *thread, const struct file *file, uint64_t descriptor)
{
	const struct file *other = thread_file(thread, descriptor);
	return other ? other == file : -EBADF;
}

static long fcntl_slot(struct thread *thread, uint32_t descriptor, int command, uint64_t argument)
{
	struct file_table *table = thread->process->files;
	struct file *file = table->files[descriptor];
	switch (command) {
	case F_GETFD:
		return file_table_is_close_on_exec(table, descriptor) ? FD_CLOEXEC : 0;
	case F_SETFD:
		file_table_set_close_on_exec(table, descriptor, argument & FD_CLOEXEC);
		return 0;
	case F_GETFL:
		return (long)file->flags;
	case F_DUPFD:
	case F_DUPFD_CLOEXEC:
		return duplicate(thread, file, (uint32_t)argument, command == F_DUPFD_CLOEXEC);
	case F_DUPFD_QUERY:
		return fcntl_query(thread, file, argument);
	default:
		return -EBADF; /* what remains is refused for O_PATH */
	}
}

static long fcntl_file(struct thread *thread, struct file *file, int command,
                       const uint64_t *arguments)
{
	uint64_t argument = arguments[2];
	switch (command) {
	case F_SETFL:
		return set_status_flags(file, (int)arguments[0], (uint32_t)argument);
	case F_GETLK:
	case F_OFD_GETLK:
		return fcntl_lock(thread, file, FCNTL_LOCK_QUERY, command == F_OFD_GETLK,
		                  user(argument));
	case F_SETLK:
	case F_OFD_SETLK:
		return fcntl_lock(thread, file, FCNTL_LOCK_TRY, command == F_OFD_SETLK,
		                  user(argument));
	case F_SETLKW:
	case F_OFD_SETLKW:
		return fcntl_lock(thread, file, FCNTL_LOCK_WAIT, command == F_OFD_SETLKW,
		                  user(argument));
	case F_SETOWN:
		return file_set_owner(file, (int32_t)argument);
	case F_GETOWN:
		return file_get_owner(file);
	case F_SETSIG:
		return file_set_signal(file, argument);
	case F_GETSIG:
		return file_get_signal(file);
	case F_SETOWN_EX:
		return file_set_owner_extended(file, user(argument));
	case F_GETOWN_EX:
		return file_get_owner_extended(file, user(argument));
	case F_SETPIPE_SZ:
		return pipe_set_capacity(file, (uint32_t)argument);
	case F_GETPIPE_SZ:
		return pipe_get_capacity(file);
	case F_ADD_SEALS:
	case F_GET_SEALS:
		return seals(file, command == F_ADD_SEALS, (uint32_t)argument);
	default:
		return -EINVAL;
	}
}

long sys_fcntl(struct thread *thread, const uint64_t *argument)
{
	struct file *file = thread_file(thread, argument[0]);
	int command = (int)argument[1];
	if (!file)
		return -EBADF;
	bool of_slot = command <= F_GETFL || command == F_DUPFD_CLOEXEC || command == F_DUPFD_QUERY;
	if (file->flags & O_PATH || (of_slot && command != F_SETFL))
		return fcntl_slot(thread, (uint32_t)argument[0], command, argument[2]);
	return fcntl_file(thread, file, command, argument);
}

enum {
	FIONREAD = 0x541b,
	FIONBIO = 0x5421,
	FIONCLEX = 0x5450,
	FIOCLEX = 0x5451,
	FIOASYNC = 0x5452,
	FIOQSIZE = 0x5460
};

static long ioctl_flag(struct file *file, int descriptor, uint32_t flag, struct user_addr argument)
{
	uint32_t on;
	if (copy_from_user(&on, argument, sizeof(on)))
		return -EFAULT;
	uint32_t flags = on ? file->flags | flag : file->flags & ~flag;
	if ((flags ^ file->flags) & O_ASYNC && !file->operations->can_be_async)
		return -ENOTTY;
	return set_status_flags(file, descriptor, flags);
}

static long ioctl_regular(struct file *file, uint32_t command, struct user_addr argument)
{
	uint64_t left = node_bytes(file->node) - file->offset;
	int32_t bytes = left > INT32_MAX ? INT32_MAX : (int32_t)left;
	if (command == FIONREAD)
		return copy_to_user(argument, &bytes, sizeof(bytes));
	return -ENOTTY;
}

long sys_ioctl(struct thread *thread, const uint64_t *argument)
{
	struct file *file = thread_file(thread, argument[0]);
	uint32_t command = (uint32_t)argument[1];
	if (!file || file->flags & O_PATH)
		return -EBADF;
	switch (command) {
	case FIOCLEX:
	case FIONCLEX:
		file_table_set_close_on_exec(thread->process->files, (uint32_t)argument[0],
		                             command == FIOCLEX);
		return 0;
	case FIONBIO:
		return ioctl_flag(file, (int)argument[0], O_NONBLOCK, user(argument[2]));
	case FIOASYNC:
		return ioctl_flag(file, (int)argument[0], O_ASYNC, user(argument[2]));
	default:
		break;
	}
	if (file->operations->ioctl)
		return file->operations->ioctl(file, command, argument[2]);
	if (file->node && node_is_regular(file->node))
		return ioctl_regular(file, command, user(argument[2]));
	return -ENOTTY;
}

/* Memory is the only medium: whatever was written is where it will stay. */
static long sync_call(struct thread *thread, uint64_t descriptor)
{
	struct file *file = thread_file(thread, descriptor);
	if (!file || file->flags & O_PATH)
		return -EBADF;
	bool stored = file->node && (node_is_regular(file->node) || node_is_directory(file->node));
	return stored ? 0 : -EINVAL;
}

long sys_fsync(struct thread *thread, const uint64_t *argument)
{
	return sync_call(thread, argument[0]);
}

long sys_fdatasync(struct thread *thread, const uint64_t *argument)
{
	return sync_call(thread, argument[0]);
}

long sys_syncfs(struct thread *thread, const uint64_t *argument)
{
	return thread_file(thread, argument[0]) ? 0 : -EBADF;
}

long sys_sync_file_range(struct thread *thread, const uint64_t *argument)
{
	return sync_call(thread, argument[0]);
}

long sys_sync(struct thread *thread, const uint64_t *argument)
{
	(void)thread, (void)argument;
	return 0;
}
