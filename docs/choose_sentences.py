"""Choose a picture's sentence by rule: `python docs/choose_sentences.py en|zh HELD_OUT_TEXT`.

The rule: of the documents in their order, the first sentence that is short enough for one panel (45 to 62 characters in
English, 20 to 28 in Chinese), is whole, has a comma inside and no digits, and in English a name of two
capitalized words.
"""

import re
import sys
from pathlib import Path

SENTENCES = {"en": r"(?<=[.!?] )[A-Z][^.!?\n]{44,61}\.(?= |$)", "zh": r"(?<=。)[^。！？\n“”（）]{19,27}。"}
WANTED = {"en": r"^(?=.*, ).*[a-z,] [A-Z][a-z]+ [A-Z][a-z]+", "zh": "，"}
REFUSED = {"en": r"[^A-Za-z ,.'-]", "zh": r"[A-Za-z0-9]"}


def choose(language: str, text: str) -> str:
    """Give the first sentence that keeps the rule."""
    for sentence in re.findall(SENTENCES[language], text, re.MULTILINE):
        if re.search(WANTED[language], sentence) and not re.search(REFUSED[language], sentence):
            return str(sentence)
    raise SystemExit(f"no {language} sentence keeps the rule; give a longer text")


if __name__ == "__main__":
    print(choose(sys.argv[1], Path(sys.argv[2]).read_text(encoding="utf-8")))
