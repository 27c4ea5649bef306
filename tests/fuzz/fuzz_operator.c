// What a node, or whoever sits at its socket, answers an operator: the first byte says what zactorctl
// was asked for and in which form it prints, all others are the stream that it reads. Whatever comes,
// nothing moves the terminal's cursor, what is called JSON is JSON, and it ends.
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/assert.h"
#include "zactorctl/zactorctl.h"

enum { VERBS = 9, FORMS = FORM_NAME + 1, TIMEOUT_MS = 20000 };

/** The socket of a node that answers each connection with the same bytes. */
static struct {
    int listener;
    char path[64];
    pthread_mutex_t lock; // of what follows: who asked may be gone before its answer is sent
    const uint8_t *bytes;
    size_t size;
} node = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void set_answer(const uint8_t *bytes, size_t size)
{
    pthread_mutex_lock(&node.lock);
    node.bytes = bytes;
    node.size = size;
    pthread_mutex_unlock(&node.lock);
}

static void remove_socket(void)
{
    unlink(node.path);
}

static void *answer_all(void *unused)
{
    (void)unused;
    for (;;) {
        int fd = accept(node.listener, NULL, NULL);
        ZA_ASSERT(fd >= 0);
        pthread_mutex_lock(&node.lock);
        (void)send(fd, node.bytes, node.size, MSG_NOSIGNAL);
        pthread_mutex_unlock(&node.lock);
        shutdown(fd, SHUT_WR);
        char request[4096];
        while (recv(fd, request, sizeof request, 0) > 0) {
        }
        close(fd);
    }
    return NULL;
}

static void listen_once(void)
{
    static bool listens;
    if (listens) {
        return;
    }
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    snprintf(node.path, sizeof node.path, "/tmp/fuzz_operator-%d", (int)getpid());
    snprintf(address.sun_path, sizeof address.sun_path, "%s", node.path);
    unlink(node.path);
    atexit(remove_socket);
    node.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ZA_ASSERT(node.listener >= 0);
    ZA_ASSERT(bind(node.listener, (struct sockaddr *)&address, sizeof address) == 0);
    ZA_ASSERT(listen(node.listener, 8) == 0);
    pthread_t thread;
    ZA_ASSERT(pthread_create(&thread, NULL, answer_all, NULL) == 0);
    pthread_detach(thread);
    listens = true;
}

/** C0 controls but the end of a line, DEL, and the C1 controls as UTF-8 writes them. */
static void check_quiet(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned char letter = (unsigned char)text[i];
        unsigned char next = i + 1 < size ? (unsigned char)text[i + 1] : 0;
        ZA_ASSERT(letter == '\n' || (letter >= 0x20 && letter != 0x7f));
        ZA_ASSERT(letter != 0xc2 || (next & 0xe0) != 0x80);
    }
}

/** One document a line. */
static void check_json(char *text)
{
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        json_t *json = json_loads(line, 0, NULL);
        ZA_ASSERT(json_is_object(json));
        json_decref(json);
    }
}

static status_t run(uint8_t verb, const options_t *options)
{
    static verb_fn *const verbs[VERBS] = { verb_members, verb_status, verb_leave,
                                           verb_names,   verb_groups, verb_actors,
                                           verb_metrics, verb_rotate, verb_ping };
    char name[] = "verb";
    char *argv[] = { name, NULL };
    return verbs[verb](options, 1, argv);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size == 0) {
        return 0;
    }
    listen_once();
    set_answer(bytes + 1, size - 1);
    options_t options = { .form = (form_t)(bytes[0] / VERBS % FORMS),
                          .yes = true,
                          .socket = node.path,
                          .timeout_ms = TIMEOUT_MS };
    char *out = NULL;
    char *said = NULL;
    size_t out_size = 0;
    size_t said_size = 0;
    FILE *screen = stdout;
    FILE *errors = stderr;
    stdout = open_memstream(&out, &out_size);
    stderr = open_memstream(&said, &said_size);
    status_t status = run(bytes[0] % VERBS, &options);
    fclose(stdout);
    fclose(stderr);
    stdout = screen;
    stderr = errors;
    set_answer(NULL, 0);
    ZA_ASSERT(status != STATUS_TIMEOUT);
    check_quiet(said, said_size);
    if (options.form == FORM_JSON || options.form == FORM_JSONL) {
        check_json(out);
    } else {
        check_quiet(out, out_size);
    }
    free(out);
    free(said);
    return 0;
}
