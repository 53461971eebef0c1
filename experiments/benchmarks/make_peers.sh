#!/usr/bin/env bash
# Builds the environments of the libraries that the benchmarks compare with: .peers/<name>, one each.
#
#   experiments/benchmarks/make_peers.sh [name ...]       (all without a name)
#
# An environment that is already complete is left alone; one that fails is reported in one line and
# the others go on. PEERS_PIP_ARGS is handed to every pip: where pip's own index holds only CUDA builds
# of torch, PEERS_PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu" takes the CPU one.
set -u

root="$(cd "$(dirname "$0")/../.." && pwd)"
home="$root/.peers"
torch="torch==2.13.0"

# name | python | installed first | the peer. nequix asks for CUDA builds of jax, so what it imports goes first.
peers="
mace|3.11|$torch|mace-torch==0.3.16
nequip|3.11|$torch|nequip==0.19.1
nequix|3.12|jax equinox optax e3nn-jax jraph ase matscipy pyyaml tqdm|--no-deps nequix==0.4.5
cayleypy|3.11|$torch|cayleypy==0.2.0
emlp|3.12||emlp==1.0.3 six
e3nn|3.11|$torch|e3nn==0.6.0 sphericart-torch==2.0.4
fairchem|3.11|$torch|fairchem-core==2.24.0
escnn|3.11|$torch|escnn==1.0.11
"

# The first interpreter that runs and is of the wanted version: a name on PATH may be an empty shim.
find_python() {
  local candidate
  for candidate in "${PEERS_PYTHON:-}" "python$1" "$root/.venv/bin/python" python3 python; do
    [ -n "$candidate" ] || continue
    if [ "$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" = "$1" ]; then
      echo "$candidate"
      return 0
    fi
  done
  return 1
}

build() {
  local folder="$home/$1" python first="$3" peer="$4" wanted="$2 $3 $4"
  if [ "$(cat "$folder/.complete" 2>/dev/null)" = "$wanted" ]; then
    echo "$1: ready"
    return 0
  fi
  python="$(find_python "$2")" || { echo "$1: FAILED: no Python $2 found (set PEERS_PYTHON)"; return 1; }
  mkdir -p "$home"
  {
    "$python" -m venv --clear "$folder" &&
      if [ -n "$first" ]; then "$folder/bin/python" -m pip install ${PEERS_PIP_ARGS:-} $first; fi &&
      "$folder/bin/python" -m pip install ${PEERS_PIP_ARGS:-} $first $peer
  } >"$home/$1.log" 2>&1 || {
    echo "$1: FAILED: $(grep -i error "$home/$1.log" | tail -1) (.peers/$1.log)"
    return 1
  }
  echo "$wanted" >"$folder/.complete"
  echo "$1: installed"
}

failed=0
for name in "$@"; do
  grep -q "^$name|" <<<"$peers" || { echo "$name: FAILED: not a peer this script knows"; failed=1; }
done
while IFS='|' read -r name version first peer; do
  [ -n "$name" ] || continue
  case " ${*:-$name} " in *" $name "*) ;; *) continue ;; esac
  build "$name" "$version" "$first" "$peer" || failed=1
done <<<"$peers"
exit "$failed"
