#!/usr/bin/env bash
# kpd on every host of a Cloud TPU slice: launch/tpu_vm.sh COMMAND --name=NAME --zone=ZONE ...
#
#   create   the slice, now or never:    --type=v5litepod-64 [--version=RUNTIME] [--spot]
#   queue    the slice, when there is capacity: the same
#   status   of the slice and of the run on it
#   setup    this checkout on all hosts: [--weights='efficientnet_lite0 xfeat']
#   run      on all hosts, detached:     -- kpd train --config=... --workdir=gs://...
#   tail     what one host says:         [--worker=0]
#   stop     cleanly, with a checkpoint; end watch first, or it starts the run again
#   watch    queue, setup and run, again after every preemption, until the run has finished
#   fetch    FROM TO: a gs:// folder, or a file of a host, to this machine
#   delete   the slice and its place in the queue
#
# Everywhere: --project=PROJECT --dry-run. create, queue, watch: --service-account=MAIL.
# run, watch: --env=KEY=VALUE, as often as you like. watch: --retries=5 (crashes, not
# preemptions) and --every=60 (seconds). --dry-run prints the commands and runs none.

set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=launch/common.sh
source "$here/common.sh"
root=$(dirname "$here")

name='' zone='' project='' type='' version='' service_account='' spot=''
weights='' worker=0 retries=5 every=60

# gcloud compute tpus GROUP VERB ..., in the zone and project.
tpus() { run gcloud compute tpus "$@" --zone="$zone" ${project:+--project="$project"}; }

on_all() { tpus tpu-vm ssh "$name" --worker=all --command="$1"; }

runtime() {
  case ${version:-$type} in
    v5litepod-*) echo v2-alpha-tpuv5-lite ;;
    v5p-*) echo v2-alpha-tpuv5 ;;
    v6e-*) echo v2-alpha-tpuv6e ;;
    "$version") echo "$version" ;;
    *) die "--type=$type: wanted v5litepod-N (v5e), v5p-N or v6e-N; another needs --version=RUNTIME" ;;
  esac
}

# Of both ways to ask for a slice; gcloud calls the runtime --version in one only.
wanted() {
  wants=(--accelerator-type="$type" ${spot:+--spot}
    ${service_account:+--service-account="$service_account"})
}

create() {
  tpus tpu-vm create "$name" --version="$(runtime)" "${wants[@]}"
}

queue() {
  tpus queued-resources create "$name" --node-id="$name" --runtime-version="$(runtime)" \
    "${wants[@]}"
}

# List, not describe: that one fails alike where nothing is there and where gcloud does.
listed() {
  tpus "$1" list --format="value(name.basename(),$2)" |
    awk -v name="$name" '$1 == name { print $2 }'
}

# 'QUEUE:SLICE', each '' where there is none.
state() {
  local queued slice
  queued=$(listed queued-resources state.state) && slice=$(listed tpu-vm state) &&
    echo "$queued:$slice"
}

# What hosts do. Not expanded here but there; shells of theirs keep pid and exit code.
# shellcheck disable=SC2016
{
  runs='[ ! -f ~/kpd.exit ] && { kill -0 "$(cat ~/kpd.pid)"; } 2> /dev/null'
  says="if [ -f ~/kpd.exit ]; then echo kpd: exit \"\$(cat ~/kpd.exit)\"; \
elif $runs; then echo kpd: running; else echo kpd: idle; fi"
  # Python 3.12 comes with uv: the images have 3.10.
  installs='set -e; python3 -m pip install --quiet --user uv; uv=~/.local/bin/uv; '
  installs+='$uv venv --quiet --clear --python=3.12 ~/kpd; '
  installs+='$uv pip install --quiet --python="$HOME/kpd/bin/python" '
  installs+='"$HOME/kpdiscovery.tar.gz[tpu,vision]"'
  stops='kill -TERM -- "-$(cat ~/kpd.pid)"'
  # TPUs or nothing: jax would go on with the CPU.
  around='PATH="$HOME/kpd/bin:$PATH" JAX_PLATFORMS=tpu,cpu'
}

progress() { on_all "$says"; }
stop() { on_all "$stops"; }

