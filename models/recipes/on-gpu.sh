#!/bin/bash
# The three models on one GPU, in about a quarter of an hour of an H200: two large teachers, stories written by them, then all three models at once.
#
#     ./on-gpu.sh WORK        WORK/clean and WORK/tokenizer-1024, -2048 must be there (clean.py, train_tokenizer.py)
#
# Each run leaves WORK/<name>/checkpoint.pt for export.py and a log; after a stop the same command goes on (writing starts over). The runs share the GPU, so their
# tokens a second depend on each other; budgets are in minutes.
set -euo pipefail
cd "$(dirname "$0")"
work=$1
common=(--clean "$work/clean" --compile --bf16 --window 512 --batch 64 --decay 0.5)
real=stories,stories,stories,picture,fables,primer # real stories three times, so that written ones do not outweigh them

train() { # name, options
    local name=$1
    shift
    python3 pretrain.py --out "$work/$name" "${common[@]}" "$@" >>"$work/$name.log" 2>&1
}

teacher() { # number, dropout
    train "teacher-$1" --model teacher --tokenizer "$work/tokenizer-2048" --seed "$1" --minutes "${TEACHER_MINUTES:-3.2}" \
        --dropout "$2" --weight-decay 0.5 --lr 2e-3 --muon-lr 5e-3
}

teacher 1 0.25 &
teacher 2 0.35 &
wait -n && wait -n
[ -e "$work/clean/written.json" ] || python3 write.py --teacher "$work/teacher-1" --teacher "$work/teacher-2" \
    --tokenizer "$work/tokenizer-2048" --clean "$work/clean" --tokens "${WRITTEN:-2.5e7}" --minutes "${WRITING_MINUTES:-1.6}" >>"$work/written.log" 2>&1
taught=(--tokenizer "$work/tokenizer-2048" --teacher "$work/teacher-1" --teacher "$work/teacher-2" --mix "$real,written")
train stories-1m --model stories-1m "${taught[@]}" --minutes "${SMALL_MINUTES:-6}" --lr 8e-3 --muon-lr 1.5e-2 &
train stories-4m --model stories-4m "${taught[@]}" --minutes "${LARGE_MINUTES:-8.5}" --lr 5e-3 --muon-lr 1e-2 &
train stories-300k --model stories-300k --tokenizer "$work/tokenizer-1024" --mix "$real,written" --minutes "${SMALL_MINUTES:-6}" --lr 8e-3 --muon-lr 1.5e-2 &
wait -n && wait -n && wait -n
