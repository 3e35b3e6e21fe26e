/* tokenizer.json: whatever loads encodes and decodes without harm, and gives only ids of its vocabulary. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition) {
    if (!condition)
        abort();
}

static void use(const pl_tokenizer *tokenizer, pl_memory *memory, const char *text, size_t length) {
    pl_error error;
    int32_t *ids, count;
    pl_status status = pl_tokenizer_encode(tokenizer, memory, text, length, true, &ids, &count, &error);
    require(status == PL_OK || status == PL_ERR_MEMORY);
    if (status != PL_OK)
        return;
    for (int32_t i = 0; i < count; i++)
        require(ids[i] >= 0 && ids[i] < pl_tokenizer_vocab_size(tokenizer));
    char *back;
    size_t back_length;
    for (int skip = 0; skip < 2; skip++) {
        status = pl_tokenizer_decode(tokenizer, memory, ids, count, skip == 1, &back, &back_length, &error);
        require(status == PL_OK || status == PL_ERR_MEMORY);
        pl_memory_free(memory, back);
    }
    pl_memory_free(memory, ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char sample[] =
        "It's a b  ab <s>x</s>\n\n 123\xe3\x81\x82\xf0\x9f\x98\x80 \xff\xc3\xa9_\xe2\x96\x81 end ";
    pl_memory memory = {.limit_bytes = 64u << 20};
    pl_error error = {.status = PL_OK};
    pl_tokenizer *tokenizer;
    if (pl_tokenizer_load(&memory, (const char *)data, size, &tokenizer, &error) != PL_OK) {
        require(!tokenizer && error.status != PL_OK && memory.bytes == 0);
        return 0;
    }
    use(tokenizer, &memory, sample, sizeof sample - 1);
    use(tokenizer, &memory, "", 0);
    use(tokenizer, &memory, (const char *)data,
        size < 4096 ? size : 4096); /* its own text finds its own tokens */
    int32_t last = pl_tokenizer_vocab_size(tokenizer) - 1;
    char *text;
    size_t length;
    require(pl_tokenizer_decode(tokenizer, &memory, &last, 1, false, &text, &length, &error) == PL_OK);
    pl_memory_free(&memory, text);
    pl_tokenizer_free(tokenizer);
    require(memory.bytes == 0);
    return 0;
}
