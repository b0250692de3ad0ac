/* Resource limits (getrlimit(2)). What each one bounds is checked where the resource is handed out.
 */
#include "syscalls/process/internal.h"

struct user_limit {
	uint64_t soft, hard;
};

static long limit_read(const struct process *process, uint64_t resource, struct user_addr to)
{
	struct user_limit limit = { process->limits[resource].soft,
		                    process->limits[resource].hard };
	return copy_to_user(to, &limit, sizeof limit);
}

static long limit_write(struct thread *thread, struct process *process, uint64_t resource,
                        const struct user_limit *limit)
{
	if (limit->soft > limit->hard)
		return -EINVAL;
	if (resource == LIMIT_NOFILE && limit->hard > OPEN_FILES_MAX)
		return -EPERM;
	if (limit->hard > process->limits[resource].hard && thread->process->credentials.euid != 0)
		return -EPERM;
	process->limits[resource].soft = limit->soft;
	process->limits[resource].hard = limit->hard;
	return 0;
}

long sys_prlimit64(struct thread *thread, const uint64_t *argument)
{
	struct process *process =
	        (int32_t)argument[0] ? process_find((int32_t)argument[0]) : thread->process;
	uint64_t resource = (uint32_t)argument[1];
	struct user_limit limit;
	if (resource >= LIMITS)
		return -EINVAL;
	if (argument[2] && copy_from_user(&limit, user(argument[2]), sizeof limit))
		return -EFAULT;
	if (!process)
		return -ESRCH;
	struct user_limit old = { process->limits[resource].soft, process->limits[resource].hard };
	if (argument[2]) {
		long error = limit_write(thread, process, resource, &limit);
		if (error)
			return error;
	}
	return argument[3] ? copy_to_user(user(argument[3]), &old, sizeof old) : 0;
}

long sys_getrlimit(struct thread *thread, const uint64_t *argument)
{
	uint64_t resource = (uint32_t)argument[0];
	return resource < LIMITS ? limit_read(thread->process, resource, user(argument[1]))
	                         : -EINVAL;
}

long sys_setrlimit(struct thread *thread, const uint64_t *argument)
{
	uint64_t resource = (uint32_t)argument[0];
	struct user_limit limit;
	if (copy_from_user(&limit, user(argument[1]), sizeof limit))
		return -EFAULT;
	return resource < LIMITS ? limit_write(thread, thread->process, resource, &limit) : -EINVAL;
}
