/*
 * AF_UNIX sockets that only messages hold: a socket sent through itself, or two through each other
 * (unix(7), SCM_RIGHTS). When no descriptor is left, nobody can ever read these messages, and no
 * count reaches 0; so the sockets are looked for, and their messages are dropped.
 *
 * A socket all of whose references are in messages is a suspect. References in the queues of other
 * suspects do not speak for it; a suspect with any other reference can still be received, and so
 * can what waits in its queue, and so on. The suspects that are left are garbage.
 *
 * The search costs time in proportion to the sockets in flight. It runs as an event after as many
 * releases of AF_UNIX sockets as are a sixteenth of those, and when twice as many are in flight as
 * the last search left: so it costs each release and each message a constant.
 */
#include "core/hart.h"
#include "syscalls/net/socket_unix.h"

#define RELEASES_SHARE 16u
#define SEARCH_FROM    1024u

static struct list in_flight = { { &in_flight.head, &in_flight.head } };
static uint32_t in_flight_count, search_at = SEARCH_FROM, releases;
static struct loop_watcher searcher;

typedef void visit(struct unix_socket *found, struct list *context);

static void visit_queue(struct unix_socket *local, visit *each, struct list *context)
{
	list_for_each(node, &local->queue)
	{
		struct file_rights *rights = list_entry(node, struct unix_message, link)->rights;
		for (uint32_t i = 0; rights && i < rights->count; i++) {
			struct unix_socket *found = unix_socket_of_file(rights->files[i]);
			if (found && found->flight.suspect)
				each(found, context);
		}
	}
}

/* The suspects in the messages that who holds `local` can receive: its own, and those that wait in
 * connections which nobody has accepted. */
static void visit_held(struct unix_socket *local, visit *each, struct list *context)
{
	visit_queue(local, each, context);
	list_for_each(node, &local->backlog)
	        visit_queue(list_entry(node, struct unix_socket, backlog_link), each, context);
}

static void explain(struct unix_socket *found, struct list *context)
{
	(void)context;
	found->flight.unexplained--;
}

static void clear(struct unix_socket *found, struct list *cleared)
{
	found->flight.suspect = false;
	list_push_back(cleared, &found->flight.search_link);
}

static void take_messages(struct unix_socket *local, struct list *messages)
{
	struct list_node *node;
	while ((node = list_pop_front(&local->queue)))
		list_push_back(messages, node);
	local->queue_count = 0;
	local->queue_bytes = 0;
}

/* Leaves `suspect` set in garbage alone. */
static void find_garbage(void)
{
	struct list cleared;
	struct list_node *node;
	list_init(&cleared);
	list_for_each(at, &in_flight)
	{
		struct unix_socket *local = list_entry(at, struct unix_socket, flight.link);
		local->flight.suspect = local->socket.file.refs == local->flight.count;
		local->flight.unexplained = local->flight.count;
	}
	list_for_each(at, &in_flight)
	{
		struct unix_socket *local = list_entry(at, struct unix_socket, flight.link);
		if (local->flight.suspect)
			visit_held(local, explain, NULL);
	}
	list_for_each(at, &in_flight)
	{
		struct unix_socket *local = list_entry(at, struct unix_socket, flight.link);
		if (local->flight.suspect && local->flight.unexplained)
			clear(local, &cleared);
	}
	while ((node = list_pop_front(&cleared)))
		visit_held(list_entry(node, struct unix_socket, flight.search_link), clear,
		           &cleared);
}

static void search(struct loop *loop, struct loop_watcher *watcher, uint32_t events)
{
	(void)loop, (void)watcher, (void)events;
	struct list messages;
	struct list_node *node;
	list_init(&messages);
	find_garbage();
	list_for_each(at, &in_flight)
	{
		struct unix_socket *local = list_entry(at, struct unix_socket, flight.link);
		if (!local->flight.suspect)
			continue;
		take_messages(local, &messages);
		list_for_each(waiting, &local->backlog) take_messages(
		        list_entry(waiting, struct unix_socket, backlog_link), &messages);
	}
	while ((node = list_pop_front(&messages)))
		unix_message_free(list_entry(node, struct unix_message, link));
	releases = 0;
	search_at = 2 * in_flight_count > SEARCH_FROM ? 2 * in_flight_count : SEARCH_FROM;
}

static void search_soon(void)
{
	if (!searcher.callback)
		loop_watcher_init(&searcher, LOOP_PRIORITY_DEFERRED, search);
	loop_post(&this_hart()->loop, &searcher, 1);
}

void unix_flight_begin(struct file *file)
{
	struct unix_socket *local = unix_socket_of_file(file);
	if (!local || local->flight.count++)
		return;
	list_push_back(&in_flight, &local->flight.link);
	if (++in_flight_count >= search_at)
		search_soon();
}

void unix_flight_end(struct file *file)
{
	struct unix_socket *local = unix_socket_of_file(file);
	if (!local || --local->flight.count)
		return;
	list_remove(&local->flight.link);
	in_flight_count--;
}

void unix_released(void)
{
	if (in_flight_count && ++releases * RELEASES_SHARE >= in_flight_count)
		search_soon();
}
