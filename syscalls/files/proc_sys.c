/* /proc/sys and /sys: the few settings and facts that programs look for. */
#include <errno.h>
#include <string.h>

#include "core/console.h"
#include "core/hart.h"
#include "core/memory.h"
#include "syscalls/files/synthetic.h"
#include "syscalls/net.h"
#include "syscalls/process.h"
#include "tcpip/tcp.h"

#define UUID_BYTES 16

static void generate_uuid(struct text *text, const struct path_node *node)
{
	uint8_t bytes[UUID_BYTES];
	static uint8_t boot[UUID_BYTES];
	static bool boot_made;
	random_bytes(bytes, sizeof(bytes));
	if (strcmp(synthetic_item_of(node)->name, "boot_id") == 0) {
		if (!boot_made)
			memcpy(boot, bytes, sizeof(boot));
		boot_made = true;
		memcpy(bytes, boot, sizeof(bytes));
	}
	bytes[6] = (bytes[6] & 0x0f) | 0x40; /* RFC 9562 §5.4: random */
	bytes[8] = (bytes[8] & 0x3f) | 0x80;
	for (int i = 0; i < UUID_BYTES; i++)
		text_printf(text, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
		            bytes[i]);
	text_append(text, "\n", 1);
}

static void generate_file_max(struct text *text, const struct path_node *node)
{
	struct memory_statistics memory;
	(void)node;
	memory_read_statistics(&memory);
	text_printf(text, "%lu\n", (unsigned long)memory.total_pages);
}

static void generate_threads_max(struct text *text, const struct path_node *node)
{
	(void)node;
	text_printf(text, "%u\n", threads_max);
}

static void generate_congestion(struct text *text, const struct path_node *node)
{
	(void)node;
	text_printf(text, "%s\n", tcp_get_default_congestion(net_stack(this_hart())));
}

static long store_congestion(const struct path_node *node, const char *bytes, size_t length)
{
	char name[16] = "";
	(void)node;
	size_t kept = length && bytes[length - 1] == '\n' ? length - 1 : length;
	memcpy(name, bytes, kept < sizeof(name) ? kept : sizeof(name) - 1);
	int error = tcp_set_default_congestion(net_stack(this_hart()), name);
	return error ? error : (long)length;
}

/* Programs that tune what needs no tuning here are believed and not obeyed. */
static long store_ignored(const struct path_node *node, const char *bytes, size_t length)
{
	(void)node, (void)bytes;
	return (long)length;
}

#define TEXT_OF(macro)  TEXT_OF_(macro)
#define TEXT_OF_(value) #value
#define FIXED(file, value)                                                                         \
	{                                                                                          \
		.name = file, .constant = value "\n"                                               \
	}
#define TUNABLE(file, value)                                                                       \
	{                                                                                          \
		.name = file, .mode = S_IFREG | 0644, .constant = value "\n",                      \
		.store = store_ignored                                                             \
	}
#define DIRECTORY(file, table)                                                                     \
	{                                                                                          \
		.name = file, .mode = S_IFDIR | 0555, SYNTHETIC_CHILDREN(table)                    \
	}

