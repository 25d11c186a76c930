"""What the pages' explorers take: bytes, the time until the first one lives, and a step of writing a story.

Limits: 2 s from the page's load to the first explorer, on a processor slowed down four times; 30 ms a step; 1.5 MB
without the model. Measure on a machine that does nothing else.

    python tests/benchmarks/pages.py
"""

import statistics
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS / "pages"), str(TESTS / "browser")]
from lab_in_chromium import chromium  # noqa: E402
from live_folder import IN_INT8, Node, make_folder, served  # noqa: E402

from gptcore.pages import EXPLORERS, place, write_live  # noqa: E402
from gptcore.pages.live import MODEL  # noqa: E402

SLOWER, ROUNDS, STEPS = 4, 5, 100
LIVE_LIMIT, STEP_LIMIT, BYTES_LIMIT = 2000, 30, 1.5e6
PAGE = '<!doctype html><meta charset="utf-8"><script type="module" src="live.js"></script>{}'
# What a reader sees who waits for it, from the address being typed: the page's own clock begins there.
WAIT = "() => document.querySelector('[data-alive]') && performance.now()"
PRESS = """async (steps) => {
    const press = [...document.querySelectorAll("button")].find((button) => button.textContent === "Step"), times = [];
    for (let i = 0; i < steps; i++) {
        const start = performance.now();
        press.click();
        await new Promise(requestAnimationFrame);
        times.push(performance.now() - start);
    }
    return times;
}"""


def main():
    over = []

    def row(what, number, limit, unit):
        print(f"{what:<64}{number:>12,.1f} {unit:<4} limit {limit:,.0f}", flush=True)
        if number > limit:
            over.append(what)

    with tempfile.TemporaryDirectory() as name:
        folder = make_folder(Path(name))
        sizes = {path.name: path.stat().st_size for path in write_live(folder)}
        for file, size in sizes.items():
            print(f"{file:<64}{size:>12,} bytes")
        row("all files but the model", sum(sizes.values()) - sizes[MODEL], BYTES_LIMIT, "B")
        node = Node(folder)
        row("Node: a token, median of 128", statistics.median(node.ask("milliseconds", IN_INT8, 128)), STEP_LIMIT, "ms")
        node.close()
        for explorer in EXPLORERS:
            (folder / f"{explorer}.html").write_text(PAGE.format(place(explorer)), encoding="utf-8")
        with served(folder) as address, chromium() as browser:
            for explorer in EXPLORERS:
                times = []
                for _ in range(ROUNDS):  # each in a context of its own, which has nothing in its cache
                    page = browser.new_page()
                    page.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})
                    page.goto(f"{address}/{explorer}.html")
                    times.append(page.wait_for_function(WAIT, polling=10).json_value())
                    if explorer == "story" and len(times) == ROUNDS:
                        steps = page.evaluate(PRESS, STEPS)
                    page.close()
                row(f"{explorer}: alive, {SLOWER} times slower", statistics.median(times), LIVE_LIMIT, "ms")
            row(f"story: a step with its drawing, {SLOWER} times slower", statistics.median(steps), STEP_LIMIT, "ms")
    sys.exit(f"over the limit: {', '.join(over)}" if over else 0)


if __name__ == "__main__":
    main()
