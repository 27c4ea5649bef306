#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "zactorctl.h"

enum { CELL_BYTES = 512, LINE_BYTES = 1024, COLUMNS_MAX = 16, SCHEMA_VERSION = 1 };

/* ---- what a node said ---------------------------------------------------------------------- */

// Names and texts come from peers: nothing in them may move a terminal's cursor.
static bool is_control(const char *text)
{
    unsigned char letter = (unsigned char)text[0];
    bool c1 = letter == 0xc2 &&
              ((unsigned char)text[1] & 0xe0) == 0x80; // as UTF-8 writes U+0080 to U+009F
    return letter < 0x20 || letter == 0x7f || c1;
}

static void make_printable(char *text)
{
    for (; *text != '\0'; text++) {
        if (is_control(text)) {
            *text = '?';
        }
    }
}

void print_lines(const char *text)
{
    for (; *text != '\0'; text++) {
        putchar(*text != '\n' && is_control(text) ? '?' : *text);
    }
}

json_t *json_of(const char *text)
{
    json_t *json = json_string(text);
    if (json != NULL) {
        return json;
    }
    char ascii[CELL_BYTES];
    snprintf(ascii, sizeof(ascii), "%s", text);
    for (char *letter = ascii; *letter != '\0'; letter++) {
        *letter = (unsigned char)*letter < 0x80 ? *letter : '?';
    }
    return json_string(ascii);
}

