/* /proc/PID and /proc/PID/task/TID (proc(5)). */
#include <errno.h>
#include <string.h>

#include "core/console.h"
#include "syscalls/files/path.h"
#include "syscalls/files/proc_times.h"
#include "syscalls/files/synthetic.h"
#include "syscalls/memory.h"
#include "syscalls/process.h"

#define OWN_NAME_BYTES 15
#define SCORE_MAX      1000

static struct process *process_of(const struct path_node *node)
{
	return process_find(node->special.pid);
}

/* The thread of a task directory, else the process's first; NULL for a zombie. */
static struct thread *thread_of_node(const struct path_node *node)
{
	if (node->special.tid)
		return thread_find(node->special.tid);
	struct process *process = process_of(node);
	if (!process || list_is_empty(&process->threads))
		return NULL;
	return list_entry(list_first(&process->threads), struct thread, process_link);
}

static char state_letter(const struct process *process, const struct thread *thread)
{
	if (process->zombie || !thread)
		return 'Z';
	if (process->stopped)
		return 'T';
	return thread->task.state == TASK_PARKED ? 'S' : 'R';
}

static const char *state_name(char letter)
{
	switch (letter) {
	case 'R':
		return "running";
	case 'S':
		return "sleeping";
	case 'T':
		return "stopped";
	default:
		return "zombie";
	}
}

static const char *name_of(const struct process *process, const struct thread *thread)
{
	return thread ? thread->name : process->name;
}

static void usage_of(const struct process *process, uint64_t *mapped_bytes, uint64_t *resident)
{
	*mapped_bytes = *resident = 0;
	if (process->memory)
		address_space_usage(process->memory, mapped_bytes, resident);
}

static void generate_stat(struct text *text, const struct path_node *node)
{
	struct process *process = process_of(node);
	const struct thread *thread = thread_of_node(node);
	struct process_times times;
	uint64_t mapped, resident;
	if (!process)
		return;
	process_times(process, &times);
	usage_of(process, &mapped, &resident);
	text_printf(text,
	            "%d (%s) %c %d %d %d 0 -1 4194304 %lu 0 0 0 %lu %lu %lu %lu 20 0 %u 0 %lu ",
	            node->special.tid ? node->special.tid : process->pid, name_of(process, thread),
	            state_letter(process, thread), process->parent ? process->parent->pid : 0,
	            process->group_id, process->session_id, (unsigned long)process->minor_faults,
	            (unsigned long)(times.user_ns / NS_PER_TICK),
	            (unsigned long)(times.system_ns / NS_PER_TICK),
	            (unsigned long)(process->child_user_ns / NS_PER_TICK),
	            (unsigned long)(process->child_system_ns / NS_PER_TICK), process->thread_count,
	            (unsigned long)(process->start_ns / NS_PER_TICK));
	text_printf(text, "%lu %lu %lu 0 0 0 0 0 0 0 0 0 0 0 0 %d 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n",
	            (unsigned long)mapped, (unsigned long)resident,
	            (unsigned long)process->limits[LIMIT_RSS].soft, process->exit_signal);
}

static void generate_statm(struct text *text, const struct path_node *node)
{
	struct process *process = process_of(node);
	uint64_t mapped, resident;
	if (!process)
		return;
	usage_of(process, &mapped, &resident);
	text_printf(text, "%lu %lu 0 0 0 %lu 0\n", (unsigned long)(mapped / PAGE_SIZE),
	            (unsigned long)resident, (unsigned long)(mapped / PAGE_SIZE));
}

static void status_memory(struct text *text, const struct process *process)
{
	uint64_t mapped, resident;
	usage_of(process, &mapped, &resident);
	uint64_t peak_mapped = process->memory ? address_space_peak_bytes(process->memory) : 0;
	uint64_t peak = process->memory ? address_space_peak_pages(process->memory) : 0;
	text_printf(text, "VmPeak:\t%8lu kB\nVmSize:\t%8lu kB\nVmHWM:\t%8lu kB\nVmRSS:\t%8lu kB\n",
	            (unsigned long)(peak_mapped / 1024), (unsigned long)(mapped / 1024),
	            (unsigned long)(peak * 4), (unsigned long)(resident * 4));
}

