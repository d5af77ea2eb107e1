# Sourced by launch/setup and launch/bench, which define say and die: Python environments outside the clone, shared by all
# clones with the same requirements.

# make_environment VENV REQUIREMENTS...: the last thing written is its mark, so a broken-off one is made again.
make_environment() {
  local venv=$1 requirements=()
  shift
  for file in "$@"; do requirements+=(-r "$file"); done
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    die "python3 is $(python3 -V 2>&1); the pinned packages need Python 3.11 or newer"
  say "installing the virtual environment $venv (about 5 GB)"
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --no-input --disable-pip-version-check \
    --progress-bar off --no-compile "${requirements[@]}"
  touch "$venv/.complete"
}

# link_environment LINK REQUIREMENTS...: LINK -> the environment with these requirements, made if need be.
link_environment() {
  local link=$1 cache=${ZIPRL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ziprl} key venv
  shift
  mkdir -p "$cache"
  cache=$(cd "$cache" && pwd)
  key=$(cat "$@" | sha256sum | cut -c1-12)
  venv=$cache/venv-$key
  (
    flock 9 # another clone may be installing the same one
    [[ -e $venv/.complete ]] || make_environment "$venv" "$@"
  ) 9>"$venv.lock"
  [[ $(readlink "$link" || true) == "$venv" ]] || ln -sfn "$venv" "$link"
}
