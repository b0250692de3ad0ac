#include "perf/insn_count/registers.h"

#include <string.h>

#include "perf/insn_count/qemu_plugin.h"

/* As QEMU's description of the machine for gdb calls them. */
static const char *const names[REGISTERS] = {
	"zero", "ra", "sp",  "gp",  "tp", "t0", "t1", "t2", "fp",     "s1",      "a0", "a1",
	"a2",   "a3", "a4",  "a5",  "a6", "a7", "s2", "s3", "s4",     "s5",      "s6", "s7",
	"s8",   "s9", "s10", "s11", "t3", "t4", "t5", "t6", "scause", "sstatus",
};

static struct qemu_plugin_register *handles[REGISTERS];
static __thread GByteArray *buffer;

void registers_find(void)
{
	const GArray *found = qemu_plugin_get_registers();
	const qemu_plugin_reg_descriptor *registers = (const void *)found->data;
	for (unsigned i = 0; i < found->len; i++)
		for (unsigned n = 0; n < REGISTERS; n++)
			if (!handles[n] && !strcmp(registers[i].name, names[n]))
				handles[n] = registers[i].handle;
}

uint64_t register_read(unsigned number)
{
	uint64_t value = 0;
	if (!buffer)
		buffer = g_byte_array_new();
	g_byte_array_set_size(buffer, 0);
	int size = handles[number] ? qemu_plugin_read_register(handles[number], buffer) : 0;
	if (size > 0)
		memcpy(&value, buffer->data,
		       (size_t)size < sizeof value ? (size_t)size : sizeof value);
	return value;
}
