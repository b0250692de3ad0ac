/* /etc/resolv.conf from DHCP or dns=. */
#pragma once

#include "tcpip/address.h"

/* Writes the file unless the image brought one of its own. Addresses of 0 are left out. */
void resolver_write(const struct ipv4_address *servers, int count, const char *domain);
