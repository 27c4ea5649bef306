#include "net/seal_mbedtls.h"

#include <mbedtls/chachapoly.h>
#include <mbedtls/hkdf.h>
#include <mbedtls/md.h>
#include <mbedtls/platform_util.h>

#include "base/assert.h"

za_err_t za_seal_derive(const uint8_t secret[ZA_SEAL_KEY_BYTES], za_seal_data_t salt,
                        za_seal_data_t info, uint8_t out[ZA_SEAL_KEY_BYTES])
{
    uint8_t key[ZA_SEAL_KEY_BYTES];
    int failed = mbedtls_hkdf(mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), salt.bytes, salt.size,
                              secret, ZA_SEAL_KEY_BYTES, info.bytes, info.size, key, sizeof key);
    if (failed == 0) {
        for (int i = 0; i < ZA_SEAL_KEY_BYTES; i++) {
            out[i] = key[i];
        }
    }
    mbedtls_platform_zeroize(key, sizeof key);
    return failed == 0 ? ZA_OK : ZA_ENOMEM; // its arguments are sound
}

void za_seal_close(const uint8_t key[ZA_SEAL_KEY_BYTES], const uint8_t nonce[ZA_SEAL_NONCE_BYTES],
                   za_seal_data_t extra, const uint8_t *plain, size_t size, uint8_t *out)
{
    mbedtls_chachapoly_context context;
    mbedtls_chachapoly_init(&context);
    int failed = mbedtls_chachapoly_setkey(&context, key);
    if (failed == 0) {
        failed = mbedtls_chachapoly_encrypt_and_tag(&context, size, nonce, extra.bytes, extra.size,
                                                    plain, out, out + size);
    }
    mbedtls_chachapoly_free(&context); // which zeroes it
    ZA_ASSERT(failed == 0);            // fails only for a cipher that another party has replaced
}

za_err_t za_seal_open(const uint8_t key[ZA_SEAL_KEY_BYTES],
                      const uint8_t nonce[ZA_SEAL_NONCE_BYTES], za_seal_data_t extra,
                      const uint8_t *sealed, size_t size, uint8_t *out)
{
    mbedtls_chachapoly_context context;
    mbedtls_chachapoly_init(&context);
    int failed = mbedtls_chachapoly_setkey(&context, key);
    if (failed == 0) {
        failed = mbedtls_chachapoly_auth_decrypt(&context, size, nonce, extra.bytes, extra.size,
                                                 sealed + size, sealed, out);
    }
    mbedtls_chachapoly_free(&context);
    return failed == 0 ? ZA_OK : ZA_ECRYPTO;
}
