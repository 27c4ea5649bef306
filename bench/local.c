// Local messages: how fast actors of one node talk, start, and how small they are. The rows that are
// compared with other actor systems; see docs/performance.md.

#include "local/tables.h"

int main(int argc, char **argv)
{
    static const bench_workload_t *const tables[] = { bench_local_pingpong, bench_local_fanin,
                                                      bench_local_ring,     bench_local_spawn,
                                                      bench_local_big,      NULL };
    return bench_main(argc, argv, tables);
}
