#!/usr/bin/env bash
# What only a GPU can show: its tests, all benchmarks, steps in two precisions, and claims.
#
#     scripts/gpu_proof.sh OUT          about ten minutes on one GPU
#     JAX_PLATFORMS=cpu REPEATS=1 ONLY='kmeans_step leaky_max_pool' scripts/gpu_proof.sh OUT
#
# Every part has its log in OUT and a time limit; a part that fails does not stop the rest.
set -uo pipefail
cd "$(dirname "$0")/.."
OUT=${1:?usage: scripts/gpu_proof.sh OUT}
PYTHON=${PYTHON:-python}
REPEATS=${REPEATS:-10}
export JAX_PLATFORMS=${JAX_PLATFORMS:-cuda,cpu} PYTHONPATH=. XLA_PYTHON_CLIENT_MEM_FRACTION=0.6
mkdir -p "$OUT"
failed=0

part() {  # name, seconds, command...
    local name=$1 seconds=$2 start=$SECONDS code=0
    shift 2
    timeout "$seconds" "$@" >"$OUT/$name" 2>"$OUT/$name.log" || code=$?
    echo "$name: exit $code, $((SECONDS - start)) s"
    [ "$code" = 0 ] || { failed=1; tail -3 "$OUT/$name.log"; }
}

part tests 240 "$PYTHON" -m pytest -q -p no:cacheprovider -m gpu tests/gpu_test.py
for name in ${ONLY:-kmeans_step kmeans neighbours warp leaky_max_pool contrastive sliced_wasserstein pairwise_js steps}; do
    part "$name.jsonl" 120 "$PYTHON" -m kpdiscovery.bench "$name" --json --repeats="$REPEATS" --against=installed
done
part claims 240 "$PYTHON" scripts/gpu_claims.py "$OUT"
cat "$OUT/claims"
exit $failed
