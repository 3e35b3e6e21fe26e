/* Rows of constant tables as JSON: an array of objects, one key per column. */
#include "session/internal.h"

static void write_cell(pl_text *out, const session_column *column, const char *row) {
    const void *cell = row + column->offset;
    switch (column->type) {
    case SESSION_TEXT:
        pl_write_key_string(out, column->key, *(const char *const *)cell);
        break;
    case SESSION_TEXT_IF_ANY:
        if (*(const char *const *)cell)
            pl_write_key_string(out, column->key, *(const char *const *)cell);
        break;
    case SESSION_NUMBER:
        pl_write_key_number(out, column->key, *(const double *)cell);
        break;
    case SESSION_BOOL:
        pl_write_key_bool(out, column->key, *(const bool *)cell);
        break;
    case SESSION_FORMAT:
        pl_write_key_string(out, column->key, pl_format_name(*(const pl_format *)cell));
        break;
    }
}

void session_write_table(pl_text *out, const char *key, const session_column *columns, int32_t column_count,
                         const void *rows, size_t row_size, int32_t row_count) {
    pl_write_key(out, key);
    pl_write_begin(out, '[');
    for (int32_t i = 0; i < row_count; i++) {
        pl_write_begin(out, '{');
        for (int32_t c = 0; c < column_count; c++)
            write_cell(out, &columns[c], (const char *)rows + row_size * (size_t)i);
        pl_write_end(out, '}');
    }
    pl_write_end(out, ']');
}
