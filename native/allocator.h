/*
 * Memory for the engine's small blocks, most of which live for a moment: an object, its properties, a frame of an
 * asynchronous function. A call over ttrpc needs hundreds; with musl's malloc alone they cost more than half of it, not
 * least because that hands emptied groups back to the kernel and takes them again.
 *
 * Blocks of one size come from chunks of that size, and a free block holds the address of the next. All chunks lie in one
 * range of addresses, so the size of a block follows from where it is. Chunks are never given back. Larger blocks, and small
 * ones when the range is used up or cannot be had, are malloc's.
 */
#ifndef KATA_ALLOCATOR_H
#define KATA_ALLOCATOR_H

#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "quickjs.h"

/* Sizes are multiples of this, bytes; it is also the alignment that C promises. */
#define UNIT ((size_t)16)
/* Larger blocks are rare, and few enough of a chunk's for malloc to do as well. */
#define LARGEST ((size_t)512)
#define CHUNK ((size_t)4096)
/* Addresses are free; memory is taken in steps of this. */
#define RANGE ((size_t)256 << 20)
#define STEP ((size_t)65536)

static uint8_t *range, *range_used;
/* Of each chunk in use, the size of its blocks in units. */
static uint8_t chunk_units[RANGE / CHUNK];
static void *free_blocks[LARGEST / UNIT + 1];

static int is_small(const void *block)
{
    return range != NULL && (uintptr_t)block - (uintptr_t)range < RANGE;
}

static size_t units_of(const void *block)
{
    return chunk_units[((uintptr_t)block - (uintptr_t)range) / CHUNK];
}

static size_t block_size(const void *block)
{
    if (block == NULL)
        return 0;
    return is_small(block) ? units_of(block) * UNIT : malloc_usable_size((void *)block);
}

/* The first of a new chunk's free blocks, or NULL. */
static void *new_chunk(size_t units)
{
    size_t size = units * UNIT, count = CHUNK / size;
    uint8_t *chunk;
    if (range == NULL) {
        void *reserved = mmap(NULL, RANGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (reserved == MAP_FAILED)
            return NULL;
        range = range_used = reserved;
    }
    if (range_used == range + RANGE)
        return NULL;
    if ((size_t)(range_used - range) % STEP == 0 && mprotect(range_used, STEP, PROT_READ | PROT_WRITE) != 0)
        return NULL;
    chunk = range_used;
    range_used += CHUNK;
    chunk_units[(size_t)(chunk - range) / CHUNK] = (uint8_t)units;
    for (size_t i = 0; i < count; i++)
        *(void **)(chunk + i * size) = i + 1 < count ? chunk + (i + 1) * size : NULL;
    return chunk;
}

static void *engine_malloc(JSMallocState *state, size_t size)
{
    void *block = NULL;
    /* The engine asks for no empty block; one would be malloc's. */
    if (size - 1 < LARGEST) {
        size_t units = (size + UNIT - 1) / UNIT;
        block = free_blocks[units];
        if (block == NULL)
            block = new_chunk(units);
        if (block != NULL) {
            free_blocks[units] = *(void **)block;
            state->malloc_count++;
            state->malloc_size += units * UNIT;
            return block;
        }
    }
    block = malloc(size);
    if (block != NULL) {
        state->malloc_count++;
        state->malloc_size += malloc_usable_size(block);
    }
    return block;
}

static void engine_free(JSMallocState *state, void *block)
{
    if (block == NULL)
        return;
    state->malloc_count--;
    if (is_small(block)) {
        size_t units = units_of(block);
        state->malloc_size -= units * UNIT;
        *(void **)block = free_blocks[units];
        free_blocks[units] = block;
        return;
    }
    state->malloc_size -= malloc_usable_size(block);
    free(block);
}

static void *engine_realloc(JSMallocState *state, void *block, size_t size)
{
    size_t old = block_size(block);
    void *moved;
    if (block == NULL)
        return size == 0 ? NULL : engine_malloc(state, size);
    if (size == 0) {
        engine_free(state, block);
        return NULL;
    }
    if (!is_small(block) && size > LARGEST) {
        moved = realloc(block, size);
        if (moved != NULL)
            state->malloc_size += malloc_usable_size(moved) - old;
        return moved;
    }
    if (is_small(block) && size <= old && size + UNIT > old)
        return block;
    moved = engine_malloc(state, size);
    if (moved == NULL)
        return NULL;
    memcpy(moved, block, size < old ? size : old);
    engine_free(state, block);
    return moved;
}

static const JSMallocFunctions engine_memory = {engine_malloc, engine_free, engine_realloc, block_size};

#endif
