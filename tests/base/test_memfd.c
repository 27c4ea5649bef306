#include "base/memfd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "support/za_test.h"

enum { BYTES = 300000 };

static za_memfd_t filled(void)
{
    za_memfd_t memfd;
    cr_assert(za_memfd_create(BYTES, &memfd) == ZA_OK, "pages");
    const unsigned char *pages = memfd.pages;
    for (size_t i = 0; i < BYTES; i += 999) {
        cr_assert(pages[i] == 0, "zeroed");
    }
    memset(memfd.pages, 7, BYTES);
    return memfd;
}

Test(memfd, stays_where_it_is_when_it_is_sealed)
{
    za_memfd_t memfd = filled();
    const unsigned char *before = memfd.pages;
    cr_assert(za_memfd_seal(&memfd) == ZA_OK, "sealed");
    cr_assert(memfd.pages == before && memfd.fd == -1, "same address, no descriptor");
    for (size_t i = 0; i < BYTES; i++) {
        cr_assert(before[i] == 7, "byte %zu", i);
    }
    za_memfd_destroy(&memfd);
    cr_assert(memfd.pages == NULL, "gone");
}

Test(memfd, faults_on_a_write_after_the_seal, .signal = SIGSEGV)
{
    signal(SIGSEGV, SIG_DFL); // not a sanitizer's
    za_memfd_t memfd = filled();
    cr_assert(za_memfd_seal(&memfd) == ZA_OK, "sealed");
    *(volatile char *)memfd.pages = 1;
}

// Not even whoever got hold of the file.
Test(memfd, cannot_be_written_through_its_file)
{
    za_memfd_t memfd = filled();
    if (memfd.fd < 0) {
        cr_skip_test("no memfd_create(2) here");
    }
    int fd = dup(memfd.fd);
    cr_assert(za_memfd_seal(&memfd) == ZA_OK, "sealed");
    cr_assert(pwrite(fd, "x", 1, 0) == -1 && errno == EPERM, "write");
    cr_assert(ftruncate(fd, 1) == -1 && errno == EPERM, "truncate");
    void *again = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    cr_assert(again == MAP_FAILED && errno == EPERM, "map");
    close(fd);
    za_memfd_destroy(&memfd);
}
