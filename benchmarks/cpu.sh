#!/usr/bin/env bash
# Fills all CPU rows, in about half an hour on two quiet cores. `make bench` runs it.
#
#   TRANSFER_BENCH_TINY    Tiny-ImageNet-200 as it is distributed
#   TRANSFER_BENCH_JPEGS   full-size JPEGs, a folder per class, a few are enough
#   BENCH_FLAGS            further flags for every script, as --dry
#
# A part whose pictures are missing is left out, and says so.
set -uo pipefail
cd "$(dirname "$0")/.."
export PYTHONUNBUFFERED=1 PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
python="${PYTHON:-python3}"
tiny="${TRANSFER_BENCH_TINY:-}" jpegs="${TRANSFER_BENCH_JPEGS:-}" failed=0
flags=(--device cpu ${BENCH_FLAGS:-})

part() { # name, words of python -m
    echo "== $1, after $SECONDS s"
    "$python" -m "${@:2}" "${flags[@]}" || { echo "$1 failed" >&2; failed=1; }
}

part "Start-up and memory" benchmarks.startup --demo
part "The step alone" benchmarks.step --recipe tiny-imagenet-cpu --classes 20 --steps 10
part "Networks of a library into layers" benchmarks.tracing
part "The step layer by layer" benchmarks.traced_step
part "Random resized crops, 256 to 227" benchmarks.crops --recipe imagenet-fast
part "Random resized crops, 64 to 56" benchmarks.crops --recipe tiny-imagenet
if [ -d "$jpegs" ]; then
    part "The stream alone" benchmarks.stream --samples "$jpegs" --recipe imagenet-fast --batches 12 --target 0.9 --jpeg-target 0.75
    part "Sweep, full-size JPEGs, small net at 28" benchmarks.sweep --repeat-samples "$jpegs" --recipe tiny-imagenet-cpu \
        --steps 100 --plain-steps 4 --tricks-steps 4 --targets 12 "" --name "cpu, full-size JPEGs, small net at 28"
    part "Sweep, full-size JPEGs, small net at 56" benchmarks.sweep --repeat-samples "$jpegs" --recipe tiny-imagenet-cpu \
        --set pictures.size=64 --set pictures.crop=56 --steps 40 --plain-steps 4 --tricks-steps 4 \
        --targets "" "" --name "cpu, full-size JPEGs, small net at 56"
else
    echo "TRANSFER_BENCH_JPEGS names no folder of full-size JPEGs: the stream and the sweep on them are left out"
fi
if [ -d "$tiny" ]; then
    part "Sweep, Tiny-ImageNet" benchmarks.sweep --pictures "$tiny" --recipe tiny-imagenet-cpu --steps 300 \
        --plain-steps 5 --tricks-steps 5 --compile --targets 8 2
    part "Sweep, Tiny-ImageNet, resnet18 at 64" benchmarks.sweep --pictures "$tiny" --recipe tiny-imagenet-cpu \
        --set network=torchvision/resnet18 --set "layers={spread: 4}" --set pictures.size=72 --set pictures.crop=64 \
        --set pictures.classes=10 --steps 50 --plain-steps 2 --tricks-steps 2 --targets 3 "" \
        --name "cpu, Tiny-ImageNet, resnet18 at 64"
else
    echo "TRANSFER_BENCH_TINY names no folder of Tiny-ImageNet: the sweeps on it are left out"
fi
echo "== done after $SECONDS s"
exit "$failed"
