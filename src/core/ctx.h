/** What the node layer needs of a handler's context beyond zactor/actor.h. */
#pragma once

#include "core/runtime.h"

za_worker_t *za_ctx_worker(za_ctx_t *ctx);
za_runtime_t *za_ctx_runtime(za_ctx_t *ctx);
/** The id of the running actor. */
uint64_t za_ctx_id(const za_ctx_t *ctx);
/** Its class: never NULL. */
const za_class_t *za_ctx_class(const za_ctx_t *ctx);
/** True while za_Stopping is handled: spawns, asks and timers answer ZA_ESTOPPING. */
bool za_ctx_stopping(const za_ctx_t *ctx);
