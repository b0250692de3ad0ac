/* The top of /proc: what concerns the whole machine, and a directory per process. */
#include "syscalls/files/proc.h"

#include <errno.h>
#include <string.h>

#include "core/boot.h"
#include "core/clock.h"
#include "core/console.h"
#include "core/cpu.h"
#include "core/memory.h"
#include "syscalls/files/proc_times.h"
#include "syscalls/files/synthetic.h"
#include "syscalls/memory.h"
#include "syscalls/net.h"
#include "syscalls/process.h"
#include "syscalls/syscall.h"

static void meminfo_line(struct text *text, const char *name, uint64_t bytes)
{
	text_printf(text, "%s:%s%8lu kB\n", name,
	            "                " + (strlen(name) < 15 ? strlen(name) + 1 : 15),
	            (unsigned long)(bytes / 1024));
}

/* Linux's lines in Linux's order, then what it has no lines for. What a use is not known of is
 * AnonPages. */
static void generate_meminfo(struct text *text, const struct path_node *node)
{
	struct memory_statistics memory;
	uint64_t packets_held, packets_used;
	(void)node;
	memory_read_statistics(&memory);
	net_packet_bytes(&packets_held, &packets_used);
	uint64_t used = memory.total_pages - memory.free_pages, programs = used;
	for (unsigned use = 0; use < PAGE_USES; use++)
		programs -= memory.used_pages[use];
	uint64_t free_bytes = memory.free_pages * PAGE_SIZE,
	         files = memory.used_pages[PAGES_OF_FILES] * PAGE_SIZE;
	const struct {
		const char *name;
		uint64_t bytes;
	} lines[] = {
		{ "MemTotal", memory.total_pages * PAGE_SIZE },
		{ "MemFree", free_bytes },
		{ "MemAvailable", free_bytes + packets_held - packets_used },
		{ "Buffers", 0 },
		{ "Cached", files },
		{ "SwapCached", 0 },
		{ "SwapTotal", 0 },
		{ "SwapFree", 0 },
		{ "AnonPages", programs * PAGE_SIZE },
		{ "Shmem", files },
		{ "Slab", memory.used_pages[PAGES_OF_HEAP] * PAGE_SIZE },
		{ "PageTables", memory.used_pages[PAGES_OF_TABLES] * PAGE_SIZE },
		{ "CommitLimit", memory.total_pages * PAGE_SIZE },
		{ "Committed_AS", used * PAGE_SIZE },
		{ "KernelFixed", memory.used_pages[PAGES_OF_KERNEL] * PAGE_SIZE },
		{ "PacketPool", memory.used_pages[PAGES_OF_PACKETS] * PAGE_SIZE },
		{ "PacketsUsed", packets_used },
	};
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		meminfo_line(text, lines[i].name, lines[i].bytes);
	text_printf(text,
	            "HugePages_Total:   %5d\nHugePages_Free:    %5d\nHugepagesize:   %8d kB\n", 0,
	            0, 2048);
}

void process_times(struct process *process, struct process_times *out)
{
	out->user_ns = process->user_ns;
	out->system_ns = process->system_ns;
	list_for_each(link, &process->threads)
	{
		struct thread *thread = list_entry(link, struct thread, process_link);
		out->user_ns += thread->task.user_ns;
		out->system_ns += thread->task.system_ns;
	}
}

static void machine_times(struct process_times *out, unsigned *processes, unsigned *running)
{
	*out = (struct process_times){ vanished_user_ns, vanished_system_ns };
	*processes = *running = 0;
	list_for_each(link, &all_processes)
	{
		struct process *process = list_entry(link, struct process, all_link);
		struct process_times times;
		process_times(process, &times);
		out->user_ns += times.user_ns + process->child_user_ns;
		out->system_ns += times.system_ns + process->child_system_ns;
		++*processes;
		list_for_each(thread_link, &process->threads)
		{
			const struct thread *thread =
			        list_entry(thread_link, struct thread, process_link);
			*running += thread->task.state == TASK_RUNNABLE ||
			            thread->task.state == TASK_RUNNING;
		}
	}
}

/* Programs run on the boot hart: it is the one that they see. */
static uint64_t steal_ns(void)
{
	return steal_total_ns(&harts[0]->steal);
}

static uint64_t idle_ns(const struct process_times *times)
{
	uint64_t all_ns = clock_read_ns();
	uint64_t busy_ns = times->user_ns + times->system_ns + steal_ns();
	return all_ns > busy_ns ? all_ns - busy_ns : 0;
}

static void generate_stat(struct text *text, const struct path_node *node)
{
	struct process_times times;
	unsigned processes, running;
	uint64_t interrupts = 0, switches = 0;
	(void)node;
	machine_times(&times, &processes, &running);
	unsigned long user = (unsigned long)(times.user_ns / NS_PER_TICK);
	unsigned long system = (unsigned long)(times.system_ns / NS_PER_TICK);
	unsigned long idle = (unsigned long)(idle_ns(&times) / NS_PER_TICK);
	unsigned long steal = (unsigned long)(steal_ns() / NS_PER_TICK);
	text_printf(text, "cpu  %lu 0 %lu %lu 0 0 0 %lu 0 0\n", user, system, idle, steal);
	text_printf(text, "cpu0 %lu 0 %lu %lu 0 0 0 %lu 0 0\n", user, system, idle, steal);
	for (uint32_t i = 0; i < hart_count; i++) {
		interrupts += harts[i]->statistics.interrupts;
		switches += harts[i]->statistics.task_switches;
	}
	text_printf(text,
	            "intr %lu\nctxt %lu\nbtime %lu\nprocesses %lu\nprocs_running %u\n"
	            "procs_blocked 0\n",
	            (unsigned long)interrupts, (unsigned long)switches,
	            (unsigned long)(clock_parameters.wall_offset_ns / 1000000000),
	            (unsigned long)threads_made, running);
}

