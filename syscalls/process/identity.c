/* Who a process is: identifiers, users and groups (credentials(7)), process groups and sessions,
 * capabilities. */
#include "syscalls/process/internal.h"

#define UNCHANGED        UINT32_MAX /* (uid_t)-1: leave this one as it is */
#define ALL_CAPABILITIES ((1ull << 41) - 1)

long sys_getpid(struct thread *thread, const uint64_t *argument)
{
	(void)argument;
	return thread->process->pid;
}

long sys_gettid(struct thread *thread, const uint64_t *argument)
{
	(void)argument;
	return thread->tid;
}

long sys_getppid(struct thread *thread, const uint64_t *argument)
{
	(void)argument;
	return thread->process->parent ? thread->process->parent->pid : 0;
}

long sys_getuid(struct thread *thread, const uint64_t *argument)
{
	(void)argument;
	return thread->process->credentials.uid;
}

long sys_geteuid(struct thread *thread, const uint64_t *argument)
{
	(void)argument;
	return thread->process->credentials.euid;
}

long sys_getgid(struct thread *thread, const uint64_t *argument)
{
	(void)argument;
	return thread->process->credentials.gid;
}

long sys_getegid(struct thread *thread, const uint64_t *argument)
{
	(void)argument;
	return thread->process->credentials.egid;
}

/* ---- users and groups: the same rules for both ---- */

/* Real, effective, saved and file-system identifier of one kind, within struct credentials. */
struct identity {
	uint32_t *real, *effective, *saved, *fs;
};

static struct identity users(struct thread *thread)
{
	struct credentials *c = &thread->process->credentials;
	return (struct identity){ &c->uid, &c->euid, &c->suid, &c->fsuid };
}

static struct identity groups(struct thread *thread)
{
	struct credentials *c = &thread->process->credentials;
	return (struct identity){ &c->gid, &c->egid, &c->sgid, &c->fsgid };
}

static bool is_privileged(const struct thread *thread)
{
	return thread->process->credentials.euid == 0;
}

/* Capabilities follow the user: all while any of the three is 0 and the effective one is. */
static void settle_capabilities(struct thread *thread)
{
	struct credentials *c = &thread->process->credentials;
	c->capabilities = c->euid == 0 ? ALL_CAPABILITIES : 0;
}

/* Who becomes another may not be looked into from then on, and outlives who made it (prctl(2),
 * PR_SET_DUMPABLE and PR_SET_PDEATHSIG). */
static void became_another(struct thread *thread)
{
	thread->process->dumpable = false;
	thread->process->parent_death_signal = 0;
}

static bool may_become(const struct thread *thread, struct identity id, uint32_t value)
{
	return value == UNCHANGED || is_privileged(thread) || value == *id.real ||
	       value == *id.effective || value == *id.saved;
}

static long set_all(struct thread *thread, struct identity id, uint32_t real, uint32_t effective,
                    uint32_t saved)
{
	if (!may_become(thread, id, real) || !may_become(thread, id, effective) ||
	    !may_become(thread, id, saved))
		return -EPERM;
	uint32_t old_effective = *id.effective, old_fs = *id.fs;
	if (real != UNCHANGED)
		*id.real = real;
	if (effective != UNCHANGED)
		*id.effective = effective;
	if (saved != UNCHANGED)
		*id.saved = saved;
	*id.fs = *id.effective;
	settle_capabilities(thread);
	if (*id.effective != old_effective || *id.fs != old_fs)
		became_another(thread);
	return 0;
}

static long set_one(struct thread *thread, struct identity id, uint32_t value)
{
	if (value == UNCHANGED)
		return -EINVAL;
	if (is_privileged(thread))
		return set_all(thread, id, value, value, value);
	if (value != *id.real && value != *id.saved)
		return -EPERM;
	return set_all(thread, id, UNCHANGED, value, UNCHANGED);
}

static long set_real_effective(struct thread *thread, struct identity id, uint32_t real,
                               uint32_t effective)
{
	uint32_t old_real = *id.real;
	if (real != UNCHANGED && !is_privileged(thread) && real != *id.real &&
	    real != *id.effective)
		return -EPERM;
	uint32_t saved = UNCHANGED;
	if (real != UNCHANGED || (effective != UNCHANGED && effective != old_real))
		saved = effective != UNCHANGED ? effective : *id.effective;
	return set_all(thread, id, real, effective, saved);
}

static long set_fs(struct thread *thread, struct identity id, uint32_t value)
{
	uint32_t old = *id.fs;
	if (value != UNCHANGED && (may_become(thread, id, value) || value == old))
		*id.fs = value;
	if (*id.fs != old)
		became_another(thread);
	return old;
}

static long get_all(struct identity id, const uint64_t *argument)
{
	if (user_store_u32(user(argument[0]), *id.real) ||
	    user_store_u32(user(argument[1]), *id.effective) ||
	    user_store_u32(user(argument[2]), *id.saved))
		return -EFAULT;
	return 0;
}

long sys_setuid(struct thread *thread, const uint64_t *argument)
{
	return set_one(thread, users(thread), (uint32_t)argument[0]);
}

long sys_setgid(struct thread *thread, const uint64_t *argument)
{
	return set_one(thread, groups(thread), (uint32_t)argument[0]);
}

long sys_setreuid(struct thread *thread, const uint64_t *argument)
{
	return set_real_effective(thread, users(thread), (uint32_t)argument[0],
	                          (uint32_t)argument[1]);
}

