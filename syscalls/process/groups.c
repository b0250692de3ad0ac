/* Supplementary groups (getgroups(2)): one sorted list, which processes share and nobody changes.
 */
#include "syscalls/process/internal.h"

#define GROUPS_MAX 65536 /* Linux: NGROUPS_MAX */

struct group_list *group_list_get(struct group_list *list)
{
	if (list)
		list->refs++;
	return list;
}

void group_list_put(struct group_list *list)
{
	if (list && !--list->refs)
		heap_free(list);
}

bool group_list_has(const struct group_list *list, uint32_t gid)
{
	uint32_t low = 0, high = list ? list->count : 0;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (list->gid[middle] == gid)
			return true;
		if (list->gid[middle] < gid)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

static void swap(uint32_t *a, uint32_t *b)
{
	uint32_t old = *a;
	*a = *b;
	*b = old;
}

static void sift_down(uint32_t *gid, uint32_t count, uint32_t at)
{
	for (uint32_t child; (child = 2 * at + 1) < count; at = child) {
		if (child + 1 < count && gid[child] < gid[child + 1])
			child++;
		if (gid[at] >= gid[child])
			return;
		swap(&gid[at], &gid[child]);
	}
}

/* Heapsort: no input makes it slow. */
static void sort(uint32_t *gid, uint32_t count)
{
	for (uint32_t at = count / 2; at-- > 0;)
		sift_down(gid, count, at);
	for (uint32_t left = count; left-- > 1;) {
		swap(&gid[0], &gid[left]);
		sift_down(gid, left, 0);
	}
}

long sys_getgroups(struct thread *thread, const uint64_t *argument)
{
	const struct group_list *list = thread->process->credentials.groups;
	uint32_t count = list ? list->count : 0;
	int32_t room = (int32_t)argument[0];
	if (room < 0 || (room && (uint32_t)room < count))
		return -EINVAL;
	if (room && count &&
	    copy_to_user(user(argument[1]), list->gid, count * sizeof list->gid[0]))
		return -EFAULT;
	return count;
}

long sys_setgroups(struct thread *thread, const uint64_t *argument)
{
	struct credentials *credentials = &thread->process->credentials;
	uint32_t count = (uint32_t)argument[0];
	struct group_list *list = NULL;
	if (!thread_capable(thread, CAPABILITY_SETGID))
		return -EPERM;
	if (count > GROUPS_MAX)
		return -EINVAL;
	if (count) {
		list = heap_alloc(sizeof *list + count * sizeof list->gid[0]);
		if (!list)
			return -ENOMEM;
		*list = (struct group_list){ .refs = 1, .count = count };
		if (copy_from_user(list->gid, user(argument[1]), count * sizeof list->gid[0])) {
			heap_free(list);
			return -EFAULT;
		}
		sort(list->gid, count);
	}
	group_list_put(credentials->groups);
	credentials->groups = list;
	return 0;
}
