#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <zactor/stack.h>

#include "node/config.h"
#include "node/log.h"
#include "node/process.h"

enum {
    EXIT_USAGE = 2, // as zactorctl: a wrong option or configuration
    PROBLEM_BYTES = 512,
    FLAG_BYTES_MAX = 64,

    // What getopt_long answers for a long option: a key, or one of these.
    OPTION_KEY = 256, // + za_config_key_t
    OPTION_CHECK = OPTION_KEY + ZA_CONFIG_KEY_COUNT,
    OPTION_DUMP,
    OPTION_VERSION,
    OPTION_COUNT = ZA_CONFIG_KEY_COUNT + 6, // and help, config, the end
};

/** The options of getopt_long, made from the table of keys. */
typedef struct flags {
    char names[ZA_CONFIG_KEY_COUNT][FLAG_BYTES_MAX];
    struct option options[OPTION_COUNT];
} flags_t;

typedef struct program {
    int argc;
    char **argv;
    const char *config_path;
    bool check, dump;
    za_config_t *config;
    za_settings_t settings;
    za_log_sink_t log;
} program_t;

static void make_flags(flags_t *flags)
{
    struct option *next = flags->options;
    for (int i = 0; i < ZA_CONFIG_KEY_COUNT; i++) {
        za_config_flag_name(&za_config_infos[i], flags->names[i], FLAG_BYTES_MAX);
        bool is_bool = za_config_infos[i].kind == ZA_CONFIG_BOOL;
        *next++ = (struct option){ flags->names[i], is_bool ? optional_argument : required_argument,
                                   NULL, OPTION_KEY + i };
    }
    *next++ = (struct option){ "config", required_argument, NULL, 'c' };
    *next++ = (struct option){ "help", no_argument, NULL, 'h' };
    *next++ = (struct option){ "version", no_argument, NULL, OPTION_VERSION };
    *next++ = (struct option){ "check-config", no_argument, NULL, OPTION_CHECK };
    *next++ = (struct option){ "dump-config", no_argument, NULL, OPTION_DUMP };
    *next++ = (struct option){ NULL, 0, NULL, 0 };
}

static void print_help(const char *name)
{
    printf(
        "Usage: %s [options]\n"
        "Runs a ZActor node until SIGTERM or SIGINT; then drains, leaves the cluster and exits.\n"
        "\n"
        "  -c, --config FILE  read FILE first (or $ZACTOR_CONFIG)\n"
        "  --check-config     check the configuration and exit\n"
        "  --dump-config      print each value and where it comes from, and exit\n"
        "  --version, -h, --help\n"
        "\n"
        "Configuration: the file, then the environment, then these flags; a later one wins.\n"
        "--node-name is ZACTOR_NODE_NAME in the environment and node.name in the file.\n",
        name);
    za_config_help(stdout);
}

static int fail_usage(const program_t *program, const char *problem)
{
    fprintf(stderr, "%s: %s\n", program->argv[0], problem);
    return EXIT_USAGE;
}

/** The next flag, in `*value` its value. A boolean's may be left out, and may be a word of its own. */
static int next_flag(const program_t *program, const flags_t *flags, const char **value)
{
    int option = getopt_long(program->argc, program->argv, "c:h", flags->options, NULL);
    *value = optarg;
    bool is_key = option >= OPTION_KEY && option < OPTION_CHECK;
    if (is_key && optarg == NULL) {
        const char *next = optind < program->argc ? program->argv[optind] : "";
        bool is_value = strcmp(next, "true") == 0 || strcmp(next, "false") == 0;
        *value = is_value ? next : "true";
        optind += is_value;
    }
    return option;
}

