// Use after move, after return, after freeze: debug builds end the process and say why. Each test is a
// program of its own (victim/) that does one wrong thing.
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/za_test.h"

extern char **environ;

typedef struct death {
    int status;
    char text[16384]; // what it wrote
} death_t;

static void read_all(int fd, death_t *death)
{
    size_t size = 0;
    ssize_t got = 1;
    while (got > 0) {
        char *at = death->text + size;
        got = read(fd, at, sizeof death->text - 1 - size);
        size += got > 0 ? (size_t)got : 0;
        if (size == sizeof death->text - 1) {
            size /= 2; // the first half says it; the rest must not fill the pipe
        }
    }
    death->text[size] = '\0';
}

static death_t die(const char *program, const char *crime)
{
    if (program[0] == '\0') {
        cr_skip_test("not built in this configuration");
    }
    static death_t death;
    int ends[2];
    cr_assert(pipe(ends) == 0, "a pipe");
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 2);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    posix_spawn_file_actions_addclose(&actions, ends[1]);
    char *const arguments[] = { ZA_VICTIM_LAUNCHER(char *)(uintptr_t) program,
                                (char *)(uintptr_t)crime, NULL }; // through an emulator, if any
    pid_t pid = 0;
    cr_assert(posix_spawnp(&pid, arguments[0], &actions, NULL, arguments, environ) == 0, "%s",
              program);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    read_all(ends[0], &death);
    close(ends[0]);
    cr_assert(waitpid(pid, &death.status, 0) == pid, "waited for");
    return death;
}

static void check_death(const char *program, const char *crime, const char *text)
{
    death_t death = die(program, crime);
    bool failed = !WIFEXITED(death.status) || WEXITSTATUS(death.status) != 0;
    cr_assert(failed && !(WIFEXITED(death.status) && WEXITSTATUS(death.status) == 2),
              "%s: status %x: %s", crime, (unsigned)death.status, death.text);
    cr_assert(strstr(death.text, text) != NULL, "%s: no \"%s\" in: %s", crime, text, death.text);
}

static void check_life(const char *program, const char *crime)
{
    death_t death = die(program, crime);
    cr_assert(WIFEXITED(death.status) && WEXITSTATUS(death.status) == 0, "%s: status %x: %s", crime,
              (unsigned)death.status, death.text);
}

Test(poison, says_nothing_of_the_innocent)
{
    check_life(ZA_VICTIM_DEBUG, "none");
    check_life(ZA_VICTIM_DEBUG, "keep");
}

Test(poison, finds_a_write_after_a_send)
{
    check_death(ZA_VICTIM_DEBUG, "write_after_send",
                "misuse: victim.Text was written to after it was sent");
}

Test(poison, finds_a_write_after_the_handler_returned)
{
    check_death(ZA_VICTIM_DEBUG, "write_after_return",
                "misuse: a message was written to after its handler returned");
}

Test(poison, finds_a_write_to_a_frozen_message)
{
    check_death(ZA_VICTIM_DEBUG, "write_frozen",
                "misuse: victim.Text was written to after it was frozen");
}

Test(poison, finds_a_write_to_a_sealed_blob)
{
    check_death(ZA_VICTIM_DEBUG, "write_blob", "misuse: a blob was written to after it was sealed");
}

Test(poison, says_nothing_of_the_innocent_to_address_sanitizer)
{
    check_life(ZA_VICTIM_ASAN, "none");
    check_life(ZA_VICTIM_ASAN, "keep");
}

// At the line that does it, reads as well.
Test(poison, lets_address_sanitizer_find_any_use_after_a_send)
{
    check_death(ZA_VICTIM_ASAN, "write_after_send", "use-after-poison");
    check_death(ZA_VICTIM_ASAN, "read_after_send", "use-after-poison");
    check_death(ZA_VICTIM_ASAN, "read_after_send", "read_after_send");
}

Test(poison, lets_address_sanitizer_find_any_use_after_the_handler_returned)
{
    check_death(ZA_VICTIM_ASAN, "write_after_return", "use-after-poison");
    check_death(ZA_VICTIM_ASAN, "read_after_return", "use-after-poison");
}

Test(poison, finds_writes_to_what_is_shared_under_address_sanitizer_too)
{
    check_death(ZA_VICTIM_ASAN, "write_frozen", "was written to after it was frozen");
    check_death(ZA_VICTIM_ASAN, "write_blob", "was written to after it was sealed");
}
