/**
 * Assertions: our own invariants. They stay in release builds, because supervisors and peers are
 * made for crashes and nothing is made for a corrupt mailbox. Never for a caller's or peer's input.
 */
#pragma once

#include <assert.h> // static_assert

_Noreturn void za_assert_failed(const char *expression, const char *file, int line);

#define ZA_ASSERT(expression)                                                                      \
    ((expression) ? (void)0 : za_assert_failed(#expression, __FILE__, __LINE__))

/** A mistake of a caller that debug builds look for: says what it did to `what`, ends the process. */
_Noreturn void za_misuse(const char *what, const char *text);

/** For checks that walk structures: debug builds only. */
#ifdef ZA_SLOW_CHECKS
#define ZA_ASSERT_SLOW(expression) ZA_ASSERT(expression)
#else
#define ZA_ASSERT_SLOW(expression) ((void)0)
#endif
