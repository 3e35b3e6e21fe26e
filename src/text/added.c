/* The tree of added tokens. Leftmost-longest matching, as the Aho-Corasick automaton of tokenizers is
   configured. */
#include "text/tokenizer_parts.h"

static pl_status no_memory(pl_error *error) {
    return pl_fail(error, PL_ERR_MEMORY, "no memory for the added tokens");
}

pl_status pl_trie_make(pl_trie *trie, pl_memory *memory, size_t bytes, pl_error *error) {
    *trie = (pl_trie){.nodes = 1};
    if (bytes > INT32_MAX / 16 || !pl_map_make(&trie->next, memory, bytes))
        return no_memory(error);
    trie->capacity = (int32_t)bytes + 1;
    trie->ids = pl_memory_alloc(memory, bytes + 1, sizeof *trie->ids);
    if (!trie->ids)
        return no_memory(error);
    trie->ids[0] = -1;
    return PL_OK;
}

void pl_trie_free(pl_trie *trie) {
    if (trie->next.memory)
        pl_memory_free(trie->next.memory, trie->ids);
    pl_map_free(&trie->next);
    *trie = (pl_trie){0};
}

static uint64_t edge(int32_t node, char byte) { return (uint64_t)node << 8 | (uint8_t)byte; }

pl_status pl_trie_add(pl_trie *trie, const char *text, size_t length, int32_t id, pl_error *error) {
    int32_t node = 0;
    for (size_t i = 0; i < length; i++) {
        uint64_t next;
        if (!pl_map_get(&trie->next, edge(node, text[i]), &next)) {
            next = (uint64_t)trie->nodes;
            if (trie->nodes == trie->capacity ||
                pl_map_put(&trie->next, edge(node, text[i]), next) != PL_MAP_NEW)
                return no_memory(error);
            trie->ids[trie->nodes++] = -1;
        }
        node = (int32_t)next;
    }
    trie->first[(uint8_t)text[0]] = true;
    if (trie->ids[node] < 0)
        trie->ids[node] = id;
    return PL_OK;
}

/* Length of the longest token at text[0], or 0. */
static size_t longest(const pl_trie *trie, const char *text, size_t length, int32_t *id) {
    size_t best = 0;
    int32_t node = 0;
    for (size_t i = 0; i < length; i++) {
        uint64_t next;
        if (!pl_map_get(&trie->next, edge(node, text[i]), &next))
            break;
        node = (int32_t)next;
        if (trie->ids[node] >= 0) {
            *id = trie->ids[node];
            best = i + 1;
        }
    }
    return best;
}

bool pl_trie_find(const pl_trie *trie, const char *text, size_t length, size_t from, size_t *start,
                  size_t *stop, int32_t *id) {
    for (size_t at = from; trie->nodes > 1 && at < length; at++) {
        if (!trie->first[(uint8_t)text[at]])
            continue;
        size_t found = longest(trie, text + at, length - at, id);
        if (found > 0) {
            *start = at;
            *stop = at + found;
            return true;
        }
    }
    return false;
}
