#include "base/secret.h"

#include <string.h>
#include <sys/mman.h>

#include "base/assert.h"

void *za_secret_alloc(size_t size)
{
    void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) {
        return NULL;
    }
    // Best effort: a kernel that cannot leave them out of a dump still keeps them.
    madvise(pages, size, MADV_DONTDUMP);
    return pages;
}

void za_secret_free(void *secret, size_t size, size_t used)
{
    if (secret == NULL) {
        return;
    }
    ZA_ASSERT(used <= size);
    za_secret_zero(secret, used);
    munmap(secret, size);
}

void za_secret_zero(void *secret, size_t size)
{
    explicit_bzero(secret, size);
}
