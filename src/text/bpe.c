/* Byte-pair encoding of one piece: characters become symbols, then the neighbouring pair with the lowest
 * rank (leftmost of equals) merges, until none can. A heap finds that pair; entries that a merge made
 * stale are recognised by their rank (each rank belongs to one pair of ids, and the same pair never comes
 * back at a place, since tokens only grow). */
#include <string.h>

#include "io/utf8.h"
#include "text/tokenizer_parts.h"

void pl_ids_push(pl_ids *ids, int32_t id) {
    if (ids->failed)
        return;
    if (ids->count == ids->capacity) {
        int32_t capacity = ids->capacity ? ids->capacity : 64;
        capacity = capacity > INT32_MAX / 2 ? INT32_MAX : capacity * 2;
        int32_t *list =
            ids->count < capacity ? pl_memory_alloc(ids->memory, (size_t)capacity, sizeof *list) : NULL;
        if (!list) {
            ids->failed = true;
            return;
        }
        if (ids->list)
            memcpy(list, ids->list, (size_t)ids->count * sizeof *list);
        pl_memory_free(ids->memory, ids->list);
        ids->list = list;
        ids->capacity = capacity;
    }
    ids->list[ids->count++] = id;
}

void pl_bpe_free(pl_bpe *bpe) {
    pl_memory_free(bpe->memory, bpe->symbols);
    pl_memory_free(bpe->memory, bpe->heap);
    bpe->symbols = NULL;
    bpe->heap = NULL;
    bpe->capacity = 0;
}

/* Room for a piece of `length` bytes: as many symbols, and a heap that takes every pair ever formed (n - 1
   at first, at most 2 more per merge). */
static bool reserve(pl_bpe *bpe, size_t length) {
    if (length <= bpe->capacity)
        return true;
    size_t capacity = bpe->capacity ? bpe->capacity : 64;
    while (capacity < length)
        capacity *= 2;
    pl_bpe_free(bpe);
    bpe->symbols = pl_memory_alloc(bpe->memory, capacity, sizeof *bpe->symbols);
    bpe->heap = pl_memory_alloc(bpe->memory, capacity * 3, sizeof *bpe->heap);
    bpe->failed = !bpe->symbols || !bpe->heap;
    bpe->capacity = bpe->failed ? 0 : capacity;
    return !bpe->failed;
}

static void heap_push(uint64_t *heap, size_t *size, uint64_t entry) {
    size_t at = (*size)++;
    for (; at > 0 && heap[(at - 1) / 2] > entry; at = (at - 1) / 2)
        heap[at] = heap[(at - 1) / 2];
    heap[at] = entry;
}

static uint64_t heap_pop(uint64_t *heap, size_t *size) {
    uint64_t top = heap[0], last = heap[--*size];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < *size; at = child) {
        if (child + 1 < *size && heap[child + 1] < heap[child])
            child++;
        if (heap[child] >= last)
            break;
        heap[at] = heap[child];
    }
    heap[at] = last;
    return top;
}

/* Characters to symbols. An unknown one becomes bytes, or the unknown token (neighbours fused if the model
   says so), or nothing. As in tokenizers, bytes do not flush a pending unknown token: it comes out behind
   them. */
static int32_t make_symbols(const pl_tokenizer *t, pl_symbol *symbols, const char *text, size_t length) {
    int32_t count = 0;
    bool pending = false;
    for (size_t at = 0, step; at < length; at += step) {
        uint32_t point;
        step = (size_t)pl_utf8_next(text + at, length - at, &point);
        int32_t id = point < PL_CHAR_IDS ? t->char_ids[point] : pl_vocab_find(&t->vocab, text + at, step);
        if (id >= 0) {
            if (pending)
                symbols[count++].id = t->unk;
            pending = false;
            symbols[count++].id = id;
            continue;
        }
        bool bytes = t->byte_fallback;
        for (size_t i = 0; i < step && bytes; i++)
            bytes = t->byte_ids[(uint8_t)text[at + i]] >= 0;
        for (size_t i = 0; i < step && bytes; i++)
            symbols[count++].id = t->byte_ids[(uint8_t)text[at + i]];
        if (bytes || t->unk < 0)
            continue;
        if (pending && !t->fuse_unk)
            symbols[count++].id = t->unk;
        pending = true;
    }
    if (pending)
        symbols[count++].id = t->unk;
    return count;
}

