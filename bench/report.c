#include "report.h"

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void bench_report_run(bench_report_t *report, double value)
{
    if (report->runs == BENCH_RUNS_MAX) {
        fprintf(stderr, "bench: more than %d runs of %s\n", BENCH_RUNS_MAX, report->id);
        exit(1);
    }
    report->figures[report->runs++] = (bench_run_figures_t){ .value = value };
}

void bench_report_latency(bench_report_t *report, const bench_latency_t *latency, double unit_ns)
{
    bench_run_figures_t *now = &report->figures[report->runs - 1];
    now->p99 = bench_latency_at(latency, 0.99) / unit_ns;
    now->p999 = bench_latency_at(latency, 0.999) / unit_ns;
    now->max = (double)latency->max_ns / unit_ns;
}

void bench_report_param(bench_report_t *report, const char *name, double value)
{
    uint32_t i = 0;
    while (i < report->params && strcmp(report->param[i].name, name) != 0) {
        i++;
    }
    if (i == BENCH_PARAMS_MAX) {
        fprintf(stderr, "bench: more than %d parameters of %s\n", BENCH_PARAMS_MAX, report->id);
        exit(1);
    }
    if (i == report->params) {
        report->params++;
        report->param[i].name = name;
    }
    report->param[i].values[report->runs - 1] = value;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, uint32_t count)
{
    qsort(values, count, sizeof *values, by_value);
    return count % 2 == 1 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

/** A number that JSON reads: six digits, or all that an integer has. */
static void print_number(const char *name, double value)
{
    if (fabs(value) < 1e15 && value == (double)(int64_t)value) {
        printf("\"%s\": %.0f", name, value);
    } else {
        printf("\"%s\": %.6g", name, value);
    }
}

static void print_tail(const bench_report_t *report, const char *name, size_t offset)
{
    double values[BENCH_RUNS_MAX];
    for (uint32_t i = 0; i < report->runs; i++) {
        memcpy(&values[i], (const char *)&report->figures[i] + offset, sizeof values[i]);
    }
    print_number(name, median(values, report->runs));
    printf(", ");
}

void bench_report_print(bench_report_t *report)
{
    double values[BENCH_RUNS_MAX];
    for (uint32_t i = 0; i < report->runs; i++) {
        values[i] = report->figures[i].value;
    }
    double middle = median(values, report->runs);
    printf("{\"id\": \"%s\", ", report->id);
    if (report->variant != NULL) {
        printf("\"case\": \"%s\", ", report->variant);
    }
    printf("\"impl\": \"%s\", \"workers\": %u, \"unit\": \"%s\", ", report->impl, report->workers,
           report->unit);
    print_number("median", middle);
    printf(", ");
    print_number("min", values[0]);
    printf(", ");
    print_number("max", values[report->runs - 1]);
    printf(", ");
    if (report->figures[0].p99 > 0) {
        print_tail(report, "p99", offsetof(bench_run_figures_t, p99));
        print_tail(report, "p999", offsetof(bench_run_figures_t, p999));
        print_tail(report, "worst", offsetof(bench_run_figures_t, max));
    }
    if (report->goal != NULL) {
        printf("\"goal\": \"%s\", \"holds\": %s, ", report->goal, report->holds ? "true" : "false");
    }
    printf("\"runs\": %u, \"params\": {", report->runs);
    for (uint32_t i = 0; i < report->params; i++) {
        printf("%s", i > 0 ? ", " : "");
        print_number(report->param[i].name, median(report->param[i].values, report->runs));
    }
    if (report->what != NULL) {
        printf("%s\"what\": \"%s\"", report->params > 0 ? ", " : "", report->what);
    }
    printf("}}\n");
    fflush(stdout);
}
