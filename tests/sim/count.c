#include "count.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/rng.h"
#include "core/runtime.h"
#include "node/node.h"
#include "wordcount.za.h"
#include "world.h"

enum {
    VOCABULARY = 300,
    FILES = 3,
    FILE_BYTES_PER_NODE = 7000,
    BATCH_BYTES = 1024,
    BATCH_MS = 1000, // so that a count lasts through some faults
    PATH_BYTES = 200,
    LINE_WORDS = 12,
};

static struct {
    bool started;
    uint32_t node;
    char folder[PATH_BYTES - 32];
    uint64_t counts[VOCABULARY];
} count;

/** The words sort as their numbers do. */
static void spell(uint32_t word, char text[4], bool capital)
{
    for (int i = 2; i >= 0; i--) {
        text[i] = (char)((capital && i == 0 ? 'A' : 'a') + word % 26);
        word /= 26;
    }
    text[3] = '\0';
}

static const char *path_of(char path[PATH_BYTES], const char *name)
{
    snprintf(path, PATH_BYTES, "%s/%s", count.folder, name);
    return path;
}

static bool write_text(za_rng_t *rng, const char *name, uint32_t bytes)
{
    char path[PATH_BYTES];
    FILE *file = fopen(path_of(path, name), "we");
    if (file == NULL) {
        return false;
    }
    uint32_t in_line = 0;
    for (uint32_t at = 0; at < bytes; at += 4) {
        uint64_t most = za_rng_below(rng, VOCABULARY);
        uint32_t word = (uint32_t)za_rng_below(rng, most + 1); // some words are frequent
        bool capital = za_rng_below(rng, 8) == 0;
        char text[4];
        spell(word, text, capital);
        fprintf(file, "%s%c", text, ++in_line % LINE_WORDS == 0 ? '\n' : ' ');
        count.counts[word]++;
    }
    return fclose(file) == 0;
}

static bool write_texts(uint64_t seed, uint32_t nodes)
{
    za_rng_t rng;
    za_rng_init(&rng, seed);
    char path[PATH_BYTES];
    FILE *list = fopen(path_of(path, "list"), "we");
    if (list == NULL) {
        return false;
    }
    bool written = true;
    for (uint32_t i = 0; i < FILES; i++) {
        char name[16];
        snprintf(name, sizeof name, "text%u", i);
        written = written && write_text(&rng, name, nodes * FILE_BYTES_PER_NODE);
        fprintf(list, "%s\n", path_of(path, name));
    }
    return fclose(list) == 0 && written;
}

bool count_start(za_sim_t *sim, uint32_t node, uint64_t seed, const char *folder)
{
    memset(&count, 0, sizeof count);
    snprintf(count.folder, sizeof count.folder, "%s", folder);
    uint32_t nodes = za_sim_node_count(sim);
    if (!write_texts(seed, nodes)) {
        return false;
    }
    wc_Start start = {
        .nodes = nodes / 2 + 1,
        .counters = 1,
        .in_flight = 1,
        .batch_bytes = BATCH_BYTES,
        .batch_ms = BATCH_MS,
    };
    char path[PATH_BYTES];
    snprintf(start.list_path, sizeof start.list_path, "%s", path_of(path, "list"));
    snprintf(start.output_path, sizeof start.output_path, "%s", path_of(path, "counts"));
    za_err_t err = za_sim_spawn(sim, node, wordcount_driver, NULL, .args_type = &wc_Start_type,
                                .args = &start);
    if (err != ZA_OK) {
        world_fail("the word count was not started: %s", za_err_text(err));
    }
    count.started = true;
    count.node = node;
    return true;
}

static bool is_no_driver(const za_actor_info_t *info, void *context)
{
    bool *found = context;
    *found = *found || strcmp(info->class_name, wordcount_driver_class.name) == 0;
    return !*found;
}

bool count_is_over(za_sim_t *sim)
{
    za_node_t *node = count.started ? za_sim_node(sim, count.node) : NULL;
    if (node == NULL) {
        return true;
    }
    bool found = false;
    uint64_t cursor = 0;
    za_runtime_each_actor(za_node_runtime(node), &cursor, is_no_driver, &found);
    return !found;
}

static void compare(FILE *file)
{
    for (uint32_t word = 0; word < VOCABULARY; word++) {
        if (count.counts[word] == 0) {
            continue;
        }
        char expected[4];
        char text[8];
        uint64_t times;
        spell(word, expected, false);
        if (fscanf(file, "%" SCNu64 " %7s", &times, text) != 2 || strcmp(text, expected) != 0 ||
            times != count.counts[word]) {
            world_fail("the word count is wrong at %s, which occurs %" PRIu64 " times", expected,
                       count.counts[word]);
            return;
        }
    }
    char more[8];
    if (fscanf(file, "%7s", more) == 1) {
        world_fail("the word count has found words that are not there");
    }
}

void count_check(void)
{
    if (!count.started) {
        return;
    }
    char path[PATH_BYTES];
    FILE *file = fopen(path_of(path, "counts"), "re");
    if (file == NULL) {
        world_fail("the word count gave up");
    } else {
        compare(file);
        fclose(file);
    }
    unlink(path_of(path, "counts"));
    unlink(path_of(path, "list"));
    for (uint32_t i = 0; i < FILES; i++) {
        char name[16];
        snprintf(name, sizeof name, "text%u", i);
        unlink(path_of(path, name));
    }
    count.started = false;
}
