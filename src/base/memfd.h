/**
 * Memfd: pages that are written once and only read afterwards, also by whoever would write.
 *
 * Pages of an anonymous file, which the kernel seals against writing (memfd_create(2), F_SEAL_WRITE):
 * no thread, no library and no debugger of this process can change them unnoticed. A kernel without
 * memfd gives anonymous pages that are made read-only instead.
 *
 * Memory   Whole pages from the system, unmapped by destroy. No file descriptor is left after seal.
 * Threads  One at a time until seal; then any may read.
 * Errors   ZA_ENOMEM: no pages or no descriptor; nothing is left behind.
 */
#pragma once

#include <stddef.h>

#include <zactor/err.h>

typedef struct za_memfd {
    void *pages; // NULL: none
    size_t bytes;
    int fd; // of the file until it is sealed; else -1
} za_memfd_t;

/** Zeroed, writable pages for `bytes` (> 0). */
za_err_t za_memfd_create(size_t bytes, za_memfd_t *out);
/** From now on the pages are read-only, at the same address. On an error they still are writable. */
za_err_t za_memfd_seal(za_memfd_t *memfd);
void za_memfd_destroy(za_memfd_t *memfd);
