/**
 * Plain: the security that secures nothing. For the simulator, and for the insecure mode that
 * configuration allows on loopback only. Bytes pass through as they are; the peer's identity is not
 * verified, so a session takes the names of its Hello.
 *
 * Memory   32 KiB in each direction.
 */
#pragma once

#include "net/security.h"

za_security_factory_t za_plain_factory(void);
