/* What the page draws and the command line prints: the static tables of methods and shapes, and the session as it stands. */
#include "account/account.h"
#include "session/internal.h"

static const char *option_type_name(pl_option_type type) {
    switch (type) {
    case PL_OPTION_INT:
        return "int";
    case PL_OPTION_REAL:
        return "real";
    case PL_OPTION_BOOL:
        return "bool";
    case PL_OPTION_CHOICE:
        return "choice";
    case PL_OPTION_TEXT:
        return "text";
    case PL_OPTION_TARGETS:
        return "targets";
    case PL_OPTION_PATTERN:
        return "pattern";
    }
    return "unknown";
}

static void write_choices(pl_text *out, const char *choices, int32_t initial) {
    int32_t index = 0;
    const char *from = choices, *chosen = choices;
    size_t chosen_length = 0;
    pl_write_key(out, "choices");
    pl_write_begin(out, '[');
    for (;; index++) {
        size_t length = 0;
        while (from[length] && from[length] != '|')
            length++;
        pl_write_string_n(out, from, length);
        if (index == initial) {
            chosen = from;
            chosen_length = length;
        }
        if (!from[length])
            break;
        from += length + 1;
    }
    pl_write_end(out, ']');
    pl_write_key(out, "default");
    pl_write_string_n(out, chosen, chosen_length);
}

static void write_option(pl_text *out, const pl_option *o) {
    pl_write_begin(out, '{');
    pl_write_key_string(out, "name", o->name);
    pl_write_key_string(out, "type", option_type_name(o->type));
    pl_write_key_string(out, "label", o->label);
    pl_write_key_string(out, "help", o->help);
    pl_write_key_int(out, "level", o->level);
    if (o->type == PL_OPTION_INT || o->type == PL_OPTION_REAL) {
        pl_write_key_number(out, "min", o->minimum);
        pl_write_key_number(out, "max", o->maximum);
        pl_write_key_number(out, "step", o->step);
        pl_write_key_number(out, "default", o->initial);
    } else if (o->type == PL_OPTION_BOOL) {
        pl_write_key_bool(out, "default", o->initial != 0.0);
    } else if (o->type == PL_OPTION_CHOICE) {
        write_choices(out, o->choices, (int32_t)o->initial);
    } else if (o->type == PL_OPTION_PATTERN) {
        pl_write_key(out, "default");
        pl_write_begin(out, '{');
        pl_write_end(out, '}');
    } else {
        pl_write_key_string(out, "default", o->initial_text ? o->initial_text : "");
    }
    pl_write_end(out, '}');
}

static void write_method(pl_text *out, const pl_method *m) {
    pl_write_begin(out, '{');
    pl_write_key_string(out, "name", m->name);
    pl_write_key_string(out, "label", m->label);
    pl_write_key_string(out, "summary", m->summary);
    pl_write_key_string(out, "paper", m->paper);
    pl_write_key_bool(out, "can_merge", m->cannot_merge == NULL);
    pl_write_key_string(out, "cannot_merge", m->cannot_merge);
    pl_write_key_bool(out, "can_scale", m->can_scale);
    pl_write_key(out, "options");
    pl_write_begin(out, '[');
    for (int32_t i = 0; i < m->option_count; i++)
        write_option(out, &m->options[i]);
    pl_write_end(out, ']');
    pl_write_end(out, '}');
}

int32_t pl_describe_static(pl_session *s) {
    session_begin(s);
    pl_text *out = &s->result;
    pl_write_begin(out, '{');
    pl_write_key(out, "methods");
    pl_write_begin(out, '[');
    for (int32_t i = 0; i < PL_METHOD_COUNT; i++)
        write_method(out, PL_METHODS[i]);
    pl_write_end(out, ']');
    pl_write_key(out, "shapes");
    pl_write_begin(out, '[');
    for (int32_t i = 0; i < PL_SHAPE_COUNT; i++) {
        pl_write_begin(out, '{');
        pl_write_key_string(out, "name", PL_SHAPES[i].name);
        pl_write_key_string(out, "label", PL_SHAPES[i].label);
        pl_write_key_string(out, "note", PL_SHAPES[i].note);
        pl_write_key(out, "config");
        session_write_config(out, &PL_SHAPES[i].config, "bfloat16");
        pl_write_end(out, '}');
    }
    pl_write_end(out, ']');
    pl_write_key(out, "sites");
    pl_write_begin(out, '[');
    for (int32_t site = 0; site < PL_SITE_COUNT; site++)
        pl_write_string(out, pl_site_name((pl_site)site));
    pl_write_end(out, ']');
    pl_write_key(out, "schedules");
    pl_write_begin(out, '[');
    for (int32_t i = 0; i < PL_SCHEDULE_COUNT; i++)
        pl_write_string(out, pl_schedule_name((pl_schedule)i));
    pl_write_end(out, ']');
    session_write_mix_types(out);
    const pl_train_options training = pl_train_options_default();
    pl_write_key(out, "training");
    pl_write_begin(out, '{');
    session_write_train_options(out, &training);
    pl_write_end(out, '}');
    pl_write_end(out, '}');
    return session_end(s, PL_OK);
}

