// Pages of metrics, read as Prometheus reads them.
#include <stdio.h>
#include <stdlib.h>

#include "node/metrics.h"
#include "support/za_test.h"

enum { COUNTERS = 40, STATES = 7, WORKERS = 3, CLASSES = 50, TEXT_BYTES = 1 << 20 };

static za_metrics_room_t room;
static char text[TEXT_BYTES];
static uint32_t pages;

static void status(void *context, za_admin_status_t *out)
{
    (void)context;
    *out = (za_admin_status_t){ .actors = 12, .uptime_ms = 1500 };
}

static void each_member(void *context, bool (*visit)(const za_member_info_t *, void *),
                        void *visitor)
{
    (void)context;
    const za_member_state_t states[] = { ZA_MEMBER_UP, ZA_MEMBER_DOWN, ZA_MEMBER_UP };
    for (int i = 0; i < 3; i++) {
        if (!visit(&(za_member_info_t){ .state = states[i] }, visitor)) {
            return;
        }
    }
}

static void each_counter(void *context, bool (*visit)(const char *, uint64_t, void *),
                         void *visitor)
{
    (void)context;
    for (uint32_t i = 0; i < COUNTERS; i++) {
        static char name[16]; // names outlive the visit
        snprintf(name, sizeof name, "counter_%u", i);
        if (!visit(i == 0   ? "pool_bytes"
                   : i == 1 ? "watches"
                   : i == 2 ? "registry_refused"
                   : i == 3 ? "clocks_skewed"
                            : name,
                   UINT64_MAX - i, visitor)) {
            return;
        }
    }
}

static bool worker(void *context, uint32_t index, za_worker_metrics_t *out)
{
    (void)context;
    *out = (za_worker_metrics_t){ .handled = 10 + index, .busy_ns = 1500000001, .timers = 7 };
    return index < WORKERS;
}

/** Some have one name, one has a name that wants escapes, one is long. */
static const char *class_name(void *context, uint32_t index)
{
    static char names[CLASSES][300];
    (void)context;
    if (index >= CLASSES) {
        return NULL;
    }
    char *name = names[index];
    snprintf(name, sizeof names[index], "class%u", index);
    if (index == 3 || index == 30) {
        return "twice";
    }
    if (index == 4) {
        return "a\"b\\c\nd e";
    }
    if (index == 5) {
        memset(name, 'x', sizeof names[index] - 1);
    }
    return name;
}

static bool class_metrics(void *context, uint32_t index, za_class_metrics_t *out)
{
    memset(out, 0, sizeof *out);
    out->name = class_name(context, index);
    out->handled = 100 + index;
    for (uint64_t i = 0; i < 10; i++) {
        za_histogram_record(&out->latency_ns, UINT64_C(1000) << i);
        za_histogram_record(&out->queued, i);
    }
    return out->name != NULL;
}

static const za_admin_view_t view = { .status = status,
                                      .each_member = each_member,
                                      .each_counter = each_counter,
                                      .worker = worker,
                                      .class_name = class_name,
                                      .class_metrics = class_metrics };

static void setup(void)
{
    uint64_t cursor = 0;
    size_t used = 0;
    bool more = true;
    for (pages = 0; more; pages++) {
        static char page[ZA_METRICS_PAGE_BYTES];
        more = za_metrics_page(&view, &room, &cursor, page);
        size_t length = strlen(page);
        cr_assert(length > 0 && page[length - 1] == '\n', "page %u has whole lines", pages);
        cr_assert(used + length < TEXT_BYTES, "they end");
        memcpy(text + used, page, length + 1);
        used += length;
    }
}

TestSuite(metrics_text, .init = setup);

/** The value of the sample that the line begins with; UINT64_MAX: there is none, or there are two. */
static uint64_t value_of(const char *sample)
{
    char line[512];
    snprintf(line, sizeof line, "\n%s ", sample);
    const char *found = strstr(text, line);
    if (found == NULL || strstr(found + 1, line) != NULL) {
        return UINT64_MAX;
    }
    return strtoull(found + strlen(line), NULL, 10);
}

static bool has_line(const char *wanted)
{
    char line[512];
    snprintf(line, sizeof line, "\n%s\n", wanted);
    return strstr(text, line) != NULL;
}

Test(metrics_text, has_counters_workers_and_classes)
{
    cr_expect(pages > 5, "%u pages", pages);
    cr_expect(value_of("zactor_actors") == 12, "actors");
    cr_expect(has_line("zactor_uptime_seconds 1.500"), "uptime");
    cr_expect(has_line("# TYPE zactor_pool_bytes gauge"), "a gauge");
    cr_expect(has_line("zactor_pool_bytes 18446744073709551615"), "all bits");
    cr_expect(has_line("# TYPE zactor_watches gauge"), "watches come and go");
    cr_expect(strstr(text, "\n# HELP zactor_registry_refused_total Claims") != NULL, "help");
    cr_expect(strstr(text, "\n# HELP zactor_clocks_skewed_total Nodes") != NULL, "help");
    cr_expect(value_of("zactor_counter_39_total") == UINT64_MAX - 39, "the last counter");
    cr_expect(value_of("zactor_worker_handled_total{worker=\"2\"}") == 12, "the last worker");
    cr_expect(has_line("zactor_worker_busy_seconds_total{worker=\"0\"} 1.500000001"), "seconds");
    cr_expect(value_of("zactor_worker_timers{worker=\"1\"}") == 7, "timers");
    cr_expect(value_of("zactor_class_handled_total{class=\"class49\"}") == 149, "the last class");
}

