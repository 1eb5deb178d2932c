#!/bin/sh
# Build .venv from requirements.lock. With "extras", add requirements-extras.lock (the benchmarks' peers and a sentence encoder) once that is done.
# Safe to repeat: it does nothing while the lock is unchanged.
set -eu
cd "$(dirname "$0")/../.."
PYTHON="${PYTHON:-$(command -v python3.11 || command -v python3 || true)}"
if [ -z "$PYTHON" ] || ! "$PYTHON" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))'; then
    echo "Python 3.11 was not found: Airflow, dbt and Feast are locked for it. Install it, or name it: make run PYTHON=/path/to/python3.11" >&2
    exit 1
fi
if [ "${1:-}" = extras ]; then
    more="$(cat requirements-extras.lock .venv/.installed | cksum)"
    [ "$(cat .venv/.installed-extras 2>/dev/null || true)" = "$more" ] && exit 0
    echo "rightmatch: adding the extras (peers of the benchmarks, a sentence encoder) to .venv"
    .venv/bin/uv pip install --quiet --python .venv/bin/python --compile-bytecode --link-mode "${UV_LINK_MODE:-copy}" --no-deps -r requirements-extras.lock
    echo "$more" > .venv/.installed-extras
    exit 0
fi
stamp=.venv/.installed
want="$(cat requirements.lock pyproject.toml infra/scripts/setup.sh | cksum) $(pwd)"
[ "$(cat $stamp 2>/dev/null || true)" = "$want" ] && exit 0

echo "rightmatch: installing the locked environment into .venv (once, about a minute)"
[ -x .venv/bin/python ] || "$PYTHON" -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check "uv==0.13.9"
# torch: the CPU wheel. Where pip is told of a wheel folder, uv takes it too; otherwise PyTorch's own CPU index.
# (PyPI's Linux wheel would add gigabytes of CUDA libraries that nothing here uses.)
links="${PIP_FIND_LINKS:-$(.venv/bin/python -m pip config get global.find-links 2>/dev/null || true)}"
if [ -n "$links" ]; then
    export UV_FIND_LINKS="${UV_FIND_LINKS:-$(echo "$links" | tr ' \n' ',,' | sed 's/,*$//')}"
else
    export UV_EXTRA_INDEX_URL="${UV_EXTRA_INDEX_URL:-https://download.pytorch.org/whl/cpu}"
    export UV_INDEX_STRATEGY="${UV_INDEX_STRATEGY:-unsafe-best-match}"
fi
.venv/bin/uv pip install --quiet --python .venv/bin/python --compile-bytecode --link-mode "${UV_LINK_MODE:-copy}" -r requirements.lock
.venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation -e .
echo "$want" > $stamp
