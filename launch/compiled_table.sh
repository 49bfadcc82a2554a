#!/bin/sh
# Every method at its paper's size, compiled for TPUs that are not here: writes
# launch/COMPILED.md. By estimate two hours on two cores.
#
#     launch/compiled_table.sh [ROWS.jsonl]
#
# ROWS.jsonl is added to: figures that were made before stay in the table.
set -eu
cd "$(dirname "$0")/.."
rows=${1:-runs/compiled.jsonl}
mkdir -p "$(dirname "$rows")"

compile() {
    echo "$*" >&2
    kpd compile --json --only='*/step,*/visit,*/reduce' "$@" >> "$rows"
}

compile --topology=v5e:2x2,v5e:4x4 --config=weight_map/cub
compile --topology=v5e:2x2 --config=feature_alignment/celeba \
    --config.method.features.weights=random
compile --topology=v5e:2x2,v5e:4x4 --config=lmpnet/cub
compile --topology=v5e:2x2,v5e:4x4 --config=tusk/clevr6
compile --topology=v5e:2x2 --config=tusk/clevr6 --config.method.remat=True
compile --topology=v5e:2x2,v5e:4x4 --config=self_training/mafl

{
    cat <<'HEAD'
# Compiled for

What the compiler of TPUs says of methods at their papers' sizes, without any TPU
(`kpd compile`): nothing here was run. Made by `launch/compiled_table.sh`, some rows by earlier forms of it; what has no row was not
compiled yet.

- GB a chip: the most that a program holds at a time, its code and what training keeps beside
  included; a v5e lets it have 16.9 GB (15.75 GiB), a v5p 102.8, a v6e 33.5.
- ms: cycles that the compiler expects at an assumed clock of 1.5 GHz (v5e), loops multiplied out. It
  leaves out what it does not price: gathers, scatters, sorts and windows are counted beside.
- MB between chips: results of all-reduces, all-gathers, permutes, of one run of the program.
- compiling: seconds of processors, tracing left out; more on a machine that is busy.

HEAD
    python -m kpdiscovery.compiled.table "$rows"
} > launch/COMPILED.md
