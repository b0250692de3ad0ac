/* The tables of processes and threads, and their making and freeing. */
#include "syscalls/process/internal.h"

#define BUCKETS           256 /* power of two */
#define PAGES_PER_THREAD  32  /* what Linux reckons with on riscv64: eight stacks of 16 KiB */
#define THREADS_MAX_LEAST 20

struct list all_processes;
struct process *first_process;
uint32_t threads_max;
uint64_t vanished_user_ns, vanished_system_ns, threads_made;

static struct list process_buckets[BUCKETS], thread_buckets[BUCKETS];
static int32_t last_identifier;

void process_tables_init(void)
{
	struct memory_statistics memory;
	memory_read_statistics(&memory);
	uint64_t room = memory.total_pages / PAGES_PER_THREAD;
	threads_max = room < THREADS_MAX_LEAST ? THREADS_MAX_LEAST
	              : room < PID_MAX - 2     ? (uint32_t)room
	                                       : PID_MAX - 2;
	list_init(&all_processes);
	for (unsigned i = 0; i < BUCKETS; i++) {
		list_init(&process_buckets[i]);
		list_init(&thread_buckets[i]);
	}
}

static struct list *bucket(struct list *buckets, int32_t identifier)
{
	return &buckets[(uint32_t)identifier % BUCKETS];
}

struct process *process_find(int32_t pid)
{
	list_for_each(node, bucket(process_buckets, pid))
	{
		struct process *process = list_entry(node, struct process, hash_link);
		if (process->pid == pid)
			return process;
	}
	return NULL;
}

struct thread *thread_find(int32_t tid)
{
	list_for_each(node, bucket(thread_buckets, tid))
	{
		struct thread *thread = list_entry(node, struct thread, hash_link);
		if (thread->tid == tid)
			return thread;
	}
	return NULL;
}

/* Process groups and sessions keep their number in use as long as they have members. */
static bool is_group(int32_t identifier)
{
	list_for_each(node, &all_processes)
	{
		struct process *process = list_entry(node, struct process, all_link);
		if (process->group_id == identifier || process->session_id == identifier)
			return true;
	}
	return false;
}

int32_t identifier_allocate(void)
{
	for (int tries = 0; tries < PID_MAX; tries++) {
		last_identifier = last_identifier >= PID_MAX - 1 ? 2 : last_identifier + 1;
		if (!process_find(last_identifier) && !thread_find(last_identifier) &&
		    !is_group(last_identifier))
			return last_identifier;
	}
	return -EAGAIN;
}

struct process *process_create(struct process *parent, int32_t pid)
{
	struct process *process = heap_alloc_zeroed(sizeof(*process));
	if (!process)
		return NULL;
	static uint64_t serials;
	process->pid = pid;
	process->serial = ++serials;
	process->parent = parent;
	process->dumpable = true;
	process->start_ns = clock_read_ns();
	list_init(&process->children);
	list_init(&process->threads);
	list_node_init(&process->sibling_link);
	list_node_init(&process->all_link);
	list_node_init(&process->hash_link);
	wait_queue_init(&process->child_wait);
	list_init(&process->pidfds);
	return process;
}

void process_link(struct process *process)
{
	list_push_back(&all_processes, &process->all_link);
	list_push_back(bucket(process_buckets, process->pid), &process->hash_link);
	if (process->parent)
		list_push_back(&process->parent->children, &process->sibling_link);
}

struct fs_context *fs_context_copy(const struct fs_context *from)
{
	struct fs_context *fs = heap_alloc_zeroed(sizeof(*fs));
	if (!fs)
		return NULL;
	fs->refs = 1;
	fs->umask = from->umask;
	fs->root = path_node_get(from->root);
	fs->cwd = path_node_get(from->cwd);
	return fs;
}

void fs_context_put(struct fs_context *fs)
{
	if (!fs || --fs->refs)
		return;
	if (fs->root)
		path_node_put(fs->root);
	if (fs->cwd)
		path_node_put(fs->cwd);
	heap_free(fs);
}

uint64_t process_peak_pages(const struct process *process)
{
	uint64_t now = process->memory ? address_space_peak_pages(process->memory) : 0;
	return now > process->peak_resident_pages ? now : process->peak_resident_pages;
}

/* Everything but the identity: what a zombie no longer needs. */
static void release_resources(struct process *process)
{
	process_timers_free(process);
	if (process->files)
		file_table_put(process->files);
	process->files = NULL;
	fs_context_put(process->fs);
	process->fs = NULL;
	process->peak_resident_pages = process_peak_pages(process);
	if (process->memory)
		address_space_put(process->memory);
	process->memory = NULL;
	if (process->executable)
		path_node_put(process->executable);
	process->executable = NULL;
	signal_queue_free(process, &process->signal_information);
	signal_actions_put(process->actions);
	process->actions = NULL;
	heap_free(process->command_line);
	process->command_line = NULL;
	process->command_line_bytes = 0;
}

void process_free(struct process *process)
{
	release_resources(process);
	list_remove(&process->sibling_link);
	list_remove(&process->all_link);
	list_remove(&process->hash_link);
	group_list_put(process->credentials.groups);
	pidfd_process_freed(process);
	heap_free(process);
}

void process_become_zombie(struct process *process)
{
	release_resources(process);
	process->zombie = true;
}

void process_reap(struct process *zombie)
{
	struct process *parent = zombie->parent;
	if (parent) {
		parent->child_user_ns += zombie->user_ns + zombie->child_user_ns;
		parent->child_system_ns += zombie->system_ns + zombie->child_system_ns;
	}
	process_free(zombie);
}

void process_vanish(struct process *zombie)
{
	vanished_user_ns += zombie->user_ns + zombie->child_user_ns;
	vanished_system_ns += zombie->system_ns + zombie->child_system_ns;
	process_free(zombie);
}

struct thread *thread_create(struct process *process, int32_t tid, struct hart *hart)
{
	struct thread *thread = heap_alloc_zeroed(sizeof(*thread));
	if (!thread)
		return NULL;
	task_init(&thread->task, hart);
	thread->task.id = (uint32_t)tid;
	thread->process = process;
	thread->tid = tid;
	list_node_init(&thread->process_link);
	list_node_init(&thread->hash_link);
	thread_waiting_init(thread);
	if (thread_waiting_create(thread)) {
		heap_free(thread);
		return NULL;
	}
	return thread;
}

void thread_link(struct thread *thread)
{
	list_push_back(&thread->process->threads, &thread->process_link);
	list_push_back(bucket(thread_buckets, thread->tid), &thread->hash_link);
	thread->process->thread_count++;
	threads_made++;
}

void thread_rename(struct thread *thread, int32_t tid)
{
	int32_t old = thread->tid;
	list_remove(&thread->hash_link);
	thread->tid = tid;
	thread->task.id = (uint32_t)tid;
	list_push_back(bucket(thread_buckets, tid), &thread->hash_link);
	pidfd_thread_ended(thread->process, old);
}

void thread_free_unlinked(struct thread *thread)
{
	thread_waiting_destroy(thread);
	task_kill(&thread->task);
	heap_free(thread);
}

uint64_t process_cpu_ns(struct process *process, uint64_t *user_ns, uint64_t *system_ns)
{
	*user_ns = process->user_ns;
	*system_ns = process->system_ns;
	list_for_each(node, &process->threads)
	{
		struct task *task = &list_entry(node, struct thread, process_link)->task;
		uint64_t total = task_cpu_ns(task);
		uint64_t system = task->system_ns < total ? task->system_ns : total;
		*system_ns += system;
		*user_ns += total - system;
	}
	return *user_ns + *system_ns;
}
