/**
 * Stacks of slow handlers in the log.
 *
 * The watchdog (node.watchdog_ms) names a handler that runs for too long. It can print where that
 * handler is, too, if its thread can be asked: by a signal. The library installs no signal handlers;
 * za_main does. A program with a main of its own installs za_stack_signal for a signal it does not
 * need (SA_SIGINFO | SA_RESTART; SIGURG is a good one) and says which before it starts the node.
 * What the handler waits in at that moment may return early with EINTR, as after any signal.
 *
 * Needs POSIX: compile with _POSIX_C_SOURCE 200809L or more.
 */
#pragma once

#include <signal.h>

#include <zactor/node.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The handler to be installed. Leaves signals alone that the library did not send. */
ZA_API void za_stack_signal(int signal_number, siginfo_t *info, void *context);
/**
 * The handler of SIGSEGV and SIGBUS, to be installed with SA_SIGINFO | SA_ONSTACK: writes "stack
 * overflow in fiber of actor CLASS REF" to standard error if that is what it was, and leaves the rest
 * to the system. za_main installs it where there is none.
 */
ZA_API void za_fiber_signal(int signal_number, siginfo_t *info, void *context);
/** Before za_node_start; 0: none, as before. ZA_EINVAL: no such signal. ZA_EEXIST: it runs already. */
ZA_MUST_USE ZA_API za_err_t za_node_set_stack_signal(za_node_t *node, int signal_number);

#ifdef __cplusplus
}
#endif
