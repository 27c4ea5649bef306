/**
 * Revocation lists: the serial numbers of certificates that count no more, signed by the authority.
 * Encoded here, because mbedTLS reads such lists and does not write them.
 *
 * Memory and errors as net/pki_mbedtls.h.
 */
#pragma once

#include "net/pki_mbedtls.h"

enum {
    ZA_PKI_REVOKED_MAX = 1000, // certificates of one list: as many as a cluster has members
    ZA_PKI_REVOKED_PEM_BYTES_MAX = 80 * 1024, // at most 54 bytes each, a third more as PEM
};

typedef struct za_pki_revocations {
    const char *const *serials; // hexadecimal, as za_pki_info_t has them
    uint32_t serial_count;
    int64_t this_update_s; // Unix time
    int64_t next_update_s; // from then on nodes refuse everybody until they get a new list
} za_pki_revocations_t;

/** Writes the list as PEM. ZA_EINVAL for a bad serial, dates, or too many; ZA_ECRYPTO. */
za_err_t za_pki_make_revocations(const za_pki_pair_t *authority,
                                 const za_pki_revocations_t *request, char *out, size_t out_bytes,
                                 char *problem, size_t problem_bytes);
