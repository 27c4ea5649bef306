#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "zasim.h"

enum { COLUMNS_MAX = 24, NAME_BYTES = 32, TEXT_BYTES = 128 };

typedef struct cell {
    char text[TEXT_BYTES];
    bool number;
} cell_t;

typedef struct row {
    cell_t cells[COLUMNS_MAX];
} row_t;

struct sheet {
    bool json;
    int column_count, row_count, at; // `at`: the next cell of the row being written
    char names[COLUMNS_MAX][NAME_BYTES];
    row_t *rows; // one more than row_count
};

static void *need(void *memory)
{
    if (memory == NULL) {
        perror("zasim");
        exit(STATUS_USAGE);
    }
    return memory;
}

sheet_t *sheet_create(bool json)
{
    sheet_t *sheet = need(calloc(1, sizeof *sheet));
    sheet->json = json;
    sheet->rows = need(calloc(1, sizeof *sheet->rows));
    return sheet;
}

static cell_t *next_cell(sheet_t *sheet, const char *name)
{
    if (sheet->at == COLUMNS_MAX) {
        fprintf(stderr, "zasim: more than %d columns\n", COLUMNS_MAX);
        exit(STATUS_USAGE);
    }
    if (sheet->at == sheet->column_count) {
        snprintf(sheet->names[sheet->column_count++], NAME_BYTES, "%s", name);
    }
    return &sheet->rows[sheet->row_count].cells[sheet->at++];
}

void sheet_text(sheet_t *sheet, const char *name, const char *format, ...)
{
    cell_t *cell = next_cell(sheet, name);
    va_list args;
    va_start(args, format);
    vsnprintf(cell->text, sizeof cell->text, format, args);
    va_end(args);
}

void sheet_number(sheet_t *sheet, const char *name, double value, int digits)
{
    cell_t *cell = next_cell(sheet, name);
    cell->number = true;
    snprintf(cell->text, sizeof cell->text, "%.*f", digits, value);
}

void sheet_end_row(sheet_t *sheet)
{
    sheet->row_count++;
    sheet->at = 0;
    size_t rows = (size_t)sheet->row_count + 1;
    sheet->rows = need(realloc(sheet->rows, rows * sizeof *sheet->rows));
    memset(&sheet->rows[sheet->row_count], 0, sizeof *sheet->rows);
}

static void print_table(const sheet_t *sheet)
{
    int widths[COLUMNS_MAX];
    for (int column = 0; column < sheet->column_count; column++) {
        widths[column] = (int)strlen(sheet->names[column]);
        for (int row = 0; row < sheet->row_count; row++) {
            int width = (int)strlen(sheet->rows[row].cells[column].text);
            widths[column] = width > widths[column] ? width : widths[column];
        }
    }
    for (int row = -1; row < sheet->row_count; row++) {
        for (int column = 0; column < sheet->column_count; column++) {
            const char *text = row < 0 ? sheet->names[column] : sheet->rows[row].cells[column].text;
            bool right = sheet->row_count > 0 && sheet->rows[0].cells[column].number;
            printf("%s%*s", column > 0 ? "  " : "", right ? widths[column] : -widths[column], text);
        }
        printf("\n");
    }
}

static void print_string(const char *text)
{
    putchar('"');
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '"' || *at == '\\') {
            putchar('\\');
        }
        putchar((unsigned char)*at < ' ' ? ' ' : *at);
    }
    putchar('"');
}

static void print_json(const sheet_t *sheet)
{
    printf("[");
    for (int row = 0; row < sheet->row_count; row++) {
        printf("%s\n  {", row > 0 ? "," : "");
        for (int column = 0; column < sheet->column_count; column++) {
            const cell_t *cell = &sheet->rows[row].cells[column];
            printf("%s", column > 0 ? ", " : "");
            print_string(sheet->names[column]);
            printf(": ");
            if (cell->number) {
                printf("%s", cell->text);
            } else {
                print_string(cell->text);
            }
        }
        printf("}");
    }
    printf("\n]\n");
}

void sheet_print(sheet_t *sheet)
{
    if (sheet->json) {
        print_json(sheet);
    } else {
        print_table(sheet);
    }
    fflush(stdout);
    free(sheet->rows);
    free(sheet);
}

status_t say(status_t status, const char *format, ...)
{
    fputs("zasim: ", stderr);
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return status;
}

double cpu_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}
