#include "cluster/asked.h"

#include <stdlib.h>

#include "base/hash.h"
#include "base/limits.h"

typedef struct entry {
    uint64_t uid;
    uint64_t until_ms;
    za_link_t place;
} entry_t;

struct za_asked {
    za_slots_t entries;
    za_chain_t list; // the first due first: one delay, so append keeps the order
};

#define PLACE offsetof(entry_t, place)

za_err_t za_asked_create(za_asked_t **out)
{
    za_asked_t *asked = calloc(1, sizeof *asked);
    if (asked == NULL) {
        return ZA_ENOMEM;
    }
    if (za_slots_init(&asked->entries, ZA_PEERS_MAX, sizeof(entry_t)) != ZA_OK) {
        za_asked_destroy(asked);
        return ZA_ENOMEM;
    }
    *out = asked;
    return ZA_OK;
}

void za_asked_destroy(za_asked_t *asked)
{
    if (asked != NULL) {
        za_slots_deinit(&asked->entries);
        free(asked);
    }
}

static entry_t *entry_at(const za_asked_t *asked, uint32_t id)
{
    return za_slots_at(&asked->entries, id);
}

static uint32_t find(const za_asked_t *asked, uint64_t uid)
{
    uint32_t id = za_slots_first(&asked->entries, za_mix64(uid));
    while (id != 0 && entry_at(asked, id)->uid != uid) {
        id = za_slots_next(&asked->entries, id);
    }
    return id;
}

static void drop(za_asked_t *asked, uint32_t id)
{
    za_chain_remove(&asked->list, &asked->entries, PLACE, id);
    za_slots_remove(&asked->entries, id);
}

void za_asked_expire(za_asked_t *asked, uint64_t now_ms)
{
    while (asked->list.first != 0 && entry_at(asked, asked->list.first)->until_ms <= now_ms) {
        drop(asked, asked->list.first);
    }
}

bool za_asked_try(za_asked_t *asked, uint64_t uid, uint64_t now_ms)
{
    uint32_t id = find(asked, uid) == 0 ? za_slots_add(&asked->entries, za_mix64(uid)) : 0;
    if (id == 0) {
        return false;
    }
    entry_at(asked, id)->uid = uid;
    entry_at(asked, id)->until_ms = now_ms + ZA_ASKED_AGAIN_MS;
    za_chain_append(&asked->list, &asked->entries, PLACE, id);
    return true;
}

void za_asked_forget(za_asked_t *asked, uint64_t uid)
{
    uint32_t id = find(asked, uid);
    if (id != 0) {
        drop(asked, id);
    }
}

void za_asked_reset(za_asked_t *asked)
{
    while (asked->list.first != 0) {
        drop(asked, asked->list.first);
    }
}

uint64_t za_asked_deadline_ms(const za_asked_t *asked)
{
    uint32_t id = asked->list.first;
    return id != 0 ? entry_at(asked, id)->until_ms : UINT64_MAX;
}
