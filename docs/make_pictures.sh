#!/usr/bin/env bash
# The README's pictures, from the bundled per-layer model.
set -euo pipefail
cd "$(dirname "$0")/images"
howfar show "Marie Curie, a Polish-born physicist, won two Nobel Prizes." -o spacing-en.svg
howfar show "居里夫人是出生于波兰的物理学家，曾两次获得诺贝尔奖。" -o spacing-zh.svg
