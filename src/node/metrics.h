/**
 * Metrics: what a node counts, as text in Prometheus's exposition format (version 0.0.4), page by page.
 *
 * A page has whole items: a counter, or one worker's or class's part of a family, with all its
 * buckets from one look. Classes of one name are one series, as their labels are the same.
 *
 * Memory   None of its own: the caller has the page, and room for one class.
 * Threads  The owner of the loop, as the view.
 */
#pragma once

#include "node/admin.h"

enum {
    ZA_METRICS_PAGE_BYTES = 7 * 1024, // what a reply has room for besides its lists
};

/** What a page needs while it is written; too large for a stack. */
typedef struct za_metrics_room {
    za_class_metrics_t part; // one class
    za_class_metrics_t sum;  // of the classes of one name
} za_metrics_room_t;

/**
 * Writes the items from `*cursor` on (0: the first) that fit into `page`, and a zero behind them.
 * True: there are more, from the new `*cursor` on.
 */
bool za_metrics_page(const za_admin_view_t *view, za_metrics_room_t *room, uint64_t *cursor,
                     char page[static ZA_METRICS_PAGE_BYTES]);
