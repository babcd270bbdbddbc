// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "footprint.h"

#include <link.h>
#include <malloc.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

// A segment that may be written to holds what was written to it, relocations among it; the others are as in the file.
static int unmap_read_only(struct dl_phdr_info *object, size_t size, void *page) {
    (void)size;
    for (int index = 0; index < object->dlpi_phnum; index++) {
        const ElfW(Phdr) *header = &object->dlpi_phdr[index];
        if (header->p_type != PT_LOAD || (header->p_flags & PF_W)) continue;
        uintptr_t start = object->dlpi_addr + header->p_vaddr;
        uintptr_t before = start % *(uintptr_t *)page;
        madvise((void *)(start - before), header->p_memsz + before, MADV_DONTNEED);
    }
    return 0;
}

void footprint_reduce(void) {
    // Each of the few threads would take an arena of its own and keep in it what it once needed.
    mallopt(M_ARENA_MAX, 1);
    // libvirt brings sixty libraries along, whose symbols and relocations the loader has read and nobody will again.
    // These are clean pages of files, and what is wanted after all is mapped once more from the page cache.
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    dl_iterate_phdr(unmap_read_only, &page);
}
