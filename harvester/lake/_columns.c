/* JSON rows to Arrow buffers: the one piece of the hot path that is compiled.

   It reads what SMA sends day after day and nothing else: arrays of flat objects with a `time` in plain words, numbers
   under known names, `null` under any name, and index arrays. Whatever is outside of this grammar, or only odd, makes
   it refuse the whole text, without an error: the walk in Python (`harvester.lake.rows.walk`) is what then says what
   the text holds. So this file has no opinion of its own, and never has to guess.

   Texts come from the network and are not trusted. Every look is at a byte before `end`; nothing recurses; memory
   grows with what was read. Sizes fit into 31 bits, as Arrow's offsets do, since no text is read beyond that. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define LONGEST_WORD 64    /* bytes of a stamp or an index */
#define LONGEST_NUMBER 512 /* bytes; a number that is longer is odd */
#define MOST_ROWS 120000   /* of one text; as in rows.py, which says why */
#define MOST_CELLS 20000000 /* rows times columns in use, of all texts; as in rows.py */
#define MOST_ELEMENTS 64   /* of one array, among which an index that comes twice is looked for */
#define LOOKS_A_BYTE 8     /* at names of columns: a text whose names never come in one order is walked */

/* ---- memory that grows -------------------------------------------------------------------------------------------- */

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

/* ---- columns ------------------------------------------------------------------------------------------------------ */

typedef struct {
    const char *name; /* as it stands in the text */
    size_t size;
    bool is_array;
    bool used; /* whether there is memory for it */
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
    Words times;
} Table;

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
    table->height = table->times.height = height;
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

/* ---- text --------------------------------------------------------------------------------------------------------- */

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

/* Whether the next byte after space is `wanted`; goes beyond it. */
static bool take(Text *text, char wanted)
{
    skip_space(text);
    if (text->at < text->end && *text->at == wanted) {
        text->at++;
        return true;
    }
    return false;
}

static bool take_null(Text *text)
{
    skip_space(text);
    if (text->end - text->at < 4 || memcmp(text->at, "null", 4) != 0)
        return false;
    text->at += 4;
    return true;
}

/* A closing quotation mark, right here. */
static bool take_mark(Text *text)
{
    if (text->at == text->end || *text->at != '"')
        return false;
    text->at++;
    return true;
}

/* A word of plain ASCII without escapes, after its first quotation mark; goes beyond the last one. */
static bool take_word(Text *text, const char **word, size_t *size)
{
    *word = text->at;
    while (text->at < text->end && *text->at >= ' ' && *text->at < 127 && *text->at != '"' && *text->at != '\\')
        text->at++;
    *size = (size_t)(text->at - *word);
    return take_mark(text);
}

/* ---- numbers ------------------------------------------------------------------------------------------------------ */

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

/* ---- rows --------------------------------------------------------------------------------------------------------- */

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
    if (!take_mark(text))
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
    const char *word;
    size_t size;
    if (table->times.height != table->height || !take(text, '"') || !take_word(text, &word, &size))
        return REFUSED;
    if (size > LONGEST_WORD)
        return REFUSED;
    return add_word(&table->times, word, size) ? READ : NO_MEMORY;
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
    if (!take(text, '}') || table->times.height == table->height)
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

/* ---- Python ------------------------------------------------------------------------------------------------------- */

/* The first `size` bytes, whose memory is given back: there is never a second copy of more than one column. */
static PyObject *bytes_of(Memory *memory, size_t size)
{
    PyObject *bytes = PyBytes_FromStringAndSize(memory->at, (Py_ssize_t)size);
    PyMem_RawFree(memory->at);
    memory->at = NULL;
    memory->room = 0;
    return bytes;
}

static PyObject *words_of(Words *words)
{
    if (!reserve(&words->offsets, (words->height + 1) * sizeof(int32_t)) || !reserve(&words->letters, 1))
        return PyErr_NoMemory();
    size_t letters = (size_t)((const int32_t *)words->offsets.at)[words->height];
    PyObject *offsets = bytes_of(&words->offsets, (words->height + 1) * sizeof(int32_t));
    return Py_BuildValue("NN", offsets, bytes_of(&words->letters, letters));
}

static PyObject *numbers_of(Numbers *numbers, size_t height)
{
    if (!make_room(numbers, height))
        return PyErr_NoMemory();
    return Py_BuildValue("NN", bytes_of(&numbers->known, height / 8 + 1),
                         bytes_of(&numbers->values, height * sizeof(double)));
}

/* What one column holds; None where that is nothing. */
static PyObject *column_of(Column *column, size_t height)
{
    if (!column->is_array && column->numbers.known.at == NULL)
        Py_RETURN_NONE;
    if (!column->is_array)
        return numbers_of(&column->numbers, height);
    if (column->held.at == NULL)
        Py_RETURN_NONE;
    if (!fill(column, height))
        return PyErr_NoMemory();
    return Py_BuildValue("NNNN", bytes_of(&column->held, height / 8 + 1),
                         bytes_of(&column->begins, (height + 1) * sizeof(int32_t)), words_of(&column->indexes),
                         numbers_of(&column->elements, column->indexes.height));
}

