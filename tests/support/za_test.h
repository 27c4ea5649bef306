/**
 * Test framework: Criterion, or with ZA_NO_CRITERION a small runner with the same macros, because
 * Criterion starts neither under ThreadSanitizer nor under qemu-user.
 *
 * Tests keep to the subset that both have: Test and TestSuite with .init .fini .timeout .signal
 * .exit_code .disabled .description, the cr_assert and cr_expect families below, cr_skip_test.
 * One process per test in both: a crash fails that test alone.
 */
#pragma once

#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef ZA_NO_CRITERION

#include <criterion/criterion.h>

// Criterion says why a test was passed over with --verbose alone.
#undef cr_skip_test
#define cr_skip_test(...)                                                                          \
    do {                                                                                           \
        fprintf(stderr, "skipped: " __VA_ARGS__);                                                  \
        fputc('\n', stderr);                                                                       \
        cr_skip(__VA_ARGS__);                                                                      \
    } while (0)

#else

/** Options of a test or suite; a test's zero takes the suite's. */
typedef struct za_test_options {
    void (*init)(void);
    void (*fini)(void);
    double timeout; // seconds
    int signal;     // the test must end by it
    int exit_code;  // the test must end with it
    bool disabled;
    const char *description;
} za_test_options_t;

typedef struct za_test {
    const char *suite;
    const char *name; // NULL: options of a suite
    void (*run)(void);
    za_test_options_t options;
    struct za_test *next;
} za_test_t;

void za_test_register(za_test_t *test);
/** Reports a failed check; ends the test's process if `fatal`. Returns `passed`. */
bool za_test_check(bool passed, bool fatal, const char *file, int line, const char *expression,
                   const char *format, ...);
_Noreturn void za_test_skip(const char *format, ...);

#define ZA_TEST_REGISTER(id, suite_, name_, run_, ...)                                             \
    __attribute__((constructor)) static void id(void)                                              \
    {                                                                                              \
        static za_test_t test = {                                                                  \
            .suite = suite_, .name = name_, .run = run_, .options = { __VA_ARGS__ }                \
        };                                                                                         \
        za_test_register(&test);                                                                   \
    }

