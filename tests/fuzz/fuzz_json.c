/* JSON: whatever is accepted is written in a form that is accepted again and is then stable, and obeys the
   promises. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "io/json.h"
#include "io/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition) {
    if (!condition)
        abort();
}

/* Depth, finite numbers, UTF-8 without NUL, unique keys (by pairs: fuzz inputs are small). */
static void check_node(const pl_json *node, int depth) {
    require(depth <= PL_JSON_DEPTH);
    if (pl_json_is_string(node))
        require(pl_utf8_valid(pl_json_string(node), strlen(pl_json_string(node))));
    if (pl_json_is_number(node))
        require(pl_json_number(node) - pl_json_number(node) == 0);
    int32_t count = 0;
    for (const pl_json *member = pl_json_first(node); member; member = pl_json_next(member), count++) {
        check_node(member, depth + (pl_json_is_array(member) || pl_json_is_object(member)));
        if (pl_json_is_object(node))
            require(pl_json_get(node, pl_json_key(member)) == member);
    }
    require(count == pl_json_size(node));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    pl_memory memory = {0};
    pl_error error = {.status = PL_OK};
    pl_json *root, *again;
    if (pl_json_parse((const char *)data, size, "f", &root, &error) != PL_OK) {
        require(!root && error.status == PL_ERR_FORMAT && strncmp(error.message, "f:", 2) == 0);
        return 0;
    }
    check_node(root, pl_json_is_array(root) || pl_json_is_object(root));
    pl_text first = pl_text_make(&memory), second = pl_text_make(&memory);
    pl_write_node(&first, root);
    require(pl_json_parse(first.data, first.length, "f", &again, &error) == PL_OK);
    pl_write_node(&second, again);
    require(first.length == second.length && memcmp(first.data, second.data, first.length) == 0);
    pl_text_free(&first);
    pl_text_free(&second);
    pl_json_free(root);
    pl_json_free(again);
    require(memory.bytes == 0);
    return 0;
}
