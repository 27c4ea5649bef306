/** Addresses: where a node listens or is reached, as text. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Splits "host:port" or "[v6]:port". False if it is neither, or the port is over 65535. */
bool za_address_split(const char *address, char *host, size_t host_bytes, uint16_t *port);