static void generate_uptime(struct text *text, const struct path_node *node)
{
	struct process_times times;
	unsigned processes, running;
	(void)node;
	machine_times(&times, &processes, &running);
	uint64_t up = clock_read_ns() / 10000000, idle = idle_ns(&times) / 10000000;
	text_printf(text, "%lu.%02lu %lu.%02lu\n", (unsigned long)(up / 100),
	            (unsigned long)(up % 100), (unsigned long)(idle / 100),
	            (unsigned long)(idle % 100));
}

static void generate_loadavg(struct text *text, const struct path_node *node)
{
	struct process_times times;
	unsigned processes, running;
	(void)node;
	machine_times(&times, &processes, &running);
	text_printf(text, "0.00 0.00 0.00 %u/%u %d\n", running, processes,
	            current_thread()->process->pid);
}

static void generate_cpuinfo(struct text *text, const struct path_node *node)
{
	static const char order[] = "imafdqcbvh"; /* the ISA manual's */
	char isa[sizeof(order) + 4] = "rv64";
	size_t length = 4;
	(void)node;
	for (const char *letter = order; *letter; letter++) {
		if (cpu_isa_letters >> (*letter - 'a') & 1)
			isa[length++] = *letter;
	}
	isa[length] = 0;
	text_printf(text, "processor\t: 0\nhart\t\t: %lu\nisa\t\t: %s\nmmu\t\t: sv39\n\n",
	            (unsigned long)current_thread()->task.hart->hartid, isa);
}

static void generate_command_line(struct text *text, const struct path_node *node)
{
	(void)node;
	text_emit(text, boot_information.command_line);
	text_append(text, "\n", 1);
}

static int self_link(struct path_node *node, char *out, size_t room)
{
	(void)node;
	return format_string(out, room, "%d", current_thread()->process->pid);
}

static int thread_self_link(struct path_node *node, char *out, size_t room)
{
	struct thread *thread = current_thread();
	(void)node;
	return format_string(out, room, "%d/task/%d", thread->process->pid, thread->tid);
}

static int mounts_link(struct path_node *node, char *out, size_t room)
{
	(void)node;
	return format_string(out, room, "self/mounts");
}

static int process_lookup(struct path_node *directory, const char *name, size_t length,
                          struct path_node **out)
{
	int64_t pid = parse_decimal(name, length);
	if (pid <= 0 || !process_find((int32_t)pid))
		return -ENOENT;
	int error = synthetic_node(directory, &proc_process_item, name, length, out);
	if (!error) {
		(*out)->special.pid = (int32_t)pid;
		(*out)->uid = process_find((int32_t)pid)->credentials.euid;
		(*out)->gid = process_find((int32_t)pid)->credentials.egid;
	}
	return error;
}

/* In the order of pids: the smallest that is not below the position. */
static int process_list(struct path_node *directory, uint64_t *position, char *name,
                        uint64_t *inode, uint32_t *mode)
{
	uint64_t best = UINT64_MAX;
	(void)directory;
	list_for_each(link, &all_processes)
	{
		uint64_t pid = (uint64_t)list_entry(link, struct process, all_link)->pid;
		if (pid >= *position && pid < best)
			best = pid;
	}
	if (best == UINT64_MAX)
		return 0;
	*position = best + 1;
	*inode = best << 20;
	*mode = S_IFDIR;
	return format_string(name, NAME_BYTES_MAX, "%d", (int)best);
}

#define VERSION "Linux version 6.12.0-hartloop (hartloop) (gcc) #1 Hartloop\n"

static const struct synthetic_item top_items[] = {
	{ .name = "self", .mode = S_IFLNK | 0777, .read_link = self_link },
	{ .name = "thread-self", .mode = S_IFLNK | 0777, .read_link = thread_self_link },
	{ .name = "mounts", .mode = S_IFLNK | 0777, .read_link = mounts_link },
	{ .name = "meminfo", .generate = generate_meminfo },
	{ .name = "stat", .generate = generate_stat },
	{ .name = "uptime", .generate = generate_uptime },
	{ .name = "loadavg", .generate = generate_loadavg },
	{ .name = "cpuinfo", .generate = generate_cpuinfo },
	{ .name = "version", .constant = VERSION },
	{ .name = "cmdline", .generate = generate_command_line },
	{ .name = "filesystems", .constant = "nodev\ttmpfs\nnodev\tproc\nnodev\tsysfs\n" },
	{ .name = "swaps", .constant = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n" },
	{ .name = "devices",
	  .constant = "Character devices:\n  1 mem\n  4 ttyS\n  5 /dev/tty\n  5 /dev/console\n\n"
	              "Block devices:\n" },
	{ .name = "net",
	  .mode = S_IFDIR | 0555,
	  .children = proc_net_items,
	  .child_count = PROC_NET_ITEMS },
	{ .name = "sys",
	  .mode = S_IFDIR | 0555,
	  .children = proc_sys_items,
	  .child_count = PROC_SYS_ITEMS },
};

static const struct synthetic_item top_item = { .name = "proc",
	                                        .mode = S_IFDIR | 0555,
	                                        SYNTHETIC_CHILDREN(top_items),
	                                        .lookup = process_lookup,
	                                        .list = process_list };

int proc_init(struct path_node *root)
{
	int error = synthetic_mount(root, "proc", &top_item);
	return error ? error : synthetic_mount(root, "sys", &sysfs_item);
}
