/**
 * Process: host 1 of a node. Worker threads (core/threads), sockets (net/loop_uv), TLS, the real
 * clock. It implements the public functions of zactor/node.h.
 */
#pragma once

#include <zactor/node.h>

/** Called from a worker when an operator asks the node to leave; NULL: the node leaves by itself. */
void za_process_on_leave(za_node_t *node, void (*leave)(void *context), void *context);
