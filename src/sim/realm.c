#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/assert.h"
#include "sim/realm_internal.h"

enum { CHUNK_ITEMS = 256 };

/* ---- parcels and blocks ----------------------------------------------------------------------- */

static void *create_chunk(za_realm_t *realm, size_t bytes)
{
    if (realm->chunk_count == realm->chunk_capacity) {
        realm->chunk_capacity = realm->chunk_capacity == 0 ? 64 : realm->chunk_capacity * 2;
        realm->chunks = realloc(realm->chunks, realm->chunk_capacity * sizeof *realm->chunks);
        ZA_ASSERT(realm->chunks != NULL); // a simulator without memory cannot go on
    }
    void *chunk = aligned_alloc(64, (bytes + 63) & ~(size_t)63);
    ZA_ASSERT(chunk != NULL);
    realm->chunks[realm->chunk_count++] = chunk;
    return chunk;
}

/** The free list runs through the entries: the first cache line is about to be written anyway. */
void za_parcels_add(za_realm_t *realm)
{
    za_parcel_t *parcels = create_chunk(realm, CHUNK_ITEMS * sizeof *parcels);
    for (int i = 0; i < CHUNK_ITEMS; i++) {
        parcels[i].entry.next = (za_entry_t *)realm->free_parcels;
        realm->free_parcels = &parcels[i];
    }
}

uint8_t *za_block_create(za_realm_t *realm)
{
    if (realm->free_blocks == NULL) {
        za_datagram_block_t *blocks = create_chunk(realm, CHUNK_ITEMS * sizeof *blocks);
        for (int i = 0; i < CHUNK_ITEMS; i++) {
            blocks[i].next = realm->free_blocks;
            realm->free_blocks = &blocks[i];
        }
    }
    za_datagram_block_t *block = realm->free_blocks;
    realm->free_blocks = block->next;
    return block->bytes;
}

void za_block_free(za_realm_t *realm, uint8_t *bytes)
{
    za_datagram_block_t *block =
        (za_datagram_block_t *)(void *)(bytes - offsetof(za_datagram_block_t, bytes));
    block->next = realm->free_blocks;
    realm->free_blocks = block;
}

/* ---- addresses -------------------------------------------------------------------------------- */

void za_address_text(uint32_t number, char *text, size_t bytes)
{
    snprintf(text, bytes, "h%u:7464", number);
}

uint32_t za_address_number(const char *address)
{
    if (address[0] != 'h') {
        return UINT32_MAX;
    }
    enum { DIGITS_MAX = 9 };
    uint32_t number = 0;
    const char *at = address + 1;
    for (uint32_t digit = (uint32_t)*at - '0'; digit <= 9 && at <= address + DIGITS_MAX;
         digit = (uint32_t)*at - '0') {
        number = number * 10 + digit;
        at++;
    }
    return at > address + 1 && *at == ':' ? number : UINT32_MAX;
}

uint32_t za_realm_host_at(const za_realm_t *realm, const char *address)
{
    uint32_t number = za_address_number(address);
    bool known = number < realm->address_count && realm->addresses[number] < realm->config.hosts;
    return known ? realm->addresses[number] : UINT32_MAX;
}

uint32_t za_realm_owner_of(const za_realm_t *realm, const char *address)
{
    uint32_t number = za_address_number(address);
    return number < realm->address_count ? realm->address_owners[number] : UINT32_MAX;
}

/* ---- create ----------------------------------------------------------------------------------- */

static bool config_valid(const za_realm_config_t *config)
{
    return config != NULL && config->hosts > 0 && config->hosts <= ZA_REALM_HOSTS_MAX &&
           config->latency_us_min > 0 && config->latency_us_max >= config->latency_us_min &&
           config->loss_ppm <= ZA_PER_MILLION && config->duplicate_ppm <= ZA_PER_MILLION &&
           config->drift_ppm <= 10000;
}

za_err_t za_realm_create(const za_realm_config_t *config, za_realm_t **out)
{
    if (out == NULL || !config_valid(config)) {
        return ZA_EINVAL;
    }
    za_realm_t *realm = calloc(1, sizeof *realm);
    if (realm == NULL) {
        return ZA_ENOMEM;
    }
    realm->config = *config;
    realm->hash = config->seed;
    realm->trace.line = NULL;
    realm->due.type = ZA_CLUSTER_TICK;
    realm->datagram.type = ZA_CLUSTER_DATAGRAM;
    realm->seed_count = config->seeds != 0 ? config->seeds : (uint32_t)ZA_REALM_SEEDS;
    for (uint32_t i = 0; i < realm->seed_count; i++) {
        za_address_text(i, realm->seeds[i], sizeof realm->seeds[i]);
    }
    za_err_t err = za_hosts_create(realm);
    if (err != ZA_OK) {
        za_realm_destroy(realm);
        return err;
    }
    *out = realm;
    return ZA_OK;
}

