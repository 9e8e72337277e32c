// The heap of the release build, in the place of the C library's: one thread, no locks, a first part that costs no
// system call, and a reserve for when the kernel has no memory left. Debug builds keep the C library's.
//
// A block is a power of two or one and a half of one, a word of it its size; a freed one waits in the list of its
// size and is never given back, so what is held is bounded by the most that was ever held of each size. What is
// larger than 16 KiB is a mapping of its own, and gone when it is freed.
//
// The policy for a lack of memory: once the kernel refuses (RLIMIT_AS, vm.overcommit_memory=2), the reserve is used.
// Nothing asks for memory without an end: a table that outsiders can fill asks clinux_memory_allows() before it grows
// (Memory.swift), and does without from then on; all else is bounded, and fits.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "clinux.h"

#include <sys/mman.h>

#ifdef CLINUX_OWN

enum {
  word = sizeof(size_t),
  smallest = 32,             // a Swift object without fields, and the word before it
  largest = 16 * 1024,       // beyond it: a mapping
  chunk = 64 * 1024,
  reserve = 256 * 1024,
  sizes = 24,                // 32, 48, 64, 96, ... 98304: those above `largest` from the reserve alone
};

static _Alignas(16) unsigned char first[chunk + reserve];
static unsigned char *next = first + word, *end = first + chunk;  // so that what is given out is aligned to 16
static void *freed[sizes];
static bool scarce;

static void *map(size_t size) {
  void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return memory == MAP_FAILED ? NULL : memory;
}

// The place of a size among the sizes, and the size rounded up to it.
static unsigned place(size_t *size) {
  unsigned index = 0;
  size_t step = smallest;
  while (step < *size) {
    index++;
    step = index % 2 ? step + step / 2 : step / 3 * 4;
  }
  *size = step;
  return index;
}

// From here on blocks are cut from the reserve; false where they are already.
static bool use_reserve(void) {
  if (scarce) return false;
  scarce = true;
  next = first + chunk + word;
  end = first + chunk + reserve;
  return true;
}

// More for the blocks to be cut from: a chunk, else the reserve.
static bool refill(void) {
  unsigned char *memory = scarce ? NULL : map(chunk);
  if (memory == NULL) return use_reserve();
  next = memory + word;
  end = memory + chunk;
  return true;
}

static bool is_ours(void *block) { return (unsigned char *)block >= first && (unsigned char *)block < first + sizeof first; }

static size_t *header(void *block) { return (size_t *)block - 1; }

static void *take(size_t wanted) {
  size_t size = wanted + word;
  if (size < wanted) return NULL;
  if (size > largest) {
    size_t whole = (wanted + 16 + 4095) & ~(size_t)4095;
    unsigned char *memory = whole < wanted ? NULL : map(whole);
    if (memory != NULL) {
      memory += 16;
      *header(memory) = whole;
      return memory;
    }
    if (size > 96 * 1024) return NULL;
    use_reserve();
  }
  unsigned index = place(&size);
  void *block = freed[index];
  if (block != NULL) {
    freed[index] = *(void **)block;
    return block;
  }
  while ((size_t)(end - next) < size)
    if (!refill()) return NULL;
  block = next + word;
  next += size;
  *header(block) = size;
  return block;
}

static size_t room(void *block) {
  size_t size = *header(block);
  return size > largest && !is_ours(block) ? size - 16 : size - word;  // 16: before the memory of a mapping
}

static void give(void *block) {
  size_t size = *header(block);
  if (size > largest && !is_ours(block)) {
    munmap((unsigned char *)block - 16, size);
    return;
  }
  unsigned index = place(&size);
  *(void **)block = freed[index];
  freed[index] = block;
}

bool clinux_memory_allows(size_t size) {
  // The reserve is not for this, so it is a mapping of its own that is asked for.
  if (scarce) return false;
  if (size < chunk) size = chunk;
  void *block = map(size);
  if (block == NULL) return false;
  munmap(block, size);
  return true;
}

// The C library's names, malloc(3), posix_memalign(3), malloc_usable_size(3): what the Swift runtime calls.
void *malloc(size_t size) {
  void *block = take(size);
  if (block == NULL) errno = ENOMEM;
  return block;
}
void free(void *block) {
  if (block != NULL) give(block);
}
void *calloc(size_t count, size_t size) {
  size_t whole;
  void *block = __builtin_mul_overflow(count, size, &whole) ? NULL : take(whole);
  if (block == NULL) errno = ENOMEM;
  return block == NULL ? NULL : memset(block, 0, whole);
}
void *realloc(void *old, size_t size) {
  if (old != NULL && room(old) >= size) return old;
  void *block = take(size);
  if (block == NULL) {
    errno = ENOMEM;
  } else if (old != NULL) {
    memcpy(block, old, room(old));
    give(old);
  }
  return block;
}
// Nothing here has an alignment above 16.
int posix_memalign(void **block, size_t alignment, size_t size) {
  *block = alignment > 16 ? NULL : take(size);
  return *block == NULL ? ENOMEM : 0;
}
void *aligned_alloc(size_t alignment, size_t size) { return alignment > 16 ? NULL : malloc(size); }
size_t malloc_usable_size(void *block) { return block == NULL ? 0 : room(block); }

#else

bool clinux_memory_allows(size_t size) {
  (void)size;
  return true;
}

#endif
