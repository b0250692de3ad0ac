/* Unit tests of the loop: order, budgets and fairness, coalescing, stop, timers, hooks, memory. */
#include <errno.h>
#include <string.h>

#include "evloop/check.h"
#include "evloop/loop.h"

/* A watcher that writes its name into the journal and then does what `act` says. */
struct actor {
	struct loop_watcher watcher;
	char name;
	void (*act)(struct loop *loop, struct actor *self, uint32_t events);
	struct actor *other;
	uint32_t last_events;
	unsigned runs;
};

static char journal[512];
static unsigned journal_length;

static void note(char name)
{
	CHECK(journal_length < sizeof(journal) - 1);
	journal[journal_length++] = name;
	journal[journal_length] = 0;
}

static void expect_journal(const char *expected)
{
	if (strcmp(journal, expected) != 0) {
		fprintf(stderr, "journal is \"%s\", expected \"%s\"\n", journal, expected);
		exit(1);
	}
	journal_length = 0;
	journal[0] = 0;
}

static unsigned allocations_until_failure;
static bool allocations_fail;

static void *test_reallocate(void *context, void *old, size_t old_bytes, size_t new_bytes)
{
	(void)context;
	(void)old_bytes;
	if (!new_bytes) {
		free(old);
		return NULL;
	}
	if (allocations_fail && allocations_until_failure-- == 0)
		return NULL;
	return realloc(old, new_bytes);
}

static void start_with(struct loop *loop, uint32_t high, uint32_t normal, uint32_t deferred)
{
	struct loop_config config = { .reallocate = test_reallocate,
		                      .budget = { high, normal, deferred } };
	CHECK_EQ(loop_init(loop, &config), 0);
}

static void sound(const struct loop *loop)
{
	const char *broken = loop_verify(loop);
	if (broken) {
		fprintf(stderr, "loop_verify: %s\n", broken);
		exit(1);
	}
}

static void actor_run(struct loop *loop, struct loop_watcher *watcher, uint32_t events)
{
	struct actor *self = container_of(watcher, struct actor, watcher);
	CHECK(!loop_watcher_is_pending(watcher));
	note(self->name);
	self->last_events = events;
	self->runs++;
	if (self->act)
		self->act(loop, self, events);
	sound(loop);
}

static void actor_init(struct actor *actor, char name, enum loop_priority priority)
{
	*actor = (struct actor){ .name = name };
	loop_watcher_init(&actor->watcher, priority, actor_run);
}

static void post_other(struct loop *loop, struct actor *self, uint32_t events)
{
	(void)events;
	loop_post(loop, &self->other->watcher, 1);
}

static void stop_other(struct loop *loop, struct actor *self, uint32_t events)
{
	(void)events;
	loop_stop(loop, &self->other->watcher);
}

static void post_self(struct loop *loop, struct actor *self, uint32_t events)
{
	(void)events;
	loop_post(loop, &self->watcher, 1);
}

static void test_order(void)
{
	struct loop loop;
	struct actor a, b, c, d;
	start_with(&loop, 0, 0, 0);
	actor_init(&a, 'a', LOOP_PRIORITY_DEFERRED);
	actor_init(&b, 'b', LOOP_PRIORITY_NORMAL);
	actor_init(&c, 'c', LOOP_PRIORITY_NORMAL);
	actor_init(&d, 'd', LOOP_PRIORITY_HIGH);
	loop_post(&loop, &a.watcher, 1);
	loop_post(&loop, &c.watcher, 1);
	loop_post(&loop, &b.watcher, 1);
	loop_post(&loop, &d.watcher, 1);
	sound(&loop);
	CHECK(loop_has_pending(&loop));
	CHECK(!loop_turn(&loop, 1));
	expect_journal("dcba");

	/* What a callback posts to a higher level runs before the rest of its own level. */
	b.act = post_other;
	b.other = &d;
	loop_post(&loop, &b.watcher, 1);
	loop_post(&loop, &c.watcher, 1);
	CHECK(!loop_turn(&loop, 2));
	expect_journal("bdc");
	CHECK_EQ(loop.statistics.dispatched[LOOP_PRIORITY_NORMAL], 4);
	CHECK_EQ(loop.statistics.turns, 2);
	loop_fini(&loop);
}