Test(metrics_text, has_members_by_state)
{
    cr_expect(has_line("# TYPE zactor_members gauge"), "their kind");
    cr_expect(value_of("zactor_members{state=\"up\"}") == 2, "those that are up");
    cr_expect(value_of("zactor_members{state=\"down\"}") == 1, "those that are down");
    cr_expect(value_of("zactor_members{state=\"unreachable\"}") == 0, "none is a number");
}

Test(metrics_text, classes_of_one_name_are_one_series)
{
    cr_expect(value_of("zactor_class_handled_total{class=\"twice\"}") == 103 + 130, "the sum");
    cr_expect(value_of("zactor_class_latency_seconds_count{class=\"twice\"}") == 20, "of both");
}

Test(metrics_text, names_are_escaped_and_cut)
{
    char name[128];
    cr_expect(value_of("zactor_class_handled_total{class=\"a\\\"b\\\\c\\nd e\"}") == 104,
              "escapes");
    snprintf(name, sizeof name, "zactor_class_handled_total{class=\"%.*s\"}",
             ZA_CLASS_NAME_BYTES_MAX, class_name(NULL, 5));
    cr_expect(value_of(name) == 105, "cut");
}

Test(metrics_text, histograms_are_cumulative_and_exact)
{
    // 1000 ns doubled nine times; the bounds are 255 ns, 1023 ns, 4095 ns, 16383 ns and so on.
    static const struct {
        const char *le;
        uint64_t count;
    } expected[] = { { "0.000000255", 0 },  { "0.000001023", 1 },   { "0.000004095", 3 },
                     { "0.000016383", 5 },  { "0.000065535", 7 },   { "0.000262143", 9 },
                     { "0.001048575", 10 }, { "17.179869183", 10 }, { "+Inf", 10 } };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        char sample[128];
        snprintf(sample, sizeof sample,
                 "zactor_class_latency_seconds_bucket{class=\"class7\",le=\"%s\"}", expected[i].le);
        cr_expect(value_of(sample) == expected[i].count, "%s", sample);
    }
    cr_expect(value_of("zactor_class_latency_seconds_count{class=\"class7\"}") == 10, "count");
    cr_expect(has_line("zactor_class_latency_seconds_sum{class=\"class7\"} 0.001023000"), "sum");
    cr_expect(value_of("zactor_class_queued_messages_bucket{class=\"class7\",le=\"0\"}") == 1, "0");
    cr_expect(value_of("zactor_class_queued_messages_bucket{class=\"class7\",le=\"3\"}") == 4, "3");
    cr_expect(value_of("zactor_class_queued_messages_sum{class=\"class7\"}") == 45, "sum");
}

/** The name of a sample's family, as # TYPE says it. */
static void family_of(const char *line, char out[128])
{
    static const char *const suffixes[] = { "_bucket", "_sum", "_count" };
    size_t length = strcspn(line, "{ ");
    snprintf(out, 128, "%.*s", (int)length, line);
    for (int i = 0; i < 3; i++) {
        size_t tail = strlen(suffixes[i]);
        if (strstr(line, "seconds") != NULL || strstr(line, "messages") != NULL) {
            if (length > tail && strcmp(out + length - tail, suffixes[i]) == 0) {
                out[length - tail] = '\0';
            }
        }
    }
}

// A parser refuses the whole text if one family is in two places, or comes before its type.
Test(metrics_text, each_family_is_in_one_place_behind_its_type)
{
    static char types[200][128];
    uint32_t count = 0;
    uint32_t samples = 0;
    char *line = strtok(text, "\n");
    for (; line != NULL; line = strtok(NULL, "\n")) {
        if (strncmp(line, "# TYPE ", 7) == 0) {
            cr_assert(count < 200, "families");
            snprintf(types[count], 128, "%.*s", (int)strcspn(line + 7, " "), line + 7);
            for (uint32_t i = 0; i < count; i++) {
                cr_assert(strcmp(types[i], types[count]) != 0, "%s twice", types[i]);
            }
            count++;
        } else if (line[0] != '#') {
            char family[128];
            family_of(line, family);
            cr_assert(count > 0 && strcmp(types[count - 1], family) == 0, "%s in %s", line,
                      count > 0 ? types[count - 1] : "none");
            samples++;
        }
    }
    uint32_t histograms = (CLASSES - 1) * ((14 + 3) * 2 + (11 + 3));
    cr_assert(samples == 2 + STATES + COUNTERS + 8 * WORKERS + (CLASSES - 1) + histograms, "%u",
              samples);
}
