#include "core/panic.h"

#include "core/console.h"
#include "core/hart.h"
#include "core/io.h"
#include "core/kernel_map.h"
#include "core/panic_setup.h"
#include "core/personality.h"
#include "core/sbi.h"
#include "core/symbols.h"
#include "core/task.h"
#include "core/trace.h"
#include "core/trap.h"

#define BACKTRACE_MAX 32
#define TRACE_SHOWN   32

/* SiFive test device: a 32-bit write ends the machine. */
#define TEST_PASS     0x5555
#define TEST_FAIL     0x3333

extern const char emergency_stack_bottom[], emergency_stack_top[];

static uint8_t *test_device;

void machine_exit_setup(const struct dtb *dtb)
{
	uint64_t address, bytes;
	dtb_node node = dtb_find_compatible(dtb, DTB_NONE, "sifive,test0");
	if (node != DTB_NONE && dtb_reg(dtb, node, 0, &address, &bytes))
		test_device = phys_to_virt(phys(address));
}

_Noreturn void machine_exit(uint8_t code)
{
	console_stop_batching();
	/* Not both: the machine stops some time after the write, and SRST's code would replace
	 * ours. */
	if (test_device)
		io_write32(test_device, code ? (uint32_t)code << 16 | TEST_FAIL : TEST_PASS);
	else if (sbi_has(SBI_SRST))
		sbi_shutdown(code != 0);
	for (;;)
		__asm__ volatile("wfi");
}

static void print_address(const char *what, uint64_t address)
{
	uint64_t offset;
	const char *name = symbol_name(address, &offset);
	if (name)
		console_printf("  %s %016lx %s+0x%lx\n", what, address, name, offset);
	else
		console_printf("  %s %016lx\n", what, address);
}

/* Does a call instruction end here? (jal and jalr with ra, and their short form) */
static bool follows_call(uint64_t address)
{
	uint64_t offset;
	if (address % 2 || !symbol_name(address - 4, &offset))
		return false;
	const uint16_t *half = (const uint16_t *)address;
	uint32_t word = (uint32_t)half[-1] << 16 | half[-2];
	bool jal = (word & 0xfff) == 0x0ef, jalr = (word & 0x7fff) == 0x0e7;
	bool short_jalr = (half[-1] & 0xf07f) == 0x9002 && (half[-1] & 0x0f80) != 0;
	return jal || jalr || short_jalr;
}

/* The kernel is compiled without frame pointers, so that every word of the stack that looks like a
 * return address is shown: the callers, and perhaps what returned before from where nothing was
 * stored since. */
static void print_backtrace(uint64_t stack_pointer)
{
	const struct hart *hart = this_hart();
	bool own = stack_pointer >= hart->stack_bottom && stack_pointer < hart->stack_top;
	bool emergency = stack_pointer >= (uint64_t)emergency_stack_bottom &&
	                 stack_pointer < (uint64_t)emergency_stack_top;
	uint64_t end = own         ? hart->stack_top
	               : emergency ? (uint64_t)emergency_stack_top
	                           : stack_pointer;
	console_printf("backtrace:\n");
	unsigned shown = 0;
	for (uint64_t at = (stack_pointer + 7) & ~7ull; at < end && shown < BACKTRACE_MAX;
	     at += 8) {
		uint64_t word = *(const uint64_t *)at;
		if (!follows_call(word))
			continue;
		print_address("from", word);
		shown++;
	}
}

static void print_registers(const uint64_t x[32])
{
	static const char names[32][4] = { "pc", "ra", "sp",  "gp",  "tp", "t0", "t1", "t2",
		                           "s0", "s1", "a0",  "a1",  "a2", "a3", "a4", "a5",
		                           "a6", "a7", "s2",  "s3",  "s4", "s5", "s6", "s7",
		                           "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6" };
	for (unsigned i = 0; i < 32; i++)
		console_printf("  %3s %016lx%s", names[i], x[i], i % 4 == 3 ? "\n" : "");
}

/* Behind the message: everything that may itself be broken comes last. */
static _Noreturn void finish(uint64_t stack_pointer)
{
	static bool dumping;
	if (!dumping) {
		dumping = true;
		print_backtrace(stack_pointer);
		const struct task *task = this_hart()->current;
		if (task) {
			console_printf("current task %u:\n", task->id);
			print_registers(task->registers.x);
		}
		trace_dump(TRACE_SHOWN);
		if (personality_ops.dump)
			personality_ops.dump();
	}
	machine_exit(PANIC_EXIT_CODE);
}

_Noreturn void panic(const char *format, ...)
{
	char text[256];
	va_list arguments;
	va_start(arguments, format);
	format_string_v(text, sizeof text, format, arguments);
	va_end(arguments);
	console_stop_batching();
	console_printf("\npanic on hart %u: %s\n", this_hart()->index, text);
	finish((uint64_t)__builtin_frame_address(0));
}

_Noreturn void panic_trap(const struct trap_frame *frame)
{
	console_stop_batching();
	console_printf("\npanic on hart %u: exception %lu in the kernel, address %lx\n",
	               this_hart()->index, frame->cause, frame->value);
	print_address("at  ", frame->x[0]);
	print_address("from", frame->x[REG_RA]);
	print_registers(frame->x);
	finish(frame->x[REG_SP]);
}
