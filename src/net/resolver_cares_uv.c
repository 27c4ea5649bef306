// c-ares does the protocol, libuv says when its sockets and its clock are ready.
#include <ares.h>
#include <arpa/nameser.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <uv.h>

#include "base/assert.h"
#include "net/resolver.h"

enum {
    SERVERS_BYTES_MAX = 512,
    TRIES = 2, // of each server
    PROBLEM_BYTES = 128 + ZA_RESOLVER_NAME_BYTES_MAX,
};

typedef struct question {
    struct question *next, **at; // in the list of its resolver
    za_resolver_t *resolver;
    za_resolver_fn done;
    void *context;
    za_resolver_kind_t kind;
    uint16_t port; // of a host
    uint32_t open; // look-ups of hosts that have not answered
    bool asking;   // inside za_resolver_ask: the answer waits for the next turn of the loop
    bool told;
    za_err_t err; // the first that was met; of no account if there is an address
    uint32_t count;
    char name[ZA_RESOLVER_NAME_BYTES_MAX + 1];
    char problem[PROBLEM_BYTES];
    char addresses[ZA_RESOLVER_ADDRESSES_MAX][ZA_ADDRESS_BYTES_MAX + 1];
} question_t;

/** One look-up of a host; a service has one for each target. */
typedef struct lookup {
    question_t *question;
    uint16_t port;
} lookup_t;

typedef struct socket_watch {
    struct socket_watch *next, **at;
    za_resolver_t *resolver;
    ares_socket_t fd;
    uv_poll_t poll;
} socket_watch_t;

struct za_resolver {
    uv_loop_t *loop;
    uv_timer_t *timer;    // on the heap: it outlives us by a turn of the loop
    ares_channel channel; // NULL: no question is under way
    uint32_t question_count;
    question_t *questions;
    socket_watch_t *sockets;
    bool destroying;
    bool inside; // c-ares: it must not be ended there
    uint32_t timeout_ms;
    char servers[SERVERS_BYTES_MAX];
};

/* ---- answers --------------------------------------------------------------------------------- */

static za_err_t err_of(int status)
{
    switch (status) {
    case ARES_SUCCESS:
        return ZA_OK;
    case ARES_ENODATA:
    case ARES_ENOTFOUND:
    case ARES_ENONAME:
        return ZA_ENOENT;
    case ARES_ETIMEOUT:
        return ZA_ETIMEOUT;
    case ARES_ENOMEM:
        return ZA_ENOMEM;
    default:
        return ZA_EIO;
    }
}

static void note_failure(question_t *question, int status)
{
    if (question->err == ZA_OK) {
        question->err = err_of(status);
        snprintf(question->problem, sizeof question->problem, "%s: %s", question->name,
                 ares_strerror(status));
    }
}

static void tell(question_t *question)
{
    za_resolver_t *resolver = question->resolver;
    *question->at = question->next;
    if (question->next != NULL) {
        question->next->at = question->at;
    }
    resolver->question_count--;
    if (!resolver->destroying) {
        bool some = question->count > 0;
        if (!some && question->err == ZA_OK) {
            note_failure(question, ARES_ENODATA);
        }
        za_resolver_answer_t answer = { .err = some ? ZA_OK : question->err,
                                        .problem = question->problem,
                                        .count = question->count,
                                        .addresses = question->addresses };
        question->done(question->context, &answer);
    }
    free(question);
}

/** Tells the answer if it is whole. Never from inside za_resolver_ask. */
static void settle(question_t *question)
{
    if (question->open == 0 && !question->asking) {
        tell(question);
    }
}

static void add_address(question_t *question, const struct sockaddr *address, uint16_t port)
{
    char host[64];
    bool v6 = address->sa_family == AF_INET6;
    int failed = v6 ? uv_ip6_name((const struct sockaddr_in6 *)address, host, sizeof host)
                    : uv_ip4_name((const struct sockaddr_in *)address, host, sizeof host);
    if (failed == 0 && question->count < ZA_RESOLVER_ADDRESSES_MAX) {
        snprintf(question->addresses[question->count++], ZA_ADDRESS_BYTES_MAX + 1,
                 v6 ? "[%s]:%u" : "%s:%u", host, port);
    }
}

static void on_host(void *context, int status, int timeouts, struct ares_addrinfo *found)
{
    (void)timeouts;
    lookup_t *lookup = context;
    question_t *question = lookup->question;
    if (status == ARES_SUCCESS) {
        for (const struct ares_addrinfo_node *node = found->nodes; node != NULL;
             node = node->ai_next) {
            if (node->ai_family == AF_INET || node->ai_family == AF_INET6) {
                add_address(question, node->ai_addr, lookup->port);
            }
        }
        ares_freeaddrinfo(found);
    } else {
        note_failure(question, status);
    }
    free(lookup);
    question->open--;
    settle(question);
}

