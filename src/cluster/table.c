#include "cluster/table.h"

#include <string.h>

#include "base/assert.h"
#include "base/pages.h"

typedef struct za_slot_head {
    uint64_t hash;
    uint32_t next; // in the bucket, or in the list of freed records
    uint32_t used;
} slot_head_t;

za_err_t za_slots_init(za_slots_t *slots, uint32_t capacity, size_t record_bytes)
{
    uint32_t buckets = 16;
    while (buckets < capacity) {
        buckets *= 2;
    }
    *slots =
        (za_slots_t){ .record_bytes = record_bytes, .mask = buckets - 1, .capacity = capacity };
    slots->records = za_pages_alloc(capacity * record_bytes);
    slots->heads = za_pages_alloc(capacity * sizeof *slots->heads);
    slots->buckets = za_pages_alloc(buckets * sizeof *slots->buckets);
    if (slots->records == NULL || slots->heads == NULL || slots->buckets == NULL) {
        za_slots_deinit(slots);
        return ZA_ENOMEM;
    }
    return ZA_OK;
}

void za_slots_deinit(za_slots_t *slots)
{
    za_pages_free(slots->records, slots->capacity * slots->record_bytes);
    za_pages_free(slots->heads, slots->capacity * sizeof *slots->heads);
    za_pages_free(slots->buckets, (slots->mask + (size_t)1) * sizeof *slots->buckets);
    *slots = (za_slots_t){ 0 };
}

static slot_head_t *head_at(const za_slots_t *slots, uint32_t id)
{
    ZA_ASSERT(id != 0 && id <= slots->capacity);
    return &slots->heads[id - 1];
}

uint32_t za_slots_add(za_slots_t *slots, uint64_t hash)
{
    uint32_t id = slots->free;
    if (id != 0) {
        slots->free = head_at(slots, id)->next;
        memset(za_slots_at(slots, id), 0, slots->record_bytes);
    } else if (slots->fresh < slots->capacity) {
        id = ++slots->fresh;
    } else {
        return 0;
    }
    uint32_t *bucket = &slots->buckets[hash & slots->mask];
    *head_at(slots, id) = (slot_head_t){ .hash = hash, .next = *bucket, .used = 1 };
    *bucket = id;
    slots->count++;
    return id;
}

void za_slots_remove(za_slots_t *slots, uint32_t id)
{
    slot_head_t *head = head_at(slots, id);
    ZA_ASSERT(head->used);
    uint32_t *place = &slots->buckets[head->hash & slots->mask];
    while (*place != id) {
        place = &head_at(slots, *place)->next;
    }
    *place = head->next;
    *head = (slot_head_t){ .next = slots->free };
    slots->free = id;
    slots->count--;
}

static uint32_t search(const za_slots_t *slots, uint32_t id, uint64_t hash)
{
    while (id != 0 && head_at(slots, id)->hash != hash) {
        id = head_at(slots, id)->next;
    }
    return id;
}

uint32_t za_slots_first(const za_slots_t *slots, uint64_t hash)
{
    return search(slots, slots->buckets[hash & slots->mask], hash);
}

uint32_t za_slots_next(const za_slots_t *slots, uint32_t id)
{
    const slot_head_t *head = head_at(slots, id);
    return search(slots, head->next, head->hash);
}

void *za_slots_at(const za_slots_t *slots, uint32_t id)
{
    ZA_ASSERT(id != 0 && id <= slots->capacity);
    return slots->records + (size_t)(id - 1) * slots->record_bytes;
}

static za_link_t *link_at(const za_slots_t *slots, size_t offset, uint32_t id)
{
    return (za_link_t *)(void *)((uint8_t *)za_slots_at(slots, id) + offset);
}

void za_chain_append(za_chain_t *chain, const za_slots_t *slots, size_t offset, uint32_t id)
{
    za_chain_insert(chain, slots, offset, chain->last, id);
}

