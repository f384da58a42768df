// Places on the slide: figures chosen there, and missed ones marked.

import { nearest } from "../figures";
import { added } from "./known";
import { say } from "./notice";
import { shownMarks } from "./rows";
import { chosen, select, type Selection } from "./selection";
import { figureRow, slide } from "./slides";

const MERGE_UM = 7.5; // closer figures are one, as in counting

export function chooseAt(x: number, y: number, within: number): void {
  const open = slide.value;
  if (open === null) return;
  const away = (one: { x: number; y: number }): number => Math.hypot(one.x - x, one.y - y);
  const k = nearest(open.figures, x, y, within, shownMarks.value);
  let best: Selection | null = k < 0 ? null : chosen(figureRow(open, k));
  for (const one of added.value) {
    if (one.slide !== open.slide || away(one) > (best === null ? within : away(best))) continue;
    best = { slide: open.slide, x: one.x, y: one.y, draft: false };
  }
  if (best !== null) select(best);
}

/** Mark a figure that the points missed; it is kept once it has a class. */
export function mark(x: number, y: number): void {
  const open = slide.value;
  if (open === null) return;
  const { width, height, mpp } = open.facts;
  if (x < 0 || y < 0 || x >= width || y >= height) return say("The cursor is not on the slide", true);
  const there = nearest(open.figures, x, y, MERGE_UM / mpp, null);
  if (there >= 0) {
    select(chosen(figureRow(open, there)));
    return say("There is a figure already; it is chosen now", false);
  }
  select({ slide: open.slide, x, y, draft: true });
  say("Missed figure: A or N keeps it, Esc drops it", false);
}
