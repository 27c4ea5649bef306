#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "zactorctl.h"

enum { TIMEOUT_DEFAULT_MS = 5000, TIMEOUT_MAX_MS = 3600 * 1000 };

typedef struct verb {
    const char *name;
    verb_fn *run;
    const char *arguments;
    const char *help;
} verb_t;

static status_t verb_version(const options_t *options, int argc, char **argv);

static const verb_t verbs[] = {
    { "members", verb_members, "", "the cluster as one node sees it" },
    { "status", verb_status, "", "one node's health; exit 1 if it is no member, or misses one" },
    { "names", verb_names, "[PREFIX]", "registered names" },
    { "groups", verb_groups, "[PREFIX]", "groups of actors, and who is in them" },
    { "actors", verb_actors, "", "actors of one node" },
    { "metrics", verb_metrics, "", "what one node counts, as Prometheus reads it" },
    { "ping", verb_ping, "[NODE]", "whether a node answers, and how fast" },
    { "leave", verb_leave, "", "let the node drain and leave the cluster" },
    { "down", verb_down, "NODE", "declare a node down that does not come back" },
    { "rotate", verb_rotate, "", "give the cluster's datagrams another key" },
    { "ca", verb_ca, "init|issue ...", "certificate authority and certificates" },
    { "version", verb_version, "", "of this program" },
};

enum { VERB_COUNT = sizeof(verbs) / sizeof(verbs[0]) };

enum {
    FLAG_ADDRESS = 256,
    FLAG_SOCKET,
    FLAG_CA,
    FLAG_CERT,
    FLAG_KEY,
    FLAG_TIMEOUT,
    FLAG_NO_HEADERS,
    FLAG_YES,
    FLAG_DRY_RUN,
};

static const struct option flags[] = { { "output", required_argument, NULL, 'o' },
                                       { "addr", required_argument, NULL, FLAG_ADDRESS },
                                       { "socket", required_argument, NULL, FLAG_SOCKET },
                                       { "ca", required_argument, NULL, FLAG_CA },
                                       { "cert", required_argument, NULL, FLAG_CERT },
                                       { "key", required_argument, NULL, FLAG_KEY },
                                       { "timeout", required_argument, NULL, FLAG_TIMEOUT },
                                       { "no-headers", no_argument, NULL, FLAG_NO_HEADERS },
                                       { "yes", no_argument, NULL, FLAG_YES },
                                       { "dry-run", no_argument, NULL, FLAG_DRY_RUN },
                                       { "help", no_argument, NULL, 'h' },
                                       { NULL, 0, NULL, 0 } };

static void print_help(FILE *out)
{
    fputs("Usage: zactorctl [flags] VERB [arguments]\n\n", out);
    for (int i = 0; i < VERB_COUNT; i++) {
        fprintf(out, "  %-8s %-16s %s\n", verbs[i].name, verbs[i].arguments, verbs[i].help);
    }
    fputs("\nFlags, before or after the verb (of ca: before), and their environment variables:\n"
          "  --socket PATH      ZACTOR_SOCKET   unix socket of the node\n"
          "                                     (default /run/zactor/zactor.sock)\n"
          "  --addr HOST:PORT   ZACTOR_ADDR     a node, over TLS, with\n"
          "  --ca --cert --key  ZACTOR_CACERT ZACTOR_CERT ZACTOR_KEY\n"
          "  --timeout TIME     ZACTOR_TIMEOUT  500ms, 5s, 1m (default 5s)\n"
          "  -o FORM            ZACTOR_OUTPUT   table, wide, json, jsonl or name\n"
          "  --no-headers       no first line in tables\n"
          "  --yes              do not ask before leave, down and rotate\n"
          "  --dry-run          say what leave, down and rotate would do\n"
          "\nExit status: 0 done, 1 the answer is no, 2 usage, 3 no node answers, 4 some did not,\n"
          "5 denied, 124 timed out.\n",
          out);
}

static status_t verb_version(const options_t *options, int argc, char **argv)
{
    static const column_t columns[] = { { "version", "version", false, NULL },
                                        { NULL, NULL, false, NULL } };
    if (argc > 1) {
        return say(STATUS_USAGE, "%s takes no arguments", argv[0]);
    }
    print_object(options, ZA_VERSION_TEXT, columns, json_pack("{s:s}", "version", ZA_VERSION_TEXT));
    return STATUS_OK;
}

