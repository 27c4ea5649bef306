#include "net/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/za_test.h"

enum { BYTES_MAX = 1000, POLLS_MAX = 2000 };

static const za_transport_events_t no_events;

typedef struct world {
    za_loop_t *loop;
    char path[64];
    uint32_t answers;
    za_err_t err;
    char problem[700];
    char text[BYTES_MAX + 1];
} world_t;

static void make_world(world_t *world)
{
    memset(world, 0, sizeof *world);
    cr_assert(za_loop_create(&no_events, &world->loop) == ZA_OK, "loop");
    strcpy(world->path, "/tmp/zactor-file-XXXXXX");
    int fd = mkstemp(world->path);
    cr_assert(fd >= 0, "a file");
    close(fd);
}

static void free_world(world_t *world)
{
    za_loop_destroy(world->loop);
    unlink(world->path);
}

static void put(const world_t *world, const char *text)
{
    FILE *file = fopen(world->path, "w");
    cr_assert(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0, "%s", world->path);
}

static void on_read(void *context, za_err_t err, const char *problem, const char *text,
                    uint32_t size)
{
    world_t *world = context;
    world->answers++;
    world->err = err;
    snprintf(world->problem, sizeof world->problem, "%s", problem);
    snprintf(world->text, sizeof world->text, "%.*s", err == ZA_OK ? (int)size : 0, text);
}

static void read_path(world_t *world, const char *path)
{
    za_file_t *file;
    uint32_t before = world->answers;
    za_err_t err = za_file_read(world->loop, path, BYTES_MAX, on_read, world, &file);
    cr_assert(err == ZA_OK && world->answers == before, "%s", za_err_name(err));
    for (int i = 0; i < POLLS_MAX && world->answers == before; i++) {
        za_loop_poll(world->loop, 10 * 1000 * 1000);
    }
    cr_assert(world->answers == before + 1, "no answer");
}

Test(file, is_read_as_it_is_now)
{
    world_t world;
    make_world(&world);
    read_path(&world, world.path);
    cr_assert(world.err == ZA_OK && world.text[0] == '\0', "%s", world.problem);
    put(&world, "10.0.0.1:7464\n");
    read_path(&world, world.path);
    cr_assert(world.err == ZA_OK && strcmp(world.text, "10.0.0.1:7464\n") == 0, "%s", world.text);
    free_world(&world);
}

Test(file, may_have_the_largest_size_and_no_byte_more)
{
    world_t world;
    make_world(&world);
    char text[BYTES_MAX + 2];
    memset(text, 'x', sizeof text);
    text[BYTES_MAX] = '\0';
    put(&world, text);
    read_path(&world, world.path);
    cr_assert(world.err == ZA_OK && strlen(world.text) == BYTES_MAX, "%s", world.problem);
    text[BYTES_MAX] = 'x';
    text[BYTES_MAX + 1] = '\0';
    put(&world, text);
    read_path(&world, world.path);
    cr_assert(world.err == ZA_ETOOBIG && strstr(world.problem, world.path) != NULL, "%s",
              world.problem);
    free_world(&world);
}

// A pipe that nobody writes to would never end.
Test(file, that_is_none_is_an_error_with_its_path)
{
    world_t world;
    make_world(&world);
    read_path(&world, "/no/such/file");
    cr_assert(world.err == ZA_ENOENT && strstr(world.problem, "/no/such/file") != NULL, "%s",
              world.problem);
    read_path(&world, "/tmp");
    cr_assert(world.err == ZA_EIO, "%s", world.problem);
    unlink(world.path);
    cr_assert(mkfifo(world.path, 0600) == 0, "a pipe");
    read_path(&world, world.path);
    cr_assert(world.text[0] == '\0', "%s", world.text);
    free_world(&world);
}

Test(file, that_was_abandoned_is_not_told)
{
    for (int polls = 0; polls < 3; polls++) {
        world_t world;
        make_world(&world);
        za_file_t *files[20];
        for (int i = 0; i < 20; i++) { // more than there are threads: some are begun, some are not
            cr_assert(za_file_read(world.loop, world.path, BYTES_MAX, on_read, &world, &files[i]) ==
                          ZA_OK,
                      "read");
        }
        for (int i = 0; i < 20; i++) {
            za_file_abandon(files[i]);
        }
        for (int i = 0; i < polls; i++) {
            za_loop_poll(world.loop, 1000 * 1000);
        }
        free_world(&world);
        cr_assert(world.answers == 0, "an answer");
    }
}
