#!/usr/bin/env bash
# The documentation as a web site, from a clone alone:  pip install -c constraints.txt ".[site]" && bash tools/build_site.sh
# Fails on a dead link and on a page outside the navigation. `--live` adds the page on which models run (needs npm once).
set -euo pipefail
cd "$(dirname "$0")/.."
python tools/make_gallery.py
python tools/check_navigation.py
zensical build --clean --strict
if [ "${1:-}" = "--live" ]; then howfar live site/live; fi