status_t say(status_t status, const char *format, ...)
{
    char line[LINE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    make_printable(line);
    fprintf(stderr, "zactorctl: %s\n", line);
    return status;
}

bool confirm(const options_t *options, const char *format, ...)
{
    if (options->yes) {
        return true;
    }
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    if (!isatty(STDIN_FILENO)) {
        fputs("\nzactorctl: no terminal to ask on: add --yes\n", stderr);
        return false;
    }
    fputs(" [y/N] ", stderr);
    char answer[8] = "";
    return fgets(answer, sizeof(answer), stdin) != NULL && (answer[0] == 'y' || answer[0] == 'Y');
}

/* ---- cells --------------------------------------------------------------------------------- */

void format_duration_us(const json_t *value, char *out, size_t out_bytes)
{
    json_int_t us = json_integer_value(value);
    if (us == 0) {
        snprintf(out, out_bytes, "-");
    } else if (us < 1000) {
        snprintf(out, out_bytes, "%" JSON_INTEGER_FORMAT "us", us);
    } else if (us < 1000000) {
        snprintf(out, out_bytes, "%.1fms", (double)us / 1e3);
    } else {
        snprintf(out, out_bytes, "%.1fs", (double)us / 1e6);
    }
}

void format_duration_ms(const json_t *value, char *out, size_t out_bytes)
{
    json_int_t s = json_integer_value(value) / 1000;
    if (s < 60) {
        snprintf(out, out_bytes, "%.1fs", (double)json_integer_value(value) / 1e3);
    } else if (s < 3600) {
        snprintf(out, out_bytes, "%dm%02ds", (int)(s / 60), (int)(s % 60));
    } else if (s < 86400) {
        snprintf(out, out_bytes, "%dh%02dm", (int)(s / 3600), (int)(s / 60 % 60));
    } else {
        snprintf(out, out_bytes, "%" JSON_INTEGER_FORMAT "d%02dh", s / 86400, (int)(s / 3600 % 24));
    }
}

void format_yes(const json_t *value, char *out, size_t out_bytes)
{
    snprintf(out, out_bytes, "%s", json_is_true(value) ? "yes" : "no");
}

static void cell_text(const column_t *column, const json_t *row, char out[CELL_BYTES])
{
    const json_t *value = json_object_get(row, column->key);
    if (value != NULL && column->format != NULL) {
        column->format(value, out, CELL_BYTES);
    } else if (json_is_string(value)) {
        const char *text = json_string_value(value);
        snprintf(out, CELL_BYTES, "%s", text[0] != '\0' ? text : "-");
    } else if (json_is_integer(value)) {
        snprintf(out, CELL_BYTES, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    } else if (json_is_boolean(value)) {
        format_yes(value, out, CELL_BYTES);
    } else {
        snprintf(out, CELL_BYTES, "-");
    }
    make_printable(out);
}

/* ---- tables -------------------------------------------------------------------------------- */

static bool is_shown(const options_t *options, const column_t *column)
{
    return !column->wide || options->form == FORM_WIDE;
}

static void print_cell(const char *text, size_t width, bool last)
{
    if (last) {
        printf("%s\n", text);
    } else {
        printf("%-*s  ", (int)width, text);
    }
}

static void print_table(const options_t *options, const column_t *columns, const json_t *rows)
{
    size_t widths[COLUMNS_MAX] = { 0 };
    size_t last = 0;
    char cell[CELL_BYTES];
    size_t index = 0;
    const json_t *row = NULL;
    for (size_t i = 0; columns[i].title != NULL && i < COLUMNS_MAX; i++) {
        if (!is_shown(options, &columns[i])) {
            continue;
        }
        last = i;
        widths[i] = options->no_headers ? 0 : strlen(columns[i].title);
        json_array_foreach(rows, index, row)
        {
            cell_text(&columns[i], row, cell);
            widths[i] = strlen(cell) > widths[i] ? strlen(cell) : widths[i];
        }
    }
    for (size_t i = 0; i <= last && !options->no_headers; i++) {
        if (is_shown(options, &columns[i])) {
            print_cell(columns[i].title, widths[i], i == last);
        }
    }
    json_array_foreach(rows, index, row)
    {
        for (size_t i = 0; i <= last; i++) {
            if (is_shown(options, &columns[i])) {
                cell_text(&columns[i], row, cell);
                print_cell(cell, widths[i], i == last);
            }
        }
    }
}

static void dump(const json_t *json)
{
    json_dumpf(json, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
    putchar('\n');
}

static void dump_line(const json_t *row)
{
    json_t *line = json_pack("{s:i}", "v", SCHEMA_VERSION);
    json_object_update(line, (json_t *)row);
    dump(line);
    json_decref(line);
}

void print_rows(const options_t *options, const char *list, const column_t *columns, json_t *rows)
{
    size_t index = 0;
    const json_t *row = NULL;
    switch (options->form) {
    case FORM_TABLE:
    case FORM_WIDE:
        print_table(options, columns, rows);
        break;
    case FORM_JSON: {
        json_t *all = json_pack("{s:i,s:O}", "v", SCHEMA_VERSION, list, rows);
        dump(all);
        json_decref(all);
        break;
    }
    case FORM_JSONL:
        json_array_foreach(rows, index, row)
        {
            dump_line(row);
        }
        break;
    case FORM_NAME:
        json_array_foreach(rows, index, row)
        {
            char cell[CELL_BYTES];
            cell_text(&columns[0], row, cell);
            puts(cell);
        }
        break;
    }
    json_decref(rows);
}

void print_object(const options_t *options, const char *name, const column_t *columns,
                  json_t *object)
{
    char cell[CELL_BYTES];
    size_t width = 0;
    switch (options->form) {
    case FORM_TABLE:
    case FORM_WIDE:
        for (const column_t *column = columns; column->title != NULL; column++) {
            width = strlen(column->title) > width ? strlen(column->title) : width;
        }
        for (const column_t *column = columns; column->title != NULL; column++) {
            if (is_shown(options, column)) {
                cell_text(column, object, cell);
                printf("%-*s  %s\n", (int)width, column->title, cell);
            }
        }
        break;
    case FORM_JSON:
    case FORM_JSONL:
        dump_line(object);
        break;
    case FORM_NAME:
        print_lines(name);
        putchar('\n');
        break;
    }
    json_decref(object);
}
