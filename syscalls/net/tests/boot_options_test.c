/* Boot arguments of the network. */
#include "syscalls/net/boot_options.h"

#include <errno.h>
#include <string.h>

#include "evloop/check.h"

static void check_addresses(void)
{
	struct address_option option;
	CHECK_EQ(address_option_parse("10.0.2.15/24,10.0.2.2", &option), 0);
	CHECK_EQ(option.address.value, 0x0a00020f);
	CHECK_EQ(option.prefix_length, 24);
	CHECK_EQ(option.gateway.value, 0x0a000202);
	CHECK(!option.dhcp && !option.none);
	CHECK_EQ(address_option_parse("192.168.255.1/16", &option), 0);
	CHECK_EQ(option.prefix_length, 16);
	CHECK_EQ(option.gateway.value, 0);
	CHECK_EQ(address_option_parse("1.2.3.4", &option), 0);
	CHECK_EQ(option.prefix_length, 24);
	CHECK_EQ(address_option_parse("dhcp", &option), 0);
	CHECK(option.dhcp);
	CHECK_EQ(address_option_parse("none", &option), 0);
	CHECK(option.none);
}

static void check_refusals(void)
{
	static const char *const bad[] = {
		"",          "1.2.3",    "1.2.3.256",        "1.2.3.4/33",
		"1.2.3.4/",  "1.2.3.4,", "1.2.3.4/24,5.6.7", "1.2.3.4/24,5.6.7.8x",
		"dhcp6",     "a.b.c.d",  "1..3.4",           "99999999999.1.1.1",
		"1.2.3.4.5",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct address_option option = { .prefix_length = 7 };
		CHECK_EQ(address_option_parse(bad[i], &option), -EINVAL);
		CHECK_EQ(option.prefix_length, 7);
	}
}

static void check_flags(void)
{
	const char *line = "tso=0 csum event_idx=off mrg_rxbuf=1 tx_irq=maybe rx_budget=7 "
	                   "ring_size=99999 x=-3";
	CHECK(!boot_flag(line, "tso", true));
	CHECK(boot_flag(line, "csum", false));
	CHECK(!boot_flag(line, "event_idx", true));
	CHECK(boot_flag(line, "mrg_rxbuf", false));
	CHECK(boot_flag(line, "absent", true));
	CHECK(!boot_flag(line, "absent", false));
	CHECK(!boot_flag(line, "tx_irq", false)); /* neither on nor off: as if absent */
	CHECK_EQ(boot_number(line, "rx_budget", 64, 1, 4096), 7);
	CHECK_EQ(boot_number(line, "ring_size", 256, 16, 1024), 1024);
	CHECK_EQ(boot_number(line, "x", 5, 1, 9), 5);
	CHECK_EQ(boot_number(line, "absent", 5, 1, 9), 5);
}

int main(void)
{
	check_addresses();
	check_refusals();
	check_flags();
	return 0;
}
