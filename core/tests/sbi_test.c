/* The firmware's calls, and stolen time, against a firmware that records what it is asked. */
#include <stdlib.h>
#include <string.h>

#include "core/sbi.h"
#include "core/steal.h"
#include "evloop/check.h"
#include "evloop/idle_poll.h"

#define BASE         0x10
#define STA          0x535441
#define RFENCE       0x52464e43
#define HSM          0x48534d
#define DBCN         0x4442434e
#define SUPPORTED    0
#define REFUSED      -2

#define CONSOLE_TEXT 0x80001000
#define NONSENSE     (1 << 20)

static struct {
	uint64_t extension, function, argument[4];
	unsigned calls;
	int64_t error; /* of all but Base */
	int64_t base_error;
	int64_t takes; /* of each write to the console, at most; negative or too many: nonsense */
	size_t took;
	const uint32_t *present;
	uint64_t implementation;
} firmware;

struct sbi_result sbi_call(uint64_t extension, uint64_t function, uint64_t first, uint64_t second,
                           uint64_t third, uint64_t fourth)
{
	CHECK(extension >= BASE); /* never legacy */
	firmware.calls++;
	if (extension != BASE) {
		firmware.extension = extension;
		firmware.function = function;
		memcpy(firmware.argument, (uint64_t[]){ first, second, third, fourth },
		       sizeof firmware.argument);
		if (extension != DBCN)
			return (struct sbi_result){ firmware.error, 0 };
		CHECK(second == CONSOLE_TEXT + firmware.took);
		int64_t taken = firmware.takes > 0 && firmware.takes < NONSENSE &&
		                                firmware.takes > (int64_t)first
		                        ? (int64_t)first
		                        : firmware.takes;
		firmware.took += (size_t)(taken > 0 ? taken : 0);
		return (struct sbi_result){ firmware.error, taken };
	}
	if (firmware.base_error)
		return (struct sbi_result){ firmware.base_error, 1 };
	switch (function) {
	case 0:
		return (struct sbi_result){ 0, 2 << 24 };
	case 1:
		return (struct sbi_result){ 0, (int64_t)firmware.implementation };
	case 2:
		return (struct sbi_result){ 0, 0x60c75 };
	}
	CHECK_EQ(function, 3);
	for (const uint32_t *id = firmware.present; id && *id; id++)
		if (*id == first)
			return (struct sbi_result){ 0, 1 };
	return (struct sbi_result){ 0, 0 };
}

static void start(uint64_t implementation, const uint32_t *present)
{
	memset(&firmware, 0, sizeof firmware);
	firmware.implementation = implementation;
	firmware.present = present;
	CHECK_EQ(sbi_probe(), firmware.calls);
}

static void test_probe(void)
{
	static const uint32_t kvm[] = { 0x54494d45, 0x735049, 0x52464e43, 0x48534d,
		                        0x53525354, STA,      0 };
	static const uint32_t others[] = { 0x4442434e, 0x504d55, 0x53555350, 0x46574654, 0 };
	char text[128];
	start(SBI_KVM, kvm);
	CHECK_EQ(sbi_firmware.extensions,
	         SBI_TIME | SBI_IPI | SBI_RFENCE | SBI_HSM | SBI_SRST | SBI_STA);
	sbi_describe(text, sizeof text);
	CHECK(strcmp(text, "SBI 2.0 of KVM 60c75: TIME IPI RFENCE HSM SRST STA") == 0);
	char small[16];
	sbi_describe(small, sizeof small);
	CHECK(strcmp(small, "SBI 2.0 of KVM ") == 0);
	start(SBI_OPENSBI, others);
	CHECK_EQ(sbi_firmware.extensions, SBI_DBCN | SBI_PMU | SBI_SUSP | SBI_FWFT);
	CHECK(!sbi_has(SBI_TIME) && sbi_has(SBI_DBCN));
	sbi_describe(text, sizeof text);
	CHECK(strcmp(text, "SBI 2.0 of OpenSBI 60c75: DBCN PMU SUSP FWFT") == 0);
}

static void test_probe_without_an_answer(void)
{
	start(0, NULL);
	CHECK_EQ(sbi_firmware.extensions, 0);
}

/* A firmware that answers everything with an error has nothing, whatever value it adds. */
static void test_probe_refused(void)
{
	char text[128];
	firmware.base_error = REFUSED;
	sbi_probe();
	firmware.base_error = 0;
	CHECK_EQ(sbi_firmware.extensions, 0);
	CHECK(sbi_firmware.implementation == 0 && sbi_firmware.specification == 0);
	sbi_describe(text, sizeof text);
	CHECK(strcmp(text, "SBI 0.0 of unknown firmware 0:") == 0);
}

static void test_hart_start(void)
{
	start(SBI_KVM, NULL);
	firmware.error = REFUSED;
	CHECK_EQ(sbi_hart_start(3, 0x80200000, 0x1234).error, REFUSED);
	CHECK(firmware.extension == HSM && firmware.function == 0);
	CHECK(firmware.argument[0] == 3 && firmware.argument[1] == 0x80200000 &&
	      firmware.argument[2] == 0x1234);
}

static size_t write_to(int64_t takes, int64_t error, unsigned *calls)
{
	start(SBI_KVM, NULL);
	firmware.takes = takes;
	firmware.error = error;
	unsigned before = firmware.calls;
	size_t done = sbi_console_write(CONSOLE_TEXT, 1000);
	*calls = firmware.calls - before;
	return done;
}

