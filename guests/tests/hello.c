/* Prints a line and exits with 0. */
#include <stdio.h>

int main(void)
{
	puts("hello from the guest");
	return 0;
}
