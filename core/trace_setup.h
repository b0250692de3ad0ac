/* Boot argument trace=1. */
#pragma once

#include <stdbool.h>

void trace_setup(bool enable);
