/* Memory that grows, and what is made of it: words and numbers under one another, as Arrow keeps them. */

#ifndef MEMORY_H
#define MEMORY_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    char *at;
    size_t room;
} Memory;

/* Make room for `size` bytes; what is new is zero. False where there is no memory. */
static bool reserve(Memory *memory, size_t size)
{
    if (size <= memory->room)
        return true;
#ifdef EXACT /* so that a sanitizer sees every byte beyond */
    size_t room = size;
#else
    size_t room = memory->room ? memory->room : 1024;
    while (room < size)
        room *= 2;
#endif
    char *at = PyMem_RawRealloc(memory->at, room);
    if (at == NULL)
        return false;
    memset(at + memory->room, 0, room - memory->room);
    memory->at = at;
    memory->room = room;
    return true;
}

/* Words under one another, as Arrow keeps them: a string array. */
typedef struct {
    Memory offsets; /* int32 */
    Memory letters;
    size_t height;
} Words;

static bool add_word(Words *words, const char *word, size_t size)
{
    if (!reserve(&words->offsets, (words->height + 2) * sizeof(int32_t)))
        return false;
    int32_t *offsets = (int32_t *)words->offsets.at;
    size_t used = (size_t)offsets[words->height];
    if (!reserve(&words->letters, used + size + 1)) /* never nothing: an empty word has a place, too */
        return false;
    memcpy(words->letters.at + used, word, size);
    words->height++;
    offsets[words->height] = (int32_t)(used + size);
    return true;
}

/* Numbers under one another; what is not set is null. */
typedef struct {
    Memory values; /* double */
    Memory known;  /* one bit each */
    size_t height; /* one more than the last that is set */
} Numbers;

static bool make_room(Numbers *numbers, size_t height)
{
    return reserve(&numbers->values, height * sizeof(double)) && reserve(&numbers->known, height / 8 + 1);
}

static void set_bit(Memory *bits, size_t at) { bits->at[at / 8] |= (char)(1 << at % 8); }

static bool set_number(Numbers *numbers, size_t at, double value)
{
    if (!make_room(numbers, at + 1))
        return false;
    ((double *)numbers->values.at)[at] = value;
    set_bit(&numbers->known, at);
    numbers->height = at + 1;
    return true;
}

/* Let the bits from `first` to before `last` be zero. */
static void forget_bits(Memory *bits, size_t first, size_t last)
{
    for (; first < last && first % 8 != 0; first++)
        bits->at[first / 8] &= (char)~(1 << first % 8);
    if (first < last)
        memset(bits->at + first / 8, 0, (last - 1) / 8 + 1 - first / 8);
}

/* Let none be set from `height` on. */
static void forget(Numbers *numbers, size_t height)
{
    if (numbers->height <= height)
        return;
    memset(numbers->values.at + height * sizeof(double), 0, (numbers->height - height) * sizeof(double));
    forget_bits(&numbers->known, height, numbers->height);
    numbers->height = height;
}

#endif
