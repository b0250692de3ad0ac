/* How long a task runs before a turn is forced. */
#include "core/stretch.h"
#include "evloop/check.h"

#define LEAST HART_BACKSTOP_NS
#define MOST  HART_STRETCH_NS

static uint64_t after_turns(uint64_t stretch, unsigned turns, uint64_t moved, bool input_waits)
{
	while (turns--)
		stretch = stretch_next(stretch, moved, input_waits, LEAST, MOST);
	return stretch;
}

static void test_grows_while_turns_are_not_worth_their_cost(void)
{
	CHECK_EQ(after_turns(LEAST, 1, 2, true), 2 * LEAST);
	CHECK_EQ(after_turns(LEAST, 100, 2, true), MOST);
}

static void test_a_task_that_has_read_all_is_not_kept_from_its_replies(void)
{
	CHECK_EQ(after_turns(LEAST, 100, 1, false), LEAST);
}

static void test_full_turns_shrink_it_to_the_least(void)
{
	CHECK_EQ(after_turns(MOST, 1, TURN_MANY + 1, true), MOST / 2);
	CHECK_EQ(after_turns(MOST, 100, TURN_MANY + 1, true), LEAST);
}

static void test_rests_in_between(void)
{
	CHECK_EQ(after_turns(4 * LEAST, 100, TURN_FEW, true), 4 * LEAST);
	CHECK_EQ(after_turns(4 * LEAST, 100, TURN_MANY, true), 4 * LEAST);
}

static void test_switched_off(void)
{
	CHECK_EQ(stretch_next(LEAST, 1, true, LEAST, LEAST), LEAST);
	CHECK_EQ(stretch_next(LEAST, 1, true, LEAST, 0), LEAST);
}

int main(void)
{
	test_grows_while_turns_are_not_worth_their_cost();
	test_a_task_that_has_read_all_is_not_kept_from_its_replies();
	test_full_turns_shrink_it_to_the_least();
	test_rests_in_between();
	test_switched_off();
	return 0;
}
