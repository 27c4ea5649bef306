// Compiles as it stands. Each WRONG_... is a mistake that the compiler must report.
#include <zactor/actor.h>

#include "probe.za.h"

typedef struct state {
    uint32_t count;
} state_t;

#ifdef WRONG_HANDLER
typedef probe_Empty expected;
#else
typedef probe_Bounded expected;
#endif

static za_verdict_t on_bounded(za_ctx_t *ctx, state_t *self, const expected *message)
{
    (void)message;
    self->count++;
#ifdef WRONG_FIELD
    za_reply(ctx, ZA_MSG(probe_Bounded, .nmae = "x"));
#elif defined(WRONG_VALUE)
    za_reply(ctx, ZA_MSG(probe_Bounded, .numbers = "x"));
#elif defined(WRONG_TOO_LONG)
    za_reply(ctx, ZA_MSG(probe_Bounded, .name = "more than 8 bytes"));
#elif defined(WRONG_TYPE)
    za_reply(ctx, ZA_MSG(probe_Nothing, .name = "x"));
#else
    za_reply(ctx, ZA_MSG(probe_Bounded, .name = "x"));
#endif
#ifdef WRONG_IGNORED
    za_tell(ctx, za_sender(ctx), ZA_MSG(probe_Scalars, .u32 = 1));
#else
    ZA_IGNORE(za_tell(ctx, za_sender(ctx), ZA_MSG(probe_Scalars, .u32 = 1)));
#endif
    return ZA_DONE;
}

extern const za_class_t checked_class;
ZA_ACTOR(checked, state_t, (probe_Bounded, on_bounded));
