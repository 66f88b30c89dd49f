// @ts-check
// Before the frame is there: takes the token out of the address, and asks at once for what the address of a trace shows,
// its spans and the modules of its page. Each would otherwise wait for the one before it.

import { ahead, seg, takeToken } from "./api.js";

/** What pages/trace.js imports, beyond what index.html names and app.js imports. */
const TRACE = [
  "layout.js", "md.js", "pages/trace.js", "parts/canvas.js", "parts/code.js", "parts/detail.js", "parts/graph.js",
  "parts/lanes.js", "parts/messages.js", "parts/minimap.js", "parts/replay.js", "parts/scoring.js", "parts/text.js",
  "parts/timeline.js", "story.js", "tree.js", "vlist.js",
];

takeToken();
const trace = /^#\/t\/([\w-]+)/.exec(location.hash);
if (trace) {
  ahead(`/traces/${seg(trace[1])}`);
  for (const name of TRACE) {
    const link = document.createElement("link");
    link.rel = "modulepreload";
    link.href = `/ui/${name}`;
    document.head.append(link);
  }
}
