/* The registry: adding a method = one file that defines its pl_method, and its word here. */
#include "peft/methods.h"

#include <string.h>

extern const pl_method PL_METHOD_PROMPT, PL_METHOD_PREFIX, PL_METHOD_LORA, PL_METHOD_BOTTLENECK,
    PL_METHOD_IA3, PL_METHOD_NORMS, PL_METHOD_FULL;

const pl_method *const PL_METHODS[] = {
    &PL_METHOD_PROMPT, &PL_METHOD_PREFIX, &PL_METHOD_LORA, &PL_METHOD_BOTTLENECK,
    &PL_METHOD_IA3,    &PL_METHOD_NORMS,  &PL_METHOD_FULL,
};
const int32_t PL_METHOD_COUNT = (int32_t)(sizeof PL_METHODS / sizeof PL_METHODS[0]);

const pl_method *pl_method_find(const char *name) {
    for (int32_t i = 0; i < PL_METHOD_COUNT; i++)
        if (strcmp(PL_METHODS[i]->name, name) == 0)
            return PL_METHODS[i];
    return NULL;
}