static void generate_status(struct text *text, const struct path_node *node)
{
	struct process *process = process_of(node);
	const struct thread *thread = thread_of_node(node);
	if (!process)
		return;
	const struct credentials *ids = &process->credentials;
	char letter = state_letter(process, thread);
	uint32_t mask = process->fs ? process->fs->umask : 0;
	text_printf(text,
	            "Name:\t%s\nUmask:\t0%u%u%u\nState:\t%c (%s)\nTgid:\t%d\nNgid:\t0\nPid:\t%d\n"
	            "PPid:\t%d\nTracerPid:\t0\n",
	            name_of(process, thread), mask >> 6 & 7, mask >> 3 & 7, mask & 7, letter,
	            state_name(letter), process->pid,
	            node->special.tid ? node->special.tid : process->pid,
	            process->parent ? process->parent->pid : 0);
	text_printf(text, "Uid:\t%u\t%u\t%u\t%u\nGid:\t%u\t%u\t%u\t%u\nFDSize:\t%u\nGroups:\t",
	            ids->uid, ids->euid, ids->suid, ids->fsuid, ids->gid, ids->egid, ids->sgid,
	            ids->fsgid, process->files ? process->files->capacity : 0);
	for (uint32_t i = 0; ids->groups && i < ids->groups->count; i++)
		text_printf(text, "%u ", ids->groups->gid[i]);
	text_append(text, "\n", 1);
	if (!process->zombie)
		status_memory(text, process);
	text_printf(text, "Threads:\t%u\nShdPnd:\t%016lx\n", process->thread_count,
	            (unsigned long)process->pending);
	if (thread)
		text_printf(text, "SigPnd:\t%016lx\nSigBlk:\t%016lx\n",
		            (unsigned long)thread->pending, (unsigned long)thread->blocked);
	text_printf(text,
	            "CapPrm:\t%016lx\nCapEff:\t%016lx\nNoNewPrivs:\t0\nSeccomp:\t0\n"
	            "voluntary_ctxt_switches:\t%lu\nnonvoluntary_ctxt_switches:\t0\n",
	            (unsigned long)ids->capabilities, (unsigned long)ids->capabilities,
	            (unsigned long)process->voluntary_switches);
}

static void generate_command_line(struct text *text, const struct path_node *node)
{
	const struct process *process = process_of(node);
	if (process && process->command_line)
		text_append(text, process->command_line, process->command_line_bytes);
}

static void generate_maps(struct text *text, const struct path_node *node)
{
	const struct process *process = process_of(node);
	if (process && process->memory)
		address_space_describe(process->memory,
		                       strcmp(synthetic_item_of(node)->name, "smaps") == 0,
		                       text_emit, text);
}

static void generate_comm(struct text *text, const struct path_node *node)
{
	const struct process *process = process_of(node);
	if (process)
		text_printf(text, "%s\n", name_of(process, thread_of_node(node)));
}

static long store_comm(const struct path_node *node, const char *bytes, size_t length)
{
	struct process *process = process_of(node);
	struct thread *thread = thread_of_node(node);
	if (!process || !thread)
		return -ESRCH;
	size_t kept = strnlen(bytes, length < OWN_NAME_BYTES ? length : OWN_NAME_BYTES);
	if (kept && bytes[kept - 1] == '\n')
		kept--;
	memcpy(thread->name, bytes, kept);
	thread->name[kept] = 0;
	if (thread->tid == process->pid)
		memcpy(process->name, thread->name, sizeof(process->name));
	return (long)length;
}