/** First look at the flags: those that are no keys. -1: go on; else the exit status. */
static int scan_flags(program_t *program, const flags_t *flags)
{
    int option = 0;
    const char *value = NULL;
    optind = 0; // the program may have used getopt before
    while ((option = next_flag(program, flags, &value)) != -1) {
        switch (option) {
        case 'c':
            program->config_path = value;
            break;
        case 'h':
            print_help(program->argv[0]);
            return EXIT_SUCCESS;
        case OPTION_VERSION:
            printf("zactor %s\n", ZA_VERSION_TEXT);
            return EXIT_SUCCESS;
        case OPTION_CHECK:
            program->check = true;
            break;
        case OPTION_DUMP:
            program->dump = true;
            break;
        case '?': // getopt_long said what is wrong
            fprintf(stderr, "Try %s --help\n", program->argv[0]);
            return EXIT_USAGE;
        default:
            break;
        }
    }
    if (optind < program->argc) {
        fprintf(stderr, "%s: unexpected argument: %s\n", program->argv[0], program->argv[optind]);
        return EXIT_USAGE;
    }
    return -1;
}

/** Second look: keys, over what file and environment said. */
static za_err_t apply_flags(program_t *program, const flags_t *flags, char *problem)
{
    int option = 0;
    const char *value = NULL;
    optind = 0;
    while ((option = next_flag(program, flags, &value)) != -1) {
        if (option < OPTION_KEY || option >= OPTION_CHECK) {
            continue;
        }
        const za_config_info_t *info = &za_config_infos[option - OPTION_KEY];
        char origin[FLAG_BYTES_MAX + 2];
        snprintf(origin, sizeof(origin), "--%s", flags->names[option - OPTION_KEY]);
        za_err_t err =
            za_config_set(program->config, info->key, value, origin, problem, PROBLEM_BYTES);
        if (err != ZA_OK) {
            return err;
        }
    }
    return ZA_OK;
}

static za_err_t read_config(program_t *program, const flags_t *flags, char *problem)
{
    const char *path =
        program->config_path != NULL ? program->config_path : getenv("ZACTOR_CONFIG");
    if (path != NULL) {
        za_err_t err = za_config_read_file(program->config, path, problem, PROBLEM_BYTES);
        if (err != ZA_OK) {
            return err;
        }
    }
    za_err_t err = za_config_read_env(program->config, problem, PROBLEM_BYTES);
    return err != ZA_OK ? err : apply_flags(program, flags, problem);
}

/** -1: configured, go on; else the exit status. */
static int configure(program_t *program)
{
    flags_t flags;
    char problem[PROBLEM_BYTES] = "";
    make_flags(&flags);
    int status = scan_flags(program, &flags);
    if (status >= 0) {
        return status;
    }
    if (read_config(program, &flags, problem) != ZA_OK) {
        return fail_usage(program, problem);
    }
    if (program->dump) {
        za_config_dump(program->config, stdout);
        return EXIT_SUCCESS;
    }
    if (za_settings_from_config(program->config, &program->settings, problem, PROBLEM_BYTES) !=
        ZA_OK) {
        return fail_usage(program, problem);
    }
    if (program->settings.cluster_downing.strategy == ZA_DOWNING_LEASE) {
        return fail_usage(program, "cluster.downing.strategy: lease is for programs that bring a "
                                   "provider of leases (zactor/lease.h), and this one has none");
    }
    if (program->check) {
        printf("configuration is valid\n");
        return EXIT_SUCCESS;
    }
    program->log = (za_log_sink_t){ .fd = STDERR_FILENO,
                                    .level = program->settings.log_level,
                                    .format = program->settings.log_format,
                                    .node = program->settings.node_name };
    return -1;
}

ZA_PRINTF(3, 4)
static void say(program_t *program, int level, const char *format, ...)
{
    char text[PROBLEM_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    za_log_write(&program->log, level, NULL, (za_ref_t){ 0 }, text);
}

static void stop_signals(sigset_t *out)
{
    sigemptyset(out);
    sigaddset(out, SIGTERM);
    sigaddset(out, SIGINT);
}

/** So that the watchdog can print where a slow handler is. By default the signal does nothing. */
static void lend_signal(za_node_t *node)
{
    struct sigaction action = { .sa_sigaction = za_stack_signal,
                                .sa_flags = SA_SIGINFO | SA_RESTART };
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGURG, &action, NULL) == 0) {
        ZA_IGNORE(za_node_set_stack_signal(node, SIGURG));
    }
}

