/* Rows by the grammar of what is known, into a table. */

#ifndef ROWS_H
#define ROWS_H

#include "number.h"
#include "stamp.h"
#include "table.h"

#define LONGEST_WORD  64     /* bytes of an index */
#define MOST_ROWS     120000 /* of one text; as in rows.py, which says why */
#define MOST_ELEMENTS 64     /* of one array, among which an index that comes twice is looked for */

static bool has_twice(const Words *indexes, size_t first)
{
    const int32_t *offsets = (const int32_t *)indexes->offsets.at;
    for (size_t i = first; i + 1 < indexes->height; i++)
        for (size_t j = i + 1; j < indexes->height; j++) {
            int32_t size = offsets[i + 1] - offsets[i];
            if (size == offsets[j + 1] - offsets[j] &&
                memcmp(indexes->letters.at + offsets[i], indexes->letters.at + offsets[j], (size_t)size) == 0)
                return true;
        }
    return false;
}

/* One element of an index array: an index in words, and a number, which may lack. */
static Outcome read_element(Text *text, Column *column)
{
    const char *index = NULL, *name;
    size_t size = 0, length;
    bool told = false, known = false;
    double value = 0;
    if (!take(text, '{'))
        return REFUSED;
    do {
        if (!take(text, '"') || !take_word(text, &name, &length) || !take(text, ':') || length != 5)
            return REFUSED;
        if (index == NULL && memcmp(name, "index", 5) == 0) {
            if (!take(text, '"') || !take_word(text, &index, &size) || size > LONGEST_WORD)
                return REFUSED;
        }
        else if (!told && memcmp(name, "value", 5) == 0) {
            told = true;
            known = !take_null(text);
            if (known)
                TRY(take_number(text, &value));
        }
        else
            return REFUSED;
    } while (take(text, ','));
    if (!take(text, '}') || index == NULL)
        return REFUSED;
    size_t at = column->indexes.height;
    if (!add_word(&column->indexes, index, size))
        return NO_MEMORY;
    return !known || set_number(&column->elements, at, value) ? READ : NO_MEMORY;
}

static Outcome read_array(Text *text, Column *column, size_t row)
{
    size_t first = column->indexes.height;
    if (!fill(column, row))
        return NO_MEMORY;
    if (!take(text, '['))
        return REFUSED;
    if (!take(text, ']')) {
        do {
            TRY(read_element(text, column));
            if (column->indexes.height - first > MOST_ELEMENTS)
                return REFUSED;
        } while (take(text, ','));
        if (!take(text, ']') || has_twice(&column->indexes, first))
            return REFUSED;
    }
    if (!fill(column, row + 1))
        return NO_MEMORY;
    set_bit(&column->held, row);
    return READ;
}

/* Find the column that has the next name, after its first quotation mark; NULL where there is none. */
static bool take_name(Text *text, Table *table, size_t expected, Column **column, bool *is_time)
{
    *is_time = false;
    if (expected < table->count) { /* nearly always the one that came here before */
        *column = &table->columns[expected];
        size_t size = (*column)->size;
        if ((size_t)(text->end - text->at) > size && text->at[size] == '"' &&
            memcmp(text->at, (*column)->name, size) == 0) {
            text->at += size + 1;
            return true;
        }
    }
    const char *name = text->at;
    while (text->at < text->end && *text->at != '"' && *text->at != '\\')
        text->at++;
    size_t size = (size_t)(text->at - name);
    if (!take_here(text, '"'))
        return false;
    *is_time = size == 4 && memcmp(name, "time", 4) == 0;
    *column = NULL;
    for (size_t i = 0; i < table->count && !*is_time && *column == NULL; i++, text->looks--) {
        if (text->looks == 0)
            return false;
        if (table->columns[i].size == size && memcmp(table->columns[i].name, name, size) == 0)
            *column = &table->columns[i];
    }
    if (*is_time || *column != NULL)
        return true;
    text->at = name; /* that nobody knows it does not make it a word */
    return take_word(text, &name, &size);
}

static Outcome read_time(Text *text, Table *table)
{
    int64_t stamp;
    if (table->timed != table->height)
        return REFUSED;
    TRY(take_stamp(text, &stamp));
    return add_time(table, stamp) ? READ : NO_MEMORY;
}

static Outcome read_value(Text *text, Table *table, Column *column)
{
    size_t row = table->height;
    if (column->seen == row + 1)
        return REFUSED;
    column->seen = row + 1;
    if (take_null(text))
        return READ;
    table->used += !column->used;
    column->used = true;
    if (!few_cells(table))
        return REFUSED;
    if (column->is_array)
        return read_array(text, column, row);
    double value;
    TRY(take_number(text, &value));
    return set_number(&column->numbers, row, value) ? READ : NO_MEMORY;
}

static Outcome read_row(Text *text, Table *table)
{
    size_t *next = &table->first;
    if (!take(text, '{'))
        return REFUSED;
    do {
        Column *column = NULL;
        bool is_time;
        if (!take(text, '"') || !take_name(text, table, *next, &column, &is_time) || !take(text, ':'))
            return REFUSED;
        if (is_time)
            TRY(read_time(text, table));
        else if (column != NULL) {
            *next = (size_t)(column - table->columns);
            next = &column->next;
            TRY(read_value(text, table, column));
        }
        else if (!take_null(text)) /* what is nothing under any name is nothing */
            return REFUSED;
    } while (take(text, ','));
    if (!take(text, '}') || table->timed == table->height)
        return REFUSED;
    table->height++;
    return READ;
}

static Outcome read_rows(Text *text, Table *table)
{
    size_t most = table->height + MOST_ROWS;
    if (!take(text, '['))
        return REFUSED;
    if (!take(text, ']')) {
        do {
            if (table->height == most || !few_cells(table))
                return REFUSED;
            TRY(read_row(text, table));
        } while (take(text, ','));
        if (!take(text, ']'))
            return REFUSED;
    }
    skip_space(text);
    return text->at == text->end ? READ : REFUSED;
}

#endif