long sys_setregid(struct thread *thread, const uint64_t *argument)
{
	return set_real_effective(thread, groups(thread), (uint32_t)argument[0],
	                          (uint32_t)argument[1]);
}

long sys_setresuid(struct thread *thread, const uint64_t *argument)
{
	return set_all(thread, users(thread), (uint32_t)argument[0], (uint32_t)argument[1],
	               (uint32_t)argument[2]);
}

long sys_setresgid(struct thread *thread, const uint64_t *argument)
{
	return set_all(thread, groups(thread), (uint32_t)argument[0], (uint32_t)argument[1],
	               (uint32_t)argument[2]);
}

long sys_getresuid(struct thread *thread, const uint64_t *argument)
{
	return get_all(users(thread), argument);
}

long sys_getresgid(struct thread *thread, const uint64_t *argument)
{
	return get_all(groups(thread), argument);
}

long sys_setfsuid(struct thread *thread, const uint64_t *argument)
{
	return set_fs(thread, users(thread), (uint32_t)argument[0]);
}

long sys_setfsgid(struct thread *thread, const uint64_t *argument)
{
	return set_fs(thread, groups(thread), (uint32_t)argument[0]);
}

/* ---- process groups and sessions ---- */

static struct process *self_or(struct thread *thread, uint64_t pid)
{
	return (int32_t)pid ? process_find((int32_t)pid) : thread->process;
}

static bool group_exists(int32_t group, int32_t session)
{
	list_for_each(node, &all_processes)
	{
		struct process *process = list_entry(node, struct process, all_link);
		if (process->group_id == group && process->session_id == session)
			return true;
	}
	return false;
}

long sys_setpgid(struct thread *thread, const uint64_t *argument)
{
	struct process *self = thread->process, *process = self_or(thread, argument[0]);
	if ((int32_t)argument[1] < 0)
		return -EINVAL;
	if (!process || (process != self && process->parent != self))
		return -ESRCH;
	int32_t group = (int32_t)argument[1] ? (int32_t)argument[1] : process->pid;
	if (process != self && process->execed)
		return -EACCES;
	if (process->session_id != self->session_id || process->session_id == process->pid)
		return -EPERM;
	if (group != process->pid && !group_exists(group, self->session_id))
		return -EPERM;
	process->group_id = group;
	return 0;
}

long sys_getpgid(struct thread *thread, const uint64_t *argument)
{
	struct process *process = self_or(thread, argument[0]);
	return process ? process->group_id : -ESRCH;
}

long sys_getsid(struct thread *thread, const uint64_t *argument)
{
	struct process *process = self_or(thread, argument[0]);
	return process ? process->session_id : -ESRCH;
}

long sys_setsid(struct thread *thread, const uint64_t *argument)
{
	struct process *process = thread->process;
	(void)argument;
	if (process->group_id == process->pid && group_exists(process->pid, process->session_id))
		return -EPERM;
	process->session_id = process->pid;
	process->group_id = process->pid;
	return process->pid;
}

/* ---- capabilities (capabilities(7)) ---- */

#define CAPABILITY_VERSION_1 0x19980330u
#define CAPABILITY_VERSION_3 0x20080522u

struct capability_header {
	uint32_t version;
	int32_t pid;
};
struct capability_data {
	uint32_t effective, permitted, inheritable;
};

static int capability_header_read(uint64_t from, struct capability_header *out, int *words)
{
	if (copy_from_user(out, user(from), sizeof *out))
		return -EFAULT;
	*words = out->version == CAPABILITY_VERSION_1 ? 1 : 2;
	if (out->version == CAPABILITY_VERSION_1 || out->version == CAPABILITY_VERSION_3)
		return out->pid < 0 ? -EINVAL : 0;
	/* The way to ask for the version in use. */
	uint32_t version = CAPABILITY_VERSION_3;
	return copy_to_user(user(from), &version, sizeof version) ? -EFAULT : -EINVAL;
}

long sys_capget(struct thread *thread, const uint64_t *argument)
{
	struct capability_header header;
	int words, error = capability_header_read(argument[0], &header, &words);
	if (error)
		return error == -EINVAL && !argument[1] ? 0 : error;
	struct process *process = self_or(thread, (uint64_t)header.pid);
	if (!process)
		return -ESRCH;
	struct capability_data data[2] = { 0 };
	for (int i = 0; i < words; i++) {
		data[i].effective = (uint32_t)(process->credentials.capabilities >> (32 * i));
		data[i].permitted = data[i].effective;
	}
	return copy_to_user(user(argument[1]), data, (size_t)words * sizeof data[0]);
}

long sys_capset(struct thread *thread, const uint64_t *argument)
{
	struct capability_header header;
	struct capability_data data[2] = { 0 };
	int words, error = capability_header_read(argument[0], &header, &words);
	if (error)
		return error;
	if (header.pid && header.pid != thread->process->pid)
		return -EPERM;
	if (copy_from_user(data, user(argument[1]), (size_t)words * sizeof data[0]))
		return -EFAULT;
	uint64_t wanted = data[0].effective | (uint64_t)data[1].effective << 32;
	uint64_t permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
	struct credentials *c = &thread->process->credentials;
	if (permitted & ~c->capabilities || wanted & ~permitted)
		return -EPERM;
	c->capabilities = permitted;
	return 0;
}