/* What trains now, counted from the modules' own layouts: the live counter. Replaced base tensors are not extra parameters. */
static void write_counts(pl_text *out, const pl_session *s) {
    int64_t trainable = 0, added = 0, total = s->model->layout.elements;
    for (int32_t i = 0; i < s->entry_count; i++) {
        const pl_entry *entry = &s->entries[i];
        if (!entry->active)
            continue;
        int64_t count = session_entry_parameters(entry);
        trainable += entry->trainable ? count : 0;
        added += pl_module_replaces(entry->module) || entry->merged ? 0 : count;
    }
    pl_write_key(out, "counts");
    pl_write_begin(out, '{');
    pl_write_key_int(out, "trainable", trainable);
    pl_write_key_int(out, "total", total);
    pl_write_key_int(out, "added", added);
    pl_write_key_number(out, "percent", 100.0 * (double)trainable / (double)total);
    pl_write_end(out, '}');
}

static void write_model(pl_text *out, const pl_session *s) {
    const pl_config *c = &s->model->config;
    pl_write_key(out, "model");
    pl_write_begin(out, '{');
    pl_write_key_int(out, "parameters", s->model->layout.elements);
    pl_write_key_int(out, "vocab_size", c->vocab_size);
    pl_write_key_int(out, "hidden_size", c->hidden_size);
    pl_write_key_int(out, "intermediate_size", c->intermediate_size);
    pl_write_key_int(out, "num_hidden_layers", c->num_hidden_layers);
    pl_write_key_int(out, "num_attention_heads", c->num_attention_heads);
    pl_write_key_int(out, "num_key_value_heads", c->num_key_value_heads);
    pl_write_key_int(out, "head_dim", c->head_dim);
    pl_write_key_int(out, "max_position_embeddings", c->max_position_embeddings);
    pl_write_key_bool(out, "tie_word_embeddings", c->tie_word_embeddings);
    pl_write_key_int(out, "bos_token_id", c->bos_token_id);
    pl_write_key_int(out, "eos_token_id", c->eos_token_id);
    pl_write_key_bool(out, "merged", s->merged != NULL);
    pl_write_key_int(out, "learned_rows", session_learned_rows(s));
    pl_write_end(out, '}');
}

static void write_data(pl_text *out, const pl_session *s) {
    pl_write_key(out, "data");
    pl_write_begin(out, '{');
    for (int32_t i = 0; i < s->split_count; i++) {
        const pl_dataset *d = s->splits[i].dataset;
        if (s->splits[i].name[0] == '~')
            continue; /* still being read in */
        pl_write_key(out, s->splits[i].name);
        pl_write_begin(out, '{');
        pl_write_key_int(out, "examples", d->example_count);
        pl_write_key_int(out, "tokens", d->token_count);
        pl_write_key_int(out, "labelled_tokens", d->labels);
        pl_write_key_int(out, "longest", d->longest);
        pl_write_end(out, '}');
    }
    pl_write_end(out, '}');
}

int32_t pl_describe(pl_session *s) {
    session_begin(s);
    pl_text *out = &s->result;
    pl_write_begin(out, '{');
    if (s->model) {
        write_model(out, s);
        write_counts(out, s);
    } else {
        pl_write_key(out, "model");
        pl_write_null(out);
    }
    pl_write_key(out, "tokenizer");
    if (s->tokenizer) {
        pl_write_begin(out, '{');
        pl_write_key_int(out, "vocab_size", pl_tokenizer_vocab_size(s->tokenizer));
        pl_write_end(out, '}');
    } else {
        pl_write_null(out);
    }
    pl_write_key(out, "modules");
    pl_write_begin(out, '[');
    for (int32_t i = 0; i < s->entry_count; i++)
        session_write_entry(s, &s->entries[i]);
    pl_write_end(out, ']');
    write_data(out, s);
    pl_write_key(out, "run");
    if (s->trainer)
        session_write_run(out, s);
    else
        pl_write_null(out);
    pl_write_end(out, '}');
    return session_end(s, PL_OK);
}
