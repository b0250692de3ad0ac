#include "perf/insn_count/events.h"

#include <stdatomic.h>

#include "perf/insn_count/decode.h"
#include "perf/insn_count/registers.h"
#include "perf/insn_count/stacks.h"

/* QEMU's virt machine: eight virtio-mmio transports (QueueNotify: virtio 1.2 §4.2.2), and PCI's
 * windows for memory, in which drivers store 2 bytes only to notify a queue (§4.1.5.2). */
#define MMIO_START        0x10001000ull
#define MMIO_END          0x10009000ull
#define MMIO_STRIDE       0x1000
#define MMIO_QUEUE_NOTIFY 0x50
#define PCI_START         0x40000000ull
#define PCI_END           0x80000000ull
#define PCI_HIGH_START    0x400000000ull
#define PCI_HIGH_END      0x800000000ull

#define SSTATUS_SPP       (1 << 8)
#define INTERRUPT         (1ull << 63)
#define TRAP_HANDLERS_MAX 8 /* a kernel sets some on its way to the one that it keeps */

const char *const event_names[EVENTS] = { "kicks", "interrupts" };

static qemu_plugin_u64 counters;
static bool with_events, with_stacks;
static _Atomic uint64_t trap_handlers[TRAP_HANDLERS_MAX];

void events_start(qemu_plugin_u64 where, bool wanted, bool stacks)
{
	counters = where;
	with_events = wanted;
	with_stacks = stacks;
}

static void add(unsigned hart, unsigned event)
{
	qemu_plugin_u64 counter = counters;
	counter.offset += event * sizeof(uint64_t);
	qemu_plugin_u64_add(counter, hart, 1);
}

static void stored(unsigned hart, qemu_plugin_meminfo_t info, uint64_t address, void *two_bytes)
{
	const struct qemu_plugin_hwaddr *place = qemu_plugin_get_hwaddr(info, address);
	if (!place || !qemu_plugin_hwaddr_is_io(place))
		return;
	uint64_t physical = qemu_plugin_hwaddr_phys_addr(place);
	bool pci = (physical >= PCI_START && physical < PCI_END) ||
	           (physical >= PCI_HIGH_START && physical < PCI_HIGH_END);
	bool mmio = physical >= MMIO_START && physical < MMIO_END &&
	            physical % MMIO_STRIDE == MMIO_QUEUE_NOTIFY;
	if (mmio || (pci && two_bytes))
		add(hart, EVENT_KICKS);
}

static void handler_set(unsigned hart, void *source_register)
{
	(void)hart;
	uint64_t handler = register_read((unsigned)(uintptr_t)source_register) & ~3ull;
	for (unsigned i = 0; i < TRAP_HANDLERS_MAX; i++) {
		uint64_t known = 0;
		if (atomic_compare_exchange_strong(&trap_handlers[i], &known, handler) ||
		    known == handler)
			return;
	}
}

static bool is_trap_handler(uint64_t address)
{
	for (unsigned i = 0; i < TRAP_HANDLERS_MAX; i++)
		if (atomic_load_explicit(&trap_handlers[i], memory_order_relaxed) == address)
			return address != 0;
	return false;
}

static void trapped(unsigned hart, void *unused)
{
	(void)unused;
	uint64_t cause = register_read(REGISTER_SCAUSE);
	if (cause & INTERRUPT)
		add(hart, EVENT_INTERRUPTS);
	if (with_stacks)
		stacks_trap(hart, cause, register_read(REGISTER_SSTATUS) & SSTATUS_SPP);
}

void events_instrument(struct qemu_plugin_insn *insn, uint64_t address, uint32_t code)
{
	if (is_trap_handler(address))
		qemu_plugin_register_vcpu_insn_exec_cb(insn, trapped, QEMU_PLUGIN_CB_R_REGS, NULL);
	if (riscv_writes_stvec(code) && riscv_rs1(code))
		qemu_plugin_register_vcpu_insn_exec_cb(insn, handler_set, QEMU_PLUGIN_CB_R_REGS,
		                                       (void *)(uintptr_t)riscv_rs1(code));
	if (with_events && riscv_is_narrow_store(code)) {
		bool two_bytes = riscv_is_compressed(code) ? (code & 3) == 0 && code >> 15
		                                           : (code >> 12 & 7) == 1;
		qemu_plugin_register_vcpu_mem_cb(insn, stored, QEMU_PLUGIN_CB_NO_REGS,
		                                 QEMU_PLUGIN_MEM_W, (void *)(uintptr_t)two_bytes);
	}
}