void za_chain_insert(za_chain_t *chain, const za_slots_t *slots, size_t offset, uint32_t after,
                     uint32_t id)
{
    za_link_t *link = link_at(slots, offset, id);
    link->prev = after;
    link->next = after != 0 ? link_at(slots, offset, after)->next : chain->first;
    if (link->next != 0) {
        link_at(slots, offset, link->next)->prev = id;
    } else {
        chain->last = id;
    }
    if (after != 0) {
        link_at(slots, offset, after)->next = id;
    } else {
        chain->first = id;
    }
    chain->count++;
}

void za_chain_remove(za_chain_t *chain, const za_slots_t *slots, size_t offset, uint32_t id)
{
    za_link_t *link = link_at(slots, offset, id);
    if (link->prev != 0) {
        link_at(slots, offset, link->prev)->next = link->next;
    } else {
        ZA_ASSERT(chain->first == id);
        chain->first = link->next;
    }
    if (link->next != 0) {
        link_at(slots, offset, link->next)->prev = link->prev;
    } else {
        ZA_ASSERT(chain->last == id);
        chain->last = link->prev;
    }
    *link = (za_link_t){ 0 };
    chain->count--;
}

uint32_t za_chain_next(const za_slots_t *slots, size_t offset, uint32_t id)
{
    return link_at(slots, offset, id)->next;
}

uint32_t za_chain_prev(const za_slots_t *slots, size_t offset, uint32_t id)
{
    return link_at(slots, offset, id)->prev;
}

za_err_t za_blocks_init(za_blocks_t *blocks, uint32_t capacity)
{
    *blocks = (za_blocks_t){ .capacity = capacity };
    blocks->bytes = za_pages_alloc((size_t)capacity * ZA_BLOCK_BYTES);
    blocks->next = za_pages_alloc(capacity * sizeof *blocks->next);
    if (blocks->bytes == NULL || blocks->next == NULL) {
        za_blocks_deinit(blocks);
        return ZA_ENOMEM;
    }
    return ZA_OK;
}

void za_blocks_deinit(za_blocks_t *blocks)
{
    za_pages_free(blocks->bytes, (size_t)blocks->capacity * ZA_BLOCK_BYTES);
    za_pages_free(blocks->next, blocks->capacity * sizeof *blocks->next);
    *blocks = (za_blocks_t){ 0 };
}

static uint32_t take_block(za_blocks_t *blocks)
{
    uint32_t id = blocks->free;
    if (id != 0) {
        blocks->free = blocks->next[id - 1];
    } else {
        id = ++blocks->fresh;
    }
    blocks->used++;
    return id;
}

bool za_blocks_put(za_blocks_t *blocks, const uint8_t *bytes, size_t size, uint32_t *first)
{
    size_t need = (size + ZA_BLOCK_BYTES - 1) / ZA_BLOCK_BYTES;
    if (need > blocks->capacity - blocks->used) {
        return false;
    }
    uint32_t head = 0;
    uint32_t tail = 0;
    for (size_t at = 0; at < size; at += ZA_BLOCK_BYTES) {
        uint32_t id = take_block(blocks);
        size_t part = size - at < ZA_BLOCK_BYTES ? size - at : ZA_BLOCK_BYTES;
        memcpy(blocks->bytes + (size_t)(id - 1) * ZA_BLOCK_BYTES, bytes + at, part);
        blocks->next[id - 1] = 0;
        if (tail != 0) {
            blocks->next[tail - 1] = id;
        } else {
            head = id;
        }
        tail = id;
    }
    *first = head;
    return true;
}

void za_blocks_get(const za_blocks_t *blocks, uint32_t first, uint8_t *out, size_t size)
{
    uint32_t id = first;
    for (size_t at = 0; at < size; at += ZA_BLOCK_BYTES) {
        ZA_ASSERT(id != 0);
        size_t part = size - at < ZA_BLOCK_BYTES ? size - at : ZA_BLOCK_BYTES;
        memcpy(out + at, blocks->bytes + (size_t)(id - 1) * ZA_BLOCK_BYTES, part);
        id = blocks->next[id - 1];
    }
}

void za_blocks_free(za_blocks_t *blocks, uint32_t first)
{
    uint32_t id = first;
    while (id != 0) {
        uint32_t next = blocks->next[id - 1];
        blocks->next[id - 1] = blocks->free;
        blocks->free = id;
        blocks->used--;
        id = next;
    }
}
