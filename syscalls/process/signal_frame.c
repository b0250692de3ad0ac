/* The frame of a signal handler, as Linux lays it out (arch/riscv/kernel/signal.c,
 * uapi/asm/{ucontext,sigcontext,ptrace}.h). */
#include "syscalls/process/internal.h"

struct signal_stack {
	uint64_t base;
	uint32_t flags, padding;
	uint64_t bytes;
};

struct signal_context {
	uint64_t registers[32]; /* pc, x1..x31 */
	uint64_t f[32];
	uint32_t fcsr;
	uint32_t padding[63]; /* up to the quad-precision state, whose end marks "no extensions"
	                         with zeros */
	uint32_t unused, reserved, end_magic, end_bytes;
};

struct signal_frame {
	uint8_t information[SIGNAL_FRAME_INFO_BYTES];
	uint64_t flags, link;
	struct signal_stack stack;
	signal_set mask;
	uint8_t mask_room[120];
	uint64_t alignment;
	struct signal_context context;
};

_Static_assert(offsetof(struct signal_frame, flags) == 128, "ucontext follows siginfo");
_Static_assert(offsetof(struct signal_frame, context) == 128 + 176,
               "uc_mcontext is 16-byte aligned");
_Static_assert(offsetof(struct signal_context, reserved) == 256 + 516, "__riscv_extra_ext_header");
_Static_assert(sizeof(struct signal_context) == 784, "struct sigcontext");
_Static_assert(sizeof(struct signal_frame) == 1088, "struct rt_sigframe");

enum { SS_ONSTACK = 1, SS_DISABLE = 2 };
#define SS_AUTODISARM 0x80000000u

static bool on_alternate_stack(const struct thread *thread, uint64_t sp)
{
	return thread->altstack_bytes && sp > thread->altstack_base &&
	       sp - thread->altstack_base <= thread->altstack_bytes;
}

void signal_information_to_user(const struct signal_information *from,
                                uint8_t out[SIGNAL_FRAME_INFO_BYTES])
{
	memset(out, 0, SIGNAL_FRAME_INFO_BYTES);
	int32_t head[3] = { from->number, from->error, from->code };
	memcpy(out, head, sizeof(head));
	bool fault = from->code > 0 && from->code != SI_KERNEL &&
	             (from->number == SIGSEGV || from->number == SIGBUS || from->number == SIGILL ||
	              from->number == SIGFPE || from->number == SIGTRAP);
	if (fault) {
		memcpy(out + 16, &from->address, 8);
	} else if (from->code == SI_TIMER) { /* timer id, overrun, value */
		memcpy(out + 16, &from->pid, 4);
		memcpy(out + 20, &from->status, 4);
		memcpy(out + 24, &from->value, 8);
	} else {
		memcpy(out + 16, &from->pid, 4);
		memcpy(out + 20, &from->uid, 4);
		if (from->number == SIGCHLD && from->code > 0)
			memcpy(out + 24, &from->status, 4);
		else
			memcpy(out + 24, &from->value, 8);
	}
}

static void save_context(struct thread *thread, struct signal_context *context)
{
	struct task *task = &thread->task;
	memcpy(context->registers, task->registers.x, sizeof(context->registers));
	if (task->fp_live) {
		task_fp_save(task);
		memcpy(context->f, task->fp.f, sizeof(context->f));
		context->fcsr = task->fp.fcsr;
	}
}

