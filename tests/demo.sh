#!/usr/bin/env bash
# `make demo`: from pictures to a report, on a CPU. Usage: demo.sh PYTHON OUTPUT STACK
set -euo pipefail
python=$1
out=$2
stack=$3
started=$SECONDS
step() { printf '\n== %s\n' "$1"; }

echo "Synthetic faces -> dataset of 6 variants -> training on two replicas -> report in $out: about four"
echo "minutes on two cores, no GPU and no network."
rm -rf "$out"
mkdir -p "$out"

step "1/4 synthetic faces with known expressions, and triplets voted on by simulated annotators"
"$python" -m preprocess synth --output="$out/faces" --json > "$out/synth.json"

step "2/4 preprocess: 6 variants of every training picture"
"$python" -m preprocess build --source=fec --csv="$out/faces/labels.csv" \
    --images="$out/faces/images_cropped" --output="$out/dataset" --variants=6
"$python" -m preprocess preview "$out/dataset" --output="$out/preview.png"

step "3/4 train on two virtual CPU replicas"
"$python" -m trainer train --config=trainer/configs/demo.py --data="$out/dataset" \
    --workdir="$out/run"

step "4/4 evaluate the whole test split"
"$python" -m trainer evaluate --workdir="$out/run" --data="$out/dataset" --json > "$out/test.json"

"$python" - "$out" "$((SECONDS - started))" "$stack" <<'END'
import json, sys
out, seconds = sys.argv[1], int(sys.argv[2])
stack = "" if sys.argv[3] == "default" else f" STACK={sys.argv[3]}"
oracle = json.load(open(f"{out}/synth.json"))["oracle"]["accuracy"]
test = json.load(open(f"{out}/test.json"))
accuracy, (low, high) = test["triplet_accuracy"], test["interval"]
print(f"""
test triplet accuracy         {accuracy:.3f}, 95 % interval [{low:.3f}, {high:.3f}], chance 0.333
the generator's own numbers   {oracle:.3f}, so the model reaches {accuracy / oracle:.2f} of what there is
took                          {seconds // 60} min {seconds % 60} s

report        {out}/run/report.html
pictures      {out}/preview.png  {out}/run/plots/
TensorBoard   make tensorboard RUN={out}/run{stack}""")
if low <= 1 / 3:
    sys.exit("the model has learnt nothing")
END
