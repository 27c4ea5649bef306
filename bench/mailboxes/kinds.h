/** All boxes that are compared. */
#pragma once

#include "exchange.h"
#include "segments.h"
#include "stack.h"

static const box_kind_t *const box_kinds[] = { &box_exchange, &box_exchange_backoff,
                                               &box_stack,    &box_stack_backoff,
                                               &box_add,      &box_swap,
                                               &box_backoff };

enum { BOX_KINDS = sizeof box_kinds / sizeof box_kinds[0] };