bool signal_frame_push(struct thread *thread, const struct signal_information *information,
                       const struct signal_action *action, signal_set mask)
{
	struct signal_frame *frame = heap_alloc_zeroed(sizeof(*frame));
	uint64_t *x = thread->task.registers.x;
	if (!frame)
		return false;
	uint64_t sp = x[REG_SP];
	bool inside = on_alternate_stack(thread, sp);
	if ((action->flags & SA_ONSTACK) && thread->altstack_bytes && !inside)
		sp = thread->altstack_base + thread->altstack_bytes;
	sp = (sp - sizeof(*frame)) & ~15ull;
	signal_information_to_user(information, frame->information);
	frame->stack.base = thread->altstack_base;
	frame->stack.bytes = thread->altstack_bytes;
	frame->stack.flags = !thread->altstack_bytes ? SS_DISABLE
	                     : inside                ? SS_ONSTACK
	                                             : thread->altstack_flags;
	frame->mask = mask;
	save_context(thread, &frame->context);
	/* A handler that overflows the alternate stack must not run on what lies below it. */
	bool overflow = inside && !on_alternate_stack(thread, sp + 1);
	int failed = overflow ? -EFAULT : copy_to_user(user(sp), frame, sizeof(*frame));
	heap_free(frame);
	if (failed)
		return false;
	if (thread->altstack_flags & SS_AUTODISARM)
		thread->altstack_bytes = 0;
	x[REG_PC] = action->handler;
	x[REG_RA] = address_space_vdso(thread->process->memory) + vdso_sigreturn_offset();
	x[REG_SP] = sp;
	x[REG_A0] = (uint64_t)information->number;
	x[REG_A0 + 1] = sp + offsetof(struct signal_frame, information);
	x[REG_A0 + 2] = sp + offsetof(struct signal_frame, flags);
	return true;
}

int signal_frame_pop(struct thread *thread)
{
	struct task *task = &thread->task;
	struct signal_frame *frame = heap_alloc(sizeof(*frame));
	if (!frame)
		return -EFAULT;
	int failed = copy_from_user(frame, user(task->registers.x[REG_SP]), sizeof(*frame));
	if (!failed) {
		memcpy(task->registers.x, frame->context.registers,
		       sizeof(frame->context.registers));
		if (task->fp_live || frame->context.fcsr) {
			task_fp_forget(task);
			memcpy(task->fp.f, frame->context.f, sizeof(task->fp.f));
			task->fp.fcsr = frame->context.fcsr;
		}
		thread->blocked = frame->mask & ~SIGNALS_UNBLOCKABLE;
		if (!(frame->stack.flags & SS_DISABLE)) {
			thread->altstack_base = frame->stack.base;
			thread->altstack_bytes = frame->stack.bytes;
			thread->altstack_flags = frame->stack.flags & SS_AUTODISARM;
		}
	}
	heap_free(frame);
	return failed;
}

long sys_rt_sigreturn(struct thread *thread, const uint64_t *argument)
{
	(void)argument;
	thread->task.reload = true;
	if (signal_frame_pop(thread)) {
		signal_force(thread, SIGSEGV, SI_KERNEL, thread->task.registers.x[REG_SP]);
		return SYS_PARKED;
	}
	thread->restart_call = 0;
	signal_recompute(thread);
	return SYS_PARKED; /* a0 is the interrupted program's own */
}

#define MINIMUM_STACK_BYTES 2048

long sys_sigaltstack(struct thread *thread, const uint64_t *argument)
{
	struct signal_stack new,
	        old = { .base = thread->altstack_base, .bytes = thread->altstack_bytes };
	bool inside = on_alternate_stack(thread, thread->task.registers.x[REG_SP]);
	old.flags = !thread->altstack_bytes ? SS_DISABLE
	                                    : (inside ? SS_ONSTACK : 0) | thread->altstack_flags;
	uint64_t from = argument[0], to = argument[1];
	if (from) {
		if (copy_from_user(&new, user(from), sizeof(new)))
			return -EFAULT;
		if (inside)
			return -EPERM;
		uint32_t mode = new.flags & ~SS_AUTODISARM;
		if (mode != 0 && mode != SS_DISABLE && mode != SS_ONSTACK)
			return -EINVAL;
		if (mode != SS_DISABLE && new.bytes < MINIMUM_STACK_BYTES)
			return -ENOMEM;
		thread->altstack_base = mode == SS_DISABLE ? 0 : new.base;
		thread->altstack_bytes = mode == SS_DISABLE ? 0 : new.bytes;
		thread->altstack_flags = new.flags &SS_AUTODISARM;
	}
	if (to && copy_to_user(user(to), &old, sizeof(old)))
		return -EFAULT;
	return 0;
}
