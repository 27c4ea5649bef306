// The word count in the simulator: its totals are right whatever happens to the nodes of its counters.
#include "support/za_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <zactor/sim.h>
#include <zactor/zactor.h>

#include "counter.h"
#include "driver.h"
#include "wordcount.za.h"

enum {
    NODES = 3,
    TEXTS = 3,
    WORDS_PER_TEXT = 20000,
    VOCABULARY = 300,
    BATCH_BYTES = 1024,
    BATCH_MS = 100,
    SLOW_BATCH_MS = 1000, // the count takes longer than a dead node stays unnoticed
    BOUND_MS = 300 * 1000,
};

typedef struct trial {
    za_sim_t *sim;
    char dir[64];
    char list[96];
    char output[96];
    uint32_t expected[VOCABULARY]; // how often each word was written
    uint32_t percent;              // of the last progress line
    bool done;
    bool failed;
    unsigned long resent;
    unsigned long respawned;
} trial_t;

/* ---- texts -------------------------------------------------------------------------------- */

static void word_text(uint32_t n, char out[8])
{
    snprintf(out, 8, "%c%c%c", 'a' + (char)(n / 26 % 26), 'a' + (char)(n % 26),
             'z' - (char)(n / 12 % 26));
}

// The texts are a function of their number alone: the seed shall change the cluster, not the task.
static void write_text(trial_t *trial, uint32_t number, FILE *list)
{
    char path[96];
    snprintf(path, sizeof path, "%s/%u", trial->dir, number);
    FILE *text = fopen(path, "w");
    cr_assert(text != NULL);
    uint32_t state = number + 1;
    for (uint32_t i = 0; i < WORDS_PER_TEXT; i++) {
        state = state * 1664525u + 1013904223u;
        uint32_t n = (state >> 16) % VOCABULARY;
        char word[8];
        word_text(n, word);
        trial->expected[n]++;
        if (i % 3 == 0) {
            word[0] = (char)(word[0] - 'a' + 'A');
        }
        fprintf(text, "%s%s", word, i % 11 == 10 ? "\n" : ", ");
    }
    fclose(text);
    fprintf(list, "%s\n", path);
}

static void write_texts(trial_t *trial)
{
    snprintf(trial->dir, sizeof trial->dir, "/tmp/za_wordcount.XXXXXX");
    cr_assert(mkdtemp(trial->dir) != NULL);
    snprintf(trial->list, sizeof trial->list, "%s/list", trial->dir);
    snprintf(trial->output, sizeof trial->output, "%s/output", trial->dir);
    FILE *list = fopen(trial->list, "w");
    cr_assert(list != NULL);
    for (uint32_t i = 0; i < TEXTS; i++) {
        write_text(trial, i, list);
    }
    fclose(list);
}

static void remove_texts(const trial_t *trial)
{
    char path[96];
    for (uint32_t i = 0; i < TEXTS; i++) {
        snprintf(path, sizeof path, "%s/%u", trial->dir, i);
        unlink(path);
    }
    unlink(trial->list);
    unlink(trial->output);
    rmdir(trial->dir);
}

static void expect_totals(const trial_t *trial)
{
    FILE *output = fopen(trial->output, "r");
    cr_assert(output != NULL, "nothing was written");
    unsigned long count;
    char word[32];
    char before[32] = "";
    uint32_t words = 0;
    while (fscanf(output, "%lu %31s", &count, word) == 2) {
        cr_expect(strcmp(before, word) < 0, "%s before %s", before, word);
        snprintf(before, sizeof before, "%s", word);
        unsigned long expected = 0;
        for (uint32_t n = 0; n < VOCABULARY; n++) {
            char text[8];
            word_text(n, text);
            expected += strcmp(text, word) == 0 ? trial->expected[n] : 0;
        }
        cr_expect(count == expected, "%s: %lu instead of %lu", word, count, expected);
        words++;
    }
    fclose(output);
    cr_expect(words > VOCABULARY / 2, "only %u words", words);
}

/* ---- the cluster -------------------------------------------------------------------------- */

static void on_log(void *context, uint64_t now_ms, const char *node, int level, const char *text)
{
    (void)now_ms;
    (void)node;
    (void)level;
    trial_t *trial = context;
    unsigned percent;
    const char *progress = strstr(text, "progress ");
    if (progress != NULL && sscanf(progress, "progress %u %%", &percent) == 1) {
        trial->percent = percent;
    }
    const char *summary = strstr(text, "done words=");
    if (summary != NULL) {
        const char *resent = strstr(summary, "resent=");
        cr_assert(resent != NULL && sscanf(resent, "resent=%lu respawned=%lu", &trial->resent,
                                           &trial->respawned) == 2);
        trial->done = true;
    }
    trial->failed = trial->failed || strstr(text, "failed: ") != NULL;
}

static bool is_over(za_sim_t *sim, void *context)
{
    (void)sim;
    const trial_t *trial = context;
    return trial->done || trial->failed;
}

