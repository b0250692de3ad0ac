/* futex(2): waiting on words of user memory; and the robust lists that lean on it. */
#include "syscalls/process/internal.h"

enum {
	FUTEX_WAIT,
	FUTEX_WAKE,
	FUTEX_FD,
	FUTEX_REQUEUE,
	FUTEX_CMP_REQUEUE,
	FUTEX_WAKE_OP,
	FUTEX_WAIT_BITSET = 9,
	FUTEX_WAKE_BITSET = 10,
	FUTEX_PRIVATE_FLAG = 128,
	FUTEX_CLOCK_REALTIME = 256
};
#define FUTEX_WAITERS    0x80000000u
#define FUTEX_OWNER_DIED 0x40000000u
#define FUTEX_TID_MASK   0x3fffffffu

#define BUCKETS          256 /* power of two */

struct futex_until {
	uint64_t deadline_ns; /* LOOP_NEVER: none */
	uint64_t wall_ns;     /* until then by the wall clock, which may be set; 0: no */
};

struct futex_wait { /* in the parked thread */
	struct list_node link;
	struct thread *thread;
	struct futex_key key;
	uint32_t bitset;
	bool woken;
	struct futex_until until;
};

static struct list buckets[BUCKETS];

void futex_init(void)
{
	for (unsigned i = 0; i < BUCKETS; i++)
		list_init(&buckets[i]);
}

static struct list *bucket(const struct futex_key *key)
{
	uint64_t hash = (key->object ^ key->offset >> 2) * 0x9e3779b97f4a7c15ull;
	return &buckets[hash >> 56];
}

static bool same(const struct futex_key *a, const struct futex_key *b)
{
	return a->object == b->object && a->offset == b->offset;
}

static void wake(struct futex_wait *wait)
{
	list_remove(&wait->link);
	wait->woken = true;
	thread_wake(wait->thread, WAKE_EVENT);
}

static int wake_key(const struct futex_key *key, int count, uint32_t bitset)
{
	int woken = 0;
	list_for_each_safe(node, bucket(key))
	{
		struct futex_wait *wait = list_entry(node, struct futex_wait, link);
		if (woken >= count)
			break;
		if (same(&wait->key, key) && (wait->bitset & bitset)) {
			wake(wait);
			woken++;
		}
	}
	return woken;
}

int futex_wake_address(struct address_space *space, struct user_addr address, bool is_private,
                       int count)
{
	struct futex_key key;
	int error = address_space_futex_key(space, address, is_private, &key);
	return error ? error : wake_key(&key, count, ~0u);
}

static long resume_futex(struct thread *thread, uint32_t reasons);

static long futex_park(struct thread *thread, struct futex_wait *wait)
{
	if (wait->until.wall_ns) {
		wait->until.deadline_ns = clock_deadline(CLOCK_REALTIME, wait->until.wall_ns);
		thread_wait_on(thread, &wall_clock_set, POLLIN, false);
	}
	thread_wait_until(thread, wait->until.deadline_ns);
	thread_park(thread, resume_futex);
	return SYS_PARKED;
}

static long resume_futex(struct thread *thread, uint32_t reasons)
{
	struct futex_wait *wait = THREAD_PARK_STATE(thread, struct futex_wait);
	if (reasons == WAKE_EVENT && !wait->woken) /* the wall clock was set */
		return futex_park(thread, wait);
	list_remove(&wait->link);
	if (wait->woken)
		return 0;
	if (reasons & WAKE_TIMEOUT)
		return -ETIMEDOUT;
	if (wait->until.deadline_ns == LOOP_NEVER)
		return -ERESTARTSYS;
	thread->restart_deadline_ns = wait->until.deadline_ns;
	return -ERESTART_RESTARTBLOCK;
}

static long futex_wait(struct thread *thread, const struct futex_key *key, uint64_t address,
                       uint32_t expected, const struct futex_until *until, uint32_t bitset)
{
	uint32_t value;
	if (!bitset)
		return -EINVAL;
	if (user_load_u32(user(address), &value))
		return -EFAULT;
	if (value != expected)
		return -EAGAIN;
	struct futex_wait *wait = THREAD_PARK_STATE(thread, struct futex_wait);
	*wait = (struct futex_wait){
		.thread = thread, .key = *key, .bitset = bitset, .until = *until
	};
	list_push_back(bucket(key), &wait->link);
	return futex_park(thread, wait);
}

