/* peftlab-native: the session driven by lines on standard input, for comparing native builds with WASM bit for bit and for
 * profiling with native tools. The command line for people is web/cli. One command a line:
 *
 *   model DIR                    config.json, model.safetensors and (if there) tokenizer.json
 *   module JSON                  pl_module_add
 *   data SPLIT                   pl_data_begin
 *   tokens SPLIT FROM 1,2,3      pl_data_add_tokens, labels from index FROM on
 *   train JSON                   pl_train_begin
 *   steps N                      pl_train_step, N times; prints each report
 *   merge                        pl_merge_modules
 *   logits FILE 1,2,3            float32 logits into FILE
 *   snapshot FILE                pl_snapshot into FILE
 *
 * The first failure prints its sentence on stderr and ends with exit code 2. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "session/peftlab.h"

enum { LINE_SIZE = 1 << 16, PATH_SIZE = 1024, IDS_MAX = 1 << 14 };

static uint8_t *read_file(const char *path, int32_t *size) {
    FILE *file = fopen(path, "rb");
    if (!file)
        return NULL;
    (void)fseek(file, 0, SEEK_END);
    long length = ftell(file);
    rewind(file);
    uint8_t *bytes = malloc((size_t)length + 1);
    size_t got = bytes ? fread(bytes, 1, (size_t)length, file) : 0;
    (void)fclose(file);
    *size = (int32_t)got;
    return bytes;
}

static int32_t write_result(pl_session *s, const char *path) {
    FILE *file = fopen(path, "wb");
    if (!file)
        return -1;
    size_t size = (size_t)pl_result_size(s), put = fwrite(pl_result(s), 1, size, file);
    return fclose(file) == 0 && put == size ? 0 : -1;
}

typedef int32_t (*model_part)(pl_session *s, const char *bytes, int32_t size);

static int32_t load_weights(pl_session *s, const char *bytes, int32_t size) {
    return pl_model_weights(s, (const uint8_t *)bytes, size);
}

static int32_t load_part(pl_session *s, const char *dir, const char *name, model_part load,
                         int32_t required) {
    char path[PATH_SIZE];
    int32_t size = 0;
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    uint8_t *bytes = read_file(path, &size);
    if (!bytes && required)
        (void)fprintf(stderr, "%s cannot be read\n", path);
    if (!bytes)
        return required ? -1 : 0;
    int32_t status = load(s, (const char *)bytes, size);
    free(bytes);
    return status;
}

static int32_t load_model(pl_session *s, const char *dir) {
    int32_t status = load_part(s, dir, "config.json", pl_model_begin, 1);
    if (status == 0)
        status = load_part(s, dir, "model.safetensors", load_weights, 1);
    if (status == 0)
        status = load_part(s, dir, "tokenizer.json", pl_model_tokenizer, 0);
    return status == 0 ? pl_model_commit(s) : status;
}

static int32_t read_ids(const char *text, int32_t *ids) {
    int32_t count = 0;
    while (*text && count < IDS_MAX) {
        char *end;
        ids[count++] = (int32_t)strtol(text, &end, 10);
        text = *end == ',' ? end + 1 : end;
        if (end == text && *text)
            break;
    }
    return count;
}

static int32_t steps(pl_session *s, int32_t count) {
    for (int32_t i = 0; i < count; i++) {
        int32_t status = pl_train_step(s);
        if (status != 0)
            return status;
        (void)printf("%.*s\n", (int)pl_result_size(s), (const char *)pl_result(s));
    }
    return 0;
}

static int32_t add_tokens(pl_session *s, char *rest) {
    static int32_t ids[IDS_MAX];
    char *split = strtok(rest, " "), *from = strtok(NULL, " "), *list = strtok(NULL, " ");
    if (!split || !from || !list)
        return -1;
    int32_t count = read_ids(list, ids);
    return pl_data_add_tokens(s, split, ids, count, (int32_t)strtol(from, NULL, 10), count);
}

static int32_t save_logits(pl_session *s, char *rest) {
    static int32_t ids[IDS_MAX];
    char *path = strtok(rest, " "), *list = strtok(NULL, " ");
    if (!path || !list)
        return -1;
    int32_t status = pl_logits(s, ids, read_ids(list, ids));
    return status == 0 ? write_result(s, path) : status;
}

static int32_t run(pl_session *s, const char *command, char *rest) {
    int32_t length = (int32_t)strlen(rest);
    if (strcmp(command, "model") == 0)
        return load_model(s, rest);
    if (strcmp(command, "module") == 0)
        return pl_module_add(s, rest, length);
    if (strcmp(command, "data") == 0)
        return pl_data_begin(s, rest, 0);
    if (strcmp(command, "tokens") == 0)
        return add_tokens(s, rest);
    if (strcmp(command, "train") == 0)
        return pl_train_begin(s, rest, length);
    if (strcmp(command, "steps") == 0)
        return steps(s, (int32_t)strtol(rest, NULL, 10));
    if (strcmp(command, "merge") == 0)
        return pl_merge_modules(s, "[]", 2);
    if (strcmp(command, "logits") == 0)
        return save_logits(s, rest);
    if (strcmp(command, "snapshot") == 0) {
        int32_t status = pl_snapshot(s);
        return status == 0 ? write_result(s, rest) : status;
    }
    return -1;
}

int main(void) {
    static char line[LINE_SIZE];
    pl_session *s = pl_session_new();
    if (!s || pl_selftest() != 0) {
        (void)fprintf(stderr, "the kernels of this build do not compute the known answer\n");
        return 1;
    }
    int exit_code = 0;
    while (exit_code == 0 && fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\r\n")] = 0;
        char *rest = line + strcspn(line, " ");
        if (*rest)
            *rest++ = 0;
        if (line[0] && run(s, line, rest) != 0) {
            (void)fprintf(stderr, "%s: %s\n", line,
                          pl_last_error(s)[0] ? pl_last_error(s) : "malformed command");
            exit_code = 2;
        }
    }
    pl_session_free(s);
    return exit_code;
}