/* Looks up the merge of symbol at with the next one and queues it. */
static void consider(const pl_tokenizer *t, pl_bpe *bpe, int32_t at, size_t *heap_size) {
    pl_symbol *left = &bpe->symbols[at];
    left->rank = UINT32_MAX;
    uint64_t merge;
    if (left->next < 0 ||
        !pl_map_get(&t->merges, (uint64_t)left->id << 32 | (uint32_t)bpe->symbols[left->next].id, &merge))
        return;
    left->rank = (uint32_t)(merge >> 32);
    left->result = (int32_t)(merge & UINT32_MAX);
    heap_push(bpe->heap, heap_size, (uint64_t)left->rank << 32 | (uint32_t)at);
}

static void merge_all(const pl_tokenizer *t, pl_bpe *bpe, int32_t count) {
    pl_symbol *symbols = bpe->symbols;
    size_t heap_size = 0;
    for (int32_t i = 0; i < count; i++) {
        symbols[i].previous = i - 1;
        symbols[i].next = i + 1 < count ? i + 1 : -1;
    }
    for (int32_t i = 0; i < count; i++)
        consider(t, bpe, i, &heap_size);
    while (heap_size > 0) {
        uint64_t top = heap_pop(bpe->heap, &heap_size);
        int32_t at = (int32_t)(top & UINT32_MAX);
        pl_symbol *left = &symbols[at];
        if (left->rank != (uint32_t)(top >> 32))
            continue;
        pl_symbol *right = &symbols[left->next];
        left->id = left->result;
        left->next = right->next;
        right->rank = UINT32_MAX; /* whatever is queued for it is stale now */
        if (left->next >= 0)
            symbols[left->next].previous = at;
        consider(t, bpe, at, &heap_size);
        if (left->previous >= 0)
            consider(t, bpe, left->previous, &heap_size);
    }
}

static void encode_piece(const pl_tokenizer *tokenizer, pl_bpe *bpe, const char *text, size_t length,
                         pl_ids *ids) {
    if (!reserve(bpe, length))
        return;
    int32_t count = make_symbols(tokenizer, bpe->symbols, text, length);
    if (count == 0)
        return;
    merge_all(tokenizer, bpe, count);
    for (int32_t at = 0; at >= 0; at = bpe->symbols[at].next)
        pl_ids_push(ids, bpe->symbols[at].id);
}

/* The next U+2581 behind at that does not follow another one, or length. */
static size_t next_cut(const char *text, size_t length, size_t at) {
    static const char mark[] = "\xE2\x96\x81";
    for (at++; at + 3 <= length; at++)
        if (text[at] == mark[0] && memcmp(text + at, mark, 3) == 0 &&
            (at < 3 || memcmp(text + at - 3, mark, 3) != 0))
            return at;
    return length;
}

void pl_bpe_encode(const pl_tokenizer *tokenizer, pl_bpe *bpe, const char *text, size_t length, pl_ids *ids) {
    if (tokenizer->ignore_merges) {
        int32_t whole = pl_vocab_find(&tokenizer->vocab, text, length);
        if (whole >= 0) {
            pl_ids_push(ids, whole);
            return;
        }
    }
    for (size_t at = 0, next; at < length; at = next) {
        next = tokenizer->cuts_at_mark ? next_cut(text, length, at) : length;
        encode_piece(tokenizer, bpe, text + at, next - at, ids);
    }
}