static void test_coalescing(void)
{
	struct loop loop;
	struct actor a, b;
	start_with(&loop, 0, 0, 0);
	actor_init(&a, 'a', LOOP_PRIORITY_NORMAL);
	actor_init(&b, 'b', LOOP_PRIORITY_NORMAL);
	loop_post(&loop, &a.watcher, 1);
	loop_post(&loop, &b.watcher, 8);
	loop_post(&loop, &a.watcher, 4);
	CHECK(!loop_turn(&loop, 1));
	expect_journal("ab");
	CHECK_EQ(a.last_events, 5);
	CHECK_EQ(b.last_events, 8);
	CHECK_EQ(loop.statistics.coalesced, 1);

	/* A post without events still calls, and old events do not come back. */
	loop_post(&loop, &a.watcher, 0);
	loop_turn(&loop, 2);
	CHECK_EQ(a.last_events, 0);
	expect_journal("a");
	loop_fini(&loop);
}

static void test_stop(void)
{
	struct loop loop;
	struct actor a, b, c;
	start_with(&loop, 0, 0, 0);
	actor_init(&a, 'a', LOOP_PRIORITY_NORMAL);
	actor_init(&b, 'b', LOOP_PRIORITY_NORMAL);
	actor_init(&c, 'c', LOOP_PRIORITY_NORMAL);
	loop_stop(&loop, &a.watcher); /* not pending: no harm */
	a.act = stop_other;
	a.other = &b;
	loop_post(&loop, &a.watcher, 1);
	loop_post(&loop, &b.watcher, 2);
	loop_post(&loop, &c.watcher, 1);
	CHECK(!loop_turn(&loop, 1));
	expect_journal("ac");

	/* The stopped event is forgotten, not kept for the next post. */
	loop_post(&loop, &b.watcher, 4);
	loop_turn(&loop, 2);
	expect_journal("b");
	CHECK_EQ(b.last_events, 4);

	/* The last of a level stopped by a higher one. */
	actor_init(&c, 'c', LOOP_PRIORITY_HIGH);
	c.act = stop_other;
	c.other = &b;
	loop_post(&loop, &b.watcher, 1);
	loop_post(&loop, &c.watcher, 1);
	CHECK(!loop_turn(&loop, 3));
	expect_journal("c");
	loop_fini(&loop);
}

/* A stopped watcher's memory may become another watcher at once: no event of the old one reaches
 * the new one. */
static void test_memory_reuse(void)
{
	struct loop loop;
	struct actor a;
	start_with(&loop, 0, 0, 0);
	actor_init(&a, 'a', LOOP_PRIORITY_NORMAL);
	loop_post(&loop, &a.watcher, 1);
	loop_stop(&loop, &a.watcher);
	memset(&a, 0x5a, sizeof(a));
	actor_init(&a, 'n', LOOP_PRIORITY_HIGH);
	sound(&loop);
	CHECK(!loop_turn(&loop, 1));
	expect_journal("");
	loop_post(&loop, &a.watcher, 2);
	loop_turn(&loop, 2);
	expect_journal("n");
	CHECK_EQ(a.last_events, 2);
	loop_fini(&loop);
}

static void test_budget(void)
{
	struct loop loop;
	struct actor a, b, c;
	start_with(&loop, 3, 2, 1);
	actor_init(&a, 'a', LOOP_PRIORITY_HIGH);
	actor_init(&b, 'b', LOOP_PRIORITY_NORMAL);
	actor_init(&c, 'c', LOOP_PRIORITY_DEFERRED);
	a.act = b.act = c.act = post_self;
	loop_post(&loop, &a.watcher, 1);
	loop_post(&loop, &b.watcher, 1);
	loop_post(&loop, &c.watcher, 1);
	CHECK(loop_turn(&loop, 1));
	expect_journal("aaabbc");
	CHECK_EQ(loop.statistics.budget_exhausted, 3);
	CHECK(loop_turn(&loop, 2));
	expect_journal("aaabbc");

	/* Budget used up exactly, nothing left: not exhausted. */
	a.act = b.act = c.act = NULL;
	CHECK(!loop_turn(&loop, 3));
	expect_journal("abc");
	CHECK_EQ(loop.statistics.budget_exhausted, 6);
	loop_fini(&loop);
}

