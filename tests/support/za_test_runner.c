#include "support/za_test.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

// Formats are the tests' own literals; their trailing "" keeps the macros variadic in ISO C, so
// the format attribute would warn of an argument too many.
#pragma GCC diagnostic ignored "-Wformat-nonliteral"

enum {
    TIMEOUT_DEFAULT_S = 120, // of a test that sets none: a hang must not outlive the run
    SKIPPED_STATUS = 77,
};

static za_test_t *tests; // newest first: constructors ran in source order
static atomic_bool failed;

void za_test_register(za_test_t *test)
{
    test->next = tests;
    tests = test;
}

bool za_test_check(bool passed, bool fatal, const char *file, int line, const char *expression,
                   const char *format, ...)
{
    if (passed) {
        return true;
    }
    fprintf(stderr, "[----] %s:%d: %s failed: %s ", file, line, fatal ? "Assertion" : "Expectation",
            expression);
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    // relaxed: read after the test's threads are joined, or not at all.
    atomic_store_explicit(&failed, true, memory_order_relaxed);
    if (fatal) {
        _exit(1);
    }
    return false;
}

_Noreturn void za_test_skip(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "skipped: ");
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    _exit(SKIPPED_STATUS);
}

static za_test_t *reversed(za_test_t *list)
{
    za_test_t *front = NULL;
    while (list != NULL) {
        za_test_t *next = list->next;
        list->next = front;
        front = list;
        list = next;
    }
    return front;
}

static void inherit_from_suite(za_test_t *test)
{
    for (const za_test_t *suite = tests; suite != NULL; suite = suite->next) {
        if (suite->name != NULL || strcmp(suite->suite, test->suite) != 0) {
            continue;
        }
        za_test_options_t *own = &test->options;
        own->init = own->init != NULL ? own->init : suite->options.init;
        own->fini = own->fini != NULL ? own->fini : suite->options.fini;
        own->timeout = own->timeout > 0 ? own->timeout : suite->options.timeout;
        own->disabled = own->disabled || suite->options.disabled;
    }
}

static _Noreturn void run_child(const za_test_t *test)
{
    double timeout = test->options.timeout > 0 ? test->options.timeout : TIMEOUT_DEFAULT_S;
    alarm((unsigned)(timeout + 0.999));
    if (test->options.init != NULL) {
        test->options.init();
    }
    test->run();
    if (test->options.fini != NULL) {
        test->options.fini();
    }
    exit(atomic_load_explicit(&failed, memory_order_relaxed) ? 1 : 0); // relaxed: see the store
}

typedef enum outcome { PASSED, FAILED, CRASHED, SKIPPED } outcome_t;

static outcome_t judge(const za_test_t *test, int status)
{
    if (WIFSIGNALED(status)) {
        if (WTERMSIG(status) == test->options.signal) {
            return PASSED;
        }
        fprintf(stderr, "[----] %s::%s: ended by signal %d (%s)\n", test->suite, test->name,
                WTERMSIG(status), strsignal(WTERMSIG(status)));
        return CRASHED;
    }
    if (WEXITSTATUS(status) == SKIPPED_STATUS) {
        return SKIPPED;
    }
    if (test->options.signal != 0 || WEXITSTATUS(status) != test->options.exit_code) {
        fprintf(stderr, "[FAIL] %s::%s (exit status %d)\n", test->suite, test->name,
                WEXITSTATUS(status));
        return FAILED;
    }
    return PASSED;
}

static outcome_t run_test(const za_test_t *test)
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        run_child(test);
    }
    int status = 0;
    pid_t waited = -1;
    while (child > 0 && (waited = waitpid(child, &status, 0)) < 0 && errno == EINTR) {
    }
    if (waited < 0) {
        perror("fork or waitpid");
        return CRASHED;
    }
    return judge(test, status);
}

/** `--filter suite/name` with shell wildcards, or all tests. */
static bool selected(const za_test_t *test, const char *filter)
{
    char full[256];
    snprintf(full, sizeof(full), "%s/%s", test->suite, test->name);
    return filter == NULL || fnmatch(filter, full, 0) == 0;
}

int main(int argc, char **argv)
{
    const char *filter = argc == 3 && strcmp(argv[1], "--filter") == 0 ? argv[2] : NULL;
    int count[4] = { 0 };
    tests = reversed(tests);
    for (za_test_t *test = tests; test != NULL; test = test->next) {
        if (test->name == NULL) {
            continue;
        }
        inherit_from_suite(test);
        if (!test->options.disabled && selected(test, filter)) {
            count[run_test(test)]++;
        }
    }
    int failing = count[FAILED] + count[CRASHED]; // as Criterion counts
    fprintf(stderr, "[====] Synthesis: Tested: %d | Passing: %d | Failing: %d | Crashing: %d\n",
            count[PASSED] + failing, count[PASSED], failing, count[CRASHED]);
    return failing > 0 ? 1 : 0;
}
