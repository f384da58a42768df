// The keyboard: everything can be done with it alone.

import type { Dialog } from "./App";
import * as state from "./state";
import type { SlideViewer } from "./viewer";

interface Targets {
  viewer: { current: SlideViewer | null };
  open: (dialog: Dialog) => void;
}

export const KEYS: readonly [string, string][] = [
  ["A", "Atypical mitotic figure (AMF)"],
  ["N", "Normal mitotic figure (NMF)"],
  ["X", "Not a mitotic figure: leaves both counts"],
  ["U", "Cannot tell: left out, with bounds"],
  ["M", "Mark a missed figure at the cursor, or in the middle of the view; A or N keeps it, Esc drops it"],
  ["Z", "Undo: take back the latest answer (also Ctrl+Z)"],
  ["J →", "Next case"],
  ["K ←", "Previous case"],
  ["G", "Jump to a case by its number"],
  ["F", "Next case without an answer"],
  ["H", "Hide or show the marks"],
  ["+ −", "Zoom in, out"],
  ["0", "The whole slide"],
  ["Shift + arrows", "Move the slide"],
  ["?", "This help"],
];

export function listen(targets: Targets): () => void {
  const onKey = (event: KeyboardEvent): void => {
    if (isTyping(event) || event.altKey || event.metaKey) return;
    if (act(event, targets)) event.preventDefault();
  };
  window.addEventListener("keydown", onKey);
  return () => window.removeEventListener("keydown", onKey);
}

function isTyping(event: KeyboardEvent): boolean {
  const target = event.target as HTMLElement;
  return document.querySelector("dialog[open]") !== null || ["INPUT", "SELECT", "TEXTAREA"].includes(target.tagName);
}

function act(event: KeyboardEvent, { viewer, open }: Targets): boolean {
  if (event.ctrlKey) {
    if (event.key.toLowerCase() !== "z") return false;
    if (!event.repeat && !event.shiftKey) state.undo(); // Ctrl+Shift+Z is redo elsewhere: nothing, and no undo
    return true;
  }
  if (event.shiftKey && event.key.startsWith("Arrow")) return pan(event.key, viewer.current);
  const inTabs = (event.target as HTMLElement).getAttribute("role") === "tab";
  const once: Record<string, () => void> = {
    a: () => state.answer("AMF"),
    n: () => state.answer("NMF"),
    x: () => state.answer("non-mitotic"),
    u: () => state.answer("cannot-tell"),
    m: () => markAtCursor(viewer.current),
    z: () => state.undo(),
    g: () => open("jump"),
    h: () => (state.showMarks.value = !state.showMarks.value),
    "?": () => open("help"),
    escape: () => state.dropMark(),
  };
  const again: Record<string, () => void> = {
    j: () => next(1),
    k: () => next(-1),
    f: () => void (state.step(1, true) || state.say("No unanswered case after this one", false)),
    "+": () => viewer.current?.zoom(1),
    "=": () => viewer.current?.zoom(1),
    "-": () => viewer.current?.zoom(-1),
    "0": () => viewer.current?.whole(),
    ...(inTabs ? {} : { arrowright: () => next(1), arrowdown: () => next(1), arrowleft: () => next(-1), arrowup: () => next(-1) }),
  };
  const key = event.key.toLowerCase();
  const action = again[key] ?? (event.repeat ? undefined : once[key]);
  action?.();
  return action !== undefined;
}

function next(by: 1 | -1): void {
  if (!state.step(by)) state.say(by > 0 ? "End of the list" : "Start of the list", false);
}

function pan(key: string, viewer: SlideViewer | null): boolean {
  const way: Record<string, [number, number]> = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const by = way[key];
  if (by !== undefined) viewer?.pan(...by);
  return by !== undefined;
}

function markAtCursor(viewer: SlideViewer | null): void {
  const at = viewer?.pointed();
  if (at) state.mark(at.x, at.y);
}
