// Bytes as a message's body, for each of the runtime's own types and the probe types with every kind
// of field: what decodes must encode, and decode again to the same bytes.
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "part.za.h"
#include "probe.za.h"
#include "zactor/system.za.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const za_type_t *const types[] = {
    &probe_Scalars_type,  &probe_Bounded_type,   &probe_Open_type,    &probe_Refs_type,
    &probe_Sparse_type,   &part_Part_type,       &za_MemberUp_type,   &za_Down_type,
    &za_NameLost_type,    &za_Spawned_type,      &probe_Empty_type,   &za_Publication_type,
    &za_NameChanged_type, &za_GroupChanged_type, &za_MemberInfo_type,
};

static void visit(za_ref_t *ref, void *context)
{
    *(uint64_t *)context += ref->actor;
}

static void check_again(const za_type_t *type, void *block, size_t size)
{
    uint64_t sum = 0;
    if (type->refs != NULL) {
        type->refs(block, visit, &sum);
    }
    size_t once;
    size_t twice;
    ZA_ASSERT(za_type_extent(type, block) <= type->size + size);
    ZA_ASSERT(type->encoded_size(block, &once) == ZA_OK);
    uint8_t *bytes = malloc(once + 1);
    uint8_t *again = malloc(once + 1);
    void *second = malloc(type->size + once);
    ZA_ASSERT(bytes != NULL && again != NULL && second != NULL);
    ZA_ASSERT(type->encode(block, bytes, once, &once) == ZA_OK);
    ZA_ASSERT(type->decode(second, type->size + once, bytes, once) == ZA_OK);
    ZA_ASSERT(type->encode(second, again, once, &twice) == ZA_OK);
    ZA_ASSERT(once == twice && memcmp(bytes, again, once) == 0);
    free(second);
    free(again);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    const za_type_t *type = types[data[0] % (sizeof types / sizeof *types)];
    // Exactly as large as promised to suffice, so that the sanitizer sees a byte too many.
    void *block = malloc(type->size + size - 1);
    ZA_ASSERT(block != NULL);
    if (type->decode(block, type->size + size - 1, data + 1, size - 1) == ZA_OK) {
        check_again(type, block, size - 1);
    }
    free(block);
    return 0;
}
