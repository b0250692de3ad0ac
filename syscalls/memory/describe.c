/* The text of /proc/PID/maps and smaps (proc_pid_maps(5), proc_pid_smaps(5)). */
#include "syscalls/memory/space.h"

struct counts {
	uint64_t resident, private_dirty, shared_clean;
};

static enum page_step count_page(void *context, struct user_addr address, page_slot *slot)
{
	struct counts *counts = context;
	(void)address;
	counts->resident++;
	if (page_of(phys_to_virt(page_slot_read(slot).page))->refs == 1)
		counts->private_dirty++;
	else
		counts->shared_clean++;
	return PAGE_KEPT;
}

static void emit_line(struct address_space *space, const struct mapping *mapping,
                      void (*emit)(void *context, const char *line), void *context)
{
	char line[384], path[256] = "";
	struct file_status status = { 0 };
	if (mapping->file && mapping->file->operations->status)
		mapping->file->operations->status(mapping->file, &status);
	if (mapping->file && mapping->file->node)
		path_name(mapping->file->node, path, sizeof(path));
	const char *name = path;
	if (mapping->name)
		name = mapping->name;
	else if (!mapping->file && mapping->start >= space->heap_start &&
	         mapping->start < space->heap_end)
		name = "[heap]";
	format_string(line, sizeof(line), "%08lx-%08lx %c%c%c%c %08lx %02x:%02x %-26lu %s\n",
	              mapping->start, mapping->end, mapping->protection & PROT_READ ? 'r' : '-',
	              mapping->protection & PROT_WRITE ? 'w' : '-',
	              mapping->protection & PROT_EXEC ? 'x' : '-', mapping->shared ? 's' : 'p',
	              mapping->file ? mapping->offset : 0, (unsigned)(status.device >> 8),
	              (unsigned)(status.device & 0xff), (unsigned long)status.inode, name);
	emit(context, line);
}

static void emit_kib(const char *label, uint64_t pages,
                     void (*emit)(void *context, const char *line), void *context)
{
	char line[64];
	format_string(line, sizeof(line), "%s:%s%lu kB\n", label,
	              "            " + (strlen(label) < 12 ? strlen(label) : 12),
	              (unsigned long)(pages * (PAGE_SIZE / 1024)));
	emit(context, line);
}

void address_space_describe(const struct address_space *space, bool detailed,
                            void (*emit)(void *context, const char *line), void *context)
{
	struct address_space *mutable = (struct address_space *)(uintptr_t)space;
	list_for_each(node, &space->mappings.order)
	{
		const struct mapping *mapping = list_entry(node, struct mapping, link);
		emit_line(mutable, mapping, emit, context);
		if (!detailed)
			continue;
		struct counts counts = { 0 };
		page_walk(&mutable->table, user(mapping->start), user(mapping->end), count_page,
		          &counts);
		bool anonymous = !mapping->file && !mapping->kernel_pages;
		emit_kib("Size", (mapping->end - mapping->start) / PAGE_SIZE, emit, context);
		emit_kib("Rss", counts.resident, emit, context);
		emit_kib("Pss", counts.resident, emit, context);
		emit_kib("Shared_Clean", counts.shared_clean, emit, context);
		emit_kib("Shared_Dirty", 0, emit, context);
		emit_kib("Private_Clean", 0, emit, context);
		emit_kib("Private_Dirty", counts.private_dirty, emit, context);
		emit_kib("Referenced", counts.resident, emit, context);
		emit_kib("Anonymous", anonymous ? counts.resident : counts.private_dirty, emit,
		         context);
		emit_kib("AnonHugePages", 0, emit, context);
		emit_kib("Swap", 0, emit, context);
		emit_kib("Locked", mapping->locked ? counts.resident : 0, emit, context);
	}
}