static bool set_form(options_t *options, const char *text)
{
    static const char *const names[] = { "table", "wide", "json", "jsonl", "name" };
    for (int i = 0; i < (int)(sizeof(names) / sizeof(names[0])); i++) {
        if (strcmp(text, names[i]) == 0) {
            options->form = (form_t)i;
            return true;
        }
    }
    say(STATUS_USAGE, "-o: %s is not one of table, wide, json, jsonl, name", text);
    return false;
}

/** "500ms", "5s", "1m"; a number alone is seconds. */
static bool set_timeout(options_t *options, const char *text)
{
    static const struct {
        const char *unit;
        unsigned long ms;
    } units[] = { { "ms", 1 }, { "s", 1000 }, { "", 1000 }, { "m", 60000 } };
    char *unit = NULL;
    unsigned long value = text[0] >= '0' && text[0] <= '9' ? strtoul(text, &unit, 10) : 0;
    for (size_t i = 0; value > 0 && i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(unit, units[i].unit) == 0 && value <= TIMEOUT_MAX_MS / units[i].ms) {
            options->timeout_ms = (uint32_t)(value * units[i].ms);
            return true;
        }
    }
    say(STATUS_USAGE, "--timeout: %s is not a time up to 1h, such as 500ms or 5s", text);
    return false;
}

static bool take_environment(options_t *options)
{
    const char *form = getenv("ZACTOR_OUTPUT");
    const char *timeout = getenv("ZACTOR_TIMEOUT");
    options->address = getenv("ZACTOR_ADDR");
    options->socket = options->address == NULL ? getenv("ZACTOR_SOCKET") : NULL;
    options->ca = getenv("ZACTOR_CACERT");
    options->certificate = getenv("ZACTOR_CERT");
    options->key = getenv("ZACTOR_KEY");
    return (form == NULL || set_form(options, form)) &&
           (timeout == NULL || set_timeout(options, timeout));
}

static bool take_flag(options_t *options, int flag, const char *value)
{
    switch (flag) {
    case 'o':
        return set_form(options, value);
    case FLAG_ADDRESS: // what was said last counts: a flag is not outdone by the environment
        options->address = value;
        options->socket = NULL;
        return true;
    case FLAG_SOCKET:
        options->socket = value;
        options->address = NULL;
        return true;
    case FLAG_CA:
        options->ca = value;
        return true;
    case FLAG_CERT:
        options->certificate = value;
        return true;
    case FLAG_KEY:
        options->key = value;
        return true;
    case FLAG_TIMEOUT:
        return set_timeout(options, value);
    case FLAG_NO_HEADERS:
        options->no_headers = true;
        return true;
    case FLAG_YES:
        options->yes = true;
        return true;
    case FLAG_DRY_RUN:
        options->dry_run = true;
        return true;
    default:
        return false;
    }
}

static const verb_t *find_verb(const char *name)
{
    for (int i = 0; i < VERB_COUNT; i++) {
        if (strcmp(verbs[i].name, name) == 0) {
            return &verbs[i];
        }
    }
    return NULL;
}

/**
 * The flags up to the verb, or all of them: "+" stops getopt_long at the first word that is none.
 * False: `*status` is the exit status.
 */
static bool take_flags(options_t *options, int argc, char **argv, const char *letters,
                       status_t *status)
{
    int flag = 0;
    optind = 0;
    while ((flag = getopt_long(argc, argv, letters, flags, NULL)) != -1) {
        if (flag == 'h') {
            print_help(stdout);
            *status = STATUS_OK;
            return false;
        }
        if (!take_flag(options, flag, optarg)) {
            *status = STATUS_USAGE;
            return false;
        }
    }
    return true;
}

int main(int argc, char **argv)
{
    options_t options = { .timeout_ms = TIMEOUT_DEFAULT_MS };
    status_t status = STATUS_USAGE;
    if (!take_environment(&options) || !take_flags(&options, argc, argv, "+o:h", &status)) {
        return status;
    }
    if (optind >= argc) {
        print_help(stderr);
        return STATUS_USAGE;
    }
    const verb_t *verb = find_verb(argv[optind]);
    if (verb == NULL) {
        say(STATUS_USAGE, "there is no verb %s; see zactorctl --help", argv[optind]);
        return STATUS_USAGE;
    }
    argc -= optind;
    argv += optind;
    // `ca` has flags of its own; the common ones stand before it.
    if (verb->run != verb_ca) {
        if (!take_flags(&options, argc, argv, "o:h", &status)) {
            return status;
        }
        argv[optind - 1] = (char *)verb->name;
        argc -= optind - 1;
        argv += optind - 1;
    }
    status = verb->run(&options, argc, argv);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        return say(STATUS_NO, "cannot write to stdout");
    }
    return status;
}
