/**
 * Frozen messages inside. The frozen one is the block that za_new made; its head counts references. What
 * travels is a small message of a type of its own whose body is a pointer to it: mailboxes are
 * intrusive, so each place in one needs a block.
 */
#pragma once

#include <zactor/freeze.h>

#include "core/message.h"
#include "core/runtime.h"

/** The type of what travels. Handlers never see it. */
extern const za_type_t za_frozen_type;

/** The frozen message that `message` stands for; NULL: it stands for itself. */
static inline za_message_t *za_frozen_in(const za_message_t *message)
{
    return message->block.flags & ZA_FLAG_SHARES && message->type == &za_frozen_type
               ? *(za_message_t *const *)(const void *)(message + 1)
               : NULL;
}

/** What a handler gets of it: the frozen message, or itself. Not for a raw one. */
static inline const za_message_t *za_shown(const za_message_t *message)
{
    const za_message_t *frozen = za_frozen_in(message);
    return frozen != NULL ? frozen : message;
}

/** Sends a reference of its own to a local or remote actor, as `out` says, without type and body. */
za_err_t za_frozen_send(za_worker_t *worker, za_outgoing_t *out, za_message_t *frozen);
/** Gives up one reference. */
void za_frozen_drop(za_worker_t *worker, za_message_t *frozen);