static long requeue(const struct futex_key *from, const struct futex_key *to, int wake_count,
                    int move_count)
{
	int woken = 0, moved = 0;
	list_for_each_safe(node, bucket(from))
	{
		struct futex_wait *wait = list_entry(node, struct futex_wait, link);
		if (!same(&wait->key, from))
			continue;
		if (woken < wake_count) {
			wake(wait);
			woken++;
		} else if (moved < move_count) {
			if (!same(from, to)) {
				list_remove(&wait->link);
				wait->key = *to;
				list_push_back(bucket(to), &wait->link);
			}
			moved++;
		} else {
			break;
		}
	}
	return woken + moved;
}

/* FUTEX_WAKE_OP's second word: op(4) cmp(4) oparg(12) cmparg(12). The old value is compared. */
static int change_word(uint64_t address, uint32_t encoded, bool *condition)
{
	enum { OP_SET, OP_ADD, OP_OR, OP_ANDN, OP_XOR };
	uint32_t operation = encoded >> 28 & 7, comparison = encoded >> 24 & 15;
	int32_t operand = (int32_t)(encoded << 8) >> 20, against = (int32_t)(encoded << 20) >> 20;
	uint32_t old, new, seen;
	if (encoded >> 31)
		operand = (int32_t)(1u << (operand & 31));
	if (operation > OP_XOR || comparison > 5)
		return -ENOSYS;
	if (user_load_u32(user(address), &old))
		return -EFAULT;
	for (;;) {
		switch (operation) {
		case OP_SET:
			new = (uint32_t)operand;
			break;
		case OP_ADD:
			new = old + (uint32_t)operand;
			break;
		case OP_OR:
			new = old | (uint32_t)operand;
			break;
		case OP_ANDN:
			new = old & ~(uint32_t)operand;
			break;
		default:
			new = old ^ (uint32_t)operand;
		}
		if (user_compare_exchange_u32(user(address), old, new, &seen))
			return -EFAULT;
		if (seen == old)
			break;
		old = seen;
	}
	int32_t value = (int32_t)old;
	const bool results[] = { value == against, value != against,
		                 value<against, value <= against, value> against,
		                 value >= against };
	*condition = results[comparison];
	return 0;
}

static int read_deadline(struct thread *thread, int command, uint64_t operation, uint64_t from,
                         struct futex_until *until)
{
	uint64_t time_ns;
	until->deadline_ns = LOOP_NEVER;
	if (!from)
		return 0;
	int error = timespec_from_user(user(from), &time_ns);
	if (error)
		return error;
	if (command == FUTEX_WAIT) { /* a span of time, on which all clocks agree */
		until->deadline_ns = restart_deadline(thread, deadline_after(time_ns));
	} else {
		until->deadline_ns = time_ns;
		until->wall_ns = operation & FUTEX_CLOCK_REALTIME ? time_ns : 0;
	}
	return 0;
}

static long two_words(struct thread *thread, int command, bool is_private, const uint64_t *argument)
{
	struct address_space *space = thread->process->memory;
	struct futex_key first, second;
	int first_count = (int)argument[2], second_count = (int)argument[3];
	if (first_count < 0 || second_count < 0)
		return -EINVAL;
	int error = address_space_futex_key(space, user(argument[0]), is_private, &first);
	if (!error)
		error = address_space_futex_key(space, user(argument[4]), is_private, &second);
	if (error)
		return error;
	if (command == FUTEX_WAKE_OP) {
		bool condition;
		error = change_word(argument[4], (uint32_t)argument[5], &condition);
		if (error)
			return error;
		int woken = wake_key(&first, first_count, ~0u);
		return woken + (condition ? wake_key(&second, second_count, ~0u) : 0);
	}
	if (command == FUTEX_CMP_REQUEUE) {
		uint32_t value;
		if (user_load_u32(user(argument[0]), &value))
			return -EFAULT;
		if (value != (uint32_t)argument[5])
			return -EAGAIN;
	}
	return requeue(&first, &second, first_count, second_count);
}

