#include "base/memfd.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/assert.h"

za_err_t za_memfd_create(size_t bytes, za_memfd_t *out)
{
    ZA_ASSERT(bytes > 0);
    int fd = memfd_create("zactor-blob", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int kind = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE : MAP_SHARED;
    if (fd >= 0 && ftruncate(fd, (off_t)bytes) != 0) {
        close(fd);
        return ZA_ENOMEM;
    }
    void *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE, kind, fd, 0);
    if (pages == MAP_FAILED) {
        if (fd >= 0) {
            close(fd);
        }
        return ZA_ENOMEM;
    }
    *out = (za_memfd_t){ .pages = pages, .bytes = bytes, .fd = fd };
    return ZA_OK;
}

za_err_t za_memfd_seal(za_memfd_t *memfd)
{
    if (memfd->fd < 0) {
        return mprotect(memfd->pages, memfd->bytes, PROT_READ) == 0 ? ZA_OK : ZA_ENOMEM;
    }
    // In place of the writable mapping: no seal is possible while there is one. Private, because a
    // shared one of a writable descriptor counts as writable even if it is read-only; unwritten
    // private pages are the file's own.
    void *pages =
        mmap(memfd->pages, memfd->bytes, PROT_READ, MAP_PRIVATE | MAP_FIXED, memfd->fd, 0);
    if (pages == MAP_FAILED) {
        return ZA_ENOMEM;
    }
    // A kernel that does not know all of them leaves a read-only mapping of a file that only we had.
    int sealed =
        fcntl(memfd->fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    (void)sealed;
    close(memfd->fd);
    memfd->fd = -1;
    return ZA_OK;
}

void za_memfd_destroy(za_memfd_t *memfd)
{
    if (memfd->pages != NULL) {
        munmap(memfd->pages, memfd->bytes);
    }
    if (memfd->fd >= 0) {
        close(memfd->fd);
    }
    *memfd = (za_memfd_t){ .fd = -1 };
}
