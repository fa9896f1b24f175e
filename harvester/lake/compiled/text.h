/* A text that is read: no look goes beyond its end. */

#ifndef TEXT_H
#define TEXT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>
#include <string.h>

typedef enum { READ, REFUSED, NO_MEMORY } Outcome;

#define TRY(step)                                                                                                      \
    do {                                                                                                               \
        Outcome outcome_ = (step);                                                                                     \
        if (outcome_ != READ)                                                                                          \
            return outcome_;                                                                                           \
    } while (0)

typedef struct {
    const char *at;
    const char *end;
    size_t looks;          /* at names that are left */
    PyThreadState *thread; /* of the caller, while others may run */
} Text;

static void skip_space(Text *text)
{
    while (text->at < text->end && (*text->at == ' ' || *text->at == '\n' || *text->at == '\r' || *text->at == '\t'))
        text->at++;
}

/* Whether the next byte is `wanted`; goes beyond it. */
static inline bool take_here(Text *text, char wanted)
{
    if (text->at == text->end || *text->at != wanted)
        return false;
    text->at++;
    return true;
}

/* The same after space, of which there nearly always is none. */
static inline bool take(Text *text, char wanted)
{
    if (take_here(text, wanted))
        return true;
    skip_space(text);
    return take_here(text, wanted);
}

static bool take_null(Text *text)
{
    skip_space(text);
    if (text->end - text->at < 4 || memcmp(text->at, "null", 4) != 0)
        return false;
    text->at += 4;
    return true;
}

/* A word of plain ASCII without escapes, after its first quotation mark; goes beyond the last one. */
static inline bool take_word(Text *text, const char **word, size_t *size)
{
    const char *at = text->at;
    while (at < text->end && *at >= ' ' && *at < 127 && *at != '"' && *at != '\\')
        at++;
    *word = text->at;
    *size = (size_t)(at - *word);
    text->at = at;
    return take_here(text, '"');
}

#endif
