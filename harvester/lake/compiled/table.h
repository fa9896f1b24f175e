/* The columns that rows are read into, and the way back to where a text began. */

#ifndef TABLE_H
#define TABLE_H

#include "memory.h"

#define MOST_CELLS 20000000 /* rows times columns in use, of all texts; as in rows.py */

typedef struct {
    const char *name; /* as it stands in the text */
    size_t size;
    bool is_array;
    bool used;   /* whether there is memory for it */
    size_t seen; /* row that had it last, from 1 */
    size_t next; /* column that came after it */
    Numbers numbers;
    /* of an array: which rows have one, where the elements of each begin, and what they are */
    Memory held;
    Memory begins; /* int32, one more than rows */
    size_t filled; /* rows whose begin is known */
    Words indexes;
    Numbers elements;
} Column;

typedef struct {
    Column *columns;
    size_t count;
    size_t first; /* column that came first */
    size_t used;  /* columns with memory */
    size_t height;
    size_t timed; /* rows with a stamp: as many, but within a row */
    Memory times; /* int64 */
} Table;

static bool add_time(Table *table, int64_t stamp)
{
    if (!reserve(&table->times, (table->timed + 1) * sizeof(stamp)))
        return false;
    ((int64_t *)table->times.at)[table->timed++] = stamp;
    return true;
}

/* Let the array column be empty up to the row `height`. */
static bool fill(Column *column, size_t height)
{
    if (!reserve(&column->held, height / 8 + 1) || !reserve(&column->begins, (height + 1) * sizeof(int32_t)))
        return false;
    int32_t *begins = (int32_t *)column->begins.at;
    for (; column->filled < height; column->filled++)
        begins[column->filled + 1] = (int32_t)column->indexes.height;
    return true;
}

/* Go back to the first `height` rows. */
static void cut_table(Table *table, size_t height)
{
    table->height = table->timed = height;
    for (size_t i = 0; i < table->count; i++) {
        Column *column = &table->columns[i];
        column->seen = 0;
        forget(&column->numbers, height);
        if (column->begins.at == NULL)
            continue;
        if (column->filled > height) {
            forget_bits(&column->held, height, column->filled);
            column->filled = height;
        }
        column->indexes.height = (size_t)((int32_t *)column->begins.at)[column->filled];
        forget(&column->elements, column->indexes.height);
    }
}

/* Whether the rows, and one more, of the columns in use are no more than there may be. */
static bool few_cells(const Table *table) { return (table->height + 1) * table->used <= MOST_CELLS; }

#endif
