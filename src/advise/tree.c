/* The decision tree of section 9.5. */
#include "advise/advise.h"

#define DEFAULT_LORA "rank=8;alpha=16;target_modules=q_proj,v_proj"
#define SMALL_LORA "rank=4;alpha=8;target_modules=q_proj,v_proj"

const pl_tree_node PL_TREE[PL_TREE_QUESTIONS + 1] = {
    [PL_TREE_LATENCY] = {"latency",
                         "Is inference latency critical?",
                         " critical ",
                         " ",
                         {"lora", DEFAULT_LORA, true, "LoRA (can merge weights)"},
                         {NULL, NULL, false, NULL},
                         "A merged LoRA is an ordinary weight matrix again, so generating costs exactly what "
                         "it cost before."},
    [PL_TREE_COMPUTE] = {"compute",
                         "Is compute extremely limited?",
                         " limited extremely-limited low ",
                         " enough plenty ok normal ",
                         {"prompt", "num_virtual_tokens=20", false, "Prompt Tuning"},
                         {NULL, NULL, false, NULL},
                         "A prompt trains the fewest numbers and keeps the smallest optimiser state. (Each "
                         "step still runs the whole model.)"},
    [PL_TREE_TASK] = {"task",
                      "Is the task simple (classification, etc.)?",
                      " simple classification ",
                      " complex other ",
                      {"prompt", "num_virtual_tokens=20", false, "Prompt Tuning or LoRA (r=4)"},
                      {"lora", SMALL_LORA, false, "LoRA (r=4)"},
                      "A simple task needs few parameters, and few parameters overfit less."},
    [PL_TREE_MULTITASK] =
        {"multitask",
         "Do you need to combine multiple tasks?",
         " several many multiple ",
         " one single ",
         {"adapter", "variant=houlsby;bottleneck_size=64", false, "Adapters (easy to swap/combine)"},
         {"lora", DEFAULT_LORA, false, "Adapters or multiple LoRAs"},
         "Small separate modules can be stored per task, exchanged in a moment and active side by side."},
    [PL_TREE_DEFAULT] =
        {"default",
         NULL,
         " ",
         " ",
         {"lora", DEFAULT_LORA, false, "LoRA (r=8, α=16)"},
         {NULL, NULL, false, NULL},
         "No special wish: start with LoRA on the query and value maps and adjust from there."},
};

#define CODE_TARGETS "target_modules=q_proj,k_proj,v_proj,o_proj"

const pl_task_advice PL_TASK_ADVICE[] = {
    {"classification",
     "Classification",
     "mood",
     "Best: Prompt Tuning or LoRA (r=4)",
     {"Simple task, doesn't need many parameters", "Quick training", "Low risk of overfitting"},
     {"prompt", "num_virtual_tokens=20", false, "Prompt Tuning"},
     {"lora", SMALL_LORA, false, "LoRA (r=4)"}},
    {"instruction",
     "Instruction Following",
     "words-to-story",
     "Best: LoRA (r=8-16)",
     {"Needs moderate capacity", "Benefits from merged deployment", "Well-studied for this use case"},
     {"lora", DEFAULT_LORA, true, "LoRA (r=8-16)"},
     {"lora", "rank=16;alpha=32;target_modules=q_proj,v_proj", true, "LoRA (r=8-16)"}},
    {"domain",
     "Domain Adaptation",
     "ship-log",
     "Best: LoRA (r=16-32) or Adapters",
     {"Need to learn new knowledge", "May need more capacity",
      "Consider combining with continued pretraining"},
     {"lora", "rank=16;alpha=32;target_modules=q_proj,v_proj", false, "LoRA (r=16-32)"},
     {"adapter", "variant=houlsby;bottleneck_size=64", false, "Adapters"}},
    {"style",
     "Style/Persona Transfer",
     "pirate",
     "Best: LoRA (r=8) or Prefix Tuning",
     {"Mainly steering behavior, not adding knowledge", "Works well with fewer parameters", NULL},
     {"lora", DEFAULT_LORA, false, "LoRA (r=8)"},
     {"prefix", "num_virtual_tokens=10", false, "Prefix Tuning"}},
    {"code",
     "Code Generation",
     "turtle",
     "Best: LoRA (r=8-16) on all attention weights",
     {"Complex task", "Benefits from adapting Q, K, V, and O", "May also benefit from FFN adaptation"},
     {"lora", "rank=8;alpha=16;" CODE_TARGETS, false, "LoRA (r=8-16) on all attention weights"},
     {"lora", "rank=16;alpha=32;" CODE_TARGETS, false, "LoRA (r=8-16) on all attention weights"}},
};
const int32_t PL_TASK_ADVICE_COUNT = (int32_t)(sizeof PL_TASK_ADVICE / sizeof *PL_TASK_ADVICE);

const pl_table_row PL_QUICK_REFERENCE[] = {
    {"Maximum efficiency", "Prompt Tuning", NULL},
    {"Balance of quality and efficiency", "LoRA", NULL},
    {"Maximum quality (near full fine-tuning)", "Adapters or LoRA with high rank", NULL},
    {"Zero inference overhead", "LoRA (merged)", NULL},
    {"Quick experiments", "Prompt Tuning", NULL},
    {"Production deployment", "LoRA (merged)", NULL},
};
const int32_t PL_QUICK_REFERENCE_COUNT = (int32_t)(sizeof PL_QUICK_REFERENCE / sizeof *PL_QUICK_REFERENCE);

const pl_table_row PL_SUMMARY[] = {
    {"Simple task + low compute", "Prompt Tuning", NULL}, {"General purpose", "LoRA (r=8)", NULL},
    {"Complex task", "LoRA (r=16+) or Adapters", NULL},   {"Zero latency overhead", "LoRA (merged)", NULL},
    {"Multi-task", "Adapters or multiple LoRAs", NULL},
};
const int32_t PL_SUMMARY_COUNT = (int32_t)(sizeof PL_SUMMARY / sizeof *PL_SUMMARY);

const pl_table_row PL_PITFALLS[] = {
    {"Starting with full FT", "Start with LoRA", "Wasteful, often unnecessary"},
    {"Rank too high", "Start low, increase if needed", "Overfitting, slow"},
    {"Wrong target modules", "Start with Q+V, expand", "Missing important weights"},
    {"Ignoring inference", "Use LoRA for latency-sensitive apps", "Adapters add latency"},
    {"One-size-fits-all", "Tune hyperparams per task", "Tasks have different needs"},
};
const int32_t PL_PITFALLS_COUNT = (int32_t)(sizeof PL_PITFALLS / sizeof *PL_PITFALLS);