/* Whatever the firmware answers: no byte counts that it did not take, and it ends. */
static void test_console(void)
{
	unsigned calls;
	CHECK_EQ(write_to(1000, 0, &calls), 1000);
	CHECK_EQ(calls, 1);
	CHECK_EQ(write_to(300, 0, &calls), 1000); /* in parts */
	CHECK_EQ(calls, 4);
	CHECK_EQ(write_to(1000, REFUSED, &calls), 0);
	CHECK_EQ(calls, 1);
	CHECK_EQ(write_to(-1, 0, &calls), 0);
	CHECK_EQ(calls, 1);
	CHECK_EQ(write_to(NONSENSE, 0, &calls), 0);
	CHECK_EQ(calls, 1);
	CHECK_EQ(write_to(0, 0, &calls), 0);
	CHECK(calls > 1000); /* it was waited for */
}

static void test_remote_flush_is_whole(void)
{
	start(SBI_KVM, NULL);
	sbi_remote_flush(6, 1);
	CHECK(firmware.extension == RFENCE && firmware.function == 1);
	CHECK(firmware.argument[0] == 6 && firmware.argument[1] == 1);
	CHECK(firmware.argument[2] == 0 && firmware.argument[3] == 0);
}

static void test_steal_is_registered(void)
{
	static const uint32_t with[] = { STA, 0 };
	struct steal_record record = { .steal_ns = 500 };
	struct steal steal = { 0 };
	start(SBI_KVM, NULL);
	unsigned calls = firmware.calls;
	steal_start(&steal, &record, 0x1234567840);
	CHECK(firmware.calls == calls && !steal.record);
	CHECK_EQ(steal_take(&steal, 100), 0);

	start(SBI_KVM, with);
	firmware.error = REFUSED;
	steal_start(&steal, &record, 0x1234567840);
	CHECK(!steal.record);

	firmware.error = SUPPORTED;
	steal_start(&steal, &record, 0x1234567840);
	CHECK(steal.record == &record && firmware.extension == STA && firmware.function == 0);
	CHECK(firmware.argument[0] == 0x1234567840 && firmware.argument[1] == 0 &&
	      firmware.argument[2] == 0);
	CHECK_EQ(steal_total_ns(&steal), 0); /* what was there before is not ours */
}

static void test_steal_is_taken_once(void)
{
	struct steal_record record = { .steal_ns = 500 };
	struct steal steal = { &record, 500, 0 };
	CHECK_EQ(steal_take(&steal, 1000), 0);
	record.steal_ns += 300;
	CHECK_EQ(steal_peek(&steal, 1000), 300);
	CHECK_EQ(steal_peek(&steal, 100), 100);
	CHECK_EQ(steal_take(&steal, 1000), 300);
	CHECK_EQ(steal_peek(&steal, 1000), 0);
	CHECK_EQ(steal_take(&steal, 1000), 0);
	record.steal_ns += 5000;
	CHECK_EQ(steal_take(&steal, 1000), 1000);
	CHECK_EQ(steal_take(&steal, 1000), 0);
	CHECK_EQ(steal_total_ns(&steal), 5300);
	record.steal_ns = 600; /* a record that goes backwards */
	CHECK_EQ(steal_take(&steal, 1000), 0);
	record.steal_ns = 0;
	CHECK(steal_take(&steal, 7) <= 7);
}

static void test_poll_grows_and_shrinks(void)
{
	struct idle_poll poll = { 0, IDLE_POLL_MOST_NS };
	idle_poll_adapt(&poll, IDLE_POLL_MOST_NS + 1);
	CHECK_EQ(poll.limit_ns, 0);
	idle_poll_adapt(&poll, 30000);
	CHECK_EQ(poll.limit_ns, IDLE_POLL_START_NS);
	idle_poll_adapt(&poll, 40000); /* covered */
	CHECK_EQ(poll.limit_ns, IDLE_POLL_START_NS);
	idle_poll_adapt(&poll, 60000);
	CHECK_EQ(poll.limit_ns, 2 * IDLE_POLL_START_NS);
	for (unsigned i = 0; i < 10; i++)
		idle_poll_adapt(&poll, IDLE_POLL_MOST_NS);
	CHECK_EQ(poll.limit_ns, IDLE_POLL_MOST_NS);
	for (unsigned i = 0; i < 64; i++)
		idle_poll_adapt(&poll, 1000000000);
	CHECK_EQ(poll.limit_ns, 0);
}

static void test_fixed_poll_stays(void)
{
	static const uint64_t limits[] = { 0, 1000000 };
	for (unsigned i = 0; i < 2; i++) {
		struct idle_poll poll = { limits[i], 0 };
		idle_poll_adapt(&poll, 1);
		idle_poll_adapt(&poll, 2000000000);
		CHECK_EQ(poll.limit_ns, limits[i]);
	}
}

int main(void)
{
	test_probe();
	test_probe_without_an_answer();
	test_probe_refused();
	test_hart_start();
	test_console();
	test_remote_flush_is_whole();
	test_steal_is_registered();
	test_steal_is_taken_once();
	test_poll_grows_and_shrinks();
	test_fixed_poll_stays();
	return 0;
}