static void generate_limits(struct text *text, const struct path_node *node)
{
	static const struct {
		const char *name, *unit;
	} names[LIMITS] = {
		[LIMIT_CPU] = { "Max cpu time", "seconds" },
		[LIMIT_FSIZE] = { "Max file size", "bytes" },
		[LIMIT_DATA] = { "Max data size", "bytes" },
		[LIMIT_STACK] = { "Max stack size", "bytes" },
		[LIMIT_CORE] = { "Max core file size", "bytes" },
		[LIMIT_RSS] = { "Max resident set", "bytes" },
		[LIMIT_NPROC] = { "Max processes", "processes" },
		[LIMIT_NOFILE] = { "Max open files", "files" },
		[LIMIT_MEMLOCK] = { "Max locked memory", "bytes" },
		[LIMIT_AS] = { "Max address space", "bytes" },
		[LIMIT_LOCKS] = { "Max file locks", "locks" },
		[LIMIT_SIGPENDING] = { "Max pending signals", "signals" },
		[LIMIT_MSGQUEUE] = { "Max msgqueue size", "bytes" },
		[LIMIT_NICE] = { "Max nice priority", "" },
		[LIMIT_RTPRIO] = { "Max realtime priority", "" },
		[LIMIT_RTTIME] = { "Max realtime timeout", "us" },
	};
	const struct process *process = process_of(node);
	if (!process)
		return;
	text_printf(text, "%-26s%-21s%-21s%-10s\n", "Limit", "Soft Limit", "Hard Limit", "Units");
	for (int i = 0; i < LIMITS; i++) {
		char value[2][24];
		const uint64_t both[2] = { process->limits[i].soft, process->limits[i].hard };
		for (int which = 0; which < 2; which++) {
			if (both[which] == UINT64_MAX)
				format_string(value[which], sizeof(value[which]), "unlimited");
			else
				format_string(value[which], sizeof(value[which]), "%lu",
				              (unsigned long)both[which]);
		}
		text_printf(text, "%-26s%-21s%-21s%-10s\n", names[i].name, value[0], value[1],
		            names[i].unit);
	}
}

/* Kept for the programs that insist on writing it: there is no out-of-memory killer that would read
 * it. */
static long store_score(const struct path_node *node, const char *bytes, size_t length)
{
	bool negative = length && bytes[0] == '-';
	size_t digits = length;
	(void)node;
	while (digits && (bytes[digits - 1] == '\n' || bytes[digits - 1] == ' '))
		digits--;
	if (digits < (size_t)negative)
		return -EINVAL;
	int64_t value = parse_decimal(bytes + negative, digits - negative);
	return value < 0 || value > SCORE_MAX ? -EINVAL : (long)length;
}

/* ---- links ---- */

static int follow_node(struct path_node *target, struct path_node **to)
{
	if (!target)
		return -ENOENT;
	*to = path_node_get(target);
	return 0;
}

static struct path_node *executable_of(const struct path_node *node)
{
	const struct process *process = process_of(node);
	return process ? process->executable : NULL;
}

static int exe_read_link(struct path_node *node, char *out, size_t room)
{
	struct path_node *target = executable_of(node);
	return target ? path_name(target, out, room) : -ENOENT;
}

static int exe_follow(struct path_node *node, struct path_node **to, struct file **file)
{
	(void)file;
	return follow_node(executable_of(node), to);
}

static struct path_node *directory_of(const struct path_node *node)
{
	const struct process *process = process_of(node);
	if (!process || !process->fs)
		return NULL;
	return strcmp(synthetic_item_of(node)->name, "cwd") == 0 ? process->fs->cwd
	                                                         : process->fs->root;
}

static int directory_read_link(struct path_node *node, char *out, size_t room)
{
	struct path_node *target = directory_of(node);
	return target ? path_name(target, out, room) : -ENOENT;
}

static int directory_follow(struct path_node *node, struct path_node **to, struct file **file)
{
	(void)file;
	return follow_node(directory_of(node), to);
}

/* ---- tasks ---- */

static const struct synthetic_item task_items[] = {
	{ .name = "comm", .mode = S_IFREG | 0644, .generate = generate_comm, .store = store_comm },
	{ .name = "stat", .generate = generate_stat },
	{ .name = "status", .generate = generate_status },
	{ .name = "cmdline", .generate = generate_command_line },
	{ .name = "maps", .generate = generate_maps },
};
static const struct synthetic_item task_item = { .name = "task",
	                                         .mode = S_IFDIR | 0555,
	                                         SYNTHETIC_CHILDREN(task_items) };

