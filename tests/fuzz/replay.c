/* Runs files through a fuzz target without libFuzzer: `fuzz_x FILE...` calls LLVMFuzzerTestOneInput once for
 * each file, under whatever sanitizers the build has. Exit 1 if a file cannot be read or none was given. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0)
        return 1;
    long size = ftell(file);
    uint8_t *data = size >= 0 ? malloc((size_t)size + 1) : NULL; /* + 1: malloc(0) may be NULL */
    rewind(file);
    int failed = !data || fread(data, 1, (size_t)size, file) != (size_t)size;
    fclose(file);
    /* An exact-size copy, so that ASan sees a read of one byte too many. */
    uint8_t *exact = failed || size == 0 ? NULL : malloc((size_t)size);
    for (long i = 0; exact && i < size; i++)
        exact[i] = data[i];
    if (!failed)
        LLVMFuzzerTestOneInput(exact ? exact : data, (size_t)size);
    free(exact);
    free(data);
    return failed;
}

int main(int argc, char **argv) {
    int failed = argc < 2;
    for (int i = 1; i < argc; i++) {
        if (replay_file(argv[i])) {
            fprintf(stderr, "cannot read %s\n", argv[i]);
            failed = 1;
        }
    }
    printf("Executed %d files\n", argc - 1);
    return failed;
}
