/* Who may do what with a node (path_resolution(7), capabilities(7)). */
#include <errno.h>

#include "syscalls/files/path.h"
#include "syscalls/process.h"

static int permission(const struct credentials *credentials, uint32_t uid, uint32_t gid,
                      bool override, bool read_search, const struct path_node *node, unsigned want)
{
	uint32_t bits = node->mode;
	if (uid == node->uid)
		bits >>= 6;
	else if (gid == node->gid || group_list_has(credentials->groups, node->gid))
		bits >>= 3;
	if ((bits & want) == want)
		return 0;
	if (override && (!(want & MAY_EXECUTE) || node_is_directory(node) || node->mode & 0111))
		return 0;
	if (read_search && (want == MAY_READ || (node_is_directory(node) && !(want & MAY_WRITE))))
		return 0;
	return -EACCES;
}

int node_permission(const struct thread *thread, const struct path_node *node, unsigned want)
{
	const struct credentials *credentials = &thread->process->credentials;
	return permission(credentials, credentials->fsuid, credentials->fsgid,
	                  thread_capable(thread, CAPABILITY_DAC_OVERRIDE),
	                  thread_capable(thread, CAPABILITY_DAC_READ_SEARCH), node, want);
}

int node_permission_real(const struct thread *thread, const struct path_node *node, unsigned want)
{
	const struct credentials *credentials = &thread->process->credentials;
	bool root = credentials->uid == 0;
	return permission(credentials, credentials->uid, credentials->gid, root, root, node, want);
}

bool node_is_owned(const struct thread *thread, const struct path_node *node)
{
	return thread->process->credentials.fsuid == node->uid ||
	       thread_capable(thread, CAPABILITY_FOWNER);
}

bool node_is_executing(const struct path_node *node)
{
	if (!node_is_regular(node))
		return false;
	list_for_each(link, &all_processes)
	{
		if (list_entry(link, struct process, all_link)->executable == node)
			return true;
	}
	return false;
}