static int tasks_lookup(struct path_node *directory, const char *name, size_t length,
                        struct path_node **out)
{
	int64_t tid = parse_decimal(name, length);
	const struct thread *thread = tid > 0 ? thread_find((int32_t)tid) : NULL;
	if (!thread || thread->process->pid != directory->special.pid)
		return -ENOENT;
	int error = synthetic_node(directory, &task_item, name, length, out);
	if (!error)
		(*out)->special.tid = (int32_t)tid;
	return error;
}

static int tasks_list(struct path_node *directory, uint64_t *position, char *name, uint64_t *inode,
                      uint32_t *mode)
{
	const struct process *process = process_of(directory);
	uint64_t best = UINT64_MAX;
	if (!process)
		return 0;
	list_for_each(link, &process->threads)
	{
		uint64_t tid = (uint64_t)list_entry(link, struct thread, process_link)->tid;
		if (tid >= *position && tid < best)
			best = tid;
	}
	if (best == UINT64_MAX)
		return 0;
	*position = best + 1;
	*inode = (best << 20) + 1;
	*mode = S_IFDIR;
	return format_string(name, NAME_BYTES_MAX, "%d", (int)best);
}

#define MOUNTS                                                                                     \
	"tmpfs / tmpfs rw,noatime 0 0\nproc /proc proc rw,relatime 0 0\nsysfs /sys sysfs "         \
	"rw,relatime 0 0\n"
#define MOUNT_INFORMATION                                                                          \
	"1 1 0:1 / / rw,noatime - tmpfs tmpfs rw\n2 1 0:2 / /proc rw,relatime - proc proc rw\n"    \
	"3 1 0:3 / /sys rw,relatime - sysfs sysfs rw\n"

static const struct synthetic_item process_items[] = {
	{ .name = "cmdline", .generate = generate_command_line },
	{ .name = "comm", .mode = S_IFREG | 0644, .generate = generate_comm, .store = store_comm },
	{ .name = "stat", .generate = generate_stat },
	{ .name = "statm", .generate = generate_statm },
	{ .name = "status", .generate = generate_status },
	{ .name = "maps", .generate = generate_maps },
	{ .name = "smaps", .generate = generate_maps },
	{ .name = "limits", .generate = generate_limits },
	{ .name = "mounts", .constant = MOUNTS, .polled = true },
	{ .name = "mountinfo", .constant = MOUNT_INFORMATION, .polled = true },
	{ .name = "cgroup", .constant = "0::/\n" },
	{ .name = "oom_score", .constant = "0\n" },
	{ .name = "oom_score_adj",
	  .mode = S_IFREG | 0644,
	  .constant = "0\n",
	  .store = store_score },
	{ .name = "exe", .mode = S_IFLNK | 0777, .read_link = exe_read_link, .follow = exe_follow },
	{ .name = "cwd",
	  .mode = S_IFLNK | 0777,
	  .read_link = directory_read_link,
	  .follow = directory_follow },
	{ .name = "root",
	  .mode = S_IFLNK | 0777,
	  .read_link = directory_read_link,
	  .follow = directory_follow },
	{ .name = "fd",
	  .mode = S_IFDIR | 0500,
	  .lookup = proc_descriptors_lookup,
	  .list = proc_descriptors_list },
	{ .name = "fdinfo",
	  .mode = S_IFDIR | 0555,
	  .lookup = proc_descriptors_lookup,
	  .list = proc_descriptors_list },
	{ .name = "task", .mode = S_IFDIR | 0555, .lookup = tasks_lookup, .list = tasks_list },
};

const struct synthetic_item proc_process_item = { .name = "process",
	                                          .mode = S_IFDIR | 0555,
	                                          SYNTHETIC_CHILDREN(process_items) };
