#!/usr/bin/env bash
# kpd on GKE's TPU slices, as a JobSet: launch/gke.sh COMMAND --name=NAME ...
#
#   apply    --accelerator=v5e --topology=8x8 --image=IMAGE [--slices=1] [--spot]
#            -- kpd train --config=... --workdir=gs://...
#   status   of the JobSet and its pods
#   logs     of one host: [--worker=0] [--slice=0]
#   delete   the run; nodes are the cluster's
#
# Everywhere: --namespace=default, --dry-run (apply prints the manifest). apply:
# --restarts=50, --env=KEY=VALUE (repeatable), --service-account=default (Kubernetes'; what
# may use the bucket), --chips=4 (of one host, where it has other than 4).

set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=launch/common.sh
source "$here/common.sh"

name='' accelerator='' topology='' image='' spot='' namespace=default
slices=1 restarts=50 service_account=default chips='' worker=0 slice=0

# A JSON string, which YAML reads too; Kubernetes expands $(...), and takes $$ for $.
json() {
  local text=${1//\\/\\\\}
  text=${text//\"/\\\"} text=${text//$'\n'/\\n} text=${text//$'\t'/\\t}
  printf '"%s"' "${text//\$/\$\$}"
}

command_list() {
  local word list=''
  for word; do list+=", $(json "$word")"; done
  printf '[%s]' "${list#, }"
}

# TPUs or nothing: jax would go on with the CPU.
env_list() {
  local pair list='{"name": "JAX_PLATFORMS", "value": "tpu,cpu"}'
  for pair in "${env[@]}"; do
    list+=", {\"name\": $(json "${pair%%=*}"), \"value\": $(json "${pair#*=}")}"
  done
  printf '[%s]' "$list"
}

node_label() {
  case $accelerator in
    v5e) echo tpu-v5-lite-podslice ;;
    v5p) echo tpu-v5p-slice ;;
    v6e) echo tpu-v6e-slice ;;
    tpu-*) echo "$accelerator" ;;
    *) die "--accelerator=$accelerator: wanted v5e, v5p, v6e or the label of GKE's nodes" ;;
  esac
}

# Sets hosts and chips.
count() {
  [[ $topology =~ ^[1-9][0-9]*(x[1-9][0-9]*){1,2}$ ]] ||
    die "--topology=$topology: wanted chips a side, such as 8x8 or 4x4x4"
  local all=$((${topology//x/*}))
  chips=${chips:-$((all < 4 ? all : 4))}
  if [[ ! $chips =~ ^[1-9]$ ]] || ((all % chips)); then
    die "--chips=$chips: $all chips are no whole number of such hosts"
  fi
  hosts=$((all / chips))
}

manifest() {
  local text pair
  text=$(cat "$here/gke/jobset.yaml")
  if [[ ! $spot ]]; then text=$(sed '/# spot$/d' <<< "$text"); fi
  shopt -u patsub_replacement 2> /dev/null || true # & is no more than itself.
  for pair in NAME="$(json "$name")" NAMESPACE="$(json "$namespace")" \
    RESTARTS="$restarts" SLICES="$slices" HOSTS="$hosts" CHIPS="$chips" \
    SERVICE_ACCOUNT="$(json "$service_account")" ACCELERATOR="$(node_label)" \
    TOPOLOGY="$(json "$topology")" IMAGE="$(json "$image")" ENV="$(env_list)" \
    COMMAND="$(command_list "${words[@]}")"; do
    text=${text//"\${${pair%%=*}}"/${pair#*=}}
  done
  sed 1d <<< "$text"
}

apply() {
  need accelerator topology image
  need_command
  [[ $slices =~ ^[1-9][0-9]*$ ]] || die "--slices=$slices: wanted a number"
  [[ $restarts =~ ^[0-9]+$ ]] || die "--restarts=$restarts: wanted a number"
  count
  node_label > /dev/null
  if [[ $dry_run ]]; then manifest; else manifest | kubectl apply --filename=-; fi
}

on_cluster() { run kubectl --namespace="$namespace" "$@"; }

status() {
  on_cluster get jobset "$name"
  on_cluster get pods --selector="jobset.sigs.k8s.io/jobset-name=$name"
}

logs() {
  local pods="jobset.sigs.k8s.io/jobset-name=$name,jobset.sigs.k8s.io/job-index=$slice"
  on_cluster logs --follow --tail=50 \
    --selector="$pods,batch.kubernetes.io/job-completion-index=$worker"
}

main() {
  local command=${1-}
  case $command in
    apply | status | logs | delete) shift ;;
    '' | --help) usage && exit $((2 * !$#)) ;;
    *) die "no command $command (see --help)" ;;
  esac
  local valued='name accelerator topology image namespace slices restarts'
  parse "$valued service-account chips worker slice" spot "$@"
  need name
  case $command in
    delete) on_cluster delete jobset "$name" ;;
    *) "$command" ;;
  esac
}

main "$@"
