#include "core/console.h"

#include <string.h>

#include "core/boot.h"
#include "core/clock.h"
#include "core/console_batch.h"
#include "core/console_setup.h"
#include "core/io.h"
#include "core/irq.h"
#include "core/kernel_map.h"
#include "core/memory.h"
#include "core/sbi.h"

/* 16550 registers and bits. */
#define UART_DATA             0
#define UART_INTERRUPT_ENABLE 1
#define UART_FIFO_CONTROL     2
#define UART_MODEM_CONTROL    4
#define UART_LINE_STATUS      5
#define ENABLE_RECEIVED       0x01
#define FIFO_ENABLE           0x01
#define MODEM_OUT2            0x08 /* connects the interrupt on PC-like boards */
#define STATUS_RECEIVED       0x01
#define STATUS_TRANSMIT_EMPTY 0x20

#define FIFO_BYTES            16   /* what an empty transmitter takes */
#define INPUT_BYTES           1024 /* a power of two */

int log_threshold = LOG_NOTICE;

static struct {
	uint8_t *base;
	uint32_t shift; /* distance of registers, as a power of two */
	dtb_node node;
} uart;

static struct {
	char bytes[INPUT_BYTES];
	uint32_t head, tail; /* free-running; head - tail bytes are held */
	struct hart *hart;
	struct loop_watcher watcher;
	void (*notify)(void *context);
	void *context;
} input;

static uint8_t uart_read(unsigned index)
{
	return io_read8(uart.base + ((size_t)index << uart.shift));
}

static void uart_write(unsigned index, uint8_t value)
{
	io_write8(uart.base + ((size_t)index << uart.shift), value);
}

/* Each access leaves a virtual machine: the status is asked for once per FIFO. */
static void uart_output(const char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		while (i % FIFO_BYTES == 0 &&
		       !(uart_read(UART_LINE_STATUS) & STATUS_TRANSMIT_EMPTY))
			;
		uart_write(UART_DATA, (uint8_t)bytes[i]);
	}
}

static bool dbcn_wanted = true;

/* Returns how many bytes the firmware took. DBCN takes physical addresses: pieces end at page
 * boundaries, since stacks are not contiguous. */
static size_t dbcn_output(const char *bytes, size_t length)
{
	size_t done = 0, taken, piece;
	do {
		const char *at = bytes + done;
		piece = PAGE_SIZE - ((uintptr_t)at & PAGE_MASK);
		if (piece > length - done)
			piece = length - done;
		taken = sbi_console_write(kernel_physical(at).value, piece);
		done += taken;
	} while (done < length && taken == piece);
	return done;
}

static void write_at_once(const char *bytes, size_t length)
{
	size_t done = sbi_has(SBI_DBCN) && dbcn_wanted ? dbcn_output(bytes, length) : 0;
	if (done < length && uart.base)
		uart_output(bytes + done, length - done);
}

/* ---- output that waits ---- */

/* The longest that output waits for the hart to be idle. */
#define BATCH_DELAY_NS 50000000

static struct console_batch batch = { .out = write_at_once };
static struct hart *batch_hart; /* whose output waits; NULL: none does */
static struct loop_timer batch_timer;

void console_flush(void)
{
	if (batch.held == 0)
		return;
	loop_timer_cancel(&batch_hart->loop, &batch_timer);
	console_batch_flush(&batch);
}

static void batch_expired(struct loop *loop, struct loop_watcher *watcher, uint32_t events)
{
	(void)loop, (void)watcher, (void)events;
	console_flush();
}

void console_start_batching(const char *command_line, struct hart *hart)
{
	if (boot_option_number(command_line, "console_batch", 1) &&
	    loop_timer_create(&hart->loop, &batch_timer, LOOP_PRIORITY_DEFERRED, batch_expired) ==
	            0)
		batch_hart = hart;
}

void console_stop_batching(void)
{
	batch_hart = NULL;
	console_batch_flush(&batch);
}

