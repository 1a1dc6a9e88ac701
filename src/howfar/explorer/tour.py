"""The tour of the page."""

from __future__ import annotations

TOUR = """
**Two minutes.**

1. **Look.** Each row shows the text as one layer spaces it. The first row is an ordinary model: each byte
   is one step from the last. The rows below are the layers of this model, which has *learned* how far to step. A
   band joins the selected character through the rows. Blue gaps are closer than their row's average step, orange ones
   farther.
2. **Type.** Change the text and watch. Insert a space into a word; finish a sentence; write a name twice.
3. **Click a character.** Everything below the picture is then about that character. The arrow buttons step through
   the text.
4. **Ask what if.** Drag the slider: the selected gap closes or widens, the model reads the text again, and you see what
   it now expects next, which later bytes it finds harder or easier, and which other gaps moved. At ×1 nothing has
   changed, exactly. *Plain +1* lets a layer, or all, count like an ordinary model.
5. **See what it looks at.** *Attention* draws, for each head, which earlier characters the selected one attends to, at
   their learned distances. *Numbers* is the table behind the picture. *Context* shows how this increment ranks among
   those that every other byte would have had here.
6. **Keep it.** Save any view as HTML, SVG or PNG, or copy the link, which restores what you see.

**Do not conclude** too much from one sentence. Only relative spacing means anything: a layer whose gaps are all twice
as wide can do nothing new, which is why the picture divides each layer by its mean. A gap says how a layer *places*
a token, not how much it matters; *What if* says more about that.
"""
