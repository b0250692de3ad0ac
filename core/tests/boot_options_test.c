/* The command line, and ISA strings. */
#include <errno.h>
#include <string.h>

#include "core/boot.h"
#include "core/cpu.h"
#include "evloop/check.h"

static void test_options(void)
{
	const char *line =
	        " ip=10.0.2.15/24,10.0.2.2 quiet  env=A=1 env=\"B=two words\" ipx=no -- prog log=9";
	char value[32];
	CHECK(boot_option(line, "ip", 0, value, sizeof value));
	CHECK(strcmp(value, "10.0.2.15/24,10.0.2.2") == 0);
	CHECK(boot_option(line, "quiet", 0, value, sizeof value));
	CHECK(strcmp(value, "") == 0);
	CHECK(boot_option(line, "env", 0, value, sizeof value));
	CHECK(strcmp(value, "A=1") == 0);
	CHECK(boot_option(line, "env", 1, value, sizeof value));
	CHECK(strcmp(value, "B=two words") == 0);
	CHECK(!boot_option(line, "env", 2, value, sizeof value));
	CHECK(!boot_option(line, "log", 0, value, sizeof value)); /* behind the separator */
	CHECK(!boot_option(line, "i", 0, value, sizeof value));
	CHECK(!boot_option("", "ip", 0, value, sizeof value));
	CHECK(boot_option(line, "ip", 0, value, 5)); /* cut to what fits */
	CHECK(strcmp(value, "10.0") == 0);
	CHECK(boot_option("a=\"x\\\"y\\\\z\\n\"", "a", 0, value, sizeof value));
	CHECK(strcmp(value, "x\"y\\z\\n") == 0);
	CHECK(boot_option("a=\"x -- y\" b=2", "b", 0, value,
	                  sizeof value)); /* no separator inside quotes */
}

static void test_numbers(void)
{
	CHECK_EQ(boot_option_number("log=3", "log", 1), 3);
	CHECK_EQ(boot_option_number("log", "log", 1), 1);
	CHECK_EQ(boot_option_number("log=-3", "log", 1), 1);
	CHECK_EQ(boot_option_number("log=99999999999999999999999", "log", 1), 1);
	CHECK_EQ(boot_option_number("x=18446744073709551", "x", 1), 18446744073709551);
}

static void test_ranges(void)
{
	static const char *const bad[] = {
		"m",
		"m=",
		"m=1",
		"m=1,",
		"m=,1",
		"m=1,0",
		"m=1,2,3",
		"m=0x,1",
		"m=1 ,2",
		"m=1,2Q",
		"m=-1,2",
		"m=1,2KK",
		"m=0xg,1",
		"m=17179869184G,1",
		"m=1,18446744073709551616",
		"m=0xfffffffffffff000,0x1000K",
		"m=1,99999999999999999G",
	};
	uint64_t address = 7, bytes = 7;
	CHECK_EQ(boot_option_range("n=1,2 -- m=1,2", "m", &address, &bytes), -ENOENT);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		CHECK_EQ(boot_option_range(bad[i], "m", &address, &bytes), -EINVAL);
	CHECK_EQ(address, 7);
	CHECK_EQ(bytes, 7);
	CHECK_EQ(boot_option_range("m=0x80284000,15653408", "m", &address, &bytes), 0);
	CHECK_EQ(address, 0x80284000);
	CHECK_EQ(bytes, 15653408);
	CHECK_EQ(boot_option_range("m=2g,0XfK", "m", &address, &bytes), 0);
	CHECK_EQ(address, 2ull << 30);
	CHECK_EQ(bytes, 15 << 10);
}

static void test_arguments(void)
{
	char *argv[4], storage[32];
	CHECK_EQ(boot_arguments("a=1 b", argv, 4, storage, sizeof storage), 0);
	CHECK_EQ(boot_arguments("a=1 --", argv, 4, storage, sizeof storage), 0);
	CHECK_EQ(boot_arguments("a=1 --x", argv, 4, storage, sizeof storage), 0);
	CHECK_EQ(boot_arguments("-- /bin/p  --port\t6379 -- ", argv, 4, storage, sizeof storage),
	         4);
	CHECK(strcmp(argv[0], "/bin/p") == 0);
	CHECK(strcmp(argv[1], "--port") == 0);
	CHECK(strcmp(argv[2], "6379") == 0);
	CHECK(strcmp(argv[3], "--") == 0);
	CHECK_EQ(boot_arguments("x -- a b c d e", argv, 4, storage, sizeof storage), -E2BIG);
	CHECK_EQ(boot_arguments("-- 0123456789012345 012345678901234", argv, 4, storage,
	                        sizeof storage),
	         -E2BIG);
	CHECK_EQ(boot_arguments("-- 0123456789012345 01234567890123", argv, 4, storage,
	                        sizeof storage),
	         2);
	CHECK_EQ(boot_arguments("-- \"open", argv, 4, storage, sizeof storage), -EINVAL);
	CHECK_EQ(boot_arguments("-- \"\" a\"b c\"d", argv, 4, storage, sizeof storage), 2);
	CHECK(strcmp(argv[0], "") == 0);
	CHECK(strcmp(argv[1], "ab cd") == 0);
}

static void test_isa(void)
{
	uint32_t features = 0;
	uint64_t letters = 0;
	cpu_parse_isa("rv64imafdc_zicsr_sstc_zba", &features, &letters);
	CHECK_EQ(features, CPU_SSTC | CPU_ZBA);
	CHECK_EQ(letters, 1 << 8 | 1 << 12 | 1 << 0 | 1 << 5 | 1 << 3 | 1 << 2);
	features = 0;
	letters = 0;
	cpu_parse_isa("rv64gc_sstcx_xsstc", &features, &letters);
	CHECK_EQ(features, 0);
	CHECK_EQ(letters, 1 << 8 | 1 << 12 | 1 << 0 | 1 << 5 | 1 << 3 | 1 << 2);
	letters = 0;
	cpu_parse_isa("rv32imac_sstc", &features, &letters);
	CHECK_EQ(features, 0);
	CHECK_EQ(letters, 0);
	cpu_parse_extension("sstcgarbage", 4, &features, &letters);
	CHECK_EQ(features, CPU_SSTC);
}

int main(void)
{
	test_options();
	test_numbers();
	test_ranges();
	test_arguments();
	test_isa();
	return 0;
}
