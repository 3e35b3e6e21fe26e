/* What a loaded tokenizer consists of. Private to src/text. */
#ifndef PL_TEXT_TOKENIZER_PARTS_H
#define PL_TEXT_TOKENIZER_PARTS_H

#include "io/json.h"
#include "text/tokenizer.h"
#include "text/vocab.h"

/* Added tokens to look for, as a tree of bytes. */
typedef struct pl_trie {
    pl_map next;  /* node << 8 | byte -> node; node 0 is the root */
    int32_t *ids; /* [node] id of the token that ends here, or -1 */
    int32_t nodes, capacity;
    bool first[256]; /* bytes that begin a token */
} pl_trie;

typedef enum pl_step_kind {
    PL_STEP_PREPEND,       /* normaliser: text in front of every piece that is not empty */
    PL_STEP_REPLACE,       /* normaliser, decoder: text -> content */
    PL_STEP_SPLIT,         /* pre-tokeniser: one of the known patterns */
    PL_STEP_DIGITS,        /* pre-tokeniser: numbers apart, one by one if individual */
    PL_STEP_BYTE_LEVEL,    /* pre-tokeniser, decoder: bytes <-> GPT-2's printable characters */
    PL_STEP_METASPACE,     /* pre-tokeniser, decoder: spaces <-> text (one character, usually U+2581) */
    PL_STEP_BYTE_FALLBACK, /* decoder: "<0xE2>" -> the byte */
    PL_STEP_FUSE,          /* decoder: all tokens to one */
    PL_STEP_STRIP          /* decoder: up to start/stop times text off the ends of every token */
} pl_step_kind;

typedef enum pl_pattern { PL_PATTERN_GPT2, PL_PATTERN_LLAMA3, PL_PATTERN_QWEN2 } pl_pattern;
typedef enum pl_prepend { PL_PREPEND_ALWAYS, PL_PREPEND_FIRST, PL_PREPEND_NEVER } pl_prepend;

typedef struct pl_step {
    pl_step_kind kind;
    pl_pattern pattern;   /* SPLIT */
    pl_prepend prepend;   /* METASPACE */
    bool split;           /* METASPACE: pieces; BYTE_LEVEL: use_regex */
    bool prefix_space;    /* BYTE_LEVEL: add_prefix_space */
    bool individual;      /* DIGITS */
    int32_t start, stop;  /* STRIP */
    char *text, *content; /* owned; NULL where not used */
    size_t text_length, content_length;
} pl_step;

enum { PL_TOKENIZER_STEPS_MAX = 8, PL_CHAR_IDS = 512 };

typedef struct pl_steps {
    pl_step list[PL_TOKENIZER_STEPS_MAX];
    int32_t count;
} pl_steps;

enum { PL_ADDED_SPECIAL = 1, PL_ADDED_LEFT = 2, PL_ADDED_RIGHT = 4, PL_ADDED_WORD = 8, PL_ADDED_NORMAL = 16 };

struct pl_tokenizer {
    pl_memory *memory;
    pl_vocab vocab; /* of the model: what BPE can produce */
    pl_vocab added; /* added tokens; those that are also in vocab have the same id there */
    uint8_t *flags; /* [added.ids] PL_ADDED_* */
    pl_trie raw;    /* added tokens found in the text as it comes */
    pl_trie normal; /* added tokens found after normalisation, themselves normalised */
    pl_map merges;  /* left << 32 | right -> rank << 32 | id of the result */
    bool byte_fallback, fuse_unk, ignore_merges;
    int32_t unk;           /* id or -1 */
    bool cuts_at_mark;     /* no token has U+2581 behind another character: no merge crosses that place */
    int32_t byte_ids[256]; /* ids of "<0x00>".."<0xFF>", or -1 */
    /* ids of the characters U+0000..U+01FF, or -1: all that byte-level BPE needs */
    int32_t char_ids[PL_CHAR_IDS];
    pl_steps normalizer, splitter, decoder;
    bool has_decoder;        /* without one, tokens are joined by spaces */
    int32_t *before, *after; /* ids that the post-processor puts around the text */
    int32_t before_count, after_count;
};

