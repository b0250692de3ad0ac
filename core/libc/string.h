/* The few functions of <string.h> that freestanding code and the compiler itself need; defined in
 * core/string.c. */
#pragma once

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t bytes);
void *memmove(void *to, const void *from, size_t bytes);
void *memset(void *to, int value, size_t bytes);
int memcmp(const void *a, const void *b, size_t bytes);
void *memchr(const void *in, int value, size_t bytes);
size_t strlen(const char *text);
size_t strnlen(const char *text, size_t max);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t max);
char *strchr(const char *in, int value);
char *strrchr(const char *in, int value);
char *strstr(const char *in, const char *what);

/* Freestanding compilation takes these names for ordinary functions; this lets the compiler do
 * constant sizes in place. */
#ifndef STRING_DEFINES_FUNCTIONS
#define memcpy(to, from, bytes)  __builtin_memcpy(to, from, bytes)
#define memmove(to, from, bytes) __builtin_memmove(to, from, bytes)
#define memset(to, value, bytes) __builtin_memset(to, value, bytes)
#define memcmp(a, b, bytes)      __builtin_memcmp(a, b, bytes)
#define strlen(text)             __builtin_strlen(text)
#define strcmp(a, b)             __builtin_strcmp(a, b)
#endif
