#!/usr/bin/env bash
# kpd on GKE's TPU slices via XPK: launch/xpk.sh COMMAND --name=NAME --cluster=CLUSTER ...
#
#   create   --type=v5litepod-64 --image=IMAGE [--slices=1]
#            -- kpd train --config=... --workdir=gs://...
#   status   of the workload
#   delete   the workload; the cluster stays
#
# Everywhere: --project=PROJECT --zone=ZONE --dry-run. create: --restarts=50,
# --env=KEY=VALUE (repeatable). Whether nodes are spot is the cluster's to say.

set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=launch/common.sh
source "$here/common.sh"

name='' cluster='' type='' image='' project='' zone='' slices=1 restarts=50

workload() {
  run xpk workload "$@" --cluster="$cluster" ${project:+--project="$project"} \
    ${zone:+--zone="$zone"}
}

# XPK restarts by itself after signals (a stop with a checkpoint is 143); 1 is of a host
# that has lost another. 2, a mistake, fails for good. XPK hands SIGTERM to the shell that
# it starts the command in: exec makes that kpd itself.
create() {
  need type image
  need_command
  workload create --workload="$name" --tpu-type="$type" --num-slices="$slices" \
    --docker-image="$image" --max-restarts="$restarts" --restart-on-exit-codes=1 \
    --termination-grace-period-seconds=300 --env=JAX_PLATFORMS=tpu,cpu \
    "${env[@]/#/--env=}" --command="exec $(quoted "${words[@]}")"
}

main() {
  local command=${1-}
  case $command in
    create | status | delete) shift ;;
    '' | --help) usage && exit $((2 * !$#)) ;;
    *) die "no command $command (see --help)" ;;
  esac
  parse 'name cluster type image project zone slices restarts' '' "$@"
  need name cluster
  case $command in
    create) create ;;
    status) workload list --filter-by-job="$name" ;;
    delete) workload delete --workload="$name" ;;
  esac
}

main "$@"
