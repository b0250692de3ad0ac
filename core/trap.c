#include "core/trap.h"

#include "core/clock.h"
#include "core/csr.h"
#include "core/fp.h"
#include "core/panic.h"
#include "core/personality.h"
#include "core/task.h"
#include "core/trace.h"

struct fixup {
	uint64_t from, to; /* program counters, exclusive end */
	uint64_t resume;
};

extern const struct fixup fixup_table_start[], fixup_table_end[];

static uint64_t find_fixup(uint64_t pc)
{
	for (const struct fixup *fixup = fixup_table_start; fixup < fixup_table_end; fixup++) {
		if (pc >= fixup->from && pc < fixup->to)
			return fixup->resume;
	}
	return 0;
}

static inline bool is_page_fault(uint64_t cause)
{
	return cause == CAUSE_FETCH_PAGE_FAULT || cause == CAUSE_LOAD_PAGE_FAULT ||
	       cause == CAUSE_STORE_PAGE_FAULT;
}

static inline enum fault_access access_of(uint64_t cause)
{
	return cause == CAUSE_STORE_PAGE_FAULT   ? FAULT_WRITE
	       : cause == CAUSE_FETCH_PAGE_FAULT ? FAULT_EXECUTE
	                                         : FAULT_READ;
}

/* An implementation may remember that a translation was invalid (privileged ISA §4.2.1). A fault on
 * the page of the last fault may be such a memory, whatever the page table says by now. */
static inline void forget_stale_translation(struct hart *hart, uint64_t address)
{
	if (hart->last_fault_page == address >> PAGE_SHIFT)
		__asm__ volatile("sfence.vma %0" ::"r"(address) : "memory");
	hart->last_fault_page = address >> PAGE_SHIFT;
}

/* What is no page fault. */
static __attribute__((noinline)) void trap_user_other(struct task *task, uint64_t cause,
                                                      uint64_t value)
{
	struct hart *hart = task->hart;
	if (cause & CAUSE_INTERRUPT) {
		hart->statistics.interrupts++;
		hart->statistics.timer_interrupts += 1ull << (cause & 63) == INTERRUPT_TIMER;
		hart_loop(hart);
	}
	hart->statistics.exceptions++;
	if (cause == CAUSE_ILLEGAL_INSTRUCTION && fp_take(hart, task))
		return;
	personality_ops.exception(task, cause, value);
}

void trap_user(struct task *task, uint64_t cause, uint64_t value)
{
	struct hart *hart = task->hart;
	trace(TRACE_TRAP, cause, task->registers.x[REG_PC]);
	if (!is_page_fault(cause)) {
		trap_user_other(task, cause, value);
		return;
	}
	hart->statistics.page_faults++;
	forget_stale_translation(hart, value);
	personality_ops.user_fault(task, user(value), access_of(cause));
}

void trap_kernel(struct trap_frame *frame)
{
	uint64_t resume = find_fixup(frame->x[0]);
	this_hart()->statistics.kernel_faults++;
	if (resume == 0 || (frame->cause & CAUSE_INTERRUPT))
		panic_trap(frame);
	if (is_page_fault(frame->cause) && frame->value < USER_END) {
		forget_stale_translation(this_hart(), frame->value);
		if (personality_ops.kernel_fault(user(frame->value), access_of(frame->cause)))
			return;
	}
	frame->x[0] = resume;
}

_Noreturn void trap_stack_overflow(uint64_t stack_pointer, uint64_t program_counter)
{
	panic("kernel stack overflow: sp %lx, pc %lx", stack_pointer, program_counter);
}
