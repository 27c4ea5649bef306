#include "node/metrics.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"

enum {
    ITEM_BITS = 32,
    NS_PER_S = 1000000000,
    // Bounds of buckets, powers of two.
    TIME_FIRST = 8,  // 256 ns
    TIME_LAST = 34,  // 17 s
    BIT_STEP = 2,    // four times as large each
    QUEUE_FIRST = 0, // 1 message
    QUEUE_LAST = 20,
};

static_assert((int)TIME_LAST < (int)ZA_HISTOGRAM_BITS, "bounds that the histogram knows");

/** The page, as far as it is written. */
typedef struct text {
    char *out;
    size_t used;
    size_t bytes;
    bool is_full; // something did not fit
} text_t;

ZA_PRINTF(2, 3) static void print(text_t *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    size_t left = text->bytes - text->used;
    int length = vsnprintf(text->out + text->used, left, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= left) {
        text->is_full = true;
    } else {
        text->used += (size_t)length;
    }
}

static void print_head(text_t *text, const char *name, const char *type, const char *help)
{
    print(text, "# HELP zactor_%s %s\n# TYPE zactor_%s %s\n", name, help, name, type);
}

/** Seconds, without the locale's point. */
static void print_seconds(text_t *text, uint64_t ns)
{
    print(text, "%" PRIu64 ".%09" PRIu64, ns / NS_PER_S, ns % NS_PER_S);
}

/** A label's value: backslash, quote and newline would end it. */
static void print_escaped(text_t *text, const char *value)
{
    for (int i = 0; i < ZA_CLASS_NAME_BYTES_MAX && *value != '\0'; i++, value++) {
        if (*value == '\n') {
            print(text, "\\n");
        } else {
            print(text, *value == '\\' || *value == '"' ? "\\%c" : "%c", *value);
        }
    }
}

/** What is to be written: number `index` of a family. */
typedef struct item {
    const za_admin_view_t *view;
    za_metrics_room_t *room;
    const void *shape; // how the family looks
    uint32_t index;
} item_t;

/* ---- counters of the node ------------------------------------------------------------------- */

typedef struct wanted {
    uint32_t index; // counts down
    const char *name;
    uint64_t value;
} wanted_t;

static bool match_counter(const char *name, uint64_t value, void *context)
{
    wanted_t *wanted = context;
    if (wanted->index > 0) {
        wanted->index--;
        return true;
    }
    wanted->name = name;
    wanted->value = value;
    return false;
}

static bool is_gauge(const char *name)
{
    static const char *const gauges[] = { "pool_bytes",          "blob_bytes", "registry_bytes",
                                          "names_bytes",         "watches",    "datagram_epoch",
                                          "discovery_addresses", NULL };
    const char *const *gauge = gauges;
    while (*gauge != NULL && strcmp(*gauge, name) != 0) {
        gauge++;
    }
    return *gauge != NULL;
}

/** What the name does not say; NULL: it says all. */
static const char *help_of(const char *name)
{
    static const char *const helps[][2] = {
        { "registry_refused",
          "Claims of names and groups that were no good, or found a table full." },
        { "clocks_skewed",
          "Nodes that claimed a name with a clock that runs ahead of this one's." },
    };
    for (size_t i = 0; i < sizeof helps / sizeof *helps; i++) {
        if (strcmp(helps[i][0], name) == 0) {
            return helps[i][1];
        }
    }
    return NULL;
}

static bool write_counter(const item_t *item, text_t *text)
{
    wanted_t wanted = { .index = item->index };
    item->view->each_counter(item->view->context, match_counter, &wanted);
    if (wanted.name == NULL) {
        return false;
    }
    bool gauge = is_gauge(wanted.name);
    const char *suffix = gauge ? "" : "_total";
    const char *help = help_of(wanted.name);
    if (help != NULL) {
        print(text, "# HELP zactor_%s%s %s\n", wanted.name, suffix, help);
    }
    print(text, "# TYPE zactor_%s%s %s\nzactor_%s%s %" PRIu64 "\n", wanted.name, suffix,
          gauge ? "gauge" : "counter", wanted.name, suffix, wanted.value);
    return true;
}

static bool write_status(const item_t *item, text_t *text)
{
    if (item->index > 0) {
        return false;
    }
    za_admin_status_t status = { 0 };
    item->view->status(item->view->context, &status);
    print_head(text, "actors", "gauge", "Actors alive.");
    print(text, "zactor_actors %" PRIu64 "\n", status.actors);
    print_head(text, "uptime_seconds", "gauge", "Since the node started.");
    print(text, "zactor_uptime_seconds %" PRIu64 ".%03u\n", status.uptime_ms / 1000,
          (unsigned)(status.uptime_ms % 1000));
    return true;
}

/* ---- members ------------------------------------------------------------------------------ */

typedef struct census {
    uint64_t states[ZA_MEMBER_DOWN + 1];
} census_t;

