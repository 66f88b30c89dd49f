# shellcheck shell=bash
# Shared by the scripts beside it (sourced, never run): messages, the search for tools, stamp files.
# Sourcing it moves to the root of the repository.

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
ROOT=$PWD
CACHE=$ROOT/.cache
mkdir -p "$CACHE"

# Progress goes to stderr: the stdout of a script is its answer.
say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }
die() {
    printf 'error: %s\n' "$1" >&2
    shift
    for line in "$@"; do printf '       %s\n' "$line" >&2; done
    exit 1
}

# version_at_least 1.95.0 1.88: whether the first is the second or newer.
version_at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

# The oldest Rust and Python that will do; their one home is Cargo.toml and pyproject.toml.
minimum_rust() { sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml; }
minimum_python() { sed -n 's/^requires-python = ">=\(.*\)"/\1/p' pyproject.toml; }

# python_version PROGRAM: "3.11.7" when PROGRAM is a working CPython that can be supported, nothing otherwise. A pyenv
# shim for a version that is not selected exists and fails, so the only honest question is to run it. Free-threaded
# builds are left out: nothing is claimed for them yet.
python_version() {
    "$1" -c '
import platform, sys, sysconfig
minimum = tuple(int(part) for part in sys.argv[1].split("."))
supported = platform.python_implementation() == "CPython" and sys.version_info >= minimum
if supported and not sysconfig.get_config_var("Py_GIL_DISABLED"):
    print(platform.python_version())
' "$(minimum_python)" 2>/dev/null || true
}

# find_python: path of the interpreter for .venv. PYTHON decides; otherwise python3, then the named versions.
find_python() {
    if [ -n "${PYTHON:-}" ]; then
        command -v "$PYTHON" >/dev/null || die "PYTHON=$PYTHON is not a program on this machine"
        [ -n "$(python_version "$PYTHON")" ] || die "PYTHON=$PYTHON is not CPython $(minimum_python) or newer with a GIL"
        "$PYTHON" -c 'import sys; print(sys.executable)'
        return
    fi
    local name
    for name in python3 python3.13 python3.12 python3.11 python3.10 python3.14; do
        if [ -n "$(python_version "$name")" ]; then
            "$name" -c 'import sys; print(sys.executable)'
            return
        fi
    done
}

# sha256sum, which macOS has under another name.
SHA256=(sha256sum)
command -v sha256sum >/dev/null || SHA256=(shasum -a 256)

# short_hash: of stdin. digest FILE_OR_FOLDER...: over names and contents; compiled leftovers are not input.
short_hash() { "${SHA256[@]}" | cut -c1-16; }
digest() {
    find "$@" -type f ! -name '*.pyc' ! -name '*.so' ! -name '*.pyd' -print0 2>/dev/null | LC_ALL=C sort -z \
        | xargs -0 "${SHA256[@]}" | short_hash
}

# fresh STAMP VALUE / stamp STAMP VALUE: whether a step was done for this input, and note that it is.
fresh() { [ -f "$1" ] && [ "$(cat "$1")" = "$2" ]; }
stamp() { mkdir -p "$(dirname "$1")" && printf '%s\n' "$2" >"$1"; }

# other_pythons MAIN: one interpreter per further minor version of CPython that this machine has, newest last: the
# python3.N on the PATH, and what pyenv installed whether selected or not.
other_pythons() {
    local seen minor candidate version
    seen=$(python_version "$1" | cut -d. -f1,2)
    for minor in {10..19}; do
        for candidate in "python3.$minor" "$HOME/.pyenv/versions/3.$minor".*/bin/python; do
            version=$(python_version "$candidate" | cut -d. -f1,2)
            if [ -n "$version" ] && ! grep -qxF "$version" <<<"$seen"; then
                seen+=$'\n'$version
                "$candidate" -c 'import sys; print(sys.executable)'
            fi
        done
    done
}

# step NAME COMMAND...: run one part of a longer job and go on after a failure, so that one run shows all of them.
# finish: end with a failure if any step had one.
FAILED=()
step() {
    local name=$1 begin=$SECONDS
    shift
    say "$name"
    if "$@"; then
        say "$name: ok ($((SECONDS - begin)) s)"
    else
        say "$name: FAILED ($((SECONDS - begin)) s)"
        FAILED+=("$name")
    fi
}
finish() { [ ${#FAILED[@]} = 0 ] || die "failed: ${FAILED[*]}"; }
