/**
 * Driver: counts the words of many texts with counters on every node of the cluster.
 *
 * It waits for the nodes, spawns counters on all of them, and asks each counter for a few batches at
 * a time. An ask ends in exactly one of counts, timeout and down, so the driver knows of each batch
 * whether it was counted: what was not is read and sent again, to whichever counter has room. A
 * counter whose node went down is respawned on another node by the runtime, under the same name.
 *
 * Spawned with a wc_Start as arguments it does that; without, it reads the environment:
 *
 *     WORDCOUNT_FILES         a file with the path of one text per line
 *     WORDCOUNT_OUTPUT        where the totals go: "count word" lines, sorted by word
 *     WORDCOUNT_PROGRESS      where one line per step goes (optional)
 *     WORDCOUNT_EXPECT_NODES  members to wait for (default 1)
 *     WORDCOUNT_COUNTERS      counters per node (default 2)
 *     WORDCOUNT_IN_FLIGHT     batches sent to a counter and not answered yet (default 2)
 *     WORDCOUNT_BATCH_BYTES   (default 65536)
 *     WORDCOUNT_BATCH_MS      a counter takes at least so long for a batch (default 0)
 *
 * It stops when the totals are written, and fails when they cannot be. It is not made to be
 * restarted: it would begin anew.
 */
#pragma once

#include <zactor/zactor.h>

extern const za_class_t wordcount_driver_class;