static bool is_at_30_percent(za_sim_t *sim, void *context)
{
    (void)sim;
    const trial_t *trial = context;
    return trial->percent >= 30 || trial->failed;
}

static void begin(trial_t *trial, uint64_t seed, uint32_t batch_ms)
{
    static const za_class_t *const classes[] = { &wordcount_counter_class, NULL };
    write_texts(trial);
    za_sim_opts_t opts = { .size = sizeof opts,
                           .seed = seed,
                           .nodes = NODES,
                           .classes = classes,
                           .log = on_log,
                           .log_context = trial };
    cr_assert(za_sim_create(&opts, &trial->sim) == ZA_OK);
    wc_Start start = { .nodes = NODES, .batch_bytes = BATCH_BYTES, .batch_ms = batch_ms };
    snprintf(start.list_path, sizeof start.list_path, "%s", trial->list);
    snprintf(start.output_path, sizeof start.output_path, "%s", trial->output);
    za_ref_t driver;
    cr_assert(za_sim_spawn(trial->sim, 0, wordcount_driver, &driver, .args_type = &wc_Start_type,
                           .args = &start) == ZA_OK);
}

static void finish(trial_t *trial)
{
    cr_assert(za_sim_run_until(trial->sim, is_over, trial, BOUND_MS), "stuck at %u %%",
              trial->percent);
    cr_assert(!trial->failed);
    expect_totals(trial);
}

static void end(trial_t *trial)
{
    za_sim_destroy(trial->sim);
    remove_texts(trial);
}

/* ---- tests -------------------------------------------------------------------------------- */

Test(wordcount, is_right_when_nothing_happens)
{
    trial_t trial = { 0 };
    begin(&trial, 1, BATCH_MS);
    finish(&trial);
    cr_expect(trial.resent == 0);
    cr_expect(trial.respawned == 0);
    end(&trial);
}

Test(wordcount, is_right_when_a_node_crashes)
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        trial_t trial = { 0 };
        begin(&trial, seed, BATCH_MS);
        cr_assert(za_sim_run_until(trial.sim, is_at_30_percent, &trial, BOUND_MS), "seed %d",
                  (int)seed);
        za_sim_crash(trial.sim, NODES - 1);
        finish(&trial);
        cr_expect(trial.resent >= 1, "seed %d", (int)seed);
        end(&trial);
    }
}

// The runtime respawns what ran on a dead node, under its name, and the driver uses it again.
Test(wordcount, gets_the_counters_of_a_dead_node_back)
{
    trial_t trial = { 0 };
    begin(&trial, 7, SLOW_BATCH_MS);
    cr_assert(za_sim_run_until(trial.sim, is_at_30_percent, &trial, BOUND_MS));
    za_sim_crash(trial.sim, 1);
    za_sim_crash(trial.sim, 2); // four of six counters; the driver's node is alone
    finish(&trial);
    cr_expect(trial.respawned == 4, "%lu", trial.respawned);
    cr_expect(trial.resent >= 4, "%lu", trial.resent);
    end(&trial);
}

// Connections break, nodes stand still and come back: batches are lost, late and sent again.
Test(wordcount, is_right_under_any_faults_of_the_others)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        trial_t trial = { 0 };
        begin(&trial, seed, BATCH_MS);
        for (int fault = 0; fault < 8 && !trial.done; fault++) {
            za_sim_run_for(trial.sim, 100 + za_sim_random(trial.sim, 400));
            uint32_t node = 1 + (uint32_t)za_sim_random(trial.sim, NODES - 1);
            uint64_t kind = za_sim_random(trial.sim, 3);
            uint64_t for_ms = 1 + za_sim_random(trial.sim, 3000);
            if (kind == 0) {
                za_sim_reset(trial.sim, 0, node);
            } else if (kind == 1) {
                za_sim_partition(trial.sim, UINT64_C(1) << node);
                za_sim_run_for(trial.sim, for_ms);
                za_sim_heal(trial.sim);
            } else {
                za_sim_pause(trial.sim, node);
                za_sim_run_for(trial.sim, for_ms);
                za_sim_resume(trial.sim, node);
            }
        }
        cr_assert(za_sim_run_until(trial.sim, is_over, &trial, BOUND_MS), "seed %d: stuck at %u %%",
                  (int)seed, trial.percent);
        cr_assert(!trial.failed, "seed %d", (int)seed);
        expect_totals(&trial);
        end(&trial);
    }
}

Test(wordcount, runs_the_same_with_the_same_seed)
{
    uint64_t hashes[2];
    for (int i = 0; i < 2; i++) {
        trial_t trial = { 0 };
        begin(&trial, 42, BATCH_MS);
        cr_assert(za_sim_run_until(trial.sim, is_at_30_percent, &trial, BOUND_MS));
        za_sim_crash(trial.sim, 2);
        finish(&trial);
        hashes[i] = za_sim_hash(trial.sim);
        end(&trial);
    }
    cr_expect(hashes[0] == hashes[1]);
}
