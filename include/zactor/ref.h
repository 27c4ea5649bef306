/**
 * Reference: names one actor, on this node or on another.
 *
 * A value of 16 bytes: copy it freely, put it into messages (za.Ref), never free it. A reference
 * never comes to mean another actor: ids carry a generation, node uids are drawn anew at each start.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <zactor/err.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct za_ref {
    uint64_t node;  // 0: this node; else the uid of a process start
    uint64_t actor; // slot (low 28 bits) and generation (high 36 bits); 0: no actor
} za_ref_t;

#define ZA_REF_NONE ((za_ref_t){ 0, 0 })

/** Room for the text form of any reference, with its NUL. */
#define ZA_REF_TEXT_BYTES 40

static inline bool za_ref_equal(za_ref_t a, za_ref_t b)
{
    return a.node == b.node && a.actor == b.actor;
}

static inline bool za_ref_is_none(za_ref_t ref)
{
    return ref.actor == 0;
}

/** Writes "<node uid, 16 hex digits>/<slot, hex>:<generation, decimal>"; uid 0 is written "local". */
ZA_API const char *za_ref_format(za_ref_t ref, char text[ZA_REF_TEXT_BYTES]);

/** Reads what za_ref_format wrote. ZA_EINVAL if `text` is no reference; `out` is untouched then. */
ZA_MUST_USE ZA_API za_err_t za_ref_parse(const char *text, za_ref_t *out);

#ifdef __cplusplus
}
#endif
