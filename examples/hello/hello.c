// A greeter on every node of the cluster, and a driver that greets each of them.
#include <zactor/zactor.h>

#include "hello.za.h" // made from hello.proto by zactor_add_messages()

typedef struct greeter {
    uint32_t served; // state of the actor: zeroed when it starts and when it restarts
} greeter_t;

static za_verdict_t on_hello(za_ctx_t *ctx, greeter_t *self, const chat_Hello *hello)
{
    za_log(ctx, ZA_INFO, "%s says hello", hello->name);
    za_reply(ctx, ZA_MSG(chat_Greeting, .text = "hi", .nth = ++self->served));
    return self->served < 1000 ? ZA_DONE : ZA_FAIL; // its supervisor decides what a failure means
}
ZA_ACTOR(greeter, greeter_t, (chat_Hello, on_hello));

typedef struct driver {
    uint32_t greeted;
} driver_t;

// Membership and failures are ordinary messages. The node itself is a member, too.
static za_verdict_t on_up(za_ctx_t *ctx, driver_t *self, const za_MemberUp *up)
{
    (void)self;
    za_err_t err = za_spawn_on(ctx, up->node, greeter, .max_restarts = 3, .within_ms = 5000);
    return err == ZA_OK ? ZA_DONE : ZA_FAIL;
}

// Again, with a higher epoch, when the greeter's node went down and it was respawned elsewhere.
static za_verdict_t on_spawned(za_ctx_t *ctx, driver_t *self, const za_Spawned *child)
{
    (void)self;
    za_err_t err = za_ask(ctx, child->ref, ZA_MSG(chat_Hello, .name = "world"), .timeout_ms = 500);
    return err == ZA_OK ? ZA_DONE : ZA_FAIL;
}

static za_verdict_t on_greeting(za_ctx_t *ctx, driver_t *self, const chat_Greeting *greeting)
{
    za_log(ctx, ZA_INFO, "greeted %u: %s (%u)", ++self->greeted, greeting->text, greeting->nth);
    return ZA_DONE;
}
ZA_ACTOR(driver, driver_t, (za_MemberUp, on_up), (za_Spawned, on_spawned),
         (chat_Greeting, on_greeting));

// The same program on every host; runs until SIGTERM, then drains, leaves the cluster and exits.
int main(int argc, char **argv)
{
    const za_class_t *const may_be_spawned[] = { &greeter_class, NULL };
    return za_main(argc, argv, &driver_class, may_be_spawned);
}