// A first member is always there, so that no initialiser list is empty.
#define Test(...) ZA_TEST_DEFINE(__VA_ARGS__, .description = NULL)
#define ZA_TEST_DEFINE(suite, name, ...)                                                           \
    static void suite##_##name##_body(void);                                                       \
    ZA_TEST_REGISTER(suite##_##name##_register, #suite, #name, suite##_##name##_body, __VA_ARGS__) \
    static void suite##_##name##_body(void)

#define TestSuite(...) ZA_TEST_SUITE(__VA_ARGS__, .description = NULL)
#define ZA_TEST_SUITE(suite, ...)                                                                  \
    ZA_TEST_REGISTER(suite##_suite_register, #suite, NULL, NULL, __VA_ARGS__)                      \
    struct za_test_suite_##suite // takes the semicolon

#define ZA_TEST_CHECK(fatal, text, condition, ...)                                                 \
    ((void)za_test_check((condition), fatal, __FILE__, __LINE__, text, __VA_ARGS__))

#define ZA_TEST_ONE(fatal, condition, ...) ZA_TEST_CHECK(fatal, #condition, condition, __VA_ARGS__)
#define ZA_TEST_NOT(fatal, condition, ...)                                                         \
    ZA_TEST_CHECK(fatal, "not " #condition, !(condition), __VA_ARGS__)
#define ZA_TEST_OP(fatal, op, a, b, ...)                                                           \
    ZA_TEST_CHECK(fatal, #a " " #op " " #b, (a)op(b), __VA_ARGS__)
#define ZA_TEST_NULL(fatal, op, a, ...)                                                            \
    ZA_TEST_CHECK(fatal, #a " " #op " NULL", (a)op NULL, __VA_ARGS__)
#define ZA_TEST_STR(fatal, op, a, b, ...)                                                          \
    ZA_TEST_CHECK(fatal, "strcmp(" #a ", " #b ") " #op " 0", strcmp((a), (b)) op 0, __VA_ARGS__)
#define ZA_TEST_ARR(fatal, op, a, b, bytes, ...)                                                   \
    ZA_TEST_CHECK(fatal, "memcmp(" #a ", " #b ") " #op " 0", memcmp((a), (b), (bytes)) op 0,       \
                  __VA_ARGS__)
#define ZA_TEST_FLOAT(fatal, a, b, epsilon, ...)                                                   \
    ZA_TEST_CHECK(fatal, #a " ~ " #b, ((a) > (b) ? (a) - (b) : (b) - (a)) <= (epsilon), __VA_ARGS__)

#define cr_assert(...) ZA_TEST_ONE(true, __VA_ARGS__, "")
#define cr_assert_not(...) ZA_TEST_NOT(true, __VA_ARGS__, "")
#define cr_assert_eq(...) ZA_TEST_OP(true, ==, __VA_ARGS__, "")
#define cr_assert_neq(...) ZA_TEST_OP(true, !=, __VA_ARGS__, "")
#define cr_assert_lt(...) ZA_TEST_OP(true, <, __VA_ARGS__, "")
#define cr_assert_leq(...) ZA_TEST_OP(true, <=, __VA_ARGS__, "")
#define cr_assert_gt(...) ZA_TEST_OP(true, >, __VA_ARGS__, "")
#define cr_assert_geq(...) ZA_TEST_OP(true, >=, __VA_ARGS__, "")
#define cr_assert_null(...) ZA_TEST_NULL(true, ==, __VA_ARGS__, "")
#define cr_assert_not_null(...) ZA_TEST_NULL(true, !=, __VA_ARGS__, "")
#define cr_assert_str_eq(...) ZA_TEST_STR(true, ==, __VA_ARGS__, "")
#define cr_assert_str_neq(...) ZA_TEST_STR(true, !=, __VA_ARGS__, "")
#define cr_assert_arr_eq(...) ZA_TEST_ARR(true, ==, __VA_ARGS__, "")
#define cr_assert_arr_neq(...) ZA_TEST_ARR(true, !=, __VA_ARGS__, "")
#define cr_assert_float_eq(...) ZA_TEST_FLOAT(true, __VA_ARGS__, "")
#define cr_assert_fail(...) ZA_TEST_CHECK(true, "fail", false, "" __VA_ARGS__)

#define cr_expect(...) ZA_TEST_ONE(false, __VA_ARGS__, "")
#define cr_expect_not(...) ZA_TEST_NOT(false, __VA_ARGS__, "")
#define cr_expect_eq(...) ZA_TEST_OP(false, ==, __VA_ARGS__, "")
#define cr_expect_neq(...) ZA_TEST_OP(false, !=, __VA_ARGS__, "")
#define cr_expect_lt(...) ZA_TEST_OP(false, <, __VA_ARGS__, "")
#define cr_expect_leq(...) ZA_TEST_OP(false, <=, __VA_ARGS__, "")
#define cr_expect_gt(...) ZA_TEST_OP(false, >, __VA_ARGS__, "")
#define cr_expect_geq(...) ZA_TEST_OP(false, >=, __VA_ARGS__, "")
#define cr_expect_null(...) ZA_TEST_NULL(false, ==, __VA_ARGS__, "")
#define cr_expect_not_null(...) ZA_TEST_NULL(false, !=, __VA_ARGS__, "")
#define cr_expect_str_eq(...) ZA_TEST_STR(false, ==, __VA_ARGS__, "")
#define cr_expect_str_neq(...) ZA_TEST_STR(false, !=, __VA_ARGS__, "")
#define cr_expect_arr_eq(...) ZA_TEST_ARR(false, ==, __VA_ARGS__, "")
#define cr_expect_arr_neq(...) ZA_TEST_ARR(false, !=, __VA_ARGS__, "")
#define cr_expect_float_eq(...) ZA_TEST_FLOAT(false, __VA_ARGS__, "")
#define cr_expect_fail(...) ZA_TEST_CHECK(false, "fail", false, "" __VA_ARGS__)

#define cr_skip_test(...) za_test_skip("" __VA_ARGS__)

#endif