void za_realm_destroy(za_realm_t *realm)
{
    if (realm == NULL) {
        return;
    }
    // Frames hang on parcels in the calendar and on streams; everything else lies in chunks.
    for (za_entry_t *entry = za_calendar_take(&realm->calendar, UINT64_MAX); entry != NULL;
         entry = za_calendar_take(&realm->calendar, UINT64_MAX)) {
        za_parcel_t *parcel = (za_parcel_t *)entry;
        if (parcel->kind == ZA_PARCEL_EVENT) {
            free(parcel->news.frame);
        } else if (parcel->kind == ZA_PARCEL_LOCAL) {
            free(parcel->local);
        }
    }
    for (uint32_t i = 0; i < realm->oracle_count; i++) {
        if (realm->oracles[i].ops->destroy != NULL) {
            realm->oracles[i].ops->destroy(realm->oracles[i].context);
        }
    }
    za_hosts_destroy(realm);
    za_streams_destroy(realm);
    za_pairs_deinit(&realm->by_uid);
    za_pairs_deinit(&realm->by_pair);
    za_pairs_deinit(&realm->by_connect);
    for (uint32_t i = 0; i < realm->chunk_count; i++) {
        free(realm->chunks[i]);
    }
    free(realm->chunks);
    free(realm->addresses);
    free(realm->address_owners);
    free(realm->dialect);
    free(realm);
}

void za_realm_add_oracle(za_realm_t *realm, const za_oracle_ops_t *ops, void *context)
{
    ZA_ASSERT(realm->oracle_count < ZA_REALM_ORACLES_MAX);
    realm->oracles[realm->oracle_count].ops = ops;
    realm->oracles[realm->oracle_count++].context = context;
}

/* ---- run -------------------------------------------------------------------------------------- */

void za_realm_mix(za_realm_t *realm, const za_parcel_t *parcel)
{
    uint64_t place = (uint64_t)parcel->kind << 56 ^ (uint64_t)parcel->from << 28 ^ parcel->host;
    uint64_t hash = za_mix64(realm->hash + (parcel->entry.at << 4) + place);
    const za_frame_t *frame = parcel->kind == ZA_PARCEL_EVENT ? parcel->news.frame : NULL;
    bool datagram = parcel->kind == ZA_PARCEL_DATAGRAM;
    if (datagram || frame != NULL) { // one call, which compilers take in
        hash = XXH3_64bits_withSeed(datagram ? parcel->bytes : frame->bytes,
                                    datagram ? parcel->size : frame->size, hash);
    }
    realm->hash = hash;
}

static void handle(za_realm_t *realm, za_parcel_t *parcel)
{
    switch ((za_parcel_kind_t)parcel->kind) {
    case ZA_PARCEL_TICK:
        za_host_tick(realm, parcel->host);
        return;
    case ZA_PARCEL_DATAGRAM:
    case ZA_PARCEL_EVENT:
    case ZA_PARCEL_LOCAL:
        za_realm_mix(realm, parcel);
        za_host_take(realm, parcel);
        return;
    case ZA_PARCEL_STREAM:
        za_stream_due(realm, parcel);
        return;
    case ZA_PARCEL_SHAKE:
        za_stream_shake(realm, parcel);
        return;
    case ZA_PARCEL_DRAIN:
        za_host_drain(realm, parcel);
        return;
    }
    ZA_ASSERT(!"a parcel of no known kind");
}

bool za_realm_run(za_realm_t *realm, uint64_t until_us)
{
    while (!realm->failure.failed) {
        za_entry_t *entry = za_calendar_take(&realm->calendar, until_us);
        if (entry == NULL) {
            realm->now_us = until_us > realm->now_us ? until_us : realm->now_us;
            return true;
        }
        realm->now_us = entry->at;
        realm->draws = 0;
        realm->stats.events++;
        handle(realm, (za_parcel_t *)entry);
    }
    return false;
}

void za_realm_fail(za_realm_t *realm, const char *oracle, const char *format, ...)
{
    if (realm->failure.failed) {
        return;
    }
    realm->failure.failed = true;
    realm->failure.at_us = realm->now_us;
    snprintf(realm->failure.oracle, sizeof realm->failure.oracle, "%s", oracle);
    va_list args;
    va_start(args, format);
    vsnprintf(realm->failure.text, sizeof realm->failure.text, format, args);
    va_end(args);
}

const za_realm_failure_t *za_realm_failure(const za_realm_t *realm)
{
    return &realm->failure;
}

bool za_realm_settled(za_realm_t *realm)
{
    for (uint32_t i = 0; i < realm->oracle_count && !realm->failure.failed; i++) {
        if (realm->oracles[i].ops->settled != NULL) {
            realm->oracles[i].ops->settled(realm->oracles[i].context, realm);
        }
    }
    return !realm->failure.failed;
}

/* ---- looking ---------------------------------------------------------------------------------- */

void za_realm_set_loss(za_realm_t *realm, za_frame_loss_t *lose, void *context)
{
    realm->lose = lose;
    realm->lose_context = context;
}

uint64_t za_realm_now_us(const za_realm_t *realm)
{
    return realm->now_us;
}

uint64_t za_realm_hash(const za_realm_t *realm)
{
    return realm->hash;
}

uint32_t za_realm_host_count(const za_realm_t *realm)
{
    return realm->config.hosts;
}

const za_realm_config_t *za_realm_config(const za_realm_t *realm)
{
    return &realm->config;
}

void za_realm_stats(const za_realm_t *realm, za_realm_stats_t *out)
{
    *out = realm->stats;
    for (uint32_t i = 0; i < realm->config.hosts; i++) {
        const za_host_t *host = &realm->hosts[i];
        out->host_us += host->state == ZA_HOST_ON ? realm->now_us - host->on_us : 0;
    }
}

void za_realm_trace(za_realm_t *realm, uint32_t host, void (*line)(void *context, const char *text),
                    void *context)
{
    realm->trace = (za_realm_trace_t){ host, line, context };
}
