/**
 * What the sanitizers are told of a change of stacks: AddressSanitizer whose frames the live ones
 * are, ThreadSanitizer who runs. Nothing without them.
 */
#pragma once

#include <stddef.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ZA_FIBER_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define ZA_FIBER_TSAN 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define ZA_FIBER_ASAN 1
#endif
#ifdef __SANITIZE_THREAD__
#define ZA_FIBER_TSAN 1
#endif

#ifdef ZA_FIBER_ASAN
#include <sanitizer/common_interface_defs.h>
/** Before the stack is left for the one at `low`; `*own` is for the way back. */
#define ZA_ASAN_LEAVE(own, low, bytes) __sanitizer_start_switch_fiber(own, low, bytes)
/** After the switch, on the new stack: where the old one is. */
#define ZA_ASAN_ARRIVE(own, low, bytes) __sanitizer_finish_switch_fiber(own, low, bytes)
#else
#define ZA_ASAN_LEAVE(own, low, bytes) ((void)(own), (void)(low), (void)(bytes))
#define ZA_ASAN_ARRIVE(own, low, bytes) ((void)(own), (void)(low), (void)(bytes))
#endif

#ifdef ZA_FIBER_TSAN
#include <sanitizer/tsan_interface.h>
#define ZA_TSAN_MAKE() __tsan_create_fiber(0)
#define ZA_TSAN_UNMAKE(fiber) __tsan_destroy_fiber(fiber)
#define ZA_TSAN_SELF() __tsan_get_current_fiber()
/** Right before the switch. */
#define ZA_TSAN_SWITCH(fiber) __tsan_switch_to_fiber(fiber, 0)
#else
#define ZA_TSAN_MAKE() NULL
#define ZA_TSAN_UNMAKE(fiber) ((void)(fiber))
#define ZA_TSAN_SELF() NULL
#define ZA_TSAN_SWITCH(fiber) ((void)(fiber))
#endif
