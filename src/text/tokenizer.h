/* tokenizer.json of Hugging Face: byte-level BPE (GPT-2, Llama-3, Qwen2 and SmolLM pre-tokenisation) and
 * SentencePiece-style BPE (Llama-2: Prepend/Replace normaliser or Metaspace, byte fallback). No regex of the file
 * is ever executed: the known patterns are recognised by their exact text and run by hand-written scanners; anything
 * else is refused with a sentence that names it.
 *
 * Results equal those of `tokenizers` 0.23.3, except on purpose:
 * - the file's "truncation" and "padding" are ignored, as transformers resets them for every call;
 * - a file whose added tokens would get other ids than it says is refused (tokenizers warns and renumbers them);
 * - decode leaves bytes that end inside a character as they are, for streams (tokenizers: U+FFFD);
 * - skip_special also skips special tokens that a normaliser rewrites (0.23 forgets them, older versions do not).
 */
#ifndef PL_TEXT_TOKENIZER_H
#define PL_TEXT_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"

typedef struct pl_tokenizer pl_tokenizer;

/* Parses tokenizer.json (<= 32 MiB). Errors: PL_ERR_RANGE beyond that, PL_ERR_FORMAT, PL_ERR_UNSUPPORTED for a part that is not known here,
 * PL_ERR_MEMORY. */
pl_status pl_tokenizer_load(pl_memory *memory, const char *json, size_t length, pl_tokenizer **tokenizer,
                            pl_error *error);
void pl_tokenizer_free(pl_tokenizer *tokenizer);

int32_t pl_tokenizer_vocab_size(const pl_tokenizer *tokenizer); /* largest id + 1, added tokens included */

/* Encodes UTF-8 text[length] (invalid bytes are treated as U+FFFD). add_special: apply the file's
 * post-processor (BOS …). tokens[*count] belongs to memory. Equal to tokenizers.Tokenizer.encode(text,
 * add_special_tokens).ids. Errors: PL_ERR_RANGE for too long a text, PL_ERR_MEMORY. */
pl_status pl_tokenizer_encode(const pl_tokenizer *tokenizer, pl_memory *memory, const char *text,
                              size_t length, bool add_special, int32_t **tokens, int32_t *count,
                              pl_error *error);

/* Text of tokens[count]; bytes may end inside a UTF-8 character (streaming decoders keep the tail).
   skip_special leaves special tokens out. *text[*length] belongs to memory. Errors: PL_ERR_RANGE for a token outside the
   vocabulary or too long a text, PL_ERR_MEMORY. */
pl_status pl_tokenizer_decode(const pl_tokenizer *tokenizer, pl_memory *memory, const int32_t *tokens,
                              int32_t count, bool skip_special, char **text, size_t *length, pl_error *error);

#endif
