/**
 * Seal: authenticated encryption of one datagram, and the keys for it. ChaCha20-Poly1305 (RFC 8439)
 * and HKDF-SHA256 (RFC 5869). Pure functions; why these: docs/decisions/0022-datagrams.md.
 *
 * Memory   Sealing and opening allocate nothing; deriving takes a hash context from the heap.
 * Threads  Any.
 * Errors   ZA_ECRYPTO where the tag does not fit; nothing else fails but deriving, for want of memory.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <zactor/err.h>

enum { ZA_SEAL_KEY_BYTES = 32, ZA_SEAL_NONCE_BYTES = 12, ZA_SEAL_TAG_BYTES = 16 };

/** What is authenticated beside the text: the bytes of a header. */
typedef struct za_seal_data {
    const uint8_t *bytes;
    size_t size;
} za_seal_data_t;

/** One key of 32 bytes. ZA_ENOMEM; `out` is then untouched. */
za_err_t za_seal_derive(const uint8_t secret[ZA_SEAL_KEY_BYTES], za_seal_data_t salt,
                        za_seal_data_t info, uint8_t out[ZA_SEAL_KEY_BYTES]);

/** Writes `size` bytes of cipher text and the tag behind them. A nonce serves once for a key. */
void za_seal_close(const uint8_t key[ZA_SEAL_KEY_BYTES], const uint8_t nonce[ZA_SEAL_NONCE_BYTES],
                   za_seal_data_t extra, const uint8_t *plain, size_t size, uint8_t *out);

/** `size` is without the tag, which follows. On an error `out` holds zeroes. */
za_err_t za_seal_open(const uint8_t key[ZA_SEAL_KEY_BYTES],
                      const uint8_t nonce[ZA_SEAL_NONCE_BYTES], za_seal_data_t extra,
                      const uint8_t *sealed, size_t size, uint8_t *out);
