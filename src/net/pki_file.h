/**
 * The certificate authority's files. Each is written whole or not at all, and none is replaced
 * unless the caller says so; private keys are readable by their owner only.
 *
 * Errors   ZA_EEXIST if a file is there already, ZA_EIO for the file system, ZA_ENOENT if a file to
 *          read is missing, else as net/pki_mbedtls.h; `problem` names the file.
 */
#pragma once

#include "net/pki_mbedtls.h"
#include "net/revocation_mbedtls.h"

enum { ZA_PKI_FILE_BYTES_MAX = 256 * 1024 }; // a bundle of authorities, or a revocation list

typedef struct za_pki_paths {
    const char *certificate;
    const char *key;
} za_pki_paths_t;

typedef enum za_pki_existing { ZA_PKI_KEEP_EXISTING, ZA_PKI_REPLACE_EXISTING } za_pki_existing_t;

/** Makes an authority for request->cluster. */
za_err_t za_pki_ca_init(const za_pki_paths_t *out, const za_pki_request_t *request,
                        za_pki_existing_t existing, char *problem, size_t problem_bytes);

/** Makes a node's certificate and key, signed by the authority in `ca`. */
za_err_t za_pki_issue(const za_pki_paths_t *ca, const za_pki_request_t *request,
                      const za_pki_paths_t *out, za_pki_existing_t existing, char *problem,
                      size_t problem_bytes);

/** Writes the list of all revoked certificates; a later list replaces this one, so it has all again. */
za_err_t za_pki_revoke(const za_pki_paths_t *ca, const za_pki_revocations_t *request,
                       const char *out_path, za_pki_existing_t existing, char *problem,
                       size_t problem_bytes);

/** za_pki_describe of a file. */
za_err_t za_pki_describe_file(const char *path, za_pki_info_t *out, char *problem,
                              size_t problem_bytes);

/** Reads a file of at most ZA_PKI_FILE_BYTES_MAX as text with a NUL; free it with za_pki_free_file,
 * which zeroes it. */
za_err_t za_pki_read_file(const char *path, char **text, size_t *size, char *problem,
                          size_t problem_bytes);
void za_pki_free_file(char *text, size_t size);