static const struct synthetic_item random_items[] = {
	{ .name = "uuid", .generate = generate_uuid },
	{ .name = "boot_id", .generate = generate_uuid },
	FIXED("entropy_avail", "256"),
	FIXED("poolsize", "256"),
};
static const struct synthetic_item kernel_items[] = {
	FIXED("osrelease", "6.12.0-hartloop"),
	FIXED("ostype", "Linux"),
	FIXED("version", "#1 Hartloop"),
	FIXED("pid_max", TEXT_OF(PID_MAX)),
	{ .name = "threads-max", .generate = generate_threads_max },
	FIXED("ngroups_max", "32"),
	FIXED("cap_last_cap", "40"),
	FIXED("randomize_va_space", "0"),
	TUNABLE("core_pattern", "core"),
	DIRECTORY("random", random_items),
};
static const struct synthetic_item vm_items[] = {
	TUNABLE("overcommit_memory", "1"), TUNABLE("overcommit_ratio", "50"),
	TUNABLE("swappiness", "0"),        FIXED("max_map_count", "65530"),
	FIXED("mmap_min_addr", "65536"),
};
static const struct synthetic_item fs_items[] = {
	{ .name = "file-max", .generate = generate_file_max },
	FIXED("nr_open", TEXT_OF(OPEN_FILES_MAX)),
	FIXED("pipe-max-size", "1048576"),
};
static const struct synthetic_item core_items[] = {
	TUNABLE("somaxconn", "4096"),      TUNABLE("rmem_max", "212992"),
	TUNABLE("wmem_max", "212992"),     TUNABLE("rmem_default", "212992"),
	TUNABLE("wmem_default", "212992"),
};
static const struct synthetic_item ipv4_items[] = {
	TUNABLE("ip_local_port_range", "32768\t60999"),
	{ .name = "tcp_congestion_control",
	  .mode = S_IFREG | 0644,
	  .generate = generate_congestion,
	  .store = store_congestion },
	FIXED("tcp_available_congestion_control", "reno cubic"),
	TUNABLE("tcp_allowed_congestion_control", "reno cubic"),
	TUNABLE("tcp_rmem", "4096\t131072\t6291456"),
	TUNABLE("tcp_wmem", "4096\t16384\t4194304"),
	TUNABLE("tcp_max_syn_backlog", "4096"),
	TUNABLE("tcp_syncookies", "1"),
	TUNABLE("tcp_fin_timeout", "60"),
	TUNABLE("tcp_tw_reuse", "1"),
	FIXED("ip_forward", "0"),
	FIXED("ip_unprivileged_port_start", "1024"),
	FIXED("tcp_keepalive_time", "7200"),
	FIXED("tcp_keepalive_intvl", "75"),
	FIXED("tcp_keepalive_probes", "9"),
};
static const struct synthetic_item net_items[] = {
	DIRECTORY("core", core_items),
	DIRECTORY("ipv4", ipv4_items),
};
const struct synthetic_item proc_sys_items[PROC_SYS_ITEMS] = {
	DIRECTORY("kernel", kernel_items),
	DIRECTORY("vm", vm_items),
	DIRECTORY("fs", fs_items),
	DIRECTORY("net", net_items),
};

/* ---- /sys ---- */

static const struct synthetic_item huge_items[] = {
	FIXED("enabled", "always madvise [never]"),
	FIXED("defrag", "always defer defer+madvise madvise [never]"),
	FIXED("hpage_pmd_size", "2097152"),
};
static const struct synthetic_item mm_items[] = { DIRECTORY("transparent_hugepage", huge_items) };
static const struct synthetic_item sys_kernel_items[] = { DIRECTORY("mm", mm_items) };
static const struct synthetic_item source_items[] = {
	FIXED("current_clocksource", "riscv_clocksource"),
	FIXED("available_clocksource", "riscv_clocksource "),
};
static const struct synthetic_item sources_items[] = { DIRECTORY("clocksource0", source_items) };
/* Programs run on the boot hart: it is the one that they see. */
static const struct synthetic_item cpu_items[] = {
	FIXED("online", "0"),
	FIXED("possible", "0"),
	FIXED("present", "0"),
};
static const struct synthetic_item node0_items[] = { FIXED("cpulist", "0") };
static const struct synthetic_item nodes_items[] = { DIRECTORY("node0", node0_items),
	                                             FIXED("online", "0") };
static const struct synthetic_item system_items[] = {
	DIRECTORY("clocksource", sources_items),
	DIRECTORY("cpu", cpu_items),
	DIRECTORY("node", nodes_items),
};
static const struct synthetic_item devices_items[] = { DIRECTORY("system", system_items) };
static const struct synthetic_item loopback_items[] = {
	FIXED("address", "00:00:00:00:00:00"),
	FIXED("mtu", "65536"),
	FIXED("operstate", "unknown"),
	FIXED("type", "772"),
};
static const struct synthetic_item network_items[] = { DIRECTORY("lo", loopback_items) };
static const struct synthetic_item class_items[] = { DIRECTORY("net", network_items) };
static const struct synthetic_item sysfs_items[] = {
	DIRECTORY("kernel", sys_kernel_items),
	DIRECTORY("devices", devices_items),
	DIRECTORY("class", class_items),
};

const struct synthetic_item sysfs_item = DIRECTORY("sys", sysfs_items);
