/* A number, exactly. */

#ifndef NUMBER_H
#define NUMBER_H

#include "text.h"

#include <float.h>
#include <math.h>
#include <stdint.h>

#define LONGEST_NUMBER 512 /* bytes; a number that is longer is odd */

static const double POWERS[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

static bool is_digit(const Text *text) { return text->at < text->end && *text->at >= '0' && *text->at <= '9'; }

/* A number that is not exact in one step: Python's own conversion, which rounds correctly. */
static Outcome convert(Text *text, const char *first, double *value)
{
    char copy[LONGEST_NUMBER + 1];
    size_t size = (size_t)(text->at - first);
    if (size > LONGEST_NUMBER)
        return REFUSED;
    memcpy(copy, first, size);
    copy[size] = '\0';
    PyEval_RestoreThread(text->thread);
    *value = PyOS_string_to_double(copy, NULL, NULL);
    if (PyErr_Occurred()) {
        PyErr_Clear();
        *value = HUGE_VAL;
    }
    text->thread = PyEval_SaveThread();
    return isfinite(*value) ? READ : REFUSED;
}

/* A number by JSON's grammar.

   One multiplication or division of two exact doubles is rounded correctly (W. D. Clinger, "How to read floating point
   numbers accurately", 1990): digits below 2^53, and a power of ten up to 22. */
static Outcome take_number(Text *text, double *value)
{
    const char *first = text->at;
    bool negative = text->at < text->end && *text->at == '-';
    if (negative)
        text->at++;
    uint64_t digits = 0;
    int many = 0;
    int64_t exponent = 0;
    if (!is_digit(text))
        return REFUSED;
    if (*text->at == '0') {
        text->at++;
        if (is_digit(text))
            return REFUSED;
    }
    else
        for (; is_digit(text); text->at++, many++)
            digits = 10 * digits + (uint64_t)(*text->at - '0');
    bool whole = true;
    if (text->at < text->end && *text->at == '.') {
        whole = false;
        text->at++;
        const char *point = text->at;
        for (; is_digit(text); text->at++) {
            digits = 10 * digits + (uint64_t)(*text->at - '0');
            many += digits != 0;
        }
        if (text->at == point)
            return REFUSED;
        exponent = -(int64_t)(text->at - point);
    }
    if (text->at < text->end && (*text->at == 'e' || *text->at == 'E')) {
        whole = false;
        text->at++;
        bool below = text->at < text->end && *text->at == '-';
        if (below || (text->at < text->end && *text->at == '+'))
            text->at++;
        if (!is_digit(text))
            return REFUSED;
        int64_t power = 0;
        for (; is_digit(text); text->at++)
            power = power < 100000 ? 10 * power + (*text->at - '0') : power;
        exponent += below ? -power : power;
    }
    if (FLT_EVAL_METHOD != 0 || many > 19 || digits > (UINT64_C(1) << 53) || exponent < -22 || exponent > 22)
        return convert(text, first, value);
    double found = (double)digits;
    found = exponent < 0 ? found / POWERS[-exponent] : found * POWERS[exponent];
    *value = negative && !(whole && digits == 0) ? -found : found; /* a whole -0 is 0, as it is in Python */
    return READ;
}

#endif
