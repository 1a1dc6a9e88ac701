#!/usr/bin/env bash
# The explorer's picture, and the README's, of sentences that docs/choose_sentences.py picks from held-out text by a rule.
#
#     docs/make_pictures.sh en_test.txt zh_test.txt [MODEL]
set -euo pipefail
docs=$(cd "$(dirname "$0")" && pwd)
english=$(python "$docs/choose_sentences.py" en "$1")
chinese=$(python "$docs/choose_sentences.py" zh "$2")
howfar show "$english" -m "${3:-bilingual-per-layer}" -o "$docs/images/spacing-en.svg"
howfar show "$chinese" -m "${3:-bilingual-per-layer}" -o "$docs/images/spacing-zh.svg"
python "$docs/picture_explorer.py" "$docs/images/explorer.png"
