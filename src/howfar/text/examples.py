"""Example texts. All were written for this project."""

from __future__ import annotations

EXAMPLES: dict[str, str] = {
    "English": "The old lighthouse keeper, Anna Berg, had not spoken to anyone since Tuesday. On Friday a letter came.",
    "Chinese": "清晨的北京下着小雨，李明骑着自行车去图书馆，准备下午的历史考试。",
    "Mixed": "她在 GitHub 上提交了 pull request，三分钟后 CI 就变绿了。Then she closed the laptop and went for a walk.",
    "Python": 'def mean(values: list[float]) -> float:\n    """Average of the values; 0 for none."""\n'
    "    if not values:\n        return 0.0\n    return sum(values) / len(values)\n",
    "Table": "city      | people | river\n----------|--------|-------\nVienna    |  2.0 m | Danube\n"
    "Cologne   |  1.1 m | Rhine\nBudapest  |  1.7 m | Danube\n",
    "Poem": "I counted steps from door to sea,\nand every step was one to me;\n"
    "the tide, which never learned to count,\ncame near by any small amount.\n",
}

_SELECTED = {
    "English": "Anna",
    "Chinese": "图书馆",
    "Mixed": "GitHub",
    "Python": "values",
    "Table": "Cologne",
    "Poem": "sea",
}


def selected_in(name: str) -> int:
    """The character of an example that is selected first: the start of a word that the text turns on."""
    return EXAMPLES[name].index(_SELECTED[name])