static bool count_member(const za_member_info_t *info, void *context)
{
    census_t *census = context;
    census->states[info->state]++;
    return true;
}

/** One line for each state: what an alert looks at. */
static bool write_members(const item_t *item, text_t *text)
{
    if (item->index > ZA_MEMBER_DOWN) {
        return false;
    }
    census_t census = { 0 };
    item->view->each_member(item->view->context, count_member, &census);
    if (item->index == 0) {
        print_head(text, "members", "gauge", "Members as this node sees them.");
    }
    print(text, "zactor_members{state=\"%s\"} %" PRIu64 "\n",
          za_member_state_name((za_member_state_t)item->index), census.states[item->index]);
    return true;
}

/* ---- workers -------------------------------------------------------------------------------- */

/** How a number of each worker is shown. */
typedef struct number {
    const char *name;
    const char *type;
    const char *help;
    size_t offset; // in za_worker_metrics_t, of an uint64_t
    bool is_time;  // in seconds, of nanoseconds
} number_t;

static bool write_worker(const item_t *item, text_t *text)
{
    const number_t *number = item->shape;
    za_worker_metrics_t worker;
    if (!item->view->worker(item->view->context, item->index, &worker)) {
        return false;
    }
    if (item->index == 0) {
        print_head(text, number->name, number->type, number->help);
    }
    uint64_t value;
    memcpy(&value, (const char *)&worker + number->offset, sizeof value);
    print(text, "zactor_%s{worker=\"%" PRIu32 "\"} ", number->name, item->index);
    if (number->is_time) {
        print_seconds(text, value);
    } else {
        print(text, "%" PRIu64, value);
    }
    print(text, "\n");
    return true;
}

/* ---- classes -------------------------------------------------------------------------------- */

static bool is_same(const char *name, const char *other)
{
    return strncmp(name, other, ZA_CLASS_NAME_BYTES_MAX) == 0; // more of it is not shown
}

/** The name of the class that the item is; NULL: there are not so many. */
static const char *name_of(const item_t *item)
{
    return item->view->class_name(item->view->context, item->index);
}

/** True if a class before it has its name: it is in the other's series. */
static bool is_repeated(const item_t *item, const char *name)
{
    for (uint32_t i = 0; i < item->index; i++) {
        if (is_same(item->view->class_name(item->view->context, i), name)) {
            return true;
        }
    }
    return false;
}

/** All classes of the name, summed up. */
static const za_class_metrics_t *sum_classes(const item_t *item, const char *name)
{
    const za_admin_view_t *view = item->view;
    za_class_metrics_t *sum = &item->room->sum;
    za_class_metrics_t *part = &item->room->part;
    memset(sum, 0, sizeof *sum);
    const char *other = name;
    for (uint32_t i = item->index; other != NULL; other = view->class_name(view->context, ++i)) {
        if (is_same(other, name) && view->class_metrics(view->context, i, part)) {
            sum->handled += part->handled;
            za_histogram_add(&sum->latency_ns, &part->latency_ns);
            za_histogram_add(&sum->run_ns, &part->run_ns);
            za_histogram_add(&sum->queued, &part->queued);
        }
    }
    return sum;
}

static bool write_class_handled(const item_t *item, text_t *text)
{
    const char *name = name_of(item);
    if (name == NULL) {
        return false;
    }
    if (item->index == 0) {
        print_head(text, "class_handled_total", "counter",
                   "Messages handled by actors of a class.");
    }
    if (!is_repeated(item, name)) {
        print(text, "zactor_class_handled_total{class=\"");
        print_escaped(text, name);
        print(text, "\"} %" PRIu64 "\n", sum_classes(item, name)->handled);
    }
    return true;
}

/** How a histogram is shown. */
typedef struct shape {
    const char *name;
    const char *help;
    size_t offset; // in za_class_metrics_t
    uint32_t first, last, step;
    bool is_time; // in seconds, of nanoseconds
} shape_t;

static void print_bucket(text_t *text, const shape_t *shape, const char *class_name,
                         uint64_t largest, bool is_all, uint64_t count)
{
    print(text, "zactor_%s_bucket{class=\"", shape->name);
    print_escaped(text, class_name);
    print(text, "\",le=\"");
    if (is_all) {
        print(text, "+Inf");
    } else if (shape->is_time) {
        print_seconds(text, largest);
    } else {
        print(text, "%" PRIu64, largest);
    }
    print(text, "\"} %" PRIu64 "\n", count);
}

static void print_part(text_t *text, const shape_t *shape, const char *class_name, const char *part)
{
    print(text, "zactor_%s_%s{class=\"", shape->name, part);
    print_escaped(text, class_name);
    print(text, "\"} ");
}