/* With more pending than the budget, every watcher gets its turn before any gets its second. */
static void test_fairness(void)
{
	enum { ACTORS = 10 };
	struct loop loop;
	struct actor actors[ACTORS];
	start_with(&loop, 0, 4, 0);
	for (unsigned i = 0; i < ACTORS; i++) {
		actor_init(&actors[i], (char)('0' + i), LOOP_PRIORITY_NORMAL);
		actors[i].act = post_self;
		loop_post(&loop, &actors[i].watcher, 1);
	}
	for (unsigned turn = 0; turn < 5; turn++)
		CHECK(loop_turn(&loop, turn));
	expect_journal("01234567890123456789");
	loop_fini(&loop);
}

struct clockwork {
	struct loop_timer timer;
	char name;
	uint64_t rearm_after_ns;
	struct clockwork *cancels;
};

static void clockwork_run(struct loop *loop, struct loop_watcher *watcher, uint32_t events)
{
	struct clockwork *self = container_of(watcher, struct clockwork, timer.watcher);
	CHECK_EQ(events, LOOP_EVENT_TIMER);
	CHECK(!loop_timer_is_armed(&self->timer));
	CHECK(self->timer.deadline_ns == LOOP_NEVER);
	note(self->name);
	if (self->rearm_after_ns)
		loop_timer_arm(loop, &self->timer, loop->now_ns + self->rearm_after_ns);
	if (self->cancels)
		loop_timer_cancel(loop, &self->cancels->timer);
	sound(loop);
}

static void clockwork_init(struct loop *loop, struct clockwork *clockwork, char name)
{
	*clockwork = (struct clockwork){ .name = name };
	CHECK_EQ(loop_timer_create(loop, &clockwork->timer, LOOP_PRIORITY_HIGH, clockwork_run), 0);
}

static void test_timers(void)
{
	struct loop loop;
	struct clockwork a, b, c, d;
	start_with(&loop, 0, 0, 0);
	clockwork_init(&loop, &a, 'a');
	clockwork_init(&loop, &b, 'b');
	clockwork_init(&loop, &c, 'c');
	clockwork_init(&loop, &d, 'd');
	CHECK(loop_next_deadline(&loop) == LOOP_NEVER);

	loop_timer_arm(&loop, &d.timer, 400);
	loop_timer_arm(&loop, &b.timer, 200);
	loop_timer_arm(&loop, &a.timer, 100);
	loop_timer_arm(&loop, &c.timer, 300);
	sound(&loop);
	CHECK_EQ(loop_next_deadline(&loop), 100);
	loop_turn(&loop, 99);
	expect_journal("");
	loop_turn(&loop, 100);
	expect_journal("a");
	loop_turn(&loop, 1000);
	expect_journal("bcd");
	CHECK_EQ(loop.statistics.timers_fired, 4);

	/* Equal deadlines: in the order of arming, and re-arming counts as arming. */
	loop_timer_arm(&loop, &c.timer, 2000);
	loop_timer_arm(&loop, &a.timer, 2000);
	loop_timer_arm(&loop, &b.timer, 2000);
	loop_timer_arm(&loop, &c.timer, 2000);
	loop_turn(&loop, 2000);
	expect_journal("abc");

	/* Re-arm in place both ways, cancel, LOOP_NEVER. */
	loop_timer_arm(&loop, &a.timer, 3000);
	loop_timer_arm(&loop, &b.timer, 3100);
	loop_timer_arm(&loop, &c.timer, 3200);
	loop_timer_arm(&loop, &a.timer, 3300);
	CHECK_EQ(loop_next_deadline(&loop), 3100);
	loop_timer_arm(&loop, &c.timer, 3050);
	CHECK_EQ(loop_next_deadline(&loop), 3050);
	loop_timer_cancel(&loop, &b.timer);
	loop_timer_cancel(&loop, &b.timer);
	loop_timer_arm(&loop, &c.timer, LOOP_NEVER);
	CHECK(!loop_timer_is_armed(&b.timer) && !loop_timer_is_armed(&c.timer));
	sound(&loop);
	loop_turn(&loop, 5000);
	expect_journal("a");

	/* A periodic one, and one that is due at once. */
	a.rearm_after_ns = 10;
	loop_timer_arm(&loop, &a.timer, 6000);
	loop_turn(&loop, 6000);
	CHECK(!loop_turn(&loop, 6009));
	CHECK(!loop_turn(&loop, 6010));
	expect_journal("aa");
	loop_timer_destroy(&loop, &a.timer);
	CHECK(loop_next_deadline(&loop) == LOOP_NEVER);

	loop_timer_destroy(&loop, &b.timer);
	loop_timer_destroy(&loop, &c.timer);
	loop_timer_destroy(&loop, &d.timer);
	CHECK_EQ(loop.timers_created, 0);
	loop_fini(&loop);
}

