// Shows which of the pages answer, as this browser sees it. The page works without.
"use strict";

const EVERY_MS = 30_000;
// nginx answers these where nothing answers behind it.
const DOWN = [502, 503, 504];

async function look(mark) {
    let isUp = false;
    try {
        const answer = await fetch(mark.dataset.watch, { credentials: "omit", cache: "no-store" });
        isUp = !DOWN.includes(answer.status);
        await answer.body?.cancel();
    } catch {
        // The host itself does not answer.
    }
    mark.dataset.state = isUp ? "up" : "down";
    mark.textContent = isUp ? "Up" : "Down";
}

function lookAtAll() {
    if (!document.hidden) {
        document.querySelectorAll("[data-watch]").forEach(look);
    }
}

lookAtAll();
setInterval(lookAtAll, EVERY_MS);
document.addEventListener("visibilitychange", lookAtAll);
