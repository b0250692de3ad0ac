/*
 * The loop against a naive reference: the same random operations go to both, the reference answers
 * by searching plain arrays, and the callbacks must come in exactly the order that it predicts.
 * loop_verify() runs after every step. A failing seed prints itself; run the test with that number
 * as its argument to repeat it alone.
 */
#include "evloop/check.h"
#include "evloop/loop.h"

enum { OBJECTS = 24, STEPS = 3000, SEEDS = 60 };

/* What the reference knows of one watcher; even indices are plain watchers, odd ones are timers. */
struct model_object {
	bool pending;
	uint64_t order; /* when it entered its queue */
	uint32_t events;
	bool armed;
	uint64_t deadline_ns;
	uint64_t sequence;
};

struct world {
	struct loop loop;
	struct loop_watcher watchers[OBJECTS];
	struct loop_timer timers[OBJECTS];
	struct model_object model[OBJECTS];
	uint64_t order, sequence;
	uint32_t budget[LOOP_PRIORITIES], left[LOOP_PRIORITIES];
	uint64_t random;
	uint64_t seed;
	unsigned callbacks;
};

static uint32_t draw(struct world *world, uint32_t below)
{
	world->random ^= world->random << 13;
	world->random ^= world->random >> 7;
	world->random ^= world->random << 17;
	return (uint32_t)(world->random >> 32) % below;
}

static bool is_timer(unsigned index)
{
	return index & 1;
}

static struct loop_watcher *watcher_of(struct world *world, unsigned index)
{
	return is_timer(index) ? &world->timers[index].watcher : &world->watchers[index];
}

static unsigned level_of(unsigned index)
{
	return index / 2 % LOOP_PRIORITIES;
}

static void fail(struct world *world, const char *what)
{
	fprintf(stderr, "seed %llu: %s\n", (unsigned long long)world->seed, what);
	exit(1);
}

static void verify(struct world *world)
{
	const char *broken = loop_verify(&world->loop);
	if (broken)
		fail(world, broken);
	uint64_t earliest = LOOP_NEVER;
	for (unsigned i = 0; i < OBJECTS; i++) {
		struct model_object *model = &world->model[i];
		if (model->armed && model->deadline_ns < earliest)
			earliest = model->deadline_ns;
		if (loop_watcher_is_pending(watcher_of(world, i)) != model->pending)
			fail(world, "pending differs");
		if (is_timer(i) && loop_timer_is_armed(&world->timers[i]) != model->armed)
			fail(world, "armed differs");
	}
	if (loop_next_deadline(&world->loop) != earliest)
		fail(world, "the next deadline differs");
}

static void model_post(struct world *world, unsigned index, uint32_t events)
{
	struct model_object *model = &world->model[index];
	model->events |= events;
	if (!model->pending) {
		model->pending = true;
		model->order = ++world->order;
	}
}

static void model_stop(struct model_object *model)
{
	model->pending = false;
	model->events = 0;
}

static void model_forget_expiry(struct model_object *model)
{
	if (!(model->events & LOOP_EVENT_TIMER))
		return;
	model->events &= ~LOOP_EVENT_TIMER;
	if (!model->events)
		model_stop(model);
}

static void step(struct world *world)
{
	unsigned index = draw(world, OBJECTS);
	struct model_object *model = &world->model[index];
	unsigned what = draw(world, 8);
	if (what < 3) {
		uint32_t events = 1u << draw(world, 8);
		loop_post(&world->loop, watcher_of(world, index), events);
		model_post(world, index, events);
	} else if (what == 3) {
		loop_stop(&world->loop, watcher_of(world, index));
		model_stop(model);
	} else if (is_timer(index) && what == 4) {
		loop_timer_cancel(&world->loop, &world->timers[index]);
		model_forget_expiry(model);
		model->armed = false;
	} else if (is_timer(index)) {
		/* Coarse deadlines: many are equal, some lie in the past. */
		uint64_t deadline = world->loop.now_ns + 10 * draw(world, 12);
		deadline = deadline > 20 ? deadline - 20 : 0;
		loop_timer_arm(&world->loop, &world->timers[index], deadline);
		model_forget_expiry(model);
		model->armed = true;
		model->deadline_ns = deadline;
		model->sequence = ++world->sequence;
	}
	verify(world);
}

/* The reference's choice: highest level with events and budget, then the oldest. OBJECTS when there
 * is none. */