static void test_pending_expiry(void)
{
	struct loop loop;
	struct clockwork a, b;
	start_with(&loop, 0, 0, 0);
	clockwork_init(&loop, &a, 'a');
	clockwork_init(&loop, &b, 'b');

	/* Cancelled by a callback of the same turn, when its expiry is pending already. */
	a.cancels = &b;
	loop_timer_arm(&loop, &a.timer, 10);
	loop_timer_arm(&loop, &b.timer, 10);
	CHECK(!loop_turn(&loop, 10));
	expect_journal("a");

	/* Re-armed likewise: only the new deadline counts. */
	loop_timer_arm(&loop, &b.timer, 20);
	loop_post(&loop, &b.timer.watcher, LOOP_EVENT_TIMER);
	loop_timer_arm(&loop, &b.timer, 30);
	sound(&loop);
	CHECK(!loop_turn(&loop, 29));
	expect_journal("");
	CHECK(!loop_turn(&loop, 30));
	expect_journal("b");

	/* Destroyed while its expiry is pending. */
	loop_post(&loop, &b.timer.watcher, LOOP_EVENT_TIMER);
	loop_timer_destroy(&loop, &b.timer);
	CHECK(!loop_turn(&loop, 31));
	expect_journal("");
	loop_timer_destroy(&loop, &a.timer);
	loop_fini(&loop);
}

/* More timers due than one turn takes: the rest follow, none is lost, and loop_turn asks to be
 * called again. */
static void test_timer_batch(void)
{
	enum { TIMERS = LOOP_TIMER_BATCH + 100 };
	static struct clockwork timers[TIMERS];
	struct loop loop;
	start_with(&loop, 1000, 0, 0);
	for (unsigned i = 0; i < TIMERS; i++) {
		clockwork_init(&loop, &timers[i], 't');
		loop_timer_arm(&loop, &timers[i].timer, 5);
	}
	CHECK(loop_turn(&loop, 5));
	CHECK_EQ(journal_length, LOOP_TIMER_BATCH);
	CHECK(!loop_turn(&loop, 5));
	CHECK_EQ(journal_length, TIMERS);
	journal_length = 0;
	for (unsigned i = 0; i < TIMERS; i++)
		loop_timer_destroy(&loop, &timers[i].timer);
	loop_fini(&loop);
}

static void test_memory_shortage(void)
{
	enum { TIMERS = 200 };
	static struct clockwork timers[TIMERS];
	struct loop loop;
	struct loop_config config = { .reallocate = test_reallocate };

	allocations_fail = true;
	allocations_until_failure = 0;
	CHECK_EQ(loop_init(&loop, &config), -ENOMEM);

	allocations_until_failure = 2;
	CHECK_EQ(loop_init(&loop, &config), 0);
	unsigned made = 0;
	while (made < TIMERS) {
		int error = loop_timer_create(&loop, &timers[made].timer, LOOP_PRIORITY_HIGH,
		                              clockwork_run);
		if (error) {
			CHECK_EQ(error, -ENOMEM);
			break;
		}
		made++;
	}
	CHECK(made > 0 && made < TIMERS);
	allocations_fail = false;

	/* What was created can still be armed, and more can be created later. */
	for (unsigned i = 0; i < made; i++)
		loop_timer_arm(&loop, &timers[i].timer, 1000 - i);
	sound(&loop);
	CHECK_EQ(loop_timer_create(&loop, &timers[made].timer, LOOP_PRIORITY_HIGH, clockwork_run),
	         0);
	loop_timer_arm(&loop, &timers[made].timer, 1);
	CHECK_EQ(loop_next_deadline(&loop), 1);
	for (unsigned i = 0; i <= made; i++)
		loop_timer_destroy(&loop, &timers[i].timer);
	sound(&loop);
	loop_fini(&loop);
}

