/* JSON rows to Arrow buffers: the one piece of the hot path that is compiled.

   It reads what SMA sends day after day and nothing else: arrays of flat objects with a `time` of the clock on the
   wall, numbers under known names, `null` under any name, and index arrays. Whatever is outside of this grammar, or
   only odd, makes it refuse the whole text, without an error: the walk in Python (`harvester.lake.rows.walk`) is what
   then says what the text holds. So nothing here has an opinion of its own, or has to guess.

   Texts come from the network and are not trusted. Every look is at a byte before `end`; nothing recurses; memory
   grows with what was read. Sizes fit into 31 bits, as Arrow's offsets do, since no text is read beyond that. */

#include "rows.h"

#define LOOKS_A_BYTE 8 /* at names of columns: a text whose names never come in one order is walked */

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

/* Read one text; how many rows it holds, None where it is refused. */
static PyObject *height_of(PyObject *given, Table *table, size_t *letters)
{
    Py_buffer view;
    if (PyObject_GetBuffer(given, &view, PyBUF_SIMPLE) < 0)
        return NULL;
    if (!view.readonly) { /* others run meanwhile, and might write */
        PyBuffer_Release(&view);
        PyErr_SetString(PyExc_TypeError, "a text that can be changed cannot be read");
        return NULL;
    }
    size_t before = table->height, size = (size_t)view.len;
    Outcome outcome = REFUSED;
    if (size <= INT32_MAX - *letters) {
        Text text = {view.buf, (const char *)view.buf + size, LOOKS_A_BYTE * size, PyEval_SaveThread()};
        outcome = read_rows(&text, table);
        PyEval_RestoreThread(text.thread);
    }
    PyBuffer_Release(&view);
    if (outcome == READ) {
        *letters += size;
        return PyLong_FromSize_t(table->height - before);
    }
    cut_table(table, before);
    return outcome == NO_MEMORY ? PyErr_NoMemory() : Py_NewRef(Py_None);
}

/* Read one text after the other; a list of their heights. */
static PyObject *heights_of(PyObject *texts, Table *table)
{
    PyObject *heights = PyList_New(PyTuple_GET_SIZE(texts));
    size_t letters = 0;
    for (Py_ssize_t i = 0; heights != NULL && i < PyTuple_GET_SIZE(texts); i++) {
        PyObject *height = height_of(PyTuple_GET_ITEM(texts, i), table, &letters);
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
    PyMem_RawFree(table->times.at);
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
            result = Py_BuildValue("NNN", heights, bytes_of(&table.times, table.height * sizeof(int64_t)),
                                   columns_of(&table));
    }
    free_table(&table);
    for (size_t i = 0; i < 3; i++)
        Py_XDECREF(tuples[i]);
    Py_XDECREF(names);
    return result;
}

PyDoc_STRVAR(
    READ_DOC,
    "read(texts, scalars, arrays)\n--\n\n"
    "Read JSON arrays of rows, bytes or what shows some of them; other threads run meanwhile.\n\n"
    "*scalars* and *arrays* name the channels that are known, as they stand in the texts: each once, none of them\n"
    "`time`, none with a character that JSON escapes. Returns how many rows each text holds, None where it holds\n"
    "anything unknown or odd; the stamps of all rows, int64, in microseconds from 1970 on; and each channel's column,\n"
    "in the order given, None where nothing was found. Rows of a text that is refused are in no column. Buffers are\n"
    "laid out as Arrow lays them out; types are in the stub. Raises TypeError for what is no bytes or can be changed,\n"
    "BufferError for what does not lie in one piece, MemoryError.");

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