long sys_futex(struct thread *thread, const uint64_t *argument)
{
	uint64_t operation = argument[1], address = argument[0];
	int command = (int)(operation & 127);
	bool is_private = operation & FUTEX_PRIVATE_FLAG;
	bool has_bitset = command == FUTEX_WAIT_BITSET || command == FUTEX_WAKE_BITSET;
	uint32_t bitset = has_bitset ? (uint32_t)argument[5] : ~0u;
	struct futex_until until = { 0 };
	struct futex_key key;
	int error;
	switch (command) {
	case FUTEX_WAIT:
	case FUTEX_WAIT_BITSET:
		error = read_deadline(thread, command, operation, argument[3], &until);
		if (!error)
			error = address_space_futex_key(thread->process->memory, user(address),
			                                is_private, &key);
		return error ? error
		             : futex_wait(thread, &key, address, (uint32_t)argument[2], &until,
		                          bitset);
	case FUTEX_WAKE:
	case FUTEX_WAKE_BITSET:
		if (!bitset)
			return -EINVAL;
		error = address_space_futex_key(thread->process->memory, user(address), is_private,
		                                &key);
		return error ? error
		             : wake_key(&key, (int)argument[2] > 0 ? (int)argument[2] : 1, bitset);
	case FUTEX_REQUEUE:
	case FUTEX_CMP_REQUEUE:
	case FUTEX_WAKE_OP:
		return two_words(thread, command, is_private, argument);
	default:
		return -ENOSYS; /* priority inheritance, FUTEX_FD */
	}
}

/* ---- robust lists (Documentation/locking/robust-futexes.rst: the ABI) ---- */

#define ROBUST_BYTES 24
#define ROBUST_MAX   2048

long sys_set_robust_list(struct thread *thread, const uint64_t *argument)
{
	if (argument[1] != ROBUST_BYTES)
		return -EINVAL;
	thread->robust_list = user(argument[0]);
	thread->robust_list_bytes = ROBUST_BYTES;
	return 0;
}

long sys_get_robust_list(struct thread *thread, const uint64_t *argument)
{
	struct thread *target = argument[0] ? thread_find((int32_t)argument[0]) : thread;
	uint64_t bytes = ROBUST_BYTES;
	if (!target)
		return -ESRCH;
	if (copy_to_user(user(argument[1]), &target->robust_list.value, 8) ||
	    copy_to_user(user(argument[2]), &bytes, 8))
		return -EFAULT;
	return 0;
}

/* The owner of a lock died: mark the word and wake one waiter. */
static void mark_dead(struct thread *thread, uint64_t address)
{
	uint32_t value, seen;
	if (user_load_u32(user(address), &value))
		return;
	while ((value & FUTEX_TID_MASK) == (uint32_t)thread->tid) {
		uint32_t dead = (value & FUTEX_WAITERS) | FUTEX_OWNER_DIED;
		if (user_compare_exchange_u32(user(address), value, dead, &seen))
			return;
		if (seen == value) {
			if (value & FUTEX_WAITERS)
				futex_wake_address(thread->process->memory, user(address), false,
				                   1);
			return;
		}
		value = seen;
	}
}

static void walk_robust_list(struct thread *thread)
{
	uint64_t head = thread->robust_list.value, entry, offset, pending;
	if (!head || user_load_u64(user(head), &entry) || user_load_u64(user(head + 8), &offset) ||
	    user_load_u64(user(head + 16), &pending))
		return;
	for (int i = 0; i < ROBUST_MAX && (entry & ~1ull) != head; i++) {
		uint64_t next;
		bool failed = user_load_u64(user(entry & ~1ull), &next) != 0;
		if (entry != pending)
			mark_dead(thread, (entry & ~1ull) + offset);
		if (failed)
			return;
		entry = next;
	}
	if (pending)
		mark_dead(thread, (pending & ~1ull) + offset);
}

void futex_thread_exit(struct thread *thread, bool memory_survives)
{
	walk_robust_list(thread);
	thread->robust_list = user(0);
	uint64_t address = thread->clear_child_tid.value;
	thread->clear_child_tid = user(0);
	if (address && memory_survives && !user_store_u32(user(address), 0))
		futex_wake_address(thread->process->memory, user(address), false, 1);
}

long sys_set_tid_address(struct thread *thread, const uint64_t *argument)
{
	thread->clear_child_tid = user(argument[0]);
	return thread->tid;
}

/* Restartable sequences need per-CPU scheduling that one hart has no use for; C libraries go on
 * without. */
long sys_rseq(struct thread *thread, const uint64_t *argument)
{
	(void)thread, (void)argument;
	return -ENOSYS;
}