static PyObject *columns_of(Table *table)
{
    PyObject *found = PyList_New((Py_ssize_t)table->count);
    for (size_t i = 0; found != NULL && i < table->count; i++) {
        PyObject *column = column_of(&table->columns[i], table->height);
        if (column == NULL)
            Py_CLEAR(found);
        else
            PyList_SET_ITEM(found, (Py_ssize_t)i, column);
    }
    return found;
}

/* Read one text after the other; a list of their heights, None where a text was refused. */
static PyObject *heights_of(PyObject *texts, Table *table)
{
    PyObject *heights = PyList_New(PyTuple_GET_SIZE(texts));
    size_t letters = 0;
    for (Py_ssize_t i = 0; heights != NULL && i < PyTuple_GET_SIZE(texts); i++) {
        char *at;
        Py_ssize_t size;
        if (PyBytes_AsStringAndSize(PyTuple_GET_ITEM(texts, i), &at, &size) < 0) {
            Py_CLEAR(heights);
            break;
        }
        size_t before = table->height;
        Outcome outcome = REFUSED;
        if ((size_t)size <= INT32_MAX - letters) {
            Text text = {at, at + size, LOOKS_A_BYTE * (size_t)size, PyEval_SaveThread()};
            outcome = read_rows(&text, table);
            PyEval_RestoreThread(text.thread);
        }
        PyObject *height;
        if (outcome == READ) {
            letters += (size_t)size;
            height = PyLong_FromSize_t(table->height - before);
        }
        else {
            cut_table(table, before);
            height = outcome == NO_MEMORY ? PyErr_NoMemory() : Py_NewRef(Py_None);
        }
        if (height == NULL)
            Py_CLEAR(heights);
        else
            PyList_SET_ITEM(heights, i, height);
    }
    return heights;
}

static bool name_columns(Table *table, PyObject *names, size_t first_array)
{
    table->count = (size_t)PyTuple_GET_SIZE(names);
    table->columns = PyMem_RawCalloc(table->count + 1, sizeof(Column));
    if (table->columns == NULL) {
        PyErr_NoMemory();
        return false;
    }
    for (size_t i = 0; i < table->count; i++) {
        char *name;
        Py_ssize_t size;
        if (PyBytes_AsStringAndSize(PyTuple_GET_ITEM(names, (Py_ssize_t)i), &name, &size) < 0)
            return false;
        table->columns[i].name = name;
        table->columns[i].size = (size_t)size;
        table->columns[i].is_array = i >= first_array;
        table->columns[i].next = i + 1;
    }
    return true;
}

static void free_words(Words *words)
{
    PyMem_RawFree(words->offsets.at);
    PyMem_RawFree(words->letters.at);
}

static void free_numbers(Numbers *numbers)
{
    PyMem_RawFree(numbers->values.at);
    PyMem_RawFree(numbers->known.at);
}

static void free_table(Table *table)
{
    for (size_t i = 0; table->columns != NULL && i < table->count; i++) {
        Column *column = &table->columns[i];
        free_numbers(&column->numbers);
        free_numbers(&column->elements);
        free_words(&column->indexes);
        PyMem_RawFree(column->held.at);
        PyMem_RawFree(column->begins.at);
    }
    free_words(&table->times);
    PyMem_RawFree(table->columns);
}

static PyObject *read_texts(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *given[3], *tuples[3] = {NULL, NULL, NULL}, *names = NULL, *result = NULL;
    if (!PyArg_ParseTuple(args, "OOO", &given[0], &given[1], &given[2]))
        return NULL;
    Table table = {0};
    size_t made = 0; /* tuples of our own: whoever runs meanwhile may change what was given */
    while (made < 3 && (tuples[made] = PySequence_Tuple(given[made])) != NULL)
        made++;
    if (made == 3)
        names = PySequence_Concat(tuples[1], tuples[2]);
    if (names != NULL && name_columns(&table, names, (size_t)PyTuple_GET_SIZE(tuples[1]))) {
        PyObject *heights = heights_of(tuples[0], &table);
        if (heights != NULL)
            result = Py_BuildValue("NNN", heights, words_of(&table.times), columns_of(&table));
    }
    free_table(&table);
    for (size_t i = 0; i < 3; i++)
        Py_XDECREF(tuples[i]);
    Py_XDECREF(names);
    return result;
}

PyDoc_STRVAR(READ_DOC, "read(texts, scalars, arrays)\n--\n\n"
             "Read JSON arrays of rows; other threads run meanwhile.\n\n"
             "*scalars* and *arrays* name the channels that are known, as they stand in the texts: each once, none of them\n"
             "`time`, none with a character that JSON escapes. Returns how many rows each text holds, None where it holds\n"
             "anything unknown or odd; the stamps; and each channel's column, in the order given, None where nothing was\n"
             "found. Rows of a text that is refused are in no column. Buffers are laid out as Arrow lays them out; types\n"
             "are in the stub. Raises TypeError for what is not bytes, MemoryError.");

static PyMethodDef METHODS[] = {
    {"read", read_texts, METH_VARARGS, READ_DOC},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef MODULE = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "harvester.lake._columns",
    .m_doc = "JSON rows to Arrow buffers.",
    .m_size = 0,
    .m_methods = METHODS,
};

PyMODINIT_FUNC PyInit__columns(void) { return PyModuleDef_Init(&MODULE); }
