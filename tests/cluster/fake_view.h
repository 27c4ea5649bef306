/** Membership as a test says it is. */
#pragma once

#include "cluster/view.h"

enum { FAKE_MAX = 64 };

typedef struct fake_view {
    uint64_t self;
    int count;
    struct {
        uint64_t uid;
        za_known_t known;
    } members[FAKE_MAX];
    za_view_t view;
} fake_view_t;

static inline uint64_t fake_self(const void *context)
{
    return ((const fake_view_t *)context)->self;
}

static inline za_known_t fake_known(const void *context, uint64_t uid)
{
    const fake_view_t *fake = context;
    for (int i = 0; i < fake->count; i++) {
        if (fake->members[i].uid == uid) {
            return fake->members[i].known;
        }
    }
    return ZA_KNOWN_NOT;
}

static inline void fake_each_up(const void *context, void (*visit)(uint64_t uid, void *visitor),
                                void *visitor)
{
    const fake_view_t *fake = context;
    for (int i = 0; i < fake->count; i++) {
        if (fake->members[i].known == ZA_KNOWN_UP) {
            visit(fake->members[i].uid, visitor);
        }
    }
}

static inline uint32_t fake_up_count(const void *context)
{
    const fake_view_t *fake = context;
    uint32_t count = 0;
    for (int i = 0; i < fake->count; i++) {
        count += fake->members[i].known == ZA_KNOWN_UP;
    }
    return count;
}

static inline void fake_init(fake_view_t *fake, uint64_t self)
{
    *fake = (fake_view_t){ .self = self };
    fake->view = (za_view_t){ .context = fake,
                              .self = fake_self,
                              .known = fake_known,
                              .each_up = fake_each_up,
                              .up_count = fake_up_count };
}

static inline void fake_set(fake_view_t *fake, uint64_t uid, za_known_t known)
{
    for (int i = 0; i < fake->count; i++) {
        if (fake->members[i].uid == uid) {
            fake->members[i].known = known;
            return;
        }
    }
    fake->members[fake->count].uid = uid;
    fake->members[fake->count++].known = known;
}