struct named_hook {
	struct loop_hook hook;
	char name;
	struct actor *posts;
	bool removes_itself;
};

static void named_hook_run(struct loop *loop, struct loop_hook *hook)
{
	struct named_hook *self = container_of(hook, struct named_hook, hook);
	note(self->name);
	if (self->posts)
		loop_post(loop, &self->posts->watcher, 1);
	if (self->removes_itself)
		loop_hook_remove(hook);
}

static void test_hooks(void)
{
	struct loop loop;
	struct actor a, b;
	start_with(&loop, 0, 0, 0);
	actor_init(&a, 'a', LOOP_PRIORITY_NORMAL);
	actor_init(&b, 'b', LOOP_PRIORITY_NORMAL);
	struct named_hook collect1 = { .hook.run = named_hook_run, .name = '1', .posts = &a };
	struct named_hook collect2 = { .hook.run = named_hook_run, .name = '2' };
	struct named_hook flush1 = { .hook.run = named_hook_run, .name = '3' };
	struct named_hook flush2 = { .hook.run = named_hook_run, .name = '4', .posts = &b };
	loop_hook_add_flush(&loop, &flush1.hook);
	loop_hook_add_flush(&loop, &flush2.hook);
	loop_hook_add_collect(&loop, &collect1.hook);
	loop_hook_add_collect(&loop, &collect2.hook);
	sound(&loop);
	CHECK(loop_turn(&loop, 1)); /* a flush hook posted */
	expect_journal("12a34");
	flush2.posts = NULL;
	collect2.removes_itself = true;
	CHECK(!loop_turn(&loop, 2));
	expect_journal("12ba34");
	CHECK(!loop_turn(&loop, 3));
	expect_journal("1a34");
	loop_flush(&loop);
	expect_journal("34");
	loop_fini(&loop);
}

static void test_verify_sees(void)
{
	struct loop loop;
	struct actor a;
	struct clockwork t, u;
	start_with(&loop, 0, 0, 0);
	actor_init(&a, 'a', LOOP_PRIORITY_NORMAL);
	loop_post(&loop, &a.watcher, 1);
	loop.pending_mask = 0;
	CHECK(loop_verify(&loop));
	loop.pending_mask = 1u << LOOP_PRIORITY_NORMAL;
	a.watcher.priority = LOOP_PRIORITY_HIGH;
	CHECK(loop_verify(&loop));
	a.watcher.priority = LOOP_PRIORITY_NORMAL;
	sound(&loop);

	clockwork_init(&loop, &t, 't');
	clockwork_init(&loop, &u, 'u');
	loop_timer_arm(&loop, &t.timer, 10);
	loop_timer_arm(&loop, &u.timer, 20);
	t.timer.deadline_ns = 30;
	CHECK(loop_verify(&loop));
	loop.heap[t.timer.heap_index].deadline_ns = 30;
	CHECK(loop_verify(&loop));
	loop_stop(&loop, &a.watcher);
	loop_fini(&loop);
}

static void test_duration(void)
{
	struct loop loop;
	start_with(&loop, 0, 0, 0);
	loop_note_duration(&loop, 50);
	loop_note_duration(&loop, 20);
	CHECK_EQ(loop.statistics.longest_callback_ns, 50);
	loop_fini(&loop);
}

int main(void)
{
	test_order();
	test_coalescing();
	test_stop();
	test_memory_reuse();
	test_budget();
	test_fairness();
	test_timers();
	test_pending_expiry();
	test_timer_batch();
	test_memory_shortage();
	test_hooks();
	test_verify_sees();
	test_duration();
	return 0;
}
