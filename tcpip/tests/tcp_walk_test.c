/* What /proc/net/tcp is made of: which rows there are, and that none is lost or comes twice while
 * the tables grow between the pieces of a walk. */
#include "tcpip/tests/tcp_script.h"

static struct script s;

#define ROWS_MAX 64

struct rows {
	struct tcp_row row[ROWS_MAX];
	uint32_t count;
};

static bool keep(void *context, const struct tcp_row *row)
{
	struct rows *rows = context;
	CHECK(rows->count < ROWS_MAX);
	rows->row[rows->count++] = *row;
	return true;
}

static const struct tcp_row *row_of_peer(const struct rows *rows, uint16_t port)
{
	const struct tcp_row *found = NULL;
	for (uint32_t i = 0; i < rows->count; i++) {
		if (rows->row[i].remote.port != port)
			continue;
		CHECK(!found);
		found = &rows->row[i];
	}
	return found;
}

static struct rows walk_all(void)
{
	struct rows rows = { .count = 0 };
	uint64_t position = 0;
	while (tcp_walk(s.wire.host[0].stack, &position, keep, &rows))
		;
	return rows;
}

static void connect_from(uint16_t port, bool completes)
{
	s.peer_port = port;
	s.iss_known = false;
	send_segment(&s, TCP_SYN, 0, 0, 0);
	if (completes)
		send_segment(&s, TCP_ACK, 1, 1, 0);
}

static void kinds(void)
{
	script_begin(&s, "one row of each kind");
	script_accept(&s);
	CHECK_EQ(walk_all().count, 2);
	user_write(&s, 100);
	send_segment(&s, A, 1, 1, 30);
	connect_from(5001, false);
	connect_from(5002, true);
	const struct rows rows = walk_all();
	CHECK_EQ(rows.count, 4);

	const struct tcp_row *row = &rows.row[0];
	CHECK_EQ(row->state, TCP_LISTEN);
	CHECK(row->connection == s.listener && row->owner == &s);
	CHECK_EQ(row->receive_queue, 1);
	CHECK_EQ(row->timer, TCP_ROW_NONE);

	row = row_of_peer(&rows, PEER_PORT);
	CHECK_EQ(row->state, TCP_ESTABLISHED);
	CHECK(row->connection == s.c && row->owner == &s);
	CHECK_EQ(row->send_queue, 100);
	CHECK_EQ(row->receive_queue, 30);
	CHECK_EQ(row->timer, TCP_ROW_RETRANSMIT);
	CHECK(row->timer_left_ns && row->timer_left_ns <= SECOND);

	row = row_of_peer(&rows, 5001);
	CHECK_EQ(row->state, TCP_SYN_RECEIVED);
	CHECK(!row->connection && row->owner == &s);
	CHECK_EQ(row->timer, TCP_ROW_RETRANSMIT);

	row = row_of_peer(&rows, 5002);
	CHECK_EQ(row->state, TCP_ESTABLISHED);
	CHECK(row->connection && !row->owner); /* nobody accepted it */

	/* What it has beside the many hangs where the listener stands until accept. */
	CHECK(tcp_groups(s.c));
	const struct rows with_groups = walk_all();
	CHECK(row_of_peer(&with_groups, PEER_PORT)->owner == &s);
	script_end(&s);
}

/* From FIN_WAIT_1 on nobody owns it; at last it is a TIME_WAIT. */
static void orphan(void)
{
	script_begin(&s, "an orphan's rows");
	script_accept(&s);
	tcp_close(s.c);
	s.c = NULL;
	flush_hosts(&s);
	struct rows rows = walk_all();
	const struct tcp_row *row = row_of_peer(&rows, PEER_PORT);
	CHECK_EQ(row->state, TCP_FIN_WAIT_1);
	CHECK(!row->owner);
	CHECK_EQ(row->send_queue, 1);
	CHECK_EQ(row->timer, TCP_ROW_RETRANSMIT);

	send_segment(&s, A, 1, 2, 0);
	rows = walk_all();
	row = row_of_peer(&rows, PEER_PORT);
	CHECK_EQ(row->state, TCP_FIN_WAIT_2);
	CHECK_EQ(row->send_queue, 0);
	CHECK_EQ(row->timer, TCP_ROW_TIME_WAIT);

	send_segment(&s, A | TCP_FIN, 1, 2, 0);
	rows = walk_all();
	row = row_of_peer(&rows, PEER_PORT);
	CHECK_EQ(row->state, TCP_TIME_WAIT);
	CHECK(!row->owner && !row->connection);
	CHECK_EQ(row->timer, TCP_ROW_TIME_WAIT);
	CHECK(row->timer_left_ns > 59 * SECOND && row->timer_left_ns <= 60 * SECOND);
	script_end(&s);
}

/* ---- pieces ---- */

static uint8_t times[65536]; /* a half-open connection was shown, by the peer's port */
static uint32_t calls, visits;

static bool count_few(void *context, const struct tcp_row *row)
{
	(void)context;
	times[row->remote.port]++;
	return ++visits % 3 != 0;
}

static void growth(void)
{
	script_begin(&s, "a walk while the table doubles again and again");
	script_listen(&s, 4096);
	uint16_t next = 1024;
	for (; next < 1024 + 100; next++)
		connect_from(next, false);
	uint64_t position = 0;
	while (tcp_walk(s.wire.host[0].stack, &position, count_few, NULL)) {
		for (int i = 0; i < 40 && next < 1024 + 4000; i++)
			connect_from(next++, false);
		s.count = s.next = 0;
	}
	CHECK_EQ(next, 1024 + 4000);
	CHECK_EQ(times[0], 1); /* the listener */
	for (uint16_t port = 1024; port < 1024 + 100; port++)
		CHECK_EQ(times[port], 1);
	for (uint16_t port = 1024; port < next; port++)
		CHECK(times[port] <= 1);
	script_end(&s);
}

/* Listeners of one port are in one bucket, and a walk stops between them, too. */
static void one_port(void)
{
	script_begin(&s, "many listeners on one port");
	static struct tcp_connection *all[100];
	for (uint32_t i = 0; i < 100; i++) {
		CHECK_EQ(tcp_open(s.wire.host[0].stack, &all[i], NULL, NULL), 0);
		CHECK_EQ(tcp_bind(all[i], (struct endpoint){ { 0 }, OUR_PORT }, false, true), 0);
		CHECK_EQ(tcp_listen(all[i], 1), 0);
	}
	uint64_t position = 0;
	memset(times, 0, sizeof(times));
	visits = calls = 0;
	while (tcp_walk(s.wire.host[0].stack, &position, count_few, NULL))
		calls++;
	CHECK_EQ(times[0], 100);
	CHECK(calls >= 33);
	for (uint32_t i = 0; i < 100; i++)
		tcp_close(all[i]);
	script_end(&s);
}

int main(void)
{
	kinds();
	orphan();
	growth();
	one_port();
	return 0;
}
