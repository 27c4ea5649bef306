// Parts: what one message, one mailbox, one actor's life, one block of memory, one timer, one ask and
// one lookup of a name cost by themselves.

#include "micro/tables.h"

int main(int argc, char **argv)
{
    static const bench_workload_t *const tables[] = {
        bench_micro_message, bench_micro_contention, bench_micro_life,
        bench_micro_memory,  bench_micro_timers,     bench_micro_ask,
        bench_micro_routing, bench_micro_names,      NULL
    };
    return bench_main(argc, argv, tables);
}
