/* What the cases of files that send signals share. */
#pragma once

#include "conform.h"

#include <signal.h>

void block(int number);
/* Takes one pending signal of that number: what it says, or `-` when none comes. */
void observe_taken(const char *label, int number, int fd);
/* All pending signals of that number, by the reasons of their codes. */
void observe_reasons(const char *label, int number);
/* The file's signals come to this process. */
void own(int fd);
/* And do so from now on, as this number; they are blocked. */
void asynchronous(int fd, int number);
