/* A stamp: a local time without offset, in seconds or with up to nine digits of a fraction. */

#ifndef STAMP_H
#define STAMP_H

#include "text.h"

#include <stdint.h>

#define SECONDS_LETTERS 19 /* of 2024-06-01T12:00:00 */
#define MOST_DIGITS     9  /* of a fraction; beyond microseconds they are dropped */

/* The number that `size` digits stand for, -1 where one is no digit. */
static int digits_of(const char *at, int size)
{
    int value = 0;
    for (int i = 0; i < size; i++) {
        if (at[i] < '0' || at[i] > '9')
            return -1;
        value = 10 * value + (at[i] - '0');
    }
    return value;
}

/* Days from 1970-01-01 to a date of the Gregorian calendar, whose years begin in March here: so a leap day is the last
   of its year (H. Hinnant, "chrono-compatible low-level date algorithms", days_from_civil). */
static int64_t days_before(int year, int month, int day)
{
    int64_t y = month > 2 ? year : year - 1, m = month > 2 ? month - 3 : month + 9;
    return 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468;
}

static int days_in(int year, int month)
{
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (month == 2)
        return leap ? 29 : 28;
    return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}

/* Microseconds from 1970-01-01T00:00:00 on the same clock. What is of no year that a plant has seen is odd: whoever
   walks the text decides what becomes of it. */
static Outcome take_stamp(Text *text, int64_t *stamp)
{
    const char *word;
    size_t size;
    if (!take(text, '"') || !take_word(text, &word, &size) || size < SECONDS_LETTERS)
        return REFUSED;
    if (word[4] != '-' || word[7] != '-' || word[10] != 'T' || word[13] != ':' || word[16] != ':')
        return REFUSED;
    int year = digits_of(word, 4), month = digits_of(word + 5, 2), day = digits_of(word + 8, 2);
    int hour = digits_of(word + 11, 2), minute = digits_of(word + 14, 2), second = digits_of(word + 17, 2);
    if (year < 1970 || year > 2199 || month < 1 || month > 12 || day < 1 || day > days_in(year, month))
        return REFUSED;
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59)
        return REFUSED;
    int64_t seconds = 86400 * days_before(year, month, day) + 3600 * hour + 60 * minute + second;
    int fraction = 0;
    if (size > SECONDS_LETTERS) {
        int digits = (int)(size - SECONDS_LETTERS - 1);
        if (word[SECONDS_LETTERS] != '.' || digits < 1 || size > SECONDS_LETTERS + 1 + MOST_DIGITS ||
            digits_of(word + SECONDS_LETTERS + 1, digits) < 0)
            return REFUSED;
        fraction = digits_of(word + SECONDS_LETTERS + 1, digits < 6 ? digits : 6);
        for (; digits < 6; digits++)
            fraction *= 10;
    }
    *stamp = 1000000 * seconds + fraction;
    return READ;
}

#endif
