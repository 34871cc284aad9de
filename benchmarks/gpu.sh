#!/usr/bin/env bash
# Fills all CUDA rows in one call of at most 8 minutes on an H100 with 16 cores.
#
#   bash benchmarks/gpu.sh JPEGS [OUT]
#
#   JPEGS         full-size JPEGs, a folder per class; the 48 classes with a few pictures each that a sample has are enough
#   OUT           where to copy the rows to as well
#   BENCH_FLAGS   further flags for every script, as --dry
#
# Works from a checkout, installed or not. It needs torch and torchvision (with CUDA), click, filelock, matplotlib, numpy, pandas,
# pillow, psutil, pyarrow, pydantic, pyyaml, rich and safetensors: it fetches nothing. Without pyarrow the packed store is left out.
# Each part has its own limit, together 465 seconds, and a part that is cut short keeps the rows that it has written.
# About 30 GB free in TMPDIR: the sweep's 28 CaffeNets are written twice.
set -uo pipefail
jpegs="$(realpath "${1:?usage: gpu.sh JPEGS [OUT]}")" out="${2:+$(realpath -m "$2")}"
cd "$(dirname "$0")/.."
export PYTHONUNBUFFERED=1 PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
python="${PYTHON:-python3}" failed=0
flags=(--recipe imagenet-fast --device cuda ${BENCH_FLAGS:-})

part() { # seconds, name, words of python -m
    echo "== $2, after $SECONDS s"
    timeout -k 2 "$1" "$python" -m "${@:3}" "${flags[@]}" || { echo "$2 failed, or was cut short at $1 s" >&2; failed=1; }
    [ -z "$out" ] || { mkdir -p "$out" && cp benchmarks/results/*.csv "$out"/ 2>/dev/null; }
}

part 80 "The step alone" benchmarks.step --classes 500 --steps 10 --target 0.4
part 250 "Sweep, CaffeNet at 227" benchmarks.sweep --repeat-samples "$jpegs" --set network.outputs=500 --from-files --packed \
    --steps 100 --plain-steps 3 --tricks-steps 3 --targets 20 4 --name "cuda, CaffeNet at 227, full-size JPEGs"
part 75 "The stream alone" benchmarks.stream --samples "$jpegs" --batches 24 --seconds 3 --target 0.9 --jpeg-target 0.75
part 60 "Start-up and memory" benchmarks.startup --repeats 3
echo "== done after $SECONDS s"
exit "$failed"
