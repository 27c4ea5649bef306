#include "base/pages.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define ZA_PAGES_OF_HEAP true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ZA_PAGES_OF_HEAP true
#endif
#endif
#ifdef ZA_PAGES_OF_HEAP
#include <sanitizer/asan_interface.h>
#else
#define ZA_PAGES_OF_HEAP false
#define ASAN_POISON_MEMORY_REGION(start, bytes) ((void)(start), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(start, bytes) ((void)(start), (void)(bytes))
#endif

/**
 * Pages of AddressSanitizer's heap, which sees leaks and what is written beside them. By calloc, which
 * knows that large blocks are zero: cleared by hand, all that a node reserves would be touched. The
 * block lies inside of what calloc gave, whose address stands before it.
 */
static void *alloc_of_heap(size_t bytes, size_t align)
{
    char *whole = calloc(1, bytes + align);
    if (whole == NULL) {
        return NULL;
    }
    char *block = whole + (align - (uintptr_t)whole % align); // 16 bytes at least
    memcpy(block - sizeof whole, &whole, sizeof whole);
    ASAN_POISON_MEMORY_REGION(whole, (size_t)(block - whole));
    ASAN_POISON_MEMORY_REGION(block + bytes, (size_t)(whole + align - block));
    return block;
}

static void free_of_heap(void *block)
{
    char *whole;
    ASAN_UNPOISON_MEMORY_REGION((char *)block - sizeof whole, sizeof whole);
    memcpy(&whole, (char *)block - sizeof whole, sizeof whole);
    free(whole);
}

void *za_pages_alloc(size_t bytes)
{
    if (bytes < ZA_PAGES_BYTES_MIN) {
        return calloc(1, bytes);
    }
    if (ZA_PAGES_OF_HEAP) {
        return alloc_of_heap(bytes, ZA_PAGE_BYTES);
    }
    void *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (pages == MAP_FAILED) {
        return NULL;
    }
    madvise(pages, bytes, MADV_NOHUGEPAGE); // one entry in use would take 2 MiB
    return pages;
}

void *za_pages_alloc_large(size_t bytes)
{
    if (ZA_PAGES_OF_HEAP) {
        return alloc_of_heap(bytes, ZA_PAGES_LARGE_BYTES);
    }
    char *mapped = za_pages_alloc(bytes + ZA_PAGES_LARGE_BYTES);
    if (mapped == NULL) {
        return NULL;
    }
    size_t over = (uintptr_t)mapped % ZA_PAGES_LARGE_BYTES;
    size_t ahead = over == 0 ? 0 : ZA_PAGES_LARGE_BYTES - over;
    if (ahead > 0) {
        munmap(mapped, ahead);
    }
    munmap(mapped + ahead + bytes, ZA_PAGES_LARGE_BYTES - ahead);
    return mapped + ahead;
}

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 // Linux 6.1; an older one does it in its own time
#endif

void za_pages_gather(void *memory, size_t bytes)
{
    if (!ZA_PAGES_OF_HEAP && madvise(memory, bytes, MADV_HUGEPAGE) == 0) {
        (void)madvise(memory, bytes, MADV_COLLAPSE);
    }
}

void za_pages_free(void *pages, size_t bytes)
{
    if (pages == NULL) {
        return;
    }
    if (bytes < ZA_PAGES_BYTES_MIN) {
        free(pages);
    } else if (ZA_PAGES_OF_HEAP) {
        free_of_heap(pages);
    } else {
        munmap(pages, bytes);
    }
}

void za_pages_drop(void *memory, size_t bytes)
{
    uintptr_t begin = ((uintptr_t)memory + ZA_PAGE_BYTES - 1) & ~(uintptr_t)(ZA_PAGE_BYTES - 1);
    uintptr_t end = ((uintptr_t)memory + bytes) & ~(uintptr_t)(ZA_PAGE_BYTES - 1);
    if (!ZA_PAGES_OF_HEAP && begin < end) {
        // Private pages of no file: they come back as zeros. A failure loses nothing.
        madvise((void *)begin, end - begin, MADV_DONTNEED);
    }
}

void za_pages_trim_heap(void)
{
    malloc_trim(0);
}
