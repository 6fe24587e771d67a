// The keys of the page for labelling. Everything they do is a form on the page, which works without them.
"use strict";

const answer = document.getElementById("answer");
const began = { at: performance.now(), before: 0 };

function seconds() {
  const now = document.hidden ? 0 : performance.now() - began.at;
  return Math.round((began.before + now) / 10) / 100;
}

// Only the time in which the page could be seen.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) began.before += performance.now() - began.at;
  else began.at = performance.now();
});

let sent = false;
for (const form of document.querySelectorAll("form[method=post]")) {
  form.addEventListener("submit", (event) => {
    // A second key or click before the next page is there.
    if (sent) return event.preventDefault();
    sent = true;
    const field = form.elements.namedItem("seconds");
    if (field) field.value = seconds();
  });
}
// Back from the browser's memory of pages, nothing was sent yet.
window.addEventListener("pageshow", () => { sent = false; });

function submit(id) {
  const form = document.getElementById(id);
  if (form) form.requestSubmit();
  return Boolean(form);
}

// Where an answer is written, letters are letters until Esc was pressed: also those typed before the field had the focus.
const written = answer && answer.querySelector("textarea, input[type=number]");
let left = !written;
if (written) written.addEventListener("focus", () => { left = false; });

document.addEventListener("keydown", (event) => {
  const field = event.target;
  const writing = field.matches("textarea, select, input:not([type=radio])");
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && answer) {
    event.preventDefault();
    submit("answer");
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (writing) {
    if (event.key === "Escape") {
      left = true;
      field.blur();
    }
    return;
  }
  if (!left) {
    if (event.key.length === 1) written.focus();
    return;
  }
  let done = false;
  if (/^[1-9]$/.test(event.key) && answer) {
    const choice = answer.querySelectorAll("input[type=radio]")[Number(event.key) - 1];
    if (choice) {
      choice.checked = true;
      choice.focus();
      done = true;
    }
  } else if (event.key === "Enter" && !field.matches("a, button, summary")) {
    done = submit("answer");
  } else if (event.key === "s") {
    done = submit("skip");
  } else if (event.key === "u") {
    done = submit("undo");
  }
  if (done) event.preventDefault();
});
