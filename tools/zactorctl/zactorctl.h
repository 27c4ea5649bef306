/**
 * zactorctl: the operator's tool. Data on stdout in the form that -o chose, talk on stderr; the exit
 * status says what happened.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <zactor/err.h>

typedef enum status {
    STATUS_OK = 0,
    STATUS_NO = 1,          // the answer is no: unhealthy, not found, not up
    STATUS_USAGE = 2,       // wrong option, argument or file
    STATUS_UNREACHABLE = 3, // no node answers
    STATUS_PARTIAL = 4,     // some did not answer
    STATUS_DENIED = 5,
    STATUS_TIMEOUT = 124,
} status_t;

typedef enum form { FORM_TABLE, FORM_WIDE, FORM_JSON, FORM_JSONL, FORM_NAME } form_t;

/** What every verb knows: the flags before and after it. */
typedef struct options {
    form_t form;
    bool no_headers;
    bool yes;
    bool dry_run;
    const char *address;
    const char *socket;
    const char *ca;
    const char *certificate;
    const char *key;
    uint32_t timeout_ms;
} options_t;

/** A column of a table. */
typedef struct column {
    const char *title;
    const char *key; // of the row's JSON object
    bool wide;       // only with -o wide
    /** The cell's text; NULL: the value as it is. */
    void (*format)(const json_t *value, char *out, size_t out_bytes);
} column_t;

/**
 * Prints rows (an array of objects) in the chosen form: -o json as {"v":1,"<list>":[...]}, -o jsonl a
 * line for each, -o name the first column. Columns end with a NULL title. Takes `rows`.
 */
void print_rows(const options_t *options, const char *list, const column_t *columns, json_t *rows);

/** Prints one object, as lines "key  value" or as JSON with "v":1; -o name: its `name`. Takes it. */
void print_object(const options_t *options, const char *name, const column_t *columns,
                  json_t *object);

/** Prints a text of a node; what would move a terminal's cursor is printed as '?'. */
void print_lines(const char *text);

/** A text of a node as a value; bytes that are no UTF-8 make all that is not ASCII '?'. */
json_t *json_of(const char *text);

void format_duration_us(const json_t *value, char *out, size_t out_bytes);
void format_duration_ms(const json_t *value, char *out, size_t out_bytes);
void format_yes(const json_t *value, char *out, size_t out_bytes);

/** One line on stderr: "zactorctl: ...". Returns `status`. */
status_t say(status_t status, const char *format, ...) ZA_PRINTF(2, 3);

/** Asks on the terminal, unless --yes; without a terminal the answer is no. */
bool confirm(const options_t *options, const char *format, ...) ZA_PRINTF(2, 3);

/** The exit status that stands for an error of the library. */
status_t status_of(za_err_t err);

typedef status_t verb_fn(const options_t *options, int argc, char **argv);

/* verbs.c; argv[0] is the verb */
verb_fn verb_members, verb_status, verb_leave, verb_down, verb_rotate, verb_names, verb_groups,
    verb_actors, verb_metrics, verb_ping;
/* ca.c */
verb_fn verb_ca;