status() {
  tpus queued-resources list
  tpus tpu-vm list
  progress
}

setup() {
  local packed=$root/build/launch/kpdiscovery.tar.gz
  run mkdir -p "${packed%/*}" &&
    run tar -C "$root" --exclude=__pycache__ -czf "$packed" \
      kpdiscovery configs pallas_kernels setup.py pyproject.toml README.md LICENSE &&
    tpus tpu-vm scp "$packed" "$name:kpdiscovery.tar.gz" --worker=all &&
    on_all "$installs${weights:+; ~/kpd/bin/kpd weights $weights}"
}

# A number of the command: a slice may have run another before.
which_run() { quoted "${words[@]}" | cksum | cut -d' ' -f1; }

start() {
  local job start
  job="trap : TERM; $(quoted "${words[@]}"); echo \$? of $(which_run) > ~/kpd.exit"
  start="env $around $(quoted "${env[@]}" nohup setsid bash -c "$job")"
  on_all "if $runs; then echo kpd: runs already; exit 1; fi; rm -f ~/kpd.exit; \
$start >> ~/kpd.log 2>&1 < /dev/null & echo \$! > ~/kpd.pid"
}

follow() { tpus tpu-vm ssh "$name" --worker="$worker" --command='tail -n 50 -F ~/kpd.log'; }

fetch() {
  local from=${words[0]-} to=${words[1]-}
  [[ $to ]] || die 'fetch FROM TO: a gs:// folder or a file of a host, and where to'
  if [[ $from == gs://* ]]; then
    run mkdir -p "$to"
    run gcloud storage rsync --recursive "$from" "$to" ${project:+--project="$project"}
  else
    tpus tpu-vm scp --recurse "$name:$from" "$to" --worker="$worker"
  fi
}

# A slice out of the queue goes with its place there.
delete() {
  local queued
  queued=${dry_run:-$(listed queued-resources state.state)} || return
  if [[ $queued ]]; then
    tpus queued-resources delete "$name" --force --quiet
  else
    tpus tpu-vm delete "$name" --quiet
  fi
}

# One look at a slice that is there; 0 once the run has finished on all hosts.
attend() {
  local said
  said=$(progress) || return 1 # Unreachable: its state will soon say why.
  said=$(grep -o 'kpd: .*' <<< "$said" |
    sed "s/ of $(which_run)\$/./; s/exit .* of .*/idle/" | sort -u)
  case $said in
    'kpd: exit 0.') return ;;
    *running*) return 1 ;;
    *'exit 2.'*) die "the run refused to start: $0 tail --name=$name --zone=$zone" ;;
    *idle*) setup || return 1 ;; # New, started anew, or done with another run.
    'kpd: exit 143.') ;; # Stopped by SIGTERM, with a checkpoint.
    *)
      ((retries-- > 0)) || die "crashed too often: $0 tail --name=$name --zone=$zone" 1
      echo "${said//$'\n'/ } Again." >&2
      ;;
  esac
  start
  return 1
}

watch() {
  local now
  if [[ $dry_run ]]; then
    queue && setup && start && progress
    return
  fi
  state > /dev/null || die "gcloud cannot list slices (above): --project, --zone, gcloud auth login?"
  while :; do
    now=$(state) || now=unknown
    echo "$(date +%T) $name $now" >&2
    case $now in
      :) queue || true ;;
      FAILED:* | SUSPENDED:* | *:PREEMPTED | *:TERMINATED) delete || true ;;
      ACTIVE:READY | :READY) if attend; then return; fi ;;
    esac
    sleep "$every"
  done
}

main() {
  local command=${1-}
  case $command in
    create | queue | status | setup | run | tail | stop | watch | fetch | delete) shift ;;
    '' | --help) usage && exit $((2 * !$#)) ;;
    *) die "no command $command (see --help)" ;;
  esac
  parse 'name zone project type version service-account weights worker retries every' \
    spot "$@"
  need name zone
  case $command in create | queue | watch) need type && runtime > /dev/null && wanted ;; esac
  case $command in
    run) need_command && start ;;
    watch) need_command && watch ;;
    tail) follow ;;
    *) "$command" ;;
  esac
}

main "$@"
