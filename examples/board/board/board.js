"use strict";

const form = document.querySelector("form");
let socket;

function connect() {
    const shown = document.querySelector("ul");
    socket = new WebSocket(`wss://${location.host}/notes`);
    socket.onopen = () => shown.replaceChildren();
    socket.onmessage = ({ data }) => {
        const note = document.createElement("li");
        note.textContent = data;
        shown.prepend(note);
    };
    // A new version of the server ends all connections.
    socket.onclose = () => setTimeout(connect, 1000);
}

form.addEventListener("submit", (event) => {
    event.preventDefault();
    socket.send(form.note.value);
    form.reset();
});
connect();