/** So that the overflow of a fiber has a name. A handler that is there, of a sanitizer maybe, stays. */
static void name_overflows(void)
{
    const int numbers[] = { SIGSEGV, SIGBUS };
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        struct sigaction before;
        struct sigaction action = { .sa_sigaction = za_fiber_signal,
                                    .sa_flags = SA_SIGINFO | SA_ONSTACK };
        sigemptyset(&action.sa_mask);
        if (sigaction(numbers[i], NULL, &before) == 0 && before.sa_handler == SIG_DFL) {
            sigaction(numbers[i], &action, NULL);
        }
    }
}

/** Until SIGTERM or SIGINT; a second one then ends the process at once, as it would any other. */
static int wait_for_signal(void)
{
    sigset_t signals;
    int signal_number = 0;
    stop_signals(&signals);
    while (sigwait(&signals, &signal_number) != 0) {
    }
    pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
    return signal_number;
}

/** An operator's leave ends the program as SIGTERM does, by the same way. */
static void end_program(void *context)
{
    (void)context;
    kill(getpid(), SIGTERM);
}

static int run_node(program_t *program, za_node_t *node, const za_class_t *root)
{
    za_err_t err = za_node_start(node);
    if (err != ZA_OK) {
        say(program, ZA_ERROR, "cannot start on %s: %s", program->settings.node_listen,
            za_err_text(err));
        return EXIT_FAILURE;
    }
    say(program, ZA_INFO, "started: cluster %s, node %s at %s%s", program->settings.cluster_name,
        program->settings.node_name, za_node_address(node),
        program->settings.tls_insecure ? ", INSECURE: no TLS" : "");
    int status = EXIT_SUCCESS;
    if (root != NULL) {
        za_ref_t ref;
        za_spawn_opts_t opts = { .size = sizeof(opts) };
        err = za_node_spawn_with(node, root, &ref, &opts);
        if (err != ZA_OK) {
            say(program, ZA_ERROR, "cannot spawn root actor %s: %s", root->name, za_err_text(err));
            status = EXIT_FAILURE;
        }
    }
    if (status == EXIT_SUCCESS) {
        say(program, ZA_INFO, "stopping: %s", strsignal(wait_for_signal()));
    }
    za_node_stop(node);
    say(program, ZA_INFO, "stopped");
    return status;
}

static int run(program_t *program, const za_class_t *root, const za_class_t *const *classes)
{
    // Before any thread starts: all inherit it, and only this one takes the signals.
    sigset_t signals;
    stop_signals(&signals);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN); // a reader of our log that went away is no reason to end

    za_node_t *node = NULL;
    za_err_t err = za_node_create(program->config, classes, &node);
    if (err != ZA_OK) {
        say(program, ZA_ERROR, "cannot create the node: %s", za_err_text(err));
        return err == ZA_ECONFIG ? EXIT_USAGE : EXIT_FAILURE;
    }
    lend_signal(node);
    name_overflows();
    za_process_on_leave(node, end_program, NULL);
    int status = run_node(program, node, root);
    za_node_destroy(node);
    return status;
}

int za_main(int argc, char **argv, const za_class_t *root, const za_class_t *const *classes)
{
    if (argc < 1 || argv == NULL) {
        return EXIT_USAGE;
    }
    program_t program = { .argc = argc, .argv = argv };
    if (za_config_create(&program.config) != ZA_OK) {
        return fail_usage(&program, "out of memory");
    }
    int status = configure(&program);
    if (status < 0) {
        status = run(&program, root, classes);
    }
    za_config_destroy(program.config);
    return status;
}