static void look_up(question_t *question, const char *host, uint16_t port)
{
    lookup_t *lookup = malloc(sizeof *lookup);
    if (lookup == NULL) {
        note_failure(question, ARES_ENOMEM);
        return;
    }
    *lookup = (lookup_t){ .question = question, .port = port };
    struct ares_addrinfo_hints hints = { .ai_flags = ARES_AI_NOSORT, .ai_family = AF_UNSPEC };
    question->open++;
    ares_getaddrinfo(question->resolver->channel, host, NULL, &hints, on_host, lookup);
}

static void on_service(void *context, int status, int timeouts, unsigned char *bytes, int size)
{
    (void)timeouts;
    question_t *question = context;
    struct ares_srv_reply *records = NULL;
    if (status == ARES_SUCCESS) {
        status = ares_parse_srv_reply(bytes, size, &records);
    }
    if (status != ARES_SUCCESS) {
        note_failure(question, status);
    }
    uint32_t count = 0;
    // The look-up of this answer itself is still open: a target from the hosts file ends at once.
    for (const struct ares_srv_reply *record = records;
         record != NULL && count < ZA_RESOLVER_TARGETS_MAX && !question->resolver->destroying;
         record = record->next, count++) {
        look_up(question, record->host, record->port);
    }
    if (records != NULL) {
        ares_free_data(records);
    }
    question->open--;
    settle(question);
}

/* ---- sockets and the clock --------------------------------------------------------------------- */

static void arm(za_resolver_t *resolver);

/** Lets c-ares read, write and look at its clock. */
static void process(za_resolver_t *resolver, ares_socket_t in, ares_socket_t out)
{
    if (resolver->channel != NULL) {
        resolver->inside = true;
        ares_process_fd(resolver->channel, in, out);
        resolver->inside = false;
    }
    arm(resolver);
}