static unsigned model_next(const struct world *world)
{
	unsigned best = OBJECTS;
	for (unsigned i = 0; i < OBJECTS; i++) {
		if (!world->model[i].pending || !world->left[level_of(i)])
			continue;
		if (best == OBJECTS || level_of(i) < level_of(best) ||
		    (level_of(i) == level_of(best) &&
		     world->model[i].order < world->model[best].order))
			best = i;
	}
	return best;
}

static void model_expire(struct world *world, uint64_t now_ns)
{
	for (;;) {
		unsigned first = OBJECTS;
		for (unsigned i = 0; i < OBJECTS; i++) {
			const struct model_object *a = &world->model[i], *b = &world->model[first];
			if (!a->armed || a->deadline_ns > now_ns)
				continue;
			if (first == OBJECTS || a->deadline_ns < b->deadline_ns ||
			    (a->deadline_ns == b->deadline_ns && a->sequence < b->sequence))
				first = i;
		}
		if (first == OBJECTS)
			return;
		world->model[first].armed = false;
		model_post(world, first, LOOP_EVENT_TIMER);
	}
}

static void run(struct loop *loop, struct loop_watcher *watcher, uint32_t events)
{
	struct world *world = container_of(loop, struct world, loop);
	unsigned expected = model_next(world);
	if (expected == OBJECTS)
		fail(world, "a callback without reason");
	if (watcher != watcher_of(world, expected))
		fail(world, "another watcher's turn");
	if (events != world->model[expected].events)
		fail(world, "other events");
	world->left[level_of(expected)]--;
	model_stop(&world->model[expected]);
	world->callbacks++;
	verify(world);
	for (unsigned i = draw(world, 3); i > 0; i--)
		step(world);
}

static void turn(struct world *world)
{
	uint64_t now_ns = world->loop.now_ns + draw(world, 30);
	for (unsigned level = 0; level < LOOP_PRIORITIES; level++)
		world->left[level] = world->budget[level];
	model_expire(world, now_ns);
	bool more = loop_turn(&world->loop, now_ns);
	if (model_next(world) != OBJECTS)
		fail(world, "a callback is missing");
	bool pending = false;
	for (unsigned i = 0; i < OBJECTS; i++)
		pending |= world->model[i].pending ||
		           (world->model[i].armed && world->model[i].deadline_ns <= now_ns);
	if (more != pending)
		fail(world, "loop_turn's answer is wrong");
	verify(world);
}

static void *reallocate(void *context, void *old, size_t old_bytes, size_t new_bytes)
{
	(void)context;
	(void)old_bytes;
	if (new_bytes)
		return realloc(old, new_bytes);
	free(old);
	return NULL;
}

static void play(uint64_t seed)
{
	struct world *world = calloc(1, sizeof(*world));
	CHECK(world);
	world->seed = seed;
	world->random = seed * 0x9e3779b97f4a7c15ull + 1;
	struct loop_config config = { .reallocate = reallocate };
	for (unsigned level = 0; level < LOOP_PRIORITIES; level++)
		config.budget[level] = world->budget[level] = 1 + draw(world, 8);
	CHECK_EQ(loop_init(&world->loop, &config), 0);
	for (unsigned i = 0; i < OBJECTS; i++) {
		if (is_timer(i))
			CHECK_EQ(loop_timer_create(&world->loop, &world->timers[i],
			                           (enum loop_priority)level_of(i), run),
			         0);
		else
			loop_watcher_init(&world->watchers[i], (enum loop_priority)level_of(i),
			                  run);
	}
	for (unsigned i = 0; i < STEPS; i++) {
		if (draw(world, 4) == 0)
			turn(world);
		else
			step(world);
	}
	if (world->callbacks < STEPS / 8)
		fail(world, "the schedule hardly ran anything");
	for (unsigned i = 0; i < OBJECTS; i++) {
		loop_stop(&world->loop, watcher_of(world, i));
		if (is_timer(i))
			loop_timer_destroy(&world->loop, &world->timers[i]);
	}
	CHECK_EQ(world->loop.timers_created, 0);
	loop_fini(&world->loop);
	free(world);
}

int main(int argc, char **argv)
{
	if (argc > 1) {
		play(strtoull(argv[1], NULL, 0));
		return 0;
	}
	for (uint64_t seed = 1; seed <= SEEDS; seed++)
		play(seed);
	return 0;
}
