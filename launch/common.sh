# What the scripts beside it share; they source it. Bash 4.4 or newer.
# shellcheck shell=bash

dry_run='' # --dry-run: commands are printed, not run.
words=()   # What is no option, and all that follows --.
env=()     # KEY=VALUE of every --env.

# One line, and exit code 2: a mistake of the user, if no other code is given.
die() {
  printf '%s: %s\n' "${0##*/}" "$1" >&2
  exit "${2-2}"
}

# The words as one line that a shell reads back as the same words.
quoted() {
  local word line=''
  for word; do
    [[ $word =~ ^[A-Za-z0-9_@%+=:,./-]+$ ]] || word=${word@Q}
    line+=" $word"
  done
  printf '%s' "${line# }"
}

# Every command that leaves this machine goes through here.
run() {
  if [[ $dry_run ]]; then
    quoted "$@"
    echo
  else
    "$@"
  fi
}

# parse 'OPTIONS WITH VALUES' 'SWITCHES' "$@": --some-name=VALUE or --some-name VALUE
# sets some_name, a switch sets its name to yes.
parse() {
  local valued=" $1 env " switches=" $2 dry-run " key
  shift 2
  while (($#)); do
    key=${1%%=*} key=${key#--}
    case $1 in
      --) words+=("${@:2}") && return ;;
      --help) usage && exit ;;
      --*)
        if [[ $switches == *" $key "* && $1 != *=* ]]; then
          printf -v "${key//-/_}" yes
        elif [[ $valued == *" $key "* ]]; then
          if [[ $1 != *=* ]]; then
            (($# > 1)) || die "$1 needs a value"
            set -- "$1=$2" "${@:3}"
          fi
          if [[ $key == env ]]; then
            [[ ${1#*=} =~ ^[A-Za-z_][A-Za-z0-9_]*= ]] || die "--env=${1#*=}: wanted KEY=VALUE"
            env+=("${1#*=}")
          else
            printf -v "${key//-/_}" '%s' "${1#*=}"
          fi
        else
          die "no option --$key (see --help)"
        fi
        ;;
      *) words+=("$1") ;;
    esac
    shift
  done
}

# Dies where one of these options has no value.
need() {
  local key
  for key; do
    [[ ${!key} ]] || die "--$key is missing (see --help)"
  done
}

need_command() {
  ((${#words[@]})) || die 'what to run is missing: -- kpd train --config=... --workdir=...'
}

# The comment at the top of the script.
usage() { sed -n '2,/^$/s/^# \{0,1\}//p' "$0"; }
