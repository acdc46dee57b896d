# Sourced by scripts that need system packages: `need PROGRAM PACKAGE` for each, then `install_system_packages`.
# shellcheck shell=sh

say() { printf 'setup: %s\n' "$*" >&2; }
fail() {
  say "$*"
  exit 1
}

# A system package is looked for by its program. How it was installed does not matter.
missing=""
need() { PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null 2>&1 || missing="$missing $2"; }

# Install what was found missing: as root, or by sudo if that asks no password; else an error that says what to install.
install_system_packages() {
  [ -n "$missing" ] || return 0
  line="apt-get install -y --no-install-recommends$missing"
  command -v apt-get >/dev/null 2>&1 || fail "these are missing, install them with your system's package manager:$missing"
  if [ "$(id -u)" = 0 ]; then
    as_root=env
  elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    as_root="sudo -n env"
  else
    fail "some system packages are missing, install them with: sudo $line"
  fi
  say "installing$missing"
  log="$(mktemp)"
  # Installing alone is tried first: refreshing the package lists takes longer than the rest.
  # shellcheck disable=SC2086
  if ! $as_root DEBIAN_FRONTEND=noninteractive $line >"$log" 2>&1 &&
    ! { $as_root apt-get update >"$log" 2>&1 && $as_root DEBIAN_FRONTEND=noninteractive $line >>"$log" 2>&1; }; then
    tail -n 20 "$log" >&2
    fail "could not install$missing; try it yourself: sudo $line"
  fi
  rm -f "$log"
  missing=""
}