static bool write_histogram(const item_t *item, text_t *text)
{
    const shape_t *shape = item->shape;
    const char *name = name_of(item);
    if (name == NULL) {
        return false;
    }
    if (item->index == 0) {
        print_head(text, shape->name, "histogram", shape->help);
    }
    if (is_repeated(item, name)) {
        return true;
    }
    const char *sum = (const char *)sum_classes(item, name);
    const za_histogram_t *histogram = (const void *)(sum + shape->offset);
    for (uint32_t bit = shape->first; bit <= shape->last; bit += shape->step) {
        // `le` means "or equal": the largest value below the power of two, so that counts are exact.
        uint64_t bound = UINT64_C(1) << bit;
        print_bucket(text, shape, name, bound - 1, false, za_histogram_below(histogram, bound));
    }
    uint64_t count = za_histogram_count(histogram);
    print_bucket(text, shape, name, 0, true, count);
    print_part(text, shape, name, "sum");
    if (shape->is_time) {
        print_seconds(text, za_histogram_sum(histogram));
    } else {
        print(text, "%" PRIu64, za_histogram_sum(histogram));
    }
    print(text, "\n");
    print_part(text, shape, name, "count");
    print(text, "%" PRIu64 "\n", count);
    return true;
}

/* ---- pages ---------------------------------------------------------------------------------- */

#define OF_WORKER(field) offsetof(za_worker_metrics_t, field)
#define OF_CLASS(field) offsetof(za_class_metrics_t, field)

static const number_t worker_numbers[] = {
    { "worker_handled_total", "counter", "Messages handled.", OF_WORKER(handled), false },
    { "worker_turns_total", "counter", "Looks at timers, actors and what was sent.",
      OF_WORKER(turns), false },
    { "worker_steals_total", "counter", "Times it took actors of another worker.",
      OF_WORKER(steals), false },
    { "worker_parks_total", "counter", "Times it rested on its own.", OF_WORKER(parks), false },
    { "worker_wakes_total", "counter", "Times it woke another worker.", OF_WORKER(wakes), false },
    { "worker_busy_seconds_total", "counter", "Time in turns.", OF_WORKER(busy_ns), true },
    { "worker_runnable", "gauge", "Actors that wait for their run.", OF_WORKER(runnable), false },
    { "worker_timers", "gauge", "Timers armed.", OF_WORKER(timers), false },
};

static const shape_t latency_shape = { "class_latency_seconds",
                                       "From send to the start of the handler; sampled.",
                                       OF_CLASS(latency_ns),
                                       TIME_FIRST,
                                       TIME_LAST,
                                       BIT_STEP,
                                       true };
static const shape_t run_shape = { "class_run_seconds",
                                   "Of one run of an actor, of one message or more; sampled.",
                                   OF_CLASS(run_ns),
                                   TIME_FIRST,
                                   TIME_LAST,
                                   BIT_STEP,
                                   true };
static const shape_t queued_shape = { "class_queued_messages",
                                      "In the mailbox when a run begins; sampled.",
                                      OF_CLASS(queued),
                                      QUEUE_FIRST,
                                      QUEUE_LAST,
                                      BIT_STEP,
                                      false };

/** All of one name. `write` says false if there are not so many. */
typedef struct family {
    bool (*write)(const item_t *item, text_t *text);
    const void *shape;
} family_t;

static const family_t families[] = {
    { write_status, NULL },
    { write_members, NULL },
    { write_counter, NULL },
    { write_worker, &worker_numbers[0] },
    { write_worker, &worker_numbers[1] },
    { write_worker, &worker_numbers[2] },
    { write_worker, &worker_numbers[3] },
    { write_worker, &worker_numbers[4] },
    { write_worker, &worker_numbers[5] },
    { write_worker, &worker_numbers[6] },
    { write_worker, &worker_numbers[7] },
    { write_class_handled, NULL },
    { write_histogram, &latency_shape },
    { write_histogram, &run_shape },
    { write_histogram, &queued_shape },
};

bool za_metrics_page(const za_admin_view_t *view, za_metrics_room_t *room, uint64_t *cursor,
                     char page[static ZA_METRICS_PAGE_BYTES])
{
    enum { FAMILIES = sizeof families / sizeof *families };
    text_t text = { .out = page, .bytes = ZA_METRICS_PAGE_BYTES };
    uint64_t family = *cursor >> ITEM_BITS;
    item_t item = { .view = view, .room = room, .index = (uint32_t)*cursor };
    page[0] = '\0';
    while (family < FAMILIES) {
        size_t before = text.used;
        item.shape = families[family].shape;
        bool exists = families[family].write(&item, &text);
        if (text.is_full) {
            ZA_ASSERT(before > 0); // a page has room for any item
            page[before] = '\0';
            break;
        }
        item.index = exists ? item.index + 1 : 0;
        family += exists ? 0 : 1;
    }
    *cursor = family << ITEM_BITS | item.index;
    return family < FAMILIES;
}
