// The heap of the release build, in the place of the C library's, whose refusal would end ebb: a Swift program traps
// where it gets no memory. One thread, no locks, and a reserve for when the kernel has no memory left. Debug builds keep
// the C library's.
//
// A block is a power of two or one and a half of one, a word of it its size; a freed one waits in the list of its
// size and is never given back, so what is held is bounded by the most that was ever held of each size. What is
// larger than 16 KiB is a mapping of its own, and gone when it is freed.
//
// The policy for a lack of memory: the kernel is asked first, each time. Where it refuses (RLIMIT_AS,
// vm.overcommit_memory=2), the block comes from the reserve, and goes back there when it is freed, so that the reserve
// is whole again once the lack is over. Nothing asks for memory without an end: a table that outsiders can fill asks
// clinux_memory_allows() before it grows (Memory.swift), and does without where it may not; all else is bounded, and fits.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "clinux.h"

#include <sys/mman.h>

#ifdef CLINUX_OWN_HEAP

enum {
  word = sizeof(size_t),
  smallest = 32,             // a Swift object without fields, and the word before it
  largest = 16 * 1024,       // beyond it: a mapping
  chunk = 64 * 1024,
  reserve = 512 * 1024,
  sizes = 24,                // 32, 48, 64, 96, ... 98304: those above `largest` from the reserve alone
};

// Where blocks are cut from, and the freed ones of each size.
struct arena {
  unsigned char *next, *end;
  void *freed[sizes];
};

// In this order, so that what is used every day is not half a megabyte away from the rest.
static _Alignas(16) struct {
  unsigned char first[chunk], reserved[reserve];
} own;
// A word behind the beginning, so that what is given out is aligned to 16.
static struct arena ordinary = {own.first + word, own.first + chunk},
                    scarce = {own.reserved + word, own.reserved + reserve};

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

static bool is_reserved(void *block) {
  return (unsigned char *)block >= own.reserved && (unsigned char *)block < own.reserved + sizeof own.reserved;
}

static size_t *header(void *block) { return (size_t *)block - 1; }

// A block of a size as place() makes it; NULL where the arena has none.
static void *cut(struct arena *arena, size_t size, unsigned index) {
  void *block = arena->freed[index];
  if (block != NULL) {
    arena->freed[index] = *(void **)block;
    return block;
  }
  if ((size_t)(arena->end - arena->next) < size) return NULL;
  block = arena->next + word;
  arena->next += size;
  *header(block) = size;
  return block;
}

static void *take_reserved(size_t size) {
  if (size > 96 * 1024) return NULL;
  unsigned index = place(&size);
  return cut(&scarce, size, index);
}

static void *take(size_t wanted) {
  size_t size = wanted + word;
  if (size < wanted) return NULL;
  if (size > largest) {
    size_t whole = (wanted + 16 + 4095) & ~(size_t)4095;
    unsigned char *memory = whole < wanted ? NULL : map(whole);
    if (memory == NULL) return take_reserved(size);
    memory += 16;
    *header(memory) = whole;
    return memory;
  }
  unsigned index = place(&size);
  void *block = cut(&ordinary, size, index);
  if (block != NULL) return block;
  unsigned char *memory = map(chunk);
  if (memory == NULL) return take_reserved(size);
  ordinary.next = memory + word;
  ordinary.end = memory + chunk;
  return cut(&ordinary, size, index);
}

static bool is_mapping(void *block) { return *header(block) > largest && !is_reserved(block); }

static size_t room(void *block) {
  return *header(block) - (is_mapping(block) ? 16 : word);  // 16: before the memory of a mapping
}

static void give(void *block) {
  size_t size = *header(block);
  if (is_mapping(block)) {
    munmap((unsigned char *)block - 16, size);
    return;
  }
  unsigned index = place(&size);
  struct arena *arena = is_reserved(block) ? &scarce : &ordinary;
  *(void **)block = arena->freed[index];
  arena->freed[index] = block;
}

bool clinux_memory_allows(size_t size) {
  // The reserve is not for this, so it is a mapping of its own that is asked for.
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
