// Whole programs: what actors are used for, each with an outcome that is checked.

#include "macro/tables.h"

int main(int argc, char **argv)
{
    static const bench_workload_t *const tables[] = { bench_macro_fan,
                                                      bench_macro_pipeline,
                                                      bench_macro_chameneos,
                                                      bench_macro_supervisor,
                                                      bench_macro_queens,
                                                      bench_macro_bank,
                                                      bench_macro_dictionary,
                                                      bench_macro_philosophers,
                                                      bench_macro_sieve,
                                                      bench_macro_radix,
                                                      bench_macro_buffer,
                                                      bench_macro_logistic,
                                                      NULL };
    return bench_main(argc, argv, tables);
}