/* ---- loading, one function per part of the file ---- */

pl_status pl_load_model(pl_tokenizer *tokenizer, const pl_json *model, pl_error *error);
pl_status pl_load_normalizer(pl_tokenizer *tokenizer, const pl_json *node, pl_error *error);
pl_status pl_load_splitter(pl_tokenizer *tokenizer, const pl_json *node, pl_error *error);
pl_status pl_load_decoder(pl_tokenizer *tokenizer, const pl_json *node, pl_error *error);
pl_status pl_load_added(pl_tokenizer *tokenizer, const pl_json *list, pl_error *error);
pl_status pl_load_template(pl_tokenizer *tokenizer, const pl_json *node, pl_error *error);

/* Refuses "what: type X is not supported …"; X is node's type or regular expression. */
pl_status pl_load_refuse(const char *what, const char *name, pl_error *error);

/* ---- added tokens ---- */

/* Room for tokens of so many bytes together. Errors: PL_ERR_MEMORY. */
pl_status pl_trie_make(pl_trie *trie, pl_memory *memory, size_t bytes, pl_error *error);
void pl_trie_free(pl_trie *trie);
/* The first token put under a text stays. text is not empty. */
pl_status pl_trie_add(pl_trie *trie, const char *text, size_t length, int32_t id, pl_error *error);
/* The leftmost, there the longest, token at or behind from: its place and id. */
bool pl_trie_find(const pl_trie *trie, const char *text, size_t length, size_t from, size_t *start,
                  size_t *stop, int32_t *id);

/* ---- text ---- */

/* Length of the first match of a pattern in text[length], which is not empty and valid UTF-8. */
size_t pl_scan_pattern(pl_pattern pattern, const char *text, size_t length);
/* Length of the first piece that the Digits pre-tokeniser cuts off. */
size_t pl_scan_digits(bool individual, const char *text, size_t length);

/* Runs a normaliser: text -> out (emptied first). other is scratch. Does something in the result stand for the first character of
   text (which is not empty), or was that taken out? */
bool pl_normalize(const pl_steps *steps, const char *text, size_t length, pl_text *out, pl_text *other);
/* Appends text with every `from`, which is not empty, replaced by `to`, from left to right. */
void pl_replace(pl_text *out, const char *text, size_t length, const char *from, size_t from_length,
                const char *to, size_t to_length);

/* GPT-2's printable stand-in for a byte, and back (-1: the character stands for none). */
uint32_t pl_byte_char(uint8_t byte);
int32_t pl_char_byte(uint32_t point);

/* ---- BPE of one piece ---- */

typedef struct pl_ids {
    pl_memory *memory;
    int32_t *list;
    int32_t count, capacity;
    bool failed; /* out of memory: list is incomplete */
} pl_ids;

void pl_ids_push(pl_ids *ids, int32_t id);

typedef struct pl_symbol {
    int32_t id, previous, next; /* -1: none */
    int32_t result;             /* id this and the next one merge into */
    uint32_t rank;              /* of that merge; UINT32_MAX: they do not merge */
} pl_symbol;

/* Working memory, kept between pieces. Zero-initialise, set memory. */
typedef struct pl_bpe {
    pl_memory *memory;
    pl_symbol *symbols;
    uint64_t *heap; /* rank << 32 | symbol */
    size_t capacity;
    bool failed;
} pl_bpe;

void pl_bpe_free(pl_bpe *bpe);
/* Appends the ids of one piece: merges in order of their rank, the leftmost first among equals (Sennrich, Haddow, Birch 2016,
   arXiv:1508.07909). bpe->failed or ids->failed when memory is refused. */
void pl_bpe_encode(const pl_tokenizer *tokenizer, pl_bpe *bpe, const char *text, size_t length, pl_ids *ids);

#endif
