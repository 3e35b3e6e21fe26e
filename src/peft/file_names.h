/* What the tensors of a method are called in its adapter file: peft's layout, or AdapterHub's. One place, because three need it: writing,
 * reading, and reckoning the exact size of a file that is never written. */
#ifndef PL_PEFT_FILE_NAMES_H
#define PL_PEFT_FILE_NAMES_H

#include "peft/methods.h"

enum { PL_FILE_NAME_SIZE = 2 * PL_NAME_SIZE };

/* Is it AdapterHub's layout (houlsby, pfeiffer, parallel)? Its names contain the adapter's, and its files have no "__metadata__". */
bool pl_file_is_hub(const pl_options *options);

/* What stands in front of every key: "base_model.model." in peft's files, but "" for prompts and prefixes, in AdapterHub's, and for full
   fine-tuning, whose file is a model's. */
const char *pl_file_prefix(const pl_options *options);

/* The tensor's name in the file, prefix included. adapter: its name, which takes the place of PL_BOTTLENECK_NAME. Errors: PL_ERR_RANGE when
   it does not fit. */
pl_status pl_file_name(const pl_options *options, const pl_tensor *tensor, const char *adapter,
                       char name[PL_FILE_NAME_SIZE], pl_error *error);

#endif