void console_write(const char *bytes, size_t length)
{
	if (!batch_hart || this_hart() != batch_hart) {
		write_at_once(bytes, length);
		return;
	}
	console_batch_add(&batch, bytes, length);
	if (batch.held == 0) {
		loop_timer_cancel(&batch_hart->loop, &batch_timer);
	} else if (!loop_timer_is_armed(&batch_timer)) {
		loop_timer_arm(&batch_hart->loop, &batch_timer, clock_read_ns() + BATCH_DELAY_NS);
		hart_note_output(batch_hart); /* so that a turn sees the deadline */
	}
}

static void write_formatted(const char *format, va_list arguments)
{
	char text[512];
	size_t length = (size_t)format_string_v(text, sizeof text, format, arguments);
	console_write(text, length < sizeof text ? length : sizeof text - 1);
}

void console_printf(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	write_formatted(format, arguments);
	va_end(arguments);
}

void log_message(enum log_level level, const char *format, ...)
{
	if ((int)level > log_threshold)
		return;
	char text[512];
	uint64_t now_us = clock_parameters.multiplier ? clock_read_ns() / 1000 : 0;
	size_t length = (size_t)format_string(text, sizeof text, "[%4lu.%06lu] ", now_us / 1000000,
	                                      now_us % 1000000);
	va_list arguments;
	va_start(arguments, format);
	length +=
	        (size_t)format_string_v(text + length, sizeof text - length - 1, format, arguments);
	va_end(arguments);
	if (length > sizeof text - 2)
		length = sizeof text - 2;
	text[length++] = '\n';
	console_write(text, length);
}

void console_read_options(const char *command_line)
{
	log_threshold = (int)boot_option_number(command_line, "log", LOG_NOTICE);
	dbcn_wanted = boot_option_number(command_line, "dbcn", 1);
}

void console_find_uart(const struct dtb *dtb)
{
	dtb_node chosen = dtb_find_path(dtb, "/chosen");
	const char *path = chosen == DTB_NONE ? NULL : dtb_string(dtb, chosen, "stdout-path");
	uart.node = path && path[0] == '/' ? dtb_find_path(dtb, path) : DTB_NONE;
	if (uart.node == DTB_NONE || !dtb_is_compatible(dtb, uart.node, "ns16550a"))
		uart.node = dtb_find_compatible(dtb, DTB_NONE, "ns16550a");
	uint64_t address, bytes;
	if (uart.node == DTB_NONE || !dtb_reg(dtb, uart.node, 0, &address, &bytes))
		return;
	uart.shift = dtb_u32(dtb, uart.node, "reg-shift", 0, 0) & 3;
	uart.base = phys_to_virt(phys(address));
	uart_write(UART_FIFO_CONTROL, FIFO_ENABLE);
}

static void uart_interrupt(void *context)
{
	(void)context;
	while (uart_read(UART_LINE_STATUS) & STATUS_RECEIVED) {
		char c = (char)uart_read(UART_DATA);
		if (input.head - input.tail < INPUT_BYTES)
			input.bytes[input.head++ % INPUT_BYTES] = c;
	}
	loop_post(&input.hart->loop, &input.watcher, 1);
}

static void input_arrived(struct loop *loop, struct loop_watcher *watcher, uint32_t events)
{
	(void)loop;
	(void)watcher;
	(void)events;
	if (input.notify && input.head != input.tail)
		input.notify(input.context);
}

void console_start_input(const struct dtb *dtb, struct hart *hart)
{
	input.hart = hart;
	loop_watcher_init(&input.watcher, LOOP_PRIORITY_NORMAL, input_arrived);
	if (!uart.base)
		return;
	struct dtb_interrupt wire = dtb_interrupt(dtb, uart.node);
	if (irq_register(&wire, uart_interrupt, NULL) != 0)
		return;
	uart_write(UART_MODEM_CONTROL, MODEM_OUT2);
	uart_write(UART_INTERRUPT_ENABLE, ENABLE_RECEIVED);
}

size_t console_read(char *out, size_t room)
{
	size_t length = 0;
	while (length < room && input.head != input.tail)
		out[length++] = input.bytes[input.tail++ % INPUT_BYTES];
	return length;
}

bool console_has_input(void)
{
	return input.head != input.tail;
}

void console_on_input(void (*notify)(void *context), void *context)
{
	input.notify = notify;
	input.context = context;
}
