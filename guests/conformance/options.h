/* What the cases of the group options share: an option's values and sizes, set and read back. */
#pragma once

#include "conform.h"

/* Sets each value, a 32-bit number, and reads it back: `VALUE=SET>GET`, each of them a number or
 * the error's name. */
void try_values(int fd, int level, int option, const int *values, int count);
#define TRY_VALUES(fd, level, option, ...)                                                         \
	try_values(fd, level, option, (const int[]){ __VA_ARGS__ },                                \
	           (int)(sizeof((const int[]){ __VA_ARGS__ }) / sizeof(int)))

/* Sets 1 in lengths of 0 to 8 and -1: `set-LENGTH=RESULT>GET`; then gets with room for as many
 * bytes: `get-ROOM=VALUE/LENGTH`. */
void try_sizes(int fd, int level, int option);

/* Reads the option of one socket of each kind, then sets it to 1 and reads it again:
 * `KIND=GET,SET>GET`. */
void try_kinds(int level, int option);

/* The value of an option of 32 bits. */
void observe_option(const char *label, int fd, int level, int option);
/* The result of setting one. */
void observe_set(const char *label, int fd, int level, int option, int value);
