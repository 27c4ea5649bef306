// Uses what a program needs: a message type of its own, an actor, configuration, za_main.
#include <stdio.h>
#include <string.h>

#include <zactor/zactor.h>

#include "note.za.h"

typedef struct writer {
    unsigned written;
} writer_t;

static za_verdict_t on_written(za_ctx_t *ctx, writer_t *self, const note_Written *note)
{
    (void)ctx;
    self->written += note->text[0] != '\0';
    return ZA_DONE;
}
ZA_ACTOR(writer, writer_t, (note_Written, on_written));

int main(int argc, char **argv)
{
    (void)argc;
    za_config_t *config = NULL;
    char problem[256] = "";
    if (za_config_create(&config) != ZA_OK ||
        za_config_set(config, "node.name", "consumer", "test", problem, sizeof(problem)) != ZA_OK ||
        strcmp(za_config_get(config, "node.name"), "consumer") != 0) {
        fprintf(stderr, "configuration: %s\n", problem);
        return 1;
    }
    za_config_destroy(config);
    printf("%s %s %s\n", writer_class.name, note_Written_type.name, za_err_name(ZA_EFULL));
    char *arguments[] = { argv[0], "--version", NULL };
    return za_main(2, arguments, &writer_class, NULL);
}
