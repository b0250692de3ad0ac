/* The console: output by DBCN (SBI 2.0 §12) or the 16550, input by interrupt. Output of the boot
 * hart is put together once its loop exists: it leaves when the hart becomes idle, after 50 ms,
 * when a page is full, before the machine ends, and in a panic at once. Other harts' leaves at
 * once. */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* As is; no translation. */
void console_write(const char *bytes, size_t length);
/* What waits leaves now. Called by the boot hart. */
void console_flush(void);
/* From now on everything leaves at once, and first what waited: for a panic, on any hart. */
void console_stop_batching(void);
/* %d %i %u %x %X %p %s %c %ld %lu %lx %zu %llu %% with width, 0, - and precision for %s. */
void console_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));
int format_string(char *out, size_t room, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
int format_string_v(char *out, size_t room, const char *format, va_list arguments);

/* Kernel log, "[seconds] text", at or below the level of the boot argument log=0..4 (error,
 * warning, notice, info, debug; default 2). */
enum log_level { LOG_ERROR, LOG_WARNING, LOG_NOTICE, LOG_INFO, LOG_DEBUG };
extern int log_threshold;
void log_message(enum log_level level, const char *format, ...)
        __attribute__((format(printf, 2, 3)));
#define log_error(...)   log_message(LOG_ERROR, __VA_ARGS__)
#define log_warning(...) log_message(LOG_WARNING, __VA_ARGS__)
#define log_notice(...)  log_message(LOG_NOTICE, __VA_ARGS__)
#define log_info(...)    log_message(LOG_INFO, __VA_ARGS__)

/* Bytes typed so far, up to `room`; `console_on_input` is called (in the loop) when some arrive. */
size_t console_read(char *out, size_t room);
bool console_has_input(void);
void console_on_input(void (*notify)(void *context), void *context);