static void on_timer(uv_timer_t *timer)
{
    za_resolver_t *resolver = timer->data;
    for (question_t *question = resolver->questions; question != NULL;) {
        question_t *next = question->next;
        question->asking = false;
        settle(question);
        question = next;
    }
    process(resolver, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

/** The next look: now if an answer waits, else when c-ares wants to try again; never without questions. */
static void arm(za_resolver_t *resolver)
{
    bool waits = false;
    for (const question_t *question = resolver->questions; question != NULL;
         question = question->next) {
        waits |= question->asking;
    }
    struct timeval room;
    struct timeval *left =
        resolver->question_count > 0 ? ares_timeout(resolver->channel, NULL, &room) : NULL;
    if (waits || left != NULL) {
        uint64_t wait_ms =
            waits ? 0 : (uint64_t)left->tv_sec * 1000 + (uint64_t)left->tv_usec / 1000 + 1;
        uv_timer_start(resolver->timer, on_timer, wait_ms, 0);
    } else {
        uv_timer_stop(resolver->timer);
    }
}

static void on_socket(uv_poll_t *poll, int status, int events)
{
    socket_watch_t *watch = poll->data;
    bool in = status < 0 || (events & UV_READABLE) != 0;
    bool out = status < 0 || (events & UV_WRITABLE) != 0;
    process(watch->resolver, in ? watch->fd : ARES_SOCKET_BAD, out ? watch->fd : ARES_SOCKET_BAD);
}

static void free_watch(uv_handle_t *handle)
{
    free(handle->data);
}

static socket_watch_t *find_watch(za_resolver_t *resolver, ares_socket_t fd)
{
    socket_watch_t *watch = resolver->sockets;
    while (watch != NULL && watch->fd != fd) {
        watch = watch->next;
    }
    return watch;
}

static socket_watch_t *add_watch(za_resolver_t *resolver, ares_socket_t fd)
{
    socket_watch_t *watch = malloc(sizeof *watch);
    if (watch == NULL || uv_poll_init(resolver->loop, &watch->poll, fd) != 0) {
        free(watch);
        return NULL; // the question ends by its timeout
    }
    watch->resolver = resolver;
    watch->fd = fd;
    watch->poll.data = watch;
    watch->next = resolver->sockets;
    watch->at = &resolver->sockets;
    if (watch->next != NULL) {
        watch->next->at = &watch->next;
    }
    resolver->sockets = watch;
    return watch;
}

/** c-ares wants to know of this socket; neither: it is about to close it. */
static void on_wanted(void *context, ares_socket_t fd, int readable, int writable)
{
    za_resolver_t *resolver = context;
    socket_watch_t *watch = find_watch(resolver, fd);
    if (readable || writable) {
        watch = watch != NULL ? watch : add_watch(resolver, fd);
        if (watch != NULL) {
            uv_poll_start(&watch->poll, (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0),
                          on_socket);
        }
    } else if (watch != NULL) {
        *watch->at = watch->next;
        if (watch->next != NULL) {
            watch->next->at = watch->at;
        }
        uv_poll_stop(&watch->poll);
        uv_close((uv_handle_t *)&watch->poll, free_watch);
    }
}

/* ---- asking ---------------------------------------------------------------------------------- */

/**
 * A channel for each run of questions: it reads the system's configuration when it is made. c-ares
 * wants ares_library_init on Windows and Android only; where we run it would count calls in a global.
 */
static za_err_t open_channel(za_resolver_t *resolver)
{
    struct ares_options options = { .timeout = (int)resolver->timeout_ms,
                                    .tries = TRIES,
                                    .sock_state_cb = on_wanted,
                                    .sock_state_cb_data = resolver };
    int status = ares_init_options(&resolver->channel, &options,
                                   ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
    if (status == ARES_SUCCESS && resolver->servers[0] != '\0') {
        status = ares_set_servers_ports_csv(resolver->channel, resolver->servers);
        if (status != ARES_SUCCESS) {
            ares_destroy(resolver->channel);
        }
    }
    if (status != ARES_SUCCESS) {
        resolver->channel = NULL;
    }
    return status == ARES_SUCCESS ? ZA_OK : status == ARES_ENOMEM ? ZA_ENOMEM : ZA_EINVAL;
}

static void close_channel(za_resolver_t *resolver)
{
    if (resolver->channel != NULL) {
        ares_destroy(resolver->channel); // answers what is open: nobody is told
        resolver->channel = NULL;
    }
}

za_err_t za_resolver_create(za_loop_t *loop, const za_resolver_config_t *config,
                            za_resolver_t **out)
{
    ZA_ASSERT(loop != NULL && config != NULL && out != NULL);
    const char *servers = config->servers != NULL ? config->servers : "";
    if (strlen(servers) >= SERVERS_BYTES_MAX || config->timeout_ms == 0) {
        return ZA_EINVAL;
    }
    za_resolver_t *resolver = calloc(1, sizeof *resolver);
    uv_timer_t *timer = malloc(sizeof *timer);
    if (resolver == NULL || timer == NULL) {
        free(resolver);
        free(timer);
        return ZA_ENOMEM;
    }
    resolver->loop = za_loop_uv(loop);
    resolver->timeout_ms = config->timeout_ms;
    strcpy(resolver->servers, servers);
    za_err_t err = open_channel(resolver); // to hear at once that the servers make no sense
    if (err != ZA_OK) {
        free(resolver);
        free(timer);
        return err;
    }
    close_channel(resolver);
    resolver->timer = timer;
    uv_timer_init(resolver->loop, timer);
    timer->data = resolver;
    *out = resolver;
    return ZA_OK;
}

static void free_timer(uv_handle_t *handle)
{
    free(handle);
}

void za_resolver_destroy(za_resolver_t *resolver)
{
    if (resolver == NULL) {
        return;
    }
    resolver->destroying = true;
    close_channel(resolver);
    while (resolver->questions != NULL) { // those whose answers waited for the loop
        question_t *question = resolver->questions;
        ZA_ASSERT(question->open == 0);
        tell(question);
    }
    uv_close((uv_handle_t *)resolver->timer, free_timer);
    free(resolver);
}

static bool is_name(const char *name)
{
    size_t size = strlen(name);
    return size > 0 && size <= ZA_RESOLVER_NAME_BYTES_MAX && strpbrk(name, " \t\r\n/:") == NULL;
}

za_err_t za_resolver_ask(za_resolver_t *resolver, za_resolver_kind_t kind, const char *name,
                         uint16_t port, za_resolver_fn done, void *context)
{
    if (!is_name(name)) {
        return ZA_EINVAL;
    }
    if (resolver->question_count == ZA_RESOLVER_QUESTIONS_MAX) {
        return ZA_EFULL;
    }
    if (resolver->question_count == 0 && !resolver->inside) {
        close_channel(resolver);
        za_err_t err = open_channel(resolver);
        if (err != ZA_OK) {
            return err;
        }
    }
    question_t *question = calloc(1, sizeof *question);
    if (question == NULL) {
        return ZA_ENOMEM;
    }
    *question = (question_t){ .resolver = resolver,
                              .done = done,
                              .context = context,
                              .kind = kind,
                              .port = port,
                              .asking = true,
                              .next = resolver->questions,
                              .at = &resolver->questions };
    strcpy(question->name, name);
    if (question->next != NULL) {
        question->next->at = &question->next;
    }
    resolver->questions = question;
    resolver->question_count++;
    if (kind == ZA_RESOLVER_HOST) {
        look_up(question, name, port);
    } else {
        question->open++;
        ares_search(resolver->channel, name, ns_c_in, ns_t_srv, on_service, question);
    }
    arm(resolver);
    return ZA_OK;
}
